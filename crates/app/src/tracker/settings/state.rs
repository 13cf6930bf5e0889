//! The part about what outlives a restart.

use super::path_line;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// As it is written.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StateTable {
    folder: Option<PathBuf>,
}

impl StateTable {
    /// Where it is kept. The path begins in the folder of the file that names it.
    pub(super) fn folder(&self, home: &Path) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| home.join(folder))
    }
}

/// As a file says it, with what it means.
pub(super) fn print(folder: Option<&Path>) -> String {
    let folder = path_line("folder", folder, "/var/lib/gannet-tracker");
    format!(
        "\n\
[state]
# A folder of the tracker's own, in which torrents and peers outlive a restart; without one they do not.
{folder}
"
    )
}

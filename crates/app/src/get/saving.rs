//! `get --save-torrent`: what a magnet link or a URL names, as a torrent file, and nothing of its content.
//!
//! Always: no file is replaced, and what is there was written whole.

use crate::cli::Get;
use crate::failure::Failure;
use crate::new_file;
use crate::words::shell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the torrent file goes.
pub(super) struct Saving {
    path: PathBuf,
}

impl Saving {
    /// As the command line says; an error if it makes no sense, or something is in the way.
    pub(super) fn of(args: &Get) -> Result<Option<Saving>, Failure> {
        let Some(path) = &args.save_torrent else { return Ok(None) };
        if args.torrents.len() > 1 {
            let what = "--save-torrent writes one torrent file: name one magnet link or URL";
            return Err(Failure::plain(what));
        }
        if path.symlink_metadata().is_ok() {
            return Err(new_file::in_the_way(path));
        }
        Ok(Some(Saving { path: path.clone() }))
    }

    /// Writes it; what cannot be written whole is taken away again.
    pub(super) fn save(&self, torrent: &[u8]) -> Result<(), Failure> {
        let path = &self.path;
        let mut file = new_file::create(path)?;
        file.write_all(torrent).and_then(|()| file.sync_all()).map_err(|error| {
            // What cannot be removed either is a disk's fault that the first error tells already.
            let _ = fs::remove_file(path);
            new_file::unwritable(path, &error)
        })
    }

    /// Where it went, and what to do with it.
    pub(super) fn done(&self) -> String {
        let path = shell(&self.path);
        format!(
            "saved as {}; what is in it: gannet inspect {path}; to fetch it: gannet get {path}",
            self.path.display()
        )
    }

    /// Where it goes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

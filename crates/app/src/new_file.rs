//! Files that the user names for something new: nothing that is there already is ever replaced.

use crate::cli::Exit;
use crate::failure::Failure;
use crate::words::why;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Makes it; an error that says what to do if something is in the way, or there is no place for it.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => in_the_way(path),
        _ => unwritable(path, &error),
    })
}

/// Something has that name.
pub(crate) fn in_the_way(path: &Path) -> Failure {
    let text = format!("{} exists already and is left alone: name another file", path.display());
    Failure::new(Exit::Disk, text)
}

/// The system does not let it be written.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Disk, format!("cannot write {}: {}", path.display(), why(error)))
}

//! Files that the user names for something new: nothing that is there already is ever replaced.

use crate::cli::Exit;
use crate::failure::Failure;
use crate::words::why;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A new file that is written at the end. It is there from the start: nobody waits for nothing because something is in its place. If
/// nothing is written it goes again.
pub(crate) struct Draft {
    file: Option<File>,
    path: PathBuf,
}

/// Makes it; an error that says what to do if something is in the way, or there is no place for it.
pub(crate) fn create(path: &Path) -> Result<File, Failure> {
    File::create_new(path).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => in_the_way(path),
        _ => unwritable(path, &error),
    })
}

impl Draft {
    /// Makes it, still empty.
    pub(crate) fn at(path: &Path) -> Result<Draft, Failure> {
        Ok(Draft { file: Some(create(path)?), path: path.to_owned() })
    }

    /// Writes it; where it is.
    pub(crate) fn write(mut self, bytes: &[u8]) -> Result<PathBuf, Failure> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes).map_err(|error| unwritable(&self.path, &error))?;
        }
        self.file = None;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Half a file, or an empty one: it is ours, and nobody's.
        if self.file.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
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

//! A small file that is changed as a whole, by several programs perhaps.
//!
//! Invariants: whoever reads it finds the old text or the new one, after a crash too; of those who change what they have read, one does
//! at a time; a file keeps its mode and its owner, and a link to it stays one.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file that nobody else changes who asks for it like this, until this is dropped.
pub(super) struct Changing {
    path: PathBuf,
    /// Locked, and what is at the path.
    _locked: File,
}

impl Changing {
    /// Waits until nobody else changes it.
    pub(super) fn begin(path: &Path) -> io::Result<Changing> {
        let path = fs::canonicalize(path)?;
        loop {
            let file = File::open(&path)?;
            file.lock()?;
            // Whoever had it before has put another in its place.
            let (locked, there) = (file.metadata()?, fs::metadata(&path)?);
            if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
                return Ok(Changing { path, _locked: file });
            }
        }
    }

    /// Puts this in its place.
    ///
    /// # Errors
    /// Also if whoever can read it now could not any more.
    pub(super) fn replace(self, text: &str) -> io::Result<()> {
        let old = fs::metadata(&self.path)?;
        let file = written(&self.path, text)?;
        keep_owner(file.as_file(), &old)?;
        put(file, &self.path, old.mode())
    }
}

/// Makes it with this text and mode; nothing if it is there already.
pub(super) fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let file = written(path, text)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
        Ok(_) => sync_folder(path),
    }
}

/// Puts this in its place, or makes it with this mode. For a file that this program alone changes.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let file = written(path, text)?;
    let Ok(old) = fs::metadata(path) else { return put(file, path, mode) };
    // Whoever may write it here may have it as its own.
    let _ = keep_owner(file.as_file(), &old);
    put(file, path, old.mode())
}

/// A file beside this one.
fn written(path: &Path, text: &str) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder(path))?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

fn put(file: NamedTempFile, path: &Path, mode: u32) -> io::Result<()> {
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(path)
}

/// What root puts there stays its owner's. Somebody else of its group may change it, as long as that group can go on reading it.
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(file, Some(old.uid()), Some(old.gid())).or_else(|error| {
        let stays_groups = || new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok();
        if old.mode() & 0o040 != 0 && stays_groups() { Ok(()) } else { Err(error) }
    })
}

/// Its name too is to outlive a loss of power.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

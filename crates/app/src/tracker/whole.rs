//! A small file that is changed as a whole, by several programs perhaps.
//!
//! Invariants: whoever reads it finds the old text or the new one, after a crash too; of those who change what they have read, one does
//! at a time, and nobody waits for another for ever; what somebody else has written in between is not lost, but for the instant of a rename; a file keeps its mode and its owner,
//! and a link to it stays one.

use std::fs::{self, File, Metadata, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// How often it is begun again at most, when somebody else keeps changing a file.
const ATTEMPTS: usize = 16;

/// How long somebody else's change is waited for; as long as with a database.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked meanwhile whether that is over. The system would wait without end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A file that nobody else changes who asks for it like this, until this is dropped.
pub(super) struct Changing {
    path: PathBuf,
    /// As it was when that began.
    begun: Stamp,
    /// Locked, and what is at the path.
    _locked: File,
}

impl Changing {
    /// Waits until nobody else changes it.
    ///
    /// # Errors
    /// Also if somebody goes on for too long: whoever reads it may lock it too.
    pub(super) fn begin(path: &Path) -> io::Result<Changing> {
        Changing::begin_within(path, PATIENCE)
    }

    fn begin_within(path: &Path, patience: Duration) -> io::Result<Changing> {
        let path = fs::canonicalize(path)?;
        let until = Instant::now() + patience;
        loop {
            let file = File::open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::park_timeout(LOOK_AGAIN);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    let what = "somebody else has locked it; try again";
                    return Err(io::Error::new(ErrorKind::ResourceBusy, what));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it before has put another in its place.
            let (locked, there) = (file.metadata()?, fs::metadata(&path)?);
            if (locked.dev(), locked.ino()) == (there.dev(), there.ino()) {
                return Ok(Changing { path, begun: Stamp::of(&there), _locked: file });
            }
        }
    }

    /// Puts this in its place.
    ///
    /// # Errors
    /// Also if whoever can read it now could not any more, or somebody has changed it meanwhile who did not ask.
    pub(super) fn replace(self, text: &str) -> io::Result<()> {
        let file = written(&self.path, text.as_bytes())?;
        let old = fs::metadata(&self.path)?;
        keep_owner(file.as_file(), &old)?;
        finish(&file, old.mode())?;
        if Stamp::of(&fs::metadata(&self.path)?) != self.begun {
            return Err(changed_meanwhile());
        }
        put(file, &self.path)
    }
}

/// What of a file is another when somebody has changed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Stamp {
        let modified = (file.mtime(), file.mtime_nsec());
        Stamp { device: file.dev(), inode: file.ino(), len: file.len(), modified }
    }
}

fn changed_meanwhile() -> io::Error {
    io::Error::new(ErrorKind::ResourceBusy, "somebody else has changed it meanwhile; try again")
}

/// Puts what `change` makes of it in its place, unless it makes nothing of it. Begins again if somebody else has changed it meanwhile. It
/// keeps its owner as far as this program may give files away. Says whether it was changed.
pub(super) fn amend(path: &Path, mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> io::Result<bool> {
    for _ in 0..ATTEMPTS {
        // A link may lead elsewhere by now.
        let path = fs::canonicalize(path)?;
        let old = fs::metadata(&path)?;
        let Some(newer) = change(&fs::read(&path)?) else { return Ok(false) };
        let file = written(&path, &newer)?;
        let _ = keep_owner(file.as_file(), &old);
        finish(&file, old.mode())?;
        if fs::metadata(&path).is_ok_and(|now| Stamp::of(&now) == Stamp::of(&old)) {
            return put(file, &path).map(|()| true);
        }
    }
    Err(changed_meanwhile())
}

/// Makes it with this text and mode; nothing if it is there already.
pub(super) fn create(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let file = written(path, text.as_bytes())?;
    finish(&file, mode)?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
        Ok(_) => sync_folder(path),
    }
}

/// Puts this in its place, or makes it with this mode. For a file that this program alone changes.
pub(super) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let file = written(path, text.as_bytes())?;
    let old = fs::metadata(path).ok();
    // Whoever may write it here may have it as its own.
    let _ = old.as_ref().map(|old| keep_owner(file.as_file(), old));
    finish(&file, old.map_or(mode, |old| old.mode()))?;
    put(file, path)
}

/// A file beside this one.
fn written(path: &Path, text: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder(path))?;
    file.write_all(text)?;
    Ok(file)
}

/// It is as it is to be, on the disk too.
fn finish(file: &NamedTempFile, mode: u32) -> io::Result<()> {
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.as_file().sync_all()
}

fn put(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path)?;
    sync_folder(path)
}

/// What root puts there stays its owner's. Somebody else cannot give it back, and may change it if everybody goes on reading it who could.
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(file, Some(old.uid()), Some(old.gid())).or_else(|_| {
        let stays_groups = new.gid() == old.gid() || fchown(file, None, Some(old.gid())).is_ok();
        if may_take(old.uid(), old.mode(), stays_groups) {
            return Ok(());
        }
        let what = "its owner, or root, may change it: whoever else did could not give it back";
        Err(io::Error::new(ErrorKind::PermissionDenied, what))
    })
}

/// Whether a file may be another user's from now on. Its owner may be in no group that can read it; root needs none.
fn may_take(owner: u32, mode: u32, stays_groups: bool) -> bool {
    owner == 0 && mode & 0o040 != 0 && stays_groups
}

/// Its name too is to outlive a loss of power.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_write_meanwhile_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list");
        fs::write(&list, "one\n").unwrap();
        let mut theirs = Some("two\n");
        let add = |text: &[u8]| {
            // Between the look at it and the rename.
            let appended = theirs.take().map(|line| [text, line.as_bytes()].concat());
            appended.inspect(|text| fs::write(&list, text).unwrap());
            Some([text, b"three\n"].concat())
        };
        assert!(amend(&list, add).unwrap());
        assert_eq!(fs::read_to_string(&list).unwrap(), "one\ntwo\nthree\n");
        assert!(!amend(&list, |_| None).unwrap());
        let mut lines = 0;
        let restless = |_: &[u8]| {
            lines += 1;
            fs::write(&list, "x".repeat(lines)).unwrap();
            Some(Vec::new())
        };
        assert_eq!(amend(&list, restless).unwrap_err().kind(), ErrorKind::ResourceBusy);
        let changing = Changing::begin(&list).unwrap();
        fs::write(&list, "by hand\n").unwrap();
        assert_eq!(changing.replace("ours\n").unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert_eq!(fs::read_to_string(&list).unwrap(), "by hand\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nobody_waits_for_ever_for_whoever_has_locked_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let reader = File::open(file.path()).unwrap();
        reader.lock_shared().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let path = file.path().to_owned();
        std::thread::spawn(move || {
            let begun = Changing::begin_within(&path, Duration::ZERO);
            let _ = tell.send(begun.map(|_| ()).map_err(|error| error.kind()));
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Err(ErrorKind::ResourceBusy)));
        drop(reader);
        Changing::begin_within(file.path(), Duration::ZERO).unwrap();
    }

    #[test]
    fn nobody_takes_a_file_from_an_owner_who_could_not_read_it_any_more() {
        for (owner, mode, stays_groups, may) in [
            (0, 0o100640, true, true),
            (0, 0o100660, true, true),
            (0, 0o100640, false, false),
            (0, 0o100600, true, false),
            (12_345, 0o100640, true, false),
            (12_345, 0o100664, true, false),
        ] {
            assert_eq!(may_take(owner, mode, stays_groups), may, "{owner} {mode:o} {stays_groups}");
        }
    }

    #[test]
    fn a_file_is_amended_behind_its_link_and_stays_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("list"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        // Root alone gives files away.
        let is_given = std::os::unix::fs::chown(&file, Some(12345), Some(23456)).is_ok();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(amend(&link, |_| Some(b"new".to_vec())).unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        let now = fs::metadata(&file).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && now.mode() & 0o777 == 0o640);
        assert!(!is_given || (now.uid(), now.gid()) == (12345, 23456));
        assert!(amend(&dir.path().join("absent"), |_| Some(Vec::new())).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}

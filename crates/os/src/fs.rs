//! Directories and files through handles: nothing below a [`Dir`] can lead out of it.
//!
//! Not a file cache and not a policy: every call is one or two system calls, and every error is the kernel's.
//! Always: a path given to a `Dir` is relative and has only plain names; symbolic links are never followed below it.

mod file;

pub use file::{Data, File};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

/// `openat2` says "try again" when somebody renames below us while it looks; this many times is patience enough.
const RENAME_RACE_TRIES: u32 = 8;

/// A directory, by handle: it stays the same one whatever happens to its name.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

/// How a file below a directory is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; it must not exist yet. Readable by all and writable by the owner, less the umask.
    Create,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket, pipe or device.
    Other,
}

/// What the kernel knows of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes, holes included.
    pub size: u64,
    /// Time of the last change of its content, in nanoseconds since 1970.
    pub mtime: i128,
    /// Time of the last change of anything about it, in nanoseconds since 1970; nobody can set it.
    pub ctime: i128,
    /// Its number within the file system.
    pub inode: u64,
    /// The file system's number, which another boot may deal anew.
    pub device: u64,
    /// Names it has.
    pub links: u64,
    /// Bytes of storage it takes.
    pub allocated: u64,
}

/// What the kernel knows of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Volume {
    /// Its id; 0 if it has none. Most file systems keep it from mount to mount.
    pub fsid: u64,
    /// Bytes that we may still write.
    pub free: u64,
    /// Mounted read-only.
    pub read_only: bool,
    /// Bytes that one file may have, where the file system is known to have a limit that people meet.
    pub file_max: Option<u64>,
}

/// What `statfs` calls FAT, whatever its variant but for exFAT.
const FAT_MAGIC: u64 = 0x4d44;

/// A file on FAT has its length in 32 bits.
const FAT_FILE_MAX: u64 = u32::MAX as u64;

impl Dir {
    /// The directory at a path that the user chose: links in it are followed.
    pub fn open(path: &Path) -> io::Result<Dir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir { fd: rustix::fs::open(path, flags, Mode::empty())? })
    }

    /// A directory below this one.
    pub fn dir(&self, path: &Path) -> io::Result<Dir> {
        if path.as_os_str().is_empty() {
            return Ok(Dir { fd: self.fd.try_clone()? });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir { fd: self.open_beneath(path, flags, Mode::empty())? })
    }

    /// A regular file below this directory; anything else by that name is refused with `InvalidInput`.
    pub fn file(&self, path: &Path, access: Access) -> io::Result<File> {
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        // NONBLOCK: a pipe that lies in the way must not hold us until somebody writes to it.
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let mode = if access == Access::Create { Mode::from_raw_mode(0o666) } else { Mode::empty() };
        let file = File::from(self.open_beneath(path, flags, mode)?);
        match file.stat()?.kind {
            Kind::File => Ok(file),
            Kind::Directory | Kind::Link | Kind::Other => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
            }
        }
    }

    /// What lies under a name; a link is told as a link.
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        let (parent, name) = self.parent_of(path)?;
        let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Stat::from_kernel(&stat))
    }

    /// What this directory itself is.
    pub fn stat_self(&self) -> io::Result<Stat> {
        Ok(Stat::from_kernel(&rustix::fs::fstat(&self.fd)?))
    }

    /// The file system it lies on.
    pub fn volume(&self) -> io::Result<Volume> {
        let stat = rustix::fs::fstatvfs(&self.fd)?;
        let magic = rustix::fs::fstatfs(&self.fd)?.f_type as u64;
        Ok(Volume {
            file_max: (magic == FAT_MAGIC).then_some(FAT_FILE_MAX),
            fsid: stat.f_fsid,
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// Makes the directories of a path, as far as they are absent. Returns those that gained an entry: each must be
    /// synced before the new directories are sure to survive.
    pub fn make_dirs(&self, path: &Path) -> io::Result<Vec<Dir>> {
        let mut changed = Vec::new();
        let mut at = PathBuf::new();
        for name in plain_names(path)? {
            let parent = self.dir(&at)?;
            match rustix::fs::mkdirat(&parent.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) => changed.push(parent),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            at.push(name);
        }
        Ok(changed)
    }

    /// Gives a file below this directory another name; `AlreadyExists` if anything has that name.
    pub fn rename_without_replacing(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from) = self.parent_of(from)?;
        let (to_dir, to) = self.parent_of(to)?;
        match rustix::fs::renameat_with(&from_dir, from, &to_dir, to, RenameFlags::NOREPLACE) {
            // Network and some FUSE file systems do not know the flag. A hard link fails if the name is taken, so link and
            // unlink do the same; a crash between the two leaves both names on one file, which is harmless.
            Err(Errno::INVAL | Errno::NOSYS) => {
                rustix::fs::linkat(&from_dir, from, &to_dir, to, AtFlags::empty())?;
                Ok(rustix::fs::unlinkat(&from_dir, from, AtFlags::empty())?)
            }
            done => Ok(done?),
        }
    }

    /// Removes a file below this directory.
    pub fn remove_file(&self, path: &Path) -> io::Result<()> {
        let (parent, name) = self.parent_of(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    /// Makes its entries durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    fn parent_of<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p std::ffi::OsStr)> {
        let name = plain_names(path)?.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.as_os_str().is_empty() {
            return Ok((self.fd.try_clone()?, name));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok((self.open_beneath(parent, flags, Mode::empty())?, name))
    }

    fn open_beneath(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let names = plain_names(path)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RENAME_RACE_TRIES {
            match rustix::fs::openat2(&self.fd, path, flags, mode, resolve) {
                Err(Errno::AGAIN) => {}
                Err(Errno::NOSYS) => return self.open_by_steps(&names, flags, mode),
                done => return Ok(done?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// The same promise without `openat2` (kernels before 5.6 and some sandboxes): one plain name at a time, links refused.
    fn open_by_steps(&self, names: &[&std::ffi::OsStr], flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let (last, parents) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut at = self.fd.try_clone()?;
        for name in parents {
            at = rustix::fs::openat(&at, *name, step, Mode::empty())?;
        }
        Ok(rustix::fs::openat(&at, *last, flags | OFlags::NOFOLLOW, mode)?)
    }
}

impl Stat {
    fn from_kernel(stat: &rustix::fs::Stat) -> Stat {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        Stat {
            kind,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
            ctime: i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec),
            inode: stat.st_ino,
            device: stat.st_dev,
            links: stat.st_nlink,
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        }
    }
}

/// The names of a relative path; `InvalidInput` if it is absolute or has `..` in it.
fn plain_names(path: &Path) -> io::Result<Vec<&std::ffi::OsStr>> {
    let names = path.components().map(|component| match component {
        Component::Normal(name) => Ok(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of its directory"))
        }
    });
    names.collect()
}

#[cfg(test)]
mod tests;

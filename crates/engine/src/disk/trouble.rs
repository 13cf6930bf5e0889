//! Errors of the file system as faults that the session understands and the user can act on.
//!
//! Every text says what we were doing to which file, what came of it, and what helps.

use os::fault::Fault;
use proto::{DiskError, DiskErrorKind};
use std::io;
use std::path::Path;

/// The fault behind this error, met while `doing` something (a gerund: "writing") to a path.
pub(crate) fn trouble(error: &io::Error, doing: &str, path: &Path) -> DiskError {
    let (kind, advice) = match Fault::of(error) {
        Fault::Full => (DiskErrorKind::Full, "make room on that disk; the torrent goes on by itself"),
        Fault::Quota => (DiskErrorKind::Full, "your disk quota is used up: remove files or have it raised"),
        Fault::TooLarge => (
            DiskErrorKind::Unsupported,
            "the file system or a limit on this process allows no file this large",
        ),
        Fault::ReadOnly => {
            (DiskErrorKind::ReadOnly, "remount the file system for writing, or choose another directory")
        }
        Fault::Denied => {
            (DiskErrorKind::Denied, "check who owns it and its permissions, or choose another directory")
        }
        Fault::Unsupported => {
            (DiskErrorKind::Unsupported, "this file system cannot hold it: choose another directory")
        }
        Fault::TooManyOpen => (DiskErrorKind::TooManyOpen, "raise the limit of open files (ulimit -n)"),
        Fault::Absent => {
            (DiskErrorKind::Changed, "it was moved or deleted: put it back, or check the torrent again")
        }
        Fault::Gone => {
            (DiskErrorKind::Vanished, "connect or mount the drive again; nothing is fetched anew for that")
        }
        Fault::InTheWay => {
            (DiskErrorKind::Denied, "something else has that name: move it away, or choose another directory")
        }
        Fault::Short => (DiskErrorKind::Changed, "it is shorter than it was: check the torrent again"),
        Fault::Device => {
            (DiskErrorKind::Io, "the device answers with errors: look at the system log and check the drive")
        }
    };
    DiskError { kind, detail: format!("{doing} {}: {error}; {advice}", path.display()).into() }
}

/// A fault that no system call reported.
pub(crate) fn fault(kind: DiskErrorKind, detail: String) -> DiskError {
    DiskError { kind, detail: detail.into() }
}

//! What can go wrong with the state store, and what the user is told about it.

use super::Holder;
use proto::DiskErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use wire::InfoHash;

/// Why the store did not do what was asked.
#[derive(thiserror::Error, Clone, Debug)]
pub(crate) enum StateError {
    /// Its directory cannot be used.
    #[error("the state directory {dir} cannot be used: {error}; name another one (--state)", dir = .dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// Why.
        error: Arc<std::io::Error>,
    },
    /// Its file system has no locks, and two processes would spoil each other's work.
    #[error(
        "the state directory {dir} lies on a file system without file locks, which the state needs: name a folder on a disk of this \
         machine (--state)",
        dir = .dir.display()
    )]
    NoLocks {
        /// Which.
        dir: PathBuf,
    },
    /// Another process runs this torrent.
    #[error(
        "torrent {info_hash} is run by another Gannet{holder} with the same state directory: stop that one first, or name another state directory"
    )]
    InUse {
        /// Which.
        info_hash: InfoHash,
        /// By whom.
        holder: Holder,
    },
    /// The store was written by a later version.
    #[error(
        "the state file has version {found}, and this Gannet knows versions up to {known}: use a newer one"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// The newest we know.
        known: i64,
    },
    /// There is no such torrent in it.
    #[error("torrent {0} is not in the state file")]
    Unknown(InfoHash),
    /// A record's bytes are not what was written.
    #[error("a record in the state file is damaged: {0}")]
    Record(&'static str),
    /// SQLite says no.
    #[error("the state file cannot be used: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

/// Something about the store that the user should know, although the rest goes on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum StateNotice {
    /// The file was unusable, wholly or in part.
    #[error(
        "the state file is damaged ({why}); {carried} torrents were carried over to a new one, and the old one is kept as {kept}; \
         add any others again: files on disk are checked and kept",
        kept = .kept.display()
    )]
    Replaced {
        /// The old file's new name.
        kept: PathBuf,
        /// What is wrong with it.
        why: Box<str>,
        /// How many torrents could be read.
        carried: usize,
    },
    /// A torrent's own record cannot be believed: it is not started.
    #[error(
        "a torrent in the state file is damaged and is not started ({why}); add it again: its files are checked and kept"
    )]
    Quarantined {
        /// Its name, if that can still be read.
        info_hash: Option<InfoHash>,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A torrent's resume record cannot be believed: its files are checked.
    #[error(
        "the progress of torrent {info_hash} is damaged in the state file ({why}); its files are checked again"
    )]
    ResumeDamaged {
        /// Whose.
        info_hash: InfoHash,
        /// What is wrong with it.
        why: Box<str>,
    },
    /// A resume record hangs on no torrent: some torrent's progress was lost, and its files are checked.
    #[error(
        "a progress record in the state file belongs to no torrent; the files of the torrent that lacks it are checked again"
    )]
    OrphanResume,
}

impl StateError {
    /// The kind of fault as the session knows it: a full disk under the state file helps itself like any other.
    pub(crate) fn disk_kind(&self) -> DiskErrorKind {
        let StateError::Sqlite(error) = self else { return DiskErrorKind::Io };
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => DiskErrorKind::Full,
            Some(rusqlite::ErrorCode::ReadOnly) => DiskErrorKind::ReadOnly,
            Some(rusqlite::ErrorCode::PermissionDenied) => DiskErrorKind::Denied,
            _ => DiskErrorKind::Io,
        }
    }

    /// Whether the file's content is to blame, and not its surroundings.
    pub(super) fn is_damage(&self) -> bool {
        match self {
            StateError::Record(_) => true,
            StateError::Sqlite(error) => match &**error {
                rusqlite::Error::SqliteFailure(failure, _) => matches!(
                    failure.code,
                    rusqlite::ErrorCode::NotADatabase
                        | rusqlite::ErrorCode::DatabaseCorrupt
                        | rusqlite::ErrorCode::TypeMismatch
                        | rusqlite::ErrorCode::Unknown
                ),
                // A statement over our own schema that SQLite cannot make sense of: the schema was hit.
                _ => true,
            },
            StateError::Directory { .. }
            | StateError::NoLocks { .. }
            | StateError::InUse { .. }
            | StateError::Newer { .. }
            | StateError::Unknown(_) => false,
        }
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> StateError {
        StateError::Sqlite(Arc::new(error))
    }
}

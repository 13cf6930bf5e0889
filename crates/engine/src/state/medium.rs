//! What the file system under the state allows. SQLite's log (WAL) needs memory that processes share through a file, and any
//! file of SQLite's needs locks; network file systems and those of FUSE may lack either.
//!
//! Without shared memory a rollback journal is kept instead, which is as safe and a little slower. SQLite does not see that by
//! itself: asked for the log it notes in the file that there is one, and then can use neither. So a file of its own is tried
//! first. Without locks two processes would spoil each other's work: that is refused.
//!
//! Always: the caller holds the lock under which one process at a time opens the state.

use super::StateError;
use rusqlite::{Connection, ErrorCode, ffi};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// How long a call waits for another process that writes.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The file that is tried, and what SQLite may leave beside it.
const TRIED: [&str; 4] = ["trial.db", "trial.db-wal", "trial.db-shm", "trial.db-journal"];

/// What there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Medium {
    /// Everything, as far as is known.
    Whole,
    /// Locks, but no shared memory.
    NoSharedMemory,
    /// No locks.
    NoLocks,
}

/// Opens the file, and creates it if it is absent, with the journal that its file system allows.
pub(super) fn connect(path: &Path) -> Result<Connection, StateError> {
    let mut refused = None;
    if has_log(path) {
        // It worked before. If it does not now, the file came from elsewhere, or its file system changed.
        match with_log(path) {
            Err(error) if no_shared_memory(&error) || is_busy(&error) => refused = Some(error),
            opened => return opened.map_err(StateError::from),
        }
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    match (try_out(dir), refused) {
        (Medium::Whole, None) => Ok(with_log(path)?),
        (Medium::Whole, Some(error)) => Err(error.into()),
        (Medium::NoSharedMemory, _) => Ok(without_log(path)?),
        (Medium::NoLocks, _) => Err(StateError::NoLocks { dir: dir.into() }),
    }
}

/// Whether the file says that it has a log. One that is absent, short or damaged says nothing.
fn has_log(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    // Bytes 18 and 19 of the header: who may write and who may read; 2 if they know the log.
    read.is_ok() && head[18..] == [2, 2]
}

/// What a file in this folder is allowed.
fn try_out(dir: &Path) -> Medium {
    let clear = || TRIED.iter().for_each(|name| drop(std::fs::remove_file(dir.join(name))));
    clear();
    let tried = Connection::open(dir.join(TRIED[0])).and_then(|db| {
        // Nobody else uses it: whoever is told to wait would wait for ever.
        db.busy_timeout(Duration::ZERO)?;
        set_journal(&db, "WAL")
    });
    clear();
    match tried {
        Err(error) if no_shared_memory(&error) => Medium::NoSharedMemory,
        Err(error) if is_busy(&error) => Medium::NoLocks,
        // Other faults are told where they hit the state itself.
        Ok(()) | Err(_) => Medium::Whole,
    }
}

fn with_log(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_WAIT)?;
    set_journal(&db, "WAL")?;
    Ok(db)
}

fn without_log(path: &Path) -> rusqlite::Result<Connection> {
    let had_log = has_log(path);
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_WAIT)?;
    if had_log {
        // Who has the file alone needs no shared memory to read the log, and so can bring it to its end.
        db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        set_journal(&db, "DELETE")?;
        db.pragma_update(None, "locking_mode", "NORMAL")?;
        // The file is let go of by its next use.
        look_into(&db)?;
    }
    Ok(db)
}

/// The mode is taken without a word; only whoever then reads learns whether it works.
fn set_journal(db: &Connection, mode: &str) -> rusqlite::Result<()> {
    db.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))?;
    look_into(db)
}

fn look_into(db: &Connection) -> rusqlite::Result<()> {
    db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map(drop)
}

fn no_shared_memory(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(
        code,
        Some(
            ffi::SQLITE_IOERR_SHMMAP
                | ffi::SQLITE_IOERR_SHMOPEN
                | ffi::SQLITE_IOERR_SHMSIZE
                | ffi::SQLITE_IOERR_SHMLOCK
        )
    )
}

/// SQLite takes "no locks available" for a lock that somebody else holds.
fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

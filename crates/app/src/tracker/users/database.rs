//! Users in one SQLite database, for many of them, and for programs that make users themselves: see docs/tracker.md for the tables.
//!
//! ```text
//! users      id (never given twice), name, passkey, may_download, enabled, clients_max, uploaded, downloaded, completed,
//!            seed_time, excesses, last_seen, created
//! transfers  (user -> users.id, info_hash: 40 digits), uploaded, downloaded, left, completed, seed_time, first_seen, last_seen
//! ```
//!
//! Invariants: `user_version` says which tables there are; what is due to many is added in one transaction, to accounts and transfers
//! alike; others may write at the same time, and what they do is noticed by `data_version`; if another file is put in its place, nothing is
//! written any more, for it would be in neither. One that is written over as it lies is not told from what SQLite itself writes.

use super::{Change, Record, Totals, failed, nobody};
use crate::failure::Failure;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, TransactionBehavior, params};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::OpenOptions;
use std::num::NonZeroU32;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracker::User;
use tracker::ledger::{Row, UserId};
use wire::Passkey;

/// The tables that this code knows.
const VERSION: i64 = 1;

/// How long somebody else's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    passkey TEXT NOT NULL UNIQUE,
    may_download INTEGER NOT NULL DEFAULT 1 CHECK (may_download IN (0, 1)),
    enabled INTEGER NOT NULL DEFAULT 1 CHECK (enabled IN (0, 1)),
    clients_max INTEGER CHECK (clients_max > 0),
    uploaded INTEGER NOT NULL DEFAULT 0,
    downloaded INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    seed_time INTEGER NOT NULL DEFAULT 0,
    excesses INTEGER NOT NULL DEFAULT 0,
    last_seen INTEGER,
    created INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT;
CREATE TABLE transfers (
    user INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    info_hash TEXT NOT NULL,
    uploaded INTEGER NOT NULL DEFAULT 0,
    downloaded INTEGER NOT NULL DEFAULT 0,
    left INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    seed_time INTEGER NOT NULL DEFAULT 0,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (user, info_hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX transfers_by_torrent ON transfers (info_hash);
PRAGMA user_version = 1;
";

/// Sums stay below what a column holds: one that became a real number would be refused, and with it everybody's rows.
const CREDIT_USER: &str = "
UPDATE users SET
    uploaded = min(uploaded, 9223372036854775807 - ?2) + ?2,
    downloaded = min(downloaded, 9223372036854775807 - ?3) + ?3,
    completed = min(completed, 9223372036854775807 - ?4) + ?4,
    seed_time = min(seed_time, 9223372036854775807 - ?5) + ?5,
    excesses = min(excesses, 9223372036854775807 - ?6) + ?6,
    last_seen = ?7
WHERE id = ?1";

const CREDIT_TRANSFER: &str = "
UPDATE transfers SET
    uploaded = min(uploaded, 9223372036854775807 - ?3) + ?3,
    downloaded = min(downloaded, 9223372036854775807 - ?4) + ?4,
    left = ?5,
    completed = min(completed, 9223372036854775807 - ?6) + ?6,
    seed_time = min(seed_time, 9223372036854775807 - ?7) + ?7,
    last_seen = ?8
WHERE user = ?1 AND info_hash = ?2";

const NEW_TRANSFER: &str = "
INSERT INTO transfers (user, info_hash, uploaded, downloaded, left, completed, seed_time, first_seen, last_seen)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)";

const ACCOUNTS: &str = "
SELECT id, name, passkey, may_download, enabled, clients_max, uploaded, downloaded, completed, seed_time, excesses,
    coalesce(last_seen, 0)
FROM users";

/// Transfers of one user; what it does in further torrents is added to its account alone. Whoever invents torrents fills no disk.
const TRANSFERS_MAX: u32 = 100_000;

/// The file of a database that is open.
#[derive(Clone, Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Its file system and inode: others may put another file there.
    id: Option<(u64, u64)>,
}

impl DatabaseFile {
    fn at(path: &Path) -> DatabaseFile {
        DatabaseFile { path: path.into(), id: id_at(path) }
    }

    /// What is at the path is still this. Only looked at: closing it would take SQLite's locks away.
    fn check(&self) -> Result<(), Failure> {
        if self.id.is_some() && id_at(&self.path) == self.id {
            return Ok(());
        }
        let what = "it was moved or replaced while the tracker runs, which must end before that; what is due to members waits";
        Err(failed(&self.path, what))
    }

    /// Opens it once more. Not what was put in its place: the log that still lies beside it would be written into that.
    pub(super) fn open(&self) -> Result<Database, Failure> {
        self.check()?;
        Database::open(&self.path, false)
    }
}

/// Such a database, open.
pub(crate) struct Database {
    file: DatabaseFile,
    db: Connection,
    /// As `data_version` was last: it changes when somebody else commits.
    seen: Option<i64>,
    /// How many transfers users have to whom one was added.
    transfers: BTreeMap<i64, u32>,
    transfers_max: u32,
}

impl Database {
    /// A database that exists, or, if that is wanted, a new one that is its owner's alone.
    pub(super) fn open(path: &Path, create: bool) -> Result<Database, Failure> {
        if create {
            let mut options = OpenOptions::new();
            let made = options.write(true).create(true).truncate(false).mode(0o600).open(path);
            made.map_err(|error| failed(path, &crate::words::why(&error)))?;
        }
        let open = || {
            let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            db.busy_timeout(PATIENCE)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "foreign_keys", true)?;
            db.pragma_update(None, "trusted_schema", false)?;
            Ok(db)
        };
        let db = open().map_err(|error| said(path, &error))?;
        let mut database = Database {
            file: DatabaseFile::at(path),
            db,
            seen: None,
            transfers: BTreeMap::new(),
            transfers_max: TRANSFERS_MAX,
        };
        match database.version()? {
            VERSION => {}
            0 if create => database.make_tables()?,
            0 => return Err(failed(path, "it has no tables; `gannet tracker users add` makes them")),
            other => {
                let what =
                    format!("its tables have version {other}, and this program knows version {VERSION}");
                return Err(failed(path, &what));
            }
        }
        database.has_changed();
        Ok(database)
    }

    pub(super) fn file(&self) -> &DatabaseFile {
        &self.file
    }

    fn version(&self) -> Result<i64, Failure> {
        let version = self.db.pragma_query_value(None, "user_version", |row| row.get(0));
        version.map_err(|error| self.failed(&error))
    }

    /// Two that begin at once make them once.
    fn make_tables(&mut self) -> Result<(), Failure> {
        let make = |db: &mut Connection| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if tx.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? == 0 {
                tx.execute_batch(TABLES)?;
            }
            tx.commit()
        };
        make(&mut self.db).map_err(|error| said(&self.file.path, &error))
    }

    fn failed(&self, error: &rusqlite::Error) -> Failure {
        said(&self.file.path, error)
    }

    /// All users, and the names of those who cannot visit: whose passkey is none.
    pub(super) fn read(&mut self) -> Result<(Vec<User>, Vec<String>), Failure> {
        self.file.check()?;
        let read = |db: &Connection| {
            let (mut users, mut unfit) = (Vec::new(), Vec::new());
            let all = "SELECT id, name, passkey, may_download, enabled, clients_max FROM users ORDER BY id";
            let mut statement = db.prepare(all)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let user = UserId(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default());
                match record(row)? {
                    Some(record) => users.push(record.user(user)),
                    None => unfit.push(name(row)?),
                }
            }
            Ok((users, unfit))
        };
        read(&self.db).map_err(|error| self.failed(&error))
    }

    pub(super) fn list(&mut self) -> Result<Vec<(Record, Totals)>, Failure> {
        self.accounts("ORDER BY name", [])
    }

    pub(super) fn find(&mut self, name: &str) -> Result<Option<(Record, Totals)>, Failure> {
        Ok(self.accounts("WHERE name = ?1", [name])?.pop())
    }

    /// Whether somebody has this name, be it somebody whose passkey is none.
    pub(super) fn knows(&mut self, name: &str) -> Result<bool, Failure> {
        let read = self.db.query_row("SELECT count(*) FROM users WHERE name = ?1", [name], |row| row.get(0));
        read.map(|count: i64| count > 0).map_err(|error| self.failed(&error))
    }

    fn accounts(&self, which: &str, of: impl Params) -> Result<Vec<(Record, Totals)>, Failure> {
        let read = |db: &Connection| {
            let mut rows = db.prepare(&format!("{ACCOUNTS} {which}"))?;
            let each = rows.query_map(of, |row| {
                let number = |place| row.get::<_, i64>(place).map(|it| u64::try_from(it).unwrap_or_default());
                let totals = Totals {
                    uploaded: number(6)?,
                    downloaded: number(7)?,
                    completed: number(8)?,
                    seed_time: number(9)?,
                    excesses: number(10)?,
                    last_seen: number(11)?,
                };
                Ok(record(row)?.map(|record| (record, totals)))
            })?;
            each.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.db).map_err(|error| self.failed(&error))
    }

    pub(super) fn add(&mut self, record: &Record) -> Result<(), Failure> {
        let Record { name, passkey, may_download, enabled, clients_max } = record;
        let added = self.db.execute(
            "INSERT INTO users (name, passkey, may_download, enabled, clients_max) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![name, passkey.reveal(), may_download, enabled, clients_max.map(NonZeroU32::get)],
        );
        match added {
            Ok(_) => Ok(()),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(failed(&self.file.path, &format!("`{}` is there already", super::shown(name))))
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    pub(super) fn change(&mut self, name: &str, change: Change) -> Result<(), Failure> {
        let db = &self.db;
        let changed = match change {
            Change::Enabled(enabled) => {
                db.execute("UPDATE users SET enabled = ?2 WHERE name = ?1", params![name, enabled])
            }
            Change::MayDownload(may) => {
                db.execute("UPDATE users SET may_download = ?2 WHERE name = ?1", params![name, may])
            }
            Change::Passkey(passkey) => {
                db.execute("UPDATE users SET passkey = ?2 WHERE name = ?1", params![name, passkey.reveal()])
            }
            Change::Removed => db.execute("DELETE FROM users WHERE name = ?1", params![name]),
        };
        match changed.map_err(|error| self.failed(&error))? {
            0 => Err(nobody(&self.file.path, name)),
            _ => Ok(()),
        }
    }

    /// Adds everything in one transaction. What is due to users that were removed meanwhile is passed over. A torrent for which nothing was
    /// ever due to a user has no row.
    pub(super) fn credit(&mut self, rows: &[Row], now: u64) -> Result<(), Failure> {
        self.file.check()?;
        let most = self.transfers_max;
        let credit = |db: &mut Connection, transfers: &mut BTreeMap<i64, u32>| {
            let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut user = tx.prepare(CREDIT_USER)?;
                let mut transfer = tx.prepare(CREDIT_TRANSFER)?;
                let mut new_transfer = tx.prepare(NEW_TRANSFER)?;
                let now = column(now);
                for row in rows {
                    let id = column(row.user.0);
                    let [up, down, left] = [row.uploaded, row.downloaded, row.left].map(column);
                    let seeded = column(row.seeded.as_secs());
                    if user.execute(params![id, up, down, row.completed, seeded, row.excesses, now])? == 0 {
                        continue;
                    }
                    let torrent = row.info_hash.to_string();
                    let due = params![id, torrent, up, down, left, row.completed, seeded, now];
                    let is_nothing = up == 0 && down == 0 && row.completed == 0 && seeded == 0;
                    if transfer.execute(due)? == 0 && !is_nothing {
                        let has = has_transfers(&tx, transfers, id)?;
                        if *has < most {
                            new_transfer.execute(due)?;
                            *has += 1;
                        }
                    }
                }
            }
            tx.commit()
        };
        credit(&mut self.db, &mut self.transfers).map_err(|error| {
            // Some of those that were counted are not there.
            self.transfers.clear();
            said(&self.file.path, &error)
        })
    }

    /// Whether somebody else has committed something since this was asked last, or put another file in its place.
    pub(super) fn has_changed(&mut self) -> bool {
        let read = self.db.query_row("PRAGMA data_version", [], |row| row.get(0)).optional();
        // What cannot be read now is asked again soon.
        let now = read.ok().flatten().or(self.seen);
        let has_changed = std::mem::replace(&mut self.seen, now) != now;
        if has_changed {
            // Old transfers may have been cleared away.
            self.transfers.clear();
        }
        has_changed || self.file.check().is_err()
    }
}

/// Which file is at this path.
fn id_at(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::metadata(path).ok()?;
    Some((meta.dev(), meta.ino()))
}

/// How many transfers a user has, counted once.
fn has_transfers<'a>(
    db: &Connection,
    known: &'a mut BTreeMap<i64, u32>,
    user: i64,
) -> rusqlite::Result<&'a mut u32> {
    Ok(match known.entry(user) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => {
            let count = "SELECT count(*) FROM transfers WHERE user = ?1";
            new.insert(db.query_row(count, [user], |row| row.get(0))?)
        }
    })
}

/// What a row of `users` says, from its second column on; nothing if what should be a passkey is none.
fn record(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Record>> {
    let most: Option<i64> = row.get(5)?;
    let clients_max = most.and_then(|most| NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX)));
    let (name, may_download, enabled) = (name(row)?, row.get(3)?, row.get(4)?);
    Ok(passkey(row)?.map(|passkey| Record { name, passkey, may_download, enabled, clients_max }))
}

/// A name is what others wrote: one that is no UTF-8 is to keep nobody else out.
fn name(row: &rusqlite::Row<'_>) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?).into_owned())
}

fn passkey(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Passkey>> {
    Ok(Passkey::read(row.get_ref(2)?.as_bytes()?))
}

/// As large as a column holds.
fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What SQLite says of it. No statement of ours has a passkey in its text, and SQLite repeats no values.
fn said(path: &Path, error: &rusqlite::Error) -> Failure {
    failed(path, &error.to_string())
}

#[cfg(test)]
mod tests;

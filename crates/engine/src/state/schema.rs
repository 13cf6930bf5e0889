//! The tables, their version, and how the file is opened.
//!
//! ```text
//! torrent   id, info_hash, metainfo, root, priorities, sequential, paused, seed_ratio, seed_time, added, swarm, swarm_seal, places, seal
//! resume    torrent -> torrent.id, pieces, have, open, stored, uploaded, downloaded, fsid, root_inode, seal
//! file      (torrent -> torrent.id, file), size, mtime, inode, adopted, settled, seal
//! ```
//! `have` is a bitfield as on the wire; `places`, `open` and `stored` are in `rows`. A seal is 64 bits of SipHash over the row's other
//! columns: against flipped bits, not against people. `swarm` is empty for a torrent in the open, else it tells among whom the torrent
//! is kept; it has a seal of its own, so that a row that is damaged elsewhere does not turn a secret into something open.
//! Versions only grow: an older file is upgraded in one transaction.

use super::{StateError, medium, rows};
use rusqlite::Connection;
use std::io::Read;
use std::path::Path;

/// The version of the tables that this code writes.
///
/// 2: `torrent.metainfo` may be a magnet link. The tables are those of 1.
/// 3: `torrent.swarm` and its seal. What is older was in the open: no program that wrote it could make a private swarm.
/// 4: `torrent.places`. What is older says nothing of them, and is read as if there were none.
pub(super) const VERSION: i64 = 4;

/// A version above this is no later Gannet's, it is damage.
const VERSION_PLAUSIBLE_MAX: i64 = 1000;

const TORRENT_INDEX: &str = "CREATE UNIQUE INDEX torrent_by_info_hash ON torrent (info_hash)";

/// The first of the tables as it was up to version 2; the others are as they were.
const TORRENT_2: &str = "CREATE TABLE torrent (
        id INTEGER PRIMARY KEY,
        info_hash BLOB NOT NULL,
        metainfo BLOB NOT NULL,
        root BLOB NOT NULL,
        priorities BLOB NOT NULL,
        sequential INTEGER NOT NULL,
        paused INTEGER NOT NULL,
        seed_ratio INTEGER,
        seed_time INTEGER,
        added INTEGER NOT NULL,
        seal INTEGER NOT NULL
    )";

/// And as it was in version 3.
const TORRENT_3: &str = "CREATE TABLE torrent (
        id INTEGER PRIMARY KEY,
        info_hash BLOB NOT NULL,
        metainfo BLOB NOT NULL,
        root BLOB NOT NULL,
        priorities BLOB NOT NULL,
        sequential INTEGER NOT NULL,
        paused INTEGER NOT NULL,
        seed_ratio INTEGER,
        seed_time INTEGER,
        added INTEGER NOT NULL,
        swarm BLOB NOT NULL,
        swarm_seal INTEGER NOT NULL,
        seal INTEGER NOT NULL
    )";

/// As SQLite keeps them, letter for letter: a letter that changed is damage.
const TABLES: [&str; 4] = [
    "CREATE TABLE torrent (
        id INTEGER PRIMARY KEY,
        info_hash BLOB NOT NULL,
        metainfo BLOB NOT NULL,
        root BLOB NOT NULL,
        priorities BLOB NOT NULL,
        sequential INTEGER NOT NULL,
        paused INTEGER NOT NULL,
        seed_ratio INTEGER,
        seed_time INTEGER,
        added INTEGER NOT NULL,
        swarm BLOB NOT NULL,
        swarm_seal INTEGER NOT NULL,
        places BLOB NOT NULL,
        seal INTEGER NOT NULL
    )",
    TORRENT_INDEX,
    "CREATE TABLE resume (
        torrent INTEGER PRIMARY KEY,
        pieces INTEGER NOT NULL,
        have BLOB NOT NULL,
        open BLOB NOT NULL,
        stored BLOB NOT NULL,
        uploaded INTEGER NOT NULL,
        downloaded INTEGER NOT NULL,
        fsid INTEGER NOT NULL,
        root_inode INTEGER NOT NULL,
        seal INTEGER NOT NULL
    )",
    "CREATE TABLE file (
        torrent INTEGER NOT NULL,
        file INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime INTEGER NOT NULL,
        inode INTEGER NOT NULL,
        adopted INTEGER NOT NULL,
        settled INTEGER NOT NULL,
        seal INTEGER NOT NULL,
        PRIMARY KEY (torrent, file)
    ) WITHOUT ROWID",
];

/// Opens or creates the file, and makes its tables what this code expects.
pub(super) fn open(path: &Path) -> Result<Connection, StateError> {
    let mut db = medium::connect(path)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    match db.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        0 => create(&mut db)?,
        1 | 2 => upgrade(&mut db, TORRENT_2)?,
        3 => upgrade(&mut db, TORRENT_3)?,
        VERSION => {}
        found @ 5..=VERSION_PLAUSIBLE_MAX => return Err(StateError::Newer { found, known: VERSION }),
        _ => return Err(StateError::Record("its version number makes no sense")),
    }
    Ok(db)
}

/// Whether SQLite finds nothing wrong with the file's structure. Reads all of it, as a start does anyway. Not `quick_check`:
/// that one does not look into the index.
pub(super) fn is_sound(db: &Connection, path: &Path) -> Result<bool, StateError> {
    // Byte 18 of the header is who may write: an unknown number there makes SQLite call the file read-only, not damaged.
    let mut head = [0; 19];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head[18] > 2 {
        return Ok(false);
    }
    match check(db) {
        Ok(sound) => Ok(sound),
        Err(error) => match StateError::from(error) {
            damage if damage.is_damage() => Ok(false),
            other => Err(other),
        },
    }
}

fn check(db: &Connection) -> rusqlite::Result<bool> {
    Ok(is_whole(db)? && has_tables(db, &TABLES)?)
}

fn is_whole(db: &Connection) -> rusqlite::Result<bool> {
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(verdict == "ok")
}

/// Whether these are its tables, in any order: an upgrade leaves them in another than a fresh file has.
fn has_tables(db: &Connection, expected: &[&str]) -> rusqlite::Result<bool> {
    let mut find = db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
    let mut found =
        find.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    found.sort_unstable();
    Ok(found == expected)
}

/// Makes the tables of an earlier version, of which this was the first, those of today. A file that is not quite what its version says is left as it is: it is
/// damaged, and all that can be read of it will be carried over.
fn upgrade(db: &mut Connection, torrent: &str) -> Result<(), StateError> {
    let [_, index, resume, file] = TABLES;
    let before = [torrent, index, resume, file];
    match (is_whole(db), has_tables(db, &before), has_tables(db, &TABLES)) {
        (Ok(true), Ok(true), _) => {}
        (Ok(true), _, Ok(true)) => return Ok(db.pragma_update(None, "user_version", VERSION)?),
        _ => return Ok(()),
    }
    let tx = db.transaction()?;
    let known = rows::read_all(&tx)?.torrents;
    tx.execute_batch("DROP INDEX torrent_by_info_hash; ALTER TABLE torrent RENAME TO torrent_before")?;
    tx.execute(TABLES[0], [])?;
    let had_swarms = torrent != TORRENT_2;
    let swarm = if had_swarms { "swarm, swarm_seal" } else { "x'', 0" };
    let columns = format!(
        "id, info_hash, metainfo, root, priorities, sequential, paused, seed_ratio, seed_time, added, {swarm}, x'', seal"
    );
    tx.execute(&format!("INSERT INTO torrent SELECT {columns} FROM torrent_before"), [])?;
    tx.execute("DROP TABLE torrent_before", [])?;
    tx.execute(TORRENT_INDEX, [])?;
    // Rows whose seal did not fit have one now that does not fit either.
    known.iter().try_for_each(|torrent| rows::write_torrent(&tx, torrent))?;
    if !had_swarms {
        rows::open_all(&tx)?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

fn create(db: &mut Connection) -> Result<(), StateError> {
    let tx = db.transaction()?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables != 0 {
        return Err(StateError::Record("it has tables but no version"));
    }
    for table in TABLES {
        tx.execute(table, [])?;
    }
    tx.pragma_update(None, "user_version", VERSION)?;
    Ok(tx.commit()?)
}

/// Makes of a sound file one as earlier versions left it; before version 3 with every torrent in the open.
#[cfg(test)]
pub(super) fn make_older(db: &Connection, version: i64) -> Result<(), StateError> {
    let known = rows::read_all(db)?.torrents;
    db.execute_batch("DROP INDEX torrent_by_info_hash; DROP TABLE torrent")?;
    db.execute(if version < 3 { TORRENT_2 } else { TORRENT_3 }, [])?;
    db.execute(TORRENT_INDEX, [])?;
    known.iter().try_for_each(|torrent| rows::write_older(db, version, torrent))?;
    Ok(db.pragma_update(None, "user_version", version)?)
}

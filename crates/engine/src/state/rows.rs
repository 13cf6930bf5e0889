//! Rows to values and back. A value that comes out of here bears a seal that fits: what was written is what is read.

use super::record::{FileMark, ResumeUpdate, StoredResume, StoredTorrent, Swarm, TorrentOptions, VolumeMark};
use super::seal::{Seal, swarm_from, swarm_seal};
use super::{StateError, StateNotice, StoredTorrents};
use proto::command::SeedGoal;
use proto::resume::OpenRecord;
use proto::{BlockSet, Duration, Priority, ResumeRecord};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use wire::offer::Place;
use wire::{Bitfield, FileIndex, InfoHash, PieceIndex};

/// Reads what can be read; a bad row costs no other row.
pub(super) fn read_all(db: &Connection) -> Result<StoredTorrents, StateError> {
    let mut all = StoredTorrents::default();
    for id in ids(db) {
        match read(db, id) {
            Ok((torrent, notice)) => {
                all.torrents.push(torrent);
                all.notices.extend(notice);
            }
            Err(error) => {
                let info_hash = info_hash_of(db, id);
                all.notices.push(StateNotice::Quarantined { info_hash, why: error.to_string().into() });
            }
        }
    }
    let orphans = "SELECT count(*) FROM resume WHERE torrent NOT IN (SELECT id FROM torrent)";
    if db.query_row(orphans, [], |row| row.get::<_, i64>(0)).unwrap_or(0) != 0 {
        all.notices.push(StateNotice::OrphanResume);
    }
    Ok(all)
}

/// One torrent, and a notice if its resume record had to be left out.
pub(super) fn read(db: &Connection, id: i64) -> Result<(StoredTorrent, Option<StateNotice>), StateError> {
    let mut torrent =
        db.query_row("SELECT * FROM torrent WHERE id = ?1", [id], |row| Ok(torrent_of(row)))??;
    match read_resume(db, id, torrent.info_hash) {
        Ok(resume) => {
            torrent.resume = resume.map(Box::new);
            Ok((torrent, None))
        }
        Err(error) => {
            let notice =
                StateNotice::ResumeDamaged { info_hash: torrent.info_hash, why: error.to_string().into() };
            Ok((torrent, Some(notice)))
        }
    }
}

/// The row of this torrent.
pub(super) fn id_of(db: &Connection, info_hash: InfoHash) -> Result<Option<i64>, StateError> {
    let mut find = db.prepare("SELECT id FROM torrent WHERE info_hash = ?1")?;
    Ok(find.query_row([info_hash.0], |row| row.get(0)).optional()?)
}

/// The names of all torrents.
pub(super) fn info_hashes(db: &Connection) -> Result<Vec<InfoHash>, StateError> {
    let mut find = db.prepare("SELECT info_hash FROM torrent")?;
    let found = find.query_map([], |row| row.get(0).map(InfoHash))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Forgets how far a torrent is, if that was in another directory or in other ranges than those it has from now on.
pub(super) fn forget_elsewhere(db: &Connection, torrent: &StoredTorrent) -> Result<(), StateError> {
    for table in ["resume", "file"] {
        db.execute(
            &format!(
                "DELETE FROM {table} WHERE torrent IN (SELECT id FROM torrent WHERE info_hash = ?1
                 AND (root <> ?2 OR places <> ?3))"
            ),
            params![
                torrent.info_hash.0,
                torrent.root.as_os_str().as_bytes(),
                places_to_bytes(&torrent.places)
            ],
        )?;
    }
    Ok(())
}

/// Among whom a torrent is kept, whatever else its row says; `None` if it is not here.
pub(super) fn swarm_of(db: &Connection, info_hash: InfoHash) -> Result<Option<Swarm>, StateError> {
    let mut find = db.prepare("SELECT swarm, swarm_seal FROM torrent WHERE info_hash = ?1")?;
    let found =
        find.query_row([info_hash.0], |row| Ok((row.get("swarm"), row.get("swarm_seal")))).optional()?;
    // What is no blob, or no number, is damage too.
    Ok(found.map(|(swarm, seal)| match (swarm, seal) {
        (Ok(swarm), Ok(seal)) => swarm_from(info_hash, swarm, seal),
        _ => Swarm::Unknown,
    }))
}

/// Says of all torrents that they are in the open.
pub(super) fn open_all(db: &Connection) -> Result<(), StateError> {
    for info_hash in info_hashes(db)? {
        db.execute(
            "UPDATE torrent SET swarm_seal = ?2 WHERE info_hash = ?1",
            params![info_hash.0, swarm_seal(info_hash, &[])],
        )?;
    }
    Ok(())
}

/// Writes a torrent's own row.
pub(super) fn write_torrent(db: &Connection, torrent: &StoredTorrent) -> Result<(), StateError> {
    let options = &torrent.options;
    let priorities: Vec<u8> = options.priorities.iter().map(|&priority| priority_to_byte(priority)).collect();
    let ratio = options.seed_goal.ratio_permille.map(i64::from);
    let time = options.seed_goal.time.map(|time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let added = torrent.added as i64;
    let root = torrent.root.as_os_str().as_bytes();
    let (swarm, swarm_seal) = match torrent.swarm {
        Swarm::Open => (Vec::new(), swarm_seal(torrent.info_hash, &[])),
        Swarm::Private(mark) => (mark.to_vec(), swarm_seal(torrent.info_hash, &mark)),
        Swarm::Unknown => (Vec::new(), 0),
    };
    let numbers = [i64::from(options.sequential), i64::from(options.paused), added];
    let seal = Seal::of_torrent(
        [&torrent.info_hash.0, &torrent.metainfo, root, &priorities],
        numbers,
        [ratio, time],
    );
    let places = places_to_bytes(&torrent.places);
    let seal = seal.bytes(&swarm).numbers(&[swarm_seal]).bytes(&places).end();
    db.execute(
        "INSERT INTO torrent (info_hash, metainfo, root, priorities, sequential, paused, seed_ratio, seed_time, added, swarm,
         swarm_seal, seal, places)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (info_hash) DO UPDATE SET metainfo = ?2, root = ?3, priorities = ?4, sequential = ?5, paused = ?6,
         seed_ratio = ?7, seed_time = ?8, added = ?9, swarm = ?10, swarm_seal = ?11, seal = ?12,
         places = ?13",
        params![
            torrent.info_hash.0,
            torrent.metainfo,
            root,
            priorities,
            options.sequential,
            options.paused,
            ratio,
            time,
            added,
            swarm,
            swarm_seal,
            seal,
            places
        ],
    )?;
    Ok(())
}

/// Writes a torrent's resume record and the marks of the files that changed.
pub(super) fn write_resume(db: &Connection, id: i64, update: &ResumeUpdate) -> Result<(), StateError> {
    let (record, info_hash) = (&update.record, update.info_hash);
    let (have, open) = (record.have.to_bytes(), open_to_bytes(&record.open));
    let stored = pieces_to_bytes(&update.stored);
    let numbers = [
        i64::from(record.have.len()),
        record.uploaded as i64,
        record.downloaded as i64,
        update.volume.fsid as i64,
        update.volume.root_inode as i64,
    ];
    let seal =
        Seal::default().bytes(&info_hash.0).bytes(&have).bytes(&open).bytes(&stored).numbers(&numbers).end();
    let [pieces, uploaded, downloaded, fsid, root_inode] = numbers;
    db.execute(
        "INSERT OR REPLACE INTO resume
         (torrent, pieces, have, open, stored, uploaded, downloaded, fsid, root_inode, seal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![id, pieces, have, open, stored, uploaded, downloaded, fsid, root_inode, seal],
    )?;
    write_marks(db, id, info_hash, &update.files)
}

/// Writes the marks of files; those of other files stay.
pub(super) fn write_marks(
    db: &Connection,
    id: i64,
    info_hash: InfoHash,
    marks: &[FileMark],
) -> Result<(), StateError> {
    let mut write = db.prepare("INSERT OR REPLACE INTO file VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for mark in marks {
        let [file, size, mtime, inode, adopted, settled] = mark_numbers(mark);
        write.execute(params![id, file, size, mtime, inode, adopted, settled, mark_seal(info_hash, mark)])?;
    }
    Ok(())
}

/// Marks all files of a torrent as being written to.
pub(super) fn unsettle(db: &Connection, id: i64, info_hash: InfoHash) -> Result<(), StateError> {
    let marks = read_marks(db, id, info_hash)?;
    let mut write = db.prepare("UPDATE file SET settled = 0, seal = ?3 WHERE torrent = ?1 AND file = ?2")?;
    for mark in marks.iter().filter(|mark| mark.settled) {
        let unsettled = FileMark { settled: false, ..*mark };
        write.execute(params![id, mark.file, mark_seal(info_hash, &unsettled)])?;
    }
    Ok(())
}

/// Removes a torrent and all that hangs on it.
pub(super) fn delete(db: &Connection, info_hash: InfoHash) -> Result<(), StateError> {
    if let Some(id) = id_of(db, info_hash)? {
        db.execute("DELETE FROM file WHERE torrent = ?1", [id])?;
        db.execute("DELETE FROM resume WHERE torrent = ?1", [id])?;
        db.execute("DELETE FROM torrent WHERE id = ?1", [id])?;
    }
    Ok(())
}

/// All rows of `torrent`, found through the table and through its index: damage to one leaves the other.
fn ids(db: &Connection) -> BTreeSet<i64> {
    let mut ids = BTreeSet::new();
    for order in
        ["NOT INDEXED ORDER BY id", "NOT INDEXED ORDER BY id DESC", "INDEXED BY torrent_by_info_hash"]
    {
        let Ok(mut find) = db.prepare(&format!("SELECT id FROM torrent {order}")) else { continue };
        let Ok(found) = find.query_map([], |row| row.get::<_, i64>(0)) else { continue };
        ids.extend(found.map_while(Result::ok));
    }
    ids
}

fn info_hash_of(db: &Connection, id: i64) -> Option<InfoHash> {
    db.query_row("SELECT info_hash FROM torrent WHERE id = ?1", [id], |row| row.get(0)).ok().map(InfoHash)
}

fn torrent_of(row: &Row<'_>) -> Result<StoredTorrent, StateError> {
    let info_hash: [u8; 20] = row.get("info_hash")?;
    let metainfo: Vec<u8> = row.get("metainfo")?;
    let root: Vec<u8> = row.get("root")?;
    let priorities: Vec<u8> = row.get("priorities")?;
    let (sequential, paused): (i64, i64) = (row.get("sequential")?, row.get("paused")?);
    let (ratio, time): (Option<i64>, Option<i64>) = (row.get("seed_ratio")?, row.get("seed_time")?);
    let added: i64 = row.get("added")?;
    let blobs = [&info_hash[..], &metainfo, &root, &priorities];
    let mut seal = Seal::of_torrent(blobs, [sequential, paused, added], [ratio, time]);
    // The rows of version 2, which an upgrade reads, and who saves what a damaged file holds. One of today's whose column
    // cannot be found any more does not pass for one: its seal covers more.
    let mut swarm = Swarm::Open;
    if !is_of_version_2(row) {
        let (mark, mark_seal): (Vec<u8>, i64) = (row.get("swarm")?, row.get("swarm_seal")?);
        seal = seal.bytes(&mark).numbers(&[mark_seal]);
        swarm = swarm_from(InfoHash(info_hash), mark, mark_seal);
    }
    // Nor does one without this column pass for one of version 3.
    let mut places = Vec::new();
    if row.as_ref().column_index("places").is_ok() {
        places = row.get("places")?;
        seal = seal.bytes(&places);
    }
    if seal.end() != row.get::<_, i64>("seal")? {
        return Err(StateError::Record("the torrent's seal does not fit"));
    }
    if swarm == Swarm::Unknown {
        return Err(StateError::Record("nothing says whether the torrent is a secret"));
    }
    let priorities = priorities.into_iter().map(priority_of_byte).collect::<Option<Box<[Priority]>>>();
    Ok(StoredTorrent {
        info_hash: InfoHash(info_hash),
        metainfo,
        root: OsString::from_vec(root).into(),
        options: TorrentOptions {
            priorities: priorities.ok_or(StateError::Record("an unknown priority"))?,
            sequential: sequential != 0,
            paused: paused != 0,
            seed_goal: SeedGoal {
                ratio_permille: ratio.and_then(|ratio| u32::try_from(ratio).ok()),
                time: time.and_then(|time| u64::try_from(time).ok()).map(Duration::from_micros),
            },
        },
        added: added as u64,
        swarm,
        places: places_of_bytes(&places).ok_or(StateError::Record("the places are malformed"))?,
        resume: None,
    })
}

fn is_of_version_2(row: &Row<'_>) -> bool {
    row.as_ref().column_index("swarm").is_err() && row.as_ref().column_index("swarm_seal").is_err()
}

fn read_resume(db: &Connection, id: i64, info_hash: InfoHash) -> Result<Option<StoredResume>, StateError> {
    let mut find = db.prepare("SELECT * FROM resume WHERE torrent = ?1")?;
    let Some(resume) = find.query_row([id], |row| Ok(resume_of(row, info_hash))).optional()? else {
        return Ok(None);
    };
    let mut resume = resume?;
    // A mark that cannot be believed is as good as none: its file's pieces are doubtful, no others.
    resume.files = read_marks(db, id, info_hash)?;
    Ok(Some(resume))
}

fn resume_of(row: &Row<'_>, info_hash: InfoHash) -> Result<StoredResume, StateError> {
    let have: Vec<u8> = row.get("have")?;
    let open: Vec<u8> = row.get("open")?;
    let stored: Vec<u8> = row.get("stored")?;
    let numbers: [i64; 5] = [
        row.get("pieces")?,
        row.get("uploaded")?,
        row.get("downloaded")?,
        row.get("fsid")?,
        row.get("root_inode")?,
    ];
    let seal =
        Seal::default().bytes(&info_hash.0).bytes(&have).bytes(&open).bytes(&stored).numbers(&numbers).end();
    if seal != row.get::<_, i64>("seal")? {
        return Err(StateError::Record("the resume record's seal does not fit"));
    }
    let [pieces, uploaded, downloaded, fsid, root_inode] = numbers;
    let malformed = || StateError::Record("the resume record is malformed");
    let pieces = u32::try_from(pieces).map_err(|_| malformed())?;
    Ok(StoredResume {
        record: ResumeRecord {
            have: Bitfield::from_bytes(&have, pieces).map_err(|_| malformed())?,
            open: open_of_bytes(&open).ok_or_else(malformed)?,
            uploaded: uploaded as u64,
            downloaded: downloaded as u64,
        },
        volume: VolumeMark { fsid: fsid as u64, root_inode: root_inode as u64 },
        files: Vec::new(),
        stored: pieces_of_bytes(&stored).ok_or_else(malformed)?,
    })
}

/// The marks whose seal fits.
fn read_marks(db: &Connection, id: i64, info_hash: InfoHash) -> Result<Vec<FileMark>, StateError> {
    let mut find = db.prepare("SELECT * FROM file WHERE torrent = ?1 ORDER BY file")?;
    let mut rows = find.query([id])?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        marks.extend(mark_of(row, info_hash).ok());
    }
    Ok(marks)
}

fn mark_of(row: &Row<'_>, info_hash: InfoHash) -> Result<FileMark, StateError> {
    let mark = FileMark {
        file: row.get("file")?,
        size: row.get::<_, i64>("size")? as u64,
        mtime: row.get("mtime")?,
        inode: row.get::<_, i64>("inode")? as u64,
        adopted: row.get::<_, i64>("adopted")? as u64,
        settled: row.get::<_, i64>("settled")? != 0,
    };
    let fits = mark_seal(info_hash, &mark) == row.get::<_, i64>("seal")?;
    fits.then_some(mark).ok_or(StateError::Record("a file's seal does not fit"))
}

fn mark_numbers(mark: &FileMark) -> [i64; 6] {
    let FileMark { file, size, mtime, inode, adopted, settled } = *mark;
    [i64::from(file), size as i64, mtime, inode as i64, adopted as i64, i64::from(settled)]
}

fn mark_seal(info_hash: InfoHash, mark: &FileMark) -> i64 {
    Seal::default().bytes(&info_hash.0).numbers(&mark_numbers(mark)).end()
}

/// Per open piece: piece number, how many words, the words; all little-endian.
fn open_to_bytes(open: &[OpenRecord]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in open {
        let words = record.blocks.words();
        bytes.extend(record.piece.0.to_le_bytes());
        bytes.extend((words.len() as u32).to_le_bytes());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    bytes
}

fn open_of_bytes(mut bytes: &[u8]) -> Option<Vec<OpenRecord>> {
    let mut open = Vec::new();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (words, rest) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(8)?)?;
        let words = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        open.push(OpenRecord {
            piece: PieceIndex(u32::from_le_bytes(*piece)),
            blocks: BlockSet::from_words(words),
        });
        bytes = rest;
    }
    Some(open)
}

/// Per place: file, offset, bytes of the whole file; all little-endian.
fn places_to_bytes(places: &[Place]) -> Vec<u8> {
    let bytes = |place: &Place| {
        let (file, numbers) = (place.file.0.to_le_bytes(), [place.offset, place.whole].map(u64::to_le_bytes));
        file.into_iter().chain(numbers.into_iter().flatten())
    };
    places.iter().flat_map(bytes).collect()
}

fn places_of_bytes(bytes: &[u8]) -> Option<Box<[Place]>> {
    let (places, rest) = bytes.as_chunks::<20>();
    let place = |bytes: &[u8; 20]| {
        let (file, numbers) = bytes.split_first_chunk()?;
        let (offset, whole) = numbers.split_first_chunk()?;
        let (file, whole) =
            (FileIndex(u32::from_le_bytes(*file)), u64::from_le_bytes(whole.try_into().ok()?));
        Some(Place { file, offset: u64::from_le_bytes(*offset), whole })
    };
    rest.is_empty().then(|| places.iter().map(place).collect())?
}

fn pieces_to_bytes(pieces: &[PieceIndex]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| piece.0.to_le_bytes()).collect()
}

fn pieces_of_bytes(bytes: &[u8]) -> Option<Vec<PieceIndex>> {
    let (pieces, rest) = bytes.as_chunks();
    rest.is_empty().then(|| pieces.iter().map(|piece| PieceIndex(u32::from_le_bytes(*piece))).collect())
}

fn priority_to_byte(priority: Priority) -> u8 {
    match priority {
        Priority::Skip => 0,
        Priority::Low => 1,
        Priority::Normal => 2,
        Priority::High => 3,
    }
}

fn priority_of_byte(byte: u8) -> Option<Priority> {
    [Priority::Skip, Priority::Low, Priority::Normal, Priority::High].get(usize::from(byte)).copied()
}

/// Writes a torrent's row as version 2 or 3 did.
#[cfg(test)]
pub(super) fn write_older(db: &Connection, version: i64, torrent: &StoredTorrent) -> Result<(), StateError> {
    let options = &torrent.options;
    let priorities: Vec<u8> = options.priorities.iter().map(|&priority| priority_to_byte(priority)).collect();
    let ratio = options.seed_goal.ratio_permille.map(i64::from);
    let time = options.seed_goal.time.map(|time| time.as_micros() as i64);
    let (root, added) = (torrent.root.as_os_str().as_bytes(), torrent.added as i64);
    let numbers = [i64::from(options.sequential), i64::from(options.paused), added];
    let blobs = [&torrent.info_hash.0[..], &torrent.metainfo, root, &priorities];
    let mut seal = Seal::of_torrent(blobs, numbers, [ratio, time]);
    let swarm = if let Swarm::Private(mark) = torrent.swarm { mark.to_vec() } else { Vec::new() };
    let swarm_seal = swarm_seal(torrent.info_hash, &swarm);
    if version > 2 {
        seal = seal.bytes(&swarm).numbers(&[swarm_seal]);
    }
    let seal = seal.end();
    let [sequential, paused, added] = numbers;
    let swarms = if version > 2 { (", swarm, swarm_seal", ", x'', 0") } else { ("", "") };
    let (columns, values) = swarms;
    db.execute(
        &format!(
            "INSERT INTO torrent (info_hash, metainfo, root, priorities, sequential, paused, seed_ratio, seed_time, added, seal{columns})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10{values})"
        ),
        params![
            torrent.info_hash.0,
            torrent.metainfo,
            root,
            priorities,
            sequential,
            paused,
            ratio,
            time,
            added,
            seal
        ],
    )?;
    if version > 2 {
        let swarm = params![torrent.info_hash.0, swarm, swarm_seal];
        db.execute("UPDATE torrent SET swarm = ?2, swarm_seal = ?3 WHERE info_hash = ?1", swarm)?;
    }
    Ok(())
}

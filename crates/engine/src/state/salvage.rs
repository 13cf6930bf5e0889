//! What is done with a damaged state file: all that can be read of it is carried over to a new one, and the old one is
//! moved aside under another name. Nothing is ever deleted.

use super::record::ResumeUpdate;
use super::{StateError, StateNotice, StoredTorrents, rows, schema};
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};

/// Damaged files that are kept side by side; the user tidies up.
const KEPT_MAX: u32 = 1000;

/// The file is a database, but its structure is broken somewhere.
pub(super) fn rebuild(
    damaged: Connection,
    path: &Path,
) -> Result<(Connection, Vec<StateNotice>), StateError> {
    let saved = rows::read_all(&damaged).unwrap_or_default();
    // Closing writes the log back if it can; whether it could does not matter any more.
    drop(damaged);
    let (db, mut notices) = start_anew(path, "its structure is broken", &saved)?;
    notices.extend(saved.notices);
    Ok((db, notices))
}

/// The file is no database at all.
pub(super) fn replace(path: &Path, why: &StateError) -> Result<(Connection, Vec<StateNotice>), StateError> {
    start_anew(path, &why.to_string(), &StoredTorrents::default())
}

fn start_anew(
    path: &Path,
    why: &str,
    saved: &StoredTorrents,
) -> Result<(Connection, Vec<StateNotice>), StateError> {
    let kept = move_aside(path)?;
    let mut db = schema::open(path)?;
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for torrent in &saved.torrents {
        rows::write_torrent(&tx, torrent)?;
        let (Some(id), Some(resume)) = (rows::id_of(&tx, torrent.info_hash)?, &torrent.resume) else {
            continue;
        };
        let resume = resume.as_ref().clone();
        let update = ResumeUpdate {
            info_hash: torrent.info_hash,
            record: resume.record,
            volume: resume.volume,
            stored: resume.stored,
            files: resume.files,
        };
        rows::write_resume(&tx, id, &update)?;
    }
    tx.commit()?;
    let notice = StateNotice::Replaced { kept, why: why.into(), carried: saved.torrents.len() };
    Ok((db, vec![notice]))
}

/// Renames the file, and its log, which is of no use to the new one.
fn move_aside(path: &Path) -> Result<PathBuf, StateError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let fault = |error: std::io::Error| StateError::Directory { dir: dir.into(), error: error.into() };
    let free =
        (1..=KEPT_MAX).map(|number| with(path, &format!(".damaged-{number}"))).find(|kept| !kept.exists());
    let kept =
        free.ok_or_else(|| fault(std::io::Error::other("too many damaged state files are kept here")))?;
    std::fs::rename(path, &kept).map_err(fault)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::rename(with(path, suffix), with(&kept, suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
            _ => {}
        }
    }
    Ok(kept)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

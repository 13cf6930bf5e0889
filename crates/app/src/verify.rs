//! `gannet verify`: is the content what its torrent says? Changes nothing.

use crate::cli::{Exit, Verify};
use crate::failure::{Failure, Outcome};
use crate::quantity::Size;
use crate::show;
use crate::source;
use gannet::hashing::{FileState, Verified, verify_files};
use gannet::{Metainfo, PieceIndex};
use serde::Serialize;

/// Bad pieces that JSON lists one by one.
const BAD_LISTED_MAX: usize = 1_000;

/// The verdict as JSON says it (docs/json.md).
#[derive(Serialize)]
struct Verdict {
    v: u32,
    r#type: &'static str,
    info_hash: String,
    pieces: u32,
    good: u32,
    bad: Vec<u32>,
    files: Vec<FileVerdict>,
    complete: bool,
}

#[derive(Serialize)]
struct FileVerdict {
    path: String,
    why: String,
    bad_pieces: u32,
}

/// Runs the command.
pub(crate) fn run(args: &Verify) -> Outcome {
    let torrent = source::read(&args.torrent)?;
    let metainfo = &torrent.metainfo;
    let bar = show::bar(metainfo.layout.total(), "checking", args.quiet || args.json);
    let verified = verify_files(metainfo, &args.data, &|bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let verified = verified.map_err(|error| Failure::new(Exit::Disk, error))?;
    let verdict = judge(metainfo, &verified);
    if args.json {
        let line = serde_json::to_string(&verdict).map_err(Failure::plain)?;
        println!("{line}");
    } else if !args.quiet {
        tell(metainfo, &verdict);
    }
    Ok(if verdict.complete { Exit::Done } else { Exit::NotComplete })
}

fn judge(metainfo: &Metainfo, verified: &Verified) -> Verdict {
    let layout = &metainfo.layout;
    let bad: Vec<PieceIndex> = layout.piece_indices().filter(|&piece| !verified.good.has(piece)).collect();
    let files = layout.file_indices().zip(&verified.files).filter_map(|(file, &state)| {
        let pieces = layout.pieces_of(file);
        // `bad` is in order: those of a file are a run of it.
        let from = bad.partition_point(|piece| *piece < pieces.start);
        let to = bad.partition_point(|piece| *piece < pieces.end);
        let why = why_not(state)?;
        Some(FileVerdict {
            path: metainfo.original_path(file).to_string(),
            why,
            bad_pieces: (to - from) as u32,
        })
    });
    let files: Vec<FileVerdict> = files.collect();
    Verdict {
        v: 1,
        r#type: "verified",
        info_hash: metainfo.info_hash.to_string(),
        pieces: layout.pieces(),
        good: layout.pieces() - bad.len() as u32,
        bad: bad.iter().take(BAD_LISTED_MAX).map(|piece| piece.0).collect(),
        complete: bad.is_empty() && files.is_empty(),
        files,
    }
}

/// What is wrong with a file; `None` if nothing is.
fn why_not(state: FileState) -> Option<String> {
    match state {
        FileState::Good | FileState::Pad => None,
        FileState::Damaged => Some("damaged".into()),
        FileState::WrongLen(len) => Some(format!("has {len} bytes")),
        FileState::Missing => Some("missing".into()),
    }
}

fn tell(metainfo: &Metainfo, verdict: &Verdict) {
    let name = &metainfo.name.original;
    if verdict.complete {
        println!(
            "{name}: complete and right, {} in {} pieces",
            Size(metainfo.layout.total()),
            verdict.pieces
        );
        return;
    }
    let bad = verdict.pieces - verdict.good;
    println!("{name}: {bad} of {} pieces are missing or wrong; these files are not right:", verdict.pieces);
    for file in verdict.files.iter().take(50) {
        println!("  {}: {} ({} pieces)", file.path, file.why, file.bad_pieces);
    }
    if verdict.files.len() > 50 {
        println!("  ... and {} more (--json lists all)", verdict.files.len() - 50);
    }
    println!("to fetch what is missing: gannet get, with the folder as --output");
}

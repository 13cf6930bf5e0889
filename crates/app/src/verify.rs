//! `gannet verify`: is the content what its torrent says? Changes nothing.

use crate::cli::{Exit, Verify};
use crate::failure::{Failure, Outcome};
use crate::quantity::Size;
use crate::show;
use crate::source;
use crate::words::{count, shell};
use gannet::hashing::{FileState, Verified, verify_files};
use gannet::{Metainfo, PieceIndex};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// Bad pieces that JSON lists one by one.
const BAD_LISTED_MAX: usize = 1_000;

/// Files that people are told of one by one.
const FILES_TOLD_MAX: usize = 50;

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
        show::json::print(&verdict)?;
    } else if !args.quiet {
        show::print(&tell(args, metainfo, &verdict))?;
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

fn tell(args: &Verify, metainfo: &Metainfo, verdict: &Verdict) -> String {
    let name = &metainfo.name.original;
    let (total, pieces) = (Size(metainfo.layout.total()), count(verdict.pieces, "piece"));
    if verdict.complete {
        return format!("{name}: complete and right, {total} in {pieces}\n");
    }
    let bad = verdict.pieces - verdict.good;
    let mut text = format!("{name}: {bad} of {pieces} are missing or wrong; these files are not right:\n");
    for file in verdict.files.iter().take(FILES_TOLD_MAX) {
        let _ = writeln!(text, "  {}: {} ({})", file.path, file.why, count(file.bad_pieces, "piece"));
    }
    if verdict.files.len() > FILES_TOLD_MAX {
        let _ = writeln!(text, "  ... and {} more (--json lists all)", verdict.files.len() - FILES_TOLD_MAX);
    }
    text += &match source::folder_meant(metainfo, &args.data) {
        Some(folder) => format!("--data names the folder around {name}; try --data {}\n", shell(&folder)),
        None => format!(
            "to fetch what is missing: gannet get {} --output {}\n",
            shell(Path::new(&args.torrent)),
            shell(&args.data)
        ),
    };
    text
}

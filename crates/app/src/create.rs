//! `gannet create`: a torrent from a file or a folder. The same content and options give the same bytes.

use crate::cli::{Create, Exit};
use crate::failure::{Failure, Outcome};
use crate::inspect::{Description, json};
use crate::quantity::Size;
use crate::show;
use crate::source::TORRENT_BYTES_MAX;
use crate::words::{count, shell, why};
use gannet::Metainfo;
use gannet::hashing::HashFile;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::metainfo::{MetainfoBuilder, NewFile, default_piece_len};

/// Files a torrent may have; the same bound holds when one is read.
const FILES_MAX: usize = 1_000_000;

/// Bytes of a piece's hash in a torrent (BEP 3).
const HASH_LEN: u64 = 20;

/// Runs the command.
pub(crate) fn run(args: &Create) -> Outcome {
    let path = fs::canonicalize(&args.path).map_err(|error| cannot_read(&args.path, &error))?;
    let name = text_of(path.file_name().unwrap_or_default().as_ref())?;
    if name.is_empty() {
        return Err(Failure::plain(format!("{} has no name to call the torrent by", args.path.display())));
    }
    let output = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.torrent")));
    if output.exists() && !args.force {
        return Err(Failure::plain(format!("{} exists; --force replaces it", output.display())));
    }
    let builder = builder(args, &path, &name)?;
    let layout = builder.layout().map_err(|error| Failure::plain(refused(error, &args.path)))?;
    if u64::from(layout.pieces()) * HASH_LEN > TORRENT_BYTES_MAX {
        let (pieces, better) = (layout.pieces(), Size(default_piece_len(layout.total()).into()));
        return Err(Failure::plain(format!(
            "{pieces} pieces make a torrent too large for anyone to take; longer ones do: --piece-length {}",
            better.to_string().replace(".0 ", "")
        )));
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    let files: Vec<HashFile> = match builder.files() {
        [] => vec![HashFile { path: path.clone(), len: layout.total() }],
        files => files
            .iter()
            .map(|file| {
                let path = file.path.iter().fold(parent.join(&name), |at, part| at.join(part));
                HashFile { path, len: file.len }
            })
            .collect(),
    };
    let bar = show::bar(layout.total(), "hashing", args.quiet || args.json);
    let hashed =
        gannet::hashing::hash_files(&files, layout.piece_len_max(), &|bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let hashes = hashed.map_err(|error| Failure::new(Exit::Disk, error))?;
    let (bytes, metainfo) = builder.build(&hashes).map_err(Failure::plain)?;
    write(&output, &bytes, args.force).map_err(|error| {
        Failure::new(Exit::Disk, format!("cannot write {}: {}", output.display(), why(&error)))
    })?;
    report(args, &output, parent, &metainfo)?;
    Ok(Exit::Done)
}

fn report(args: &Create, output: &Path, parent: &Path, metainfo: &Metainfo) -> Result<(), Failure> {
    if args.json {
        return show::print(&json(&Description::of(metainfo))?);
    }
    if args.quiet {
        return Ok(());
    }
    let layout = &metainfo.layout;
    show::print(&format!(
        "{}: {} in {}, {}\ninfo-hash {}\nmagnet {}\nto serve it: gannet seed {} --data {}\n",
        output.display(),
        Size(layout.total()),
        count(layout.files(), "file"),
        count(layout.pieces(), "piece"),
        metainfo.info_hash,
        gannet::Magnet::of(metainfo),
        shell(output),
        shell(parent)
    ))
}

fn builder(args: &Create, path: &Path, name: &str) -> Result<MetainfoBuilder, Failure> {
    let metadata = fs::metadata(path).map_err(|error| cannot_read(path, &error))?;
    let files = if metadata.is_dir() { collect(path)? } else { Vec::new() };
    let total = if metadata.is_dir() { files.iter().map(|file| file.len).sum() } else { metadata.len() };
    let piece_len = args.piece_length.unwrap_or_else(|| default_piece_len(total));
    let mut builder = match metadata.is_dir() {
        true => MetainfoBuilder::directory(name, files, piece_len),
        false => MetainfoBuilder::single(name, metadata.len(), piece_len),
    };
    let tiers = args.tracker.iter().map(|tier| tier.0.clone()).collect();
    builder = builder.trackers(tiers).web_seeds(args.web_seed.clone()).private(args.private);
    builder = builder.created_by(concat!("Gannet/", env!("CARGO_PKG_VERSION")));
    if let Some(comment) = &args.comment {
        builder = builder.comment(comment);
    }
    if let Some(source) = &args.source {
        builder = builder.source(source);
    }
    if args.date {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        builder = builder.creation_date(now as i64);
    }
    Ok(builder)
}

/// Every regular file below a folder. Links are not followed: what they point at may not be meant to be shared.
fn collect(root: &Path) -> Result<Vec<NewFile>, Failure> {
    let mut files = Vec::new();
    let mut folders: Vec<Vec<String>> = vec![Vec::new()];
    let mut skipped = 0u32;
    while let Some(folder) = folders.pop() {
        let dir = folder.iter().fold(root.to_path_buf(), |at, part| at.join(part));
        for entry in fs::read_dir(&dir).map_err(|error| cannot_read(&dir, &error))? {
            let entry = entry.map_err(|error| cannot_read(&dir, &error))?;
            let kind = entry.file_type().map_err(|error| cannot_read(&entry.path(), &error))?;
            let mut path = folder.clone();
            path.push(text_of(entry.file_name().as_ref())?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let len = entry.metadata().map_err(|error| cannot_read(&entry.path(), &error))?.len();
                files.push(NewFile { path, len });
            } else {
                skipped += 1;
            }
        }
        if files.len() > FILES_MAX {
            return Err(Failure::plain(format!(
                "more than {FILES_MAX} files: share an archive of them instead"
            )));
        }
    }
    if skipped > 0 {
        show::message(&format!("note: what is no plain file is left out ({skipped})"));
    }
    Ok(files)
}

/// Torrents hold text; a name that is none could not be written down.
fn text_of(name: &Path) -> Result<String, Failure> {
    let text = name.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::plain(format!("the name {} is not UTF-8; rename it first", name.display())))
}

/// Written beside and moved into place: nobody ever reads half a torrent.
fn write(output: &Path, bytes: &[u8], force: bool) -> std::io::Result<()> {
    let mut name = output.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = output.with_file_name(name);
    let written = fs::File::create_new(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| match force {
        true => fs::rename(&beside, output),
        // A hard link refuses to replace what has come to be there meanwhile.
        false => fs::hard_link(&beside, output).and_then(|()| fs::remove_file(&beside)),
    });
    if moved.is_err() {
        let _ = fs::remove_file(&beside);
    }
    moved
}

fn refused(error: impl std::fmt::Display, path: &Path) -> String {
    format!("{} cannot be shared: {error}", path.display())
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::plain(format!("cannot read {}: {}", path.display(), why(error)))
}

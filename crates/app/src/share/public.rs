//! `gannet share --public`: an ordinary torrent, for everybody who has its magnet link. Made and served where the files lie; found
//! through the DHT and on the local network, and gone when the command ends.

use super::lines::{self, Said};
use super::{listen, lost_word, lost_words, shown};
use crate::cli::{self, Exit};
use crate::failure::{Failure, Outcome};
use crate::get::default_state_dir;
use crate::notices;
use crate::quantity::Size;
use crate::show::json::Line;
use crate::show::panel::Row;
use crate::show::{self, Screen};
use crate::stop::Stop;
use crate::words::count;
use gannet::hashing::{HashRange, hash_ranges};
use gannet::sharing::{ListedFile, Listing};
use gannet::{Client, ClientConfig, Event, Events, Magnet, Metainfo, TorrentHandle};
use std::net::SocketAddr;
use std::time::Duration;
use wire::DisplaySafe;
use wire::metainfo::{MetainfoBuilder, NewFile, default_piece_len};

/// How often it is shown how things stand.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// How long the loop may take for an answer before it is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs it.
pub(super) fn run(args: &cli::Share) -> Outcome {
    let listing = Listing::of(&args.paths, |_| {}).map_err(Failure::plain)?;
    let mut screen = Screen::new(&args.look);
    screen.json(&Line::new(lines::listed(&listing)));
    for (path, why) in &listing.lost {
        screen.warn(&format!("{} does not come along: {}", shown(path), lost_words(*why)));
        screen.json(&Line::new(Said::Lost { path: shown(path), why: lost_word(*why) }));
    }
    let quiet = args.look.quiet || args.look.json || args.look.plain;
    let (torrent, metainfo, ranges) = make(&listing, quiet)?;
    // Until here Ctrl-C ends it at once: nothing was begun that must be ended in order.
    let stop = Stop::on_signals()?;
    let notices = notices::listen();
    os::limits::raise_open_files();
    let client = Client::start(config(args)?).map_err(Failure::plain)?;
    let events = client.events();
    let handle = client.lend(&torrent, ranges, Vec::new()).map_err(Failure::plain)?;
    if args.look.quiet {
        show::print(&format!("{}\n", Magnet::of(&metainfo)))?;
    }
    say(&screen, &listing, &metainfo, client.local_addrs());
    while !stop.asked() && !screen.is_unread() {
        while let Ok(notice) = notices.try_recv() {
            screen.warn(&format!("warning: {notice}"));
        }
        show_progress(&mut screen, &handle, &listing.name);
        if let Some(why) = trouble(&events) {
            screen.end();
            return Err(Failure::new(Exit::Disk, why));
        }
        stop.wait(PROGRESS_EVERY);
    }
    screen.end();
    // Nobody is waited for long, as after any other seed.
    let _ = client.shutdown().wait_for(PATIENCE);
    screen.json(&Line::new(Said::Ended));
    Ok(Exit::Done)
}

/// Why it is no longer served, if it is not: nobody puts right what was shared as it lay.
fn trouble(events: &Events) -> Option<String> {
    while let Ok(event) = events.recv_timeout(Duration::ZERO) {
        if let Event::StorageFailed(_, error) = event {
            return Some(error.detail.to_string());
        }
    }
    None
}

fn config(args: &cli::Share) -> Result<ClientConfig, Failure> {
    let state = args.state.clone().map_or_else(default_state_dir, Ok)?;
    let mut config = ClientConfig::new(state, ".");
    config.listen = listen(&args.line);
    config.limits.up = args.line.max_up.map(|rate| rate.0);
    Ok(config)
}

/// The torrent of what was listed, and where its files lie.
fn make(listing: &Listing, quiet: bool) -> Result<(Vec<u8>, Metainfo, Vec<HashRange>), Failure> {
    let mut files: Vec<&ListedFile> = listing.files.iter().collect();
    // As the torrent has them.
    files.sort_unstable_by_key(|file| &file.path);
    let builder = builder(listing, &files);
    let layout = builder
        .layout()
        .map_err(|error| Failure::plain(format!("no torrent can be made of this: {error}")))?;
    let ranges: Vec<HashRange> = files.into_iter().map(|file| file.range(0, file.len)).collect();
    let bar = show::bar(layout.total(), "hashing", quiet);
    let hashed = hash_ranges(&ranges, layout.piece_len_max(), &|bytes| bar.set_position(bytes));
    bar.finish_and_clear();
    let hashes = hashed.map_err(|error| Failure::new(Exit::Disk, error))?;
    let (torrent, metainfo) = builder.build(&hashes).map_err(Failure::plain)?;
    Ok((torrent, metainfo, ranges))
}

fn builder(listing: &Listing, files: &[&ListedFile]) -> MetainfoBuilder {
    let piece_len = default_piece_len(listing.size());
    match files {
        // What was named is a file.
        [file] if file.path.len() == 1 => MetainfoBuilder::single(&listing.name, file.len, piece_len),
        files => {
            // A folder that was named alone gives the torrent its name.
            let alone =
                files.iter().all(|file| file.path.len() > 1 && file.path.first() == Some(&listing.name));
            let path = |file: &ListedFile| file.path.get(usize::from(alone)..).unwrap_or_default().to_vec();
            let new = files.iter().map(|file| NewFile { path: path(file), len: file.len }).collect();
            MetainfoBuilder::directory(&listing.name, new, piece_len)
        }
    }
    .created_by(concat!("Gannet/", env!("CARGO_PKG_VERSION")))
}

fn say(screen: &Screen, listing: &Listing, metainfo: &Metainfo, addresses: &[SocketAddr]) {
    let magnet = Magnet::of(metainfo).to_string();
    let (name, files) = (DisplaySafe::new(&listing.name), count(listing.files.len() as u64, "file"));
    screen.say(&format!(
        "{name}: {files}, {}, for everybody who has this link:\n\n    {magnet}\n\nCtrl-C ends it.",
        Size(listing.size())
    ));
    if !listing.empty_folders.is_empty() {
        let folders = count(listing.empty_folders.len() as u64, "empty folder");
        screen.warn(&format!("{folders} cannot be in a torrent, nor that a file can be run as a program"));
    }
    let addresses = addresses.iter().map(SocketAddr::to_string).collect();
    screen.json(&Line::new(Said::Magnet { info_hash: metainfo.info_hash.to_string(), magnet, addresses }));
}

fn show_progress(screen: &mut Screen, handle: &TorrentHandle, name: &str) {
    if let (Ok(stats), Ok(have)) = (handle.stats().wait_for(PATIENCE), handle.have().wait_for(PATIENCE)) {
        screen.progress(&[Row { name: DisplaySafe::new(name).to_string(), stats, have }]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use wire::FileIndex;

    /// The paths in the torrent that is made of these files of a folder, when these paths are named.
    fn made(files: &[&str], named: &[&str]) -> (String, Vec<String>) {
        let temp = tempfile::tempdir().unwrap();
        for file in files {
            let path = temp.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let named: Vec<_> = named.iter().map(|path| temp.path().join(path)).collect();
        let listing = Listing::of(&named, |_| {}).unwrap();
        let (_, metainfo, ranges) = make(&listing, true).unwrap();
        assert_eq!(ranges.len(), metainfo.layout.files() as usize);
        let path = |file: FileIndex| metainfo.path(file).unwrap().as_str().to_owned();
        (metainfo.name.original.to_string(), metainfo.layout.file_indices().map(path).collect())
    }

    #[test]
    fn a_torrent_is_called_like_what_was_named() {
        assert_eq!(made(&["a"], &["a"]), ("a".into(), vec!["a".into()]));
        assert_eq!(made(&["d/a", "d/e/b"], &["d"]), ("d".into(), vec!["d/a".into(), "d/e/b".into()]));
        // A folder that has one file is still a folder.
        assert_eq!(made(&["d/a"], &["d"]), ("d".into(), vec!["d/a".into()]));
        let several = "d and 1 more";
        let expected = vec![format!("{several}/d/a"), format!("{several}/x")];
        assert_eq!(made(&["d/a", "x"], &["d", "x"]), (several.into(), expected));
    }
}

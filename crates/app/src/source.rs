//! Where torrents come from: a file, standard input, or (through the library) a URL.

use crate::cli::Exit;
use crate::failure::Failure;
use crate::words::{shell, why};
use gannet::{Client, InfoHash, Magnet, Metainfo};
use std::fs::File;
use std::io::{Error, Read, stdin};
use std::path::{Path, PathBuf};
use wire::magnet::{Link, MutableLink};

/// A `.torrent` file is refused above this, unread: as much as one that is fetched from a web server may have.
pub(crate) const TORRENT_BYTES_MAX: u64 = 10_000_000;

/// A torrent as it was given: its name on the command line, its bytes, what they say.
pub(crate) struct Torrent {
    pub(crate) given: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) metainfo: Metainfo,
}

/// What the command line names: a torrent, or where to find one.
pub(crate) enum Given {
    /// A torrent file, read.
    Torrent(Box<Torrent>),
    /// A magnet link, or an info-hash alone.
    Magnet {
        /// As it was typed.
        given: String,
        /// What it says.
        magnet: Box<Magnet>,
    },
}

/// Reads a torrent file or link, or fetches a torrent file over HTTP(S). Whose torrent a link names alone, `newest` is asked which.
pub(crate) fn find(
    given: &str,
    client: &Client,
    newest: impl FnOnce(&MutableLink) -> Result<Magnet, Failure>,
) -> Result<Given, Failure> {
    if let Some(Link::Mutable(link)) = Magnet::is_meant(given).then(|| Link::parse(given).ok()).flatten() {
        return newest(&link).map(|magnet| Given::Magnet { given: given.into(), magnet: Box::new(magnet) });
    }
    match magnet(given)? {
        Some(magnet) => Ok(Given::Magnet { given: given.into(), magnet: Box::new(magnet) }),
        None => read_or_fetch(given, client).map(|torrent| Given::Torrent(Box::new(torrent))),
    }
}

/// The link, if this is meant to be one, or an info-hash that is no file's name.
pub(crate) fn magnet(given: &str) -> Result<Option<Magnet>, Failure> {
    if Magnet::is_meant(given) {
        return Magnet::parse(given).map(Some).map_err(|error| Failure::new(Exit::BadTorrent, error));
    }
    let hash = given.parse::<InfoHash>().ok().filter(|_| !Path::new(given).exists());
    Ok(hash.map(Magnet::new))
}

/// Reads a torrent file, or standard input for `-`.
pub(crate) fn read(given: &str) -> Result<Torrent, Failure> {
    let bytes = match given {
        "-" => take(stdin().lock(), "standard input")?,
        path => {
            let file = File::open(path).map_err(|error| unreadable(path, &error))?;
            if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
                let what = format!(
                    "{path} is a folder; name a torrent file, or make one: gannet create {}",
                    shell(Path::new(path))
                );
                return Err(Failure::plain(what));
            }
            take(file, path)?
        }
    };
    parse(given, bytes)
}

/// Reads a torrent file, or fetches it over HTTP(S).
pub(crate) fn read_or_fetch(given: &str, client: &Client) -> Result<Torrent, Failure> {
    if !given.starts_with("http://") && !given.starts_with("https://") {
        return read(given);
    }
    let fetched = client.fetch_torrent(given).wait();
    let bytes = fetched
        .map_err(|error| Failure::plain(format!("cannot fetch {given}: {error}")))?
        .map_err(|error| Failure::plain(format!("cannot fetch {given}: {error}")))?;
    parse(given, bytes)
}

fn parse(given: &str, bytes: Vec<u8>) -> Result<Torrent, Failure> {
    match Metainfo::parse(&bytes) {
        Ok(metainfo) => Ok(Torrent { given: given.into(), bytes, metainfo }),
        Err(error) => Err(Failure::new(Exit::BadTorrent, format!("{given}: {error}"))),
    }
}

fn take(from: impl Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = from.take(TORRENT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::plain(format!("cannot read {name}: {}", why(&error))))?;
    if bytes.len() as u64 > TORRENT_BYTES_MAX {
        let what = format!("{name} is larger than {TORRENT_BYTES_MAX} bytes: that is no torrent file");
        return Err(Failure::new(Exit::BadTorrent, what));
    }
    Ok(bytes)
}

fn unreadable(given: &str, error: &Error) -> Failure {
    Failure::plain(match given {
        magnet if Magnet::is_meant(magnet) => {
            format!(
                "a magnet link does not say what this command needs; fetch it: gannet get {}",
                shell(Path::new(magnet))
            )
        }
        url if url.starts_with("http://") || url.starts_with("https://") => {
            format!(
                "{url} is not fetched by this command; try: curl -L {} | gannet inspect -",
                shell(Path::new(url))
            )
        }
        url if url.contains("://") => {
            format!("{url} is not fetched: torrent files come from disk, or over http:// and https://")
        }
        path => format!("cannot read {path}: {}", why(error)),
    })
}

/// The folder around this one, if this is the content itself and not the folder that holds it: an easy mistake.
pub(crate) fn folder_meant(metainfo: &Metainfo, data: &Path) -> Option<PathBuf> {
    let data = data.canonicalize().ok()?;
    let name = metainfo.name.original.to_string();
    let mistaken = data.file_name()?.to_str()? == name && !data.join(&name).exists();
    mistaken.then(|| data.parent().map(Path::to_owned))?
}

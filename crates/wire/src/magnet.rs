//! A magnet link: the name of a torrent and hints where to find it, in one line of text that strangers wrote.
//!
//! Not a promise that the torrent exists, and no look-up of names: hosts stay as written. What is needed and wrong is refused
//! (the hash, the file selection); a hint that is no hint is left out and counted.
//! Invariants: every list is bounded; no URL or host holds a control character, a blank or begins with `-`; what is written
//! is read back as the same value. BEP: 9, 46, 53; names of BEP 52 are recognised. Threats: A10

mod error;
mod percent;
mod publisher;
mod selection;

#[cfg(test)]
mod tests;

use core::fmt;
use core::net::SocketAddr;

pub use error::MagnetError;
pub use publisher::{MutableLink, Publisher};
pub use selection::{FileSelection, SELECTED_RANGES_MAX};

use crate::display_safe::misleads;
use crate::metainfo::URL_BYTES_MAX;
use crate::{DisplaySafe, InfoHash, Metainfo};
use publisher::{Fault, Named};

/// Longest link read, in bytes: what browsers hand over at most, and room for 100 long trackers.
pub const MAGNET_BYTES_MAX: usize = 32 * 1024;

/// Most trackers kept of one link: every one costs an announce.
pub const MAGNET_TRACKERS_MAX: usize = 100;

/// Most peers kept of one link: more than are dialled at once.
pub const MAGNET_PEERS_MAX: usize = 100;

/// Most web seeds kept of one link: as many as of a torrent file.
pub const MAGNET_WEB_SEEDS_MAX: usize = crate::metainfo::WEB_SEEDS_MAX;

/// Longest name kept, in bytes: what file systems take at most.
const NAME_BYTES_MAX: usize = 255;

/// Longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A magnet link of either kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// It names a torrent.
    Torrent(Magnet),
    /// It names a publisher, and the DHT knows the newest torrent (BEP 46).
    Mutable(MutableLink),
}

/// What a magnet link to a torrent says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Magnet {
    /// `xt=urn:btih:`, in hexadecimal or base32.
    pub info_hash: InfoHash,
    /// There is a BEP 52 name too (`xt=urn:btmh:`): a hybrid, whose v1 half we use.
    pub hybrid: bool,
    /// `dn`: what the torrent is said to be called.
    pub name: Option<DisplaySafe>,
    /// `tr`, each once, in the order of the link; at most [`MAGNET_TRACKERS_MAX`].
    pub trackers: Vec<String>,
    /// `x.pe`, each once; at most [`MAGNET_PEERS_MAX`].
    pub peers: Vec<PeerHint>,
    /// `ws`, each once; at most [`MAGNET_WEB_SEEDS_MAX`].
    pub web_seeds: Vec<String>,
    /// `so`: the files that are wanted; all if it is absent.
    pub selection: Option<FileSelection>,
    /// `xs=urn:btpk:` and `s`: who will say if there is a newer torrent (BEP 46).
    pub publisher: Option<Publisher>,
    /// Hints that were none, or too many.
    pub left_out: u32,
}

/// A peer as a link names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerHint {
    /// Address and port.
    Address(SocketAddr),
    /// A host name, to be looked up, and a port.
    Host(String, u16),
}

impl Link {
    /// Reads a link.
    ///
    /// # Errors
    /// When it says neither which torrent nor whose, or contradicts itself, or is too long to be honest.
    pub fn parse(link: &str) -> Result<Link, MagnetError> {
        if link.len() > MAGNET_BYTES_MAX {
            return Err(MagnetError::TooLong(link.len()));
        }
        if let Some((at, _)) = link.char_indices().find(|&(_, c)| c.is_control()) {
            return Err(MagnetError::Control(at));
        }
        let query = Magnet::is_meant(link).then(|| &link["magnet:".len()..]);
        let query = query.and_then(|rest| rest.strip_prefix('?')).ok_or(MagnetError::NotAMagnet)?;
        let mut names = Names::default();
        let mut magnet = Magnet::new(InfoHash([0; 20]));
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            // Links copied out of a page's source have their ampersands spelled out.
            let key = key.strip_prefix("amp;").unwrap_or(key).to_ascii_lowercase();
            magnet.read(&mut names, plain_key(&key), value)?;
        }
        names.finish(magnet)
    }
}

/// The link, on one line. What was left out is not written.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Link::Torrent(magnet) => magnet.fmt(f),
            Link::Mutable(link) => link.fmt(f),
        }
    }
}

impl Magnet {
    /// A link that says nothing but which torrent.
    pub fn new(info_hash: InfoHash) -> Magnet {
        Magnet {
            info_hash,
            hybrid: false,
            name: None,
            trackers: Vec::new(),
            peers: Vec::new(),
            web_seeds: Vec::new(),
            selection: None,
            publisher: None,
            left_out: 0,
        }
    }

    /// The link by which others find this torrent: its name, trackers and web seeds as far as a link may hold them.
    pub fn of(metainfo: &Metainfo) -> Magnet {
        let mut magnet = Magnet::new(metainfo.info_hash);
        let name = metainfo.name.original.raw();
        magnet.name = (!name.is_empty()).then(|| DisplaySafe::new(cut(name)));
        metainfo.trackers.iter().flatten().for_each(|url| magnet.hint("tr", url));
        metainfo.web_seeds.iter().for_each(|url| magnet.hint("ws", url));
        magnet.left_out = 0;
        magnet
    }

    /// Whether a text means to be a magnet link, right or wrong.
    pub fn is_meant(text: &str) -> bool {
        text.get(.."magnet:".len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case("magnet:"))
    }

    /// Reads a link to a torrent.
    ///
    /// # Errors
    /// As [`Link::parse`]; and [`MagnetError::Mutable`] when the link names a publisher alone.
    pub fn parse(link: &str) -> Result<Magnet, MagnetError> {
        match Link::parse(link)? {
            Link::Torrent(magnet) => Ok(magnet),
            Link::Mutable(_) => Err(MagnetError::Mutable),
        }
    }

    fn read(&mut self, names: &mut Names, key: &str, value: &str) -> Result<(), MagnetError> {
        match key {
            "xt" => return names.read(value),
            "xs" => names.publisher.read_source(value),
            "s" => names.publisher.read_salt(value),
            "so" => {
                let text = percent::decode_text(value).ok_or(MagnetError::Selection)?;
                let selection = FileSelection::parse(&text).ok_or(MagnetError::Selection)?;
                self.selection = Some(match self.selection.take() {
                    Some(before) => before.and(selection).ok_or(MagnetError::Selection)?,
                    None => selection,
                });
            }
            "dn" => {
                // Blanks are written as plus signs by some. What is spelled wrong is shown as it is.
                let name = percent::decode(&value.replace('+', " ")).unwrap_or_else(|| value.into());
                if self.name.is_none() && !name.is_empty() {
                    self.name = Some(DisplaySafe::new(cut(&name)));
                }
            }
            "tr" | "ws" | "x.pe" => match percent::decode_text(value) {
                Some(text) => self.hint(key, &text),
                None => self.left_out += 1,
            },
            // `xl`, `kt`, `as`, `mt` and what others invent: nothing that we act upon.
            _ => {}
        }
        Ok(())
    }

    /// Takes a hint in, if it is one and there is room.
    fn hint(&mut self, key: &str, text: &str) {
        let taken = match key {
            "tr" => is_url(text) && put(&mut self.trackers, text.to_owned(), MAGNET_TRACKERS_MAX),
            "ws" => {
                let web = ["http://", "https://"].iter().any(|scheme| {
                    text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
                });
                web && is_url(text) && put(&mut self.web_seeds, text.to_owned(), MAGNET_WEB_SEEDS_MAX)
            }
            _ => PeerHint::parse(text).is_some_and(|peer| put(&mut self.peers, peer, MAGNET_PEERS_MAX)),
        };
        self.left_out += u32::from(!taken);
    }
}

/// The link, on one line. What was left out is not written.
impl fmt::Display for Magnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?xt=urn:btih:{}", self.info_hash)?;
        if let Some(publisher) = &self.publisher {
            write!(f, "&{publisher}")?;
        }
        self.write_hints(f)
    }
}

impl Magnet {
    /// All but which torrent and whose.
    fn write_hints(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "&dn={}", percent::Encoded(name.raw()))?;
        }
        for tracker in &self.trackers {
            write!(f, "&tr={}", percent::Encoded(tracker.as_bytes()))?;
        }
        for seed in &self.web_seeds {
            write!(f, "&ws={}", percent::Encoded(seed.as_bytes()))?;
        }
        for peer in &self.peers {
            write!(f, "&x.pe={}", percent::Encoded(peer.to_string().as_bytes()))?;
        }
        match &self.selection {
            Some(selection) => write!(f, "&so={selection}"),
            None => Ok(()),
        }
    }
}

impl PeerHint {
    /// The address, if it is one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            PeerHint::Address(address) => Some(*address),
            PeerHint::Host(..) => None,
        }
    }

    /// `host:port`, `1.2.3.4:port` or `[v6]:port`.
    pub fn parse(text: &str) -> Option<PeerHint> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return (address.port() != 0).then_some(PeerHint::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten()?;
        let label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
            plain && !label.is_empty() && label.len() <= 63 && !label.starts_with('-')
        };
        let named = host.len() <= HOST_BYTES_MAX && host.trim_end_matches('.').split('.').all(label);
        // Numbers alone are an address that is spelled in a way of its own; look-ups would take it for one.
        let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (named && !numeric && port != 0).then(|| PeerHint::Host(host.to_owned(), port))
    }
}

impl fmt::Display for PeerHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerHint::Address(address) => write!(f, "{address}"),
            PeerHint::Host(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// The names that a link gives to its torrent.
#[derive(Default)]
struct Names {
    v1: Option<InfoHash>,
    v2: bool,
    /// A name of another network.
    other: bool,
    publisher: Named,
}

impl Names {
    /// What the link is, now that all of it was read.
    fn finish(self, hints: Magnet) -> Result<Link, MagnetError> {
        let publisher = self.publisher.finish();
        let Some(info_hash) = self.v1 else {
            return match publisher {
                Ok(Some(publisher)) => Ok(Link::Mutable(MutableLink::with_hints(publisher, hints))),
                Err(Fault::Key) => Err(MagnetError::BadKey),
                Err(Fault::Salt) => Err(MagnetError::BadSalt),
                Err(Fault::Two) => Err(MagnetError::TwoTorrents),
                Ok(None) if self.v2 => Err(MagnetError::V2Only),
                Ok(None) if self.other => Err(MagnetError::NotBitTorrent),
                Ok(None) => Err(MagnetError::NoTopic),
            };
        };
        // The torrent is known, so that whose it is is a hint as any other.
        let left_out = hints.left_out + u32::from(publisher.is_err());
        let publisher = publisher.unwrap_or_default();
        Ok(Link::Torrent(Magnet { info_hash, hybrid: self.v2, publisher, left_out, ..hints }))
    }

    fn read(&mut self, value: &str) -> Result<(), MagnetError> {
        let text = percent::decode_text(value).ok_or(MagnetError::BadHash)?;
        let after = |prefix: &str| {
            let start = text.get(..prefix.len())?;
            start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
        };
        if let Some(hash) = after("urn:btih:") {
            let hash = hash.parse().map_err(|_| MagnetError::BadHash)?;
            if self.v1.is_some_and(|before| before != hash) {
                return Err(MagnetError::TwoTorrents);
            }
            self.v1 = Some(hash);
        } else if let Some(hash) = after("urn:btmh:") {
            // A multihash: SHA-256 is 0x12, of 0x20 bytes.
            let digits = hash.strip_prefix("1220").ok_or(MagnetError::BadHash)?;
            if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(MagnetError::BadHash);
            }
            self.v2 = true;
        } else {
            self.other = true;
        }
        Ok(())
    }
}

/// `tr.1` means `tr`: the way in which some number what comes several times.
fn plain_key(key: &str) -> &str {
    match key.rsplit_once('.') {
        Some((plain, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => plain,
        Some(_) | None => key,
    }
}

/// A scheme, `://`, and printable text without blanks. Whether it may be asked, others decide.
fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && text.len() <= URL_BYTES_MAX
        && !text.chars().any(|c| c.is_whitespace() || misleads(c))
}

/// Puts an item into a list that holds each once, if there is room.
fn put<T: PartialEq>(list: &mut Vec<T>, item: T, most: usize) -> bool {
    if list.contains(&item) {
        return true;
    }
    let room = list.len() < most;
    if room {
        list.push(item);
    }
    room
}

/// The beginning of a name that is too long, whole characters of it.
fn cut(name: &[u8]) -> &[u8] {
    let mut len = name.len().min(NAME_BYTES_MAX);
    while len > 0 && name.get(len).is_some_and(|byte| byte & 0xc0 == 0x80) {
        len -= 1;
    }
    name.get(..len).unwrap_or_default()
}

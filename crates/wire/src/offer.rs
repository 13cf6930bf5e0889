//! What a sharer and a receiver say to each other once they are paired (`paired`): what is shared, under which key its swarm
//! speaks, and, while it is still being hashed, one torrent after another; and back, what the receiver wants and has.
//!
//! ```text
//! sharer -> receiver   Offer, then in any order Hashed, Torrent, Withdrawn, Folders, EmptyFiles, EmptyExecutables, Lost, Peers; at some
//!                       time End, and again when the number it tells has changed
//! receiver -> sharer   Hello once it has heard the offer, Wants or Declines, then Has, at last Complete
//! ```
//!
//! Each message is one bencoded dictionary whose `t` says which it is. A share is cut into consecutive torrents, so that the first
//! bytes flow before the last are hashed; a large file lies in several of them, as ranges ([`Place`]). Knows what is said, not
//! when, nor what is done with it; what is in a folder that the receiver has already is not its affair.
//!
//! Invariants: what is decoded is bounded by [`MESSAGE_LEN_MAX`], [`BATCH_MAX`], [`PEERS_MAX`] and [`TEXT_BYTES_MAX`]; paths are [`SafePath`]s, text
//! is [`DisplaySafe`], places lie within their files, and a torrent names no tracker. Keys that nobody knows are ignored.

mod decode;
#[cfg(test)]
mod tests;

use crate::bencode::{BencodeError, Encoded, bytes, dict, int, list};
use crate::metainfo::MetainfoError;
use crate::paired::MESSAGE_LEN_MAX;
use crate::private::SwarmKey;
use crate::{DisplaySafe, FileIndex, Metainfo, SafePath, compact};
use core::fmt;
use core::net::SocketAddr;

/// What both sides speak; the first message of each says so.
pub const OFFER_VERSION: u64 = 1;

/// Folders, empty files, or lost things, in one message: the longest that there can be leave half of it free.
pub const BATCH_MAX: usize = 32;

/// Longest name or path of what is lost, in bytes: the longest path of Linux.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Receivers of whom another is told: as many as can be paired with a share at once.
pub const PEERS_MAX: usize = 64;

/// Bytes of chance by which a receiver is known again.
pub const INSTANCE_LEN: usize = 16;

/// Longest `info` dictionary of a torrent: what leaves room for the places of its files. The sharer cuts accordingly.
pub const INFO_LEN_MAX: usize = 160 * 1024;

/// Most files of one torrent: a place and a mark for each are 56 KiB.
pub const TORRENT_FILES_MAX: u32 = 1024;

/// What a sharer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SharerSays {
    /// What is shared; first of all.
    Offer(Offer),
    /// So many of its bytes are hashed.
    Hashed(u64),
    /// One more torrent of it is there.
    Torrent(Box<OfferedTorrent>),
    /// A torrent that was offered is no longer served, since a file of it has changed or cannot be read. It counts as offered; whoever
    /// has not all of it waits for it no more. What of it comes along nevertheless is offered anew, in torrents of other numbers.
    Withdrawn {
        /// Its number.
        number: u64,
    },
    /// These folders are empty; their paths begin with the name of the share. At most [`BATCH_MAX`].
    Folders(Vec<SafePath>),
    /// These files have no bytes, and so are in no torrent; their paths begin with the name of the share, or are it. At most [`BATCH_MAX`].
    EmptyFiles(Vec<SafePath>),
    /// As empty files, and they can be executed.
    EmptyExecutables(Vec<SafePath>),
    /// These do not come along. At most [`BATCH_MAX`].
    Lost(Vec<Lost>),
    /// Who else takes what is offered, whenever that has changed. Those named before and not now have left.
    Peers {
        /// Where they take the swarm's links; never at port 0. A link-local address of IPv6 is meant on the network of this line. At most
        /// [`PEERS_MAX`].
        others: Vec<SocketAddr>,
        /// How many of them have not everything yet.
        incomplete: u32,
    },
    /// It is known how many torrents there are. The newest word counts: more come in place of one that is withdrawn.
    End {
        /// Torrents that were offered, withdrawn ones among them, and those that will be in place of such.
        torrents: u64,
        /// Bytes in those that are offered.
        bytes: u64,
    },
}

/// What a receiver says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReceiverSays {
    /// Who it is; first of all.
    Hello {
        /// As its machine is called.
        name: DisplaySafe,
        /// Chance that it drew when it first heard this offer: the same when it comes back.
        instance: [u8; INSTANCE_LEN],
    },
    /// It takes what is offered.
    Wants {
        /// Where it takes the swarm's links, at the address of this line; 0 if nowhere.
        swarm_port: u16,
    },
    /// It does not.
    Declines,
    /// It has so many bytes, verified.
    Has(u64),
    /// It has everything, safely on its disk.
    Complete,
}

/// What is shared, as it was found before the first byte was hashed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The name of the file, or of the folder in which everything is.
    pub name: DisplaySafe,
    /// Bytes in all.
    pub size: u64,
    /// Files in all.
    pub files: u64,
    /// Of those, the ones that can be executed.
    pub executables: u64,
    /// Empty folders.
    pub folders: u64,
    /// What does not come along, so far.
    pub lost: u64,
    /// Under which every link of its swarm is sealed.
    pub swarm_key: SwarmKey,
    /// Where the sharer takes the swarm's links, at the address of this line. Never 0.
    pub swarm_port: u16,
}

/// One torrent of a share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedTorrent {
    /// Its number: 0, 1, 2 and so on.
    pub number: u64,
    /// What is in it.
    pub metainfo: Metainfo,
    /// Its files that are ranges of larger ones; ascending, each once.
    pub places: Vec<Place>,
    /// Its files that can be executed; ascending, each once.
    pub executables: Vec<FileIndex>,
    /// The number of one that was withdrawn, of which this is what can still be served: all its bytes were in that.
    pub replaces: Option<u64>,
}

/// A file of a torrent that is a range of a larger file with the same path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which.
    pub file: FileIndex,
    /// Where in the larger file it begins.
    pub offset: u64,
    /// Bytes of the larger file.
    pub whole: u64,
}

/// Something that does not come along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lost {
    /// What.
    pub path: DisplaySafe,
    /// Why.
    pub why: LostWhy,
}

/// Why something does not come along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LostWhy {
    /// It is a symbolic link.
    Link,
    /// It is a socket, a pipe or a device.
    Special,
    /// It cannot be read.
    Unreadable,
    /// It changed while it was hashed.
    Changed,
    /// It has a name that other systems cannot have.
    Name,
}

/// Why a message is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferError {
    /// It is no bencode, or too much.
    Bencode(BencodeError),
    /// It is of a kind that nobody here knows.
    Kind,
    /// The other side speaks another version.
    Version(u64),
    /// This is absent or not what it should be.
    Field(&'static str),
    /// The torrent is none.
    Metainfo(MetainfoError),
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("between sharer and receiver: ")?;
        match self {
            OfferError::Bencode(error) => error.fmt(f),
            OfferError::Kind => f.write_str("a message of an unknown kind"),
            OfferError::Version(version) => write!(f, "version {version}, not {OFFER_VERSION}"),
            OfferError::Field(name) => write!(f, "no usable {name}"),
            OfferError::Metainfo(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for OfferError {}

impl LostWhy {
    const ALL: [LostWhy; 5] =
        [LostWhy::Link, LostWhy::Special, LostWhy::Unreadable, LostWhy::Changed, LostWhy::Name];

    fn word(self) -> &'static str {
        match self {
            LostWhy::Link => "link",
            LostWhy::Special => "special",
            LostWhy::Unreadable => "unreadable",
            LostWhy::Changed => "changed",
            LostWhy::Name => "name",
        }
    }
}

impl SharerSays {
    /// The message. It is at most [`MESSAGE_LEN_MAX`] long if what it says keeps to the bounds of this module.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            SharerSays::Offer(offer) => message("offer", offer.entries()),
            SharerSays::Hashed(bytes) => message("hashed", [("bytes", uint(*bytes))]),
            SharerSays::Torrent(torrent) => message("torrent", torrent.entries()),
            SharerSays::Withdrawn { number } => message("withdrawn", [("number", uint(*number))]),
            SharerSays::Folders(folders) => message("folders", [("paths", paths(folders))]),
            SharerSays::EmptyFiles(files) => message("empty", [("paths", paths(files))]),
            SharerSays::EmptyExecutables(files) => message("empty executables", [("paths", paths(files))]),
            SharerSays::Lost(lost) => {
                let entry = |lost: &Lost| list([bytes(lost.why.word()), bytes(lost.path.raw())]);
                message("lost", [("paths", list(lost.iter().map(entry)))])
            }
            SharerSays::Peers { others, incomplete } => {
                let packed = |address: &SocketAddr| {
                    let mut packed = Vec::with_capacity(compact::V6_LEN);
                    compact::encode(address, &mut packed);
                    bytes(packed)
                };
                let entries =
                    [("others", list(others.iter().map(packed))), ("incomplete", uint((*incomplete).into()))];
                message("peers", entries)
            }
            SharerSays::End { torrents, bytes } => {
                message("end", [("torrents", uint(*torrents)), ("bytes", uint(*bytes))])
            }
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is none, or breaks a bound.
    pub fn decode(text: &[u8]) -> Result<SharerSays, OfferError> {
        decode::sharer(text)
    }
}

impl ReceiverSays {
    /// The message; with a name of at most [`TEXT_BYTES_MAX`].
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ReceiverSays::Hello { name, instance } => {
                let version = ("v", uint(OFFER_VERSION));
                message("hello", [version, ("name", bytes(name.raw())), ("instance", bytes(instance))])
            }
            ReceiverSays::Wants { swarm_port } => message("wants", [("port", uint((*swarm_port).into()))]),
            ReceiverSays::Declines => message("declines", []),
            ReceiverSays::Has(bytes) => message("has", [("bytes", uint(*bytes))]),
            ReceiverSays::Complete => message("complete", []),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When it is none, or breaks a bound.
    pub fn decode(text: &[u8]) -> Result<ReceiverSays, OfferError> {
        decode::receiver(text)
    }
}

impl Offer {
    fn entries(&self) -> Vec<(&'static str, Encoded)> {
        vec![
            ("v", uint(OFFER_VERSION)),
            ("name", bytes(self.name.raw())),
            ("size", uint(self.size)),
            ("files", uint(self.files)),
            ("executables", uint(self.executables)),
            ("folders", uint(self.folders)),
            ("lost", uint(self.lost)),
            ("key", bytes(self.swarm_key.0)),
            ("port", uint(u64::from(self.swarm_port))),
        ]
    }
}

impl OfferedTorrent {
    fn entries(&self) -> Vec<(&'static str, Encoded)> {
        let place =
            |place: &Place| list([uint(u64::from(place.file.0)), uint(place.offset), uint(place.whole)]);
        let mut entries = vec![
            ("number", uint(self.number)),
            ("info", bytes(self.metainfo.info())),
            ("places", list(self.places.iter().map(place))),
            ("executables", list(self.executables.iter().map(|file| uint(u64::from(file.0))))),
        ];
        entries.extend(self.replaces.map(|number| ("replaces", uint(number))));
        entries
    }
}

fn paths(paths: &[SafePath]) -> Encoded {
    list(paths.iter().map(|path| list(path.elements().map(bytes))))
}

fn message(kind: &'static str, entries: impl IntoIterator<Item = (&'static str, Encoded)>) -> Vec<u8> {
    let entries = core::iter::once(("t", bytes(kind))).chain(entries);
    let text = dict(entries).into_bytes();
    debug_assert!(text.len() <= MESSAGE_LEN_MAX, "{kind}: {} bytes", text.len());
    text
}

/// A number that bencode can hold; what is larger than any disk is written as the largest.
fn uint(number: u64) -> Encoded {
    int(i64::try_from(number).unwrap_or(i64::MAX))
}

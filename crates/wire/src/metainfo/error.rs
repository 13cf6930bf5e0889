//! Why a torrent cannot be used: what is wrong, and what a person can do.

use core::fmt;

use crate::{
    FileIndex,
    bencode::{BencodeError, BencodeFault, Kind},
    layout::{LayoutError, PIECE_LEN_MAX},
    path::{DEPTH_MAX, PathsError, SAME_NAMES_MAX},
};

/// Why a torrent cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetainfoError {
    /// Not bencode, or beyond the limits.
    Bencode(BencodeError),
    /// Bencode, but not a dictionary with an `info` dictionary.
    NotATorrent,
    /// Bytes follow the `info` dictionary that peers sent.
    TrailingBytes,
    /// A key that must be there is not.
    Missing(&'static str),
    /// A key's value is of another kind.
    WrongKind {
        /// The key.
        key: &'static str,
        /// What it should hold.
        wanted: Kind,
    },
    /// Only for BEP 52 peers.
    V2Only,
    /// A `meta version` that nobody has defined yet.
    UnknownVersion(i64),
    /// `piece length` is not within 1..=512 MiB.
    PieceLen(i64),
    /// A file's length is missing, negative or not an integer.
    FileLen(FileIndex),
    /// The numbers make no layout.
    Layout(LayoutError),
    /// Not 20 bytes of hash for each piece.
    PieceHashes {
        /// How many pieces the files make.
        pieces: u32,
        /// How many bytes of hashes there are.
        bytes: usize,
    },
    /// The names are refused for their mass.
    Paths(PathsError),
}

impl fmt::Display for MetainfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str = "fetch the torrent again";
        const MAKER: &str = "the torrent was made wrong, only its maker can mend it";
        match self {
            MetainfoError::Bencode(BencodeError { offset: 0, fault: BencodeFault::NotAValue(b'<') }) => {
                write!(f, "this is a web page, not a torrent; open it in a browser to see why")
            }
            MetainfoError::Bencode(error) => write!(f, "not a torrent, or a damaged one: {error}; {AGAIN}"),
            MetainfoError::NotATorrent => write!(f, "not a torrent: there is no info dictionary; {AGAIN}"),
            MetainfoError::TrailingBytes => write!(f, "bytes follow the info dictionary; {AGAIN}"),
            MetainfoError::Missing(key) => write!(f, "\"{key}\" is missing; {MAKER}"),
            MetainfoError::WrongKind { key, wanted } => write!(f, "\"{key}\" is not {wanted}; {MAKER}"),
            MetainfoError::V2Only => write!(
                f,
                "this torrent is for BitTorrent v2 alone, which is not supported yet; look for a hybrid or v1 torrent of it"
            ),
            MetainfoError::UnknownVersion(version) => write!(
                f,
                "this torrent is for BitTorrent v{version}, which is not supported; look for a hybrid or v1 torrent of it"
            ),
            MetainfoError::PieceLen(len) => {
                write!(f, "the piece length {len} is not within 1..={PIECE_LEN_MAX} bytes; {MAKER}")
            }
            MetainfoError::FileLen(file) => {
                write!(f, "the length of {file:?} is missing or not a size; {MAKER}")
            }
            MetainfoError::Layout(error) => write!(f, "{error}; {MAKER}"),
            MetainfoError::PieceHashes { pieces, bytes } => write!(
                f,
                "{pieces} pieces need {} bytes of hashes, but there are {bytes}; {MAKER}",
                u64::from(*pieces) * 20
            ),
            MetainfoError::Paths(PathsError::TooDeep(file)) => {
                write!(f, "{file:?} lies in more than {DEPTH_MAX} directories; {MAKER}")
            }
            MetainfoError::Paths(PathsError::TooManySameNames(file)) => {
                write!(f, "more than {SAME_NAMES_MAX} files are called like {file:?}; {MAKER}")
            }
        }
    }
}

impl core::error::Error for MetainfoError {}

impl From<BencodeError> for MetainfoError {
    fn from(error: BencodeError) -> MetainfoError {
        MetainfoError::Bencode(error)
    }
}

impl From<LayoutError> for MetainfoError {
    fn from(error: LayoutError) -> MetainfoError {
        MetainfoError::Layout(error)
    }
}

impl From<PathsError> for MetainfoError {
    fn from(error: PathsError) -> MetainfoError {
        MetainfoError::Paths(error)
    }
}

//! Bencode: a borrowing decoder into a flat tape of tokens, a cursor over it, and a canonical writer.
//!
//! The decoder is lenient where other clients are (what it forgave is listed in [`Oddities`]), exact in its errors, and keeps
//! the raw span of every value, so that nothing is ever decoded and encoded again to be hashed.
//!
//! Invariants: nothing here recurses (parse, walk, print, clone, drop), so depth costs no stack; the tape takes at most
//! 4 bytes per byte of input, is allocated once, and not before the input was found whole. BEP: 3

mod tape;
mod value;
mod write;

#[cfg(test)]
mod tests;

use core::fmt;

pub use tape::Bencode;
pub use value::{Entries, Items, Kind, Value};
pub use write::{Encoded, bytes, dict, int, list};

/// What a decoder accepts before it looks: each entry point has its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest input in bytes. Offsets are 32 bits wide, so 4 GiB - 1 is the most in any case.
    pub bytes: usize,
    /// Most values: integers, strings (keys too), lists and dictionaries.
    pub tokens: usize,
    /// Most lists and dictionaries inside one another.
    pub depth: usize,
}

impl Limits {
    /// A `.torrent` file: libtorrent's limits, so that what it loads we load.
    pub const TORRENT: Limits = Limits { bytes: 10_000_000, tokens: 3_000_000, depth: 100 };

    /// An `info` dictionary that came from peers (BEP 9). Honest ones reach 4.2 MB; 32 MiB is what most clients allow.
    pub const METADATA: Limits = Limits { bytes: 32 * 1024 * 1024, tokens: 2_500_000, depth: 100 };

    /// A `.torrent` that we wrote around metadata from peers: that, and the longest lists of URLs.
    pub const STORED: Limits = Limits { bytes: 36 * 1024 * 1024, tokens: 3_000_000, depth: 102 };

    /// An HTTP tracker's reply: 1 MiB holds 10,000 peers even as dictionaries of 7 values (BEP 3, 7, 23).
    pub const TRACKER_REPLY: Limits = Limits { bytes: 1024 * 1024, tokens: 250_000, depth: 8 };

    /// The handshake of the extension protocol (BEP 10): two levels and some tens of keys in practice.
    pub const EXTENSION_HANDSHAKE: Limits = Limits { bytes: 64 * 1024, tokens: 4_096, depth: 8 };

    /// Peer exchange (BEP 11): 100 addresses of either family come and gone are 4 KiB; some clients send a few hundred.
    pub const PEER_EXCHANGE: Limits = Limits { bytes: 32 * 1024, tokens: 256, depth: 4 };

    /// A datagram of the DHT (BEP 5): what [`crate::krpc::DATAGRAM_LEN_MAX`] allows, values and depth as libtorrent allows them.
    pub const KRPC: Limits = Limits { bytes: 2048, tokens: 500, depth: 10 };

    /// The value of a stored item (BEP 44): what leaves room for the datagram around it.
    pub const ITEM: Limits = Limits { bytes: 1000, tokens: 450, depth: 8 };

    /// The bencoded head of an extension message that raw bytes follow (BEP 9): three integers in practice.
    pub const EXTENSION_HEAD: Limits = Limits { bytes: 1024, tokens: 64, depth: 4 };
}

/// Why bytes are not bencode, or too much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BencodeError {
    /// Where, in bytes from the start.
    pub offset: usize,
    /// What.
    pub fault: BencodeFault,
}

/// What is wrong with the bytes at an offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BencodeFault {
    /// The input ends inside the value that starts there.
    Truncated,
    /// This byte starts no value.
    NotAValue(u8),
    /// An integer is not `i`, an optional minus, digits and `e`.
    BadInteger,
    /// A string's length is not digits and a colon.
    BadLength,
    /// A string claims to be longer than what is left.
    StringPastEnd,
    /// A dictionary's key is not a string.
    KeyNotString,
    /// A dictionary ends after a key.
    KeyWithoutValue,
    /// More lists and dictionaries inside one another than [`Limits::depth`].
    TooDeep,
    /// More values than [`Limits::tokens`].
    TooManyTokens,
    /// Longer than [`Limits::bytes`].
    TooLong,
}

impl fmt::Display for BencodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            BencodeFault::Truncated => "the data ends inside this value",
            BencodeFault::NotAValue(byte) => {
                return write!(f, "byte {}: '{}' starts no value", self.offset, byte.escape_ascii());
            }
            BencodeFault::BadInteger => "not an integer",
            BencodeFault::BadLength => "not the length of a string",
            BencodeFault::StringPastEnd => "a string longer than the data that is left",
            BencodeFault::KeyNotString => "a dictionary's key is not a string",
            BencodeFault::KeyWithoutValue => "a dictionary's last key has no value",
            BencodeFault::TooDeep => "lists or dictionaries nested too deeply",
            BencodeFault::TooManyTokens => "too many values",
            BencodeFault::TooLong => "too long",
        };
        write!(f, "byte {}: {what}", self.offset)
    }
}

impl core::error::Error for BencodeError {}

/// A way in which bytes may differ from canonical bencode and still be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Oddity {
    /// An integer with needless zeros in front: `i03e`.
    LeadingZero,
    /// `i-0e`.
    NegativeZero,
    /// An integer beyond 64 bits: readable as raw bytes only.
    HugeInteger,
    /// A string's length with needless zeros in front: `03:abc`.
    LengthLeadingZero,
    /// A key that sorts before the key in front of it.
    KeyOrder,
    /// A key equal to the key in front of it. Look-ups find the first, as libtorrent's do.
    DuplicateKey,
    /// Bytes after the value.
    TrailingBytes,
}

impl Oddity {
    /// Every oddity there is.
    pub const ALL: [Oddity; 7] = [
        Oddity::LeadingZero,
        Oddity::NegativeZero,
        Oddity::HugeInteger,
        Oddity::LengthLeadingZero,
        Oddity::KeyOrder,
        Oddity::DuplicateKey,
        Oddity::TrailingBytes,
    ];
}

/// What the decoder forgave: for each [`Oddity`], where it was first seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Oddities([Option<u32>; Oddity::ALL.len()]);

impl Oddities {
    /// Whether the input was canonical.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Where this oddity was first seen, in bytes from the start.
    pub fn first(&self, oddity: Oddity) -> Option<usize> {
        self.0.get(oddity as usize).copied().flatten().map(|offset| offset as usize)
    }

    /// The oddities seen, each with its first offset.
    pub fn iter(&self) -> impl Iterator<Item = (Oddity, usize)> + '_ {
        Oddity::ALL.into_iter().filter_map(|oddity| Some((oddity, self.first(oddity)?)))
    }

    fn note(&mut self, oddity: Oddity, offset: usize) {
        if let Some(first) = self.0.get_mut(oddity as usize) {
            first.get_or_insert(offset as u32);
        }
    }
}

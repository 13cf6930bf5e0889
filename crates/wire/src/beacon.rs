//! The datagram by which a share and its receivers find each other on a network where nobody knows anybody: "number 42 is
//! shared here", and "who shares number 42?".
//!
//! ```text
//! 0   magic      6  "gannet"
//! 6   version    1  1
//! 7   kind       1  '!' here, '?' who
//! 8   nameplate  2  1 to 999, the number that begins a code
//! 10  port       2  here: where receivers are awaited, never 0; who: 0
//! 12  instance  16  chance, drawn for this share or this search
//! ```
//!
//! Both kinds have the same length, so that an answer is never larger than its question. Nothing in it can be computed from the
//! words of a code, from a key or from content: only the number, which everybody may hear. Strict: there is one way to write a
//! word, and nothing else is read. Multi-byte integers are big-endian. Threats: D9

use crate::code::NAMEPLATE_MAX;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// Where all listen: beside local discovery's.
pub const PORT: u16 = 6772;

/// The group of all that listen over IPv4: of the organisation's scope, in which a TTL of 1 keeps it on one network.
pub const GROUP_V4: Ipv4Addr = Ipv4Addr::new(239, 192, 71, 78);

/// The group of all that listen over IPv6: of the site's scope, in which a hop limit of 1 keeps it on one network. Not of the
/// link's, for which one socket cannot listen on several interfaces.
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x6761, 0x6e74);

/// Length of every word.
pub const WORD_LEN: usize = 28;

const MAGIC: [u8; 6] = *b"gannet";
const VERSION: u8 = 1;
const HERE: u8 = b'!';
const WHO: u8 = b'?';

/// Chance by which one share, or one search, is told from another with the same number, and by which it knows its own words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instance(pub [u8; 16]);

/// What is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// The number of a code: 1 to [`NAMEPLATE_MAX`].
    pub nameplate: u16,
    /// Who says it.
    pub instance: Instance,
    /// What about it.
    pub kind: Kind,
}

/// What is said about a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is shared here.
    Here {
        /// Where receivers are awaited, at the address that the datagram came from. Never 0.
        port: u16,
    },
    /// Who shares it?
    Who,
}

/// Why a datagram is no word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BeaconError {
    /// It does not begin as our words do.
    NotOurs,
    /// It is of a version that is not spoken here.
    Version(u8),
    /// It has another length.
    Length(usize),
    /// It says something that no word says: an unknown kind, a number that no code has, a port that is none or should not be.
    Senseless,
}

impl fmt::Display for BeaconError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BeaconError::NotOurs => f.write_str("beacon: not a word of ours"),
            BeaconError::Version(version) => write!(f, "beacon: version {version}, not {VERSION}"),
            BeaconError::Length(len) => write!(f, "beacon: {len} bytes, not {WORD_LEN}"),
            BeaconError::Senseless => f.write_str("beacon: a word that makes no sense"),
        }
    }
}

impl core::error::Error for BeaconError {}

impl Word {
    /// Reads a datagram.
    ///
    /// # Errors
    /// When it is not, byte for byte, what [`Word::encode`] would write.
    pub fn decode(datagram: &[u8]) -> Result<Word, BeaconError> {
        let (magic, rest) = datagram.split_first_chunk().ok_or(BeaconError::NotOurs)?;
        if *magic != MAGIC {
            return Err(BeaconError::NotOurs);
        }
        match rest.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(BeaconError::Version(version)),
            None => return Err(BeaconError::Length(datagram.len())),
        }
        let whole: &[u8; WORD_LEN] = datagram.try_into().map_err(|_| BeaconError::Length(datagram.len()))?;
        let [_, _, _, _, _, _, _, kind, n0, n1, p0, p1, instance @ ..] = *whole;
        let (nameplate, port) = (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([p0, p1]));
        let kind = match (kind, port) {
            (HERE, 1..) => Kind::Here { port },
            (WHO, 0) => Kind::Who,
            _ => return Err(BeaconError::Senseless),
        };
        if !(1..=NAMEPLATE_MAX).contains(&nameplate) {
            return Err(BeaconError::Senseless);
        }
        Ok(Word { nameplate, instance: Instance(instance), kind })
    }

    /// The datagram.
    pub fn encode(&self) -> [u8; WORD_LEN] {
        let (kind, port) = match self.kind {
            Kind::Here { port } => (HERE, port),
            Kind::Who => (WHO, 0),
        };
        let mut datagram = [0; WORD_LEN];
        let fields: [&[u8]; 5] =
            [&MAGIC, &[VERSION, kind], &self.nameplate.to_be_bytes(), &port.to_be_bytes(), &self.instance.0];
        for (to, from) in datagram.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        datagram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(kind: Kind) -> Word {
        Word { nameplate: 42, instance: Instance(*b"0123456789abcdef"), kind }
    }

    #[test]
    fn both_words_are_written_as_drawn_and_read_again_and_are_equally_long() {
        for (kind, expected) in [
            (Kind::Here { port: 51413 }, b"gannet\x01!\x00\x2a\xc8\xd50123456789abcdef"),
            (Kind::Who, b"gannet\x01?\x00\x2a\x00\x000123456789abcdef"),
        ] {
            assert_eq!(&word(kind).encode(), expected);
            assert_eq!(Word::decode(expected), Ok(word(kind)));
        }
    }

    #[test]
    fn whatever_is_not_exactly_a_word_is_refused_for_its_reason() {
        let here = word(Kind::Here { port: 1 }).encode();
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = here.to_vec();
            changed[at..at + bytes.len()].copy_from_slice(bytes);
            changed
        };
        for (datagram, expected) in [
            (vec![], BeaconError::NotOurs),
            (b"BT-SEARCH * HTTP/1.1\r\n".to_vec(), BeaconError::NotOurs),
            (with(5, b"T"), BeaconError::NotOurs),
            (MAGIC.to_vec(), BeaconError::Length(6)),
            // Who shares by a later version can be told of, however long its words are.
            (b"gannet\x02".to_vec(), BeaconError::Version(2)),
            (with(6, b"\x00"), BeaconError::Version(0)),
            (here[..27].to_vec(), BeaconError::Length(27)),
            ([&here[..], b"\x00"].concat(), BeaconError::Length(29)),
            (with(7, b"."), BeaconError::Senseless),
            (with(7, b"?"), BeaconError::Senseless),
            (with(8, &[0, 0]), BeaconError::Senseless),
            (with(8, &1000u16.to_be_bytes()), BeaconError::Senseless),
            (with(10, &[0, 0]), BeaconError::Senseless),
        ] {
            assert_eq!(Word::decode(&datagram), Err(expected), "{datagram:?}");
        }
        assert_eq!(Word::decode(&with(8, &999u16.to_be_bytes())).map(|word| word.nameplate), Ok(999));
    }
}

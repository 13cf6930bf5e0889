//! The 20-byte names of the protocol. BEP: 3, 20

use core::fmt;
use core::str::FromStr;

/// SHA-1 of the bencoded `info` dictionary: the name of a torrent (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

/// What a client calls itself in the handshake and to trackers (BEP 3, BEP 20). Chosen by strangers: never an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 20]);

/// The text is neither 40 hexadecimal digits nor 32 of base32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAnInfoHash;

impl fmt::Display for NotAnInfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an info-hash has 40 hexadecimal digits (0-9, a-f), or 32 of base32")
    }
}

impl core::error::Error for NotAnInfoHash {}

/// 40 hexadecimal digits, or 32 of base32 (RFC 4648) as old magnet links have; either case.
impl FromStr for InfoHash {
    type Err = NotAnInfoHash;

    fn from_str(text: &str) -> Result<InfoHash, NotAnInfoHash> {
        let (radix, per_group, group) = match text.len() {
            40 => (Radix::Hexadecimal, 2, 1),
            32 => (Radix::Base32, 8, 5),
            _ => return Err(NotAnInfoHash),
        };
        let mut bytes = [0; 20];
        for (digits, bytes) in text.as_bytes().chunks(per_group).zip(bytes.chunks_mut(group)) {
            let value = digits
                .iter()
                .try_fold(0u64, |value, &digit| Some(value << radix.bits() | radix.digit(digit)?));
            let value = value.ok_or(NotAnInfoHash)?.to_be_bytes();
            bytes.copy_from_slice(value.get(8 - group..).unwrap_or_default());
        }
        Ok(InfoHash(bytes))
    }
}

/// How digits stand for bits.
#[derive(Clone, Copy)]
enum Radix {
    Hexadecimal,
    Base32,
}

impl Radix {
    fn bits(self) -> u32 {
        match self {
            Radix::Hexadecimal => 4,
            Radix::Base32 => 5,
        }
    }

    fn digit(self, digit: u8) -> Option<u64> {
        let digit = digit.to_ascii_lowercase();
        let value = match (self, digit) {
            (Radix::Hexadecimal, b'0'..=b'9') => digit - b'0',
            (Radix::Hexadecimal, b'a'..=b'f') => digit - b'a' + 10,
            (Radix::Base32, b'a'..=b'z') => digit - b'a',
            (Radix::Base32, b'2'..=b'7') => digit - b'2' + 26,
            (Radix::Hexadecimal | Radix::Base32, _) => return None,
        };
        Some(u64::from(value))
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.0.escape_ascii())
    }
}

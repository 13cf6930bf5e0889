//! What the DHT stores besides peers: values under their own hash, and values under a key whose owner may replace them.
//!
//! A value is bencode exactly as it came and is never decoded to be hashed or signed. Who may store what where is decided
//! elsewhere. Invariant: [`Item::check`] holds for every item that a decoder of this crate lets through; that a signature
//! is genuine is another matter, for it costs time: [`MutableItem::is_genuine`]. BEP: 44, 46

mod keys;

#[cfg(test)]
mod tests;

use crate::bencode::{self, Bencode, BencodeFault, Limits};
use crate::{InfoHash, NodeId};
use core::fmt;
use sha1::{Digest, Sha1};
use std::sync::Arc;

pub use keys::{NotAPublicKey, PublicKey, SecretKey, Signature};

/// Longest value, in bytes of bencode (BEP 44): it must fit into one datagram together with its signature.
pub const VALUE_LEN_MAX: usize = 1000;

/// Longest salt, in bytes (BEP 44).
pub const SALT_LEN_MAX: usize = 64;

/// Something to store in the DHT, or found there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Stored under its own hash; nobody can change it.
    Immutable {
        /// Bencode, exactly as on the wire.
        value: Arc<[u8]>,
    },
    /// Stored under its owner's key, who may replace it.
    Mutable(MutableItem),
}

/// A value that its owner signed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MutableItem {
    /// Whose it is.
    pub key: PublicKey,
    /// Which of the owner's items: at most [`SALT_LEN_MAX`] bytes, mostly none. Replies do not carry it: who asks knows it, and
    /// puts it back with [`MutableItem::with_salt`].
    pub salt: Box<[u8]>,
    /// Which version: not negative, and never less than before.
    pub seq: i64,
    /// Bencode, exactly as on the wire.
    pub value: Arc<[u8]>,
    /// The owner's, over all but the key.
    pub signature: Signature,
}

/// Why something is no item that nodes store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ItemError {
    /// The value is this long, more than [`VALUE_LEN_MAX`] bytes.
    ValueTooLong(usize),
    /// The value is not one piece of canonical bencode: BEP 44 has nodes refuse it.
    ValueNotCanonical,
    /// The value holds more values, or deeper lists and dictionaries, than [`Limits::ITEM`]: others' decoders refuse the datagram.
    ValueTooComplex,
    /// The salt is this long, more than [`SALT_LEN_MAX`] bytes.
    SaltTooLong(usize),
    /// The sequence number is negative.
    SeqNegative,
}

impl Item {
    /// Where it is stored.
    pub fn target(&self) -> NodeId {
        match self {
            Item::Immutable { value } => target_of_value(value),
            Item::Mutable(item) => item.target(),
        }
    }

    /// The value: bencode, exactly as on the wire.
    pub fn value(&self) -> &Arc<[u8]> {
        match self {
            Item::Immutable { value } => value,
            Item::Mutable(item) => &item.value,
        }
    }

    /// Whether nodes would store it. Does not look at a signature.
    ///
    /// # Errors
    /// When it is too long, negative in its sequence number, or not canonical.
    pub fn check(&self) -> Result<(), ItemError> {
        match self {
            Item::Immutable { value } => check_value(value),
            Item::Mutable(item) => item.check(),
        }
    }
}

impl MutableItem {
    /// Where it is stored.
    pub fn target(&self) -> NodeId {
        target_of_key(&self.key, &self.salt)
    }

    /// Whether the owner of the key signed this value under this salt and sequence number. Costs some tens of microseconds.
    pub fn is_genuine(&self) -> bool {
        self.key.verifies(&signed_bytes(&self.salt, self.seq, &self.value), &self.signature)
    }

    /// The item of a reply, with the salt that was asked for.
    pub fn with_salt(self, salt: &[u8]) -> MutableItem {
        MutableItem { salt: salt.into(), ..self }
    }

    /// As [`Item::check`].
    ///
    /// # Errors
    /// As there.
    pub fn check(&self) -> Result<(), ItemError> {
        if self.salt.len() > SALT_LEN_MAX {
            return Err(ItemError::SaltTooLong(self.salt.len()));
        }
        if self.seq < 0 {
            return Err(ItemError::SeqNegative);
        }
        check_value(&self.value)
    }
}

impl ItemError {
    /// The number by which nodes refuse such a thing (BEP 5, 44).
    pub fn code(&self) -> i64 {
        match self {
            ItemError::ValueTooLong(_) => crate::krpc::error_code::VALUE_TOO_LONG,
            ItemError::SaltTooLong(_) => crate::krpc::error_code::SALT_TOO_LONG,
            ItemError::ValueNotCanonical | ItemError::ValueTooComplex | ItemError::SeqNegative => {
                crate::krpc::error_code::PROTOCOL
            }
        }
    }
}

impl ItemError {
    /// A few words for who sent it; [`fmt::Display`] says more, to who made it.
    pub(crate) fn short(&self) -> &'static str {
        match self {
            ItemError::ValueTooLong(_) => "`v` is longer than 1000 bytes",
            ItemError::ValueNotCanonical => "`v` is not canonical bencode",
            ItemError::ValueTooComplex => "`v` holds too many values, or too deep ones",
            ItemError::SaltTooLong(_) => "`salt` is longer than 64 bytes",
            ItemError::SeqNegative => "`seq` is negative",
        }
    }
}

impl fmt::Display for ItemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ItemError::ValueTooLong(len) => {
                write!(f, "the value takes {len} bytes as bencode; the DHT stores at most {VALUE_LEN_MAX}")
            }
            ItemError::ValueNotCanonical => {
                f.write_str("the value is not canonical bencode (one value, keys sorted, no needless digits)")
            }
            ItemError::ValueTooComplex => {
                let Limits { tokens, depth, .. } = Limits::ITEM;
                write!(
                    f,
                    "the value holds more than {tokens} values, or lists and dictionaries nested beyond {depth}"
                )
            }
            ItemError::SaltTooLong(len) => {
                write!(f, "the salt takes {len} bytes; the DHT takes at most {SALT_LEN_MAX}")
            }
            ItemError::SeqNegative => f.write_str("the sequence number is negative; it counts up from 0"),
        }
    }
}

impl core::error::Error for ItemError {}

/// Whether nodes would store this value, which is bencode.
///
/// # Errors
/// When it is too long or not canonical.
pub fn check_value(raw: &[u8]) -> Result<(), ItemError> {
    if raw.len() > VALUE_LEN_MAX {
        return Err(ItemError::ValueTooLong(raw.len()));
    }
    let parsed = Bencode::parse(raw, &Limits::ITEM).map_err(|error| match error.fault {
        BencodeFault::TooDeep | BencodeFault::TooManyTokens => ItemError::ValueTooComplex,
        _ => ItemError::ValueNotCanonical,
    })?;
    parsed.oddities().is_empty().then_some(()).ok_or(ItemError::ValueNotCanonical)
}

/// Where an immutable item with this value is stored: the hash of its bencode.
pub fn target_of_value(raw: &[u8]) -> NodeId {
    NodeId(Sha1::digest(raw).into())
}

/// Where an owner's items with this salt are stored: the hash of both.
pub fn target_of_key(key: &PublicKey, salt: &[u8]) -> NodeId {
    NodeId(Sha1::new().chain_update(key.0).chain_update(salt).finalize().into())
}

/// The value that names a torrent (BEP 46).
pub fn info_hash_value(info_hash: InfoHash) -> Vec<u8> {
    bencode::dict([("ih", bencode::bytes(info_hash.0))]).into_bytes()
}

/// The torrent that a value names, if it names one (BEP 46). Other keys are not minded.
pub fn info_hash_of(value: &[u8]) -> Option<InfoHash> {
    let parsed = Bencode::parse(value, &Limits::ITEM).ok()?;
    parsed.root().get("ih")?.as_bytes()?.try_into().ok().map(InfoHash)
}

/// What is signed: salt (if there is one), sequence number and value as in a dictionary without its brackets.
fn signed_bytes(salt: &[u8], seq: i64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + salt.len() + 48);
    if !salt.is_empty() {
        out.extend_from_slice(format!("4:salt{}:", salt.len()).as_bytes());
        out.extend_from_slice(salt);
    }
    out.extend_from_slice(format!("3:seqi{seq}e1:v").as_bytes());
    out.extend_from_slice(value);
    out
}

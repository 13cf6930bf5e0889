//! Links that name a publisher in place of a torrent: which torrent is the newest, a signed item in the DHT says. BEP: 46

use core::fmt;
use core::str::FromStr;

use super::{Magnet, percent};
use crate::item::{PublicKey, SALT_LEN_MAX, target_of_key};
use crate::{InfoHash, NodeId};

/// Who says through the DHT which torrent is the newest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// `xs=urn:btpk:`
    pub key: PublicKey,
    /// `s`: which of the publisher's torrents; at most [`SALT_LEN_MAX`] bytes, mostly none.
    pub salt: Box<[u8]>,
}

/// A link that names no torrent, but a publisher. Its hints hold for whichever torrent is the newest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MutableLink {
    /// Whom to ask for.
    pub publisher: Publisher,
    /// The info-hash in it means nothing, and its publisher is absent.
    hints: Magnet,
}

impl Publisher {
    /// Where in the DHT the item is stored that says which torrent it is: [`crate::item::info_hash_of`] reads it.
    pub fn target(&self) -> NodeId {
        target_of_key(&self.key, &self.salt)
    }
}

impl MutableLink {
    /// A link that says nothing but whose torrent.
    pub fn new(publisher: Publisher) -> MutableLink {
        MutableLink { publisher, hints: Magnet::new(InfoHash([0; 20])) }
    }

    pub(super) fn with_hints(publisher: Publisher, hints: Magnet) -> MutableLink {
        MutableLink { publisher, hints: Magnet { info_hash: InfoHash([0; 20]), publisher: None, ..hints } }
    }

    /// The link to the torrent that the publisher names now. It remembers the publisher.
    pub fn at(&self, info_hash: InfoHash) -> Magnet {
        Magnet { info_hash, publisher: Some(self.publisher.clone()), ..self.hints.clone() }
    }
}

/// As a link has it: `xs=urn:btpk:KEY`, and `&s=SALT` if there is one.
impl fmt::Display for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xs=urn:btpk:{}", self.key)?;
        if !self.salt.is_empty() {
            f.write_str("&s=")?;
        }
        self.salt.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The link, on one line. What was left out is not written.
impl fmt::Display for MutableLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "magnet:?{}", self.publisher)?;
        self.hints.write_hints(f)
    }
}

/// What a link says of its publisher, as far as it was read.
#[derive(Default)]
pub(super) struct Named {
    key: Option<PublicKey>,
    salt: Option<Box<[u8]>>,
    fault: Option<Fault>,
}

/// What is wrong with a publisher's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Key,
    Salt,
    Two,
}

impl Named {
    /// Takes in the value of an `xs`. Most are addresses of files, and nothing to us.
    pub(super) fn read_source(&mut self, value: &str) {
        const PREFIX: &str = "urn:btpk:";
        let Some(text) = percent::decode_text(value) else { return };
        if !text.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)) {
            return;
        }
        match PublicKey::from_str(text.get(PREFIX.len()..).unwrap_or_default()) {
            Ok(key) if self.key.is_some_and(|before| before != key) => self.fail(Fault::Two),
            Ok(key) => self.key = Some(key),
            Err(_) => self.fail(Fault::Key),
        }
    }

    /// Takes in the value of an `s`.
    pub(super) fn read_salt(&mut self, value: &str) {
        match percent::decode_text(value).and_then(|digits| unhex(&digits)) {
            Some(salt) if self.salt.as_ref().is_some_and(|before| **before != *salt) => self.fail(Fault::Two),
            Some(salt) => self.salt = Some(salt),
            None => self.fail(Fault::Salt),
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    /// The publisher, if there is one. Without a key nothing was said of one: an `s` alone may mean anything.
    pub(super) fn finish(self) -> Result<Option<Publisher>, Fault> {
        match (self.key, self.fault) {
            (None, None | Some(Fault::Salt | Fault::Two)) => Ok(None),
            (_, Some(fault)) => Err(fault),
            (Some(key), None) => Ok(Some(Publisher { key, salt: self.salt.unwrap_or_default() })),
        }
    }
}

/// The bytes of a salt, two hexadecimal digits each.
fn unhex(digits: &str) -> Option<Box<[u8]>> {
    if !digits.len().is_multiple_of(2) || digits.len() > 2 * SALT_LEN_MAX {
        return None;
    }
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let byte = |pair: &[u8]| pair.iter().try_fold(0, |sum: u8, &one| Some(sum << 4 | digit(one)?));
    digits.as_bytes().chunks(2).map(byte).collect()
}

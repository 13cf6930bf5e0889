//! Message Stream Encryption: how two peers agree on bytes that look like noise. A machine for each side, fed with what came
//! and answering with what is to be sent; no socket, no clock, no chance but what it is handed.
//!
//! It is obfuscation, not secrecy: nobody is authenticated, and RC4 is broken. It serves against those who sort traffic by
//! how it looks. There is no BEP; the specification is "Message Stream Encryption" in the wiki of Azureus.
//!
//! ```text
//! A -> B  Ya (96), PadA (0..512)
//! B -> A  Yb (96), PadB (0..512)
//! A -> B  HASH('req1', S), HASH('req2', SKEY) ^ HASH('req3', S),
//!         RC4(VC (8), crypto_provide (4), len PadC (2), PadC, len IA (2), IA)
//! B -> A  RC4(VC (8), crypto_select (4), len PadD (2), PadD)
//! ```
//!
//! Invariants: what is kept of a handshake has a fixed size; the search for the other's first known bytes ends after 512
//! bytes of padding; how the bytes are cut changes nothing. Threats: C5, C11

mod dh;
mod initiator;
mod rc4;
mod responder;

pub use dh::{KEY_LEN, PRIVATE_KEY_LEN};
pub use initiator::Initiator;
pub use rc4::Rc4;
pub use responder::Responder;

use crate::InfoHash;
use crate::cipher::Cipher;
use core::fmt;
use sha1::{Digest, Sha1};

/// Padding at each of the four places where it may be.
pub const PAD_LEN_MAX: usize = 512;

/// The verification constant: that these eight zeros come out right proves that both sides have the same keys.
const VC: [u8; 8] = [0; 8];

/// A stream after the handshake, as `crypto_provide` and `crypto_select` name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// Only the handshake is hidden.
    Plaintext,
    /// Everything is.
    Rc4,
}

impl Method {
    const ALL: [Method; 2] = [Method::Plaintext, Method::Rc4];

    fn bit(self) -> u32 {
        match self {
            Method::Plaintext => 1,
            Method::Rc4 => 2,
        }
    }

    fn all_bits(methods: &[Method]) -> u32 {
        methods.iter().fold(0, |bits, method| bits | method.bit())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Plaintext => "plaintext",
            Method::Rc4 => "RC4",
        })
    }
}

/// What chance contributes to one side of a handshake.
#[derive(Clone, Copy)]
pub struct Chance<'a> {
    /// From a source that nobody can predict.
    pub private_key: [u8; PRIVATE_KEY_LEN],
    /// PadA or PadB; what is beyond [`PAD_LEN_MAX`] is left out.
    pub pad: &'a [u8],
    /// How long PadC or PadD is, at most [`PAD_LEN_MAX`]. The specification wants zeros there.
    pub zeros: u16,
}

/// Both sides agree: what the link's bytes go through from here on.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// What was agreed upon.
    pub method: Method,
    /// For what we send, from the first byte after what the machine has written.
    pub send: Cipher,
    /// For what we receive, from the first byte that the machine has not taken.
    pub receive: Cipher,
}

/// Why a handshake cannot be completed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MseError {
    /// The public key forces a secret that anybody can guess.
    DegenerateKey,
    /// What must follow the key and its padding did not: this is no MSE, or of another torrent.
    NoSync,
    /// The torrent that is meant is none of ours.
    UnknownTorrent,
    /// The verification constant is wrong: the keys differ.
    Unverified,
    /// Padding longer than [`PAD_LEN_MAX`].
    PadTooLong(u16),
    /// Nothing that we would take is offered; the bits of `crypto_provide`.
    NothingInCommon(u32),
    /// What was selected was not offered; the bits of `crypto_select`.
    NotOffered(u32),
}

impl fmt::Display for MseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MseError::DegenerateKey => f.write_str("a public key of 0, 1 or beyond the prime less 2"),
            MseError::NoSync => write!(f, "no MSE within {PAD_LEN_MAX} bytes of padding after the key"),
            MseError::UnknownTorrent => f.write_str("an encrypted handshake for a torrent that is not here"),
            MseError::Unverified => f.write_str("the verification constant of MSE is wrong"),
            MseError::PadTooLong(len) => write!(f, "padding of {len} bytes, more than {PAD_LEN_MAX}"),
            MseError::NothingInCommon(bits) => {
                write!(f, "no method in common: the peer offers {}", Bits(*bits))
            }
            MseError::NotOffered(bits) => {
                write!(f, "the peer selects {}, which we did not offer", Bits(*bits))
            }
        }
    }
}

impl core::error::Error for MseError {}

/// Methods as the wire has them, for messages.
struct Bits(u32);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Method::ALL.into_iter().filter(|method| self.0 & method.bit() != 0);
        let mut names = 0;
        for method in known {
            write!(f, "{}{method}", if names > 0 { " and " } else { "" })?;
            names += 1;
        }
        match names {
            0 => write!(f, "only unknown methods ({:#x})", self.0),
            _ => Ok(()),
        }
    }
}

/// What stands for a torrent in a handshake: HASH('req2', SKEY). The driver keeps a table from this to its torrents, so that
/// finding the torrent takes one look-up, however many there are.
pub fn torrent_key(info_hash: &InfoHash) -> [u8; 20] {
    hash(&[b"req2", &info_hash.0])
}

/// Everything that both sides can compute from the shared secret and the torrent.
struct Keys {
    /// The keystream of who dialled.
    initiator: Rc4,
    /// The keystream of who was dialled.
    responder: Rc4,
}

impl Keys {
    fn new(secret: &[u8; KEY_LEN], skey: &InfoHash) -> Keys {
        let stream = |name: &[u8]| Rc4::of_mse(&hash(&[name, secret, &skey.0]));
        Keys { initiator: stream(b"keyA"), responder: stream(b"keyB") }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 20] {
    let mut sha1 = Sha1::new();
    parts.iter().for_each(|part| sha1.update(part));
    sha1.finalize().into()
}

fn xor(a: [u8; 20], b: [u8; 20]) -> [u8; 20] {
    std::array::from_fn(|index| a[index] ^ b[index])
}

/// The cipher of a stream after the handshake.
fn stream(method: Method, rc4: Rc4) -> Cipher {
    match method {
        Method::Plaintext => Cipher::Plaintext,
        Method::Rc4 => Cipher::Rc4(Box::new(rc4)),
    }
}

/// Appends bytes after turning them.
fn put(rc4: &mut Rc4, bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(bytes);
    rc4.apply(out.get_mut(start..).unwrap_or_default());
}

/// Bytes that came, taken from the front.
struct Unread<'a> {
    bytes: &'a [u8],
    taken: usize,
}

impl<'a> Unread<'a> {
    fn new(bytes: &'a [u8]) -> Unread<'a> {
        Unread { bytes, taken: 0 }
    }

    /// The next `N` bytes, if they are there.
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        self.taken += N;
        Some(*taken)
    }

    /// The same through a keystream, which moves along only if they are there.
    fn take_clear<const N: usize>(&mut self, rc4: &mut Rc4) -> Option<[u8; N]> {
        let mut bytes = self.take::<N>()?;
        rc4.apply(&mut bytes);
        Some(bytes)
    }

    /// Passes over as much as is there of `left` bytes of padding, and its keystream.
    fn skip_pad(&mut self, rc4: &mut Rc4, left: &mut u16) {
        let count = self.bytes.len().min(usize::from(*left));
        let (pad, rest) = self.bytes.split_at(count);
        rc4.apply(&mut pad.to_vec());
        self.bytes = rest;
        self.taken += count;
        *left -= count as u16;
    }

    /// Passes over padding up to the end of `mark`; false if it has not come yet. `passed` is the padding so far.
    fn find<const N: usize>(&mut self, mark: &[u8; N], passed: &mut usize) -> Result<bool, MseError> {
        let place = self.bytes.windows(N).position(|window| window == mark);
        // Without the mark all may be padding but its last bytes, which may be the mark's first.
        let pad = place.unwrap_or_else(|| (self.bytes.len() + 1).saturating_sub(N));
        *passed += pad;
        if *passed > PAD_LEN_MAX {
            return Err(MseError::NoSync);
        }
        let taken = pad + if place.is_some() { N } else { 0 };
        self.bytes = self.bytes.get(taken..).unwrap_or_default();
        self.taken += taken;
        Ok(place.is_some())
    }
}

fn pad_len(bytes: [u8; 2]) -> Result<u16, MseError> {
    let len = u16::from_be_bytes(bytes);
    if usize::from(len) <= PAD_LEN_MAX { Ok(len) } else { Err(MseError::PadTooLong(len)) }
}

/// A public key and its padding.
fn greeting(public: &[u8; KEY_LEN], pad: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(public);
    out.extend_from_slice(pad.get(..PAD_LEN_MAX).unwrap_or(pad));
}

#[cfg(test)]
mod tests;

//! The 68 bytes that open a link, as bytes; what they say is [`Handshake`]. Whether the link is welcome is not asked here.
//!
//! Invariant: the first byte that is not the protocol's refuses the stream, however few bytes are there. BEP: 3

use crate::message::{Handshake, Reserved};
use crate::{InfoHash, PeerId};
use core::fmt;

/// Bytes of a handshake.
pub const HANDSHAKE_LEN: usize = 68;

/// Bytes up to the end of the info-hash: all that a listener needs to know which torrent is meant. Trackers that test
/// whether we can be reached send no more than this.
pub const HEAD_LEN: usize = 48;

/// Length and name of the protocol.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The bytes are no handshake of BEP 3; perhaps an encrypted one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotBitTorrent {
    /// The first byte that differs from [`PROTOCOL`].
    pub at: usize,
}

impl fmt::Display for NotBitTorrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a BitTorrent handshake: byte {} differs", self.at)
    }
}

impl core::error::Error for NotBitTorrent {}

/// The handshake at the beginning of `unread`, or `None` while fewer than [`HANDSHAKE_LEN`] bytes are there.
///
/// # Errors
/// When a byte of the protocol's name, as far as they are there, is wrong.
pub fn decode(unread: &[u8]) -> Result<Option<Handshake>, NotBitTorrent> {
    let Some((reserved, info_hash)) = decode_head(unread)? else { return Ok(None) };
    let peer_id = unread.get(HEAD_LEN..).and_then(|rest| rest.first_chunk()).copied().map(PeerId);
    Ok(peer_id.map(|peer_id| Handshake { reserved, info_hash, peer_id }))
}

/// What the first [`HEAD_LEN`] bytes say, or `None` while fewer are there. A listener answers as soon as it knows the torrent.
///
/// # Errors
/// As [`decode`].
pub fn decode_head(unread: &[u8]) -> Result<Option<(Reserved, InfoHash)>, NotBitTorrent> {
    if let Some(at) = unread.iter().zip(PROTOCOL).position(|(theirs, ours)| theirs != ours) {
        return Err(NotBitTorrent { at });
    }
    let fields = unread.get(PROTOCOL.len()..).and_then(|rest| rest.split_first_chunk::<8>());
    let Some((reserved, rest)) = fields else { return Ok(None) };
    Ok(rest.first_chunk().map(|info_hash| (Reserved(*reserved), InfoHash(*info_hash))))
}

/// A handshake as bytes.
pub fn encode(handshake: &Handshake) -> [u8; HANDSHAKE_LEN] {
    let mut bytes = [0; HANDSHAKE_LEN];
    let Handshake { reserved, info_hash, peer_id } = handshake;
    bytes[..20].copy_from_slice(PROTOCOL);
    bytes[20..28].copy_from_slice(&reserved.0);
    bytes[28..HEAD_LEN].copy_from_slice(&info_hash.0);
    bytes[HEAD_LEN..].copy_from_slice(&peer_id.0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake { reserved: Reserved::OURS, info_hash: InfoHash([1; 20]), peer_id: PeerId([2; 20]) }
    }

    #[test]
    fn a_handshake_survives_the_wire_and_every_split() {
        let bytes = encode(&handshake());
        for split in 0..HANDSHAKE_LEN {
            assert_eq!(decode(&bytes[..split]), Ok(None), "{split}");
            assert_eq!(
                decode_head(&bytes[..split]).map(|head| head.is_some()),
                Ok(split >= HEAD_LEN),
                "{split}"
            );
        }
        let followed = [&bytes[..], b"and more"].concat();
        assert_eq!(decode(&followed), Ok(Some(handshake())));
    }

    #[test]
    fn the_first_wrong_byte_of_the_name_is_named_at_once() {
        let bytes = encode(&handshake());
        for at in 0..PROTOCOL.len() {
            let mut wrong = bytes;
            wrong[at] ^= 0x20;
            assert_eq!(decode(&wrong[..at]), Ok(None));
            assert_eq!(decode(&wrong[..=at]), Err(NotBitTorrent { at }));
            assert_eq!(decode(&wrong), Err(NotBitTorrent { at }));
        }
        assert_eq!(decode(b"GET / HTTP/1.1\r\n"), Err(NotBitTorrent { at: 0 }));
    }
}

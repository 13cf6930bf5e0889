//! Why a magnet link cannot be used: what is wrong, and what a person can do.

use core::fmt;

use super::{MAGNET_BYTES_MAX, SELECTED_RANGES_MAX};
use crate::item::SALT_LEN_MAX;

/// Why a magnet link cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MagnetError {
    /// It does not begin with `magnet:?`.
    NotAMagnet,
    /// It has this many bytes.
    TooLong(usize),
    /// A control character stands at this byte.
    Control(usize),
    /// There is no `xt`.
    NoTopic,
    /// There is, but of no BitTorrent network.
    NotBitTorrent,
    /// It names a BEP 52 torrent alone.
    V2Only,
    /// The hash has neither 40 hexadecimal digits nor 32 of base32.
    BadHash,
    /// It names two torrents.
    TwoTorrents,
    /// It names a publisher alone (BEP 46), where a torrent is needed.
    Mutable,
    /// The publisher's key has not 64 hexadecimal digits.
    BadKey,
    /// The publisher's salt is not of hexadecimal digits, or too long.
    BadSalt,
    /// `so` is no list of file numbers.
    Selection,
}

impl fmt::Display for MagnetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const AGAIN: &str = "copy the link again, whole";
        match self {
            MagnetError::NotAMagnet => {
                write!(f, "not a magnet link: it does not begin with \"magnet:?\"; {AGAIN}")
            }
            MagnetError::TooLong(len) => {
                write!(
                    f,
                    "the magnet link has {len} bytes, more than {MAGNET_BYTES_MAX}; leave some of its trackers out"
                )
            }
            MagnetError::Control(at) => {
                write!(f, "the magnet link has a control character at byte {at}; {AGAIN}, on one line")
            }
            MagnetError::NoTopic => {
                write!(f, "the magnet link does not say which torrent: it has no \"xt=\"; {AGAIN}")
            }
            MagnetError::NotBitTorrent => {
                write!(
                    f,
                    "the magnet link is for another network: its \"xt=\" is no \"urn:btih:\"; look for a BitTorrent link"
                )
            }
            MagnetError::V2Only => write!(
                f,
                "the magnet link is for BitTorrent v2 alone, which is not supported yet; look for a hybrid or v1 link of it"
            ),
            MagnetError::BadHash => write!(
                f,
                "the magnet link's hash is damaged: after \"urn:btih:\" there must be 40 hexadecimal digits or 32 of base32; {AGAIN}"
            ),
            MagnetError::TwoTorrents => {
                write!(f, "the magnet link names two torrents; use one link for each")
            }
            MagnetError::Mutable => write!(
                f,
                "the magnet link names a publisher (\"xs=urn:btpk:\"), whose newest torrent only the DHT knows: what needs a torrent needs a link with \"xt=urn:btih:\""
            ),
            MagnetError::BadKey => write!(
                f,
                "the magnet link's publisher is damaged: after \"urn:btpk:\" there must be 64 hexadecimal digits; {AGAIN}"
            ),
            MagnetError::BadSalt => write!(
                f,
                "the magnet link's \"s=\" is damaged: it must be pairs of hexadecimal digits, at most {SALT_LEN_MAX}; {AGAIN}"
            ),
            MagnetError::Selection => write!(
                f,
                "the magnet link's \"so=\" is no list of at most {SELECTED_RANGES_MAX} file numbers like 0,2,4-6; remove it to get all files"
            ),
        }
    }
}

impl core::error::Error for MagnetError {}

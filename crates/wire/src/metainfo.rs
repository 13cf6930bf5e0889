//! What a `.torrent` holds, checked: a value of this type can be downloaded. BEP: 3, 12, 19, 27, 47

use crate::{InfoHash, Layout, PieceIndex};

/// A torrent's description, right by construction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// SHA-1 of the `info` dictionary as it stood in the file.
    pub info_hash: InfoHash,
    /// Pieces, blocks and files.
    pub layout: Layout,
    /// No peers from anywhere but its own trackers (BEP 27).
    pub private: bool,
    /// Announce URLs in tiers (BEP 12); `announce` alone is one tier of one.
    pub trackers: Vec<Vec<String>>,
    piece_hashes: Box<[[u8; 20]]>,
}

impl Metainfo {
    /// SHA-1 that the piece must have.
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        self.piece_hashes[piece.as_usize()]
    }
}

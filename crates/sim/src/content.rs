//! What the bytes of a torrent are, without bytes: every block is one number, a function of (torrent, piece, offset).
//!
//! A right block carries the right [`Tag`]; anything else is another number. Hashing looks at tags, and the block digests of
//! the seam are made of tag and key, so that blame works as on real bytes. Nothing is stored for what is right.

use crate::tracker::TRACKER_URL;
use proto::BlockSet;
use proto::input::BlockDigest;
use std::sync::Arc;
use wire::layout::LayoutError;
use wire::{Block, Layout, Metainfo, PieceIndex};

/// What the bytes of one block are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(u64);

impl Tag {
    /// What torn sectors and rotten bits read as.
    pub const GARBAGE: Tag = Tag(0xdead);

    /// Other bytes in place of these; different for each `salt`.
    pub fn spoilt(self, salt: u64) -> Tag {
        let other = mix(self.0 ^ mix(salt ^ 0x5b0f));
        Tag(if other == self.0 { !other } else { other })
    }

    /// The digest that a driver would make of the block's bytes under this key.
    pub fn digest(self, key: [u8; 16]) -> BlockDigest {
        let key = u128::from_le_bytes(key);
        let (low, high) = (mix(self.0 ^ key as u64), mix(self.0 ^ (key >> 64) as u64 ^ 1));
        BlockDigest((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }
}

/// One torrent's content and description, shared by all nodes.
#[derive(Debug)]
pub struct Content {
    metainfo: Arc<Metainfo>,
    key: u64,
}

impl Content {
    /// The content that this metainfo describes.
    pub fn new(metainfo: Arc<Metainfo>) -> Content {
        let key = metainfo.info_hash.0.iter().fold(0, |key, &byte| mix(key ^ u64::from(byte)));
        Content { metainfo, key }
    }

    /// A made-up torrent of one file, its trackers those of the simulated world.
    ///
    /// # Errors
    /// As [`Layout::with_block_len`].
    pub fn made_up(name: &str, total: u64, piece_len: u32, block_len: u32) -> Result<Content, LayoutError> {
        Content::with_web_seeds(name, Layout::with_block_len(total, piece_len, block_len)?, Vec::new())
    }

    /// The same, with these web seeds.
    ///
    /// # Errors
    /// None, for a layout that exists.
    pub fn with_web_seeds(
        name: &str,
        layout: Layout,
        web_seeds: Vec<String>,
    ) -> Result<Content, LayoutError> {
        let hash = |piece: PieceIndex| {
            let mut hash = [0; 20];
            hash[..4].copy_from_slice(&piece.0.to_be_bytes());
            hash
        };
        let hashes: Vec<[u8; 20]> = layout.piece_indices().map(hash).collect();
        // One hash per piece, by construction: there is nothing else that could be wrong.
        let mut metainfo =
            Metainfo::synthetic(name, layout, &hashes).map_err(|_| LayoutError::TooManyPieces)?;
        metainfo.trackers = vec![vec![TRACKER_URL.into()]];
        metainfo.web_seeds = web_seeds;
        Ok(Content::new(Arc::new(metainfo)))
    }

    /// The same, but that its description names no tracker.
    #[must_use]
    pub fn without_tracker(&self) -> Content {
        let mut metainfo = (*self.metainfo).clone();
        metainfo.trackers.clear();
        Content { metainfo: Arc::new(metainfo), key: self.key }
    }

    /// The same, but private (BEP 27).
    #[must_use]
    pub fn private(&self) -> Content {
        let mut metainfo = (*self.metainfo).clone();
        metainfo.private = true;
        Content { metainfo: Arc::new(metainfo), key: self.key }
    }

    /// Its description.
    pub fn metainfo(&self) -> &Arc<Metainfo> {
        &self.metainfo
    }

    /// The right tag of a block.
    pub fn tag(&self, block: Block) -> Tag {
        Tag(mix(self.key ^ mix(u64::from(block.piece.0) << 32 | u64::from(block.offset))))
    }

    /// The right tag of the piece's block with this number.
    pub fn nth_tag(&self, piece: PieceIndex, index: u32) -> Tag {
        self.tag(self.metainfo.layout.nth_block(piece, index))
    }
}

/// Some blocks of one piece, right or wrong, as some memory or medium holds them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cells {
    there: BlockSet,
    /// Those whose tag is not the right one; few.
    wrong: Vec<(u32, Tag)>,
}

impl Cells {
    /// All blocks of a piece, right.
    pub fn whole(content: &Content, piece: PieceIndex) -> Cells {
        let blocks = content.metainfo.layout.blocks_in(piece);
        Cells { there: BlockSet::full(blocks), wrong: Vec::new() }
    }

    /// Puts a block there, over what was there.
    pub fn put(&mut self, content: &Content, piece: PieceIndex, index: u32, tag: Tag) {
        self.there.insert(index);
        self.wrong.retain(|&(wrong, _)| wrong != index);
        if tag != content.nth_tag(piece, index) {
            self.wrong.push((index, tag));
        }
    }

    /// Takes a block away.
    pub fn take(&mut self, index: u32) {
        self.there.remove(index);
        self.wrong.retain(|&(wrong, _)| wrong != index);
    }

    /// What a block reads as, if it is there.
    pub fn get(&self, content: &Content, piece: PieceIndex, index: u32) -> Option<Tag> {
        let wrong = self.wrong.iter().find(|&&(wrong, _)| wrong == index);
        self.there.has(index).then(|| wrong.map_or_else(|| content.nth_tag(piece, index), |&(_, tag)| tag))
    }

    /// Which blocks are there.
    pub fn blocks(&self) -> &BlockSet {
        &self.there
    }

    /// Whether all blocks of the piece are there and right.
    pub fn is_right(&self, content: &Content, piece: PieceIndex) -> bool {
        self.wrong.is_empty() && self.there.count() == content.metainfo.layout.blocks_in(piece)
    }
}

/// A bijection that spreads every bit (the finaliser of SplitMix64).
pub(crate) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

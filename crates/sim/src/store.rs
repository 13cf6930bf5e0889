//! What a disk holds of one torrent, in its three places: memory, page cache, medium.
//!
//! Pure bookkeeping of blocks by tag; times and errors are `disk`'s. Always: what is on the medium was synced, or survived a
//! crash by chance; the part store keeps a piece's blocks until a record that has the piece whole is committed.

use crate::content::{Cells, Content, Tag};
use crate::disk::found_by;
use proto::input::{BlockDigest, Found};
use proto::{Attempt, BlockSet, ResumeRecord, Rng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::{Bitfield, Block, PieceIndex};

/// Where a block was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Memory,
    Files,
}

/// What a disk holds of one torrent.
pub struct Store {
    content: Arc<Content>,
    /// Blocks of open and unwritten pieces in memory.
    buffers: BTreeMap<PieceIndex, Cells>,
    /// Attempts of this run that were given up; what was asked for them has no effect any more.
    discarded: BTreeMap<PieceIndex, Attempt>,
    /// The files as a reader sees them, and as they lie on the medium.
    files: [Area; 2],
    /// The part store, likewise.
    parts: [Area; 2],
    /// Pieces that were written: what the part store still has of them is there for the next start alone.
    outlived: BTreeSet<PieceIndex>,
    /// Writes that no sync has covered, oldest first.
    unsynced: Vec<Dirty>,
    writes: u64,
    record: Option<ResumeRecord>,
    /// The record with which this run began.
    opened_with: Option<ResumeRecord>,
    /// Somebody touched the files behind our back.
    changed: bool,
}

const CACHE: usize = 0;
const MEDIUM: usize = 1;

#[derive(Clone, Debug)]
struct Area {
    whole: Bitfield,
    partial: BTreeMap<PieceIndex, Cells>,
}

#[derive(Clone, Debug)]
struct Dirty {
    number: u64,
    part_store: bool,
    piece: PieceIndex,
    blocks: BlockSet,
}

impl Store {
    pub(crate) fn new(content: Arc<Content>) -> Store {
        let area =
            || Area { whole: Bitfield::new(content.metainfo().layout.pieces()), partial: BTreeMap::new() };
        Store {
            buffers: BTreeMap::new(),
            discarded: BTreeMap::new(),
            files: [area(), area()],
            parts: [area(), area()],
            outlived: BTreeSet::new(),
            unsynced: Vec::new(),
            writes: 0,
            record: None,
            opened_with: None,
            changed: false,
            content,
        }
    }

    /// The torrent.
    pub fn content(&self) -> &Arc<Content> {
        &self.content
    }

    /// The record that a restart would find.
    pub fn record(&self) -> Option<&ResumeRecord> {
        self.record.as_ref()
    }

    /// Lays these pieces down, right and durable, before the story begins.
    pub(crate) fn preload(&mut self, pieces: &Bitfield) {
        for piece in pieces.iter() {
            for area in &mut self.files {
                area.whole.insert(piece);
            }
        }
    }

    /// Makes a record durable.
    pub(crate) fn commit(&mut self, record: ResumeRecord) {
        for parts in &mut self.parts {
            parts.partial.retain(|&piece, _| !record.have.has(piece));
            for piece in record.have.iter() {
                parts.whole.remove(piece);
            }
        }
        self.record = Some(record);
    }

    /// Spoils a block of the files on every level, as rotten bits do.
    pub(crate) fn rot(&mut self, piece: PieceIndex, index: u32) {
        for area in &mut self.files {
            let mut cells = area.cells(&self.content, piece);
            cells.put(&self.content, piece, index, Tag::GARBAGE);
            area.set(&self.content, piece, cells);
        }
    }

    /// Lets the files look as if somebody had touched them since the record was written.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// Puts a received block into memory; says whether it is new there.
    pub(crate) fn keep(&mut self, block: Block, tag: Tag) -> bool {
        let index = self.content.metainfo().layout.block_index(block);
        let cells = self.buffers.entry(block.piece).or_default();
        let new = !cells.blocks().has(index);
        cells.put(&self.content, block.piece, index, tag);
        new
    }

    /// Whether an unverified block of an open piece is there: in memory or spilled.
    pub(crate) fn holds(&self, block: Block) -> bool {
        let index = self.content.metainfo().layout.block_index(block);
        self.unverified(block.piece, index).is_some()
    }

    /// Forgets a piece's blocks in memory and in the part store.
    pub(crate) fn discard(&mut self, piece: PieceIndex, attempt: Attempt) {
        self.discarded.insert(piece, attempt);
        self.buffers.remove(&piece);
        self.parts[CACHE].clear(piece);
    }

    /// What a start finds.
    pub(crate) fn found(&mut self) -> Found {
        let pieces = self.content.metainfo().layout.pieces();
        let mut data = Bitfield::new(pieces);
        let files = &self.files[CACHE];
        for piece in files.whole.iter().chain(files.partial.keys().copied()) {
            data.insert(piece);
        }
        self.opened_with = self.record.clone();
        found_by(self.record.as_ref(), data, core::mem::take(&mut self.changed))
    }

    /// Throws away what lies in the part store and no record speaks of.
    pub(crate) fn sweep_parts(&mut self) {
        let open = self.record.as_ref().map_or(&[][..], |record| &record.open);
        for parts in &mut self.parts {
            let pieces = parts.whole.iter().chain(parts.partial.keys().copied());
            for piece in pieces.collect::<Vec<PieceIndex>>() {
                let recorded = open.iter().find(|open| open.piece == piece);
                let mut cells = parts.cells(&self.content, piece);
                for index in cells.blocks().clone().iter() {
                    if !recorded.is_some_and(|open| open.blocks.has(index)) {
                        cells.take(index);
                    }
                }
                parts.set(&self.content, piece, cells);
            }
        }
    }

    /// Those of these pieces that are whole and right in the files.
    pub(crate) fn check(&self, pieces: &Bitfield) -> Bitfield {
        let mut good = Bitfield::new(pieces.len());
        for piece in pieces.iter().filter(|&piece| self.files[CACHE].is_right(&self.content, piece)) {
            good.insert(piece);
        }
        good
    }

    /// All blocks of a piece for hashing, spilled ones read back; or the number of one that should be there and is not.
    pub(crate) fn load(&mut self, piece: PieceIndex) -> Result<Vec<Tag>, u32> {
        let blocks = self.content.metainfo().layout.blocks_in(piece);
        let mut cells = Cells::default();
        for index in 0..blocks {
            // What a record of an earlier run promises may be gone, if that run crashed while it discarded it.
            let promised = self.opened_with.as_ref().is_some_and(|record| {
                record.open.iter().any(|open| open.piece == piece && open.blocks.has(index))
            });
            let tag = self.unverified(piece, index).or(promised.then_some(Tag::GARBAGE)).ok_or(index)?;
            cells.put(&self.content, piece, index, tag);
        }
        let tags = (0..blocks).filter_map(|index| cells.get(&self.content, piece, index)).collect();
        self.buffers.insert(piece, cells);
        Ok(tags)
    }

    /// The digests of blocks in memory.
    pub(crate) fn digests(&self, piece: PieceIndex, blocks: &BlockSet, key: [u8; 16]) -> Box<[BlockDigest]> {
        let cells = self.buffers.get(&piece);
        let tag = |index| cells.and_then(|cells| cells.get(&self.content, piece, index));
        blocks.iter().filter_map(tag).map(|tag| tag.digest(key)).collect()
    }

    /// Whether these are the right tags of a piece: the hash.
    pub(crate) fn is_right(&self, piece: PieceIndex, tags: &[Tag]) -> bool {
        (0u32..).zip(tags).all(|(index, &tag)| tag == self.content.nth_tag(piece, index))
    }

    /// Writes a piece from memory to the files; or again, if it is there already.
    pub(crate) fn write(&mut self, piece: PieceIndex) -> Result<(), &'static str> {
        let cells = match self.buffers.remove(&piece) {
            Some(cells) => cells,
            None => self.files[CACHE].cells(&self.content, piece),
        };
        if !cells.is_right(&self.content, piece) {
            return Err("it is not whole and right");
        }
        self.mark_dirty(false, piece, cells.blocks().clone());
        self.files[CACHE].set(&self.content, piece, cells);
        self.outlived.insert(piece);
        Ok(())
    }

    /// Moves blocks from memory to the part store; or the number of one that is not in memory.
    pub(crate) fn spill(
        &mut self,
        piece: PieceIndex,
        attempt: Attempt,
        blocks: &BlockSet,
    ) -> Result<(), u32> {
        if self.discarded.get(&piece).is_some_and(|&last| attempt <= last) {
            return Ok(());
        }
        let cells = self.buffers.entry(piece).or_default();
        if self.outlived.remove(&piece) {
            self.parts[CACHE].clear(piece);
        }
        let mut parts = self.parts[CACHE].cells(&self.content, piece);
        for index in blocks.iter() {
            let tag = cells.get(&self.content, piece, index).ok_or(index)?;
            parts.put(&self.content, piece, index, tag);
            cells.take(index);
        }
        if cells.blocks().is_empty() {
            self.buffers.remove(&piece);
        }
        self.parts[CACHE].set(&self.content, piece, parts);
        self.mark_dirty(true, piece, blocks.clone());
        Ok(())
    }

    /// How many writes were done so far.
    pub(crate) fn writes(&self) -> u64 {
        self.writes
    }

    /// Brings the first `mark` writes to the medium.
    pub(crate) fn sync(&mut self, mark: u64) {
        let covered = self.unsynced.iter().take_while(|dirty| dirty.number < mark).count();
        let Store { files, parts, content, .. } = self;
        for dirty in self.unsynced.drain(..covered) {
            let area = if dirty.part_store { &mut *parts } else { &mut *files };
            let [cache, medium] = area;
            let (from, mut to) = (cache.cells(content, dirty.piece), medium.cells(content, dirty.piece));
            for index in dirty.blocks.iter() {
                if let Some(tag) = from.get(content, dirty.piece, index) {
                    to.put(content, dirty.piece, index, tag);
                }
            }
            medium.set(content, dirty.piece, to);
        }
    }

    /// A sync failed: what no sync covers never gets to the medium. A driver then forgets what is cached of it, so that a
    /// check sees the medium and not what the kernel wishes it had written.
    pub(crate) fn doom(&mut self) {
        for dirty in core::mem::take(&mut self.unsynced) {
            let [cache, medium] = if dirty.part_store { &mut self.parts } else { &mut self.files };
            cache.set(&self.content, dirty.piece, medium.cells(&self.content, dirty.piece));
        }
    }

    /// Reads a block of a piece that we have.
    pub(crate) fn read(&self, block: Block) -> Option<(Tag, Place)> {
        let index = self.content.metainfo().layout.block_index(block);
        let buffered = self.buffers.get(&block.piece);
        let buffered = buffered.and_then(|cells| cells.get(&self.content, block.piece, index));
        match buffered {
            Some(tag) => Some((tag, Place::Memory)),
            None => Some((self.files[CACHE].get(&self.content, block.piece, index)?, Place::Files)),
        }
    }

    /// Whether a piece can be read, whole and right, from memory or the files.
    pub fn serves(&self, piece: PieceIndex) -> bool {
        let buffered = self.buffers.get(&piece);
        buffered.is_some_and(|cells| cells.is_right(&self.content, piece))
            || self.files[CACHE].is_right(&self.content, piece)
    }

    /// Whether a piece is whole and right on the medium.
    pub fn is_durable(&self, piece: PieceIndex) -> bool {
        self.files[MEDIUM].is_right(&self.content, piece)
    }

    /// The blocks of an open piece that are in the part store and on the medium.
    pub fn durable_parts(&self, piece: PieceIndex) -> BlockSet {
        self.parts[MEDIUM].cells(&self.content, piece).blocks().clone()
    }

    /// Bytes of blocks in memory. Walks the open pieces.
    pub fn buffered(&self) -> u64 {
        let block = u64::from(self.content.metainfo().layout.block_len());
        self.buffers.values().map(|cells| u64::from(cells.blocks().count()) * block).sum()
    }

    /// The process is gone, and its memory.
    pub(crate) fn forget_memory(&mut self) {
        self.buffers.clear();
        self.discarded.clear();
        self.outlived.clear();
    }

    /// The power is gone: what was not synced is there, not there, or there in part.
    pub(crate) fn lose_power(&mut self, rng: &mut Rng) {
        for dirty in core::mem::take(&mut self.unsynced) {
            let fate = rng.below(3);
            let [cache, medium] = if dirty.part_store { &mut self.parts } else { &mut self.files };
            let from = cache.cells(&self.content, dirty.piece);
            let mut to = medium.cells(&self.content, dirty.piece);
            for index in dirty.blocks.iter() {
                let survives = fate == 1 || fate == 2 && rng.below(2) == 0;
                let torn = fate == 2 && rng.below(8) == 0;
                let old = to.get(&self.content, dirty.piece, index);
                match from.get(&self.content, dirty.piece, index) {
                    // Writing over sectors what they hold already cannot spoil them.
                    Some(tag) if old == Some(tag) => {}
                    Some(_) if torn => to.put(&self.content, dirty.piece, index, Tag::GARBAGE),
                    Some(tag) if survives => to.put(&self.content, dirty.piece, index, tag),
                    Some(_) | None => {}
                }
            }
            medium.set(&self.content, dirty.piece, to);
        }
        self.files[CACHE] = self.files[MEDIUM].clone();
        self.parts[CACHE] = self.parts[MEDIUM].clone();
    }

    /// A write under way when everything stopped: each block is there or not.
    pub(crate) fn tear_write(&mut self, piece: PieceIndex, rng: &mut Rng) {
        let Some(cells) = self.buffers.get(&piece) else { return };
        let blocks: BlockSet = cells.blocks().iter().filter(|_| rng.below(2) == 0).collect();
        let mut there = self.files[CACHE].cells(&self.content, piece);
        for index in blocks.iter() {
            let tag =
                if rng.below(8) == 0 { Some(Tag::GARBAGE) } else { cells.get(&self.content, piece, index) };
            tag.into_iter().for_each(|tag| there.put(&self.content, piece, index, tag));
        }
        self.files[CACHE].set(&self.content, piece, there);
        self.mark_dirty(false, piece, blocks);
    }

    /// A spill under way when everything stopped: each block is there or not.
    pub(crate) fn tear_spill(
        &mut self,
        piece: PieceIndex,
        attempt: Attempt,
        blocks: &BlockSet,
        rng: &mut Rng,
    ) {
        let some: BlockSet = blocks.iter().filter(|_| rng.below(2) == 0).collect();
        // A block that is not in memory any more was spilled before, or its attempt is over.
        let _ = self.spill(piece, attempt, &some);
    }

    fn unverified(&self, piece: PieceIndex, index: u32) -> Option<Tag> {
        let buffered = self.buffers.get(&piece).and_then(|cells| cells.get(&self.content, piece, index));
        let spilled = || self.parts[CACHE].get(&self.content, piece, index);
        buffered.or_else(|| if self.outlived.contains(&piece) { None } else { spilled() })
    }

    fn mark_dirty(&mut self, part_store: bool, piece: PieceIndex, blocks: BlockSet) {
        self.unsynced.push(Dirty { number: self.writes, part_store, piece, blocks });
        self.writes += 1;
    }
}

impl Area {
    fn cells(&self, content: &Content, piece: PieceIndex) -> Cells {
        match self.partial.get(&piece) {
            Some(cells) => cells.clone(),
            None if self.whole.has(piece) => Cells::whole(content, piece),
            None => Cells::default(),
        }
    }

    fn set(&mut self, content: &Content, piece: PieceIndex, cells: Cells) {
        self.clear(piece);
        if cells.is_right(content, piece) {
            self.whole.insert(piece);
        } else if !cells.blocks().is_empty() {
            self.partial.insert(piece, cells);
        }
    }

    fn clear(&mut self, piece: PieceIndex) {
        self.whole.remove(piece);
        self.partial.remove(&piece);
    }

    fn get(&self, content: &Content, piece: PieceIndex, index: u32) -> Option<Tag> {
        match self.partial.get(&piece) {
            Some(cells) => cells.get(content, piece, index),
            None => self.whole.has(piece).then(|| content.nth_tag(piece, index)),
        }
    }

    fn is_right(&self, content: &Content, piece: PieceIndex) -> bool {
        match self.partial.get(&piece) {
            Some(cells) => cells.is_right(content, piece),
            None => self.whole.has(piece),
        }
    }
}

//! Where the bytes of blocks are between the socket and the disk: parked until the session says what they are, then kept in
//! the buffer of their piece until they are written, spilled or discarded. Serves reads of what is kept.
//!
//! Knows no peer and decides nothing; the session bounds how much is here by its lease of buffer bytes.
//! Invariant: a slice once kept is never written to again, so hashing, writing and sending may share it.

use super::metadata::MetadataPieces;
use crate::disk::job::{BlockSource, Payload};
use crate::edge::web::Flow;
use bytes::{Bytes, BytesMut};
use proto::{Attempt, BlockSet, FetchId, PayloadId, TorrentId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use wire::{Block, Layout, PieceIndex};

/// All payload of one loop.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    /// Not yet judged.
    pub(crate) parked: Parked,
    /// Kept.
    pub(crate) pieces: Pieces,
    /// How much of each range from a web seed may be on its way to us.
    pub(crate) flows: HashMap<FetchId, Arc<Flow>>,
    /// Kept, of metadata.
    pub(crate) metadata: MetadataPieces,
}

/// Blocks that the session has not yet judged.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    slots: Vec<(u32, Option<Bytes>)>,
    free: Vec<u32>,
}

impl Parked {
    /// Parks a block's bytes.
    pub(crate) fn park(&mut self, bytes: Bytes) -> PayloadId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let (generation, tenant) = &mut self.slots[slot as usize];
        *tenant = Some(bytes);
        PayloadId { slot, generation: *generation }
    }

    /// Takes a block's bytes out; `None` if the id is stale.
    pub(crate) fn take(&mut self, payload: PayloadId) -> Option<Bytes> {
        let (generation, tenant) = self.slots.get_mut(payload.slot as usize)?;
        let bytes = (*generation == payload.generation).then(|| tenant.take()).flatten()?;
        *generation = generation.wrapping_add(1);
        self.free.push(payload.slot);
        Some(bytes)
    }
}

/// The pieces of which we hold blocks in memory.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    buffers: HashMap<(TorrentId, PieceIndex), Buffer>,
}

/// One piece on its way to the disk.
#[derive(Debug, Default)]
struct Buffer {
    /// By block number; absent is not here (any more).
    blocks: Vec<Option<Bytes>>,
    /// Blocks handed to the disk to be spilled, in the order asked.
    spilling: VecDeque<(Attempt, BlockSet)>,
}

impl Pieces {
    /// Holds a block in its piece's buffer.
    pub(crate) fn keep(&mut self, torrent: TorrentId, layout: &Layout, block: Block, bytes: Bytes) {
        let buffer = self.buffers.entry((torrent, block.piece)).or_default();
        let index = layout.block_index(block) as usize;
        if buffer.blocks.len() <= index {
            buffer.blocks.resize(layout.blocks_in(block.piece) as usize, None);
        }
        if let Some(place) = buffer.blocks.get_mut(index) {
            *place = Some(bytes);
        }
    }

    /// Every block of a piece, to be hashed or written: from memory where it is here, else from where it was spilled to.
    pub(crate) fn sources(&self, torrent: TorrentId, layout: &Layout, piece: PieceIndex) -> Vec<BlockSource> {
        let buffer = self.buffers.get(&(torrent, piece));
        (0..layout.blocks_in(piece) as usize)
            .map(|index| match buffer.and_then(|buffer| buffer.blocks.get(index)) {
                Some(Some(bytes)) => BlockSource::Memory(Payload::one(bytes.clone())),
                Some(None) | None => BlockSource::Spilled,
            })
            .collect()
    }

    /// Those of these blocks that are in memory, to be spilled. They stay here until [`Pieces::spilled`].
    pub(crate) fn spill(
        &mut self,
        torrent: TorrentId,
        piece: PieceIndex,
        attempt: Attempt,
        blocks: BlockSet,
    ) -> Vec<(u32, Payload)> {
        let Some(buffer) = self.buffers.get_mut(&(torrent, piece)) else { return Vec::new() };
        let bytes_of = |index: u32| buffer.blocks.get(index as usize)?.clone();
        let found = blocks.iter().filter_map(|index| Some((index, Payload::one(bytes_of(index)?)))).collect();
        buffer.spilling.push_back((attempt, blocks));
        found
    }

    /// The disk has the blocks of this attempt's oldest spill.
    pub(crate) fn spilled(&mut self, torrent: TorrentId, piece: PieceIndex, attempt: Attempt) {
        let Some(blocks) = self.end_spill(torrent, piece, attempt) else { return };
        let Some(buffer) = self.buffers.get_mut(&(torrent, piece)) else { return };
        for index in blocks.iter() {
            if let Some(place) = buffer.blocks.get_mut(index as usize) {
                *place = None;
            }
        }
        if buffer.spilling.is_empty() && buffer.blocks.iter().all(Option::is_none) {
            self.buffers.remove(&(torrent, piece));
        }
    }

    /// The disk will not have them: they stay here.
    pub(crate) fn spill_failed(&mut self, torrent: TorrentId, piece: PieceIndex, attempt: Attempt) {
        self.end_spill(torrent, piece, attempt);
    }

    /// A late answer about an attempt that was discarded ends nothing.
    fn end_spill(&mut self, torrent: TorrentId, piece: PieceIndex, attempt: Attempt) -> Option<BlockSet> {
        let buffer = self.buffers.get_mut(&(torrent, piece))?;
        let (_, blocks) = buffer.spilling.pop_front_if(|(asked, _)| *asked == attempt)?;
        Some(blocks)
    }

    /// Forgets a piece: it is written, or of no use.
    pub(crate) fn forget(&mut self, torrent: TorrentId, piece: PieceIndex) {
        self.buffers.remove(&(torrent, piece));
    }

    /// Forgets a torrent. Scans all buffers: torrents go rarely.
    pub(crate) fn forget_torrent(&mut self, torrent: TorrentId) {
        self.buffers.retain(|&(other, _), _| other != torrent);
    }

    /// The bytes of a range, if all of them are in memory.
    pub(crate) fn read(&self, torrent: TorrentId, layout: &Layout, range: Block) -> Option<Payload> {
        let buffer = self.buffers.get(&(torrent, range.piece))?;
        let block_len = layout.block_len();
        let (first, end) = (range.offset / block_len, range.offset + range.len);
        let slice = |index: u32| -> Option<Bytes> {
            let bytes = buffer.blocks.get(index as usize)?.as_ref()?;
            let start = index * block_len;
            let from = range.offset.saturating_sub(start) as usize;
            let to = (end - start).min(block_len) as usize;
            (from <= to && to <= bytes.len()).then(|| bytes.slice(from..to))
        };
        match (end - 1) / block_len - first {
            0 => Some(Payload::one(slice(first)?)),
            1 => Some(Payload::two(slice(first)?, slice(first + 1)?)),
            // Requests are at most one block long, so this is a layout with small blocks: copy.
            more => {
                let mut bytes = BytesMut::with_capacity(range.len as usize);
                for index in first..=first + more {
                    bytes.extend_from_slice(&slice(index)?);
                }
                Some(Payload::one(bytes.freeze()))
            }
        }
    }

    /// How many pieces have a buffer.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.buffers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TORRENT: TorrentId = TorrentId { slot: 0, generation: 0 };
    const PIECE: PieceIndex = PieceIndex(1);

    fn layout() -> Layout {
        Layout::new(3 * 65_536, 65_536).unwrap()
    }

    fn filled() -> Pieces {
        let (mut pieces, layout) = (Pieces::default(), layout());
        for index in 0..4 {
            pieces.keep(TORRENT, &layout, layout.nth_block(PIECE, index), vec![index as u8; 16_384].into());
        }
        pieces
    }

    fn bytes(payload: Payload) -> Vec<u8> {
        payload.slices().map(|slice| slice.to_vec()).concat()
    }

    #[test]
    fn a_payload_is_taken_once() {
        let mut parked = Parked::default();
        let id = parked.park(Bytes::from_static(b"a"));
        assert_eq!(parked.take(id).as_deref(), Some(&b"a"[..]));
        assert_eq!(parked.take(id), None);
        let other = parked.park(Bytes::from_static(b"b"));
        assert_eq!(other.slot, id.slot);
        assert_eq!(parked.take(id), None, "the id is stale");
        assert!(parked.take(other).is_some());
    }

    #[test]
    fn a_range_is_served_from_memory_only_if_all_of_it_is_there() {
        let (mut pieces, layout) = (filled(), layout());
        let range = Block { piece: PIECE, offset: 10_000, len: 16_384 };
        let served = bytes(pieces.read(TORRENT, &layout, range).unwrap());
        assert_eq!(served, [vec![0; 6_384], vec![1; 10_000]].concat());
        pieces.spill(TORRENT, PIECE, Attempt(0), BlockSet::from_iter([1]));
        assert!(pieces.read(TORRENT, &layout, range).is_some(), "until it is spilled");
        pieces.spilled(TORRENT, PIECE, Attempt(0));
        assert!(pieces.read(TORRENT, &layout, range).is_none());
        let first = Block { piece: PIECE, offset: 0, len: 16_384 };
        assert!(pieces.read(TORRENT, &layout, first).is_some());
    }

    #[test]
    fn spilled_blocks_are_named_as_such_and_a_failed_spill_keeps_them() {
        let (mut pieces, layout) = (filled(), layout());
        assert_eq!(pieces.spill(TORRENT, PIECE, Attempt(0), BlockSet::from_iter([0, 2])).len(), 2);
        assert_eq!(pieces.spill(TORRENT, PIECE, Attempt(0), BlockSet::from_iter([3])).len(), 1);
        pieces.spilled(TORRENT, PIECE, Attempt(7));
        pieces.spilled(TORRENT, PIECE, Attempt(0));
        pieces.spill_failed(TORRENT, PIECE, Attempt(0));
        let spilled: Vec<bool> = pieces
            .sources(TORRENT, &layout, PIECE)
            .iter()
            .map(|source| matches!(source, BlockSource::Spilled))
            .collect();
        assert_eq!(spilled, [true, false, true, false]);
        pieces.forget_torrent(TORRENT);
        assert_eq!(pieces.len(), 0);
    }
}

//! A piece being fetched: what became of each of its blocks, who was asked, who sent them, and which of them only memory holds.
//!
//! Not which piece to open, nor when to spill: it is told. `blocks` is the truth; `free` and `asked` index it, so that taking the next
//! block never walks the piece (a 512 MiB piece has 32,768 blocks).

mod audit;

use super::{OpenIndex, PieceIndex};
use crate::{Attempt, BlockSet, Duration, Instant, PeerKey};
use core::ops::Range;
use wire::{Block, Layout};

/// End-game: how many peers beside the first are asked for the same block. Two copies find a quick peer nearly always; each more
/// is a block wasted if the cancel comes late.
pub const COPIES_PER_BLOCK_MAX: usize = 2;

/// Blocks looked at for one round of end-game copies, so that a large piece full of copies costs no walk.
const COPY_PROBES_MAX: usize = 64;

/// An unfinished piece of which nothing came for so long has no claim on memory, nor on its blocks, against peers that would deliver.
/// Longer than a round trip; a peer that sends less than a block in this time loses little.
pub const STALE_AFTER: Duration = Duration::from_secs(1);

/// What became of one block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockState {
    /// Nobody was asked.
    Free,
    /// This peer was asked first; end-game copies are listed apart.
    Asked(PeerKey),
    /// Here, in memory, sent by this peer.
    Kept(PeerKey),
    /// Here, on its way out of memory.
    Spilling(PeerKey),
    /// Here, out of memory.
    Spilled(PeerKey),
    /// Here, out of memory since an earlier run.
    Restored,
}

/// Where a block of a piece came from, for [`super::blame`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A peer sent it and it stayed in memory until the hash.
    Peer(PeerKey),
    /// It lay on a disk meanwhile: nobody can be blamed for it.
    Disk,
}

/// What a release did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Released {
    /// That peer was not asked for it.
    Nothing,
    /// Nobody is asked for it any more.
    Freed,
    /// An end-game copy ended.
    Copy,
    /// The first asked gave up; the named copy took its place.
    Promoted(PeerKey),
}

/// A piece being fetched or verified.
#[derive(Clone, Debug)]
pub struct OpenPiece {
    /// Which piece.
    pub piece: PieceIndex,
    /// Which time round.
    pub attempt: Attempt,
    /// On parole (see [`super::blame`]): this peer's alone while others have other work.
    pub reserved: Option<PeerKey>,
    /// When the oldest block came that is in memory only and not being spilled; [`Instant::FAR`] if there is none.
    kept_since: Instant,
    /// When whoever was asked for a block first last sent one, or was asked while nobody owed us any.
    moved: Instant,
    blocks: Blocks,
    free: BlockIndex,
    asked: BlockIndex,
    copies: Copies,
    /// Blocks not here yet.
    absent: u32,
    /// Blocks here that take memory: kept or spilling.
    in_memory: u32,
    /// Of those, on their way out.
    spilling: u32,
    /// Where it stands among the pieces with free blocks.
    pub(super) partial_at: Option<OpenIndex>,
}

impl OpenPiece {
    /// A piece with all blocks free but those that an earlier run left.
    pub(super) fn new(piece: PieceIndex, blocks: u32, attempt: Attempt, restored: &BlockSet) -> OpenPiece {
        let mut free = BlockIndex::full(blocks);
        let mut states = Blocks::free(blocks);
        for block in restored.iter().filter(|&block| block < blocks) {
            states.all_mut()[block as usize] = BlockState::Restored;
            free.remove(block);
        }
        OpenPiece {
            piece,
            attempt,
            reserved: None,
            kept_since: Instant::FAR,
            moved: Instant::ZERO,
            absent: free.count(),
            blocks: states,
            asked: BlockIndex::empty(blocks),
            free,
            copies: Copies::default(),
            in_memory: 0,
            spilling: 0,
            partial_at: None,
        }
    }

    /// Blocks that nobody was asked for.
    pub fn free(&self) -> u32 {
        self.free.count()
    }

    /// Blocks that take memory: here, and not spilled.
    pub fn in_memory(&self) -> u32 {
        self.in_memory
    }

    /// Blocks that somebody was asked for and that are not here.
    pub fn asked(&self) -> u32 {
        self.asked.count()
    }

    /// Blocks that are not here.
    pub fn absent(&self) -> u32 {
        self.absent
    }

    /// When the oldest block came that is in memory only and not being spilled.
    pub fn oldest_kept(&self) -> Option<Instant> {
        Some(self.kept_since).filter(|&since| since < Instant::FAR)
    }

    /// Whether any block is here.
    pub fn has_any(&self) -> bool {
        self.absent < self.blocks.all().len() as u32
    }

    /// Whether it takes memory, or may do so soon: blocks are asked for, or here and in memory only.
    pub fn is_live(&self) -> bool {
        self.asked.count() > 0 || self.in_memory > 0
    }

    /// Whether it takes memory, and nothing came for it for [`STALE_AFTER`].
    pub fn is_stale(&self, now: Instant) -> bool {
        let waits = self.absent > 0 && self.spilling == 0;
        self.is_live() && waits && now.since(self.moved) >= STALE_AFTER
    }

    /// When whoever was asked for a block first last sent one, or was asked while nobody owed us any.
    pub fn moved(&self) -> Instant {
        self.moved
    }

    /// Who was asked for each block that is not here, copies included. Walks the piece.
    pub(super) fn debtors(&self) -> impl Iterator<Item = (u32, PeerKey)> {
        let first = |(block, state): (u32, &BlockState)| match state {
            BlockState::Asked(peer) => Some((block, *peer)),
            BlockState::Free
            | BlockState::Kept(_)
            | BlockState::Spilling(_)
            | BlockState::Spilled(_)
            | BlockState::Restored => None,
        };
        (0..).zip(self.blocks.all()).filter_map(first).chain(self.copies.all().iter().copied())
    }

    /// What became of a block.
    pub fn block(&self, index: u32) -> Option<BlockState> {
        self.blocks.all().get(index as usize).copied()
    }

    /// Blocks that lie out of memory and survive a crash once they are synced.
    pub fn spilled(&self) -> BlockSet {
        self.which(|state| matches!(state, BlockState::Spilled(_) | BlockState::Restored))
    }

    /// Where each block came from, in order. For a whole piece.
    pub fn origins(&self) -> Vec<Origin> {
        let origin = |state: &BlockState| match state {
            BlockState::Kept(peer) => Origin::Peer(*peer),
            BlockState::Free | BlockState::Asked(_) => Origin::Disk,
            BlockState::Spilling(_) | BlockState::Spilled(_) | BlockState::Restored => Origin::Disk,
        };
        self.blocks.all().iter().map(origin).collect()
    }

    /// Asks a peer for up to `want` free blocks, lowest first; says how many. O(blocks taken).
    pub(super) fn ask(
        &mut self,
        (peer, now): (PeerKey, Instant),
        want: u32,
        layout: &Layout,
        out: &mut Vec<Block>,
    ) -> u32 {
        if self.asked.count() == 0 {
            self.moved = now;
        }
        let mut taken = 0;
        while taken < want
            && let Some(block) = self.free.first()
        {
            self.free.remove(block);
            self.asked.insert(block);
            self.blocks.all_mut()[block as usize] = BlockState::Asked(peer);
            out.push(layout.nth_block(self.piece, block));
            taken += 1;
        }
        taken
    }

    /// A block that is not here, at or after `from` and then from the beginning: one that nobody was asked for if there is one.
    pub(super) fn absent_from(&self, from: u32) -> Option<u32> {
        let next = |set: &BlockIndex| set.first_from(from).or_else(|| set.first_from(0));
        next(&self.free).or_else(|| next(&self.asked))
    }

    /// Asks for the first free blocks that lie beside one another, as many as there are; says which. O(blocks taken).
    pub(super) fn ask_run(&mut self, source: PeerKey, now: Instant) -> Range<u32> {
        if self.asked.count() == 0 {
            self.moved = now;
        }
        let Some(first) = self.free.first() else { return 0..0 };
        let mut end = first;
        while self.block(end) == Some(BlockState::Free) {
            self.free.remove(end);
            self.asked.insert(end);
            self.blocks.all_mut()[end as usize] = BlockState::Asked(source);
            end += 1;
        }
        first..end
    }

    /// The blocks on their way out of memory, in order, and who sent them.
    pub(super) fn senders_of_spill(&self) -> Vec<(u32, PeerKey)> {
        let sender = |(block, state): (u32, &BlockState)| match state {
            BlockState::Spilling(peer) => Some((block, *peer)),
            BlockState::Free
            | BlockState::Asked(_)
            | BlockState::Kept(_)
            | BlockState::Spilled(_)
            | BlockState::Restored => None,
        };
        (0..).zip(self.blocks.all()).filter_map(sender).collect()
    }

    /// Asks a peer for up to `want` blocks that others were asked for, beginning at `from`, if it is such others
    /// and no more than `most` were asked beside them; says how many.
    pub(super) fn ask_copies(
        &mut self,
        peer: PeerKey,
        want: u32,
        from: u32,
        (of, most): (impl Fn(PeerKey) -> bool, usize),
        layout: &Layout,
        out: &mut Vec<Block>,
    ) -> u32 {
        let mut taken = 0;
        let mut at = from;
        for _ in 0..COPY_PROBES_MAX.min(self.asked.count() as usize) {
            let Some(block) = self.asked.first_from(at).or_else(|| self.asked.first_from(0)) else { break };
            at = block + 1;
            let copies = self.copies.all();
            let first = copies.partition_point(|&(other, _)| other < block);
            let of_block = copies[first..].iter().take_while(|&&(other, _)| other == block);
            let first_asked = match self.blocks.all()[block as usize] {
                BlockState::Asked(other) => other != peer && of(other),
                _ => false,
            };
            let already = !first_asked || of_block.clone().any(|&(_, other)| other == peer);
            if already || of_block.count() >= most {
                continue;
            }
            if let Err(at) = copies.binary_search(&(block, peer)) {
                self.copies.insert(at, (block, peer));
            }
            out.push(layout.nth_block(self.piece, block));
            taken += 1;
            if taken == want {
                break;
            }
        }
        taken
    }

    /// A peer will not send this block, or not in time.
    pub(super) fn release(&mut self, block: u32, peer: PeerKey) -> Released {
        if let Ok(at) = self.copies.all().binary_search(&(block, peer)) {
            self.copies.remove(at..at + 1);
            return Released::Copy;
        }
        if self.block(block) != Some(BlockState::Asked(peer)) {
            return Released::Nothing;
        }
        let at = self.copies.all().partition_point(|&(other, _)| other < block);
        if let Some(&(other, next)) = self.copies.all().get(at)
            && other == block
        {
            self.copies.remove(at..at + 1);
            self.blocks.all_mut()[block as usize] = BlockState::Asked(next);
            return Released::Promoted(next);
        }
        self.asked.remove(block);
        self.free.insert(block);
        self.blocks.all_mut()[block as usize] = BlockState::Free;
        Released::Freed
    }

    /// A block came. Says whether it is the first copy; `asked` hears of each peer that was asked, and whether for an end-game copy.
    pub(super) fn receive(
        &mut self,
        block: u32,
        peer: PeerKey,
        now: Instant,
        mut asked: impl FnMut(PeerKey, bool),
    ) -> bool {
        match self.block(block) {
            None
            | Some(BlockState::Kept(_) | BlockState::Spilling(_) | BlockState::Spilled(_))
            | Some(BlockState::Restored) => return false,
            Some(BlockState::Free) => self.free.remove(block),
            Some(BlockState::Asked(first)) => {
                // A copy is no sign of life of those who were asked first.
                if first == peer {
                    self.moved = now;
                }
                asked(first, false);
                self.asked.remove(block);
                let copies = self.copies.all();
                let start = copies.partition_point(|&(other, _)| other < block);
                let end = copies.partition_point(|&(other, _)| other <= block);
                copies[start..end].iter().for_each(|&(_, copy)| asked(copy, true));
                self.copies.remove(start..end);
            }
        }
        self.blocks.all_mut()[block as usize] = BlockState::Kept(peer);
        self.absent -= 1;
        self.in_memory += 1;
        self.kept_since = self.kept_since.min(now);
        true
    }

    /// All blocks that are in memory only go out of it; says which. Walks the piece: once per spill.
    pub(super) fn spill(&mut self) -> BlockSet {
        let set = self.which(|state| matches!(state, BlockState::Kept(_)));
        for block in self.blocks.all_mut() {
            if let BlockState::Kept(peer) = *block {
                *block = BlockState::Spilling(peer);
            }
        }
        self.kept_since = Instant::FAR;
        self.spilling = set.count();
        set
    }

    /// The blocks of the last spill are out of memory; says how many.
    pub(super) fn spill_done(&mut self) -> u32 {
        for block in self.blocks.all_mut() {
            if let BlockState::Spilling(peer) = *block {
                *block = BlockState::Spilled(peer);
            }
        }
        let count = core::mem::take(&mut self.spilling);
        self.in_memory -= count;
        count
    }

    /// The last spill failed: the blocks are still in memory, and may be spilled again after `now`.
    pub(super) fn spill_failed(&mut self, now: Instant) {
        for block in self.blocks.all_mut() {
            if let BlockState::Spilling(peer) = *block {
                *block = BlockState::Kept(peer);
                self.kept_since = now;
            }
        }
        self.spilling = 0;
    }

    /// Whether blocks are on their way out of memory: one spill of a piece at a time.
    pub(super) fn is_spilling(&self) -> bool {
        self.spilling > 0
    }

    fn which(&self, wanted: impl Fn(&BlockState) -> bool) -> BlockSet {
        let states = self.blocks.all().iter().enumerate();
        states.filter(|(_, state)| wanted(state)).map(|(block, _)| block as u32).collect()
    }
}

/// The state of each block. Many at once are open where each piece is one block, so that needs no memory of its own.
#[derive(Clone, Debug)]
enum Blocks {
    One(BlockState),
    Many(Box<[BlockState]>),
}

impl Blocks {
    fn free(count: u32) -> Blocks {
        match count {
            1 => Blocks::One(BlockState::Free),
            _ => Blocks::Many(vec![BlockState::Free; count as usize].into()),
        }
    }

    fn all(&self) -> &[BlockState] {
        match self {
            Blocks::One(state) => core::slice::from_ref(state),
            Blocks::Many(states) => states,
        }
    }

    fn all_mut(&mut self) -> &mut [BlockState] {
        match self {
            Blocks::One(state) => core::slice::from_mut(state),
            Blocks::Many(states) => states,
        }
    }
}

/// End-game copies: (block, peer), sorted. Apart, because most pieces never have any.
#[derive(Clone, Debug, Default)]
struct Copies {
    rows: Option<Box<CopyRows>>,
}

#[derive(Clone, Debug, Default)]
struct CopyRows {
    rows: Vec<(u32, PeerKey)>,
}

impl Copies {
    fn all(&self) -> &[(u32, PeerKey)] {
        self.rows.as_ref().map_or(&[], |rows| &rows.rows)
    }

    fn insert(&mut self, at: usize, row: (u32, PeerKey)) {
        self.rows.get_or_insert_default().rows.insert(at, row);
    }

    fn remove(&mut self, range: Range<usize>) {
        if let Some(rows) = &mut self.rows {
            rows.rows.drain(range);
        }
    }
}

/// A set of blocks that knows its size and finds its first member without walking. Up to 64 where they are.
#[derive(Clone, Debug)]
enum BlockIndex {
    One(u64),
    Many(Box<LongIndex>),
}

/// More than 64 blocks: `low` is below or at the first word that has any.
#[derive(Clone, Debug)]
struct LongIndex {
    words: Box<[u64]>,
    count: u32,
    low: u32,
}

impl BlockIndex {
    fn empty(len: u32) -> BlockIndex {
        match len {
            ..=64 => BlockIndex::One(0),
            _ => {
                let words = vec![0; len.div_ceil(64) as usize].into();
                BlockIndex::Many(Box::new(LongIndex { words, count: 0, low: 0 }))
            }
        }
    }

    fn full(len: u32) -> BlockIndex {
        let last = u64::MAX >> (len.wrapping_neg() % 64);
        match BlockIndex::empty(len) {
            BlockIndex::One(_) => BlockIndex::One(if len == 0 { 0 } else { last }),
            BlockIndex::Many(mut index) => {
                index.words.fill(u64::MAX);
                index.words.last_mut().into_iter().for_each(|word| *word = last);
                index.count = len;
                BlockIndex::Many(index)
            }
        }
    }

    fn count(&self) -> u32 {
        match self {
            BlockIndex::One(word) => word.count_ones(),
            BlockIndex::Many(index) => index.count,
        }
    }

    /// Adds a block that is not there.
    fn insert(&mut self, block: u32) {
        match self {
            BlockIndex::One(word) => *word |= 1 << block,
            BlockIndex::Many(index) => {
                let word = block / 64;
                index.words[word as usize] |= 1 << (block % 64);
                index.count += 1;
                index.low = index.low.min(word);
            }
        }
    }

    /// Takes out a block that is there.
    fn remove(&mut self, block: u32) {
        match self {
            BlockIndex::One(word) => *word &= !(1 << block),
            BlockIndex::Many(index) => {
                index.words[block as usize / 64] &= !(1 << (block % 64));
                index.count -= 1;
            }
        }
    }

    fn first(&mut self) -> Option<u32> {
        match self {
            BlockIndex::One(word) => (*word != 0).then(|| word.trailing_zeros()),
            BlockIndex::Many(index) => {
                while *index.words.get(index.low as usize)? == 0 {
                    index.low += 1;
                }
                Some(index.low * 64 + index.words[index.low as usize].trailing_zeros())
            }
        }
    }

    fn first_from(&self, block: u32) -> Option<u32> {
        match self {
            BlockIndex::One(word) => {
                let rest = word & u64::MAX.checked_shl(block).unwrap_or(0);
                (rest != 0).then(|| rest.trailing_zeros())
            }
            BlockIndex::Many(index) => {
                let start = (block / 64).max(index.low);
                let mask = if start == block / 64 { u64::MAX << (block % 64) } else { u64::MAX };
                let words = (start..).zip(index.words.get(start as usize..)?);
                let mut masked = words.map(|(at, &word)| (at, if at == start { word & mask } else { word }));
                masked.find(|&(_, word)| word != 0).map(|(at, word)| at * 64 + word.trailing_zeros())
            }
        }
    }
}

//! What we have of a content: the state of every piece, in one place. Which piece to fetch next is [`picker`]'s, who
//! has what [`availability`]'s, who spoiled one [`blame`]'s.
//!
//! Not here: bytes, files, peers' states. Never imports `torrent`, `peer` or `session`.
//! Invariant: `states` is the truth; the bitfields and counts beside it are indexes of it, changed in the same function.
//! BEP: 3

mod audit;
pub mod availability;
pub mod blame;
mod narrow;
pub mod open_piece;
pub mod picker;
pub mod remote_pieces;

pub use availability::Availability;
pub use blame::Blame;
pub use open_piece::{BlockState, OpenPiece, Origin, STALE_AFTER};
pub use picker::runs::RunFor;
pub use picker::{PickFor, PiecePicker, Received, Speed};
pub use remote_pieces::RemotePieces;

use crate::resume::OpenRecord;
use crate::{Attempt, BlockSet, Priority};
use std::sync::Arc;
use wire::{Bitfield, Layout, PieceIndex};

/// Unfinished pieces of one torrent. With 16 KiB pieces each block is a piece, and 16,384 of them are 256 MiB on their way: 20 Gbit/s
/// at 100 ms. What bounds memory is the budget given to each pick; this bounds the table.
pub const OPEN_PIECES_MAX: usize = 16_384;

/// The state of one piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceState {
    /// Nothing of it is here or asked for.
    Missing,
    /// Being fetched.
    Open(OpenIndex),
    /// All blocks are here; the hash is being checked.
    Verifying(OpenIndex),
    /// Verified.
    Have(Durability),
}

/// How safe a verified piece is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Durability {
    /// In memory only.
    Buffered,
    /// Handed to the file system.
    Written,
    /// On stable storage.
    Synced,
    /// On stable storage, and a resume record that is too says so.
    Committed,
}

/// Where an unfinished piece stands in the table of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenIndex(u16);

impl OpenIndex {
    fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// The same in two bytes.
#[derive(Clone, Copy, Debug)]
struct PackedState(u16);

impl PackedState {
    /// An unfinished piece's place is below [`OPEN_PIECES_MAX`], and takes what is below these.
    const OPEN: u16 = 1 << 14;
    const VERIFYING: u16 = 2 << 14;
    const HAVE: u16 = 3 << 14;

    fn new(state: PieceState) -> PackedState {
        PackedState(match state {
            PieceState::Missing => 0,
            PieceState::Open(OpenIndex(place)) => PackedState::OPEN | place,
            PieceState::Verifying(OpenIndex(place)) => PackedState::VERIFYING | place,
            PieceState::Have(Durability::Buffered) => PackedState::HAVE,
            PieceState::Have(Durability::Written) => PackedState::HAVE | 1,
            PieceState::Have(Durability::Synced) => PackedState::HAVE | 2,
            PieceState::Have(Durability::Committed) => PackedState::HAVE | 3,
        })
    }

    fn get(self) -> PieceState {
        let place = self.0 & (PackedState::OPEN - 1);
        match (self.0 & PackedState::HAVE, place) {
            (PackedState::OPEN, place) => PieceState::Open(OpenIndex(place)),
            (PackedState::VERIFYING, place) => PieceState::Verifying(OpenIndex(place)),
            (PackedState::HAVE, 0) => PieceState::Have(Durability::Buffered),
            (PackedState::HAVE, 1) => PieceState::Have(Durability::Written),
            (PackedState::HAVE, 2) => PieceState::Have(Durability::Synced),
            (PackedState::HAVE, _) => PieceState::Have(Durability::Committed),
            (_, _) => PieceState::Missing,
        }
    }
}

/// All pieces of one content.
#[derive(Clone, Debug)]
pub struct Pieces {
    layout: Arc<Layout>,
    states: Box<[PackedState]>,
    /// Absent while all are `Normal`.
    priorities: Option<Box<[Priority]>>,
    open: Vec<OpenPiece>,
    /// Open pieces with free blocks that are wanted.
    partials: Vec<OpenIndex>,
    have: Bitfield,
    have_count: u32,
    /// Synced or committed.
    durable: Bitfield,
    /// Wanted, and not `Have`.
    lacking: Bitfield,
    lacking_count: u32,
    lacking_bytes: u64,
    wanted_bytes: u64,
    /// Bytes of pieces that take or may soon take memory before they are verified.
    live_bytes: u64,
    /// Bytes of verified pieces that are not written yet.
    unwritten_bytes: u64,
    attempts: u32,
}

impl Pieces {
    /// All missing, all wanted.
    pub fn new(layout: Arc<Layout>) -> Pieces {
        let total = layout.pieces();
        Pieces {
            states: vec![PackedState::new(PieceState::Missing); total as usize].into(),
            priorities: None,
            open: Vec::new(),
            partials: Vec::new(),
            have: Bitfield::new(total),
            have_count: 0,
            durable: Bitfield::new(total),
            lacking: Bitfield::full(total),
            lacking_count: total,
            lacking_bytes: layout.total(),
            wanted_bytes: layout.total(),
            live_bytes: 0,
            unwritten_bytes: 0,
            attempts: 0,
            layout,
        }
    }

    /// The arithmetic of this content.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The state of a piece.
    pub fn state(&self, piece: PieceIndex) -> PieceState {
        self.states.get(piece.as_usize()).map_or(PieceState::Missing, |packed| packed.get())
    }

    /// How eagerly a piece is wanted.
    pub fn priority(&self, piece: PieceIndex) -> Priority {
        self.priorities.as_ref().and_then(|all| all.get(piece.as_usize()).copied()).unwrap_or_default()
    }

    /// The verified pieces: what we may serve.
    pub fn have(&self) -> &Bitfield {
        &self.have
    }

    /// How many pieces are verified.
    pub fn have_count(&self) -> u32 {
        self.have_count
    }

    /// The verified pieces on stable storage: what a resume record may speak of.
    pub fn durable(&self) -> &Bitfield {
        &self.durable
    }

    /// The pieces that are wanted and not verified.
    pub fn lacking(&self) -> &Bitfield {
        &self.lacking
    }

    /// How many pieces are wanted and not verified. 0 means finished.
    pub fn lacking_count(&self) -> u32 {
        self.lacking_count
    }

    /// Bytes of the pieces that are wanted and not verified.
    pub fn lacking_bytes(&self) -> u64 {
        self.lacking_bytes
    }

    /// Bytes of the pieces that are wanted.
    pub fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// Bytes of unfinished pieces that take memory or may soon.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Bytes of verified pieces that wait to be written.
    pub fn unwritten_bytes(&self) -> u64 {
        self.unwritten_bytes
    }

    /// What pieces may come to take in memory: unfinished ones whole, for all their blocks may come, and those not yet written.
    pub fn reserved_bytes(&self) -> u64 {
        self.live_bytes + self.unwritten_bytes
    }

    /// The unfinished pieces, those being verified included.
    pub fn open(&self) -> &[OpenPiece] {
        &self.open
    }

    /// An unfinished piece.
    pub fn open_piece(&self, piece: PieceIndex) -> Option<&OpenPiece> {
        match self.state(piece) {
            PieceState::Open(index) | PieceState::Verifying(index) => self.open.get(index.get()),
            PieceState::Missing | PieceState::Have(_) => None,
        }
    }

    /// What a resume record says of unfinished pieces: their spilled blocks. O(blocks of unfinished pieces).
    pub fn open_records(&self) -> Vec<OpenRecord> {
        let record = |open: &OpenPiece| OpenRecord { piece: open.piece, blocks: open.spilled() };
        self.open.iter().map(record).filter(|record| !record.blocks.is_empty()).collect()
    }

    /// Whether the piece is wanted and nothing of it is here or asked for.
    fn can_begin(&self, piece: PieceIndex) -> bool {
        self.state(piece) == PieceState::Missing && self.priority(piece) != Priority::Skip
    }

    fn set_priority(&mut self, piece: PieceIndex, priority: Priority) {
        let (before, len) = (self.priority(piece), u64::from(self.layout.piece_len(piece)));
        if before == priority {
            return;
        }
        let total = self.states.len();
        let all = self.priorities.get_or_insert_with(|| vec![Priority::default(); total].into());
        all[piece.as_usize()] = priority;
        match (before, priority) {
            (Priority::Skip, _) => self.wanted_bytes += len,
            (_, Priority::Skip) => self.wanted_bytes -= len,
            (Priority::Low | Priority::Normal | Priority::High, _) => {}
        }
        self.index_lacking(piece);
        if let PieceState::Open(index) = self.state(piece) {
            self.index_partial(index);
        }
    }

    /// Opens a missing piece. `None` if the table is full or the piece is not missing.
    fn begin(&mut self, piece: PieceIndex, restored: Option<&BlockSet>) -> Option<OpenIndex> {
        if self.open.len() >= OPEN_PIECES_MAX || self.state(piece) != PieceState::Missing {
            return None;
        }
        // Attempt 0 is what an earlier run left; the first of this run is 1.
        let attempt = match restored {
            Some(_) => Attempt(0),
            None => {
                self.attempts = self.attempts.wrapping_add(1);
                Attempt(self.attempts)
            }
        };
        let index = OpenIndex(u16::try_from(self.open.len()).ok()?);
        let blocks = self.layout.blocks_in(piece);
        // By a quarter: the table is as long as what is on its way, and a machine may hold a million of it.
        if self.open.len() == self.open.capacity() {
            self.open.reserve_exact(4 + self.open.len() / 4);
        }
        self.open.push(OpenPiece::new(piece, blocks, attempt, restored.unwrap_or(&BlockSet::new())));
        self.put_state(piece, PieceState::Open(index));
        self.index_partial(index);
        Some(index)
    }

    /// Changes an open piece through `change`, and the indexes with it.
    fn change<T>(
        &mut self,
        index: OpenIndex,
        change: impl FnOnce(&mut OpenPiece, &Layout) -> T,
    ) -> Option<T> {
        let open = self.open.get_mut(index.get())?;
        let live_before = open.is_live();
        let result = change(open, &self.layout);
        let (live_after, len) = (open.is_live(), u64::from(self.layout.piece_len(open.piece)));
        match (live_before, live_after) {
            (false, true) => self.live_bytes += len,
            (true, false) => self.live_bytes -= len,
            (true, true) | (false, false) => {}
        }
        self.index_partial(index);
        Some(result)
    }

    /// Takes a piece out of the table of unfinished ones and gives it another state.
    fn close(&mut self, index: OpenIndex, state: PieceState) {
        if index.get() >= self.open.len() {
            return;
        }
        self.leave_partials(index);
        let closed = self.open.swap_remove(index.get());
        if closed.is_live() {
            self.live_bytes -= u64::from(self.layout.piece_len(closed.piece));
        }
        if let Some(moved) = self.open.get(index.get()) {
            let (piece, partial_at) = (moved.piece, moved.partial_at);
            let state = match self.state(piece) {
                PieceState::Verifying(_) => PieceState::Verifying(index),
                PieceState::Open(_) | PieceState::Missing | PieceState::Have(_) => PieceState::Open(index),
            };
            self.put_state(piece, state);
            if let Some(at) = partial_at {
                self.partials[at.get()] = index;
            }
        }
        self.set_state(closed.piece, state);
    }

    /// Changes a state that has, and gets, no unfinished piece.
    fn set_state(&mut self, piece: PieceIndex, state: PieceState) {
        let len = u64::from(self.layout.piece_len(piece));
        if self.state(piece) == PieceState::Have(Durability::Buffered) {
            self.unwritten_bytes -= len;
        }
        self.put_state(piece, state);
        let (have, durable) = match state {
            PieceState::Have(Durability::Buffered) => {
                self.unwritten_bytes += len;
                (true, false)
            }
            PieceState::Have(Durability::Written) => (true, false),
            PieceState::Have(Durability::Synced | Durability::Committed) => (true, true),
            PieceState::Missing | PieceState::Open(_) | PieceState::Verifying(_) => (false, false),
        };
        if have && self.have.insert(piece) {
            self.have_count += 1;
        } else if !have && self.have.remove(piece) {
            self.have_count -= 1;
        }
        if durable {
            self.durable.insert(piece);
        } else {
            self.durable.remove(piece);
        }
        self.index_lacking(piece);
    }

    fn put_state(&mut self, piece: PieceIndex, state: PieceState) {
        self.states[piece.as_usize()] = PackedState::new(state);
    }

    fn index_lacking(&mut self, piece: PieceIndex) {
        let len = u64::from(self.layout.piece_len(piece));
        if self.priority(piece) != Priority::Skip && !self.have.has(piece) {
            if self.lacking.insert(piece) {
                self.lacking_count += 1;
                self.lacking_bytes += len;
            }
        } else if self.lacking.remove(piece) {
            self.lacking_count -= 1;
            self.lacking_bytes -= len;
        }
    }

    fn index_partial(&mut self, index: OpenIndex) {
        let open = &self.open[index.get()];
        let belongs = open.free() > 0 && self.priority(open.piece) != Priority::Skip;
        match (belongs, open.partial_at) {
            (true, None) => {
                self.open[index.get()].partial_at = Some(OpenIndex(self.partials.len() as u16));
                self.partials.push(index);
            }
            (false, Some(_)) => self.leave_partials(index),
            (true, Some(_)) | (false, None) => {}
        }
    }

    fn leave_partials(&mut self, index: OpenIndex) {
        let Some(at) = self.open[index.get()].partial_at.take() else { return };
        self.partials.swap_remove(at.get());
        if let Some(&moved) = self.partials.get(at.get()) {
            self.open[moved.get()].partial_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_kept_in_two_bytes() {
        let places = [0, 1, OPEN_PIECES_MAX as u16 - 1].map(OpenIndex);
        let open = places.map(PieceState::Open);
        let verifying = places.map(PieceState::Verifying);
        let have = [Durability::Buffered, Durability::Written, Durability::Synced, Durability::Committed];
        let have = have.map(PieceState::Have);
        for state in [PieceState::Missing].into_iter().chain(open).chain(verifying).chain(have) {
            assert_eq!(PackedState::new(state).get(), state);
        }
    }
}

//! What to ask which peer for next, and what becomes of a piece on its way from missing to committed.
//!
//! Not here: when to ask (the pipeline), bytes, links. Knows peers only by key and by the pieces they have.
//!
//! Order of choice: the piece this peer is at; unfinished pieces, nearest to whole first; a new piece, rarest first (at random for the
//! first few, in order if sequential); in end-game, blocks that others were asked for, and before it those of pieces that make no headway. Fast peers open pieces of their own and leave
//! unfinished ones to the rest. A peer that lets us wait is probed: asked for a block that everybody else may be asked for as well.
//!
//! Cost of a pick: O(blocks picked), plus at most [`choice::PARTIALS_SEEN_MAX`] looks per unfinished piece taken and what
//! [`super::Availability::choose`] states per new piece. Nothing walks all pieces or all peers.
//! BEP: 3 (rarest first, end-game), 6 (allowed fast, suggest)

mod audit;
pub mod choice;
pub mod runs;

use super::availability::Search;
use super::open_piece::Released;
use super::{
    Availability, Durability, OpenIndex, OpenPiece, Origin, PieceState, Pieces, RemotePieces, STALE_AFTER,
};
use crate::{Attempt, BlockSet, Duration, Instant, PeerKey, Priority, ResumeRecord, Rng};
use std::sync::Arc;
use wire::{Block, Layout, PieceIndex};

/// How quick a peer is, as its pipeline sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// Would fetch a whole piece within a few seconds: gets pieces of its own.
    Fast,
    /// Joins pieces that others began.
    Medium,
    /// Snubbed: must not sit on any block, for it may never send it.
    Slow,
}

/// A peer that sends, but no block of a piece for so long, keeps others from it: 16 KiB in 5 s are 3 kB/s.
const BLOCK_WITHIN: Duration = Duration::from_secs(5);

/// Who asks for blocks, and under what terms.
#[derive(Clone, Copy, Debug)]
pub struct PickFor<'a> {
    /// The peer.
    pub peer: PeerKey,
    /// What it has.
    pub pieces: &'a RemotePieces,
    /// How many blocks at most.
    pub want: u32,
    /// The time.
    pub now: Instant,
    /// It may be asked for what others do not send: not while it is we who do not read them.
    pub rescues: bool,
    /// How quick it is.
    pub speed: Speed,
    /// It chokes us and allows only these (BEP 6 allowed fast); `None` while it does not choke us.
    pub only: Option<&'a [PieceIndex]>,
    /// It would rather send these (BEP 6 suggest); at most a few.
    pub suggested: &'a [PieceIndex],
    /// It is suspected of having spoiled a piece: gets pieces of its own while there are any.
    pub on_parole: bool,
    /// No new piece is opened while unfinished ones take, or may soon take, this many bytes; but one may always be.
    pub open_bytes_max: u64,
}

/// What became of a block that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// Ours now: keep it. `whole` names the attempt to verify if it was the last of its piece.
    New {
        /// The piece is whole and its state is `Verifying`.
        whole: Option<Attempt>,
    },
    /// We have it already: drop it.
    Duplicate,
    /// We do not want its piece, or have no room: drop it.
    Unwanted,
}

/// Decides what to fetch next. Owns the state of the pieces.
#[derive(Clone, Debug)]
pub struct PiecePicker {
    pieces: Pieces,
    availability: Availability,
    /// By slot of the peer table.
    rows: Vec<PeerRow>,
    sequential: bool,
    random_first_pieces: u32,
}

/// What the picker remembers of one peer.
#[derive(Clone, Copy, Debug)]
struct PeerRow {
    key: PeerKey,
    /// The piece it is at.
    current: Option<PieceIndex>,
    /// A piece that it has and we lack, when last looked; where the next search begins.
    witness: u32,
    search: Search,
    /// End-game copies it is asked for.
    copies: u16,
    /// When it last sent payload, or was asked for some.
    heard: Instant,
}

impl PeerRow {
    fn new(key: PeerKey) -> PeerRow {
        PeerRow { key, current: None, witness: 0, search: Search::default(), copies: 0, heard: Instant::ZERO }
    }
}

impl PiecePicker {
    /// Nothing here yet, everything wanted. O(pieces), once.
    pub fn new(layout: Arc<Layout>, random_first_pieces: u32) -> PiecePicker {
        let mut availability = Availability::new(layout.pieces());
        layout.piece_indices().for_each(|piece| availability.insert(piece, Priority::default()));
        PiecePicker {
            pieces: Pieces::new(layout),
            availability,
            rows: Vec::new(),
            sequential: false,
            random_first_pieces,
        }
    }

    /// The state of all pieces.
    pub fn pieces(&self) -> &Pieces {
        &self.pieces
    }

    /// How many peers have this piece.
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.availability.of(piece)
    }

    /// Fetch in order, or rarest first.
    pub fn set_sequential(&mut self, sequential: bool) {
        self.sequential = sequential;
    }

    /// Whether pieces are fetched in order.
    pub fn is_sequential(&self) -> bool {
        self.sequential
    }

    /// How eagerly each piece is wanted. O(pieces), and one move per rarity bucket for each piece that changes.
    pub fn set_priorities(&mut self, priority_of: impl Fn(PieceIndex) -> Priority) {
        for piece in self.pieces.layout.piece_indices() {
            let (before, after) = (self.pieces.priority(piece), priority_of(piece));
            if before != after {
                self.availability.remove(piece, before);
                self.pieces.set_priority(piece, after);
                if self.pieces.can_begin(piece) {
                    self.availability.insert(piece, after);
                }
            }
        }
        // Peers that had nothing for us may have something now.
        self.rows.iter_mut().for_each(|row| row.witness = 0);
    }

    /// A peer's pieces became known at once (bitfield, have all), replacing none. O(pieces it has or lacks, whichever are fewer).
    pub fn peer_joined(&mut self, peer: PeerKey, theirs: &RemotePieces) {
        *self.row(peer) = PeerRow::new(peer);
        self.availability.peer_joined(theirs, |piece| self.pieces.priority(piece));
    }

    /// A peer is gone. Its requests must be released one by one as well. Costs as [`PiecePicker::peer_joined`], plus a look at each open piece.
    pub fn peer_left(&mut self, peer: PeerKey, theirs: &RemotePieces) {
        self.end_reservation(peer);
        *self.row(peer) = PeerRow::new(peer);
        self.availability.peer_left(theirs, |piece| self.pieces.priority(piece));
    }

    /// A peer has one piece more: [`RemotePieces::insert`] said that it is new. O(1).
    pub fn peer_has(&mut self, peer: PeerKey, piece: PieceIndex) {
        self.availability.raise(piece, self.pieces.priority(piece));
        let lacking = self.pieces.lacking.has(piece);
        let row = self.row(peer);
        row.search.refresh();
        if lacking {
            row.witness = row.witness.min(piece.0);
        }
    }

    /// Whether a peer has anything that we want and lack: whether we are interested.
    ///
    /// O(1) nearly always: the row remembers a piece that makes it so and looks further, upwards only, when that one is here.
    /// A peer's whole time costs one walk over the words of its bitfield, and one more for each have below the place reached.
    pub fn wants_from(&mut self, peer: PeerKey, theirs: &RemotePieces) -> bool {
        match theirs {
            RemotePieces::None => false,
            RemotePieces::All => self.pieces.lacking_count > 0,
            RemotePieces::Sparse(list) => list.iter().any(|&piece| self.pieces.lacking.has(piece)),
            RemotePieces::Words(set) => {
                let from = self.row(peer).witness;
                let witness = first_common(self.pieces.lacking.words(), set.bits().words(), from);
                self.row(peer).witness = witness.unwrap_or(self.pieces.layout.pieces());
                witness.is_some()
            }
        }
    }

    /// Appends up to `want` blocks to ask a peer for. They count as asked from now on: each ends in `received` or `release`.
    /// But a slow peer gets one at most, which counts as nothing and need not be released.
    pub fn pick(&mut self, ask: &PickFor<'_>, rng: &mut Rng, out: &mut Vec<Block>) {
        let mut want = ask.want;
        if want == 0 || self.pieces.lacking_count == 0 || matches!(ask.pieces, RemotePieces::None) {
            return;
        }
        if ask.speed == Speed::Slow {
            return out.extend(self.probe(ask, rng));
        }
        if let Some(only) = ask.only {
            return self.pick_allowed(ask, only, out);
        }
        want -= self.pick_free(ask, rng, out);
        if want > 0 && self.is_end_game() {
            self.pick_copies(ask, want, false, rng, out);
        } else if ask.rescues && out.is_empty() {
            self.pick_copies(ask, want, true, rng, out);
        }
    }

    /// Whether every wanted block is here or asked for.
    pub fn is_end_game(&self) -> bool {
        self.pieces.partials.is_empty() && self.availability.is_empty() && self.pieces.lacking_count > 0
    }

    /// A peer will not send a block it was asked for: choke, reject, time-out, gone. Unknown blocks are ignored. O(1).
    pub fn release(&mut self, block: Block, peer: PeerKey) {
        let PieceState::Open(index) = self.pieces.state(block.piece) else { return };
        let number = self.pieces.layout.block_index(block);
        let Some(released) = self.pieces.change(index, |open, _| open.release(number, peer)) else { return };
        match released {
            Released::Nothing => {}
            Released::Copy => self.copy_ended(peer),
            Released::Promoted(next) => self.copy_ended(next),
            Released::Freed => {
                let open = &self.pieces.open[index.get()];
                if !open.has_any() && open.asked() == 0 {
                    self.close(index, PieceState::Missing);
                }
            }
        }
    }

    /// A block came, right in place and length ([`Layout::block`]). `cancel` gets each other peer that was asked for it.
    pub fn received(
        &mut self,
        block: Block,
        peer: PeerKey,
        now: Instant,
        cancel: &mut Vec<PeerKey>,
    ) -> Received {
        let index = match self.pieces.state(block.piece) {
            PieceState::Open(index) => index,
            PieceState::Verifying(_) | PieceState::Have(_) => return Received::Duplicate,
            // It was released, and nothing else of the piece was here: late, but no less useful.
            PieceState::Missing => match self.begin(block.piece) {
                Some(index) => index,
                None => return Received::Unwanted,
            },
        };
        let number = self.pieces.layout.block_index(block);
        self.heard(peer, now);
        let rows = &mut self.rows;
        let asked = |other: PeerKey, copy: bool| {
            if let (true, Some(row)) = (copy, row_of(rows, other)) {
                row.copies = row.copies.saturating_sub(1);
            }
            if other != peer {
                cancel.push(other);
            }
        };
        let new = self.pieces.change(index, |open, _| open.receive(number, peer, now, asked));
        if new != Some(true) {
            return Received::Duplicate;
        }
        let open = &self.pieces.open[index.get()];
        let whole = (open.absent() == 0).then_some(open.attempt);
        if whole.is_some() {
            self.pieces.put_state(block.piece, PieceState::Verifying(index));
        }
        Received::New { whole }
    }

    /// A peer sent payload, or could not be heard until now.
    pub fn heard(&mut self, peer: PeerKey, now: Instant) {
        if let Some(row) = row_of(&mut self.rows, peer) {
            row.heard = now;
        }
    }

    /// Whether this attempt at this piece is the one under way: answers to others are stale.
    pub fn is_current(&self, piece: PieceIndex, attempt: Attempt) -> bool {
        self.pieces.open_piece(piece).is_some_and(|open| open.attempt == attempt)
    }

    /// Who sent each block of an unfinished piece, in order; for blame, before [`PiecePicker::verified`].
    pub fn origins(&self, piece: PieceIndex) -> Vec<Origin> {
        self.pieces.open_piece(piece).map(OpenPiece::origins).unwrap_or_default()
    }

    /// The hash was checked: `Have(Buffered)`, or `Missing` again. `false` if the answer is stale.
    pub fn verified(&mut self, piece: PieceIndex, attempt: Attempt, good: bool) -> bool {
        let PieceState::Verifying(index) = self.pieces.state(piece) else { return false };
        if !self.is_current(piece, attempt) {
            return false;
        }
        let state = if good { PieceState::Have(Durability::Buffered) } else { PieceState::Missing };
        self.close(index, state);
        true
    }

    /// A verified piece was handed to the file system, synced, or committed. Only ever upwards; `false` if it is not so.
    pub fn hardened(&mut self, piece: PieceIndex, durability: Durability) -> bool {
        match self.pieces.state(piece) {
            PieceState::Have(before) if before < durability => {
                self.pieces.set_state(piece, PieceState::Have(durability));
                true
            }
            PieceState::Have(_) | PieceState::Missing | PieceState::Open(_) | PieceState::Verifying(_) => {
                false
            }
        }
    }

    /// A sync failed: the piece counts as no more than written. What lies on the disk must be checked before it counts as more.
    pub fn sync_failed(&mut self, piece: PieceIndex) {
        if let PieceState::Have(Durability::Synced | Durability::Committed) = self.pieces.state(piece) {
            self.pieces.set_state(piece, PieceState::Have(Durability::Written));
        }
    }

    /// The piece was hashed as it lies on disk, and is right: `Have(Written)`, to be covered by the next sync.
    pub fn found(&mut self, piece: PieceIndex) {
        match self.pieces.state(piece) {
            PieceState::Have(_) => {}
            PieceState::Missing => {
                self.availability.remove(piece, self.pieces.priority(piece));
                self.pieces.set_state(piece, PieceState::Have(Durability::Written));
            }
            PieceState::Open(index) | PieceState::Verifying(index) => {
                self.close(index, PieceState::Have(Durability::Written));
            }
        }
    }

    /// What was here of the piece is gone or not to be trusted: `Missing`.
    pub fn lost(&mut self, piece: PieceIndex) {
        match self.pieces.state(piece) {
            PieceState::Missing => {}
            PieceState::Open(index) | PieceState::Verifying(index) => self.close(index, PieceState::Missing),
            PieceState::Have(_) => {
                self.pieces.set_state(piece, PieceState::Missing);
                self.reopened(piece);
                self.rows.iter_mut().for_each(|row| row.witness = row.witness.min(piece.0));
            }
        }
    }

    /// Takes over what an earlier run made durable. Returns the pieces whose blocks are all there: verify them now.
    /// A record that does not fit the layout is taken as far as it does.
    pub fn restore(&mut self, record: &ResumeRecord) -> Vec<(PieceIndex, Attempt)> {
        let total = self.pieces.layout.pieces();
        for piece in record.have.iter().take_while(|piece| piece.0 < total) {
            self.found(piece);
            self.hardened(piece, Durability::Committed);
        }
        let mut whole = Vec::new();
        for open in &record.open {
            if open.piece.0 >= total {
                continue;
            }
            let priority = self.pieces.priority(open.piece);
            let Some(index) = self.pieces.begin(open.piece, Some(&open.blocks)) else { continue };
            self.availability.remove(open.piece, priority);
            if self.pieces.open[index.get()].absent() == 0 {
                self.pieces.put_state(open.piece, PieceState::Verifying(index));
                whole.push((open.piece, self.pieces.open[index.get()].attempt));
            }
        }
        whole
    }

    /// The unfinished piece that has taken memory to no effect for longest, and who owes us blocks of it. Not those that web seeds are
    /// at. O(open pieces): only for peers that cannot be asked for anything because memory is short.
    pub fn stalest(&self, now: Instant) -> Option<(PieceIndex, Vec<(Block, PeerKey)>)> {
        let in_vain = |open: &&OpenPiece| {
            open.is_stale(now)
                && open.debtors().all(|(_, debtor)| owes_in_vain(&self.rows, open.moved(), debtor, now))
        };
        let stale = self.pieces.open.iter().filter(in_vain);
        let open = stale.min_by_key(|open| (open.moved(), open.piece))?;
        let block_of = |(number, peer)| (self.pieces.layout.nth_block(open.piece, number), peer);
        Some((open.piece, open.debtors().map(block_of).collect()))
    }

    /// When the oldest block came that only memory holds and no spill is under way for. O(open pieces).
    pub fn oldest_kept(&self) -> Option<Instant> {
        self.spillable().filter_map(OpenPiece::oldest_kept).min()
    }

    /// The pieces with blocks that came before `before` and that only memory holds. O(open pieces).
    pub fn due_for_spill(&self, before: Instant) -> Vec<PieceIndex> {
        let due = |open: &&OpenPiece| open.oldest_kept().is_some_and(|oldest| oldest <= before);
        self.spillable().filter(due).map(|open| open.piece).collect()
    }

    /// Begins a spill of all blocks of an open piece that only memory holds. `None` if there are none, or a spill is under way.
    pub fn spill(&mut self, piece: PieceIndex) -> Option<(Attempt, BlockSet)> {
        let PieceState::Open(index) = self.pieces.state(piece) else { return None };
        let open = &self.pieces.open[index.get()];
        if open.is_spilling() || open.oldest_kept().is_none() {
            return None;
        }
        let attempt = open.attempt;
        self.pieces.change(index, |open, _| open.spill()).map(|blocks| (attempt, blocks))
    }

    /// The blocks of the spill that is under way, in order, and who sent them. None if the spill is not this one.
    pub fn senders_of_spill(&self, piece: PieceIndex, attempt: Attempt) -> Vec<(u32, PeerKey)> {
        let open = self.pieces.open_piece(piece).filter(|open| open.attempt == attempt);
        open.map(OpenPiece::senders_of_spill).unwrap_or_default()
    }

    /// The spill ended: the blocks left memory, or (`false`) are still there and wait again from `now`. Stale answers are ignored.
    pub fn spilled(&mut self, piece: PieceIndex, attempt: Attempt, done: bool, now: Instant) {
        let (PieceState::Open(index) | PieceState::Verifying(index)) = self.pieces.state(piece) else {
            return;
        };
        if !self.is_current(piece, attempt) {
            return;
        }
        self.pieces.change(index, |open, _| {
            if done {
                open.spill_done();
            } else {
                open.spill_failed(now);
            }
        });
    }

    /// A peer on parole chokes us, stalls or is cleared: its pieces are everybody's. O(open pieces).
    pub fn end_reservation(&mut self, peer: PeerKey) {
        for open in self.pieces.open.iter_mut().filter(|open| open.reserved == Some(peer)) {
            open.reserved = None;
        }
    }

    fn spillable(&self) -> impl Iterator<Item = &OpenPiece> {
        self.pieces.open.iter().filter(|open| open.absent() > 0 && !open.is_spilling())
    }

    fn begin(&mut self, piece: PieceIndex) -> Option<OpenIndex> {
        if !self.pieces.can_begin(piece) {
            return None;
        }
        let index = self.pieces.begin(piece, None)?;
        self.availability.remove(piece, self.pieces.priority(piece));
        Some(index)
    }

    /// Where an open piece stands in the table.
    fn open_index(&self, piece: PieceIndex) -> Option<OpenIndex> {
        match self.pieces.state(piece) {
            PieceState::Open(index) => Some(index),
            PieceState::Missing | PieceState::Verifying(_) | PieceState::Have(_) => None,
        }
    }

    fn close(&mut self, index: OpenIndex, state: PieceState) {
        let Some(open) = self.pieces.open.get(index.get()) else { return };
        let piece = open.piece;
        self.pieces.close(index, state);
        if state == PieceState::Missing {
            self.reopened(piece);
        }
    }

    /// A piece is missing again.
    fn reopened(&mut self, piece: PieceIndex) {
        if self.pieces.can_begin(piece) {
            self.availability.insert(piece, self.pieces.priority(piece));
        }
    }

    fn copy_ended(&mut self, peer: PeerKey) {
        if let Some(row) = row_of(&mut self.rows, peer) {
            row.copies = row.copies.saturating_sub(1);
        }
    }

    fn row(&mut self, peer: PeerKey) -> &mut PeerRow {
        let slot = peer.slot();
        while self.rows.len() <= slot {
            if self.rows.len() == self.rows.capacity() {
                self.rows.reserve_exact(4 + self.rows.len() / 4);
            }
            self.rows.push(PeerRow::new(PeerKey::new(self.rows.len() as u16, 0)));
        }
        let row = &mut self.rows[slot];
        if row.key != peer {
            *row = PeerRow::new(peer);
        }
        row
    }
}

/// Whether a peer that owes us blocks of a stale piece, which last `moved` then, keeps others from them: it is silent, or sends so
/// little that none came for long.
fn owes_in_vain(rows: &[PeerRow], moved: Instant, debtor: PeerKey, now: Instant) -> bool {
    let row = rows.get(debtor.slot()).filter(|row| row.key == debtor);
    let silent = row.is_none_or(|row| now.since(row.heard) >= STALE_AFTER);
    debtor.web_seed().is_none() && (silent || now.since(moved) >= BLOCK_WITHIN)
}

fn row_of(rows: &mut [PeerRow], peer: PeerKey) -> Option<&mut PeerRow> {
    rows.get_mut(peer.slot()).filter(|row| row.key == peer)
}

/// The first piece at or after `from` that is in both sets.
fn first_common(ours: &[u64], theirs: &[u64], from: u32) -> Option<u32> {
    let start = (from / 64) as usize;
    let mask = u64::MAX >> (from % 64);
    let words = ours.iter().zip(theirs).enumerate().skip(start);
    words
        .map(|(at, (a, b))| (at, if at == start { a & b & mask } else { a & b }))
        .find(|&(_, common)| common != 0)
        .map(|(at, common)| at as u32 * 64 + common.leading_zeros())
}

#[cfg(test)]
mod tests;

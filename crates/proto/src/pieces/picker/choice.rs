//! The choice itself: which piece a peer works at next. What [`super`] says in a paragraph, rule by rule.
//!
//! Not the bookkeeping of states. A function here asks for blocks, or finds nothing and changes nothing.
//! BEP: 3, 6

use super::{PickFor, PiecePicker, Speed, owes_in_vain};
use crate::pieces::availability::Taste;
use crate::pieces::open_piece::COPIES_PER_BLOCK_MAX;
use crate::pieces::{OpenIndex, OpenPiece, PieceState};
use crate::{Priority, Rng};
use wire::{Block, Layout, PieceIndex};

/// Unfinished pieces compared when a peer looks for one to join. There are about as many as peers; beyond this, chance is as good.
pub const PARTIALS_SEEN_MAX: usize = 64;

/// End-game copies that one peer is asked for at once: 256 KiB, so that a peer which answers none wastes little.
pub const COPIES_PER_PEER_MAX: u32 = 16;

/// Where the next blocks may come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A piece reserved for this peer.
    Own,
    /// An unfinished piece that nobody is at.
    Orphans,
    /// An unfinished piece that is not reserved for another.
    Shared,
    /// A piece nobody has begun.
    New,
    /// Any unfinished piece: better than idling.
    Any,
}

impl PiecePicker {
    /// Blocks that nobody was asked for; says how many.
    pub(super) fn pick_free(&mut self, ask: &PickFor<'_>, rng: &mut Rng, out: &mut Vec<Block>) -> u32 {
        let mut left = ask.want;
        if let Some(index) = self.current(ask) {
            left -= self.ask(index, ask, left, out);
        }
        let sources: &[Source] = match (ask.on_parole, ask.speed) {
            (true, _) => &[Source::Own, Source::New, Source::Any],
            (false, Speed::Fast) => &[Source::Orphans, Source::New, Source::Shared, Source::Any],
            (false, Speed::Medium | Speed::Slow) => &[Source::Shared, Source::New, Source::Any],
        };
        while left > 0 {
            let Some(index) = sources.iter().find_map(|&source| self.find(source, ask, rng)) else { break };
            let taken = self.ask(index, ask, left, out);
            if taken == 0 {
                break;
            }
            left -= taken;
        }
        ask.want - left
    }

    /// The piece this peer is at, if it has free blocks and is not another's.
    fn current(&mut self, ask: &PickFor<'_>) -> Option<OpenIndex> {
        let current = self.row(ask.peer).current?;
        let PieceState::Open(index) = self.pieces.state(current) else { return None };
        let open = self.pieces.open.get(index.get())?;
        let others = ask.on_parole || open.reserved.is_some();
        (open.partial_at.is_some() && (!others || open.reserved == Some(ask.peer))).then_some(index)
    }

    fn find(&mut self, source: Source, ask: &PickFor<'_>, rng: &mut Rng) -> Option<OpenIndex> {
        match source {
            Source::New => self.begin_for(ask, rng),
            Source::Own | Source::Orphans | Source::Shared | Source::Any => {
                let index = self.join(source, ask, rng)?;
                self.row(ask.peer).current = Some(self.pieces.open[index.get()].piece);
                Some(index)
            }
        }
    }

    /// An unfinished piece with free blocks that the peer has: most eagerly wanted, then nearest to whole.
    fn join(&self, source: Source, ask: &PickFor<'_>, rng: &mut Rng) -> Option<OpenIndex> {
        let partials = &self.pieces.partials;
        let from = if partials.len() > PARTIALS_SEEN_MAX { rng.index(partials.len()) } else { 0 };
        let seen = partials[from..].iter().chain(&partials[..from]).take(PARTIALS_SEEN_MAX);
        let fits = |open: &OpenPiece| match source {
            Source::Own => open.reserved == Some(ask.peer),
            Source::Orphans => open.reserved.is_none() && open.asked() == 0,
            Source::Shared => open.reserved.is_none_or(|peer| peer == ask.peer),
            Source::Any | Source::New => true,
        };
        seen.copied()
            .filter_map(|index| {
                let open = &self.pieces.open[index.get()];
                let nearest = if self.sequential { open.piece.0 } else { open.absent() };
                let rank = (core::cmp::Reverse(self.pieces.priority(open.piece)), nearest, open.piece.0);
                (fits(open) && ask.pieces.has(open.piece)).then_some((rank, index))
            })
            .min_by_key(|&(rank, _)| rank)
            .map(|(_, index)| index)
    }

    /// Opens a piece for a peer, if the budget allows.
    fn begin_for(&mut self, ask: &PickFor<'_>, rng: &mut Rng) -> Option<OpenIndex> {
        let taste = match self.pieces.have_count < self.random_first_pieces {
            _ if self.sequential => Taste::First,
            true => Taste::Random,
            false => Taste::Rarest,
        };
        let suggested = ask
            .suggested
            .iter()
            .copied()
            .find(|&piece| ask.pieces.has(piece) && self.pieces.can_begin(piece) && self.has_room(ask));
        let piece = suggested.or_else(|| self.choose_missing(ask, taste, rng))?;
        let index = self.begin(piece)?;
        self.row(ask.peer).current = Some(piece);
        if ask.on_parole {
            self.pieces.open[index.get()].reserved = Some(ask.peer);
        }
        Some(index)
    }

    /// While the peer chokes us: from the pieces it allows all the same. A short list.
    pub(super) fn pick_allowed(&mut self, ask: &PickFor<'_>, only: &[PieceIndex], out: &mut Vec<Block>) {
        let mut want = ask.want;
        for &piece in only.iter().filter(|&&piece| ask.pieces.has(piece)) {
            let index = match self.pieces.state(piece) {
                PieceState::Open(index) => {
                    let open = &self.pieces.open[index.get()];
                    (open.partial_at.is_some() && open.reserved.is_none_or(|peer| peer == ask.peer))
                        .then_some(index)
                }
                PieceState::Missing => {
                    let reserved = self.pieces.reserved_bytes();
                    let next = reserved + u64::from(self.pieces.layout.piece_len(piece));
                    let room = reserved == 0 || next <= ask.open_bytes_max;
                    if room { self.begin(piece) } else { None }
                }
                PieceState::Verifying(_) | PieceState::Have(_) => None,
            };
            if let Some(index) = index {
                want -= self.ask(index, ask, want, out);
            }
            if want == 0 {
                return;
            }
        }
    }

    /// One block for a peer that lets us wait, so that it can show that it is back. Nothing is noted: whoever else has the block
    /// may be asked for it too. Free blocks first, and by lot, so that several such peers rarely send the same.
    pub(super) fn probe(&mut self, ask: &PickFor<'_>, rng: &mut Rng) -> Option<Block> {
        let layout = self.pieces.layout.clone();
        let block_of = |piece, number| layout.nth_block(piece, number);
        if let Some(only) = ask.only {
            let lacking = |piece: &&PieceIndex| ask.pieces.has(**piece) && self.pieces.lacking.has(**piece);
            let &piece = only.iter().find(lacking)?;
            let from = rng.below(layout.blocks_in(piece));
            return match self.pieces.state(piece) {
                PieceState::Missing => Some(block_of(piece, from)),
                PieceState::Open(index) => {
                    self.pieces.open[index.get()].absent_from(from).map(|number| block_of(piece, number))
                }
                PieceState::Verifying(_) | PieceState::Have(_) => None,
            };
        }
        if let Some(index) = self.join(Source::Any, ask, rng) {
            let open = &self.pieces.open[index.get()];
            let from = rng.below(layout.blocks_in(open.piece));
            return open.absent_from(from).map(|number| block_of(open.piece, number));
        }
        if let Some(piece) = self.choose_missing(ask, Taste::Commonest, rng) {
            return Some(block_of(piece, rng.below(layout.blocks_in(piece))));
        }
        let count = self.pieces.open.len();
        let start = rng.index(count);
        let seen = (0..count.min(PARTIALS_SEEN_MAX)).map(|step| &self.pieces.open[(start + step) % count]);
        let fits = |open: &&OpenPiece| {
            let wanted = self.pieces.priority(open.piece) != Priority::Skip;
            wanted && open.asked() > 0 && ask.pieces.has(open.piece)
        };
        let open = seen.into_iter().find(fits)?;
        let from = rng.below(layout.blocks_in(open.piece));
        open.absent_from(from).map(|number| block_of(open.piece, number))
    }

    /// Whether the budget allows another piece.
    fn has_room(&self, ask: &PickFor<'_>) -> bool {
        let reserved = self.pieces.reserved_bytes();
        reserved == 0 || reserved + u64::from(self.pieces.layout.piece_len_max()) <= ask.open_bytes_max
    }

    /// A piece that nobody has begun, if the budget allows another.
    fn choose_missing(&mut self, ask: &PickFor<'_>, taste: Taste, rng: &mut Rng) -> Option<PieceIndex> {
        if !self.has_room(ask) || self.availability.is_empty() {
            return None;
        }
        let mut search = self.row(ask.peer).search;
        let piece = self.availability.choose(ask.pieces, taste, &mut search, rng);
        self.row(ask.peer).search = search;
        piece
    }

    /// Blocks that others were asked for, from unfinished pieces beginning anywhere: in end-game of all, before it (`stale`) of those
    /// that make no headway, but for what web seeds are at, whose runs end when they end.
    pub(super) fn pick_copies(
        &mut self,
        ask: &PickFor<'_>,
        want: u32,
        stale: bool,
        rng: &mut Rng,
        out: &mut Vec<Block>,
    ) {
        let mut want = want.min(COPIES_PER_PEER_MAX.saturating_sub(self.row(ask.peer).copies.into()));
        let count = self.pieces.open.len();
        let start = rng.index(count);
        for step in 0..count.min(PARTIALS_SEEN_MAX) {
            if want == 0 {
                return;
            }
            let at = (start + step) % count;
            let open = &self.pieces.open[at];
            let wanted = self.pieces.priority(open.piece) != Priority::Skip;
            let at_work = stale && !open.is_stale(ask.now);
            if !wanted || at_work || open.asked() == 0 || !ask.pieces.has(open.piece) {
                continue;
            }
            let from = rng.below(self.pieces.layout.blocks_in(open.piece));
            // Silent peers may have all the copies too: who has shown what it can need not stand in line behind them.
            let rescues = ask.rescues && ask.speed == Speed::Fast && open.is_stale(ask.now);
            let most = if rescues { usize::MAX } else { COPIES_PER_BLOCK_MAX };
            let (rows, moved) = (&self.rows, open.moved());
            let of = |debtor| !stale || owes_in_vain(rows, moved, debtor, ask.now);
            let copy = |open: &mut OpenPiece, layout: &Layout| {
                open.ask_copies(ask.peer, want, from, (of, most), layout, out)
            };
            let taken = self.pieces.change(OpenIndex(at as u16), copy).unwrap_or(0);
            self.row(ask.peer).copies += taken as u16;
            want -= taken;
        }
    }

    fn ask(&mut self, index: OpenIndex, ask: &PickFor<'_>, want: u32, out: &mut Vec<Block>) -> u32 {
        let who = (ask.peer, ask.now);
        self.row(ask.peer).heard = ask.now;
        self.pieces.change(index, |open, layout| open.ask(who, want, layout, out)).unwrap_or(0)
    }
}

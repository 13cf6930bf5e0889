//! What to ask a web seed for: a run of blocks beside one another, since it is asked for ranges of bytes and each costs a round
//! trip. By the rules of [`super::choice`] otherwise: unfinished pieces that nobody is at, then new ones, then any.
//!
//! A run begins where rarest-first would, and grows over the gap around that piece, backwards and forwards, as far as the caller
//! allows: whole pieces, which then have no free block for anybody else. Without peers to be considerate of, and in sequential
//! mode, gaps are filled from the front. BEP: 19

use super::PiecePicker;
use super::choice::PARTIALS_SEEN_MAX;
use crate::pieces::availability::{Search, Taste};
use crate::pieces::{OpenIndex, OpenPiece, RemotePieces};
use crate::{Instant, PeerKey, Rng};
use core::cmp::Reverse;
use core::ops::Range;
use wire::PieceIndex;

/// Which web seed asks for a run, and under what terms.
#[derive(Clone, Copy, Debug)]
pub struct RunFor<'a> {
    /// The web seed.
    pub source: PeerKey,
    /// The time.
    pub now: Instant,
    /// What it has.
    pub pieces: &'a RemotePieces,
    /// No more than this, but one piece in any case.
    pub bytes_max: u64,
    /// As for peers: no new piece while unfinished ones take this much.
    pub open_bytes_max: u64,
    /// There is no peer whose rarest-first could be disturbed.
    pub alone: bool,
    /// It is suspected of having spoiled a piece: gets pieces of its own.
    pub on_parole: bool,
}

/// Unfinished pieces that a run may take blocks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Join {
    /// Reserved for this source.
    Own,
    /// Nobody is at it.
    Orphans,
    /// Any: better than idling. Those reserved for others last.
    Any,
}

impl PiecePicker {
    /// A range of the content to ask a web seed for: whole blocks that nobody was asked for, beside one another. They count as
    /// asked from now on: each ends in `received` or `release`.
    pub fn pick_run(&mut self, ask: &RunFor<'_>, rng: &mut Rng) -> Option<Range<u64>> {
        if self.pieces.lacking_count == 0 {
            return None;
        }
        let first = if ask.on_parole { Join::Own } else { Join::Orphans };
        let begun = self.join_run(first, ask, rng).or_else(|| self.begin_run(ask, rng));
        // In the end blocks would wait for a peer that is slower than the server; or, of a suspect, for nobody: what it left of a
        // piece when it broke off is reserved for it no more, and there may be no peer to take it.
        begun.or_else(|| self.join_run(Join::Any, ask, rng))
    }

    fn join_run(&mut self, join: Join, ask: &RunFor<'_>, rng: &mut Rng) -> Option<Range<u64>> {
        let anothers = |open: &OpenPiece| open.reserved.is_some_and(|source| source != ask.source);
        let fits = |open: &OpenPiece| match join {
            Join::Own => open.reserved == Some(ask.source),
            Join::Orphans => open.reserved.is_none() && open.asked() == 0,
            Join::Any => true,
        };
        let partials = &self.pieces.partials;
        // Beginning anywhere, or of many partials those beyond the first would be looked at by nobody.
        let from = if partials.len() > PARTIALS_SEEN_MAX { rng.index(partials.len()) } else { 0 };
        let seen = partials[from..].iter().chain(&partials[..from]).take(PARTIALS_SEEN_MAX);
        let (_, index) = seen
            .filter_map(|&index| {
                let open = &self.pieces.open[index.get()];
                let nearest = if self.sequential { open.piece.0 } else { open.absent() };
                let rank = (anothers(open), Reverse(self.pieces.priority(open.piece)), nearest, open.piece.0);
                (fits(open) && ask.pieces.has(open.piece)).then_some((rank, index))
            })
            .min_by_key(|&(rank, _)| rank)?;
        self.take_run(index, ask)
    }

    fn begin_run(&mut self, ask: &RunFor<'_>, rng: &mut Rng) -> Option<Range<u64>> {
        let reserved = self.pieces.reserved_bytes();
        let next = reserved + u64::from(self.pieces.layout.piece_len_max());
        if (reserved > 0 && next > ask.open_bytes_max) || self.availability.is_empty() {
            return None;
        }
        let taste = if self.sequential || ask.alone { Taste::First } else { Taste::Rarest };
        let first = self.availability.choose(ask.pieces, taste, &mut Search::default(), rng)?;
        let most = ask.bytes_max.min(ask.open_bytes_max.saturating_sub(reserved));
        let gap = self.gap_around(first, most, ask.pieces);
        let mut range: Option<Range<u64>> = None;
        for piece in (gap.start..gap.end).map(PieceIndex) {
            let Some(taken) = self.begin(piece).and_then(|index| self.take_run(index, ask)) else {
                break;
            };
            if ask.on_parole
                && let Some(index) = self.open_index(piece)
            {
                self.pieces.open[index.get()].reserved = Some(ask.source);
            }
            range = Some(range.map_or(taken.start, |range| range.start)..taken.end);
        }
        range
    }

    /// The pieces around this one that can be begun and are wanted as eagerly, up to so many bytes.
    fn gap_around(&self, piece: PieceIndex, most: u64, theirs: &RemotePieces) -> Range<u32> {
        let eagerness = self.pieces.priority(piece);
        let fits = |at: u32| {
            let at = PieceIndex(at);
            self.pieces.can_begin(at) && self.pieces.priority(at) == eagerness && theirs.has(at)
        };
        let len = |at: u32| u64::from(self.pieces.layout.piece_len(PieceIndex(at)));
        let (mut start, mut end, mut bytes) = (piece.0, piece.0 + 1, len(piece.0));
        while start > 0 && fits(start - 1) && bytes + len(start - 1) <= most {
            start -= 1;
            bytes += len(start);
        }
        while end < self.pieces.layout.pieces() && fits(end) && bytes + len(end) <= most {
            bytes += len(end);
            end += 1;
        }
        start..end
    }

    /// Asks for the first free blocks of a piece that lie beside one another; where they are in the content.
    fn take_run(&mut self, index: OpenIndex, ask: &RunFor<'_>) -> Option<Range<u64>> {
        let piece = self.pieces.open.get(index.get())?.piece;
        let run = self.pieces.change(index, |open, _| open.ask_run(ask.source, ask.now))?;
        let layout = &self.pieces.layout;
        let last = layout.nth_block(piece, run.end.checked_sub(1)?);
        let start = layout.block_offset(layout.nth_block(piece, run.start));
        (!run.is_empty()).then(|| start..layout.block_offset(last) + u64::from(last.len))
    }
}

//! Recounts what is had, lacked, wanted and open against the states of the pieces.

use super::{Durability, PieceState, Pieces};
use crate::audit::Doubts;
use wire::PieceIndex;

impl Pieces {
    /// Holds all indexes and counts against the states.
    pub(crate) fn audit(&self, doubts: &mut Doubts) {
        let total = self.layout.pieces();
        let (mut have, mut lacking, mut lacking_bytes, mut wanted_bytes, mut unwritten, mut open) =
            (0, 0, 0, 0, 0, 0);
        for piece in (0..total).map(PieceIndex) {
            let (state, len) = (self.state(piece), u64::from(self.layout.piece_len(piece)));
            let wanted = self.priority(piece) != crate::Priority::Skip;
            let (has, durable) = match state {
                PieceState::Have(Durability::Synced | Durability::Committed) => (true, true),
                PieceState::Have(Durability::Buffered | Durability::Written) => (true, false),
                PieceState::Missing | PieceState::Open(_) | PieceState::Verifying(_) => (false, false),
            };
            let marks = [self.have.has(piece), self.durable.has(piece), self.lacking.has(piece)];
            doubts.must(marks == [has, durable, wanted && !has], || {
                format!("{piece:?} is {state:?}, and marked as had, durable, lacking: {marks:?}")
            });
            have += u32::from(has);
            lacking += u32::from(wanted && !has);
            lacking_bytes += if wanted && !has { len } else { 0 };
            wanted_bytes += if wanted { len } else { 0 };
            unwritten += if state == PieceState::Have(Durability::Buffered) { len } else { 0 };
            if let PieceState::Open(index) | PieceState::Verifying(index) = state {
                open += 1;
                let there = self.open.get(index.get()).map(|open| open.piece);
                doubts.must(there == Some(piece), || {
                    format!("{piece:?} is open, and {there:?} lies in its place")
                });
            }
        }
        doubts.same("pieces had", self.have_count, have);
        doubts.same("pieces lacking", self.lacking_count, lacking);
        doubts.same("bytes lacking", self.lacking_bytes, lacking_bytes);
        doubts.same("bytes wanted", self.wanted_bytes, wanted_bytes);
        doubts.same("bytes not written", self.unwritten_bytes, unwritten);
        doubts.same("open pieces", self.open.len(), open);
        self.audit_open(doubts);
    }

    fn audit_open(&self, doubts: &mut Doubts) {
        let live = self.open.iter().filter(|open| open.is_live());
        let live: u64 = live.map(|open| u64::from(self.layout.piece_len(open.piece))).sum();
        doubts.same("bytes of open pieces that take memory", self.live_bytes, live);
        let mut partials = 0;
        for (index, open) in self.open.iter().enumerate() {
            open.audit(doubts);
            let belongs = open.free() > 0 && self.priority(open.piece) != crate::Priority::Skip;
            let listed = open.partial_at.and_then(|at| self.partials.get(at.get())).map(|index| index.get());
            doubts.must(listed == belongs.then_some(index), || {
                format!(
                    "{:?} has {} free blocks, and is listed as {listed:?} of {index}",
                    open.piece,
                    open.free()
                )
            });
            partials += usize::from(belongs);
        }
        doubts.same("pieces with free blocks", self.partials.len(), partials);
    }
}

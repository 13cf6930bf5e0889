//! Recounts who has what, and the orders of pieces by that.

use super::{Availability, class};
use crate::audit::Doubts;
use crate::pieces::Pieces;
use wire::PieceIndex;

impl Availability {
    /// Holds counts against `peers_with`, which counts peers anew, and orders against the states of the pieces.
    pub(crate) fn audit(&self, pieces: &Pieces, peers_with: impl Fn(PieceIndex) -> u32, doubts: &mut Doubts) {
        let mut listed = 0;
        for piece in (0..self.counts.len() as u32).map(PieceIndex) {
            let (said, is) = (
                i64::from(self.base) + i64::from(self.counts[piece.as_usize()]),
                i64::from(peers_with(piece)),
            );
            doubts.must(said == is, || format!("{piece:?}: says {said} peers have it, it is {is}"));
            let can_begin = pieces.can_begin(piece);
            doubts.must(self.contains(piece) == can_begin, || {
                format!("{piece:?} can be begun: {can_begin}; is listed so: {}", self.contains(piece))
            });
            let order = class(pieces.priority(piece)).filter(|_| can_begin).map(|order| &self.orders[order]);
            let at = self.positions.get(piece.as_usize()).map_or(0, |at| at as usize);
            if let Some(order) = order {
                listed += 1;
                doubts.must(order.pieces.get(at) == Some(piece.0) && order.set.has(piece), || {
                    format!("{piece:?} does not lie where it is said to lie")
                });
                let bucket = order.bucket(-i32::from(self.counts[piece.as_usize()]));
                let start = order.starts.get(bucket).map(|&start| start as usize);
                doubts.must(start.is_some_and(|start| (start..order.end(bucket)).contains(&at)), || {
                    format!("{piece:?} lies at {at}, its bucket begins at {start:?}")
                });
            }
        }
        doubts.same("pieces that can be begun", self.len(), listed);
    }
}

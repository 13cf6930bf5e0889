//! Poisoners that work together: which of them spoils which block, so that none spoils a whole piece alone and honest peers
//! stand among the suspects.
//!
//! Members agree beforehand and need not talk. Of each piece every member serves all blocks but one rightly; which one it is
//! moves on with time, so that a copy fetched again from the same members is wrong in another place; and what members spoil
//! they spoil alike, so that two of them vouch for each other's lie.

use crate::content::mix;
use core::time::Duration;
use proto::Instant;
use wire::Block;

/// How long one plan holds: about as long as a piece takes to come again.
const PLAN: Duration = Duration::from_secs(5);

/// One member's place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    /// What the ring agreed on.
    pub secret: u64,
    /// Which member this is.
    pub member: u32,
    /// How many there are.
    pub members: u32,
}

impl Ring {
    /// Whether this member spoils this block now: a salt that all members share, so that the wrong bytes are the same.
    pub fn spoils(&self, now: Instant, block: Block, block_number: u32, blocks_in: u32) -> Option<u64> {
        let plan = now.as_micros() / u64::try_from(PLAN.as_micros()).unwrap_or(u64::MAX);
        let piece = u64::from(block.piece.0);
        let draw = mix(self.secret ^ mix(piece << 20 | plan));
        let whose = draw % u64::from(self.members.max(1));
        let which = (draw >> 32) % u64::from(blocks_in.max(1));
        (whose == u64::from(self.member) && which == u64::from(block_number))
            .then(|| mix(self.secret ^ mix(piece << 32 | u64::from(block.offset))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Layout;

    #[test]
    fn in_each_plan_one_member_spoils_one_block_of_a_piece() {
        let layout = Layout::new(1 << 20, 128 << 10).unwrap();
        for plan in 0..50 {
            let now = Instant::from_micros(plan * 5_000_000);
            for piece in layout.piece_indices() {
                let count = layout.blocks_in(piece);
                let ring = |member| Ring { secret: 9, member, members: 3 };
                let spoilt = (0..3).flat_map(|member| (0..count).map(move |nth| (member, nth)));
                let spoilt = spoilt.filter(|&(member, nth)| {
                    ring(member).spoils(now, layout.nth_block(piece, nth), nth, count).is_some()
                });
                assert_eq!(spoilt.count(), 1);
            }
        }
    }
}

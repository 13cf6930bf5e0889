//! The world of a race: one who has it, so many who want it.

use crate::cli::RaceLab;
use crate::quantity::Size;
use sim::{Access, Group, Shape, Swarm};
use std::time::Duration;

/// The content is cut into so many blocks, if they are not too large for the links then.
const BLOCKS: u64 = 1024;

/// Blocks of a piece.
const BLOCKS_A_PIECE: u64 = 4;

/// A block is no larger than what an uplink sends in this many milliseconds, shared among all slots.
const BLOCK_MILLIS: u64 = 6_000;

/// Slots and one more, as sessions have them.
const SLOTS: u64 = 17;

/// Blocks as they are in real swarms: smaller ones are not made.
const BLOCK_MIN: u64 = 16 << 10;

/// The world with so many people.
pub(super) fn swarm(args: &RaceLab, people: u32) -> Swarm {
    let Size(total) = args.size;
    let (up, down, origin) = (bytes(args.up), bytes(args.down), bytes(args.origin));
    let fits = up.min(origin) * BLOCK_MILLIS / 1000 / SLOTS;
    let block_len = (total / BLOCKS).clamp(BLOCK_MIN, fits.max(BLOCK_MIN)) as u32;
    let content = Shape { total, piece_len: block_len * BLOCKS_A_PIECE as u32, block_len };
    let mut swarm = Swarm::new("race", content, args.seed)
        .group(Group::seeds(1, Access::new(origin, origin)))
        .group(Group::leechers(people, Access::new(up, down)));
    swarm.within = swarm.bound_of_server() * 2 + Duration::from_secs(60);
    swarm
}

/// Bytes per second of so many Mbit/s.
fn bytes(mbit: u32) -> u64 {
    u64::from(mbit) * 125_000
}

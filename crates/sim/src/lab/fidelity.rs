//! Worlds that real processes live through as well: what the simulator says of them is held against what really happens
//! (`cargo xtask fidelity`). Said once, for both: the processes' links are shaped by what stands here.
//!
//! What a shaped link carries is less than its rate: a frame of 1,514 bytes, as the kernel's token bucket counts it, has 1,448 bytes
//! of a stream in it. Between namespaces there is hardly any latency.

use crate::disk::Crash;
use crate::fault::Fault;
use crate::network::Access;
use crate::swarm::access::Mix;
use crate::swarm::{Group, SHIPPED, Shape, Swarm};
use core::time::Duration;
use proto::{Instant, Lease};

/// Bytes of a stream in a full frame: 1,500 less the headers of IPv4 and TCP with time stamps.
const STREAM_PER_FRAME: u64 = 1448;

/// Bytes that the kernel counts for it: with the header of Ethernet.
const FRAME: u64 = 1514;

/// How long the token bucket of a link lets a frame wait before it drops it.
pub const QUEUE: Duration = Duration::from_millis(100);

/// From a host to the core of the network: the least that is more than nothing. A cable between namespaces has none; a machine that
/// runs all of the processes has some to answer in.
pub const LATENCY: Duration = Duration::from_millis(1);

/// The names of the worlds.
pub const WORLDS: [&str; 3] = ["shaped", "mixed", "seed-dies"];

/// Bytes of the content, unless somebody asks for fewer.
pub const SIZE: u64 = 64 << 20;

/// A link, and who has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// It has everything from the start.
    pub seed: bool,
    /// What it may send, in Mbit/s, frames and all.
    pub up: u64,
    /// What it may receive.
    pub down: u64,
    /// It gives nothing: a byte a second is the least that the program can be told.
    pub takes_only: bool,
}

/// A world for both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct World {
    /// Which of [`WORLDS`].
    pub name: &'static str,
    /// Who takes part; the first is the only seed.
    pub lines: Vec<Line>,
    /// Bytes of the content, in pieces of 256 KiB.
    pub size: u64,
    /// When the seed is killed, after the others started.
    pub seed_dies: Option<Duration>,
}

const fn line(up: u64, down: u64) -> Line {
    Line { seed: false, up, down, takes_only: false }
}

const fn seed(up: u64, down: u64) -> Line {
    Line { seed: true, ..line(up, down) }
}

impl World {
    /// The world of this name, about so many bytes.
    pub fn by_name(name: &str, size: u64) -> Option<World> {
        let cable = line(20, 100);
        let (name, lines) = match name {
            "shaped" => ("shaped", [vec![seed(20, 100)], vec![cable; 10]].concat()),
            "mixed" => {
                let rider = Line { takes_only: true, ..cable };
                let (fast, slow) = (line(10, 50), line(5, 25));
                let all = [vec![seed(20, 100)], vec![cable; 3], vec![fast; 3], vec![slow; 3], vec![rider]];
                ("mixed", all.concat())
            }
            "seed-dies" => ("seed-dies", [vec![seed(60, 100)], vec![cable; 10]].concat()),
            _ => return None,
        };
        let mut world = World { name, lines, size, seed_dies: None };
        if name == "seed-dies" {
            world.seed_dies = Some(world.bound() * 3 / 5);
        }
        Some(world)
    }

    /// The soonest that a fluid could fill everybody, if links carried nothing else.
    pub fn bound(&self) -> Duration {
        let plain = |mbit: u64| mbit * 125_000;
        self.swarm_of(plain, 0).bound()
    }

    /// The same with the headers of frames.
    pub fn bound_in_frames(&self) -> Duration {
        self.swarm_of(carried, 0).bound()
    }

    /// The simulated world.
    pub fn swarm(&self, seed: u64) -> Swarm {
        self.swarm_of(carried, seed)
    }

    fn swarm_of(&self, rate: impl Fn(u64) -> u64, seed: u64) -> Swarm {
        let content = Shape { total: self.size, piece_len: 256 << 10, block_len: 16 << 10 };
        let mut swarm = Swarm::new(self.name, content, seed);
        for line in &self.lines {
            let access = Access::new(rate(line.up), rate(line.down)).latency(LATENCY);
            let group = if line.seed { Group::seeds(1, access) } else { Group::leechers(1, access) };
            let least = Lease { up: Some(1), unchoke_slots: 1, ..SHIPPED };
            let lease = if line.takes_only { least } else { SHIPPED };
            swarm = swarm.group(Group { lease, access: Mix::only(access), ..group });
        }
        if let Some(after) = self.seed_dies {
            let killed = Fault::Crash { node: 0, how: Crash::Kill, back_after: None };
            swarm.faults.push((Instant::ZERO + after, killed));
        }
        swarm
    }
}

/// Bytes a second of a stream through a link of so many Mbit/s.
fn carried(mbit: u64) -> u64 {
    mbit * 125_000 * STREAM_PER_FRAME / FRAME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_that_were_computed_by_hand() {
        let world = World::by_name("shaped", SIZE).unwrap();
        assert_eq!(world.bound().as_millis(), 26_843);
        assert_eq!(world.bound_in_frames().as_millis(), 28_067);
        let world = World::by_name("seed-dies", SIZE).unwrap();
        // 640 MiB through 32.5 MB/s.
        assert_eq!(world.bound().as_millis(), 20_648);
        assert_eq!(world.seed_dies.unwrap().as_millis(), 12_389);
    }

    #[test]
    fn every_world_is_fit_to_be_run() {
        for name in WORLDS {
            let world = World::by_name(name, SIZE).unwrap();
            assert_eq!((world.name, world.lines.len()), (name, 11));
            assert_eq!(world.swarm(1).check(), Ok(()));
        }
        assert_eq!(World::by_name("none", SIZE), None);
    }
}

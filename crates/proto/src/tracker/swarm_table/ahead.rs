//! A look at what visits are about to touch. In a large table every step to a peer waits for memory: the index, the swarm's record, its
//! array or a bucket. Visits that came together are taken one such step at a time, all of them, so that the processor waits for many at
//! once; when they are attended to, what they need is near.
//!
//! Invariant: nothing comes of it but time. A table that was not looked ahead in, or for other visits, answers the same.

use super::clock::Stamp;
use super::entry::{Entry, V4};
use super::keyed::Key;
use super::{SwarmTable, shelf};
use crate::address;
use core::hint::black_box;
use core::net::SocketAddr;
use wire::InfoHash;

/// Visits looked at together at most: as many as one call of the kernel brings.
pub const AHEAD_MAX: usize = 64;

/// Where a visit has got to.
#[derive(Clone, Copy, Default)]
struct Step {
    /// Where its swarm falls.
    swarm: u64,
    /// Where its peer falls.
    peer: u64,
    /// Where the swarm's record probably is.
    place: Option<u32>,
}

impl SwarmTable {
    /// These visits come next. Of more than [`AHEAD_MAX`] the first are looked at.
    pub fn look_ahead(&self, visits: impl Iterator<Item = (InfoHash, SocketAddr)>) {
        let mut steps = [Step::default(); AHEAD_MAX];
        let (mut count, mut seen) = (0, 0);
        for (step, (info_hash, peer)) in steps.iter_mut().zip(visits) {
            step.swarm = shelf::hash(&info_hash, self.means.key);
            step.peer = falls(peer, self.means.key);
            seen ^= self.shelf.look_for(step.swarm);
            count += 1;
        }
        let steps = &mut steps[..count];
        for step in steps.iter_mut() {
            step.place = self.shelf.guess(step.swarm);
        }
        for step in steps.iter() {
            seen ^= step.place.map_or(0, |place| u64::from(self.shelf.get(place).downloaded));
        }
        for step in steps.iter() {
            seen ^= step.place.map_or(0, |place| self.shelf.get(place).v4.look_for(step.peer));
        }
        // Without a use the reads would be left out.
        black_box(seen);
    }
}

/// Where a peer falls in a hashed set. Few have IPv6, and few of those are in swarms where it would matter.
fn falls(peer: SocketAddr, key: Key) -> u64 {
    match address::canonical(peer) {
        SocketAddr::V4(peer) => Entry::hash(&V4::new(*peer.ip(), peer.port(), Stamp(0)), key),
        SocketAddr::V6(_) => 0,
    }
}

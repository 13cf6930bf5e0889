//! How a fleet stands at set times: what has arrived, who fetches, and who wants something of whom.
//!
//! Only looks. Sums over nodes in whatever order, so that no division into shards shows. O(links) a look, and only if it is asked for.

use super::node::{Node, TORRENT};
use super::shard::Shard;
use crate::figures::Sample;
use core::time::Duration;
use proto::Instant;

/// What was seen so far.
pub(super) struct Survey {
    every: Option<Duration>,
    next: Instant,
    pub(super) samples: Vec<Sample>,
}

impl Survey {
    pub(super) fn new(every: Option<Duration>) -> Survey {
        let next = every.map_or(Instant::FAR, |every| Instant::ZERO + every);
        Survey { every, next, samples: Vec::new() }
    }

    /// When to look next.
    pub(super) fn due(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time.
    pub(super) fn look(&mut self, shards: &[Shard], now: Instant) {
        let Some(every) = self.every.filter(|_| now >= self.next) else { return };
        self.next = now + every;
        let mut sample = Sample { at: now, ..Sample::default() };
        for shard in shards {
            sample.payload += shard.tally.arrived;
            shard.nodes.iter().for_each(|node| see(node, &mut sample));
        }
        self.samples.push(sample);
    }
}

fn see(node: &Node, sample: &mut Sample) {
    let Some(session) = &node.session else { return };
    let Some(have) = session.have(TORRENT).filter(|have| !have.is_full()) else { return };
    sample.fetching += 1;
    for peer in session.peers(TORRENT).iter().filter(|peer| peer.pieces < have.len()) {
        sample.links += 1;
        sample.wanted += u64::from(peer.am_interested);
    }
}

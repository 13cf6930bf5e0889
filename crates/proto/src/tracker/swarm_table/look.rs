//! Looks into a table for its operator: its swarms one after the other, and the peers of one. Changes nothing.
//!
//! Invariants: no call takes long, for it looks at as many swarms, or tells of as many peers, as it is told; which swarm is in the table
//! from the beginning of a look to its end is told of, perhaps twice.

use super::entry::{Entry, V4, V6};
use super::family::Family;
use super::{Counts, Peers, SwarmTable, buckets};
use crate::{Instant, address};
use core::net::SocketAddr;
use wire::InfoHash;

/// How far a look at all swarms has come: from the last to the first, as the last takes the place of one that goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    to_go: u32,
}

impl SwarmTable {
    /// Begins a look at all swarms.
    pub fn begin_look(&self) -> Look {
        Look { to_go: self.shelf.len() }
    }

    /// Tells of the next few swarms. Says whether there are more; in between the table may be used as ever.
    pub fn look(&self, look: &mut Look, budget: u32, mut tell: impl FnMut(InfoHash, Counts)) -> bool {
        let from = look.to_go.min(self.shelf.len());
        look.to_go = from.saturating_sub(budget.max(1));
        for place in (look.to_go..from).rev() {
            let swarm = self.shelf.get(place);
            tell(swarm.info_hash, swarm.counts());
        }
        look.to_go > 0
    }

    /// When a peer of a swarm was last heard of, to the beginning of a second, or of more if peers may stay away for hours; `None` if it is
    /// unknown.
    pub fn heard_of(&self, info_hash: &InfoHash, peer: SocketAddr) -> Option<Instant> {
        let swarm = self.shelf.get(self.shelf.find(info_hash, self.means.key)?);
        let now = self.means.clock.stamp();
        let seen = match address::canonical(peer) {
            SocketAddr::V4(peer) => swarm.v4.seen(&V4::new(*peer.ip(), peer.port(), now), &self.means),
            SocketAddr::V6(peer) => {
                swarm.v6.as_ref()?.seen(&V6::new(*peer.ip(), peer.port(), now), &self.means)
            }
        };
        seen.map(|seen| self.means.clock.when(seen))
    }

    /// Peers of a swarm and whether they are seeds, so many at most; `None` if it is unknown.
    pub fn peers_of(&self, info_hash: &InfoHash, most: usize) -> Option<Vec<(SocketAddr, bool)>> {
        let swarm = self.shelf.get(self.shelf.find(info_hash, self.means.key)?);
        let mut told = Vec::new();
        tell_all(&swarm.v4, wire::compact::Family::V4, most, &mut told);
        if let Some(v6) = &swarm.v6 {
            tell_all(v6, wire::compact::Family::V6, most, &mut told);
        }
        Some(told)
    }
}

fn tell_all<E: Entry + buckets::Item>(
    family: &Family<E>,
    kind: wire::compact::Family,
    most: usize,
    told: &mut Vec<(SocketAddr, bool)>,
) {
    let mut peers = Peers::new();
    let mut next = Some(0);
    while let Some(passed) = next {
        // Nothing changes in between: what was told of is not looked at again.
        let part = family.stretch(passed, passed == 0);
        for (rows, is_seed) in part.peers.into_iter().zip([true, false]) {
            peers.clear(kind);
            rows.iter().take(most.saturating_sub(told.len())).for_each(|row| peers.push(row));
            told.extend(peers.iter().map(|peer| (peer, is_seed)));
        }
        next = part.next.filter(|_| told.len() < most);
    }
}

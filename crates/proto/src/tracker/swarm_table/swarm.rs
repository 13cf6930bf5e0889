//! The peers of one swarm. Seeds lie before leechers in one slab, so that either kind can be drawn from at random without
//! a search.
//!
//! Invariant: of each family, `slab[..seeds]` are the seeds, and `index` names the place of every peer in the slab.

use super::{Counts, Packed};
use crate::Rng;
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;

/// One swarm.
#[derive(Clone, Debug, Default)]
pub(super) struct Swarm {
    v4: Family<(Ipv4Addr, u16)>,
    v6: Family<(Ipv6Addr, u16)>,
    /// The sweep is done with IPv4.
    v4_swept: bool,
    downloaded: u32,
}

#[derive(Clone, Debug)]
struct Family<A> {
    slab: Vec<Peer<A>>,
    seeds: u32,
    index: BTreeMap<A, u32>,
    /// Where the sweep goes on.
    swept: u32,
}

#[derive(Clone, Copy, Debug)]
struct Peer<A> {
    address: A,
    /// Seconds.
    seen: u32,
}

impl<A> Default for Family<A> {
    fn default() -> Family<A> {
        Family { slab: Vec::new(), seeds: 0, index: BTreeMap::new(), swept: 0 }
    }
}

impl Swarm {
    pub(super) fn len(&self) -> u32 {
        self.v4.len() + self.v6.len()
    }

    pub(super) fn counts(&self) -> Counts {
        let complete = self.v4.seeds + self.v6.seeds;
        Counts { complete, incomplete: self.len() - complete, downloaded: self.downloaded }
    }

    /// Keeps a peer, if it is known or there is room.
    pub(super) fn put(&mut self, peer: SocketAddr, seed: bool, completed: bool, seen: u32, room: bool) {
        let kept = match peer {
            SocketAddr::V4(peer) => self.v4.put((*peer.ip(), peer.port()), seed, seen, room),
            SocketAddr::V6(peer) => self.v6.put((*peer.ip(), peer.port()), seed, seen, room),
        };
        if kept && completed {
            self.downloaded = self.downloaded.saturating_add(1);
        }
    }

    pub(super) fn remove(&mut self, peer: SocketAddr) {
        match peer {
            SocketAddr::V4(peer) => self.v4.remove(&(*peer.ip(), peer.port())),
            SocketAddr::V6(peer) => self.v6.remove(&(*peer.ip(), peer.port())),
        }
    }

    /// Up to `want` others of the asker's family that were seen since `stale`; seeds only for who `seeks` something.
    pub(super) fn pick(
        &self,
        asker: SocketAddr,
        seeks: bool,
        want: u32,
        stale: u32,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        match asker {
            SocketAddr::V4(asker) => self.v4.pick((*asker.ip(), asker.port()), seeks, want, stale, rng),
            SocketAddr::V6(asker) => self.v6.pick((*asker.ip(), asker.port()), seeks, want, stale, rng),
        }
    }

    /// Forgets peers that were last seen before `stale`, looking at `budget` of them at most. Says whether all were seen.
    pub(super) fn sweep(&mut self, stale: u32, budget: &mut u32) -> bool {
        self.v4_swept = self.v4_swept || self.v4.sweep(stale, budget);
        let done = self.v4_swept && self.v6.sweep(stale, budget);
        self.v4_swept &= !done;
        done
    }
}

impl<A: Packed> Family<A> {
    fn len(&self) -> u32 {
        self.slab.len() as u32
    }

    fn put(&mut self, address: A, seed: bool, seen: u32, room: bool) -> bool {
        let place = match self.index.get(&address) {
            Some(&place) => place,
            None if !room => return false,
            None => {
                self.slab.push(Peer { address, seen });
                self.index.insert(address, self.len() - 1);
                self.len() - 1
            }
        };
        self.slab[place as usize].seen = seen;
        match (place < self.seeds, seed) {
            (true, true) | (false, false) => {}
            (false, true) => {
                self.swap(place, self.seeds);
                self.seeds += 1;
            }
            (true, false) => {
                self.seeds -= 1;
                self.swap(place, self.seeds);
            }
        }
        true
    }

    fn remove(&mut self, address: &A) {
        let Some(&place) = self.index.get(address) else { return };
        let mut hole = place;
        if hole < self.seeds {
            self.seeds -= 1;
            self.swap(hole, self.seeds);
            hole = self.seeds;
        }
        let last = self.len() - 1;
        self.swap(hole, last);
        self.slab.pop();
        self.index.remove(address);
    }

    fn swap(&mut self, a: u32, b: u32) {
        self.slab.swap(a as usize, b as usize);
        for place in [a, b] {
            self.index.insert(self.slab[place as usize].address, place);
        }
    }

    fn pick(&self, asker: A, seeks: bool, want: u32, stale: u32, rng: &mut Rng) -> Vec<SocketAddr> {
        let from = if seeks { 0 } else { self.seeds };
        let pool = &self.slab[from as usize..];
        // One more than wanted, for the asker itself may be among them.
        let drawn = draw(pool.len() as u32, want.saturating_add(1), rng);
        let others = drawn.into_iter().map(|place| &pool[place as usize]);
        others
            .filter(|peer| peer.address != asker && peer.seen >= stale)
            .take(want as usize)
            .map(|peer| peer.address.unpack())
            .collect()
    }

    fn sweep(&mut self, stale: u32, budget: &mut u32) -> bool {
        while *budget > 0 {
            let Some(peer) = self.slab.get(self.swept as usize) else {
                self.swept = 0;
                return true;
            };
            *budget -= 1;
            if peer.seen < stale {
                // Another takes its place and is looked at next.
                let address = peer.address;
                self.remove(&address);
            } else {
                self.swept += 1;
            }
        }
        false
    }
}

/// `count` different numbers below `bound`, or all of them, in random order (Floyd's sampling).
fn draw(bound: u32, count: u32, rng: &mut Rng) -> Vec<u32> {
    let count = count.min(bound);
    let mut drawn: Vec<u32> = Vec::with_capacity(count as usize);
    let mut sorted: Vec<u32> = Vec::with_capacity(count as usize);
    for top in bound - count..bound {
        let candidate = rng.below(top + 1);
        let number = if sorted.binary_search(&candidate).is_ok() { top } else { candidate };
        let place = sorted.partition_point(|&known| known < number);
        sorted.insert(place, number);
        drawn.push(number);
    }
    rng.shuffle(&mut drawn);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn a_draw_holds_different_numbers_and_each_comes_up_equally_often() {
        let mut rng = Rng::new(Seed(5));
        let mut seen = [0; 20];
        for _ in 0..4_000 {
            let mut drawn = draw(20, 5, &mut rng);
            drawn.iter().for_each(|&number| seen[number as usize] += 1);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 5);
        }
        assert!(seen.iter().all(|&count| (900..1_100).contains(&count)), "{seen:?}");
        assert_eq!(draw(3, 10, &mut rng).len(), 3);
        assert!(draw(0, 10, &mut rng).is_empty());
    }
}

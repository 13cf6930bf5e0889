//! Swarms and their peers, as a tracker keeps them: one table, no sockets. Peers are known by address and port alone, for
//! their ids are what they please.
//!
//! Invariants: the number of swarms and peers is bounded; a peer that stays away is forgotten, a few looked at per
//! announce, so that no call takes long; nobody is handed its own address; a seed is handed no seeds. BEP: 3, 7, 21, 48

mod swarm;

use crate::{Duration, Instant, Rng, address};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;
use swarm::Swarm;
use wire::InfoHash;
use wire::announce::AnnounceEvent;

/// Most peers in one answer, whatever is asked for (BEP 3 practice: 30 to 50 asked, 200 at most served).
pub const WANT_MAX: u32 = 200;
/// Peers looked at per announce, for expiry. With one announce per peer and interval, each peer is looked at some 16
/// times an interval.
const SWEEP_PEERS: u32 = 16;

/// How a table behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// When peers are told to come again.
    pub interval: Duration,
    /// How soon they may.
    pub min_interval: Duration,
    /// Peers in all swarms; further ones are answered but not kept. About 60 bytes each.
    pub peers_max: u32,
    /// Swarms; further ones are answered with nobody.
    pub swarms_max: u32,
}

impl Default for Rules {
    /// Half an hour; a million peers in a hundred thousand swarms, some 80 MiB.
    fn default() -> Rules {
        Rules {
            interval: Duration::from_secs(1800),
            min_interval: Duration::from_secs(300),
            peers_max: 1_000_000,
            swarms_max: 100_000,
        }
    }
}

/// The swarms of a tracker.
#[derive(Clone, Debug)]
pub struct SwarmTable {
    rules: Rules,
    swarms: BTreeMap<InfoHash, Swarm>,
    /// Peers in all swarms.
    peers: u32,
    /// Where the sweep goes on.
    sweep: InfoHash,
}

/// A peer's announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Visit {
    /// Which swarm.
    pub info_hash: InfoHash,
    /// Where the peer listens.
    pub peer: SocketAddr,
    /// What it says.
    pub event: AnnounceEvent,
    /// Bytes that it lacks; 0 makes it a seed.
    pub left: u64,
    /// How many peers it would like; [`WANT_MAX`] at most.
    pub want: u32,
}

/// The answer to an announce.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// When to come again.
    pub interval: Duration,
    /// How soon to come again at the earliest.
    pub min_interval: Duration,
    /// Others of the swarm, of the asker's address family, in no particular order.
    pub peers: Vec<SocketAddr>,
    /// How the swarm stands.
    pub counts: Counts,
}

/// How a swarm stands (BEP 48).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Seeds.
    pub complete: u32,
    /// Leechers.
    pub incomplete: u32,
    /// Downloads completed, ever.
    pub downloaded: u32,
}

impl SwarmTable {
    /// A table without swarms.
    pub fn new(rules: Rules) -> SwarmTable {
        SwarmTable { rules, swarms: BTreeMap::new(), peers: 0, sweep: InfoHash([0; 20]) }
    }

    /// A peer announces: it is kept or forgotten, and told of others.
    pub fn announce(&mut self, now: Instant, visit: Visit, rng: &mut Rng) -> Answer {
        self.sweep(now);
        let peer = address::canonical(visit.peer);
        let left = match visit.event {
            AnnounceEvent::Stopped => true,
            AnnounceEvent::None
            | AnnounceEvent::Started
            | AnnounceEvent::Completed
            | AnnounceEvent::Paused => false,
        };
        let listens = peer.port() != 0 && address::may_be_a_peer(peer.ip());
        let full = self.swarms.len() >= self.rules.swarms_max as usize;
        if !self.swarms.contains_key(&visit.info_hash) && !full && !left && listens {
            self.swarms.insert(visit.info_hash, Swarm::default());
        }
        let (interval, min_interval) = (self.rules.interval, self.rules.min_interval);
        let mut answer = Answer { interval, min_interval, peers: Vec::new(), counts: Counts::default() };
        let Some(swarm) = self.swarms.get_mut(&visit.info_hash) else { return answer };
        let before = swarm.len();
        if left {
            swarm.remove(peer);
        } else if listens {
            let room = self.peers < self.rules.peers_max;
            swarm.put(peer, visit.left == 0, visit.event == AnnounceEvent::Completed, seconds(now), room);
            // A partial seed lacks something, but wants nothing (BEP 21).
            let seeks = visit.left > 0 && visit.event != AnnounceEvent::Paused;
            let want = visit.want.min(WANT_MAX);
            let stale = seconds(now).saturating_sub(time_to_live(interval));
            answer.peers = swarm.pick(peer, seeks, want, stale, rng);
        }
        answer.counts = swarm.counts();
        self.peers = self.peers - before + swarm.len();
        if swarm.len() == 0 {
            self.swarms.remove(&visit.info_hash);
        }
        answer
    }

    /// How a swarm stands; all 0 if it is unknown.
    pub fn scrape(&self, info_hash: InfoHash) -> Counts {
        self.swarms.get(&info_hash).map(Swarm::counts).unwrap_or_default()
    }

    /// Swarms in the table.
    pub fn swarms(&self) -> usize {
        self.swarms.len()
    }

    /// Peers in the table, all swarms together.
    pub fn peers(&self) -> u32 {
        self.peers
    }

    /// Looks at the next few peers and forgets those that stayed away. Announces do it by themselves; a tracker without
    /// visitors may call it now and then to shrink.
    pub fn sweep(&mut self, now: Instant) {
        let stale = seconds(now).saturating_sub(time_to_live(self.rules.interval));
        let mut budget = SWEEP_PEERS;
        while budget > 0 {
            let next = self.swarms.range_mut(self.sweep..).next();
            let Some((info_hash, swarm)) = next else {
                self.sweep = InfoHash([0; 20]);
                return;
            };
            let info_hash = *info_hash;
            let before = swarm.len();
            let done = swarm.sweep(stale, &mut budget);
            self.peers = self.peers - before + swarm.len();
            if swarm.len() == 0 {
                self.swarms.remove(&info_hash);
            }
            if done {
                self.sweep = after(info_hash);
                // An emptied swarm costs something too.
                budget = budget.saturating_sub(1);
            } else {
                self.sweep = info_hash;
            }
        }
    }
}

/// Twice the interval and a little: one visit may get lost.
fn time_to_live(interval: Duration) -> u32 {
    let seconds = interval.as_secs().saturating_mul(2).saturating_add(60);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Whole seconds, which suffice here; they last for 136 years.
fn seconds(now: Instant) -> u32 {
    u32::try_from(now.as_micros() / 1_000_000).unwrap_or(u32::MAX)
}

/// The next name after this one; the first again after the last.
fn after(info_hash: InfoHash) -> InfoHash {
    let mut bytes = info_hash.0;
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    InfoHash(bytes)
}

/// An address in as few bytes as its family allows.
trait Packed: Copy + Ord {
    fn unpack(self) -> SocketAddr;
}

impl Packed for (Ipv4Addr, u16) {
    fn unpack(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.0), self.1)
    }
}

impl Packed for (Ipv6Addr, u16) {
    fn unpack(self) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.0), self.1)
    }
}

#[cfg(test)]
mod tests;

//! Swarms and their peers, as a tracker keeps them: one table, no sockets. Peers are known by address and port alone, for
//! their ids are what they please.
//!
//! Invariants: the number of swarms and peers is bounded; a peer that stays away is forgotten, a few looked at per
//! announce; nobody is handed its own address; a seed is handed no seeds; no call takes long, however large the table or a swarm:
//! nothing is copied, sorted or hashed anew as a whole. A peer takes 8 bytes (20 with IPv6) and its share of the arrays that hold it,
//! a swarm 64 bytes and its label, in which three peers are included. When room gets scarce, networks that have much get no more.
//! BEP: 3, 7, 21, 23, 48. Threats: E7, E8

mod ahead;
mod buckets;
mod clock;
mod draw;
mod entry;
mod family;
mod keyed;
mod look;
mod means;
mod networks;
mod peers;
mod rows;
mod shelf;
mod snapshot;
mod sweep;

use crate::{Duration, Instant, Seed, address};
use buckets::Item;
use clock::Clock;
use core::net::SocketAddr;
use entry::{Entry, V4, V6};
use family::{Asker, Before};
use means::Means;
use shelf::Shelf;
use sweep::Sweep;
use wire::InfoHash;
use wire::announce::AnnounceEvent;
use wire::compact::Family;

pub use ahead::AHEAD_MAX;
pub use look::Look;
pub use peers::Peers;
pub use snapshot::{Progress, Restored, SnapshotError, Walk};

/// Most peers in one answer, whatever is asked for (BEP 3 practice: 30 to 50 asked, 200 at most served).
pub const WANT_MAX: u32 = 200;
/// Peers and swarms looked at by [`SwarmTable::sweep`] even if none are due.
const SWEEP_MIN: u32 = 16;

/// How a table behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// When peers are told to come again.
    pub interval: Duration,
    /// How soon they may.
    pub min_interval: Duration,
    /// Peers in all swarms; further ones are answered but not kept. A network (a /24, a /48) gets no more peers than are free,
    /// so that no single one fills more than half.
    pub peers_max: u32,
    /// Swarms; further ones are answered with nobody. A network that has as many peers as there are free swarms gets no more.
    pub swarms_max: u32,
}

impl Default for Rules {
    /// Half an hour; ten million peers in a million swarms, some 200 MiB if all have IPv4, 400 MiB if all have IPv6.
    fn default() -> Rules {
        Rules {
            interval: Duration::from_secs(1800),
            min_interval: Duration::from_secs(300),
            peers_max: 10_000_000,
            swarms_max: 1_000_000,
        }
    }
}

/// The swarms of a tracker, or those of one shard of it.
#[derive(Clone, Debug)]
pub struct SwarmTable {
    rules: Rules,
    shelf: Shelf,
    means: Means,
    sweep: Sweep,
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

/// The answer to an announce, beside the peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// When to come again.
    pub interval: Duration,
    /// How soon to come again at the earliest.
    pub min_interval: Duration,
    /// How the swarm stands.
    pub counts: Counts,
    /// Whether the peer is known from now on.
    pub kept: Kept,
}

/// What became of a peer that announced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kept {
    /// Others will hear of it.
    Known,
    /// It said that it leaves.
    Left,
    /// Nobody could reach it: no port, or an address that nobody can have. Such a visitor is told of nobody.
    Unreachable,
    /// The table is full, or so full that this network has its share already. It is told of others all the same.
    NoRoom,
}

/// How a swarm stands (BEP 48).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Seeds.
    pub complete: u32,
    /// Leechers.
    pub incomplete: u32,
    /// Downloads completed, since somebody was last in the swarm without a gap.
    pub downloaded: u32,
}

impl SwarmTable {
    /// A table without swarms. The seed must be unknown to visitors: from it comes the key by which they are hashed.
    pub fn new(rules: Rules, seed: Seed) -> SwarmTable {
        let mut means = Means::new(Clock::new(rules.interval), rules.peers_max, seed);
        let shelf = Shelf::new(&mut means.heap);
        SwarmTable { rules, shelf, means, sweep: Sweep::new(rules.interval) }
    }

    /// A peer announces: it is kept or forgotten. Others of the swarm, of its own address family and in no particular order, are
    /// written to `peers`, in place of what was there.
    pub fn announce(&mut self, now: Instant, visit: &Visit, peers: &mut Peers) -> Standing {
        self.forget_stale(now, 0);
        let peer = address::canonical(visit.peer);
        peers.clear(Family::of(&peer));
        let leaves = match visit.event {
            AnnounceEvent::Stopped => true,
            AnnounceEvent::None
            | AnnounceEvent::Started
            | AnnounceEvent::Completed
            | AnnounceEvent::Paused => false,
        };
        let (interval, min_interval) = (self.rules.interval, self.rules.min_interval);
        let mut standing = Standing { interval, min_interval, counts: Counts::default(), kept: Kept::Left };
        if !leaves {
            let listens = peer.port() != 0 && address::may_be_a_peer(peer.ip());
            standing.kept = if listens { Kept::NoRoom } else { Kept::Unreachable };
        }
        let place = match self.shelf.find(&visit.info_hash, self.means.key) {
            Some(place) => place,
            None if standing.kept == Kept::NoRoom && self.has_room(peer) => {
                self.shelf.insert(visit.info_hash, &mut self.means)
            }
            None => return standing,
        };
        let (swarm, means) = (self.shelf.get_mut(place), &mut self.means);
        let now = means.clock.stamp();
        let before = match peer {
            SocketAddr::V4(peer) => {
                let peer = V4::new(*peer.ip(), peer.port(), now);
                attend(&mut swarm.v4, peer, visit, standing.kept, means, peers)
            }
            SocketAddr::V6(peer) => {
                let peer = V6::new(*peer.ip(), peer.port(), now);
                let family = swarm.v6_mut(&mut means.heap);
                attend(family, peer, visit, standing.kept, means, peers)
            }
        };
        if let Some(before) = before {
            standing.kept = Kept::Known;
            if visit.event == AnnounceEvent::Completed && before != Before::Seed {
                swarm.downloaded = swarm.downloaded.saturating_add(1);
            }
        }
        swarm.settle(&mut means.heap);
        standing.counts = swarm.counts();
        if swarm.is_empty() {
            self.shelf.remove(place, means);
        }
        standing
    }

    /// Whether one more swarm, with this peer, may be kept.
    fn has_room(&self, peer: SocketAddr) -> bool {
        let swarms = self.rules.swarms_max.saturating_sub(self.shelf.len());
        let (books, now) = (&self.means.books, self.means.clock.stamp());
        match peer {
            SocketAddr::V4(peer) => books.has_room(&V4::new(*peer.ip(), peer.port(), now), swarms),
            SocketAddr::V6(peer) => books.has_room(&V6::new(*peer.ip(), peer.port(), now), swarms),
        }
    }

    /// How a swarm stands; `None` if it is unknown.
    pub fn scrape(&self, info_hash: &InfoHash) -> Option<Counts> {
        Some(self.shelf.get(self.shelf.find(info_hash, self.means.key)?).counts())
    }

    /// Swarms in the table.
    pub fn swarms(&self) -> u32 {
        self.shelf.len()
    }

    /// Peers in the table, all swarms together.
    pub fn peers(&self) -> u32 {
        self.means.books.peers()
    }

    /// Bytes that the table has allocated, with what a common allocator adds to each allocation.
    pub fn memory(&self) -> u64 {
        self.means.heap.bytes()
    }

    /// Looks at the next few peers and forgets those that stayed away. Announces do it by themselves; a tracker with few
    /// visitors calls it every few seconds.
    pub fn sweep(&mut self, now: Instant) {
        self.forget_stale(now, SWEEP_MIN);
    }

    fn forget_stale(&mut self, now: Instant, least: u32) {
        if self.means.clock.set(now) {
            // Nobody came and nobody called for so long that everybody is stale.
            self.clear();
        }
        let all = u64::from(self.means.books.peers()) + u64::from(self.shelf.len());
        let budget = self.sweep.due(now, all, &self.means.clock).max(least);
        self.sweep.go_on(budget, &mut self.shelf, &mut self.means);
    }

    fn clear(&mut self) {
        self.means.clear();
        self.shelf = Shelf::new(&mut self.means.heap);
    }
}

/// A peer is kept or forgotten and told of others of its family. Says what it was before, if it is kept.
fn attend<E: Entry + Item>(
    family: &mut family::Family<E>,
    peer: E,
    visit: &Visit,
    kept: Kept,
    means: &mut Means,
    peers: &mut Peers,
) -> Option<Before> {
    match kept {
        Kept::Unreachable => None,
        Kept::Left => {
            family.remove(&peer, means);
            None
        }
        Kept::NoRoom | Kept::Known => {
            let before = family.put(peer, visit.left == 0, means);
            // A partial seed lacks something, but wants nothing (BEP 21).
            let seeks = visit.left > 0 && visit.event != AnnounceEvent::Paused;
            let asker = Asker { peer: &peer, seeks, inside: before.is_some() };
            family.pick(asker, visit.want.min(WANT_MAX), means, peers);
            before
        }
    }
}

#[cfg(test)]
mod tests;

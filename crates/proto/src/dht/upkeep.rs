//! Keeping the tables alive: finding first nodes, looking after silent ones, knowing how large the network is.

use super::routing_table::RoutingTable;
use super::rpc::Why;
use super::search::{Goal, Owner};
use super::{K, Node, Output, family, lookup, random_id};
use crate::{Duration, Instant, address};
use core::net::SocketAddr;
use std::collections::VecDeque;
use wire::krpc::{Method, NodeInfo};

/// Addresses to begin with, the newest: some routers, and a few of a torrent each.
const ADDRESSES_MAX: usize = 64;

/// When a vain attempt to find first nodes is repeated; then after twice as long each time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// And at the latest.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How often a walk goes to our own neighbourhood or to a random place, in turn: it finds who came, and tells how dense the network is.
const WALK_EVERY: Duration = Duration::from_secs(15 * 60);

/// And while the table is small: so it grows, and in a small network ten questions a minute cost nothing.
const WALK_EVERY_IF_SMALL: Duration = Duration::from_secs(60);

/// How often stores are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Torrents of the store looked at per sweep: all in half an hour.
const SWEPT: usize = 100;

/// A table of fewer nodes than this asks more of them at once, so that it grows.
const TABLE_SMALL: usize = 4 * K;

/// So many.
const ASKED_IF_SMALL: usize = 4;

/// Walks that tell how dense the network is.
const SAMPLES_MAX: usize = 15;

/// What is to be done when.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    begin_at: VecDeque<SocketAddr>,
    next: Instant,
    next_walk: Instant,
    next_sweep: Instant,
    walking: bool,
    vain: u32,
    to_random: bool,
}

impl Upkeep {
    /// With a table of so many nodes from an earlier run. `chance` spreads the first walks of programs that begin together.
    pub(super) fn new(now: Instant, nodes: usize, chance: u32) -> Upkeep {
        let wait = if nodes < TABLE_SMALL { Duration::ZERO } else { WALK_EVERY / 64 * (chance % 64) };
        Upkeep {
            begin_at: VecDeque::new(),
            next: now,
            next_walk: now + wait,
            next_sweep: now + SWEEP_EVERY,
            walking: false,
            vain: 0,
            to_random: false,
        }
    }

    /// Addresses to begin with.
    pub(super) fn begin_at(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        for new in addresses.into_iter().map(address::canonical) {
            let good = new.port() != 0 && address::may_be_a_peer(new.ip());
            if !good || self.begin_at.contains(&new) {
                continue;
            }
            self.begin_at.push_back(new);
            if self.begin_at.len() > ADDRESSES_MAX {
                self.begin_at.pop_front();
            }
            // Whoever waits for a first node need not wait any longer.
            if self.vain > 0 {
                (self.vain, self.next_walk) = (0, now);
            }
            self.next = self.next.min(now);
        }
    }

    /// The addresses to begin with, of one family.
    pub(super) fn addresses(&self, of: usize) -> Vec<SocketAddr> {
        self.begin_at.iter().filter(|address| family(address) == of).copied().collect()
    }

    pub(super) fn next_wake(&self) -> Instant {
        self.next
    }

    /// A walk of ours is over; the larger table has so many nodes now.
    pub(super) fn ended(&mut self, now: Instant, nodes: usize) {
        self.walking = false;
        self.vain = if nodes >= K { 0 } else { self.vain.saturating_add(1) };
        let wait = match nodes {
            0..K => RETRY_AFTER.saturating_mul(1 << (self.vain - 1).min(8)).min(RETRY_AFTER_MAX),
            K..TABLE_SMALL => WALK_EVERY_IF_SMALL,
            TABLE_SMALL.. => WALK_EVERY,
        };
        self.next_walk = now + wait;
    }
}

impl Node {
    /// Looks after the tables, if it is time.
    pub(super) fn look_after(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.upkeep.next > now {
            return;
        }
        self.upkeep.next = now + self.config.upkeep_every;
        // A table that became empty is filled at once, not at the next walk's time.
        if !self.upkeep.walking && (self.upkeep.next_walk <= now || self.upkeep.vain == 0 && self.can_begin())
        {
            self.walk(now, out);
        }
        for at in [0, 1] {
            self.look_after_table(now, at, out);
        }
        if self.upkeep.next_sweep <= now {
            self.upkeep.next_sweep = now + SWEEP_EVERY;
            self.peers.sweep(now, SWEPT);
            self.items.sweep(now);
        }
    }

    /// Asks a node or a few for a sign of life.
    fn look_after_table(&mut self, now: Instant, at: usize, out: &mut Vec<Output>) {
        let Some(half) = self.halves[at].as_mut() else { return };
        let at_once = if half.table.len() < TABLE_SMALL { ASKED_IF_SMALL } else { 1 };
        let silent: Vec<(NodeInfo, bool)> = (0..at_once).map_while(|_| half.table.ask_next(now)).collect();
        for (node, is_no_stranger) in silent {
            // Its own neighbourhood tells us of others of its bucket, which a ping would not. But a stranger's address may be forged, so
            // it is sent the least that there is (see `responder`).
            let find = Method::FindNode { target: node.id, want: None };
            let method = if is_no_stranger { find } else { Method::Ping };
            self.ask(now, node.address, Some(node.id), method, Why::Ping, out);
        }
    }

    /// A peer has a node there, or so it says.
    pub(super) fn meet(&mut self, now: Instant, address: SocketAddr, out: &mut Vec<Output>) {
        let address = address::canonical(address);
        let good = address.port() != 0 && address::may_be_a_peer(address.ip());
        let room = self.halves[family(&address)].as_ref().is_some_and(|half| half.table.len() < TABLE_SMALL);
        if good && room {
            self.ask(now, address, None, Method::Ping, Why::Ping, out);
        }
    }

    /// Nodes of the other family that an answer named, if there are few there.
    pub(super) fn meet_others(&mut self, now: Instant, at: usize, named: &[NodeInfo], out: &mut Vec<Output>) {
        if self.halves[at].as_ref().is_none_or(|half| half.table.len() >= K) {
            return;
        }
        for info in named.iter().filter(|info| family(&info.address) == at).take(K) {
            self.ask(now, info.address, Some(info.id), Method::Ping, Why::Ping, out);
        }
    }

    /// A walk to ourselves, or to a random place.
    fn walk(&mut self, now: Instant, out: &mut Vec<Output>) {
        let own = self.id(0).or(self.id(1));
        let random = self.upkeep.to_random && !self.is_poor();
        self.upkeep.to_random = !random;
        let target = own.filter(|_| !random).unwrap_or_else(|| random_id(&mut self.rng));
        self.upkeep.walking = true;
        if self.begin(now, Owner::Upkeep, Goal::Nodes(target), out).is_none() {
            self.upkeep.walking = false;
        }
    }

    /// Whether there are too few nodes to find anything with.
    fn is_poor(&self) -> bool {
        self.nodes() < K
    }

    /// Nodes in the larger table.
    pub(super) fn nodes(&self) -> usize {
        self.halves.iter().flatten().map(|half| half.table.len()).max().unwrap_or(0)
    }

    fn can_begin(&self) -> bool {
        let alone = |at: usize| self.halves[at].as_ref().is_some_and(|half| half.table.is_empty());
        (0..2).any(|at| alone(at) && !self.upkeep.addresses(at).is_empty())
    }
}

/// How far nodes lie from one another in the whole network, in units of [`lookup::nearness`].
#[derive(Clone, Debug, Default)]
pub(super) struct Spacing {
    /// Of the last walks that were not about anything that others know of.
    samples: VecDeque<u64>,
}

impl Spacing {
    /// A walk found its [`K`]-th nearest node so far away.
    pub(super) fn learn(&mut self, reach: u64) {
        self.samples.push_back(reach / K as u64);
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// How far the [`K`]-th nearest node to any target should lie; 0 if nobody knows.
    pub(super) fn expected(&self, table: &RoutingTable) -> u64 {
        self.mean(table).saturating_mul(K as u64)
    }

    /// How many nodes there are; 0 if nobody knows.
    pub(super) fn network_size(&self, table: &RoutingTable) -> u64 {
        u64::MAX.checked_div(self.mean(table)).unwrap_or(0)
    }

    /// The middle one of what walks found, so that one walk into a crowd does not matter; our own neighbourhood's before there are some.
    fn mean(&self, table: &RoutingTable) -> u64 {
        let own = table.own();
        let neighbours = || table.closest(&own, K);
        let by_neighbours = || {
            let farthest = neighbours().get(K - 1).map(|info| lookup::nearness(&info.id.distance(&own)));
            farthest.map_or(0, |farthest| farthest / K as u64)
        };
        let mut samples: Vec<u64> = self.samples.iter().copied().collect();
        if samples.len() < 3 {
            samples.push(by_neighbours());
        }
        samples.sort_unstable();
        samples.get(samples.len() / 2).copied().unwrap_or(0)
    }
}

//! Keeping the tables alive: finding first nodes, looking after silent ones, knowing how large the network is.

use super::routing_table::{RoutingTable, TABLE_SMALL};
use super::rpc::Why;
use super::search::{Goal, Owner};
use super::{K, Node, Output, family, lookup, random_id};
use crate::{Duration, Instant, address};
use core::net::SocketAddr;
use std::collections::VecDeque;
use wire::krpc::{Method, NodeInfo};
use wire::node_id::NodeId;

/// Addresses to begin with, the newest: some routers, and a few of a torrent each.
const ADDRESSES_MAX: usize = 64;

/// When a vain attempt to find first nodes is repeated; then after twice as long each time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// And at the latest: the line itself sees to it that little is asked while nobody answers.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// How often a walk goes to our own neighbourhood or to a random place, in turn: it finds who came, and tells how dense the network is.
const WALK_EVERY: Duration = Duration::from_secs(15 * 60);

/// And while the table is small: so it grows, and in a small network ten questions a minute cost nothing.
const WALK_EVERY_IF_SMALL: Duration = Duration::from_secs(60);

/// How often stores are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Torrents of the store looked at per sweep: all in half an hour.
const SWEPT: usize = 100;

/// So many nodes are asked at once while the table is small, so that it grows.
const ASKED_IF_SMALL: usize = 4;

/// Nodes that a walk begins with: more than are asked at once, for some of them will be gone.
const BEGIN_WITH: usize = 2 * K;

/// Walks that tell how dense the network is.
const SAMPLES_MAX: usize = 15;

/// What is to be done when.
#[derive(Clone, Debug)]
pub(super) struct Upkeep {
    begin_at: VecDeque<SocketAddr>,
    next: Instant,
    next_sweep: Instant,
    walks: [Walk; 2],
}

/// The walks of one family.
#[derive(Clone, Copy, Debug)]
struct Walk {
    next: Instant,
    under_way: bool,
    /// Walks in a row that led nowhere.
    vain: u32,
    to_random: bool,
}

impl Upkeep {
    /// With tables of so many nodes from an earlier run. `chance` spreads the first walks of programs that begin together.
    pub(super) fn new(now: Instant, nodes: [usize; 2], chance: u32) -> Upkeep {
        let walk = |nodes: usize| {
            let wait = if nodes < TABLE_SMALL { Duration::ZERO } else { WALK_EVERY / 64 * (chance % 64) };
            Walk { next: now + wait, under_way: false, vain: 0, to_random: false }
        };
        Upkeep { begin_at: VecDeque::new(), next: now, next_sweep: now + SWEEP_EVERY, walks: nodes.map(walk) }
    }

    /// Addresses to begin with. Says which families have new ones.
    pub(super) fn begin_at(&mut self, now: Instant, addresses: Vec<SocketAddr>) -> [bool; 2] {
        let mut news = [false; 2];
        for new in addresses.into_iter().map(address::canonical) {
            let good = new.port() != 0 && address::may_be_a_peer(new.ip());
            if !good || self.begin_at.contains(&new) {
                continue;
            }
            self.begin_at.push_back(new);
            if self.begin_at.len() > ADDRESSES_MAX {
                self.begin_at.pop_front();
            }
            news[family(&new)] = true;
            // Whoever waits for a first node need not wait any longer.
            let walk = &mut self.walks[family(&new)];
            if walk.vain > 0 {
                (walk.vain, walk.next) = (0, now);
            }
            self.next = self.next.min(now);
        }
        news
    }

    /// A walk in this family need not wait any longer.
    pub(super) fn hurry(&mut self, now: Instant, at: usize) {
        self.walks[at].next = now;
    }

    /// The addresses to begin with, of one family.
    pub(super) fn addresses(&self, of: usize) -> Vec<SocketAddr> {
        self.begin_at.iter().filter(|address| family(address) == of).copied().collect()
    }

    pub(super) fn next_wake(&self) -> Instant {
        self.next
    }

    /// A walk of ours in this family is over, with so many answers; the table has so many nodes now.
    pub(super) fn ended(&mut self, now: Instant, at: usize, nodes: usize, answers: usize) {
        let walk = &mut self.walks[at];
        walk.under_way = false;
        let vain = nodes < K || answers == 0;
        walk.vain = if vain { walk.vain.saturating_add(1) } else { 0 };
        let wait = match nodes {
            _ if vain => RETRY_AFTER.saturating_mul(1 << (walk.vain - 1).min(8)).min(RETRY_AFTER_MAX),
            0..TABLE_SMALL => WALK_EVERY_IF_SMALL,
            TABLE_SMALL.. => WALK_EVERY,
        };
        walk.next = now + wait;
    }
}

impl Node {
    /// Looks after the tables, if it is time.
    pub(super) fn look_after(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.upkeep.next > now {
            return;
        }
        self.upkeep.next = now + self.config.upkeep_every;
        for at in [0, 1] {
            let walk = self.upkeep.walks[at];
            // A table that became empty, or all of whose nodes are silent, is filled at once, not at the next walk's time.
            if !walk.under_way && (walk.next <= now || walk.vain == 0 && self.is_stranded(at)) {
                self.walk(now, at, out);
            }
            self.look_after_table(now, at, out);
        }
        if self.upkeep.next_sweep <= now {
            self.upkeep.next_sweep = now + SWEEP_EVERY;
            for half in self.halves.iter_mut().flatten() {
                half.peers.sweep(now, SWEPT);
                half.items.sweep(now);
            }
        }
    }

    /// Asks a node or a few for a sign of life.
    fn look_after_table(&mut self, now: Instant, at: usize, out: &mut Vec<Output>) {
        // While nothing comes back it is walks that try whether something does.
        let Some(half) = self.halves[at].as_mut().filter(|half| !half.line.is_quiet()) else { return };
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
        let Some(half) = self.halves[family(&address)].as_mut().filter(|_| good) else { return };
        // A table of an earlier run may be all dead: a peer that is here now knows better.
        let wanted = half.table.len() < TABLE_SMALL && !half.line.is_quiet() || !half.line.has_answered();
        if wanted && half.table.may_ask_stranger(now, address) {
            self.ask(now, address, None, Method::Ping, Why::Ping, out);
        }
    }

    /// Nodes of the other family that an answer named, if there are few there: they wait to be asked like others that are named.
    pub(super) fn hear_of_others(&mut self, now: Instant, at: usize, named: &[NodeInfo]) {
        let Some(half) = self.halves[at].as_mut().filter(|half| half.table.len() < TABLE_SMALL) else {
            return;
        };
        for info in named.iter().filter(|info| family(&info.address) == at) {
            half.table.hear_of(now, *info, false);
        }
    }

    /// A walk in one family, to ourselves or to a random place.
    fn walk(&mut self, now: Instant, at: usize, out: &mut Vec<Output>) {
        let Some(half) = self.halves[at].as_ref() else { return };
        let (own, poor) = (half.table.own(), half.table.len() < K);
        let random = self.upkeep.walks[at].to_random && !poor;
        let target = if random { random_id(&mut self.rng) } else { own };
        let walk = &mut self.upkeep.walks[at];
        (walk.to_random, walk.under_way) = (!random, true);
        if self.begin(now, Owner::Upkeep(at), Goal::Nodes(target), out).is_none() {
            self.upkeep.walks[at].under_way = false;
        }
    }

    /// Nodes in the larger table.
    pub(super) fn nodes(&self) -> usize {
        self.halves.iter().flatten().map(|half| half.table.len()).max().unwrap_or(0)
    }

    /// Whether this family has nobody, or nobody who answers.
    fn is_stranded(&self, at: usize) -> bool {
        let Some(half) = &self.halves[at] else { return false };
        let alone = half.table.is_empty() && !self.upkeep.addresses(at).is_empty();
        alone || half.line.is_quiet()
    }

    /// Whom a walk in this family begins with: nodes of the table, and addresses for when none of them answers. While nothing comes back, one of
    /// either, for no more may be asked.
    pub(super) fn beginnings(&mut self, at: usize, target: &NodeId) -> (Vec<NodeInfo>, Vec<SocketAddr>) {
        let addresses = self.upkeep.addresses(at);
        let Some(half) = &self.halves[at] else { return (Vec::new(), addresses) };
        let known = half.table.to_begin_with(target, BEGIN_WITH);
        if !half.line.is_quiet() {
            return (known, addresses);
        }
        let nodes: Vec<NodeInfo> = half.table.nodes().collect();
        let by_address = !addresses.is_empty() && (nodes.is_empty() || self.rng.below(2) == 0);
        if by_address {
            let one = addresses[self.rng.index(addresses.len())];
            return (Vec::new(), vec![one]);
        }
        (nodes.get(self.rng.index(nodes.len())).copied().into_iter().collect(), Vec::new())
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

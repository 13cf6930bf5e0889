//! One walk through the network towards a target: whom to ask next, and when nobody nearer is left to be found.
//!
//! Pure: candidates in, verdicts out; who sends and waits is `rpc` and the node. Dead nodes cost more time than hops do, so a node that
//! is slower than others usually are frees its place for another and may still answer. Against nodes that crowd around a target or name
//! only one another: candidates belong to the path by which they were first named and paths take turns; a network of addresses gets
//! few turns while others wait; and the walk goes on to where the nearest nodes should lie by the size of the whole network (S/Kademlia;
//! SR-DHT-Store). Invariant: an address is asked once, and at most [`ASKED_MAX`] are. BEP: 5. Threats: D5

use super::routing_table::{Defences, K};
use core::net::{IpAddr, SocketAddr};
use wire::krpc::{NodeInfo, Token};
use wire::node_id::{Distance, NodeId};

/// Questions under way at once that are not slow (libtorrent: 5, BEP 5's reference: 3).
pub(super) const ALPHA: usize = 4;

/// Nearest nodes that must have answered before a walk is over. Nodes that plot name one another, and are as near as honest ones: were [`K`]
/// enough, a few of them would end most walks before an honest node was asked that is near enough to know.
const NEAREST_WIDE: usize = 2 * K;

/// Nodes asked in one walk: three times what a walk among ten million takes.
pub(super) const ASKED_MAX: usize = 96;

/// Candidates kept, the nearest; farther ones would not be asked anyway.
const CANDIDATES_MAX: usize = 160;

/// Paths whose candidates take turns.
const PATHS: usize = 3;

/// Turns of a network (a /8, or a /32 of IPv6) before the others have had theirs.
const PER_NETWORK_MAX: usize = 4;

/// Nodes of one network that something is stored at.
const STORED_PER_NETWORK_MAX: usize = 2;

/// Nodes that something is stored at, at most: [`K`] where nobody crowds around the target.
pub const STORED_MAX: usize = 24;

/// Where a candidate stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not asked yet.
    New,
    /// Asked, and in time so far.
    Asked,
    /// Asked, and slower than others usually are.
    Slow,
    /// It answered.
    Answered,
    /// It did not.
    Failed,
}

#[derive(Clone, Debug)]
struct Candidate {
    info: NodeInfo,
    distance: Distance,
    state: State,
    /// By which path it was first named.
    path: u8,
    /// Answers that led to it.
    hops: u8,
    /// Given with its answer.
    token: Option<Token>,
}

/// A walk.
#[derive(Clone, Debug)]
pub(super) struct Lookup {
    target: NodeId,
    /// The nearest first.
    candidates: Vec<Candidate>,
    /// Where the farthest of the [`K`] nearest nodes should lie; 0 if nobody knows.
    expected: u64,
    defences: Defences,
    asked: u16,
    /// Addresses without known ids to begin with.
    begin_at: Vec<SocketAddr>,
}

impl Lookup {
    /// A walk that begins at these nodes; and, while nobody has answered, at these addresses. `expected` is how far from a target, in
    /// units of [`nearness`], the farthest of the [`K`] nearest nodes should be.
    pub(super) fn new(
        target: NodeId,
        nodes: &[NodeInfo],
        begin_at: Vec<SocketAddr>,
        expected: u64,
        defences: Defences,
    ) -> Lookup {
        let mut lookup = Lookup { target, candidates: Vec::new(), expected, defences, asked: 0, begin_at };
        for (at, info) in nodes.iter().enumerate() {
            lookup.add(*info, (at % PATHS) as u8, 0);
        }
        lookup
    }

    /// Whom to ask now; nobody if enough are being asked, or all are that matter.
    pub(super) fn next(&mut self) -> Option<(SocketAddr, Option<NodeId>)> {
        let under_way = |state: State| self.candidates.iter().filter(|other| other.state == state).count();
        if under_way(State::Asked) >= ALPHA || usize::from(self.asked) >= ASKED_MAX {
            return None;
        }
        if let Some(at) = self.best() {
            self.candidates[at].state = State::Asked;
            self.asked += 1;
            return Some((self.candidates[at].info.address, Some(self.candidates[at].info.id)));
        }
        if under_way(State::Answered) > 0 {
            return None;
        }
        let address = self.begin_at.pop()?;
        self.asked += 1;
        Some((address, None))
    }

    /// A node answered, and named others.
    pub(super) fn answered(&mut self, by: NodeInfo, token: Option<Token>, named: &[NodeInfo]) {
        let known = self.candidates.iter().position(|other| other.info.address == by.address);
        let at = match known {
            Some(at) if self.candidates[at].info.id == by.id => at,
            // It has another id than it was named under: it counts for what it is.
            Some(at) => {
                let Candidate { path, hops, .. } = self.candidates.remove(at);
                let Some(at) = self.add(by, path, hops) else { return };
                at
            }
            None => {
                let path = (usize::from(self.asked) % PATHS) as u8;
                let Some(at) = self.add(by, path, 0) else { return };
                at
            }
        };
        let candidate = &mut self.candidates[at];
        (candidate.state, candidate.token) = (State::Answered, token);
        let (path, hops) = (candidate.path, candidate.hops.saturating_add(1));
        for info in named {
            self.add(*info, path, hops);
        }
    }

    /// A node takes longer than others usually do.
    pub(super) fn slow(&mut self, address: SocketAddr) {
        self.put(address, State::Slow);
    }

    /// A node did not answer.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.put(address, State::Failed);
    }

    /// Whether nothing is left to ask, and nobody matters who is still being asked. `waiting` says whether a question to an
    /// address without a known id is under way.
    pub(super) fn is_done(&self, waiting: bool) -> bool {
        let tired = usize::from(self.asked) >= ASKED_MAX;
        let more = !tired && (self.best().is_some() || self.answers() == 0 && !self.begin_at.is_empty());
        if more {
            return false;
        }
        let (boundary, answers) = (self.boundary(), self.answers());
        let open = |other: &Candidate| match other.state {
            State::Asked => boundary.is_none_or(|boundary| other.distance <= boundary),
            // Who is slow is waited for only while there are too few answers.
            State::Slow => answers < K,
            State::New | State::Answered | State::Failed => false,
        };
        !(self.candidates.iter().any(open) || waiting && answers == 0)
    }

    /// Whether this address is one of those that it knows.
    pub(super) fn knows(&self, address: SocketAddr) -> bool {
        self.candidates.iter().any(|other| other.info.address == address)
    }

    /// The nodes to store something at, with their tokens: the nearest that gave one, and, where nodes crowd around the target, more, out
    /// to where the nearest should lie.
    pub(super) fn to_store_at(&self) -> Vec<(NodeInfo, Token)> {
        let mut chosen: Vec<(NodeInfo, Token)> = Vec::new();
        for candidate in self.candidates.iter().filter(|other| other.state == State::Answered) {
            let Some(token) = &candidate.token else { continue };
            let enough = chosen.len() >= K && nearness(&candidate.distance) > self.expected_if_wide();
            if enough || chosen.len() >= STORED_MAX {
                break;
            }
            let ip = candidate.info.address.ip();
            let same = chosen.iter().filter(|(info, _)| is_of_one_network(info.address.ip(), ip)).count();
            if !self.defences.wide_lookups || same < STORED_PER_NETWORK_MAX {
                chosen.push((candidate.info, *token));
            }
        }
        // A network that is all there is: better many of one than few.
        if chosen.len() < K {
            let more = self.candidates.iter().filter(|other| other.state == State::Answered);
            for candidate in more {
                let Some(token) = &candidate.token else { continue };
                if chosen.len() < K && chosen.iter().all(|(info, _)| *info != candidate.info) {
                    chosen.push((candidate.info, *token));
                }
            }
        }
        chosen
    }

    /// The nearest nodes that answered, the nearest first.
    pub(super) fn nearest(&self) -> impl Iterator<Item = NodeInfo> + '_ {
        self.candidates.iter().filter(|other| other.state == State::Answered).map(|other| other.info)
    }

    /// How far the [`K`]-th nearest that answered is, in units of [`nearness`]; nothing if fewer answered.
    pub(super) fn reach(&self) -> Option<u64> {
        let mut answered = self.candidates.iter().filter(|other| other.state == State::Answered);
        answered.nth(K - 1).map(|other| nearness(&other.distance))
    }

    /// Answers that led to the nearest node that answered.
    pub(super) fn hops(&self) -> u8 {
        let mut answered = self.candidates.iter().filter(|other| other.state == State::Answered);
        answered.next().map_or(0, |other| other.hops)
    }

    /// How many were asked.
    pub(super) fn asked(&self) -> u16 {
        self.asked
    }

    /// How many answered.
    pub(super) fn answers(&self) -> usize {
        self.candidates.iter().filter(|other| other.state == State::Answered).count()
    }

    /// The candidate to ask next: within the boundary, of the path with the fewest questions under way, the nearest.
    fn best(&self) -> Option<usize> {
        let boundary = self.boundary();
        let mut under_way = [0u8; PATHS];
        let mut networks: Vec<(IpAddr, usize)> = Vec::new();
        for other in self.candidates.iter().filter(|other| other.state != State::New) {
            if other.state == State::Asked {
                under_way[usize::from(other.path)] += 1;
            }
            if let Some(network) = network(other.info.address.ip()) {
                match networks.iter_mut().find(|(known, _)| *known == network) {
                    Some((_, count)) => *count += 1,
                    None => networks.push((network, 1)),
                }
            }
        }
        let had_its_turns = |ip: IpAddr| {
            let of = network(ip).and_then(|network| networks.iter().find(|(known, _)| *known == network));
            self.defences.wide_lookups && of.is_some_and(|(_, count)| *count >= PER_NETWORK_MAX)
        };
        let mut late = None;
        let mut best: Option<usize> = None;
        for (at, other) in self.candidates.iter().enumerate().filter(|(_, other)| other.state == State::New) {
            if boundary.is_some_and(|boundary| other.distance > boundary) {
                break;
            }
            if had_its_turns(other.info.address.ip()) {
                late = late.or(Some(at));
                continue;
            }
            let busy = |at: usize| under_way[usize::from(self.candidates[at].path)];
            if best.is_none_or(|best| busy(at) < busy(best)) {
                best = Some(at);
            }
        }
        best.or_else(|| late.filter(|_| self.answers() < K))
    }

    /// Beyond this distance nobody matters: enough nearer ones answered, and it is as far as the nearest should lie.
    fn boundary(&self) -> Option<Distance> {
        let mut answered = self.candidates.iter().filter(|other| other.state == State::Answered);
        let enough = if self.defences.wide_lookups { NEAREST_WIDE } else { K };
        let last = answered.nth(enough - 1)?;
        let expected = self.expected_if_wide();
        let within =
            |other: &&Candidate| other.distance <= last.distance || nearness(&other.distance) <= expected;
        self.candidates.iter().rev().find(within).map(|other| other.distance)
    }

    fn expected_if_wide(&self) -> u64 {
        if self.defences.wide_lookups { self.expected } else { 0 }
    }

    /// Takes a candidate in, unless its address or host is there already. Says where it stands.
    fn add(&mut self, info: NodeInfo, path: u8, hops: u8) -> Option<usize> {
        let distance = info.id.distance(&self.target);
        let at = self.candidates.partition_point(|other| other.distance < distance);
        let host = crate::address::host(info.address.ip());
        let public = self.defences.per_host && crate::address::block(info.address.ip()).is_some();
        let same = |other: &Candidate| {
            other.info.address == info.address
                || other.info.id == info.id
                || public && crate::address::host(other.info.address.ip()) == host
        };
        if at >= CANDIDATES_MAX || self.candidates.iter().any(same) {
            return None;
        }
        self.candidates.insert(at, Candidate { info, distance, state: State::New, path, hops, token: None });
        if self.candidates.len() > CANDIDATES_MAX
            && let Some(farthest) = self.candidates.iter().rposition(|other| other.state == State::New)
        {
            self.candidates.remove(farthest);
            return (farthest != at).then_some(if farthest < at { at - 1 } else { at });
        }
        Some(at)
    }

    fn put(&mut self, address: SocketAddr, state: State) {
        let open = |other: &&mut Candidate| {
            other.info.address == address && matches!(other.state, State::Asked | State::Slow)
        };
        if let Some(candidate) = self.candidates.iter_mut().find(open) {
            candidate.state = state;
        }
    }
}

/// The first 64 bits of a distance, by which sizes of networks are reckoned.
pub(super) fn nearness(distance: &Distance) -> u64 {
    distance.leading_u64()
}

/// Addresses that one party may come to hold many of: a /8, a /32 of IPv6; none on private networks.
fn network(ip: IpAddr) -> Option<IpAddr> {
    crate::address::block(ip)?;
    match ip.to_canonical() {
        IpAddr::V4(ip) => Some(IpAddr::V4((ip.to_bits() & 0xff00_0000).into())),
        IpAddr::V6(ip) => Some(IpAddr::V6((ip.to_bits() & (u128::MAX << 96)).into())),
    }
}

fn is_of_one_network(one: IpAddr, other: IpAddr) -> bool {
    network(one).is_some_and(|network_of_one| network(other) == Some(network_of_one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: NodeId = NodeId([0; 20]);

    /// A node so far from the target, in a network of its own unless it is given one.
    fn node(far: u8, network: Option<u8>) -> NodeInfo {
        let mut id = [0; 20];
        id[0] = far;
        let address = SocketAddr::from(([network.unwrap_or(11 + far % 100), far, 1, 1], 6881));
        NodeInfo { id: NodeId(id), address }
    }

    fn token() -> Option<Token> {
        Some(Token::from_array([1]))
    }

    /// Asks all that there are to be asked, who answer with nobody; returns them in order.
    fn walk(lookup: &mut Lookup, answers: impl Fn(&NodeInfo) -> bool) -> Vec<u8> {
        let mut asked = Vec::new();
        while let Some((address, Some(id))) = lookup.next() {
            let info = NodeInfo { id, address };
            asked.push(id.0[0]);
            if answers(&info) {
                lookup.answered(info, token(), &[]);
            } else {
                lookup.failed(address);
            }
        }
        assert!(lookup.is_done(false));
        asked
    }

    fn lookup(nodes: &[NodeInfo], defences: Defences) -> Lookup {
        Lookup::new(TARGET, nodes, Vec::new(), 0, defences)
    }

    #[test]
    fn a_walk_ends_when_enough_of_the_nearest_answered() {
        let nodes: Vec<_> = (1..=60).map(|far| node(far, None)).collect();
        for (defences, enough) in [(Defences::NONE, K), (Defences::ALL, NEAREST_WIDE)] {
            let mut all = lookup(&nodes, defences);
            let asked = walk(&mut all, |_| true);
            assert!((enough..enough + PATHS * 2).contains(&asked.len()), "{asked:?}");
            assert!((1..=enough as u8).all(|far| asked.contains(&far)), "{asked:?}");
            let mut odd = lookup(&nodes, defences);
            walk(&mut odd, |info| info.id.0[0] % 2 == 1);
            let nearest: Vec<u8> = odd.nearest().map(|info| info.id.0[0]).take(K).collect();
            assert_eq!(nearest, [1, 3, 5, 7, 9, 11, 13, 15]);
        }
    }

    #[test]
    fn few_are_asked_at_once_and_who_is_slow_frees_a_place_but_may_still_answer() {
        let nodes: Vec<_> = (1..=30).map(|far| node(far, None)).collect();
        let mut lookup = lookup(&nodes, Defences::ALL);
        let first: Vec<_> = core::iter::from_fn(|| lookup.next()).collect();
        assert_eq!(first.len(), ALPHA);
        lookup.slow(first[0].0);
        assert!(lookup.next().is_some() && lookup.next().is_none());
        let late = NodeInfo { id: first[0].1.unwrap(), address: first[0].0 };
        lookup.answered(late, token(), &[node(0x80, None)]);
        assert_eq!((lookup.answers(), lookup.hops()), (1, 0));
    }

    #[test]
    fn a_network_has_its_turns_and_more_only_if_there_is_nobody_else() {
        let crowd = || (1..=40).map(|far| node(far, Some(66)));
        let others = (100..=140).map(|far| node(far, None));
        let asked = walk(&mut lookup(&crowd().chain(others).collect::<Vec<_>>(), Defences::ALL), |_| true);
        let of_crowd = asked.iter().filter(|far| **far <= 40).count();
        assert_eq!(of_crowd, PER_NETWORK_MAX, "{asked:?}");
        let asked = walk(&mut lookup(&crowd().collect::<Vec<_>>(), Defences::ALL), |_| true);
        assert!(asked.len() >= K, "{asked:?}");
    }

    #[test]
    fn where_nodes_crowd_around_the_target_more_are_told_out_to_where_the_nearest_should_lie() {
        let nodes: Vec<_> = (1..=40).map(|far| node(far, None)).collect();
        let told = |expected: u64| {
            let mut lookup = Lookup::new(TARGET, &nodes, Vec::new(), expected, Defences::ALL);
            walk(&mut lookup, |_| true);
            lookup.to_store_at().len()
        };
        let reach = |far: u8| nearness(&node(far, None).id.distance(&TARGET));
        assert_eq!([told(0), told(reach(8)), told(reach(12)), told(reach(40))], [K, K, 12, STORED_MAX]);
    }

    #[test]
    fn a_node_that_bears_another_id_than_it_was_named_under_counts_for_what_it_is() {
        let mut lookup = lookup(&[node(1, None)], Defences::ALL);
        let (address, _) = lookup.next().unwrap();
        let truly = NodeInfo { id: NodeId([0xee; 20]), address };
        lookup.answered(truly, token(), &[]);
        assert_eq!(lookup.nearest().collect::<Vec<_>>(), [truly]);
        assert!(lookup.next().is_none() && lookup.is_done(false));
    }
}

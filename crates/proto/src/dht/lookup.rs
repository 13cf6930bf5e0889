//! One walk through the network towards a target: whom to ask next, and when nobody nearer is left to be found.
//!
//! Pure: candidates in, verdicts out; who sends and waits is `rpc` and the node. Dead nodes cost more time than hops do, so a node that
//! is slower than others usually are frees its place for another and may still answer.
//!
//! Against nodes that crowd around a target, name only one another, or lie about others: candidates belong to the path by which they were first
//! named and paths take turns; a network of addresses gets few turns while others wait; nearer than a distance only so many are asked as
//! the size of the whole network lets expect there, so that a crowd has a turn or four and the honest have theirs; a false id or port
//! for a node does not keep its true one out; who mostly names nodes that are not there is believed last and kept nothing at; and the walk goes on to where the nearest nodes should lie (S/Kademlia; SR-DHT-Store).
//! Invariant: a host is asked once, or twice if it was silent, and at most [`ASKED_MAX`] are asked. BEP: 5, 32. Threats: D5

use super::routing_table::{Defences, K};
use crate::address::{self, network};
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

/// Nodes that are taken from one answer: as many as BEP 5 has nodes name. Who names more wants more of our questions than others.
const NAMED_MAX: usize = K;

/// Candidates nearer than a distance, over those that may be asked there: more of a crowd are not even kept, or they would drive others out.
const KEPT_OVER_ASKED: u64 = 4;

/// Entries of a host, under different ids or ports, and with one id: somebody lies about it, and nobody knows yet who.
const VERSIONS_MAX: usize = 3;

/// False or silent nodes after which who named them is not believed, if they were more than the true ones.
const LIES_MAX: u8 = 3;

/// Namers who are not believed, after which something is stored at twice as many nodes.
const LIARS_MAX: usize = 3;

/// Silences after which a host is asked no more, under whatever id or port.
const SILENCES_MAX: usize = 2;

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
    /// Its host, on a public network.
    host: Option<IpAddr>,
    distance: Distance,
    state: State,
    /// By which path it was first named.
    path: u8,
    /// Answers that led to it.
    hops: u8,
    /// Whose answer named it first, or first of those who are believed.
    by: Option<u8>,
    /// Under which number it named others.
    names: Option<u8>,
    /// Given with its answer.
    token: Option<Token>,
}

/// What became of the nodes that one answer named.
#[derive(Clone, Copy, Default, Debug)]
struct Named {
    /// They answered, under the id that they were named under.
    true_ones: u8,
    /// They did not.
    false_ones: u8,
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
    /// By number of who answered.
    named: Vec<Named>,
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
        let (candidates, named) = (Vec::new(), Vec::new());
        let mut lookup = Lookup { target, candidates, expected, defences, asked: 0, named, begin_at };
        for (at, info) in nodes.iter().enumerate() {
            lookup.add(*info, (at % PATHS) as u8, 0, None);
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
        let was_asked = |other: &Candidate| other.info.address == by.address && other.state != State::New;
        let known = self.candidates.iter().position(was_asked);
        let (path, hops) = match known {
            Some(at) if self.candidates[at].info.id == by.id => {
                let Candidate { path, hops, by: namer, state, .. } = self.candidates[at];
                if state != State::Answered {
                    self.judge(namer, true);
                }
                (path, hops)
            }
            // It has another id than it was named under: it counts for what it is.
            Some(at) => {
                let Candidate { path, hops, by: namer, .. } = self.candidates.remove(at);
                self.judge(namer, false);
                (path, hops)
            }
            None => ((usize::from(self.asked) % PATHS) as u8, 0),
        };
        // Whatever else was said of this address was false.
        self.candidates.retain(|other| other.info.address != by.address || other.info.id == by.id);
        let at = match self.candidates.iter().position(|other| other.info == by) {
            Some(at) => at,
            None => self.insert(by, path, hops, None),
        };
        let number = u8::try_from(self.named.len()).ok();
        self.named.push(Named::default());
        let candidate = &mut self.candidates[at];
        (candidate.state, candidate.token, candidate.names) = (State::Answered, token, number);
        let most = if self.defences.wide_lookups { NAMED_MAX } else { named.len() };
        for info in named.iter().take(most) {
            self.add(*info, path, hops.saturating_add(1), number);
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
        let liars = (0..self.named.len()).filter(|number| self.is_liar(u8::try_from(*number).ok())).count();
        let least = if liars >= LIARS_MAX { NEAREST_WIDE } else { K };
        for candidate in self.candidates.iter().filter(|other| self.is_believed(other)) {
            let Some(token) = &candidate.token else { continue };
            let enough = chosen.len() >= least && nearness(&candidate.distance) > self.expected_if_wide();
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
        // In halves: who was silent costs time alone.
        let mut asked_nearer = 0;
        for (at, other) in self.candidates.iter().enumerate() {
            match other.state {
                State::New => {}
                State::Failed => asked_nearer += 1,
                State::Asked | State::Slow | State::Answered => asked_nearer += 2,
            }
            if other.state != State::New {
                continue;
            }
            if boundary.is_some_and(|boundary| other.distance > boundary) {
                break;
            }
            if self.host_had_its_turn(other) {
                continue;
            }
            let crowded = asked_nearer >= self.expected_within(&other.distance).saturating_mul(2);
            if crowded || self.is_liar(other.by) || had_its_turns(other.info.address.ip()) {
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

    /// A node that this one named was true, or was not.
    fn judge(&mut self, namer: Option<u8>, is_true: bool) {
        let Some(named) = namer.and_then(|namer| self.named.get_mut(usize::from(namer))) else { return };
        let count = if is_true { &mut named.true_ones } else { &mut named.false_ones };
        *count = count.saturating_add(1);
    }

    /// Whether who named others under this number mostly named such as are not there.
    fn is_liar(&self, number: Option<u8>) -> bool {
        let number = number.filter(|_| self.defences.wide_lookups);
        number
            .and_then(|number| self.named.get(usize::from(number)))
            .is_some_and(|named| named.false_ones >= LIES_MAX && named.false_ones > named.true_ones)
    }

    /// Whether it answered, and named nodes that are there.
    fn is_believed(&self, candidate: &Candidate) -> bool {
        candidate.state == State::Answered && !self.is_liar(candidate.names)
    }

    /// Whether the candidate's host has been asked, under this or another id or port, and need not be asked again.
    fn host_had_its_turn(&self, candidate: &Candidate) -> bool {
        let same = |other: &&Candidate| {
            other.info.address == candidate.info.address
                || candidate.host.is_some() && other.host == candidate.host
        };
        let mut silences = 0;
        self.candidates.iter().filter(same).any(|other| match other.state {
            State::New => false,
            State::Asked | State::Slow | State::Answered => true,
            State::Failed => {
                silences += 1;
                other.info.address == candidate.info.address || silences >= SILENCES_MAX
            }
        })
    }

    /// How many nodes may be asked no farther from the target than this: as many as should lie there in a network of this size, three times
    /// their standard deviation more (they are scattered by chance), and a few.
    fn expected_within(&self, distance: &Distance) -> u64 {
        let Some(spacing) = core::num::NonZeroU64::new(self.expected_if_wide() / K as u64) else {
            return u64::MAX;
        };
        let hundredths = u128::from(nearness(distance)) * 100 / u128::from(spacing.get());
        let hundredths = hundredths.min(u128::from(u32::MAX)) as u64;
        (hundredths + 30 * hundredths.isqrt() + 400) / 100
    }

    /// Beyond this distance nobody matters: enough nearer ones answered, and it is as far as the nearest should lie.
    fn boundary(&self) -> Option<Distance> {
        let mut answered = self.candidates.iter().filter(|other| self.is_believed(other));
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

    /// Takes a candidate in, unless it is known, there are several of its host or of its id already, or too many so near.
    fn add(&mut self, info: NodeInfo, path: u8, hops: u8, by: Option<u8>) {
        if let Some(known) = self.candidates.iter().position(|other| other.info == info) {
            // Somebody better names it too.
            if self.is_liar(self.candidates[known].by) {
                (self.candidates[known].by, self.candidates[known].path) = (by, path);
            }
            return;
        }
        let distance = info.id.distance(&self.target);
        let at = self.candidates.partition_point(|other| other.distance < distance);
        let versions = if self.defences.per_host { VERSIONS_MAX } else { usize::MAX };
        let host = self.host(&info);
        let of =
            |same: &dyn Fn(&Candidate) -> bool| self.candidates.iter().filter(|other| same(other)).count();
        let crowded = at as u64 >= self.expected_within(&distance).saturating_mul(KEPT_OVER_ASKED);
        if at >= CANDIDATES_MAX
            || crowded
            || of(&|other| other.info.id == info.id) >= versions
            || of(&|other| other.info.address == info.address || host.is_some() && other.host == host)
                >= versions
        {
            return;
        }
        self.insert(info, path, hops, by);
    }

    /// Puts a candidate in its place. Says where it stands.
    fn insert(&mut self, info: NodeInfo, path: u8, hops: u8, by: Option<u8>) -> usize {
        let distance = info.id.distance(&self.target);
        if self.candidates.len() >= CANDIDATES_MAX
            && let Some(farthest) = self.candidates.iter().rposition(|other| other.state == State::New)
        {
            self.candidates.remove(farthest);
        }
        let at = self.candidates.partition_point(|other| other.distance < distance);
        let host = self.host(&info);
        let state = State::New;
        let (names, token) = (None, None);
        let new = Candidate { info, host, distance, state, path, hops, by, names, token };
        self.candidates.insert(at, new);
        at
    }

    /// The host of a node, if one must not have many.
    fn host(&self, info: &NodeInfo) -> Option<IpAddr> {
        let ip = info.address.ip();
        (self.defences.per_host && address::block(ip).is_some()).then(|| address::host(ip))
    }

    fn put(&mut self, address: SocketAddr, state: State) {
        let open = |other: &&mut Candidate| {
            other.info.address == address && matches!(other.state, State::Asked | State::Slow)
        };
        let Some(candidate) = self.candidates.iter_mut().find(open) else { return };
        candidate.state = state;
        let namer = candidate.by;
        if state == State::Failed {
            self.judge(namer, false);
        }
    }
}

/// The first 64 bits of a distance, by which sizes of networks are reckoned.
pub(super) fn nearness(distance: &Distance) -> u64 {
    distance.leading_u64()
}

fn is_of_one_network(one: IpAddr, other: IpAddr) -> bool {
    network(one).is_some_and(|network_of_one| network(other) == Some(network_of_one))
}

#[cfg(test)]
mod tests;

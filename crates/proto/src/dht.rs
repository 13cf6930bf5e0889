//! A node of the distributed hash table: who has what, found without any server. Datagrams in, datagrams out.
//!
//! [`Node`] is the machine, of the shape of all others here: fed an [`Input`] at a time, it appends what should be done. It routes; `routing_table` knows nodes,
//! `lookup` walks, `rpc` waits, `search` is what a walk is for, `responder` answers others from `peer_store` and `items`, `upkeep` keeps the
//! table alive, `announcer` says which torrent's turn it is. One node serves both address families, each with an id and a table of its own (BEP 32).
//!
//! Invariants: garbage is never answered; whoever we know nothing of is sent at most three times the bytes that it sent; every table is
//! bounded; a datagram counts as an answer only if we asked for it. BEP: 5, 32, 33, 42, 43, 44, 51. Threats: D3 to D8, D10

mod announcer;
mod guard;
mod items;
mod line;
mod lookup;
mod peer_store;
mod proofs;
mod responder;
mod routing_table;
mod rpc;
mod saved;
mod search;
mod shares;
mod strangers;
mod tokens;
mod upkeep;
mod vote;
mod walks;

#[cfg(test)]
mod tests;

pub use announcer::Wanted;
pub use guard::AMPLIFICATION_MAX;
pub use lookup::STORED_MAX;
pub use peer_store::PEER_LIFE;
pub use routing_table::{Defences, K};
pub use saved::Saved;
pub use search::{Finding, Goal, Report};

use crate::{Duration, Instant, Rng, Seed, address};
use announcer::Announcer;
use core::net::{IpAddr, SocketAddr};
use guard::Guard;
use items::ItemStore;
use line::Line;
use peer_store::PeerStore;
use proofs::Proofs;
use routing_table::RoutingTable;
use rpc::{Due, Pending, Rpc, Why};
use search::{Owner, Search};
use std::collections::BTreeMap;
use tokens::{Mac, Tokens};
use upkeep::Upkeep;
use vote::Vote;
use wire::InfoHash;
use wire::krpc::{Body, Method, NodeInfo, Packet, Query, Reply, Transaction};
use wire::node_id::NodeId;

/// What we call ourselves in datagrams: two letters, then the version.
const VERSION: [u8; 4] = *b"GN\x00\x01";

/// Searches under way, of all kinds.
pub const SEARCHES_MAX: usize = 64;

/// A search that a user asked for. Named by whoever asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SearchId(pub u64);

/// A search inside the node; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SearchKey(u32);

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Take part over IPv4.
    pub v4: bool,
    /// Take part over IPv6.
    pub v6: bool,
    /// Ask, but answer nobody (BEP 43): for who cannot be reached or is here for a moment.
    pub read_only: bool,
    /// Bytes a second that our answers may take (libtorrent: 8,000); questions of our own are not counted.
    pub reply_bytes_per_second: u64,
    /// Against crowds of false nodes.
    pub defences: Defences,
    /// How often the table is looked after: at most one question each time, while nothing is amiss.
    pub upkeep_every: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            v4: true,
            v6: true,
            read_only: false,
            reply_bytes_per_second: 8_000,
            defences: Defences::ALL,
            upkeep_every: Duration::from_secs(5),
        }
    }
}

/// What can happen to a node.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The time that `next_wake` asked for has come.
    Wake,
    /// A datagram came.
    Datagram {
        /// From where, as it says.
        from: SocketAddr,
        /// What.
        bytes: &'a [u8],
    },
    /// Addresses at which there should be nodes, to begin with as long as no others are known: routers, a torrent's `nodes`.
    BeginAt(Vec<SocketAddr>),
    /// A peer said that there is a node at this address (`PORT`).
    Met(SocketAddr),
    /// A torrent of ours wants to be found and to find, until it is forgotten.
    Want {
        /// Which.
        info_hash: InfoHash,
        /// How.
        wanted: Wanted,
    },
    /// A torrent does not want to be found any more.
    Forget(InfoHash),
    /// A user looks for something. Ends in one [`Output::Ended`].
    Search {
        /// Its name.
        search: SearchId,
        /// What for.
        goal: Goal,
    },
    /// A user has enough. `Ended` follows.
    Cancel(SearchId),
}

/// What a node wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send a datagram. No answer; datagrams get lost.
    Send {
        /// Where.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Peers of a torrent that wants to find some, as they become known; the same one may come again.
    Peers {
        /// Of which.
        info_hash: InfoHash,
        /// Where they listen, by what strangers say.
        peers: Vec<SocketAddr>,
    },
    /// A user's search found something.
    Found {
        /// Which search.
        search: SearchId,
        /// What.
        finding: Finding,
    },
    /// A user's search is over.
    Ended {
        /// Which.
        search: SearchId,
        /// How it went.
        report: Report,
    },
    /// Nodes of many networks agree that this is our address.
    External(IpAddr),
}

/// How a node stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Nodes in the tables of both families.
    pub nodes: [usize; 2],
    /// Buckets of both tables.
    pub depth: [usize; 2],
    /// Torrents and peers that others announced here.
    pub stored_torrents: usize,
    /// All peers of them.
    pub stored_peers: usize,
    /// Items that others put here.
    pub stored_items: usize,
    /// Searches under way.
    pub searches: usize,
    /// Torrents of ours that want to be found.
    pub wanted: usize,
    /// How many nodes there are in the whole network, by what walks found; 0 if nobody knows.
    pub network_size: [u64; 2],
    /// Our addresses, as nodes of many networks see them.
    pub external: [Option<IpAddr>; 2],
    /// What went in and out.
    pub tally: Tally,
}

/// What went in and out since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Questions that came and were answered.
    pub answered: u64,
    /// Questions that came and were not: too many.
    pub unanswered: u64,
    /// Datagrams that were nothing.
    pub garbage: u64,
    /// Answers to questions of ours.
    pub heard: u64,
    /// Answers that nobody had asked for, or too late.
    pub stray: u64,
    /// Questions asked.
    pub asked: u64,
    /// Bytes that went out, in answers and questions.
    pub bytes_out: u64,
    /// Bytes that came in.
    pub bytes_in: u64,
}

/// One address family's half of a node.
#[derive(Clone, Debug)]
struct Half {
    table: RoutingTable,
    line: Line,
    vote: Vote,
    size: upkeep::Spacing,
    /// What others stored here over this family, judged by its id.
    peers: PeerStore,
    items: ItemStore,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    config: Config,
    /// IPv4 and IPv6, as far as we take part.
    halves: [Option<Half>; 2],
    rpc: Rpc,
    searches: BTreeMap<SearchKey, Search>,
    next_key: u32,
    tokens: Tokens,
    guard: Guard,
    proofs: Proofs,
    announcer: Announcer,
    upkeep: Upkeep,
    rng: Rng,
    tally: Tally,
}

impl Node {
    /// A node that knows what was `saved` when the program last ended. `secret` is for what strangers must not guess, tokens and transactions: from
    /// the operating system's entropy.
    pub fn new(config: Config, seed: Seed, secret: [u8; 16], saved: Option<&Saved>, now: Instant) -> Node {
        let mut rng = Rng::new(seed);
        let half = |at: usize, rng: &mut Rng| {
            let own = saved.and_then(|saved| saved.ids[at]).unwrap_or_else(|| random_id(rng));
            let mut table = RoutingTable::new(own, config.defences);
            let nodes = saved.map(|saved| saved.nodes.as_slice()).unwrap_or_default();
            nodes.iter().filter(|info| family(&info.address) == at).for_each(|info| table.restore(*info));
            Half {
                table,
                line: Line::new(),
                vote: Vote::default(),
                size: upkeep::Spacing::default(),
                peers: PeerStore::new(own),
                items: ItemStore::new(own),
            }
        };
        let halves = [config.v4.then(|| half(0, &mut rng)), config.v6.then(|| half(1, &mut rng))];
        let known = [0, 1].map(|at| halves[at].as_ref().map_or(0, |half| half.table.len()));
        let mac = Mac::new(secret);
        let upkeep = Upkeep::new(now, known, rng.next_u32());
        Node {
            config,
            halves,
            rpc: Rpc::new(mac.clone()),
            searches: BTreeMap::new(),
            next_key: 0,
            tokens: Tokens::new(mac),
            guard: Guard::new(config.reply_bytes_per_second, now),
            proofs: Proofs::default(),
            announcer: Announcer::new(),
            upkeep,
            rng,
            tally: Tally::default(),
        }
    }

    /// One thing happened at `now`; what should be done about it is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Wake => {}
            Input::Datagram { from, bytes } => self.receive(now, from, bytes, out),
            Input::BeginAt(addresses) => self.begin_at(now, addresses),
            Input::Met(address) => self.meet(now, address, out),
            Input::Want { info_hash, wanted } => self.announcer.want(now, info_hash, wanted),
            Input::Forget(info_hash) => {
                self.announcer.forget(&info_hash);
                self.end_searches(now, |owner| *owner == Owner::Wanted(info_hash), out);
            }
            Input::Search { search, goal } => self.search(now, search, goal, out),
            Input::Cancel(search) => self.end_searches(now, |owner| *owner == Owner::User(search), out),
        }
        self.run_due(now, out);
    }

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Option<Instant> {
        let may = self.nodes() > 0 && self.searches.len() < SEARCHES_MAX;
        let turns = self.announcer.next_wake().filter(|_| may);
        [self.rpc.next_due(), Some(self.upkeep.next_wake()), turns].into_iter().flatten().min()
    }

    /// Our id on IPv4 (`0`) or IPv6 (`1`), if we take part there.
    pub fn id(&self, family: usize) -> Option<NodeId> {
        self.halves.get(family)?.as_ref().map(|half| half.table.own())
    }

    /// What is worth keeping until the next run.
    pub fn saved(&self) -> Saved {
        let nodes = self.halves.iter().flatten().flat_map(|half| half.table.nodes()).collect();
        Saved { ids: [self.id(0), self.id(1)], nodes }
    }

    /// How it stands.
    pub fn stats(&self) -> Stats {
        let of = |at: usize, read: fn(&Half) -> usize| self.halves[at].as_ref().map_or(0, read);
        let size = |at: usize| self.halves[at].as_ref().map_or(0, |half| half.size.network_size(&half.table));
        Stats {
            nodes: [0, 1].map(|at| of(at, |half| half.table.len())),
            depth: [0, 1].map(|at| of(at, |half| half.table.depth())),
            stored_torrents: of(0, |half| half.peers.torrents()) + of(1, |half| half.peers.torrents()),
            stored_peers: of(0, |half| half.peers.len()) + of(1, |half| half.peers.len()),
            stored_items: of(0, |half| half.items.len()) + of(1, |half| half.items.len()),
            searches: self.searches.len(),
            wanted: self.announcer.len(),
            network_size: [size(0), size(1)],
            external: [0, 1].map(|at| self.halves[at].as_ref()?.vote.decided()),
            tally: self.tally,
        }
    }

    /// Whatever is due by the clock.
    fn run_due(&mut self, now: Instant, out: &mut Vec<Output>) {
        while let Some(due) = self.rpc.due(now) {
            match due {
                Due::Slow(pending) => self.on_slow(now, &pending, out),
                Due::Lost(pending) => self.on_lost(now, &pending, out),
            }
        }
        self.begin_turns(now, out);
        self.look_after(now, out);
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8], out: &mut Vec<Output>) {
        let from = address::canonical(from);
        self.tally.bytes_in += bytes.len() as u64;
        let nobody = from.port() == 0 || !address::may_be_a_peer(from.ip());
        if nobody || self.halves[family(&from)].is_none() {
            self.tally.garbage += 1;
            return;
        }
        let packet = match Packet::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.on_nonsense(now, from, bytes.len(), &error, out),
        };
        match packet.body {
            Body::Query(query) => {
                self.is_called(now, family(&from));
                self.on_query(now, from, bytes.len(), packet.transaction, query, out);
            }
            Body::Reply(reply) => {
                let Some(pending) = self.rpc.answer(now, &packet.transaction, from) else {
                    self.tally.stray += 1;
                    return;
                };
                self.works(now, family(&from));
                self.release(now, from, out);
                self.on_reply(now, &pending, reply, out);
                if let Some(external) = packet.external {
                    self.on_vote(now, &pending, external.ip(), out);
                }
            }
            Body::Error(fault) => match self.rpc.answer(now, &packet.transaction, from) {
                Some(pending) => {
                    self.works(now, family(&from));
                    self.on_fault(now, &pending, fault, out);
                }
                None => self.tally.stray += 1,
            },
        }
    }

    /// Somebody's question came. If nothing did before, the line is back.
    fn is_called(&mut self, now: Instant, at: usize) {
        let Some(half) = self.halves[at].as_mut() else { return };
        if half.line.is_quiet() {
            self.upkeep.hurry(now, at);
        }
        half.line.heard();
    }

    /// A question was answered, so the line works: whoever was silent while it did was so himself.
    fn works(&mut self, now: Instant, at: usize) {
        let Some(half) = self.halves[at].as_mut() else { return };
        for guilty in half.line.answered(now) {
            half.table.failed(&guilty);
        }
    }

    fn on_reply(&mut self, now: Instant, pending: &Pending, mut reply: Reply, out: &mut Vec<Output>) {
        self.tally.heard += 1;
        let at = family(&pending.to);
        let info = NodeInfo { id: reply.id, address: pending.to };
        let Some(half) = self.halves[at].as_mut() else { return };
        if let Some(id) = pending.id.filter(|id| *id != reply.id) {
            half.table.failed(&NodeInfo { id, address: pending.to });
        }
        if half.table.own() != reply.id {
            match pending.why {
                Why::Proof => half.table.answered_when_called(now, info),
                Why::Step(_) | Why::Store(_) | Why::Ping => half.table.answered(now, info),
            }
        }
        let believable = |named: &NodeInfo| is_believable(pending.to, named);
        reply.nodes.retain(believable);
        reply.nodes6.retain(believable);
        for named in if at == 0 { &reply.nodes } else { &reply.nodes6 } {
            half.table.hear_of(now, *named, false);
        }
        self.hear_of_others(now, 1 - at, if at == 0 { &reply.nodes6 } else { &reply.nodes });
        match pending.why {
            Why::Step(key) => self.on_step(now, key, info, reply, out),
            Why::Store(key) => self.on_stored(now, key, Ok(()), out),
            Why::Ping | Why::Proof => {}
        }
    }

    fn on_slow(&mut self, now: Instant, pending: &Pending, out: &mut Vec<Output>) {
        if let Why::Step(key) = pending.why
            && let Some(search) = self.searches.get_mut(&key)
        {
            search.lookup(family(&pending.to)).slow(pending.to);
            self.advance(now, key, out);
        }
    }

    fn on_lost(&mut self, now: Instant, pending: &Pending, out: &mut Vec<Output>) {
        let node = pending.id.map(|id| NodeInfo { id, address: pending.to });
        // If nobody at all answers it is our line that is down, and no reason to forget everybody.
        if let Some(half) = &mut self.halves[family(&pending.to)]
            && let Some(guilty) = half.line.lost(pending.sent, node)
        {
            half.table.failed(&guilty);
        }
        self.on_nothing(now, pending, None, out);
    }

    fn begin_at(&mut self, now: Instant, addresses: Vec<SocketAddr>) {
        let news = self.upkeep.begin_at(now, addresses);
        for half in
            self.halves.iter_mut().zip(news).filter(|(_, news)| *news).filter_map(|(half, _)| half.as_mut())
        {
            half.line.heard();
        }
    }

    /// Neighbours see our address in what they answer (BEP 42).
    fn on_vote(&mut self, now: Instant, pending: &Pending, ours: IpAddr, out: &mut Vec<Output>) {
        let (at, by) = (family(&pending.to), pending.to.ip());
        let Some(half) = self.halves[at].as_mut() else { return };
        let Some(ours) = half.vote.cast(now, by, pending.walk, ours) else { return };
        out.push(Output::External(ours));
        if half.table.own().fits(ours) {
            return;
        }
        let own = NodeId::secure(ours, random_id(&mut self.rng).0);
        half.table.move_to(own);
        half.peers.move_to(own);
        half.items.move_to(own);
    }

    /// Asks something. Says whether there was room for the question.
    fn ask(
        &mut self,
        now: Instant,
        to: SocketAddr,
        id: Option<NodeId>,
        method: Method,
        why: Why,
        out: &mut Vec<Output>,
    ) -> bool {
        self.ask_as(now, self.id(family(&to)), to, id, method, why, out)
    }

    /// Asks something under an id of ours, which may be an earlier one.
    #[expect(clippy::too_many_arguments, reason = "a question has as many parts")]
    fn ask_as(
        &mut self,
        now: Instant,
        own: Option<NodeId>,
        to: SocketAddr,
        id: Option<NodeId>,
        method: Method,
        why: Why,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(own) = own.filter(|_| self.rpc.has_room()) else { return false };
        if !self.halves[family(&to)].as_mut().is_some_and(|half| half.line.admits(now)) {
            return false;
        }
        let transaction = self.rpc.begin(now, to, id, why);
        let query = Query { id: own, read_only: self.config.read_only, method };
        self.send(to, Body::Query(query), transaction, Some(VERSION), None, out);
        self.tally.asked += 1;
        true
    }

    fn send(
        &mut self,
        to: SocketAddr,
        body: Body,
        transaction: Transaction,
        version: Option<[u8; 4]>,
        external: Option<SocketAddr>,
        out: &mut Vec<Output>,
    ) {
        let mut bytes = Vec::new();
        Packet { transaction, version, external, body }.encode(&mut bytes);
        self.tally.bytes_out += bytes.len() as u64;
        out.push(Output::Send { to, bytes });
    }
}

/// Which half an address belongs to: 0 for IPv4, 1 for IPv6.
fn family(address: &SocketAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// Whether what a node says of another may be followed: not if it would have us knock at a machine of our own network, at an address that nobody has
/// out there, or at a port where no node lives (C10, D3).
fn is_believable(by: SocketAddr, named: &NodeInfo) -> bool {
    let (ip, port) = (named.address.ip(), named.address.port());
    let from_outside = address::is_public(by.ip());
    address::may_be_a_peer(ip) && port != 0 && (!from_outside || address::is_public(ip) && port >= 1024)
}

fn random_id(rng: &mut Rng) -> NodeId {
    let mut id = [0; 20];
    for part in id.chunks_mut(8) {
        let random = rng.next_u64().to_be_bytes();
        part.iter_mut().zip(random).for_each(|(byte, random)| *byte = random);
    }
    NodeId(id)
}

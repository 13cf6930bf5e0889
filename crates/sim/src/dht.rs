//! A world of DHT nodes: thousands of the very `proto::dht::Node` that ships, with dead entries in their tables, loss, NAT, churn and
//! attackers; and what searches in it come to.
//!
//! Apart from [`crate::World`], whose nodes have links and disks: here are datagrams alone. Same settings and seed, same run. Nodes begin with
//! the tables that they would have after some hours (`tables`), so that a hundred thousand of them need not be watched while
//! they meet; attackers are in `sybil`.

pub mod flooding;
pub mod spoofing;
mod sybil;
mod tables;
pub mod trial;

use crate::queue::EventQueue;
use core::net::{Ipv4Addr, SocketAddr};
use proto::dht::{Config, Defences, Finding, Goal, Input, Node, Output, Report, SearchId, Wanted};
use proto::{Duration, Instant, Rng, Seed};
use std::collections::BTreeMap;
use sybil::Sybils;
use wire::InfoHash;
use wire::krpc::{Body, Method, NodeInfo, Packet, Query, Transaction};
use wire::node_id::NodeId;

/// Time passes in steps no longer than this while the world is run.
const STEP: Duration = Duration::from_millis(500);

/// After so long a search is held to have failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a NAT lets somebody in after the last datagram to him (RFC 4787 wants two minutes; many at home keep half of that).
const NAT_OPEN: Duration = Duration::from_secs(60);

/// An attacker's answer takes so long.
const AT_ONCE: Duration = Duration::from_millis(1);

/// How often attackers knock at nodes that shall know them: who knocks more often is not asked back (`proto` waits until a caller's NAT
/// would be shut).
pub const KNOCK_EVERY: Duration = Duration::from_secs(240);

/// Nodes nearest to a target at which all who besiege it knock.
const VICTIMS: usize = 48;

/// Round trips, in parts of the median, of sixteen equally likely classes of pairs: a log-normal with sigma 0.6, as measured among real nodes.
const ROUND_TRIPS: [u64; 16] =
    [327, 449, 536, 612, 684, 756, 829, 906, 988, 1079, 1183, 1307, 1462, 1673, 2007, 2931];

/// Who plots against the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// Nobody.
    None,
    /// Such a part of all nodes, in percent, anywhere: they lie in whatever they say, and keep nothing.
    Random(u32),
    /// So many nodes in so many /8 networks, with the ids nearest to every target that their addresses allow: likewise.
    Targeted(u32, u32),
}

/// What a world is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Nodes that live.
    pub nodes: u32,
    /// Entries of tables that are dead, in percent.
    pub dead: u32,
    /// Datagrams that get lost, in percent.
    pub loss: u32,
    /// Nodes that only those reach whom they sent something within a minute, in percent.
    pub behind_nat: u32,
    /// The median round trip.
    pub round_trip: Duration,
    /// Who attacks.
    pub attack: Attack,
    /// What the nodes do against it.
    pub defences: Defences,
    /// How often nodes look after their tables.
    pub upkeep_every: Duration,
    /// Every third node has both families, every third IPv4 alone and every third IPv6; else all have IPv4 alone.
    pub both: bool,
    /// How long a node lives before another takes its place, in the mean; nothing for ever.
    pub life: Option<Duration>,
    /// All chance.
    pub seed: u64,
}

impl Settings {
    /// So many nodes, a fifth of all entries dead, a hundred milliseconds.
    pub fn of(nodes: u32) -> Settings {
        Settings {
            nodes,
            dead: 20,
            loss: 0,
            behind_nat: 0,
            round_trip: Duration::from_millis(100),
            attack: Attack::None,
            defences: Defences::ALL,
            upkeep_every: Duration::from_secs(60),
            both: false,
            life: None,
            seed: 1,
        }
    }
}

/// Something that is going to happen to a node.
enum Happening {
    /// A datagram arrives.
    Datagram { from: SocketAddr, bytes: Box<[u8]> },
    /// It wanted to be woken.
    Wake,
    /// Its life ends, and another's begins.
    Death,
}

/// Somebody with an address.
struct Member {
    address: SocketAddr,
    id: NodeId,
    /// Its address and id in IPv6 too, if that is not all it has.
    six: Option<(SocketAddr, NodeId)>,
    being: Being,
    /// The wake-up that is under way.
    wake: Instant,
    /// Whom it sent something when, if it is behind NAT: they get through for a while.
    open_to: Option<BTreeMap<SocketAddr, Instant>>,
}

/// What sits at an address.
enum Being {
    /// One of ours.
    Node(Box<Node>),
    /// Nobody.
    Dead,
    /// An attacker.
    Sybil,
}

/// A search and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Peers that were found.
    pub peers: Vec<SocketAddr>,
    /// When the first was found, after the beginning.
    pub first: Option<Duration>,
    /// How it ended; nothing if it did not.
    pub report: Option<Report>,
    began: Instant,
}

/// The world.
pub struct DhtWorld {
    settings: Settings,
    now: Instant,
    queue: EventQueue<Happening>,
    members: Vec<Member>,
    by_address: BTreeMap<SocketAddr, u32>,
    sybils: Sybils,
    rng: Rng,
    searches: BTreeMap<SearchId, Searched>,
    next_search: u64,
    /// Datagrams and bytes sent by nodes of ours.
    pub sent: (u64, u64),
    /// Addresses at which nobody is: bytes that came in their name, and that went to them.
    watched: Option<BTreeMap<SocketAddr, (u64, u64)>>,
}

impl DhtWorld {
    /// A world whose nodes have lived for a while.
    pub fn new(settings: Settings) -> DhtWorld {
        let mut rng = Rng::new(Seed(settings.seed));
        let mut world = DhtWorld {
            settings,
            now: Instant::ZERO + Duration::from_secs(1000),
            queue: EventQueue::new(),
            members: Vec::new(),
            by_address: BTreeMap::new(),
            sybils: Sybils::default(),
            rng: rng.fork(),
            searches: BTreeMap::new(),
            next_search: 0,
            sent: (0, 0),
            watched: None,
        };
        let dead = settings.nodes * settings.dead / (100 - settings.dead.min(99));
        let sybils = match settings.attack {
            Attack::Random(percent) => settings.nodes * percent / (100 - percent.min(99)),
            Attack::None | Attack::Targeted(..) => 0,
        };
        for n in 0..settings.nodes + dead + sybils {
            let being = if n < settings.nodes + dead { Being::Dead } else { Being::Sybil };
            let six_alone = settings.both && n % 3 == 2;
            let address = if six_alone { world.free_address6() } else { world.free_address() };
            let id = NodeId::secure(address.ip(), tables::random_id(&mut world.rng).0);
            world.add(address, id, being);
            if settings.both && n % 3 == 0 {
                let address = world.free_address6();
                let id = NodeId::secure(address.ip(), tables::random_id(&mut world.rng).0);
                world.by_address.insert(address, n);
                world.members[n as usize].six = Some((address, id));
            }
        }
        if settings.attack != Attack::None {
            let (honest, others) = world.members.split_at(settings.nodes as usize);
            let like = others.iter().filter(|member| matches!(member.being, Being::Sybil));
            world.sybils = Sybils::new(like.map(info), honest.iter().map(info), &mut world.rng);
        }
        world.give_tables();
        world
    }

    /// How many members live and are ours.
    pub fn nodes(&self) -> u32 {
        self.settings.nodes
    }

    /// Where a node is.
    pub fn address(&self, node: u32) -> SocketAddr {
        self.members[node as usize].address
    }

    /// Where it is, in all its families.
    pub fn addresses(&self, node: u32) -> impl Iterator<Item = SocketAddr> + '_ {
        let member = &self.members[node as usize];
        core::iter::once(member.address).chain(member.six.map(|(address, _)| address))
    }

    /// How many nodes of ours believe the attackers in what their own address is.
    pub fn fooled(&self) -> usize {
        let liars = Some(sybil::FALSE_ADDRESS.into());
        (0..self.settings.nodes)
            .filter_map(|node| self.stats(node))
            .filter(|s| s.external[0] == liars)
            .count()
    }

    /// Whether it is a peer that attackers invented.
    pub fn is_false(peer: &SocketAddr) -> bool {
        peer.port() == sybil::FALSE_PORT
    }

    /// How a node stands.
    pub fn stats(&self, node: u32) -> Option<proto::dht::Stats> {
        match &self.members[node as usize].being {
            Being::Node(node) => Some(node.stats()),
            Being::Dead | Being::Sybil => None,
        }
    }

    /// Attackers come and sit down around a target, if the settings say so. Nodes learn of them as of anybody who asks and answers.
    pub fn besiege(&mut self, target: NodeId) -> Siege {
        let Attack::Targeted(count, networks) = self.settings.attack else { return Siege::default() };
        let crowd = sybil::crowd(target, count, networks, &mut self.rng);
        let crowd: Vec<_> =
            crowd.into_iter().filter(|info| !self.by_address.contains_key(&info.address)).collect();
        for info in &crowd {
            self.add(info.address, info.id, Being::Sybil);
        }
        self.sybils.join(&crowd);
        let mut victims: Vec<u32> = (0..self.settings.nodes).collect();
        victims.sort_unstable_by_key(|node| self.members[*node as usize].id.distance(&target));
        victims.truncate(VICTIMS);
        Siege { crowd, victims }
    }

    /// All who besiege knock at all their victims within [`KNOCK_EVERY`]; attackers anywhere knock at anybody.
    pub fn knock(&mut self, sieges: &[Siege]) {
        let mut knocks: Vec<(NodeInfo, u32)> = Vec::new();
        for siege in sieges {
            for info in &siege.crowd {
                knocks.extend(siege.victims.iter().map(|victim| (*info, *victim)));
            }
        }
        if let Attack::Random(_) = self.settings.attack {
            let all = self.sybils.all().to_vec();
            knocks.extend(all.into_iter().map(|info| (info, self.rng.below(self.settings.nodes))));
        }
        for (info, victim) in knocks {
            let query = Query { id: info.id, read_only: false, method: Method::Ping };
            let mut bytes = Vec::new();
            Packet::new(Transaction::from_u16(1), Body::Query(query)).encode(&mut bytes);
            let at = self.now + spread(KNOCK_EVERY, &mut self.rng);
            self.queue.push(at, victim, Happening::Datagram { from: info.address, bytes: bytes.into() });
        }
    }

    /// The attackers around a target are gone, and those who know them are left with dead entries.
    pub fn relieve(&mut self, siege: &Siege) {
        self.sybils.leave(&siege.crowd);
        for info in &siege.crowd {
            if let Some(node) = self.by_address.get(&info.address) {
                self.members[*node as usize].being = Being::Dead;
            }
        }
    }

    /// A node announces a torrent. The name of its search.
    pub fn announce(&mut self, node: u32, info_hash: InfoHash) -> SearchId {
        let wanted = Wanted { port: Some(1 + (node % 60_000) as u16), seed: false, seeking: true };
        self.search(node, Goal::Peers { info_hash, announce: Some(wanted), scrape: false })
    }

    /// A node looks for the peers of a torrent. The name of its search.
    pub fn find(&mut self, node: u32, info_hash: InfoHash) -> SearchId {
        self.search(node, Goal::Peers { info_hash, announce: None, scrape: false })
    }

    /// A node looks for something. The name of its search.
    pub fn search(&mut self, node: u32, goal: Goal) -> SearchId {
        let name = SearchId(self.next_search);
        self.next_search += 1;
        self.searches.insert(name, Searched { began: self.now, ..Searched::default() });
        self.tell(node, Input::Search { search: name, goal });
        name
    }

    /// Some node announces some torrent, and old searches are forgotten: what a day in a network is made of.
    pub fn bustle(&mut self) {
        self.searches.retain(|_, searched| searched.report.is_none());
        let (node, torrent) = (self.rng.below(self.settings.nodes), tables::random_id(&mut self.rng));
        self.announce(node, InfoHash(torrent.0));
    }

    /// What came of a search so far.
    pub fn searched(&self, name: SearchId) -> &Searched {
        &self.searches[&name]
    }

    /// Lets time pass until these searches have ended, or patience has.
    pub fn wait_for(&mut self, searches: &[SearchId]) {
        let until = self.now + PATIENCE;
        let open = |world: &DhtWorld| searches.iter().any(|name| world.searches[name].report.is_none());
        while self.now < until && open(self) {
            self.run(STEP);
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.queue.next_at().is_some_and(|at| at <= end) {
            let Some((at, node, what)) = self.queue.pop() else { break };
            self.now = self.now.max(at);
            match what {
                Happening::Datagram { from, bytes } => self.arrive(node, from, &bytes),
                Happening::Wake => self.wake(node, at),
                Happening::Death => self.rebirth(node),
            }
        }
        self.now = end;
    }

    fn add(&mut self, address: SocketAddr, id: NodeId, being: Being) {
        self.by_address.insert(address, self.members.len() as u32);
        self.members.push(Member { address, id, six: None, being, wake: Instant::FAR, open_to: None });
    }

    /// A public address of IPv6 that nobody has, of a network among two thousand.
    fn free_address6(&mut self) -> SocketAddr {
        loop {
            let (network, rest) = (self.rng.below(2048) as u16, self.rng.next_u64());
            let [a, b, c, d] = [0, 16, 32, 48].map(|shift| (rest >> shift) as u16);
            let address = SocketAddr::from(([0x2400 + network, a, b, c, 0, 0, 0, d], 6881));
            if !self.by_address.contains_key(&address) {
                return address;
            }
        }
    }

    /// A public address that nobody has.
    fn free_address(&mut self) -> SocketAddr {
        loop {
            let ip = Ipv4Addr::from_bits(self.rng.next_u32());
            let address = SocketAddr::from((ip, 1024 + self.rng.below(60_000) as u16));
            if proto::address::is_public(ip.into()) && !self.by_address.contains_key(&address) {
                return address;
            }
        }
    }

    /// The node comes to life with what it knew.
    fn begin(&mut self, node: u32, saved: &proto::dht::Saved) {
        let member = &self.members[node as usize];
        let config = Config {
            v4: member.address.is_ipv4(),
            v6: member.address.is_ipv6() || member.six.is_some(),
            defences: self.settings.defences,
            upkeep_every: self.settings.upkeep_every,
            ..Config::default()
        };
        let machine = Node::new(config, Seed(self.rng.next_u64()), self.rng.bytes16(), Some(saved), self.now);
        let nat = self.rng.below(100) < self.settings.behind_nat;
        let first = self.now + spread(self.settings.upkeep_every, &mut self.rng);
        let member = &mut self.members[node as usize];
        member.being = Being::Node(Box::new(machine));
        member.open_to = nat.then(Default::default);
        // Not all at once: their programs did not begin together.
        member.wake = first;
        self.queue.push(first, node, Happening::Wake);
        if let Some(life) = self.settings.life {
            let end = self.now + spread(life * 2, &mut self.rng);
            self.queue.push(end, node, Happening::Death);
        }
    }

    /// A node goes, and a new one begins elsewhere that knows a few addresses. (In worlds of IPv4 alone.)
    fn rebirth(&mut self, node: u32) {
        let (old, address) = (self.members[node as usize].address, self.free_address());
        self.by_address.remove(&old);
        self.by_address.insert(address, node);
        let id = NodeId::secure(address.ip(), tables::random_id(&mut self.rng).0);
        (self.members[node as usize].address, self.members[node as usize].id) = (address, id);
        self.begin(node, &proto::dht::Saved { ids: [Some(id), None], nodes: Vec::new() });
        let begin_at =
            (0..4).map(|_| self.members[self.rng.below(self.settings.nodes) as usize].address).collect();
        self.tell(node, Input::BeginAt(begin_at));
    }

    fn wake(&mut self, node: u32, at: Instant) {
        // A later wake-up took this one's place.
        if self.members[node as usize].wake == at {
            self.tell(node, Input::Wake);
        }
    }

    fn arrive(&mut self, node: u32, from: SocketAddr, bytes: &[u8]) {
        let member = &self.members[node as usize];
        match &member.being {
            Being::Dead => {}
            Being::Sybil => {
                if let Some(answer) = self.sybils.answer(member.id, from, bytes, &mut self.rng) {
                    self.carry(node, from, answer);
                }
            }
            Being::Node(_) => {
                let open = |known: &BTreeMap<SocketAddr, Instant>| {
                    known.get(&from).is_some_and(|sent| self.now.since(*sent) < NAT_OPEN)
                };
                if member.open_to.as_ref().is_none_or(open) {
                    self.tell(node, Input::Datagram { from, bytes });
                }
            }
        }
    }

    fn tell(&mut self, node: u32, input: Input<'_>) {
        let member = &mut self.members[node as usize];
        let Being::Node(machine) = &mut member.being else { return };
        let mut out = Vec::new();
        machine.handle(self.now, input, &mut out);
        let wake = machine.next_wake().unwrap_or(Instant::FAR);
        if wake < member.wake || member.wake <= self.now {
            member.wake = wake;
            self.queue.push(wake, node, Happening::Wake);
        }
        for output in out {
            match output {
                Output::Send { to, bytes } => {
                    self.sent = (self.sent.0 + 1, self.sent.1 + bytes.len() as u64);
                    if let Some(known) = &mut self.members[node as usize].open_to {
                        known.insert(to, self.now);
                        if known.len() > 1024 {
                            known.retain(|_, sent| self.now.since(*sent) < NAT_OPEN);
                        }
                    }
                    self.carry(node, to, bytes);
                }
                Output::Found { search, finding } => self.found(search, finding),
                Output::Ended { search, report } => {
                    if let Some(searched) = self.searches.get_mut(&search) {
                        searched.report = Some(report);
                    }
                }
                Output::Peers { .. } | Output::External(_) => {}
            }
        }
    }

    fn found(&mut self, search: SearchId, finding: Finding) {
        let now = self.now;
        if let (Some(searched), Finding::Peers(peers)) = (self.searches.get_mut(&search), finding) {
            searched.first = searched.first.or(Some(now.since(searched.began)));
            searched.peers.extend(peers);
        }
    }

    /// A datagram is on its way.
    fn carry(&mut self, from: u32, to: SocketAddr, bytes: Vec<u8>) {
        if let Some((_, out)) = self.watched.as_mut().and_then(|watched| watched.get_mut(&to)) {
            *out += bytes.len() as u64;
        }
        let Some(&node) = self.by_address.get(&to) else { return };
        if self.rng.below(100) < self.settings.loss {
            return;
        }
        // A pair is always equally far apart, both ways.
        let pair = u64::from(from.min(node)) << 32 | u64::from(from.max(node));
        let class = (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize;
        let one_way = self.settings.round_trip.as_micros() as u64 * ROUND_TRIPS[class] / 2000;
        let sender = &self.members[from as usize];
        let late =
            if matches!(sender.being, Being::Sybil) { AT_ONCE } else { Duration::from_micros(one_way) };
        let at = self.now + late;
        // It speaks to each family from its address there.
        let six = sender.six.filter(|_| to.is_ipv6()).map(|(address, _)| address);
        let from = six.unwrap_or(sender.address);
        self.queue.push(at, node, Happening::Datagram { from, bytes: bytes.into() });
    }
}

/// Attackers around a target, and those at whom they knock.
#[derive(Default)]
pub struct Siege {
    crowd: Vec<NodeInfo>,
    victims: Vec<u32>,
}

fn info(member: &Member) -> NodeInfo {
    NodeInfo { id: member.id, address: member.address }
}

/// Any time within a span.
fn spread(span: Duration, rng: &mut Rng) -> Duration {
    Duration::from_millis(u64::from(rng.below(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))))
}

//! A world of DHT nodes: thousands of the very `proto::dht::Node` that ships, with dead entries in their tables, loss, NAT, churn and
//! attackers; and what searches in it come to.
//!
//! Apart from [`crate::World`], whose nodes have links and disks: here are datagrams alone. Same settings and seed, same run. Nodes begin with
//! the tables that they would have after some hours (`tables`), so that a hundred thousand of them need not be watched while
//! they meet; attackers are in `sybil`.

pub mod flooding;
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
use wire::node_id::NodeId;

/// Time passes in steps no longer than this while the world is run.
const STEP: Duration = Duration::from_millis(500);

/// After so long a search is held to have failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Round trips, in parts of the median, of sixteen equally likely classes of pairs: a log-normal with sigma 0.6, as measured among real nodes.
const ROUND_TRIPS: [u64; 16] =
    [327, 449, 536, 612, 684, 756, 829, 906, 988, 1079, 1183, 1307, 1462, 1673, 2007, 2931];

/// Who plots against the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attack {
    /// Nobody.
    None,
    /// Such a part of all nodes, in percent, anywhere: they answer, name one another, and keep nothing.
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
    /// Nodes that only those reach whom they asked themselves, in percent.
    pub behind_nat: u32,
    /// The median round trip.
    pub round_trip: Duration,
    /// Who attacks.
    pub attack: Attack,
    /// What the nodes do against it.
    pub defences: Defences,
    /// How often nodes look after their tables.
    pub upkeep_every: Duration,
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
    being: Being,
    /// The wake-up that is under way.
    wake: Instant,
    /// Whom it asked, if it is behind NAT: they get through.
    open_to: Option<std::collections::BTreeSet<SocketAddr>>,
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
        };
        let dead = settings.nodes * settings.dead / (100 - settings.dead.min(99));
        let sybils = match settings.attack {
            Attack::Random(percent) => settings.nodes * percent / (100 - percent.min(99)),
            Attack::None | Attack::Targeted(..) => 0,
        };
        for n in 0..settings.nodes + dead + sybils {
            let address = world.free_address();
            let being = if n < settings.nodes + dead { Being::Dead } else { Being::Sybil };
            let id = NodeId::secure(address.ip(), tables::random_id(&mut world.rng).0);
            world.add(address, id, being);
        }
        world.sybils =
            Sybils::new(world.members.iter().filter(|member| matches!(member.being, Being::Sybil)).map(info));
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

    /// How a node stands.
    pub fn stats(&self, node: u32) -> Option<proto::dht::Stats> {
        match &self.members[node as usize].being {
            Being::Node(node) => Some(node.stats()),
            Being::Dead | Being::Sybil => None,
        }
    }

    /// Attackers come and sit down around a target, if the settings say so. Nodes learn of them as of anybody who asks and answers.
    pub fn besiege(&mut self, target: NodeId) {
        let Attack::Targeted(count, networks) = self.settings.attack else { return };
        let crowd = sybil::crowd(target, count, networks, &mut self.rng);
        let crowd: Vec<_> =
            crowd.into_iter().filter(|info| !self.by_address.contains_key(&info.address)).collect();
        for info in &crowd {
            self.add(info.address, info.id, Being::Sybil);
        }
        self.sybils.join(&crowd);
        self.introduce(&crowd, target);
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
        self.members.push(Member { address, id, being, wake: Instant::FAR, open_to: None });
    }

    /// A public address that nobody has.
    fn free_address(&mut self) -> SocketAddr {
        loop {
            let ip = Ipv4Addr::from_bits(self.rng.next_u32());
            let address = SocketAddr::from((ip, 1024 + self.rng.below(60_000) as u16));
            let public = (1..224).contains(&ip.octets()[0]) && proto::address::block(ip.into()).is_some();
            if public && !self.by_address.contains_key(&address) {
                return address;
            }
        }
    }

    /// The node comes to life with what it knew.
    fn begin(&mut self, node: u32, saved: &proto::dht::Saved) {
        let config = Config {
            v6: false,
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

    /// A node goes, and a new one begins elsewhere that knows a few addresses.
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
                if let Some(answer) = self.sybils.answer(member.id, from, bytes) {
                    self.carry(node, from, answer);
                }
            }
            Being::Node(_) => {
                if member.open_to.as_ref().is_none_or(|known| known.contains(&from)) {
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
                        known.insert(to);
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
        let Some(&node) = self.by_address.get(&to) else { return };
        if self.rng.below(100) < self.settings.loss {
            return;
        }
        // A pair is always equally far apart, both ways.
        let pair = u64::from(from.min(node)) << 32 | u64::from(from.max(node));
        let class = (pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize;
        let one_way = self.settings.round_trip.as_micros() as u64 * ROUND_TRIPS[class] / 2000;
        let at = self.now + Duration::from_micros(one_way);
        let from = self.members[from as usize].address;
        self.queue.push(at, node, Happening::Datagram { from, bytes: bytes.into() });
    }
}

fn info(member: &Member) -> wire::krpc::NodeInfo {
    wire::krpc::NodeInfo { id: member.id, address: member.address }
}

/// Any time within a span.
fn spread(span: Duration, rng: &mut Rng) -> Duration {
    Duration::from_millis(u64::from(rng.below(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))))
}

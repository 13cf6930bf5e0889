//! A world of chance as data: who takes part, in what, over what links, under which rules, and what goes wrong when.
//!
//! Everything that a run needs, and nothing that it does not follow from: the same plan gives the same run. What is drawn how
//! often is `draw`'s.

use crate::disk::DiskModel;
use crate::fault::{CrashPoint, Fault};
use crate::hostile::habit::Habit;
use crate::network::Access;
use crate::node::{Holds, Leaves, Nature, NodeSpec};
use crate::scenario::Scenario;
use crate::web::WebServer;
use core::time::Duration;
use proto::config::{SeedPolicy, SuperSeeding};
use proto::{Config, Instant, Lease, Rng, Seed};
use wire::layout::BLOCK_LEN;
use wire::{Bitfield, Layout, PeerId, PieceIndex};

/// A world that is to be run.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// All chance of the run comes from here.
    pub seed: u64,
    /// Bytes of the content.
    pub total: u64,
    /// Bytes of a piece.
    pub piece_len: u32,
    /// The torrent is private (BEP 27).
    pub private: bool,
    /// There is a tracker.
    pub tracked: bool,
    /// The tracker names so many peers in one answer at most.
    pub named_max: u32,
    /// Every message goes through the codec as bytes.
    pub byte_true: bool,
    /// Who takes part, in the order of their numbers.
    pub peers: Vec<PeerPlan>,
    /// Web servers that the torrent names.
    pub web: Vec<WebServer>,
    /// What goes wrong, and when.
    pub faults: Vec<(Instant, Fault)>,
    /// A crash at a step of durability.
    pub crash: Option<CrashPoint>,
}

/// One who takes part.
#[derive(Clone, PartialEq, Debug)]
pub struct PeerPlan {
    /// As what.
    pub part: Part,
    /// Its link.
    pub access: Access,
    /// When it comes.
    pub joins: Instant,
    /// When it goes.
    pub leaves: Leaves,
    /// What it may use.
    pub limits: Limits,
    /// What it can do.
    pub ways: Ways,
    /// How it chooses.
    pub rules: Rules,
    /// Whom it knows from the start.
    pub knows: Vec<u32>,
}

/// As what somebody takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Has everything, and a record that says so.
    Seed,
    /// Has everything, which has to be checked first.
    Unrecorded,
    /// Has some pieces, of a thousand so many, as the dice of the plan have it.
    Partial(u32),
    /// Has nothing.
    Leecher,
    /// Knows the torrent's hash alone.
    Magnet,
    /// Has everything, and spoils so many of a thousand blocks that it sends.
    Corrupts(u32),
    /// Has everything, accepts requests and sends nothing.
    Stalls,
    /// Lies about the metadata: says that it is so large.
    Liar(u32),
    /// An attacker.
    Attacker(&'static Habit),
}

/// What somebody may use: the lease of its session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Whom it serves at once.
    pub slots: u32,
    /// Bytes per second out, if that is limited.
    pub up: Option<u64>,
    /// Bytes per second in, if that is limited.
    pub down: Option<u64>,
    /// Links.
    pub links: u32,
    /// Bytes of memory for payload.
    pub buffer: u64,
}

/// What somebody can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// Others can dial it.
    pub reachable: bool,
    /// Speaks the fast extension (BEP 6).
    pub fast: bool,
    /// Its disk is a slow one.
    pub spinning: bool,
    /// Takes part in the DHT.
    pub dht: bool,
}

/// How somebody chooses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Whom it serves as a seed.
    pub seed_policy: SeedPolicy,
    /// When it shows its pieces one by one as a seed.
    pub super_seeding: SuperSeeding,
    /// Fetches in order.
    pub sequential: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        let Lease { up, down, unchoke_slots: slots, links, buffer } = NodeSpec::lease();
        Limits { slots, up, down, links, buffer }
    }
}

impl Default for Ways {
    fn default() -> Ways {
        Ways { reachable: true, fast: true, spinning: false, dht: false }
    }
}

impl PeerPlan {
    /// One that is there from the start, and stays, with the usual limits and rules.
    pub fn new(part: Part, access: Access) -> PeerPlan {
        PeerPlan {
            part,
            access,
            joins: Instant::ZERO,
            leaves: Leaves::Never,
            limits: Limits::default(),
            ways: Ways::default(),
            rules: Rules::default(),
            knows: Vec::new(),
        }
    }

    /// Whether it plays by the rules.
    pub fn is_honest(&self) -> bool {
        match self.part {
            Part::Seed | Part::Unrecorded | Part::Partial(_) | Part::Leecher | Part::Magnet => true,
            Part::Corrupts(_) | Part::Stalls | Part::Liar(_) | Part::Attacker(_) => false,
        }
    }
}

impl Plan {
    /// A world without anybody: 1 MiB in pieces of 64 KiB, with a tracker.
    pub fn new(seed: u64) -> Plan {
        Plan {
            seed,
            total: 1 << 20,
            piece_len: 64 << 10,
            private: false,
            tracked: true,
            named_max: proto::tracker::swarm_table::WANT_MAX,
            byte_true: false,
            peers: Vec::new(),
            web: Vec::new(),
            faults: Vec::new(),
            crash: None,
        }
    }

    /// How many pieces the content has.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.total.div_ceil(u64::from(self.piece_len))).unwrap_or(u32::MAX)
    }

    /// The same as a scenario.
    pub fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::new("fuzz", self.seed)
            .content(self.total, self.piece_len)
            .tracker_names(self.named_max)
            .quantum(QUANTUM)
            .watched();
        if !self.tracked {
            scenario = scenario.without_tracker();
        }
        if self.private {
            scenario = scenario.private();
        }
        if self.byte_true {
            scenario = scenario.byte_true();
        }
        let dht: Vec<u32> =
            (0..).zip(&self.peers).filter(|(_, peer)| peer.ways.dht).map(|(at, _)| at).collect();
        for (number, peer) in (0..).zip(&self.peers) {
            scenario = scenario.node(self.spec(number, peer, &dht));
        }
        for &server in &self.web {
            scenario = scenario.web_server(server);
        }
        for (at, fault) in &self.faults {
            scenario = scenario.fault_at(*at, fault.clone());
        }
        match self.crash {
            Some(point) => scenario.crash(point),
            None => scenario,
        }
    }

    fn spec(&self, number: u32, peer: &PeerPlan, dht: &[u32]) -> NodeSpec {
        let (holds, nature, hostile) = match peer.part {
            Part::Seed => (Holds::All, Nature::Honest, None),
            Part::Unrecorded => (Holds::AllUnrecorded, Nature::Honest, None),
            Part::Partial(permille) => (self.some_pieces(number, permille), Nature::Honest, None),
            Part::Leecher | Part::Magnet => (Holds::Nothing, Nature::Honest, None),
            Part::Corrupts(permille) => (Holds::All, Nature::Corrupts { permille }, None),
            Part::Stalls => (Holds::All, Nature::Stalls, None),
            Part::Liar(size) => (Holds::Nothing, Nature::LiesAboutMetadata { size }, None),
            Part::Attacker(habit) => (Holds::Nothing, Nature::Honest, Some(habit)),
        };
        let Limits { slots, up, down, links, buffer } = peer.limits;
        let Rules { seed_policy, super_seeding, sequential } = peer.rules;
        NodeSpec {
            disk: if peer.ways.spinning { DiskModel::SPINNING } else { DiskModel::FLASH },
            holds,
            nature,
            hostile,
            lease: Lease { up, down, unchoke_slots: slots, links, buffer },
            joins: peer.joins,
            leaves: peer.leaves,
            knows: peer.knows.clone(),
            reachable: peer.ways.reachable,
            fast: peer.ways.fast,
            sequential,
            by_magnet: peer.part == Part::Magnet,
            dht: peer
                .ways
                .dht
                .then(|| dht.iter().copied().filter(|&other| other != number).take(1).collect()),
            config: Config { seed_policy, super_seeding, ..Config::new(PeerId([0; 20])) },
            ..NodeSpec::leecher(peer.access)
        }
    }

    /// Some pieces by lot, the same in every run of this plan.
    fn some_pieces(&self, number: u32, permille: u32) -> Holds {
        let mut rng = Rng::new(Seed(self.seed ^ u64::from(number) << 32 ^ 0x7061_7274));
        let mut held = Bitfield::new(self.pieces());
        for piece in (0..self.pieces()).filter(|_| rng.below(1000) < permille) {
            held.insert(PieceIndex(piece));
        }
        Holds::Pieces(held)
    }

    /// By when all that goes wrong has gone wrong, and is over.
    pub fn calm_after(&self) -> Instant {
        let ends = self.faults.iter().map(|(at, fault)| *at + lasts(fault));
        let joins = self.peers.iter().map(|peer| peer.joins);
        ends.chain(joins).max().unwrap_or(Instant::ZERO)
    }

    /// What the seeds that stay need to send everything to everybody by themselves, at the limits that they have.
    pub fn copies_take(&self) -> Duration {
        let rate = |peer: &PeerPlan| peer.access.up.min(peer.limits.up.unwrap_or(u64::MAX));
        let whole = |part: Part| matches!(part, Part::Seed | Part::Unrecorded);
        let seeds =
            self.peers.iter().filter(|peer| whole(peer.part)).map(rate).min().unwrap_or(u64::from(BLOCK_LEN));
        Duration::from_secs(self.total * self.peers.len() as u64 / seeds.max(1))
    }
}

/// Capacity is dealt this often: worlds of seconds to minutes do not feel it, and it halves what a world costs.
const QUANTUM: Duration = Duration::from_millis(20);

/// How long a fault is felt.
fn lasts(fault: &Fault) -> Duration {
    match fault {
        Fault::Crash { back_after, .. } => back_after.unwrap_or_default(),
        Fault::CutOff { lasts, .. }
        | Fault::Split { lasts, .. }
        | Fault::DiskPauses { lasts, .. }
        | Fault::DiskFull { lasts, .. }
        | Fault::SyncFails { lasts, .. }
        | Fault::ReadFails { lasts, .. }
        | Fault::DiskVanishes { lasts, .. } => *lasts,
        Fault::TrackerDies { lasts } => lasts.unwrap_or_default(),
        Fault::Leave { .. }
        | Fault::BreakLink { .. }
        | Fault::BreakSome { .. }
        | Fault::ClockLeaps { .. }
        | Fault::BitRot { .. }
        | Fault::Touch { .. }
        | Fault::Heals(_) => Duration::ZERO,
    }
}

impl Plan {
    /// Whether it can be run.
    ///
    /// # Errors
    /// What speaks against it, as text.
    pub fn check(&self) -> Result<(), String> {
        let layout = Layout::with_block_len(self.total, self.piece_len, BLOCK_LEN);
        layout.map_err(|why| format!("no such content: {why:?}"))?;
        let count = self.peers.len() as u32;
        let named = self.faults.iter().flat_map(|(_, fault)| nodes_of(fault));
        let named = named.chain(self.crash.map(|point| point.node));
        let named = named.chain(self.peers.iter().flat_map(|peer| peer.knows.iter().copied()));
        if let Some(node) = named.into_iter().find(|&node| node >= count) {
            return Err(format!("a word of node {node}, and there are {count}"));
        }
        let rots = self.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::BitRot { piece, .. } => Some(piece.0),
            _ => None,
        });
        match rots.into_iter().find(|&piece| piece >= self.pieces()) {
            Some(piece) => Err(format!("piece {piece} rots, and there are {}", self.pieces())),
            None => Ok(()),
        }
    }

    /// The same without one peer, and without what befalls it; those behind it move up.
    pub fn without_peer(&self, gone: u32) -> Plan {
        let moved = |node: u32| match node {
            node if node == gone => None,
            node if node > gone => Some(node - 1),
            node => Some(node),
        };
        let mut plan = self.clone();
        plan.peers.remove(gone as usize);
        for peer in &mut plan.peers {
            peer.knows = peer.knows.iter().filter_map(|&node| moved(node)).collect();
        }
        let faults = plan.faults.iter().filter_map(|(at, fault)| Some((*at, with_nodes(fault, moved)?)));
        plan.faults = faults.collect();
        plan.crash = plan.crash.and_then(|point| Some(CrashPoint { node: moved(point.node)?, ..point }));
        plan
    }
}

/// Whom a fault befalls.
fn nodes_of(fault: &Fault) -> Vec<u32> {
    match fault {
        Fault::Crash { node, .. }
        | Fault::Leave { node }
        | Fault::CutOff { node, .. }
        | Fault::BreakLink { node, .. }
        | Fault::DiskPauses { node, .. }
        | Fault::ClockLeaps { node, .. }
        | Fault::DiskFull { node, .. }
        | Fault::SyncFails { node, .. }
        | Fault::ReadFails { node, .. }
        | Fault::DiskVanishes { node, .. }
        | Fault::BitRot { node, .. }
        | Fault::Touch { node } => vec![*node],
        Fault::Split { nodes, .. } => nodes.clone(),
        Fault::BreakSome { .. } | Fault::TrackerDies { .. } | Fault::Heals(_) => Vec::new(),
    }
}

/// The same fault, with nodes under other numbers; nothing if whom it befalls is gone.
fn with_nodes(fault: &Fault, moved: impl Fn(u32) -> Option<u32>) -> Option<Fault> {
    let mut fault = fault.clone();
    match &mut fault {
        Fault::Crash { node, .. }
        | Fault::Leave { node }
        | Fault::CutOff { node, .. }
        | Fault::BreakLink { node, .. }
        | Fault::DiskPauses { node, .. }
        | Fault::ClockLeaps { node, .. }
        | Fault::DiskFull { node, .. }
        | Fault::SyncFails { node, .. }
        | Fault::ReadFails { node, .. }
        | Fault::DiskVanishes { node, .. }
        | Fault::BitRot { node, .. }
        | Fault::Touch { node } => *node = moved(*node)?,
        Fault::Split { nodes, .. } => *nodes = nodes.iter().filter_map(|&node| moved(node)).collect(),
        Fault::BreakSome { .. } | Fault::TrackerDies { .. } | Fault::Heals(_) => {}
    }
    Some(fault)
}

//! A node: one machine with a disk, an access link and a brain, which is a real session or a puppet that a test plays.
//!
//! Holds what a driver must: which link is which connection, and the parked payloads. Decides nothing.

use crate::content::{Content, Tag};
use crate::disk::{Disk, DiskModel};
use crate::finder::Finder;
use crate::hostile::Attacker;
use crate::hostile::habit::Habit;
use crate::metadata::Shelf;
use crate::network::{Access, ConnId, PipeId, Side};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use proto::command::SeedGoal;
use proto::input::{LinkEnd, LinkUp, Unsent};
use proto::{
    Config, Event, Instant, Lease, LinkId, PayloadId, Priority, Rng, Seed, SendToken, Session, TorrentId,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Bitfield, Message, PeerId};

/// Events that a node remembers; those about single pieces and peers are only counted.
const EVENTS_MAX: usize = 4096;

/// What a node has on disk when the story begins.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// Everything, with a record that says so.
    All,
    /// These pieces, with a record that says so.
    Pieces(Bitfield),
    /// Everything, and no record: it has to be checked.
    AllUnrecorded,
}

/// When a node leaves by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Leaves {
    /// It stays.
    #[default]
    Never,
    /// So long after it has everything.
    AfterFinish(Duration),
    /// As soon as the others together have every piece.
    WhenSpread,
    /// Without a word, when it has sent so much.
    AfterCopies {
        /// Thousandths of the content.
        permille: u32,
    },
    /// When it has waited too long, or so long after it has everything.
    Impatient {
        /// After it came, if it does not have everything then.
        gives_up: Duration,
        /// After it has everything.
        stays: Duration,
    },
}

/// How a node behaves below its session, where the session cannot see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nature {
    /// As it should.
    #[default]
    Honest,
    /// Of a thousand blocks that it sends, so many are spoilt.
    Corrupts {
        /// Thousandths.
        permille: u32,
    },
    /// Accepts requests and never sends a block.
    Stalls,
    /// Says that the metadata is so large, and sends wrong pieces of it.
    LiesAboutMetadata {
        /// Bytes.
        size: u32,
    },
}

/// What a node is.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its link.
    pub access: Access,
    /// Its disk.
    pub disk: DiskModel,
    /// What lies on the disk.
    pub holds: Holds,
    /// How it behaves.
    pub nature: Nature,
    /// Its limits.
    pub lease: Lease,
    /// When it joins.
    pub joins: Instant,
    /// When it leaves in order.
    pub leaves: Leaves,
    /// Nodes whose addresses it knows from the start.
    pub knows: Vec<u32>,
    /// Others can dial it.
    pub reachable: bool,
    /// Speaks the fast extension (BEP 6).
    pub fast: bool,
    /// One per file; empty means all normal.
    pub priorities: Vec<Priority>,
    /// Fetches in order.
    pub sequential: bool,
    /// Knows the torrent's hash alone: its metadata comes from peers.
    pub by_magnet: bool,
    /// Takes part in the DHT, and begins at these nodes, beside those that peers tell of.
    pub dht: Option<Vec<u32>>,
    /// Played by the test instead of a session.
    pub puppet: bool,
    /// Played by an attacker instead of a session.
    pub hostile: Option<&'static Habit>,
    /// Settings; the peer id is set by the world.
    pub config: Config,
}

impl NodeSpec {
    /// An honest peer without anything, on such a link.
    pub fn leecher(access: Access) -> NodeSpec {
        NodeSpec {
            access,
            disk: DiskModel::FLASH,
            holds: Holds::Nothing,
            nature: Nature::Honest,
            lease: NodeSpec::lease(),
            joins: Instant::ZERO,
            leaves: Leaves::Never,
            knows: Vec::new(),
            reachable: true,
            fast: true,
            priorities: Vec::new(),
            sequential: false,
            by_magnet: false,
            dht: None,
            puppet: false,
            hostile: None,
            config: Config::new(PeerId([0; 20])),
        }
    }

    /// An honest peer that knows the torrent's hash alone, on such a link.
    pub fn magnet(access: Access) -> NodeSpec {
        NodeSpec { by_magnet: true, ..NodeSpec::leecher(access) }
    }

    /// An honest peer that has everything, on such a link.
    pub fn seed(access: Access) -> NodeSpec {
        NodeSpec { holds: Holds::All, ..NodeSpec::leecher(access) }
    }

    /// A peer that a test plays.
    pub fn puppet(access: Access) -> NodeSpec {
        NodeSpec { puppet: true, ..NodeSpec::leecher(access) }
    }

    /// An attacker of this habit.
    pub fn attacker(habit: &'static Habit, access: Access) -> NodeSpec {
        NodeSpec { hostile: Some(habit), ..NodeSpec::leecher(access) }
    }

    /// What a node may use unless a test says otherwise: four slots, no rate limit.
    pub fn lease() -> Lease {
        Lease { up: None, down: None, unchoke_slots: 4, links: 200, buffer: 64 << 20 }
    }
}

/// A machine of the world.
pub struct Node {
    /// Its number.
    pub index: u32,
    /// What it was made from.
    pub spec: NodeSpec,
    /// Its disk, which outlives its process.
    pub disk: Disk,
    /// What its session told its user.
    pub story: Story,
    pub(crate) brain: Brain,
    /// Counts its processes: what was meant for an earlier one is void.
    pub(crate) incarnation: u32,
    pub(crate) config: Arc<Config>,
    pub(crate) links: Links,
    pub(crate) payloads: Payloads,
    pub(crate) shelf: Shelf,
    /// Its node of the DHT, while its process runs.
    pub(crate) finder: Option<Box<Finder>>,
    pub(crate) alarm: Alarm,
    /// Durability steps asked for so far, all its processes together.
    pub(crate) steps: u32,
    pub(crate) ills: Ills,
    pub(crate) rng: Rng,
}

/// What befell a node, for those who judge it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ills {
    /// Nodes on different islands do not reach each other; 0 is the mainland.
    pub(crate) island: u32,
    /// Its disk lies, and no session can help it.
    pub(crate) rotten: bool,
    /// Its disk had a fault.
    pub(crate) ailed: bool,
    /// It is saying goodbye.
    pub(crate) leaving: bool,
    /// How far its clock is ahead of the world's.
    pub(crate) ahead: Duration,
}

/// When a node is to be woken, and how often it was just now.
#[derive(Default)]
pub(crate) struct Alarm {
    pub(crate) at: Option<Instant>,
    pub(crate) last: Instant,
    pub(crate) times: u32,
}

/// Who decides for a node.
pub(crate) enum Brain {
    /// Nobody: it has not joined, or has crashed or left.
    Absent,
    /// A session.
    Session(Box<Session>),
    /// A test: what the node heard waits for it here.
    Puppet(VecDeque<Heard>),
    /// An attacker.
    Attacker(Box<Attacker>),
}

/// Something that a puppet heard.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    /// A link came up.
    Up(LinkUp),
    /// A link ended.
    Down(LinkId, LinkEnd),
    /// A message.
    Message(LinkId, Message),
    /// Have messages in a row.
    Haves(LinkId, Vec<u32>),
    /// A block.
    Block(LinkId, BlockRequest, Tag),
}

/// What a session told its user.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Rare events, in order.
    pub events: Vec<(Instant, Event)>,
    /// When it first met somebody.
    pub met: Option<Instant>,
    /// When everything wanted was verified.
    pub finished: Option<Instant>,
    /// When everything wanted was durable.
    pub durable: Option<Instant>,
    /// Peers it banned.
    pub banned: Vec<SocketAddr>,
    /// Pieces that failed their hash.
    pub pieces_failed: u32,
    /// Links that ended.
    pub links_ended: u32,
}

impl Node {
    pub(crate) fn new(index: u32, spec: NodeSpec, contents: &[Arc<Content>], seed: u64) -> Node {
        let mut rng = Rng::new(Seed(seed ^ u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let disk = Disk::new(spec.disk, contents, rng.fork());
        let mut peer_id = *b"-GN0001-............";
        peer_id[8..].copy_from_slice(&rng.bytes16()[..12]);
        let config = Arc::new(Config { peer_id: PeerId(peer_id), ..spec.config.clone() });
        Node {
            index,
            spec,
            disk,
            story: Story::default(),
            brain: Brain::Absent,
            incarnation: 0,
            config,
            links: Links::default(),
            payloads: Payloads::default(),
            shelf: Shelf::default(),
            finder: None,
            alarm: Alarm::default(),
            steps: 0,
            ills: Ills::default(),
            rng,
        }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        addr_of(self.index)
    }

    /// Its session, while it runs.
    pub fn session(&self) -> Option<&Session> {
        match &self.brain {
            Brain::Session(session) => Some(session),
            Brain::Absent | Brain::Puppet(_) | Brain::Attacker(_) => None,
        }
    }

    /// When its session wants to be woken, by the world's clock.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        let at = self.session().and_then(Session::next_wake)?;
        Some(Instant::ZERO + at.since(Instant::ZERO).saturating_sub(self.ills.ahead))
    }

    /// Whether it takes part at the moment.
    pub fn is_up(&self) -> bool {
        !matches!(self.brain, Brain::Absent)
    }

    /// Whether it plays by the rules, so that nobody should ban it.
    pub fn is_honest(&self) -> bool {
        self.spec.nature == Nature::Honest && !self.spec.puppet && self.spec.hostile.is_none()
    }

    /// Whether it knows more of the torrent than its hash.
    pub(crate) fn knows_metadata(&self) -> bool {
        !self.spec.by_magnet || self.shelf.known.contains(&crate::world::torrent_id(0))
    }

    /// Whether it had everything from the start.
    pub fn holds_all(&self) -> bool {
        matches!(self.spec.holds, Holds::All | Holds::AllUnrecorded)
    }

    /// Durability steps that its sessions asked for so far.
    pub fn durability_steps(&self) -> u32 {
        self.steps
    }

    /// Payloads that wait for a verdict.
    pub fn parked(&self) -> usize {
        self.payloads.parked
    }

    /// Pieces of metadata that it holds in memory.
    pub fn metadata_pieces_held(&self) -> usize {
        self.shelf.pieces()
    }

    /// Links that are up.
    pub fn links(&self) -> usize {
        self.links.up
    }

    /// The pipe by which it sends over a link.
    pub fn pipe(&self, link: LinkId) -> Option<PipeId> {
        let (conn, from) = self.links.get(link)?;
        Some(PipeId { conn, from })
    }
}

impl Story {
    pub(crate) fn tell(&mut self, now: Instant, event: Event) {
        match &event {
            Event::PieceDone(..) | Event::TrackerAnswered { .. } | Event::PeersFound { .. } => return,
            Event::PeerJoined(..) => {
                self.met.get_or_insert(now);
                return;
            }
            Event::PeerLeft(..) => {
                self.links_ended += 1;
                return;
            }
            Event::PieceFailed(..) => self.pieces_failed += 1,
            Event::Finished(_) => self.finished = Some(now),
            Event::Durable(_) => self.durable = Some(now),
            Event::PeerBanned(_, addr) => self.banned.push(*addr),
            Event::Stage(..)
            | Event::MetadataReceived(_)
            | Event::MetadataUnusable { .. }
            | Event::ContentRefused { .. }
            | Event::SeedGoalReached(_)
            | Event::TrackerFailed { .. }
            | Event::WebSeedFailed { .. }
            | Event::StorageFailed(..)
            | Event::Removed(_)
            | Event::Stopped => {}
        }
        if self.events.len() < EVENTS_MAX {
            self.events.push((now, event));
        }
    }
}

/// A node's links: slot and generation to connection and side.
#[derive(Default)]
pub(crate) struct Links {
    slots: Vec<LinkSlot>,
    free: Vec<u32>,
    up: usize,
    /// A report of header and control bytes is under way.
    pub(crate) metering: bool,
    /// Blocks that will not leave, of which the session is about to hear.
    pub(crate) unsent: Vec<(SendToken, Unsent)>,
}

#[derive(Default)]
struct LinkSlot {
    generation: u32,
    end: Option<(ConnId, Side)>,
    torrent: Option<TorrentId>,
    received: u32,
    sent: u32,
}

impl Links {
    pub(crate) fn open(&mut self, conn: ConnId, side: Side, torrent: TorrentId) -> LinkId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(LinkSlot::default());
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.end = Some((conn, side));
        place.torrent = Some(torrent);
        self.up += 1;
        LinkId { slot, generation: place.generation }
    }

    pub(crate) fn get(&self, link: LinkId) -> Option<(ConnId, Side)> {
        self.slots.get(link.slot as usize).filter(|place| place.generation == link.generation)?.end
    }

    /// What a link is about.
    pub(crate) fn torrent(&self, link: LinkId) -> Option<TorrentId> {
        self.get(link)?;
        self.slots[link.slot as usize].torrent
    }

    pub(crate) fn close(&mut self, link: LinkId) {
        let place = self.slots.get_mut(link.slot as usize).filter(|slot| slot.generation == link.generation);
        let Some(place) = place else { return };
        if place.end.take().is_some() {
            *place = LinkSlot { generation: place.generation + 1, ..LinkSlot::default() };
            self.free.push(link.slot);
            self.up -= 1;
        }
    }

    /// Takes out what a session has to hear of a block that will not leave; nothing if it has heard.
    pub(crate) fn take_unsent(&mut self, fits: impl Fn(&SendToken) -> bool) -> Option<(SendToken, Unsent)> {
        let at = self.unsent.iter().position(|(token, _)| fits(token))?;
        Some(self.unsent.remove(at))
    }

    /// Counts header and control bytes.
    pub(crate) fn count(&mut self, link: LinkId, received: u32, sent: u32) {
        if self.get(link).is_some() {
            let place = &mut self.slots[link.slot as usize];
            place.received += received;
            place.sent += sent;
        }
    }

    /// What was counted since the last time: link, received, sent.
    pub(crate) fn take_counts(&mut self) -> Vec<(LinkId, u32, u32)> {
        let counted = self.slots.iter_mut().enumerate().filter(|(_, place)| place.received + place.sent > 0);
        let take = |(slot, place): (usize, &mut LinkSlot)| {
            let link = LinkId { slot: slot as u32, generation: place.generation };
            (link, core::mem::take(&mut place.received), core::mem::take(&mut place.sent))
        };
        counted.map(take).collect()
    }
}

/// Received blocks that wait for a verdict.
#[derive(Default)]
pub(crate) struct Payloads {
    slots: Vec<(u32, Option<Parked>)>,
    free: Vec<u32>,
    parked: usize,
}

/// The bytes of one received block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parked {
    pub(crate) block: BlockRequest,
    pub(crate) tag: Tag,
}

impl Payloads {
    pub(crate) fn park(&mut self, parked: Parked) -> PayloadId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.1 = Some(parked);
        self.parked += 1;
        PayloadId { slot, generation: place.0 }
    }

    /// Parks a piece of metadata, which has no block of its own.
    pub(crate) fn park_metadata(&mut self) -> PayloadId {
        self.park(Parked { block: BlockRequest { piece: 0, offset: 0, len: 0 }, tag: Tag::GARBAGE })
    }

    /// Takes the bytes; `None` if they were taken before, or never were.
    pub(crate) fn take(&mut self, payload: PayloadId) -> Option<Parked> {
        let place = self.slots.get_mut(payload.slot as usize)?;
        if place.0 != payload.generation {
            return None;
        }
        let parked = place.1.take()?;
        place.0 += 1;
        self.parked -= 1;
        self.free.push(payload.slot);
        Some(parked)
    }
}

/// When nothing is said: seed for ever.
pub(crate) const NO_GOAL: SeedGoal = SeedGoal { ratio_permille: None, time: None };

/// The address of a node: one each, since bans go by address, and each in a /24 of its own, since allowed-fast sets and
/// peer priorities go by network (BEP 6, 40). 11.0.0.1, 11.0.1.1 and on; a million end in 26.66.63.1.
pub fn addr_of(node: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0001 + (node << 8))), 6881)
}

/// The node at an address, if there can be one.
pub fn node_at(addr: SocketAddr) -> Option<u32> {
    match addr.ip() {
        IpAddr::V4(ip) => {
            let place = ip.to_bits().checked_sub(0x0b00_0001)?;
            (place & 0xff == 0 && addr.port() == 6881).then_some(place >> 8)
        }
        IpAddr::V6(_) => None,
    }
}

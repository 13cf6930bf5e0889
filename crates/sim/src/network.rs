//! Links between nodes: latency, order, and access links whose capacity the flows share as fluid.
//!
//! Every node hangs on the core by its [`Access`]. A flow is one direction of one connection that has a block in service; it
//! gets its max-min share of the sender's uplink and of the receiver's downlink (or as [`Sharing`] says), dealt anew every quantum. Control
//! messages do not queue behind other blocks: they leave at once, unless a block of their own link is in service, whose rest
//! they wait for; what they cost is taken from the next quantum. All in whole numbers: a rate is bytes per second, which is
//! also millionths of a byte per microsecond. Knows nodes by number, not what they are.

mod pipe;

use crate::content::Tag;
use crate::happening::{Happening, NOBODY};
use crate::queue::EventQueue;
use crate::sharing::{Filling, Sharing};
use core::net::SocketAddr;
use core::time::Duration;
use pipe::{Control, Lane, Outgoing, Pipe};
use proto::{Instant, LinkId, Rng, Seed, SendToken};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::{Block, Message, PieceIndex};

/// Length prefix, id, piece number and offset before a block's bytes (BEP 3).
pub(crate) const BLOCK_HEADER: u32 = wire::frame::BLOCK_HEAD_LEN as u32;

/// A node's link to the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    /// Bytes per second out.
    pub up: u64,
    /// Bytes per second in.
    pub down: u64,
    /// One way to the core; between two nodes it is the sum of theirs.
    pub latency: Duration,
}

impl Access {
    /// A link of so many bytes per second up and down, 20 ms from the core.
    pub const fn new(up: u64, down: u64) -> Access {
        Access { up, down, latency: Duration::from_millis(20) }
    }

    /// A symmetric link of so many Mbit/s.
    pub const fn mbit(rate: u64) -> Access {
        Access::new(rate * 125_000, rate * 125_000)
    }

    /// The same link, this far from the core.
    pub const fn latency(self, latency: Duration) -> Access {
        Access { latency, ..self }
    }
}

/// What travels through a pipe.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A control message.
    Message(Message),
    /// A have message for each of these.
    Haves(Arc<[PieceIndex]>),
    /// A block.
    Block {
        /// Which.
        block: Block,
        /// Its bytes.
        tag: Tag,
    },
    /// A piece of metadata.
    Metadata {
        /// Which.
        piece: u32,
        /// How large the whole is said to be.
        total: u32,
        /// Whether it is what its place in the right whole wants.
        right: bool,
    },
}

/// One of the two ends of a connection; the dialer's is 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Side(pub(crate) u8);

impl Side {
    pub(crate) const DIALER: Side = Side(0);
    pub(crate) const ACCEPTOR: Side = Side(1);

    pub(crate) fn other(self) -> Side {
        Side(1 - self.0)
    }
}

/// A connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

/// One direction of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PipeId {
    pub(crate) conn: ConnId,
    /// Where it begins.
    pub(crate) from: Side,
}

/// All links of a world.
pub struct Network {
    quantum: u64,
    sharing: Sharing,
    filling: Filling,
    ports: Vec<Port>,
    conns: Vec<ConnSlot>,
    free: Vec<u32>,
    flows: Vec<PipeId>,
    ticking: bool,
    /// For what befalls links by chance.
    rng: Rng,
    /// What became of the blocks, for the accounts.
    pub totals: Totals,
    /// Bytes of headers and control messages that left.
    pub overhead: u64,
    /// Payload bytes that arrived, by sender and receiver.
    pub sent: BTreeMap<(u32, u32), u64>,
    /// Dials to addresses where nobody is.
    pub void: BTreeMap<SocketAddr, u32>,
}

/// Payload bytes by their fate. `left = arrived + lost +` what is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Left their senders whole.
    pub left: u64,
    /// Reached their receivers.
    pub arrived: u64,
    /// Found no receiver: the link was gone.
    pub lost: u64,
}

#[derive(Clone, Copy)]
struct Port {
    access: Access,
    /// Until when control messages occupy the uplink.
    control_until: Instant,
    /// The longest that a control message had to wait until it had left.
    control_wait: Duration,
    up: Lane,
    down: Lane,
}

struct ConnSlot {
    generation: u32,
    conn: Option<Conn>,
}

struct Conn {
    latency: Duration,
    ends: [End; 2],
    /// By the side from which they lead.
    pipes: [Pipe; 2],
}

struct End {
    node: u32,
    link: Option<LinkId>,
    open: bool,
    paused: bool,
    /// What arrived while the node did not read.
    held: Vec<Parcel>,
}

impl Network {
    /// No links yet; capacity is dealt anew every `quantum`, which should not be longer than the least latency.
    pub(crate) fn new(quantum: Duration, sharing: Sharing, seed: u64) -> Network {
        let quantum = micros(quantum).max(1);
        Network {
            quantum,
            sharing,
            filling: Filling::default(),
            ports: Vec::new(),
            conns: Vec::new(),
            free: Vec::new(),
            flows: Vec::new(),
            ticking: false,
            rng: Rng::new(Seed(seed ^ 0x6e65_7477)),
            totals: Totals::default(),
            overhead: 0,
            sent: BTreeMap::new(),
            void: BTreeMap::new(),
        }
    }

    /// Gives the next node its access link.
    pub(crate) fn attach(&mut self, access: Access) {
        let (up, down) = (Lane::default(), Lane::default());
        self.ports.push(Port {
            access,
            control_until: Instant::ZERO,
            control_wait: Duration::ZERO,
            up,
            down,
        });
    }

    /// A node's access link.
    pub fn access(&self, node: u32) -> Access {
        self.ports[node as usize].access
    }

    /// The longest that a control message of a node had to wait until it had left; and begins to count anew.
    pub fn take_control_wait(&mut self, node: u32) -> Duration {
        core::mem::take(&mut self.ports[node as usize].control_wait)
    }

    /// How long what a node says now will wait until it has left.
    pub(crate) fn control_lag(&self, node: u32, now: Instant) -> Duration {
        self.ports[node as usize].control_until.since(now)
    }

    /// One way between two nodes.
    pub fn latency(&self, a: u32, b: u32) -> Duration {
        self.access(a).latency + self.access(b).latency
    }

    /// Opens a connection. Its ends hear of it from the caller.
    pub(crate) fn connect(&mut self, dialer: u32, acceptor: u32) -> ConnId {
        let end = |node| End { node, link: None, open: true, paused: false, held: Vec::new() };
        let conn = Conn {
            latency: self.latency(dialer, acceptor),
            ends: [end(dialer), end(acceptor)],
            pipes: [Pipe::default(), Pipe::default()],
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(ConnSlot { generation: 0, conn: None });
            self.conns.len() as u32 - 1
        });
        let place = &mut self.conns[slot as usize];
        place.conn = Some(conn);
        ConnId { slot, generation: place.generation }
    }

    /// Names an end as its node does.
    pub(crate) fn name(&mut self, id: ConnId, side: Side, link: LinkId) {
        if let Some(conn) = self.conn_mut(id) {
            conn.ends[side.0 as usize].link = Some(link);
        }
    }

    /// The node and link at one end, if that end is still open.
    pub(crate) fn end(&self, id: ConnId, side: Side) -> Option<(u32, Option<LinkId>)> {
        let end = &self.conn(id)?.ends[side.0 as usize];
        end.open.then_some((end.node, end.link))
    }

    /// The node at one end, open or not.
    pub(crate) fn node_at(&self, id: ConnId, side: Side) -> Option<u32> {
        Some(self.conn(id)?.ends[side.0 as usize].node)
    }

    /// All connections, by their dialers' sides.
    pub(crate) fn conns(&self) -> Vec<(ConnId, Side)> {
        let open = self.conns.iter().enumerate().filter(|(_, place)| place.conn.is_some());
        let name =
            |(slot, place): (usize, &ConnSlot)| ConnId { slot: slot as u32, generation: place.generation };
        open.map(|place| (name(place), Side::DIALER)).collect()
    }

    /// A number below this, by lot.
    pub(crate) fn chance(&mut self, below: u32) -> u32 {
        self.rng.below(below)
    }

    /// All connections of which one end is this node's and open.
    pub(crate) fn conns_of(&self, node: u32) -> Vec<(ConnId, Side)> {
        let mut found = Vec::new();
        for (slot, place) in self.conns.iter().enumerate() {
            let Some(conn) = &place.conn else { continue };
            for side in [Side::DIALER, Side::ACCEPTOR] {
                let end = &conn.ends[side.0 as usize];
                if end.node == node && end.open {
                    found.push((ConnId { slot: slot as u32, generation: place.generation }, side));
                }
            }
        }
        found
    }

    /// Forgets what one end had yet to send. Returns the tokens of its blocks, which will not leave.
    pub(crate) fn forget_unsent(&mut self, id: ConnId, side: Side) -> Vec<SendToken> {
        let Some(conn) = self.conn_mut(id) else { return Vec::new() };
        let pipe = &mut conn.pipes[side.0 as usize];
        pipe.control.clear();
        pipe.remaining = 0;
        pipe.stamp += 1;
        pipe.blocks.drain(..).map(|out| out.token).collect()
    }

    /// Closes one end, and forgets what it had yet to send. The connection ceases to be when both ends are closed.
    pub(crate) fn close_end(&mut self, id: ConnId, side: Side) {
        self.forget_unsent(id, side);
        let Some(conn) = self.conn_mut(id) else { return };
        let end = &mut conn.ends[side.0 as usize];
        end.open = false;
        let unread: u64 = end.held.drain(..).map(|parcel| parcel.payload()).sum();
        let gone = conn.ends.iter().all(|end| !end.open);
        self.totals.lost += unread;
        if gone {
            let place = &mut self.conns[id.slot as usize];
            place.conn = None;
            place.generation += 1;
            self.free.push(id.slot);
        }
    }

    /// Payload bytes that arrived at nodes that do not read at the moment.
    pub(crate) fn held(&self) -> u64 {
        let ends = self.conns.iter().filter_map(|place| place.conn.as_ref()).flat_map(|conn| &conn.ends);
        ends.flat_map(|end| &end.held).map(Parcel::payload).sum()
    }

    /// When whatever one end said last will have arrived at the other, but not before a latency from now.
    pub(crate) fn last_word(&self, id: ConnId, from: Side, now: Instant) -> Instant {
        let Some(conn) = self.conn(id) else { return now };
        conn.pipes[from.0 as usize].last_arrival.max(now + conn.latency)
    }

    /// Sends a control message of so many bytes: at once, or when the block in service has left.
    pub(crate) fn send_control(
        &mut self,
        now: Instant,
        id: PipeId,
        parcel: Parcel,
        bytes: u32,
        queue: &mut EventQueue<Happening>,
    ) {
        let Some(conn) = conn_mut(&mut self.conns, id.conn) else { return };
        self.overhead += u64::from(bytes);
        let pipe = &mut conn.pipes[id.from.0 as usize];
        let control = Control { parcel, bytes, since: now };
        if pipe.remaining > 0 || !pipe.control.is_empty() {
            pipe.control.push_back(control);
        } else {
            depart(now, id, conn, &mut self.ports, control, queue);
        }
    }

    /// Puts a block in line; it can leave when it is read.
    pub(crate) fn enqueue(&mut self, id: PipeId, token: SendToken, block: Block) {
        if let Some(conn) = self.conn_mut(id.conn) {
            conn.pipes[id.from.0 as usize].blocks.push_back(Outgoing { token, block, tag: None });
        }
    }

    /// A block was read, with this result.
    pub(crate) fn ready(
        &mut self,
        now: Instant,
        id: PipeId,
        token: SendToken,
        tag: Tag,
        queue: &mut EventQueue<Happening>,
    ) {
        let Some(conn) = conn_mut(&mut self.conns, id.conn) else { return };
        let pipe = &mut conn.pipes[id.from.0 as usize];
        if let Some(out) = pipe.blocks.iter_mut().find(|out| out.token == token) {
            out.tag = Some(tag);
        }
        self.serve(now, id, queue);
    }

    /// Takes a block out of line, unless it is in service or gone; says whether it was there to take.
    pub(crate) fn recall(&mut self, id: PipeId, token: SendToken) -> bool {
        let Some(conn) = self.conn_mut(id.conn) else { return false };
        let pipe = &mut conn.pipes[id.from.0 as usize];
        let in_service = usize::from(pipe.remaining > 0);
        match pipe.blocks.iter().position(|out| out.token == token) {
            Some(place) if place >= in_service => pipe.blocks.remove(place).is_some(),
            Some(_) | None => false,
        }
    }

    /// Blocks in line on a pipe, and bytes of them.
    pub fn backlog(&self, id: PipeId) -> (usize, u64) {
        let Some(conn) = self.conn(id.conn) else { return (0, 0) };
        let blocks = &conn.pipes[id.from.0 as usize].blocks;
        (blocks.len(), blocks.iter().map(|out| u64::from(out.block.len)).sum())
    }

    /// An end stops or resumes reading. Returns what was held back meanwhile, in order.
    pub(crate) fn set_paused(&mut self, id: ConnId, side: Side, paused: bool) -> Vec<Parcel> {
        let Some(conn) = self.conn_mut(id) else { return Vec::new() };
        let end = &mut conn.ends[side.0 as usize];
        end.paused = paused;
        if paused { Vec::new() } else { core::mem::take(&mut end.held) }
    }

    /// Something arrives: to whom, over which link of theirs, and what; `None` if nobody reads there (now).
    pub(crate) fn arrive(&mut self, id: PipeId, parcel: Parcel) -> Option<(LinkId, Parcel)> {
        let payload = parcel.payload();
        let conn = conn_mut(&mut self.conns, id.conn);
        let (from, to) = conn.as_ref().map_or((0, 0), |conn| conn.nodes(id.from));
        match conn.map(|conn| &mut conn.ends[id.from.other().0 as usize]) {
            Some(end) if end.open && end.paused => {
                end.held.push(parcel);
                None
            }
            Some(End { open: true, link: Some(link), .. }) => {
                self.totals.arrived += payload;
                if payload > 0 {
                    *self.sent.entry((from as u32, to as u32)).or_default() += payload;
                }
                Some((*link, parcel))
            }
            Some(_) | None => {
                self.totals.lost += payload;
                None
            }
        }
    }

    /// The block in service has left: its token and bytes. The stamp tells whether this is still true.
    pub(crate) fn block_left(
        &mut self,
        now: Instant,
        id: PipeId,
        stamp: u32,
        queue: &mut EventQueue<Happening>,
    ) -> Option<(SendToken, u32)> {
        let conn = conn_mut(&mut self.conns, id.conn)?;
        let latency = conn.latency;
        let receiver = conn.ends[id.from.other().0 as usize].node;
        let pipe = &mut conn.pipes[id.from.0 as usize];
        if pipe.stamp != stamp {
            return None;
        }
        let out = pipe.blocks.pop_front()?;
        pipe.remaining = 0;
        pipe.told = 0;
        pipe.last_arrival = pipe.last_arrival.max(now + latency);
        let parcel = Parcel::Block { block: out.block, tag: out.tag? };
        queue.push(pipe.last_arrival, receiver, Happening::Arrive { pipe: id, parcel });
        while let Some(control) = conn.pipes[id.from.0 as usize].control.pop_front() {
            depart(now, id, conn, &mut self.ports, control, queue);
        }
        self.totals.left += u64::from(out.block.len);
        self.overhead += u64::from(BLOCK_HEADER);
        self.serve(now, id, queue);
        Some((out.token, out.block.len))
    }

    /// Deals the capacity for the next quantum, and says when blocks will have left within it.
    pub(crate) fn deal(&mut self, now: Instant, queue: &mut EventQueue<Happening>) {
        let Network { quantum, sharing, filling, ports, conns, flows, .. } = self;
        flows.retain(|&id| {
            let Some(conn) = conn_mut(conns, id.conn) else { return false };
            let pipe = &mut conn.pipes[id.from.0 as usize];
            pipe.settle(now);
            pipe.listed = pipe.remaining > 0;
            pipe.rate = 0;
            pipe.listed
        });
        filling.begin(ports.iter_mut().flat_map(|port| {
            let Port { access, up, down, .. } = port;
            [up.deal(access.up, now, *quantum), down.deal(access.down, now, *quantum)]
        }));
        for &id in flows.iter() {
            if let Some(conn) = conn_mut(conns, id.conn)
                && conn.is_read(id.from)
            {
                let (sender, receiver) = conn.nodes(id.from);
                filling.flow([2 * sender as u32, 2 * receiver as u32 + 1]);
            }
        }
        let mut rates = filling.rates(*sharing).iter();
        let end = now + Duration::from_micros(*quantum);
        for &id in flows.iter() {
            let Some(conn) = conn_mut(conns, id.conn) else { continue };
            let (sender, receiver) = conn.nodes(id.from);
            let (open, read) = (conn.ends[id.from.other().0 as usize].open, conn.is_read(id.from));
            let latency = conn.latency;
            let pipe = &mut conn.pipes[id.from.0 as usize];
            pipe.rate = if read { rates.next().copied().unwrap_or(0) } else { 0 };
            pipe.rate_until = end;
            pipe.expect(id, sender as u32, queue);
            if open && let Some(bytes) = pipe.news(now) {
                queue.push(now + latency, receiver as u32, Happening::Progress { pipe: id, bytes });
            }
        }
        self.ticking = !self.flows.is_empty();
        if self.ticking {
            queue.push(end, NOBODY, Happening::Quantum);
        }
    }

    /// Begins the next block of a pipe, if one is ready and none is in service.
    fn serve(&mut self, now: Instant, id: PipeId, queue: &mut EventQueue<Happening>) {
        let Some(conn) = conn_mut(&mut self.conns, id.conn) else { return };
        let sender = conn.ends[id.from.0 as usize].node;
        let pipe = &mut conn.pipes[id.from.0 as usize];
        let Some(Outgoing { block, tag: Some(_), .. }) = pipe.blocks.front() else { return };
        if pipe.remaining > 0 {
            return;
        }
        pipe.remaining = u64::from(block.len + BLOCK_HEADER) * 1_000_000;
        (pipe.since, pipe.told_at) = (now, now);
        pipe.stamp += 1;
        if pipe.listed && now < pipe.rate_until {
            // The flow had its share of this quantum already: it goes on with it.
            pipe.expect(id, sender, queue);
        } else {
            pipe.rate = 0;
        }
        if !pipe.listed {
            pipe.listed = true;
            self.flows.push(id);
        }
        if !self.ticking {
            self.ticking = true;
            let next = (now.as_micros() / self.quantum + 1) * self.quantum;
            queue.push(Instant::from_micros(next), NOBODY, Happening::Quantum);
        }
    }

    fn conn(&self, id: ConnId) -> Option<&Conn> {
        let place = self.conns.get(id.slot as usize).filter(|place| place.generation == id.generation)?;
        place.conn.as_ref()
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        conn_mut(&mut self.conns, id)
    }
}

fn conn_mut(conns: &mut [ConnSlot], id: ConnId) -> Option<&mut Conn> {
    let place = conns.get_mut(id.slot as usize).filter(|place| place.generation == id.generation)?;
    place.conn.as_mut()
}

/// A control message leaves: behind the node's earlier ones, and not before what went through this pipe.
fn depart(
    now: Instant,
    id: PipeId,
    conn: &mut Conn,
    ports: &mut [Port],
    control: Control,
    queue: &mut EventQueue<Happening>,
) {
    let (sender, receiver) = conn.nodes(id.from);
    let Control { parcel, bytes, since } = control;
    let cost = u64::from(bytes) * 1_000_000;
    let port = &mut ports[sender];
    let gone = port.control_until.max(now) + Duration::from_micros(cost / port.access.up.max(1));
    port.control_until = gone;
    port.control_wait = port.control_wait.max(gone.since(since));
    port.up.debt += cost;
    ports[receiver].down.debt += cost;
    let pipe = &mut conn.pipes[id.from.0 as usize];
    pipe.last_arrival = pipe.last_arrival.max(gone + conn.latency);
    queue.push(pipe.last_arrival, receiver as u32, Happening::Arrive { pipe: id, parcel });
}

impl Conn {
    /// Who sends and who receives through the pipe that begins at this side.
    fn nodes(&self, from: Side) -> (usize, usize) {
        (self.ends[from.0 as usize].node as usize, self.ends[from.other().0 as usize].node as usize)
    }

    /// Whether what comes through the pipe that begins at this side is read.
    fn is_read(&self, from: Side) -> bool {
        !self.ends[from.other().0 as usize].paused
    }
}

impl Parcel {
    /// Bytes of content in it.
    pub fn payload(&self) -> u64 {
        match self {
            Parcel::Block { block, .. } => u64::from(block.len),
            Parcel::Message(_) | Parcel::Haves(_) | Parcel::Metadata { .. } => 0,
        }
    }
}

pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

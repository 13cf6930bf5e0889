//! A world: nodes, the network between them, a tracker, virtual time, and what goes wrong.
//!
//! One thread, one queue: the next event is delivered to its node, and what the node wants done becomes later events. Always:
//! the same settings and seed give the same run, to the last event. How outputs are performed is in `driver`, how faults
//! come about in `mishap`; the checkers look on and never touch anything.

mod meter;
mod settings;
mod watch;

use crate::checker::{Checkers, Finding, Losses, Scene};
use crate::content::Content;
use crate::disk::Crash;
use crate::fault::{CrashPoint, Fault};
use crate::happening::{Happening, Knock, NOBODY};
use crate::network::{BLOCK_HEADER, ConnId, Network, Parcel, PipeId, Side};
use crate::node::{Brain, Heard, Holds, Leaves, NO_GOAL, Node, NodeSpec, Parked, addr_of};
use crate::queue::EventQueue;
use crate::trace::Trace;
use crate::tracker::SimTracker;
use crate::web::Web;
use core::time::Duration;
use proto::input::{DialFailure, LinkEnd, LinkUp, Unsent};
use proto::{
    AddTorrent, Command, DialId, Input, Instant, LinkId, Outbox, ResumeRecord, Seed, Session, TorrentId,
};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Bitfield, Reserved};

pub use settings::Settings;
use watch::Watch;

/// A session that asks this often to be woken at one and the same moment will never stop.
const WAKES_AT_ONCE_MAX: u32 = 1000;
/// How often the checkers look at what does not come by as an input or output.
const INSPECT_EVERY: Duration = Duration::from_millis(500);

/// Everything there is.
pub struct World {
    pub(crate) now: Instant,
    pub(crate) settings: Settings,
    pub(crate) queue: EventQueue<Happening>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) contents: Vec<Arc<Content>>,
    pub(crate) checkers: Checkers,
    pub(crate) tracker: SimTracker,
    pub(crate) web: Web,
    /// Where a node is to crash, and the disk job after which it does, once that is under way.
    pub(crate) doom: (Option<CrashPoint>, Option<u64>),
    /// Digest and journal of what was said.
    pub trace: Trace,
    watch: Option<Box<Watch>>,
    outbox: Outbox,
    events: u64,
    inspecting: bool,
}

impl World {
    /// An empty world about these contents.
    pub fn new(settings: Settings, contents: Vec<Arc<Content>>) -> World {
        World {
            now: Instant::ZERO,
            queue: EventQueue::new(),
            nodes: Vec::new(),
            network: Network::new(settings.quantum, settings.sharing, settings.seed),
            contents,
            checkers: Checkers::default(),
            tracker: SimTracker::new(settings.seed, settings.named_max),
            web: Web::default(),
            doom: (None, None),
            trace: Trace::new(settings.traced),
            watch: settings.watched.then(Box::default),
            outbox: Outbox::new(),
            events: 0,
            inspecting: false,
            settings,
        }
    }

    /// Adds a node; it starts when its specification says.
    pub fn add(&mut self, spec: NodeSpec) -> u32 {
        let index = self.nodes.len() as u32;
        self.network.attach(spec.access);
        self.queue.push(spec.joins, index, Happening::Start);
        let mut node = Node::new(index, spec, &self.contents, self.settings.seed);
        for slot in 0..self.contents.len() {
            let torrent = torrent_id(slot);
            let store = node.disk.store_mut(torrent);
            let pieces = store.content().metainfo().layout.pieces();
            let (held, recorded) = match &node.spec.holds {
                Holds::Nothing => continue,
                Holds::All => (Bitfield::full(pieces), true),
                Holds::AllUnrecorded => (Bitfield::full(pieces), false),
                Holds::Pieces(held) => (held.clone(), true),
            };
            store.preload(&held);
            if recorded {
                store.commit(ResumeRecord { have: held, open: Vec::new(), uploaded: 0, downloaded: 0 });
            }
        }
        self.nodes.push(node);
        index
    }

    /// Lets something go wrong at a set time.
    pub fn fault_at(&mut self, at: Instant, fault: Fault) {
        self.queue.push(at, NOBODY, Happening::Fault(Box::new(fault)));
    }

    /// Lets a node crash at a step of its durability.
    pub fn crash_at(&mut self, point: CrashPoint) {
        self.doom.0 = Some(point);
    }

    /// Delivers the next event; `false` if there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, node, what)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.events += 1;
        self.deliver(node, what);
        true
    }

    /// Runs up to this moment.
    pub fn run_until(&mut self, end: Instant) {
        while self.queue.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Runs until `done`, looked at every tenth of a second, or until this moment; says whether it was done.
    pub fn run_till(&mut self, end: Instant, mut done: impl FnMut(&World) -> bool) -> bool {
        while self.now < end {
            if done(self) {
                return true;
            }
            let next = (self.now + Duration::from_millis(100)).min(end);
            self.run_until(next);
        }
        done(self)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A node.
    pub fn node(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The longest that a control message of a node had to wait until it had left its uplink, since this was asked last.
    pub fn take_control_wait(&mut self, node: u32) -> Duration {
        self.network.take_control_wait(node)
    }

    /// The links.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A torrent of this world.
    pub fn content(&self, index: usize) -> &Arc<Content> {
        &self.contents[index]
    }

    /// Events delivered so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Payload bytes that left and have not arrived.
    pub(crate) fn bytes_in_flight(&self) -> u64 {
        let arriving = self.queue.iter().map(|what| match what {
            Happening::Arrive { parcel, .. } => parcel.payload(),
            _ => 0,
        });
        arriving.sum::<u64>() + self.network.held()
    }

    /// Whether a node left for good.
    pub(crate) fn has_left(&self, index: u32) -> bool {
        self.nodes[index as usize].ills.leaving
    }

    /// Notes a finding of the caller's own.
    pub fn report(&mut self, node: u32, checker: &'static str, text: String) {
        self.checkers.report(self.now, node, checker, text);
    }

    /// What crashes cost so far.
    pub fn losses(&self) -> Losses {
        self.checkers.losses()
    }

    /// How many findings there are in all.
    pub fn findings_count(&self) -> u32 {
        self.checkers.findings().len() as u32 + self.checkers.more()
    }

    /// What the checkers found: the first hundred.
    pub fn findings(&self) -> &[Finding] {
        self.checkers.findings()
    }

    /// Lets the checkers draw their conclusions. Call it once, at the end.
    pub fn conclude(&mut self) {
        let mut checkers = core::mem::take(&mut self.checkers);
        checkers.conclude(self);
        self.checkers = checkers;
    }

    /// Hands an input to a node, and performs what it wants.
    pub fn feed(&mut self, index: u32, input: Input<'_>) {
        let now = self.now;
        if self.nodes[index as usize].session().is_none() {
            return;
        }
        self.trace.input(now, index, &input);
        self.checkers.input(now, &self.nodes, index, &input);
        if let Some(watch) = &mut self.watch {
            watch.input(Scene { now, nodes: &self.nodes, index }, &input);
        }
        let node = &mut self.nodes[index as usize];
        let Brain::Session(session) = &mut node.brain else { return };
        let mut outbox = core::mem::take(&mut self.outbox);
        session.handle(now + node.ills.ahead, input, &mut outbox);
        let incarnation = node.incarnation;
        if let Some(watch) = &mut self.watch {
            watch.outputs(Scene { now, nodes: &self.nodes, index }, &outbox);
        }
        for output in outbox.drain() {
            if self.nodes[index as usize].incarnation != incarnation {
                continue;
            }
            self.trace.output(now, index, &output);
            self.checkers.output(now, &self.nodes, index, &output);
            self.perform(index, output);
        }
        self.outbox = outbox;
        self.set_alarm(index);
    }

    fn deliver(&mut self, node: u32, what: Happening) {
        match what {
            Happening::Start => self.start(node),
            Happening::Prompt { incarnation } => self.prompt(node, incarnation),
            Happening::Wake { incarnation } => self.wake(node, incarnation),
            Happening::Tell { incarnation, input } => self.tell_now(node, incarnation, *input),
            Happening::Disk { incarnation, job } => self.disk_done(node, incarnation, job),
            Happening::ReadDone { pipe, token, tag } => self.read_done(pipe, token, tag),
            Happening::MetadataLeft { incarnation, token } => self.metadata_left(node, incarnation, token),
            Happening::WakeFinder { incarnation } => self.wake_finder(node, incarnation),
            Happening::Datagram { from, bytes } => self.hear_datagram(node, from, &bytes),
            Happening::Meter { incarnation } => self.report_overhead(node, incarnation),
            Happening::Knock(knock) => self.knock(node, knock),
            Happening::Answered { conn, knock } => {
                if self.is_current(node, knock.incarnation) {
                    self.link_up(node, conn, Side::DIALER, knock.dial.torrent, Some(knock.dial));
                } else {
                    self.break_off(conn, Side::ACCEPTOR);
                }
            }
            Happening::Unanswered { knock, why } => {
                if self.is_current(node, knock.incarnation) {
                    self.feed(node, Input::DialFailed { dial: knock.dial, why });
                }
            }
            Happening::Arrive { pipe, parcel } => self.arrive(pipe, parcel),
            Happening::Progress { pipe, bytes } => {
                if let Some((node, Some(link))) = self.network.end(pipe.conn, pipe.from.other()) {
                    self.feed(node, Input::Progress { link, bytes });
                }
            }
            Happening::Down { conn, side, why } => self.link_down(conn, side, why),
            Happening::BlockLeft { pipe, stamp } => {
                if let Some((token, _)) = self.network.block_left(self.now, pipe, stamp, &mut self.queue) {
                    self.count_overhead(node, token.link, 0, BLOCK_HEADER);
                    self.feed(node, Input::Sent { token });
                }
            }
            Happening::Web { incarnation, what } => self.web_happens(node, incarnation, what),
            Happening::Quantum => self.network.deal(self.now, &mut self.queue),
            Happening::Fault(fault) => self.befall(*fault),
            Happening::Inspect => self.inspect(),
            Happening::Exit { incarnation } => {
                if self.is_current(node, incarnation) {
                    self.stop(node);
                    self.checkers.stopped(self.now, &self.nodes, node);
                }
            }
        }
    }

    /// A node's process begins: with what its disk has.
    pub(crate) fn start(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        if node.is_up() {
            return;
        }
        node.incarnation += 1;
        node.alarm.at = None;
        if node.spec.puppet {
            node.brain = Brain::Puppet(VecDeque::new());
            return self.start_finder(index);
        }
        if let Some(habit) = node.spec.hostile {
            return self.start_attacker(index, habit);
        }
        let seed = Seed(node.rng.next_u64());
        node.brain =
            Brain::Session(Box::new(Session::new(node.config.clone(), seed, self.now + node.ills.ahead)));
        let (lease, spec) = (node.spec.lease, node.spec.clone());
        self.checkers.started(self.now, &self.nodes, index);
        if let Some(watch) = &mut self.watch {
            watch.started(Scene { now: self.now, nodes: &self.nodes, index });
        }
        self.feed(index, Input::Command(Command::Listening(addr_of(index).port())));
        self.feed(index, Input::Command(Command::Lease(lease)));
        self.start_finder(index);
        for slot in 0..self.contents.len() {
            let torrent = torrent_id(slot);
            if spec.by_magnet && !self.nodes[index as usize].shelf.known.contains(&torrent) {
                self.add_magnet(index, torrent);
                continue;
            }
            let add = AddTorrent {
                torrent,
                metainfo: self.contents[slot].metainfo().clone(),
                resume: self.nodes[index as usize].disk.store(torrent).record().cloned(),
                priorities: spec.priorities.clone().into(),
                sequential: spec.sequential,
                paused: false,
                peers: spec.knows.iter().map(|&peer| addr_of(peer)).collect(),
                seed_goal: NO_GOAL,
            };
            self.feed(index, Input::Command(Command::Add(Box::new(add))));
        }
        if !self.inspecting {
            self.inspecting = true;
            self.queue.push(self.now + INSPECT_EVERY, NOBODY, Happening::Inspect);
        }
    }

    fn wake(&mut self, index: u32, incarnation: u32) {
        let now = self.now;
        let node = &mut self.nodes[index as usize];
        if node.incarnation != incarnation || node.alarm.at != Some(now) {
            return;
        }
        node.alarm.at = None;
        node.alarm.times = if node.alarm.last == now { node.alarm.times + 1 } else { 0 };
        node.alarm.last = now;
        if node.alarm.times > WAKES_AT_ONCE_MAX {
            self.checkers.report(now, index, "wake", "asks again and again to be woken at once".into());
        } else if node.next_wake().is_some_and(|at| at <= now) {
            self.feed(index, Input::Wake);
        } else {
            self.set_alarm(index);
        }
    }

    /// A node's clock has leapt: what it waited for may be long over.
    pub(crate) fn look_at_the_clock(&mut self, index: u32) {
        self.nodes[index as usize].alarm.at = None;
        self.set_alarm(index);
    }

    /// Arranges for the wake that the session asks for, unless an earlier one is arranged that will look again.
    fn set_alarm(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        let Some(at) = node.next_wake() else { return };
        let at = at.max(self.now);
        if node.alarm.at.is_none_or(|wake| at < wake) {
            node.alarm.at = Some(at);
            self.queue.push(at, index, Happening::Wake { incarnation: node.incarnation });
        }
    }

    /// A dialer's handshake is here.
    fn knock(&mut self, index: u32, knock: Knock) {
        let back = self.now + self.network.latency(index, knock.dialer);
        let node = &self.nodes[index as usize];
        if !node.is_up() || !node.spec.reachable {
            let why = DialFailure::Refused;
            self.queue.push(back, knock.dialer, Happening::Unanswered { knock, why });
            return;
        }
        if node.never_shakes_hands() || self.nodes[knock.dialer as usize].never_shakes_hands() {
            return self.leave_waiting(knock);
        }
        let conn = self.network.connect(knock.dialer, index);
        self.queue.push(back, knock.dialer, Happening::Answered { conn, knock });
        self.link_up(index, conn, Side::ACCEPTOR, knock.dial.torrent, None);
    }

    fn link_up(&mut self, index: u32, conn: ConnId, side: Side, torrent: TorrentId, dial: Option<DialId>) {
        let remote = self.network.node_at(conn, side.other());
        let Some(remote) = remote.filter(|_| self.network.end(conn, side).is_some()) else {
            // It broke while the handshake was on its way back: a dial always ends somehow.
            let why = DialFailure::TimedOut;
            return dial.into_iter().for_each(|dial| self.feed(index, Input::DialFailed { dial, why }));
        };
        let theirs = &self.nodes[remote as usize];
        let peer_id = theirs.peer_id_for(&self.nodes[index as usize]);
        let mut reserved = Reserved::OURS;
        if !theirs.spec.fast || !self.nodes[index as usize].spec.fast {
            reserved.0[7] &= !0x04;
        }
        let link = self.nodes[index as usize].links.open(conn, side, torrent);
        self.network.name(conn, side, link);
        let up = LinkUp { link, torrent, remote: addr_of(remote), dial, peer_id, reserved, encrypted: false };
        self.hear(index, Heard::Up(up));
        self.feed(index, Input::LinkUp(up));
    }

    fn arrive(&mut self, pipe: PipeId, parcel: Parcel) {
        let Some(node) = self.network.node_at(pipe.conn, pipe.from.other()) else {
            self.network.arrive(pipe, parcel);
            return;
        };
        let Some((link, parcel)) = self.network.arrive(pipe, parcel) else { return };
        self.read(node, link, parcel);
    }

    /// A node reads what came over a link.
    pub(crate) fn read(&mut self, index: u32, link: LinkId, parcel: Parcel) {
        match parcel {
            Parcel::Message(message) => {
                self.count_overhead(index, link, wire::frame::encoded_len(&message) as u32, 0);
                self.hear(index, Heard::Message(link, message.clone()));
                self.feed(index, Input::Message { link, message });
            }
            Parcel::Haves(pieces) => {
                let pieces: Vec<u32> = pieces.iter().map(|piece| piece.0).collect();
                self.count_overhead(index, link, 9 * pieces.len() as u32, 0);
                self.hear(index, Heard::Haves(link, pieces.clone()));
                self.feed(index, Input::Haves { link, pieces: &pieces });
            }
            Parcel::Metadata { piece, total, right } => self.read_metadata(index, link, piece, total, right),
            Parcel::Block { block, tag } => {
                self.count_overhead(index, link, BLOCK_HEADER, 0);
                let request = BlockRequest::from(block);
                if self.nodes[index as usize].session().is_none() {
                    return self.hear(index, Heard::Block(link, request, tag));
                }
                let payload = self.nodes[index as usize].payloads.park(Parked { block: request, tag });
                self.feed(index, Input::Block { link, block: request, payload });
            }
        }
    }

    /// Lets a puppet know; a session has its own inputs.
    fn hear(&mut self, index: u32, news: Heard) {
        match &mut self.nodes[index as usize].brain {
            Brain::Puppet(heard) => heard.push_back(news),
            Brain::Attacker(_) => self.tell_attacker(index, &news),
            Brain::Session(_) | Brain::Absent => {}
        }
    }

    /// One end hears that its link is no more, after the answers to what it had asked of it.
    fn link_down(&mut self, conn: ConnId, side: Side, why: LinkEnd) {
        let Some((index, link)) = self.network.end(conn, side) else { return };
        let Some(link) = link else { return self.network.close_end(conn, side) };
        while let Some((token, why)) =
            self.nodes[index as usize].links.take_unsent(|token| token.link == link)
        {
            self.feed(index, Input::Unsent { token, why });
        }
        // Told that a block will not leave, a session may hand over the next one: it does not know yet.
        loop {
            let tokens = self.network.forget_unsent(conn, side);
            if tokens.is_empty() {
                break;
            }
            for token in tokens {
                self.feed(index, Input::Unsent { token, why: Unsent::LinkDown });
            }
        }
        self.forget_metadata_of(index, link);
        self.network.close_end(conn, side);
        self.nodes[index as usize].links.close(link);
        self.hear(index, Heard::Down(link, why));
        self.feed(index, Input::LinkDown { link, why });
    }

    /// Breaks a link for the end that is left, when the other is gone without a word.
    pub(crate) fn break_off(&mut self, conn: ConnId, left: Side) {
        self.network.close_end(conn, left.other());
        let at = self.network.last_word(conn, left.other(), self.now);
        let Some((node, _)) = self.network.end(conn, left) else { return };
        self.queue.push(at, node, Happening::Down { conn, side: left, why: LinkEnd::Broken });
    }

    fn disk_done(&mut self, index: u32, incarnation: u32, job: u64) {
        if !self.is_current(index, incarnation) {
            return;
        }
        let fatal = self.doom.1 == Some(job);
        let told = self.nodes[index as usize].disk.finish(job);
        self.collect_complaints(index);
        match told {
            Some(_) if fatal => self.crash_now(index),
            Some(input) => self.feed(index, input),
            None => {}
        }
    }

    /// The crash point is reached.
    pub(crate) fn crash_now(&mut self, index: u32) {
        if let Some(point) = self.doom.0.take() {
            self.doom.1 = None;
            self.crash(index, point.how, Some(point.back_after));
        }
    }

    pub(crate) fn crash(&mut self, index: u32, how: Crash, back_after: Option<Duration>) {
        if !self.nodes[index as usize].is_up() {
            return;
        }
        self.stop(index);
        self.nodes[index as usize].disk.crash(how);
        self.checkers.stopped(self.now, &self.nodes, index);
        if let Some(span) = back_after {
            self.queue.push(self.now + span, index, Happening::Start);
        }
    }

    /// A node's process is no more; its peers find their links broken.
    pub(crate) fn stop(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        node.brain = Brain::Absent;
        node.incarnation += 1;
        node.links = Default::default();
        node.payloads = Default::default();
        node.shelf.crash();
        node.finder = None;
        self.forget_fetches(index);
        for (conn, side) in self.network.conns_of(index) {
            self.break_off(conn, side.other());
        }
    }

    pub(crate) fn is_current(&self, index: u32, incarnation: u32) -> bool {
        self.nodes[index as usize].incarnation == incarnation
    }

    fn inspect(&mut self) {
        for index in 0..self.nodes.len() as u32 {
            self.checkers.inspect(self.now, &self.nodes, index);
        }
        self.audit();
        for index in 0..self.nodes.len() as u32 {
            let node = &self.nodes[index as usize];
            match node.spec.leaves {
                Leaves::WhenSpread if !node.ills.leaving && self.is_spread_without(index) => {
                    self.leave(index)
                }
                Leaves::AfterCopies { permille } if self.has_sent(index, permille) => {
                    self.crash(index, Crash::Kill, None);
                }
                Leaves::Impatient { gives_up, .. } if self.has_waited(index, gives_up) => self.leave(index),
                Leaves::Never
                | Leaves::AfterFinish(_)
                | Leaves::WhenSpread
                | Leaves::AfterCopies { .. }
                | Leaves::Impatient { .. } => {}
            }
        }
        self.queue.push(self.now + INSPECT_EVERY, NOBODY, Happening::Inspect);
    }
}

/// How every node names the torrent with this number.
pub fn torrent_id(index: usize) -> TorrentId {
    TorrentId { slot: index as u32, generation: 0 }
}

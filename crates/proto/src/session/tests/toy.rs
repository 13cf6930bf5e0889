//! A driver for tests: sessions in one process, messages carried after a fixed delay, blocks as tags, disks that answer at once.
//!
//! It holds every session to the seam's laws while it runs: each payload is kept or dropped once, each token answered once,
//! no block leaves for a peer that is choked, nothing wrong is ever had.

use crate::command::SeedGoal;
use crate::input::{Found, LinkEnd, LinkUp, Unsent};

use crate::stats::TorrentStats;
use crate::{AddTorrent, Command, Config, Duration, Event, Input, Instant, LinkId, Outbox, Output};
use crate::{PayloadId, ResumeRecord, Seed, SendToken, Session, TorrentId};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Bitfield, Block, Layout, Message, Metainfo, PeerId, Reserved};

/// A content of so many pieces.
pub(super) fn metainfo(pieces: u32, piece_len: u32) -> Arc<Metainfo> {
    let total = u64::from(pieces) * u64::from(piece_len) - 100;
    let layout = Layout::new(total, piece_len).unwrap();
    let hashes: Vec<[u8; 20]> = (0..pieces).map(|piece| [piece as u8; 20]).collect();
    Arc::new(Metainfo::synthetic("toy", layout, &hashes).unwrap())
}

/// The time between a message and its arrival.
const DELAY: Duration = Duration::from_millis(5);
const ID: TorrentId = TorrentId { slot: 3, generation: 1 };

/// All of it.
pub(super) struct Toy {
    now: Instant,
    metainfo: Arc<Metainfo>,
    nodes: Vec<Node>,
    /// By end: (node, link) to (node, link).
    wires: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    /// What is on its way: by arrival and order.
    mail: BTreeMap<(Instant, u64), (usize, Mail)>,
    sequence: u64,
}

struct Node {
    session: Session,
    out: Outbox,
    address: SocketAddr,
    peer_id: PeerId,
    events: Vec<Event>,
    /// Payloads that wait for their verdict.
    parked: BTreeMap<PayloadId, bool>,
    payloads: u32,
    links: u32,
    /// Blocks held: whether each is right.
    held: BTreeMap<Block, bool>,
    /// The driver's view: whether this node chokes the peer at the link.
    choking: BTreeMap<LinkId, bool>,
    sending: BTreeSet<SendToken>,
    /// Spoils every block it sends.
    liar: bool,
    record: Option<ResumeRecord>,
}

/// What arrives at a node.
enum Mail {
    Message(LinkId, Message),
    Haves(LinkId, Vec<u32>),
    Block(LinkId, BlockRequest, bool),
    Down(LinkId, LinkEnd),
    Own(Box<Input<'static>>),
}

impl Toy {
    pub(super) fn new(_seed: u64, metainfo: Arc<Metainfo>) -> Toy {
        Toy {
            now: Instant::from_micros(1_000_000),
            metainfo,
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            mail: BTreeMap::new(),
            sequence: 0,
        }
    }

    pub(super) fn id(&self) -> TorrentId {
        ID
    }

    pub(super) fn total(&self) -> u64 {
        self.metainfo.layout.total()
    }

    /// Adds a node that has everything.
    pub(super) fn seed(&mut self) -> usize {
        let have = Bitfield::full(self.metainfo.layout.pieces());
        self.add(Some(ResumeRecord { have, open: Vec::new(), uploaded: 0, downloaded: 0 }))
    }

    /// Adds a node that has nothing.
    pub(super) fn leech(&mut self) -> usize {
        self.add(None)
    }

    /// Adds a node that has what the record says.
    pub(super) fn add(&mut self, resume: Option<ResumeRecord>) -> usize {
        let at = self.nodes.len();
        let mut peer_id = *b"-GN0100-000000000000";
        peer_id[19] = at as u8;
        let config = Config::new(PeerId(peer_id));
        let session = Session::new(Arc::new(config), Seed(at as u64 + 1), self.now);
        let mut held = BTreeMap::new();
        for piece in resume.iter().flat_map(|record| record.have.iter()) {
            for block in 0..self.metainfo.layout.blocks_in(piece) {
                held.insert(self.metainfo.layout.nth_block(piece, block), true);
            }
        }
        self.nodes.push(Node {
            session,
            out: Outbox::new(),
            address: SocketAddr::from(([10, 0, 0, at as u8 + 1], 6881)),
            peer_id: PeerId(peer_id),
            events: Vec::new(),
            parked: BTreeMap::new(),
            payloads: 0,
            links: 0,
            held,
            choking: BTreeMap::new(),
            sending: BTreeSet::new(),
            liar: false,
            record: resume.clone(),
        });
        let add = AddTorrent {
            torrent: ID,
            metainfo: Arc::clone(&self.metainfo),
            resume,
            priorities: Box::default(),
            sequential: false,
            paused: false,
            peers: Vec::new(),
            seed_goal: SeedGoal::default(),
        };
        self.input(at, Input::Command(Command::Add(Box::new(add))));
        self.settle();
        at
    }

    /// Links two nodes; the first dials.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let (link_a, link_b) = (self.new_link(a), self.new_link(b));
        self.wires.insert((a, link_a), (b, link_b));
        self.wires.insert((b, link_b), (a, link_a));
        for (node, link, other) in [(a, link_a, b), (b, link_b, a)] {
            let up = LinkUp {
                link,
                torrent: ID,
                remote: self.nodes[other].address,
                dial: None,
                peer_id: self.nodes[other].peer_id,
                reserved: Reserved::OURS,
                encrypted: false,
            };
            self.nodes[node].choking.insert(link, true);
            self.input(node, Input::LinkUp(up));
        }
    }

    /// Gives an input at once.
    pub(super) fn input(&mut self, node: usize, input: Input<'_>) {
        let Node { session, out, .. } = &mut self.nodes[node];
        session.handle(self.now, input, out);
        let outputs: Vec<Output> = out.drain().collect();
        for output in outputs {
            self.perform(node, output);
        }
    }

    /// Runs for a while.
    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        let mut spins = 0;
        loop {
            let mail = self.mail.first_key_value().map(|(&(at, _), _)| at);
            let wake = self.nodes.iter().filter_map(|node| node.session.next_wake()).min();
            let Some(next) = mail.into_iter().chain(wake).min().filter(|&next| next <= end) else { break };
            spins = if next <= self.now { spins + 1 } else { 0 };
            assert!(spins < 100_000, "time stands still at {:?}", self.now);
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Delivers what is due now.
    fn settle(&mut self) {
        while self.mail.first_key_value().is_some_and(|(&(at, _), _)| at <= self.now) {
            self.step();
        }
    }

    fn step(&mut self) {
        if let Some(entry) = self.mail.first_entry()
            && entry.key().0 <= self.now
        {
            let (node, mail) = entry.remove();
            return self.deliver(node, mail);
        }
        for node in 0..self.nodes.len() {
            if self.nodes[node].session.next_wake().is_some_and(|at| at <= self.now) {
                self.input(node, Input::Wake);
            }
        }
    }

    fn deliver(&mut self, node: usize, mail: Mail) {
        match mail {
            Mail::Message(link, message) if self.wires.contains_key(&(node, link)) => {
                self.input(node, Input::Message { link, message });
            }
            Mail::Haves(link, pieces) if self.wires.contains_key(&(node, link)) => {
                self.input(node, Input::Haves { link, pieces: &pieces });
            }
            Mail::Block(link, block, right) if self.wires.contains_key(&(node, link)) => {
                let state = &mut self.nodes[node];
                state.payloads += 1;
                let payload = PayloadId { slot: state.payloads, generation: 0 };
                state.parked.insert(payload, right);
                self.input(node, Input::Block { link, block, payload });
                assert!(!self.nodes[node].parked.contains_key(&payload), "a payload without verdict");
            }
            Mail::Message(..) | Mail::Haves(..) | Mail::Block(..) => {}
            Mail::Down(link, why) => {
                if self.wires.remove(&(node, link)).is_some() {
                    let tokens: Vec<SendToken> =
                        self.nodes[node].sending.iter().copied().filter(|token| token.link == link).collect();
                    for token in tokens {
                        self.nodes[node].sending.remove(&token);
                        self.input(node, Input::Unsent { token, why: Unsent::LinkDown });
                    }
                    self.input(node, Input::LinkDown { link, why });
                }
            }
            Mail::Own(input) => self.input(node, *input),
        }
    }

    fn post(&mut self, after: Duration, node: usize, mail: Mail) {
        self.sequence += 1;
        self.mail.insert((self.now + after, self.sequence), (node, mail));
    }

    fn answer(&mut self, node: usize, input: Input<'static>) {
        self.post(Duration::ZERO, node, Mail::Own(Box::new(input)));
    }

    fn perform(&mut self, node: usize, output: Output) {
        match output {
            Output::Send { link, message } => {
                match message {
                    Message::Choke => drop(self.nodes[node].choking.insert(link, true)),
                    Message::Unchoke => drop(self.nodes[node].choking.insert(link, false)),
                    _ => {}
                }
                if let Some(&(other, far)) = self.wires.get(&(node, link)) {
                    self.post(DELAY, other, Mail::Message(far, message));
                }
            }
            Output::Haves { link, pieces } => {
                if let Some(&(other, far)) = self.wires.get(&(node, link)) {
                    self.post(DELAY, other, Mail::Haves(far, pieces.iter().map(|piece| piece.0).collect()));
                }
            }
            Output::SendBlock { token, torrent: ID, block } => {
                assert!(self.nodes[node].sending.insert(token), "{token:?} twice");
                let right = self.nodes[node].held.get(&block).copied().unwrap_or(false);
                assert!(right, "{node} serves {block:?}, which it has not");
                let right = right && !self.nodes[node].liar;
                if let Some(&(other, far)) = self.wires.get(&(node, token.link)) {
                    self.post(DELAY, other, Mail::Block(far, block.into(), right));
                    self.nodes[node].sending.remove(&token);
                    self.post(Duration::from_millis(1), node, Mail::Own(Box::new(Input::Sent { token })));
                }
            }
            Output::Close { link, why } => {
                self.post(Duration::ZERO, node, Mail::Down(link, LinkEnd::Closed(why)));
                if let Some(&(other, far)) = self.wires.get(&(node, link)) {
                    self.post(DELAY, other, Mail::Down(far, LinkEnd::ByPeer));
                }
            }
            Output::Keep { payload, torrent: ID, block } => {
                let right = self.nodes[node].parked.remove(&payload).expect("kept what was not parked");
                self.nodes[node].held.insert(block, right);
            }
            Output::Drop { payload } => {
                self.nodes[node].parked.remove(&payload).expect("dropped what was not parked");
            }
            Output::Event(event) => self.nodes[node].events.push(event),
            other => self.perform_disk(node, other),
        }
    }

    fn perform_disk(&mut self, node: usize, output: Output) {
        let layout = &self.metainfo.layout;
        match output {
            Output::Open { torrent, .. } => {
                let found =
                    if self.nodes[node].record.is_some() { Found::AsRecorded } else { Found::Nothing };
                self.answer(node, Input::Opened { torrent, found });
            }
            Output::Check { torrent, pieces } => {
                let mut good = Bitfield::new(layout.pieces());
                for piece in pieces.iter() {
                    let right = (0..layout.blocks_in(piece)).all(|block| {
                        self.nodes[node].held.get(&layout.nth_block(piece, block)) == Some(&true)
                    });
                    if right {
                        good.insert(piece);
                    }
                }
                self.answer(node, Input::Checked { torrent, good });
            }
            Output::Verify { torrent, piece, attempt, .. } => {
                let blocks = (0..layout.blocks_in(piece)).map(|block| layout.nth_block(piece, block));
                let good = { blocks }.all(|block| self.nodes[node].held[&block]);
                self.answer(node, Input::Verified { torrent, piece, attempt, good, digests: None });
            }
            Output::Write { torrent, piece, attempt } => {
                self.answer(node, Input::Written { torrent, piece, attempt });
            }
            Output::Spill { torrent, piece, attempt, .. } => {
                self.answer(node, Input::Spilled { torrent, piece, attempt, digests: None });
            }
            Output::Discard { piece, .. } => self.nodes[node].held.retain(|block, _| block.piece != piece),
            Output::Sync { torrent, epoch } => self.answer(node, Input::Synced { torrent, epoch }),
            Output::Commit { torrent, epoch, record } => {
                self.nodes[node].record = Some(*record);
                self.answer(node, Input::Committed { torrent, epoch });
            }
            Output::CloseStorage { torrent } => self.answer(node, Input::Closed { torrent }),
            _ => {}
        }
    }

    fn new_link(&mut self, node: usize) -> LinkId {
        self.nodes[node].links += 1;
        LinkId { slot: self.nodes[node].links, generation: 0 }
    }

    pub(super) fn stats(&self, node: usize) -> TorrentStats {
        self.nodes[node].session.torrent(ID).expect("the torrent is here")
    }

    pub(super) fn is_complete(&self, node: usize) -> bool {
        self.stats(node).pieces_have == self.metainfo.layout.pieces()
    }

    pub(super) fn events(&self, node: usize) -> &[Event] {
        &self.nodes[node].events
    }

    /// The laws that can be judged at the end.
    pub(super) fn check(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            assert!(node.parked.is_empty(), "{at}: payloads without verdict");
            for piece in node.session.have(ID).into_iter().flat_map(|have| have.iter()) {
                for block in 0..self.metainfo.layout.blocks_in(piece) {
                    let block = self.metainfo.layout.nth_block(piece, block);
                    assert_eq!(node.held.get(&block), Some(&true), "{at} has a wrong {block:?}");
                }
            }
        }
    }
}

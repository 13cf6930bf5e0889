//! A leecher among honest sources and poisoners: which bytes are right, in which order they come, what a disk makes of them.
//!
//! It keeps the evidence that the session is given, and holds the session's verdicts against it ([`Crowd::check`]). Threat: C7

use super::super::rig::{Fate, ID, PLAIN, Rig};
use super::super::toy::metainfo;
use crate::input::{BlockDigest, FetchFailure, FetchFault, LinkEnd};
use crate::output::CloseReason;
use crate::stats::{WebSeedState, WebSeedStats};
use crate::torrent::web_seed::BAD_PIECES_MAX;
use crate::{Attempt, Duration, Event, FetchId, Input, LinkId, Output, PayloadId, Rng, Seed};
use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Bitfield, Message, Metainfo, PieceIndex};

/// Many times the blocks of a content: who needs more goes in a circle.
const STEPS_MAX: u32 = 5_000;

/// Copies of pieces that one poisoner may spoil, with hashes that come late and seven others; twice as many if it comes back.
const BAD_COPIES_EACH: u32 = 16;

/// Which of the blocks that it is asked for a poisoner spoils.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spoils {
    All,
    EveryTenth,
    /// Of each piece the first block, or the last.
    FirstOfPiece,
    LastOfPiece,
    /// None until it was trusted with so many, then all.
    OnceTrusted(u32),
    /// All of the first copy of a piece; whoever asks again gets what is right.
    FirstCopy,
    /// Of each copy of a piece one block is wrong, whichever of them all is asked for it first, and always in the same way.
    InCollusion,
    /// One of two, and hangs up right after it, to come back from another port.
    AndRuns,
}

/// In which order the sources answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// A block of each.
    InTurn,
    /// All that one owes, then the next.
    Bursts,
    /// A block of each, what was asked last first.
    Backwards,
    /// By chance.
    Shuffled,
}

/// Where unverified blocks are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Memory {
    /// In memory until they are hashed.
    Held,
    /// On a disk, if their piece takes long.
    Spilled,
    /// On one that spoils some of them.
    Rotting,
}

/// One case.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) spoils: Spoils,
    /// Poisoners among peers, and all peers.
    pub(super) peers: (usize, usize),
    /// The same of web servers.
    pub(super) servers: (usize, usize),
    /// Pieces and their length.
    pub(super) layout: (u32, u32),
    pub(super) order: Order,
    pub(super) memory: Memory,
    /// A piece that poisoners alone have.
    pub(super) only_theirs: Option<u32>,
}

/// What a source still has to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Job {
    Block(BlockRequest),
    Fetched(FetchId, BlockRequest),
    FetchEnds(FetchId),
}

struct Source {
    poisons: bool,
    host: IpAddr,
    port: u16,
    link: Option<LinkId>,
    /// It is no peer.
    server: bool,
    closed: Option<CloseReason>,
    owes: VecDeque<Job>,
    sent: u32,
}

/// A block as it is here: 0 is the right version.
struct Held {
    version: u32,
    source: usize,
    /// If this copy is bad, it can be known whose the block is.
    witnessed: bool,
}

pub(super) struct Crowd {
    pub(super) rig: Rig,
    rng: Rng,
    case: Case,
    sources: Vec<Source>,
    held: BTreeMap<(PieceIndex, u32), Held>,
    verifying: VecDeque<(PieceIndex, Attempt, bool)>,
    turn: usize,
    payloads: u32,
    versions: u32,
    /// Copies that were bad, by piece.
    failed: BTreeMap<PieceIndex, u32>,
    /// Who spoiled which copy among colluders, and which block.
    plans: BTreeMap<(PieceIndex, u32), (usize, u32)>,
    /// Of whom it can be known that it spoiled a piece: in how many copies.
    known: BTreeMap<usize, u32>,
    banned: BTreeSet<IpAddr>,
    duplicates: u64,
    pub(super) spills: u32,
}

impl Crowd {
    pub(super) fn new(case: Case) -> Crowd {
        let (pieces, piece_len) = case.layout;
        let mut content = Metainfo::clone(&metainfo(pieces, piece_len));
        content.web_seeds = (0..case.servers.1).map(|n| format!("http://web{n}/")).collect();
        let mut crowd = Crowd {
            rig: Rig::leech_of(Arc::new(content)),
            rng: Rng::new(Seed(7)),
            sources: Vec::new(),
            held: BTreeMap::new(),
            verifying: VecDeque::new(),
            turn: 0,
            payloads: 1 << 20,
            versions: 0,
            failed: BTreeMap::new(),
            plans: BTreeMap::new(),
            known: BTreeMap::new(),
            banned: BTreeSet::new(),
            duplicates: 0,
            spills: 0,
            case,
        };
        for nth in 0..crowd.case.servers.1 {
            crowd.add(nth < crowd.case.servers.0, true);
        }
        // Where the poisoners are among the peers is chance.
        let mut roles: Vec<bool> = (0..crowd.case.peers.1).map(|nth| nth < crowd.case.peers.0).collect();
        crowd.rng.shuffle(&mut roles);
        for poisons in roles {
            let at = crowd.add(poisons, false);
            crowd.dial_in(at);
        }
        crowd.attend();
        crowd
    }

    fn add(&mut self, poisons: bool, server: bool) -> usize {
        let host = IpAddr::from([90, 0, self.sources.len() as u8, 1]);
        let (link, closed, owes) = (None, None, VecDeque::new());
        self.sources.push(Source { poisons, host, port: 6881, link, server, closed, owes, sent: 0 });
        self.sources.len() - 1
    }

    /// Somebody honest that has everything joins.
    pub(super) fn join(&mut self) {
        let at = self.add(false, false);
        self.dial_in(at);
        self.attend();
    }

    fn dial_in(&mut self, at: usize) {
        let source = &mut self.sources[at];
        let remote = SocketAddr::new(source.host, source.port);
        let mut pieces = Bitfield::full(self.case.layout.0);
        if let Some(only) = self.case.only_theirs
            && !source.poisons
            && self.case.peers.1 > at
        {
            pieces.remove(PieceIndex(only));
        }
        let link = self.rig.link_from(remote, PLAIN);
        source.link = Some(link);
        self.rig.say(link, Message::Bitfield(pieces.to_bytes().into()));
        self.rig.say(link, Message::Unchoke);
    }

    /// Until everything is here, or nothing has moved for a while.
    pub(super) fn run(&mut self) {
        let (mut idle, mut steps) = (0, 0);
        while idle < 100 && self.rig.stats().pieces_have < self.case.layout.0 {
            let moved = self.step();
            steps += 1;
            assert!(steps < STEPS_MAX, "{:?}: {:?} bad, {:?} known", self.case, self.failed, self.known);
            // In spite of rests a piece may be whole; hashes come late if many are to be made.
            let late = if moved { self.case.order as usize } else { 0 };
            while self.verifying.len() > late {
                self.judge();
            }
            idle = if moved { 0 } else { idle + 1 };
            let pace = if self.case.memory == Memory::Held { 5 } else { 200 };
            self.rig.pass(Duration::from_millis(if moved { pace } else { 500 }));
            self.attend();
        }
        self.rig.pass(Duration::from_secs(1));
        self.attend();
    }

    /// The next answer comes.
    fn step(&mut self) -> bool {
        let busy = |at: &usize| !self.sources[*at].owes.is_empty();
        let count = self.sources.len();
        let busy: Vec<usize> = (0..count).map(|nth| (self.turn + nth) % count).filter(busy).collect();
        let Some(&first) = busy.first() else { return false };
        let at = match self.case.order {
            Order::Shuffled => busy[self.rng.index(busy.len())],
            Order::InTurn | Order::Bursts | Order::Backwards => first,
        };
        self.turn = if self.case.order == Order::Bursts { at } else { at + 1 };
        let source = &mut self.sources[at];
        let job = match self.case.order {
            // A stream of bytes has one order.
            _ if source.server => source.owes.pop_front(),
            Order::InTurn | Order::Bursts => source.owes.pop_front(),
            Order::Backwards => source.owes.pop_back(),
            Order::Shuffled => source.owes.remove(self.rng.index(source.owes.len())),
        };
        match job {
            Some(Job::Block(block)) => self.send(at, block, None),
            Some(Job::Fetched(fetch, block)) => self.send(at, block, Some(fetch)),
            Some(Job::FetchEnds(fetch)) => self.rig.feed(Input::FetchEnded { fetch, outcome: Ok(()) }),
            None => {}
        }
        self.attend();
        true
    }

    fn send(&mut self, at: usize, block: BlockRequest, fetch: Option<FetchId>) {
        let layout = &self.rig.metainfo.layout;
        let exact = layout.block(block.piece, block.offset, block.len).expect("it asks for blocks alone");
        let (piece, number) = (exact.piece, layout.block_index(exact));
        let version = if self.sources[at].poisons { self.version(at, piece, number) } else { 0 };
        self.sources[at].sent += 1;
        let fate = match (self.sources[at].link, fetch) {
            (_, Some(fetch)) => self.fetched(fetch, block),
            (Some(link), None) => self.rig.block(link, block),
            (None, None) => return,
        };
        match fate {
            Fate::Kept => {
                let held = Held { version, source: at, witnessed: true };
                let before = self.held.insert((piece, number), held);
                assert!(before.is_none(), "{piece:?} {number}: a block is kept twice");
            }
            Fate::Dropped => self.duplicates += u64::from(block.len),
        }
        if version != 0 && self.case.spoils == Spoils::AndRuns && fetch.is_none() {
            self.attend();
            self.run_and_return(at);
        }
    }

    fn fetched(&mut self, fetch: FetchId, block: BlockRequest) -> Fate {
        self.payloads += 1;
        let payload = PayloadId { slot: self.payloads, generation: 0 };
        self.rig.feed(Input::Fetched { fetch, block, payload });
        let fate = self.rig.take(|wish| match wish {
            Output::Keep { payload: kept, .. } if *kept == payload => Some(Fate::Kept),
            Output::Drop { payload: dropped } if *dropped == payload => Some(Fate::Dropped),
            _ => None,
        });
        fate.expect("a payload has a fate")
    }

    /// Which version of a block a poisoner sends.
    fn version(&mut self, at: usize, piece: PieceIndex, number: u32) -> u32 {
        let copy = self.failed.get(&piece).copied().unwrap_or_default();
        let sent = self.sources[at].sent;
        let last = self.rig.metainfo.layout.blocks_in(piece) - 1;
        let spoils = match self.case.spoils {
            Spoils::All => true,
            Spoils::EveryTenth => sent % 10 == 9,
            Spoils::FirstOfPiece => number == 0,
            Spoils::LastOfPiece => number == last,
            Spoils::OnceTrusted(blocks) => sent >= blocks,
            Spoils::FirstCopy => copy == 0,
            Spoils::InCollusion => {
                let plan = *self.plans.entry((piece, copy)).or_insert((at, number));
                return if plan == (at, number) { u32::MAX } else { 0 };
            }
            Spoils::AndRuns => sent.is_multiple_of(2),
        };
        self.versions += u32::from(spoils);
        if spoils { self.versions } else { 0 }
    }

    fn run_and_return(&mut self, at: usize) {
        let source = &mut self.sources[at];
        let Some(link) = source.link.take() else { return };
        source.owes.clear();
        source.port += 1;
        self.rig.feed(Input::LinkDown { link, why: LinkEnd::ByPeer });
        self.attend();
        self.dial_in(at);
    }

    /// Does what is wished for.
    fn attend(&mut self) {
        while !self.rig.wishes.is_empty() {
            for wish in core::mem::take(&mut self.rig.wishes) {
                self.perform(wish);
            }
        }
    }

    fn source_of(&mut self, link: LinkId) -> Option<&mut Source> {
        self.sources.iter_mut().find(|source| source.link == Some(link))
    }

    fn perform(&mut self, wish: Output) {
        match wish {
            Output::Send { link, message: Message::Request(request) } => {
                if let Some(source) = self.source_of(link) {
                    source.owes.push_back(Job::Block(request));
                }
            }
            Output::Send { link, message: Message::Cancel(request) } => {
                if let Some(source) = self.source_of(link) {
                    source.owes.retain(|&job| job != Job::Block(request));
                }
            }
            Output::Close { link, why } => {
                if let Some(source) = self.source_of(link) {
                    (source.link, source.closed) = (None, Some(why));
                    source.owes.clear();
                }
                self.rig.feed(Input::LinkDown { link, why: LinkEnd::Closed(why) });
            }
            Output::Fetch(fetch) => {
                let at = (0..self.case.servers.1).find(|n| *fetch.url == *format!("http://web{n}/"));
                let layout = Arc::clone(&self.rig.metainfo);
                let blocks = fetch.range.clone().step_by(16 * 1024);
                let blocks = blocks.map(|place| layout.layout.block_at(place).expect("a block").into());
                let owes = &mut self.sources[at.expect("one of ours")].owes;
                owes.extend(blocks.map(|block| Job::Fetched(fetch.fetch, block)));
                owes.push_back(Job::FetchEnds(fetch.fetch));
            }
            Output::CancelFetch { fetch } => {
                for source in &mut self.sources {
                    source.owes.retain(|job| match job {
                        Job::Block(_) => true,
                        Job::Fetched(of, _) | Job::FetchEnds(of) => *of != fetch,
                    });
                }
                let failure = FetchFailure { fault: FetchFault::Cancelled, detail: "as wished".into() };
                self.rig.feed(Input::FetchEnded { fetch, outcome: Err(failure) });
            }
            Output::Event(Event::PeerBanned(_, remote)) => drop(self.banned.insert(remote.ip())),
            other => self.perform_disk(other),
        }
    }

    fn perform_disk(&mut self, wish: Output) {
        let torrent = ID;
        match wish {
            Output::Verify { piece, attempt, digests, .. } => {
                self.verifying.push_back((piece, attempt, digests));
            }
            Output::Discard { piece, .. } => self.held.retain(|&(of, _), _| of != piece),
            Output::Spill { piece, attempt, blocks, key, .. } => {
                let mut digests = Vec::new();
                for number in blocks.iter() {
                    let held = self.held.get_mut(&(piece, number)).expect("only what is here is spilled");
                    digests.push(digest(number, held.version));
                    held.witnessed = key.is_some();
                    if self.case.memory == Memory::Rotting && self.rng.below(16) == 0 {
                        self.versions += 1;
                        (held.version, held.witnessed) = (self.versions, false);
                    }
                }
                let digests = key.map(|_| digests.into());
                self.spills += 1;
                self.rig.feed(Input::Spilled { torrent, piece, attempt, digests });
            }
            Output::Write { piece, attempt, .. } => self.rig.feed(Input::Written { torrent, piece, attempt }),
            Output::Sync { epoch, .. } => self.rig.feed(Input::Synced { torrent, epoch }),
            Output::Commit { epoch, .. } => self.rig.feed(Input::Committed { torrent, epoch }),
            _ => {}
        }
    }

    /// A piece is hashed.
    fn judge(&mut self) {
        let Some((piece, attempt, wanted)) = self.verifying.pop_front() else { return };
        let copy =
            || self.held.range((piece, 0)..=(piece, u32::MAX)).map(|(&(_, number), held)| (number, held));
        let good = copy().all(|(_, held)| held.version == 0);
        assert_eq!(copy().count() as u32, self.rig.metainfo.layout.blocks_in(piece));
        let digests = copy().map(|(number, held)| digest(number, held.version)).collect();
        let digests = (wanted || !good).then_some(digests);
        if !good {
            let wrong = copy().filter(|(_, held)| held.version != 0 && held.witnessed);
            let liars: BTreeSet<usize> = wrong.map(|(_, held)| held.source).collect();
            liars.into_iter().for_each(|liar| *self.known.entry(liar).or_default() += 1);
            *self.failed.entry(piece).or_default() += 1;
        }
        self.rig.feed(Input::Verified { torrent: ID, piece, attempt, good, digests });
        self.attend();
    }

    pub(super) fn failures(&self) -> u32 {
        self.failed.values().sum()
    }

    /// Hosts that are banned, and web servers that are dropped.
    pub(super) fn convicts(&self) -> usize {
        let dropped = |stats: &WebSeedStats| stats.state == WebSeedState::Dropped;
        self.banned.len() + self.rig.session.web_seeds(ID).iter().filter(|seed| dropped(seed)).count()
    }

    pub(super) fn pieces_have(&self) -> u32 {
        self.rig.stats().pieces_have
    }

    /// The content is right, whoever could be known is banned, nobody else is or was accused, and little was wasted.
    pub(super) fn check(&mut self) {
        let case = format!("{:?}", self.case);
        assert!(self.held.values().all(|held| held.version == 0), "{case}: wrong bytes are had");
        assert_eq!(self.pieces_have(), self.case.layout.0, "{case}: not complete");
        for (at, source) in self.sources.iter().enumerate().filter(|(_, source)| !source.server) {
            let banned = self.banned.contains(&source.host);
            if source.poisons {
                assert!(banned || !self.known.contains_key(&at), "{case}: poisoner {at} got away");
            } else {
                assert!(!banned, "{case}: honest {at} is banned");
                let accused = matches!(source.closed, Some(CloseReason::Misbehaved(_) | CloseReason::Banned));
                assert!(!accused, "{case}: honest {at} was left for {:?}", source.closed);
            }
        }
        for (at, stats) in self.rig.session.web_seeds(ID).into_iter().enumerate() {
            let bad = self.known.get(&at).copied().unwrap_or_default();
            assert!(u32::from(stats.pieces_bad) <= bad, "{case}: server {at} was accused of too much");
            let dropped = stats.state == WebSeedState::Dropped;
            assert_eq!(dropped, bad >= u32::from(BAD_PIECES_MAX), "{case}: server {at}, {bad} bad");
        }
        // What is under way when the first piece fails, and then a piece of its own for each: however long the content is.
        let poisoners = (self.case.peers.0 + 3 * self.case.servers.0) as u32;
        let each = if self.case.spoils == Spoils::AndRuns { 2 * BAD_COPIES_EACH } else { BAD_COPIES_EACH };
        let bad = self.failures();
        assert!(self.case.memory == Memory::Rotting || bad <= each * poisoners, "{case}: {bad} bad copies");
        let wasted = u64::from(self.failures()) * u64::from(self.case.layout.1) + self.duplicates;
        assert!(self.rig.stats().wasted <= wasted, "{case}: {} of {wasted}", self.rig.stats().wasted);
        self.nobody_banned_returns(&case);
    }

    pub(super) fn all_poisoners_are_out(&self) {
        let mut poisoners = self.sources.iter().filter(|source| source.poisons && !source.server);
        assert!(poisoners.all(|source| self.banned.contains(&source.host)), "{:?}", self.case);
    }

    fn nobody_banned_returns(&mut self, case: &str) {
        for host in self.banned.clone() {
            let link = self.rig.link_from(SocketAddr::new(host, 999), PLAIN);
            assert_eq!(self.rig.closed(link), Some(CloseReason::Banned), "{case}: {host} came back");
        }
    }
}

/// Any two versions of a block differ, and so do any two blocks.
fn digest(number: u32, version: u32) -> BlockDigest {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..8].copy_from_slice(&version.to_le_bytes());
    BlockDigest(bytes)
}

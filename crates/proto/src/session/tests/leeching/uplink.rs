//! One honest uplink with takers of all kinds in line for it: who got how much of it in a set time. Threat: C8

use super::super::rig::{ID, PLAIN, Rig};
use super::super::toy::metainfo;
use crate::config::SeedPolicy;
use crate::input::{Found, LinkEnd, Unsent};
use crate::output::CloseReason;
use crate::{Duration, Input, LinkId, Output, ResumeRecord, SendToken};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};
use wire::message::BlockRequest;
use wire::{Bitfield, Layout, Message, PieceIndex};

const PIECES: u32 = 400;
pub(super) const PIECE_LEN: u32 = 64 * 1024;
/// What the uplink carries: a block each 62.5 ms, 256 KiB a second.
const BLOCK_TAKES: Duration = Duration::from_micros(62_500);
const BLOCKS_PER_SECOND: u64 = 16;
/// An honest peer gives a block to who lacks one each so many seconds: too few for all to come within the time.
const GIVES_EVERY: u64 = 4;
/// Requests that a taker has under way.
const PENDING: u32 = 8;
/// An attacker that was left, or left, is back after this long.
const BACK_AFTER: u64 = 5;

/// Who takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// Shows what it has, and gives a block now and then to who lacks one.
    Honest,
    /// Shows what it has and gives nothing.
    FreeRider,
    /// Never has more.
    Drain,
    /// Says with each block that it has a piece more, and takes what it says it has as well.
    Cheat,
    /// A drain that comes anew after 40 s, from another port.
    Newcomer,
    /// The same, each time from another address of one network.
    Sybil,
}

/// Whose uplink it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Giver {
    Seed(SeedPolicy),
    /// It has the first half, and the honest have the second.
    Leecher,
}

struct Taker {
    kind: Kind,
    at: SocketAddr,
    link: Option<LinkId>,
    came: u64,
    left: u64,
    choked: bool,
    asked: u32,
    have: Bitfield,
    /// Blocks that came of unfinished pieces.
    got: BTreeMap<PieceIndex, u32>,
    /// The next block to ask for, counted through the content.
    next: u32,
    owes: VecDeque<BlockRequest>,
    bytes: u64,
}

pub(super) struct Uplink {
    rig: Rig,
    giver: Giver,
    takers: Vec<Taker>,
    line: VecDeque<(SendToken, BlockRequest)>,
    second: u64,
    addresses: u32,
}

impl Uplink {
    pub(super) fn new(giver: Giver, honest: u32, kind: Kind, attackers: u32) -> Uplink {
        let mut have = Bitfield::full(PIECES);
        if giver == Giver::Leecher {
            for piece in PIECES / 2..PIECES {
                have.remove(PieceIndex(piece));
            }
        }
        let policy = match giver {
            Giver::Seed(policy) => policy,
            Giver::Leecher => SeedPolicy::RoundRobin,
        };
        let record = ResumeRecord { have, open: Vec::new(), uploaded: 0, downloaded: 0 };
        let mut rig = Rig::serving(metainfo(PIECES, PIECE_LEN), record, policy);
        rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
        let (takers, line) = (Vec::new(), VecDeque::new());
        let mut uplink = Uplink { rig, giver, takers, line, second: 0, addresses: 0 };
        for number in 0..honest.max(attackers) {
            (number < honest).then(|| uplink.add(Kind::Honest));
            (number < attackers).then(|| uplink.add(kind));
        }
        uplink
    }

    fn add(&mut self, kind: Kind) {
        self.takers.push(Taker {
            kind,
            at: SocketAddr::from(([0, 0, 0, 0], 0)),
            link: None,
            came: 0,
            left: 0,
            choked: true,
            asked: 0,
            have: Bitfield::new(PIECES),
            got: BTreeMap::new(),
            next: 0,
            owes: VecDeque::new(),
            bytes: 0,
        });
        let at = self.takers.len() - 1;
        self.takers[at].at = self.address(kind);
        self.come(at);
    }

    /// A Sybil's is in the one network that all of them share, anybody else's in a network of its own.
    fn address(&mut self, kind: Kind) -> SocketAddr {
        self.addresses += 1;
        let [_, _, high, low] = self.addresses.to_be_bytes();
        match kind {
            Kind::Sybil => SocketAddr::from(([70, 7, 7, low], 6881)),
            _ => SocketAddr::from(([71 + high, low, 0, 1], 6881)),
        }
    }

    fn come(&mut self, at: usize) {
        let taker = &mut self.takers[at];
        if taker.kind == Kind::Honest && self.giver == Giver::Leecher && taker.link.is_none() {
            for piece in PIECES / 2..PIECES {
                taker.have.insert(PieceIndex(piece));
            }
        }
        (taker.choked, taker.asked, taker.came) = (true, 0, self.second);
        // It can begin anywhere, and who begins anew shows nothing of what it took before.
        taker.next = (at as u32 * 37 % PIECES) * (PIECE_LEN / (16 * 1024));
        if taker.kind != Kind::Honest {
            (taker.have, taker.got) = (Bitfield::new(PIECES), BTreeMap::new());
        }
        let (remote, have, gives) = (taker.at, taker.have.to_bytes(), taker.kind == Kind::Honest);
        let link = self.rig.link_from(remote, PLAIN);
        self.takers[at].link = Some(link);
        if self.rig.closed(link).is_some() {
            return;
        }
        self.rig.say(link, Message::Bitfield(have.into()));
        self.rig.say(link, Message::Interested);
        if gives {
            self.rig.say(link, Message::Unchoke);
        }
        self.attend();
    }

    /// Serves for so many seconds.
    pub(super) fn run(&mut self, seconds: u64) {
        for second in 0..seconds {
            self.second = second;
            (0..self.takers.len()).for_each(|at| self.each_second(at));
            for _ in 0..BLOCKS_PER_SECOND {
                self.rig.pass(BLOCK_TAKES);
                self.attend();
                if let Some((token, block)) = self.line.pop_front() {
                    self.rig.feed(Input::Sent { token });
                    self.came(token.link, block);
                    self.attend();
                }
            }
        }
    }

    fn each_second(&mut self, at: usize) {
        let taker = &self.takers[at];
        match taker.link {
            None if self.second >= taker.left + BACK_AFTER => {
                let kind = taker.kind;
                if kind == Kind::Sybil {
                    self.takers[at].at = self.address(kind);
                }
                let port = self.takers[at].at.port() + 1;
                self.takers[at].at.set_port(port);
                self.come(at);
            }
            None => {}
            Some(link) => {
                let anew = matches!(taker.kind, Kind::Newcomer | Kind::Sybil);
                if anew && self.second >= taker.came + 40 {
                    return self.leave(at, link, LinkEnd::ByPeer);
                }
                if self.second.is_multiple_of(60) {
                    self.rig.say(link, Message::KeepAlive);
                }
                if self.second.is_multiple_of(GIVES_EVERY)
                    && let Some(block) = self.takers[at].owes.pop_front()
                {
                    self.rig.block(link, block);
                }
                self.attend();
                self.ask(at);
            }
        }
    }

    fn leave(&mut self, at: usize, link: LinkId, why: LinkEnd) {
        let taker = &mut self.takers[at];
        (taker.link, taker.left) = (None, self.second);
        taker.owes.clear();
        let unsent: Vec<SendToken> =
            self.line.iter().map(|&(token, _)| token).filter(|token| token.link == link).collect();
        self.line.retain(|(token, _)| token.link != link);
        for token in unsent {
            self.rig.feed(Input::Unsent { token, why: Unsent::LinkDown });
        }
        self.rig.feed(Input::LinkDown { link, why });
    }

    /// A block arrived.
    fn came(&mut self, link: LinkId, block: BlockRequest) {
        let Some(at) = self.of(link) else { return };
        let taker = &mut self.takers[at];
        taker.bytes += u64::from(block.len);
        taker.asked = taker.asked.saturating_sub(1);
        let piece = PieceIndex(block.piece);
        let news = match taker.kind {
            Kind::Drain | Kind::Newcomer | Kind::Sybil => None,
            Kind::Cheat => (0..PIECES).map(PieceIndex).find(|&piece| !taker.have.has(piece)),
            Kind::Honest | Kind::FreeRider => {
                let got = taker.got.entry(piece).or_default();
                *got += 1;
                (*got >= self.rig.metainfo.layout.blocks_in(piece)).then_some(piece)
            }
        };
        if let Some(piece) = news {
            taker.got.remove(&piece);
            taker.have.insert(piece);
            self.rig.say(link, Message::Have(piece.0));
        }
        self.ask(at);
    }

    /// Asks for what it lacks, in order from where it began; who never has more asks for anything.
    fn ask(&mut self, at: usize) {
        let offered = match self.giver {
            Giver::Seed(_) => PIECES,
            Giver::Leecher => PIECES / 2,
        };
        let taker = &mut self.takers[at];
        let Some(link) = taker.link.filter(|_| !taker.choked) else { return };
        let layout: &Layout = &self.rig.metainfo.layout;
        let per_piece = PIECE_LEN / (16 * 1024);
        let mut asks = Vec::new();
        for _ in 0..PIECES * per_piece {
            if taker.asked >= PENDING {
                break;
            }
            let number = taker.next % (offered * per_piece);
            taker.next = number + 1;
            let piece = PieceIndex(number / per_piece);
            let wants = match taker.kind {
                Kind::Honest | Kind::FreeRider => !taker.have.has(piece),
                Kind::Drain | Kind::Cheat | Kind::Newcomer | Kind::Sybil => true,
            };
            if wants {
                taker.asked += 1;
                asks.push(layout.nth_block(piece, number % per_piece));
            }
        }
        for block in asks {
            self.rig.say(link, Message::Request(block.into()));
        }
        self.attend();
    }

    fn of(&self, link: LinkId) -> Option<usize> {
        self.takers.iter().position(|taker| taker.link == Some(link))
    }

    /// Does what is wished for.
    fn attend(&mut self) {
        while !self.rig.wishes.is_empty() {
            for wish in core::mem::take(&mut self.rig.wishes) {
                self.perform(wish);
            }
        }
    }

    fn perform(&mut self, wish: Output) {
        let torrent = ID;
        match wish {
            Output::SendBlock { token, block, .. } => self.line.push_back((token, block.into())),
            Output::Unsend { token } => {
                if let Some(at) = self.line.iter().position(|(out, _)| *out == token) {
                    self.line.remove(at);
                    self.rig.feed(Input::Unsent { token, why: Unsent::Recalled });
                }
            }
            Output::Send { link, message } => {
                let Some(at) = self.of(link) else { return };
                let taker = &mut self.takers[at];
                match message {
                    // What was asked and not sent is forgotten, and asked again next time.
                    Message::Choke => {
                        taker.next = taker.next.saturating_sub(taker.asked);
                        (taker.choked, taker.asked) = (true, 0);
                    }
                    Message::Unchoke => {
                        taker.choked = false;
                        self.ask(at);
                    }
                    Message::Request(request) if taker.kind == Kind::Honest => taker.owes.push_back(request),
                    Message::Cancel(request) => taker.owes.retain(|&owed| owed != request),
                    _ => {}
                }
            }
            Output::Close { link, why } => match self.of(link) {
                Some(at) => {
                    let honest = self.takers[at].kind == Kind::Honest;
                    assert!(!honest || why == CloseReason::Useless, "an honest peer was left: {why:?}");
                    self.leave(at, link, LinkEnd::Closed(why));
                }
                None => self.rig.feed(Input::LinkDown { link, why: LinkEnd::Closed(why) }),
            },
            Output::Verify { piece, attempt, .. } => {
                let (good, digests) = (true, None);
                self.rig.feed(Input::Verified { torrent, piece, attempt, good, digests });
            }
            Output::Write { piece, attempt, .. } => self.rig.feed(Input::Written { torrent, piece, attempt }),
            Output::Spill { piece, attempt, .. } => {
                self.rig.feed(Input::Spilled { torrent, piece, attempt, digests: None });
            }
            Output::Sync { epoch, .. } => self.rig.feed(Input::Synced { torrent, epoch }),
            Output::Commit { epoch, .. } => self.rig.feed(Input::Committed { torrent, epoch }),
            _ => {}
        }
    }

    /// What the honest got, and what the others got, in bytes.
    pub(super) fn shares(&self) -> (u64, u64) {
        let sum = |honest: bool| {
            let some = self.takers.iter().filter(|taker| (taker.kind == Kind::Honest) == honest);
            some.map(|taker| taker.bytes).sum()
        };
        (sum(true), sum(false))
    }

    /// What the least favoured honest peer got.
    pub(super) fn least_honest(&self) -> u64 {
        let honest = self.takers.iter().filter(|taker| taker.kind == Kind::Honest);
        honest.map(|taker| taker.bytes).min().unwrap_or_default()
    }
}

//! One node of a fleet: a session, its ends of links, its uplink, and what it has told itself to do later.
//!
//! A node is visited at most once a window, with all its letters; within the visit everything happens at its own time and in a fixed
//! order: what it told itself, blocks that have left, letters, its session's alarm. Nothing that it does reaches another node
//! before the next window. Decides nothing: what is to be done is its session's, how, `perform`'s.

use super::flow::{Outgoing, Uplink};
use super::half::{HalfId, Halves, State};
use super::mail::{Letter, Mail};
use super::shard::Desk;
use crate::content::mix;
use crate::network::BLOCK_HEADER;
use crate::node::{Leaves, NO_GOAL, addr_of};
use crate::sharing::Sharing;
use crate::swarm::{Member, Role};
use crate::world::torrent_id;
use core::iter::Peekable;
use core::time::Duration;
use proto::input::{DialFailure, LinkEnd, LinkUp, Unsent};
use proto::trace::OutputDigest;
use proto::{
    AddTorrent, Command, DialId, Input, Instant, PayloadId, ResumeRecord, Seed, SendToken, Session, TorrentId,
};
use wire::{Bitfield, PeerId, Reserved};

/// The one torrent.
pub(super) const TORRENT: TorrentId = TorrentId { slot: 0, generation: 0 };
/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(10);

/// One node.
pub(super) struct Node {
    pub(super) index: u32,
    pub(super) member: Member,
    pub(super) session: Option<Box<Session>>,
    /// Counts its processes.
    pub(super) incarnation: u32,
    pub(super) halves: Halves,
    pub(super) uplink: Uplink,
    pub(super) later: Later,
    pub(super) alarm: Instant,
    /// What its disk vouches for.
    pub(super) record: Option<Box<ResumeRecord>>,
    pub(super) books: Books,
    /// It is saying goodbye, or has.
    pub(super) leaving: bool,
    /// Letters written and blocks parked, for their names.
    pub(super) letters: u32,
    pub(super) payloads: u32,
    pub(super) digest: u64,
}

/// What went in and out of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Books {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) wasted: u64,
    pub(super) met: Option<Instant>,
    pub(super) finished: Option<Instant>,
    /// Flows that lead here.
    pub(super) flows_in: u32,
    /// Those of them that their senders' uplinks hold, as told in the last window.
    pub(super) held: Held,
    /// Bytes that its downlink carried beyond what it can; less than nothing by what it may carry in the window that was dealt last.
    pub(super) ahead: i64,
}

/// Flows to a node that get less than its downlink gives them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    flows: u32,
    /// Bytes per second of all of them.
    sum: u64,
    /// Of the fastest.
    most: u64,
}

/// What a node does later, in order of time and then of planning.
#[derive(Debug, Default)]
pub(super) struct Later {
    items: Vec<(Instant, u32, Own)>,
    sequence: u32,
}

/// Something that a node does by itself.
#[derive(Debug)]
pub(super) enum Own {
    /// Its process begins.
    Start,
    /// An answer of its own machine.
    Tell(Box<Input<'static>>),
    /// It hears that a link is no more.
    Down(HalfId, LinkEnd),
    /// It says goodbye.
    Leave,
    /// It says goodbye, if it does not have everything.
    GiveUp,
    /// It is gone, whatever it still had to do.
    Exit,
    /// It stops without a word, and comes back.
    Crash(Option<Duration>),
}

impl Held {
    /// Another one, at this rate.
    pub(super) fn add(&mut self, rate: u64) {
        self.flows += 1;
        self.sum += rate;
        self.most = self.most.max(rate);
    }

    /// What each of so many flows gets of a downlink that carries so much: an equal share, and what those leave that are held. Where all
    /// are, each could have all that is left: whose uplink gets free will use it, and the rest is its downlink's to charge for.
    pub(super) fn level(&self, carries: u64, flows: u32) -> u64 {
        let left = carries.saturating_sub(self.sum);
        let more = left.checked_div(flows.saturating_sub(self.flows).into()).unwrap_or(left + self.most);
        more.max(carries / u64::from(flows.max(1)))
    }
}

impl Later {
    pub(super) fn push(&mut self, at: Instant, own: Own) {
        self.sequence += 1;
        self.items.push((at, self.sequence, own));
    }

    fn next(&self) -> Option<Instant> {
        self.items.iter().map(|&(at, ..)| at).min()
    }

    fn pop(&mut self) -> Option<Own> {
        let keys = self.items.iter().enumerate().map(|(place, &(at, sequence, _))| (at, sequence, place));
        let (.., place) = keys.min()?;
        Some(self.items.swap_remove(place).2)
    }

    /// Forgets all but that the process is to begin.
    fn clear(&mut self) {
        self.items.retain(|(.., own)| matches!(own, Own::Start));
    }
}

impl Node {
    pub(super) fn new(index: u32, member: Member, sharing: Sharing) -> Node {
        let mut later = Later::default();
        later.push(member.joins, Own::Start);
        if let Leaves::Impatient { gives_up, .. } = member.leaves {
            later.push(member.joins + gives_up, Own::GiveUp);
        }
        Node {
            index,
            member,
            session: None,
            incarnation: 0,
            halves: Halves::default(),
            uplink: Uplink::new(sharing),
            later,
            alarm: Instant::FAR,
            record: None,
            books: Books::default(),
            leaving: false,
            letters: 0,
            payloads: 0,
            digest: 0,
        }
    }

    /// When it has something to do, but for letters.
    pub(super) fn due(&self) -> Instant {
        let own = self.later.next().unwrap_or(Instant::FAR);
        own.min(self.uplink.next_end().unwrap_or(Instant::FAR)).min(self.alarm)
    }

    /// Does what is due in this window.
    pub(super) fn visit(&mut self, desk: &mut Desk<'_>, mail: &mut Peekable<impl Iterator<Item = Mail>>) {
        loop {
            let own = self.later.next().unwrap_or(Instant::FAR);
            let flow = self.uplink.next_end().unwrap_or(Instant::FAR);
            let letter =
                mail.peek().filter(|mail| mail.to == self.index).map_or(Instant::FAR, |mail| mail.at);
            let at = own.min(flow).min(letter).min(self.alarm);
            if at >= desk.end {
                return;
            }
            desk.now = desk.now.max(at);
            desk.tally.events += 1;
            if at == own {
                if let Some(own) = self.later.pop() {
                    self.note(desk.now, 1, 0);
                    self.act(desk, own);
                }
            } else if at == flow {
                self.block_left(desk);
            } else if at == letter {
                if let Some(mail) = mail.next() {
                    self.note(desk.now, 3, u64::from(mail.from) << 32 | u64::from(mail.sequence));
                    self.read(desk, mail);
                }
            } else {
                self.note(desk.now, 4, 0);
                self.feed(desk, Input::Wake);
            }
        }
    }

    fn note(&mut self, now: Instant, kind: u64, what: u64) {
        self.digest = mix(self.digest ^ mix(now.as_micros() ^ mix(kind ^ what << 3)));
    }

    /// Hands an input to the session, and performs what it wants.
    pub(super) fn feed(&mut self, desk: &mut Desk<'_>, input: Input<'_>) {
        let Some(session) = &mut self.session else { return };
        let mut outbox = core::mem::take(desk.outbox);
        session.handle(desk.now, input, &mut outbox);
        // A session that wants to be woken at once is woken after what is due now.
        let alarm = session.next_wake().unwrap_or(Instant::FAR);
        self.alarm = alarm.max(desk.now + Duration::from_micros(1));
        if desk.scene.traced {
            let mut digest = OutputDigest::new();
            digest.add(desk.now, &outbox);
            self.digest = mix(self.digest ^ (digest.value() >> 64) as u64 ^ digest.value() as u64);
        }
        let incarnation = self.incarnation;
        for output in outbox.drain() {
            if self.incarnation == incarnation {
                self.perform(desk, output);
            }
        }
        *desk.outbox = outbox;
    }

    /// Later, and not before what the session wants now is done.
    pub(super) fn tell(&mut self, at: Instant, input: Input<'static>) {
        self.later.push(at, Own::Tell(Box::new(input)));
    }

    fn act(&mut self, desk: &mut Desk<'_>, own: Own) {
        match own {
            Own::Start => self.start(desk),
            Own::Tell(input) => self.feed(desk, *input),
            Own::Down(half, why) => self.link_down(desk, half, why),
            Own::GiveUp if self.books.finished.is_some() || self.session.is_none() => {}
            Own::Leave | Own::GiveUp => {
                self.leaving = true;
                self.later.push(desk.now + GOODBYE_MAX, Own::Exit);
                self.feed(desk, Input::Command(Command::Shutdown));
            }
            Own::Exit => {
                let gone = self.session.is_some() && self.leaving;
                if gone && self.member.role != Role::Seed && self.books.finished.is_none() {
                    desk.tally.settled += 1;
                }
                self.stop(desk);
            }
            Own::Crash(back_after) => {
                self.stop(desk);
                if let Some(span) = back_after {
                    self.later.push(desk.now + span, Own::Start);
                }
            }
        }
    }

    fn start(&mut self, desk: &mut Desk<'_>) {
        if self.session.is_some() || self.leaving {
            return;
        }
        self.incarnation += 1;
        let kind = &desk.scene.kinds[usize::from(self.member.group)];
        let config = proto::Config { peer_id: peer_id(desk.scene.seed, self.index), ..kind.config.clone() };
        let seed = mix(desk.scene.seed ^ mix(u64::from(self.index) << 32 | u64::from(self.incarnation)));
        self.session = Some(Box::new(Session::new(config.into(), Seed(seed), desk.now)));
        let lease = kind.lease;
        let metainfo = desk.scene.metainfo.clone();
        let resume = match self.member.role {
            Role::Seed => {
                let have = Bitfield::full(metainfo.layout.pieces());
                Some(ResumeRecord { have, open: Vec::new(), uploaded: 0, downloaded: 0 })
            }
            Role::Leecher | Role::FreeRider => self.record.as_deref().cloned(),
        };
        self.feed(desk, Input::Command(Command::Listening(addr_of(self.index).port())));
        self.feed(desk, Input::Command(Command::Lease(lease)));
        let add = AddTorrent {
            torrent: torrent_id(0),
            metainfo,
            resume,
            priorities: Box::default(),
            sequential: kind.sequential,
            paused: false,
            peers: Vec::new(),
            seed_goal: NO_GOAL,
        };
        self.feed(desk, Input::Command(Command::Add(Box::new(add))));
    }

    /// Its process is no more, and its links break.
    pub(super) fn stop(&mut self, desk: &mut Desk<'_>) {
        let Some(session) = self.session.take() else { return };
        self.books.wasted += session.torrent(TORRENT).map_or(0, |stats| stats.wasted);
        self.incarnation += 1;
        self.alarm = Instant::FAR;
        self.later.clear();
        for mut flow in self.uplink.clear(desk.now) {
            desk.ended(&mut flow);
        }
        for id in self.halves.ids() {
            self.hang_up(desk, id, LinkEnd::Broken);
            self.halves.close(id);
        }
    }

    /// The other end learns that the link is no more, if there is one that does not know it yet.
    pub(super) fn hang_up(&mut self, desk: &mut Desk<'_>, id: HalfId, why: LinkEnd) {
        let Some(half) = self.halves.get(id).copied().filter(|half| half.state == State::Open) else {
            return;
        };
        self.send(desk, half.far, half.latency(), half.far_half, Letter::Over(why));
    }

    /// Writes a letter.
    pub(super) fn send(
        &mut self,
        desk: &mut Desk<'_>,
        to: u32,
        after: Duration,
        half: HalfId,
        letter: Letter,
    ) {
        let sequence = self.letters;
        self.letters = self.letters.wrapping_add(1);
        desk.post(Mail { to, at: desk.now + after, from: self.index, sequence, half, letter });
    }

    /// A block begins to leave, or waits for the one before it.
    pub(super) fn serve(&mut self, desk: &mut Desk<'_>, out: Outgoing) {
        let Some(half) = self.halves.get(out.half()) else { return };
        let far = half.far;
        if !self.uplink.is_dealt(desk.begin) {
            self.deal_uplink(desk);
        }
        if self.uplink.add(desk.now, out, far, desk.down_of(far)) {
            desk.began(far);
        }
    }

    /// The block in service that ends now has left, and with it what waited behind it.
    fn block_left(&mut self, desk: &mut Desk<'_>) {
        let Some((mut flow, next)) = self.uplink.end(desk.now) else { return };
        self.note(desk.now, 2, u64::from(flow.far));
        desk.ended(&mut flow);
        let id = flow.out.half();
        if let Some(half) = self.halves.get(id).copied() {
            let block = flow.out.block;
            desk.tally.left += u64::from(block.len);
            desk.tally.overhead += u64::from(BLOCK_HEADER);
            self.books.sent += u64::from(block.len);
            if let Leaves::AfterCopies { permille } = self.member.leaves
                && self.books.sent * 1000 >= desk.scene.metainfo.layout.total() * u64::from(permille)
            {
                self.later.push(desk.now, Own::Crash(None));
            }
            self.send(desk, half.far, half.latency(), half.far_half, Letter::Block(block));
            for (letter, bytes) in flow.behind {
                self.uplink.charge(bytes);
                self.send(desk, half.far, half.latency(), half.far_half, letter);
            }
        }
        if let Some(next) = next {
            self.serve(desk, next);
        }
        self.feed(desk, Input::Sent { token: flow.out.token });
    }

    /// A link is no more, and the session hears of it after the answers to what it had asked of it.
    fn link_down(&mut self, desk: &mut Desk<'_>, id: HalfId, why: LinkEnd) {
        if self.halves.get(id).is_none() {
            return;
        }
        // Told that a block will not leave, a session may hand over the next one: it does not know yet.
        loop {
            let tokens = self.forget_blocks(desk, id);
            if tokens.is_empty() {
                break;
            }
            for token in tokens {
                self.feed(desk, Input::Unsent { token, why: Unsent::LinkDown });
            }
        }
        self.halves.close(id);
        self.feed(desk, Input::LinkDown { link: id.link(), why });
    }

    fn forget_blocks(&mut self, desk: &mut Desk<'_>, id: HalfId) -> Vec<SendToken> {
        let (flow, tokens) = self.uplink.forget(desk.now, id);
        if let Some(mut flow) = flow {
            desk.ended(&mut flow);
        }
        tokens
    }

    fn read(&mut self, desk: &mut Desk<'_>, mail: Mail) {
        let link = mail.half.link();
        let known = matches!(self.halves.get(mail.half), Some(half) if half.far == mail.from);
        match mail.letter {
            Letter::Knock => self.knock(desk, mail.from, mail.half),
            Letter::Answer(far_half) => self.answered(desk, mail.from, mail.half, far_half),
            Letter::Refusal => {
                if let Some(State::Dialing(sequence)) = self.halves.get(mail.half).map(|half| half.state) {
                    self.halves.close(mail.half);
                    let dial = DialId { torrent: TORRENT, sequence };
                    self.feed(desk, Input::DialFailed { dial, why: DialFailure::Refused });
                }
            }
            Letter::Block(block) if known => {
                self.books.received += u64::from(block.len);
                desk.tally.arrived += u64::from(block.len);
                self.payloads = self.payloads.wrapping_add(1);
                let payload = PayloadId { slot: self.payloads, generation: 0 };
                self.feed(desk, Input::Block { link, block, payload });
            }
            Letter::Block(block) => desk.tally.lost += u64::from(block.len),
            Letter::Message(message) if known => {
                self.books.ahead += wire::frame::encoded_len(&message) as i64;
                self.feed(desk, Input::Message { link, message });
            }
            Letter::Haves(pieces) if known => {
                self.books.ahead += 9 * pieces.len() as i64;
                let mut numbers = core::mem::take(desk.numbers);
                numbers.clear();
                numbers.extend(pieces.iter().map(|piece| piece.0));
                self.feed(desk, Input::Haves { link, pieces: &numbers });
                *desk.numbers = numbers;
            }
            Letter::Progress(bytes) if known => self.feed(desk, Input::Progress { link, bytes }),
            Letter::Over(why) if known => self.link_down(desk, mail.half, why),
            // Meant for a link that is no more.
            Letter::Message(_) | Letter::Haves(_) | Letter::Progress(_) | Letter::Over(_) => {}
        }
    }

    fn knock(&mut self, desk: &mut Desk<'_>, from: u32, dialer: HalfId) {
        let latency = desk.latency(self.index, from);
        let open = self.session.is_some() && self.member.nat.lets_strangers_in();
        let half = if open { self.halves.open(from, latency, State::Open) } else { None };
        let Some(half) = half else { return self.send(desk, from, latency, dialer, Letter::Refusal) };
        if let Some(row) = self.halves.get_mut(half) {
            row.far_half = dialer;
        }
        self.send(desk, from, latency, dialer, Letter::Answer(half));
        self.link_up(desk, from, half, None);
    }

    fn answered(&mut self, desk: &mut Desk<'_>, from: u32, half: HalfId, far_half: HalfId) {
        let Some(row) = self.halves.get_mut(half).filter(|row| row.far == from) else {
            // Whoever dialled is no more, and nobody else will tell.
            let latency = desk.latency(self.index, from);
            return self.send(desk, from, latency, far_half, Letter::Over(LinkEnd::Broken));
        };
        let State::Dialing(sequence) = row.state else { return };
        (row.state, row.far_half) = (State::Open, far_half);
        self.link_up(desk, from, half, Some(DialId { torrent: TORRENT, sequence }));
    }

    fn link_up(&mut self, desk: &mut Desk<'_>, from: u32, half: HalfId, dial: Option<DialId>) {
        let up = LinkUp {
            link: half.link(),
            torrent: TORRENT,
            remote: addr_of(from),
            dial,
            peer_id: peer_id(desk.scene.seed, from),
            reserved: Reserved::OURS,
            encrypted: false,
        };
        self.feed(desk, Input::LinkUp(up));
    }
}

/// What a node calls itself.
fn peer_id(seed: u64, node: u32) -> PeerId {
    let mut id = *b"-GN0001-............";
    let (low, high) = (mix(seed ^ mix(u64::from(node))), mix(u64::from(node) ^ 0x7065_6572));
    id[8..16].copy_from_slice(&low.to_le_bytes());
    id[16..].copy_from_slice(&high.to_le_bytes()[..4]);
    PeerId(id)
}

//! Our outstanding requests to one peer: how many there should be, which they are, and when to give up on them.
//!
//! Not which blocks to ask for (the picker), nor messages. How many: what the peer delivers in [`Pipeline::horizon`], a little more than
//! its round trip, so that it never waits for us and we never have much to call back. Slow start finds that rate: each block that
//! comes makes room for one more, so the pipeline doubles every round trip until the rate stops growing; it begins again when
//! blocks come back as quickly as from an idle peer, for then the peer could do more.
//!
//! Invariant: a block is outstanding, or remembered as late, or unknown: an answer is never laid to a peer that was not asked.
//! BEP: 3, 6, 10 (`reqq`)

use crate::pieces::Speed;
use crate::seldom::{Blank, Seldom};
use crate::tight;
use crate::{Duration, Instant};
use std::collections::VecDeque;
use wire::Block;

/// Never fewer, so that the peer has the next request before it has answered this one.
pub const REQUESTS_MIN: u32 = 2;

/// Where slow start begins: four round trips to 64 blocks, and little to lose with a peer that answers none.
const REQUESTS_START: u32 = 4;

/// Bounds of the time-out.
const TIMEOUT_MIN: Duration = Duration::from_secs(2);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// A peer that is silent so long is snubbed even if it was erratic before.
const SNUB_AFTER_MAX: Duration = Duration::from_secs(20);

/// A peer that never sent anything is snubbed after this: longer than a disk hangs now and then, shorter than what others would
/// have to wait for blocks that a liar sits on.
const FIRST_SIGN_WITHIN: Duration = Duration::from_secs(8);

/// However many bytes trickle, whole blocks must come: the first one within this, later ones within four time-outs, but no less.
/// And a snubbed peer that takes longer for a block is not trusted with more. 16 KiB in 10 s are 1.6 kB/s.
const BLOCK_WITHIN: Duration = Duration::from_secs(10);

/// Added to two round trips: what a busy peer's disk and scheduling may take without starving us.
const HORIZON_SLACK: Duration = Duration::from_millis(250);

/// Blocks that take longer to come make no more requests: this many seconds' worth is libtorrent's constant.
const HORIZON_MAX: Duration = Duration::from_secs(3);

/// A round of measurement is one round trip, but no shorter: a few blocks at 1 MB/s.
const ROUND_MIN: Duration = Duration::from_millis(50);
const ROUND_MAX: Duration = Duration::from_secs(1);

/// Rounds without growth by a quarter that end slow start.
const FLAT_ROUNDS: u8 = 2;

/// How long a smallest round trip is believed: routes change.
const MIN_RTT_AGE: Duration = Duration::from_secs(30);

/// Blocks given up on whose answer may still come: as many as can be outstanding by default.
pub const LATE_BLOCKS_MAX: usize = 512;

/// So many rejects in a row are forgiven: a peer that has just begun to refuse rejects all that is under way at once.
const REFUSALS_MAX: u32 = 8;

/// Rejects that come so long before a choke are part of it: some clients reject first and choke then, in one breath.
const CHOKE_WITHIN: Duration = Duration::from_secs(1);

/// Bounds of the time for which a peer that refuses everything is asked nothing: a second is many round trips, a minute as long
/// as a request may take.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);

/// A peer that has refused everything for so long, about seven rests, will not change: as long as silence is borne (BEP 3).
const USELESS_AFTER: Duration = Duration::from_secs(120);

/// A peer that fetches a piece within this time gets pieces of its own (libtorrent's `whole_pieces_threshold`).
const WHOLE_PIECE_WITHIN: Duration = Duration::from_secs(20);

/// Our requests to one peer.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// None with a peer that does not serve us, as most do not at any time.
    asked: Seldom<Asked>,
    block_len: u32,
    requests_max: u32,
    target: u32,
    slow_start: bool,
    snubbed: bool,
    /// Last time the peer sent payload, or we had nothing outstanding.
    heard: Instant,
    /// Last time a whole block came that was expected, or we had nothing outstanding.
    completed: Instant,
    /// Since when we read what it sends: before, we were silent ourselves, as our allowance was spent.
    read_since: Instant,
    rtt: RoundTrip,
    round: Round,
    /// Bytes per second.
    rate: u64,
    amiss: Seldom<Amiss>,
}

/// Requests, oldest first.
#[derive(Clone, Debug, Default)]
struct Asked {
    requests: VecDeque<Request>,
}

impl Blank for Asked {
    const BLANK: &'static Asked = &Asked { requests: VecDeque::new() };
}

/// What did not go as it should.
#[derive(Clone, Debug, Default)]
struct Amiss {
    /// Given up or called back, and perhaps on its way all the same.
    late: VecDeque<Block>,
    refusals: Refusals,
}

impl Blank for Amiss {
    const BLANK: &'static Amiss = &Amiss { late: VecDeque::new(), refusals: Refusals::NONE };
}

/// Rejects in a row, with no block between them.
#[derive(Clone, Copy, Debug, Default)]
struct Refusals {
    count: u32,
    /// When the first of them came.
    since: Instant,
    /// Until when nothing is asked for.
    rest_until: Option<Instant>,
    /// Those that came within [`CHOKE_WITHIN`], and since when.
    latest: (u32, Instant),
}

impl Refusals {
    const NONE: Refusals =
        Refusals { count: 0, since: Instant::ZERO, rest_until: None, latest: (0, Instant::ZERO) };
}

#[derive(Clone, Copy, Debug)]
struct Request {
    block: Block,
    at: Instant,
}

/// From request to block: mean and deviation (RFC 6298's gains), and the smallest of the last half minute or so.
#[derive(Clone, Copy, Debug, Default)]
struct RoundTrip {
    /// None of these is above [`TIMEOUT_MAX`].
    mean_micros: u32,
    dev_micros: u32,
    least_micros: u32,
    least_before_micros: u32,
    least_since: Instant,
    samples: u32,
}

/// Bytes since the round began.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    began: Instant,
    bytes: u64,
    /// There were not blocks enough to ask for at some time: the rate then tells nothing of the peer.
    starved: bool,
    rate_before: u64,
    flat: u8,
}

/// What an answer was to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// We wait for it.
    Expected,
    /// We asked for it, and gave up or called it back since.
    Late,
    /// We never asked for it, or have an answer.
    Unknown,
}

impl Pipeline {
    /// Nothing outstanding. `requests_max` is our own bound, whatever the peer's `reqq`.
    pub fn new(block_len: u32, requests_max: u32, now: Instant) -> Pipeline {
        let requests_max = requests_max.max(REQUESTS_MIN);
        Pipeline {
            asked: Seldom::default(),
            block_len: block_len.max(1),
            requests_max,
            target: REQUESTS_START.min(requests_max),
            slow_start: true,
            snubbed: false,
            heard: now,
            completed: now,
            read_since: now,
            rtt: RoundTrip::default(),
            round: Round::default(),
            rate: 0,
            amiss: Seldom::default(),
        }
    }

    /// The peer's `reqq` (BEP 10) lowers our bound. A stranger's number: 0 means nothing.
    pub fn set_reqq(&mut self, reqq: u32) {
        if reqq > 0 {
            self.requests_max = self.requests_max.min(reqq);
            self.target = self.target.min(self.requests_max);
        }
    }

    /// How many requests should be outstanding.
    pub fn target(&self) -> u32 {
        if self.snubbed { 1 } else { self.target }
    }

    /// How many more requests to make now. None while the peer is left in peace because it refuses everything.
    pub fn room(&self) -> u32 {
        match self.amiss.refusals.rest_until {
            Some(_) => 0,
            None => self.target().saturating_sub(self.asked.requests.len() as u32),
        }
    }

    /// How many requests are outstanding.
    pub fn len(&self) -> u32 {
        self.asked.requests.len() as u32
    }

    /// Whether nothing is outstanding.
    pub fn is_empty(&self) -> bool {
        self.asked.requests.is_empty()
    }

    /// The outstanding requests, oldest first.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.asked.requests.iter().map(|request| request.block)
    }

    /// The peer is silent although we wait for blocks.
    pub fn is_snubbed(&self) -> bool {
        self.snubbed
    }

    /// When the peer last sent payload, or had nothing to send.
    pub fn last_heard(&self) -> Instant {
        self.heard
    }

    /// Bytes per second that the peer delivers while asked.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Mean time from request to block, if any came.
    pub fn round_trip(&self) -> Option<Duration> {
        (self.rtt.samples > 0).then(|| Duration::from_micros(self.rtt.mean_micros.into()))
    }

    /// How quick the peer is, for pieces of this length.
    pub fn speed(&self, piece_len: u32) -> Speed {
        let within = self.rate.saturating_mul(WHOLE_PIECE_WITHIN.as_secs());
        if self.snubbed {
            Speed::Slow
        } else if within >= u64::from(piece_len) {
            Speed::Fast
        } else {
            Speed::Medium
        }
    }

    /// These requests were sent: what the picker gave for [`Pipeline::room`]. Tell also when it gave none, for fewer than asked for means
    /// that it is not the peer that limits.
    pub fn requested(&mut self, blocks: &[Block], now: Instant) {
        if self.asked.requests.is_empty() && !blocks.is_empty() {
            (self.heard, self.completed) = (now, now);
            self.round = Round { began: now, rate_before: self.round.rate_before, ..Round::default() };
        }
        if !blocks.is_empty() {
            tight::make_room(&mut self.asked.requests, blocks.len());
            self.asked.requests.extend(blocks.iter().map(|&block| Request { block, at: now }));
        }
        self.round.starved |= self.room() > 0;
    }

    /// Payload bytes came that make no whole block yet.
    pub fn heard(&mut self, now: Instant) {
        self.heard = self.heard.max(now);
    }

    /// Reading was paused by ourselves and goes on: the peer could not be heard meanwhile, so all its clocks begin anew.
    pub fn read_again(&mut self, now: Instant) {
        (self.heard, self.completed, self.read_since) = (now, now, now);
    }

    /// A block came. O(1) in order; out of order, at most one look at each outstanding request.
    pub fn complete(&mut self, block: Block, now: Instant) -> Answer {
        let Some(request) = self.take(block) else { return self.take_late(block) };
        self.heard(now);
        self.completed = now;
        if self.amiss.late.is_empty() {
            self.amiss = Seldom::default();
        } else {
            self.amiss.refusals = Refusals::NONE;
        }
        self.snubbed &= now.since(self.waited_since(&request)) > BLOCK_WITHIN;
        self.rtt.sample(now.since(request.at), now);
        self.round.bytes += u64::from(block.len);
        // One more for each that comes, unless there are none to ask for.
        if self.slow_start && !self.round.starved {
            self.target = self.target.saturating_add(1).min(self.requests_max);
        }
        if now.since(self.round.began) >= self.round_len() {
            self.end_round(now);
        }
        Answer::Expected
    }

    /// The peer will not send it (BEP 6 reject). Answers come in the order of the questions: what we called back and then
    /// asked for again is first rejected, and then sent.
    pub fn reject(&mut self, block: Block) -> Answer {
        match self.take_late(block) {
            Answer::Late => Answer::Late,
            Answer::Expected | Answer::Unknown => {
                let taken = self.take(block).map_or(Answer::Unknown, |_| Answer::Expected);
                self.forget_if_idle();
                taken
            }
        }
    }

    /// The peer refused what we wait for although it serves us. A few times that is nothing: its `reqq` may be smaller than we
    /// know. A peer that goes on is asked no more for as long as it has refused by now, so at intervals that double. Says
    /// whether that has gone on for so long that it is of no use.
    pub fn refused(&mut self, now: Instant) -> bool {
        let row = &mut self.amiss.refusals;
        if row.count == 0 {
            row.since = now;
        }
        if now.since(row.latest.1) > CHOKE_WITHIN {
            row.latest = (0, now);
        }
        row.count = row.count.saturating_add(1);
        row.latest.0 += 1;
        let lasts = now.since(row.since);
        if row.count >= REFUSALS_MAX {
            row.rest_until = Some(now + lasts.clamp(REST_MIN, REST_MAX));
        }
        row.count >= REFUSALS_MAX && lasts >= USELESS_AFTER
    }

    /// The peer chokes us: what it rejected just before it rejected for that reason, which is its right.
    pub fn choked(&mut self, now: Instant) {
        if !self.amiss.is_there() {
            return;
        }
        let row = &mut self.amiss.refusals;
        if now.since(row.latest.1) > CHOKE_WITHIN {
            return;
        }
        row.count = row.count.saturating_sub(row.latest.0);
        row.latest.0 = 0;
        if row.count == 0 {
            *row = Refusals::default();
        }
    }

    /// Whether a rest is over now: it may be asked again.
    pub fn has_rested(&mut self, now: Instant) -> bool {
        self.amiss.is_there() && self.amiss.refusals.rest_until.take_if(|until| *until <= now).is_some()
    }

    /// The peer serves us anew: it is asked at once. What it refused is not forgotten, or choking would wash it clean.
    pub fn unchoked(&mut self) {
        if self.amiss.is_there() {
            self.amiss.refusals.rest_until = None;
        }
    }

    /// We no longer want it and send a cancel; its answer may be on the way. Says whether it was outstanding.
    pub fn cancel(&mut self, block: Block) -> bool {
        let taken = self.take(block).is_some();
        if taken {
            self.remember_late(block);
        }
        taken
    }

    /// The peer choked us, or we give up on it: everything outstanding is appended to `released`. Without the fast extension a choke
    /// means this (BEP 3); with it, each request gets a reject of its own (BEP 6), so do not call this on a choke.
    pub fn release_all(&mut self, released: &mut Vec<Block>) {
        while !self.is_empty()
            && let Some(request) = self.asked.requests.pop_front()
        {
            self.remember_late(request.block);
            released.push(request.block);
        }
        self.forget_if_idle();
    }

    /// When to call [`Pipeline::check`] and [`Pipeline::has_rested`]. `None` while nothing is outstanding and no rest ends.
    pub fn check_at(&self) -> Option<Instant> {
        self.give_up_at().into_iter().chain(self.amiss.refusals.rest_until).min()
    }

    /// When the peer has been silent for too long.
    fn give_up_at(&self) -> Option<Instant> {
        let oldest = self.waited_since(self.asked.requests.front()?);
        let too_old = oldest + TIMEOUT_MAX;
        let silent = self.heard.max(oldest) + self.patience();
        let blockless = self.completed.max(oldest) + self.block_patience();
        Some(if self.snubbed { too_old } else { silent.min(blockless).min(too_old) })
    }

    /// Gives up on requests in time; they are appended to `released`, for others. Says whether the peer has become snubbed.
    ///
    /// A request older than 60 s goes, be the peer silent or has it answered later ones. A peer that is silent for longer than its time-out
    /// (2 to 20 s), or that sends no whole block for four of them, is snubbed: all its blocks are released, although the oldest request
    /// stands, and it is asked for one block at a time, which others may be asked for too, until one comes in good time.
    pub fn check(&mut self, now: Instant, released: &mut Vec<Block>) -> bool {
        let read_since = self.read_since;
        let too_old = |request: &mut Request| now.since(request.at.max(read_since)) >= TIMEOUT_MAX;
        while !self.is_empty()
            && let Some(request) = self.asked.requests.pop_front_if(too_old)
        {
            self.remember_late(request.block);
            released.push(request.block);
        }
        if self.snubbed || self.give_up_at().is_none_or(|due| now < due) {
            return false;
        }
        self.snub(released);
        true
    }

    /// Waits no longer for a silent peer, in time or not: it is snubbed, as [`Pipeline::check`] says.
    pub fn snub(&mut self, released: &mut Vec<Block>) {
        if core::mem::replace(&mut self.snubbed, true) {
            return;
        }
        self.slow_start = false;
        self.target = REQUESTS_MIN.min(self.requests_max);
        while self.asked.requests.len() > 1
            && let Some(request) = self.asked.requests.pop_back()
        {
            self.remember_late(request.block);
            released.push(request.block);
        }
        released.extend(self.asked.requests.front().map(|request| request.block));
    }

    /// Whether a block is outstanding.
    pub fn is_asked(&self, block: Block) -> bool {
        self.asked.requests.iter().any(|request| request.block == block)
    }

    /// Since when an answer could have come that we would have heard.
    fn waited_since(&self, request: &Request) -> Instant {
        request.at.max(self.read_since)
    }

    /// What is outstanding should last this long: two of the smallest round trips and some slack. The mean would not do: it grows
    /// with the pipeline itself.
    fn horizon(&self) -> Duration {
        let least = Duration::from_micros(self.rtt.least().into());
        (least * 2 + HORIZON_SLACK).min(HORIZON_MAX)
    }

    fn patience(&self) -> Duration {
        if self.rtt.samples == 0 { FIRST_SIGN_WITHIN } else { self.rtt.timeout().min(SNUB_AFTER_MAX) }
    }

    fn block_patience(&self) -> Duration {
        if self.rtt.samples == 0 { BLOCK_WITHIN } else { (self.rtt.timeout() * 4).max(BLOCK_WITHIN) }
    }

    fn round_len(&self) -> Duration {
        Duration::from_micros(self.rtt.mean_micros.into()).clamp(ROUND_MIN, ROUND_MAX)
    }

    fn end_round(&mut self, now: Instant) {
        let micros = u64::try_from(now.since(self.round.began).as_micros()).unwrap_or(u64::MAX).max(1);
        let sample = self.round.bytes.saturating_mul(1_000_000) / micros;
        self.rate = if self.slow_start { sample } else { (self.rate * 3 + sample) / 4 };
        let mut next = Round { began: now, rate_before: sample, ..Round::default() };
        if self.slow_start {
            let grew = sample.saturating_mul(4) >= self.round.rate_before.saturating_mul(5);
            next.flat = if grew || self.round.starved { 0 } else { self.round.flat + 1 };
            self.slow_start = next.flat < FLAT_ROUNDS;
        } else if !self.round.starved && self.rtt.is_least() {
            self.slow_start = true;
        }
        if !self.slow_start {
            let bytes = u128::from(self.rate) * self.horizon().as_micros() / 1_000_000;
            let blocks = bytes.div_ceil(u128::from(self.block_len));
            self.target = u32::try_from(blocks).unwrap_or(u32::MAX).clamp(REQUESTS_MIN, self.requests_max);
        }
        self.target = self.target.clamp(REQUESTS_MIN.min(self.requests_max), self.requests_max);
        self.round = next;
    }

    fn forget_if_idle(&mut self) {
        if self.is_empty() {
            self.asked = Seldom::default();
        }
    }

    fn take(&mut self, block: Block) -> Option<Request> {
        if self.asked.requests.front().is_some_and(|request| request.block == block) {
            return self.asked.requests.pop_front();
        }
        let at = self.asked.requests.iter().position(|request| request.block == block)?;
        self.asked.requests.remove(at)
    }

    fn take_late(&mut self, block: Block) -> Answer {
        match self.amiss.late.iter().position(|&late| late == block) {
            Some(at) => {
                self.amiss.late.remove(at);
                Answer::Late
            }
            None => Answer::Unknown,
        }
    }

    fn remember_late(&mut self, block: Block) {
        let late = &mut self.amiss.late;
        if late.len() >= LATE_BLOCKS_MAX {
            late.pop_front();
        }
        tight::make_room(late, 1);
        late.push_back(block);
    }
}

impl RoundTrip {
    fn sample(&mut self, rtt: Duration, now: Instant) {
        let micros = u32::try_from(rtt.min(TIMEOUT_MAX).as_micros()).unwrap_or(u32::MAX);
        if self.samples == 0 {
            (self.mean_micros, self.dev_micros) = (micros, micros / 2);
            (self.least_micros, self.least_before_micros, self.least_since) = (micros, micros, now);
        } else {
            self.dev_micros = (self.dev_micros * 3 + self.mean_micros.abs_diff(micros)) / 4;
            self.mean_micros = (self.mean_micros * 7 + micros) / 8;
        }
        if now.since(self.least_since) >= MIN_RTT_AGE {
            (self.least_before_micros, self.least_micros, self.least_since) =
                (self.least_micros, micros, now);
        }
        self.least_micros = self.least_micros.min(micros);
        self.samples = self.samples.saturating_add(1);
    }

    fn least(&self) -> u32 {
        self.least_micros.min(self.least_before_micros)
    }

    /// Blocks come back about as quickly as they ever did: nothing queues at the peer.
    fn is_least(&self) -> bool {
        self.mean_micros <= self.least() + self.least() / 4 + 2_000
    }

    fn timeout(&self) -> Duration {
        if self.samples == 0 {
            return TIMEOUT_MAX;
        }
        Duration::from_micros(u64::from(self.mean_micros) + 4 * u64::from(self.dev_micros))
            .clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }
}

#[cfg(test)]
mod tests;

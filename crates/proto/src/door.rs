//! Who may come in, and how to go out: which incoming links may shake hands, and when a dial of the session becomes a
//! connection attempt, over which transport and with which obfuscation. Knows sockets by name only, no torrents, and
//! nothing of what links carry after the handshake.
//!
//! Invariants: handshakes under way are bounded, in all and per address block; each ends in time; every `Accepted` is
//! answered by one `Admit` or `Refuse`, every `Greeted` by one `Answer` or `TurnAway` or ends with its pending link, every
//! `Dial` ends in one `Linked` of the driver's or one `DialFailed` of ours. BEP: 3. Threats: C4, C5, C10, C11

mod encryption;
mod exchanges;
mod hall;
mod replays;

pub use encryption::{Encryption, Greeting, Hail, Policy, Refusal};
pub use exchanges::EXCHANGES_PER_SECOND_MAX;

use crate::address::{self, HostSet};
use crate::input::DialFailure;
use crate::{DialHints, DialId, Duration, Instant};
use core::net::{IpAddr, SocketAddr};
use exchanges::Exchanges;
use hall::{Hall, Pending, Stage as Progress};
use replays::Replays;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::mse::Method;

/// Incoming handshakes under way, all together. Each holds a socket and 68 bytes; who is too many, see `hall`.
pub const PENDING_MAX: usize = 256;
/// Incoming handshakes under way per public /24 or /48: one party must not crowd out the others.
pub const PENDING_PER_BLOCK_MAX: u16 = 8;
/// A handshake, ours or theirs, takes at most this long.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Who came in and said nothing at all within this time has nothing to say: a peer's handshake comes with its first packets.
pub const SILENT_TIME_MAX: Duration = Duration::from_secs(5);
/// A connection attempt takes at most this long: two retransmissions of a SYN and a slow way.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// Dials that wait for their turn; further ones fail at once as not tried. A session of 1,000 torrents dials fewer.
pub const DIALS_QUEUED_MAX: usize = 1_000;
/// Hosts refused at the door.
pub const BANS_MAX: usize = 4_096;
/// Hosts remembered that are reached another way than the one that we try first.
pub const REMEMBERED_MAX: usize = 4_096;

/// Which way a connection takes. uTP will be another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// TCP.
    Tcp,
}

/// What the bytes look like on the way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Crypto {
    /// As they are.
    Plaintext,
    /// After a handshake of Message Stream Encryption in which these methods are offered or taken, the dearest first.
    Mse(&'static [Method]),
    /// Sealed under the swarm's key, from the first byte of BitTorrent to the last (`wire::private`).
    Private,
}

/// One way to reach a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Way {
    /// Over what.
    pub transport: Transport,
    /// In which clothes.
    pub crypto: Crypto,
}

/// An accepted socket before its handshake is complete. Named by the driver; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PendingId(pub u64);

/// How fast we knock. Moves at run time, as the divider deals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// Connection attempts begun per second, and at once after a pause; 0 stops dialling.
    pub dials_per_second: u32,
    /// Connection attempts and outgoing handshakes under way: routers of homes forget older flows when there are many.
    pub half_open_max: u32,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { dials_per_second: 30, half_open_max: 100 }
    }
}

/// What can happen to the door.
#[derive(Clone, Debug)]
pub enum Input {
    /// The time that `next_wake` asked for has come.
    Wake,
    /// A socket was accepted. Answered by `Admit` or `Refuse`.
    Accepted {
        /// Its name.
        pending: PendingId,
        /// Where it comes from.
        remote: SocketAddr,
    },
    /// The first bytes came from an admitted socket.
    Heard(PendingId),
    /// The first bytes of an admitted socket tell what it speaks. Answered by `Answer` or `TurnAway`, perhaps later.
    Greeted {
        /// Which one.
        pending: PendingId,
        /// What it speaks.
        greeting: Greeting,
    },
    /// An admitted socket is no longer pending: its handshake is complete, or it is closed.
    Settled(PendingId),
    /// An admitted socket was closed, because its encrypted handshake could not be completed. It is no longer pending.
    Unsettled(PendingId),
    /// The session wants to reach a peer.
    Dial {
        /// Its name.
        dial: DialId,
        /// Where.
        remote: SocketAddr,
        /// What the session heard of it.
        hints: DialHints,
    },
    /// The connection of a dial stands; the handshake begins.
    Connected(DialId),
    /// The handshake of a dial is complete: the session is told of the link by the driver.
    Linked(DialId),
    /// The way that was tried came to nothing.
    WayFailed {
        /// Of which dial.
        dial: DialId,
        /// Why.
        why: DialFailure,
        /// Whether the peer had said anything.
        heard: bool,
    },
    /// Refuse this host from now on, in both directions.
    Ban(IpAddr),
    /// Another pace from now on.
    Pace(Pace),
}

/// What the door wants done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Read the handshake of this socket.
    Admit(PendingId),
    /// Close this socket unread.
    Refuse(PendingId),
    /// Go on with the handshake of this socket, in this way.
    Answer {
        /// Which one.
        pending: PendingId,
        /// How.
        crypto: Crypto,
    },
    /// Close this admitted socket: it does not speak as we want. `Settled` need not follow.
    TurnAway {
        /// Which one.
        pending: PendingId,
        /// Why.
        why: Refusal,
    },
    /// Close this admitted socket: it is too slow, or others have a better claim. `Settled` need not follow.
    DropPending(PendingId),
    /// Try this way. Answered by `Connected` or `WayFailed`.
    Connect {
        /// Of which dial.
        dial: DialId,
        /// Where.
        remote: SocketAddr,
        /// How.
        way: Way,
    },
    /// Close the socket of this dial: it takes too long. No answer; `Connect` over another way or `DialFailed` follows.
    Abandon(DialId),
    /// Tell the session that a dial came to nothing.
    DialFailed {
        /// Which one.
        dial: DialId,
        /// Why.
        why: DialFailure,
    },
}

/// Decides who comes in and how to go out, for one loop.
#[derive(Clone, Debug)]
pub struct Door {
    pace: Pace,
    banned: HostSet,
    pending: Hall,
    dials: BTreeMap<DialId, Dial>,
    /// Dials that wait for their turn.
    queue: VecDeque<DialId>,
    /// Dials under way.
    half_open: u32,
    encryption: Encryption,
    exchanges: Exchanges,
    replays: Replays,
    /// Hosts that were reached by the last way of the plan.
    contrary: HostSet,
    tally: Tally,
    /// When all that was dialled so far would have been, at an even pace.
    dialled_until: Instant,
    deadlines: BTreeSet<(Instant, Deadline)>,
    /// The latest time that we were told.
    now: Instant,
}

/// What encryption has come to: why there is no link where there might have been one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Peers that came in plaintext and were turned away.
    pub plaintext_refused: u64,
    /// Peers that came encrypted and were turned away.
    pub encrypted_refused: u64,
    /// Encrypted handshakes of peers that came to us that could not be completed.
    pub incoming_failed: u64,
    /// Encrypted handshakes that we began and that came to nothing.
    pub outgoing_failed: u64,
    /// Peers that accepted us and closed our plaintext handshake without a word: perhaps they insist on encryption.
    pub plaintext_unanswered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Dial {
    remote: SocketAddr,
    /// How many ways were tried before.
    tried: usize,
    /// The plan is gone through from its end.
    contrary: bool,
    /// The first way is the only one.
    once: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Queued,
    /// Until when.
    Connecting(Instant),
    /// Until when.
    Handshaking(Instant),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Deadline {
    Pending(PendingId),
    Dial(DialId),
}

impl Door {
    /// A door at which nobody stands.
    pub fn new(pace: Pace, encryption: Encryption) -> Door {
        Door {
            pace,
            encryption,
            exchanges: Exchanges::default(),
            replays: Replays::default(),
            contrary: HostSet::new(REMEMBERED_MAX),
            tally: Tally::default(),
            banned: HostSet::new(BANS_MAX),
            pending: Hall::default(),
            dials: BTreeMap::new(),
            queue: VecDeque::new(),
            half_open: 0,
            dialled_until: Instant::ZERO,
            deadlines: BTreeSet::new(),
            now: Instant::ZERO,
        }
    }

    /// One thing happened at `now`; what should be done is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        self.expire(out);
        match input {
            Input::Wake => {}
            Input::Accepted { pending, remote } => self.accepted(pending, remote, out),
            Input::Heard(pending) => self.heard(pending),
            Input::Greeted { pending, greeting } => self.greeted(pending, greeting, out),
            Input::Settled(pending) => self.forget_pending(pending),
            Input::Unsettled(pending) => self.unsettled(pending),
            Input::Dial { dial, remote, hints } => self.dial(dial, remote, hints, out),
            Input::Connected(dial) => self.connected(dial),
            Input::Linked(dial) => self.linked(dial),
            Input::WayFailed { dial, why, heard } => self.way_failed(dial, why, heard, out),
            Input::Ban(ip) => self.banned.insert(ip),
            Input::Pace(pace) => self.pace = pace,
        }
        self.begin_exchanges(out);
        self.begin_dials(out);
    }

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|(deadline, _)| *deadline);
        let turn = self.next_turn().filter(|_| !self.queue.is_empty() && self.has_room());
        [deadline, turn, self.exchanges.next_turn()].into_iter().flatten().min()
    }

    /// What encryption has come to so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Incoming handshakes under way.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Dials that wait or are under way.
    pub fn dials(&self) -> usize {
        self.dials.len()
    }

    fn accepted(&mut self, id: PendingId, remote: SocketAddr, out: &mut Vec<Output>) {
        if self.banned.has(remote.ip()) || self.pending.has(id) {
            return out.push(Output::Refuse(id));
        }
        let block = address::block(remote.ip());
        // A newcomer always comes in: who is honest needs little time, and who is in the way had some.
        if let Some(other) = self.pending.in_the_way(block) {
            self.forget_pending(other);
            out.push(Output::DropPending(other));
        }
        let (since, deadline) = (self.now, self.now + SILENT_TIME_MAX);
        self.pending.enter(id, Pending::new(block, since, deadline));
        self.deadlines.insert((deadline, Deadline::Pending(id)));
        out.push(Output::Admit(id));
    }

    fn heard(&mut self, id: PendingId) {
        if let Some([before, deadline]) = self.pending.extend(id, |since| since + HANDSHAKE_TIME_MAX) {
            self.deadlines.remove(&(before, Deadline::Pending(id)));
            self.deadlines.insert((deadline, Deadline::Pending(id)));
        }
    }

    fn greeted(&mut self, id: PendingId, greeting: Greeting, out: &mut Vec<Output>) {
        if self.pending.has_greeted(id) != Some(false) {
            return;
        }
        let answer = match (self.encryption.incoming.answer(greeting), greeting) {
            (Ok(Crypto::Private), Greeting::Member(hail)) if !self.replays.is_new(hail) => {
                Err(Refusal::Replayed)
            }
            (answer, _) => answer,
        };
        match answer {
            Ok(Crypto::Plaintext) => {
                self.pending.advance(id, Progress::Plaintext, self.now);
                out.push(Output::Answer { pending: id, crypto: Crypto::Plaintext });
            }
            Ok(crypto @ (Crypto::Mse(_) | Crypto::Private)) => {
                self.pending.advance(id, Progress::Waiting, self.now);
                self.exchanges.wait(id, crypto);
            }
            Err(why) => {
                match why {
                    Refusal::NotEncrypted | Refusal::NotPrivate => self.tally.plaintext_refused += 1,
                    Refusal::Encrypted => self.tally.encrypted_refused += 1,
                    Refusal::OtherKey | Refusal::Replayed => self.tally.incoming_failed += 1,
                }
                self.forget_pending(id);
                out.push(Output::TurnAway { pending: id, why });
            }
        }
    }

    fn begin_exchanges(&mut self, out: &mut Vec<Output>) {
        while let Some((pending, crypto)) = self.exchanges.next(self.now) {
            self.pending.advance(pending, Progress::Exchanged, self.now);
            out.push(Output::Answer { pending, crypto });
        }
    }

    fn unsettled(&mut self, id: PendingId) {
        if self.pending.has(id) {
            self.tally.incoming_failed += 1;
            self.forget_pending(id);
        }
    }

    fn forget_pending(&mut self, id: PendingId) {
        let Some(pending) = self.pending.leave(id) else { return };
        self.exchanges.forget(id);
        self.deadlines.remove(&(pending.deadline, Deadline::Pending(id)));
    }

    fn dial(&mut self, id: DialId, remote: SocketAddr, hints: DialHints, out: &mut Vec<Output>) {
        if self.dials.contains_key(&id) {
            return;
        }
        if self.banned.has(remote.ip()) {
            return out.push(Output::DialFailed { dial: id, why: DialFailure::Unreachable });
        }
        if self.queue.len() >= DIALS_QUEUED_MAX {
            return out.push(Output::DialFailed { dial: id, why: DialFailure::NotTried });
        }
        // What others say counts less than what worked, and a plan that begins with encryption needs no hint.
        let hinted = hints.encrypted && self.encryption.outgoing.plan() == Policy::Allow.plan();
        let contrary = self.contrary.has(remote.ip()) || hinted;
        self.dials.insert(id, Dial { remote, tried: 0, contrary, once: hints.once, stage: Stage::Queued });
        self.queue.push_back(id);
    }

    fn connected(&mut self, id: DialId) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        if let Stage::Connecting(deadline) = dial.stage {
            self.deadlines.remove(&(deadline, Deadline::Dial(id)));
            let deadline = self.now + HANDSHAKE_TIME_MAX;
            dial.stage = Stage::Handshaking(deadline);
            self.deadlines.insert((deadline, Deadline::Dial(id)));
        }
    }

    /// Remembers which way led to the host, if it was not the first of the plan, so that the next dial begins with it.
    fn linked(&mut self, id: DialId) {
        let Some(dial) = self.forget_dial(id) else { return };
        let plan = self.encryption.outgoing.plan();
        match dial.crypto(plan) == plan[0] {
            true => self.contrary.remove(dial.remote.ip()),
            false => self.contrary.insert(dial.remote.ip()),
        }
    }

    /// The next way of the plan takes its turn at once, before dials that have not begun; after the last the dial failed.
    ///
    /// All ways are over TCP: where none stands, another would not. And who answers, but not as a peer of this torrent, may
    /// be anybody (C10): only who accepts us and then has nothing to say is asked a second time. Whom a stranger named is not even
    /// then; the next dial, whenever the list allows it, begins with the other way.
    fn way_failed(&mut self, id: DialId, why: DialFailure, heard: bool, out: &mut Vec<Output>) {
        let Some(dial) = self.forget_dial(id) else { return };
        let plan = self.encryption.outgoing.plan();
        let shaking = matches!(dial.stage, Stage::Handshaking(_));
        match dial.crypto(plan) {
            Crypto::Mse(_) | Crypto::Private if shaking => self.tally.outgoing_failed += 1,
            Crypto::Plaintext if shaking && !heard => self.tally.plaintext_unanswered += 1,
            Crypto::Mse(_) | Crypto::Private | Crypto::Plaintext => {}
        }
        let silent = shaking && !heard && plan.len() > 1;
        if silent && dial.once {
            match dial.contrary {
                true => self.contrary.remove(dial.remote.ip()),
                false => self.contrary.insert(dial.remote.ip()),
            }
        }
        if silent && !dial.once && dial.tried + 1 < plan.len() {
            self.dials.insert(id, Dial { tried: dial.tried + 1, stage: Stage::Queued, ..dial });
            self.queue.push_front(id);
        } else {
            out.push(Output::DialFailed { dial: id, why });
        }
    }

    /// Ends a dial that is under way; one that waits stays.
    fn forget_dial(&mut self, id: DialId) -> Option<Dial> {
        let dial = *self.dials.get(&id)?;
        let (Stage::Connecting(deadline) | Stage::Handshaking(deadline)) = dial.stage else { return None };
        self.deadlines.remove(&(deadline, Deadline::Dial(id)));
        self.half_open -= 1;
        self.dials.remove(&id)
    }

    fn expire(&mut self, out: &mut Vec<Output>) {
        while let Some(&(deadline, whose)) = self.deadlines.first()
            && deadline <= self.now
        {
            match whose {
                Deadline::Pending(id) => {
                    self.forget_pending(id);
                    out.push(Output::DropPending(id));
                }
                Deadline::Dial(id) => {
                    out.push(Output::Abandon(id));
                    let connected =
                        self.dials.get(&id).is_some_and(|dial| matches!(dial.stage, Stage::Handshaking(_)));
                    let why = if connected { DialFailure::Handshake } else { DialFailure::TimedOut };
                    self.way_failed(id, why, false, out);
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.half_open < self.pace.half_open_max
    }

    /// When the pace allows the next attempt: a second's worth may be begun at once after a pause.
    fn next_turn(&self) -> Option<Instant> {
        let spacing = Duration::from_secs(1).checked_div(self.pace.dials_per_second)?;
        let credit = Duration::from_secs(1) - spacing;
        let behind = self.dialled_until.as_micros().saturating_sub(credit.as_micros() as u64);
        Some(Instant::from_micros(behind))
    }

    fn begin_dials(&mut self, out: &mut Vec<Output>) {
        while self.has_room()
            && self.next_turn().is_some_and(|turn| turn <= self.now)
            && let Some(id) = self.queue.pop_front()
        {
            let Some(dial) = self.dials.get_mut(&id) else { continue };
            let deadline = self.now + CONNECT_TIME_MAX;
            dial.stage = Stage::Connecting(deadline);
            let crypto = dial.crypto(self.encryption.outgoing.plan());
            let way = Way { transport: Transport::Tcp, crypto };
            out.push(Output::Connect { dial: id, remote: dial.remote, way });
            self.deadlines.insert((deadline, Deadline::Dial(id)));
            self.half_open += 1;
            let spacing = Duration::from_secs(1).checked_div(self.pace.dials_per_second);
            self.dialled_until = self.dialled_until.max(self.now) + spacing.unwrap_or_default();
        }
    }
}

impl Dial {
    /// The way of the plan that is tried, or will be.
    fn crypto(&self, plan: &[Crypto]) -> Crypto {
        let last = plan.len() - 1;
        let step = self.tried.min(last);
        plan[if self.contrary { last - step } else { step }]
    }
}

#[cfg(test)]
mod tests;

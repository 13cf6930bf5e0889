//! Attackers as pure machines: what one sends, given time, chance and what it hears.
//!
//! An [`Attacker`] is handed [`News`] and the time, and appends [`Act`]s. It never touches a socket or a world: the simulator's
//! nodes drive it in one, the real-socket driver of `gannet-hostile` in the other, with the same rows of [`cast::CAST`]. It is
//! no part of what ships. Always holds: the same habit, seed and news give the same acts; what it keeps is bounded by links.
//! Threats: C1 to C10, C12. BEP: 3, 6, 10, 11

pub mod cast;
pub mod chatter;
pub mod gossip;
pub mod habit;
mod line;
pub mod ring;
pub mod swarm;

use core::net::SocketAddr;
use core::time::Duration;
use habit::{Habit, Opens};
use line::Line;
use proto::{Instant, LinkId, Rng, Seed};
use ring::Ring;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::message::{BlockRequest, Message};
use wire::{Block, Metainfo};

/// How often an attacker does what it does by the clock.
pub const PULSE: Duration = Duration::from_millis(250);
/// First calls are spread over this long, so that a crowd of attackers does not come in one instant.
const FIRST_CALLS: Duration = Duration::from_secs(3);

/// Something that an attacker hears.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A link is up.
    Up {
        /// Its name; the driver's to give.
        link: LinkId,
        /// Who is at the other end.
        remote: SocketAddr,
    },
    /// A link is no more.
    Down {
        /// Which.
        link: LinkId,
    },
    /// A message came.
    Said {
        /// Over which link.
        link: LinkId,
        /// What.
        message: &'a Message,
    },
    /// A block came.
    Block {
        /// Over which link.
        link: LinkId,
        /// Which.
        block: BlockRequest,
    },
}

/// Something that an attacker does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    /// Says something.
    Say {
        /// Over which link.
        link: LinkId,
        /// What.
        message: Message,
    },
    /// Sends a block whole, or what was not dripped of it yet.
    Send {
        /// Over which link.
        link: LinkId,
        /// Which.
        block: Block,
        /// What is in it.
        bytes: Bytes,
    },
    /// Sends the next bytes of a block, and no more.
    Drip {
        /// Over which link.
        link: LinkId,
        /// Which.
        block: Block,
        /// How many.
        bytes: u32,
    },
    /// Hangs up.
    HangUp {
        /// On which link.
        link: LinkId,
    },
    /// Dials.
    Dial {
        /// Whom.
        remote: SocketAddr,
    },
}

/// What is in a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bytes {
    /// What should be.
    Right,
    /// Something else; the same for the same salt.
    Wrong {
        /// What makes wrong bytes differ.
        salt: u64,
    },
}

/// Who takes part in an attack, besides its habit.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The torrent that is attacked.
    pub metainfo: Arc<Metainfo>,
    /// Whom to dial.
    pub victims: Vec<SocketAddr>,
    /// Its place among those who work together.
    pub ring: Ring,
    /// Rates are multiplied by this: 1 for large swarms of simulated peers, hundreds for a socket.
    pub vigour: u32,
}

/// One attacker and its links.
#[derive(Clone, Debug)]
pub struct Attacker {
    habit: Habit,
    cause: Cause,
    rng: Rng,
    lines: BTreeMap<LinkId, Line>,
    /// When to dial whom next; nobody twice.
    calls: BTreeSet<(Instant, SocketAddr)>,
    pulse: Option<Instant>,
}

impl Attacker {
    /// An attacker of this habit that begins now.
    pub fn new(habit: &Habit, cause: Cause, seed: Seed, now: Instant) -> Attacker {
        let mut rng = Rng::new(seed);
        let spread = u32::try_from(FIRST_CALLS.as_micros()).unwrap_or(u32::MAX);
        let first = |rng: &mut Rng| now + Duration::from_micros(u64::from(rng.below(spread)));
        let calls = cause.victims.iter().map(|&victim| (first(&mut rng), victim)).collect();
        Attacker { habit: *habit, cause, rng, lines: BTreeMap::new(), calls, pulse: None }
    }

    /// How it behaves.
    pub fn habit(&self) -> &Habit {
        &self.habit
    }

    /// Whether it shakes hands at all.
    pub fn shakes_hands(&self) -> bool {
        match self.habit.opens {
            Opens::Properly | Opens::AsYou | Opens::AsMany => true,
            Opens::Never | Opens::Halfway | Opens::Slowly => false,
        }
    }

    /// Something happened.
    pub fn hear(&mut self, now: Instant, news: News<'_>, acts: &mut Vec<Act>) {
        match news {
            News::Up { link, remote } => self.on_up(now, link, remote, acts),
            News::Down { link } => {
                let Some(line) = self.lines.remove(&link) else { return };
                self.call_later(now, line.remote);
            }
            News::Said { link, message } => {
                if let Some(line) = self.lines.get_mut(&link) {
                    let mut voice = Voice { now, link, habit: &self.habit, cause: &self.cause, acts };
                    line.on_message(&mut voice, message, &mut self.rng);
                }
            }
            News::Block { link, block } => {
                if let Some(line) = self.lines.get_mut(&link) {
                    let mut voice = Voice { now, link, habit: &self.habit, cause: &self.cause, acts };
                    line.on_block(&mut voice, block, &mut self.rng);
                }
            }
        }
    }

    /// Its time has come: see [`Attacker::next_wake`].
    pub fn wake(&mut self, now: Instant, acts: &mut Vec<Act>) {
        while let Some(&(at, remote)) = self.calls.first()
            && at <= now
        {
            self.calls.pop_first();
            acts.push(Act::Dial { remote });
            self.call_later(now, remote);
        }
        if self.pulse.is_none_or(|at| now < at) {
            return;
        }
        self.pulse = (!self.lines.is_empty()).then(|| now + PULSE);
        for (&link, line) in &mut self.lines {
            let mut voice = Voice { now, link, habit: &self.habit, cause: &self.cause, acts };
            line.on_pulse(&mut voice, &mut self.rng);
        }
    }

    /// When to call [`Attacker::wake`] next.
    pub fn next_wake(&self) -> Option<Instant> {
        let call = self.calls.first().map(|&(at, _)| at);
        [call, self.pulse].into_iter().flatten().min()
    }

    fn on_up(&mut self, now: Instant, link: LinkId, remote: SocketAddr, acts: &mut Vec<Act>) {
        self.calls.retain(|&(_, callee)| callee != remote);
        let mut line = Line::new(now, remote, &self.cause.metainfo.layout);
        let mut voice = Voice { now, link, habit: &self.habit, cause: &self.cause, acts };
        line.open(&mut voice, &mut self.rng);
        self.lines.insert(link, line);
        if self.pulse.is_none() && line::acts_by_the_clock(&self.habit) {
            self.pulse = Some(now + PULSE);
        }
    }

    /// It is no use to call those who are no victims: they came to us.
    fn call_later(&mut self, now: Instant, remote: SocketAddr) {
        if !self.cause.victims.contains(&remote) || self.lines.values().any(|line| line.remote == remote) {
            return;
        }
        let most = u32::try_from(self.habit.visits.redials.as_micros()).unwrap_or(u32::MAX);
        let wait = self.habit.visits.redials / 2 + Duration::from_micros(u64::from(self.rng.below(most)));
        self.calls.retain(|&(_, callee)| callee != remote);
        self.calls.insert((now + wait, remote));
    }
}

/// By what a line of an attacker speaks.
pub(crate) struct Voice<'a> {
    now: Instant,
    link: LinkId,
    habit: &'a Habit,
    cause: &'a Cause,
    acts: &'a mut Vec<Act>,
}

impl Voice<'_> {
    fn say(&mut self, message: Message) {
        self.acts.push(Act::Say { link: self.link, message });
    }

    fn send(&mut self, block: Block, bytes: Bytes) {
        self.acts.push(Act::Send { link: self.link, block, bytes });
    }
}

#[cfg(test)]
mod tests;

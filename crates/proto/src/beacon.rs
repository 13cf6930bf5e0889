//! How a share and its receivers find each other on a local network: when the sharer says its number, when a receiver asks for
//! one, what is made of what is heard, and when it is time to say that nothing is.
//!
//! Knows no socket and no code: the driver sends what is to be said to both groups over every interface, and hands in what it
//! hears. What always holds: between two datagrams lies [`REST`], whatever is heard; a receiver believes that somebody shares its
//! number at the address from which that was said, and nothing else; of that it remembers at most [`SHARERS_MAX`], and of one
//! host at most [`PORTS_MAX`]. Who is found may be anybody: what he is worth is seen when the code is proved. Threats: D9

#[cfg(test)]
mod tests;

use crate::hearing::Hearing;
use crate::{Duration, Instant};
use core::net::SocketAddr;
use wire::beacon::{Instance, Kind, Word};

/// A datagram may be lost, and a switch may have just woken up: what was said is said again after these.
const REPEATS: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// A sharer says it so often after that. Receivers ask, so this helps only those whose questions do not arrive.
pub const SHARER_INTERVAL: Duration = Duration::from_secs(30);
/// A receiver asks so often after that: somebody waits in front of it.
pub const RECEIVER_INTERVAL: Duration = Duration::from_secs(5);
/// Between any two datagrams. All answers go to all, so one serves whoever asked in the meantime.
pub const REST: Duration = Duration::from_millis(200);
/// Whoever has heard nothing for so long says so: within five seconds of when a person began to wait.
pub const PATIENCE: Duration = Duration::from_millis(4_500);
/// Addresses at which somebody says to share our number; then the one that was silent for longest makes room. One machine with
/// several interfaces has some four.
pub const SHARERS_MAX: usize = 32;
/// Ports of one host that are believed: shares with the same number on one machine.
pub const PORTS_MAX: usize = 4;

/// Which side we are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// We share under the number.
    Sharer {
        /// Where we await receivers; not 0.
        port: u16,
    },
    /// We look for who does.
    Receiver,
}

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// The time that `next_wake` asked for has come, or any other.
    Wake,
    /// A word was heard; a stranger's, or our own.
    Heard {
        /// Who sent it, as the kernel says.
        from: SocketAddr,
        /// What it says.
        word: Word,
    },
    /// There are other interfaces or addresses than before: whoever is there now has not heard of us.
    NetworkChanged,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Say this to both groups, over every interface.
    Say(Word),
    /// Somebody says to share our number; told once, and again if it was forgotten meanwhile.
    Found(Sharer),
    /// Nobody was heard for [`PATIENCE`] who is looked for; told once after the beginning, and after each change of the network.
    Silence(Silence),
}

/// Who says to share a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sharer {
    /// As it calls itself; several addresses of one machine say the same, and so could others.
    pub instance: Instance,
    /// Where.
    pub address: SocketAddr,
}

/// What was heard in place of what is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Nothing at all, not even what we said: multicast is blocked on this machine, or there is no network.
    Deaf,
    /// Ourselves and nobody else: nobody is here, or multicast is blocked between us. Sharers are not told.
    Alone,
    /// Others, who share other numbers or look for some: multicast works. Sharers are not told.
    Others,
}

/// The machine of one share, or of one search.
#[derive(Debug)]
pub struct Beacon {
    role: Role,
    nameplate: u16,
    instance: Instance,
    said: Option<Instant>,
    due: Instant,
    /// How often it was said since the beginning.
    times: usize,
    heard: Heard,
    /// When to say that it was nothing.
    judge_at: Option<Instant>,
    hearing: Hearing,
    sharers: Vec<(Sharer, Instant)>,
}

/// The most telling word since the beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Heard {
    Nothing,
    Ourselves,
    Others,
    /// As a receiver: one who shares our number.
    Sought,
}

impl Beacon {
    /// Begins at once. The number is that of the code; the instance is chance that was drawn for this.
    pub fn new(role: Role, nameplate: u16, instance: Instance, now: Instant) -> Beacon {
        Beacon {
            role,
            nameplate,
            instance,
            said: None,
            due: now,
            times: 0,
            heard: Heard::Nothing,
            judge_at: Some(now + PATIENCE),
            hearing: Hearing::new(PORTS_MAX, now),
            sharers: Vec::new(),
        }
    }

    /// One thing happened at `now`; everything to be done about it is appended to `out`.
    pub fn handle(&mut self, now: Instant, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Wake => {}
            Input::Heard { from, word } => self.hear(now, from, word, out),
            Input::NetworkChanged => self.begin_again(now),
        }
        self.speak(now, out);
        self.judge(now, out);
    }

    /// When to call `handle(now, Input::Wake, ..)` next.
    pub fn next_wake(&self) -> Instant {
        self.judge_at.map_or(self.due, |judge_at| self.due.min(judge_at))
    }

    fn hear(&mut self, now: Instant, from: SocketAddr, word: Word, out: &mut Vec<Output>) {
        if word.instance == self.instance {
            self.heard = self.heard.max(Heard::Ourselves);
            return;
        }
        self.heard = self.heard.max(Heard::Others);
        if word.nameplate != self.nameplate {
            return;
        }
        match (self.role, word.kind) {
            (Role::Sharer { .. }, Kind::Who) => self.due = self.due.min(self.rested(now)),
            (Role::Receiver, Kind::Here { port }) => {
                let mut address = from;
                address.set_port(port);
                self.find(now, Sharer { instance: word.instance, address }, out);
            }
            // Another receiver, or another share of the same number: its receivers try us both.
            (Role::Receiver, Kind::Who) | (Role::Sharer { .. }, Kind::Here { .. }) => {}
        }
    }

    fn find(&mut self, now: Instant, sharer: Sharer, out: &mut Vec<Output>) {
        if !self.hearing.believes(now, sharer.address) {
            return;
        }
        self.heard = Heard::Sought;
        if let Some((_, heard)) = self.sharers.iter_mut().find(|(known, _)| *known == sharer) {
            *heard = now;
            return;
        }
        // Whoever has a new name at the same address has begun anew.
        self.sharers.retain(|(known, _)| known.address != sharer.address);
        if self.sharers.len() >= SHARERS_MAX {
            let oldest = self.sharers.iter().enumerate().min_by_key(|(_, (_, heard))| *heard);
            if let Some((oldest, _)) = oldest {
                self.sharers.remove(oldest);
            }
        }
        self.sharers.push((sharer, now));
        out.push(Output::Found(sharer));
    }

    /// Everything is said as if it were new, and it is judged anew what is heard.
    fn begin_again(&mut self, now: Instant) {
        (self.due, self.times) = (self.rested(now), 0);
        (self.heard, self.judge_at) = (Heard::Nothing, Some(now + PATIENCE));
    }

    fn speak(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.due > now {
            return;
        }
        let (kind, interval) = match self.role {
            Role::Sharer { port } => (Kind::Here { port }, SHARER_INTERVAL),
            Role::Receiver => (Kind::Who, RECEIVER_INTERVAL),
        };
        self.said = Some(now);
        self.due = now + REPEATS.get(self.times).copied().unwrap_or(interval);
        self.times = self.times.saturating_add(1);
        out.push(Output::Say(Word { nameplate: self.nameplate, instance: self.instance, kind }));
    }

    fn judge(&mut self, now: Instant, out: &mut Vec<Output>) {
        if self.judge_at.is_none_or(|judge_at| judge_at > now) {
            return;
        }
        self.judge_at = None;
        let silence = match (self.heard, self.role) {
            (Heard::Nothing, _) => Silence::Deaf,
            (Heard::Ourselves, Role::Receiver) => Silence::Alone,
            (Heard::Others, Role::Receiver) => Silence::Others,
            (Heard::Sought, _) | (_, Role::Sharer { .. }) => return,
        };
        out.push(Output::Silence(silence));
    }

    /// The next moment at which something may be said.
    fn rested(&self, now: Instant) -> Instant {
        self.said.map_or(now, |said| now.max(said + REST))
    }
}

//! Who came to a share: each by one number, however often it comes back, with what it said. Says who is told of whom. Pure.
//!
//! What always holds: at most [`KNOWN_MAX`] are remembered; a receiver has at most one line, and only who has one is told to others.

use std::net::SocketAddr;
use wire::DisplaySafe;
use wire::offer::{INSTANCE_LEN, PEERS_MAX, SharerSays};

/// Receivers that are remembered: all that can be here at once, and three times as many that have left.
const KNOWN_MAX: usize = 256;

/// How a receiver stands to what is offered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReceiverState {
    /// It was told, and has not decided.
    Asked,
    /// It takes it.
    Wants,
    /// It does not.
    Declined,
    /// It has everything, whether it is still here or not.
    Complete,
    /// It left before it had everything, and may come back.
    Left,
}

/// A receiver as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiverStatus {
    /// The same whenever it comes; counted from 1.
    pub number: u64,
    /// As it calls itself.
    pub name: DisplaySafe,
    /// Where it came from last.
    pub from: SocketAddr,
    /// What it decided, and what became of it.
    pub state: ReceiverState,
    /// Bytes that it says to have, verified.
    pub has: u64,
    /// Its line stands: it can pass on what it has.
    pub here: bool,
}

/// The name of a line; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct LineId(pub(super) u64);

#[derive(Debug)]
struct Receiver {
    instance: [u8; INSTANCE_LEN],
    status: ReceiverStatus,
    line: Option<LineId>,
    /// Where it takes the swarm's links, once it wants something.
    swarm: Option<SocketAddr>,
}

/// Everybody who came, in that order.
#[derive(Debug, Default)]
pub(super) struct Receivers {
    known: Vec<Receiver>,
    numbers: u64,
    /// How many said that they have everything, whether they are remembered or not.
    copies: u32,
}

impl Receivers {
    /// Whether whoever is at the other end of a line has said who it is.
    pub(super) fn knows(&self, line: LineId) -> bool {
        self.known.iter().any(|known| known.line == Some(line))
    }

    /// Somebody said over a line, for the first time, who it is. Its number, and the line that it had before, if that is still thought to stand.
    pub(super) fn came(
        &mut self,
        line: LineId,
        instance: [u8; INSTANCE_LEN],
        name: DisplaySafe,
        from: SocketAddr,
    ) -> (u64, Option<LineId>) {
        if let Some(known) = self.known.iter_mut().find(|known| known.instance == instance) {
            let before = known.line.replace(line).filter(|before| *before != line);
            (known.status.name, known.status.from, known.swarm) = (name, from, None);
            known.status.here = true;
            if known.status.state != ReceiverState::Complete {
                known.status.state = ReceiverState::Asked;
            }
            return (known.status.number, before);
        }
        if self.known.len() >= KNOWN_MAX
            && let Some(gone) = self.known.iter().position(|known| known.line.is_none())
        {
            self.known.remove(gone);
        }
        self.numbers += 1;
        let number = self.numbers;
        let status = ReceiverStatus { number, name, from, state: ReceiverState::Asked, has: 0, here: true };
        self.known.push(Receiver { instance, status, line: Some(line), swarm: None });
        (number, None)
    }

    /// Whoever is at the other end of a line takes what is offered, and the swarm's links at this port of its address.
    pub(super) fn wants(&mut self, line: LineId, swarm_port: u16) -> Option<u64> {
        let known = self.at(line)?;
        let mut address = known.status.from;
        address.set_port(swarm_port);
        known.swarm = Some(address).filter(|address| address.port() != 0);
        if known.status.state != ReceiverState::Complete {
            known.status.state = ReceiverState::Wants;
        }
        Some(known.status.number)
    }

    /// It does not.
    pub(super) fn declined(&mut self, line: LineId) -> Option<u64> {
        let known = self.at(line)?;
        known.swarm = None;
        // Who has everything stays counted, and is counted once.
        if known.status.state == ReceiverState::Complete {
            return None;
        }
        known.status.state = ReceiverState::Declined;
        Some(known.status.number)
    }

    /// It has so many bytes.
    pub(super) fn has(&mut self, line: LineId, bytes: u64) {
        if let Some(known) = self.at(line) {
            known.status.has = bytes;
        }
    }

    /// It has everything. Its number, if that is news.
    pub(super) fn complete(&mut self, line: LineId) -> Option<u64> {
        let known = self.at(line)?;
        let before = std::mem::replace(&mut known.status.state, ReceiverState::Complete);
        let news = (before != ReceiverState::Complete).then_some(known.status.number);
        self.copies = self.copies.saturating_add(u32::from(news.is_some()));
        news
    }

    /// A line ended.
    pub(super) fn left(&mut self, line: LineId) -> Option<u64> {
        let known = self.at(line)?;
        (known.line, known.swarm, known.status.here) = (None, None, false);
        known.status.state = match known.status.state {
            ReceiverState::Complete => ReceiverState::Complete,
            ReceiverState::Declined => ReceiverState::Declined,
            ReceiverState::Asked | ReceiverState::Wants | ReceiverState::Left => ReceiverState::Left,
        };
        Some(known.status.number)
    }

    /// Whether the receiver of this line takes, or has taken, what is offered.
    pub(super) fn is_taking(&self, line: LineId) -> bool {
        self.known.iter().any(|known| known.line == Some(line) && known.takes_part())
    }

    /// Whom the receiver of this line should know of: everybody else who takes part.
    pub(super) fn others_of(&self, line: LineId) -> SharerSays {
        let to = self.known.iter().find(|known| known.line == Some(line)).map(|known| known.status.from);
        let others = || self.known.iter().filter(|known| known.line != Some(line) && known.takes_part());
        let incomplete =
            others().filter(|other| other.status.state != ReceiverState::Complete).count() as u32;
        let addresses = others().filter_map(|other| other.swarm);
        let told = addresses.filter(|&address| to.is_some_and(|to| reaches(to, address)));
        SharerSays::Peers { others: told.take(PEERS_MAX).collect(), incomplete }
    }

    /// How many said that they have everything, whether they are still here or not.
    pub(super) fn copies(&self) -> u32 {
        self.copies
    }

    /// How many of those are here.
    pub(super) fn copies_here(&self) -> u32 {
        let complete = |known: &&Receiver| known.status.state == ReceiverState::Complete;
        self.known.iter().filter(|known| known.status.here).filter(complete).count() as u32
    }

    /// Everybody as they stand.
    pub(super) fn statuses(&self) -> Vec<ReceiverStatus> {
        self.known.iter().map(|known| known.status.clone()).collect()
    }

    fn at(&mut self, line: LineId) -> Option<&mut Receiver> {
        self.known.iter_mut().find(|known| known.line == Some(line))
    }
}

impl Receiver {
    /// Whether it is here and takes, or has taken, what is offered.
    fn takes_part(&self) -> bool {
        let takes = matches!(self.status.state, ReceiverState::Wants | ReceiverState::Complete);
        self.line.is_some() && takes
    }
}

/// Whether who came from one address may reach the other: what is on this machine alone nobody else reaches, and what is on one network
/// alone only who came over that.
fn reaches(from: SocketAddr, to: SocketAddr) -> bool {
    (from.ip().is_loopback() || !to.ip().is_loopback()) && proto::address::means_something_to(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who came over this line, under this name, from this address, and wants what is offered.
    fn takes(receivers: &mut Receivers, line: u64, name: &str, from: &str) -> u64 {
        let mut instance = [0; INSTANCE_LEN];
        instance[..name.len()].copy_from_slice(name.as_bytes());
        let (number, _) = receivers.came(LineId(line), instance, name.into(), from.parse().unwrap());
        assert_eq!(receivers.wants(LineId(line), 7000 + line as u16), Some(number));
        number
    }

    fn others(receivers: &Receivers, line: u64) -> (Vec<String>, u32) {
        match receivers.others_of(LineId(line)) {
            SharerSays::Peers { others, incomplete } => {
                (others.iter().map(SocketAddr::to_string).collect(), incomplete)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_is_told_of_those_whom_it_can_reach() {
        let mut receivers = Receivers::default();
        let from = [
            "192.168.1.2:4000",
            "192.168.1.3:4000",
            "127.0.0.1:4000",
            "127.0.0.1:4001",
            "[fe80::1%2]:4000",
            "[fe80::2%2]:4000",
            "[fe80::3%3]:4000",
        ];
        for (line, from) in (0..).zip(from) {
            takes(&mut receivers, line, &format!("receiver {line}"), from);
        }
        for (line, expected) in [
            (0, &["192.168.1.3:7001"][..]),
            (1, &["192.168.1.2:7000"]),
            (2, &["192.168.1.2:7000", "192.168.1.3:7001", "127.0.0.1:7003"]),
            (4, &["192.168.1.2:7000", "192.168.1.3:7001", "[fe80::2%2]:7005"]),
            (6, &["192.168.1.2:7000", "192.168.1.3:7001"]),
        ] {
            assert_eq!(others(&receivers, line), (expected.iter().map(|one| one.to_string()).collect(), 6));
        }
    }

    #[test]
    fn who_comes_back_is_the_same_and_its_older_line_is_named() {
        let mut receivers = Receivers::default();
        let number = takes(&mut receivers, 1, "kitchen", "10.0.0.1:4000");
        receivers.has(LineId(1), 5);
        let again = receivers.came(
            LineId(2),
            *b"kitchen\0\0\0\0\0\0\0\0\0",
            "kitchen".into(),
            "10.0.0.9:1".parse().unwrap(),
        );
        assert_eq!(again, (number, Some(LineId(1))));
        assert_eq!(receivers.left(LineId(1)), None, "that line is nobody's any more");
        assert_eq!(receivers.left(LineId(2)), Some(number));
        assert_eq!(receivers.statuses()[0].state, ReceiverState::Left);
        assert_eq!(takes(&mut receivers, 3, "kitchen", "10.0.0.1:4000"), number);
        assert_eq!(takes(&mut receivers, 4, "attic", "10.0.0.2:4000"), number + 1);
        assert_eq!(receivers.complete(LineId(3)), Some(number));
        assert_eq!(receivers.complete(LineId(3)), None, "no news");
        assert_eq!(receivers.left(LineId(3)), Some(number));
        let [kitchen, attic] = &receivers.statuses()[..] else { panic!("two") };
        assert_eq!((kitchen.state, kitchen.has, kitchen.here), (ReceiverState::Complete, 5, false));
        assert_eq!((attic.state, attic.here), (ReceiverState::Wants, true));
        assert_eq!((receivers.copies(), receivers.copies_here()), (1, 0), "it took its copy with it");
        takes(&mut receivers, 5, "kitchen", "10.0.0.1:4000");
        assert_eq!((receivers.copies(), receivers.copies_here()), (1, 1), "and brought it back");
    }

    #[test]
    fn only_who_is_here_and_takes_part_is_waited_for() {
        let mut receivers = Receivers::default();
        for (line, name) in [(1, "one"), (2, "two"), (3, "three"), (4, "four")] {
            takes(&mut receivers, line, name, &format!("10.0.0.{line}:4000"));
        }
        assert_eq!(others(&receivers, 1).1, 3);
        receivers.complete(LineId(2));
        receivers.left(LineId(3));
        receivers.declined(LineId(4));
        assert_eq!(others(&receivers, 1), (vec!["10.0.0.2:7002".to_owned()], 0));
        assert_eq!(others(&receivers, 2), (vec!["10.0.0.1:7001".to_owned()], 1));
    }

    #[test]
    fn more_than_can_be_remembered_push_out_who_left_first() {
        let mut receivers = Receivers::default();
        for line in 0..KNOWN_MAX as u64 + 10 {
            takes(&mut receivers, line, &format!("number {line}"), "10.0.0.1:4000");
            if line >= 60 {
                receivers.left(LineId(line));
            }
        }
        let statuses = receivers.statuses();
        assert_eq!(statuses.len(), KNOWN_MAX);
        assert!(statuses[..60].iter().all(|status| status.state == ReceiverState::Wants));
        assert_eq!(statuses[60].number, 71);
    }

    #[test]
    fn copies_are_counted_beyond_those_who_are_remembered() {
        let mut receivers = Receivers::default();
        for line in 0..KNOWN_MAX as u64 + 10 {
            takes(&mut receivers, line, &format!("number {line}"), "10.0.0.1:4000");
            receivers.complete(LineId(line));
            receivers.left(LineId(line));
        }
        assert_eq!((receivers.statuses().len(), receivers.copies()), (KNOWN_MAX, KNOWN_MAX as u32 + 10));
    }
}

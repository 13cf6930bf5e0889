//! Who has shown that he is where he says, by answering a question of ours; and long answers that wait until somebody has.
//!
//! A question's sender may be forged, so a stranger gets little (see `responder`). What is worth more to him is held, he is asked for a sign of
//! life, and when that comes from his address he gets it. Invariants: at most [`PROVEN_MAX`] addresses are remembered, each for [`PROVEN_FOR`];
//! at most [`HELD_MAX`] answers wait, few of one host, none longer than [`HELD_FOR`]. BEP: 5, 33, 44. Threats: D3

use crate::{Duration, Instant, address};
use core::net::SocketAddr;
use std::collections::{BTreeMap, VecDeque};

/// Addresses remembered: those that a walk or two in each minute bring.
const PROVEN_MAX: usize = 2048;

/// As long as a token is good.
const PROVEN_FOR: Duration = Duration::from_secs(600);

/// Answers that wait, of 1,200 bytes at most; it bounds too how fast strangers are asked.
const HELD_MAX: usize = 64;

/// Answers that wait for one host: a search or two of a household.
const HELD_PER_HOST_MAX: usize = 4;

/// Longer than a sign of life takes, shorter than askers wait.
const HELD_FOR: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
struct Held {
    to: SocketAddr,
    bytes: Vec<u8>,
    until: Instant,
}

/// Who has proved his address, and what waits for others to do so.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    proven: BTreeMap<SocketAddr, Instant>,
    /// The same in the order of time; an address that proved itself again is there twice.
    order: VecDeque<(Instant, SocketAddr)>,
    /// In the order of time.
    held: VecDeque<Held>,
}

impl Proofs {
    /// Whether this address has proved itself lately.
    pub(super) fn has(&self, now: Instant, address: SocketAddr) -> bool {
        self.proven.get(&address).is_some_and(|then| now.since(*then) < PROVEN_FOR)
    }

    /// A question of ours was answered from this address. Returns the answers that waited for that.
    pub(super) fn prove(&mut self, now: Instant, address: SocketAddr) -> Vec<Vec<u8>> {
        if self.proven.insert(address, now) != Some(now) {
            self.order.push_back((now, address));
        }
        while let Some(&(then, first)) = self.order.front()
            && (self.order.len() > PROVEN_MAX || now.since(then) >= PROVEN_FOR)
        {
            self.order.pop_front();
            if self.proven.get(&first) == Some(&then) {
                self.proven.remove(&first);
            }
        }
        self.drop_late(now);
        let mut released = Vec::new();
        self.held.retain_mut(|held| {
            let stays = held.to != address;
            if !stays {
                released.push(core::mem::take(&mut held.bytes));
            }
            stays
        });
        released
    }

    /// An answer waits for a proof. Says whether there was room for it.
    pub(super) fn hold(&mut self, now: Instant, to: SocketAddr, bytes: &[u8]) -> bool {
        self.drop_late(now);
        let host = address::host(to.ip());
        let of_host = self.held.iter().filter(|held| address::host(held.to.ip()) == host).count();
        let room = self.held.len() < HELD_MAX && of_host < HELD_PER_HOST_MAX;
        if room {
            self.held.push_back(Held { to, bytes: bytes.to_vec(), until: now + HELD_FOR });
        }
        room
    }

    fn drop_late(&mut self, now: Instant) {
        while self.held.front().is_some_and(|held| held.until <= now) {
            self.held.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from(((0x0900_0000 + n).to_be_bytes(), 6881))
    }

    #[test]
    fn what_is_held_goes_to_whom_it_is_for_and_to_nobody_after_three_seconds() {
        for (proved_by, after, expected) in
            [(address(1), 0, 2), (address(1), 2999, 2), (address(1), 3000, 0), (address(2), 100, 0)]
        {
            let mut proofs = Proofs::default();
            assert!(proofs.hold(at(0), address(1), b"long") && proofs.hold(at(0), address(1), b"longer"));
            assert_eq!(proofs.prove(at(after), proved_by).len(), expected, "{proved_by} after {after} ms");
            assert_eq!(proofs.prove(at(after), proved_by).len(), 0, "once");
        }
    }

    #[test]
    fn few_answers_wait_and_few_of_a_host() {
        let mut proofs = Proofs::default();
        let of_host = |n: u16| SocketAddr::new(address(1).ip(), n);
        assert_eq!((1..100).filter(|n| proofs.hold(at(0), of_host(*n), b"x")).count(), HELD_PER_HOST_MAX);
        let all = (2..1000).filter(|n| proofs.hold(at(0), address(*n), b"x")).count();
        assert_eq!(all + HELD_PER_HOST_MAX, HELD_MAX);
        assert!(proofs.hold(at(3000), address(2000), b"x"), "those that are late make room");
    }

    #[test]
    fn a_proof_holds_for_ten_minutes_and_those_remembered_are_bounded() {
        let mut proofs = Proofs::default();
        proofs.prove(at(0), address(1));
        assert!(proofs.has(at(599_999), address(1)) && !proofs.has(at(600_000), address(1)));
        assert!(!proofs.has(at(1), SocketAddr::new(address(1).ip(), 1)), "another port is another program");
        for n in 0..3 * PROVEN_MAX as u32 {
            proofs.prove(at(1), address(n));
            assert!(proofs.order.len() <= PROVEN_MAX && proofs.proven.len() <= PROVEN_MAX);
        }
    }
}

//! One known peer, and the order in which known peers are dialled. Holds; decides nothing.

use super::Kept;
use crate::Instant;
use crate::input::PeerSource;
use core::net::{IpAddr, SocketAddr};

/// One known peer.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) address: Kept,
    /// Since when, or until when, its phase lasts.
    at: Instant,
    /// Whose word it is, if nobody better named it than a peer.
    pub(super) teller: Option<Box<IpAddr>>,
    /// BEP 40 if our address is known, else drawn by lot.
    pub(super) priority: u32,
    /// The best source that named it.
    pub(super) source: PeerSource,
    phase: Phase,
    /// Dials and links that went wrong since the last that went well.
    pub(super) fails: u8,
    /// It shook hands with us, at some time.
    pub(super) proven: bool,
    /// It waits because neither had anything for the other.
    pub(super) useless: bool,
    /// Nobody said that it can be reached.
    pub(super) doubtful: bool,
    /// Somebody said that it prefers encryption.
    pub(super) encrypted: bool,
}

/// A state without its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Ready,
    Waiting,
    Dialling,
    Linked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Ready,
    Waiting(Instant),
    Dialling,
    /// Since when.
    Linked(Instant),
}

/// The order in which candidates are dialled; the least is the best.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Order {
    fails: u8,
    source: PeerSource,
    doubtful: bool,
    /// Priority, turned round.
    rank: u32,
    slot: u16,
}

impl Candidate {
    /// One that may be dialled.
    pub(super) fn new(address: SocketAddr, source: PeerSource, priority: u32) -> Candidate {
        Candidate {
            address: Kept::new(address),
            at: Instant::ZERO,
            teller: None,
            priority,
            source,
            phase: Phase::Ready,
            fails: 0,
            proven: false,
            useless: false,
            doubtful: false,
            encrypted: false,
        }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Ready => State::Ready,
            Phase::Waiting => State::Waiting(self.at),
            Phase::Dialling => State::Dialling,
            Phase::Linked => State::Linked(self.at),
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        (self.phase, self.at) = match state {
            State::Ready => (Phase::Ready, Instant::ZERO),
            State::Waiting(until) => (Phase::Waiting, until),
            State::Dialling => (Phase::Dialling, Instant::ZERO),
            State::Linked(since) => (Phase::Linked, since),
        };
    }

    /// Until when it waits; for one that does not, long ago.
    pub(super) fn waits_until(&self) -> Instant {
        if self.phase == Phase::Waiting { self.at } else { Instant::ZERO }
    }

    pub(super) fn order(&self, slot: u16) -> Order {
        let Candidate { fails, source, doubtful, priority, .. } = *self;
        Order { fails, source, doubtful, rank: u32::MAX - priority, slot }
    }
}

//! When to wake, and for whom: one keyed timer per purpose, all of a session's in one ordered structure.
//!
//! Not a scheduler: it runs nothing, it answers "which keys are due". Invariant: a key is armed at most once, so the size is
//! bounded by what exists (torrents and peers), and `by_time` and `by_key` always say the same.

use crate::{Instant, PeerKey, TorrentId};
use std::collections::{BTreeMap, BTreeSet};

/// What a wake-up is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer {
    /// The choker meets.
    Choke,
    /// The upload allowance has grown, or a stalled uplink may be probed.
    Upload,
    /// The download allowance has grown: links that were stopped may be read again.
    Download,
    /// Memory was set free: torrents that were refused some may ask for more.
    Memory,
    /// Something of one torrent.
    Torrent(TorrentId, TorrentTimer),
    /// The next thing that one peer's clocks say: a request out of time, silence, a keep-alive.
    Peer(TorrentId, PeerKey),
}

/// What a torrent wakes for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TorrentTimer {
    /// The have messages that have gathered go out.
    Haves,
    /// Blocks are old enough to be spilled, or writes to be synced.
    Durability,
    /// The trackers.
    Announce,
    /// Candidates may be dialled.
    Dial,
    /// A failed storage may be tried again.
    Retry,
    /// Peers are told of one another (BEP 11).
    Pex,
    /// A web seed that failed may be asked again.
    WebSeeds,
    /// A peer that was asked for metadata may have run out of time, or have rested long enough.
    Metadata,
    /// Peers that could be asked for nothing may be asked for what others do not send.
    Starved,
    /// The seeding goal may be reached.
    SeedGoal,
}

/// All armed timers of a session.
#[derive(Debug, Default)]
pub struct Timers {
    by_time: BTreeSet<(Instant, Timer)>,
    by_key: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Nothing armed.
    pub fn new() -> Timers {
        Timers::default()
    }

    /// Arms a timer for this time, wherever it stood before.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        match self.by_key.insert(timer, at) {
            Some(before) if before == at => {}
            Some(before) => {
                self.by_time.remove(&(before, timer));
                self.by_time.insert((at, timer));
            }
            None => {
                self.by_time.insert((at, timer));
            }
        }
    }

    /// Arms a timer for this time, unless it goes off earlier anyway.
    pub fn set_no_later(&mut self, timer: Timer, at: Instant) {
        if self.at(timer).is_none_or(|armed| armed > at) {
            self.set(timer, at);
        }
    }

    /// Disarms a timer.
    pub fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.by_key.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// Arms or disarms.
    pub fn set_or_clear(&mut self, timer: Timer, at: Option<Instant>) {
        match at {
            Some(at) => self.set(timer, at),
            None => self.clear(timer),
        }
    }

    /// Disarms all timers of a torrent and its peers.
    pub fn forget_torrent(&mut self, torrent: TorrentId) {
        let of_peers =
            Timer::Peer(torrent, PeerKey::new(0, 0))..=Timer::Peer(torrent, PeerKey::new(u16::MAX, u16::MAX));
        let of_torrent =
            Timer::Torrent(torrent, TorrentTimer::Haves)..=Timer::Torrent(torrent, TorrentTimer::SeedGoal);
        let keys: Vec<Timer> = self
            .by_key
            .range(of_peers)
            .chain(self.by_key.range(of_torrent))
            .map(|(&timer, _)| timer)
            .collect();
        for timer in keys {
            self.clear(timer);
        }
    }

    /// When this timer goes off.
    pub fn at(&self, timer: Timer) -> Option<Instant> {
        self.by_key.get(&timer).copied()
    }

    /// When the next timer goes off.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    /// Takes out one timer that is due at `now`, the earliest first, equal times in key order.
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_key.remove(&timer);
        Some(timer)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: TorrentId = TorrentId { slot: 1, generation: 0 };

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn timers_come_due_in_order_and_once() {
        let mut timers = Timers::new();
        timers.set(Timer::Choke, at(30));
        timers.set(Timer::Upload, at(10));
        timers.set(Timer::Torrent(T, TorrentTimer::Dial), at(20));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(25)), Some(Timer::Upload));
        assert_eq!(timers.pop_due(at(25)), Some(Timer::Torrent(T, TorrentTimer::Dial)));
        assert_eq!(timers.pop_due(at(25)), None);
        assert_eq!(timers.len(), 1);
    }

    #[test]
    fn a_timer_that_is_moved_goes_off_once_at_its_last_time() {
        let mut timers = Timers::new();
        for time in [50, 20, 90, 40] {
            timers.set(Timer::Choke, at(time));
        }
        timers.set_no_later(Timer::Choke, at(60));
        assert_eq!((timers.next(), timers.len()), (Some(at(40)), 1));
        timers.set_no_later(Timer::Choke, at(10));
        assert_eq!(timers.pop_due(at(100)), Some(Timer::Choke));
        assert!(timers.is_empty() && timers.next().is_none());
    }

    #[test]
    fn a_forgotten_torrent_leaves_no_timer_and_others_keep_theirs() {
        let other = TorrentId { slot: 2, generation: 0 };
        let mut timers = Timers::new();
        timers.set(Timer::Peer(T, PeerKey::new(0, 0)), at(1));
        timers.set(Timer::Peer(T, PeerKey::new(u16::MAX, u16::MAX)), at(2));
        timers.set(Timer::Torrent(T, TorrentTimer::Haves), at(3));
        timers.set(Timer::Peer(other, PeerKey::new(0, 0)), at(4));
        timers.forget_torrent(T);
        assert_eq!(timers.pop_due(at(9)), Some(Timer::Peer(other, PeerKey::new(0, 0))));
        assert!(timers.is_empty());
    }
}

//! When to wake, and for whom: one keyed timer per purpose, all of a session's in one ordered list.
//!
//! Not a scheduler: it runs nothing, it answers "which keys are due". Invariant: a key is armed at most once, so the size is
//! bounded by what exists (torrents and peers), and `least` says of each part of the list when the first of it goes off.

use crate::{Instant, PeerKey, TorrentId};
use core::ops::RangeInclusive;

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

/// Rows of one part of the list: looking through them costs no more than a step in a tree.
const PART: usize = 32;

/// All armed timers of a session.
///
/// A sorted list: 24 bytes a timer, and moving one within it costs nothing. What comes and goes is peers, and who has thousands of
/// them moves some hundred kilobytes with each.
#[derive(Debug, Default)]
pub struct Timers {
    /// In the order of keys. One that is not armed, and likely to be armed again, stands at [`Instant::FAR`].
    rows: Vec<(Timer, Instant)>,
    /// When the first of each [`PART`] goes off, if there are two parts or more.
    least: Vec<Instant>,
    /// When the first of all goes off.
    first: Option<Instant>,
}

impl Timers {
    /// Nothing armed.
    pub fn new() -> Timers {
        Timers::default()
    }

    /// Arms a timer for this time, wherever it stood before.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        match self.find(timer) {
            Ok(place) => self.move_to(place, at),
            Err(place) => {
                // A session has few timers, and there may be a million sessions: no room for twice as many.
                if self.rows.len() == self.rows.capacity() {
                    self.rows.reserve_exact(8 + self.rows.len() / 4);
                }
                self.rows.insert(place, (timer, at));
                self.part_anew(place);
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
        let Ok(place) = self.find(timer) else { return };
        match timer {
            Timer::Peer(..) => {
                self.rows.remove(place);
                self.part_anew(place);
            }
            Timer::Choke | Timer::Upload | Timer::Download | Timer::Memory | Timer::Torrent(..) => {
                self.move_to(place, Instant::FAR);
            }
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
        let of_torrent =
            Timer::Torrent(torrent, TorrentTimer::Haves)..=Timer::Torrent(torrent, TorrentTimer::SeedGoal);
        let of_peers =
            Timer::Peer(torrent, PeerKey::new(0, 0))..=Timer::Peer(torrent, PeerKey::new(u16::MAX, u16::MAX));
        self.forget(&of_peers);
        self.forget(&of_torrent);
    }

    /// When this timer goes off.
    pub fn at(&self, timer: Timer) -> Option<Instant> {
        let place = self.find(timer).ok()?;
        Some(self.rows[place].1).filter(|&at| at < Instant::FAR)
    }

    /// When the next timer goes off.
    pub fn next(&self) -> Option<Instant> {
        self.first
    }

    /// Takes out one timer that is due at `now`, the earliest first, equal times in key order.
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let first = self.first.filter(|&first| first <= now)?;
        let part = self.least.iter().position(|&least| least == first).unwrap_or(0);
        let rows = self.rows[part * PART..].iter();
        let place = part * PART + rows.take_while(|&&(_, at)| at != first).count();
        let timer = self.rows.get(place)?.0;
        self.move_to(place, Instant::FAR);
        Some(timer)
    }

    /// How many are armed.
    pub fn len(&self) -> usize {
        self.rows.iter().filter(|(_, at)| *at < Instant::FAR).count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn find(&self, timer: Timer) -> Result<usize, usize> {
        self.rows.binary_search_by(|(other, _)| other.cmp(&timer))
    }

    fn move_to(&mut self, place: usize, at: Instant) {
        let before = core::mem::replace(&mut self.rows[place].1, at);
        let part = place / PART;
        if let Some(least) = self.least.get_mut(part) {
            if at <= *least {
                *least = at;
            } else if before == *least {
                *least = first_of(&self.rows, part);
            }
        }
        let first = self.first.unwrap_or(Instant::FAR);
        if at <= first {
            self.set_first(at);
        } else if before == first {
            self.look_for_first();
        }
    }

    /// Rows from here on stand at other places than before.
    fn part_anew(&mut self, from: usize) {
        let parts = self.rows.len().div_ceil(PART);
        if parts < 2 {
            self.least = Vec::new();
        } else {
            self.least.truncate(from / PART);
            for part in self.least.len()..parts {
                self.least.push(first_of(&self.rows, part));
            }
        }
        self.look_for_first();
    }

    fn look_for_first(&mut self) {
        let first = match self.least.is_empty() {
            true => first_of(&self.rows, 0),
            false => self.least.iter().copied().min().unwrap_or(Instant::FAR),
        };
        self.set_first(first);
    }

    fn set_first(&mut self, first: Instant) {
        self.first = Some(first).filter(|&first| first < Instant::FAR);
    }

    fn forget(&mut self, keys: &RangeInclusive<Timer>) {
        self.rows.retain(|(timer, _)| !keys.contains(timer));
        self.part_anew(0);
    }
}

/// When the first timer of a part goes off.
fn first_of(rows: &[(Timer, Instant)], part: usize) -> Instant {
    let rows = rows.iter().skip(part * PART).take(PART);
    rows.map(|&(_, at)| at).min().unwrap_or(Instant::FAR)
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

    /// Against a list of all, in the order of time and then of keys.
    #[test]
    fn with_thousands_of_timers_they_still_go_off_in_order() {
        use crate::{Rng, Seed};
        use std::collections::BTreeMap;
        for seed in 0..4 {
            let mut rng = Rng::new(Seed(seed));
            let (mut timers, mut model, mut now) = (Timers::new(), BTreeMap::new(), 0);
            for _ in 0..6_000 {
                let timer = match rng.below(4) {
                    0 => Timer::Torrent(T, TorrentTimer::Dial),
                    1 => Timer::Upload,
                    _ => Timer::Peer(T, PeerKey::new(rng.below(300) as u16, 0)),
                };
                match rng.below(8) {
                    0 => {
                        timers.clear(timer);
                        model.remove(&timer);
                    }
                    1 => {
                        now += u64::from(rng.below(5_000));
                        while let Some(due) = timers.pop_due(at(now)) {
                            let first = model.iter().map(|(&timer, &at)| (at, timer)).min();
                            assert_eq!(first.map(|(_, timer)| timer), Some(due), "seed {seed}");
                            model.remove(&due);
                        }
                    }
                    _ => {
                        // Coarse, so that many are due at the same time.
                        let then = at((now / 1_000 + u64::from(rng.below(90))) * 1_000);
                        timers.set(timer, then);
                        model.insert(timer, then);
                    }
                }
                assert_eq!(timers.next(), model.values().min().copied(), "seed {seed}");
                assert_eq!(timers.len(), model.len());
            }
            assert!(now > 1_000_000, "seed {seed}");
        }
    }
}

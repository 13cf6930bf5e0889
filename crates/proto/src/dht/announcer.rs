//! When the torrents of ours are looked for and announced: new ones soon, all in turn, never many at once.
//!
//! Knows no node and no datagram; it says whose turn it is. Invariant: at most [`UNDER_WAY_MAX`] are under way, and between
//! two beginnings lies [`SPACING`], so that ten thousand torrents that are added at once do not burst.

use crate::{Duration, Instant, Rng};
use std::collections::{BTreeMap, BTreeSet};
use wire::InfoHash;

/// Torrents kept in turn: as many as a seeder has.
pub(super) const WANTED_MAX: usize = 200_000;

/// Announces under way at once.
pub(super) const UNDER_WAY_MAX: usize = 8;

/// The least time between two beginnings: a walk takes some 25 datagrams of 100 bytes, so 25 kB/s at most.
pub(super) const SPACING: Duration = Duration::from_millis(100);

/// How often a torrent is announced (BEP 5's nodes keep a peer for half an hour or more).
pub(super) const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// When one for which nobody was found is looked for again; then after twice as long each time.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How a torrent of ours is announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The port that we listen on; nothing to look without announcing.
    pub port: Option<u16>,
    /// We have all of it (BEP 33).
    pub seed: bool,
    /// We are in need of peers: it is looked for again soon if nobody is found.
    pub seeking: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wanted: Wanted,
    /// Nothing while it is under way.
    due: Option<Instant>,
    /// Walks in a row that found nobody, or nobody who took the announce.
    vain: u32,
    /// It changed while under way: it has another turn then.
    again: Option<Instant>,
    /// When its last walk began.
    begun: Option<Instant>,
}

/// The turns.
#[derive(Clone, Debug)]
pub(super) struct Announcer {
    torrents: BTreeMap<InfoHash, Entry>,
    due: BTreeSet<(Instant, InfoHash)>,
    under_way: usize,
    not_before: Instant,
}

impl Announcer {
    /// Nothing wanted.
    pub(super) fn new() -> Announcer {
        Announcer { torrents: BTreeMap::new(), due: BTreeSet::new(), under_way: 0, not_before: Instant::ZERO }
    }

    /// A torrent wants to be found, or wants it otherwise than before.
    pub(super) fn want(&mut self, now: Instant, info_hash: InfoHash, wanted: Wanted) {
        if !self.torrents.contains_key(&info_hash) && self.torrents.len() >= WANTED_MAX {
            return;
        }
        let new = Entry { wanted, due: Some(now), vain: 0, again: None, begun: None };
        let Some(entry) = self.torrents.get_mut(&info_hash) else {
            self.torrents.insert(info_hash, new);
            self.due.insert((now, info_hash));
            return;
        };
        let hungry = wanted.seeking && !entry.wanted.seeking;
        let other = entry.wanted.port != wanted.port || hungry;
        let before = core::mem::replace(&mut entry.wanted, wanted);
        if !other {
            return;
        }
        // Whose peers come and go all the time would walk all the time: what it has found lately is as good as what it would find now.
        let pause = entry.begun.filter(|_| entry.wanted.port == before.port);
        let at = pause.map_or(now, |begun| now.max(begun + RETRY_AFTER));
        entry.vain = 0;
        match entry.due {
            Some(due) if due <= at => {}
            Some(due) => {
                self.due.remove(&(due, info_hash));
                self.due.insert((at, info_hash));
                entry.due = Some(at);
            }
            None => entry.again = Some(at),
        }
    }

    /// A torrent does not want to be found any more.
    pub(super) fn forget(&mut self, info_hash: &InfoHash) {
        if let Some(entry) = self.torrents.remove(info_hash) {
            match entry.due {
                Some(due) => drop(self.due.remove(&(due, *info_hash))),
                None => self.under_way -= 1,
            }
        }
    }

    /// Whose turn it is now, if anybody's. It is under way until [`Announcer::ended`].
    pub(super) fn next(&mut self, now: Instant) -> Option<(InfoHash, Wanted)> {
        let &(due, info_hash) = self.due.first()?;
        if due.max(self.not_before) > now || self.under_way >= UNDER_WAY_MAX {
            return None;
        }
        self.due.pop_first();
        let entry = self.torrents.get_mut(&info_hash)?;
        (entry.due, entry.begun) = (None, Some(now));
        self.under_way += 1;
        self.not_before = now + SPACING;
        Some((info_hash, entry.wanted))
    }

    /// A walk for a torrent is over, with so many peers found, and so many nodes that took the announce.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        info_hash: InfoHash,
        found: usize,
        stored: u32,
        rng: &mut Rng,
    ) {
        let Some(entry) = self.torrents.get_mut(&info_hash).filter(|entry| entry.due.is_none()) else {
            return;
        };
        self.under_way -= 1;
        // A seed need find nobody, but it must be found.
        let unheard = stored == 0 && entry.wanted.port.is_some();
        let in_vain = unheard || found == 0 && entry.wanted.seeking;
        entry.vain = if in_vain { entry.vain + 1 } else { 0 };
        let again = entry.again.take();
        let wait = if let Some(at) = again {
            at.since(now)
        } else if in_vain {
            RETRY_AFTER.saturating_mul(1 << (entry.vain - 1).min(8)).min(INTERVAL)
        } else {
            INTERVAL
        };
        // Up to an eighth sooner, so that what was added together drifts apart.
        let spread = if again.is_some() { 0 } else { wait.as_millis() as u32 / 8 };
        let sooner = Duration::from_millis(u64::from(rng.below(spread)));
        let due = now + (wait - sooner);
        entry.due = Some(due);
        self.due.insert((due, info_hash));
    }

    /// When it may be somebody's turn.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        let &(due, _) = self.due.first().filter(|_| self.under_way < UNDER_WAY_MAX)?;
        Some(due.max(self.not_before))
    }

    /// How many want to be found.
    pub(super) fn len(&self) -> usize {
        self.torrents.len()
    }
}

impl Default for Announcer {
    fn default() -> Announcer {
        Announcer::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    const SEEKING: Wanted = Wanted { port: Some(1), seed: false, seeking: true };

    fn hash(n: u8) -> InfoHash {
        InfoHash([n; 20])
    }

    /// Ends the walk of a torrent and says how long it waits then.
    fn wait_after(announcer: &mut Announcer, now: Instant, found: usize, stored: u32) -> Duration {
        let (info_hash, _) = announcer.next(now).unwrap();
        announcer.ended(now, info_hash, found, stored, &mut Rng::new(Seed(1)));
        announcer.next_wake().unwrap().since(now)
    }

    #[test]
    fn who_finds_nobody_looks_again_soon_then_later_and_later_and_a_finder_each_quarter_of_an_hour() {
        let mut announcer = Announcer::new();
        let mut now = Instant::ZERO;
        announcer.want(now, hash(1), SEEKING);
        let mut waits = Vec::new();
        for found in [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0] {
            let wait = wait_after(&mut announcer, now, found, 8);
            waits.push(wait.as_secs_f64());
            now += wait;
        }
        let expected = [10, 20, 40, 900, 10, 20, 40, 80, 160, 320, 640, 900, 900];
        for (wait, expected) in waits.iter().zip(expected.map(f64::from)) {
            assert!((expected * 0.87..=expected).contains(wait), "{waits:?}");
        }
    }

    #[test]
    fn a_seed_that_nobody_took_is_announced_again_soon_and_whoever_only_looks_is_not() {
        for (port, stored, expected) in [(Some(1), 0, 10.0), (Some(1), 1, 900.0), (None, 0, 900.0)] {
            let mut announcer = Announcer::new();
            announcer.want(Instant::ZERO, hash(1), Wanted { port, seed: true, seeking: false });
            let wait = wait_after(&mut announcer, Instant::ZERO, 0, stored).as_secs_f64();
            assert!((expected * 0.87..=expected).contains(&wait), "{port:?}, {stored}: {wait}");
        }
    }

    #[test]
    fn a_torrent_that_begins_to_need_peers_has_its_turn_at_once_even_if_it_is_under_way() {
        let mut announcer = Announcer::new();
        let idle = Wanted { seeking: false, ..SEEKING };
        announcer.want(Instant::ZERO, hash(1), idle);
        assert!(wait_after(&mut announcer, Instant::ZERO, 3, 8) > Duration::from_secs(700));
        let later = Instant::ZERO + Duration::from_secs(10);
        announcer.want(later, hash(1), SEEKING);
        assert_eq!(announcer.next_wake(), Some(later));
        assert!(announcer.next(later).is_some());
        announcer.want(later, hash(1), Wanted { port: Some(2), ..SEEKING });
        announcer.ended(later, hash(1), 3, 8, &mut Rng::new(Seed(1)));
        assert!(announcer.next_wake().unwrap() <= later + SPACING, "its port is another now");
    }

    #[test]
    fn a_torrent_whose_peers_come_and_go_does_not_walk_all_the_time() {
        let mut announcer = Announcer::new();
        let idle = Wanted { seeking: false, ..SEEKING };
        let (mut now, mut walks) = (Instant::ZERO, 0);
        for _ in 0..600 {
            announcer.want(now, hash(1), SEEKING);
            announcer.want(now, hash(1), idle);
            if announcer.next(now).is_some() {
                walks += 1;
                announcer.want(now, hash(1), SEEKING);
                announcer.want(now, hash(1), idle);
                announcer.ended(now, hash(1), 3, 8, &mut Rng::new(Seed(1)));
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(walks, 60);
    }

    #[test]
    fn few_are_under_way_and_a_forgotten_one_makes_room() {
        let mut announcer = Announcer::new();
        (0..20).for_each(|n| announcer.want(Instant::ZERO, hash(n), SEEKING));
        let mut now = Instant::ZERO;
        let mut begun = Vec::new();
        for _ in 0..100 {
            begun.extend(announcer.next(now).map(|(info_hash, _)| info_hash));
            assert!(announcer.next(now).is_none(), "two at once");
            now += SPACING;
        }
        assert_eq!((begun.len(), announcer.next_wake()), (UNDER_WAY_MAX, None));
        announcer.forget(&begun[3]);
        announcer.ended(now, begun[3], 0, 8, &mut Rng::new(Seed(1)));
        assert!(announcer.next(now).is_some() && announcer.next(now + SPACING).is_none());
        assert_eq!(announcer.len(), 19);
    }
}

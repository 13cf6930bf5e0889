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
    /// Walks in a row that found nobody.
    vain: u32,
    /// It changed or was wanted anew while under way.
    again: bool,
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
        let new = Entry { wanted, due: Some(now), vain: 0, again: false };
        let Some(entry) = self.torrents.get_mut(&info_hash) else {
            self.torrents.insert(info_hash, new);
            self.due.insert((now, info_hash));
            return;
        };
        let hungry = wanted.seeking && !entry.wanted.seeking;
        let other = entry.wanted.port != wanted.port || hungry;
        entry.wanted = wanted;
        if !other {
            return;
        }
        entry.vain = 0;
        match entry.due.replace(now) {
            Some(before) => {
                self.due.remove(&(before, info_hash));
                self.due.insert((now, info_hash));
            }
            None => {
                (entry.due, entry.again) = (None, true);
            }
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
        entry.due = None;
        self.under_way += 1;
        self.not_before = now + SPACING;
        Some((info_hash, entry.wanted))
    }

    /// A walk for a torrent is over, with so many peers found.
    pub(super) fn ended(&mut self, now: Instant, info_hash: InfoHash, found: usize, rng: &mut Rng) {
        let Some(entry) = self.torrents.get_mut(&info_hash).filter(|entry| entry.due.is_none()) else {
            return;
        };
        self.under_way -= 1;
        entry.vain = if found == 0 { entry.vain + 1 } else { 0 };
        let vain = entry.vain > 0 && entry.wanted.seeking;
        let wait = if core::mem::take(&mut entry.again) {
            Duration::ZERO
        } else if vain {
            RETRY_AFTER.saturating_mul(1 << (entry.vain - 1).min(8)).min(INTERVAL)
        } else {
            INTERVAL
        };
        // Up to an eighth sooner, so that what was added together drifts apart.
        let sooner = Duration::from_millis(u64::from(rng.below(wait.as_millis() as u32 / 8)));
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

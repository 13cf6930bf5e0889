//! How soon blocks must leave memory, so that a crash costs at most [`LOSS_MAX`] although the disk is slow.
//!
//! Measures what a sync and its commit take; spills and syncs nothing. A block that just misses a sync waits for the end of
//! it, and then for a sync and a commit of its own. What these two may take is taken off the age at which it is spilled: the
//! slower the disk, the sooner. A sync under way counts for as long as it already takes, so that the first slow one brings the
//! next spill forward.
//!
//! Invariant: a block is spilled at an age from [`AGE_MIN`] to `spill_after`; while syncs with their commits take a second and
//! a half, come they ever so suddenly, or two seconds time and again, no block is older than [`LOSS_MAX`] when the record
//! comes to speak of it.

use crate::{Config, Duration, Instant};

/// What a crash may cost: the bytes of the last five seconds.
pub const LOSS_MAX: Duration = Duration::from_secs(5);
/// Kept back for what is not measured: the spill itself, hashing and writing a piece, the way between the threads.
const SLACK: Duration = Duration::from_millis(500);
/// Blocks are not spilled younger than this, however slow the disk: sooner would only give it more to do.
const AGE_MIN: Duration = Duration::from_millis(250);

/// What a sync and its commit take of late.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the last one began.
    began: Instant,
    /// The longest of late in microseconds, forgotten by an eighth with each that is quicker.
    longest: u32,
    /// One is under way.
    busy: bool,
}

impl Pace {
    /// A sync was asked for, or a commit without one.
    pub fn began(&mut self, now: Instant) {
        (self.began, self.busy) = (now, true);
    }

    /// Its commit was answered, or one of the two failed.
    pub fn ended(&mut self, now: Instant) {
        if core::mem::take(&mut self.busy) {
            let took = u32::try_from(now.since(self.began).as_micros()).unwrap_or(u32::MAX);
            self.longest = took.max(self.longest - self.longest / 8);
        }
    }

    /// The age at which blocks are to be spilled now.
    pub fn spill_age(&self, now: Instant, config: &Config) -> Duration {
        let lasts = if self.busy { now.since(self.began) } else { Duration::ZERO };
        let batch = Duration::from_micros(u64::from(self.longest)).max(lasts);
        let waits = batch.max(config.sync_interval) + batch + SLACK;
        LOSS_MAX.saturating_sub(waits).max(AGE_MIN).min(config.spill_after)
    }

    /// When blocks that came at `kept` are to be spilled, as far as can be said now: the age shrinks while a sync is under way.
    pub fn spill_at(&self, kept: Instant, now: Instant, config: &Config) -> Instant {
        let settled = Pace { busy: false, ..*self };
        let latest = kept + settled.spill_age(now, config);
        if !self.busy {
            return latest;
        }
        // The first moment t at which t - kept >= LOSS_MAX - SLACK - wait - (t - began), where the wait is the longer of the
        // interval and (t - began). Rounded up, so that who wakes then finds the block due.
        let room = u128::from(kept.as_micros()) + (LOSS_MAX - SLACK).as_micros();
        let began = u128::from(self.began.as_micros());
        let by_two = (room + began).saturating_sub(config.sync_interval.as_micros()).div_ceil(2);
        let by_three = (room + 2 * began).div_ceil(3);
        let micros = u64::try_from(by_two.min(by_three)).unwrap_or(u64::MAX);
        Instant::from_micros(micros).max(kept + AGE_MIN.min(config.spill_after)).min(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::PeerId;

    fn config() -> Config {
        Config::new(PeerId([7; 20]))
    }

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn after(batch: u64) -> Pace {
        let mut pace = Pace::default();
        pace.began(at(0));
        pace.ended(at(batch));
        pace
    }

    #[test]
    fn the_slower_the_disk_the_sooner_blocks_leave_memory() {
        let rows = [(0, 2000), (5, 2000), (1000, 2000), (1250, 2000), (1500, 1500), (2000, 500), (9000, 250)];
        for (batch, age) in rows {
            let found = after(batch).spill_age(at(60_000), &config());
            assert_eq!(found, Duration::from_millis(age), "after a batch of {batch} ms");
        }
    }

    #[test]
    fn a_slow_sync_is_forgotten_only_slowly() {
        let mut pace = after(2000);
        pace.began(at(10_000));
        pace.ended(at(10_001));
        assert_eq!(pace.longest, 1_750_000);
    }

    #[test]
    fn who_wakes_when_told_finds_the_block_due_and_not_a_moment_sooner() {
        for (batch, began, kept) in
            [(0, 0, 0), (0, 0, 700), (0, 900, 0), (1600, 0, 500), (3000, 100, 100), (10, 5, 1900)]
        {
            let mut pace = after(batch);
            pace.began(at(10_000 + began));
            let kept = at(10_000 + kept);
            let due = pace.spill_at(kept, at(10_000 + began), &config());
            let is_due = |now: Instant| now.since(kept) >= pace.spill_age(now, &config());
            assert!(is_due(due), "batch {batch}, began {began}: {due:?}");
            let sooner = Instant::from_micros(due.as_micros() - 1_000);
            assert!(!is_due(sooner), "batch {batch}, began {began}: {due:?} is late");
        }
    }
}

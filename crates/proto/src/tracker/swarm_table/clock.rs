//! Time in 16 bits: when a peer was last heard of, in units of a second (more, if peers may stay away for longer than 4.5 hours).
//!
//! Invariant: a stamp is looked at again before it wraps round: no peer may stay away for more than a quarter of the 65,536 units, and
//! the table goes through all of them more often than that.

use crate::{Duration, Instant};

/// Longest that a peer may stay away, in units; also the longest that the sweep may take to come round.
const AWAY_UNITS_MAX: u64 = 1 << 14;

/// What time it is, coarsely, and how long peers may stay away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// A unit is this power of two, in seconds.
    shift: u32,
    /// Units that a peer may stay away.
    away: u64,
    /// Units since the driver's epoch.
    now: u64,
}

/// When something was, modulo 65,536 units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(pub(super) u16);

impl Clock {
    /// For peers that are to come again after `interval`: they may stay away for twice that and a minute, for one visit may get lost.
    pub(super) fn new(interval: Duration) -> Clock {
        let away = interval.as_secs().saturating_mul(2).saturating_add(60);
        let mut shift = 0;
        while away >> shift > AWAY_UNITS_MAX {
            shift += 1;
        }
        Clock { shift, away: away >> shift, now: 0 }
    }

    /// It is `now`; a clock that goes back stands. Says whether everything that was known until now is too old.
    pub(super) fn set(&mut self, now: Instant) -> bool {
        let now = (now.as_micros() / 1_000_000) >> self.shift;
        let passed = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        passed > self.away
    }

    /// The present.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.now as u16)
    }

    /// Whether a peer that was heard of then may still be there.
    #[inline]
    pub(super) fn is_fresh(&self, seen: Stamp) -> bool {
        u64::from(self.age(seen)) <= self.away
    }

    /// When somebody was heard of, to the beginning of a unit; of who was before the driver's epoch, that.
    pub(super) fn when(&self, seen: Stamp) -> Instant {
        let units = self.now.saturating_sub(self.age(seen).into());
        Instant::from_micros((units << self.shift).saturating_mul(1_000_000))
    }

    /// Units since then.
    #[inline]
    pub(super) fn age(&self, seen: Stamp) -> u16 {
        (self.now as u16).wrapping_sub(seen.0)
    }

    /// When somebody was heard of, if it was so many seconds ago; nothing if that is too long.
    pub(super) fn seen_before(&self, seconds: u64) -> Option<Stamp> {
        let units = seconds >> self.shift;
        (units <= self.away).then(|| Stamp((self.now as u16).wrapping_sub(units as u16)))
    }

    /// A unit is this power of two, in seconds.
    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    /// Whether so much time has passed since a moment that stamps of before may wrap soon.
    pub(super) fn is_urgent(&self, since: u64) -> bool {
        self.now.saturating_sub(since) > AWAY_UNITS_MAX
    }

    /// Units since the driver's epoch.
    pub(super) fn units(&self) -> u64 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_stay_away_for_two_intervals_and_a_minute() {
        for (interval, unit, away) in
            [(2, 1, 64), (1800, 1, 3660), (8000, 1, 16_060), (86_400, 16, 172_860 / 16)]
        {
            let mut clock = Clock::new(Duration::from_secs(interval));
            // Once round in 16 bits, and a little.
            clock.set(Instant::from_micros(70_000 * unit * 1_000_000));
            let seen = clock.stamp();
            for (later, fresh) in [(0, true), (away, true), (away + 1, false)] {
                clock.set(Instant::from_micros((70_000 + later) * unit * 1_000_000));
                assert_eq!(clock.is_fresh(seen), fresh, "{interval} {later}");
            }
        }
        assert!(Clock::new(Duration::MAX).away <= AWAY_UNITS_MAX);
    }
}

//! How fast bytes move, and how fast they may. Integer arithmetic only: the same inputs give the same numbers on every machine.
//!
//! Not here: who shares a limit with whom (`share`), nor when to read or send.
//! Invariant: neither a meter nor a bucket ever looks at a clock; time is handed in and never goes back.

use crate::{Duration, Instant};

/// Length of one slot of a [`Meter`].
const SLOT_MICROS: u64 = 2_000_000;

/// Slots of a [`Meter`]: 20 s, BEP 3's window for tit-for-tat.
const SLOTS: usize = 10;

/// Slots behind [`Meter::rate`]: 4 s and the running one, so that the figure follows within seconds but does not flicker.
const RATE_SLOTS: usize = 2;

/// Bytes over the last 20 s, and over all time. 56 bytes.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Bytes per slot; slot `n` of time lies at `n % SLOTS`.
    slots: [u32; SLOTS],
    /// The running slot of time.
    slot: u64,
    total: u64,
}

impl Meter {
    /// Bytes moved.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        self.total = self.total.saturating_add(bytes);
        let running = &mut self.slots[self.slot as usize % SLOTS];
        *running = running.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// All bytes ever.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes of the last 20 s (18 to 20, for the running slot counts whole).
    pub fn window(&self, now: Instant) -> u64 {
        self.sum(now, SLOTS)
    }

    /// Bytes per second over the last 4 to 6 s.
    pub fn rate(&self, now: Instant) -> u64 {
        let running = now.as_micros() % SLOT_MICROS;
        let span = RATE_SLOTS as u64 * SLOT_MICROS + running;
        let span = span.min(now.as_micros().max(SLOT_MICROS / 2));
        self.sum(now, RATE_SLOTS + 1).saturating_mul(1_000_000) / span
    }

    /// The running slot and the `count - 1` before it.
    fn sum(&self, now: Instant, count: usize) -> u64 {
        let running = now.as_micros() / SLOT_MICROS;
        let oldest = (running + 1).saturating_sub(count as u64);
        (oldest..=running)
            .filter(|&slot| slot <= self.slot && slot + SLOTS as u64 > self.slot)
            .map(|slot| u64::from(self.slots[slot as usize % SLOTS]))
            .sum()
    }

    fn advance(&mut self, now: Instant) {
        let running = now.as_micros() / SLOT_MICROS;
        let passed = running.saturating_sub(self.slot).min(SLOTS as u64);
        for slot in (running + 1).saturating_sub(passed)..=running {
            if passed > 0 {
                self.slots[slot as usize % SLOTS] = 0;
            }
        }
        self.slot = self.slot.max(running);
    }
}

/// An allowance that refills with time: at most `burst` at once, `rate` a second in the long run.
///
/// It may be overdrawn, because what was sent or received cannot be undone; it then stays shut until the debt is paid.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Bytes per second; `None` is without limit.
    rate: Option<u64>,
    burst: u64,
    /// In millionths of a byte, so that no refill is lost to rounding; negative while in debt.
    tokens: i128,
    refilled: Instant,
}

impl Bucket {
    /// A full bucket. `burst` is the most that may pass at once, whatever the pause before.
    pub fn new(rate: Option<u64>, burst: u64, now: Instant) -> Bucket {
        Bucket { rate, burst, tokens: i128::from(burst) * MICRO, refilled: now }
    }

    /// Changes the limit from now on; what was saved up stays, as far as the new burst allows.
    pub fn set(&mut self, rate: Option<u64>, burst: u64, now: Instant) {
        self.refill(now);
        (self.rate, self.burst) = (rate, burst);
        self.tokens = self.tokens.min(i128::from(burst) * MICRO);
    }

    /// The limit in bytes per second.
    pub fn rate(&self) -> Option<u64> {
        self.rate
    }

    /// How much may pass now; without limit, `u64::MAX`.
    pub fn available(&mut self, now: Instant) -> u64 {
        if self.rate.is_none() {
            return u64::MAX;
        }
        self.refill(now);
        u64::try_from(self.tokens / MICRO).unwrap_or(0)
    }

    /// Pays for what has passed.
    pub fn charge(&mut self, now: Instant, bytes: u64) {
        if self.rate.is_some() {
            self.refill(now);
            self.tokens -= i128::from(bytes) * MICRO;
        }
    }

    /// When `bytes` (or a full burst, if that is less) may pass. `Instant::FAR` if the rate is 0.
    pub fn ready_at(&mut self, now: Instant, bytes: u64) -> Instant {
        let Some(rate) = self.rate else { return now };
        self.refill(now);
        let missing = i128::from(bytes.min(self.burst)) * MICRO - self.tokens;
        if missing <= 0 {
            return now;
        }
        if rate == 0 {
            return Instant::FAR;
        }
        let micros = (missing + i128::from(rate) - 1) / i128::from(rate);
        now + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn refill(&mut self, now: Instant) {
        let micros = now.since(self.refilled).as_micros();
        self.refilled = self.refilled.max(now);
        if let (Some(rate), Ok(micros)) = (self.rate, i128::try_from(micros)) {
            let gained = micros.saturating_mul(i128::from(rate));
            self.tokens = self.tokens.saturating_add(gained).min(i128::from(self.burst) * MICRO);
        }
    }
}

/// Millionths in one.
const MICRO: i128 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1_000)
    }

    #[test]
    fn a_steady_stream_is_measured_within_a_hundredth() {
        let mut meter = Meter::default();
        (0..60_000).step_by(10).for_each(|millis| meter.add(at(millis), 1_000));
        let rate = meter.rate(at(60_000));
        assert!((99_000..=101_000).contains(&rate), "{rate}");
        assert_eq!(meter.total(), 6_000_000);
        let window = meter.window(at(60_000));
        assert!((1_800_000..=2_000_000).contains(&window), "{window}");
    }

    #[test]
    fn silence_brings_the_rate_to_zero_and_empties_the_window() {
        let mut meter = Meter::default();
        meter.add(at(1_000), 50_000);
        for (millis, rate, window) in
            [(5_999, true, 50_000), (6_000, false, 50_000), (19_999, false, 50_000), (20_000, false, 0)]
        {
            assert_eq!(meter.rate(at(millis)) > 0, rate, "{millis}");
            assert_eq!(meter.window(at(millis)), window, "{millis}");
        }
        meter.add(at(500_000), 7);
        assert_eq!(meter.window(at(500_001)), 7, "a long pause leaves nothing behind");
    }

    #[test]
    fn a_bucket_lets_through_its_rate_in_the_long_run_and_no_more_than_its_burst_at_once() {
        for (rate, burst) in [(1_000, 100), (333, 16_384), (1_000_000, 65_536)] {
            let mut bucket = Bucket::new(Some(rate), burst, at(0));
            let mut passed = 0;
            for millis in (0..=100_000).step_by(7) {
                let available = bucket.available(at(millis));
                assert!(available <= burst);
                bucket.charge(at(millis), available);
                passed += available;
            }
            let due = burst + rate * 100;
            assert!((due - due / 50..=due).contains(&passed), "{passed} of {due}");
        }
    }

    #[test]
    fn an_overdrawn_bucket_opens_when_the_debt_is_paid() {
        let mut bucket = Bucket::new(Some(1_000), 500, at(0));
        bucket.charge(at(0), 1_500);
        assert_eq!(bucket.ready_at(at(0), 1), at(1_001));
        assert_eq!(bucket.ready_at(at(0), 9_999), at(1_500), "more than a burst never fits");
        assert_eq!(bucket.available(at(999)), 0);
        assert_eq!(bucket.available(at(1_500)), 500);
    }

    #[test]
    fn without_a_limit_all_passes_and_with_zero_nothing() {
        let mut bucket = Bucket::new(None, 0, at(0));
        bucket.charge(at(0), u64::MAX);
        assert_eq!((bucket.available(at(0)), bucket.ready_at(at(0), 9)), (u64::MAX, at(0)));
        bucket.set(Some(0), 10, at(1));
        bucket.charge(at(1), 10);
        assert_eq!((bucket.available(at(9_999)), bucket.ready_at(at(9_999), 1)), (0, Instant::FAR));
    }
}

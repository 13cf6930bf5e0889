//! How many messages one connection may say now: some at first, more as time passes. Knows no connection.
//!
//! Invariant: who leaves gives back no more than it was given at first and has not said. Threat E9

use super::link::BURST;
use std::time::Instant;

/// One connection's.
pub(super) struct Allowance {
    /// Messages that it may say, and when that was so. Less than none after a long one.
    left: (f64, Instant),
    given: f64,
    said: f64,
}

impl Allowance {
    /// Of who may say so many messages at once.
    pub(super) fn new(given: f64, now: Instant) -> Allowance {
        Allowance { left: (given, now), given, said: 0.0 }
    }

    /// Time has passed. Whether a message may be said now.
    pub(super) fn refill(&mut self, now: Instant, messages_per_second: u32) -> bool {
        self.left = (self.at(now, messages_per_second), now);
        self.has_some()
    }

    /// Whether a message may be said.
    pub(super) fn has_some(&self) -> bool {
        self.left.0 >= 1.0
    }

    /// So many messages were said, or what counts as much.
    pub(super) fn spend(&mut self, messages: f64) {
        self.left.0 -= messages;
        self.said += messages;
    }

    /// Messages that were said and might not be yet, after a long one; less than none for those that were given at first and not said.
    pub(super) fn owes(&self, now: Instant, messages_per_second: u32) -> f64 {
        let debt = (-self.at(now, messages_per_second)).max(0.0);
        debt - (self.given - self.said).max(0.0)
    }

    fn at(&self, now: Instant, messages_per_second: u32) -> f64 {
        let (had, since) = self.left;
        let more = now.saturating_duration_since(since).as_secs_f64() * f64::from(messages_per_second.max(1));
        (had + more).min(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_leaves_gives_back_what_it_was_given_and_has_not_said() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        for (given, said, when, owes) in [
            (50.0, 0.0, now, -50.0),
            (50.0, 3.0, now, -47.0),
            // What time has brought is nobody else's.
            (50.0, 3.0, later, -47.0),
            (50.0, 50.0, later, 0.0),
            (50.0, 114.0, now, 64.0),
            (50.0, 114.0, later, 44.0),
            (0.0, 0.0, later, 0.0),
            (-30.0, 0.0, now, 30.0),
            (-30.0, 0.0, later, 10.0),
        ] {
            let mut allowance = Allowance::new(given, now);
            allowance.spend(said);
            assert_eq!(allowance.owes(when, 20), owes, "{given} {said}");
        }
    }
}

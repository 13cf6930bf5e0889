//! One peer's share of the uplink: how much it may have on its way out, and what it saved up in its turns.
//!
//! Not the requests themselves (the upload queue), nor whose turn it is (the pool's ring).

use crate::{Duration, Instant};

/// How long one link's blocks may take to leave.
pub const LINK_QUEUE: Duration = Duration::from_millis(100);
/// A link's credit at least: one block.
pub const LINK_CREDIT_MIN: u32 = 16 * 1024;
/// A link's credit at most: 1 MiB keeps 80 Gbit/s busy at 100 µs, and 80 Mbit/s at 100 ms, beyond the kernel's own buffer.
pub const LINK_CREDIT_MAX: u32 = 1024 * 1024;

/// A peer's share.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// What may be on its way.
    pub credit: Credit,
    /// Bytes that its turns earned and it did not use: deficit round robin.
    pub deficit: u32,
    /// It has a place in the uplink's ring.
    pub enlisted: bool,
}

impl Sending {
    /// A block was handed to the driver.
    pub fn start(&mut self, bytes: u32) {
        self.credit.sending(bytes);
        self.deficit = self.deficit.saturating_sub(bytes);
    }

    /// One that was handed over at `since` left, or never will.
    pub fn finish(&mut self, now: Instant, since: Instant, bytes: u32, left: bool) {
        self.credit.done(bytes, left.then(|| now.since(since)));
    }
}

/// How much one link may have on its way out: grows while blocks leave quickly, shrinks when they wait.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    limit: u32,
    in_flight: u32,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit { limit: LINK_CREDIT_MIN, in_flight: 0 }
    }
}

impl Credit {
    /// Whether a block of this length may go: always, if it is alone.
    pub fn has_room(&self, bytes: u32) -> bool {
        self.in_flight == 0 || self.in_flight.saturating_add(bytes) <= self.limit
    }

    /// A block was handed over.
    pub fn sending(&mut self, bytes: u32) {
        self.in_flight = self.in_flight.saturating_add(bytes);
    }

    /// A block left after this long, or, if `None`, never will. By Little's law the time in the queue is the queue over the
    /// rate: so credit that keeps it near [`LINK_QUEUE`] is that much of the link's rate, without measuring one.
    pub fn done(&mut self, bytes: u32, waited: Option<Duration>) {
        let was_full = self.in_flight.saturating_add(bytes) > self.limit;
        self.in_flight = self.in_flight.saturating_sub(bytes);
        match waited {
            Some(waited) if waited > LINK_QUEUE => {
                self.limit = self.limit.saturating_sub(bytes / 2).max(LINK_CREDIT_MIN);
            }
            Some(waited) if waited < LINK_QUEUE / 2 && was_full => {
                self.limit = self.limit.saturating_add(bytes).min(LINK_CREDIT_MAX);
            }
            Some(_) | None => {}
        }
    }

    /// Bytes on their way out.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_takes_blocks_quickly_gets_more_credit_and_a_slow_one_loses_it() {
        let mut credit = Credit::default();
        for _ in 0..200 {
            while credit.has_room(16_384) {
                credit.sending(16_384);
            }
            credit.done(16_384, Some(Duration::from_millis(5)));
        }
        assert_eq!(credit.limit, LINK_CREDIT_MAX);
        for _ in 0..300 {
            credit.done(16_384, Some(Duration::from_millis(500)));
        }
        assert_eq!(credit.limit, LINK_CREDIT_MIN);
        assert!(credit.has_room(1 << 30), "a lone block may always go");
    }
}

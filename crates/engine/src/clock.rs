//! The one clock of a client: in `proto`'s microseconds since the client began. Wall time is nobody's business here.
//!
//! It goes on while the machine sleeps. Whoever wakes up after an hour finds every deadline of that hour passed: links that
//! were silent for so long are closed, trackers are asked at once, and peers are dialled again, with no special case anywhere.

use proto::{Duration, Instant};

/// A running clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Duration,
}

impl Clock {
    /// A clock that starts now, one second after `Instant::ZERO`, so that "long before the start" can be said.
    pub(crate) fn start() -> Clock {
        Clock { epoch: os::clock::since_boot().saturating_sub(Duration::from_secs(1)) }
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        let since = os::clock::since_boot().saturating_sub(self.epoch);
        Instant::from_micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

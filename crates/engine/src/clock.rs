//! The one clock of a client: monotonic, in `proto`'s microseconds since the client began. Wall time is nobody's business here.

use proto::{Duration, Instant};

/// A running clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: std::time::Instant,
}

impl Clock {
    /// A clock that starts now, one second after `Instant::ZERO`, so that "long before the start" can be said.
    pub(crate) fn start() -> Clock {
        let now = std::time::Instant::now();
        Clock { epoch: now.checked_sub(Duration::from_secs(1)).unwrap_or(now) }
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

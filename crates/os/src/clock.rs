//! The clock that goes on while the machine sleeps, which the standard library has not.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Time since the machine was started, its sleep counted. Never goes back.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) =
        (u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_no_less_than_the_time_awake_and_never_goes_back() {
        let awake = clock_gettime(ClockId::Monotonic).tv_sec;
        let first = since_boot();
        assert!(first.as_secs() >= u64::try_from(awake).unwrap());
        assert!(since_boot() >= first);
    }
}

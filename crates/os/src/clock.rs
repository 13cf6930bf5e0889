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

/// What this start of the machine is called, as opposed to every other; nothing where the system does not say.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
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

    #[test]
    fn a_start_of_the_machine_has_one_name() {
        assert!(boot_id().is_some_and(|id| !id.contains(char::is_whitespace)));
        assert_eq!(boot_id(), boot_id());
    }
}

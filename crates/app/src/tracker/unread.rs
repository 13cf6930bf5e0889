//! Users of a private tracker that somebody else has changed in their file, and that are not served as they are now yet. Knows when they
//! are to be read, and what of it is to be told; not how.
//!
//! Invariant: word that something was changed carries nothing of what was changed: it is read when it is to be served, so that no later
//! change is undone by it. Whoever changes no user takes a tenth of the time that there is at most, however often it writes, as long as a
//! read takes less than half a second.

use crate::failure::Failure;
use std::time::{Duration, Instant};

/// What was read and had changed nothing is read again after so many times the time that this took: with 10^6 users some seconds.
const REST: u32 = 10;

/// But not later than this: a read may have waited for others most of its time, and whoever is disabled is not to be served meanwhile.
const REST_MAX: Duration = Duration::from_secs(5);

/// Whether there is anything to be read.
#[derive(Default)]
pub(super) struct Unread {
    is_due: bool,
    /// That it cannot be read was told, and is not told again.
    is_told: bool,
    /// Nothing is read before.
    rests_until: Option<Instant>,
}

impl Unread {
    /// Reads how many users there are and whether they are others than were served, if something was changed or could not be read before.
    /// How many, or why they cannot be read, if that is news: others write into the same file who change no user.
    pub(super) fn look(
        &mut self,
        has_changed: bool,
        read: impl FnOnce() -> Result<(usize, bool), Failure>,
    ) -> Option<Result<usize, Failure>> {
        self.look_by(Instant::now, has_changed, read)
    }

    fn look_by(
        &mut self,
        clock: impl Fn() -> Instant,
        has_changed: bool,
        read: impl FnOnce() -> Result<(usize, bool), Failure>,
    ) -> Option<Result<usize, Failure>> {
        self.is_due |= has_changed;
        let began = clock();
        if !self.is_due || self.rests_until.is_some_and(|until| began < until) {
            return None;
        }
        let read = read();
        self.is_due = read.is_err();
        let ended = clock();
        let was_in_vain = matches!(read, Ok((_, false)));
        let rest = REST_MAX.min(REST * ended.saturating_duration_since(began));
        self.rests_until = was_in_vain.then(|| ended + rest);
        let was_told = std::mem::replace(&mut self.is_told, read.is_err());
        match read {
            Ok((users, are_others)) => (are_others || was_told).then_some(Ok(users)),
            Err(failure) => (!was_told).then_some(Err(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn changes_that_cannot_be_read_are_told_once_and_read_when_they_can_be() {
        let mut unread = Unread::default();
        let now = Instant::now();
        let mut look = |has_changed, read: &dyn Fn() -> Result<(usize, bool), Failure>| {
            unread.look_by(|| now, has_changed, read)
        };
        let spoilt = || Err(Failure::plain("spoilt"));
        assert!(look(false, &|| unreachable!("nothing was changed")).is_none());
        assert!(matches!(look(true, &spoilt), Some(Err(_))));
        assert!(look(false, &spoilt).is_none() && look(true, &spoilt).is_none(), "once is enough");
        assert!(matches!(look(false, &|| Ok((3, false))), Some(Ok(3))));
        assert!(look(false, &|| unreachable!("it was read")).is_none());
        assert!(matches!(look(true, &spoilt), Some(Err(_))));
        assert!(matches!(look(false, &|| Ok((3, true))), Some(Ok(3))));
    }

    #[test]
    fn who_writes_all_the_time_and_changes_nobody_has_all_users_read_a_tenth_of_the_time() {
        let (mut unread, began) = (Unread::default(), Instant::now());
        let (now, read) = (Cell::new(0), Cell::new(0));
        let mut look = |are_others| {
            let clock = || began + Duration::from_millis(now.get());
            let told = unread.look_by(clock, true, || {
                // As long as 10^6 users take.
                now.set(now.get() + 500);
                read.set(read.get() + 1);
                Ok((3, are_others))
            });
            now.set(now.get() + 1000);
            told.is_some()
        };
        assert!((0..60).all(|_| !look(false)));
        assert_eq!(read.get(), 12);
        // What changed meanwhile is read then, and who changes users is heard each time.
        assert!((0..6).any(|_| look(true)));
        assert!(look(true) && look(true));
    }

    #[test]
    fn a_read_that_waited_long_for_others_keeps_nobody_served_for_long() {
        let (mut unread, began) = (Unread::default(), Instant::now());
        let now = Cell::new(Duration::ZERO);
        let clock = || began + now.get();
        let waits = || {
            now.set(now.get() + Duration::from_secs(20));
            Ok((3, false))
        };
        assert!(unread.look_by(clock, true, waits).is_none());
        assert!(unread.look_by(clock, true, || unreachable!("it rests")).is_none());
        now.set(now.get() + REST_MAX);
        assert!(matches!(unread.look_by(clock, false, || Ok((2, true))), Some(Ok(2))));
    }

    #[test]
    fn what_somebody_writes_beside_the_users_is_not_told() {
        let mut unread = Unread::default();
        let now = Instant::now();
        let mut look = |has_changed, read: &dyn Fn() -> Result<(usize, bool), Failure>| {
            unread.look_by(|| now, has_changed, read)
        };
        assert!(look(true, &|| Ok((3, false))).is_none());
        assert!(matches!(look(true, &|| Ok((3, true))), Some(Ok(3))));
        assert!(look(true, &|| Ok((3, false))).is_none());
    }
}

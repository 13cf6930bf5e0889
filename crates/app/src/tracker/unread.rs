//! Users of a private tracker that somebody else has changed in their file, and that are not served as they are now yet. Knows when they
//! are to be read, and what of it is to be told; not how.
//!
//! Invariant: word that something was changed carries nothing of what was changed: it is read when it is to be served, so that no later
//! change is undone by it.

use crate::failure::Failure;

/// Whether there is anything to be read.
#[derive(Default)]
pub(super) struct Unread {
    is_due: bool,
    /// That it cannot be read was told, and is not told again.
    is_told: bool,
}

impl Unread {
    /// Reads how many users there are and whether they are others than were served, if something was changed or could not be read before.
    /// How many, or why they cannot be read, if that is news: others write into the same file who change no user.
    pub(super) fn look(
        &mut self,
        has_changed: bool,
        read: impl FnOnce() -> Result<(usize, bool), Failure>,
    ) -> Option<Result<usize, Failure>> {
        self.is_due |= has_changed;
        if !self.is_due {
            return None;
        }
        let read = read();
        self.is_due = read.is_err();
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

    #[test]
    fn changes_that_cannot_be_read_are_told_once_and_read_when_they_can_be() {
        let mut unread = Unread::default();
        let spoilt = || Err(Failure::plain("spoilt"));
        assert!(unread.look(false, || unreachable!("nothing was changed")).is_none());
        assert!(matches!(unread.look(true, spoilt), Some(Err(_))));
        assert!(
            unread.look(false, spoilt).is_none() && unread.look(true, spoilt).is_none(),
            "once is enough"
        );
        assert!(matches!(unread.look(false, || Ok((3, false))), Some(Ok(3))));
        assert!(unread.look(false, || unreachable!("it was read")).is_none());
        assert!(matches!(unread.look(true, spoilt), Some(Err(_))));
        assert!(matches!(unread.look(false, || Ok((3, true))), Some(Ok(3))));
    }

    #[test]
    fn what_somebody_writes_beside_the_users_is_not_told() {
        let mut unread = Unread::default();
        assert!(unread.look(true, || Ok((3, false))).is_none());
        assert!(matches!(unread.look(true, || Ok((3, true))), Some(Ok(3))));
        assert!(unread.look(true, || Ok((3, false))).is_none());
    }
}

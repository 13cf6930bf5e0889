//! Who was here before: what members of a private swarm said first, so that who repeats it from a recording is not answered, nor
//! costs a key agreement. Knows no time: a number of them is remembered, the latest.
//!
//! Invariant: at most [`HAILS_MAX`] are remembered. Threats: C5

use super::encryption::Hail;
use std::collections::{BTreeSet, VecDeque};

/// Hails remembered: 16 bytes each in a queue and in a set, 640 KiB when it is full, after so many links. Who waits until as many
/// others have come is answered once more, with 48 bytes that he can do nothing with.
const HAILS_MAX: usize = 16_384;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Replays {
    seen: BTreeSet<Hail>,
    /// The oldest first.
    order: VecDeque<Hail>,
}

impl Replays {
    /// Whether this one has not been here before, as far as that is remembered; from now on it has.
    pub(super) fn is_new(&mut self, hail: Hail) -> bool {
        if !self.seen.insert(hail) {
            return false;
        }
        if self.order.len() == HAILS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(hail);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hail(number: usize) -> Hail {
        (number as u128).to_le_bytes()
    }

    #[test]
    fn each_is_new_once_and_the_latest_are_remembered() {
        let mut replays = Replays::default();
        for number in 0..HAILS_MAX {
            assert!(replays.is_new(hail(number)) && !replays.is_new(hail(number)));
        }
        assert!(!replays.is_new(hail(0)), "being repeated makes room for nobody");
        assert!(replays.is_new(hail(HAILS_MAX)) && replays.is_new(hail(0)));
        assert!(!replays.is_new(hail(2)) && !replays.is_new(hail(HAILS_MAX)));
        assert_eq!((replays.seen.len(), replays.order.len()), (HAILS_MAX, HAILS_MAX));
    }
}

//! Whose turn it is among visitors who have asked for more than was answered. Knows names, not visitors.
//!
//! Invariants: first come, first served, and whoever has had a turn stands at the end again; nobody stands here twice, however often its
//! socket calls. So who asks without end waits for the likes of itself, and who has asked once waits for none of them. Threat E9.

use std::collections::{HashSet, VecDeque};

/// Those that wait for their next turn.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    order: VecDeque<usize>,
    waiting: HashSet<usize>,
}

impl Turns {
    /// It could go on, but others have their turn first.
    pub(crate) fn put(&mut self, name: usize) {
        if self.waiting.insert(name) {
            self.order.push_back(name);
        }
    }

    /// Whose turn it is now, of those who are here still: who has left takes nobody's.
    pub(crate) fn take(&mut self, is_here: impl Fn(usize) -> bool) -> Option<usize> {
        loop {
            let name = self.order.pop_front()?;
            self.waiting.remove(&name);
            if is_here(name) {
                return Some(name);
            }
        }
    }

    /// Its turn will come.
    pub(crate) fn has(&self, name: usize) -> bool {
        self.waiting.contains(&name)
    }

    /// Nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many wait, or have left meanwhile.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_and_nobody_has_two() {
        let mut turns = Turns::default();
        [7, 8, 7, 9, 8].into_iter().for_each(|name| turns.put(name));
        assert_eq!((turns.len(), turns.has(8), turns.has(6)), (3, true, false));
        let mut had = Vec::new();
        for _ in 0..7 {
            let name = turns.take(|_| true).unwrap();
            assert!(!turns.has(name));
            had.push(name);
            turns.put(name);
        }
        assert_eq!(had, [7, 8, 9, 7, 8, 9, 7]);
        assert_eq!(turns.take(|name| name == 7), Some(7));
        assert_eq!((turns.len(), turns.has(8)), (0, false));
        turns.put(8);
        assert_eq!(turns.take(|_| false), None);
        assert!(turns.is_empty());
    }
}

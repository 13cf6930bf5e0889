//! What is yet to happen, in order of `(Instant, node, sequence)`: a hierarchical timing wheel.
//!
//! Knows times and order, not what the events mean. Pushing is O(1), popping amortised O(1) but for the few events of one
//! grain, which a small heap puts in order. Always holds: events come out in exactly the order of a sorted list.

use core::cmp::Ordering;
use proto::Instant;
use std::collections::BinaryHeap;

/// Log2 of the microseconds in one slot of the lowest level: about a millisecond, so that a slot holds few events.
const GRAIN_BITS: u32 = 10;
/// Log2 of the slots per level; 64 fit one word of occupancy.
const LEVEL_BITS: u32 = 6;
/// Levels that cover every 64-bit time.
const LEVELS: usize = 9;
const SLOTS: usize = 1 << LEVEL_BITS;

/// The pending events of a world.
pub struct EventQueue<T> {
    /// Events of the current grain and earlier.
    soon: BinaryHeap<Entry<T>>,
    levels: Vec<Level<T>>,
    /// The grain that `soon` stands for.
    grain: u64,
    sequence: u64,
    len: usize,
}

struct Level<T> {
    slots: Vec<Vec<Entry<T>>>,
    occupied: u64,
}

struct Entry<T> {
    at: Instant,
    node: u32,
    sequence: u64,
    what: T,
}

impl<T> EventQueue<T> {
    /// An empty one.
    pub fn new() -> EventQueue<T> {
        let level = || Level { slots: (0..SLOTS).map(|_| Vec::new()).collect(), occupied: 0 };
        EventQueue {
            soon: BinaryHeap::new(),
            levels: (0..LEVELS).map(|_| level()).collect(),
            grain: 0,
            sequence: 0,
            len: 0,
        }
    }

    /// Adds an event of a node. Events of one node at one time come out in the order in which they were pushed.
    pub fn push(&mut self, at: Instant, node: u32, what: T) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.len += 1;
        self.place(Entry { at, node, sequence, what });
    }

    /// The next event: when, whose, what.
    pub fn pop(&mut self) -> Option<(Instant, u32, T)> {
        while self.soon.is_empty() && self.len > 0 {
            self.advance();
        }
        let entry = self.soon.pop()?;
        self.len -= 1;
        Some((entry.at, entry.node, entry.what))
    }

    /// When the next event is due.
    pub fn next_at(&mut self) -> Option<Instant> {
        while self.soon.is_empty() && self.len > 0 {
            self.advance();
        }
        self.soon.peek().map(|entry| entry.at)
    }

    /// All pending events, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        let later = self.levels.iter().flat_map(|level| level.slots.iter().flatten());
        self.soon.iter().chain(later).map(|entry| &entry.what)
    }

    /// How many events are pending.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn place(&mut self, entry: Entry<T>) {
        let grain = entry.at.as_micros() >> GRAIN_BITS;
        if grain <= self.grain {
            self.soon.push(entry);
            return;
        }
        // The level is that of the highest digit in which the time differs from now: below it, the slots are still empty.
        let level = (63 - (grain ^ self.grain).leading_zeros()) / LEVEL_BITS;
        let slot = (grain >> (level * LEVEL_BITS)) as usize & (SLOTS - 1);
        let level = &mut self.levels[level as usize];
        level.slots[slot].push(entry);
        level.occupied |= 1 << slot;
    }

    /// Moves to the next occupied slot: the first one of the lowest level that has any.
    fn advance(&mut self) {
        let Some(index) = self.levels.iter().position(|level| level.occupied != 0) else { return };
        let shift = index as u32 * LEVEL_BITS;
        let level = &mut self.levels[index];
        let slot = level.occupied.trailing_zeros();
        level.occupied &= !(1 << slot);
        let entries = core::mem::take(&mut level.slots[slot as usize]);
        let above = shift + LEVEL_BITS;
        let high = if above < u64::BITS { self.grain >> above << above } else { 0 };
        self.grain = high | u64::from(slot) << shift;
        entries.into_iter().for_each(|entry| self.place(entry));
    }
}

impl<T> Default for EventQueue<T> {
    fn default() -> EventQueue<T> {
        EventQueue::new()
    }
}

impl<T> Entry<T> {
    fn key(&self) -> (Instant, u32, u64) {
        (self.at, self.node, self.sequence)
    }
}

// The heap gives the greatest first, and we want the earliest.
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Entry<T>) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Entry<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Entry<T>) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Rng, Seed};
    use std::collections::BTreeSet;

    #[test]
    fn events_come_out_in_the_order_of_time_node_and_arrival() {
        for seed in 0..20 {
            let mut rng = Rng::new(Seed(seed));
            let (mut queue, mut sorted) = (EventQueue::new(), BTreeSet::new());
            let mut now = 0;
            for sequence in 0..20_000u64 {
                if rng.below(5) < 3 {
                    let span = rng.next_u64() >> (28 + rng.below(36));
                    let (at, node) = (Instant::from_micros(now + span), rng.below(4));
                    queue.push(at, node, sequence);
                    sorted.insert((at, node, sequence));
                } else {
                    let expected = sorted.pop_first();
                    assert_eq!(queue.next_at(), expected.map(|(at, ..)| at), "seed {seed}");
                    assert_eq!(queue.pop(), expected, "seed {seed}");
                    now = expected.map_or(now, |(at, ..)| at.as_micros());
                }
                assert_eq!(queue.len(), sorted.len());
            }
        }
    }

    #[test]
    fn an_event_in_the_past_comes_first() {
        let mut queue = EventQueue::new();
        queue.push(Instant::from_micros(5_000_000), 0, 'b');
        queue.push(Instant::from_micros(9_000_000), 0, 'c');
        assert_eq!(queue.pop().map(|event| event.2), Some('b'));
        queue.push(Instant::from_micros(1), 7, 'a');
        assert_eq!(queue.pop().map(|event| event.2), Some('a'));
        assert_eq!(queue.pop().map(|event| event.2), Some('c'));
        assert!(queue.is_empty());
    }
}

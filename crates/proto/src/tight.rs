//! Queues of which there are many and most are short: no longer than they must be, and nothing when they are empty for a while.
//!
//! A standard queue begins with room for four and keeps what it had at its longest. These double from one.

use std::collections::VecDeque;

/// Makes room for so many more, at least as many as there are already: as quick in the long run as what a queue does by itself.
pub(crate) fn make_room<T>(queue: &mut VecDeque<T>, more: usize) {
    if queue.capacity() - queue.len() < more {
        queue.reserve_exact(more.max(queue.len()));
    }
}

/// Gives the room back of a queue that is empty and is not expected to fill again soon.
pub(crate) fn give_back<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}

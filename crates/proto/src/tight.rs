//! Queues of which there are many and most are short. A standard queue begins with room for four; these double from one.

use std::collections::VecDeque;

/// Makes room for so many more, at least as many as there are already: as quick in the long run as what a queue does by itself.
pub(crate) fn make_room<T>(queue: &mut VecDeque<T>, more: usize) {
    if queue.capacity() - queue.len() < more {
        queue.reserve_exact(more.max(queue.len()));
    }
}

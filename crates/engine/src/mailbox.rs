//! A bounded box that one side fills and the other empties, blocking or async, with no runtime of its own.
//!
//! What it is not: a general channel. Filling never waits: a full box loses its oldest item and counts the loss, so that a
//! slow reader can never hold up a network loop.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Why nothing came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecvError {
    /// Not in the given time.
    #[error("nothing came in time")]
    TimedOut,
    /// The client has stopped: nothing will come any more.
    #[error("the client has stopped")]
    Stopped,
}

/// The shared box.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Most items at once.
    capacity: usize,
    closed: bool,
    missed: u64,
    waker: Option<Waker>,
}

impl<T> Mailbox<T> {
    /// An empty box for at most `capacity` items.
    pub(crate) fn new(capacity: usize) -> Arc<Mailbox<T>> {
        let state = State { items: VecDeque::new(), capacity, closed: false, missed: 0, waker: None };
        Arc::new(Mailbox { state: Mutex::new(state), arrived: Condvar::new() })
    }

    /// Puts an item in; the oldest goes if there is no room.
    pub(crate) fn put(&self, item: T) {
        let waker = {
            let mut state = self.lock();
            if state.items.len() >= state.capacity {
                state.items.pop_front();
                state.missed += 1;
            }
            state.items.push_back(item);
            state.waker.take()
        };
        self.arrived.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Nothing will be put in any more; what is inside can still be taken.
    pub(crate) fn close(&self) {
        let waker = {
            let mut state = self.lock();
            state.closed = true;
            state.waker.take()
        };
        self.arrived.notify_all();
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes an item if there is one.
    pub(crate) fn try_take(&self) -> Result<T, RecvError> {
        let mut state = self.lock();
        match state.items.pop_front() {
            Some(item) => Ok(item),
            None if state.closed => Err(RecvError::Stopped),
            None => Err(RecvError::TimedOut),
        }
    }

    /// Waits for an item, at most `patience`, or for ever.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Result<T, RecvError> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut state = self.lock();
        loop {
            if let Some(item) = state.items.pop_front() {
                return Ok(item);
            }
            if state.closed {
                return Err(RecvError::Stopped);
            }
            state = match deadline {
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(RecvError::TimedOut);
                    }
                    self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes an item, or asks to be woken when there is one.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Result<T, RecvError>> {
        let mut state = self.lock();
        match state.items.pop_front() {
            Some(item) => Poll::Ready(Ok(item)),
            None if state.closed => Poll::Ready(Err(RecvError::Stopped)),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// How many items were lost because the box was full.
    pub(crate) fn missed(&self) -> u64 {
        self.lock().missed
    }

    // A panic elsewhere leaves the queue whole: every change to it is one step.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_box_loses_the_oldest_and_counts_it() {
        let mailbox = Mailbox::new(2);
        (0..5).for_each(|number| mailbox.put(number));
        assert_eq!(mailbox.missed(), 3);
        assert_eq!((mailbox.try_take(), mailbox.try_take()), (Ok(3), Ok(4)));
        assert_eq!(mailbox.try_take(), Err(RecvError::TimedOut));
    }

    #[test]
    fn what_was_put_in_before_the_close_still_comes_out() {
        let mailbox = Mailbox::new(2);
        mailbox.put(1);
        mailbox.close();
        assert_eq!(mailbox.take(None), Ok(1));
        assert_eq!(mailbox.take(None), Err(RecvError::Stopped));
    }

    #[test]
    fn waiting_ends_in_time() {
        let mailbox = Mailbox::<u8>::new(1);
        assert_eq!(mailbox.take(Some(Duration::from_millis(1))), Err(RecvError::TimedOut));
    }

    #[test]
    fn a_waiting_reader_is_woken_by_another_thread() {
        let mailbox = Mailbox::new(1);
        let writer = {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || mailbox.put(7))
        };
        assert_eq!(mailbox.take(None), Ok(7));
        writer.join().unwrap();
    }
}

//! A bounded row of things from those who put in to those who take out, blocking or async on either side, with no runtime of its
//! own. A full one makes who puts in wait: nothing is lost (a `mailbox` loses what nobody looks at, and never waits).
//!
//! Invariant: at most `capacity` things are inside; after the end nothing goes in, and what is inside can still be taken.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The shared row.
#[derive(Debug)]
pub(crate) struct Pipe<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    ended: bool,
    waiting: Vec<Waker>,
}

/// Nothing goes in any more, or nothing comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended;

impl<T> Pipe<T> {
    /// An empty row of at most `capacity`, and at least one.
    pub(crate) fn new(capacity: usize) -> Arc<Pipe<T>> {
        let (items, waiting) = (VecDeque::new(), Vec::new());
        let state = State { items, capacity: capacity.max(1), ended: false, waiting };
        Arc::new(Pipe { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// Puts something in when there is room; blocks the thread until then.
    pub(crate) fn put_blocking(&self, item: T) -> Result<(), Ended> {
        let mut item = Some(item);
        let mut state = self.lock();
        loop {
            if let Some(put) = state.put(&mut item) {
                self.release(state);
                return put;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts something in when there is room.
    pub(crate) async fn put(&self, item: T) -> Result<(), Ended> {
        let mut item = Some(item);
        poll_fn(|cx| self.poll(cx, |state| state.put(&mut item))).await
    }

    /// Takes what has been inside longest, at once or within so long, or for ever; blocks the thread. Nothing if nothing came.
    pub(crate) fn take_blocking(&self, patience: Option<Duration>) -> Result<Option<T>, Ended> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut state = self.lock();
        loop {
            if let Some(taken) = state.take() {
                self.release(state);
                return taken.map(Some);
            }
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes what has been inside longest, when there is something.
    pub(crate) async fn take(&self) -> Result<T, Ended> {
        poll_fn(|cx| self.poll(cx, State::take)).await
    }

    /// Nothing goes in any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        self.release(state);
    }

    /// Nothing goes in any more, and what is inside is gone.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.items.clear();
        self.release(state);
    }

    fn poll<R>(&self, cx: &Context<'_>, mut step: impl FnMut(&mut State<T>) -> Option<R>) -> Poll<R> {
        let mut state = self.lock();
        match step(&mut state) {
            Some(done) => {
                self.release(state);
                Poll::Ready(done)
            }
            None => {
                if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Something changed: everybody who waits looks again. They are few.
    fn release(&self, mut state: MutexGuard<'_, State<T>>) {
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        waiting.into_iter().for_each(Waker::wake);
    }

    // A panic elsewhere leaves the row whole: every change to it is one step.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn put(&mut self, item: &mut Option<T>) -> Option<Result<(), Ended>> {
        if self.ended {
            return Some(Err(Ended));
        }
        if self.items.len() >= self.capacity {
            return None;
        }
        self.items.extend(item.take());
        Some(Ok(()))
    }

    fn take(&mut self) -> Option<Result<T, Ended>> {
        match self.items.pop_front() {
            Some(item) => Some(Ok(item)),
            None => self.ended.then_some(Err(Ended)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_puts_into_a_full_row_waits_until_there_is_room_and_nothing_is_lost() {
        let pipe = Pipe::new(2);
        let writer = {
            let pipe = Arc::clone(&pipe);
            std::thread::spawn(move || (0..100).try_for_each(|number| pipe.put_blocking(number)))
        };
        for number in 0..100 {
            assert_eq!(pipe.take_blocking(None), Ok(Some(number)));
            assert!(pipe.lock().items.len() <= 2);
        }
        assert_eq!(writer.join().unwrap(), Ok(()));
    }

    #[test]
    fn what_is_inside_can_be_taken_after_the_end_unless_it_was_abandoned() {
        let pipe = Pipe::new(5);
        (0..3).for_each(|number| pipe.put_blocking(number).unwrap());
        pipe.end();
        assert_eq!((pipe.put_blocking(9), pipe.take_blocking(None)), (Err(Ended), Ok(Some(0))));
        pipe.abandon();
        assert_eq!(pipe.take_blocking(None), Err(Ended));
    }

    #[test]
    fn waiting_ends_in_time_and_by_the_end() {
        let pipe = Pipe::<u8>::new(1);
        assert_eq!(pipe.take_blocking(Some(Duration::from_millis(1))), Ok(None));
        let (full, reader) = (Pipe::new(1), Arc::clone(&pipe));
        full.put_blocking(1).unwrap();
        let writer = Arc::clone(&full);
        let waiting = [
            std::thread::spawn(move || reader.take_blocking(None).err()),
            std::thread::spawn(move || writer.put_blocking(2).err()),
        ];
        pipe.end();
        full.end();
        assert!(waiting.into_iter().all(|thread| thread.join().unwrap() == Some(Ended)));
    }

    #[test]
    fn tasks_wait_for_threads_and_threads_for_tasks() {
        let (there, back) = (Pipe::new(1), Pipe::new(1));
        let (takes, puts) = (Arc::clone(&there), Arc::clone(&back));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let task = std::thread::spawn(move || {
            runtime.block_on(async {
                while let Ok(number) = takes.take().await {
                    puts.put(number + 1).await.unwrap();
                }
            });
        });
        for number in 0..50 {
            there.put_blocking(number).unwrap();
            assert_eq!(back.take_blocking(None), Ok(Some(number + 1)));
        }
        there.end();
        task.join().unwrap();
    }
}

//! How the loop holds a fetch back: what it has not taken yet, whether it has paused it, whether it wants it at all.
//!
//! Knows no bytes. Always: not more than [`WINDOW`] bytes are on their way, but one block; a paused fetch lets nothing through.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bytes of one fetch that were read and not yet taken by the loop: 16 blocks, which bridge the loop's turns at 1 GB/s.
pub(super) const WINDOW: usize = 256 * 1024;

/// Shared by the loop and the edge.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    under_way: usize,
    paused: bool,
    /// It was paused before: a limit is at work, and reading ahead would only make the debt larger.
    limited: bool,
    cancelled: bool,
}

impl Flow {
    /// The loop has taken so many bytes.
    pub(crate) fn taken(&self, bytes: usize) {
        self.change(|state| state.under_way = state.under_way.saturating_sub(bytes));
    }

    /// The loop's allowance is spent, or is there again.
    pub(crate) fn pause(&self, paused: bool) {
        self.change(|state| (state.paused, state.limited) = (paused, true));
    }

    /// The loop wants no more.
    pub(crate) fn cancel(&self) {
        self.change(|state| state.cancelled = true);
    }

    /// Waits until so many bytes may go to the loop.
    pub(super) async fn admit(&self, bytes: usize) {
        self.wait_for(|state| {
            let window = if state.limited { 0 } else { WINDOW };
            let admitted = !state.paused && (state.under_way == 0 || state.under_way + bytes <= window);
            if admitted {
                state.under_way += bytes;
            }
            admitted
        })
        .await;
    }

    /// Waits until the loop wants no more.
    pub(super) async fn cancelled(&self) {
        self.wait_for(|state| state.cancelled).await;
    }

    async fn wait_for(&self, mut done: impl FnMut(&mut State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // What changes between the look and the wait must not be missed.
            changed.as_mut().enable();
            if done(&mut self.state()) {
                return;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

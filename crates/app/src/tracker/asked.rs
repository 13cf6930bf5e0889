//! What somebody wants of a tracker at work: by a signal, or, of its end, at an operator's door too. Knows that it is wanted, and does
//! nothing of it.
//!
//! Invariants: nobody who asks waits; what is asked for many times before it is heeded is heeded once, and the end before anything else.
//! The first signal to end is a request, whoever has asked before: behind it signals end the program at once, as they do any other.

use crate::failure::Failure;
use os::signals::{Signal, Signals};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long it is waited for a signal before it is waited again.
const LONG: Duration = Duration::from_secs(3600);

/// What is asked for and was not heeded yet.
#[derive(Clone, Default)]
pub(super) struct Asked(Arc<Inner>);

#[derive(Default)]
struct Inner {
    open: Mutex<Open>,
    news: Condvar,
}

#[derive(Default)]
struct Open {
    end: bool,
    reload: bool,
}

impl Open {
    fn take(&mut self) -> Option<Signal> {
        if std::mem::take(&mut self.end) {
            return Some(Signal::End);
        }
        std::mem::take(&mut self.reload).then_some(Signal::Reload)
    }
}

impl Asked {
    /// From now on signals ask for it.
    pub(super) fn by(signals: Signals) -> Result<Asked, Failure> {
        let asked = Asked::default();
        let theirs = asked.clone();
        let run = move || {
            theirs.listen(&signals);
            // Whoever asks once more is in a hurry. A signal is let through by threads that do not hold it back: there must be one.
            drop(signals);
            loop {
                thread::park();
            }
        };
        thread::Builder::new().name("signals".into()).spawn(run).map_err(Failure::plain)?;
        Ok(asked)
    }

    /// Until a signal asks for the end.
    fn listen(&self, signals: &Signals) {
        loop {
            match signals.wait(LONG) {
                Some(Signal::End) => return self.ask(Signal::End),
                Some(Signal::Reload) => self.ask(Signal::Reload),
                None => {}
            }
        }
    }

    pub(super) fn ask(&self, what: Signal) {
        let mut open = self.open();
        match what {
            Signal::End => open.end = true,
            Signal::Reload => open.reload = true,
        }
        self.0.news.notify_all();
    }

    /// Waits for what is asked for next, at most so long.
    pub(super) fn wait(&self, at_most: Duration) -> Option<Signal> {
        let nothing = |open: &mut Open| !open.end && !open.reload;
        let waited = self.0.news.wait_timeout_while(self.open(), at_most, nothing);
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nobody panics in between.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_heeded_once_and_the_end_first() {
        let asked = Asked::default();
        assert_eq!(asked.wait(Duration::ZERO), None);
        for what in [Signal::Reload, Signal::Reload, Signal::End, Signal::End, Signal::Reload] {
            asked.ask(what);
        }
        assert_eq!(asked.wait(LONG), Some(Signal::End));
        assert_eq!(asked.wait(LONG), Some(Signal::Reload));
        assert_eq!(asked.wait(Duration::ZERO), None);
    }
}

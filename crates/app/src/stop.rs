//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second ends at once.

use crate::cli::Exit;
use crate::failure::Failure;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Whether someone asked for the end.
#[derive(Clone)]
pub(crate) struct Stop(Arc<Asked>);

#[derive(Default)]
struct Asked {
    asked: AtomicBool,
    turn: Mutex<()>,
    news: Condvar,
}

impl Asked {
    /// Asks for the end; whether that was done before.
    fn ask(&self) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.asked.swap(true, Ordering::SeqCst);
        self.news.notify_all();
        before
    }
}

impl Stop {
    /// Listens to signals from now on. Once per process.
    pub(crate) fn on_signals() -> Result<Stop, Failure> {
        let asked = Arc::new(Asked::default());
        let flag = Arc::clone(&asked);
        listen(move || {
            // What was committed is safe whenever we end: the second time nobody wants to wait.
            if flag.ask() {
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(Stop(asked))
    }

    /// The same for a run that ends at once anyway: nobody is in a hurry, and the terminal must be put in order.
    pub(crate) fn for_a_demonstration() -> Result<Stop, Failure> {
        let asked = Arc::new(Asked::default());
        let flag = Arc::clone(&asked);
        listen(move || {
            flag.ask();
        })?;
        Ok(Stop(asked))
    }

    /// Asks for an orderly end, as a signal does.
    pub(crate) fn ask(&self) {
        self.0.ask();
    }

    /// Waits for so long, or until the end is asked for.
    pub(crate) fn wait(&self, span: Duration) {
        let turn = self.0.turn.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.news.wait_timeout_while(turn, span, |()| !self.asked()));
    }

    /// Whether the end was asked for.
    pub(crate) fn asked(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }
}

fn listen(heard: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(heard).map_err(|error| Failure::plain(format!("cannot listen to signals: {error}")))
}

//! Ctrl-C, SIGTERM and SIGHUP: the first asks for an orderly end, the second ends at once.

use crate::cli::Exit;
use crate::failure::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether someone asked for the end.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to signals from now on. Once per process.
    pub(crate) fn on_signals() -> Result<Stop, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        listen(move || {
            // What was committed is safe whenever we end: the second time nobody wants to wait.
            if flag.swap(true, Ordering::SeqCst) {
                std::process::exit(Exit::Interrupted as i32);
            }
        })?;
        Ok(Stop(asked))
    }

    /// The same for a run that ends at once anyway: nobody is in a hurry, and the terminal must be put in order.
    pub(crate) fn for_a_demonstration() -> Result<Stop, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&asked);
        listen(move || flag.store(true, Ordering::SeqCst))?;
        Ok(Stop(asked))
    }

    /// Asks for an orderly end, as a signal does.
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether the end was asked for.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn listen(heard: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(heard).map_err(|error| Failure::plain(format!("cannot listen to signals: {error}")))
}

//! A tracker at work, seen from outside: started, asked for its figures, ended. The loop is `worker`'s.

use crate::config::{Config, Listen};
use crate::desk::Tally;
use crate::sockets;
use crate::worker::{STOP, Worker};
use mio::{Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A tracker at work, on a thread of its own. Dropping it ends it: the ports are free and nobody is answered any more.
#[derive(Debug)]
pub struct Tracker {
    listening: Vec<Listen>,
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// What a tracker has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Announces answered.
    pub announces: u64,
    /// Swarms told of in scrapes.
    pub scrapes: u64,
    /// Swarms in the table.
    pub swarms: u64,
    /// Peers in the table.
    pub peers: u64,
}

/// What the loop tells and is told.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    pub(crate) tally: Arc<Tally>,
}

impl Tracker {
    /// Opens the sockets and starts.
    ///
    /// # Errors
    /// When an address cannot be listened at (it is named), or the system has no thread to give.
    pub fn start(config: Config) -> io::Result<Tracker> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let opened = config.listen.iter().copied().map(sockets::open).collect::<io::Result<Vec<_>>>()?;
        let listening = opened.iter().map(|opened| opened.listen).collect();
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(poll, opened, config, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new().name("gannet-tracker".into()).spawn(move || worker.run())?;
        Ok(Tracker { listening, shared, waker, thread: Some(thread) })
    }

    /// Where it listens: what was asked for, in that order, with true ports.
    pub fn listening(&self) -> &[Listen] {
        &self.listening
    }

    /// Where it listens for HTTP first.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.listening.iter().find(|listen| listen.http).map(|listen| listen.at)
    }

    /// Where it listens for UDP first.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.listening.iter().find(|listen| listen.udp).map(|listen| listen.at)
    }

    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        self.shared.tally.figures()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let called = self.waker.wake();
        if let (Ok(()), Some(thread)) = (called, self.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("the tracker's thread panicked");
        }
    }
}

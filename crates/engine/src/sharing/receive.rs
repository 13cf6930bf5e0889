//! The side that receives, whole: finds who shares by the code's number, pairs, is told what there is, and fetches it into one folder
//! from whoever has it.
//!
//! This file is its face; what happens behind it: `receive/run` (one thread that waits for everything), `receive/line` (find, pair),
//! `receive/content` (torrents, names, folders), `receive/record` (what is remembered over a restart). Nothing is written before
//! the user accepts, nothing is overwritten, and nothing is written outside of the folder. docs/sharing.md. Threats: B1, C4, D9

mod content;
mod line;
mod ranges;
mod record;
mod run;
mod size;
mod tell;
mod work;

use super::listing::LostWhy;
use super::{Code, PairError};
use crate::client::{AddError, StartError};
use crate::mailbox::{Mailbox, RecvError};
use crate::net::listen::Listen;
use crate::reply::{Answer, Reply};
use crate::{DiskError, Silence};
use run::Wish;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use wire::DisplaySafe;
use wire::offer::OfferError;

/// Events kept for who does not look; then the oldest go. What is lost of files takes the most.
const EVENTS_MAX: usize = 1 << 14;

/// How to receive.
#[derive(Clone, Debug)]
pub struct ReceiveConfig {
    /// The folder into which it goes; made if it is absent.
    pub output: PathBuf,
    /// Where other receivers reach us.
    pub listen: Listen,
    /// Where it is remembered what is here, so that a receive that was broken off goes on. What belongs to this one is removed when
    /// all of it is here.
    pub state_dir: PathBuf,
    /// Addresses at which to look for the share beside those that are found.
    pub peers: Vec<SocketAddr>,
    /// Whether the local network is asked who shares the code's number.
    pub look: bool,
    /// Bytes per second in; by default as fast as it goes.
    pub download_max: Option<u64>,
    /// Bytes per second out, to other receivers; by default as fast as it goes.
    pub upload_max: Option<u64>,
}

impl ReceiveConfig {
    /// The defaults: found on the local network, any free port of every address, without limits.
    pub fn new(output: impl Into<PathBuf>, state_dir: impl Into<PathBuf>) -> ReceiveConfig {
        ReceiveConfig {
            output: output.into(),
            listen: Listen { ports: 0..=0, ..Listen::default() },
            state_dir: state_dir.into(),
            peers: Vec::new(),
            look: true,
            download_max: None,
            upload_max: None,
        }
    }
}

/// Why nothing is received, or nothing more.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Nobody is left to be tried.
    #[error("{0}")]
    NotPaired(PairError),
    /// The sharer ended before anything was begun.
    #[error("the sharer has ended the share: ask for a new code")]
    Ended,
    /// There is something of that name, which is not of this receive.
    #[error("{path} is there already, and nothing is overwritten: move it away, or name another folder (--output)", path = .0.display())]
    Exists(PathBuf),
    /// It does not fit.
    #[error(
        "{needed} bytes more are needed, and {path} has room for {free}: make room, or name another folder (--output)",
        path = .path.display()
    )]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that may be written there.
        free: u64,
    },
    /// The folder for it cannot be made or used.
    #[error("cannot use {path}: {error}", path = .path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What the sharer said makes no sense; perhaps its Gannet is of another version.
    #[error("{0}: is the sharer's Gannet of the same version?")]
    Nonsense(#[from] OfferError),
    /// The sharer offered more than it said.
    #[error("the sharer offers more than it said, and nothing more is fetched")]
    TooMuch,
    /// The swarm's client did not start.
    #[error("{0}")]
    Client(#[from] StartError),
    /// A part of what is offered cannot be fetched.
    #[error("{0}")]
    Torrent(#[from] AddError),
    /// The system gives no threads or random numbers.
    #[error("the system does not give what receiving needs: {0}")]
    System(io::Error),
}

/// What is in the way at the moment. It is tried again by itself.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveTrouble {
    /// The disk does not take or give bytes: full, read-only, gone.
    #[error("{}", .0.detail)]
    Storage(DiskError),
    /// Something that is here in full cannot be given its name, its folder, or the mark that it may be executed.
    #[error("cannot finish {path}: {error}", path = .path.display())]
    Finish {
        /// Which, beneath the output folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What is offered, before the first byte is fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offered {
    /// What the sharer calls it.
    pub name: DisplaySafe,
    /// Where it would go: a file or a folder.
    pub path: PathBuf,
    /// Bytes in all.
    pub size: u64,
    /// Files in all.
    pub files: u64,
    /// Of those, the ones that may be executed.
    pub executables: u64,
    /// Empty folders.
    pub folders: u64,
    /// What does not come along.
    pub lost: u64,
    /// Bytes that an earlier run has.
    pub resumed: u64,
}

/// What happens to a receive.
#[derive(Debug)]
pub enum ReceiveEvent {
    /// Somebody on the local network says to share the number.
    Found {
        /// Where.
        at: SocketAddr,
    },
    /// Nobody was found for almost five seconds, and what was heard instead. It is looked further.
    Silence(Silence),
    /// Somebody who was tried is not whom we look for, or cannot be reached. Told anew when the reason changes; others may still come.
    NotPaired {
        /// Where.
        at: SocketAddr,
        /// Why not.
        why: PairError,
    },
    /// The code was right. The offer follows when the sharer knows what there is.
    Paired {
        /// Where.
        at: SocketAddr,
    },
    /// This is what there is. Nothing goes on until [`Receive::accept`].
    Offered(Offered),
    /// The first byte is here.
    Began,
    /// This does not come along.
    Lost {
        /// Its path at the sharer's.
        path: DisplaySafe,
        /// Why.
        why: LostWhy,
    },
    /// Something is in the way. It is tried again.
    Trouble(ReceiveTrouble),
    /// The line to the sharer ended. It is looked for again, unless it said goodbye, and fetching goes on from others.
    SharerLeft,
    /// The sharer is here again.
    SharerBack,
    /// Something is missing, and there is nobody from whom it could be fetched. It is waited for them.
    Alone,
    /// The sharer has hashed and offered everything.
    AllOffered,
    /// Everything is here: verified, safely on disk, under its name.
    Finished {
        /// Where: a file or a folder.
        path: PathBuf,
    },
    /// Nobody needs us any more: we may end.
    Served,
    /// It goes no further.
    Failed(ReceiveError),
}

/// How a receive stands.
#[derive(Clone, Debug, Default)]
pub struct ReceiveStatus {
    /// What the sharer calls it; empty until it is offered.
    pub name: DisplaySafe,
    /// Bytes in all.
    pub size: u64,
    /// Bytes in the torrents that were offered so far.
    pub offered: u64,
    /// Bytes that the sharer has hashed.
    pub sharer_hashed: u64,
    /// Bytes that are here, verified.
    pub has: u64,
    /// Payload bytes per second in, over the last seconds.
    pub rate_down: u64,
    /// Payload bytes per second out, over the last seconds.
    pub rate_up: u64,
    /// Payload bytes received, this run.
    pub received: u64,
    /// Payload bytes sent to others, this run.
    pub sent: u64,
    /// Peers from whom something is fetched, or to whom something is sent, at the moment.
    pub peers: u32,
    /// Other receivers that have not everything, as the sharer says.
    pub others_incomplete: u32,
    /// Everything is here.
    pub complete: bool,
}

/// Something that is received by a code. Dropping it breaks it off at once; what is here stays, and a later one with the same
/// directory goes on. [`Receive::end`] is the polite way.
///
/// ```no_run
/// use gannet::sharing::{Receive, ReceiveConfig, ReceiveEvent};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let receive = Receive::begin("42-apple-river".parse()?, ReceiveConfig::new("downloads", "state"))?;
/// loop {
///     match receive.recv()? {
///         ReceiveEvent::Offered(offered) => {
///             println!("{} bytes of {}", offered.size, offered.name);
///             receive.accept();
///         }
///         ReceiveEvent::Finished { path } => break println!("{}", path.display()),
///         ReceiveEvent::Failed(error) => return Err(error.into()),
///         event => println!("{event:?}"),
///     }
/// }
/// receive.end().wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Receive {
    front: Arc<Front>,
    wishes: UnboundedSender<Wish>,
    thread: Option<JoinHandle<()>>,
}

/// What the handle and its thread have in common.
#[derive(Debug)]
struct Front {
    events: Arc<Mailbox<ReceiveEvent>>,
    status: Mutex<ReceiveStatus>,
}

impl Front {
    fn status(&self) -> MutexGuard<'_, ReceiveStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receive {
    /// Looks for who shares under this code, and goes on by itself until there is something to accept.
    ///
    /// # Errors
    /// When the system gives no threads, sockets or random numbers. Everything else is an event.
    pub fn begin(code: Code, config: ReceiveConfig) -> Result<Receive, ReceiveError> {
        let front = Arc::new(Front { events: Mailbox::new(EVENTS_MAX), status: Mutex::default() });
        let (wishes, wished) = unbounded_channel();
        let thread = run::start(code, config, Arc::clone(&front), wished).map_err(ReceiveError::System)?;
        Ok(Receive { front, wishes, thread: Some(thread) })
    }

    /// The next event; blocks the thread.
    ///
    /// # Errors
    /// When it has ended.
    pub fn recv(&self) -> Result<ReceiveEvent, RecvError> {
        self.front.events.take(None)
    }

    /// The next event, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// When it does not.
    pub fn recv_timeout(&self, patience: Duration) -> Result<ReceiveEvent, RecvError> {
        self.front.events.take(Some(patience))
    }

    /// The next event; `None` when it has ended.
    pub async fn next(&self) -> Option<ReceiveEvent> {
        poll_fn(|cx| self.front.events.poll_take(cx)).await.ok()
    }

    /// Takes what is offered; or will be, if nothing is yet.
    pub fn accept(&self) {
        self.wish(Wish::Accept);
    }

    /// Does not take it. The sharer is told, and nothing was written.
    pub fn decline(&self) {
        self.wish(Wish::Decline);
    }

    /// How it stands, at most a quarter of a second ago.
    pub fn status(&self) -> ReceiveStatus {
        self.front.status().clone()
    }

    /// Ends in order: what is here is made durable, and the sharer is told. Answered when nothing is left to do, within some seconds.
    pub fn end(&self) -> Reply<()> {
        let (answer, reply) = Answer::pair();
        self.wish(Wish::End(answer));
        reply
    }

    fn wish(&self, wish: Wish) {
        // One that has ended wants nothing; who waits for its end is told by the answer that is dropped.
        let _ = self.wishes.send(wish);
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        self.wish(Wish::Quit);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a receive panicked");
        }
    }
}

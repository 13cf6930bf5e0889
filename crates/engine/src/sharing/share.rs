//! The side that shares, whole: a code, a desk to which receivers come, and a private swarm that serves them while the rest is still
//! being hashed.
//!
//! This file is its face; what happens behind it: `share/run` (one thread that waits for everything), `share/hashing` (list, cut,
//! hash), `share/lines` (what each receiver is told), `share/receivers` (who they are, pure). Nothing that is shared is written to.
//! docs/sharing.md. Threats: C4, C5

mod hashing;
mod lines;
mod naming;
mod receivers;
mod run;

pub use receivers::{ReceiverState, ReceiverStatus};

use super::listing::{ListError, Listing, LostWhy};
use super::{Code, PairingDesk, draw_code};
use crate::client::{Client, ClientConfig, StartError};
use crate::mailbox::{Mailbox, RecvError};
use crate::net::beacon::LocalBeacon;
use crate::net::listen::Listen;
use crate::reply::{Answer, Reply};
use crate::{SuperSeeding, SwarmKey, entropy};
use proto::cutting::TARGETS;
use run::{Parts, Wish};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Events kept for who does not look; then the oldest go. What is lost of files takes the most.
const EVENTS_MAX: usize = 1 << 14;

/// Links of the swarm at once: each of 64 receivers fetches three torrents at a time.
const LINKS_MAX: u32 = 512;

/// How to share.
#[derive(Clone, Debug)]
pub struct ShareConfig {
    /// Where receivers come. The desk takes the first free port, the swarm the next.
    pub listen: Listen,
    /// A directory for what the share's client must remember as long as it runs. It must not exist; it is made, and removed at the end.
    pub scratch: PathBuf,
    /// Bytes per second out, to all receivers together; by default as fast as it goes.
    pub upload_max: Option<u64>,
    /// Whether the code's number is said to the local network, so that receivers find the share.
    pub announce: bool,
}

impl ShareConfig {
    /// The defaults: any free port of every address, announced, without limits.
    pub fn new(scratch: impl Into<PathBuf>) -> ShareConfig {
        let listen = Listen { ports: 0..=0, ..Listen::default() };
        ShareConfig { listen, scratch: scratch.into(), upload_max: None, announce: true }
    }
}

/// Why a share did not begin, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A path cannot be shared.
    #[error("{0}")]
    List(#[from] ListError),
    /// There is no file and no folder that could be shared.
    #[error("nothing of this can be shared: what there is are links, devices, or files that cannot be read")]
    Nothing,
    /// Receivers have nowhere to come to.
    #[error("cannot wait for receivers: {0}; name another port or address")]
    Desk(io::Error),
    /// The folder for what must be remembered meanwhile cannot be made.
    #[error("cannot make {path}, where a share keeps what it must remember: {error}", path = .path.display())]
    Scratch {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The swarm's client did not start.
    #[error("{0}")]
    Client(#[from] StartError),
    /// The system gives no threads or random numbers.
    #[error("the system does not give what a share needs: {0}")]
    System(io::Error),
}

/// What happens to a share.
#[derive(Debug)]
pub enum ShareEvent {
    /// It is known what there is, and receivers are told.
    Listed(Arc<Listing>),
    /// All of it is hashed: nothing is read any more but what receivers ask for.
    AllHashed {
        /// Torrents into which it was cut.
        torrents: u64,
        /// Bytes in them.
        bytes: u64,
    },
    /// Something that was listed does not come along after all.
    Lost {
        /// What.
        path: PathBuf,
        /// Why.
        why: LostWhy,
    },
    /// A receiver proved that it knows the code, and said who it is; also when it comes back.
    Came {
        /// The same number whenever it comes.
        receiver: u64,
        /// As it calls itself.
        name: wire::DisplaySafe,
        /// From where.
        from: SocketAddr,
    },
    /// It takes what is offered.
    Wants {
        /// Which.
        receiver: u64,
    },
    /// It does not.
    Declined {
        /// Which.
        receiver: u64,
    },
    /// It has everything, safely on its disk.
    Complete {
        /// Which.
        receiver: u64,
    },
    /// Its line ended. It may come back.
    Left {
        /// Which.
        receiver: u64,
    },
    /// Somebody came with another code, and was told so.
    WrongCode {
        /// From where.
        from: IpAddr,
    },
    /// So many came with another code that nobody is looked at any more, from one address or from anywhere, until [`Share::go_on`].
    MustConfirm {
        /// Who they were, and how often each was wrong.
        wrong: Vec<(IpAddr, u32)>,
    },
    /// The share is of no use any more.
    Failed(ShareError),
}

/// How a share stands.
#[derive(Clone, Debug, Default)]
pub struct ShareStatus {
    /// What it is called; empty until it is listed.
    pub name: String,
    /// Bytes of all files.
    pub size: u64,
    /// Files.
    pub files: u64,
    /// Bytes hashed so far.
    pub hashed: u64,
    /// Everything is hashed and offered.
    pub all_hashed: bool,
    /// Payload bytes sent, to all receivers.
    pub sent: u64,
    /// Payload bytes per second out, over the last seconds.
    pub rate_up: u64,
    /// Everybody who came, in that order; at most 256, and who left first is forgotten first.
    pub receivers: Vec<ReceiverStatus>,
    /// Receivers that said that they have everything, whether they are still here or not.
    pub copies: u32,
    /// Those of them that are here, so that others can go on with them.
    pub copies_here: u32,
}

/// Something that is shared under a code. Dropping it ends it at once, without a word; [`Share::end`] is the polite way.
///
/// ```no_run
/// use gannet::sharing::{Share, ShareConfig, ShareEvent};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let share = Share::begin(vec!["holiday".into()], ShareConfig::new("/tmp/gannet-share-1"))?;
/// println!("say this aloud: {}", share.code());
/// loop {
///     match share.recv()? {
///         ShareEvent::Complete { .. } => break,
///         event => println!("{event:?}"),
///     }
/// }
/// share.end().wait()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Share {
    code: Code,
    addresses: Vec<SocketAddr>,
    front: Arc<Front>,
    wishes: UnboundedSender<Wish>,
    thread: Option<JoinHandle<()>>,
}

/// What the share's handle and its thread have in common.
#[derive(Debug)]
struct Front {
    events: Arc<Mailbox<ShareEvent>>,
    status: Mutex<ShareStatus>,
}

impl Front {
    fn status(&self) -> MutexGuard<'_, ShareStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Draws a code, opens the desk and says the number to the local network, all before a file is looked at. Listing, hashing and
    /// serving go on by themselves.
    ///
    /// # Errors
    /// When receivers cannot be awaited, or the system gives too little. What is wrong with the paths is an event.
    pub fn begin(paths: Vec<PathBuf>, config: ShareConfig) -> Result<Share, ShareError> {
        Share::begin_cut(paths, config, TARGETS)
    }

    /// Begins with torrents of other lengths.
    pub(crate) fn begin_cut(
        paths: Vec<PathBuf>,
        config: ShareConfig,
        targets: [u64; 4],
    ) -> Result<Share, ShareError> {
        let code = draw_code().map_err(ShareError::System)?;
        let desk = PairingDesk::open(code.clone(), &config.listen).map_err(ShareError::Desk)?;
        let addresses = desk.local_addrs().to_vec();
        let beacon = match config.announce {
            true => Some(announce(&code, &desk).map_err(ShareError::System)?),
            false => None,
        };
        let swarm_key = SwarmKey(entropy::bytes().map_err(ShareError::System)?);
        let scratch = Scratch::make(config.scratch)?;
        let mut client = ClientConfig::new(&scratch.0, &scratch.0);
        (client.listen, client.swarm_key) = (beside(&desk, config.listen), Some(swarm_key.clone()));
        (client.local_discovery, client.dht) = (false, None);
        (client.limits.up, client.limits.links) = (config.upload_max, LINKS_MAX);
        // Who comes back has some pieces, and to be shown a few of them one by one says nothing to it: it would wait for others.
        client.session.super_seeding = SuperSeeding::Never;
        let client = Client::start(client)?;
        let front = Arc::new(Front { events: Mailbox::new(EVENTS_MAX), status: Mutex::default() });
        let (wishes, wished) = unbounded_channel();
        let parts = Parts { paths, targets, desk, beacon, client, swarm_key, scratch };
        let thread = run::start(parts, Arc::clone(&front), wished).map_err(ShareError::System)?;
        Ok(Share { code, addresses, front, wishes, thread: Some(thread) })
    }

    /// What receivers must be told: the number is public, the words are the secret.
    pub fn code(&self) -> &Code {
        &self.code
    }

    /// Where receivers come to, at most one address of each family; unspecified ones as they were bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// The next event; blocks the thread.
    ///
    /// # Errors
    /// When the share has ended.
    pub fn recv(&self) -> Result<ShareEvent, RecvError> {
        self.front.events.take(None)
    }

    /// The next event, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// When it does not.
    pub fn recv_timeout(&self, patience: Duration) -> Result<ShareEvent, RecvError> {
        self.front.events.take(Some(patience))
    }

    /// The next event; `None` when the share has ended.
    pub async fn next(&self) -> Option<ShareEvent> {
        poll_fn(|cx| self.front.events.poll_take(cx)).await.ok()
    }

    /// Whoever shares says to go on after [`ShareEvent::MustConfirm`]: as many wrong codes again.
    pub fn go_on(&self) {
        self.wish(Wish::GoOn);
    }

    /// How it stands, at most half a second ago.
    pub fn status(&self) -> ShareStatus {
        self.front.status().clone()
    }

    /// Ends in order: receivers are told that this was all, and go on among themselves. Answered when nothing is left to do, within
    /// some seconds.
    pub fn end(&self) -> Reply<()> {
        let (answer, reply) = Answer::pair();
        self.wish(Wish::End(answer));
        reply
    }

    fn wish(&self, wish: Wish) {
        // A share that has ended wants nothing; who waits for its end is told by the answer that is dropped.
        let _ = self.wishes.send(wish);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.wish(Wish::Quit);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a share panicked");
        }
    }
}

/// Where the swarm's links come: at the port behind the desk's, if ports were named, so that two of them can be let through a firewall.
fn beside(desk: &PairingDesk, listen: Listen) -> Listen {
    let next = desk.port().saturating_add(1);
    match *listen.ports.end() {
        0 => listen,
        last => Listen { ports: next..=last.max(next), ..listen },
    }
}

/// Says where the desk is, at the addresses to which it is bound.
fn announce(code: &Code, desk: &PairingDesk) -> io::Result<LocalBeacon> {
    let at = desk.local_addrs().iter().map(SocketAddr::ip);
    LocalBeacon::share(code.nameplate(), desk.port(), at)
}

/// A directory of our own; gone when this is dropped.
#[derive(Debug)]
struct Scratch(PathBuf);

impl Scratch {
    fn make(path: PathBuf) -> Result<Scratch, ShareError> {
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        match made.and_then(|()| std::fs::create_dir(&path)) {
            Ok(()) => Ok(Scratch(path)),
            Err(error) => Err(ShareError::Scratch { path, error }),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "what a share had to remember stays behind");
        }
    }
}

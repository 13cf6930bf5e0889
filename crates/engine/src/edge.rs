//! What is slow and conventional, on a thread of its own: trackers over HTTP(S) and UDP, web seeds, name look-ups, torrent files
//! behind URLs. Decides nothing about when to go where; it is told, and answers once.
//!
//! Invariant: at most [`VISITS_MAX`] visits are under way, at most [`WAITING_MAX`] wait; each ends in time.

mod announce;
mod credentials;
mod fetch;
mod guard;
mod http;
mod line;
pub(crate) mod pairing;
mod resolve;
mod scrape;
#[cfg(test)]
mod tests;
mod udp;
pub(crate) mod web;

pub(crate) use announce::Visit;
pub use fetch::FetchError;
pub use guard::Forbidden;
pub(crate) use scrape::Question;

use crate::reply::Answer;
use http::Http;
use proto::input::{AnnounceFailure, AnnounceReply};
use proto::{AnnounceId, FetchId, ScrapeId};
use resolve::Names;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use udp::UdpTrackers;
use web::{Fetched, RangeJob, Ranges};
use wire::tracker_udp::ScrapeCounts;

/// Visits under way at once, as libtorrent's.
const VISITS_MAX: usize = 50;

/// Visits that wait for their turn: a thousand torrents with ten trackers each, all at once.
const WAITING_MAX: usize = 10_000;

/// Threads that look names up; the system's resolver blocks.
const LOOKUP_THREADS_MAX: usize = 16;

/// Replies of trackers that wait to be looked at. Who sends us more must repeat itself, as if they had been lost on the way.
const HEARD_MAX: usize = 256;

/// How long the end waits for what blocks.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// How an announce ended.
pub(crate) type Announced = (AnnounceId, Result<AnnounceReply, AnnounceFailure>);

/// What the edge tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// An announce ended.
    Announced(Announced),
    /// A scrape ended.
    Scraped(ScrapeId, Result<ScrapeCounts, AnnounceFailure>),
    /// A fetch from a web seed goes on, or ended.
    Fetched(Fetched),
    /// Something to be sent to a tracker, from the socket that all share; what it answers comes by [`Edge::heard`].
    Datagram {
        /// Where the tracker is.
        to: SocketAddr,
        /// What is said.
        bytes: Vec<u8>,
    },
}

/// What became of datagrams.
#[derive(Debug)]
pub(crate) enum Heard {
    /// One came that looks like a tracker's reply.
    Came(SocketAddr, Vec<u8>),
    /// One could not be sent, for this reason.
    Unsent(SocketAddr, String),
}

/// Who hears where a host is.
type TellFound = Box<dyn FnOnce(Result<Vec<SocketAddr>, String>) + Send>;

/// Something to do.
enum Job {
    Announce(Box<Visit>),
    Scrape(Question),
    Fetch(String, Answer<Result<Vec<u8>, FetchError>>),
    Range(Box<RangeJob>),
    LookUp(String, u16, TellFound),
    OffLoop(Box<dyn FnOnce() + Send>),
}

/// The edge's thread. It ends when this is dropped; what is under way then is given up.
#[derive(Debug)]
pub(crate) struct Edge {
    jobs: UnboundedSender<Job>,
    heard: Sender<Heard>,
    waiting: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Edge {
    /// Starts the thread. Ended announces and what web seeds give are handed to `tell`.
    pub(crate) fn start(tell: impl Fn(Told) + Send + Sync + 'static) -> io::Result<Edge> {
        let http = Http::new().map_err(io::Error::other)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(LOOKUP_THREADS_MAX)
            .build()?;
        let (jobs, inbox) = unbounded_channel();
        let (heard, hears) = channel(HEARD_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let tell: Arc<dyn Fn(Told) + Send + Sync> = Arc::new(tell);
        let post = Arc::clone(&tell);
        let visits = Visits {
            ranges: Ranges::new(http.clone()),
            http,
            udp: UdpTrackers::new(move |to, bytes| post(Told::Datagram { to, bytes })),
            names: Names::default(),
            turns: Semaphore::new(VISITS_MAX),
            waiting: Arc::clone(&waiting),
            tell,
        };
        let thread = std::thread::Builder::new().name("gannet-edge".into()).spawn(move || {
            runtime.block_on(serve(Arc::new(visits), inbox, hears));
            // Work off the loop is finished; a look-up that hangs in the system's resolver is not waited for.
            runtime.shutdown_timeout(END_TIMEOUT);
        })?;
        Ok(Edge { jobs, heard, waiting, thread: Some(thread) })
    }

    /// Visits a tracker; `tell` hears how it went. Returns the visit's name if there is no room for it.
    pub(crate) fn announce(&self, visit: Visit) -> Result<(), AnnounceId> {
        let name = visit.announce.announce;
        self.give(Job::Announce(Box::new(visit))).map_err(|()| name)
    }

    /// Asks a tracker for its counts; `tell` hears what it said. Returns the question's name if there is no room for it.
    pub(crate) fn scrape(&self, question: Question) -> Result<(), ScrapeId> {
        let name = question.scrape.scrape;
        self.give(Job::Scrape(question)).map_err(|()| name)
    }

    /// Fetches what a URL names. Without room, the answer is dropped, and so says that nobody will answer.
    pub(crate) fn fetch(&self, url: String, answer: Answer<Result<Vec<u8>, FetchError>>) {
        // The job bears the answer, which speaks for itself when it is dropped.
        let _ = self.give(Job::Fetch(url, answer));
    }

    /// Fetches a range of content from a web seed; `tell` hears of its blocks and its end. Returns its name if there is no
    /// room for it.
    pub(crate) fn fetch_range(&self, job: RangeJob) -> Result<(), FetchId> {
        let name = job.fetch;
        self.give(Job::Range(Box::new(job))).map_err(|()| name)
    }

    /// Looks up where a host is that a link names; `tell` hears of a few addresses, or why there is none. A few are looked up at
    /// once, so that a link with a hundred names holds nobody else up. Without room it is not done.
    pub(crate) fn look_up(
        &self,
        host: String,
        port: u16,
        tell: impl FnOnce(Result<Vec<SocketAddr>, String>) + Send + 'static,
    ) {
        if self.give(Job::LookUp(host, port, Box::new(tell))).is_err() {
            tracing::warn!("too much waits: a host is not looked up");
        }
    }

    /// Does something that may block, where it holds nobody up. It is done even without room: there is little of it.
    pub(crate) fn off_loop(&self, work: impl FnOnce() + Send + 'static) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Only a thread that has ended takes no jobs, and then the program ends too.
        let _ = self.jobs.send(Job::OffLoop(Box::new(work)));
    }

    /// A datagram came that looks like a tracker's reply. Whether it is one is found out here.
    pub(crate) fn heard(&self, from: SocketAddr, datagram: &[u8]) {
        // What is too much is lost.
        let _ = self.heard.try_send(Heard::Came(from, datagram.into()));
    }

    /// A datagram could not be sent.
    pub(crate) fn unsent(&self, to: SocketAddr, error: &io::Error) {
        let _ = self.heard.try_send(Heard::Unsent(to, error.to_string()));
    }

    fn give(&self, job: Job) -> Result<(), ()> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(());
        }
        self.jobs.send(job).map_err(drop)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let (closed, _) = unbounded_channel();
        self.jobs = closed;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the edge's thread panicked");
        }
    }
}

/// What all visits share.
struct Visits {
    http: Http,
    ranges: Ranges,
    udp: UdpTrackers,
    names: Names,
    turns: Semaphore,
    waiting: Arc<AtomicUsize>,
    tell: Arc<dyn Fn(Told) + Send + Sync>,
}

async fn serve(visits: Arc<Visits>, mut inbox: UnboundedReceiver<Job>, mut hears: Receiver<Heard>) {
    let hearing = Arc::clone(&visits);
    tokio::spawn(async move {
        while let Some(heard) = hears.recv().await {
            hearing.udp.heard(heard);
        }
    });
    while let Some(job) = inbox.recv().await {
        let visits = Arc::clone(&visits);
        tokio::spawn(async move {
            match job {
                Job::Announce(visit) => visits.announce(*visit).await,
                Job::Scrape(question) => visits.scrape(question).await,
                Job::Fetch(url, answer) => answer.give(visits.fetch(&url).await),
                Job::Range(job) => {
                    visits.ranges.fetch(*job, &|fetched| (visits.tell)(Told::Fetched(fetched))).await
                }
                Job::LookUp(host, port, tell) => tell(visits.names.look_up(host, port).await),
                Job::OffLoop(work) => {
                    if tokio::task::spawn_blocking(work).await.is_err() {
                        tracing::error!("work off the loop panicked");
                    }
                }
            }
            visits.waiting.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

impl Visits {
    /// The time-out counts from when the visit was asked for: a goodbye does not wait in a queue.
    async fn announce(&self, visit: Visit) {
        let made = tokio::time::timeout(visit.timeout(), async {
            let _turn = self.turns.acquire().await;
            announce::announce(&self.http, &self.udp, &visit).await
        });
        let outcome = made.await.unwrap_or_else(|_| {
            let seconds = visit.timeout().as_secs();
            Err(AnnounceFailure::Unreachable(format!("no answer within {seconds} s").into()))
        });
        (self.tell)(Told::Announced((visit.announce.announce, outcome)));
    }

    async fn scrape(&self, question: Question) {
        let made = tokio::time::timeout(announce::VISIT_TIMEOUT, async {
            let _turn = self.turns.acquire().await;
            scrape::scrape(&self.http, &self.udp, &question).await
        });
        let outcome =
            made.await.unwrap_or_else(|_| Err(AnnounceFailure::Unreachable("no answer in time".into())));
        if let Err(why) = &outcome {
            tracing::debug!(?why, "a tracker does not tell its counts");
        }
        (self.tell)(Told::Scraped(question.scrape.scrape, outcome));
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let _turn = self.turns.acquire().await;
        fetch::fetch(&self.http, url).await
    }
}

//! Which worker has which swarm, and errands among workers: what arrived at one and is another's to answer. With one worker, nothing here
//! is used.
//!
//! Invariants: a swarm is in one shard alone, and only its worker touches it; queues are bounded, and no worker waits for room in one: what
//! finds none is dropped (over UDP, where it is asked again) or refused (over HTTP). What an operator changes has a queue of its own, which
//! visitors cannot fill, and is waited for within a time, as room for a question is. Whoever saves or ends all waits for every worker anyway.

use crate::access::Admission;
use crate::certificate::Certificate;
use crate::handle::Swarm;
use crate::listing::Listing;
use crate::state::saving::Told;
use mio::Waker;
use proto::tracker::ledger::Member;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use wire::InfoHash;
use wire::announce::AnnounceRequest;
use wire::tracker_udp::ScrapeCounts;

/// Where the first word of the (first) info-hash is in an announce or scrape over UDP.
pub(crate) const UDP_WORD_AT: u32 = 16;

/// A datagram that is shorter has no info-hash.
pub(crate) const UDP_LEN_MIN: u32 = 36;

/// Errands that wait for a worker: a turn of its loop answers thousands a second.
const ERRANDS_MAX: usize = 4096;

/// Changes that wait for a worker. An operator makes one at a time and waits until it is heeded: a worker with so many does nothing at all.
const CHANGES_MAX: usize = 16;

/// Something for another worker to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A visit to a swarm of yours.
    Announce { ip: IpAddr, who: Option<Member>, announce: AnnounceRequest, back: Back },
    /// Who announced this to a swarm of yours is not served any more since then.
    TakeOut { ip: IpAddr, announce: AnnounceRequest, until: Instant },
    /// How are those of your swarms? Goes from worker to worker until no row is open.
    Scrape { rows: Vec<ScrapeRow>, back: Back },
    /// End when everybody who has asked is answered, or so long from now at the latest.
    End { patience: Duration },
    /// From now on these visitors are served with these torrents; say so when it holds.
    Access(Arc<Admission>, SyncSender<()>),
    /// Begin a snapshot now, and tell when it is on the disk.
    Save(Told),
    /// From now on this is shown where TLS is spoken; say so when it holds.
    Certificate(Certificate, SyncSender<()>),
    /// Visitors are to go elsewhere, or may come again; say so when it holds.
    Drain(bool, SyncSender<()>),
    /// Are you there?
    Called(SyncSender<()>),
    /// Look at some of your swarms, then at the rest after others had their turn.
    List(Box<Listing>),
    /// How is this swarm of yours, and who is in it?
    Show { torrent: InfoHash, peers: usize, reply: SyncSender<Option<Swarm>> },
    /// The body of the answer that your visitor waits for.
    Answer { visitor: usize, body: Vec<u8> },
}

/// Which of so many workers has a swarm.
pub(crate) fn owner(info_hash: &InfoHash, workers: usize) -> usize {
    let [a, b, c, d, ..] = info_hash.0;
    u32::from_be_bytes([a, b, c, d]) as usize % workers.max(1)
}

/// A swarm that is asked about, and how it stands once its worker has said so.
pub(crate) type ScrapeRow = (InfoHash, Option<ScrapeCounts>);

/// Where the answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Back {
    /// By the socket of this number, of which every worker has one of the same address.
    Datagram { door: usize, to: SocketAddr, transaction: u32 },
    /// To a worker whose visitor waits.
    Visitor { worker: usize, visitor: usize, compact: bool },
}

/// A queue is full.
#[derive(Debug)]
pub(crate) struct Full;

/// A worker's ways to the others.
pub(crate) struct Routes {
    me: usize,
    others: Vec<Other>,
    errands: Receiver<Errand>,
    /// Heeded first.
    changes: Receiver<Errand>,
}

struct Other {
    errands: SyncSender<Errand>,
    waker: Arc<Waker>,
    /// It has got an errand in this turn of the loop.
    to_wake: bool,
}

impl Routes {
    /// The ways between workers that are woken so, and to them from outside.
    pub(crate) fn among(wakers: Vec<Arc<Waker>>) -> (Vec<Routes>, Orders) {
        let (mut ways, mut ends) = (Vec::new(), Vec::new());
        for waker in wakers {
            let (errands, next_errand) = sync_channel(ERRANDS_MAX);
            let (changes, next_change) = sync_channel(CHANGES_MAX);
            ways.push(Way { errands, changes, waker });
            ends.push((next_errand, next_change));
        }
        let other = |way: &Way| {
            let (errands, waker) = (way.errands.clone(), Arc::clone(&way.waker));
            Other { errands, waker, to_wake: false }
        };
        let others = || ways.iter().map(other).collect();
        let routes = ends.into_iter().enumerate().map(|(me, (errands, changes))| {
            let others = others();
            Routes { me, others, errands, changes }
        });
        (routes.collect(), Orders(ways))
    }

    /// This worker.
    pub(crate) fn me(&self) -> usize {
        self.me
    }

    /// Whose swarm it is, as the kernel computes it for datagrams.
    pub(crate) fn owner(&self, info_hash: &InfoHash) -> usize {
        owner(info_hash, self.others.len())
    }

    /// Whether the swarm is this worker's.
    pub(crate) fn is_mine(&self, info_hash: &InfoHash) -> bool {
        self.owner(info_hash) == self.me
    }

    /// Gives a worker an errand. It is called at the end of this turn.
    pub(crate) fn send(&mut self, worker: usize, errand: Errand) -> Result<(), Full> {
        let other = self.others.get_mut(worker).ok_or(Full)?;
        other.errands.try_send(errand).map_err(|_| Full)?;
        other.to_wake = true;
        Ok(())
    }

    /// The next errand of others.
    pub(crate) fn next(&self) -> Option<Errand> {
        self.changes.try_recv().or_else(|_| self.errands.try_recv()).ok()
    }

    /// Calls those who have got something to do.
    pub(crate) fn wake_others(&mut self) {
        for other in self.others.iter_mut().filter(|other| other.to_wake) {
            other.to_wake = false;
            wake(&other.waker);
        }
    }
}

/// The way to every worker, for whoever is none.
#[derive(Debug)]
pub(crate) struct Orders(Vec<Way>);

#[derive(Debug)]
struct Way {
    errands: SyncSender<Errand>,
    changes: SyncSender<Errand>,
    waker: Arc<Waker>,
}

/// A thread that serves visitors has not said in time that it knows of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unheeded;

impl fmt::Display for Unheeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a thread that serves visitors does not answer; there it holds as soon as it does")
    }
}

impl std::error::Error for Unheeded {}

impl Orders {
    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.0.len()
    }

    /// Whose swarm it is.
    pub(crate) fn owner(&self, info_hash: &InfoHash) -> usize {
        owner(info_hash, self.0.len())
    }

    /// Gives a worker an errand. If there is no room for it, which may be over in an instant, tries again for as long as that is wanted. Says
    /// whether it has got it: it may have ended, or have too many.
    pub(crate) fn tell(&self, worker: usize, mut errand: Errand, mut again: impl FnMut() -> bool) -> bool {
        let Some(way) = self.0.get(worker) else { return false };
        loop {
            match way.errands.try_send(errand) {
                Ok(()) => {
                    wake(&way.waker);
                    return true;
                }
                Err(TrySendError::Full(back)) if again() => errand = back,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return false,
            }
        }
    }

    /// Tells every worker of a change, and waits until all have said that it is done, but no longer than this.
    pub(crate) fn tell_all(
        &self,
        patience: Duration,
        errand: impl Fn(SyncSender<()>) -> Errand,
    ) -> Result<(), Unheeded> {
        let until = Instant::now() + patience;
        let (done, all_done) = sync_channel(self.0.len());
        let mut all_told = true;
        for way in &self.0 {
            // A worker that has ended serves nobody any more.
            all_told &= !matches!(way.changes.try_send(errand(done.clone())), Err(TrySendError::Full(_)));
        }
        drop(done);
        self.wake_all();
        loop {
            match all_done.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(()) => {}
                // Nobody is left who has not said so.
                Err(RecvTimeoutError::Disconnected) if all_told => return Ok(()),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => return Err(Unheeded),
            }
        }
    }

    /// Has every worker take a snapshot now, and waits until all are on the disk.
    pub(crate) fn save(&self) -> Result<(), String> {
        let (told, all_told) = sync_channel(self.0.len());
        for way in &self.0 {
            // A worker that has ended took its last snapshot then.
            let _ = way.errands.send(Errand::Save(told.clone()));
        }
        drop(told);
        self.wake_all();
        all_told.iter().collect()
    }

    /// Tells every worker to end.
    pub(crate) fn end(&self, patience: Duration) {
        for way in &self.0 {
            let _ = way.errands.send(Errand::End { patience });
        }
        self.wake_all();
    }

    /// Calls every worker.
    fn wake_all(&self) {
        self.0.iter().for_each(|way| wake(&way.waker));
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        // It looks around by itself once a second.
        tracing::warn!(%error, "a worker could not be called");
    }
}

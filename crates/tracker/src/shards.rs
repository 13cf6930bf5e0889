//! Which worker has which swarm, and errands among workers: what arrived at one and is another's to answer. With one worker, nothing here
//! is used.
//!
//! Invariants: a swarm is in one shard alone, and only its worker touches it; queues are bounded, and nobody waits for room in one: what
//! finds none is dropped (over UDP, where it is asked again) or refused (over HTTP).

use crate::access::Admission;
use crate::certificate::Certificate;
use crate::handle::Swarm;
use crate::listing::Listing;
use crate::state::saving::Told;
use mio::Waker;
use proto::tracker::ledger::Member;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use wire::InfoHash;
use wire::announce::AnnounceRequest;
use wire::tracker_udp::ScrapeCounts;

/// Where the first word of the (first) info-hash is in an announce or scrape over UDP.
pub(crate) const UDP_WORD_AT: u32 = 16;

/// A datagram that is shorter has no info-hash.
pub(crate) const UDP_LEN_MIN: u32 = 36;

/// Errands that wait for a worker: a turn of its loop answers thousands a second.
const ERRANDS_MAX: usize = 4096;

/// Something for another worker to do.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A visit to a swarm of yours.
    Announce { ip: IpAddr, who: Option<Member>, announce: AnnounceRequest, back: Back },
    /// Who announced this to a swarm of yours is not served any more.
    TakeOut { ip: IpAddr, announce: AnnounceRequest },
    /// How are those of your swarms? Goes from worker to worker until no row is open.
    Scrape { rows: Vec<ScrapeRow>, back: Back },
    /// End when everybody who has asked is answered, or so long from now at the latest.
    End { patience: Duration },
    /// From now on these torrents are served; say so when it holds.
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
        let (senders, receivers): (Vec<_>, Vec<_>) = wakers.iter().map(|_| sync_channel(ERRANDS_MAX)).unzip();
        let others = || {
            let ways = senders.iter().cloned().zip(wakers.iter().cloned());
            ways.map(|(errands, waker)| Other { errands, waker, to_wake: false }).collect()
        };
        let numbered = receivers.into_iter().enumerate();
        let routes = numbered.map(|(me, errands)| Routes { me, others: others(), errands }).collect();
        (routes, Orders(senders.into_iter().zip(wakers).collect()))
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
        self.errands.try_recv().ok()
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
pub(crate) struct Orders(Vec<(SyncSender<Errand>, Arc<Waker>)>);

impl Orders {
    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.0.len()
    }

    /// Whose swarm it is.
    pub(crate) fn owner(&self, info_hash: &InfoHash) -> usize {
        owner(info_hash, self.0.len())
    }

    /// Gives a worker an errand. If it has ended, it does nothing any more.
    pub(crate) fn tell(&self, worker: usize, errand: Errand) {
        if let Some((errands, waker)) = self.0.get(worker)
            && errands.send(errand).is_ok()
        {
            wake(waker);
        }
    }

    /// Tells every worker, and waits until all have said that it is done.
    pub(crate) fn tell_all(&self, errand: impl Fn(SyncSender<()>) -> Errand) {
        let (done, all_done) = sync_channel(self.0.len());
        for (errands, _) in &self.0 {
            // A worker that has ended serves nobody any more.
            let _ = errands.send(errand(done.clone()));
        }
        drop(done);
        self.wake_all();
        // Until nobody is left who has not said so.
        while all_done.recv().is_ok() {}
    }

    /// Has every worker take a snapshot now, and waits until all are on the disk.
    pub(crate) fn save(&self) -> Result<(), String> {
        let (told, all_told) = sync_channel(self.0.len());
        for (errands, _) in &self.0 {
            // A worker that has ended took its last snapshot then.
            let _ = errands.send(Errand::Save(told.clone()));
        }
        drop(told);
        self.wake_all();
        all_told.iter().collect()
    }

    /// Tells every worker to end.
    pub(crate) fn end(&self, patience: Duration) {
        for (errands, _) in &self.0 {
            let _ = errands.send(Errand::End { patience });
        }
        self.wake_all();
    }

    /// Calls every worker.
    fn wake_all(&self) {
        self.0.iter().for_each(|(_, waker)| wake(waker));
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        // It looks around by itself once a second.
        tracing::warn!(%error, "a worker could not be called");
    }
}

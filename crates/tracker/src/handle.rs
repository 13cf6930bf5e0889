//! A tracker at work, seen by its operator: what it has done and holds, which torrents it serves, whether it turns visitors away. A handle
//! may be cloned and used by any thread, and outlive its tracker.
//!
//! Invariant: no question stalls a worker: a look at all its swarms goes on by [`SWARMS_PER_TURN`] at a time, between visitors.

use crate::access::{Access, Admission};
use crate::certificate::Certificate;
use crate::desk::Desk;
use crate::members::Members;
use crate::server::Figures;
use crate::shards::{Errand, Orders};
use crate::tally::Tallies;
use crate::websocket::Browsers;
use proto::tracker::swarm_table::{Counts, Look};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::InfoHash;

/// Swarms looked at in one turn of a worker's loop: some 100 µs.
const SWARMS_PER_TURN: u32 = 4096;

/// How long a worker may take for an answer: with ten million swarms it needs some two seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Torrents told of at once, at most.
pub const TORRENTS_MAX: usize = 1000;

/// Peers told of at once, at most.
pub const PEERS_MAX: usize = 1000;

/// An operator's hold on a tracker at work.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) tallies: Tallies,
    pub(crate) orders: Arc<Orders>,
    /// What holds; locked for as long as it takes that everybody knows.
    pub(crate) admission: Arc<Mutex<Arc<Admission>>>,
    pub(crate) browsers: Option<Browsers>,
}

/// The tracker has ended, or so many ask that it has no time for questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the tracker is too busy to say, or has ended")
    }
}

impl std::error::Error for Busy {}

/// A swarm of peers that are no browsers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Swarm {
    /// How it stands.
    pub counts: Counts,
    /// Some of its peers, and whether they are seeds.
    pub peers: Vec<(SocketAddr, bool)>,
}

impl Handle {
    /// What the tracker has done so far.
    pub fn figures(&self) -> Figures {
        self.tallies.figures()
    }

    /// These torrents are served from when this returns. Peers of others are kept until their time is over, but nobody hears of them.
    pub fn set_access(&self, access: Access) {
        self.admit(|admission| admission.access = access);
    }

    /// Whoever is among these members is served from when this returns, and nobody else. Peers of those who are not any more are kept until
    /// they come again, or their time is over. An open tracker stays open.
    pub fn set_members(&self, members: Members) {
        self.admit(|admission| {
            if let Some(place) = &mut admission.members {
                *place = Arc::new(members.after(place));
            }
        });
    }

    fn admit(&self, change: impl FnOnce(&mut Admission)) {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Admission::clone(&admission);
        change(&mut changed);
        *admission = Arc::new(changed);
        self.orders.tell_all(|done| Errand::Access(Arc::clone(&admission), done));
        if let Some(browsers) = &self.browsers {
            browsers.set_access(Arc::clone(&admission));
        }
    }

    /// Visitors who come from now on are shown this certificate where TLS is spoken.
    pub fn set_certificate(&self, certificate: &Certificate) {
        self.orders.tell_all(|done| Errand::Certificate(certificate.clone(), done));
    }

    /// Whether visitors are to go elsewhere: then `/health` says 503, no connection over HTTP is kept and no browser comes in. Whoever
    /// asks is answered all the same.
    pub fn set_draining(&self, draining: bool) {
        self.orders.tell_all(|done| Errand::Drain(draining, done));
    }

    /// Saves all swarms now, as the tracker does twice an interval by itself, and returns when they are on the disk.
    ///
    /// # Errors
    /// Why not. Nothing is said if nothing is to be saved.
    pub fn save(&self) -> Result<(), String> {
        self.orders.save()
    }

    /// Whether every thread that answers visitors does its work, and says so within this time.
    pub fn is_alive(&self, patience: Duration) -> bool {
        let (reply, replies) = sync_channel(self.orders.workers());
        (0..self.orders.workers()).for_each(|worker| self.orders.tell(worker, Errand::Called(reply.clone())));
        // Nobody is waited for who has ended.
        drop(reply);
        let until = Instant::now() + patience;
        let is_there = |_| replies.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok();
        (0..self.orders.workers()).all(is_there)
    }

    /// Torrents that have peers, browsers not counted, in the order of their info-hashes: those behind this one, so many
    /// ([`TORRENTS_MAX`]) at most.
    ///
    /// # Errors
    /// When a worker does not say so in time.
    pub fn torrents(&self, after: Option<InfoHash>, most: usize) -> Result<Vec<(InfoHash, Counts)>, Busy> {
        let most = most.min(TORRENTS_MAX);
        let (reply, replies) = sync_channel(self.orders.workers());
        for worker in 0..self.orders.workers() {
            let list = Listing { after, most, rows: BTreeMap::new(), look: None, reply: reply.clone() };
            self.orders.tell(worker, Errand::List(Box::new(list)));
        }
        drop(reply);
        let mut rows = BTreeMap::new();
        for _ in 0..self.orders.workers() {
            rows.extend(replies.recv_timeout(PATIENCE).map_err(|_| Busy)?);
        }
        Ok(rows.into_iter().take(most).collect())
    }

    /// A torrent's swarm, with so many of its peers ([`PEERS_MAX`]) at most; nothing if nobody is in it.
    ///
    /// # Errors
    /// When its worker does not say so in time.
    pub fn swarm(&self, torrent: InfoHash, peers: usize) -> Result<Option<Swarm>, Busy> {
        let (reply, replies) = sync_channel(1);
        let peers = peers.min(PEERS_MAX);
        self.orders.tell(self.orders.owner(&torrent), Errand::Show { torrent, peers, reply });
        replies.recv_timeout(PATIENCE).map_err(|_| Busy)
    }
}

/// A worker's part of a list of torrents.
#[derive(Debug)]
pub(crate) struct Listing {
    after: Option<InfoHash>,
    most: usize,
    rows: BTreeMap<InfoHash, Counts>,
    /// Nothing: it has not begun.
    look: Option<Look>,
    reply: SyncSender<BTreeMap<InfoHash, Counts>>,
}

impl Listing {
    /// Looks at some swarms. Says whether there are more; if not, it has been told.
    pub(crate) fn go_on(&mut self, desk: &Desk) -> bool {
        let mut look = self.look.unwrap_or_else(|| desk.table().begin_look());
        let more = desk.table().look(&mut look, SWARMS_PER_TURN, |torrent, counts| {
            if self.after.is_none_or(|after| torrent > after) {
                self.rows.insert(torrent, counts);
                if self.rows.len() > self.most {
                    self.rows.pop_last();
                }
            }
        });
        self.look = Some(look);
        if !more {
            // Whoever asked may have lost patience.
            let _ = self.reply.try_send(std::mem::take(&mut self.rows));
        }
        more
    }
}

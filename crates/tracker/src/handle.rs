//! A tracker at work, seen by its operator: what it has done and holds, which torrents it serves, whether it turns visitors away. A handle
//! may be cloned and used by any thread, and outlive its tracker.
//!
//! Invariant: no question stalls a worker: a look at all its swarms is `listing`'s, some at a time between visitors, one list at once.

use crate::access::{Access, Admission};
use crate::certificate::Certificate;
use crate::listing::{Listing, Rows};
use crate::members::Members;
use crate::server::Figures;
use crate::shards::{Errand, Orders, Unheeded};
use crate::tally::Tallies;
use crate::websocket::Browsers;
use proto::tracker::swarm_table::Counts;
use std::fmt;
use std::net::SocketAddr;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};
use wire::InfoHash;

/// How long a worker may take for an answer: with ten million swarms it needs some two seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is waited for room for a question, in a queue that many visitors may fill for an instant.
const ROOM_WITHIN: Duration = Duration::from_secs(2);

/// How often it is looked meanwhile whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long it is waited until every thread that serves visitors knows of a change: as they look around once a second at the latest, one that
/// does not in this time does nothing, even on a machine that is very busy.
pub const HEEDED_WITHIN: Duration = Duration::from_secs(20);

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
    pub(crate) serving: Arc<Mutex<Serving>>,
    pub(crate) browsers: Option<Browsers>,
    /// Locked while a list is made: each is a look at all swarms, which costs whoever visits meanwhile.
    pub(crate) lists: Arc<Mutex<()>>,
}

/// Who is served with what.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    pub(crate) admission: Arc<Admission>,
    /// Some thread that serves visitors was told of it and has not said that it knows, or could not be told.
    pub(crate) is_unheeded: bool,
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
    ///
    /// # Errors
    /// When a thread that serves visitors does not say within [`HEEDED_WITHIN`] that it knows. It will, as soon as it goes on.
    pub fn set_access(&self, access: Access) -> Result<(), Unheeded> {
        let change = |admission: &mut Admission| {
            admission.access = access;
            true
        };
        self.admit(HEEDED_WITHIN, change).map(drop)
    }

    /// Whoever is among these members is served from when this returns, and nobody else. Peers of those who are not any more are kept until
    /// they come again, or their time is over. Says whether that changes anything. An open tracker stays open.
    ///
    /// # Errors
    /// As of [`Handle::set_access`].
    pub fn set_members(&self, members: Members) -> Result<bool, Unheeded> {
        self.admit(HEEDED_WITHIN, |admission| admission.set_members(members))
    }

    /// Makes a change and tells everybody who has to know, if it is one, or if somebody may not know of the last.
    fn admit(
        &self,
        patience: Duration,
        change: impl FnOnce(&mut Admission) -> bool,
    ) -> Result<bool, Unheeded> {
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Admission::clone(&serving.admission);
        let is_change = change(&mut changed);
        if is_change {
            serving.admission = Arc::new(changed);
        } else if !serving.is_unheeded {
            return Ok(false);
        }
        let admission = &serving.admission;
        let until = Instant::now() + patience;
        let workers = self.orders.tell_all(patience, |done| Errand::Access(Arc::clone(admission), done));
        let set = |browsers: &Browsers| browsers.set_access(Arc::clone(admission), left(until));
        let heeded = workers.and(self.browsers.as_ref().map_or(Ok(()), set));
        serving.is_unheeded = heeded.is_err();
        heeded.map(|()| is_change)
    }

    /// All of these at once: what is shown where TLS is spoken, who is served if that is not everybody, and with what.
    ///
    /// # Errors
    /// As of [`Handle::set_access`]; it is waited no longer for all.
    pub fn set_all(
        &self,
        certificate: Option<&Certificate>,
        members: Option<Members>,
        access: Access,
    ) -> Result<(), Unheeded> {
        self.set_all_within(HEEDED_WITHIN, certificate, members, access)
    }

    fn set_all_within(
        &self,
        patience: Duration,
        certificate: Option<&Certificate>,
        members: Option<Members>,
        access: Access,
    ) -> Result<(), Unheeded> {
        let until = Instant::now() + patience;
        let show = |shown: &Certificate| {
            self.orders.tell_all(patience, |done| Errand::Certificate(shown.clone(), done))
        };
        let shown = certificate.map_or(Ok(()), show);
        // Everybody is told of this all the same.
        let served = self.admit(left(until), |admission| {
            admission.access = access;
            if let Some(members) = members {
                admission.set_members(members);
            }
            true
        });
        shown.and(served.map(drop))
    }

    /// Visitors who come from now on are shown this certificate where TLS is spoken.
    ///
    /// # Errors
    /// As of [`Handle::set_access`].
    pub fn set_certificate(&self, certificate: &Certificate) -> Result<(), Unheeded> {
        self.orders.tell_all(HEEDED_WITHIN, |done| Errand::Certificate(certificate.clone(), done))
    }

    /// Whether visitors are to go elsewhere: then `/health` says 503, no connection over HTTP is kept and no browser comes in. Whoever
    /// asks is answered all the same.
    ///
    /// # Errors
    /// As of [`Handle::set_access`].
    pub fn set_draining(&self, draining: bool) -> Result<(), Unheeded> {
        self.orders.tell_all(HEEDED_WITHIN, |done| Errand::Drain(draining, done))
    }

    /// Saves all swarms now, as the tracker does twice an interval by itself, and returns when they are on the disk.
    ///
    /// # Errors
    /// Why not. Nothing is said if nothing is to be saved.
    pub fn save(&self) -> Result<(), String> {
        self.orders.save()
    }

    /// Whether every thread that answers visitors, browsers among them, does its work, and says so within this time.
    pub fn is_alive(&self, patience: Duration) -> bool {
        let (workers, browsers) = (self.orders.workers(), usize::from(self.browsers.is_some()));
        let (reply, replies) = sync_channel(workers + browsers);
        let until = Instant::now() + patience;
        let call = |worker| self.orders.tell(worker, Errand::Called(reply.clone()), again_until(until));
        let all_called = (0..workers).all(call)
            && self.browsers.as_ref().is_none_or(|browsers| browsers.call(reply.clone()));
        // Nobody is waited for who has ended.
        drop(reply);
        let is_there = |_| replies.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok();
        all_called && (0..workers + browsers).all(is_there)
    }

    /// Torrents that have peers, browsers not counted, in the order of their info-hashes: those behind this one, so many
    /// ([`TORRENTS_MAX`]) at most. One list is made at a time.
    ///
    /// # Errors
    /// When another is being made, or a worker does not say so in time.
    pub fn torrents(&self, after: Option<InfoHash>, most: usize) -> Result<Vec<(InfoHash, Counts)>, Busy> {
        let _one_at_a_time = match self.lists.try_lock() {
            Ok(turn) => turn,
            // Whoever panicked makes none any more.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        let until = Instant::now() + ROOM_WITHIN;
        let (most, waits) = (most.min(TORRENTS_MAX), Arc::new(()));
        let (reply, replies) = sync_channel(self.orders.workers());
        for worker in 0..self.orders.workers() {
            let list = Listing::new(after, most, reply.clone(), Arc::downgrade(&waits));
            if !self.orders.tell(worker, Errand::List(Box::new(list)), again_until(until)) {
                return Err(Busy);
            }
        }
        drop(reply);
        let mut rows = Rows::new();
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
        let (owner, show) = (self.orders.owner(&torrent), Errand::Show { torrent, peers, reply });
        if !self.orders.tell(owner, show, again_until(Instant::now() + ROOM_WITHIN)) {
            return Err(Busy);
        }
        replies.recv_timeout(PATIENCE).map_err(|_| Busy)
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Lets a little time pass, and says whether there is more.
fn again_until(until: Instant) -> impl FnMut() -> bool {
    move || {
        let is_time = Instant::now() < until;
        if is_time {
            std::thread::park_timeout(LOOK_AGAIN);
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Listen};
    use crate::server::Tracker;
    use crate::shards::Routes;
    use mio::{Poll, Token, Waker};
    use std::net::Ipv4Addr;

    fn tracker() -> Tracker {
        let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
        Tracker::start(Config { listen, ..Config::default() }).unwrap()
    }

    /// One worker that does nothing.
    fn stuck() -> (Vec<Routes>, Handle) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        let (routes, orders) = Routes::among(vec![Arc::new(waker)]);
        let (tallies, orders) = (Tallies::new(1), Arc::new(orders));
        let (serving, lists) = (Arc::default(), Arc::default());
        (routes, Handle { tallies, orders, serving, browsers: None, lists })
    }

    /// The same for members alone, of whom there are none.
    fn stuck_and_private() -> (Vec<Routes>, Handle) {
        let (routes, handle) = stuck();
        handle.serving.lock().unwrap().admission =
            Arc::new(Admission { members: Some(Arc::new(Members::new([]))), ..Admission::default() });
        (routes, handle)
    }

    fn annas_key() -> wire::Passkey {
        wire::Passkey::of_chance([7; 16])
    }

    /// One member.
    fn anna() -> Members {
        let user = proto::tracker::ledger::UserId(1);
        let member = proto::tracker::ledger::Member { user, may_download: true, clients_max: None };
        Members::new([crate::members::User { passkey: annas_key(), member, enabled: true }])
    }

    #[test]
    fn a_change_that_was_not_heeded_is_told_again_by_whoever_makes_the_same() {
        let (routes, handle) = stuck_and_private();
        let is_told = || matches!(routes[0].next(), Some(Errand::Access(access, _)) if access.who(|| Some(annas_key())).is_ok());
        for _ in 0..3 {
            let set = |admission: &mut Admission| admission.set_members(anna());
            assert_eq!(handle.admit(Duration::ZERO, set), Err(Unheeded));
            assert!(is_told());
        }
        drop(routes);
        assert_eq!(handle.set_members(anna()), Ok(false));
        assert!(!handle.serving.lock().unwrap().is_unheeded, "who has ended serves nobody");
        assert_eq!(handle.set_members(Members::new([])), Ok(true));
    }

    #[test]
    fn whatever_is_changed_together_is_told_together() {
        let (routes, handle) = stuck_and_private();
        let members = Some(anna());
        assert_eq!(handle.set_all_within(Duration::ZERO, None, members, Access::Open), Err(Unheeded));
        assert!(
            matches!(routes[0].next(), Some(Errand::Access(access, _)) if access.who(|| Some(annas_key())).is_ok())
        );
        assert!(routes[0].next().is_none(), "it is waited for once");
        drop(routes);
        assert_eq!(handle.set_all(None, None, Access::Open), Ok(()));
    }

    #[test]
    fn a_worker_that_does_nothing_is_not_alive_and_no_change_waits_for_it_for_ever() {
        let (routes, handle) = stuck();
        assert!(!handle.is_alive(Duration::ZERO));
        // Nobody waits for room in its queue.
        while handle.orders.tell(0, Errand::End { patience: Duration::ZERO }, || false) {}
        assert!(!handle.is_alive(Duration::ZERO));
        assert_eq!(handle.torrents(None, 1), Err(Busy));
        assert_eq!(handle.swarm(InfoHash([7; 20]), 1), Err(Busy));
        // Changes have another queue, and are the first that it heeds when it goes on.
        let drain = |done| Errand::Drain(true, done);
        assert_eq!(handle.orders.tell_all(Duration::ZERO, drain), Err(Unheeded));
        assert!(matches!(routes[0].next(), Some(Errand::Drain(true, _))));
        assert!(matches!(routes[0].next(), Some(Errand::Called(_))));
        assert!(handle.orders.tell(0, drain(sync_channel(1).0), || unreachable!("there is room")));
        // A queue that is full for an instant alone.
        let mut turns = 0;
        let goes_on = || {
            turns += 1;
            turns < 3 || routes[0].next().is_some()
        };
        assert!(handle.orders.tell(0, Errand::End { patience: Duration::ZERO }, goes_on));
        assert_eq!(turns, 3);
        drop(routes);
        assert_eq!(handle.orders.tell_all(PATIENCE, drain), Ok(()), "who has ended serves nobody");
    }

    #[test]
    fn a_tracker_whose_thread_for_browsers_has_ended_is_not_alive() {
        let tracker = tracker();
        assert!(tracker.handle().is_alive(PATIENCE));
        tracker.handle().browsers.as_ref().unwrap().end();
        assert!(!tracker.handle().is_alive(PATIENCE));
        assert_eq!(tracker.handle().set_access(Access::Open), Ok(()), "it serves nobody");
    }

    #[test]
    fn lists_are_made_one_at_a_time_and_whoever_comes_meanwhile_is_told() {
        let tracker = tracker();
        let handle = tracker.handle().clone();
        let another = handle.lists.lock().unwrap();
        assert_eq!(tracker.handle().torrents(None, 1), Err(Busy));
        drop(another);
        assert_eq!(tracker.handle().torrents(None, 1), Ok(Vec::new()));
        let fails = std::thread::spawn(move || {
            let _its_turn = handle.lists.lock();
            panic!("in the middle of a list");
        });
        assert!(fails.join().is_err());
        assert_eq!(tracker.handle().torrents(None, 1), Ok(Vec::new()), "it is nobody's turn");
    }
}

//! A tracker at work, seen from outside: started, asked for its figures, ended. The loops are `worker`'s.

use crate::access::{Access, Admission};
use crate::config::{Config, Listen};
use crate::connection_id::ConnectionIds;
use crate::members::Members;
use crate::shards::{Orders, Routes};
use crate::sockets;
use crate::tally::Tallies;
use crate::websocket::{self, Browsers};
use crate::worker::{CALLED, Equipment, Worker};
use mio::{Poll, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// A tracker at work, on threads of its own. Dropping it ends it: the ports are free and nobody is answered any more.
#[derive(Debug)]
pub struct Tracker {
    listening: Vec<Listen>,
    tallies: Tallies,
    orders: Orders,
    /// What holds; locked for as long as it takes that everybody knows.
    admission: Mutex<Arc<Admission>>,
    browsers: Option<Browsers>,
    threads: Vec<JoinHandle<()>>,
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

impl Tracker {
    /// Opens the sockets and starts.
    ///
    /// # Errors
    /// When an address cannot be listened at (it is named), or the system has no thread to give.
    pub fn start(config: Config) -> io::Result<Tracker> {
        let workers = config.workers.get();
        let mut listening = Vec::new();
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        // All sockets are there before a datagram is steered: who has which number among them holds from now on.
        for listen in &config.listen {
            let opened = sockets::open(*listen, workers)?;
            listening.push(opened.listen);
            listeners.iter_mut().zip(opened.http).for_each(|(theirs, socket)| theirs.push(socket));
            sockets.iter_mut().zip(opened.udp).for_each(|(theirs, socket)| theirs.push(socket));
        }
        let polls = (0..workers).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let waker = |poll: &Poll| Waker::new(poll.registry(), CALLED).map(Arc::new);
        let wakers = polls.iter().map(waker).collect::<io::Result<Vec<_>>>()?;
        let ids = ConnectionIds::new(config.udp.connection_id_minutes);
        let members = config.private.as_ref().map(|private| Arc::clone(&private.members));
        let access = Arc::new(Admission { access: config.access.clone(), members });
        let config = config.of_one_worker();
        let (routes, orders) = Routes::among(wakers);
        // One more, for the browsers.
        let tallies = Tallies::new(workers + 1);
        let mut each_tally = tallies.each().collect::<Vec<_>>();
        let admission = Mutex::new(Arc::clone(&access));
        let mut tracker =
            Tracker { listening, tallies, orders, admission, browsers: None, threads: Vec::new() };
        let websocket = config.websocket.filter(|_| !access.is_private());
        if let (Some(rules), Some(tally)) = (websocket, each_tally.pop()) {
            let (browsers, thread) = websocket::start(rules, Arc::clone(&access), tally)?;
            tracker.browsers = Some(browsers);
            tracker.threads.push(thread);
        }
        let each =
            polls.into_iter().zip(listeners.into_iter().zip(sockets)).zip(routes.into_iter().zip(each_tally));
        for (number, ((poll, (listeners, sockets)), (routes, tally))) in each.enumerate() {
            let (tallies, access) = (tracker.tallies.clone(), Arc::clone(&access));
            let browsers = tracker.browsers.clone();
            let equipment =
                Equipment { poll, listeners, sockets, routes, access, ids, tally, tallies, browsers };
            let worker = Worker::new(equipment, &config)?;
            let thread = std::thread::Builder::new().name(format!("tracker-{number}"));
            // If there is no thread to be had, those that have begun are ended as the tracker is dropped.
            tracker.threads.push(thread.spawn(move || worker.run())?);
        }
        Ok(tracker)
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

    /// These torrents are served from when this returns. Peers of others are kept until their time is over, but nobody hears of them.
    pub fn set_access(&self, access: Access) {
        self.admit(|admission| admission.access = access);
    }

    /// Whoever is among these members is served from when this returns, and nobody else. An open tracker stays open.
    pub fn set_members(&self, members: Members) {
        self.admit(|admission| {
            if let Some(place) = &mut admission.members {
                *place = Arc::new(members);
            }
        });
    }

    fn admit(&self, change: impl FnOnce(&mut Admission)) {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Admission::clone(&admission);
        change(&mut changed);
        *admission = Arc::new(changed);
        self.orders.set_access(&admission);
        if let Some(browsers) = &self.browsers {
            browsers.set_access(Arc::clone(&admission));
        }
    }

    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        self.tallies.figures()
    }

    /// Ends in order: nobody new comes in, and whoever has asked is answered, as long as that takes no longer than this.
    pub fn end(mut self, patience: Duration) {
        self.end_within(patience);
    }

    fn end_within(&mut self, patience: Duration) {
        if self.threads.is_empty() {
            return;
        }
        self.orders.end(patience);
        if let Some(browsers) = &self.browsers {
            browsers.end();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the tracker panicked");
            }
        }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.end_within(Duration::ZERO);
    }
}

//! A tracker at work, seen from outside: started, asked for its figures, ended. The loops are `worker`'s.

use crate::access::{Access, Admission};
use crate::certificate::Certificate;
use crate::config::{Config, Listen};
use crate::connection_id::ConnectionIds;
use crate::desk::Desk;
use crate::handle::{Handle, Serving};
use crate::members::Members;
use crate::shards::{self, Routes, Unheeded};
use crate::sockets;
use crate::state::{Folder, Remembered};
use crate::tally::Tallies;
use crate::websocket;
use crate::worker::{CALLED, Equipment, Listener, Worker};
use mio::net::UdpSocket;
use mio::{Poll, Waker};
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A tracker at work, on threads of its own. Dropping it ends it: the ports are free and nobody is answered any more.
#[derive(Debug)]
pub struct Tracker {
    listening: Vec<Listen>,
    handle: Handle,
    remembered: Option<Remembered>,
    threads: Vec<JoinHandle<()>>,
}

/// Why a tracker does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened at; it is named.
    Listen(io::Error),
    /// The folder of the state cannot be used; it is named.
    State(io::Error),
    /// The system has no thread to give, or no poll.
    System(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (StartError::Listen(error) | StartError::State(error) | StartError::System(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::System(error)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> io::Error {
        let (StartError::Listen(error) | StartError::State(error) | StartError::System(error)) = error;
        error
    }
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
    /// Opens the sockets, remembers what was saved, and starts.
    ///
    /// # Errors
    /// When an address cannot be listened at or the folder of the state not be used (either is named), TLS is asked for without a
    /// certificate, or the system has no thread to give.
    pub fn start(config: Config) -> Result<Tracker, StartError> {
        let workers = config.workers.get();
        let open = |path| Folder::open(path, config.private.is_some());
        let folder = config.state.as_deref().map(open).transpose().map_err(StartError::State)?;
        let mut listening = Vec::new();
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        // All sockets are there before a datagram is steered: who has which number among them holds from now on.
        for listen in &config.listen {
            let opened = sockets::open(*listen, workers).map_err(StartError::Listen)?;
            listening.push(opened.listen);
            let shown =
                listen.tls.then(|| config.certificate.clone().ok_or_else(no_certificate)).transpose()?;
            for (theirs, socket) in listeners.iter_mut().zip(opened.http) {
                theirs.push(Listener::new(socket, shown.clone()));
            }
            sockets.iter_mut().zip(opened.udp).for_each(|(theirs, socket)| theirs.push(socket));
        }
        let doors = listeners.into_iter().zip(sockets).collect();
        Tracker::start_at(listening, doors, folder, config)
    }

    fn start_at(
        listening: Vec<Listen>,
        doors: Vec<(Vec<Listener>, Vec<UdpSocket>)>,
        mut folder: Option<Folder>,
        config: Config,
    ) -> Result<Tracker, StartError> {
        let workers = doors.len();
        let polls = (0..workers).map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
        let waker = |poll: &Poll| Waker::new(poll.registry(), CALLED).map(Arc::new);
        let wakers = polls.iter().map(waker).collect::<io::Result<Vec<_>>>()?;
        let minutes = config.udp.connection_id_minutes;
        let ids = folder.as_mut().map(|folder| folder.connection_ids(minutes)).transpose();
        let ids = ids.map_err(StartError::State)?.unwrap_or_else(|| ConnectionIds::new(minutes));
        let members = config.private.as_ref().map(|private| Arc::clone(&private.members));
        let access = Arc::new(Admission { access: config.access.clone(), members });
        let config = config.of_one_worker();
        let (routes, orders) = Routes::among(wakers);
        // Two more: for the browsers, and for who writes the state.
        let standing = config.private.as_ref().map(|private| Arc::clone(&private.books.standing));
        let tallies = Tallies::new(workers + 2).with_books(standing.unwrap_or_default());
        let mut each_tally = tallies.each().collect::<Vec<_>>();
        let (for_browsers, for_state) = (each_tally.pop(), each_tally.pop().unwrap_or_default());
        let books = config.private.as_ref().map(|private| &private.books);
        let desk = |tally| Desk::new(config.rules, books.cloned(), Arc::clone(tally));
        let mut desks: Vec<Desk> = each_tally.iter().map(desk).collect();
        let serving = Arc::new(Mutex::new(Serving { admission: Arc::clone(&access), is_unheeded: false }));
        let handle =
            Handle { tallies, orders: Arc::new(orders), serving, browsers: None, lists: Arc::default() };
        let mut tracker = Tracker { listening, handle, remembered: None, threads: Vec::new() };
        let mut writer = None;
        if let Some(folder) = folder {
            // Who asks meanwhile waits in the kernel.
            tracker.remembered = Some(folder.restore(&mut desks, |hash| shards::owner(hash, workers)));
            let (pieces, thread) = folder.write(workers, for_state)?;
            writer = Some(thread);
            desks.iter_mut().enumerate().for_each(|(worker, desk)| desk.save_to(pieces.clone(), worker));
        }
        let websocket = config.websocket.filter(|_| !access.is_private());
        if let (Some(rules), Some(tally)) = (websocket, for_browsers) {
            let (browsers, thread) = websocket::start(rules, Arc::clone(&access), tally)?;
            tracker.handle.browsers = Some(browsers);
            tracker.threads.push(thread);
        }
        let each =
            polls.into_iter().zip(doors).zip(routes.into_iter().zip(desks.into_iter().zip(each_tally)));
        for (number, ((poll, (listeners, sockets)), (routes, (desk, tally)))) in each.enumerate() {
            let (tallies, access) = (tracker.handle.tallies.clone(), Arc::clone(&access));
            let browsers = tracker.handle.browsers.clone();
            let equipment =
                Equipment { poll, listeners, sockets, routes, access, ids, desk, tally, tallies, browsers };
            let worker = Worker::new(equipment, &config)?;
            let thread = std::thread::Builder::new().name(format!("tracker-{number}"));
            // If there is no thread to be had, those that have begun are ended as the tracker is dropped.
            tracker.threads.push(thread.spawn(move || worker.run())?);
        }
        // It ends when no worker is left.
        tracker.threads.extend(writer);
        Ok(tracker)
    }

    /// What was remembered of the time before it was started; nothing if nothing is to be.
    pub fn remembered(&self) -> Option<&Remembered> {
        self.remembered.as_ref()
    }

    /// Saves all swarms now: see [`Handle::save`].
    ///
    /// # Errors
    /// Why not.
    pub fn save(&self) -> Result<(), String> {
        self.handle.save()
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

    /// What its operator sees and changes it by.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// These torrents are served from when this returns: see [`Handle::set_access`].
    ///
    /// # Errors
    /// See there.
    pub fn set_access(&self, access: Access) -> Result<(), Unheeded> {
        self.handle.set_access(access)
    }

    /// These members are served from when this returns: see [`Handle::set_members`].
    ///
    /// # Errors
    /// See there.
    pub fn set_members(&self, members: Members) -> Result<bool, Unheeded> {
        self.handle.set_members(members)
    }

    /// Newcomers are shown this certificate: see [`Handle::set_certificate`].
    ///
    /// # Errors
    /// See there.
    pub fn set_certificate(&self, certificate: &Certificate) -> Result<(), Unheeded> {
        self.handle.set_certificate(certificate)
    }

    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        self.handle.figures()
    }

    /// Ends in order: nobody new comes in, and whoever has asked is answered, as long as that takes no longer than this.
    pub fn end(mut self, patience: Duration) {
        self.end_within(patience);
    }

    fn end_within(&mut self, patience: Duration) {
        if self.threads.is_empty() {
            return;
        }
        self.handle.orders.end(patience);
        if let Some(browsers) = &self.handle.browsers {
            browsers.end();
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the tracker panicked");
            }
        }
    }
}

fn no_certificate() -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, "TLS needs a certificate")
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.end_within(Duration::ZERO);
    }
}

//! Browsers at work: a thread of its own with one loop, all connections that speak WebSocket, and the swarms in which they meet. Who meets
//! whom is `proto::tracker::signalling`'s.
//!
//! Invariants: nobody is waited for; a connection holds at most one message in and [`OUTPUT_MAX`] bytes out, and who does not read is cut
//! off; who speaks too often is read later. Threats: C13, E9

mod allowance;
pub(crate) mod handshake;
mod link;
mod metered;
mod neighbours;

use crate::access::{Admission, REFUSAL};
use crate::config::WebSocketRules;
use crate::shards::Unheeded;
use crate::stream::Stream;
use crate::tally::{Count, Tally};
use link::{Link, Turn};
use mio::{Events, Interest, Poll, Token, Waker};
use neighbours::Neighbours;
use proto::tracker::Signalling;
use proto::tracker::signalling::{Says, VisitorId};
use proto::{Rng, Seed};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wire::tracker_ws::{Reply, Request};

/// Sockets that are heard of at once.
const EVENTS_MAX: usize = 1024;

/// Connections on their way here; with more, the newest is closed.
const NEWCOMERS_MAX: usize = 1024;

/// What it is told and has not heeded yet. An operator makes one change at a time, and few ask whether it is there.
const ORDERS_MAX: usize = 64;

/// How often the loop looks around without being called; so long at most waits who spoke too often.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// Messages of one connection before others get their turn, and bytes in them: the last may be a long one.
const MESSAGES_PER_TURN: u32 = 16;
const BYTES_PER_TURN: usize = 64 * 1024;

/// The waker's token; behind it come connections.
const CALLED: Token = Token(0);

/// A connection whose visitor has asked for WebSocket, and was agreed with.
pub(crate) struct Newcomer {
    pub(crate) stream: Stream,
    /// Who visits, if need be by a proxy's word.
    pub(crate) ip: IpAddr,
    /// What came behind the request.
    pub(crate) came: Vec<u8>,
    /// What is left to write of the answer.
    pub(crate) answer: Vec<u8>,
}

/// What this thread is told.
enum Order {
    /// Are you there?
    Called(SyncSender<()>),
    /// From now on these torrents are served; say so when it holds.
    Access(Arc<Admission>, SyncSender<()>),
    /// Close everything.
    End,
}

/// The way to this thread.
#[derive(Clone, Debug)]
pub(crate) struct Browsers {
    newcomers: SyncSender<Box<Newcomer>>,
    orders: SyncSender<Order>,
    waker: Arc<Waker>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Order")
    }
}

impl Browsers {
    /// Hands a connection over. If too many are on their way, it is closed.
    pub(crate) fn welcome(&self, newcomer: Newcomer) {
        if self.newcomers.try_send(Box::new(newcomer)).is_ok() {
            self.wake();
        }
    }

    /// Asks it to say that it is there. Says whether that can be expected.
    pub(crate) fn call(&self, reply: SyncSender<()>) -> bool {
        self.orders.try_send(Order::Called(reply)).map(|()| self.wake()).is_ok()
    }

    /// These torrents are served from when this returns, unless it does not say so within this time.
    pub(crate) fn set_access(&self, access: Arc<Admission>, patience: Duration) -> Result<(), Unheeded> {
        let (done, is_done) = sync_channel(1);
        match self.orders.try_send(Order::Access(access, done)) {
            Err(TrySendError::Full(_)) => return Err(Unheeded),
            // One that has ended serves nobody any more.
            Err(TrySendError::Disconnected(_)) => return Ok(()),
            Ok(()) => self.wake(),
        }
        match is_done.recv_timeout(patience) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(Unheeded),
        }
    }

    /// Ends it, with all connections.
    pub(crate) fn end(&self) {
        let _ = self.orders.send(Order::End);
        self.wake();
    }

    /// Calls it.
    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            // It looks around by itself.
            tracing::warn!(%error, "the thread of the browsers could not be called");
        }
    }
}

/// Begins.
pub(crate) fn start(
    rules: WebSocketRules,
    access: Arc<Admission>,
    tally: Arc<Tally>,
) -> io::Result<(Browsers, JoinHandle<()>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), CALLED)?);
    let (newcomers, come) = sync_channel(NEWCOMERS_MAX);
    let (orders, received) = sync_channel(ORDERS_MAX);
    let room = Room {
        poll,
        newcomers: come,
        orders: received,
        rules,
        access,
        tally,
        signalling: Signalling::new(rules.swarms),
        rng: Rng::new(Seed(RandomState::new().hash_one("who meets whom"))),
        began: Instant::now(),
        links: BTreeMap::new(),
        neighbours: Neighbours::default(),
        busy: BTreeSet::new(),
        next: CALLED.0 + 1,
        says: Vec::new(),
    };
    let thread = std::thread::Builder::new().name("tracker-browsers".into()).spawn(move || room.run())?;
    Ok((Browsers { newcomers, orders, waker }, thread))
}

/// Everything that the loop owns.
struct Room {
    poll: Poll,
    newcomers: Receiver<Box<Newcomer>>,
    orders: Receiver<Order>,
    rules: WebSocketRules,
    access: Arc<Admission>,
    tally: Arc<Tally>,
    signalling: Signalling,
    rng: Rng,
    began: Instant,
    /// By names that ascend and are never given twice.
    links: BTreeMap<usize, Link>,
    neighbours: Neighbours,
    /// Who could go on, and lets others have their turn first.
    busy: BTreeSet<usize>,
    next: usize,
    says: Says,
}

impl Room {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut looked_around = Instant::now();
        loop {
            let patience = if self.busy.is_empty() { LOOK_AROUND } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    tracing::error!(%error, "the tracker serves no browsers any more: it cannot wait for them");
                    return;
                }
                Ok(()) | Err(_) => {}
            }
            let now = Instant::now();
            for name in std::mem::take(&mut self.busy) {
                self.go_on(name, now);
            }
            for event in &events {
                if event.token() != CALLED {
                    if let Some(link) = self.links.get_mut(&event.token().0) {
                        link.set_ready(event);
                    }
                    self.go_on(event.token().0, now);
                }
            }
            if self.heed_orders(now).is_break() {
                return;
            }
            if now.saturating_duration_since(looked_around) >= LOOK_AROUND {
                looked_around = now;
                self.look_around(now);
            }
            self.tally.set(Count::BrowserConnections, self.links.len() as u64);
            self.tally.set(Count::BrowserSwarms, self.signalling.swarms() as u64);
            self.tally.set(Count::Browsers, self.signalling.members() as u64);
        }
    }

    fn heed_orders(&mut self, now: Instant) -> ControlFlow<()> {
        for _ in 0..ORDERS_MAX {
            match self.orders.try_recv() {
                Ok(Order::Called(reply)) => drop(reply.try_send(())),
                Ok(Order::Access(access, done)) => {
                    self.access = access;
                    let _ = done.send(());
                }
                Ok(Order::End) => return ControlFlow::Break(()),
                Err(_) => break,
            }
        }
        for _ in 0..NEWCOMERS_MAX {
            let Ok(newcomer) = self.newcomers.try_recv() else { break };
            self.welcome(*newcomer, now);
        }
        ControlFlow::Continue(())
    }

    fn welcome(&mut self, newcomer: Newcomer, now: Instant) {
        if self.links.len() >= self.rules.connections_max {
            // Closed as it is dropped: there is nothing that a browser would show.
            return;
        }
        let Some(at_once) = self.neighbours.enter(newcomer.ip, now, &self.rules) else { return };
        let (name, ip) = (self.next, newcomer.ip);
        self.next += 1;
        let mut link = Link::new(newcomer, at_once, now);
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(link.socket_mut(), Token(name), both).is_err() {
            return self.neighbours.leave(ip, -at_once);
        }
        self.links.insert(name, link);
        self.go_on(name, now);
    }

    /// Reads what a browser says, as far as it may speak now, and does what follows.
    fn go_on(&mut self, name: usize, now: Instant) {
        let mut bytes = 0;
        for _ in 0..MESSAGES_PER_TURN {
            let Some(link) = self.links.get_mut(&name) else { return };
            match link.turn(now, self.rules.messages_per_second_max) {
                Turn::Said(text) => {
                    self.on_message(name, &text);
                    bytes += text.len();
                    if bytes > BYTES_PER_TURN {
                        break;
                    }
                }
                Turn::Waits => return,
                Turn::Continues => break,
                Turn::Over => return self.leave(name),
            }
        }
        self.busy.insert(name);
    }

    fn on_message(&mut self, name: usize, text: &str) {
        let visitor = VisitorId(name as u64);
        let now =
            proto::Instant::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut says = std::mem::take(&mut self.says);
        match Request::decode(text) {
            Err(error) => {
                says.push((visitor, Reply::Refused { reason: error.to_string().into(), info_hash: None }));
            }
            Ok(Request::Announce(announce)) if !self.access.admits(&announce.info_hash) => {
                self.tally.count(Count::Denied);
                let info_hash = Some(announce.info_hash);
                says.push((visitor, Reply::Refused { reason: REFUSAL.into(), info_hash }));
            }
            Ok(Request::Announce(announce)) => {
                self.tally.count(Count::AnnounceWebSocket);
                self.signalling.on_announce(now, visitor, announce, &mut self.rng, &mut says);
            }
            Ok(Request::Answer(answer)) => self.signalling.on_answer(now, visitor, answer, &mut says),
            Ok(Request::Scrape(torrents)) => {
                let rows = torrents.into_iter().map(|torrent| {
                    self.tally.count(Count::ScrapeWebSocket);
                    (torrent, self.signalling.scrape(torrent))
                });
                says.push((visitor, Reply::Scraped(rows.collect())));
            }
        }
        for (VisitorId(to), reply) in says.drain(..) {
            let Ok(to) = usize::try_from(to) else { continue };
            if let Some(link) = self.links.get_mut(&to)
                && link.say(reply.encode()).is_err()
            {
                self.leave(to);
            }
        }
        self.says = says;
    }

    fn leave(&mut self, name: usize) {
        let Some(link) = self.links.remove(&name) else { return };
        self.busy.remove(&name);
        self.signalling.on_closed(VisitorId(name as u64));
        self.neighbours.leave(link.ip(), link.owes(Instant::now(), self.rules.messages_per_second_max));
    }

    fn look_around(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (&name, link) in &mut self.links {
            if link.look_around(now).is_err() {
                over.push(name);
            } else if link.is_held_back() {
                self.busy.insert(name);
            }
        }
        over.into_iter().for_each(|name| self.leave(name));
        self.neighbours.look_around(now, &self.rules);
        let since = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.signalling.sweep(proto::Instant::from_micros(since));
    }
}

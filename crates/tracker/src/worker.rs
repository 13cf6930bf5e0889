//! The loop and its sockets. Knows readiness, not swarms.
//!
//! Invariant: whoever could go on at once does so only after everybody else had a turn.

use crate::config::{Config, HttpRules};
use crate::desk::Desk;
use crate::http::{Connection, Service, Visitor};
use crate::server::Shared;
use crate::sockets::Opened;
use crate::udp::Datagrams;
use crate::visitors::Visitors;
use mio::event::Event;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Sockets that are heard of at once.
const EVENTS_MAX: usize = 1024;

/// How often the loop looks around without being called: for visitors who take too long, and peers that stayed away.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Connections accepted before others get their turn.
const ACCEPT_BATCH_MAX: usize = 64;

/// The waker's token: it is looked whether the end has come.
pub(crate) const STOP: Token = Token(0);

/// Behind [`STOP`] come the listeners, then the sockets, then visitors in the order in which they came.
const FIRST_DOOR: usize = 1;

/// A listening socket. Readiness is told once, so what a batch left over must be remembered.
struct Door<S> {
    socket: S,
    ready: bool,
}

/// Everything that the loop owns.
pub(crate) struct Worker {
    poll: Poll,
    listeners: Vec<Door<TcpListener>>,
    sockets: Vec<Door<UdpSocket>>,
    visitors: Visitors,
    /// Visitors who could go on, and let others have their turn first.
    busy: Vec<usize>,
    rules: HttpRules,
    /// Room for the body of an answer.
    body: Vec<u8>,
    datagrams: Datagrams,
    desk: Desk,
    shared: Arc<Shared>,
}

impl Worker {
    /// A loop over these sockets that has not begun.
    pub(crate) fn new(
        poll: Poll,
        opened: Vec<Opened>,
        config: Config,
        shared: Arc<Shared>,
    ) -> io::Result<Worker> {
        let (mut listeners, mut sockets) = (Vec::new(), Vec::new());
        for opened in opened {
            listeners.extend(opened.http.map(|socket| Door { socket, ready: false }));
            sockets.extend(opened.udp.map(|socket| Door { socket, ready: false }));
        }
        let mut next = FIRST_DOOR;
        for door in &mut listeners {
            poll.registry().register(&mut door.socket, Token(next), Interest::READABLE)?;
            next += 1;
        }
        for door in &mut sockets {
            poll.registry().register(&mut door.socket, Token(next), Interest::READABLE)?;
            next += 1;
        }
        Ok(Worker {
            poll,
            listeners,
            sockets,
            visitors: Visitors::new(next),
            busy: Vec::new(),
            rules: config.http,
            body: Vec::new(),
            datagrams: Datagrams::new(),
            desk: Desk::new(config.rules, Arc::clone(&shared.tally)),
            shared,
        })
    }

    /// Until the end is asked for.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut looked_around = Instant::now();
        loop {
            let patience = if self.could_go_on() { Duration::ZERO } else { LOOK_AROUND };
            match self.poll.poll(&mut events, Some(patience)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    tracing::error!(%error, "the tracker ends: it cannot wait for its sockets");
                    return;
                }
                Ok(()) | Err(_) => {}
            }
            if self.shared.stop.load(Ordering::Acquire) {
                return;
            }
            // One look at the clock does for all that came together.
            let now = Instant::now();
            for name in std::mem::take(&mut self.busy) {
                self.visit(name, now);
            }
            for event in &events {
                self.on_ready(event, now);
            }
            self.accept_all(now);
            for door in self.sockets.iter_mut().filter(|door| door.ready) {
                door.ready = self.datagrams.serve(&door.socket, &mut self.desk);
            }
            if now.saturating_duration_since(looked_around) >= LOOK_AROUND {
                looked_around = now;
                self.look_around(now);
            }
        }
    }

    /// Something was left over by the last turn.
    fn could_go_on(&self) -> bool {
        !self.busy.is_empty()
            || self.listeners.iter().any(|door| door.ready)
            || self.sockets.iter().any(|door| door.ready)
    }

    fn on_ready(&mut self, event: &Event, now: Instant) {
        let Some(number) = event.token().0.checked_sub(FIRST_DOOR) else { return };
        if let Some(door) = self.listeners.get_mut(number) {
            door.ready = true;
        } else if let Some(door) = self.sockets.get_mut(number - self.listeners.len()) {
            door.ready = true;
        } else if let Some(visitor) = self.visitors.get_mut(event.token().0) {
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                visitor.set_readable();
            }
            self.visit(event.token().0, now);
        }
    }

    fn accept_all(&mut self, now: Instant) {
        for number in 0..self.listeners.len() {
            if self.listeners.get(number).is_some_and(|door| door.ready) {
                let more = self.accept(number, now);
                if let Some(door) = self.listeners.get_mut(number) {
                    door.ready = more;
                }
            }
        }
    }

    /// Lets visitors in. Says whether more may be waiting.
    fn accept(&mut self, number: usize, now: Instant) -> bool {
        for _ in 0..ACCEPT_BATCH_MAX {
            let Some(accepted) = self.listeners.get(number).map(|door| door.socket.accept()) else {
                return false;
            };
            match accepted {
                Ok((stream, from)) => self.welcome(Connection::new(stream, from.ip(), &self.rules, now), now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // It left before it was let in.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // No descriptors: another visitor has one to give; else the next look-around tries again.
                Err(error) => {
                    tracing::warn!(%error, "a visitor could not be let in");
                    return self.visitors.one_gives_way(now);
                }
            }
        }
        true
    }

    fn welcome(&mut self, mut visitor: Connection, now: Instant) {
        let both = Interest::READABLE | Interest::WRITABLE;
        let name = Token(self.visitors.next_name());
        if self.visitors.has_room_for(&visitor, &self.rules)
            && self.poll.registry().register(visitor.stream_mut(), name, both).is_ok()
        {
            self.visitors.insert(visitor, &self.rules, now);
        }
    }

    fn visit(&mut self, name: usize, now: Instant) {
        let Some(visitor) = self.visitors.get_mut(name) else { return };
        let (desk, rules, body) = (&mut self.desk, &self.rules, &mut self.body);
        match visitor.go_on(&mut Service { desk, rules, now, body }) {
            Visitor::Stays => {}
            Visitor::HasMore => self.busy.push(name),
            Visitor::Leaves => self.visitors.remove(name),
        }
    }

    fn look_around(&mut self, now: Instant) {
        self.visitors.remove_overdue(now);
        // Descriptors that were lacking may be there by now.
        self.listeners.iter_mut().for_each(|door| door.ready = true);
        self.desk.sweep();
    }
}

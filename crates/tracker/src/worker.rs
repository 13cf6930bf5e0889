//! The loop and its sockets. Knows readiness, not swarms.
//!
//! Invariant: at most [`CONNECTIONS_MAX`] visitors over HTTP at once; when one more comes, the oldest gives way, so that
//! silent ones cannot keep others out.

use crate::desk::Desk;
use crate::http::{Connection, Visitor};
use crate::server::Shared;
use crate::sockets::Opened;
use crate::udp::Datagrams;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use proto::tracker::swarm_table::Rules;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Visitors over HTTP at once. One takes milliseconds; some 20 MiB if all send the longest question.
const CONNECTIONS_MAX: usize = 1024;

/// How long a visitor may take, from the first packet to the last.
const VISIT_MAX: Duration = Duration::from_secs(15);

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
    /// In the order in which they came: the first is the oldest.
    visitors: BTreeMap<usize, (Instant, Connection)>,
    next: usize,
    datagrams: Datagrams,
    desk: Desk,
    shared: Arc<Shared>,
}

impl Worker {
    /// A loop over these sockets that has not begun.
    pub(crate) fn new(
        poll: Poll,
        opened: Vec<Opened>,
        rules: Rules,
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
        let desk = Desk::new(rules, Arc::clone(&shared.tally));
        let (visitors, datagrams) = (BTreeMap::new(), Datagrams::new());
        Ok(Worker { poll, listeners, sockets, visitors, next, datagrams, desk, shared })
    }

    /// Until the end is asked for.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX);
        let mut looked_around = Instant::now();
        loop {
            let left_over =
                self.listeners.iter().any(|door| door.ready) || self.sockets.iter().any(|door| door.ready);
            let patience = if left_over { Duration::ZERO } else { LOOK_AROUND };
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
            for event in &events {
                self.on_ready(event.token());
            }
            self.accept_all();
            for door in self.sockets.iter_mut().filter(|door| door.ready) {
                door.ready = self.datagrams.serve(&door.socket, &mut self.desk);
            }
            if looked_around.elapsed() >= LOOK_AROUND {
                looked_around = Instant::now();
                self.look_around();
            }
        }
    }

    fn on_ready(&mut self, token: Token) {
        let Some(number) = token.0.checked_sub(FIRST_DOOR) else { return };
        if let Some(door) = self.listeners.get_mut(number) {
            door.ready = true;
        } else if let Some(door) = self.sockets.get_mut(number - self.listeners.len()) {
            door.ready = true;
        } else {
            self.visit(token.0);
        }
    }

    fn accept_all(&mut self) {
        for number in 0..self.listeners.len() {
            if self.listeners.get(number).is_some_and(|door| door.ready) {
                let more = self.accept(number);
                if let Some(door) = self.listeners.get_mut(number) {
                    door.ready = more;
                }
            }
        }
    }

    /// Lets visitors in. Says whether more may be waiting.
    fn accept(&mut self, number: usize) -> bool {
        for _ in 0..ACCEPT_BATCH_MAX {
            let Some(accepted) = self.listeners.get(number).map(|door| door.socket.accept()) else {
                return false;
            };
            match accepted {
                Ok((stream, from)) => self.welcome(Connection::new(stream, from.ip())),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
                // It left before it was let in.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                // No descriptors: the oldest visitor has one to give; else the next look-around tries again.
                Err(error) => {
                    tracing::warn!(%error, "a visitor could not be let in");
                    return self.visitors.pop_first().is_some();
                }
            }
        }
        true
    }

    fn welcome(&mut self, mut visitor: Connection) {
        if self.visitors.len() >= CONNECTIONS_MAX {
            self.visitors.pop_first();
        }
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = self.poll.registry().register(visitor.stream_mut(), Token(self.next), both);
        if registered.is_ok() {
            self.visitors.insert(self.next, (Instant::now(), visitor));
            self.next += 1;
        }
    }

    fn visit(&mut self, token: usize) {
        let Some((_, visitor)) = self.visitors.get_mut(&token) else { return };
        match visitor.on_ready(&mut self.desk) {
            Visitor::Stays => {}
            Visitor::Leaves => drop(self.visitors.remove(&token)),
        }
    }

    fn look_around(&mut self) {
        while self.visitors.first_key_value().is_some_and(|(_, (came, _))| came.elapsed() > VISIT_MAX) {
            self.visitors.pop_first();
        }
        // Descriptors that were lacking may be there by now.
        self.listeners.iter_mut().for_each(|door| door.ready = true);
        self.desk.sweep();
    }
}

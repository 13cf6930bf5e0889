//! The loop and its sockets. Knows readiness, not swarms.
//!
//! Invariant: at most [`CONNECTIONS_MAX`] visitors over HTTP at once; when one more comes, the oldest gives way, so that
//! silent ones cannot keep others out.

use crate::desk::{Desk, Tally};
use crate::http::{Connection, Visitor};
use crate::udp;
use mio::net::{TcpListener, UdpSocket};
use mio::{Events, Interest, Poll, Token, Waker};
use proto::tracker::swarm_table::Rules;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Visitors over HTTP at once. One takes milliseconds; some 20 MiB if all send the longest question.
const CONNECTIONS_MAX: usize = 1024;

/// How long a visitor may take, from the first packet to the last.
const VISIT_MAX: Duration = Duration::from_secs(15);

/// How often the loop looks around without being called: for visitors who take too long, and peers that stayed away.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// Connections accepted before others get their turn.
const ACCEPT_BATCH_MAX: usize = 64;

const HTTP: Token = Token(0);
const UDP: Token = Token(1);
const STOP: Token = Token(2);
const FIRST_VISITOR: usize = 3;

/// Connections that the kernel completes before we accept them: a burst of as many visitors as we hold loses none.
const BACKLOG: i32 = CONNECTIONS_MAX as i32;

/// What a tracker is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Where to listen for HTTP; port 0 takes a free one.
    pub http: Option<SocketAddr>,
    /// Where to listen for UDP; port 0 takes a free one.
    pub udp: Option<SocketAddr>,
    /// How the table behaves.
    pub rules: Rules,
}

/// A tracker at work, on a thread of its own. Dropping it ends it: the port is free and nobody is answered any more.
#[derive(Debug)]
pub struct Tracker {
    http: Option<SocketAddr>,
    udp: Option<SocketAddr>,
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
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

/// What the loop tells and is told.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    tally: Arc<Tally>,
}

impl Tracker {
    /// Opens the sockets and starts.
    ///
    /// # Errors
    /// When an address cannot be listened at, or the system has no thread to give.
    pub fn start(config: Config) -> io::Result<Tracker> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let mut listener = config.http.map(listen).transpose()?;
        let mut socket = config.udp.map(UdpSocket::bind).transpose()?;
        if let Some(listener) = &mut listener {
            poll.registry().register(listener, HTTP, Interest::READABLE)?;
        }
        if let Some(socket) = &mut socket {
            poll.registry().register(socket, UDP, Interest::READABLE)?;
        }
        let http = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let udp = socket.as_ref().map(UdpSocket::local_addr).transpose()?;
        let shared = Arc::new(Shared::default());
        let server = Server {
            poll,
            listener,
            socket,
            visitors: BTreeMap::new(),
            next: FIRST_VISITOR,
            desk: Desk::new(config.rules, Arc::clone(&shared.tally)),
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("gannet-tracker".into()).spawn(move || server.run())?;
        Ok(Tracker { http, udp, shared, waker, thread: Some(thread) })
    }

    /// Where it listens for HTTP.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where it listens for UDP.
    pub fn udp_addr(&self) -> Option<SocketAddr> {
        self.udp
    }

    /// What it has done so far.
    pub fn figures(&self) -> Figures {
        self.shared.tally.figures()
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let called = self.waker.wake();
        if let (Ok(()), Some(thread)) = (called, self.thread.take())
            && thread.join().is_err()
        {
            tracing::error!("the tracker's thread panicked");
        }
    }
}

/// A socket for visitors over HTTP, of this address's family alone.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Ours again at once after a restart; on Linux this does not let two programs listen at one port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Everything that the loop owns.
struct Server {
    poll: Poll,
    listener: Option<TcpListener>,
    socket: Option<UdpSocket>,
    /// In the order in which they came: the first is the oldest.
    visitors: BTreeMap<usize, (Instant, Connection)>,
    next: usize,
    desk: Desk,
    shared: Arc<Shared>,
}

impl Server {
    fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_MAX);
        // What a batch left over: readiness is told once, so it must be remembered.
        let (mut accept, mut receive) = (false, false);
        let mut looked_around = Instant::now();
        loop {
            let patience = if accept || receive { Duration::ZERO } else { LOOK_AROUND };
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
                match event.token() {
                    HTTP => accept = true,
                    UDP => receive = true,
                    STOP => {}
                    Token(visitor) => self.visit(visitor),
                }
            }
            accept = accept && self.accept();
            receive =
                receive && self.socket.as_ref().is_some_and(|socket| udp::serve(socket, &mut self.desk));
            if looked_around.elapsed() >= LOOK_AROUND {
                looked_around = Instant::now();
                self.look_around();
                // Descriptors that were lacking may be there by now.
                accept = true;
            }
        }
    }

    /// Lets in who is waiting. Says whether more may be.
    fn accept(&mut self) -> bool {
        for _ in 0..ACCEPT_BATCH_MAX {
            let Some(accepted) = self.listener.as_ref().map(TcpListener::accept) else { return false };
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
        self.desk.sweep();
    }
}

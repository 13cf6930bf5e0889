//! Sockets at which visitors are awaited. Knows addresses, not visitors.
//!
//! Invariants: a socket is of its address's family alone, so that both families can be listened at under one port; nobody else listens
//! there, not even another of this user's programs that would share the port.

use crate::config::Listen;
use crate::shards;
use mio::net::{TcpListener, UdpSocket};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

/// Connections that the kernel completes before we accept them.
const BACKLOG: i32 = 1024;

/// Bytes of questions that wait in the kernel, its own overhead included twice over: some 20,000 announces, which is 150 ms of work. So a
/// burst is not lost, and under overload nobody's answer comes too late to be of use (E10).
const WAITING_MAX: usize = 8 << 20;

/// Bytes of answers that wait in the kernel for the network.
const LEAVING_MAX: usize = 4 << 20;

/// Free ports tried until one is free for every protocol.
const FREE_PORT_TRIES: u32 = 16;

/// The sockets of one address.
pub(crate) struct Opened {
    /// The address with its true port.
    pub(crate) listen: Listen,
    /// One for each worker.
    pub(crate) http: Vec<TcpListener>,
    /// One for each worker.
    pub(crate) udp: Vec<UdpSocket>,
}

/// Opens what is to be listened at.
///
/// # Errors
/// When the system does not allow it; the address is named.
pub(crate) fn open(listen: Listen, workers: usize) -> io::Result<Opened> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", listen.at));
    let mut tries = 0;
    loop {
        tries += 1;
        match try_open(listen, workers) {
            // The port that was free for one protocol is taken for the other.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && listen.at.port() == 0
                    && tries < FREE_PORT_TRIES => {}
            opened => return opened.map_err(named),
        }
    }
}

fn try_open(listen: Listen, workers: usize) -> io::Result<Opened> {
    let mut at = listen.at;
    let [mut http, mut udp] = [(); 2].map(|()| Vec::new());
    if listen.http {
        http = group(at, workers, Type::STREAM, Protocol::TCP)?;
        at = http.first().map_or(Ok(at), address)?;
        http.iter().try_for_each(|socket| socket.listen(BACKLOG))?;
    }
    if listen.udp {
        udp = group(at, workers, Type::DGRAM, Protocol::UDP)?;
        at = udp.first().map_or(Ok(at), address)?;
        for socket in &udp {
            os::net::grow_receive_buffer(socket, WAITING_MAX);
            // Less is allowed on most systems, and is enough then.
            let _ = socket.set_send_buffer_size(LEAVING_MAX);
        }
        if let (Some(socket), true) = (udp.first(), workers > 1) {
            steer(socket, workers);
        }
    }
    Ok(Opened {
        listen: Listen { at, ..listen },
        http: http.into_iter().map(|socket| TcpListener::from_std(socket.into())).collect(),
        udp: udp.into_iter().map(|socket| UdpSocket::from_std(socket.into())).collect(),
    })
}

/// So many sockets at one port.
fn group(mut at: SocketAddr, workers: usize, kind: Type, protocol: Protocol) -> io::Result<Vec<Socket>> {
    // Bound alone first: sockets that share a port would let another tracker of ours share it too.
    let alone = bound(at, kind, protocol, false)?;
    if workers == 1 {
        return Ok(vec![alone]);
    }
    at = address(&alone)?;
    drop(alone);
    (0..workers).map(|_| bound(at, kind, protocol, true)).collect()
}

fn bound(at: SocketAddr, kind: Type, protocol: Protocol, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind.nonblocking(), Some(protocol))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Ours again at once after a restart; on Linux this does not let two programs listen at one port.
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&at.into())?;
    Ok(socket)
}

fn address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

/// Announces and scrapes go to the worker that has their (first) swarm. Without it they are handed on, which costs more.
fn steer(socket: &Socket, workers: usize) {
    let workers = u32::try_from(workers).unwrap_or(u32::MAX);
    let told = os::net::steer_by_word(socket, shards::UDP_WORD_AT, workers, shards::UDP_LEN_MIN);
    if let Err(error) = told {
        tracing::warn!(%error, "the kernel does not steer datagrams to the worker that they are for");
    }
}

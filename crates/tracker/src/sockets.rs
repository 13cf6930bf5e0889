//! Sockets at which visitors are awaited. Knows addresses, not visitors.
//!
//! Invariant: a socket is of its address's family alone, so that both families can be listened at under one port.

use crate::config::Listen;
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
    pub(crate) http: Option<TcpListener>,
    pub(crate) udp: Option<UdpSocket>,
}

/// Opens what is to be listened at.
///
/// # Errors
/// When the system does not allow it; the address is named.
pub(crate) fn open(listen: Listen) -> io::Result<Opened> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", listen.at));
    let mut tries = 0;
    loop {
        tries += 1;
        match try_open(listen) {
            // The port that was free for one protocol is taken for the other.
            Err(error)
                if error.kind() == ErrorKind::AddrInUse
                    && listen.at.port() == 0
                    && tries < FREE_PORT_TRIES => {}
            opened => return opened.map_err(named),
        }
    }
}

fn try_open(listen: Listen) -> io::Result<Opened> {
    let mut at = listen.at;
    let http = if listen.http { Some(listener(at)?) } else { None };
    if let Some(http) = &http {
        at = http.local_addr()?;
    }
    let udp = if listen.udp { Some(socket(at)?) } else { None };
    if let Some(udp) = &udp {
        at = udp.local_addr()?;
    }
    Ok(Opened { listen: Listen { at, ..listen }, http, udp })
}

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = of_family(at, Type::STREAM, Protocol::TCP)?;
    // Ours again at once after a restart; on Linux this does not let two programs listen at one port.
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn socket(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = of_family(at, Type::DGRAM, Protocol::UDP)?;
    os::net::grow_receive_buffer(&socket, WAITING_MAX);
    // Less is allowed on most systems, and is enough then.
    let _ = socket.set_send_buffer_size(LEAVING_MAX);
    socket.bind(&at.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

fn of_family(at: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind.nonblocking(), Some(protocol))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

//! Where peers reach us: one socket for each address family, both on the same port.
//!
//! Two sockets rather than one for both families: each family can be missing or bound elsewhere, and addresses come out as
//! what they are. A busy port is not an error: the next one of the range is tried, and then whichever is free.

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// Connections that the kernel completes for us before we accept them; beyond, peers try again by themselves.
const BACKLOG: i32 = 512;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Ports in the order in which they are tried; `0..=0` takes whichever is free.
    pub ports: RangeInclusive<u16>,
    /// IPv4 address to listen at; `None` keeps IPv4 off.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address to listen at; `None` keeps IPv6 off. Without IPv6 on the machine, IPv4 alone is used.
    pub ipv6: Option<Ipv6Addr>,
}

impl Default for Listen {
    /// All addresses, ports 6881 to 6889 as is the custom.
    fn default() -> Listen {
        Listen { ports: 6881..=6889, ipv4: Some(Ipv4Addr::UNSPECIFIED), ipv6: Some(Ipv6Addr::UNSPECIFIED) }
    }
}

/// The open sockets.
#[derive(Debug)]
pub(crate) struct Listeners {
    /// At most one of each family.
    pub(crate) sockets: Vec<TcpListener>,
    /// Their port; 0 if there is no socket.
    pub(crate) port: u16,
}

impl Listeners {
    /// Opens the sockets.
    pub(crate) fn open(wish: &Listen) -> io::Result<Listeners> {
        if wish.ipv4.is_none() && wish.ipv6.is_none() {
            return Ok(Listeners { sockets: Vec::new(), port: 0 });
        }
        let mut last = None;
        for port in wish.ports.clone().chain([0; 4]) {
            match Listeners::at(wish, port) {
                Ok(listeners) => return Ok(listeners),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = Some(error),
                // A port below 1024 that is not ours to take: the next may be.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
    }

    /// Where they listen.
    pub(crate) fn local_addrs(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Whether peers can reach us over IPv4.
    pub(crate) fn has_ipv4(&self) -> bool {
        self.local_addrs().iter().any(SocketAddr::is_ipv4)
    }

    /// Whether peers can reach us over IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.local_addrs().iter().any(SocketAddr::is_ipv6)
    }

    fn at(wish: &Listen, port: u16) -> io::Result<Listeners> {
        let mut listeners = Listeners { sockets: Vec::new(), port };
        if let Some(ip) = wish.ipv4 {
            listeners.add((ip, port).into())?;
        }
        if let Some(ip) = wish.ipv6 {
            match listeners.add((ip, listeners.port).into()) {
                Err(error) if wish.ipv4.is_some() && lacks_ipv6(&error) => {
                    tracing::info!(%error, "no IPv6 here: listening over IPv4 alone");
                }
                added => added?,
            }
        }
        Ok(listeners)
    }

    fn add(&mut self, address: SocketAddr) -> io::Result<()> {
        let socket =
            Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Ours again at once after a restart; on Linux this does not let two programs listen at one port.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from_std(socket.into());
        self.port = socket.local_addr()?.port();
        self.sockets.push(socket);
        Ok(())
    }
}

/// Whether this machine has no IPv6, or not at this address.
fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error().is_some_and(|code| code == EAFNOSUPPORT)
}

/// "Address family not supported by protocol", for which the standard library has no kind.
const EAFNOSUPPORT: i32 = 97;

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(ports: RangeInclusive<u16>) -> Listen {
        Listen { ports, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: Some(Ipv6Addr::LOCALHOST) }
    }

    #[test]
    fn both_families_share_a_port() {
        let listeners = Listeners::open(&loopback(0..=0)).unwrap();
        let ports: Vec<u16> =
            listeners.sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(!ports.is_empty() && ports.iter().all(|&port| port == listeners.port && port != 0));
    }

    #[test]
    fn a_port_that_is_busy_in_either_family_is_passed_over() {
        for busy in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(taken) = std::net::TcpListener::bind(busy) else { continue };
            let port = taken.local_addr().unwrap().port();
            let listeners = Listeners::open(&loopback(port..=port)).unwrap();
            assert!(listeners.port != port && listeners.port != 0, "{busy}");
        }
    }

    #[test]
    fn one_family_can_be_off() {
        let listeners = Listeners::open(&Listen { ipv6: None, ..loopback(0..=0) }).unwrap();
        assert_eq!(listeners.sockets.len(), 1);
        let none = Listeners::open(&Listen { ipv4: None, ipv6: None, ports: 0..=0 }).unwrap();
        assert_eq!((none.sockets.len(), none.port), (0, 0));
    }
}

//! Sockets of a multicast group that several programs of one machine share, and that stay on the networks beside it.

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// A member of one group, on the interfaces that were joined and no others. Never blocks.
///
/// It hears only what is sent to the group, whatever is sent to this machine; its own words too; and what it says goes no
/// further than the next router.
#[derive(Debug)]
pub struct Member {
    socket: Socket,
    group: SocketAddr,
}

impl Member {
    /// A member that has joined on no interface yet. Other programs, of whatever kind, can be members on the same port.
    ///
    /// # Errors
    /// As the kernel's: no such family here, or a program that keeps the port to itself.
    pub fn open(group: SocketAddr) -> io::Result<Member> {
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        // Some programs share by the one, some by the other; Linux asks that both sides have the same.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        match group.ip() {
            IpAddr::V4(_) => {
                // Else it hears on all interfaces on which any program has joined.
                socket.set_multicast_all_v4(false)?;
                socket.set_multicast_ttl_v4(1)?;
                socket.set_multicast_loop_v4(true)?;
            }
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_multicast_all_v6(false)?;
                socket.set_multicast_hops_v6(1)?;
                socket.set_multicast_loop_v6(true)?;
            }
        }
        // Bound to the group and not to all addresses: nobody can send to it from beyond the network, around the TTL.
        socket.bind(&group.into())?;
        Ok(Member { socket, group })
    }

    /// The group and its port.
    pub fn group(&self) -> SocketAddr {
        self.group
    }

    /// Joins on an interface. Whoever has joined already stays so.
    ///
    /// # Errors
    /// As the kernel's: the interface is gone, or there are more memberships than a socket may have (20 by default).
    pub fn join(&self, interface: u32) -> io::Result<()> {
        let joined = match self.group.ip() {
            IpAddr::V4(group) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
            }
            IpAddr::V6(group) => self.socket.join_multicast_v6(&group, interface),
        };
        match joined {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            joined => joined,
        }
    }

    /// Leaves on an interface.
    ///
    /// # Errors
    /// As the kernel's: the interface is gone, and with it the membership.
    pub fn leave(&self, interface: u32) -> io::Result<()> {
        match self.group.ip() {
            IpAddr::V4(group) => {
                self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(interface))
            }
            IpAddr::V6(group) => self.socket.leave_multicast_v6(&group, interface),
        }
    }

    /// Sends a datagram to the group over one interface, from this address of it (IPv6 chooses by itself).
    ///
    /// # Errors
    /// As the kernel's: the interface is gone, down or full.
    pub fn send(&self, interface: u32, from: IpAddr, datagram: &[u8]) -> io::Result<()> {
        match from {
            IpAddr::V4(address) => self.socket.set_multicast_if_v4(&address)?,
            IpAddr::V6(_) => self.socket.set_multicast_if_v6(interface)?,
        }
        self.socket.send_to(datagram, &self.group.into()).map(drop)
    }

    /// The socket, to receive from and to wait for. Whoever holds it keeps the membership.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn receiver(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interfaces;
    use std::net::Ipv4Addr;
    use std::time::{Duration, Instant};

    /// A group and a port of this test's own, so that no other program is disturbed.
    const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 77, 21);

    fn hear(socket: &UdpSocket, patience: Duration) -> Option<(Vec<u8>, SocketAddr)> {
        let (start, mut buffer) = (Instant::now(), [0; 100]);
        while start.elapsed() < patience {
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) => return Some((buffer[..len].to_vec(), from)),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            std::thread::yield_now();
        }
        None
    }

    #[test]
    fn two_members_on_one_machine_hear_each_other_and_whoever_has_not_joined_does_not() {
        let lo = interfaces::list().unwrap().into_iter().find(|interface| interface.loopback).unwrap();
        let group = SocketAddr::from((GROUP, 47_821));
        let [speaker, listener, deaf] = [(); 3].map(|()| Member::open(group).unwrap());
        listener.join(lo.index).unwrap();
        listener.join(lo.index).unwrap();
        speaker.send(lo.index, Ipv4Addr::LOCALHOST.into(), b"here").unwrap();
        let (heard, from) = hear(&listener.receiver().unwrap(), Duration::from_secs(5)).unwrap();
        assert_eq!((&heard[..], from.ip()), (&b"here"[..], Ipv4Addr::LOCALHOST.into()));
        assert!(hear(&deaf.receiver().unwrap(), Duration::from_millis(20)).is_none());
        // What is sent to this machine alone is not for the group.
        let alone = UdpSocket::bind("127.0.0.1:0").unwrap();
        alone.send_to(b"psst", (Ipv4Addr::LOCALHOST, 47_821)).unwrap();
        assert!(hear(&listener.receiver().unwrap(), Duration::from_millis(20)).is_none());
        listener.leave(lo.index).unwrap();
        speaker.send(lo.index, Ipv4Addr::LOCALHOST.into(), b"here").unwrap();
        assert!(hear(&listener.receiver().unwrap(), Duration::from_millis(20)).is_none());
        assert!(listener.join(0x7fff_fff0).is_err(), "no such interface");
    }
}

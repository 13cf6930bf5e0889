//! Many datagrams by one call of the kernel, each from a local address of its own (`sendmmsg` with `IP_PKTINFO`).
//!
//! For tools that stand for a crowd: one socket that is bound to no address speaks for all addresses of this machine. Invariant:
//! memory is set aside once; a datagram that was not sent stays in place until it is sent or dropped.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

/// Datagrams that one call sends at most.
pub const OUTBOX_MAX: usize = 64;

/// Datagrams over IPv4 that wait to be sent together.
pub struct Outbox {
    /// One place after the other.
    bytes: Box<[u8]>,
    place_len: usize,
    /// What lies in the places: how long, to whom, from where.
    waiting: Vec<Waiting>,
    heads: Box<[libc::mmsghdr]>,
    places: Box<[libc::iovec]>,
    names: Box<[libc::sockaddr_in]>,
    controls: Box<[Control]>,
}

#[derive(Clone, Copy)]
struct Waiting {
    len: usize,
    to: SocketAddrV4,
    from: Option<Ipv4Addr>,
}

/// A control message that names the source, laid out as `CMSG_FIRSTHDR` and `CMSG_DATA` have it.
#[repr(C)]
struct Control {
    head: libc::cmsghdr,
    info: libc::in_pktinfo,
    /// Up to the alignment of `cmsghdr`.
    _padding: u32,
}

impl Outbox {
    /// Places for [`OUTBOX_MAX`] datagrams of at most so many bytes each.
    pub fn new(place_len: usize) -> Outbox {
        // SAFETY: all of these are plain C structures, for which zeroes are a value.
        let (heads, places, names, controls) = unsafe {
            (
                (0..OUTBOX_MAX).map(|_| zeroed()).collect(),
                (0..OUTBOX_MAX).map(|_| zeroed()).collect(),
                (0..OUTBOX_MAX).map(|_| zeroed()).collect(),
                (0..OUTBOX_MAX).map(|_| zeroed()).collect(),
            )
        };
        let bytes = vec![0; place_len * OUTBOX_MAX].into();
        Outbox { bytes, place_len, waiting: Vec::with_capacity(OUTBOX_MAX), heads, places, names, controls }
    }

    /// Datagrams that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether there is no place for one more.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= OUTBOX_MAX
    }

    /// One more datagram; `write` gets its place and says how much of it is used. Without a `from` the kernel chooses. Says whether
    /// there was a place.
    pub fn push(
        &mut self,
        from: Option<Ipv4Addr>,
        to: SocketAddrV4,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) -> bool {
        let start = self.waiting.len() * self.place_len;
        let Some(place) = self.bytes.get_mut(start..start + self.place_len) else { return false };
        let len = write(place).min(self.place_len);
        self.waiting.push(Waiting { len, to, from });
        true
    }

    /// Sends what the kernel takes of those that wait, in order, and drops the rest as a full wire would; says how many were sent.
    ///
    /// # Errors
    /// When not even the first is taken, which is then dropped with the rest; `WouldBlock` when there is no room.
    pub fn send(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let count = self.waiting.len();
        if count == 0 {
            return Ok(0);
        }
        let parts = self.bytes.chunks_exact_mut(self.place_len.max(1));
        let tables = self.heads.iter_mut().zip(&mut self.places).zip(&mut self.names).zip(&mut self.controls);
        for (((((head, place), name), control), part), waiting) in tables.zip(parts).zip(&self.waiting) {
            *place = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: waiting.len };
            name.sin_family = libc::AF_INET as libc::sa_family_t;
            name.sin_port = waiting.to.port().to_be();
            name.sin_addr.s_addr = waiting.to.ip().to_bits().to_be();
            head.msg_hdr.msg_iov = place;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_name = (&raw mut *name).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            head.msg_hdr.msg_control = null_mut();
            head.msg_hdr.msg_controllen = 0;
            if let Some(from) = waiting.from {
                let len = size_of::<libc::cmsghdr>() + size_of::<libc::in_pktinfo>();
                control.head.cmsg_len = len as _;
                control.head.cmsg_level = libc::IPPROTO_IP;
                control.head.cmsg_type = libc::IP_PKTINFO;
                control.info.ipi_spec_dst.s_addr = from.to_bits().to_be();
                head.msg_hdr.msg_control = (&raw mut *control).cast();
                head.msg_hdr.msg_controllen = size_of::<Control>() as _;
            }
        }
        let fd = socket.as_fd().as_raw_fd();
        self.waiting.clear();
        // SAFETY: the first `count` heads point at places, names and control messages of ours, under their true lengths, which outlive
        // the call; the kernel only reads what they point at. The descriptor is open as long as it is borrowed.
        let sent = unsafe { libc::sendmmsg(fd, self.heads.as_mut_ptr(), count as u32, 0) };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, UdpSocket};

    fn address(socket: &UdpSocket) -> SocketAddrV4 {
        match socket.local_addr().unwrap() {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[test]
    fn each_datagram_comes_from_the_address_that_it_was_given() {
        let (sender, receiver) =
            (UdpSocket::bind("0.0.0.0:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut outbox = Outbox::new(8);
        let sources: Vec<Ipv4Addr> = (1..=OUTBOX_MAX as u8).map(|n| Ipv4Addr::new(127, 9, n, 1)).collect();
        for (number, source) in sources.iter().enumerate() {
            let write = |place: &mut [u8]| {
                place[0] = number as u8;
                1
            };
            assert!(outbox.push(Some(*source), address(&receiver), write));
        }
        assert!(outbox.is_full() && !outbox.push(None, address(&receiver), |_| 1));
        assert_eq!(outbox.send(&sender).unwrap(), OUTBOX_MAX);
        assert!(outbox.is_empty() && outbox.send(&sender).unwrap() == 0);
        let mut buffer = [0; 8];
        for (number, source) in sources.iter().enumerate() {
            let (len, from) = receiver.recv_from(&mut buffer).unwrap();
            assert_eq!((len, buffer[0], from.ip()), (1, number as u8, (*source).into()));
        }
        // And without one, from where the kernel would.
        outbox.push(None, address(&receiver), |_| 3);
        outbox.send(&sender).unwrap();
        let (len, from) = receiver.recv_from(&mut buffer).unwrap();
        assert_eq!((len, from.ip()), (3, Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn what_the_kernel_refuses_is_told_and_dropped() {
        let (sender, receiver) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut outbox = Outbox::new(8);
        // No address of this machine.
        outbox.push(Some(Ipv4Addr::new(192, 0, 2, 1)), address(&receiver), |_| 1);
        assert!(outbox.send(&sender).is_err() && outbox.is_empty());
        outbox.push(None, address(&receiver), |_| 1);
        assert_eq!(outbox.send(&sender).unwrap(), 1);
    }
}

//! Many datagrams by one call of the kernel (`recvmmsg`, `sendmmsg`).
//!
//! Invariants: what is handed out was written by the kernel in the last call; a datagram that is longer than its place is never
//! handed out cut.

mod exchange;

pub use exchange::{EXCHANGE_MAX, Exchange, Sent};

use socket2::SockAddr;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

/// Datagrams that one call moves at most.
pub const BATCH_MAX: usize = 32;

/// Places for datagrams that come.
#[derive(Debug)]
pub struct Inbox {
    /// One place after the other.
    bytes: Box<[u8]>,
    place_len: usize,
    /// What the last call brought: how long each is, or nothing if it was too long; and from where.
    came: Vec<(Option<usize>, Option<SocketAddr>)>,
}

impl Inbox {
    /// Places for [`BATCH_MAX`] datagrams of at most so many bytes each.
    pub fn new(place_len: usize) -> Inbox {
        Inbox { bytes: vec![0; place_len * BATCH_MAX].into(), place_len, came: Vec::with_capacity(BATCH_MAX) }
    }

    /// Receives what is there, at most `most` and [`BATCH_MAX`] datagrams; says how many. What came before is gone.
    ///
    /// # Errors
    /// As the kernel's; `WouldBlock` when nothing is there (of a socket that does not block).
    pub fn receive(&mut self, socket: &impl AsFd, most: usize) -> io::Result<usize> {
        self.came.clear();
        let most = most.min(BATCH_MAX);
        // SAFETY: all of these are plain C structures, for which zeroes are a value.
        let (mut names, mut heads, mut places) = unsafe {
            let names: [libc::sockaddr_storage; BATCH_MAX] = zeroed();
            let heads: [libc::mmsghdr; BATCH_MAX] = zeroed();
            let places: [libc::iovec; BATCH_MAX] = zeroed();
            (names, heads, places)
        };
        let parts = self.bytes.chunks_exact_mut(self.place_len.max(1));
        for (((head, place), name), part) in heads.iter_mut().zip(&mut places).zip(&mut names).zip(parts) {
            *place = libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() };
            head.msg_hdr.msg_iov = place;
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_name = (&raw mut *name).cast();
            head.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        }
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: `heads` has at least `most` heads, each with a place and a name of our own that outlive the call, under their
        // true lengths; the descriptor is open as long as it is borrowed.
        let count = unsafe { libc::recvmmsg(fd, heads.as_mut_ptr(), most as u32, 0, null_mut()) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (head, name) in heads.iter().zip(&names).take(count) {
            let whole = head.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            self.came.push((whole.then_some(head.msg_len as usize), socket_address(name)));
        }
        Ok(self.came.len())
    }

    /// A datagram of the last call, and from where it came; nothing if it was longer than its place.
    pub fn get(&self, number: usize) -> Option<(SocketAddr, &[u8])> {
        let &(len, from) = self.came.get(number)?;
        let start = number * self.place_len;
        Some((from?, self.bytes.get(start..start + len?)?))
    }
}

/// Sends what the kernel takes of these datagrams, in order, at most [`BATCH_MAX`]; says how many.
///
/// # Errors
/// When not even the first is taken, and that is then about the first alone; `WouldBlock` when there is no room.
pub fn send<'a>(
    socket: &impl AsFd,
    datagrams: impl Iterator<Item = (SocketAddr, &'a [u8])>,
) -> io::Result<usize> {
    // SAFETY: these are plain C structures, for which zeroes are a value.
    let (mut heads, mut places) = unsafe {
        let heads: [libc::mmsghdr; BATCH_MAX] = zeroed();
        let places: [libc::iovec; BATCH_MAX] = zeroed();
        (heads, places)
    };
    let mut names: [MaybeUninit<SockAddr>; BATCH_MAX] = [const { MaybeUninit::uninit() }; BATCH_MAX];
    let mut count = 0;
    for ((head, place), (name, (to, bytes))) in
        heads.iter_mut().zip(&mut places).zip(names.iter_mut().zip(datagrams))
    {
        let name = name.write(SockAddr::from(to));
        *place = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        head.msg_hdr.msg_iov = place;
        head.msg_hdr.msg_iovlen = 1;
        head.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
        head.msg_hdr.msg_namelen = name.len();
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the first `count` heads have a place and a name each that outlive the call; the kernel only reads what they point at.
    // The descriptor is open as long as it is borrowed. (Socket addresses have nothing to drop.)
    let sent = unsafe { libc::sendmmsg(fd, heads.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The address that the kernel wrote, if it is of a family that we know.
fn socket_address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: a storage has room and alignment for every kind of address, of which an IPv6 address is a shorter one.
    address_of(unsafe { &*(&raw const *name).cast() })
}

/// The same where there is room for no longer address than one of IPv6.
fn address_of(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: an IPv4 address is shorter and no more aligned, and the family says that it is one.
            let name: &libc::sockaddr_in = unsafe { &*(&raw const *name).cast() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let (port, flow) = (u16::from_be(name.sin6_port), name.sin6_flowinfo);
            Some(SocketAddrV6::new(ip, port, flow, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn pair(at: &str) -> (UdpSocket, UdpSocket) {
        let [one, other] = [(); 2].map(|()| UdpSocket::bind(at).unwrap());
        one.set_nonblocking(true).unwrap();
        other.set_nonblocking(true).unwrap();
        (one, other)
    }

    #[test]
    fn what_is_sent_together_comes_whole_in_order_and_with_its_source() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (one, other) = pair(at);
            let to = other.local_addr().unwrap();
            let datagrams: Vec<Vec<u8>> = (0..50u8).map(|n| vec![n; usize::from(n)]).collect();
            let mut rest = &datagrams[..];
            let mut calls = Vec::new();
            while !rest.is_empty() {
                let sent = send(&one, rest.iter().map(|bytes| (to, &bytes[..]))).unwrap();
                calls.push(sent);
                rest = &rest[sent..];
            }
            assert_eq!(calls, [BATCH_MAX, 50 - BATCH_MAX]);
            let mut inbox = Inbox::new(64);
            let mut came = Vec::new();
            loop {
                match inbox.receive(&other, 20) {
                    Ok(count) => {
                        assert!((1..=20).contains(&count));
                        for number in 0..count {
                            let (from, bytes) = inbox.get(number).unwrap();
                            assert_eq!(from, one.local_addr().unwrap());
                            came.push(bytes.to_vec());
                        }
                        assert_eq!(inbox.get(count), None);
                    }
                    Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(came, datagrams);
        }
    }

    #[test]
    fn what_is_too_long_is_left_out_and_concerns_no_other() {
        let (one, other) = pair("127.0.0.1:0");
        let to = other.local_addr().unwrap();
        for bytes in [&[1; 10][..], &[2; 17], &[3; 16], &[]] {
            one.send_to(bytes, to).unwrap();
        }
        let mut inbox = Inbox::new(16);
        assert_eq!(inbox.receive(&other, BATCH_MAX).unwrap(), 4);
        let came: Vec<_> = (0..4).map(|number| inbox.get(number).map(|(_, bytes)| bytes.to_vec())).collect();
        assert_eq!(came, [Some(vec![1; 10]), None, Some(vec![3; 16]), Some(Vec::new())]);
    }

    #[test]
    fn a_fault_is_told_when_it_is_the_firsts_turn() {
        let (one, other) = pair("127.0.0.1:0");
        let good = (other.local_addr().unwrap(), &b"good"[..]);
        let bad = ("255.255.255.255:9".parse().unwrap(), &b"bad"[..]);
        assert_eq!(send(&one, [good, bad, good].into_iter()).unwrap(), 1);
        assert!(send(&one, [bad, good].into_iter()).is_err());
        assert_eq!(send(&one, [good].into_iter()).unwrap(), 1);
        assert_eq!(send(&one, [].into_iter()).unwrap(), 0);
        assert_eq!(Inbox::new(16).receive(&other, BATCH_MAX).unwrap(), 2);
    }
}

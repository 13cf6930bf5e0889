//! The datagram sockets that everything of this client shares which speaks without links: one for each address family, on the port
//! on which peers reach us, if it is free. What comes is sorted by what it looks like and handed on; what it means is known
//! elsewhere. Threats: D10, E4
//!
//! What always holds: no source gets more than [`DATAGRAMS_PER_TURN_MAX`] of a turn; what waits to be sent is bounded, and what is
//! too much is lost, as datagrams may be; a fault of one datagram never concerns another.

use super::event_loop::{EventLoop, Listening};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Datagrams read in one turn of the loop from each socket: links and disks wait no longer than these take.
const DATAGRAMS_PER_TURN_MAX: usize = 64;

/// Datagrams that wait while the kernel takes none: a burst of announces of many torrents.
const WAITING_MAX: usize = 256;

/// The longest datagram there is.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// What the kernel may hold for us between two turns: a few hundred full datagrams.
const RECEIVE_BUFFER_LEN: usize = 512 * 1024;

/// A datagram of the DHT (BEP 5) is a dictionary, and none is shorter.
const KRPC_LEN_MIN: usize = 15;

/// A reply of a tracker (BEP 15) bears an action and a transaction.
const TRACKER_REPLY_LEN_MIN: usize = 8;

/// The largest action of a tracker's reply: an error.
const TRACKER_ACTION_MAX: u32 = 3;

/// The sockets.
pub(super) struct Datagrams {
    sockets: Vec<Shared>,
    buffer: Box<[u8]>,
    tally: Tally,
}

/// What came that nobody here has use for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tally {
    /// Of the DHT, if we take no part in it.
    pub(super) krpc: u64,
    /// Of no kind that we know.
    pub(super) unknown: u64,
}

/// One family's socket.
struct Shared {
    socket: UdpSocket,
    is_ipv6: bool,
    readable: bool,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// What a datagram looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A word of a DHT node (BEP 5).
    Krpc,
    /// A reply of a tracker (BEP 15).
    Tracker,
    Unknown,
}

/// What it looks like, by its first bytes alone.
fn kind_of(datagram: &[u8]) -> Kind {
    match datagram {
        [b'd', ..] if datagram.len() >= KRPC_LEN_MIN => Kind::Krpc,
        [a, b, c, d, ..] if datagram.len() >= TRACKER_REPLY_LEN_MIN => {
            match u32::from_be_bytes([*a, *b, *c, *d]) {
                0..=TRACKER_ACTION_MAX => Kind::Tracker,
                _ => Kind::Unknown,
            }
        }
        _ => Kind::Unknown,
    }
}

impl Datagrams {
    /// Opens a socket for each family, where peers reach us; where they do not, anywhere, for what we ask must be answered.
    pub(super) fn open(registry: &Registry, tokens: [Token; 2], listens: &[SocketAddr]) -> Datagrams {
        let mut sockets = Vec::new();
        let anywhere = [(Ipv4Addr::UNSPECIFIED, 0).into(), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))];
        for (any, token) in anywhere.into_iter().zip(tokens) {
            let wish =
                listens.iter().find(|address| address.is_ipv6() == any.is_ipv6()).copied().unwrap_or(any);
            let opened = Shared::open(registry, token, wish).or_else(|error| {
                // Another program has the port, for UDP alone.
                tracing::info!(%error, %wish, "another port is used for datagrams");
                Shared::open(registry, token, SocketAddr::new(wish.ip(), 0))
            });
            match opened {
                Ok(socket) => sockets.push(socket),
                Err(error) => tracing::info!(%error, %wish, "no datagrams over this family"),
            }
        }
        Datagrams { sockets, buffer: vec![0; DATAGRAM_LEN_MAX].into(), tally: Tally::default() }
    }

    /// The kernel says that a socket has something to read, or takes something again.
    pub(super) fn note(&mut self, is_ipv6: bool, writable: bool) {
        let Some(shared) = self.sockets.iter_mut().find(|shared| shared.is_ipv6 == is_ipv6) else { return };
        shared.readable = true;
        if writable {
            shared.flush();
        }
    }

    /// Whether there may be something to read.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|shared| shared.readable)
    }

    /// Sends a datagram, or keeps it until the kernel takes it.
    ///
    /// # Errors
    /// When there is no way there.
    pub(super) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) -> io::Result<()> {
        let shared = self.sockets.iter_mut().find(|shared| shared.is_ipv6 == to.is_ipv6());
        shared.ok_or(io::ErrorKind::NetworkUnreachable)?.send(to, bytes)
    }

    /// The port under which others see what we send, if there is one: of IPv4, or else of IPv6.
    pub(super) fn port(&self) -> Option<u16> {
        let ports =
            self.sockets.iter().map(|shared| shared.socket.local_addr().map(|address| address.port()));
        ports.flatten().next()
    }

    /// Hands what came, as much as one turn may, to whom it concerns: to `tracker` the replies of trackers, to `node` the words of the
    /// DHT, which says whether it takes part.
    pub(super) fn turn(
        &mut self,
        mut tracker: impl FnMut(SocketAddr, &[u8]),
        mut node: impl FnMut(SocketAddr, &[u8]) -> bool,
    ) {
        for shared in &mut self.sockets {
            for _ in 0..DATAGRAMS_PER_TURN_MAX {
                let Some((len, from)) = shared.receive(&mut self.buffer) else { break };
                let datagram = self.buffer.get(..len).unwrap_or_default();
                match kind_of(datagram) {
                    Kind::Tracker => tracker(from, datagram),
                    Kind::Krpc => self.tally.krpc += u64::from(!node(from, datagram)),
                    Kind::Unknown => self.tally.unknown += 1,
                }
            }
        }
    }
}

impl Shared {
    fn open(registry: &Registry, token: Token, at: SocketAddr) -> io::Result<Shared> {
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if at.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The kernel gives what it may: less is no fault.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN);
        socket.bind(&at.into())?;
        let mut socket = UdpSocket::from_std(socket.into());
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Shared { socket, is_ipv6: at.is_ipv6(), readable: true, waiting: VecDeque::new() })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if !self.readable {
            return None;
        }
        match self.socket.recv_from(buffer) {
            Ok(came) => Some(came),
            Err(error) => {
                // Whatever else it is, it concerns a datagram that we sent, and the next may be there.
                self.readable = error.kind() != io::ErrorKind::WouldBlock;
                None
            }
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) -> io::Result<()> {
        if self.waiting.is_empty() {
            match self.socket.send_to(&bytes, to) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {}
            }
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back((to, bytes));
        }
        Ok(())
    }

    fn flush(&mut self) {
        while let Some((to, bytes)) = self.waiting.pop_front() {
            if let Err(error) = self.socket.send_to(&bytes, to)
                && error.kind() == io::ErrorKind::WouldBlock
            {
                return self.waiting.push_front((to, bytes));
            }
        }
    }
}

impl EventLoop {
    /// Takes in what came without a link.
    pub(super) fn take_datagrams(&mut self) {
        let (edge, now) = (&self.outside.edge, self.now);
        let Listening { datagrams, dht, .. } = &mut self.listening;
        datagrams.turn(
            |from, datagram| edge.heard(from, datagram),
            |from, datagram| dht.as_mut().map(|dht| dht.hear(now, from, datagram)).is_some(),
        );
    }

    /// Sends a datagram to a tracker; the visit hears at once if that is not possible.
    pub(super) fn send_datagram(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if let Err(error) = self.listening.datagrams.send(to, bytes) {
            self.outside.edge.unsent(to, &error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Poll;
    use std::time::{Duration, Instant};

    fn open(listens: &[&str]) -> (Poll, Datagrams) {
        let poll = Poll::new().unwrap();
        let listens: Vec<SocketAddr> = listens.iter().map(|address| address.parse().unwrap()).collect();
        let datagrams = Datagrams::open(poll.registry(), [Token(1), Token(2)], &listens);
        (poll, datagrams)
    }

    fn address(datagrams: &Datagrams, is_ipv6: bool) -> SocketAddr {
        let shared = datagrams.sockets.iter().find(|shared| shared.is_ipv6 == is_ipv6).unwrap();
        shared.socket.local_addr().unwrap()
    }

    #[test]
    fn a_datagram_is_sorted_by_its_first_bytes() {
        for (datagram, expected) in [
            (&b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"[..], Kind::Krpc),
            (b"d1:y1:qe", Kind::Unknown),
            (b"", Kind::Unknown),
            (b"\0\0\0", Kind::Unknown),
            (b"\0\0\0\0abc", Kind::Unknown),
            (b"\0\0\0\0abcd", Kind::Tracker),
            (b"\0\0\0\x01abcdefghijkl", Kind::Tracker),
            (b"\0\0\0\x03abcd", Kind::Tracker),
            (b"\0\0\0\x04abcd", Kind::Unknown),
            // A first packet of uTP (BEP 29).
            (b"\x41\x00\x12\x34aaaaaaaaaaaaaaaa", Kind::Unknown),
        ] {
            assert_eq!(kind_of(datagram), expected, "{datagram:?}");
        }
    }

    #[test]
    fn what_comes_is_handed_on_with_its_source_and_a_turn_ends() {
        let (_poll, mut datagrams) = open(&["127.0.0.1:0"]);
        let at = address(&datagrams, false);
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let krpc = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe";
        for number in 0..100u8 {
            other.send_to(&[0, 0, 0, 1, 9, 9, 9, number], at).unwrap();
        }
        other.send_to(krpc, at).unwrap();
        other.send_to(b"hello", at).unwrap();
        let mut came = Vec::new();
        datagrams.turn(|from, datagram| came.push((from, datagram[7])), |_, _| false);
        assert_eq!(came.len(), DATAGRAMS_PER_TURN_MAX, "others have their turn too");
        assert!(datagrams.is_ready());
        while datagrams.is_ready() {
            datagrams.turn(|from, datagram| came.push((from, datagram[7])), |_, _| false);
        }
        let expected: Vec<_> = (0..100).map(|number| (other.local_addr().unwrap(), number)).collect();
        assert_eq!(came, expected);
        assert_eq!(datagrams.tally, Tally { krpc: 1, unknown: 1 });
    }

    #[test]
    fn datagrams_leave_from_the_port_on_which_peers_reach_us_unless_another_has_it() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (_poll, mut datagrams) = open(&[&free.to_string()]);
        assert_eq!(address(&datagrams, false), free);
        let (_poll, second) = open(&[&free.to_string()]);
        assert_ne!(address(&second, false).port(), free.port(), "it is taken now");
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        other.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        datagrams.send(other.local_addr().unwrap(), b"hello".to_vec()).unwrap();
        let mut buffer = [0; 9];
        assert_eq!(other.recv_from(&mut buffer).unwrap(), (5, free));
        // A fault of one datagram is told, and concerns no other.
        assert!(datagrams.send("255.255.255.255:9".parse().unwrap(), b"no".to_vec()).is_err());
        datagrams.send(other.local_addr().unwrap(), b"again".to_vec()).unwrap();
        assert_eq!(other.recv_from(&mut buffer).unwrap(), (5, free));
    }

    #[test]
    fn an_answer_to_who_is_not_there_stops_nothing() {
        let (_poll, mut datagrams) = open(&["127.0.0.1:0"]);
        let at = address(&datagrams, false);
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        datagrams.send(gone, b"anybody?".to_vec()).unwrap();
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        other.send_to(&[0, 0, 0, 0, 1, 1, 1, 1], at).unwrap();
        let (start, mut came) = (Instant::now(), 0);
        while came == 0 && start.elapsed() < Duration::from_secs(10) {
            datagrams.note(false, true);
            datagrams.turn(|_, _| came += 1, |_, _| false);
        }
        assert_eq!(came, 1);
    }
}

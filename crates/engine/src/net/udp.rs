//! The datagram sockets that everything of this client shares which speaks without links: one for each address family, on the port
//! on which peers reach us, if it is free. What comes is sorted by what it looks like and handed on; what it means is known
//! elsewhere. Threats: D10, E4
//!
//! Datagrams come and go many at a time, by few calls of the kernel. What always holds: no source gets more than
//! [`DATAGRAMS_PER_TURN_MAX`] of a turn; what waits to be sent is bounded, and what is
//! too much is lost, as datagrams may be; a fault of one datagram never concerns another.

use super::event_loop::{EventLoop, Listening};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use os::datagrams::{self, Inbox};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Datagrams read in one turn of the loop from each socket: links and disks wait no longer than these take.
const DATAGRAMS_PER_TURN_MAX: usize = 64;

/// Datagrams that wait for the end of a turn, or until the kernel takes them: a burst of announces of many torrents.
const WAITING_MAX: usize = 1024;

/// The longest datagram that is read: a tracker's reply with 200 peers of IPv6 takes half of it.
const DATAGRAM_LEN_MAX: usize = 8 * 1024;

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
    inbox: Inbox,
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
    /// The kernel takes nothing for now.
    full: bool,
    waiting: VecDeque<Waiting>,
}

/// A datagram on its way out.
struct Waiting {
    to: SocketAddr,
    bytes: Vec<u8>,
    whose: Whose,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// A visit of a tracker, which hears of a fault.
    Tracker,
    /// The DHT's node, which takes silence for an answer.
    Node,
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
        Datagrams { sockets, inbox: Inbox::new(DATAGRAM_LEN_MAX), tally: Tally::default() }
    }

    /// The kernel says that a socket has something to read, or takes something again.
    pub(super) fn note(&mut self, is_ipv6: bool, writable: bool) {
        let Some(shared) = self.sockets.iter_mut().find(|shared| shared.is_ipv6 == is_ipv6) else { return };
        shared.readable = true;
        shared.full &= !writable;
    }

    /// Whether there may be something to read.
    pub(super) fn is_ready(&self) -> bool {
        self.sockets.iter().any(|shared| shared.readable)
    }

    /// Takes a datagram that leaves by the next [`Datagrams::flush`].
    ///
    /// # Errors
    /// When there is no way there, or too much waits already.
    pub(super) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>, whose: Whose) -> io::Result<()> {
        let shared = self.sockets.iter_mut().find(|shared| shared.is_ipv6 == to.is_ipv6());
        let shared = shared.ok_or(io::ErrorKind::NetworkUnreachable)?;
        if shared.waiting.len() >= WAITING_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        shared.waiting.push_back(Waiting { to, bytes, whose });
        Ok(())
    }

    /// Sends what waits, as far as the kernel takes it, many at a time; `failed` hears of those that trackers' visits wait for.
    pub(super) fn flush(&mut self, mut failed: impl FnMut(SocketAddr, &io::Error)) {
        self.sockets.iter_mut().for_each(|shared| shared.flush(&mut failed));
    }

    /// The port under which others see what we send, if there is one: the first of these families' (IPv4, IPv6).
    pub(super) fn port(&self, families: [bool; 2]) -> Option<u16> {
        let wanted = |shared: &&Shared| families[usize::from(shared.is_ipv6)];
        let ports = self.sockets.iter().filter(wanted).map(|shared| shared.socket.local_addr());
        ports.flatten().next().map(|address| address.port())
    }

    /// Hands what came, as much as one turn may, to whom it concerns: to `tracker` the replies of trackers, to `node` the words of the
    /// DHT, which says whether it takes part.
    pub(super) fn turn(
        &mut self,
        mut tracker: impl FnMut(SocketAddr, &[u8]),
        mut node: impl FnMut(SocketAddr, &[u8]) -> bool,
    ) {
        for shared in &mut self.sockets {
            let mut left = DATAGRAMS_PER_TURN_MAX;
            while left > 0 && shared.readable {
                let came = shared.receive(&mut self.inbox, left);
                if came == 0 {
                    break;
                }
                left -= came;
                for number in 0..came {
                    // What was longer than any word for us is of no kind that we know.
                    match self.inbox.get(number).map(|(from, datagram)| (kind_of(datagram), from, datagram)) {
                        Some((Kind::Tracker, from, datagram)) => tracker(from, datagram),
                        Some((Kind::Krpc, from, datagram)) => {
                            self.tally.krpc += u64::from(!node(from, datagram));
                        }
                        Some((Kind::Unknown, ..)) | None => self.tally.unknown += 1,
                    }
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
        Ok(Shared { socket, is_ipv6: at.is_ipv6(), readable: true, full: false, waiting: VecDeque::new() })
    }

    /// Receives a few at most, and says how many.
    fn receive(&mut self, inbox: &mut Inbox, most: usize) -> usize {
        inbox.receive(&self.socket, most).unwrap_or_else(|error| {
            // Whatever else it is, it concerns a datagram that we sent, and the next may be there: but then it is another turn's.
            self.readable = error.kind() != io::ErrorKind::WouldBlock;
            0
        })
    }

    fn flush(&mut self, failed: &mut impl FnMut(SocketAddr, &io::Error)) {
        while !self.full && !self.waiting.is_empty() {
            let next = self.waiting.iter().map(|waiting| (waiting.to, &waiting.bytes[..]));
            match datagrams::send(&self.socket, next) {
                Ok(sent) => drop(self.waiting.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.full = true,
                Err(error) => {
                    let Some(Waiting { to, whose, .. }) = self.waiting.pop_front() else { return };
                    match whose {
                        Whose::Tracker => failed(to, &error),
                        Whose::Node => tracing::trace!(%error, %to, "a datagram of the DHT does not leave"),
                    }
                }
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
        if let Err(error) = self.listening.datagrams.send(to, bytes, Whose::Tracker) {
            self.outside.edge.unsent(to, &error);
        }
    }

    /// Lets out what this turn said.
    pub(super) fn send_datagrams(&mut self) {
        let edge = &self.outside.edge;
        self.listening.datagrams.flush(|to, error| edge.unsent(to, error));
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
        let to = other.local_addr().unwrap();
        let nowhere = "255.255.255.255:9".parse().unwrap();
        datagrams.send(to, b"hello".to_vec(), Whose::Tracker).unwrap();
        // A fault of one datagram is told to whom it concerns, and concerns no other.
        datagrams.send(nowhere, b"no".to_vec(), Whose::Tracker).unwrap();
        datagrams.send(nowhere, b"no".to_vec(), Whose::Node).unwrap();
        datagrams.send(to, b"again".to_vec(), Whose::Node).unwrap();
        let mut failed = Vec::new();
        datagrams.flush(|to, _| failed.push(to));
        assert_eq!(failed, [nowhere]);
        let mut buffer = [0; 9];
        for _ in 0..2 {
            assert_eq!(other.recv_from(&mut buffer).unwrap(), (5, free));
        }
    }

    #[test]
    fn what_is_too_much_is_refused_and_leaves_room_again_when_it_is_sent() {
        let (_poll, mut datagrams) = open(&["127.0.0.1:0"]);
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let say = |datagrams: &mut Datagrams| datagrams.send(other, vec![1], Whose::Tracker);
        assert!((0..WAITING_MAX).all(|_| say(&mut datagrams).is_ok()));
        assert_eq!(say(&mut datagrams).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        datagrams.flush(|_, _| {});
        assert!(say(&mut datagrams).is_ok());
    }

    #[test]
    fn an_answer_to_who_is_not_there_stops_nothing() {
        let (_poll, mut datagrams) = open(&["127.0.0.1:0"]);
        let at = address(&datagrams, false);
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        datagrams.send(gone, b"anybody?".to_vec(), Whose::Node).unwrap();
        datagrams.flush(|_, _| {});
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

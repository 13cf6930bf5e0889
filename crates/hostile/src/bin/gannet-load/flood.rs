//! Visitors over HTTP who mean ill: they say their question a byte at a time, or nothing, or without end, or ask and never read.
//!
//! One thread and one loop, each connection from an address of its own; who is thrown out dials again. Says what it did at the end.
//! Threat: E9

use crate::web::EINPROGRESS;
use anyhow::{Result, bail};
use mio::{Events, Poll};
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Addresses that the attack comes from, apart from those of the population.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 32, 0, 1);
/// How often somebody slow says a byte.
const SLOW_TICK: Duration = Duration::from_millis(500);
/// A pause when nobody could say anything.
const PAUSE: Duration = Duration::from_millis(2);
/// Of a question without end, and of many questions.
const CHUNK_LEN: usize = 16 * 1024;

/// How they mean ill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A head of which a byte comes now and then.
    Slow,
    /// Nothing.
    Silent,
    /// A query without end.
    Huge,
    /// Question after question, no answer is read.
    Deaf,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    dials: u64,
    failed: u64,
    bytes: u64,
    thrown_out: u64,
}

/// One of them.
struct Visitor {
    source: Ipv4Addr,
    stream: Option<TcpStream>,
    said: usize,
    next: Instant,
}

impl Kind {
    /// By its name on the command line.
    pub(crate) fn named(name: &str) -> Result<Kind> {
        Ok(match name {
            "slow" => Kind::Slow,
            "silent" => Kind::Silent,
            "huge" => Kind::Huge,
            "deaf" => Kind::Deaf,
            other => bail!("--kind {other}: slow, silent, huge, deaf or tls"),
        })
    }
}

/// Goes on for so long.
pub(crate) fn run(server: SocketAddrV4, kind: Kind, visitors: u32, span: Duration) -> Result<()> {
    os::limits::raise_open_files();
    let (began, mut tally) = (Instant::now(), Tally::default());
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut visitors: Vec<Visitor> = (0..visitors)
        .map(|number| Visitor {
            source: Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + (number << 8)),
            stream: None,
            said: 0,
            next: began,
        })
        .collect();
    println!("{{\"flooding\":true}}");
    while began.elapsed() < span {
        let mut busy = false;
        for visitor in &mut visitors {
            let now = Instant::now();
            if now - began >= span {
                break;
            }
            busy |= visitor.act(server, kind, now, &mut tally);
        }
        if !busy {
            poll.poll(&mut events, Some(PAUSE))?;
        }
    }
    let held = visitors.iter().filter(|visitor| visitor.stream.is_some()).count();
    let Tally { dials, failed, bytes, thrown_out } = tally;
    println!(
        "{{\"dials\":{dials},\"failed\":{failed},\"bytes\":{bytes},\"thrown_out\":{thrown_out},\"held_at_the_end\":{held}}}"
    );
    Ok(())
}

impl Visitor {
    /// Says what it can; whether it could do anything.
    fn act(&mut self, server: SocketAddrV4, kind: Kind, now: Instant, tally: &mut Tally) -> bool {
        if now < self.next {
            return false;
        }
        let Some(stream) = &mut self.stream else {
            tally.dials += 1;
            self.said = 0;
            match dial(self.source, server) {
                Ok(stream) => self.stream = Some(stream),
                Err(_) => tally.failed += 1,
            }
            self.next = now + PAUSE;
            return true;
        };
        let outcome = match kind {
            Kind::Slow => {
                self.next = now + SLOW_TICK;
                let head = b"GET /announce?info_hash=%aa%aa HTTP/1.1\r\nHost: tracker\r\nX-Slow: ";
                stream.write(&[*head.get(self.said).unwrap_or(&b'a')])
            }
            Kind::Silent => {
                self.next = now + SLOW_TICK;
                Err(ErrorKind::WouldBlock.into())
            }
            Kind::Huge if self.said == 0 => stream.write(b"GET /announce?info_hash="),
            Kind::Huge => stream.write(&[b'a'; CHUNK_LEN]),
            Kind::Deaf => stream.write(questions_from(self.said)),
        };
        // Those who read at all look whether they are thrown out; who is deaf hears of it when it writes.
        let ended = kind != Kind::Deaf && matches!(stream.read(&mut [0; 512]), Ok(0));
        match outcome {
            Ok(len) if !ended => {
                self.said += len;
                tally.bytes += len as u64;
                kind != Kind::Slow
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ended => {
                self.next = self.next.max(now + PAUSE);
                false
            }
            Ok(_) | Err(_) => {
                tally.thrown_out += 1;
                self.stream = None;
                true
            }
        }
    }
}

/// Whole questions one after the other, from where the last write ended.
pub(crate) fn questions_from(said: usize) -> &'static [u8] {
    const QUESTION: &[u8; 256] =
        b"GET /announce?info_hash=%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa%aa\
        &peer_id=-GL0002-000000000000&port=6881&uploaded=0&downloaded=0&left=0&numwant=50&compact=1 \
        HTTP/1.1\r\nHost: tracker.example\r\nUser-Agent: gannet-load, deaf 1234567890123\r\n\r\n";
    &QUESTION[said % QUESTION.len()..]
}

/// Begins to dial, without waiting for what comes of it.
pub(crate) fn begin_dial(source: Ipv4Addr, server: SocketAddrV4) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    match socket.connect(&SocketAddr::V4(server).into()) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error.into()),
        Ok(()) | Err(_) => Ok(socket.into()),
    }
}

pub(crate) fn dial(source: Ipv4Addr, server: SocketAddrV4) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    // On this machine a dial is answered at once or not at all: a full backlog is the server's affair, and not worth a wait.
    socket.connect_timeout(&SocketAddr::V4(server).into(), Duration::from_millis(50))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

//! One attacker's socket: dialling, the handshake it makes or does not make, messages cut from bytes and made into bytes.
//!
//! Invariant: what waits to be read or sent is bounded; what the socket would not take is lost, as nobody sends faster than
//! their line.

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use proto::{Instant, LinkId};
use sim::hostile::habit::{Habit, Opens};
use sim::hostile::{Act, Attacker, Bytes, News};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use wire::frame::{self, Frame, Limits};
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::message::Handshake;
use wire::{Block, Metainfo, PeerId, Reserved};

/// Bytes in line to be sent, beyond which an attacker's words are lost.
const OUT_MAX: usize = 64 << 10;
/// Bytes read at a time.
const READ_CHUNK: usize = 64 << 10;
/// Most chunks read at one event: the others are waiting.
const READS_MAX: usize = 4;
/// Bytes of a handshake that stops half-way.
const HALF: usize = 40;

/// What happened, all links together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) dials: u64,
    pub(crate) failed: u64,
    pub(crate) ups: u64,
    pub(crate) downs: u64,
    pub(crate) messages: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// An attacker's link, or its place while there is none.
pub(crate) struct Link {
    number: usize,
    habit: Habit,
    metainfo: Arc<Metainfo>,
    content: Option<Arc<File>>,
    from: Option<Ipv4Addr>,
    /// Counts links, so that the attacker tells one from the next.
    generation: u32,
    stream: Option<Stream>,
}

struct Stream {
    socket: TcpStream,
    remote: SocketAddr,
    opened: Instant,
    connected: bool,
    /// Handshakes went both ways.
    up: bool,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    /// Bytes of the handshake that were said so far.
    greeted: usize,
    /// Bytes of the block under way, its head among them, that were sent drop by drop.
    dripped: usize,
    watched: Option<Interest>,
}

impl Link {
    pub(crate) fn new(
        number: usize,
        habit: Habit,
        metainfo: Arc<Metainfo>,
        content: Option<Arc<File>>,
        from: Option<Ipv4Addr>,
    ) -> Link {
        Link { number, habit, metainfo, content, from, generation: 0, stream: None }
    }

    /// Whether there is a socket that is connected.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.connected)
    }

    /// Whether handshakes went both ways.
    pub(crate) fn is_up(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.up)
    }

    fn id(&self) -> LinkId {
        LinkId { slot: 0, generation: self.generation }
    }

    /// Does what the attacker wants.
    pub(crate) fn act(
        &mut self,
        act: Act,
        now: Instant,
        registry: &Registry,
        attacker: &mut Attacker,
        acts: &mut Vec<Act>,
        tally: &mut Tally,
    ) {
        let id = self.id();
        match act {
            Act::Dial { remote } => {
                self.end(now, attacker, acts, tally);
                tally.dials += 1;
                match self.dial(remote, now, registry) {
                    Ok(stream) => self.stream = Some(stream),
                    Err(_) => tally.failed += 1,
                }
            }
            Act::Say { link, message } if link == id => {
                let Some(stream) = self.stream.as_mut().filter(|stream| stream.takes_more()) else { return };
                tally.messages += 1;
                frame::encode(&message, &mut stream.unsent);
            }
            Act::Send { link, block, bytes } if link == id => {
                if self.stream.as_ref().is_some_and(|stream| stream.takes_more() || stream.dripped > 0) {
                    tally.messages += 1;
                    self.send_block(block, bytes, usize::MAX);
                }
            }
            Act::Drip { link, block, bytes } if link == id => {
                self.send_block(block, Bytes::Right, bytes as usize)
            }
            Act::HangUp { link } if link == id => self.end(now, attacker, acts, tally),
            // Meant for a link that is no more.
            Act::Say { .. } | Act::Send { .. } | Act::Drip { .. } | Act::HangUp { .. } => {}
        }
    }

    fn dial(&self, remote: SocketAddr, now: Instant, registry: &Registry) -> io::Result<Stream> {
        let socket =
            Socket::new(Domain::for_address(remote), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        match socket.connect(&remote.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut socket = TcpStream::from_std(socket.into());
        registry.register(&mut socket, Token(self.number), Interest::WRITABLE)?;
        Ok(Stream {
            socket,
            remote,
            opened: now,
            connected: false,
            up: false,
            unread: Vec::new(),
            unsent: Vec::new(),
            greeted: 0,
            dripped: 0,
            watched: Some(Interest::WRITABLE),
        })
    }

    /// The next bytes of a block, at most so many beyond its head; with the last of them it is over.
    fn send_block(&mut self, block: Block, bytes: Bytes, most: usize) {
        let mut whole = frame::block_head(block.into()).to_vec();
        let mut body = vec![0; block.len as usize];
        match (bytes, &self.content) {
            (Bytes::Right, Some(file)) => {
                let at = self.metainfo.layout.piece_offset(block.piece) + u64::from(block.offset);
                // Without the right bytes it sends wrong ones: it is an attacker.
                let _ = file.read_exact_at(&mut body, at);
            }
            (Bytes::Right, None) => {}
            (Bytes::Wrong { salt }, _) => {
                body.iter_mut()
                    .zip(salt.to_le_bytes().iter().cycle())
                    .for_each(|(byte, wrong)| *byte = *wrong);
            }
        }
        whole.extend_from_slice(&body);
        let Some(stream) = &mut self.stream else { return };
        let rest = &whole[stream.dripped.min(whole.len())..];
        let head = frame::BLOCK_HEAD_LEN.saturating_sub(stream.dripped);
        let next = &rest[..most.saturating_add(head).min(rest.len())];
        stream.unsent.extend_from_slice(next);
        stream.dripped = if next.len() == rest.len() { 0 } else { stream.dripped + next.len() };
    }

    /// The socket has something for us.
    pub(crate) fn on_ready(
        &mut self,
        event: &Event,
        now: Instant,
        attacker: &mut Attacker,
        acts: &mut Vec<Act>,
        tally: &mut Tally,
    ) {
        let Some(stream) = &mut self.stream else { return };
        if !stream.connected {
            if event.is_error() || stream.socket.peer_addr().is_err() {
                tally.failed += 1;
                return self.end(now, attacker, acts, tally);
            }
            stream.connected = true;
            self.greet(now);
        }
        if event.is_readable() && self.read(now, attacker, acts, tally).is_err() {
            self.end(now, attacker, acts, tally);
        }
    }

    /// Time passes: a slow handshake goes on.
    pub(crate) fn on_tick(&mut self, now: Instant) {
        if self.is_open() && self.habit.opens == Opens::Slowly {
            self.greet(now);
        }
    }

    /// Says as much of the handshake as the habit says by now.
    fn greet(&mut self, now: Instant) {
        let Some(stream) = &mut self.stream else { return };
        let theirs = stream.unread.first_chunk::<HANDSHAKE_LEN>().map(|bytes| &bytes[handshake::HEAD_LEN..]);
        let mut peer_id = *b"-XX0000-............";
        peer_id[8..].copy_from_slice(format!("{:012}", self.number).as_bytes());
        let peer_id = match (self.habit.opens, theirs) {
            (Opens::AsMany, _) => *b"-XX0000-legionlegion",
            (Opens::AsYou, Some(theirs)) => theirs.try_into().unwrap_or(peer_id),
            _ => peer_id,
        };
        let hello = handshake::encode(&Handshake {
            reserved: Reserved::OURS,
            info_hash: self.metainfo.info_hash,
            peer_id: PeerId(peer_id),
        });
        let upto = match self.habit.opens {
            Opens::Properly | Opens::AsMany => HANDSHAKE_LEN,
            Opens::Never => 0,
            Opens::Halfway => HALF,
            Opens::Slowly => (now.since(stream.opened).as_secs() as usize).min(HANDSHAKE_LEN),
            // It needs the victim's id for the rest, and the victim answers once it knows the torrent.
            Opens::AsYou => {
                if theirs.is_some() {
                    HANDSHAKE_LEN
                } else {
                    handshake::HEAD_LEN
                }
            }
        };
        if stream.greeted < upto {
            stream.unsent.extend_from_slice(&hello[stream.greeted..upto]);
            stream.greeted = upto;
        }
    }

    fn read(
        &mut self,
        now: Instant,
        attacker: &mut Attacker,
        acts: &mut Vec<Act>,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let mut chunk = [0; READ_CHUNK];
        for _ in 0..READS_MAX {
            let Some(stream) = &mut self.stream else { return Ok(()) };
            let count = match stream.socket.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            tally.received += count as u64;
            stream.unread.extend_from_slice(&chunk[..count]);
            self.digest(now, attacker, acts, tally)?;
        }
        Ok(())
    }

    /// Cuts messages from what was read.
    fn digest(
        &mut self,
        now: Instant,
        attacker: &mut Attacker,
        acts: &mut Vec<Act>,
        tally: &mut Tally,
    ) -> io::Result<()> {
        let id = self.id();
        if !self.is_up() && attacker.shakes_hands() {
            self.greet(now);
        }
        let Some(stream) = &mut self.stream else { return Ok(()) };
        if !stream.up {
            if stream.unread.len() < HANDSHAKE_LEN || !attacker.shakes_hands() {
                return Ok(());
            }
            stream.unread.drain(..HANDSHAKE_LEN);
            stream.up = true;
            tally.ups += 1;
            attacker.hear(now, News::Up { link: id, remote: stream.remote }, acts);
        }
        let limits = Limits::new(Some(self.metainfo.layout.pieces()));
        let mut consumed = 0;
        loop {
            match frame::next(&stream.unread[consumed..], &limits) {
                Ok(Frame::Message { message, consumed: bytes }) => {
                    consumed += bytes;
                    attacker.hear(now, News::Said { link: id, message: &message }, acts);
                }
                Ok(Frame::Block { request, data }) => {
                    consumed += data.end;
                    attacker.hear(now, News::Block { link: id, block: request }, acts);
                }
                Ok(Frame::Need { .. }) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        stream.unread.drain(..consumed);
        Ok(())
    }

    /// Sends what the socket takes.
    pub(crate) fn flush(
        &mut self,
        now: Instant,
        attacker: &mut Attacker,
        acts: &mut Vec<Act>,
        tally: &mut Tally,
    ) {
        let Some(stream) = self.stream.as_mut().filter(|stream| stream.connected) else { return };
        while !stream.unsent.is_empty() {
            match stream.socket.write(&stream.unsent) {
                Ok(count) => {
                    tally.sent += count as u64;
                    stream.unsent.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.end(now, attacker, acts, tally),
            }
        }
    }

    /// Tells the kernel what we wait for.
    pub(crate) fn watch(&mut self, registry: &Registry) {
        let Some(stream) = &mut self.stream else { return };
        let wanted = match (stream.connected, stream.unsent.is_empty()) {
            (false, _) => Interest::WRITABLE,
            (true, true) => Interest::READABLE,
            (true, false) => Interest::READABLE | Interest::WRITABLE,
        };
        if stream.watched != Some(wanted)
            && registry.reregister(&mut stream.socket, Token(self.number), wanted).is_ok()
        {
            stream.watched = Some(wanted);
        }
    }

    /// The link is over.
    fn end(&mut self, now: Instant, attacker: &mut Attacker, acts: &mut Vec<Act>, tally: &mut Tally) {
        let id = self.id();
        let Some(stream) = self.stream.take() else { return };
        self.generation += 1;
        if stream.up {
            tally.downs += 1;
            attacker.hear(now, News::Down { link: id }, acts);
        }
    }
}

impl Stream {
    fn takes_more(&self) -> bool {
        self.up && self.unsent.len() < OUT_MAX
    }
}

/// "Operation now in progress": a dial has begun.
const EINPROGRESS: i32 = 115;

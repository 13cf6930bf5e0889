//! The population over HTTP: connections that stay, each from one of its sources, with one question under way or several.
//!
//! Whoever is asked to close does, and dials again: a tracker without keep-alive is measured as its clients would meet it. Invariant:
//! answers count in the order of the questions, and only whole ones. BEP: 3, 23

use crate::crowd::Tally;
use crate::judge::{Answer, Judge};
use crate::population::{Peer, Population, mix};
use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::tracker_http::Reply;

/// Longest answer that is read: 200 peers as dictionaries are less.
const ANSWER_MAX: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;
/// How often connections are looked at that hear nothing.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// What is asked, and how.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    pub(crate) server: SocketAddrV4,
    pub(crate) want: u32,
    pub(crate) connections: usize,
    /// Questions under way on each.
    pub(crate) pipeline: usize,
    /// A connection for each question.
    pub(crate) close: bool,
    /// A connection that hears nothing for so long dials again.
    pub(crate) in_time: Duration,
}

/// One connection.
struct Line {
    stream: Option<TcpStream>,
    source: u32,
    asked: VecDeque<Peer>,
    out: Vec<u8>,
    unread: Vec<u8>,
    heard: Instant,
}

/// All connections.
pub(crate) struct Web {
    population: Arc<Population>,
    manner: Manner,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    poll: Poll,
    lines: Vec<Line>,
    chance: u64,
    packed: Vec<u8>,
}

/// What a connection's bytes are.
enum Heard {
    /// The answer is not whole yet.
    More,
    /// So many bytes are an answer, whose body begins there; and whether the server closes now.
    Whole { body: usize, end: usize, closes: bool },
    /// No answer of HTTP.
    Noise,
}

impl Web {
    /// Nobody is connected yet.
    pub(crate) fn new(population: Arc<Population>, manner: Manner, strict: bool, seed: u64) -> Result<Web> {
        os::limits::raise_open_files();
        let now = Instant::now();
        let lines = (0..manner.connections as u32).map(|number| Line {
            stream: None,
            source: number % population.sources(),
            asked: VecDeque::new(),
            out: Vec::new(),
            unread: Vec::new(),
            heard: now,
        });
        Ok(Web {
            judge: Judge::new(Arc::clone(&population), strict),
            tally: Tally::default(),
            poll: Poll::new()?,
            lines: lines.collect(),
            chance: mix(seed),
            packed: Vec::new(),
            population,
            manner,
        })
    }

    /// Asks for so long.
    pub(crate) fn ask(&mut self, span: Duration) -> Result<()> {
        let began = Instant::now();
        let mut look = began;
        let mut events = Events::with_capacity(EVENTS_MAX);
        while began.elapsed() < span {
            let now = Instant::now();
            if now >= look {
                look = now + LOOK_AROUND;
                for number in 0..self.lines.len() {
                    if self.lines[number].stream.is_none()
                        || now - self.lines[number].heard > self.manner.in_time
                    {
                        self.redial(number)?;
                    }
                }
            }
            match self.poll.poll(&mut events, Some(LOOK_AROUND)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                polled => polled?,
            }
            for event in &events {
                self.attend(event.token().0)?;
            }
        }
        Ok(())
    }

    /// A new connection in place of the old; what was under way on that is lost.
    fn redial(&mut self, number: usize) -> Result<()> {
        let source = self.population.source(self.lines[number].source);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        // The port is chosen when it dials, so that sources do not run out of ports for different servers.
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SocketAddr::from((source, 0)).into()).with_context(|| source.to_string())?;
        match socket.connect(&SocketAddr::V4(self.manner.server).into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) => return Err(error).with_context(|| self.manner.server.to_string()),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), interest)?;
        self.tally.dials += 1;
        let line = &mut self.lines[number];
        self.tally.lost += line.asked.len() as u64;
        line.asked.clear();
        line.out.clear();
        line.unread.clear();
        line.heard = Instant::now();
        line.stream = Some(stream);
        let under_way = if self.manner.close { 1 } else { self.manner.pipeline };
        (0..under_way).for_each(|_| self.question(number));
        Ok(())
    }

    /// One more question at the end of what is to be said.
    fn question(&mut self, number: usize) {
        let source = self.lines[number].source;
        let asker = loop {
            self.chance = self.chance.wrapping_add(1);
            if let Some(asker) = self.population.anybody_at(source, mix(self.chance)) {
                break self.population.peer(asker);
            }
        };
        let mut text = String::with_capacity(256);
        text.push_str("GET /announce?info_hash=");
        for byte in self.population.info_hash(asker.torrent) {
            let _ = match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => {
                    write!(text, "{}", char::from(byte))
                }
                _ => write!(text, "%{byte:02x}"),
            };
        }
        let Manner { server, want, close, .. } = &self.manner;
        let (left, port) = (u32::from(!asker.is_seed) << 20, asker.port);
        let _ = write!(
            text,
            "&peer_id=-GL0001-{:012}&port={port}&uploaded=0&downloaded=0&left={left}&numwant={want}&compact=1 HTTP/1.1\r\n\
             Host: {server}\r\nUser-Agent: gannet-load\r\n{}\r\n",
            asker.number,
            if *close { "Connection: close\r\n" } else { "" },
        );
        let line = &mut self.lines[number];
        line.out.extend_from_slice(text.as_bytes());
        line.asked.push_back(asker);
        self.tally.asked += 1;
    }

    /// Reads, hears, asks and writes as far as it goes.
    fn attend(&mut self, number: usize) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        let mut ended = false;
        loop {
            let line = &mut self.lines[number];
            let Some(stream) = &mut line.stream else { return Ok(()) };
            match stream.read(&mut chunk) {
                Ok(0) => ended = true,
                Ok(len) => {
                    line.unread.extend_from_slice(&chunk[..len]);
                    self.tally.bytes_in += len as u64;
                    // A short read has taken everything, and the poll tells of what comes later.
                    if len == chunk.len() {
                        continue;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => ended = true,
            }
            break;
        }
        let before = self.tally.announces;
        let closes = self.hear(number, ended);
        if ended && self.tally.announces > before && !self.manner.close {
            // A server that answers once and closes without saying so: what it was asked meanwhile is asked anew, and from now on nobody
            // asks it twice.
            self.manner.close = true;
            self.lines[number].asked.clear();
        }
        if ended || closes {
            return self.redial(number);
        }
        self.speak(number);
        Ok(())
    }

    fn speak(&mut self, number: usize) {
        let line = &mut self.lines[number];
        let Some(stream) = &mut line.stream else { return };
        while !line.out.is_empty() {
            match stream.write(&line.out) {
                Ok(len) => {
                    line.out.drain(..len);
                    self.tally.bytes_out += len as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Not connected yet, full, or gone: the poll tells which.
                Err(_) => return,
            }
        }
    }

    /// All whole answers; says whether the server closes, or should have.
    fn hear(&mut self, number: usize, ended: bool) -> bool {
        let mut at = 0;
        let closes = loop {
            let line = &mut self.lines[number];
            let (body, end, closes) = match parse(&line.unread[at..], ended) {
                Heard::More => break false,
                Heard::Whole { body, end, closes } => (at + body, at + end, closes),
                Heard::Noise => {
                    self.judge.blame("no HTTP");
                    break true;
                }
            };
            let Some(asker) = line.asked.pop_front() else {
                self.judge.blame("an answer to no question");
                break true;
            };
            line.heard = Instant::now();
            let bytes = std::mem::take(&mut line.unread);
            self.judge_one(asker, &bytes[body..end]);
            self.lines[number].unread = bytes;
            at = end;
            if closes || self.manner.close {
                break true;
            }
            self.question(number);
        };
        self.lines[number].unread.drain(..at);
        closes
    }

    fn judge_one(&mut self, asker: Peer, body: &[u8]) {
        match Reply::decode(body) {
            Ok(Reply::Peers(announced)) => {
                self.tally.announces += 1;
                self.packed.clear();
                announced.peers.iter().for_each(|peer| wire::compact::encode(peer, &mut self.packed));
                // Who does not count is taken at its word.
                let (seeds, others) = self.population.counts(asker.torrent);
                let (seeders, leechers) =
                    (announced.complete.unwrap_or(seeds), announced.incomplete.unwrap_or(others));
                self.judge.look(asker, self.manner.want, Answer { seeders, leechers, peers: &self.packed });
            }
            Ok(Reply::Refused { reason, .. }) => {
                self.tally.refused += 1;
                self.judge.blame(&format!("peer {} is refused: {reason:?}", asker.number));
            }
            Err(error) => self.judge.blame(&format!("{error}: {:?}", String::from_utf8_lossy(body))),
        }
    }
}

/// `EINPROGRESS`, which the standard library has no name for.
pub(crate) const EINPROGRESS: i32 = 115;

/// The first answer among these bytes.
fn parse(bytes: &[u8], ended: bool) -> Heard {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > ANSWER_MAX { Heard::Noise } else { Heard::More };
    };
    let Ok(text) = std::str::from_utf8(&bytes[..head]) else { return Heard::Noise };
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if !status.starts_with("HTTP/1.") {
        return Heard::Noise;
    }
    let (mut len, mut closes) = (None, status.starts_with("HTTP/1.0"));
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            len = value.parse().ok().filter(|&len: &usize| len <= ANSWER_MAX);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = !value.eq_ignore_ascii_case("keep-alive");
        }
    }
    let body = head + 4;
    match len {
        Some(len) if bytes.len() < body + len => Heard::More,
        Some(len) => Heard::Whole { body, end: body + len, closes },
        None if ended => Heard::Whole { body, end: bytes.len(), closes: true },
        None => Heard::More,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let bytes =
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nconnection: close\r\n\r\nxy";
        assert!(matches!(parse(bytes, false), Heard::Whole { body: 38, end: 41, closes: false }));
        for cut in 0..41 {
            assert!(matches!(parse(&bytes[..cut], false), Heard::More), "{cut}");
        }
        assert!(matches!(parse(&bytes[41..], false), Heard::More));
        assert!(matches!(parse(&bytes[41..], true), Heard::Whole { body: 38, end: 40, closes: true }));
        assert!(matches!(parse(b"SSH-2.0\r\n\r\n", false), Heard::Noise));
        let old = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert!(matches!(parse(old, false), Heard::Whole { closes: true, .. }));
    }
}

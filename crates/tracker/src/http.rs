//! One connection over HTTP: requests are read, answered in their order, and the connection kept while its visitor likes. Not a web
//! server: `GET` alone, no bodies.
//!
//! Invariant: a connection holds at most one head and a little of the next in, and [`OUTPUT_MAX`] bytes and one answer out; while that
//! waits to be read by the visitor, nothing is read of the visitor's. BEP: 3, 7, 23, 48. Threat E9.

pub(crate) mod answer;
mod forwarded;
mod pages;

use crate::access::Admission;
use crate::certificate::Certificate;
use crate::config::HttpRules;
use crate::desk::Desk;
use crate::shards::Routes;
use crate::stream::{HANDSHAKE, Stream};
use crate::tally::{Count, Tallies, Tally};
use crate::websocket::{Browsers, Newcomer};
use answer::Answered;
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use wire::proxied::Proxied;
use wire::tracker_http::head::{HEAD_LEN_MAX, Head};

/// How long a visitor may take for a head, from its first byte to its last; and for the first byte of the first.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a visitor may take between an answer and the next request.
const IDLE_TIME_MAX: Duration = Duration::from_secs(60);

/// How long an answer may wait for the visitor to read on.
const STALL_TIME_MAX: Duration = Duration::from_secs(15);

/// Bytes that wait for the visitor, beyond which nothing more is answered. A few dozen pipelined announces.
const OUTPUT_MAX: usize = 16 * 1024;

/// Bytes read at once.
const READ_LEN: usize = 4096;

/// Reads in a row, after which others get their turn. With the third, a visitor who has asked once is known to have nothing more.
const READS_MAX: usize = 3;

/// Requests answered in a row, after which others get their turn: enough for a client that asks for several torrents at once, and for one
/// call of the kernel to carry several answers.
pub(crate) const REQUESTS_PER_TURN: u32 = 8;

/// Buffers that are larger than this are given back when they are empty.
const BUFFER_KEPT_MAX: usize = 4096;

/// A visitor.
pub(crate) struct Connection {
    stream: Stream,
    /// At the other end: a visitor or a proxy.
    remote: IpAddr,
    /// Who visits.
    visitor: IpAddr,
    door: Door,
    input: Vec<u8>,
    /// Bytes of the input in which no end of a head was found.
    seen: usize,
    output: Vec<u8>,
    written: usize,
    /// There may be something to read: readiness is told once.
    readable: bool,
    /// The visitor has hung up; what it sent before is still to be read.
    to_the_end: bool,
    /// All of that was read.
    has_hung_up: bool,
    /// Another worker makes the next answer; whether the connection is kept behind it.
    waiting: Option<KeepAlive>,
    /// Nothing more is answered; when everything is written it ends.
    ends: bool,
    /// The last answer says that WebSocket comes behind it.
    upgrades: bool,
    since: Since,
}

/// What comes first on a connection, and whom it is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Door {
    /// Requests of the remote's own.
    Own,
    /// Requests, and the remote says for whom.
    Forwarded,
    /// A header of the PROXY protocol, then requests.
    Proxied,
    /// Requests, behind that header.
    BehindHeader,
}

/// When what is waited for began.
#[derive(Clone, Copy, Debug)]
enum Since {
    /// The first byte of a head, or the connection itself.
    Head(Instant),
    /// Nothing is under way.
    Idle(Instant),
    /// The visitor reads no further.
    Stalled(Instant),
}

/// Whether a connection is kept.
type KeepAlive = bool;

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Visitor {
    /// It waits for its socket.
    Stays,
    /// It could go on, but others have their turn first.
    HasMore,
    /// It is over.
    Leaves,
    /// From now on it speaks WebSocket: see [`Connection::into_newcomer`].
    Upgrades,
}

/// What connections are served with.
pub(crate) struct Service<'a> {
    pub(crate) desk: &'a mut Desk,
    pub(crate) routes: &'a mut Routes,
    pub(crate) access: &'a Admission,
    pub(crate) tally: &'a Tally,
    /// Everybody's.
    pub(crate) tallies: &'a Tallies,
    /// The name of whom is served.
    pub(crate) visitor: usize,
    pub(crate) rules: &'a HttpRules,
    /// Who takes those that speak WebSocket.
    pub(crate) browsers: Option<&'a Browsers>,
    pub(crate) now: Instant,
    /// The tracker ends, or visitors are to go elsewhere: every answer is the last on its connection.
    pub(crate) ends: bool,
    /// Room to write in.
    pub(crate) body: &'a mut Vec<u8>,
}

impl Connection {
    /// A visitor who has said nothing yet, and is shown this certificate if there is one.
    ///
    /// # Errors
    /// When TLS cannot begin.
    pub(crate) fn new(
        socket: TcpStream,
        certificate: Option<&Certificate>,
        remote: IpAddr,
        rules: &HttpRules,
        now: Instant,
    ) -> Result<Connection, rustls::Error> {
        let remote = remote.to_canonical();
        let within = |networks: &[crate::Network]| networks.iter().any(|network| network.contains(remote));
        let door = if within(&rules.proxied_by) {
            Door::Proxied
        } else if within(&rules.forwarded_by) {
            Door::Forwarded
        } else {
            Door::Own
        };
        let stream = Stream::new(socket, certificate, door == Door::Proxied)?;
        Ok(Connection {
            stream,
            remote,
            visitor: remote,
            door,
            input: Vec::new(),
            seen: 0,
            output: Vec::new(),
            written: 0,
            readable: true,
            to_the_end: false,
            has_hung_up: false,
            waiting: None,
            ends: false,
            upgrades: false,
            since: Since::Head(now),
        })
    }

    /// The socket, for the poll.
    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        self.stream.socket_mut()
    }

    /// The other end.
    pub(crate) fn remote(&self) -> IpAddr {
        self.remote
    }

    /// It belongs to a proxy that was named: many visitors come by it.
    pub(crate) fn is_a_proxys(&self) -> bool {
        self.door != Door::Own
    }

    /// TLS has begun with it and not come about yet.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        self.stream.is_shaking_hands()
    }

    /// What it says next may cost a signature.
    pub(crate) fn may_cost_signature(&self) -> bool {
        self.stream.may_cost_signature()
    }

    /// Bytes of TLS wait for the socket.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stream.is_leaving()
    }

    /// There is something to read, and perhaps the end.
    pub(crate) fn set_readable(&mut self, to_the_end: bool) {
        self.readable = true;
        self.to_the_end |= to_the_end;
    }

    /// How long nothing has come of what is waited for.
    pub(crate) fn waits(&self, now: Instant) -> Duration {
        let (Since::Head(since) | Since::Idle(since) | Since::Stalled(since)) = self.since;
        now.saturating_duration_since(since)
    }

    /// Every request was answered, and nothing of another has come.
    pub(crate) fn is_idle(&self) -> bool {
        let idle = matches!(self.since, Since::Idle(_));
        let nothing_leaves = self.output.is_empty() && !self.stream.is_leaving();
        idle && self.input.is_empty() && nothing_leaves && self.waiting.is_none()
    }

    /// It has taken longer than it may.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        let most = match self.since {
            Since::Head(_) => HEAD_TIME_MAX,
            Since::Idle(_) => IDLE_TIME_MAX,
            Since::Stalled(_) => STALL_TIME_MAX,
        };
        self.waits(now) > most
    }

    /// Another worker has made the answer that it waits for; it can go on then.
    pub(crate) fn on_answer(&mut self, body: &[u8]) {
        if let Some(keep_alive) = self.waiting.take() {
            answer::finish(body, keep_alive, &mut self.output);
            self.ends = !keep_alive;
        }
    }

    /// The same connection for who speaks WebSocket: what came behind the request, and what is still to be written.
    pub(crate) fn into_newcomer(mut self) -> Newcomer {
        let answer = self.output.split_off(self.written.min(self.output.len()));
        Newcomer { stream: self.stream, ip: self.visitor, came: self.input, answer }
    }

    /// Goes on as far as the socket allows.
    pub(crate) fn go_on(&mut self, service: &mut Service<'_>) -> Visitor {
        let mut left = REQUESTS_PER_TURN;
        for _ in 0..READS_MAX {
            let needs_more = self.answer_what_is_here(service, &mut left);
            if self.upgrades {
                // It writes its answer itself, if there is room for it.
                return Visitor::Upgrades;
            }
            if self.write(service.now).is_err() {
                return Visitor::Leaves;
            }
            let leaving = self.output.len() - self.written;
            // All that came is answered, and nothing more will come.
            self.ends |= needs_more && self.has_hung_up;
            if self.ends {
                if leaving > 0 || self.stream.is_leaving() {
                    return Visitor::Stays;
                }
                self.stream.say_goodbye();
                return Visitor::Leaves;
            }
            if leaving >= OUTPUT_MAX || self.waiting.is_some() || (needs_more && !self.readable) {
                return Visitor::Stays;
            }
            if left == 0 {
                return Visitor::HasMore;
            }
            if needs_more && self.read().is_err() {
                return Visitor::Leaves;
            }
        }
        Visitor::HasMore
    }

    /// Answers whole requests, so many at most, until the visitor has to read first. Says whether it was for want of a whole request that
    /// it ended.
    fn answer_what_is_here(&mut self, service: &mut Service<'_>, left: &mut u32) -> bool {
        let (mut used, mut needs_more) = (0, false);
        while *left > 0
            && !self.ends
            && self.waiting.is_none()
            && self.output.len() - self.written < OUTPUT_MAX
        {
            if let ControlFlow::Break(wants) = self.come_in(&mut used, service) {
                needs_more = wants;
                break;
            }
            let input = self.input.get(used..).unwrap_or_default();
            match Head::read(input, self.seen) {
                Ok(Some(mut head)) => {
                    head.keep_alive &= !service.ends;
                    used += head.len;
                    *left -= 1;
                    service.tally.count(Count::Request);
                    let ip = match self.door {
                        Door::Forwarded => {
                            forwarded::visitor(&head, self.remote, &service.rules.forwarded_by)
                        }
                        Door::Own | Door::Proxied | Door::BehindHeader => self.visitor,
                    };
                    match answer::answer(&head, ip, service, &mut self.output) {
                        Answered::Now => self.ends = !head.keep_alive,
                        Answered::Later => self.waiting = Some(head.keep_alive),
                        Answered::WebSocket => {
                            (self.ends, self.upgrades, self.visitor) = (true, true, ip);
                        }
                    }
                    self.since = Since::Idle(service.now);
                }
                Ok(None) => {
                    needs_more = true;
                    self.seen = input.len();
                    if let (Since::Idle(_), true) = (self.since, self.seen > 0) {
                        self.since = Since::Head(service.now);
                    }
                    break;
                }
                Err(error) => {
                    service.tally.count(Count::Malformed);
                    answer::refuse_head(error, service.body, &mut self.output);
                    self.ends = true;
                }
            }
            self.seen = 0;
        }
        self.input.drain(..used);
        if self.input.is_empty() && self.input.capacity() > BUFFER_KEPT_MAX {
            self.input = Vec::new();
        }
        needs_more
    }

    /// What comes before requests: a proxy's header, and TLS or what stands in its place. Breaks if no request can be read, and says whether
    /// that is for want of more.
    fn come_in(&mut self, used: &mut usize, service: &mut Service<'_>) -> ControlFlow<bool> {
        let mut input = self.input.get(*used..).unwrap_or_default();
        if self.door == Door::Proxied {
            match Proxied::read(input) {
                Ok(Some(header)) => {
                    *used += header.len;
                    self.visitor = header.source.map_or(self.remote, |source| source.ip().to_canonical());
                    self.door = Door::BehindHeader;
                    if self.stream.begin(|| self.input.split_off(*used)) {
                        self.readable = true;
                        return ControlFlow::Break(true);
                    }
                    input = self.input.get(*used..).unwrap_or_default();
                }
                Ok(None) => return ControlFlow::Break(true),
                // What speaks otherwise than was agreed upon is no proxy of ours: whom should it be believed to be?
                Err(_) => {
                    self.ends = true;
                    return ControlFlow::Break(false);
                }
            }
        }
        let is_mistaken = self.stream.is_mistaken() && !input.is_empty();
        // TLS, where it is not spoken: nothing that we could say would be understood.
        self.ends = is_mistaken || input.first() == Some(&HANDSHAKE);
        if is_mistaken {
            answer::refuse_plain(service.body, &mut self.output);
            *used = self.input.len();
        }
        if self.ends {
            service.tally.count(Count::Malformed);
            return ControlFlow::Break(false);
        }
        ControlFlow::Continue(())
    }

    /// Reads once.
    fn read(&mut self) -> Result<(), Gone> {
        debug_assert!(self.input.len() < HEAD_LEN_MAX.max(wire::proxied::HEADER_LEN_MAX) + READ_LEN);
        // No handshake comes about with who has left meanwhile, as most have when many wait for theirs: a signature would be made for nobody.
        if self.to_the_end && self.stream.is_about_to_sign().is_ok_and(|signs| signs) {
            return Err(Gone);
        }
        let mut chunk = [0; READ_LEN];
        match self.stream.read(&mut chunk) {
            Ok(0) => self.has_hung_up = true,
            Ok(len) => {
                self.input.extend_from_slice(chunk.get(..len).unwrap_or_default());
                // Less than there was room for is all that there is: the poll tells of more, and to ask the kernel would cost a call per
                // request. Of an end that it has told of it does not tell again.
                self.readable = self.stream.may_have_more(len, READ_LEN) || self.to_the_end;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(Gone),
        }
        Ok(())
    }

    /// Writes as much as the visitor takes.
    fn write(&mut self, now: Instant) -> Result<(), Gone> {
        while let Some(rest) = self.output.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Err(Gone),
                Ok(len) => {
                    self.written += len;
                    if let Since::Stalled(_) = self.since {
                        self.since = Since::Idle(now);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !matches!(self.since, Since::Stalled(_)) {
                        self.since = Since::Stalled(now);
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
        match self.stream.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(Gone),
            // A handshake has its time, whoever is slow.
            Err(_) if !self.stream.is_shaking_hands() && !matches!(self.since, Since::Stalled(_)) => {
                self.since = Since::Stalled(now);
            }
            // What waited was sealed already, so that the loop had nothing to do.
            Ok(()) if matches!(self.since, Since::Stalled(_)) => self.since = Since::Idle(now),
            Ok(()) | Err(_) => {}
        }
        self.written = 0;
        self.output.clear();
        if self.output.capacity() > BUFFER_KEPT_MAX {
            self.output = Vec::new();
        }
        Ok(())
    }
}

/// The visitor hung up.
struct Gone;

#[cfg(test)]
pub(crate) mod tests;

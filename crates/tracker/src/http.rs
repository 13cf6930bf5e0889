//! One visitor over HTTP: a question is read, answered, and the connection closed. Not a web server: `GET` alone, no bodies,
//! no keep-alive, for a visitor comes once in half an hour.
//!
//! Invariant: a connection holds at most [`HEAD_MAX`] bytes of a question and one answer. BEP: 3, 7, 23, 48

use crate::desk::Desk;
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use wire::tracker_http::query::{AnnounceQuery, QUERY_LEN_MAX, scraped};
use wire::tracker_http::scrape::ScrapeReply;
use wire::tracker_http::{Announced, PeerFormat, Reply};

/// The longest question: the longest query that is read, and as much again as any client's headers take.
const HEAD_MAX: usize = QUERY_LEN_MAX + 4 * 1024;

/// A visitor.
pub(crate) struct Connection {
    stream: TcpStream,
    ip: IpAddr,
    head: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Visitor {
    /// It is not finished.
    Stays,
    /// It is answered, or gone.
    Leaves,
}

impl Connection {
    /// A visitor who has said nothing yet.
    pub(crate) fn new(stream: TcpStream, ip: IpAddr) -> Connection {
        Connection { stream, ip: ip.to_canonical(), head: Vec::new(), answer: Vec::new(), written: 0 }
    }

    /// The socket, for the poll.
    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Goes on as far as the socket allows.
    pub(crate) fn on_ready(&mut self, desk: &mut Desk) -> Visitor {
        if self.answer.is_empty() {
            match self.read_head() {
                Ok(true) => self.answer = answer(&self.head, self.ip, desk),
                Ok(false) => return Visitor::Stays,
                Err(Gone) => return Visitor::Leaves,
            }
        }
        self.write_answer()
    }

    /// Whether the question is complete: its empty line is there, or it is too long already.
    fn read_head(&mut self) -> Result<bool, Gone> {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Gone),
                Ok(len) => {
                    // The empty line may lie across two reads.
                    let from = self.head.len().saturating_sub(3);
                    self.head.extend_from_slice(&chunk[..len]);
                    let ended = self.head[from..].windows(4).any(|window| window == b"\r\n\r\n");
                    if ended || self.head.len() > HEAD_MAX {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Gone),
            }
        }
    }

    fn write_answer(&mut self) -> Visitor {
        while let Some(rest) = self.answer.get(self.written..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(0) => return Visitor::Leaves,
                Ok(len) => self.written += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Visitor::Stays,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Visitor::Leaves,
            }
        }
        Visitor::Leaves
    }
}

/// The visitor hung up.
struct Gone;

/// The whole answer to a whole question.
fn answer(head: &[u8], ip: IpAddr, desk: &mut Desk) -> Vec<u8> {
    if head.len() > HEAD_MAX {
        return response("431 Request Header Fields Too Large", &refusal("the request is too long"));
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = core::str::from_utf8(line).unwrap_or_default().split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.0" | "HTTP/1.1"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return response("400 Bad Request", &refusal("this is a tracker: GET /announce?..."));
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path {
        "/announce" => response("200 OK", &announce(query, ip, desk)),
        "/scrape" => response("200 OK", &scrape(query, desk)),
        _ => response("404 Not Found", &refusal("this is a tracker: GET /announce?...")),
    }
}

/// Refusals come with status 200, as BEP 3's clients expect them.
fn announce(query: &str, ip: IpAddr, desk: &mut Desk) -> Vec<u8> {
    let visit = match AnnounceQuery::decode(query) {
        Ok(visit) => visit,
        Err(error) => return refusal(&error.to_string()),
    };
    let answer = desk.announce(ip, &visit.announce, u32::MAX);
    let seconds = |span: proto::Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let announced = Announced {
        interval: seconds(answer.interval),
        min_interval: Some(seconds(answer.min_interval)),
        peers: answer.peers,
        complete: Some(answer.counts.complete),
        incomplete: Some(answer.counts.incomplete),
        external_ip: Some(ip),
        ..Announced::default()
    };
    let format = if visit.compact { PeerFormat::Compact } else { PeerFormat::Dictionaries };
    Reply::Peers(Box::new(announced)).encode(format)
}

fn scrape(query: &str, desk: &mut Desk) -> Vec<u8> {
    let answer = match scraped(query) {
        Ok(mut torrents) => {
            // Keys of a dictionary are in order, and each stands once.
            torrents.sort_unstable();
            torrents.dedup();
            ScrapeReply::Files(torrents.into_iter().map(|torrent| (torrent, desk.scrape(torrent))).collect())
        }
        Err(error) => ScrapeReply::Refused(error.to_string().into()),
    };
    answer.encode()
}

fn refusal(reason: &str) -> Vec<u8> {
    Reply::Refused { reason: reason.into(), retry: None }.encode(PeerFormat::Compact)
}

fn response(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

//! What a request is answered, head and body, appended to what leaves. Knows requests, not connections.
//!
//! Invariant: every request has exactly one answer. BEP: 3, 7, 23, 24, 48

use crate::desk::Desk;
use std::net::IpAddr;
use wire::tracker_http::PeerFormat;
use wire::tracker_http::answer::{self, Told, decimal};
use wire::tracker_http::head::{Head, HeadError};
use wire::tracker_http::query::{AnnounceQuery, scraped};

/// What is said of requests that are none of a tracker's.
const WHAT_WE_ARE: &str = "this is a tracker: GET /announce?...";

/// How an answer begins.
#[derive(Clone, Copy)]
struct Status {
    line: &'static str,
    /// Further fields, each with its line end.
    fields: &'static str,
}

const OK: Status = Status { line: "200 OK", fields: "" };
const BAD_REQUEST: Status = Status { line: "400 Bad Request", fields: "" };
const NOT_FOUND: Status = Status { line: "404 Not Found", fields: "" };
const NOT_ALLOWED: Status = Status { line: "405 Method Not Allowed", fields: "Allow: GET\r\n" };
const BODY: Status = Status { line: "413 Content Too Large", fields: "" };
const TOO_LONG: Status = Status { line: "431 Request Header Fields Too Large", fields: "" };

/// Answers a request. `body` is room to write in.
pub(super) fn answer(head: &Head<'_>, ip: IpAddr, desk: &mut Desk, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    let status = match (head.method, path) {
        ("GET", "/announce") => announce(query, ip, desk, body),
        ("GET", "/scrape") => scrape(query, desk, body),
        ("GET", _) => refuse(NOT_FOUND, WHAT_WE_ARE, body),
        // An answer to it has no body.
        ("HEAD", _) => NOT_ALLOWED,
        (_, _) => refuse(NOT_ALLOWED, WHAT_WE_ARE, body),
    };
    respond(status, head.keep_alive, body, out);
}

/// Answers what is no request: the last answer on its connection.
pub(super) fn refuse_head(error: HeadError, body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    let status = match error {
        HeadError::Malformed => refuse(BAD_REQUEST, WHAT_WE_ARE, body),
        HeadError::TooLong => refuse(TOO_LONG, &error.to_string(), body),
        HeadError::Body => refuse(BODY, &error.to_string(), body),
    };
    respond(status, false, body, out);
}

fn refuse(status: Status, reason: &str, body: &mut Vec<u8>) -> Status {
    answer::refused(reason, body);
    status
}

/// Refusals come with status 200, as BEP 3's clients expect them.
fn announce(query: &str, ip: IpAddr, desk: &mut Desk, body: &mut Vec<u8>) -> Status {
    let visit = match AnnounceQuery::decode(query) {
        Ok(visit) => visit,
        Err(error) => return refuse(OK, &error.to_string(), body),
    };
    let (standing, peers) = desk.announce(ip, &visit.announce, u32::MAX);
    let seconds = |span: proto::Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let told = Told {
        interval: seconds(standing.interval),
        min_interval: seconds(standing.min_interval),
        complete: standing.counts.complete,
        incomplete: standing.counts.incomplete,
        external_ip: ip,
    };
    let format = if visit.compact { PeerFormat::Compact } else { PeerFormat::Dictionaries };
    answer::announced(&told, peers.family(), peers.as_bytes(), format, body);
    OK
}

fn scrape(query: &str, desk: &mut Desk, body: &mut Vec<u8>) -> Status {
    match scraped(query) {
        Ok(mut torrents) => {
            // Keys of a dictionary are in order, and each stands once.
            torrents.sort_unstable();
            torrents.dedup();
            answer::scraped(torrents.into_iter().map(|torrent| (torrent, desk.scrape(torrent))), body);
        }
        Err(error) => answer::refused(&error.to_string(), body),
    }
    OK
}

fn respond(status: Status, keep_alive: bool, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.line.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: text/plain\r\nContent-Length: ");
    decimal(body.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(status.fields.as_bytes());
    let connection = if keep_alive { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" };
    out.extend_from_slice(connection.as_bytes());
    out.extend_from_slice(body);
}

//! What a request is answered, head and body, appended to what leaves. Knows requests, not connections.
//!
//! Invariant: every request has exactly one answer. BEP: 3, 7, 23, 24, 48

use crate::access::REFUSAL;
use crate::desk::{self, Desk, Over};
use crate::http::Service;
use crate::http::pages;
use crate::members::Unwelcome;
use crate::shards::{Back, Errand, ScrapeRow};
use crate::tally::Count;
use crate::websocket::handshake;
use proto::tracker::ledger::Member;
use std::net::IpAddr;
use wire::Passkey;
use wire::announce::AnnounceRequest;
use wire::passkey;
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
    content_type: &'static str,
    /// Further fields, each with its line end.
    fields: &'static str,
}

impl Status {
    const fn plain(line: &'static str) -> Status {
        Status { line, content_type: "text/plain", fields: "" }
    }
}

const OK: Status = Status::plain("200 OK");
const BAD_REQUEST: Status = Status::plain("400 Bad Request");
const NOT_FOUND: Status = Status::plain("404 Not Found");
const NOT_ALLOWED: Status = Status { fields: "Allow: GET\r\n", ..Status::plain("405 Method Not Allowed") };
const BODY: Status = Status::plain("413 Content Too Large");
const UPGRADE: Status =
    Status { fields: "Sec-WebSocket-Version: 13\r\n", ..Status::plain("426 Upgrade Required") };
const TOO_LONG: Status = Status::plain("431 Request Header Fields Too Large");
const BUSY: Status = Status { fields: "Retry-After: 60\r\n", ..Status::plain("503 Service Unavailable") };
const AWAY: Status = Status::plain("503 Service Unavailable");
/// A page: of itself it loads nothing and runs nothing.
const PAGE: Status = Status {
    content_type: "text/html; charset=utf-8",
    fields: "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n",
    ..OK
};
const METRICS: Status = Status { content_type: "text/plain; version=0.0.4", ..OK };

/// Whether an answer was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answered {
    /// Now.
    Now,
    /// It is another worker's to give: [`finish`] appends it.
    Later,
    /// What was agreed upon is another protocol: this was the last answer.
    WebSocket,
}

/// Answers a request.
pub(super) fn answer(head: &Head<'_>, ip: IpAddr, service: &mut Service<'_>, out: &mut Vec<u8>) -> Answered {
    service.body.clear();
    if let Some(upgrade) = handshake::asked_for(head) {
        let Some(accept) = upgrade.filter(|_| service.browsers.is_some()) else {
            let status = refuse(UPGRADE, "WebSocket is spoken here in version 13, if at all", service.body);
            respond(status, head.keep_alive, service.body, out);
            return Answered::Now;
        };
        handshake::put_accepted(&accept, out);
        return Answered::WebSocket;
    }
    let (path, query) = head.target.split_once('?').unwrap_or((head.target, ""));
    let (path, passkey) = match service.access.is_private() {
        false => (path, None),
        true => {
            let (path, passkey) = passkey::take(path, query);
            // URLs of private trackers often say by which program they were once served.
            (path.strip_suffix(".php").unwrap_or(path), passkey)
        }
    };
    let status = match (head.method, path) {
        ("GET", "/announce") => announce(query, ip, passkey, service),
        ("GET", "/scrape") => scrape(query, passkey, service),
        ("GET", "/") => Some(show(
            PAGE,
            &pages::status(service.tallies, service.access, service.desk.interval()),
            service,
        )),
        ("GET", "/health") if service.ends => Some(show(AWAY, "draining\n", service)),
        ("GET", "/health") => Some(show(OK, "ok\n", service)),
        // Numbers are nobody's business but the operator's.
        ("GET", "/metrics") if service.rules.metrics_for.iter().any(|network| network.contains(ip)) => {
            Some(show(METRICS, &pages::metrics(service.tallies), service))
        }
        ("GET", _) => Some(refuse(NOT_FOUND, WHAT_WE_ARE, service.body)),
        // An answer to it has no body.
        ("HEAD", _) => Some(NOT_ALLOWED),
        (_, _) => Some(refuse(NOT_ALLOWED, WHAT_WE_ARE, service.body)),
    };
    let Some(status) = status else { return Answered::Later };
    respond(status, head.keep_alive, service.body, out);
    Answered::Now
}

/// Appends an answer whose body another worker made.
pub(super) fn finish(body: &[u8], keep_alive: bool, out: &mut Vec<u8>) {
    respond(OK, keep_alive, body, out);
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

/// Answers who speaks plainly where TLS is spoken: the last answer on its connection.
pub(super) fn refuse_plain(body: &mut Vec<u8>, out: &mut Vec<u8>) {
    body.clear();
    let status = refuse(BAD_REQUEST, "HTTPS is spoken at this port: the address begins with https://", body);
    respond(status, false, body, out);
}

fn show(status: Status, text: &str, service: &mut Service<'_>) -> Status {
    service.body.extend_from_slice(text.as_bytes());
    status
}

fn refuse(status: Status, reason: &str, body: &mut Vec<u8>) -> Status {
    answer::refused(reason, body);
    status
}

/// Refusals come with status 200, as BEP 3's clients expect them. Nothing if another worker answers.
fn announce(query: &str, ip: IpAddr, passkey: Option<Passkey>, service: &mut Service<'_>) -> Option<Status> {
    let who = match service.access.who(|| passkey) {
        Ok(who) => who,
        Err(unwelcome) => {
            if let Some(until) = unwelcome.was_served_until()
                && let Ok(visit) = AnnounceQuery::decode(query)
            {
                desk::take_out(ip, &visit.announce, until, service.desk, service.routes);
            }
            return Some(refuse_stranger(unwelcome, service));
        }
    };
    let AnnounceQuery { announce, compact, .. } = match AnnounceQuery::decode(query) {
        Ok(visit) => visit,
        Err(error) => return Some(refuse(OK, &error.to_string(), service.body)),
    };
    if !service.access.admits(&announce.info_hash) {
        service.tally.count(Count::Denied);
        return Some(refuse(OK, REFUSAL, service.body));
    }
    let owner = service.routes.owner(&announce.info_hash);
    if owner == service.routes.me() {
        put_announced(ip, who.as_ref(), &announce, compact, service.desk, service.body);
        return Some(OK);
    }
    let back = Back::Visitor { worker: service.routes.me(), visitor: service.visitor, compact };
    hand_on(owner, Errand::Announce { ip, who, announce, back }, service)
}

fn refuse_stranger(unwelcome: Unwelcome, service: &mut Service<'_>) -> Status {
    service.tally.count(Count::NotAMember);
    refuse(OK, unwelcome.reason(), service.body)
}

fn scrape(query: &str, passkey: Option<Passkey>, service: &mut Service<'_>) -> Option<Status> {
    if let Err(unwelcome) = service.access.who(|| passkey) {
        return Some(refuse_stranger(unwelcome, service));
    }
    let mut torrents = match scraped(query) {
        Ok(torrents) => torrents,
        Err(error) => return Some(refuse(OK, &error.to_string(), service.body)),
    };
    // Keys of a dictionary are in order, and each stands once.
    torrents.sort_unstable();
    torrents.dedup();
    match torrents.iter().find(|torrent| !service.routes.is_mine(torrent)) {
        None => {
            let desk = &mut *service.desk;
            answer::scraped(
                torrents.into_iter().map(|torrent| (torrent, desk.scrape(Over::Http, torrent))),
                service.body,
            );
            Some(OK)
        }
        Some(elsewhere) => {
            let owner = service.routes.owner(elsewhere);
            let back = Back::Visitor { worker: service.routes.me(), visitor: service.visitor, compact: true };
            let rows = torrents.into_iter().map(|torrent| (torrent, None)).collect();
            hand_on(owner, Errand::Scrape { rows, back }, service)
        }
    }
}

fn hand_on(owner: usize, errand: Errand, service: &mut Service<'_>) -> Option<Status> {
    if service.routes.send(owner, errand).is_ok() {
        return None;
    }
    service.tally.count(Count::Busy);
    Some(refuse(BUSY, "too many ask at once; come again later", service.body))
}

/// The body of the answer to an announce.
pub(crate) fn put_announced(
    ip: IpAddr,
    who: Option<&Member>,
    announce: &AnnounceRequest,
    compact: bool,
    desk: &mut Desk,
    body: &mut Vec<u8>,
) {
    let (standing, peers) = match desk.announce(Over::Http, ip, who, announce, u32::MAX) {
        Ok(served) => served,
        Err(reason) => return answer::refused(reason, body),
    };
    let seconds = |span: proto::Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    let told = Told {
        interval: seconds(standing.interval),
        min_interval: seconds(standing.min_interval),
        complete: standing.counts.complete,
        incomplete: standing.counts.incomplete,
        external_ip: ip,
    };
    let format = if compact { PeerFormat::Compact } else { PeerFormat::Dictionaries };
    answer::announced(&told, peers.family(), peers.as_bytes(), format, body);
}

/// The body of the answer to a scrape whose rows are complete.
pub(crate) fn put_scraped(rows: &[ScrapeRow], body: &mut Vec<u8>) {
    let rows = rows.iter().map(|&(torrent, counts)| (torrent, counts.unwrap_or_default()));
    answer::scraped(rows, body);
}

fn respond(status: Status, keep_alive: bool, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.line.as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend_from_slice(status.content_type.as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: ");
    decimal(body.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(status.fields.as_bytes());
    let connection = if keep_alive { "Connection: keep-alive\r\n\r\n" } else { "Connection: close\r\n\r\n" };
    out.extend_from_slice(connection.as_bytes());
    out.extend_from_slice(body);
}

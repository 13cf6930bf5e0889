//! Announces and scrapes in datagrams, a batch at a time: received by one call of the kernel, each answered where it lies, and the answers
//! sent by one call. Nothing is remembered or allocated per asker.
//!
//! Invariants: whoever has not shown a connection id is sent 16 bytes for 16, or nothing (E6); every datagram that was received is
//! answered before the next batch, so that a queue can be in the kernel alone, where it is bounded (E10). BEP: 15, 41

use crate::access::{Admission, REFUSAL};
use crate::connection_id::ConnectionIds;
use crate::desk::{self, Desk, Over};
use crate::members::NO_SCRAPE;
use crate::shards::{Back, Errand, Routes, ScrapeRow};
use crate::tally::{Count, Tally};
use mio::net::UdpSocket;
use os::datagrams::{EXCHANGE_MAX, Exchange};
use proto::tracker::ledger::Member;
use std::net::{IpAddr, SocketAddr};
use wire::announce::AnnounceRequest;
use wire::passkey;
use wire::tracker_udp::URL_DATA_MAX;
use wire::tracker_udp::question::{
    Question, announce_reply, connect_reply, error_reply, glance, scrape_reply, scrape_row,
};

/// No question is longer: 98 bytes, and BEP 41's options within one Ethernet frame.
const QUESTION_LEN_MAX: usize = 1500;

/// Peers in one answer, so that it fits a datagram that no path breaks up (1,280 bytes): 6 bytes each, or 18.
const PEERS_MAX_V4: u32 = 200;
const PEERS_MAX_V6: u32 = 66;

/// The longest answer: to a scrape of 74, 8 + 74 * 12 bytes; with all peers, 20 + 200 * 6, or 20 + 66 * 18.
const ANSWER_LEN_MAX: usize = 1220;

/// Batches answered before others get their turn.
const BATCHES_MAX: usize = 8;

/// Visitors over HTTP served before datagrams get their turn: each may have dozens of requests under way, and who asks over UDP waits for
/// all of them.
const VISITS_MAX: usize = 8;

/// Everything about datagrams that a worker owns besides their sockets.
pub(crate) struct Datagrams {
    exchange: Exchange,
    ids: ConnectionIds,
    /// Visitors over HTTP served since the last turn.
    waited: usize,
}

impl Datagrams {
    /// Nobody has asked yet. Every worker has the same ids: a question may arrive at another than the one before.
    pub(crate) fn new(ids: ConnectionIds) -> Datagrams {
        Datagrams { exchange: Exchange::new(QUESTION_LEN_MAX, ANSWER_LEN_MAX), ids, waited: 0 }
    }

    /// One more visitor is served first; whether datagrams have now waited for as many as they may.
    pub(crate) fn wait_for_one(&mut self) -> bool {
        self.waited += 1;
        self.waited >= VISITS_MAX
    }

    /// Answers what has come at a socket. Says whether more may be waiting.
    pub(crate) fn serve(&mut self, socket: &UdpSocket, by: By<'_>) -> bool {
        let By { door, desk, routes, access, tally } = by;
        self.waited = 0;
        let mut full = false;
        for _ in 0..BATCHES_MAX {
            full = false;
            let came = match self.exchange.receive(socket) {
                Ok(came) => came,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                // What ICMP reports about an earlier answer concerns nobody any more.
                Err(_) => continue,
            };
            desk.look_ahead((0..came).filter_map(|number| {
                let (from, question) = self.exchange.peek(number)?;
                let (info_hash, port) = glance(question)?;
                Some((info_hash, SocketAddr::new(from.ip(), port)))
            }));
            // One look at the clock does for all: they have waited for one another anyway.
            let minute = os::clock::since_boot().as_secs() / 60;
            for number in 0..came {
                if let Some((from, question, place)) = self.exchange.question(number) {
                    let by = By { door, desk, routes, access, tally };
                    let mut asked = Asked { from, ids: &self.ids, minute, by };
                    let mut out = Writer { place, len: 0 };
                    asked.answer(question, &mut out);
                    let len = out.len;
                    self.exchange.answer(number, len);
                }
            }
            let sent = self.exchange.send(socket);
            tally.add(Count::Unsent, sent.dropped as u64);
            // The kernel had no more: it calls when something comes.
            full = came == EXCHANGE_MAX;
            if !full {
                break;
            }
        }
        full
    }
}

/// What questions are answered with, and the number of the socket at which they came.
pub(crate) struct By<'a> {
    pub(crate) door: usize,
    pub(crate) desk: &'a mut Desk,
    pub(crate) routes: &'a mut Routes,
    pub(crate) access: &'a Admission,
    pub(crate) tally: &'a Tally,
}

/// From whom and when a question came.
struct Asked<'a> {
    from: SocketAddr,
    ids: &'a ConnectionIds,
    minute: u64,
    by: By<'a>,
}

impl Asked<'_> {
    /// Writes the answer, if the question deserves one and it is ours to give.
    fn answer(&mut self, question: &[u8], out: &mut Writer<'_>) {
        let ip = self.from.ip().to_canonical();
        match Question::decode(question) {
            Ok(Question::Connect { transaction }) => {
                self.by.tally.count(Count::Connect);
                out.put(&connect_reply(transaction, self.ids.make(ip, self.minute)));
            }
            // Who shows no id of ours may be anybody behind a forged address: silence.
            Ok(Question::Announce { connection, .. } | Question::Scrape { connection, .. })
                if !self.ids.is_valid(connection, ip, self.minute) =>
            {
                self.by.tally.count(Count::BadConnectionId);
            }
            Ok(Question::Announce { transaction, announce, url_data, .. }) => {
                match self.by.access.who(|| passkey::in_url_data(url_data.joined(&mut [0; URL_DATA_MAX]))) {
                    Ok(who) => self.announce(transaction, ip, who, announce, out),
                    Err(unwelcome) => {
                        if let Some(until) = unwelcome.was_served_until() {
                            desk::take_out(ip, &announce, until, self.by.desk, self.by.routes);
                        }
                        self.refuse_stranger(transaction, unwelcome.reason(), out);
                    }
                }
            }
            Ok(Question::Scrape { transaction, .. }) if self.by.access.is_private() => {
                self.refuse_stranger(transaction, NO_SCRAPE, out);
            }
            Ok(Question::Scrape { transaction, torrents, .. }) => {
                match torrents.iter().find(|torrent| !self.by.routes.is_mine(torrent)) {
                    None => {
                        out.put(&scrape_reply(transaction));
                        torrents.iter().for_each(|torrent| {
                            out.put(&scrape_row(self.by.desk.scrape(Over::Udp, torrent)))
                        });
                    }
                    Some(elsewhere) => {
                        let rows = torrents.iter().map(|torrent| (torrent, None)).collect();
                        let owner = self.by.routes.owner(&elsewhere);
                        self.hand_on(owner, Errand::Scrape { rows, back: self.back(transaction) });
                    }
                }
            }
            Err(_) => self.by.tally.count(Count::Malformed),
        }
    }

    fn announce(
        &mut self,
        transaction: u32,
        ip: IpAddr,
        who: Option<Member>,
        announce: AnnounceRequest,
        out: &mut Writer<'_>,
    ) {
        if !self.by.access.admits(&announce.info_hash) {
            self.by.tally.count(Count::Denied);
            return out.refuse(transaction, REFUSAL);
        }
        if self.by.routes.is_mine(&announce.info_hash) {
            let visit = Visit { ip, who: who.as_ref(), announce: &announce };
            put_announced(transaction, visit, self.by.desk, out);
        } else {
            let owner = self.by.routes.owner(&announce.info_hash);
            self.hand_on(owner, Errand::Announce { ip, who, announce, back: self.back(transaction) });
        }
    }

    fn refuse_stranger(&mut self, transaction: u32, reason: &str, out: &mut Writer<'_>) {
        self.by.tally.count(Count::NotAMember);
        out.refuse(transaction, reason);
    }

    fn back(&self, transaction: u32) -> Back {
        Back::Datagram { door: self.by.door, to: self.from, transaction }
    }

    /// A queue that is full drops it, as any router may; the client asks again.
    fn hand_on(&mut self, owner: usize, errand: Errand) {
        if self.by.routes.send(owner, errand).is_err() {
            self.by.tally.count(Count::Busy);
        }
    }
}

/// Answers an announce that another worker handed on.
pub(crate) fn announce(
    socket: &UdpSocket,
    to: SocketAddr,
    transaction: u32,
    visit: Visit<'_>,
    desk: &mut Desk,
) {
    let mut place = [0; ANSWER_LEN_MAX];
    let mut out = Writer { place: &mut place, len: 0 };
    put_announced(transaction, visit, desk, &mut out);
    out.send(socket, to);
}

/// Answers a scrape whose rows are complete.
pub(crate) fn scraped(socket: &UdpSocket, to: SocketAddr, transaction: u32, rows: &[ScrapeRow]) {
    let mut place = [0; ANSWER_LEN_MAX];
    let mut out = Writer { place: &mut place, len: 0 };
    out.put(&scrape_reply(transaction));
    rows.iter().for_each(|(_, counts)| out.put(&scrape_row(counts.unwrap_or_default())));
    out.send(socket, to);
}

fn put_announced(transaction: u32, visit: Visit<'_>, desk: &mut Desk, out: &mut Writer<'_>) {
    let Visit { ip, who, announce } = visit;
    let (standing, peers) = match desk.announce(Over::Udp, ip, who, announce, peers_max(ip)) {
        Ok(served) => served,
        Err(reason) => return out.refuse(transaction, reason),
    };
    let interval = u32::try_from(standing.interval.as_secs()).unwrap_or(u32::MAX);
    let counts = standing.counts;
    out.put(&announce_reply(transaction, interval, counts.incomplete, counts.complete));
    out.put(peers.as_bytes());
}

fn peers_max(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { PEERS_MAX_V4 } else { PEERS_MAX_V6 }
}

/// A visit as it came, and who made it.
#[derive(Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) ip: IpAddr,
    /// A member, on a private tracker.
    pub(crate) who: Option<&'a Member>,
    pub(crate) announce: &'a AnnounceRequest,
}

/// Where an answer is written.
struct Writer<'a> {
    place: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    /// Appends all of it, or nothing where there is no room; there is, for every answer that is made here.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if let Some(place) = self.place.get_mut(self.len..end) {
            place.copy_from_slice(bytes);
            self.len = end;
        }
    }

    /// An error, to somebody who has shown that it is where it says.
    fn refuse(&mut self, transaction: u32, reason: &str) {
        self.put(&error_reply(transaction));
        self.put(reason.as_bytes());
    }

    /// A full buffer drops it.
    fn send(&self, socket: &UdpSocket, to: SocketAddr) {
        let _ = socket.send_to(self.place.get(..self.len).unwrap_or_default(), to);
    }
}

//! Announces and scrapes in datagrams, a batch at a time: received by one call of the kernel, each answered where it lies, and the answers
//! sent by one call. Nothing is remembered or allocated per asker.
//!
//! Invariants: whoever has not shown a connection id is sent 16 bytes for 16, or nothing (E6); every datagram that was received is
//! answered before the next batch, so that a queue can be in the kernel alone, where it is bounded (E10). BEP: 15, 41

use crate::connection_id::ConnectionIds;
use crate::desk::Desk;
use mio::net::UdpSocket;
use os::datagrams::{EXCHANGE_MAX, Exchange};
use std::net::{IpAddr, SocketAddr};
use wire::tracker_udp::question::{Question, announce_reply, connect_reply, scrape_reply, scrape_row};

/// No question is longer: 98 bytes, and BEP 41's options within one Ethernet frame.
const QUESTION_LEN_MAX: usize = 1500;

/// Peers in one answer, so that it fits a datagram that no path breaks up (1,280 bytes): 6 bytes each, or 18.
const PEERS_MAX_V4: u32 = 200;
const PEERS_MAX_V6: u32 = 66;

/// The longest answer: to a scrape of 74, 8 + 74 * 12 bytes; with all peers, 20 + 200 * 6, or 20 + 66 * 18.
const ANSWER_LEN_MAX: usize = 1220;

/// Batches answered before others get their turn.
const BATCHES_MAX: usize = 8;

/// Everything about datagrams that a worker owns besides their sockets.
pub(crate) struct Datagrams {
    exchange: Exchange,
    ids: ConnectionIds,
}

impl Datagrams {
    /// Nobody has asked yet.
    pub(crate) fn new() -> Datagrams {
        Datagrams { exchange: Exchange::new(QUESTION_LEN_MAX, ANSWER_LEN_MAX), ids: ConnectionIds::new() }
    }

    /// Answers what has come. Says whether more may be waiting.
    pub(crate) fn serve(&mut self, socket: &UdpSocket, desk: &mut Desk) -> bool {
        let mut full = false;
        for _ in 0..BATCHES_MAX {
            full = false;
            let came = match self.exchange.receive(socket) {
                Ok(came) => came,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                // What ICMP reports about an earlier answer concerns nobody any more.
                Err(_) => continue,
            };
            // One look at the clock does for all: they have waited for one another anyway.
            let minute = os::clock::since_boot().as_secs() / 60;
            for number in 0..came {
                if let Some((from, question, place)) = self.exchange.question(number) {
                    let len = answer(question, from, &self.ids, minute, desk, place);
                    self.exchange.answer(number, len);
                }
            }
            self.exchange.send(socket);
            // The kernel had no more: it calls when something comes.
            full = came == EXCHANGE_MAX;
            if !full {
                break;
            }
        }
        full
    }
}

/// Writes the answer to a datagram, if it deserves one, and says how long it is.
fn answer(
    question: &[u8],
    from: SocketAddr,
    ids: &ConnectionIds,
    minute: u64,
    desk: &mut Desk,
    place: &mut [u8],
) -> usize {
    let ip = from.ip().to_canonical();
    let mut out = Writer { place, len: 0 };
    match Question::decode(question) {
        Ok(Question::Connect { transaction }) => {
            out.put(&connect_reply(transaction, ids.make(ip, minute)));
        }
        // Who shows no id of ours may be anybody behind a forged address: silence.
        Ok(Question::Announce { connection, .. } | Question::Scrape { connection, .. })
            if !ids.is_valid(connection, ip, minute) => {}
        Ok(Question::Announce { transaction, announce, .. }) => {
            let (standing, peers) = desk.announce(ip, &announce, peers_max(ip));
            let interval = u32::try_from(standing.interval.as_secs()).unwrap_or(u32::MAX);
            let counts = standing.counts;
            out.put(&announce_reply(transaction, interval, counts.incomplete, counts.complete));
            out.put(peers.as_bytes());
        }
        Ok(Question::Scrape { transaction, torrents, .. }) => {
            out.put(&scrape_reply(transaction));
            torrents.iter().for_each(|torrent| out.put(&scrape_row(desk.scrape(torrent))));
        }
        Err(_) => {}
    }
    out.len
}

fn peers_max(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { PEERS_MAX_V4 } else { PEERS_MAX_V6 }
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
}

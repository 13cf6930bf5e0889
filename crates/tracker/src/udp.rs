//! Announces and scrapes in datagrams. A connection id is a keyed number of the asker's address and the minute, so that
//! nothing is remembered per asker; it holds for one to two minutes. BEP: 15

use crate::desk::Desk;
use mio::net::UdpSocket;
use std::io::ErrorKind;
use std::net::SocketAddr;
use wire::tracker_udp::{Reply, Request};

/// No question is longer: 98 bytes, and BEP 41's options within one Ethernet frame.
const DATAGRAM_MAX: usize = 1500;

/// Datagrams answered before others get their turn.
const BATCH_MAX: usize = 256;

/// Peers in one answer, so that it fits a datagram that no path breaks up (1,280 bytes): 6 bytes each, or 18.
const PEERS_MAX_V4: u32 = 200;
const PEERS_MAX_V6: u32 = 66;

/// Answers what has come. Says whether more may be waiting.
pub(crate) fn serve(socket: &UdpSocket, desk: &mut Desk) -> bool {
    let mut datagram = [0; DATAGRAM_MAX];
    let mut out = Vec::new();
    for _ in 0..BATCH_MAX {
        let (len, from) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            // What ICMP reports about an earlier answer concerns nobody any more.
            Err(_) => continue,
        };
        if let Some(reply) = answer(&datagram[..len], from, desk) {
            out.clear();
            reply.encode(&mut out);
            // A full buffer drops it, as any router may; the client asks again.
            let _ = socket.send_to(&out, from);
        }
    }
    true
}

/// The answer to a datagram, if it deserves one.
fn answer(datagram: &[u8], from: SocketAddr, desk: &mut Desk) -> Option<Reply> {
    let ip = from.ip().to_canonical();
    let valid = |desk: &Desk, id: u64| {
        let minute = desk.minute();
        id == desk.token(ip, minute) || (minute > 0 && id == desk.token(ip, minute - 1))
    };
    match Request::decode(datagram).ok()? {
        Request::Connect { transaction } => {
            Some(Reply::Connect { transaction, connection: desk.token(ip, desk.minute()) })
        }
        // Who shows no id of ours may be anybody behind a forged address: silence.
        Request::Announce { connection, .. } | Request::Scrape { connection, .. }
            if !valid(desk, connection) =>
        {
            None
        }
        Request::Announce { transaction, announce, .. } => {
            let want_max = if ip.is_ipv4() { PEERS_MAX_V4 } else { PEERS_MAX_V6 };
            let answer = desk.announce(ip, &announce, want_max);
            Some(Reply::Announce {
                transaction,
                interval: u32::try_from(answer.interval.as_secs()).unwrap_or(u32::MAX),
                leechers: answer.counts.incomplete,
                seeders: answer.counts.complete,
                peers: answer.peers,
            })
        }
        Request::Scrape { transaction, torrents, .. } => {
            let counts = torrents.into_iter().map(|torrent| desk.scrape(torrent));
            Some(Reply::Scrape { transaction, counts: counts.collect() })
        }
    }
}

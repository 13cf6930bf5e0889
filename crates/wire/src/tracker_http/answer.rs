//! A tracker's answers as they are sent, appended to a buffer without making values first. [`super::Reply`] is the same as values to keep.
//!
//! Invariant: what is written is canonical bencode, keys in order. BEP: 3, 7, 23, 24, 48

use super::PeerFormat;
use crate::InfoHash;
use crate::compact::{self, Family};
use crate::tracker_udp::ScrapeCounts;
use core::net::IpAddr;

/// What an announce is told besides peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// Seconds until the next visit.
    pub interval: u32,
    /// Seconds before which not to come again.
    pub min_interval: u32,
    /// How many have everything.
    pub complete: u32,
    /// How many are downloading.
    pub incomplete: u32,
    /// The visitor's address (BEP 24).
    pub external_ip: IpAddr,
}

/// The answer to an announce, with packed peers of this family.
pub fn announced(told: &Told, family: Family, packed: &[u8], format: PeerFormat, out: &mut Vec<u8>) {
    out.push(b'd');
    entry("complete", told.complete, out);
    text("external ip", out);
    match told.external_ip {
        IpAddr::V4(ip) => bytes(&ip.octets(), out),
        IpAddr::V6(ip) => bytes(&ip.octets(), out),
    }
    entry("incomplete", told.incomplete, out);
    entry("interval", told.interval, out);
    entry("min interval", told.min_interval, out);
    text("peers", out);
    match (format, family) {
        (PeerFormat::Compact, Family::V4) => bytes(packed, out),
        (PeerFormat::Compact, Family::V6) => {
            bytes(&[], out);
            text("peers6", out);
            bytes(packed, out);
        }
        (PeerFormat::Dictionaries, _) => {
            out.push(b'l');
            for peer in compact::decode(packed, family) {
                out.push(b'd');
                text("ip", out);
                text(&peer.ip().to_string(), out);
                entry("port", peer.port().into(), out);
                out.push(b'e');
            }
            out.push(b'e');
        }
    }
    out.push(b'e');
}

/// The answer to a scrape: one row for each torrent, which come in ascending order, each once.
pub fn scraped(rows: impl Iterator<Item = (InfoHash, ScrapeCounts)>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"d5:filesd");
    for (torrent, ScrapeCounts { seeders, completed, leechers }) in rows {
        bytes(&torrent.0, out);
        out.push(b'd');
        entry("complete", seeders, out);
        entry("downloaded", completed, out);
        entry("incomplete", leechers, out);
        out.push(b'e');
    }
    out.extend_from_slice(b"ee");
}

/// A refusal.
pub fn refused(reason: &str, out: &mut Vec<u8>) {
    out.push(b'd');
    text("failure reason", out);
    text(reason, out);
    out.push(b'e');
}

fn entry(key: &str, value: u32, out: &mut Vec<u8>) {
    text(key, out);
    out.push(b'i');
    decimal(value.into(), out);
    out.push(b'e');
}

fn text(text: &str, out: &mut Vec<u8>) {
    bytes(text.as_bytes(), out);
}

fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    decimal(bytes.len() as u64, out);
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends a number in decimal digits.
pub fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    for place in digits.iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker_http::scrape::ScrapeReply;
    use crate::tracker_http::{Announced, Reply};

    #[test]
    fn what_is_appended_is_what_values_are_written_as() {
        for (peers, ip) in [
            (&["192.0.2.7:6881", "192.0.2.8:1"][..], "192.0.2.9"),
            (&["[2001:db8::7]:6881"], "2001:db8::9"),
            (&[], "192.0.2.9"),
        ] {
            let peers: Vec<core::net::SocketAddr> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
            let external_ip: IpAddr = ip.parse().unwrap();
            let told =
                Told { interval: 1800, min_interval: 0, complete: u32::MAX, incomplete: 12, external_ip };
            let mut packed = Vec::new();
            peers.iter().for_each(|peer| compact::encode(peer, &mut packed));
            let reply = Reply::Peers(Box::new(Announced {
                interval: 1800,
                min_interval: Some(0),
                peers,
                complete: Some(u32::MAX),
                incomplete: Some(12),
                external_ip: Some(external_ip),
                ..Announced::default()
            }));
            let family = if external_ip.is_ipv4() { Family::V4 } else { Family::V6 };
            for format in [PeerFormat::Compact, PeerFormat::Dictionaries] {
                let mut out = b"before".to_vec();
                announced(&told, family, &packed, format, &mut out);
                assert_eq!(out, [b"before", &reply.encode(format)[..]].concat());
            }
        }
        let row = |n| (InfoHash([n; 20]), ScrapeCounts { seeders: 1, completed: n.into(), leechers: 0 });
        for rows in [vec![], vec![row(1)], vec![row(1), row(9)]] {
            let mut out = Vec::new();
            scraped(rows.iter().copied(), &mut out);
            assert_eq!(out, ScrapeReply::Files(rows).encode());
        }
        let mut out = Vec::new();
        refused("no", &mut out);
        assert_eq!(out, Reply::Refused { reason: "no".into(), retry: None }.encode(PeerFormat::Compact));
    }

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 7, 10, 99, 100, u32::MAX.into(), u64::MAX] {
            let mut out = Vec::new();
            decimal(number, &mut out);
            assert_eq!(out, number.to_string().into_bytes());
        }
    }
}

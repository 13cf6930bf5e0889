//! Answers of HTTP trackers: bounded, dialable, and what was understood survives being written and read.

use wire::announce::{PEERS_MAX, TEXT_LEN_MAX};
use wire::tracker_http::scrape::{SCRAPE_FILES_MAX, ScrapeReply};
use wire::tracker_http::{PeerFormat, Reply};

/// One input.
pub fn run(data: &[u8]) {
    scrape(data);
    let Ok(reply) = Reply::decode(data) else { return };
    match &reply {
        Reply::Peers(announced) => {
            assert!(announced.peers.len() <= PEERS_MAX);
            assert!(announced.peers.iter().all(|peer| peer.port() != 0));
            assert!(announced.tracker_id.as_ref().is_none_or(|id| id.len() <= TEXT_LEN_MAX));
            short(announced.warning.as_deref());
        }
        Reply::Refused { reason, .. } => short(Some(reason)),
    }
    for format in [PeerFormat::Compact, PeerFormat::Dictionaries] {
        let again = Reply::decode(&reply.encode(format)).expect("our own writing is read");
        match (&again, &reply) {
            (Reply::Peers(again), Reply::Peers(first)) => {
                // Packed peers come back with IPv4 in front.
                let sorted = |peers: &[_]| {
                    let mut peers = peers.to_vec();
                    peers.sort();
                    peers
                };
                assert_eq!(sorted(&again.peers), sorted(&first.peers));
                let rest = |announced: &wire::tracker_http::Announced| {
                    let announced = announced.clone();
                    (announced.interval, announced.min_interval, announced.complete, announced.external_ip)
                };
                assert_eq!(rest(again), rest(first));
            }
            (Reply::Refused { retry: again, .. }, Reply::Refused { retry: first, .. }) => {
                assert_eq!(again, first)
            }
            (Reply::Peers(_), Reply::Refused { .. }) | (Reply::Refused { .. }, Reply::Peers(_)) => {
                panic!("{reply:?} became {again:?}")
            }
        }
    }
}

/// A scrape has a bounded number of rows, and those survive being written and read.
fn scrape(data: &[u8]) {
    let Ok(read) = ScrapeReply::decode(data) else { return };
    let again = ScrapeReply::decode(&read.encode()).expect("our own writing is read");
    let (ScrapeReply::Files(rows), ScrapeReply::Files(written)) = (&read, &again) else { return };
    assert!(rows.len() <= SCRAPE_FILES_MAX);
    // Of a torrent that is named twice one row is left.
    assert!(written.iter().all(|row| rows.contains(row)));
}

/// A stranger's text was cut; what is no UTF-8 in it was replaced, by up to three bytes for one.
fn short(text: Option<&str>) {
    assert!(text.is_none_or(|text| text.len() <= 3 * TEXT_LEN_MAX));
}

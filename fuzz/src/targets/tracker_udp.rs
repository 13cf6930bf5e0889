//! Datagrams of UDP trackers, both roles: bounded, and written as they were read but for what is left out in reading.

use wire::announce::PEERS_MAX;
use wire::compact::Family;
use wire::tracker_udp::{Reply, Request, SCRAPE_MAX, URL_DATA_MAX};

/// One input: a datagram, read as a tracker and as a client over IPv4 and IPv6.
pub fn run(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        match &request {
            Request::Connect { .. } => {}
            Request::Announce { url_data, .. } => assert!(url_data.len() <= URL_DATA_MAX),
            Request::Scrape { torrents, .. } => assert!((1..=SCRAPE_MAX).contains(&torrents.len())),
        }
        let mut written = Vec::new();
        request.encode(&mut written);
        assert_eq!(Request::decode(&written), Ok(request));
    }
    for family in [Family::V4, Family::V6] {
        let Ok(reply) = Reply::decode(data, family) else { continue };
        let mut written = Vec::new();
        reply.encode(&mut written);
        match &reply {
            Reply::Announce { peers, .. } => {
                assert!(peers.len() <= PEERS_MAX && peers.iter().all(|peer| peer.port() != 0));
                // An IPv4 address in IPv6 dress is written as what it is, which a reply over IPv6 has no place for.
                if peers.iter().any(|peer| Family::of(peer) != family) {
                    continue;
                }
            }
            Reply::Error { .. } => continue,
            Reply::Connect { .. } | Reply::Scrape { .. } => {}
        }
        assert_eq!(Reply::decode(&written, family), Ok(reply));
    }
}

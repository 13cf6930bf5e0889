//! Datagrams of UDP trackers, both roles: bounded, written as they were read but for what is left out in reading, and the same whether they
//! are read as values or where they lie.

use wire::announce::PEERS_MAX;
use wire::compact::Family;
use wire::passkey;
use wire::tracker_udp::question::Question;
use wire::tracker_udp::{DatagramError, Reply, Request, SCRAPE_MAX, URL_DATA_MAX};

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
    read_in_place(data);
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

/// URL data that is no text is refused as a value alone: whoever reads it where it lies finds no passkey there.
fn read_in_place(data: &[u8]) {
    match (Question::decode(data), Request::decode(data)) {
        (Ok(Question::Connect { transaction: ours }), Ok(Request::Connect { transaction })) => {
            assert_eq!(ours, transaction);
        }
        (
            Ok(Question::Announce { announce: ours, url_data: parts, .. }),
            Ok(Request::Announce { announce, url_data, .. }),
        ) => {
            assert_eq!(ours, announce);
            assert_eq!(parts.parts().collect::<Vec<_>>().concat(), url_data.as_bytes());
            assert_eq!(parts.joined(&mut [0; URL_DATA_MAX]), url_data.as_bytes());
            if let Some(passkey) = passkey::in_url_data(url_data.as_bytes()) {
                assert!(url_data.contains(passkey.reveal()));
            }
        }
        (Ok(Question::Scrape { torrents: ours, .. }), Ok(Request::Scrape { torrents, .. })) => {
            assert!(ours.iter().eq(torrents));
        }
        (Ok(Question::Announce { url_data, .. }), Err(DatagramError::Options)) => {
            let data = url_data.parts().collect::<Vec<_>>().concat();
            assert!(data.len() <= URL_DATA_MAX && core::str::from_utf8(&data).is_err());
            assert_eq!(url_data.joined(&mut [0; URL_DATA_MAX]), data);
            assert_eq!(passkey::in_url_data(&data), None);
        }
        (Err(ours), Err(theirs)) => assert_eq!(ours, theirs),
        (ours, theirs) => panic!("{ours:?}, but {theirs:?}"),
    }
}

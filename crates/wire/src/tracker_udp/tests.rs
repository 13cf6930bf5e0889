//! UDP tracker datagrams: both ways, every size.

use super::*;

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
        port: 6881,
        uploaded: 3,
        downloaded: 1 << 40,
        left: u64::MAX,
        event: AnnounceEvent::Completed,
        want: None,
        key: Some(0xdead_beef),
    }
}

fn announce_request(url_data: &str) -> Request {
    Request::Announce { connection: 7, transaction: 8, announce: announce(), url_data: url_data.into() }
}

fn requests() -> Vec<Request> {
    vec![
        Request::Connect { transaction: 0xffff_ffff },
        announce_request(""),
        announce_request("/announce?passkey=abc"),
        announce_request(&"/x".repeat(400)),
        Request::Scrape { connection: 1, transaction: 2, torrents: vec![InfoHash([9; 20]); SCRAPE_MAX] },
    ]
}

fn replies() -> Vec<(Family, Reply)> {
    let announce = |peers: &[&str]| Reply::Announce {
        transaction: 1,
        interval: 1800,
        leechers: 3,
        seeders: i32::MAX as u32,
        peers: peers.iter().map(|peer| peer.parse().unwrap()).collect(),
    };
    let counts = vec![ScrapeCounts { seeders: 1, completed: 2, leechers: 3 }; 5];
    vec![
        (Family::V4, Reply::Connect { transaction: 5, connection: u64::MAX }),
        (Family::V4, announce(&["1.2.3.4:5", "6.7.8.9:10"])),
        (Family::V6, announce(&["[2001:db8::1]:5"])),
        (Family::V6, announce(&[])),
        (Family::V4, Reply::Scrape { transaction: 1, counts }),
        (Family::V4, Reply::Error { transaction: 9, reason: "no such torrent".into() }),
    ]
}

fn bytes(encode: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

#[test]
fn requests_and_replies_survive_the_wire() {
    for request in requests() {
        assert_eq!(Request::decode(&bytes(|out| request.encode(out))), Ok(request));
    }
    for (family, reply) in replies() {
        assert_eq!(Reply::decode(&bytes(|out| reply.encode(out)), family), Ok(reply));
    }
}

#[test]
fn the_bytes_are_those_of_bep_15_and_41() {
    let connect = bytes(|out| Request::Connect { transaction: 0x0102_0304 }.encode(out));
    assert_eq!(connect, [0, 0, 4, 23, 39, 16, 25, 128, 0, 0, 0, 0, 1, 2, 3, 4]);
    let announce = bytes(|out| announce_request("/dir?a=b").encode(out));
    assert_eq!(announce[..16], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 8]);
    assert_eq!(announce[56..64], (1u64 << 40).to_be_bytes(), "downloaded comes first");
    assert_eq!(announce[80..98], *b"\0\0\0\x01\0\0\0\0\xde\xad\xbe\xef\xff\xff\xff\xff\x1a\xe1");
    assert_eq!(announce[98..], *b"\x02\x08/dir?a=b");
}

#[test]
fn a_datagram_cut_anywhere_or_with_a_byte_too_many_is_refused() {
    for (family, reply) in replies() {
        let whole = bytes(|out| reply.encode(out));
        let row = match reply {
            // Any length is a text, and any number of whole rows is a reply.
            Reply::Error { .. } => continue,
            Reply::Announce { .. } => family.packed_len(),
            Reply::Scrape { .. } => 12,
            Reply::Connect { .. } => whole.len(),
        };
        for len in (0..whole.len()).filter(|len| (whole.len() - len) % row != 0) {
            assert_eq!(Reply::decode(&whole[..len], family), Err(DatagramError::WrongLen), "{reply:?} {len}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Reply::decode(&longer, family), Err(DatagramError::WrongLen), "{reply:?}");
    }
    let whole = bytes(|out| announce_request("").encode(out));
    for len in 0..whole.len() {
        assert_eq!(Request::decode(&whole[..len]), Err(DatagramError::WrongLen), "{len}");
    }
}

#[test]
fn options_that_nobody_knows_are_skipped_and_the_end_ends_them() {
    let mut datagram = bytes(|out| announce_request("/a").encode(out));
    datagram.extend(b"\x01\x09\x03xyz\x02\x02?b\x00\x02\xff");
    assert_eq!(Request::decode(&datagram), Ok(announce_request("/a?b")));
}

#[test]
fn options_that_do_not_add_up_are_refused() {
    let whole = bytes(|out| announce_request("").encode(out));
    for options in [&b"\x02"[..], b"\x02\x02a", b"\x02\x01\xff", b"\x77\x05"] {
        let datagram = [&whole[..], options].concat();
        assert_eq!(Request::decode(&datagram), Err(DatagramError::Options), "{options:?}");
    }
    let endless = [&whole[..], &b"\x02\xffx".repeat(3)[..], &[b'x'; 2000]].concat();
    assert_eq!(Request::decode(&endless), Err(DatagramError::Options));
}

#[test]
fn a_connect_without_the_number_of_the_protocol_is_refused() {
    let mut datagram = bytes(|out| Request::Connect { transaction: 1 }.encode(out));
    datagram[0] = 1;
    assert_eq!(Request::decode(&datagram), Err(DatagramError::NotTheProtocol));
}

#[test]
fn an_unknown_action_is_named() {
    assert_eq!(Reply::decode(&[0, 0, 0, 4, 0, 0, 0, 0], Family::V4), Err(DatagramError::UnknownAction(4)));
}

#[test]
fn counts_below_zero_mean_nothing_and_a_long_text_is_cut() {
    let mut datagram = 1u32.to_be_bytes().to_vec();
    datagram.extend([0; 4]);
    datagram.extend([0xff; 12]);
    let reply = Reply::Announce { transaction: 0, interval: 0, leechers: 0, seeders: 0, peers: Vec::new() };
    assert_eq!(Reply::decode(&datagram, Family::V4), Ok(reply));
    let error = Reply::Error { transaction: 0, reason: "x".repeat(5000).into() };
    let Ok(Reply::Error { reason, .. }) = Reply::decode(&bytes(|out| error.encode(out)), Family::V4) else {
        panic!("an error is an error")
    };
    assert_eq!(reason.len(), 1024);
}

#[test]
fn a_glance_sees_torrent_and_port_of_an_announce_and_nothing_in_anything_else() {
    let announce = announce_request("/a");
    let whole = bytes(|out| announce.encode(out));
    let Request::Announce { announce, .. } = announce else { panic!("an announce") };
    assert_eq!(question::glance(&whole), Some((announce.info_hash, announce.port)));
    assert_eq!(question::glance(&whole[..97]), None);
    let mut other = whole.clone();
    other[11] = 2;
    assert_eq!(question::glance(&other), None);
    assert_eq!(question::glance(&bytes(|out| Request::Connect { transaction: 1 }.encode(out))), None);
}

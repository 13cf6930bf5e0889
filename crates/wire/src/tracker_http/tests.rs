//! HTTP tracker queries and replies by example.

use super::query::{AnnounceQuery, QueryError, UrlError, announce_url};
use super::*;
use crate::announce::{AnnounceEvent, AnnounceRequest};
use crate::bencode::BencodeFault;
use crate::{InfoHash, PeerId};

fn request() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash(*b"\x00\x01 %+&=azAZ09-._~\xff\xfe\x80"),
        peer_id: PeerId(*b"-GN0001-abcdefghijkl"),
        port: 6881,
        uploaded: 1,
        downloaded: u64::MAX,
        left: 3,
        event: AnnounceEvent::Started,
        want: Some(50),
        key: Some(0xbeef),
    }
}

fn decode(body: &[u8]) -> Reply {
    Reply::decode(body).unwrap()
}

fn peers(body: &[u8]) -> Vec<String> {
    match decode(body) {
        Reply::Peers(announced) => announced.peers.iter().map(ToString::to_string).collect(),
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn the_trackers_own_query_and_passkey_are_kept() {
    for (url, start) in [
        ("http://t/announce", "http://t/announce?info_hash="),
        ("http://t/p4s5/announce", "http://t/p4s5/announce?info_hash="),
        ("http://t/announce?passkey=a%20b", "http://t/announce?passkey=a%20b&info_hash="),
        ("http://t/announce?", "http://t/announce?info_hash="),
        ("http://t/announce?x=1&", "http://t/announce?x=1&info_hash="),
        ("http://t/announce?x=1#here", "http://t/announce?x=1&info_hash="),
        ("http://[::1]:80/announce.php?a", "http://[::1]:80/announce.php?a&info_hash="),
    ] {
        let built = announce_url(url, &request(), None).unwrap();
        assert!(built.starts_with(start), "{built}");
    }
}

#[test]
fn the_query_is_what_trackers_read() {
    let url = announce_url("http://t/a", &request(), Some("id&1")).unwrap();
    assert_eq!(
        url,
        "http://t/a?info_hash=%00%01%20%25%2B%26%3DazAZ09-._~%FF%FE%80&peer_id=-GN0001-abcdefghijkl&port=6881\
         &uploaded=1&downloaded=18446744073709551615&left=3&compact=1&event=started&numwant=50&key=0000beef\
         &trackerid=id%261"
    );
    let query = AnnounceQuery::decode(url.split_once('?').unwrap().1);
    let read = AnnounceQuery { announce: request(), compact: true, tracker_id: Some("id&1".into()) };
    assert_eq!(query, Ok(read));
}

#[test]
fn a_url_that_says_what_only_clients_say_is_refused() {
    for (url, error) in [
        ("http://t/a?info_hash=x", UrlError::Preset("info_hash")),
        ("http://t/a?x=1&port=22", UrlError::Preset("port")),
        ("http://t/a?%70ort=22", UrlError::Preset("port")),
        ("http://t/a#&left=0", UrlError::Preset("left")),
        ("http://t/a b", UrlError::BadCharacter(' ')),
        ("http://t/a\r\nHost: x", UrlError::BadCharacter('\r')),
        ("http://t/ä", UrlError::BadCharacter('ä')),
        (&"x".repeat(3000), UrlError::TooLong),
    ] {
        assert_eq!(announce_url(url, &request(), None), Err(error), "{url}");
    }
}

#[test]
fn a_query_without_its_musts_names_what_is_wrong() {
    let good = "info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1";
    let query = AnnounceQuery::decode(good).unwrap();
    assert_eq!((query.announce.want, query.announce.key, query.compact), (None, None, true));
    for (query, error) in [
        ("", QueryError::Bad("info_hash")),
        ("info_hash=aaaaaaaaaaaaaaaaaaa&port=1", QueryError::Bad("info_hash")),
        ("info_hash=aaaaaaaaaaaaaaaaaaaa&port=1", QueryError::Bad("peer_id")),
        (&good.replace("port=1", "port=0"), QueryError::Bad("port")),
        (&good.replace("port=1", "port=65536"), QueryError::Bad("port")),
        (&good.replace("port=1", "port=%"), QueryError::BadEscape),
        (&good.replace("port=1", "port=%zz"), QueryError::BadEscape),
        (&good.repeat(200), QueryError::TooLong),
    ] {
        assert_eq!(AnnounceQuery::decode(query), Err(error), "{query}");
    }
}

#[test]
fn replies_survive_the_wire_in_both_formats() {
    let full = Announced {
        interval: 900,
        min_interval: Some(60),
        peers: ["1.2.3.4:5", "[2001:db8::1]:6"].map(|peer| peer.parse().unwrap()).to_vec(),
        complete: Some(7),
        incomplete: Some(0),
        tracker_id: Some("abc".into()),
        external_ip: Some([9, 8, 7, 6].into()),
        warning: Some("mind".into()),
    };
    let refused = |retry| Reply::Refused { reason: "unregistered torrent".into(), retry };
    for reply in [
        Reply::Peers(Box::new(full)),
        Reply::Peers(Box::default()),
        refused(None),
        refused(Some(Retry::Never)),
        refused(Some(Retry::Minutes(5))),
    ] {
        for format in [PeerFormat::Compact, PeerFormat::Dictionaries] {
            assert_eq!(Reply::decode(&reply.encode(format)), Ok(reply.clone()), "{format:?}");
        }
    }
}

#[test]
fn peers_come_packed_as_dictionaries_or_both_at_once() {
    assert_eq!(peers(b"d5:peers6:\x01\x02\x03\x04\x00\x05e"), ["1.2.3.4:5"]);
    assert_eq!(peers(b"d5:peers8:\x01\x02\x03\x04\x00\x05\x01\x02e"), ["1.2.3.4:5"]);
    let dictionaries = b"d5:peersld2:ip7:1.2.3.44:porti5eed2:ip3:::17:peer id1:x4:porti6eeee";
    assert_eq!(peers(dictionaries), ["1.2.3.4:5", "[::1]:6"]);
    let both =
        b"d5:peersld2:ip7:1.2.3.44:porti5eee6:peers618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\x07e";
    assert_eq!(peers(both), ["1.2.3.4:5", "[2001:db8::1]:7"]);
}

#[test]
fn a_peer_without_a_usable_address_is_left_out() {
    for peer in [
        "d2:ip7:1.2.3.44:porti0ee",
        "d2:ip7:1.2.3.44:porti65536ee",
        "d2:ip7:1.2.3.44:porti-1ee",
        "d2:ip7:1.2.3.4e",
        "d4:porti1ee",
        "d2:ip9:localhost4:porti1ee",
        "d2:ip3:1.24:porti1ee",
        "i1e",
        "le",
    ] {
        assert_eq!(peers(format!("d5:peersl{peer}ee").as_bytes()), [""; 0], "{peer}");
    }
}

#[test]
fn no_reply_holds_more_peers_than_the_limit() {
    let packed = [1; 6].repeat(PEERS_MAX + 10);
    let body = bencode::dict([("peers", bencode::bytes(&packed)), ("peers6", bencode::bytes([1; 18]))]);
    assert_eq!(peers(body.as_bytes()).len(), PEERS_MAX);
}

#[test]
fn what_is_odd_but_meant_well_is_read() {
    for (body, interval) in [
        ("d8:intervali60e5:peers0:e", 60),
        ("d8:intervali60e5:peers0:e\r\n", 60),
        ("d5:peers0:8:intervali60ee", 60),
        ("d8:intervali-1e5:peerslee", INTERVAL_DEFAULT),
        ("d8:interval2:605:peers0:e", INTERVAL_DEFAULT),
        ("d5:peersi0ee", INTERVAL_DEFAULT),
    ] {
        let Reply::Peers(announced) = decode(body.as_bytes()) else { panic!("{body}") };
        assert_eq!(announced.interval, interval, "{body}");
    }
}

#[test]
fn a_refusal_wins_over_peers_and_says_when_to_come_again() {
    let refused = |retry| Reply::Refused { reason: "no".into(), retry };
    assert_eq!(decode(b"d14:failure reason2:no5:peers0:e"), refused(None));
    assert_eq!(decode(b"d14:failure reason2:no8:retry in5:nevere"), refused(Some(Retry::Never)));
    assert_eq!(decode(b"d14:failure reason2:no8:retry ini9ee"), refused(Some(Retry::Minutes(9))));
    assert_eq!(decode(b"d14:failure reason2:no8:retry in1:9e"), refused(Some(Retry::Minutes(9))));
    assert_eq!(decode(b"d14:failure reason2:no8:retry in4:soone"), refused(None));
}

#[test]
fn what_is_no_reply_names_its_fault() {
    let fault = |body: &[u8]| match Reply::decode(body) {
        Err(ReplyError::Bencode(error)) => error.fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(b"<html>"), BencodeFault::NotAValue(b'<'));
    assert_eq!(fault(b""), BencodeFault::Truncated);
    assert_eq!(fault(&b"l".repeat(9)), BencodeFault::TooDeep);
    assert_eq!(fault(&vec![b' '; (1 << 20) + 1]), BencodeFault::TooLong);
    for body in ["de", "le", "i1e", "d5:helloi1ee"] {
        assert_eq!(Reply::decode(body.as_bytes()), Err(ReplyError::NotAReply), "{body}");
    }
}

//! A tracker on loopback, visited as clients visit it, and as nobody should.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;
use tracker::{Config, HttpRules, Listen, StartError, Tracker};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::compact::Family;
use wire::tracker_http::query::announce_url;
use wire::tracker_http::scrape::ScrapeReply;
use wire::tracker_http::{Announced, Reply};
use wire::tracker_udp;
use wire::{InfoHash, PeerId};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn tracker(ip: IpAddr) -> Tracker {
    let listen = vec![Listen::all(SocketAddr::new(ip, 0))];
    Tracker::start(Config { listen, ..Config::default() }).unwrap()
}

fn request(port: u16, left: u64, event: AnnounceEvent) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([b'x'; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event,
        want: None,
        key: None,
    }
}

/// Sends a request head as it stands; the status line and the body of the answer.
fn ask(at: SocketAddr, head: &str) -> (String, Vec<u8>) {
    let mut link = TcpStream::connect(at).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    link.write_all(head.as_bytes()).unwrap();
    // That is all we ask; what was asked is answered nevertheless.
    link.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    link.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&all).lines().next().unwrap().to_owned();
    (status, all[end + 4..].to_vec())
}

fn announce(at: SocketAddr, request: &AnnounceRequest) -> Announced {
    let url = announce_url(&format!("http://{at}/announce"), request, None).unwrap();
    let target = url.strip_prefix(&format!("http://{at}")).unwrap();
    let (status, body) = ask(at, &format!("GET {target} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    assert_eq!(status, "HTTP/1.1 200 OK");
    match Reply::decode(&body).unwrap() {
        Reply::Peers(announced) => *announced,
        Reply::Refused { reason, .. } => panic!("{reason}"),
    }
}

#[test]
fn visitors_over_http_find_each_other_until_one_leaves() {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let tracker = tracker(ip);
        let at = tracker.http_addr().unwrap();
        let first = announce(at, &request(1001, 0, AnnounceEvent::Started));
        assert_eq!((first.peers, first.complete, first.incomplete), (vec![], Some(1), Some(0)));
        assert_eq!(first.external_ip, Some(ip));
        let second = announce(at, &request(1002, 5, AnnounceEvent::Started));
        assert_eq!(second.peers, [SocketAddr::new(ip, 1001)]);
        announce(at, &request(1001, 0, AnnounceEvent::Stopped));
        let third = announce(at, &request(1002, 5, AnnounceEvent::None));
        assert_eq!((third.peers, third.complete, third.incomplete), (vec![], Some(0), Some(1)));
        assert_eq!(tracker.figures().announces, 4);
    }
}

#[test]
fn a_scrape_counts_the_swarms_that_it_names() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let at = tracker.http_addr().unwrap();
    announce(at, &request(1001, 0, AnnounceEvent::Started));
    announce(at, &request(1002, 5, AnnounceEvent::Started));
    announce(at, &request(1002, 0, AnnounceEvent::Completed));
    let of = |byte: &str| format!("info_hash={}", byte.repeat(20));
    let scrape = |query: &str| {
        let (status, body) = ask(at, &format!("GET /scrape?{query} HTTP/1.1\r\n\r\n"));
        assert_eq!(status, "HTTP/1.1 200 OK");
        ScrapeReply::decode(&body).unwrap()
    };
    let said = scrape(&format!("{}&{}&{}", of("%07"), of("%01"), of("%07")));
    let row = said.of(InfoHash([7; 20])).unwrap();
    assert_eq!((row.seeders, row.completed, row.leechers), (2, 1, 0));
    assert_eq!(said.of(InfoHash([1; 20])).map(|row| row.seeders), Some(0));
    let too_many = vec![of("a"); 75].join("&");
    for query in ["", "info_hash=short", "info_hash=%z", &too_many] {
        assert!(matches!(scrape(query), ScrapeReply::Refused(_)), "{query}");
    }
}

#[test]
fn what_is_no_announce_is_told_why() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let at = tracker.http_addr().unwrap();
    let long = format!("GET /announce?{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    for (head, status, words) in [
        ("GET /announce HTTP/1.1\r\n\r\n", "200 OK", "`info_hash` is missing"),
        ("GET /announce?info_hash=%zz HTTP/1.1\r\n\r\n", "200 OK", "bad percent escape"),
        ("GET /else HTTP/1.1\r\n\r\n", "404 Not Found", "this is a tracker"),
        ("POST /announce HTTP/1.1\r\n\r\n", "405 Method Not Allowed", "this is a tracker"),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "413 Content Too Large", "no body"),
        ("\r\n\r\n", "400 Bad Request", "this is a tracker"),
        ("GET /announce HTTP/9.9\r\n\r\n", "400 Bad Request", "this is a tracker"),
        ("GET  /announce HTTP/1.1\r\n\r\n", "400 Bad Request", "this is a tracker"),
    ] {
        let (said, body) = ask(at, head);
        assert_eq!(said, format!("HTTP/1.1 {status}"), "{head:?}");
        match Reply::decode(&body).unwrap() {
            Reply::Refused { reason, .. } => assert!(reason.contains(words), "{head:?}: {reason}"),
            Reply::Peers(_) => panic!("{head:?}"),
        }
    }
    // What was sent beyond the limit may turn the answer into a reset: it is cut off either way.
    let mut link = TcpStream::connect(at).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = link.write_all(long.as_bytes());
    let mut said = Vec::new();
    let read = link.read_to_end(&mut said);
    assert!(read.is_err() || said.starts_with(b"HTTP/1.1 431"), "{said:?}");
}

#[test]
fn a_question_may_come_byte_by_byte() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let mut link = TcpStream::connect(tracker.http_addr().unwrap()).unwrap();
    link.set_nodelay(true).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    for byte in b"GET /nowhere HTTP/1.0\r\n\r\n" {
        link.write_all(&[*byte]).unwrap();
    }
    let mut said = String::new();
    link.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    assert!(said.contains("Connection: close"), "{said}");
}

#[test]
fn silent_visitors_keep_nobody_out() {
    // More than there is room for; both ends of each are this process's.
    const SILENT: usize = 300;
    const ROOM: usize = 100;
    let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
    let http = HttpRules { connections_max: ROOM, ..HttpRules::default() };
    let tracker = Tracker::start(Config { listen, http, ..Config::default() }).unwrap();
    let at = tracker.http_addr().unwrap();
    let descriptors = os::limits::raise_open_files();
    assert!(descriptors > 3 * SILENT as u64, "this test needs more than {descriptors} descriptors");
    let mut silent: Vec<TcpStream> = (0..SILENT).map(|_| TcpStream::connect(at).unwrap()).collect();
    announce(at, &request(1001, 1, AnnounceEvent::Started));
    announce(at, &request(1002, 1, AnnounceEvent::Started));
    assert_eq!(tracker.figures().peers, 2);
    // As many as there is no room for have given way, but for the two that were answered.
    silent.iter().for_each(|link| link.set_nonblocking(true).unwrap());
    let gone =
        silent.iter_mut().map(|link| matches!(link.read(&mut [0]), Ok(0))).filter(|gone| *gone).count();
    assert!((SILENT - ROOM..=SILENT - ROOM + 2).contains(&gone), "{gone}");
}

#[test]
fn visitors_over_udp_must_show_the_id_that_they_were_given() {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let tracker = tracker(ip);
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.connect(tracker.udp_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let family = Family::of(&socket.local_addr().unwrap());
        let ask = |request: tracker_udp::Request| {
            let mut datagram = Vec::new();
            request.encode(&mut datagram);
            socket.send(&datagram).unwrap();
        };
        let hear = || {
            let mut datagram = [0; 2048];
            let len = socket.recv(&mut datagram).unwrap();
            tracker_udp::Reply::decode(&datagram[..len], family).unwrap()
        };
        ask(tracker_udp::Request::Connect { transaction: 1 });
        let tracker_udp::Reply::Connect { transaction: 1, connection } = hear() else { panic!() };
        let visit = |connection, transaction, port, left| tracker_udp::Request::Announce {
            connection,
            transaction,
            announce: request(port, left, AnnounceEvent::Started),
            url_data: "".into(),
        };
        // Answers come in order: had the forged ones been answered, their transactions would be heard first.
        ask(visit(connection ^ 1, 2, 1001, 0));
        ask(tracker_udp::Request::Scrape {
            connection: 0,
            transaction: 3,
            torrents: vec![InfoHash([7; 20])],
        });
        socket.send(b"nonsense").unwrap();
        ask(visit(connection, 4, 1002, 0));
        let tracker_udp::Reply::Announce { transaction: 4, seeders: 1, leechers: 0, peers, .. } = hear()
        else {
            panic!()
        };
        assert_eq!(peers, []);
        ask(visit(connection, 5, 1003, 9));
        let tracker_udp::Reply::Announce { transaction: 5, peers, .. } = hear() else { panic!() };
        assert_eq!(peers, [SocketAddr::new(ip, 1002)]);
        let torrents = vec![InfoHash([7; 20]), InfoHash([8; 20])];
        ask(tracker_udp::Request::Scrape { connection, transaction: 6, torrents });
        let tracker_udp::Reply::Scrape { transaction: 6, counts } = hear() else { panic!() };
        assert_eq!(
            counts.iter().map(|row| (row.seeders, row.leechers)).collect::<Vec<_>>(),
            [(1, 1), (0, 0)]
        );
    }
}

#[test]
fn who_has_shown_no_id_is_sent_no_more_bytes_than_it_sent() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(tracker.udp_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sent = 0;
    let mut ask = |datagram: &[u8]| sent += socket.send(datagram).unwrap();
    for connection in [0, 1, u64::MAX, 0x0417_2710_1980] {
        for action in 0..5u32 {
            for len in [0, 4, 15, 16, 17, 36, 98, 99, 1200, 1600] {
                let head = [&connection.to_be_bytes()[..], &action.to_be_bytes(), &[0; 4]].concat();
                let datagram: Vec<u8> = head.into_iter().chain([7; 1600]).take(len).collect();
                ask(&datagram);
            }
        }
    }
    // Answers come in order: behind this one there is none.
    let mut last = Vec::new();
    tracker_udp::Request::Connect { transaction: 7 }.encode(&mut last);
    ask(&last);
    let mut heard = 0;
    let mut answer = [0; 2048];
    while answer[4..8] != 7u32.to_be_bytes() {
        let len = socket.recv(&mut answer).unwrap();
        assert_eq!(len, 16, "only a connect is answered");
        heard += len;
    }
    assert_eq!(heard, 32, "the whole connect among them, and the last");
    assert!(heard <= sent);
    assert_eq!(tracker.figures().peers, 0);
}

#[test]
fn a_dropped_tracker_gives_its_port_back() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let at = tracker.http_addr().unwrap();
    announce(at, &request(1001, 0, AnnounceEvent::Started));
    let silent = TcpStream::connect(at).unwrap();
    drop(tracker);
    drop(silent);
    assert!(TcpStream::connect(at).is_err());
    // A test's own port may linger in TIME_WAIT: others are told of that with SO_REUSEADDR, which the listener sets.
    TcpListener::bind(at).unwrap();
}

#[test]
fn every_address_is_listened_at_for_every_protocol_under_one_port() {
    let ips = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let listen = ips.map(|ip| Listen::all(SocketAddr::new(ip, 0))).to_vec();
    let tracker = Tracker::start(Config { listen, ..Config::default() }).unwrap();
    let listening = tracker.listening().to_vec();
    assert_eq!(listening.iter().map(|listen| listen.at.ip()).collect::<Vec<_>>(), ips);
    for listen in &listening {
        announce(listen.at, &request(1001, 0, AnnounceEvent::Started));
        let socket = UdpSocket::bind(SocketAddr::new(listen.at.ip(), 0)).unwrap();
        socket.connect(listen.at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut datagram = Vec::new();
        tracker_udp::Request::Connect { transaction: 7 }.encode(&mut datagram);
        socket.send(&datagram).unwrap();
        assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 16);
    }
    let busy = Tracker::start(Config { listen: listening, ..Config::default() }).unwrap_err();
    let StartError::Listen(busy) = busy else { panic!("{busy:?}") };
    assert_eq!(busy.kind(), std::io::ErrorKind::AddrInUse);
}

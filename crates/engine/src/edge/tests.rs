//! The edge against servers of ours on loopback: honest ones, and ones that misbehave.

mod misbehaving;
mod spoofing;
pub(super) mod tls;

use super::*;
use crate::reply::Answer;
use flate2::Compression;
use flate2::write::GzEncoder;
use proto::output::{Announce, AnnounceEvent, Scrape};
use proto::{AnnounceId, TorrentId};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;
use wire::tracker_udp::{Reply, Request, ScrapeCounts};
use wire::{InfoHash, PeerId};

/// An edge, and what it tells.
fn edge() -> (Edge, Receiver<Announced>) {
    let (edge, told, _) = edge_that_counts();
    (edge, told)
}

/// What a tracker says when it is asked for counts.
type Counted = Result<ScrapeCounts, AnnounceFailure>;

/// An edge, what it tells of announces, and what of scrapes.
fn edge_that_counts() -> (Edge, Receiver<Announced>, Receiver<Counted>) {
    let ((tell, told), (count, counted)) = (channel(), channel());
    let tell = std::sync::Mutex::new((tell, count));
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let sends = Arc::clone(&socket);
    let edge = Edge::start(move |told| match told {
        Told::Announced(announced) => _ = tell.lock().unwrap().0.send(announced),
        Told::Scraped(_, counted) => _ = tell.lock().unwrap().1.send(counted),
        Told::Datagram { to, bytes } => _ = sends.send_to(&bytes, to),
        Told::Fetched(_) => {}
    })
    .unwrap();
    let heard = edge.heard.clone();
    let hear = move |came| {
        // What is too much is lost.
        let _ = heard.try_send(came);
        (!heard.is_closed()).then_some(())
    };
    std::thread::spawn(move || listen(&socket, hear));
    (edge, told, counted)
}

/// Hands what comes to `hear`, as the loop does, until that wants no more.
fn listen(socket: &UdpSocket, hear: impl Fn(Heard) -> Option<()>) {
    let mut buffer = vec![0; 65_535];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        if hear(Heard::Came(from, buffer[..len].into())).is_none() {
            return;
        }
    }
}

fn question(url: &str, sequence: u32) -> Question {
    let scrape = ScrapeId { torrent: TorrentId { slot: 0, generation: 0 }, sequence };
    Question { scrape: Scrape { scrape, tracker: 0, url: url.into() }, info_hash: InfoHash([0xab; 20]) }
}

fn count(url: &str) -> Counted {
    let (edge, _, counted) = edge_that_counts();
    edge.scrape(question(url, 1)).unwrap();
    counted.recv().unwrap()
}

fn visit(url: &str, sequence: u32, event: AnnounceEvent) -> Visit {
    let torrent = TorrentId { slot: 0, generation: 0 };
    let announce = AnnounceId { torrent, sequence };
    Visit {
        announce: Announce {
            announce,
            tracker: 0,
            url: url.into(),
            event,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            want: 50,
            key: 7,
            tracker_id: None,
        },
        info_hash: InfoHash([0xab; 20]),
        peer_id: PeerId(*b"-GN0100-abcdefghijkl"),
        port: 6881,
        ipv6: false,
    }
}

fn ask(url: &str) -> Result<AnnounceReply, AnnounceFailure> {
    let (edge, told) = edge();
    edge.announce(visit(url, 1, AnnounceEvent::Started)).unwrap();
    told.recv().unwrap().1
}

fn fetch(url: &str) -> Result<Vec<u8>, FetchError> {
    let (edge, _) = edge();
    let (answer, reply) = Answer::pair();
    edge.fetch(url.into(), answer);
    reply.wait().unwrap()
}

/// A server that answers each connection as `answer` says, given the request line. Ends with the test.
fn serve(answer: impl Fn(&str, SocketAddr) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = BufReader::new(socket.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                if socket.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                    break;
                }
                lines.push(line);
            }
            if let Some(first) = lines.first() {
                // A client that has heard enough closes; that is its right.
                let _ = socket.get_mut().write_all(&answer(first, address));
            }
        }
    });
    address
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

const PEERS: &[u8] =
    b"d5:filesd20:\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\xab\
d8:completei1eee8:intervali900e5:peers6:\x0a\x00\x00\x01\x1a\xe1e";

#[test]
fn an_http_tracker_hears_who_we_are_and_tells_who_is_there() {
    let (heard, hears) = channel();
    let server = serve(move |line, _| {
        heard.send(line.to_string()).unwrap();
        http("200 OK", PEERS)
    });
    let reply = ask(&format!("http://{server}/announce?passkey=1")).unwrap();
    assert_eq!(reply.peers, ["10.0.0.1:6881".parse().unwrap()]);
    assert_eq!(reply.interval, Duration::from_secs(900));
    let line = hears.recv().unwrap();
    let query = line.split(['?', ' ']).nth(2).unwrap();
    let parsed =
        wire::tracker_http::query::AnnounceQuery::decode(query.trim_start_matches("passkey=1&")).unwrap();
    assert_eq!(parsed.announce.info_hash, InfoHash([0xab; 20]));
    assert_eq!((parsed.announce.port, parsed.announce.left, parsed.announce.want), (6881, 3, Some(50)));
    assert_eq!(parsed.announce.event, AnnounceEvent::Started);
}

#[test]
fn a_redirect_is_followed_with_the_whole_question() {
    let server = serve(|line, address| {
        let path = line.split(' ').nth(1).unwrap();
        match path.strip_prefix("/announce?") {
            Some(query) => http(&format!("307 Moved\r\nLocation: http://{address}/announce2?{query}"), b""),
            None if path.starts_with("/announce2?info_hash=") => http("200 OK", PEERS),
            None => http("404 Not Found", b""),
        }
    });
    assert_eq!(ask(&format!("http://{server}/announce")).unwrap().peers.len(), 1);
}

#[test]
fn places_that_are_no_trackers_are_not_visited() {
    for (url, why) in [
        ("http://127.0.0.1:1/admin", "does not begin with /announce"),
        ("http://169.254.169.254/latest/meta-data", "metadata"),
        ("http://0.0.0.0:80/announce", "no host's"),
        ("ftp://127.0.0.1/announce", "scheme"),
        ("http://127.0.0.1:1/announce?info_hash=x", "already has `info_hash`"),
        ("announce", "relative URL"),
    ] {
        match ask(url) {
            Err(AnnounceFailure::Forbidden(text)) => assert!(text.contains(why), "{url}: {text}"),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn torrent_files_are_fetched_whole_or_not_at_all() {
    let server = serve(|line, _| match line.split(' ').nth(1).unwrap() {
        "/a.torrent" => http("200 OK", b"d4:infod4:name1:aee"),
        "/packed.torrent" => http("200 OK\r\nContent-Encoding: gzip", &gzip(b"d4:infod4:name1:aee")),
        "/long.torrent" => http("200 OK", &vec![0; 10_000_001]),
        "/moved.torrent" => http("301 Moved\r\nLocation: /a.torrent", b""),
        _ => http("404 Not Found", b""),
    });
    let url = |path: &str| format!("http://{server}/{path}.torrent");
    for path in ["a", "packed", "moved"] {
        assert_eq!(fetch(&url(path)).as_deref(), Ok(&b"d4:infod4:name1:aee"[..]), "{path}");
    }
    assert_eq!(fetch(&url("absent")), Err(FetchError::Status(404)));
    assert!(matches!(fetch(&url("long")), Err(FetchError::Failed(why)) if why.contains("longer")));
    assert_eq!(fetch("udp://127.0.0.1:1/a.torrent"), Err(FetchError::Forbidden(Forbidden::Scheme)));
    assert!(matches!(fetch("a.torrent"), Err(FetchError::BadUrl(_))));
}

/// A UDP tracker that answers as `answer` says, given the request and how many came before it; several datagrams if it likes.
fn serve_udp(answer: impl Fn(u32, Request) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        for count in 0.. {
            let (len, from) = socket.recv_from(&mut buffer).unwrap();
            for datagram in answer(count, Request::decode(&buffer[..len]).unwrap()) {
                socket.send_to(&datagram, from).unwrap();
            }
        }
    });
    address
}

fn datagram(reply: Reply) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    bytes
}

fn peers(transaction: u32) -> Reply {
    let peers = vec!["10.0.0.1:6881".parse().unwrap()];
    Reply::Announce { transaction, interval: 900, leechers: 2, seeders: 1, peers }
}

#[test]
fn a_udp_tracker_is_asked_for_a_connection_once_and_lies_are_passed_over() {
    let (heard, hears) = channel();
    let server = serve_udp(move |_, request| match request {
        Request::Connect { transaction } => {
            heard.send("connect").unwrap();
            vec![
                datagram(Reply::Connect { transaction: transaction ^ 1, connection: 666 }),
                b"rubbish".to_vec(),
                datagram(Reply::Connect { transaction, connection: 42 }),
            ]
        }
        Request::Announce { connection, transaction, announce, url_data } => {
            assert_eq!((connection, &*url_data), (42, "/announce?passkey=1"));
            assert_eq!((announce.info_hash, announce.key), (InfoHash([0xab; 20]), Some(7)));
            heard.send("announce").unwrap();
            let mut torn = datagram(peers(transaction));
            torn.pop();
            vec![torn, datagram(peers(transaction.wrapping_add(1))), datagram(peers(transaction))]
        }
        Request::Scrape { .. } => vec![],
    });
    let (edge, told) = edge();
    for sequence in 0..2 {
        let url = format!("udp://{server}/announce?passkey=1");
        edge.announce(visit(&url, sequence, AnnounceEvent::None)).unwrap();
        let (name, outcome) = told.recv().unwrap();
        assert_eq!(name.sequence, sequence);
        let reply = outcome.unwrap();
        assert_eq!((reply.peers.len(), reply.complete, reply.incomplete), (1, Some(1), Some(2)));
    }
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), ["connect", "announce", "announce"]);
}

#[test]
fn a_tracker_that_forgot_our_connection_is_asked_for_another() {
    let server = serve_udp(|count, request| match request {
        Request::Connect { transaction } => {
            vec![datagram(Reply::Connect { transaction, connection: count.into() })]
        }
        Request::Announce { connection: 0, transaction, .. } if count > 1 => {
            vec![datagram(Reply::Error { transaction, reason: "who are you?".into() })]
        }
        Request::Announce { transaction, .. } => vec![datagram(peers(transaction))],
        Request::Scrape { .. } => vec![],
    });
    let (edge, told) = edge();
    for sequence in 0..2 {
        edge.announce(visit(&format!("udp://{server}"), sequence, AnnounceEvent::None)).unwrap();
        assert!(told.recv().unwrap().1.is_ok(), "visit {sequence}");
    }
}

#[test]
fn a_udp_tracker_may_say_no() {
    let server = serve_udp(|_, request| match request {
        Request::Connect { transaction } => vec![datagram(Reply::Connect { transaction, connection: 1 })],
        Request::Announce { transaction, .. } => {
            vec![datagram(Reply::Error { transaction, reason: "not registered".into() })]
        }
        Request::Scrape { .. } => vec![],
    });
    match ask(&format!("udp://{server}/announce")) {
        Err(AnnounceFailure::Refused { reason, retry: None }) => assert_eq!(&*reason, "not registered"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn counts_are_asked_for_where_bep_48_says_and_over_udp() {
    let (heard, hears) = channel();
    let server = serve(move |line, _| {
        let path = line.split(' ').nth(1).unwrap().to_string();
        heard.send(path.clone()).unwrap();
        match path.split('?').next().unwrap() {
            "/scrape" => http("200 OK", PEERS),
            "/scrape-of-others" => http("200 OK", b"d5:filesdee"),
            "/scrape-no" => http("200 OK", b"d14:failure reason4:no!!e"),
            _ => http("404 Not Found", b""),
        }
    });
    let said = |path: &str| count(&format!("http://{server}{path}"));
    let (seeders, hash) = (|counts: ScrapeCounts| counts.seeders, "%AB".repeat(20));
    assert_eq!(said("/announce?passkey=1").map(seeders), Ok(1));
    assert_eq!(hears.try_recv(), Ok(format!("/scrape?passkey=1&info_hash={hash}")));
    let text = |counted| match counted {
        Err(AnnounceFailure::Unreachable(why)) => why.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(said("/announce-of-others")), "it does not count this torrent");
    assert_eq!(text(said("/announce-away")), "HTTP status 404");
    assert!(
        matches!(said("/announce-no"), Err(AnnounceFailure::Refused { reason, retry: None }) if &*reason == "no!!")
    );
    assert_eq!(hears.try_iter().count(), 3);
    // Nobody is visited for these: there is no URL to ask, or it leads beside the tracker, on this very machine.
    assert!(matches!(said("/tracker"), Err(AnnounceFailure::Forbidden(_))));
    assert!(matches!(said("/x/announce"), Err(AnnounceFailure::Forbidden(_))));
    assert_eq!(hears.try_iter().count(), 0);

    let udp = serve_udp(|_, request| match request {
        Request::Connect { transaction } => vec![datagram(Reply::Connect { transaction, connection: 9 })],
        Request::Scrape { connection: 9, transaction, torrents } => {
            assert_eq!(torrents, [InfoHash([0xab; 20])]);
            let counts = |rows| vec![ScrapeCounts { seeders: 3, completed: 70, leechers: 4 }; rows];
            // Of nothing, and of more than was asked for: no answers.
            [0, 2, 1].map(|rows| datagram(Reply::Scrape { transaction, counts: counts(rows) })).into()
        }
        other => panic!("{other:?}"),
    });
    let counts = ScrapeCounts { seeders: 3, completed: 70, leechers: 4 };
    assert_eq!(count(&format!("udp://{udp}")), Ok(counts));
}

#[test]
fn nobody_waits_longer_than_two_seconds_to_say_goodbye() {
    let silent_udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (edge, told) = edge();
    let began = Instant::now();
    let udp = format!("udp://{}", silent_udp.local_addr().unwrap());
    let tcp = format!("http://{}/announce", silent_tcp.local_addr().unwrap());
    edge.announce(visit(&udp, 0, AnnounceEvent::Stopped)).unwrap();
    edge.announce(visit(&tcp, 1, AnnounceEvent::Stopped)).unwrap();
    for _ in 0..2 {
        assert!(matches!(told.recv().unwrap().1, Err(AnnounceFailure::Unreachable(_))));
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_900) && took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn the_end_waits_for_nobody_but_for_work_off_the_loop() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (edge, told) = edge();
    let url = format!("http://{}/announce", silent.local_addr().unwrap());
    edge.announce(visit(&url, 0, AnnounceEvent::None)).unwrap();
    let (done, is_done) = channel();
    edge.off_loop(move || done.send(()).unwrap());
    is_done.recv().unwrap();
    let began = Instant::now();
    drop(edge);
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(told.recv().is_err(), "a visit that was given up is not answered");
}

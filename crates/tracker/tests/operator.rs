//! What a tracker's operator sees and changes while it is at work.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;
use tracker::{Busy, Config, Counts, Listen, Tracker};
use wire::InfoHash;

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn tracker(workers: usize) -> (Tracker, SocketAddr) {
    let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
    let workers = workers.try_into().unwrap();
    let tracker = Tracker::start(Config { listen, workers, ..Config::default() }).unwrap();
    let at = tracker.http_addr().unwrap();
    (tracker, at)
}

fn torrent(n: u8) -> InfoHash {
    InfoHash([n; 20])
}

/// What is answered on a connection of its own.
fn ask(at: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn announce(at: SocketAddr, n: u8, port: u16, left: u64) -> String {
    let (hash, id) = (format!("%{n:02x}").repeat(20), "x".repeat(20));
    ask(at, &format!("GET /announce?info_hash={hash}&peer_id={id}&port={port}&left={left} HTTP/1.0\r\n\r\n"))
}

#[test]
fn torrents_of_all_workers_are_told_of_in_one_order_page_by_page() {
    let (tracker, at) = tracker(3);
    let handle = tracker.handle().clone();
    assert_eq!(handle.torrents(None, 10), Ok(Vec::new()));
    for n in (0..100).rev() {
        announce(at, n, 1000 + u16::from(n), u64::from(n % 2));
    }
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let page = handle.torrents(after, 7).unwrap();
        let Some(&(last, _)) = page.last() else { break };
        assert!(page.len() <= 7);
        (after, told) = (Some(last), [told, page].concat());
    }
    let counts =
        |n: u8| Counts { complete: u32::from(1 - n % 2), incomplete: u32::from(n % 2), downloaded: 0 };
    assert_eq!(told, (0..100).map(|n| (torrent(n), counts(n))).collect::<Vec<_>>());
    announce(at, 42, 7, 5);
    let swarm = handle.swarm(torrent(42), 10).unwrap().unwrap();
    assert_eq!(swarm.counts, Counts { complete: 1, incomplete: 1, downloaded: 0 });
    let peer = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(swarm.peers, [(peer(1042), true), (peer(7), false)]);
    assert!(handle.swarm(torrent(42), 0).unwrap().unwrap().peers.is_empty());
    assert_eq!(handle.swarm(torrent(200), 10), Ok(None));
    assert!(handle.is_alive(PATIENCE));
    drop(tracker);
    assert_eq!(handle.torrents(None, 10), Err(Busy));
    assert_eq!(handle.swarm(torrent(42), 10), Err(Busy));
    assert!(!handle.is_alive(PATIENCE));
    handle.set_draining(true).unwrap();
}

#[test]
fn a_tracker_that_drains_sends_visitors_elsewhere_and_answers_who_asks_all_the_same() {
    let (tracker, at) = tracker(2);
    let keep = "GET /health HTTP/1.1\r\n\r\n";
    tracker.handle().set_draining(true).unwrap();
    // Whatever its visitor wishes, the connection ends.
    let health = ask(at, keep);
    assert!(health.starts_with("HTTP/1.1 503 ") && health.contains("Connection: close"), "{health}");
    assert!(announce(at, 1, 1001, 0).starts_with("HTTP/1.1 200 "));
    let upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(ask(at, upgrade).starts_with("HTTP/1.1 426 "));
    tracker.handle().set_draining(false).unwrap();
    let health = ask(at, "GET /health HTTP/1.0\r\n\r\n");
    assert!(health.starts_with("HTTP/1.1 200 ") && health.ends_with("ok\n"), "{health}");
    assert_eq!(tracker.figures().peers, 1);
}

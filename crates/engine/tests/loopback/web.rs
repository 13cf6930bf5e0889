//! A web server that serves a folder in parts, over connections that it keeps; and what clients make of it.

use super::content::Content;
use super::swarm::{Peer, wait_for, wait_until};
use gannet::{AddOptions, Event, WebSeedState};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A server, until the test ends.
pub(crate) struct WebServer {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl WebServer {
    pub(crate) fn start(folder: &Path) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (folder, count, log) = (folder.to_owned(), Arc::clone(&connections), Arc::clone(&requests));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                let (folder, log) = (folder.clone(), Arc::clone(&log));
                std::thread::spawn(move || serve(socket, &folder, &log));
            }
        });
        WebServer { address, connections, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

/// Answers requests until the client has had enough.
fn serve(socket: TcpStream, folder: &Path, log: &Mutex<Vec<String>>) {
    let mut socket = BufReader::new(socket);
    loop {
        let (mut path, mut range) = (None, None);
        loop {
            let mut line = String::new();
            if socket.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("GET /") {
                log.lock().unwrap().push(rest.to_owned());
                path = rest.split(' ').next().map(|path| folder.join(decoded(path)));
            }
            if let Some(rest) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (from, to) = rest.split_once('-').unwrap();
                range = Some((from.parse().unwrap(), to.parse().unwrap()));
            }
        }
        let answer = answer(&path.unwrap(), range.unwrap());
        if socket.get_mut().write_all(&answer).is_err() {
            return;
        }
    }
}

fn answer(path: &PathBuf, (from, to): (usize, usize)) -> Vec<u8> {
    let Ok(bytes) = fs::read(path) else {
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let part = &bytes[from..=to];
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{to}/{}\r\nContent-Length: {}\r\n\r\n",
        bytes.len(),
        part.len()
    );
    [head.as_bytes(), part].concat()
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Names that must be encoded, an empty file, files that share pieces.
const FILES: &[(&str, u64)] =
    &[("a b/c#d", 700_000), ("a b/e%20f", 3), ("empty", 0), ("große!", 1_000_001), ("z&=+", 90_000)];

#[test]
fn a_torrent_with_a_web_seed_alone_is_downloaded_over_few_connections() {
    let content = Content::new("a folder [1]", FILES, 64 * 1024, 21);
    let (home, leech) = (tempfile::tempdir().unwrap(), Peer::start());
    content.write_to(home.path());
    let server = WebServer::start(home.path());
    let torrent = content.torrent_of(Vec::new(), vec![server.url()]);
    let leeching = leech.client.add(&torrent, AddOptions::default()).unwrap();
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    let seeds = leeching.web_seeds().wait().unwrap();
    assert_eq!((seeds[0].downloaded, seeds[0].state), (content.total(), WebSeedState::Idle), "{seeds:?}");
    let (connections, requests) =
        (server.connections.load(Ordering::Relaxed), server.requests.lock().unwrap().len());
    // Two ranges at once.
    assert!(connections <= 2 && requests >= 4, "{requests} requests over {connections} connections");
    println!("{requests} requests over {connections} connections");
    leech.stop();
}

#[test]
fn a_web_seed_without_the_content_is_dropped_and_one_that_has_a_part_gives_that() {
    let content = Content::new("parts", &[("a", 300_000), ("b", 300_000)], 32 * 1024, 22);
    let (home, empty, leech) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Peer::start());
    content.write_to(home.path());
    fs::remove_file(home.path().join("parts/b")).unwrap();
    let (partly, nothing) = (WebServer::start(home.path()), WebServer::start(empty.path()));
    let torrent = content.torrent_of(Vec::new(), vec![nothing.url(), partly.url()]);
    let leeching = leech.client.add(&torrent, AddOptions::default()).unwrap();
    // All pieces of `a` but the one that it shares with `b`.
    let enough = || leeching.stats().wait().unwrap().pieces_have == 300_000 / (32 * 1024);
    while !enough() {
        wait_for(&leech, "a piece", |event| matches!(event, Event::PieceDone(..)));
    }
    let dropped = |seed: usize| leeching.web_seeds().wait().unwrap()[seed].state == WebSeedState::Dropped;
    // Its second refusal may still be on its way when the other seed has given all it has.
    wait_until(|| dropped(0), || format!("{:?}", leeching.web_seeds().wait()));
    assert!(!dropped(1), "{:?}", leeching.web_seeds().wait());
    // A peer has the rest.
    let seed = Peer::start();
    content.write_to(seed.downloads());
    seed.client.add(&torrent, AddOptions::default()).unwrap();
    leeching.add_peers(seed.addresses());
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    content.check(leech.downloads());
    leech.stop();
    seed.stop();
}

#[test]
fn a_web_server_and_a_peer_share_the_work_and_a_limit_holds_for_both() {
    let content = Content::new("shared", &[("a", 6_000_000)], 64 * 1024, 23);
    let (home, seed) = (tempfile::tempdir().unwrap(), Peer::start());
    content.write_to(home.path());
    content.write_to(seed.downloads());
    let server = WebServer::start(home.path());
    let torrent = content.torrent_of(Vec::new(), vec![server.url()]);
    let seeding = seed.client.add(&torrent, AddOptions::default()).unwrap();
    wait_for(&seed, "seeding", |event| *event == Event::Stage(seeding.id(), gannet::StageName::Seeding));
    let leech = Peer::start_with(|config| config.limits.down = Some(2_000_000));
    let began = Instant::now();
    let options = AddOptions { peers: seed.addresses(), ..AddOptions::default() };
    let leeching = leech.client.add(&torrent, options).unwrap();
    wait_for(&leech, "durable", |event| *event == Event::Durable(leeching.id()));
    assert!(began.elapsed() > Duration::from_millis(2_300), "{:?} for 3 s at the limit", began.elapsed());
    content.check(leech.downloads());
    let stats = leeching.stats().wait().unwrap();
    let from_web = leeching.web_seeds().wait().unwrap()[0].downloaded;
    println!("{from_web} of {} bytes from the web server, {} wasted", stats.downloaded, stats.wasted);
    assert!(from_web > 0 && stats.downloaded < content.total() * 11 / 10);
    leech.stop();
    seed.stop();
}

//! A private tracker at its most talkative: passkeys come in by every door, and none is in anything that it logs, counts, shows or says,
//! nor in the words of a panic. One test alone, for it listens to everything that this process logs. Threat: E11

#![allow(clippy::unwrap_used)]

use std::fmt::{Debug, Write as _};
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracker::ledger::{Member, Rules, UserId};
use tracker::{Access, Books, Config, Listen, Members, Network, Private, TorrentList, Tracker, User};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::{InfoHash, Passkey, PeerId, tracker_udp};

const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that was logged, by whichever crate, at every level.
static LOGGED: Mutex<String> = Mutex::new(String::new());

fn write(line: &str) {
    let mut logged = LOGGED.lock().unwrap();
    logged.push_str(line);
    logged.push('\n');
}

/// Hears events and spans of `tracing`.
struct Everything;

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = format!("span {}", span.metadata().name());
        span.record(&mut Fields(&mut line));
        write(&line);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = String::from("record");
        values.record(&mut Fields(&mut line));
        write(&line);
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} {}", event.metadata().level(), event.metadata().target());
        event.record(&mut Fields(&mut line));
        write(&line);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The crates below us that log the other way.
impl log::Log for Everything {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        write(&format!("{} {} {}", record.level(), record.target(), record.args()));
    }

    fn flush(&self) {}
}

fn key(digit: u8) -> Passkey {
    Passkey::of_chance([digit * 0x11; 16])
}

/// 1 is a member, 2 may not download, 3 is disabled; 4 is nobody's.
fn users() -> Vec<User> {
    let user = |digit: u8| User {
        passkey: key(digit),
        member: Member { user: UserId(digit.into()), may_download: digit != 2, clients_max: None },
        enabled: digit != 3,
    };
    [1, 2, 3].map(user).to_vec()
}

fn config(workers: usize) -> Config {
    // One row on its way fills the queue, so that books that are not kept are spoken of.
    let (rows, received) = sync_channel(1);
    drop(received);
    let books = Books { rules: Rules::default(), rows, standing: Default::default() };
    let mut config = Config {
        listen: vec![Listen::all((Ipv4Addr::LOCALHOST, 0).into())],
        workers: NonZeroUsize::new(workers).unwrap(),
        private: Some(Private { members: Arc::new(Members::new(users())), books }),
        ..Config::default()
    };
    config.http.forwarded_by = vec![Network::of(Ipv4Addr::LOCALHOST, 32)];
    config
}

/// What a connection is told that says this.
fn tell(at: SocketAddr, said: &[u8]) -> String {
    let mut link = TcpStream::connect(at).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    // It may have been thrown out before it had said everything.
    let _ = link.write_all(said);
    let _ = link.shutdown(Shutdown::Write);
    let _ = link.read_to_end(&mut all);
    String::from_utf8_lossy(&all).into_owned()
}

/// Over HTTP: where a passkey belongs, where it does not, and what is no request at all.
fn over_http(at: SocketAddr, key: &str) -> String {
    let announce = format!(
        "info_hash={}&peer_id={}&port=7&uploaded=1&downloaded=1&left=0",
        "%07".repeat(20),
        "x".repeat(20)
    );
    let escaped: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut targets = vec![
        format!("/{key}/announce?{announce}"),
        format!("/announce/{key}?{announce}"),
        format!("/announce?passkey={key}&{announce}"),
        format!("/announce.php?{announce}&passkey={key}"),
        format!("/{escaped}/announce?{announce}"),
        format!("/announce?passkey={escaped}&{announce}"),
        format!("/{key}/{key}/announce?passkey={key}&{announce}"),
        format!("/{key}/announce?info_hash={key}&peer_id={key}&port={key}"),
        format!("/{key}/announce?{announce}&event={key}&key={key}&ip={key}&trackerid={key}"),
        format!("/{key}/scrape?info_hash={}", "%07".repeat(20)),
        format!("/{key}/scrape?info_hash={key}"),
        format!("//{key}//announce?{announce}"),
        format!("/{key}%zz/announce?{announce}"),
        format!("http://{at}/{key}/announce?{announce}"),
        key.to_owned(),
    ];
    for page in ["", "scrape", "metrics", "health", "favicon.ico", "announce"] {
        targets.extend([
            format!("/{key}/{page}"),
            format!("/{page}/{key}"),
            format!("/{page}?passkey={key}"),
        ]);
    }
    let mut said = String::new();
    for target in &targets {
        said += &tell(at, format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
    }
    for request in [
        format!("POST /{key}/announce HTTP/1.1\r\nHost: t\r\nContent-Length: 32\r\n\r\n{key}"),
        format!("{key} /announce HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!("GET /{key}/announce HTTP/{key}\r\n\r\n"),
        format!("GET /{key}/announce\r\n\r\n"),
        format!("GET /announce HTTP/1.1\r\n{key}\r\n\r\n"),
        format!(
            "GET /announce HTTP/1.1\r\nHost: {key}\r\nX-Forwarded-For: {key}\r\nReferer: /{key}/\r\nCookie: {key}\r\n\r\n"
        ),
        format!("GET /{key}/announce HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7, {key}\r\n\r\n"),
        format!("PROXY TCP4 {key} 192.0.2.7 1 2\r\nGET /{key}/announce HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!(
            "GET /{key}/announce HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {key}\r\n\r\n"
        ),
        // Longer than any head, and one that ends before its end.
        format!("GET /{key}/announce?{}", format!("passkey={key}&").repeat(500)),
        format!("GET /{key}/annou"),
    ] {
        said += &tell(at, request.as_bytes());
    }
    said
}

/// Over UDP, by BEP 41: in the path, in the query, cut off, in a scrape, without an id, and what is no datagram of a tracker's.
fn over_udp(at: SocketAddr, key: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |datagram: &[u8]| {
        socket.send(datagram).unwrap();
        let mut answer = [0; 4096];
        let len = socket.recv(&mut answer).unwrap();
        answer[..len].to_vec()
    };
    let mut connect = Vec::new();
    tracker_udp::Request::Connect { transaction: 1 }.encode(&mut connect);
    let connected = ask(&connect);
    let connection = u64::from_be_bytes(connected[8..16].try_into().unwrap());
    let datagram = |connection, url_data: &str| {
        let announce = AnnounceRequest {
            info_hash: InfoHash([7; 20]),
            peer_id: PeerId([b'x'; 20]),
            port: 9,
            uploaded: 0,
            downloaded: 0,
            left: 0,
            event: AnnounceEvent::None,
            want: None,
            key: None,
        };
        let mut bytes = Vec::new();
        tracker_udp::Request::Announce { connection, transaction: 2, announce, url_data: url_data.into() }
            .encode(&mut bytes);
        bytes
    };
    let mut said = String::new();
    for path in [
        format!("/{key}/announce"),
        format!("/announce?passkey={key}"),
        format!("/announce/{key}?passkey={key}"),
        format!("/announce?passkey={key}{key}{key}"),
        key.to_owned(),
    ] {
        let good = datagram(connection, &path);
        // Most of these are answered by nobody; what they are told, if anything, comes before the next answer.
        socket.send(&datagram(connection ^ 4, &path)).unwrap();
        socket.send(key.as_bytes()).unwrap();
        socket.send(&good[..good.len() - 8]).unwrap();
        said += &String::from_utf8_lossy(&ask(&good));
    }
    let mut scrape = Vec::new();
    let torrents = vec![InfoHash(*key.as_bytes().first_chunk().unwrap())];
    tracker_udp::Request::Scrape { connection, transaction: 3, torrents }.encode(&mut scrape);
    said += &String::from_utf8_lossy(&ask(&scrape));
    said
}

#[test]
fn no_passkey_is_in_anything_that_is_logged_counted_shown_or_said() {
    tracing::subscriber::set_global_default(Everything).unwrap();
    log::set_logger(&Everything).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        write(&format!("PANIC {panic}"));
        print(panic);
    }));
    let keys = [1, 2, 3, 4].map(key);
    for workers in [1, 2] {
        let config = config(workers);
        let mut said = format!("{config:?}{config:#?}");
        let tracker = Tracker::start(config).unwrap();
        let (http, udp) = (tracker.http_addr().unwrap(), tracker.udp_addr().unwrap());
        for lists in [Access::Open, Access::Allow(TorrentList::read("08".repeat(20).as_bytes()))] {
            tracker.set_access(lists).unwrap();
            for key in &keys {
                said += &over_http(http, key.reveal());
                said += &over_udp(udp, key.reveal());
            }
        }
        // Those who are members no more.
        tracker.set_members(Members::new(users().into_iter().take(1))).unwrap();
        for key in &keys {
            said += &over_http(http, key.reveal());
        }
        for page in ["/", "/metrics", "/health"] {
            said += &tell(http, format!("GET {page} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes());
        }
        said += &format!("{tracker:?}{:?}", tracker.figures());
        assert!(said.contains("8:interval") && said.contains("a personal announce URL is needed"));
        assert!(said.contains("gannet_tracker_strangers_total"), "{said}");
        tracker.end(Duration::ZERO);
        write(&said);
    }
    // Taken out: what fails below is written, too.
    let logged = std::mem::take(&mut *LOGGED.lock().unwrap());
    // We do hear what is logged, of our own and of what lies below.
    assert!(logged.contains("TRACE mio"), "nothing of mio's was heard");
    assert!(logged.contains(" tracker::"), "nothing of our own was heard");
    assert!(!logged.contains("PANIC"), "a thread panicked");
    for key in &keys {
        // Nor most of one.
        let found = logged.find(&key.reveal()[..24]);
        assert_eq!(found, None, "{}", found.map_or("", |at| &logged[at.saturating_sub(200)..at + 40]));
    }
}

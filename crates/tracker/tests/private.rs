//! A private tracker on loopback: visited by members, by those who are none any more and by strangers. Threat: E11

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tracker::ledger::{Member, Row, Rules, UserId};
use tracker::{Access, Books, Config, Listen, Members, Private, TorrentList, Tracker, User};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::compact::Family;
use wire::tracker_http::query::announce_url;
use wire::tracker_http::{Announced, Reply};
use wire::tracker_udp;
use wire::{InfoHash, Passkey, PeerId};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

const NEEDED: &str = "a personal announce URL is needed";

/// A user whose passkey is made of this digit.
fn user(digit: u8) -> User {
    let member = Member { user: UserId(digit.into()), may_download: true, clients_max: None };
    User { passkey: key(digit), member, enabled: true }
}

fn key(digit: u8) -> Passkey {
    Passkey::of_chance([digit * 0x11; 16])
}

/// 1 and 2 may do everything, 3 may not download, 4 has one client, 5 is disabled.
fn users() -> Vec<User> {
    let [one, two, mut three, mut four, mut five] = [1, 2, 3, 4, 5].map(user);
    three.member.may_download = false;
    four.member.clients_max = NonZeroU32::new(1);
    five.enabled = false;
    vec![one, two, three, four, five]
}

fn config(workers: usize, queue: usize) -> (Config, Receiver<Vec<Row>>) {
    let (rows, books) = sync_channel(queue);
    let private = Private {
        members: Arc::new(Members::new(users())),
        books: Books { rules: Rules::default(), rows, standing: Default::default() },
    };
    let listen = vec![Listen::all((Ipv4Addr::LOCALHOST, 0).into())];
    let workers = NonZeroUsize::new(workers).unwrap();
    (Config { listen, workers, private: Some(private), ..Config::default() }, books)
}

fn tracker() -> (Tracker, Receiver<Vec<Row>>) {
    let (config, books) = config(1, 16);
    (Tracker::start(config).unwrap(), books)
}

fn request(torrent: u8, port: u16, left: u64, event: AnnounceEvent) -> AnnounceRequest {
    let [high, low] = port.to_be_bytes();
    let mut peer_id = [b'x'; 20];
    peer_id[..2].copy_from_slice(&[high, low]);
    AnnounceRequest {
        info_hash: InfoHash([torrent; 20]),
        peer_id: PeerId(peer_id),
        port,
        uploaded: 0,
        downloaded: 0,
        left,
        event,
        want: None,
        key: None,
    }
}

/// The answer to a request for this target: its head and its body.
fn get(at: SocketAddr, target: &str) -> (String, Vec<u8>) {
    let mut link = TcpStream::connect(at).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    link.write_all(format!("GET {target} HTTP/1.1\r\nHost: {at}\r\n\r\n").as_bytes()).unwrap();
    link.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    link.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&all[..end]).into_owned(), all[end + 4..].to_vec())
}

/// Announces at this path; the peers, or why there are none.
fn announce(at: SocketAddr, path: &str, request: &AnnounceRequest) -> Result<Announced, String> {
    let base = format!("http://{at}");
    let url = announce_url(&format!("{base}{path}"), request, None).unwrap();
    let (head, body) = get(at, url.strip_prefix(&base).unwrap());
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    match Reply::decode(&body).unwrap() {
        Reply::Peers(announced) => Ok(*announced),
        Reply::Refused { reason, .. } => Err(reason.into()),
    }
}

fn path(digit: u8) -> String {
    format!("/{}/announce", key(digit).reveal())
}

/// A visitor over UDP that has been given an id.
struct Udp {
    socket: UdpSocket,
    connection: u64,
}

impl Udp {
    fn connect(at: SocketAddr) -> Udp {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut udp = Udp { socket, connection: 0 };
        let reply = udp.ask(&tracker_udp::Request::Connect { transaction: 1 });
        let tracker_udp::Reply::Connect { connection, .. } = reply else { panic!("{reply:?}") };
        udp.connection = connection;
        udp
    }

    fn ask(&self, request: &tracker_udp::Request) -> tracker_udp::Reply {
        let mut datagram = Vec::new();
        request.encode(&mut datagram);
        self.socket.send(&datagram).unwrap();
        let mut answer = [0; 2048];
        let len = self.socket.recv(&mut answer).unwrap();
        tracker_udp::Reply::decode(&answer[..len], Family::V4).unwrap()
    }

    fn announce(&self, path: &str, announce: AnnounceRequest) -> Result<Vec<SocketAddr>, String> {
        let connection = self.connection;
        let url_data = path.into();
        match self.ask(&tracker_udp::Request::Announce { connection, transaction: 2, announce, url_data }) {
            tracker_udp::Reply::Announce { peers, .. } => Ok(peers),
            tracker_udp::Reply::Error { reason, .. } => Err(reason.into()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn members_find_each_other_wherever_their_passkey_stands() {
    for workers in [1, 2] {
        let (config, _books) = config(workers, 16);
        let tracker = Tracker::start(config).unwrap();
        let (at, udp) = (tracker.http_addr().unwrap(), Udp::connect(tracker.udp_addr().unwrap()));
        let [one, two] = [1, 2].map(key);
        for torrent in 0..8 {
            let seed = request(torrent, 1000, 0, AnnounceEvent::Started);
            assert_eq!(announce(at, &path(1), &seed).unwrap().peers, []);
            let paths = [
                format!("/{}/announce", two.reveal()),
                format!("/announce/{}", two.reveal()),
                format!("/announce?passkey={}", one.reveal()),
                format!("/announce.php?uid=7&passkey={}", two.reveal()),
                format!("/{}/announce.php", two.reveal()),
            ];
            for (port, path) in (1001_u16..).zip(paths) {
                let visit = request(torrent, port, 5, AnnounceEvent::Started);
                let peers = announce(at, &path, &visit).unwrap().peers;
                assert_eq!(peers.len(), usize::from(port) - 1000, "{path}");
                let over_udp = request(torrent, port, 5, AnnounceEvent::None);
                assert_eq!(udp.announce(&path, over_udp).unwrap().len(), usize::from(port) - 1000);
            }
        }
    }
}

#[test]
fn whoever_is_no_member_is_told_to_get_a_personal_url_and_nothing_else() {
    let (tracker, _books) = tracker();
    let (at, udp) = (tracker.http_addr().unwrap(), Udp::connect(tracker.udp_addr().unwrap()));
    let visit = || request(7, 1001, 0, AnnounceEvent::Started);
    let unknown = key(9);
    for path in [
        "/announce".to_owned(),
        format!("/{}/announce", unknown.reveal()),
        format!("/announce?passkey={}", unknown.reveal()),
        format!("/announce?passkey={}", &key(1).reveal()[1..]),
        format!("/{}/announce", key(1).reveal().replace('1', "I")),
    ] {
        let said = [announce(at, &path, &visit()).unwrap_err(), udp.announce(&path, visit()).unwrap_err()];
        for reason in said {
            assert!(reason.contains(NEEDED) && !reason.contains(unknown.reveal()), "{path}: {reason}");
        }
    }
    assert!(udp.announce("", visit()).unwrap_err().contains(NEEDED));
    let disabled = announce(at, &path(5), &visit()).unwrap_err();
    assert!(disabled.contains("disabled"), "{disabled}");
    // A scrape is a visit, too.
    let scrape = |path: &str| get(at, &format!("{path}info_hash={}", "%07".repeat(20))).1;
    assert!(String::from_utf8_lossy(&scrape("/scrape?")).contains(NEEDED));
    let mine = format!("/{}/scrape?", key(1).reveal());
    assert!(String::from_utf8_lossy(&scrape(&mine)).contains("8:complete"));
    let (connection, torrents) = (udp.connection, vec![InfoHash([7; 20])]);
    let reply = udp.ask(&tracker_udp::Request::Scrape { connection, transaction: 3, torrents });
    assert!(matches!(&reply, tracker_udp::Reply::Error { reason, .. } if reason.contains("over HTTP")));
    assert_eq!(tracker.figures().peers, 0);
    let metrics = String::from_utf8(get(at, "/metrics").1).unwrap();
    assert!(metrics.contains("\ngannet_tracker_strangers_total 14\n"), "{metrics}");
}

#[test]
fn nobody_without_an_id_hears_more_than_it_says_whatever_its_passkey() {
    let (tracker, _books) = tracker();
    let at = tracker.udp_addr().unwrap();
    let good = Udp::connect(at);
    let forged = Udp { connection: good.connection ^ 1, socket: good.socket.try_clone().unwrap() };
    for path in [path(1), path(9)] {
        let mut datagram = Vec::new();
        let announce = request(7, 1001, 0, AnnounceEvent::Started);
        let url_data = path.as_str().into();
        tracker_udp::Request::Announce { connection: forged.connection, transaction: 9, announce, url_data }
            .encode(&mut datagram);
        forged.socket.send(&datagram).unwrap();
    }
    // Answers come in order: this is the first.
    assert_eq!(good.announce(&path(1), request(7, 1002, 0, AnnounceEvent::Started)), Ok(vec![]));
}

#[test]
fn who_may_not_download_is_told_so_and_others_are_not_told_of_it() {
    let (tracker, _books) = tracker();
    let at = tracker.http_addr().unwrap();
    let visit = |digit, port, left| announce(at, &path(digit), &request(7, port, left, AnnounceEvent::None));
    visit(1, 1001, 0).unwrap();
    let why = visit(3, 1003, 5).unwrap_err();
    assert!(why.contains("may not download"), "{why}");
    assert_eq!(visit(2, 1002, 5).unwrap().peers.len(), 1);
    let over_udp = Udp::connect(tracker.udp_addr().unwrap());
    let why = over_udp.announce(&path(3), request(7, 1003, 5, AnnounceEvent::None)).unwrap_err();
    assert!(why.contains("may not download"), "{why}");
    // What it has it may seed.
    assert_eq!(visit(3, 1003, 0).unwrap().peers, ["127.0.0.1:1002".parse().unwrap()]);
    assert_eq!(visit(2, 1002, 5).unwrap().peers.len(), 2);
    // It has begun to download something more: nobody is told of it any longer.
    visit(3, 1003, 5).unwrap_err();
    assert_eq!(visit(2, 1002, 5).unwrap().peers.len(), 1);
    visit(4, 1004, 5).unwrap();
    let why = visit(4, 1014, 5).unwrap_err();
    assert!(why.contains("as many clients"), "{why}");
}

#[test]
fn members_come_and_go_without_a_restart_and_lists_hold_beside_them() {
    let (tracker, _books) = tracker();
    let at = tracker.http_addr().unwrap();
    let visit = |digit, torrent| announce(at, &path(digit), &request(torrent, 1001, 0, AnnounceEvent::None));
    visit(1, 7).unwrap();
    visit(6, 7).unwrap_err();
    assert!(tracker.set_members(Members::new([user(6)])).unwrap());
    assert!(visit(1, 7).unwrap_err().contains(NEEDED));
    visit(6, 7).unwrap();
    // What is read again and is the same is no change; whatever else is, is one.
    assert!(!tracker.set_members(Members::new([user(6)])).unwrap());
    let seeds = Member { may_download: false, ..user(6).member };
    for changed in [
        vec![User { enabled: false, ..user(6) }],
        vec![User { passkey: key(7), ..user(6) }],
        vec![User { member: seeds, ..user(6) }],
        vec![user(6), user(7)],
        vec![],
        vec![user(6)],
    ] {
        assert!(tracker.set_members(Members::new(changed.clone())).unwrap());
        assert!(!tracker.set_members(Members::new(changed)).unwrap());
    }
    tracker.set_access(Access::Allow(TorrentList::read("08".repeat(20).as_bytes()))).unwrap();
    assert!(visit(6, 7).unwrap_err().contains("does not serve"));
    visit(6, 8).unwrap();
    // A stranger does not learn which torrents are listed.
    assert!(visit(1, 7).unwrap_err().contains(NEEDED));
    // An open tracker stays open.
    let listen = vec![Listen::all((Ipv4Addr::LOCALHOST, 0).into())];
    let open = Tracker::start(Config { listen, ..Config::default() }).unwrap();
    assert!(!open.set_members(Members::new([user(6)])).unwrap());
    let at = open.http_addr().unwrap();
    announce(at, "/announce", &request(7, 1001, 0, AnnounceEvent::None)).unwrap();
    assert!(get(at, &path(6)).0.starts_with("HTTP/1.1 404"));
}

#[test]
fn others_hear_no_more_of_who_is_disabled_or_removed_once_it_comes() {
    for workers in [1, 2] {
        let (config, _books) = config(workers, 16);
        let tracker = Tracker::start(config).unwrap();
        let (at, udp) = (tracker.http_addr().unwrap(), Udp::connect(tracker.udp_addr().unwrap()));
        // A worker is asked behind what the other one has told it.
        let ports = |torrent| {
            let swarm = tracker.handle().swarm(InfoHash([torrent; 20]), 10).unwrap().unwrap();
            swarm.peers.iter().map(|(peer, _)| peer.port()).collect::<BTreeSet<_>>()
        };
        let disabled = User { enabled: false, ..user(2) };
        for torrent in 0..8 {
            tracker.set_members(Members::new(users())).unwrap();
            let visit = |port| request(torrent, port, 0, AnnounceEvent::Started);
            announce(at, &path(1), &visit(1001)).unwrap();
            announce(at, &path(2), &visit(1002)).unwrap();
            announce(at, &path(4), &visit(1004)).unwrap();
            tracker.set_members(Members::new([user(1), disabled])).unwrap();
            let leaves = |port| request(torrent, port, 0, AnnounceEvent::Stopped);
            // Who never was a member takes nobody out.
            for stranger in ["/announce".to_owned(), path(9)] {
                assert!(announce(at, &stranger, &leaves(1001)).unwrap_err().contains(NEEDED));
                assert!(udp.announce(&stranger, leaves(1001)).unwrap_err().contains(NEEDED));
            }
            assert_eq!(ports(torrent), [1001, 1002, 1004].into());
            let (by_http, by_udp) = if torrent % 4 < 2 { (2, 4) } else { (4, 2) };
            announce(at, &path(by_http), &leaves(1000 + u16::from(by_http))).unwrap_err();
            udp.announce(&path(by_udp), visit(1000 + u16::from(by_udp))).unwrap_err();
            assert_eq!(ports(torrent), [1001].into());
        }
    }
}

#[test]
fn everything_is_in_the_books_when_the_tracker_has_ended_however_slow_they_were() {
    // More rows than fit into the queue: while nobody takes any, they add up.
    const TORRENTS: u8 = 200;
    let (config, books) = config(2, 1);
    let tracker = Tracker::start(config).unwrap();
    let udp = Udp::connect(tracker.udp_addr().unwrap());
    let visit = |torrent, uploaded, event| {
        let request =
            AnnounceRequest { uploaded, downloaded: uploaded / 2, ..request(torrent, 1001, 3, event) };
        udp.announce(&path(1), request).unwrap();
    };
    (0..TORRENTS).for_each(|torrent| visit(torrent, 50, AnnounceEvent::Started));
    (0..TORRENTS).for_each(|torrent| visit(torrent, 70, AnnounceEvent::None));
    (0..TORRENTS).for_each(|torrent| visit(torrent, 60 + u64::from(torrent), AnnounceEvent::Stopped));
    let keeper = std::thread::spawn(move || books.into_iter().flatten().collect::<Vec<Row>>());
    tracker.end(PATIENCE);
    let rows = keeper.join().unwrap();
    assert!(rows.iter().all(|row| row.user == UserId(1) && row.completed == 0));
    let mut up = vec![0; TORRENTS.into()];
    rows.iter().for_each(|row| up[usize::from(row.info_hash.0[0])] += row.uploaded);
    for (torrent, up) in up.into_iter().enumerate() {
        // From 50 to 70, and on, unless it says less than before.
        assert_eq!(up, 20 + (torrent as u64).saturating_sub(10), "{torrent}");
    }
    assert_eq!(rows.iter().map(|row| row.excesses).sum::<u32>(), 0);
}

#[test]
fn no_page_and_no_dump_shows_a_passkey() {
    let (config, _books) = config(1, 16);
    let shown = format!("{config:?} {config:#?} {:?}", users());
    let tracker = Tracker::start(config).unwrap();
    let at = tracker.http_addr().unwrap();
    let visit = request(7, 1001, 0, AnnounceEvent::Started);
    let keys = (1..=9).map(key).collect::<Vec<_>>();
    let mut said = shown + &format!("{tracker:?}");
    for digit in 1..=9 {
        let _ = announce(at, &path(digit), &visit).map_err(|reason| said += &reason);
        let element = key(digit);
        for target in ["announce", "announce?info_hash=%zz", "scrape", "health", "metrics", "else", ""] {
            for path in [format!("/{}/{target}", element.reveal()), format!("/{target}/{}", element.reveal())]
            {
                let (head, body) = get(at, &path);
                said += &format!("{head}{}", String::from_utf8_lossy(&body));
            }
        }
    }
    for page in ["/", "/metrics", "/health"] {
        let (head, body) = get(at, page);
        said += &format!("{head}{}", String::from_utf8_lossy(&body));
    }
    assert!(said.contains("It is private") && said.contains("[passkey]"), "{said}");
    for key in keys {
        assert!(!said.contains(key.reveal()));
    }
}

#[test]
fn counting_goes_on_after_an_end_in_order_and_begins_anew_after_a_kill() {
    let [home, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = |workers, folder: &std::path::Path| {
        let (config, books) = config(workers, 64);
        (Tracker::start(Config { state: Some(folder.to_owned()), ..config }).unwrap(), books)
    };
    // The same client in several torrents; what user 1 is credited by it.
    let visit = |(tracker, books): (Tracker, Receiver<Vec<Row>>), uploaded, folder: &std::path::Path| {
        for torrent in 1..=8 {
            let request = AnnounceRequest { uploaded, ..request(torrent, 1001, 0, AnnounceEvent::None) };
            announce(tracker.http_addr().unwrap(), &path(1), &request).unwrap();
        }
        // What a kill would leave.
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        tracker.end(PATIENCE);
        books.iter().flatten().map(|row| row.uploaded).sum::<u64>()
    };
    let clients = |tracker: &Tracker| tracker.remembered().unwrap().clients;
    assert_eq!(visit(start(1, home.path()), 100, home.path()), 0);
    let again = start(3, home.path());
    assert_eq!(clients(&again.0), 8);
    assert_eq!(visit(again, 150, home.path()), 8 * 50);
    // It had counted up to 150, and what it began with is not there to be counted from once more.
    let killed = start(2, copy.path());
    assert_eq!((clients(&killed.0), killed.0.remembered().unwrap().damaged.len()), (0, 0));
    drop(killed);
    // An open tracker in between leaves it alone.
    Tracker::start(Config { state: Some(home.path().to_owned()), ..Config::default() })
        .unwrap()
        .end(PATIENCE);
    let last = start(1, home.path());
    assert_eq!(clients(&last.0), 8);
    assert_eq!(visit(last, 151, home.path()), 8);
}

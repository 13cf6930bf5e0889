//! A tracker of three workers: whatever arrives at whichever of them, swarms are whole and answers come back. BEP: 15, 48

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;
use tracker::{Access, Config, Listen, StartError, TorrentList, Tracker};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::compact::Family;
use wire::tracker_http::query::announce_url;
use wire::tracker_http::scrape::ScrapeReply;
use wire::tracker_udp::{Reply, Request};
use wire::{InfoHash, PeerId};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

const WORKERS: usize = 3;

fn tracker(ip: IpAddr) -> Tracker {
    let listen = vec![Listen::all(SocketAddr::new(ip, 0))];
    Tracker::start(Config { listen, workers: WORKERS.try_into().unwrap(), ..Config::default() }).unwrap()
}

/// Swarms of every worker.
fn swarms() -> Vec<InfoHash> {
    (0..30).map(|n| InfoHash([n; 20])).collect()
}

fn announce(info_hash: InfoHash, port: u16) -> AnnounceRequest {
    AnnounceRequest {
        info_hash,
        peer_id: PeerId([b'x'; 20]),
        port,
        uploaded: 0,
        downloaded: 0,
        left: 1,
        event: AnnounceEvent::Started,
        want: None,
        key: None,
    }
}

/// A client over UDP that has been given its id.
struct Client {
    socket: UdpSocket,
    connection: u64,
    asked: u32,
}

impl Client {
    fn of(tracker: &Tracker) -> Client {
        let at = tracker.udp_addr().unwrap();
        let socket = UdpSocket::bind((at.ip(), 0)).unwrap();
        socket.connect(at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client { socket, connection: 0, asked: 0 };
        let reply = client.ask(|_, transaction| Request::Connect { transaction });
        let Reply::Connect { connection, .. } = reply else { panic!("{reply:?}") };
        Client { connection, ..client }
    }

    fn ask(&mut self, request: impl FnOnce(u64, u32) -> Request) -> Reply {
        self.asked += 1;
        let mut datagram = Vec::new();
        request(self.connection, self.asked).encode(&mut datagram);
        self.socket.send(&datagram).unwrap();
        let mut answer = [0; 2048];
        let len = self.socket.recv(&mut answer).unwrap();
        let reply = Reply::decode(&answer[..len], Family::of(&self.socket.local_addr().unwrap())).unwrap();
        assert_eq!(reply.transaction(), self.asked);
        reply
    }
}

fn over_http(at: SocketAddr, targets: &[String]) -> Vec<Vec<u8>> {
    let mut link = TcpStream::connect(at).unwrap();
    link.set_read_timeout(Some(PATIENCE)).unwrap();
    let requests: String = targets.iter().map(|target| format!("GET {target} HTTP/1.1\r\n\r\n")).collect();
    link.write_all(requests.as_bytes()).unwrap();
    link.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    link.read_to_end(&mut all).unwrap();
    let mut bodies = Vec::new();
    let mut rest = &all[..];
    while let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        let (body, behind) = rest[end + 4..].split_at(len.parse().unwrap());
        bodies.push(body.to_vec());
        rest = behind;
    }
    bodies
}

#[test]
fn peers_of_one_swarm_meet_wherever_their_questions_arrive() {
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let tracker = tracker(ip);
        // The kernel spreads clients without info-hashes, and connections, over all workers.
        for (number, port) in (1001..1009).enumerate() {
            let mut client = Client::of(&tracker);
            for swarm in swarms() {
                let announce = announce(swarm, port);
                let reply = client.ask(|connection, transaction| Request::Announce {
                    connection,
                    transaction,
                    announce,
                    url_data: "".into(),
                });
                let Reply::Announce { peers, leechers, .. } = reply else { panic!("{reply:?}") };
                assert_eq!(leechers as usize, number + 1);
                let met: BTreeSet<u16> = peers.iter().map(SocketAddr::port).collect();
                assert_eq!(met, (1001..port).collect());
            }
        }
        let at = tracker.http_addr().unwrap();
        for port in 2001..2009 {
            let url = |swarm| announce_url("/announce", &announce(swarm, port), None).unwrap();
            let targets: Vec<String> = swarms().into_iter().map(url).collect();
            let bodies = over_http(at, &targets);
            assert_eq!(bodies.len(), targets.len(), "each is answered, and in its turn");
        }
        assert_eq!(tracker.figures().peers, 16 * 30);
        assert_eq!(tracker.figures().swarms, 30);
    }
}

#[test]
fn a_scrape_of_several_workers_swarms_is_answered_in_one() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let mut client = Client::of(&tracker);
    for (number, swarm) in swarms().into_iter().enumerate() {
        for port in 0..=number as u16 {
            let announce = announce(swarm, 1001 + port);
            client.ask(|connection, transaction| Request::Announce {
                connection,
                transaction,
                announce,
                url_data: "".into(),
            });
        }
    }
    let expected: Vec<u32> = (1..=30).collect();
    for _ in 0..8 {
        let mut client = Client::of(&tracker);
        let reply = client.ask(|connection, transaction| Request::Scrape {
            connection,
            transaction,
            torrents: swarms(),
        });
        let Reply::Scrape { counts, .. } = reply else { panic!("{reply:?}") };
        assert_eq!(counts.iter().map(|row| row.leechers).collect::<Vec<_>>(), expected);
        let escape = |swarm: &InfoHash| format!("info_hash={}", format!("%{:02x}", swarm.0[0]).repeat(20));
        let query = swarms().iter().map(escape).collect::<Vec<_>>().join("&");
        let bodies = over_http(tracker.http_addr().unwrap(), &[format!("/scrape?{query}")]);
        let ScrapeReply::Files(rows) = ScrapeReply::decode(&bodies[0]).unwrap() else { panic!() };
        assert_eq!(rows.iter().map(|(_, row)| row.leechers).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn torrents_that_are_not_served_are_refused_from_the_moment_when_it_is_said() {
    let tracker = tracker(Ipv4Addr::LOCALHOST.into());
    let mut client = Client::of(&tracker);
    let mut served = |swarm: InfoHash| {
        let announce = announce(swarm, 1001);
        let url = announce_url("/announce", &announce, None).unwrap();
        let over_udp = match client.ask(|connection, transaction| Request::Announce {
            connection,
            transaction,
            announce,
            url_data: "".into(),
        }) {
            Reply::Announce { .. } => true,
            Reply::Error { reason, .. } => {
                assert_eq!(&*reason, "this tracker does not serve that torrent");
                false
            }
            reply => panic!("{reply:?}"),
        };
        let bodies = over_http(tracker.http_addr().unwrap(), &[url]);
        let refused = bodies[0].starts_with(b"d14:failure reason40:this tracker does not serve that torrent");
        assert_eq!(over_udp, !refused);
        over_udp
    };
    let [first, second] = [swarms()[1], swarms()[2]];
    let list = || TorrentList::read(format!("{first}\n").as_bytes());
    assert!(served(first) && served(second));
    tracker.set_access(Access::Allow(list())).unwrap();
    assert!(served(first) && !served(second));
    tracker.set_access(Access::Deny(list())).unwrap();
    assert!(!served(first) && served(second));
    tracker.set_access(Access::Open).unwrap();
    assert!(served(first) && served(second));
}

#[test]
fn nobody_else_shares_the_port() {
    let first = tracker(Ipv4Addr::LOCALHOST.into());
    let listen = first.listening().to_vec();
    let second = Tracker::start(Config { listen, workers: WORKERS.try_into().unwrap(), ..Config::default() });
    let Err(StartError::Listen(busy)) = second else { panic!("{second:?}") };
    assert_eq!(busy.kind(), std::io::ErrorKind::AddrInUse);
}

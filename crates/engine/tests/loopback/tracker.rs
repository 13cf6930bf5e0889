//! A tracker of a few lines around `proto`'s swarm table, over HTTP and UDP on loopback, that lives as long as the test.

use super::swarm::PATIENCE;
use proto::output::AnnounceEvent;
use proto::tracker::swarm_table::{Peers, Rules, Standing, SwarmTable, Visit};
use proto::{Instant, Seed};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use wire::InfoHash;
use wire::announce::AnnounceRequest;
use wire::tracker_http::query::{self, AnnounceQuery};
use wire::tracker_http::scrape::ScrapeReply;
use wire::tracker_http::{Announced, PeerFormat, Reply};
use wire::tracker_udp::{self, ScrapeCounts};

/// What a visit said, and which port it named.
type Heard = (AnnounceEvent, u16);

/// A tracker.
#[derive(Clone)]
pub(crate) struct Tracker {
    swarms: Arc<Mutex<SwarmTable>>,
    heard: Arc<(Mutex<Vec<Heard>>, Condvar)>,
    began: std::time::Instant,
}

impl Tracker {
    /// One without swarms.
    pub(crate) fn new() -> Tracker {
        let rules = Rules {
            interval: Duration::from_secs(2),
            min_interval: Duration::from_secs(1),
            ..Rules::default()
        };
        Tracker {
            swarms: Arc::new(Mutex::new(SwarmTable::new(rules, Seed(1)))),
            heard: Arc::default(),
            began: std::time::Instant::now(),
        }
    }

    /// Waits until this many peers have said this; one that says it again, for it heard no answer, is still one peer.
    pub(crate) fn wait_for(&self, wanted: AnnounceEvent, peers: usize) {
        let (heard, changed) = &*self.heard;
        let few = |heard: &mut Vec<(AnnounceEvent, u16)>| {
            let saying = heard.iter().filter(|(event, _)| *event == wanted).map(|(_, port)| port);
            saying.collect::<BTreeSet<_>>().len() < peers
        };
        let (heard, waited) = changed.wait_timeout_while(heard.lock().unwrap(), PATIENCE, few).unwrap();
        assert!(!waited.timed_out(), "waiting for {peers} peers to say {wanted:?}: {heard:?}");
    }

    /// Its URL over HTTP.
    pub(crate) fn http(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/announce", listener.local_addr().unwrap());
        let tracker = self.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let from = socket.peer_addr().unwrap();
                let mut socket = BufReader::new(socket);
                let mut request = String::new();
                while socket.read_line(&mut request).is_ok_and(|len| len > 2) {}
                let query = request.split(['?', ' ']).nth(2).unwrap_or_default();
                let scraped = request.starts_with("GET /scrape?").then(|| query::scraped(query).unwrap());
                let body = match (scraped, AnnounceQuery::decode(query)) {
                    (Some(scraped), _) => {
                        let counts = scraped.iter().map(|&torrent| (torrent, tracker.scrape(torrent)));
                        ScrapeReply::Files(counts.collect()).encode()
                    }
                    (None, Ok(query)) => {
                        tracker.http_reply(from, &query.announce).encode(PeerFormat::Compact)
                    }
                    (None, Err(error)) => {
                        format!("d14:failure reason{}:{error}e", error.to_string().len()).into_bytes()
                    }
                };
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // A peer that has left does not hear it.
                let _ = socket.get_mut().write_all(&[head.as_bytes(), &body].concat());
            }
        });
        url
    }

    /// Its URL over UDP.
    pub(crate) fn udp(&self) -> String {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("udp://{}", socket.local_addr().unwrap());
        let tracker = self.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let reply = match tracker_udp::Request::decode(&buffer[..len]) {
                    Ok(tracker_udp::Request::Connect { transaction }) => {
                        tracker_udp::Reply::Connect { transaction, connection: 77 }
                    }
                    Ok(tracker_udp::Request::Announce { connection: 77, transaction, announce, .. }) => {
                        let (standing, peers) = tracker.announce(from, &announce);
                        tracker_udp::Reply::Announce {
                            transaction,
                            interval: standing.interval.as_secs() as u32,
                            leechers: standing.counts.incomplete,
                            seeders: standing.counts.complete,
                            peers: peers.iter().collect(),
                        }
                    }
                    Ok(tracker_udp::Request::Scrape { connection: 77, transaction, torrents }) => {
                        let counts = torrents.into_iter().map(|torrent| tracker.scrape(torrent));
                        tracker_udp::Reply::Scrape { transaction, counts: counts.collect() }
                    }
                    other => panic!("not what a client asks: {other:?}"),
                };
                let mut bytes = Vec::new();
                reply.encode(&mut bytes);
                socket.send_to(&bytes, from).unwrap();
            }
        });
        url
    }

    fn http_reply(&self, from: SocketAddr, announce: &AnnounceRequest) -> Reply {
        let (standing, peers) = self.announce(from, announce);
        Reply::Peers(Box::new(Announced {
            interval: standing.interval.as_secs() as u32,
            min_interval: Some(standing.min_interval.as_secs() as u32),
            peers: peers.iter().collect(),
            complete: Some(standing.counts.complete),
            incomplete: Some(standing.counts.incomplete),
            ..Announced::default()
        }))
    }

    fn scrape(&self, torrent: InfoHash) -> ScrapeCounts {
        let counts = self.swarms.lock().unwrap().scrape(&torrent).unwrap_or_default();
        ScrapeCounts { seeders: counts.complete, completed: counts.downloaded, leechers: counts.incomplete }
    }

    fn announce(&self, from: SocketAddr, announce: &AnnounceRequest) -> (Standing, Peers) {
        let (heard, changed) = &*self.heard;
        heard.lock().unwrap().push((announce.event, announce.port));
        changed.notify_all();
        let now = Instant::from_micros(self.began.elapsed().as_micros() as u64);
        let visit = Visit {
            info_hash: announce.info_hash,
            peer: SocketAddr::new(from.ip(), announce.port),
            event: announce.event,
            left: announce.left,
            want: announce.want.unwrap_or(50),
        };
        let mut peers = Peers::new();
        let standing = self.swarms.lock().unwrap().announce(now, &visit, &mut peers);
        (standing, peers)
    }
}

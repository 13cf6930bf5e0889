//! One announce to a UDP tracker, or one scrape: connect if need be, ask, wait, ask again more patiently.
//!
//! The socket is connected, so that the kernel drops what comes from elsewhere; a reply must bear our random transaction and
//! have the exact size, or it is as if it had not come. BEP: 15, 41. Threats: E4

use super::http::VisitError;
use crate::entropy;
use proto::input::AnnounceReply;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use wire::InfoHash;
use wire::announce::AnnounceRequest;
use wire::compact::Family;
use wire::tracker_udp::{Reply, Request, ScrapeCounts};

/// How long we wait for the first answer; doubles each time (BEP 15).
const PATIENCE: Duration = Duration::from_secs(15);

/// The most that we wait: doubled eight times (BEP 15).
const PATIENCE_MAX: Duration = Duration::from_secs(15 << 8);

/// How long a connection id is used (BEP 15).
const CONNECTION_LIFE: Duration = Duration::from_secs(60);

/// Connection ids that are kept: far more trackers than anyone has.
const CONNECTIONS_MAX: usize = 1024;

/// The longest datagram there is.
const DATAGRAM_LEN_MAX: usize = 65_535;

/// How a tracker answered.
pub(crate) enum UdpAnswer<T> {
    /// With what it was asked for: peers, or counts.
    Told(T),
    /// With an error: a stranger's text.
    Refused(Box<str>),
}

/// The connection ids that trackers gave us.
#[derive(Debug)]
pub(crate) struct UdpTrackers {
    connections: Mutex<HashMap<SocketAddr, (u64, Instant)>>,
    patience: Duration,
}

impl Default for UdpTrackers {
    fn default() -> UdpTrackers {
        UdpTrackers::with_patience(PATIENCE)
    }
}

impl UdpTrackers {
    /// Waits this long for a first answer.
    pub(super) fn with_patience(patience: Duration) -> UdpTrackers {
        UdpTrackers { connections: Mutex::default(), patience }
    }

    /// Announces to the tracker at this address. Does not end by itself while there is no answer: give it a time-out.
    pub(crate) async fn announce(
        &self,
        tracker: SocketAddr,
        announce: &AnnounceRequest,
        url_data: &str,
    ) -> Result<UdpAnswer<AnnounceReply>, VisitError> {
        let ask = |connection, transaction| {
            let announce = announce.clone();
            Request::Announce { connection, transaction, announce, url_data: url_data.into() }
        };
        let told = |reply| match reply {
            Reply::Announce { interval, leechers, seeders, peers, .. } => Some(AnnounceReply {
                interval: Duration::from_secs(interval.into()),
                min_interval: None,
                peers,
                complete: Some(seeders),
                incomplete: Some(leechers),
                tracker_id: None,
                external_ip: None,
                warning: None,
            }),
            Reply::Connect { .. } | Reply::Scrape { .. } | Reply::Error { .. } => None,
        };
        self.visit(tracker, ask, told).await
    }

    /// Asks the tracker at this address for the counts of a torrent. Does not end by itself, either.
    pub(crate) async fn scrape(
        &self,
        tracker: SocketAddr,
        torrent: InfoHash,
    ) -> Result<UdpAnswer<ScrapeCounts>, VisitError> {
        let torrents = vec![torrent];
        let ask =
            |connection, transaction| Request::Scrape { connection, transaction, torrents: torrents.clone() };
        let told = |reply| match reply {
            Reply::Scrape { counts, .. } => counts.first().copied(),
            Reply::Connect { .. } | Reply::Announce { .. } | Reply::Error { .. } => None,
        };
        self.visit(tracker, ask, told).await
    }

    /// Asks, given a connection, until `told` makes something of an answer or the tracker says no.
    async fn visit<T>(
        &self,
        tracker: SocketAddr,
        ask: impl Fn(u64, u32) -> Request,
        told: impl Fn(Reply) -> Option<T>,
    ) -> Result<UdpAnswer<T>, VisitError> {
        let mut dialogue = Dialogue::open(tracker, self.patience).await?;
        let mut connection = self.known(tracker);
        let mut fresh = false;
        loop {
            let Some(id) = connection else {
                match dialogue.ask(|transaction| Request::Connect { transaction }).await? {
                    Some(Reply::Connect { connection: id, .. }) => {
                        self.remember(tracker, id);
                        (connection, fresh) = (Some(id), true);
                    }
                    Some(Reply::Error { reason, .. }) => return Ok(UdpAnswer::Refused(reason)),
                    Some(Reply::Announce { .. } | Reply::Scrape { .. }) | None => {}
                }
                continue;
            };
            match dialogue.ask(|transaction| ask(id, transaction)).await? {
                // A tracker that was restarted does not know the id that it gave us, and says so, or nothing.
                Some(Reply::Error { .. }) | None if !fresh => connection = None,
                Some(Reply::Error { reason, .. }) => return Ok(UdpAnswer::Refused(reason)),
                Some(reply) => {
                    if let Some(told) = told(reply) {
                        return Ok(UdpAnswer::Told(told));
                    }
                }
                None => connection = self.known(tracker),
            }
        }
    }

    fn known(&self, tracker: SocketAddr) -> Option<u64> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.get(&tracker).filter(|(_, since)| since.elapsed() < CONNECTION_LIFE).map(|(id, _)| *id)
    }

    fn remember(&self, tracker: SocketAddr, id: u64) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|_, (_, since)| since.elapsed() < CONNECTION_LIFE);
        if connections.len() < CONNECTIONS_MAX || connections.contains_key(&tracker) {
            connections.insert(tracker, (id, Instant::now()));
        }
    }
}

/// A socket that talks to one tracker, and how long it waits.
struct Dialogue {
    socket: UdpSocket,
    family: Family,
    patience: Duration,
    buffer: Vec<u8>,
}

impl Dialogue {
    async fn open(tracker: SocketAddr, patience: Duration) -> Result<Dialogue, VisitError> {
        let local = match Family::of(&tracker) {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(local).await.map_err(describe)?;
        socket.connect(tracker).await.map_err(describe)?;
        Ok(Dialogue { socket, family: Family::of(&tracker), patience, buffer: vec![0; DATAGRAM_LEN_MAX] })
    }

    /// Asks once; `None` if there is no answer in time, and then the next one gets twice as long.
    async fn ask(&mut self, request: impl Fn(u32) -> Request) -> Result<Option<Reply>, VisitError> {
        let transaction = u32::from_le_bytes(entropy::bytes().map_err(describe)?);
        let (request, mut datagram) = (request(transaction), Vec::new());
        request.encode(&mut datagram);
        self.socket.send(&datagram).await.map_err(describe)?;
        match tokio::time::timeout(self.patience, self.answer(&request, transaction)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => {
                self.patience = (self.patience * 2).min(PATIENCE_MAX);
                Ok(None)
            }
        }
    }

    async fn answer(&mut self, request: &Request, transaction: u32) -> Result<Reply, VisitError> {
        loop {
            let len = self.socket.recv(&mut self.buffer).await.map_err(describe)?;
            match Reply::decode(&self.buffer[..len], self.family) {
                Ok(reply) if reply.transaction() == transaction && answers(&reply, request) => {
                    return Ok(reply);
                }
                Ok(_) | Err(_) => tracing::debug!(len, "a datagram that answers nothing"),
            }
        }
    }
}

/// Whether a reply is of the kind that was asked for. One that is not must not make us ask again at once: whoever sends it
/// would set our pace.
fn answers(reply: &Reply, request: &Request) -> bool {
    match reply {
        Reply::Connect { .. } => matches!(request, Request::Connect { .. }),
        Reply::Announce { .. } => matches!(request, Request::Announce { .. }),
        Reply::Scrape { counts, .. } => {
            matches!(request, Request::Scrape { torrents, .. } if torrents.len() == counts.len())
        }
        Reply::Error { .. } => true,
    }
}

fn describe(error: std::io::Error) -> VisitError {
    VisitError::Failed(error.to_string())
}

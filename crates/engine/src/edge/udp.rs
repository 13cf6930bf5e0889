//! Visits to UDP trackers: one question and one answer at a time, asked again with doubling patience.
//!
//! The datagrams leave and come by the socket that everything shares (`net::udp`), so anybody can send us any: a reply counts only if
//! it comes from the tracker's address and port, bears our random transaction, is of the kind that was asked for and has the exact
//! size; else it is as if it had not come. BEP: 15, 41. Threats: E4

use super::Heard;
use super::http::VisitError;
use crate::entropy;
use proto::input::AnnounceReply;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
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

/// Replies to one question that wait to be looked at: the true one among those of who guesses.
const REPLIES_MAX: usize = 16;

/// How a tracker answered.
pub(crate) enum UdpAnswer<T> {
    /// With what it was asked for: peers, or counts.
    Told(T),
    /// With an error: a stranger's text.
    Refused(Box<str>),
}

/// Who sends datagrams for us.
type Post = Box<dyn Fn(SocketAddr, Vec<u8>) + Send + Sync>;

/// The connection ids that trackers gave us, and the questions that wait for answers.
pub(crate) struct UdpTrackers {
    connections: Mutex<HashMap<SocketAddr, (u64, Instant)>>,
    awaited: Mutex<HashMap<u32, Awaited>>,
    post: Post,
    patience: Duration,
}

/// A question under way.
struct Awaited {
    tracker: SocketAddr,
    replies: Sender<Result<Vec<u8>, VisitError>>,
}

impl UdpTrackers {
    /// Sends by `post`; what comes back is handed to [`UdpTrackers::heard`].
    pub(super) fn new(post: impl Fn(SocketAddr, Vec<u8>) + Send + Sync + 'static) -> UdpTrackers {
        UdpTrackers::with_patience(PATIENCE, post)
    }

    /// The same, waiting so long for a first answer.
    pub(super) fn with_patience(
        patience: Duration,
        post: impl Fn(SocketAddr, Vec<u8>) + Send + Sync + 'static,
    ) -> UdpTrackers {
        let (connections, awaited) = (Mutex::default(), Mutex::default());
        UdpTrackers { connections, awaited, post: Box::new(post), patience }
    }

    /// Something came, or could not be sent.
    pub(super) fn heard(&self, heard: Heard) {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Heard::Came(from, datagram) => {
                let asked = transaction_of(&datagram).and_then(|transaction| awaited.get(&transaction));
                match asked.filter(|asked| is_same(asked.tracker, from)) {
                    // What is too much is lost, as on the way.
                    Some(asked) => _ = asked.replies.try_send(Ok(datagram)),
                    None => tracing::debug!(%from, len = datagram.len(), "a datagram that answers nothing"),
                }
            }
            Heard::Unsent(to, why) => {
                for asked in awaited.values().filter(|asked| is_same(asked.tracker, to)) {
                    let _ = asked.replies.try_send(Err(VisitError::Failed(why.clone())));
                }
            }
        }
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
        let mut dialogue = Dialogue { trackers: self, tracker, patience: self.patience };
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

/// Questions to one tracker, one after another, and how long each waits.
struct Dialogue<'a> {
    trackers: &'a UdpTrackers,
    tracker: SocketAddr,
    patience: Duration,
}

impl Dialogue<'_> {
    /// Asks once; `None` if there is no answer in time, and then the next one gets twice as long.
    async fn ask(&mut self, request: impl Fn(u32) -> Request) -> Result<Option<Reply>, VisitError> {
        let mut expected = Expected::new(self.trackers, self.tracker)?;
        let (request, mut datagram) = (request(expected.transaction), Vec::new());
        request.encode(&mut datagram);
        (self.trackers.post)(self.tracker, datagram);
        match tokio::time::timeout(self.patience, expected.answer(&request, self.tracker)).await {
            Ok(answer) => answer.map(Some),
            Err(_) => {
                self.patience = (self.patience * 2).min(PATIENCE_MAX);
                Ok(None)
            }
        }
    }
}

/// An answer that is waited for, as long as this lives.
struct Expected<'a> {
    trackers: &'a UdpTrackers,
    transaction: u32,
    replies: Receiver<Result<Vec<u8>, VisitError>>,
}

impl<'a> Expected<'a> {
    fn new(trackers: &'a UdpTrackers, tracker: SocketAddr) -> Result<Expected<'a>, VisitError> {
        let (tell, replies) = channel(REPLIES_MAX);
        let mut awaited = trackers.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = loop {
            let transaction = u32::from_le_bytes(entropy::bytes().map_err(describe)?);
            if !awaited.contains_key(&transaction) {
                break transaction;
            }
        };
        awaited.insert(transaction, Awaited { tracker, replies: tell });
        drop(awaited);
        Ok(Expected { trackers, transaction, replies })
    }

    async fn answer(&mut self, request: &Request, tracker: SocketAddr) -> Result<Reply, VisitError> {
        while let Some(datagram) = self.replies.recv().await {
            let datagram = datagram?;
            match Reply::decode(&datagram, Family::of(&tracker)) {
                Ok(reply) if reply.transaction() == self.transaction && answers(&reply, request) => {
                    return Ok(reply);
                }
                Ok(_) | Err(_) => tracing::debug!(len = datagram.len(), "a datagram that answers nothing"),
            }
        }
        Err(VisitError::Failed("nobody listens any more".into()))
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        let mut awaited = self.trackers.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.remove(&self.transaction);
    }
}

/// The transaction that a reply bears.
fn transaction_of(datagram: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*datagram.get(4..)?.first_chunk()?))
}

/// Whether two addresses are one place; the scope and flow of IPv6 say nothing of that here.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
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

//! The DHT in the user's hand: settings, and searches of one's own beside those for torrents.

use crate::mailbox::{Mailbox, RecvError};
use crate::net::inbox::{Ask, Asker};
use crate::reply::{Answer, Reply};
use proto::dht::{Finding, Goal, Report, SearchId, Stats};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// Findings that wait to be looked at; beyond, the oldest go. A search asks fewer nodes than this.
const FINDINGS_MAX: usize = 4096;

/// Nodes that are there for everybody to begin with (BEP 5): host and port.
const PUBLIC_ROUTERS: [(&str, u16); 4] = [
    ("dht.libtorrent.org", 25_401),
    ("dht.transmissionbt.com", 6881),
    ("router.bittorrent.com", 6881),
    ("router.utorrent.com", 6881),
];

/// How a client takes part in the distributed hash table (BEP 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DhtConfig {
    /// Whom to begin with, host and port, as long as no other nodes are known: by default the public routers. Others mean another
    /// network, and whom the last run knew is left aside; with none at all only they, peers and torrents lead anywhere.
    pub routers: Vec<(String, u16)>,
    /// Ask, but answer nobody (BEP 43): for who is here for a moment or cannot be reached.
    pub read_only: bool,
}

impl Default for DhtConfig {
    fn default() -> DhtConfig {
        let routers = PUBLIC_ROUTERS.map(|(host, port)| (host.into(), port)).into();
        DhtConfig { routers, read_only: false }
    }
}

/// This client takes no part in the DHT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this client takes no part in the DHT: it was turned off, or the client's links are private")]
pub struct NoDht;

/// What a search says.
#[derive(Clone, PartialEq, Debug)]
pub enum DhtFound {
    /// It found something.
    Finding(Finding),
    /// It is over: the last word.
    Ended(Report),
}

/// A search in the DHT. Dropping it ends it.
#[derive(Debug)]
pub struct DhtSearch {
    id: SearchId,
    mailbox: Arc<Mailbox<DhtFound>>,
    asker: Asker,
}

/// The searching end of a [`DhtSearch`].
#[derive(Debug)]
pub(crate) struct Searcher(Arc<Mailbox<DhtFound>>);

impl DhtSearch {
    /// Begins.
    pub(super) fn begin(asker: &Asker, id: SearchId, goal: Goal) -> DhtSearch {
        let mailbox = Mailbox::new(FINDINGS_MAX);
        asker.ask(Ask::SearchDht(id, Box::new(goal), Searcher(Arc::clone(&mailbox))));
        DhtSearch { id, mailbox, asker: asker.clone() }
    }

    /// The next that it says; blocks the thread. After [`DhtFound::Ended`], or if the client stops, nothing comes any more.
    ///
    /// # Errors
    /// When nothing will come.
    pub fn recv(&self) -> Result<DhtFound, RecvError> {
        self.mailbox.take(None)
    }

    /// The next that it says, if it comes in time; blocks the thread.
    ///
    /// # Errors
    /// When nothing came in time, or nothing will come.
    pub fn recv_timeout(&self, patience: Duration) -> Result<DhtFound, RecvError> {
        self.mailbox.take(Some(patience))
    }

    /// The next that it says; `None` when nothing will come any more.
    pub async fn next(&self) -> Option<DhtFound> {
        poll_fn(|cx| self.mailbox.poll_take(cx)).await.ok()
    }
}

impl Drop for DhtSearch {
    fn drop(&mut self) {
        self.asker.ask(Ask::EndDhtSearch(self.id));
    }
}

impl Searcher {
    /// Tells the user.
    pub(crate) fn tell(&self, found: DhtFound) {
        self.0.put(found);
    }
}

impl Drop for Searcher {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// How the node stands; nothing comes if there is none.
pub(super) fn stats(asker: &Asker) -> Reply<Stats> {
    let (answer, reply) = Answer::pair();
    asker.ask(Ask::DhtStats(answer));
    reply
}

//! How the rest of the program talks to a loop: questions and wishes from users, answers from the disk and the edge.
//!
//! Invariant: a user who asks faster than the loop answers waits; the disk and the edge never wait, for what they answer was
//! asked by the loop, which bounds it.

use super::LinkedPeer;
use super::metadata::Assembled;
use crate::client::dht::Searcher;
use crate::disk::job::DiskDone;
use crate::disk::spec::WantedFiles;
use crate::edge::Told;
use crate::reply::Answer;
use proto::dht::{Goal, SearchId};
use proto::door::Tally;
use proto::share::Limits;
use proto::stats::{TorrentStats, TrackerStats, WebSeedStats};
use proto::{Command, TorrentId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use wire::Bitfield;

/// Wishes that wait for the loop.
const ASKS_MAX: usize = 1024;

/// Wishes taken in one turn of the loop.
const ASKS_PER_TURN_MAX: usize = 64;

/// Answers taken in one turn: the reads of 8 MiB, or the pieces of one busy turn.
const ANSWERS_PER_TURN_MAX: usize = 512;

/// A wish or a question of the user.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Take part in a torrent.
    Add(Box<Command>, TorrentId, Box<super::torrents::Entry>),
    /// Something that the session understands.
    Command(Command),
    /// Which files are wanted, and the session's word for it.
    SetWanted(TorrentId, WantedFiles, Command),
    /// Other limits.
    SetLimits(Limits),
    /// How does it stand?
    Stats(TorrentId, Answer<TorrentStats>),
    /// Who is there?
    Peers(TorrentId, Answer<Vec<LinkedPeer>>),
    /// What encryption has come to.
    EncryptionTally(Answer<Tally>),
    /// How are the trackers?
    Trackers(TorrentId, Answer<Vec<TrackerStats>>),
    /// How are the web seeds?
    WebSeeds(TorrentId, Answer<Vec<WebSeedStats>>),
    /// Look for something in the DHT.
    SearchDht(SearchId, Box<Goal>, Searcher),
    /// Look for it no longer.
    EndDhtSearch(SearchId),
    /// How is the DHT's node?
    DhtStats(Answer<proto::dht::Stats>),
    /// What is verified?
    Have(TorrentId, Answer<Bitfield>),
    /// Save everything, say goodbye, stop.
    Shutdown(Answer<()>),
    /// Stop now, whatever is under way.
    Quit,
}

/// What the loop asked for, done.
#[derive(Debug)]
pub(crate) enum Answered {
    /// By a disk thread.
    Disk(DiskDone),
    /// By the edge.
    Edge(Told),
    /// By the edge: there may be nodes of the DHT at these addresses.
    Nodes(Vec<SocketAddr>),
    /// Off the loop: metadata was put together.
    Metadata(Box<Assembled>),
}

/// Wakes a loop that may be asleep in the kernel, at most once for everything that has come since it last looked.
#[derive(Debug)]
struct Bell {
    waker: mio::Waker,
    rung: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "the loop cannot be woken");
        }
    }
}

/// The users' end.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    asks: SyncSender<Ask>,
    bell: Arc<Bell>,
}

impl Asker {
    /// Asks. If the loop has stopped, the question is dropped, and with it its answer.
    pub(crate) fn ask(&self, ask: Ask) {
        if self.asks.send(ask).is_ok() {
            self.bell.ring();
        }
    }
}

/// The end of the disk threads and the edge.
#[derive(Clone, Debug)]
pub(crate) struct Answerer {
    answers: Sender<Answered>,
    bell: Arc<Bell>,
}

impl Answerer {
    /// Answers. If the loop has stopped, nobody wants to know.
    pub(crate) fn answer(&self, answered: Answered) {
        if self.answers.send(answered).is_ok() {
            self.bell.ring();
        }
    }
}

/// The loop's end.
#[derive(Debug)]
pub(crate) struct Inbox {
    asks: Receiver<Ask>,
    answers: Receiver<Answered>,
    bell: Arc<Bell>,
}

impl Inbox {
    /// An inbox, and who may fill it.
    pub(crate) fn new(waker: mio::Waker) -> (Inbox, Asker, Answerer) {
        let (ask, asks) = sync_channel(ASKS_MAX);
        let (answer, answers) = channel();
        let bell = Arc::new(Bell { waker, rung: AtomicBool::new(false) });
        let asker = Asker { asks: ask, bell: Arc::clone(&bell) };
        let answerer = Answerer { answers: answer, bell: Arc::clone(&bell) };
        (Inbox { asks, answers, bell }, asker, answerer)
    }

    /// Takes what has come, as much as one turn may handle. If more is left, the bell is rung again.
    pub(crate) fn take(&self) -> (Vec<Ask>, Vec<Answered>) {
        self.bell.rung.store(false, Ordering::Release);
        let (asks, more_asks) = take_some(&self.asks, ASKS_PER_TURN_MAX);
        let (answers, more_answers) = take_some(&self.answers, ANSWERS_PER_TURN_MAX);
        if more_asks || more_answers {
            self.bell.ring();
        }
        (asks, answers)
    }
}

/// At most `most` items, and whether there may be more.
fn take_some<T>(from: &Receiver<T>, most: usize) -> (Vec<T>, bool) {
    let mut taken = Vec::new();
    while taken.len() < most {
        match from.try_recv() {
            Ok(item) => taken.push(item),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return (taken, false),
        }
    }
    (taken, true)
}

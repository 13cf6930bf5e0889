//! Accounts of members, as one worker keeps them: what is due to them is handed to whoever keeps the books, over a bounded queue.
//!
//! Invariants: nobody who announces waits for the books; while their keeper is behind, what is due adds up in the ledger, which is
//! bounded, and nothing of it is lost; at an orderly end everything is handed over, unless nothing of it is taken for very long.

use crate::members::{MAY_NOT_DOWNLOAD, TOO_MANY_CLIENTS};
use proto::tracker::Ledger;
use proto::tracker::ledger::{Member, NoLedger, Row, Rules, Verdict, Walk};
use proto::{Duration, Instant};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use wire::InfoHash;
use wire::announce::AnnounceRequest;

/// Rows that are handed over at once, and as soon as so many wait.
const ROWS_MAX: usize = 4096;

/// How often it is looked whether there is room for what is left at the end.
const ROOM_AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// How long a row waits at most for others.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// The ledger's time begins so long before the tracker's, so that there is a time for who was here before it was started: longer than anybody
/// may stay away.
const BEFORE: Duration = Duration::from_secs(8 * 86_400);

/// Where rows go.
#[derive(Clone, Debug)]
pub struct Books {
    /// How accounts are kept until then, all workers together.
    pub rules: Rules,
    /// To whoever keeps them; full, it is left alone for a while.
    pub rows: SyncSender<Vec<Row>>,
    /// How the books stand, which `/metrics` tells.
    pub standing: Arc<Standing>,
}

/// How books stand. Whoever keeps them says what becomes of rows.
#[derive(Debug, Default)]
pub struct Standing {
    unwritten: AtomicU64,
    failures: AtomicU64,
}

impl Standing {
    /// So many of the rows that were handed over are written.
    pub fn written(&self, rows: usize) {
        self.unwritten.fetch_sub(rows as u64, Ordering::Relaxed);
    }

    /// What was handed over could not be written just now.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Rows that were handed over and are not written.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// How often what was handed over could not be written.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(crate) fn handed_over(&self, rows: usize) {
        self.unwritten.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// What a worker knows of members.
pub(crate) struct Accounts {
    ledger: Ledger,
    books: SyncSender<Vec<Row>>,
    standing: Arc<Standing>,
    /// Taken from the ledger, and not yet handed over.
    ready: Vec<Row>,
    handed_over: Instant,
}

impl Accounts {
    /// Of nobody so far.
    pub(crate) fn new(books: Books) -> Accounts {
        let Books { rules, rows: books, standing } = books;
        let ledger = Ledger::new(rules);
        Accounts { ledger, books, standing, ready: Vec::new(), handed_over: Instant::ZERO }
    }

    /// A member announces. If it is not to be served, then why.
    pub(crate) fn announce(
        &mut self,
        now: Instant,
        member: &Member,
        peer: SocketAddr,
        request: &AnnounceRequest,
    ) -> Result<(), &'static str> {
        match self.ledger.announce(now + BEFORE, member, peer, request) {
            Verdict::Welcome => Ok(()),
            Verdict::MayNotDownload => Err(MAY_NOT_DOWNLOAD),
            Verdict::TooManyClients => Err(TOO_MANY_CLIENTS),
        }
    }

    /// Hands over what has waited long enough, or is enough. Waits for nobody. Says whether anything was taken.
    pub(crate) fn settle(&mut self, now: Instant) -> bool {
        let mut is_taken = false;
        let waited = now.since(self.handed_over) >= WAIT_MAX;
        while !self.ready.is_empty()
            || self.ledger.rows_due() >= ROWS_MAX
            || waited && self.ledger.rows_due() > 0
        {
            if self.ready.is_empty() {
                self.ready = self.ledger.take(ROWS_MAX);
            }
            // Before it is there, so that it is never taken away before.
            self.standing.handed_over(self.ready.len());
            match self.books.try_send(std::mem::take(&mut self.ready)) {
                Ok(()) => (self.handed_over, is_taken) = (now, true),
                // Its keeper is behind, or gone: then this is for as long as the tracker lives.
                Err(TrySendError::Full(rows) | TrySendError::Disconnected(rows)) => {
                    self.standing.written(rows.len());
                    self.ready = rows;
                    return is_taken;
                }
            }
        }
        is_taken
    }

    /// To be called about once a second: forgets who stayed away.
    pub(crate) fn look_around(&mut self, now: Instant) {
        self.ledger.sweep(now + BEFORE);
    }

    /// Appends where counting of the next so many stands: see [`Ledger::snapshot`].
    pub(crate) fn snapshot(&self, now: Instant, walk: Walk, most: usize, out: &mut Vec<u8>) -> Option<Walk> {
        self.ledger.snapshot(now + BEFORE, walk, most, out)
    }

    /// Goes on counting where it stood so long ago: see [`Ledger::restore`].
    pub(crate) fn restore(
        &mut self,
        now: Instant,
        slice: &[u8],
        since: Duration,
        is_ours: impl Fn(&InfoHash) -> bool,
    ) -> Result<u64, NoLedger> {
        self.ledger.restore(now + BEFORE, slice, since, is_ours)
    }

    /// Hands everything over, and waits so long for room, in all. Nobody announces any more.
    pub(crate) fn hand_over(&mut self, patience: std::time::Duration) {
        let until = std::time::Instant::now() + patience;
        loop {
            if self.ready.is_empty() {
                self.ready = self.ledger.take(ROWS_MAX);
            }
            let rows = std::mem::take(&mut self.ready);
            if rows.is_empty() {
                return;
            }
            self.standing.handed_over(rows.len());
            match self.books.try_send(rows) {
                Ok(()) => {}
                Err(TrySendError::Full(rows)) if std::time::Instant::now() < until => {
                    self.standing.written(rows.len());
                    self.ready = rows;
                    // A queue cannot be waited for within a time.
                    std::thread::park_timeout(ROOM_AGAIN);
                }
                Err(TrySendError::Full(rows)) => {
                    let rows = rows.len() + self.ledger.rows_due();
                    tracing::error!(
                        rows,
                        "what members sent and received last is lost: the books' disk does not answer, or too slowly"
                    );
                    return;
                }
                Err(TrySendError::Disconnected(_)) => {
                    tracing::error!(
                        "what members sent and received last is lost: nobody keeps the books any more"
                    );
                    return;
                }
            }
        }
    }

    /// Users in torrents that are known.
    pub(crate) fn len(&self) -> usize {
        self.ledger.accounts()
    }

    /// Rows that wait to be handed over.
    pub(crate) fn rows_due(&self) -> usize {
        self.ledger.rows_due() + self.ready.len()
    }

    /// Announces that were not credited for want of room.
    pub(crate) fn uncredited(&self) -> u64 {
        self.ledger.unkept()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::tracker::ledger::UserId;
    use std::sync::mpsc::sync_channel;
    use wire::PeerId;
    use wire::announce::AnnounceEvent;

    #[test]
    fn nobody_waits_for_ever_for_a_keeper_that_takes_nothing() {
        let (rows, received) = sync_channel(0);
        let (ended, has_ended) = sync_channel(1);
        let waits = std::thread::spawn(move || {
            let mut accounts =
                Accounts::new(Books { rules: Rules::default(), rows, standing: Arc::default() });
            let member = Member { user: UserId(1), may_download: true, clients_max: None };
            let request = AnnounceRequest {
                info_hash: InfoHash([7; 20]),
                peer_id: PeerId([7; 20]),
                port: 1001,
                uploaded: 0,
                downloaded: 0,
                left: 0,
                event: AnnounceEvent::None,
                want: None,
                key: None,
            };
            let peer = SocketAddr::new("127.0.0.1".parse().unwrap(), 1001);
            accounts.announce(Instant::ZERO, &member, peer, &request).unwrap();
            accounts.hand_over(std::time::Duration::ZERO);
            ended.send(()).unwrap();
        });
        let patience = std::time::Duration::from_secs(60);
        assert!(has_ended.recv_timeout(patience).is_ok(), "it waits for room");
        drop(received);
        waits.join().unwrap();
    }
}

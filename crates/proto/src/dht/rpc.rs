//! Our questions under way: who was asked what and when, whose answer is due, and how long answers take.
//!
//! An answer counts only if it bears the transaction of a question and comes from the address that was asked. Transactions are a keyed digest of a
//! count, so that nobody can answer for another without seeing the question, however many of our questions it saw before: a generator for
//! simulations would give away its state after a few. Invariant: each question ends once, in an answer or in its loss, and at most [`PENDING_MAX`] are
//! under way. BEP: 5

use super::SearchKey;
use super::tokens::Mac;
use crate::{Duration, Instant};
use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use wire::krpc::Transaction;
use wire::node_id::NodeId;

/// Questions under way: 64 walks with all their slow nodes.
pub(super) const PENDING_MAX: usize = 1024;

/// After so many times what makes a node slow a question is lost. Answers that come later are rare, and a place in the table is
/// not given up for one loss.
const LOST_AFTER_SLOW: u32 = 10;

/// But not before this.
const LOST_AFTER_MIN: Duration = Duration::from_secs(2);

/// And not after this: others give up after 5 to 15 s.
const LOST_AFTER_MAX: Duration = Duration::from_secs(5);

/// Nobody is called slow before this, however fast the others are: one retransmission on a busy home line.
const SLOW_AFTER_MIN: Duration = Duration::from_millis(150);

/// And before anything is known of the network, or at the latest (libtorrent's short time-out).
const SLOW_AFTER_MAX: Duration = Duration::from_millis(1000);

/// What a question was for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// A step of a walk.
    Step(SearchKey),
    /// To store what a search was for.
    Store(SearchKey),
    /// To see whether a node is there.
    Ping,
    /// To see whether an asker is where it says, for an answer is held for it.
    Proof,
}

/// A question under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    /// Who was asked.
    pub to: SocketAddr,
    /// Under which id we knew it, if we did.
    pub id: Option<NodeId>,
    /// What for.
    pub why: Why,
    /// On which walk.
    pub walk: Option<SearchKey>,
    /// When.
    pub sent: Instant,
    /// When it is called slow, or lost if it was called slow already.
    due: Instant,
    slow: bool,
}

/// What has become of a question.
#[derive(Clone, Copy, Debug)]
pub(super) enum Due {
    /// Others usually answer sooner.
    Slow(Pending),
    /// No answer will come.
    Lost(Pending),
}

/// All questions under way.
#[derive(Clone, Debug)]
pub(super) struct Rpc {
    pending: BTreeMap<u32, Pending>,
    deadlines: BTreeSet<(Instant, u32)>,
    /// Mean time to an answer and mean deviation from it, in microseconds (as TCP's, RFC 6298).
    mean: u64,
    deviation: u64,
    mac: Mac,
    asked: u64,
}

impl Rpc {
    /// None under way.
    pub(super) fn new(mac: Mac) -> Rpc {
        Rpc { pending: BTreeMap::new(), deadlines: BTreeSet::new(), mean: 0, deviation: 0, mac, asked: 0 }
    }

    /// Whether another question may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX
    }

    /// A question is asked. Returns the transaction that it is to bear.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        to: SocketAddr,
        id: Option<NodeId>,
        why: Why,
    ) -> Transaction {
        let mut name = self.next_name();
        while self.pending.contains_key(&name) {
            name = self.next_name();
        }
        let due = now + self.slow_after();
        let walk = match why {
            Why::Step(key) | Why::Store(key) => Some(key),
            Why::Ping | Why::Proof => None,
        };
        self.pending.insert(name, Pending { to, id, why, walk, sent: now, due, slow: false });
        self.deadlines.insert((due, name));
        Transaction::from_u32(name)
    }

    /// An answer came. Returns the question, unless it answers none.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        transaction: &Transaction,
        from: SocketAddr,
    ) -> Option<Pending> {
        let name = transaction.as_u32()?;
        let pending = self.pending.get(&name).filter(|pending| pending.to == from).copied()?;
        self.pending.remove(&name);
        self.deadlines.remove(&(pending.due, name));
        self.learn(now.since(pending.sent));
        Some(pending)
    }

    /// Takes out one question whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let &(at, name) = self.deadlines.first()?;
        if at > now {
            return None;
        }
        self.deadlines.pop_first();
        let lost_after = (self.slow_after() * LOST_AFTER_SLOW).clamp(LOST_AFTER_MIN, LOST_AFTER_MAX);
        let pending = self.pending.get_mut(&name)?;
        if !pending.slow {
            pending.slow = true;
            pending.due = pending.sent + lost_after;
            self.deadlines.insert((pending.due, name));
            return Some(Due::Slow(*pending));
        }
        let pending = self.pending.remove(&name)?;
        Some(Due::Lost(pending))
    }

    /// When the next question's time comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Forgets what a search waits for.
    pub(super) fn forget(&mut self, search: SearchKey) {
        let of = |pending: &Pending| matches!(pending.why, Why::Step(key) | Why::Store(key) if key == search);
        for pending in self.pending.values_mut().filter(|pending| of(pending)) {
            // It still tells whether the node lives.
            pending.why = Why::Ping;
        }
    }

    /// How long an answer may take before its node is called slow.
    pub(super) fn slow_after(&self) -> Duration {
        if self.mean == 0 {
            return SLOW_AFTER_MAX;
        }
        Duration::from_micros(self.mean + 4 * self.deviation).clamp(SLOW_AFTER_MIN, SLOW_AFTER_MAX)
    }

    fn next_name(&mut self) -> u32 {
        self.asked = self.asked.wrapping_add(1);
        let [a, b, c, d, ..] = self.mac.digest(&[b"transaction", &self.asked.to_be_bytes()]);
        u32::from_be_bytes([a, b, c, d])
    }

    fn learn(&mut self, took: Duration) {
        let took = took.as_micros() as u64;
        if self.mean == 0 {
            (self.mean, self.deviation) = (took.max(1), took / 2);
            return;
        }
        // Slower gains than TCP's: these are times to many nodes, not to one.
        self.deviation = (15 * self.deviation + self.mean.abs_diff(took)) / 16;
        self.mean = ((31 * self.mean + took) / 32).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn transactions_follow_from_the_key_and_an_answer_counts_once_from_whom_was_asked() {
        let names = |key: u8| {
            let mut rpc = Rpc::new(Mac::new([key; 16]));
            let to = |n: u8| SocketAddr::from(([9, 9, 9, n], 1));
            let names: Vec<Transaction> =
                (0..100).map(|n| rpc.begin(Instant::ZERO, to(n), None, Why::Ping)).collect();
            for (n, name) in (0..100).zip(&names) {
                assert!(rpc.answer(Instant::ZERO, name, to(n + 1)).is_none(), "from another address");
                assert!(rpc.answer(Instant::ZERO, name, to(n)).is_some());
                assert!(rpc.answer(Instant::ZERO, name, to(n)).is_none(), "twice");
            }
            names.iter().filter_map(Transaction::as_u32).collect::<BTreeSet<u32>>()
        };
        assert_eq!(names(1).len(), 100);
        assert!(names(1) == names(1) && names(1).is_disjoint(&names(2)));
    }
}

//! Whether packets of one address family lead anywhere, by what comes back: who is to blame for silence, and how much is asked into a void.
//!
//! Knows no table and no datagram. A question without an answer is the node's fault only if others answered shortly before and after it: else it
//! was our line, and nobody must be forgotten for that. While nothing at all comes back one question is asked now and then, no more. BEP: 5

use crate::{Duration, Instant};
use wire::krpc::NodeInfo;

/// Silences that wait for the next answer to be judged: more than an idle node has in [`GAP_MAX`].
const UNJUDGED_MAX: usize = 64;

/// Two answers so close to each other show that the line worked in between: an idle node with a table of mostly dead nodes has one answer a
/// minute. A shorter break of the line costs a node one failure at most, which takes no seat from it.
const GAP_MAX: Duration = Duration::from_secs(180);

/// Questions lost in a row after which nobody seems to be there: a walk that begins at dead nodes alone has half as many.
const QUIET_AFTER: u32 = 32;

/// Between two questions into the void: so long at first, then twice as long each time ...
const PAUSE: Duration = Duration::from_secs(1);

/// ... and at most so long, so that a line that comes back is noticed within two minutes.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What came back lately.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When a question of ours was last answered, if ever.
    answered: Option<Instant>,
    /// Who was silent since then.
    unjudged: Vec<NodeInfo>,
    /// Questions lost since anything came.
    lost: u32,
    pause: Duration,
    not_before: Instant,
}

impl Line {
    /// Of which nothing is known.
    pub(super) fn new() -> Line {
        Line { answered: None, unjudged: Vec::new(), lost: 0, pause: PAUSE, not_before: Instant::ZERO }
    }

    /// A question was answered. Returns those whose silence before was their own.
    pub(super) fn answered(&mut self, now: Instant) -> Vec<NodeInfo> {
        let before = self.answered.replace(now);
        self.heard();
        let silent = core::mem::take(&mut self.unjudged);
        let worked = before.is_some_and(|before| now.since(before) <= GAP_MAX);
        if worked { silent } else { Vec::new() }
    }

    /// Somebody's question came, or there is reason to try anew: nothing speaks against the line any more.
    pub(super) fn heard(&mut self) {
        (self.lost, self.pause, self.not_before) = (0, PAUSE, Instant::ZERO);
    }

    /// A question that was sent then has no answer. Returns the node if that is its own fault; it may turn out so later.
    pub(super) fn lost(&mut self, sent: Instant, node: Option<NodeInfo>) -> Option<NodeInfo> {
        self.lost = self.lost.saturating_add(1);
        let node = node?;
        if self.answered.is_some_and(|answered| answered > sent) {
            return Some(node);
        }
        if self.unjudged.len() < UNJUDGED_MAX && !self.unjudged.contains(&node) {
            self.unjudged.push(node);
        }
        None
    }

    /// Whether any question was ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.is_some()
    }

    /// Whether nobody seems to be there.
    pub(super) fn is_quiet(&self) -> bool {
        self.lost >= QUIET_AFTER
    }

    /// Whether a question may be asked now; counts it if so.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        if !self.is_quiet() {
            return true;
        }
        if now < self.not_before {
            return false;
        }
        self.not_before = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::SocketAddr;
    use wire::node_id::NodeId;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn node(n: u8) -> NodeInfo {
        NodeInfo { id: NodeId([n; 20]), address: SocketAddr::from(([9, 9, 9, n], 6881)) }
    }

    #[test]
    fn silence_is_a_nodes_fault_if_others_answered_before_and_after() {
        // Answers before and after the question, when it is called lost; who is blamed at once, and who later.
        for (before, after, at_once, later) in [
            (Some(99), Some(101), true, 0),
            (Some(99), None, false, 1),
            (Some(10), None, false, 0),
            (None, None, false, 0),
        ] {
            let mut line = Line::new();
            for seconds in [before, after].into_iter().flatten() {
                assert_eq!(line.answered(at(seconds)), []);
            }
            assert_eq!(line.lost(at(100), Some(node(1))).is_some(), at_once, "{before:?} {after:?}");
            assert_eq!(line.lost(at(100), Some(node(1))).is_some(), at_once);
            assert_eq!(line.answered(at(200)).len(), later, "{before:?} {after:?}");
            assert_eq!(line.answered(at(200)), [], "judged once");
        }
    }

    #[test]
    fn into_a_void_fewer_and_fewer_questions_are_asked_until_something_comes() {
        let mut line = Line::new();
        let mut asked = Vec::new();
        for second in 0..1000 {
            if line.admits(at(second)) {
                asked.push(second);
                line.lost(at(second), Some(node(second as u8)));
            }
        }
        let (free, paced) = asked.split_at(QUIET_AFTER as usize);
        assert!(free.iter().copied().eq(0..u64::from(QUIET_AFTER)), "{free:?}");
        let pauses: Vec<u64> = paced.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert!(line.is_quiet() && line.unjudged.len() <= UNJUDGED_MAX);
        line.heard();
        assert!(!line.is_quiet() && (0..8).all(|_| line.admits(at(1000))));
    }
}

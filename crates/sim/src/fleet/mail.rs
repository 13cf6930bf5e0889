//! What nodes of a fleet send to one another, and where it waits until it is due.
//!
//! Knows windows of time and numbers of nodes, not what the letters mean. Always holds: the letters of a window come out in the order of
//! `(to, at, from, sequence)`, in whatever order they were put in; so that order depends on no thread and no division into shards.
//! They lie in rounds of so many nodes: sorted a round at a time, as it is walked, they are still at hand when they are read.

use super::half::HalfId;
use proto::Instant;
use proto::input::LinkEnd;
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Message, PieceIndex};

/// Nodes that are served in one round.
pub(super) const ROUND: usize = 512;

/// Windows ahead that have a place of their own; letters for later ones wait together.
const RING: u64 = 64;

/// A letter on its way.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) to: u32,
    pub(super) at: Instant,
    pub(super) from: u32,
    /// Counts the sender's letters.
    pub(super) sequence: u32,
    /// The receiver's end of the link that it is about; of a knock, the sender's.
    pub(super) half: HalfId,
    pub(super) letter: Letter,
}

/// What one node says to another.
#[derive(Clone, Debug)]
pub(super) enum Letter {
    /// May I?
    Knock,
    /// You may; this is my end.
    Answer(HalfId),
    /// You may not.
    Refusal,
    /// A control message.
    Message(Message),
    /// A have message for each of these.
    Haves(Arc<[PieceIndex]>),
    /// A block, whole.
    Block(BlockRequest),
    /// Bytes of a block of which the rest is still on its way.
    Progress(u32),
    /// The link is no more.
    Over(LinkEnd),
}

/// Letters that wait for their time, to some nodes that follow one another.
#[derive(Debug)]
pub(super) struct Post {
    /// The first of the nodes.
    to: u32,
    /// Microseconds of a window.
    span: u64,
    /// The first window whose letters were not taken yet.
    next: u64,
    ring: Vec<Rounds>,
    late: Vec<Mail>,
    late_first: u64,
}

/// Letters of one window, by rounds; as many as are needed.
type Rounds = Vec<Vec<Mail>>;

impl Post {
    pub(super) fn new(to: u32, span: u64) -> Post {
        let ring = (0..RING).map(|_| Vec::new()).collect();
        Post { to, span, next: 0, ring, late: Vec::new(), late_first: u64::MAX }
    }

    /// Puts a letter by. One that should have been there before waits for the next window.
    pub(super) fn put(&mut self, mail: Mail) {
        let window = (mail.at.as_micros() / self.span).max(self.next);
        if window < self.next + RING {
            let round = (mail.to - self.to) as usize / ROUND;
            let rounds = &mut self.ring[(window % RING) as usize];
            if rounds.len() <= round {
                rounds.resize_with(round + 1, Vec::new);
            }
            rounds[round].push(mail);
        } else {
            self.late_first = self.late_first.min(window);
            self.late.push(mail);
        }
    }

    /// The letters of a window, by rounds, each to be put in order by [`sorted`]. Windows are taken one after the other; those before
    /// which nothing waits may be left out.
    pub(super) fn take(&mut self, window: u64) -> Rounds {
        self.next = window;
        if self.late_first < window + RING {
            self.late_first = u64::MAX;
            core::mem::take(&mut self.late).into_iter().for_each(|mail| self.put(mail));
        }
        let due = core::mem::take(&mut self.ring[(window % RING) as usize]);
        self.next = window + 1;
        due
    }

    /// The first window for which something waits.
    pub(super) fn first(&self) -> Option<u64> {
        let ahead = self.next..self.next + RING;
        let soon = ahead.into_iter().find(|window| !self.ring[(window % RING) as usize].is_empty());
        soon.or((self.late_first < u64::MAX).then_some(self.late_first))
    }

    /// All letters that wait, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mail> + '_ {
        self.ring.iter().flatten().flatten().chain(&self.late)
    }
}

/// The letters of a round, in order.
pub(super) fn sorted(mut round: Vec<Mail>) -> Vec<Mail> {
    round.sort_unstable_by_key(|mail| (mail.to, mail.at, mail.from, mail.sequence));
    round
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Rng, Seed};

    #[test]
    fn letters_come_out_in_their_windows_and_in_order_however_they_were_put_in() {
        let mut rng = Rng::new(Seed(4));
        let first = 7;
        let mut letters: Vec<Mail> = (0..5000)
            .map(|sequence| Mail {
                to: first + rng.below(3 * ROUND as u32),
                at: Instant::from_micros(u64::from(rng.below(2_000_000)) >> rng.below(6)),
                from: rng.below(20),
                sequence,
                half: HalfId { slot: 0, generation: 0 },
                letter: Letter::Knock,
            })
            .collect();
        let key = |mail: &Mail| (mail.at.as_micros() / 10_000, mail.to, mail.at, mail.from, mail.sequence);
        let all = |letters: &[Mail]| {
            let mut post = Post::new(first, 10_000);
            letters.iter().for_each(|mail| post.put(mail.clone()));
            assert_eq!(post.iter().count(), letters.len());
            let mut out = Vec::new();
            while let Some(window) = post.first() {
                let due: Vec<Mail> = post.take(window).into_iter().flat_map(sorted).collect();
                assert!(!due.is_empty() && due.iter().all(|mail| key(mail).0 == window));
                out.extend(due.iter().map(key));
            }
            out
        };
        let out = all(&letters);
        rng.shuffle(&mut letters);
        assert_eq!(all(&letters), out);
        letters.sort_by_key(key);
        assert_eq!(out, letters.iter().map(key).collect::<Vec<_>>());
    }
}

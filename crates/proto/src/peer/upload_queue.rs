//! A peer's requests to us, in the order they came, until each has its one answer: the block, or a reject (BEP 6), or, after a choke or
//! a cancel without the fast extension, silence.
//!
//! Not whether we can afford to answer (credit, buckets), nor reading.
//! Invariant: every request that was queued leaves exactly once: through `sent`, `unsent`, `cancel` or `choke`. At most `max` are
//! here, those on their way out included.
//! BEP: 3, 6, 10 (`reqq`)

use crate::seldom::{Blank, Seldom};
use crate::{Instant, tight};
use std::collections::VecDeque;
use wire::Block;
use wire::PieceIndex;

/// The requests of one peer.
#[derive(Clone, Debug)]
pub struct UploadQueue {
    /// None while the peer asks for nothing, as most do at any time.
    requests: Seldom<Requests>,
    max: u32,
    next_sequence: u32,
}

#[derive(Clone, Debug, Default)]
struct Requests {
    waiting: VecDeque<Block>,
    /// Handed to the driver, not answered yet.
    sending: VecDeque<Leaving>,
}

impl Blank for Requests {
    const BLANK: &'static Requests = &Requests { waiting: VecDeque::new(), sending: VecDeque::new() };
}

/// A block on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaving {
    /// Of its send token.
    pub sequence: u32,
    /// Which.
    pub block: Block,
    /// When it was handed to the driver.
    pub since: Instant,
}

/// What a cancel found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It waited and is gone. With the fast extension it must be rejected now.
    Waiting,
    /// It is on its way: wish it back. Its answer comes through `sent` or `unsent`.
    Sending(u32),
    /// We know of no such request: answered already, or never made.
    Unknown,
}

/// More requests than we said we take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFull;

impl UploadQueue {
    /// No requests; at most `max`, the `reqq` that we advertise.
    pub fn new(max: u32) -> UploadQueue {
        UploadQueue { requests: Seldom::default(), max, next_sequence: 0 }
    }

    /// The peer asks for a range. Asking twice for the same is two requests with an answer each.
    pub fn push(&mut self, block: Block) -> Result<(), QueueFull> {
        if self.len() >= self.max {
            return Err(QueueFull);
        }
        tight::make_room(&mut self.requests.waiting, 1);
        self.requests.waiting.push_back(block);
        Ok(())
    }

    /// Requests without an answer, those on their way included.
    pub fn len(&self) -> u32 {
        (self.requests.waiting.len() + self.requests.sending.len()) as u32
    }

    /// Bytes of the blocks that were handed to the driver and are not answered.
    pub fn bytes_on_their_way(&self) -> u64 {
        self.requests.sending.iter().map(|leaving| u64::from(leaving.block.len)).sum()
    }

    /// Whether every request has its answer.
    pub fn is_empty(&self) -> bool {
        self.requests.waiting.is_empty() && self.requests.sending.is_empty()
    }

    /// Requests that nobody has begun to answer.
    pub fn waiting(&self) -> u32 {
        self.requests.waiting.len() as u32
    }

    /// What is on its way out. No answer to it is known afterwards.
    pub fn take_sending(&mut self) -> VecDeque<Leaving> {
        if self.requests.is_there() { core::mem::take(&mut self.requests.sending) } else { VecDeque::new() }
    }

    /// The request to answer next.
    pub fn peek(&self) -> Option<Block> {
        self.requests.waiting.front().copied()
    }

    /// Begins to answer the next request: the sequence for its send token, and the range.
    pub fn start(&mut self, now: Instant) -> Option<(u32, Block)> {
        self.requests.waiting.front()?;
        let block = self.requests.waiting.pop_front()?;
        let sequence = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        tight::make_room(&mut self.requests.sending, 1);
        self.requests.sending.push_back(Leaving { sequence, block, since: now });
        Some((sequence, block))
    }

    /// A block has left: its request is answered. `None` if the token is stale.
    pub fn sent(&mut self, sequence: u32) -> Option<Leaving> {
        self.finish(sequence)
    }

    /// A block will not leave. With the fast extension its request must be rejected now. `None` if the token is stale.
    pub fn unsent(&mut self, sequence: u32) -> Option<Leaving> {
        self.finish(sequence)
    }

    /// The peer no longer wants a range.
    pub fn cancel(&mut self, block: Block) -> Cancelled {
        if let Some(at) = self.requests.waiting.iter().position(|&waiting| waiting == block) {
            self.requests.waiting.remove(at);
            return Cancelled::Waiting;
        }
        let sending = self.requests.sending.iter().find(|leaving| leaving.block == block);
        sending.map_or(Cancelled::Unknown, |leaving| Cancelled::Sending(leaving.sequence))
    }

    /// We choke the peer: all its requests end but those for pieces that `allowed` lets pass (BEP 6 allowed fast; without the extension
    /// let none pass). `dropped` gets what waited, to be rejected now with the extension; `wish_back` the sequences on their way.
    pub fn choke(
        &mut self,
        allowed: impl Fn(PieceIndex) -> bool,
        dropped: &mut Vec<Block>,
        wish_back: &mut Vec<u32>,
    ) {
        if self.is_empty() {
            self.requests = Seldom::default();
            return;
        }
        self.requests.waiting.retain(|block| {
            let stays = allowed(block.piece);
            if !stays {
                dropped.push(*block);
            }
            stays
        });
        let on_their_way = self.requests.sending.iter().filter(|leaving| !allowed(leaving.block.piece));
        wish_back.extend(on_their_way.map(|leaving| leaving.sequence));
    }

    /// Answers come mostly in order, so this is mostly the front.
    fn finish(&mut self, sequence: u32) -> Option<Leaving> {
        let at = self.requests.sending.iter().position(|leaving| leaving.sequence == sequence)?;
        self.requests.sending.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};

    fn block(piece: u32, number: u32) -> Block {
        Block { piece: PieceIndex(piece), offset: number * 16_384, len: 16_384 }
    }

    fn queue(blocks: &[Block]) -> UploadQueue {
        let mut queue = UploadQueue::new(100);
        blocks.iter().for_each(|&block| queue.push(block).unwrap());
        queue
    }

    #[test]
    fn requests_are_answered_in_the_order_they_came() {
        let mut queue = queue(&[block(1, 2), block(0, 0), block(1, 0)]);
        let order: Vec<Block> =
            core::iter::from_fn(|| queue.start(Instant::ZERO).map(|(_, block)| block)).collect();
        assert_eq!(order, [block(1, 2), block(0, 0), block(1, 0)]);
    }

    #[test]
    fn a_cancelled_request_is_not_answered() {
        let mut queue = queue(&[block(0, 0), block(0, 1)]);
        assert_eq!(queue.cancel(block(0, 0)), Cancelled::Waiting);
        assert_eq!(queue.cancel(block(0, 0)), Cancelled::Unknown);
        assert_eq!(queue.start(Instant::ZERO), Some((0, block(0, 1))));
        assert_eq!(queue.cancel(block(0, 1)), Cancelled::Sending(0));
        assert_eq!(queue.unsent(0).map(|left| left.block), Some(block(0, 1)));
        assert!(queue.is_empty());
    }

    #[test]
    fn those_on_their_way_count_against_the_bound() {
        let mut queue = UploadQueue::new(2);
        queue.push(block(0, 0)).unwrap();
        queue.push(block(0, 1)).unwrap();
        queue.start(Instant::ZERO).unwrap();
        assert_eq!(queue.push(block(0, 2)), Err(QueueFull));
        assert_eq!(queue.sent(0).map(|left| left.block), Some(block(0, 0)));
        assert_eq!(queue.sent(0), None, "answered twice");
        assert_eq!(queue.push(block(0, 2)), Ok(()));
    }

    #[test]
    fn a_choke_ends_all_but_what_is_allowed_fast() {
        let mut queue = queue(&[block(0, 0), block(7, 0), block(7, 1), block(1, 0)]);
        queue.start(Instant::ZERO).unwrap();
        let (mut dropped, mut wish_back) = (Vec::new(), Vec::new());
        queue.choke(|piece| piece == PieceIndex(7), &mut dropped, &mut wish_back);
        assert_eq!((dropped, wish_back), (vec![block(1, 0)], vec![0]));
        assert_eq!(queue.waiting(), 2);
    }

    #[test]
    fn every_request_leaves_exactly_once_whatever_happens() {
        for seed in 0..50 {
            let mut rng = Rng::new(Seed(seed));
            let mut queue = UploadQueue::new(20);
            let (mut asked, mut answered) = (0, 0);
            for _ in 0..2_000 {
                let wanted = block(rng.below(3), rng.below(4));
                match rng.below(8) {
                    0..3 => asked += u32::from(queue.push(wanted).is_ok()),
                    3 => answered += u32::from(queue.cancel(wanted) == Cancelled::Waiting),
                    4..6 => drop(queue.start(Instant::ZERO)),
                    6 => answered += u32::from(queue.sent(rng.below(queue.next_sequence + 1)).is_some()),
                    _ => {
                        let (mut dropped, mut wish_back) = (Vec::new(), Vec::new());
                        queue.choke(|piece| piece.0 == 1, &mut dropped, &mut wish_back);
                        answered += dropped.len() as u32;
                    }
                }
                assert_eq!(asked, answered + queue.len(), "seed {seed}");
                assert!(queue.len() <= 20, "seed {seed}");
            }
        }
    }
}

//! The pipeline against a modelled peer: a rate, a distance, an order of answering.

use super::*;
use wire::PieceIndex;

const BLOCK: u32 = 16 * 1024;

fn block(number: u32) -> Block {
    Block { piece: PieceIndex(number / 64), offset: number % 64 * BLOCK, len: BLOCK }
}

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// A peer that answers in order, at a rate, half a round trip away each way.
struct Remote {
    pipeline: Pipeline,
    now: Instant,
    asked: u32,
    /// (number, when its block arrives), in order.
    coming: VecDeque<(u32, Instant)>,
    free_at: Instant,
    rtt: Duration,
    bytes_per_second: u64,
    received: u64,
}

impl Remote {
    fn new(rtt_millis: u64, bytes_per_second: u64) -> Remote {
        Remote {
            pipeline: Pipeline::new(BLOCK, 500, Instant::ZERO),
            now: Instant::ZERO,
            asked: 0,
            coming: VecDeque::new(),
            free_at: Instant::ZERO,
            rtt: Duration::from_millis(rtt_millis),
            bytes_per_second,
            received: 0,
        }
    }

    fn ask(&mut self) {
        let blocks: Vec<Block> = (0..self.pipeline.room()).map(|n| block(self.asked + n)).collect();
        for _ in &blocks {
            let begins = self.free_at.max(self.now + self.rtt / 2);
            self.free_at =
                begins + Duration::from_micros(u64::from(BLOCK) * 1_000_000 / self.bytes_per_second);
            self.coming.push_back((self.asked, self.free_at + self.rtt / 2));
            self.asked += 1;
        }
        self.pipeline.requested(&blocks, self.now);
    }

    /// Runs for a while; returns the share of the peer's rate that was used, in percent.
    fn run(&mut self, millis: u64) -> u64 {
        let (end, before) = (self.now + Duration::from_millis(millis), self.received);
        self.ask();
        while let Some((number, arrives)) = self.coming.front().copied()
            && arrives <= end
        {
            self.coming.pop_front();
            self.now = arrives;
            assert_eq!(self.pipeline.complete(block(number), self.now), Answer::Expected);
            self.received += u64::from(BLOCK);
            self.ask();
        }
        self.now = end;
        (self.received - before) * 100_000 / (self.bytes_per_second * millis)
    }
}

#[test]
fn every_peer_is_kept_busy_within_seconds_and_not_asked_for_much_more_than_it_delivers() {
    for (rtt, rate, within) in [
        (1, 100_000_000, 500),
        (20, 10_000_000, 1_000),
        (100, 10_000_000, 2_000),
        (100, 60_000_000, 3_000),
        (300, 1_000_000, 4_000),
        (20, 100_000, 5_000),
        (50, 20_000, 10_000),
    ] {
        let mut remote = Remote::new(rtt, rate);
        remote.run(within);
        let used = remote.run(10_000);
        let bytes = u64::from(remote.pipeline.target() * BLOCK);
        let name = format!("{rtt} ms, {rate} B/s: {used} % with {bytes} bytes outstanding");
        assert!(used >= 95, "{name}");
        let enough = rate * rtt / 1_000;
        assert!(bytes <= 4 * enough + rate / 2 + 3 * u64::from(BLOCK), "{name}");
    }
}

#[test]
fn slow_start_doubles_every_round_trip() {
    let mut remote = Remote::new(100, 1_000_000_000);
    let mut targets = Vec::new();
    for _ in 0..5 {
        remote.run(100);
        targets.push(remote.pipeline.target());
    }
    assert_eq!(targets, [4, 8, 16, 32, 64], "the first round trip ends just after the first look");
}

#[test]
fn a_peer_that_becomes_faster_is_asked_for_more() {
    let mut remote = Remote::new(100, 500_000);
    remote.run(10_000);
    remote.bytes_per_second = 20_000_000;
    remote.run(5_000);
    let used = remote.run(5_000);
    assert!(used >= 90, "{used} % of the new rate");
}

#[test]
fn a_peer_that_becomes_slower_is_asked_for_less() {
    let mut remote = Remote::new(50, 20_000_000);
    remote.run(5_000);
    let before = remote.pipeline.target();
    remote.bytes_per_second = 200_000;
    remote.run(60_000);
    assert!(remote.pipeline.target() * 4 < before, "{} from {before}", remote.pipeline.target());
}

#[test]
fn the_peers_reqq_and_our_own_bound_hold() {
    let mut remote = Remote::new(100, 1_000_000_000);
    remote.pipeline.set_reqq(50);
    remote.run(5_000);
    assert_eq!(remote.pipeline.target(), 50);
    remote.pipeline.set_reqq(0);
    assert_eq!(remote.pipeline.target(), 50, "a reqq of 0 means nothing");
    let mut remote = Remote::new(100, 1_000_000_000);
    remote.run(5_000);
    assert_eq!(remote.pipeline.target(), 500);
}

#[test]
fn a_reqq_of_one_is_obeyed() {
    let mut remote = Remote::new(10, 1_000_000);
    remote.pipeline.set_reqq(1);
    remote.run(3_000);
    assert_eq!(remote.pipeline.target(), 1);
}

#[test]
fn answers_are_known_once_in_any_order() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    let blocks: Vec<Block> = (0..4).map(block).collect();
    pipeline.requested(&blocks, at(0));
    for number in [2, 0, 3, 1] {
        assert_eq!(pipeline.complete(block(number), at(10)), Answer::Expected);
        assert_eq!(pipeline.complete(block(number), at(10)), Answer::Unknown);
    }
    assert!(pipeline.is_empty());
    assert_eq!(pipeline.reject(block(9)), Answer::Unknown);
}

#[test]
fn what_we_gave_up_is_late_and_not_unasked_for() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0), block(1), block(2)], at(0));
    assert!(pipeline.cancel(block(1)));
    assert!(!pipeline.cancel(block(1)));
    let mut released = Vec::new();
    pipeline.release_all(&mut released);
    assert_eq!(released, [block(0), block(2)]);
    assert_eq!(pipeline.complete(block(1), at(9)), Answer::Late);
    assert_eq!(pipeline.reject(block(2)), Answer::Late);
    assert_eq!(pipeline.complete(block(2), at(9)), Answer::Unknown);
    pipeline.requested(&[block(0)], at(10));
    assert_eq!(pipeline.complete(block(0), at(11)), Answer::Expected);
    assert_eq!(pipeline.complete(block(0), at(12)), Answer::Late, "asked for twice, it may come twice");
    assert_eq!(pipeline.complete(block(0), at(13)), Answer::Unknown, "but not thrice");
}

#[test]
fn a_silent_peer_is_snubbed_and_one_block_redeems_it() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0), block(1), block(2)], at(0));
    let mut released = Vec::new();
    assert_eq!(pipeline.check_at(), Some(at(8_000)), "nothing is known of it yet");
    assert!(!pipeline.check(at(7_999), &mut released));
    assert!(pipeline.check(at(8_000), &mut released));
    assert_eq!(released, [block(2), block(1), block(0)], "others may be asked for all of them");
    assert!(pipeline.is_asked(block(0)), "but the oldest request stands");
    assert!(!pipeline.is_asked(block(1)));
    released.pop();
    assert_eq!((pipeline.is_snubbed(), pipeline.room(), pipeline.speed(1)), (true, 0, Speed::Slow));
    assert_eq!(pipeline.check_at(), Some(at(60_000)));
    assert!(!pipeline.check(at(60_000), &mut released));
    assert_eq!(released, [block(2), block(1), block(0)]);
    assert_eq!(pipeline.room(), 1, "it may try again");
    pipeline.requested(&[block(5)], at(61_000));
    assert_eq!(pipeline.complete(block(5), at(62_000)), Answer::Expected);
    assert!(!pipeline.is_snubbed());
    assert!(pipeline.room() >= 2);
}

#[test]
fn the_time_out_follows_the_round_trip_and_partial_blocks_count_as_a_sign_of_life() {
    let mut remote = Remote::new(100, 10_000_000);
    remote.run(5_000);
    remote.coming.clear();
    let (heard, mut released) = (remote.pipeline.heard, Vec::new());
    assert_eq!(remote.pipeline.check_at(), Some(heard + TIMEOUT_MIN));
    remote.pipeline.heard(heard + Duration::from_secs(1));
    assert!(!remote.pipeline.check(heard + TIMEOUT_MIN, &mut released));
    assert!(remote.pipeline.check(heard + Duration::from_secs(3), &mut released));
    assert_eq!(remote.pipeline.len(), 1);
}

#[test]
fn a_peer_that_trickles_bytes_and_never_ends_a_block_is_snubbed() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0), block(1)], at(0));
    let mut released = Vec::new();
    for second in 1..10 {
        pipeline.heard(at(second * 1_000));
        assert!(!pipeline.check(at(second * 1_000), &mut released));
    }
    pipeline.heard(at(10_000));
    assert!(pipeline.check(at(10_000), &mut released));
    assert_eq!(released, [block(1), block(0)]);
    assert_eq!(pipeline.complete(block(0), at(12_000)), Answer::Expected);
    assert!(pipeline.is_snubbed(), "a block in twelve seconds redeems nobody");
    assert_eq!(pipeline.room(), 1);
    pipeline.requested(&[block(2)], at(12_000));
    assert_eq!(pipeline.complete(block(2), at(15_000)), Answer::Expected);
    assert!(!pipeline.is_snubbed());
}

#[test]
fn a_peer_that_we_did_not_read_is_not_blamed_for_silence() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0), block(1)], at(0));
    let mut released = Vec::new();
    // Our allowance was spent for two minutes.
    pipeline.read_again(at(120_000));
    assert_eq!(pipeline.check_at(), Some(at(128_000)));
    assert!(!pipeline.check(at(127_999), &mut released));
    assert_eq!(released, []);
    assert_eq!(pipeline.complete(block(0), at(127_999)), Answer::Expected);
    assert!(!pipeline.is_snubbed());
    // Snubbed, and then not read: its block counts as prompt if it comes soon after.
    assert!(pipeline.check(at(150_000), &mut released));
    pipeline.requested(&[block(2)], at(150_000));
    pipeline.read_again(at(200_000));
    assert_eq!(pipeline.complete(block(2), at(205_000)), Answer::Expected);
    assert!(!pipeline.is_snubbed());
}

#[test]
fn a_request_that_is_passed_over_is_given_up_alone() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0)], at(0));
    let mut released = Vec::new();
    for second in 1..59 {
        pipeline.requested(&[block(second)], at(u64::from(second) * 1_000));
        pipeline.complete(block(second), at(u64::from(second) * 1_000 + 500));
        pipeline.check(at(u64::from(second) * 1_000 + 501), &mut released);
    }
    assert_eq!(released, []);
    assert_eq!(pipeline.check_at(), Some(at(60_000)));
    assert!(!pipeline.check(at(60_000), &mut released));
    assert_eq!(released, [block(0)]);
}

#[test]
fn a_reject_of_what_was_called_back_is_not_laid_to_the_request_made_since() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    pipeline.requested(&[block(0)], at(0));
    pipeline.cancel(block(0));
    pipeline.requested(&[block(0)], at(10));
    assert_eq!(pipeline.reject(block(0)), Answer::Late);
    assert_eq!(pipeline.len(), 1);
    assert_eq!(pipeline.reject(block(0)), Answer::Expected);
    assert_eq!(pipeline.reject(block(0)), Answer::Unknown);
}

#[test]
fn what_is_remembered_as_late_is_bounded() {
    let mut pipeline = Pipeline::new(BLOCK, 500, Instant::ZERO);
    for number in 0..2_000 {
        pipeline.requested(&[block(number)], at(0));
        pipeline.cancel(block(number));
    }
    assert_eq!(pipeline.amiss.late.len(), LATE_BLOCKS_MAX);
    assert_eq!(pipeline.complete(block(1_999), at(0)), Answer::Late);
    assert_eq!(pipeline.complete(block(0), at(0)), Answer::Unknown);
}

//! The picker's rules one by one, and a whole download with peers that come, go, choke and repeat themselves.

mod stale;

use super::runs::RunFor;
use super::*;
use crate::pieces::open_piece::{BlockState, COPIES_PER_BLOCK_MAX};
use crate::{BlockSet, Seed};
use wire::Bitfield;

const BLOCK: u32 = 16 * 1024;
const NOW: Instant = Instant::ZERO;

fn picker(pieces: u32, blocks: u32) -> PiecePicker {
    let layout = Layout::new(u64::from(pieces * blocks * BLOCK), blocks * BLOCK).unwrap();
    PiecePicker::new(Arc::new(layout), 0)
}

fn key(slot: u16) -> PeerKey {
    PeerKey::new(slot, 1)
}

fn terms(peer: u16, pieces: &RemotePieces, want: u32) -> PickFor<'_> {
    PickFor {
        peer: key(peer),
        pieces,
        want,
        now: NOW,
        rescues: true,
        speed: Speed::Medium,
        only: None,
        suggested: &[],
        on_parole: false,
        open_bytes_max: u64::MAX,
    }
}

fn pick(picker: &mut PiecePicker, terms: PickFor<'_>) -> Vec<Block> {
    let (mut rng, mut out) = (Rng::new(Seed(1)), Vec::new());
    picker.pick(&terms, &mut rng, &mut out);
    out
}

fn set_of(total: u32, pieces: impl IntoIterator<Item = u32>) -> RemotePieces {
    let mut set = Bitfield::new(total);
    pieces.into_iter().for_each(|piece| {
        set.insert(PieceIndex(piece));
    });
    RemotePieces::from_bitfield(set)
}

/// Fetches a whole piece from one peer and verifies it.
fn fetch(picker: &mut PiecePicker, blocks: &[Block], peer: u16) {
    for &block in blocks {
        if let Received::New { whole: Some(attempt) } =
            picker.received(block, key(peer), NOW, &mut Vec::new())
        {
            assert!(picker.verified(block.piece, attempt, true));
        }
    }
}

#[test]
fn unfinished_pieces_are_finished_before_new_ones_are_opened() {
    let mut picker = picker(10, 4);
    let first = pick(&mut picker, terms(0, &RemotePieces::All, 2));
    let second = pick(&mut picker, terms(1, &RemotePieces::All, 3));
    assert_eq!(first.len() + second.len(), 5);
    assert!(second[..2].iter().all(|block| block.piece == first[0].piece));
    assert_ne!(second[2].piece, first[0].piece);
}

#[test]
fn a_fast_peer_gets_pieces_of_its_own() {
    let mut picker = picker(10, 4);
    let first = pick(&mut picker, terms(0, &RemotePieces::All, 2));
    let fast = PickFor { speed: Speed::Fast, ..terms(1, &RemotePieces::All, 4) };
    let second = pick(&mut picker, fast);
    assert!(second.iter().all(|block| block.piece == second[0].piece && block.piece != first[0].piece));
}

#[test]
fn a_slow_peer_is_probed_and_keeps_nobody_from_a_block() {
    let mut few = picker(1, 2);
    let slow = PickFor { speed: Speed::Slow, ..terms(0, &RemotePieces::All, 5) };
    assert_eq!(pick(&mut few, slow).len(), 1, "one at a time");
    assert_eq!(pick(&mut few, terms(1, &RemotePieces::All, 5)).len(), 2, "all of it is free for others");
    assert_eq!(pick(&mut few, slow).len(), 1, "and it may be asked for what others were asked for");
    assert_eq!(pick(&mut few, terms(2, &RemotePieces::All, 5)).len(), 2, "end-game copies of both");
    let mut picker = picker(10, 4);
    (1..4).for_each(|peer| picker.peer_joined(key(peer), &set_of(10, [7])));
    picker.peer_joined(key(0), &RemotePieces::All);
    let slow = PickFor { speed: Speed::Slow, ..terms(0, &RemotePieces::All, 1) };
    assert_eq!(pick(&mut picker, slow)[0].piece, PieceIndex(7));
}

#[test]
fn the_rarest_piece_is_opened_first() {
    let mut picker = picker(10, 1);
    picker.peer_joined(key(0), &RemotePieces::All);
    picker.peer_joined(key(1), &set_of(10, (0..10).filter(|&piece| piece != 6)));
    assert_eq!(pick(&mut picker, terms(0, &RemotePieces::All, 1))[0].piece, PieceIndex(6));
}

#[test]
fn sequential_mode_goes_in_order() {
    let mut picker = picker(10, 2);
    picker.set_sequential(true);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 20));
    assert!(blocks.is_sorted());
    assert_eq!(blocks.len(), 20);
}

#[test]
fn skipped_pieces_are_never_asked_for_and_high_ones_come_first() {
    let mut picker = picker(10, 2);
    picker.set_priorities(|piece| match piece.0 {
        0..5 => Priority::Skip,
        9 => Priority::High,
        _ => Priority::Normal,
    });
    assert_eq!(picker.pieces().lacking_count(), 5);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 100));
    assert_eq!(blocks.len(), 10);
    assert_eq!(blocks[0].piece, PieceIndex(9));
    assert!(blocks.iter().all(|block| block.piece.0 >= 5));
    picker.set_priorities(|_| Priority::Normal);
    assert_eq!(pick(&mut picker, terms(0, &RemotePieces::All, 100)).len(), 10);
}

#[test]
fn a_choking_peer_is_asked_only_for_what_it_allows() {
    let mut picker = picker(10, 2);
    let only = [PieceIndex(3), PieceIndex(4)];
    let theirs = set_of(10, [4, 5, 6]);
    let blocks = pick(&mut picker, PickFor { only: Some(&only), ..terms(0, &theirs, 10) });
    assert_eq!(blocks.iter().map(|block| block.piece.0).collect::<Vec<_>>(), [4, 4]);
}

#[test]
fn a_suggested_piece_comes_before_rarer_ones() {
    let mut picker = picker(10, 2);
    picker.peer_joined(key(1), &set_of(10, [8]));
    let suggested = [PieceIndex(8)];
    let blocks = pick(&mut picker, PickFor { suggested: &suggested, ..terms(0, &RemotePieces::All, 1) });
    assert_eq!(blocks[0].piece, PieceIndex(8));
}

#[test]
fn the_budget_bounds_open_pieces_but_always_allows_one() {
    let mut picker = picker(10, 4);
    let bytes = u64::from(4 * BLOCK);
    for (budget, expected) in [(0, 4), (2 * bytes, 4), (3 * bytes - 1, 0), (3 * bytes, 4)] {
        let terms = PickFor { open_bytes_max: budget, ..terms(0, &RemotePieces::All, 4) };
        assert_eq!(pick(&mut picker, terms).len(), expected, "budget {budget}");
    }
    assert_eq!(picker.pieces().live_bytes(), 3 * bytes);
}

#[test]
fn a_spilled_piece_that_nobody_sends_leaves_room_for_another() {
    let mut picker = picker(10, 2);
    let only = set_of(10, [0]);
    let blocks = pick(&mut picker, PickFor { open_bytes_max: 0, ..terms(0, &only, 2) });
    picker.received(blocks[0], key(0), NOW, &mut Vec::new());
    picker.release(blocks[1], key(0));
    let others = set_of(10, [1, 2]);
    assert_eq!(pick(&mut picker, PickFor { open_bytes_max: 0, ..terms(1, &others, 2) }), []);
    let (attempt, spilled) = picker.spill(PieceIndex(0)).unwrap();
    assert_eq!(spilled, [0].into_iter().collect());
    assert_eq!(picker.spill(PieceIndex(0)), None);
    picker.spilled(PieceIndex(0), attempt, true, NOW);
    assert_eq!(picker.oldest_kept(), None);
    assert_eq!(pick(&mut picker, PickFor { open_bytes_max: 0, ..terms(1, &others, 2) }).len(), 2);
}

#[test]
fn in_end_game_blocks_are_asked_for_again_and_then_cancelled() {
    let mut picker = picker(1, 4);
    let first = pick(&mut picker, terms(0, &RemotePieces::All, 4));
    assert!(picker.is_end_game());
    for peer in 1..=COPIES_PER_BLOCK_MAX as u16 {
        assert_eq!(pick(&mut picker, terms(peer, &RemotePieces::All, 9)).len(), 4);
        assert_eq!(pick(&mut picker, terms(peer, &RemotePieces::All, 9)).len(), 0, "twice from one peer");
    }
    assert_eq!(pick(&mut picker, terms(9, &RemotePieces::All, 9)), [], "too many copies");
    let mut cancel = Vec::new();
    assert_eq!(picker.received(first[0], key(1), NOW, &mut cancel), Received::New { whole: None });
    assert_eq!(cancel, [key(0), key(2)]);
    assert_eq!(picker.received(first[0], key(0), NOW, &mut cancel), Received::Duplicate);
}

#[test]
fn a_copy_takes_the_place_of_a_first_asked_that_gives_up() {
    let mut picker = picker(1, 1);
    let block = pick(&mut picker, terms(0, &RemotePieces::All, 1))[0];
    assert_eq!(pick(&mut picker, terms(1, &RemotePieces::All, 1)), [block]);
    picker.release(block, key(0));
    assert_eq!(pick(&mut picker, terms(2, &RemotePieces::All, 1)), [block]);
    picker.release(block, key(1));
    picker.release(block, key(2));
    assert_eq!(picker.pieces().state(PieceIndex(0)), PieceState::Missing);
}

#[test]
fn a_released_block_is_asked_for_again_and_its_late_answer_is_welcome() {
    let mut picker = picker(2, 2);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 2));
    blocks.iter().for_each(|&block| picker.release(block, key(0)));
    assert_eq!(picker.pieces().state(blocks[0].piece), PieceState::Missing);
    assert_eq!(picker.received(blocks[0], key(0), NOW, &mut Vec::new()), Received::New { whole: None });
    assert_eq!(pick(&mut picker, terms(1, &RemotePieces::All, 1)), [blocks[1]]);
}

#[test]
fn a_peer_on_parole_works_alone_while_there_is_other_work() {
    let mut picker = picker(3, 2);
    let shared = pick(&mut picker, terms(0, &RemotePieces::All, 1))[0].piece;
    let parole = PickFor { on_parole: true, ..terms(1, &RemotePieces::All, 1) };
    let own = pick(&mut picker, parole)[0].piece;
    assert_ne!(shared, own);
    let rest = pick(&mut picker, terms(0, &RemotePieces::All, 3));
    assert!(rest.iter().all(|block| block.piece != own));
    assert_eq!(pick(&mut picker, terms(0, &RemotePieces::All, 1))[0].piece, own, "nothing else is left");
}

#[test]
fn a_bad_piece_is_fetched_again_and_stale_verdicts_are_ignored() {
    let mut picker = picker(1, 1);
    let block = pick(&mut picker, terms(0, &RemotePieces::All, 1))[0];
    let Received::New { whole: Some(first) } = picker.received(block, key(0), NOW, &mut Vec::new()) else {
        panic!("the only block makes the piece whole");
    };
    assert_eq!(picker.origins(block.piece), [Origin::Peer(key(0))]);
    assert!(picker.verified(block.piece, first, false));
    assert_eq!(pick(&mut picker, terms(1, &RemotePieces::All, 1)), [block]);
    assert!(!picker.verified(block.piece, first, true), "not whole again yet");
    let Received::New { whole: Some(second) } = picker.received(block, key(1), NOW, &mut Vec::new()) else {
        panic!("the only block makes the piece whole");
    };
    assert!(!picker.verified(block.piece, first, true));
    assert!(picker.verified(block.piece, second, true));
    assert_eq!(picker.pieces().state(block.piece), PieceState::Have(Durability::Buffered));
}

#[test]
fn durability_goes_up_in_steps_and_down_when_a_sync_fails_or_a_piece_is_lost() {
    let mut picker = picker(2, 1);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 2));
    fetch(&mut picker, &blocks, 0);
    let piece = PieceIndex(1);
    assert_eq!(picker.pieces().unwritten_bytes(), u64::from(2 * BLOCK));
    for (durability, durable) in
        [(Durability::Written, false), (Durability::Synced, true), (Durability::Committed, true)]
    {
        assert!(picker.hardened(piece, durability));
        assert!(!picker.hardened(piece, durability));
        assert_eq!(picker.pieces().durable().has(piece), durable);
    }
    assert_eq!(picker.pieces().unwritten_bytes(), u64::from(BLOCK));
    picker.sync_failed(piece);
    assert!(!picker.pieces().durable().has(piece));
    assert!(picker.pieces().have().has(piece));
    picker.lost(piece);
    assert!(!picker.pieces().have().has(piece));
    assert_eq!(picker.pieces().lacking_count(), 1);
    assert!(picker.wants_from(key(0), &set_of(2, [1])));
}

#[test]
fn a_resume_record_brings_back_pieces_and_spilled_blocks() {
    let mut picker = picker(4, 2);
    let mut have = Bitfield::new(4);
    have.insert(PieceIndex(0));
    let open = |piece, blocks| crate::resume::OpenRecord { piece: PieceIndex(piece), blocks };
    let record = ResumeRecord {
        have,
        open: vec![open(1, [0].into_iter().collect()), open(2, BlockSet::full(2)), open(9, BlockSet::new())],
        uploaded: 0,
        downloaded: 0,
    };
    assert_eq!(picker.restore(&record), [(PieceIndex(2), Attempt(0))]);
    assert_eq!(picker.pieces().state(PieceIndex(0)), PieceState::Have(Durability::Committed));
    assert_eq!(picker.pieces().open_records().len(), 2);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 9));
    assert_eq!(blocks.len(), 3);
    assert_eq!((blocks[0].piece, blocks[0].offset), (PieceIndex(1), BLOCK));
    assert!(picker.origins(PieceIndex(2)).iter().all(|&origin| origin == Origin::Disk));
}

#[test]
fn interest_follows_every_piece_that_comes_or_is_gained() {
    for seed in 0..20 {
        let mut rng = Rng::new(Seed(seed));
        let total = 500;
        let mut picker = picker(total, 1);
        let mut theirs = set_of(total, (0..total).filter(|_| rng.below(3) == 0));
        picker.peer_joined(key(0), &theirs);
        for step in 0..2_000 {
            let piece = PieceIndex(rng.below(total));
            match rng.below(8) {
                0 if theirs.insert(piece, total) => picker.peer_has(key(0), piece),
                1 => picker.lost(piece),
                _ => picker.found(piece),
            }
            let mut expected = false;
            theirs.each(total, |piece| expected |= !picker.pieces().have().has(piece));
            assert_eq!(picker.wants_from(key(0), &theirs), expected, "seed {seed} step {step}");
        }
    }
}

#[test]
fn a_departed_peers_late_block_is_not_laid_to_the_next_tenant_of_its_slot() {
    let mut picker = picker(2, 2);
    let blocks = pick(&mut picker, terms(0, &RemotePieces::All, 1));
    picker.received(blocks[0], key(0), NOW, &mut Vec::new());
    picker.peer_left(key(0), &RemotePieces::None);
    let newcomer = PeerKey::new(0, 2);
    picker.peer_joined(newcomer, &RemotePieces::All);
    assert_eq!(picker.origins(blocks[0].piece)[0], Origin::Peer(key(0)));
}

fn web_terms(pieces: &RemotePieces, on_parole: bool) -> RunFor<'_> {
    let source = PeerKey::of_web_seed(0);
    RunFor { source, now: NOW, pieces, bytes_max: u64::MAX, open_bytes_max: u64::MAX, alone: true, on_parole }
}

#[test]
fn a_web_seed_on_parole_goes_on_with_what_it_left_of_a_piece_when_nothing_else_is_to_be_had() {
    let (mut picker, mut rng) = (picker(2, 4), Rng::new(Seed(1)));
    let web_seed = PeerKey::of_web_seed(0);
    let all = picker.pick_run(&web_terms(&RemotePieces::All, true), &mut rng).unwrap();
    assert_eq!(all, 0..8 * u64::from(BLOCK));
    let block = |number: u32| Block { piece: PieceIndex(number / 4), offset: number % 4 * BLOCK, len: BLOCK };
    picker.received(block(0), web_seed, NOW, &mut Vec::new());
    // It breaks off.
    (1..8).for_each(|number| picker.release(block(number), web_seed));
    picker.end_reservation(web_seed);
    let second = picker.pick_run(&web_terms(&RemotePieces::All, true), &mut rng).unwrap();
    assert_eq!(second, 4 * u64::from(BLOCK)..8 * u64::from(BLOCK), "a piece of its own first");
    let rest = picker.pick_run(&web_terms(&RemotePieces::All, true), &mut rng);
    assert_eq!(rest, Some(u64::from(BLOCK)..4 * u64::from(BLOCK)));
}

#[test]
fn a_web_seed_takes_up_what_is_reserved_for_a_peer_that_does_nothing_when_nothing_else_is_left() {
    let (mut picker, mut rng) = (picker(2, 4), Rng::new(Seed(1)));
    let parole = PickFor { on_parole: true, ..terms(1, &RemotePieces::All, 1) };
    let own = pick(&mut picker, parole)[0];
    let run = |piece: u32, first: u32| {
        let place = |block: u32| u64::from((piece * 4 + block) * BLOCK);
        place(first)..place(4)
    };
    let other = picker.pick_run(&web_terms(&RemotePieces::All, false), &mut rng);
    assert_eq!(other, Some(run(1 - own.piece.0, 0)));
    let rest = picker.pick_run(&web_terms(&RemotePieces::All, false), &mut rng);
    assert_eq!(rest, Some(run(own.piece.0, 1)));
}

#[test]
fn of_many_unfinished_pieces_none_is_passed_over_for_ever_by_a_web_seed() {
    const PIECES: u32 = 200;
    let (mut picker, mut rng) = (picker(PIECES, 2), Rng::new(Seed(1)));
    // A block of each is here, nobody was asked for the other.
    for block in pick(&mut picker, terms(0, &RemotePieces::All, PIECES * 2)) {
        match block.offset {
            0 => drop(picker.received(block, key(0), NOW, &mut Vec::new())),
            _ => picker.release(block, key(0)),
        }
    }
    assert_eq!(picker.pieces.partials.len(), PIECES as usize);
    // It has only those that stand last among the unfinished.
    let last = picker.pieces.partials.iter().skip(150).map(|&index| picker.pieces.open[index.get()].piece.0);
    let theirs = set_of(PIECES, last.collect::<Vec<_>>());
    let found = (0..20).filter(|_| picker.pick_run(&web_terms(&theirs, false), &mut rng).is_some()).count();
    assert!(found > 0, "64 of 200 are looked at each time, and never one of the last 50");
}

/// Peers that come, go, choke, stall, send twice and spoil pieces; after each step every index is counted again.
#[test]
fn a_stormy_download_ends_whole_with_every_index_right() {
    for seed in 0..12 {
        let mut storm = Storm::new(seed);
        let steps = storm.run();
        assert!(steps < 200_000, "seed {seed}: no end in sight");
        assert_eq!(storm.picker.pieces().have_count(), storm.total, "seed {seed}");
        assert_eq!(storm.picker.pieces().live_bytes(), 0, "seed {seed}");
    }
}

struct Storm {
    picker: PiecePicker,
    rng: Rng,
    total: u32,
    seed: u64,
    /// Their pieces, and what they were asked for.
    peers: Vec<(RemotePieces, Vec<Block>, u16)>,
    /// What slow peers were asked for.
    probes: Vec<(usize, Block)>,
}

impl Storm {
    fn new(seed: u64) -> Storm {
        let mut rng = Rng::new(Seed(seed));
        let (total, blocks) = (1 + rng.below(60), 1 + rng.below(70));
        let (picker, peers, probes) = (picker(total, blocks), Vec::new(), Vec::new());
        let mut storm = Storm { picker, rng, total, seed, peers, probes };
        storm.picker.set_sequential(seed.is_multiple_of(3));
        for slot in 0..6 {
            storm.peers.push((RemotePieces::None, Vec::new(), 0));
            storm.join(slot);
        }
        storm
    }

    fn key(&self, slot: usize) -> PeerKey {
        PeerKey::new(slot as u16, self.peers[slot].2)
    }

    fn join(&mut self, slot: usize) {
        let share = if slot == 0 { 100 } else { self.rng.below(101) };
        let theirs = set_of(self.total, (0..self.total).filter(|_| self.rng.below(100) < share));
        self.peers[slot] = (theirs, Vec::new(), self.peers[slot].2 + 1);
        self.picker.peer_joined(self.key(slot), &self.peers[slot].0);
    }

    fn drop_requests(&mut self, slot: usize) {
        let key = self.key(slot);
        core::mem::take(&mut self.peers[slot].1).into_iter().for_each(|block| {
            self.picker.release(block, key);
        });
    }

    fn run(&mut self) -> u32 {
        let mut steps = 0;
        while self.picker.pieces().lacking_count() > 0 && steps < 200_000 {
            steps += 1;
            let slot = self.rng.index(self.peers.len());
            match self.rng.below(40) {
                0 => self.drop_requests(slot),
                1 if slot > 0 => {
                    self.drop_requests(slot);
                    let gone = core::mem::take(&mut self.peers[slot].0);
                    self.picker.peer_left(self.key(slot), &gone);
                    self.join(slot);
                }
                2 => {
                    let piece = PieceIndex(self.rng.below(self.total));
                    if self.peers[slot].0.insert(piece, self.total) {
                        self.picker.peer_has(self.key(slot), piece);
                    }
                }
                3 => self.spill(),
                4..20 => self.ask(slot),
                _ => self.answer(slot),
            }
            if steps % 50 == 0 {
                self.check();
            }
        }
        steps
    }

    fn spill(&mut self) {
        for piece in self.picker.due_for_spill(NOW) {
            if let Some((attempt, _)) = self.picker.spill(piece) {
                self.picker.spilled(piece, attempt, self.rng.below(2) == 0, NOW);
            }
        }
    }

    fn ask(&mut self, slot: usize) {
        let speed = [Speed::Fast, Speed::Medium, Speed::Slow][self.rng.index(3)];
        let only: Vec<PieceIndex> = (0..3).map(|_| PieceIndex(self.rng.below(self.total))).collect();
        let terms = PickFor {
            speed,
            only: (self.rng.below(8) == 0).then_some(&only[..]),
            on_parole: self.rng.below(8) == 0,
            open_bytes_max: 4 * u64::from(self.picker.pieces().layout().piece_len_max()),
            peer: self.key(slot),
            ..terms(0, &self.peers[slot].0, self.rng.below(40))
        };
        let (mut out, mut rng) = (Vec::new(), self.rng.fork());
        self.picker.pick(&terms, &mut rng, &mut out);
        assert!(out.len() as u32 <= terms.want, "seed {}", self.seed);
        for block in out {
            assert!(self.peers[slot].0.has(block.piece), "seed {}: {block:?}", self.seed);
            if speed == Speed::Slow {
                assert!(!self.picker.pieces().have().has(block.piece), "seed {}: {block:?}", self.seed);
                self.probes.push((slot, block));
                continue;
            }
            assert!(!self.peers[slot].1.contains(&block), "seed {}: asked twice: {block:?}", self.seed);
            self.peers[slot].1.push(block);
        }
    }

    fn answer(&mut self, slot: usize) {
        if !self.probes.is_empty() && self.rng.below(4) == 0 {
            let (slot, block) = self.probes.swap_remove(self.rng.index(self.probes.len()));
            self.peers[slot].1.retain(|&asked| asked != block);
            return self.deliver(slot, block);
        }
        if self.peers[slot].1.is_empty() {
            return;
        }
        let at = self.rng.index(self.peers[slot].1.len());
        let block = self.peers[slot].1.swap_remove(at);
        self.deliver(slot, block);
    }

    fn deliver(&mut self, slot: usize, block: Block) {
        let key = self.key(slot);
        let mut cancel = Vec::new();
        let received = self.picker.received(block, key, NOW, &mut cancel);
        for other in cancel {
            assert_eq!(self.key(other.slot()), other, "seed {}", self.seed);
            self.peers[other.slot()].1.retain(|&asked| asked != block);
        }
        if let Received::New { whole: Some(attempt) } = received {
            assert!(self.picker.verified(block.piece, attempt, self.rng.below(5) > 0));
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        let pieces = self.picker.pieces();
        let layout = pieces.layout();
        let live = pieces.open().iter().filter(|open| open.is_live());
        let live: u64 = live.map(|open| u64::from(layout.piece_len(open.piece))).sum();
        assert_eq!(pieces.live_bytes(), live, "seed {seed}");
        for piece in layout.piece_indices() {
            let state = pieces.state(piece);
            assert_eq!(pieces.have().has(piece), matches!(state, PieceState::Have(_)), "seed {seed}");
            assert_eq!(self.picker.availability.contains(piece), state == PieceState::Missing, "seed {seed}");
            let Some(open) = pieces.open_piece(piece) else { continue };
            assert_eq!(open.piece, piece, "seed {seed}");
            assert_eq!(open.partial_at.is_some(), open.free() > 0, "seed {seed}");
            let blocks = 0..layout.blocks_in(piece);
            let free = blocks.filter(|&block| open.block(block) == Some(BlockState::Free)).count();
            assert_eq!(free as u32, open.free(), "seed {seed}");
        }
        for slot in 0..self.peers.len() {
            let key = self.key(slot);
            let asked = |block: &&Block| {
                let number = layout.block_index(**block);
                let open = pieces.open_piece(block.piece);
                open.and_then(|open| open.block(number)) == Some(BlockState::Asked(key))
            };
            let first = self.peers[slot].1.iter().filter(asked).count() as u32;
            let copies = self.picker.rows[slot].copies;
            assert_eq!(first + u32::from(copies), self.peers[slot].1.len() as u32, "seed {seed} slot {slot}");
        }
        let mut wanted = false;
        let slot = self.rng.index(self.peers.len());
        self.peers[slot].0.each(self.total, |piece| wanted |= pieces.lacking().has(piece));
        let key = self.key(slot);
        assert_eq!(self.picker.wants_from(key, &self.peers[slot].0), wanted, "seed {seed}");
    }
}

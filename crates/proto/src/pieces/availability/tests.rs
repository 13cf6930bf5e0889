//! Availability against a model that counts again from scratch.

use super::*;
use crate::Seed;

struct Model {
    availability: Availability,
    peers: Vec<RemotePieces>,
    priorities: Vec<Priority>,
    total: u32,
}

impl Model {
    fn check(&self, what: &str) {
        for piece in (0..self.total).map(PieceIndex) {
            let count = self.peers.iter().filter(|theirs| theirs.has(piece)).count() as u32;
            assert_eq!(self.availability.of(piece), count, "{piece} {what}");
        }
        for order in &self.availability.orders {
            assert!(order.starts.is_sorted(), "{what}");
            assert_eq!(order.pieces.len() as u32, order.set.count(), "{what}");
            for at in 0..order.pieces.len() {
                let piece = order.piece(at);
                assert_eq!(self.availability.positions.at(piece.as_usize()), at as u32, "{what}");
                let bucket = order.bucket(-i32::from(self.availability.counts[piece.as_usize()]));
                let range = order.starts[bucket] as usize..order.end(bucket);
                assert!(range.contains(&at), "{piece} at {at} not in {range:?} {what}");
            }
        }
    }
}

#[test]
fn counts_and_buckets_stay_right_whatever_comes_and_goes() {
    for seed in 0..20 {
        let mut rng = Rng::new(Seed(seed));
        let total = 1 + rng.below(300);
        let mut model = Model {
            availability: Availability::new(total),
            peers: Vec::new(),
            priorities: vec![Priority::Normal; total as usize],
            total,
        };
        for step in 0..400 {
            let piece = PieceIndex(rng.below(total));
            let priority = model.priorities[piece.as_usize()];
            match rng.below(6) {
                0 => model.availability.insert(piece, priority),
                1 => model.availability.remove(piece, priority),
                2 => {
                    let share = rng.below(101);
                    let mut set = Bitfield::new(total);
                    (0..total).filter(|_| rng.below(100) < share).for_each(|piece| {
                        set.insert(PieceIndex(piece));
                    });
                    let theirs = RemotePieces::from_bitfield(set);
                    model.availability.peer_joined(&theirs, |piece| model.priorities[piece.as_usize()]);
                    model.peers.push(theirs);
                }
                3 if !model.peers.is_empty() => {
                    let gone = model.peers.swap_remove(rng.index(model.peers.len()));
                    model.availability.peer_left(&gone, |piece| model.priorities[piece.as_usize()]);
                }
                4 if !model.peers.is_empty() => {
                    let at = rng.index(model.peers.len());
                    if model.peers[at].insert(piece, total) {
                        model.availability.raise(piece, priority);
                    }
                }
                _ => {
                    model.availability.remove(piece, priority);
                    let next = [Priority::Skip, Priority::Low, Priority::Normal, Priority::High];
                    model.priorities[piece.as_usize()] = next[rng.index(4)];
                }
            }
            if step % 20 == 0 {
                model.check(&format!("seed {seed} step {step}"));
            }
        }
        model.check(&format!("seed {seed}"));
    }
}

#[test]
fn the_rarest_piece_the_peer_has_is_chosen_and_the_commonest_for_the_slow() {
    let mut availability = Availability::new(100);
    (0..100).for_each(|piece| availability.insert(PieceIndex(piece), Priority::Normal));
    // Piece p has p peers.
    (0..100)
        .for_each(|piece| (0..piece).for_each(|_| availability.raise(PieceIndex(piece), Priority::Normal)));
    let mut set = Bitfield::new(100);
    (40..60).for_each(|piece| {
        set.insert(PieceIndex(piece));
    });
    let theirs = RemotePieces::from_bitfield(set);
    let (mut rng, mut search) = (Rng::new(Seed(3)), Search::default());
    for (taste, expected) in [(Taste::Rarest, 40), (Taste::Commonest, 59), (Taste::First, 40)] {
        let chosen = availability.choose(&theirs, taste, &mut search, &mut rng);
        assert_eq!(chosen, Some(PieceIndex(expected)), "{taste:?}");
    }
    let random = availability.choose(&theirs, Taste::Random, &mut search, &mut rng);
    assert!(random.is_some_and(|piece| theirs.has(piece)));
}

#[test]
fn a_peer_with_one_common_piece_among_a_hundred_thousand_is_found_work_and_then_left_alone() {
    let total = 100_000;
    let mut availability = Availability::new(total);
    (0..total).for_each(|piece| availability.insert(PieceIndex(piece), Priority::Normal));
    let mut set = Bitfield::new(total);
    (0..200).for_each(|piece| {
        set.insert(PieceIndex(piece * 500));
    });
    let theirs = RemotePieces::from_bitfield(set);
    availability.peer_joined(&theirs, |_| Priority::Normal);
    let (mut rng, mut search) = (Rng::new(Seed(4)), Search::default());
    for _ in 0..200 {
        let piece = availability.choose(&theirs, Taste::Rarest, &mut search, &mut rng).unwrap();
        assert!(theirs.has(piece));
        availability.remove(piece, Priority::Normal);
    }
    assert_eq!(availability.choose(&theirs, Taste::Rarest, &mut search, &mut rng), None);
    assert_eq!(search.barren_since[1], availability.epoch);
    availability.insert(PieceIndex(500), Priority::Normal);
    assert_eq!(availability.choose(&theirs, Taste::Rarest, &mut search, &mut rng), Some(PieceIndex(500)));
}

#[test]
fn eager_pieces_come_first_however_common() {
    let mut availability = Availability::new(10);
    (0..10).for_each(|piece| {
        let priority = [Priority::Low, Priority::Normal, Priority::High][piece as usize % 3];
        availability.insert(PieceIndex(piece), priority);
    });
    let (mut rng, mut search) = (Rng::new(Seed(5)), Search::default());
    let mut classes = Vec::new();
    while let Some(piece) = availability.choose(&RemotePieces::All, Taste::Rarest, &mut search, &mut rng) {
        let priority = [Priority::Low, Priority::Normal, Priority::High][piece.as_usize() % 3];
        availability.remove(piece, priority);
        classes.push(priority);
    }
    assert_eq!(classes.len(), 10);
    assert!(classes.is_sorted_by(|a, b| a >= b), "{classes:?}");
}

/// Each time one is taken off `base` and put on every piece.
#[test]
fn counts_stay_right_when_tens_of_thousands_come_as_newcomers_and_leave_as_seeds() {
    let normal = |_| Priority::Normal;
    for backwards in [false, true] {
        let mut availability = Availability::new(3);
        let pieces = [0, 1, 2].map(PieceIndex);
        pieces.iter().for_each(|&piece| availability.insert(piece, Priority::Normal));
        availability.raise(PieceIndex(1), Priority::Normal);
        for _ in 0..40_000 {
            if backwards {
                availability.peer_joined(&RemotePieces::All, normal);
                pieces.iter().for_each(|&piece| availability.lower(piece, Priority::Normal));
            } else {
                pieces.iter().for_each(|&piece| availability.raise(piece, Priority::Normal));
                availability.peer_left(&RemotePieces::All, normal);
            }
            assert_eq!(pieces.map(|piece| availability.of(piece)), [0, 1, 0]);
        }
        let mut rng = Rng::new(Seed(1));
        let common =
            availability.choose(&RemotePieces::All, Taste::Commonest, &mut Search::default(), &mut rng);
        assert_eq!(common, Some(PieceIndex(1)));
    }
}

//! Pieces that make no headway: who is asked for what silent peers owe, when, and what is never taken from whom.

use super::*;

#[test]
fn a_piece_that_makes_no_headway_is_asked_of_whoever_has_nothing_else_to_do() {
    let mut picker = picker(10, 4);
    let only = set_of(10, [3]);
    let first = pick(&mut picker, terms(0, &only, 4));
    let at = |millis: u64| PickFor { now: Instant::from_micros(millis * 1000), ..terms(1, &only, 4) };
    assert_eq!(pick(&mut picker, at(999)), [], "its owner may be about to send");
    assert!(!picker.is_end_game());
    let copies = pick(&mut picker, at(1000));
    assert_eq!(copies.len(), 4);
    picker.heard(key(0), Instant::from_micros(900_000));
    assert_eq!(pick(&mut picker, PickFor { peer: key(2), ..at(1000) }), [], "its owner is sending");
    let third = PickFor { peer: key(2), rescues: false, ..at(5000) };
    assert_eq!(pick(&mut picker, third), [], "it is we who do not read");
    // What the copies bring is no headway of the owner's: the rest can be asked for at once.
    picker.received(copies[0], key(1), Instant::from_micros(1_000_000), &mut Vec::new());
    assert_eq!(pick(&mut picker, PickFor { peer: key(2), ..at(1900) }).len(), 3);
    assert_eq!(pick(&mut picker, PickFor { peer: key(3), ..at(1899) }), []);
    let late = first.iter().find(|&&block| block != copies[0]).copied().expect("three are under way");
    picker.received(late, key(0), Instant::from_micros(2_000_000), &mut Vec::new());
    assert_eq!(pick(&mut picker, PickFor { peer: key(3), ..at(2999) }), [], "it is at work again");
    let bytes_but_no_block =
        |picker: &mut PiecePicker, secs: u64| picker.heard(key(0), Instant::from_micros(secs * 1_000_000));
    bytes_but_no_block(&mut picker, 6);
    assert_eq!(pick(&mut picker, PickFor { peer: key(3), speed: Speed::Fast, ..at(6900) }), []);
    assert_eq!(
        pick(&mut picker, PickFor { peer: key(3), speed: Speed::Fast, ..at(7000) }).len(),
        2,
        "a trickle is not enough"
    );
}

#[test]
fn silent_peers_cannot_keep_a_quick_one_out_of_the_end_game() {
    let mut picker = picker(1, 4);
    (0..=COPIES_PER_BLOCK_MAX as u16).for_each(|silent| {
        assert_eq!(pick(&mut picker, terms(silent, &RemotePieces::All, 4)).len(), 4);
    });
    let quick = |millis: u64| PickFor {
        now: Instant::from_micros(millis * 1000),
        speed: Speed::Fast,
        ..terms(9, &RemotePieces::All, 4)
    };
    assert_eq!(pick(&mut picker, quick(999)), [], "they may be about to send");
    assert_eq!(
        pick(&mut picker, PickFor { speed: Speed::Medium, ..quick(1000) }),
        [],
        "nothing speaks for it"
    );
    assert_eq!(pick(&mut picker, quick(1000)).len(), 4);
}

#[test]
fn what_a_web_seed_is_at_is_not_taken_from_it_before_the_end() {
    let mut picker = picker(10, 4);
    let only = set_of(10, [3]);
    let run = picker.pick_run(&web_terms(&only, false), &mut Rng::new(Seed(1)));
    assert!(run.is_some());
    let later = PickFor { now: Instant::from_micros(9_000_000), ..terms(1, &only, 4) };
    assert_eq!(pick(&mut picker, later), []);
    assert_eq!(picker.stalest(later.now), None);
}

#[test]
fn the_stalest_piece_names_whoever_owes_us_blocks_of_it() {
    let mut picker = picker(10, 2);
    let at = |peer, millis: u64| PickFor {
        now: Instant::from_micros(millis * 1000),
        speed: Speed::Fast,
        ..terms(peer, &RemotePieces::All, 2)
    };
    let older = pick(&mut picker, at(0, 0));
    let newer = pick(&mut picker, at(1, 500));
    assert_eq!(picker.stalest(Instant::from_micros(999_000)), None);
    let debts = older.iter().map(|&block| (block, key(0))).collect();
    assert_eq!(picker.stalest(Instant::from_micros(1_600_000)), Some((older[0].piece, debts)));
    older.iter().for_each(|&block| picker.release(block, key(0)));
    let debts = newer.iter().map(|&block| (block, key(1))).collect();
    assert_eq!(picker.stalest(Instant::from_micros(1_600_000)), Some((newer[0].piece, debts)));
}

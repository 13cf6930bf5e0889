//! Who is named in answers: everybody equally often, whatever the swarm's size and wherever its peers lie.

use super::*;

/// A swarm of seeds, then leechers; the last leecher asks again and again. How often each was named.
fn named(seeds: u32, leechers: u32, want: u32, asks: u32) -> Vec<u32> {
    let mut table = table();
    let count = seeds + leechers;
    for n in 0..count {
        ask(&mut table, at(1), Visit { want: 0, ..visit(n, Started, u64::from(n >= seeds)) });
    }
    let mut named = vec![0; count as usize];
    let mut peers = Peers::new();
    for _ in 0..asks {
        table.announce(at(1), &Visit { want, ..visit(count - 1, None, 1) }, &mut peers);
        let mut drawn: Vec<SocketAddr> = peers.iter().collect();
        assert_eq!(
            drawn.len() as u32,
            want.min(count - 1),
            "as many as are wanted, if there are: {seeds} {leechers}"
        );
        for peer in &drawn {
            let IpAddr::V4(ip) = peer.ip() else { panic!("{peer}") };
            named[(ip.to_bits() - 0x0b00_0001) as usize] += 1;
        }
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len() as u32, want.min(count - 1), "nobody twice");
    }
    assert_eq!(named.pop(), Some(0), "never the asker");
    named
}

#[test]
fn everybody_is_named_equally_often_in_swarms_of_every_size() {
    // (seeds, leechers, want, asks): in the record, in the array, in few buckets, in many; mostly seeds, and mostly leechers.
    for (seeds, leechers, want, asks) in [
        (1, 2, 1, 20_000),
        (4, 4, 3, 20_000),
        (20, 60, 50, 4_000),
        (100, 20, 28, 8_000),
        (100, 31, 28, 8_000),
        (200, 200, 50, 8_000),
        (3, 400, 50, 8_000),
        (2_000, 500, 50, 20_000),
        (500, 9_500, 50, 40_000),
        (500, 9_500, 200, 10_000),
    ] {
        let named = named(seeds, leechers, want, asks);
        let expected = f64::from(want) * f64::from(asks) / named.len() as f64;
        // Chi-square of a sample without replacement, scaled to that of independent draws: near 1 if the choice is fair.
        let free = 1.0 - f64::from(want) / named.len() as f64;
        // Chance in the lengths of buckets may favour peers by some percent, for as long as they lie as they do.
        let lengths = if seeds.max(leechers) > 128 { 0.06 * expected } else { 0.0 };
        let off =
            |&count: &u32| (f64::from(count) - expected).powi(2) / (expected * free + lengths * lengths);
        let chance = named.iter().map(off).sum::<f64>() / named.len() as f64;
        let (least, most) = (*named.iter().min().unwrap(), *named.iter().max().unwrap());
        assert!(
            chance < 1.1 + 5.0 * (2.0 / named.len() as f64).sqrt(),
            "{seeds} {leechers} {want}: {chance:.2} ({least} to {most} of {expected:.0})"
        );
        let far = 6.0 * (expected + lengths * lengths).sqrt();
        let (low, high) = (expected - far, expected + far);
        assert!(
            f64::from(least) > low && f64::from(most) < high,
            "{seeds} {leechers} {want}: {least} to {most} of {expected:.0}"
        );
    }
}

#[test]
fn those_that_lie_together_are_a_small_part_of_an_answer() {
    let mut table = table();
    (0..4_000).for_each(|n| drop(ask(&mut table, at(1), Visit { want: 0, ..visit(n, Started, 9) })));
    let mut peers = Peers::new();
    // How often each comes along with the first one.
    let mut along = vec![0_u32; 4_000];
    let mut answers = 0;
    for _ in 0..40_000 {
        table.announce(at(1), &visit(3_999, None, 9), &mut peers);
        if peers.iter().any(|other| other == peer(0)) {
            answers += 1;
            for other in peers.iter().filter(|other| *other != peer(0)) {
                let IpAddr::V4(ip) = other.ip() else { panic!("{other}") };
                along[(ip.to_bits() - 0x0b00_0001) as usize] += 1;
            }
        }
    }
    let often = along.iter().filter(|&&count| count * 4 > answers).count();
    let ever = along.iter().filter(|&&count| count > 0).count();
    assert!(answers > 300 && often <= 20 && ever > 3_500, "{often} and {ever} in {answers} answers");
}

#[test]
fn who_is_stale_is_passed_over_in_large_swarms_too() {
    let mut table = table();
    (0..2_000).for_each(|n| drop(ask(&mut table, at(1), Visit { want: 0, ..visit(n, Started, 9) })));
    (0..100).for_each(|n| drop(ask(&mut table, at(2_000), Visit { want: 0, ..visit(n, None, 9) })));
    let (_, peers) = ask(&mut table, at(3_662), Visit { want: 200, ..visit(0, None, 9) });
    assert!(peers.iter().all(|other| (peer(1)..peer(100)).contains(other)));
}

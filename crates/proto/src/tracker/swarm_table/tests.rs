//! What a tracker tells, keeps and forgets. Threats: E7, E8, H13

mod choice;
mod flood;
mod look;
mod snapshot;
mod upkeep;

use super::*;
use crate::Rng;
use AnnounceEvent::{Completed, None, Paused, Started, Stopped};
use core::net::IpAddr;

const HASH: InfoHash = InfoHash([7; 20]);

fn table() -> SwarmTable {
    SwarmTable::new(Rules::default(), Seed(11))
}

/// An announce: how the swarm stands then, and whom the peer hears of.
fn ask(table: &mut SwarmTable, now: Instant, visit: Visit) -> (Standing, Vec<SocketAddr>) {
    let mut peers = Peers::new();
    let standing = table.announce(now, &visit, &mut peers);
    assert_eq!(peers.len(), peers.iter().count());
    (standing, peers.iter().collect())
}

fn peer(n: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4((0x0b00_0001 + n).into()), 6881)
}

fn visit(n: u32, event: AnnounceEvent, left: u64) -> Visit {
    Visit { info_hash: HASH, peer: peer(n), event, left, want: 50 }
}

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

#[test]
fn a_swarm_is_counted_as_its_peers_come_and_go() {
    let mut table = table();
    for (n, event, left, expected) in [
        (1, Started, 100, (0, 1, 0)),
        (2, Started, 0, (1, 1, 0)),
        (3, Started, 5, (1, 2, 0)),
        (1, None, 50, (1, 2, 0)),
        (1, Completed, 0, (2, 1, 1)),
        (1, Completed, 0, (2, 1, 1)),
        (3, Paused, 5, (2, 1, 1)),
        (2, None, 7, (1, 2, 1)),
        (2, Stopped, 7, (1, 1, 1)),
        (9, Stopped, 7, (1, 1, 1)),
        (1, Stopped, 0, (0, 1, 1)),
    ] {
        let (standing, _) = ask(&mut table, at(1), visit(n, event, left));
        let Counts { complete, incomplete, downloaded } = standing.counts;
        assert_eq!((complete, incomplete, downloaded), expected, "{n} {event:?} {left}");
        assert_eq!(table.scrape(&HASH), Some(standing.counts));
    }
    assert_eq!((table.swarms(), table.peers()), (1, 1));
    ask(&mut table, at(2), visit(3, Stopped, 5));
    assert_eq!((table.swarms(), table.peers()), (0, 0), "an empty swarm is forgotten");
    assert_eq!(table.scrape(&HASH), Option::None);
}

#[test]
fn everybody_hears_of_others_and_seeds_of_leechers_only() {
    let mut table = table();
    (0..10).for_each(|n| drop(ask(&mut table, at(1), visit(n, Started, 0))));
    (10..30).for_each(|n| drop(ask(&mut table, at(1), visit(n, Started, 9))));
    // (who asks, event, bytes it lacks, how many it hears of, the first it may hear of)
    for (n, event, left, expected, first) in
        [(20, None, 9, 29, 0), (5, None, 0, 20, 10), (12, Paused, 9, 19, 10), (20, Stopped, 9, 0, 0)]
    {
        let (_, mut peers) = ask(&mut table, at(1), visit(n, event, left));
        peers.sort();
        peers.dedup();
        assert_eq!(peers.len(), expected, "{n} {event:?}");
        assert!(peers.iter().all(|other| *other != peer(n) && *other >= peer(first)), "{n} {event:?}");
    }
}

#[test]
fn nobody_gets_more_than_it_wants_or_than_we_give() {
    let mut table = table();
    (0..1_000).for_each(|n| drop(ask(&mut table, at(1), visit(n, Started, 9))));
    for (want, expected) in [(0, 0), (1, 1), (50, 50), (200, 200), (u32::MAX, 200)] {
        let (_, peers) = ask(&mut table, at(1), Visit { want, ..visit(5, None, 9) });
        assert_eq!(peers.len(), expected);
    }
}

#[test]
fn the_families_do_not_mix() {
    let mut table = table();
    let v6: SocketAddr = "[2001:db8::1]:6881".parse().unwrap();
    let mapped: SocketAddr = "[::ffff:11.0.0.1]:6881".parse().unwrap();
    ask(&mut table, at(1), visit(0, Started, 9));
    let (standing, peers) = ask(&mut table, at(1), Visit { peer: v6, ..visit(0, Started, 9) });
    assert_eq!((peers.len(), standing.counts.incomplete), (0, 2));
    ask(&mut table, at(1), Visit { peer: mapped, ..visit(0, Started, 9) });
    assert_eq!(table.peers(), 2, "an IPv4 address in IPv6 clothes is the same peer");
}

#[test]
fn who_cannot_be_reached_is_not_kept() {
    let mut table = table();
    for address in ["11.0.0.1:0", "0.0.0.0:6881", "[::]:6881", "224.0.0.1:6881", "255.255.255.255:6881"] {
        let peer = address.parse().unwrap();
        let (standing, _) = ask(&mut table, at(1), Visit { peer, ..visit(0, Started, 9) });
        assert_eq!(standing.kept, Kept::Unreachable);
    }
    assert_eq!((table.swarms(), table.peers()), (0, 0));
}

#[test]
fn who_stays_away_is_not_told_of_and_then_forgotten() {
    let mut table = table();
    (0..100).for_each(|n| drop(ask(&mut table, at(1), visit(n, Started, 9))));
    ask(&mut table, at(2_000), visit(0, None, 9));
    let late = at(3_662);
    let (_, peers) = ask(&mut table, late, Visit { want: 200, ..visit(100, Started, 9) });
    assert_eq!(peers, [peer(0)], "of the others nothing was heard for more than two intervals");
    (0..10).for_each(|_| table.sweep(late));
    assert_eq!(table.peers(), 2);
}

#[test]
fn the_sweep_reaches_both_families_of_a_large_swarm() {
    let mut table = table();
    for n in 0..160_u32 {
        let peer = SocketAddr::new(IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(n)).into()), 6881);
        ask(&mut table, at(1), Visit { peer, ..visit(0, Started, 9) });
        ask(&mut table, at(1), visit(n, Started, 9));
    }
    (0..160).for_each(|n| drop(ask(&mut table, at(2_000), visit(n, None, 9))));
    assert_eq!(table.peers(), 320);
    (0..40).for_each(|_| table.sweep(at(4_000)));
    assert_eq!(table.peers(), 160, "those of IPv6 stayed away");
}

#[test]
fn memory_is_bounded_whoever_knocks() {
    let rules = Rules { peers_max: 500, swarms_max: 100, ..Rules::default() };
    let mut table = SwarmTable::new(rules, Seed(1));
    for n in 0..5_000_u32 {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&(n % 1_000).to_be_bytes());
        let (standing, _) =
            ask(&mut table, at(1), Visit { info_hash: InfoHash(hash), ..visit(n, Started, 9) });
        assert_eq!(standing.interval, rules.interval, "all are answered");
        assert!(table.swarms() <= 100 && table.peers() <= 500);
    }
    // 500 peers ask for all of it from each of 20 networks: a part in 21 stays free for the next.
    assert!(table.peers() > 450 && table.swarms() > 80, "{} {}", table.peers(), table.swarms());
    // A day later they are gone, a few per call.
    let day = at(86_400);
    (0..200).for_each(|_| table.sweep(day));
    assert_eq!((table.swarms(), table.peers()), (0, 0));
}

#[test]
fn a_clock_that_stands_or_leaps_loses_nobody_who_comes_back() {
    let mut table = table();
    for now in [at(0), at(0), at(10 * 365 * 86_400), Instant::FAR, at(5)] {
        let (standing, _) = ask(&mut table, now, visit(1, None, 9));
        assert_eq!(standing.counts.incomplete, 1, "{now:?}");
    }
}

#[test]
fn who_looks_ahead_gives_the_same_answers() {
    let (mut plain, mut ahead) = (table(), table());
    let mut rng = Rng::new(Seed(5));
    for second in 0..400 {
        let visits: Vec<Visit> = (0..AHEAD_MAX + 7)
            .map(|_| {
                // Swarms of every size: in the record, in an array, in buckets; and some that nobody knows.
                let (swarm, n) = (rng.below(5) as u8, rng.below(1_000));
                let event = if rng.below(8) == 0 { Stopped } else { None };
                let peer = if rng.below(9) == 0 {
                    SocketAddr::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, n as u16].into(), 7)
                } else {
                    peer(n)
                };
                Visit {
                    info_hash: InfoHash([swarm; 20]),
                    peer,
                    ..visit(n % (8 << (2 * swarm)), event, u64::from(n % 3))
                }
            })
            .collect();
        ahead.look_ahead(visits.iter().map(|visit| (visit.info_hash, visit.peer)));
        for visit in visits {
            assert_eq!(ask(&mut plain, at(second), visit), ask(&mut ahead, at(second), visit));
        }
    }
    assert!(plain.peers() > 1_000);
}

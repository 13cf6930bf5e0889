//! What a snapshot holds, and what a table that it is restored into is like.

use super::super::family::Family;
use super::*;
use std::collections::BTreeMap;

/// Who is in a table, in which swarm: whether as a seed, and for how many units nothing was heard.
type Everybody = BTreeMap<(InfoHash, SocketAddr), (bool, u16)>;

fn everybody(table: &SwarmTable) -> Everybody {
    fn list<E: Entry + Item>(family: &Family<E>, clock: &Clock, put: &mut impl FnMut(&[u8], bool, u16)) {
        let mut next = Some(0);
        while let Some(passed) = next {
            let part = family.stretch(passed, false);
            for (peers, seed) in part.peers.into_iter().zip([true, false]) {
                for peer in peers {
                    let mut packed = [0; 18];
                    let len = peer.write(&mut packed);
                    put(&packed[..len], seed, clock.age(peer.seen()));
                }
            }
            next = part.next;
        }
    }
    let mut all = Everybody::new();
    for place in 0..table.shelf.len() {
        let (swarm, clock) = (table.shelf.get(place), &table.means.clock);
        let mut put = |packed: &[u8], seed, age| {
            let family =
                if packed.len() == 6 { wire::compact::Family::V4 } else { wire::compact::Family::V6 };
            let peer = wire::compact::decode(packed, family).next().unwrap();
            assert_eq!(all.insert((swarm.info_hash, peer), (seed, age)), Option::None);
        };
        list(&swarm.v4, clock, &mut put);
        swarm.v6.iter().for_each(|v6| list(v6, clock, &mut put));
    }
    assert_eq!(all.len(), table.peers() as usize);
    all
}

/// All of a table that stands still meanwhile, a few at a time.
fn snapshot(table: &mut SwarmTable, now: Instant, budget: u32) -> Vec<u8> {
    let (mut walk, mut out) = (table.begin_snapshot(now), Vec::new());
    while table.snapshot(now, &mut walk, budget, &mut out) == Progress::More {}
    out
}

fn restored(table: &mut SwarmTable, now: Instant, snapshot: &[u8], seconds: u64) -> Restored {
    table.restore(now, snapshot, Duration::from_secs(seconds), |_| true).unwrap()
}

fn peer_of(n: u32) -> SocketAddr {
    match n % 4 {
        0 => SocketAddr::new(IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(n) << 64).into()), 6881),
        _ => SocketAddr::new(IpAddr::V4((0x0b00_0001 + n * 256).into()), 6881),
    }
}

fn hash_of(n: u32) -> InfoHash {
    let mut hash = [0; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    InfoHash(hash)
}

/// Swarms of all sizes, of whose peers some are older than others.
fn crowded(rules: Rules) -> SwarmTable {
    let mut table = SwarmTable::new(rules, Seed(5));
    for n in 0..6_000 {
        let (event, left) = if n % 10 == 0 { (Completed, 0) } else { (Started, u64::from(n % 3)) };
        let hash = if n % 2 == 0 { 0 } else { n % 1_000 };
        let visit = Visit { info_hash: hash_of(hash), peer: peer_of(n), event, left, want: 0 };
        ask(&mut table, at(u64::from(n) / 10), visit);
    }
    table
}

#[test]
fn a_table_is_restored_as_it_was() {
    let rules = Rules::default();
    let mut table = crowded(rules);
    let (before, now) = (everybody(&table), at(599));
    for budget in [1, 7, 1_000, u32::MAX] {
        let taken = snapshot(&mut table, now, budget);
        let mut other = SwarmTable::new(rules, Seed(77));
        let became = restored(&mut other, Instant::ZERO, &taken, 0);
        assert_eq!((became.stale, became.left_out), (0, 0));
        assert!(everybody(&other) == before, "{budget}");
        for n in 0..1_000 {
            assert_eq!(other.scrape(&hash_of(n)), table.scrape(&hash_of(n)));
        }
        super::upkeep::check(&other, "restored");
        // To restore again changes nothing.
        restored(&mut other, Instant::ZERO, &taken, 0);
        assert!(everybody(&other) == before, "{budget}");
        if budget == u32::MAX {
            assert_eq!(became.peers, 6_000);
            assert!(taken.len() < 6_000 * 20 + 1_500 * 30, "{}", taken.len());
        }
    }
}

#[test]
fn a_slice_is_not_much_more_than_was_asked_for() {
    let mut table = crowded(Rules::default());
    let mut walk = table.begin_snapshot(at(600));
    let (mut slices, mut more) = (0, Progress::More);
    while more == Progress::More {
        let mut out = Vec::new();
        more = table.snapshot(at(600), &mut walk, 50, &mut out);
        // At most two buckets or arrays more.
        assert!(out.len() < (50 + 2 * 128) * 20 + 10 * 25, "{}", out.len());
        slices += 1;
    }
    assert!(slices > 50, "{slices}");
}

#[test]
fn time_goes_on_for_those_who_are_in_a_snapshot() {
    let rules = Rules::default();
    let mut table = table();
    for n in 0..100 {
        ask(&mut table, at(u64::from(n) * 10), visit(n, Started, 9));
    }
    let taken = snapshot(&mut table, at(1_000), u32::MAX);
    // The first has been away for 1,000 s when it is taken, and may be for 3,660.
    for (seconds, stay) in [(0, 100), (2_660, 100), (2_661, 99), (2_670, 99), (3_660, 0), (u64::MAX, 0)] {
        let mut other = SwarmTable::new(rules, Seed(3));
        let became = restored(&mut other, at(7), &taken, seconds);
        assert_eq!((became.peers, became.stale), (stay, 100 - stay), "{seconds}");
        assert_eq!(u64::from(other.peers()), stay);
        // Who is restored is forgotten when it would have been.
        let left = 3_660_u64.saturating_sub(seconds).saturating_sub(10);
        (0..10).for_each(|_| other.sweep(at(7 + left)));
        assert_eq!(u64::from(other.peers()), stay.min(1), "{seconds}");
    }
}

#[test]
fn a_snapshot_may_have_been_taken_under_another_interval() {
    let day = Rules { interval: Duration::from_secs(86_400), ..Rules::default() };
    let hour = Rules { interval: Duration::from_secs(3_600), ..Rules::default() };
    for (from, to) in [(day, hour), (hour, day)] {
        let mut table = SwarmTable::new(from, Seed(1));
        ask(&mut table, at(0), visit(1, Started, 9));
        ask(&mut table, at(3_600), visit(2, Started, 9));
        let taken = snapshot(&mut table, at(7_200), 1);
        let mut other = SwarmTable::new(to, Seed(2));
        restored(&mut other, at(0), &taken, 1_000);
        // A unit is a second for an hour, 16 for a day.
        let expected = if to == hour { 4_600 } else { 4_600 / 16 };
        let age = everybody(&other)[&(HASH, peer(2))].1;
        assert!(u32::from(age).abs_diff(expected) <= 16, "{age} {expected}");
        assert_eq!(other.peers(), if to == hour { 1 } else { 2 });
    }
}

#[test]
fn who_is_there_all_along_is_in_the_snapshot_whatever_happens_meanwhile() {
    for seed in 0..30 {
        let mut rng = Rng::new(Seed(seed));
        let mut table = SwarmTable::new(Rules::default(), Seed(seed));
        let mut now = at(1);
        let stays = |n: u32| n.is_multiple_of(5);
        let hash = |n: u32| hash_of(if n < 3_000 { 0 } else { n });
        let come = |table: &mut SwarmTable, now, n: u32, event, left| {
            let visit = Visit { info_hash: hash(n), peer: peer_of(n), event, left, want: 0 };
            table.announce(now, &visit, &mut Peers::new());
        };
        // As many as stay, in a swarm that is large and in small ones; and at first, or not, many more.
        let crowd = rng.below(2) == 0;
        for n in (0..6_000).filter(|n| stays(*n) || crowd) {
            come(&mut table, now, n, Started, u64::from(rng.below(2)));
        }
        let (mut walk, mut taken) = (table.begin_snapshot(now), Vec::new());
        let budget = 1 + rng.below(60);
        while table.snapshot(now, &mut walk, budget, &mut taken) == Progress::More {
            now += Duration::from_millis(rng.below(500).into());
            for _ in 0..rng.below(200) {
                let n = rng.below(6_000);
                // Those who stay become seeds and leechers; the others come and go, more of one than of the other.
                let goes = !stays(n) && rng.below(8) < if crowd { 7 } else { 1 };
                come(&mut table, now, n, if goes { Stopped } else { None }, u64::from(rng.below(2)));
            }
        }
        let mut other = SwarmTable::new(Rules::default(), Seed(99));
        restored(&mut other, Instant::ZERO, &taken, now.as_micros() / 1_000_000);
        super::upkeep::check(&other, "restored");
        let there = everybody(&other);
        for n in (0..6_000).filter(|n| stays(*n)) {
            assert!(there.contains_key(&(hash(n), peer_of(n))), "seed {seed}: {n}");
        }
    }
}

#[test]
fn what_is_newer_in_the_table_stays() {
    let mut table = table();
    ask(&mut table, at(10), visit(1, Started, 9));
    let old = snapshot(&mut table, at(100), 1);
    ask(&mut table, at(150), visit(1, Completed, 0));
    let new = snapshot(&mut table, at(200), 1);
    for order in [[&old, &new], [&new, &old]] {
        let mut other = super::table();
        for taken in order {
            let since = if taken == &old { 200 } else { 100 };
            restored(&mut other, at(0), taken, since);
        }
        assert_eq!(everybody(&other), BTreeMap::from([((HASH, peer(1)), (true, 150))]));
        assert_eq!(other.scrape(&HASH).unwrap().downloaded, 1);
    }
}

#[test]
fn bounds_hold_while_it_is_restored() {
    let mut table = crowded(Rules::default());
    let taken = snapshot(&mut table, at(600), u32::MAX);
    for (peers_max, swarms_max) in [(0, 0), (1, 1), (500, 1_000), (5_000, 20), (100_000, 100_000)] {
        let rules = Rules { peers_max, swarms_max, ..Rules::default() };
        let mut other = SwarmTable::new(rules, Seed(8));
        let became = restored(&mut other, at(0), &taken, 0);
        assert!(other.peers() <= peers_max && other.swarms() <= swarms_max);
        assert_eq!(became.peers + became.left_out, 6_000);
        assert_eq!(became.peers, u64::from(other.peers()));
        super::upkeep::check(&other, "bounded");
        assert_eq!(other.means.books.of_networks(), [other.peers(); 2]);
    }
}

#[test]
fn each_shard_takes_its_own() {
    let mut table = crowded(Rules::default());
    let taken = snapshot(&mut table, at(600), 100);
    let mut all = Everybody::new();
    for shard in 0..3 {
        let mut other = SwarmTable::new(Rules::default(), Seed(8));
        let is_ours = |hash: &InfoHash| hash.0[3] % 3 == shard;
        other.restore(at(0), &taken, Duration::ZERO, is_ours).unwrap();
        all.extend(everybody(&other));
        assert!(everybody(&other).keys().all(|(hash, _)| is_ours(hash)));
    }
    assert!(all == everybody(&table));
}

#[test]
fn what_is_no_snapshot_is_said_and_what_came_before_it_is_there() {
    let mut table = table();
    ask(&mut table, at(1), visit(1, Started, 9));
    let taken = snapshot(&mut table, at(1), 1);
    let refused = |bytes: &[u8]| {
        let mut other = super::table();
        let error = other.restore(at(0), bytes, Duration::ZERO, |_| true).unwrap_err();
        (error, other.peers())
    };
    let whole = 4;
    for len in 1..taken.len() {
        // An empty slice, and one with a record, end well.
        if len != whole {
            assert_eq!(refused(&taken[..len]), (SnapshotError::Truncated, 0), "{len}");
        }
    }
    assert_eq!(refused(&[&taken[..], &[9]].concat()), (SnapshotError::Malformed(taken.len()), 1));
    assert_eq!(refused(&taken[whole..]).0, SnapshotError::Malformed(0));
    assert_eq!(refused(&[0, 2, 0, 0]).0, SnapshotError::Version(2));
    assert_eq!(refused(&[0, 1, 17, 0]).0, SnapshotError::Malformed(2));
    assert_eq!(refused(&[&[0, 1, 0][..], &[0xff; 9]].concat()).0, SnapshotError::Malformed(11));
    // Peers that nobody can be are left out.
    let mut other = super::table();
    let nobody = [&taken[..whole + 1 + 20 + 3], &[11, 0, 0, 2, 0, 0, 0, 0]].concat();
    assert_eq!(restored(&mut other, at(0), &nobody, 0).left_out, 1);
    assert_eq!((other.peers(), other.swarms()), (0, 0));
}

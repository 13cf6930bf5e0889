//! What must stay true of the storage through random lives: counts, places, labels, and the books of peers, networks and bytes.

use super::*;

/// Counts everything anew and compares it with the books.
pub(super) fn check(table: &SwarmTable, context: &str) {
    let shelf = &table.shelf;
    let mut peers = 0;
    for place in 0..shelf.len() {
        let swarm = shelf.get(place);
        let Counts { complete, incomplete, .. } = swarm.counts();
        assert!(complete + incomplete > 0, "{context}: an empty swarm");
        assert_eq!(shelf.find(&swarm.info_hash, table.means.key), Some(place), "{context}");
        peers += complete + incomplete;
    }
    assert_eq!(peers, table.peers(), "{context}");
    // Two rows of counts, with the allocator's share.
    assert_eq!(shelf.heap() + 2 * ((4 << 16) + 16), table.memory(), "{context}");
}

#[test]
fn random_lives_keep_counts_places_and_books_true() {
    for seed in 0..20 {
        let mut rng = Rng::new(Seed(seed));
        let mut table =
            SwarmTable::new(Rules { peers_max: 80, swarms_max: 3, ..Rules::default() }, Seed(seed));
        let mut now = Instant::ZERO;
        for step in 0..3_000 {
            now += Duration::from_secs(rng.below(60).into());
            let event = [None, Started, Completed, Stopped, Paused][rng.index(5)];
            let info_hash = InfoHash([rng.below(5) as u8; 20]);
            let left = u64::from(rng.below(2));
            let asked = Visit { info_hash, left, ..visit(rng.below(100), event, left) };
            let (_, peers) = ask(&mut table, now, asked);
            assert!(!peers.contains(&asked.peer), "seed {seed}");
            assert!(table.peers() <= 80 && table.swarms() <= 3, "seed {seed}");
            check(&table, &format!("seed {seed} step {step}"));
        }
        assert_eq!(table.means.books.of_networks(), [table.peers(); 2], "seed {seed}");
    }
}

#[test]
fn swarms_that_grow_large_and_shrink_keep_counts_places_and_books_true() {
    for seed in 0..4 {
        let mut rng = Rng::new(Seed(seed));
        let mut table = SwarmTable::new(Rules::default(), Seed(seed));
        let empty = table.memory();
        let mut now = at(1);
        // Large and small, in both families, while many come and then while many go.
        for step in 0..24_000_u32 {
            now += Duration::from_millis(50);
            let coming = step / 6_000 % 2 == 0;
            let stops = if coming { rng.below(8) == 0 } else { rng.below(8) != 0 };
            let event = if stops { Stopped } else { Started };
            let hash = rng.below(400).saturating_sub(300) as u8;
            let n = rng.below(if hash == 0 { 2_000 } else { 8 });
            let peer = if rng.below(3) > 0 {
                peer(n)
            } else {
                SocketAddr::new(IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(n)).into()), 6881)
            };
            let left = u64::from(rng.below(3));
            ask(&mut table, now, Visit { info_hash: InfoHash([hash; 20]), peer, ..visit(0, event, left) });
            if step % 97 == 0 {
                check(&table, &format!("seed {seed} step {step}"));
            }
        }
        // Each stays away from now on, and then the table is as it was when it was new.
        for _ in 0..400 {
            now += Duration::from_secs(20);
            table.sweep(now);
        }
        check(&table, &format!("seed {seed}"));
        assert_eq!(table.means.books.of_networks(), [0; 2], "seed {seed}");
        assert_eq!((table.peers(), table.swarms()), (0, 0), "seed {seed}");
        assert!(table.memory() < empty + 1_000, "seed {seed}: {} was {empty}", table.memory());
    }
}

#[test]
fn a_peer_takes_a_dozen_bytes_or_so() {
    let mut table = table();
    let empty = table.memory();
    for n in 0..200_000_u32 {
        // A large swarm, and some thousands of small ones.
        let hash = if n % 4 > 0 { 0 } else { n / 40 };
        let mut info_hash = [0; 20];
        info_hash[..4].copy_from_slice(&hash.to_be_bytes());
        let visit = Visit { info_hash: InfoHash(info_hash), want: 0, ..visit(n, Started, 9) };
        ask(&mut table, at(1), visit);
    }
    assert_eq!((table.peers(), table.swarms()), (200_000, 5_000));
    let each = (table.memory() - empty) / 200_000;
    assert!((8..=16).contains(&each), "{each}");
}

#[test]
fn a_table_that_nobody_looked_at_for_long_starts_anew() {
    let mut table = table();
    (0..1_000).for_each(|n| drop(ask(&mut table, at(1), visit(n, Started, 9))));
    // Longer than a stamp can tell: without care, all would look as if they had just come.
    let later = at(1 + 65_536);
    let (standing, peers) = ask(&mut table, later, visit(5_000, Started, 9));
    assert_eq!((standing.counts.incomplete, peers.len(), table.peers()), (1, 0, 1));
    check(&table, "later");
}

#[test]
fn rare_visits_do_not_let_the_dead_rise() {
    let mut table = table();
    (0..20_000).for_each(|n| drop(ask(&mut table, at(1), Visit { want: 0, ..visit(n, Started, 9) })));
    // Every 50 minutes one comes, for two days.
    for hour in 1..60 {
        let (_, peers) = ask(&mut table, at(hour * 3_000), visit(30_000, None, 9));
        assert!(hour < 2 || peers.is_empty(), "{hour}: {}", peers.len());
    }
    assert_eq!(table.peers(), 1);
}

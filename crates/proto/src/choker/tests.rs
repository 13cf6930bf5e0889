//! The choker's rules as tables of rows and verdicts.

use super::*;
use crate::Seed;

const NOW: Instant = Instant::from_micros(1_000_000_000);

fn ago(secs: u64) -> Instant {
    Instant::from_micros(NOW.as_micros() - secs * 1_000_000)
}

fn key(peer: u16) -> PeerKey {
    PeerKey::new(peer, 0)
}

/// An interested peer that joined long ago, choked, that gives and takes nothing.
fn row(peer: u16) -> Row {
    Row {
        peer: key(peer),
        interested: true,
        unchoked_since: None,
        waiting_since: ago(500),
        joined: ago(500),
        received: 0,
        sent: 0,
        sent_since_unchoke: 0,
        snubs_us: false,
        takes_in_vain: false,
        drains: false,
        progress_permille: 500,
    }
}

fn unchoked(row: Row, secs: u64) -> Row {
    Row { unchoked_since: Some(ago(secs)), waiting_since: ago(secs), ..row }
}

fn terms(slots: u32, seeding: Option<SeedPolicy>) -> Terms {
    Terms { slots, seeding, piece_len: 1 << 20, optimistic_interval: Duration::from_secs(30) }
}

/// The regular unchokes of one round, by peer number.
fn regular(rows: &[Row], terms: Terms, seed: u64) -> Vec<usize> {
    let verdict = Choker::new().round(NOW, rows, &terms, &mut Rng::new(Seed(seed)));
    let peers = verdict.unchoked.iter().filter(|&&peer| Some(peer) != verdict.optimistic);
    peers.map(|peer| peer.slot()).collect()
}

/// What it shows, the policy, slots, rows, who gets them.
type Case = (&'static str, Option<SeedPolicy>, u32, Vec<Row>, Vec<usize>);

const ROBIN: Option<SeedPolicy> = Some(SeedPolicy::RoundRobin);
const FASTEST: Option<SeedPolicy> = Some(SeedPolicy::Fastest);
const LEECH: Option<SeedPolicy> = Some(SeedPolicy::AntiLeech);

fn waits(peer: u16, secs: u64) -> Row {
    Row { waiting_since: ago(secs), ..row(peer) }
}

fn cases_of_fetching() -> Vec<Case> {
    let gave = |peer, received| Row { received, ..row(peer) };
    vec![
        ("who gave most", None, 2, vec![gave(0, 10), gave(1, 30), gave(2, 20)], vec![1, 2]),
        (
            "nobody who is not interested",
            None,
            2,
            vec![Row { interested: false, ..gave(0, 99) }, gave(1, 1)],
            vec![1],
        ),
        (
            "a slot is not lost to a few percent",
            None,
            1,
            vec![unchoked(gave(0, 100), 60), gave(1, 109)],
            vec![0],
        ),
        ("but to more", None, 1, vec![unchoked(gave(0, 100), 60), gave(1, 111)], vec![1]),
        ("a giver before a newcomer", None, 1, vec![unchoked(row(0), 1), gave(1, 1)], vec![1]),
        ("a newcomer keeps its slot for three rounds", None, 1, vec![unchoked(row(0), 29), row(1)], vec![0]),
        ("and then others have their turn", None, 1, vec![unchoked(row(0), 30), row(1)], vec![1]),
        ("who waited longest", None, 1, vec![waits(0, 10), waits(1, 90), waits(2, 50)], vec![1]),
        (
            "a peer that snubs us only if nobody else wants the slot",
            None,
            2,
            vec![Row { snubs_us: true, ..unchoked(gave(0, 50), 10) }, row(1), row(2)],
            vec![1, 2],
        ),
        ("and then it may", None, 2, vec![Row { snubs_us: true, ..gave(0, 50) }, row(1)], vec![0, 1]),
        ("no slots, nobody", None, 0, vec![gave(0, 10)], vec![]),
    ]
}

fn cases_of_seeding() -> Vec<Case> {
    let took = |peer, sent| Row { sent, ..row(peer) };
    let at = |peer, progress_permille| Row { progress_permille, ..row(peer) };
    let turn = |peer, secs, sent_since_unchoke| Row { sent_since_unchoke, ..unchoked(row(peer), secs) };
    let quota = Choker::quota(1 << 20);
    vec![
        (
            "a turn lasts until the quota",
            ROBIN,
            2,
            vec![turn(0, 50, quota - 1), turn(1, 9, 0), waits(2, 900)],
            vec![0, 1],
        ),
        ("and then ends", ROBIN, 2, vec![turn(0, 50, quota), turn(1, 9, 0), waits(2, 1)], vec![1, 2]),
        ("unless nobody waits", ROBIN, 2, vec![turn(0, 50, quota)], vec![0]),
        (
            "a slow peer's turn ends too",
            ROBIN,
            2,
            vec![turn(0, 121, 1), turn(1, 9, 0), waits(2, 1)],
            vec![1, 2],
        ),
        (
            "round ROBIN: who waited longest",
            ROBIN,
            2,
            vec![waits(0, 10), waits(1, 90), waits(2, 50)],
            vec![1, 2],
        ),
        ("who takes fastest", FASTEST, 2, vec![took(0, 10), took(1, 30), took(2, 20)], vec![1, 2]),
        (
            "fastest: a few percent do not matter",
            FASTEST,
            1,
            vec![unchoked(took(0, 100), 60), took(1, 109)],
            vec![0],
        ),
        (
            "who has just begun or is nearly done",
            LEECH,
            2,
            vec![at(0, 500), at(1, 10), at(2, 950), at(3, 300)],
            vec![1, 2],
        ),
        ("anti-leech: not for a step", LEECH, 1, vec![unchoked(at(0, 900), 9), at(1, 940)], vec![0]),
    ]
}

#[test]
fn who_takes_in_vain_comes_after_all_others_whatever_the_policy() {
    let vain = |row: Row| Row { takes_in_vain: true, ..row };
    let policies = [None, ROBIN, Some(SeedPolicy::Fastest), Some(SeedPolicy::AntiLeech)];
    for policy in policies {
        for seed in 0..20 {
            let rows =
                [vain(unchoked(Row { sent: 9, ..row(0) }, 5)), vain(waits(1, 900)), waits(2, 1), waits(3, 2)];
            assert!(!regular(&rows, terms(1, policy), seed).contains(&0), "{policy:?}");
            let verdict = Choker::new().round(NOW, &rows, &terms(1, policy), &mut Rng::new(Seed(seed)));
            assert_eq!(
                verdict.unchoked,
                [key(2), key(3)],
                "{policy:?}: the optimistic slot is no way in either"
            );
            let all = Choker::new().round(NOW, &rows, &terms(4, policy), &mut Rng::new(Seed(seed)));
            assert_eq!(all.unchoked.len(), 4, "{policy:?}: a slot that nobody else wants is theirs");
            let rows = rows.map(|row| Row { drains: row.takes_in_vain, ..row });
            let all = Choker::new().round(NOW, &rows, &terms(4, policy), &mut Rng::new(Seed(seed)));
            let served = if policy.is_some() { 4 } else { 2 };
            assert_eq!(all.unchoked.len(), served, "{policy:?}: but while we fetch no more than a trickle");
        }
    }
    let gives = [vain(Row { received: 5, ..row(0) }), row(1)];
    assert_eq!(regular(&gives, terms(1, None), 0), [0], "who gives takes nothing in vain");
}

#[test]
fn the_right_peers_get_the_regular_slots() {
    let cases = cases_of_fetching().into_iter().chain(cases_of_seeding());
    for (name, seeding, slots, rows, expected) in cases {
        // Round robin has its one more slot among the regular ones.
        let slots = if seeding == ROBIN { slots - 1 } else { slots };
        for seed in 0..10 {
            assert_eq!(regular(&rows, terms(slots, seeding), seed), expected, "{name}, seed {seed}");
        }
    }
}

#[test]
fn one_optimistic_comes_on_top_and_moves_on_every_third_round() {
    let rows: Vec<Row> = (0..10).map(|peer| Row { received: u64::from(peer), ..row(peer) }).collect();
    let (mut choker, mut rng) = (Choker::new(), Rng::new(Seed(1)));
    let mut before = None;
    for round in 0..30 {
        let now = NOW + Duration::from_secs(10 * round);
        let verdict = choker.round(now, &rows, &terms(4, None), &mut rng);
        assert_eq!(verdict.unchoked.len(), 5);
        assert!(verdict.optimistic.is_some_and(|peer| peer.slot() < 6));
        assert_eq!(verdict.optimistic == before, round % 3 != 0, "round {round}");
        before = verdict.optimistic;
    }
}

#[test]
fn an_optimistic_peer_that_earns_a_slot_or_leaves_makes_room_for_another() {
    let mut rows: Vec<Row> = (0..5).map(|peer| Row { received: 1_000, ..unchoked(row(peer), 90) }).collect();
    rows.extend((5..9).map(row));
    let (mut choker, mut rng) = (Choker::new(), Rng::new(Seed(2)));
    let first = choker.round(NOW, &rows, &terms(5, None), &mut rng).optimistic.unwrap();
    rows[first.slot()].received = 5_000;
    let verdict = choker.round(NOW + Duration::from_secs(10), &rows, &terms(5, None), &mut rng);
    assert!(verdict.unchokes(first) && verdict.optimistic != Some(first));
    assert_eq!(verdict.unchoked.len(), 6);
    let second = verdict.optimistic.unwrap();
    rows.retain(|row| row.peer != second);
    let third = choker.round(NOW + Duration::from_secs(10), &rows, &terms(5, None), &mut rng).optimistic;
    assert!(third.is_some() && third != Some(second));
}

#[test]
fn new_peers_are_thrice_as_likely_to_be_the_optimistic_one() {
    let mut rows = vec![Row { received: 9, ..row(9) }];
    rows.extend((0..4).map(|peer| if peer == 0 { Row { joined: ago(5), ..row(peer) } } else { row(peer) }));
    let mut hits = [0; 4];
    for seed in 0..3_000 {
        let verdict = Choker::new().round(NOW, &rows, &terms(1, None), &mut Rng::new(Seed(seed)));
        hits[verdict.optimistic.unwrap().slot()] += 1;
    }
    // 3 : 1 : 1 : 1 of 3,000.
    assert!((1_350..1_650).contains(&hits[0]), "{hits:?}");
    assert!(hits[1..].iter().all(|&hits| (400..600).contains(&hits)), "{hits:?}");
}

#[test]
fn ties_fall_by_lot_and_the_same_seed_gives_the_same_verdict() {
    let rows: Vec<Row> = (0..8).map(row).collect();
    let mut hits = [0; 8];
    for seed in 0..800 {
        let peers = regular(&rows, terms(2, None), seed);
        assert_eq!(peers, regular(&rows, terms(2, None), seed));
        peers.into_iter().for_each(|peer| hits[peer] += 1);
    }
    assert!(hits.iter().all(|&hits| (140..260).contains(&hits)), "{hits:?}");
}

#[test]
fn a_seed_serves_all_in_turn_and_ends_each_turn_on_a_piece_boundary() {
    for piece_len in [16 * 1024, 1 << 20, 16 << 20, 3 * 16 * 1024] {
        assert_eq!(Choker::quota(piece_len) % u64::from(piece_len), 0);
        assert!(Choker::quota(piece_len) >= QUOTA_BYTES);
    }
    let mut rows: Vec<Row> = (0..20).map(row).collect();
    let (mut choker, mut rng) = (Choker::new(), Rng::new(Seed(3)));
    let mut served = [0_u64; 20];
    for round in 0..200 {
        let now = NOW + Duration::from_secs(10 * round);
        let verdict = choker.round(now, &rows, &terms(4, Some(SeedPolicy::RoundRobin)), &mut rng);
        for row in &mut rows {
            match (verdict.unchokes(row.peer), row.unchoked_since) {
                (true, None) => (row.unchoked_since, row.sent_since_unchoke) = (Some(now), 0),
                (false, Some(_)) => (row.unchoked_since, row.waiting_since) = (None, now),
                (true, Some(_)) | (false, None) => {}
            }
            if verdict.unchokes(row.peer) {
                row.sent_since_unchoke += 1 << 21;
                served[row.peer.slot()] += 1 << 21;
            }
        }
    }
    let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(most - least <= 3 * Choker::quota(1 << 20), "{least} to {most}");
}

#[test]
fn no_round_exceeds_its_slots_or_unchokes_whom_nobody_asked_for() {
    for seed in 0..500 {
        let mut rng = Rng::new(Seed(seed));
        let policies =
            [None, Some(SeedPolicy::RoundRobin), Some(SeedPolicy::Fastest), Some(SeedPolicy::AntiLeech)];
        let terms = terms(rng.below(6), policies[rng.index(4)]);
        let mut choker = Choker::new();
        for round in 0..6 {
            let rows: Vec<Row> = (0..rng.below(30) as u16)
                .map(|peer| Row {
                    interested: rng.below(3) > 0,
                    unchoked_since: (rng.below(2) == 0).then(|| ago(u64::from(rng.below(200)))),
                    received: u64::from(rng.below(4)),
                    sent: u64::from(rng.below(4)),
                    snubs_us: rng.below(5) == 0,
                    ..row(peer)
                })
                .collect();
            let now = NOW + Duration::from_secs(10 * round);
            let verdict = choker.round(now, &rows, &terms, &mut rng);
            let interested = rows.iter().filter(|row| row.interested).count();
            let expected = if terms.slots == 0 { 0 } else { interested.min(terms.slots as usize + 1) };
            assert_eq!(verdict.unchoked.len(), expected, "seed {seed}");
            assert!(verdict.unchoked.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}");
            assert!(rows.iter().all(|row| row.interested || !verdict.unchokes(row.peer)), "seed {seed}");
        }
    }
}

//! When snapshots are taken and how, by a clock of the test's own.

mod folder;

use super::file::BLOCK_LEN_MAX;
use super::saving::{Piece, Saving};
use proto::tracker::SwarmTable;
use proto::tracker::swarm_table::{Peers, Rules, Visit};
use proto::{Duration, Instant, Seed};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use wire::InfoHash;
use wire::announce::AnnounceEvent;

const RULES: Rules = Rules {
    interval: Duration::from_secs(60),
    min_interval: Duration::from_secs(10),
    peers_max: u32::MAX,
    swarms_max: u32::MAX,
};

/// So many peers, ten to a swarm.
fn table(peers: u32) -> SwarmTable {
    let mut table = SwarmTable::new(RULES, Seed(1));
    for n in 0..peers {
        let mut hash = [0; 20];
        hash[..4].copy_from_slice(&(n / 10).to_be_bytes());
        let peer = SocketAddr::new(Ipv4Addr::from(0x0b00_0000 + n).into(), 6881);
        let event = AnnounceEvent::Started;
        let visit = Visit { info_hash: InfoHash(hash), peer, event, left: 1, want: 0 };
        table.announce(Instant::ZERO, &visit, &mut Peers::new());
    }
    table
}

/// Lets the time pass until that moment, doing what is due when it is.
fn pass(saving: &mut Saving, table: &mut SwarmTable, now: &mut Instant, until: Instant) {
    while saving.due() <= until {
        *now = (*now).max(saving.due());
        saving.go_on(*now, table);
    }
    *now = until;
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// Whole snapshots that have come.
fn whole(pieces: &Receiver<Piece>) -> Vec<Vec<u8>> {
    let (mut all, mut slices) = (Vec::new(), Vec::new());
    for piece in pieces.try_iter() {
        assert_eq!(piece.began.is_some(), slices.is_empty());
        assert!(piece.slices.len() <= BLOCK_LEN_MAX, "{}", piece.slices.len());
        slices.extend(piece.slices);
        if piece.last.is_some() {
            all.push(std::mem::take(&mut slices));
        }
    }
    assert!(slices.is_empty());
    all
}

#[test]
fn a_snapshot_is_taken_twice_an_interval_within_a_quarter_of_it() {
    for peers in [0, 1, 200_000] {
        let (to, pieces) = sync_channel(1000);
        let (mut table, mut now) = (table(peers), Instant::ZERO);
        let mut saving = Saving::new(7, RULES.interval, now, to);
        for (seconds, snapshots) in [(29, 0), (45, 1), (59, 0), (75, 1), (165, 3), (179, 0)] {
            pass(&mut saving, &mut table, &mut now, at(seconds));
            assert_eq!(whole(&pieces).len(), snapshots, "{peers} {seconds}");
            saving.go_on(now, &mut table);
            assert!(saving.due() > now, "it does not run hot");
        }
    }
}

#[test]
fn turns_that_take_long_do_not_prolong_a_walk() {
    let (to, pieces) = sync_channel(1000);
    let (mut table, began) = (table(200_000), at(30));
    let mut saving = Saving::new(7, RULES.interval, Instant::ZERO, to);
    for turn in 0..34 {
        saving.go_on(began + Duration::from_millis(500) * turn, &mut table);
    }
    assert_eq!(whole(&pieces).len(), 1);
}

#[test]
fn a_slow_disk_holds_the_walk_up_and_nothing_is_lost() {
    let (to, pieces) = sync_channel(1);
    let (mut table, mut now) = (table(100_000), at(0));
    let mut saving = Saving::new(7, RULES.interval, now, to);
    // The disk takes nothing for minutes.
    pass(&mut saving, &mut table, &mut now, at(100));
    let mut slices = Vec::new();
    let mut number = 0;
    loop {
        let piece = pieces.try_recv().expect("there is more");
        assert_eq!((piece.worker, piece.began.is_some()), (7, number == 0));
        assert!(piece.slices.len() < 1 << 20, "what waits is bounded");
        slices.extend(piece.slices);
        number += 1;
        if piece.last.is_some() {
            break;
        }
        let until = now + Duration::from_secs(1);
        pass(&mut saving, &mut table, &mut now, until);
    }
    assert!(number > 2, "{number}");
    let mut other = SwarmTable::new(RULES, Seed(2));
    other.restore(Instant::ZERO, &slices, Duration::ZERO, |_| true).unwrap();
    assert_eq!((other.peers(), other.swarms()), (100_000, 10_000));
}

#[test]
fn a_snapshot_that_is_asked_for_begins_anew_and_whoever_asked_is_told() {
    let (to, pieces) = sync_channel(1000);
    let (mut table, mut now) = (table(200_000), at(0));
    let mut saving = Saving::new(7, RULES.interval, now, to);
    let (told, is_told) = sync_channel(2);
    pass(&mut saving, &mut table, &mut now, at(31));
    for _ in 0..2 {
        saving.begin_now(now, told.clone());
        saving.go_on(now, &mut table);
    }
    let until = at(50);
    pass(&mut saving, &mut table, &mut now, until);
    let last = pieces.try_iter().filter_map(|piece| piece.last).next().unwrap();
    assert_eq!(last.len(), 2);
    last.into_iter().for_each(|told| told.send(Ok(())).unwrap());
    assert_eq!(is_told.try_iter().count(), 2);
}

#[test]
fn the_last_snapshot_is_whole_whatever_was_under_way() {
    for seconds in [0, 31, 45] {
        let (to, pieces) = sync_channel(1000);
        let (mut table, mut now) = (table(200_000), at(0));
        let mut saving = Saving::new(7, RULES.interval, now, to);
        pass(&mut saving, &mut table, &mut now, at(seconds));
        saving.finish(now, &mut table, None);
        let (mut slices, mut is_last) = (Vec::new(), false);
        for piece in pieces.try_iter() {
            if piece.began.is_some() {
                slices.clear();
            }
            slices.extend(piece.slices);
            is_last = piece.last.is_some();
        }
        let mut other = SwarmTable::new(RULES, Seed(2));
        other.restore(Instant::ZERO, &slices, Duration::ZERO, |_| true).unwrap();
        assert_eq!((other.peers(), is_last), (200_000, true), "{seconds}");
    }
}

//! What is credited for which visits.

use super::*;

const GB: u64 = 1_000_000_000;
const LIFE: u64 = 3600;

fn ledger(accounts_max: u32) -> Ledger {
    Ledger::new(Rules { accounts_max, rate_max: GB, life: Duration::from_secs(LIFE) })
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn member(user: u64) -> Member {
    Member { user: UserId(user), may_download: true, clients_max: None }
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], port))
}

/// A client with this name has sent and received so much and lacks the rest.
fn said(client: u8, uploaded: u64, downloaded: u64, left: u64) -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([7; 20]),
        peer_id: PeerId([client; 20]),
        port: 1,
        uploaded,
        downloaded,
        left,
        event: AnnounceEvent::None,
        want: None,
        key: None,
    }
}

fn with(event: AnnounceEvent, request: AnnounceRequest) -> AnnounceRequest {
    AnnounceRequest { event, ..request }
}

/// The one row that is due.
fn row(ledger: &mut Ledger) -> Row {
    let rows = ledger.take(9);
    assert_eq!(rows.len(), 1);
    rows[0]
}

#[test]
fn differences_are_credited_and_what_was_before_is_not() {
    let mut ledger = ledger(9);
    let mut visit = |seconds, request: &AnnounceRequest| {
        assert_eq!(ledger.announce(at(seconds), &member(1), here(1), request), Verdict::Welcome);
        let Row { uploaded, downloaded, left, .. } = row(&mut ledger);
        (uploaded, downloaded, left)
    };
    assert_eq!(visit(0, &with(AnnounceEvent::Started, said(1, 5 * GB, 7, 90))), (0, 0, 90));
    assert_eq!(visit(10, &said(1, 5 * GB + 100, 7, 90)), (100, 0, 90));
    assert_eq!(visit(20, &said(1, 5 * GB + 150, 27, 70)), (50, 20, 70));
    // Started anew: it counts from zero, and so do we.
    assert_eq!(visit(30, &with(AnnounceEvent::Started, said(1, 0, 0, 70))), (0, 0, 70));
    assert_eq!(visit(40, &said(1, 3, 70, 0)), (3, 70, 0));
    // It forgot to say so: nothing is taken away.
    assert_eq!(visit(110, &said(1, 2, 1, 0)), (0, 0, 0));
    assert_eq!(visit(120, &with(AnnounceEvent::Stopped, said(1, 9, 1, 0))), (7, 0, 0));
    assert_eq!(visit(130, &said(1, 99, 99, 0)), (0, 0, 0));
}

#[test]
fn what_is_not_taken_adds_up() {
    let mut ledger = ledger(9);
    for second in 0..5 {
        ledger.announce(at(second), &member(1), here(1), &said(1, 10 * second, second, 100 - second));
    }
    assert_eq!(ledger.rows_due(), 1);
    let row = row(&mut ledger);
    assert_eq!((row.user, row.info_hash, row.uploaded), (UserId(1), InfoHash([7; 20]), 40));
    assert_eq!((row.downloaded, row.left, row.excesses), (4, 96, 0));
    assert_eq!(ledger.take(9), []);
}

#[test]
fn nobody_is_credited_more_than_a_fast_link_carries() {
    let mut ledger = ledger(9);
    ledger.announce(at(0), &member(1), here(1), &said(1, 0, 0, 9));
    ledger.announce(at(2), &member(1), here(1), &said(1, 5 * GB, GB, 9));
    ledger.announce(at(2), &member(1), here(1), &said(1, 9 * GB, GB, 9));
    ledger.announce(at(3), &member(1), here(1), &said(1, u64::MAX, u64::MAX, 9));
    let row = row(&mut ledger);
    assert_eq!((row.uploaded, row.downloaded, row.excesses), (3 * GB, 2 * GB, 3));
}

#[test]
fn a_client_that_comes_over_both_families_is_counted_once() {
    let mut ledger = ledger(9);
    let ways = [here(1), SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 1))];
    for second in 0..4 {
        for way in ways {
            ledger.announce(at(second), &member(1), way, &said(1, 100 * second, 0, 9));
        }
    }
    assert_eq!(row(&mut ledger).uploaded, 300);
}

#[test]
fn a_completed_download_is_counted_once_and_the_time_as_a_seed() {
    let mut ledger = ledger(9);
    let completed = with(AnnounceEvent::Completed, said(1, 0, 9, 0));
    for (second, request) in [
        (0, said(1, 0, 0, 9)),
        (5, completed.clone()),
        (6, completed.clone()),
        (15, said(1, 0, 9, 0)),
        (20, with(AnnounceEvent::Completed, said(2, 0, 9, 1))),
        (25, with(AnnounceEvent::Stopped, said(1, 0, 9, 0))),
    ] {
        // Two clients, each at a place of its own.
        let place = here(u16::from(request.peer_id.0[0]));
        ledger.announce(at(second), &member(1), place, &request);
    }
    let row = row(&mut ledger);
    assert_eq!((row.completed, row.seeded), (1, Duration::from_secs(20)));
}

#[test]
fn who_may_not_download_is_credited_all_the_same() {
    let mut ledger = ledger(9);
    let member = Member { may_download: false, ..member(1) };
    let mut visit =
        |second, request: &AnnounceRequest| ledger.announce(at(second), &member, here(1), request);
    assert_eq!(visit(0, &said(1, 0, 0, 9)), Verdict::MayNotDownload);
    assert_eq!(visit(1, &said(1, 5, 0, 9)), Verdict::MayNotDownload);
    assert_eq!(visit(2, &said(1, 6, 9, 0)), Verdict::Welcome);
    assert_eq!(visit(3, &with(AnnounceEvent::Stopped, said(1, 7, 9, 9))), Verdict::Welcome);
    assert_eq!(row(&mut ledger).uploaded, 7);
}

#[test]
fn a_member_takes_part_with_as_many_clients_as_it_may() {
    let mut ledger = ledger(9);
    let member = Member { clients_max: NonZeroU32::new(2), ..member(1) };
    let mut visit = |second, client: u8, port, event| {
        ledger.announce(at(second), &member, here(port), &with(event, said(client, 0, 0, 9)))
    };
    assert_eq!(visit(0, 1, 1, AnnounceEvent::Started), Verdict::Welcome);
    assert_eq!(visit(0, 2, 2, AnnounceEvent::Started), Verdict::Welcome);
    assert_eq!(visit(1, 3, 3, AnnounceEvent::Started), Verdict::TooManyClients);
    assert_eq!(visit(1, 1, 1, AnnounceEvent::None), Verdict::Welcome);
    // The same program, started anew under another id, is none more; and who leaves makes room.
    assert_eq!(visit(2, 4, 2, AnnounceEvent::Started), Verdict::Welcome);
    assert_eq!(visit(3, 4, 2, AnnounceEvent::Stopped), Verdict::Welcome);
    assert_eq!(visit(4, 3, 3, AnnounceEvent::Started), Verdict::Welcome);
    // Those that were never heard of again are gone by then.
    assert_eq!(visit(5 + LIFE, 5, 5, AnnounceEvent::Started), Verdict::Welcome);
}

#[test]
fn no_limit_is_above_what_can_be_counted() {
    let mut ledger = ledger(99);
    let member = Member { clients_max: NonZeroU32::new(40), ..member(1) };
    let visits =
        (1..=40).map(|client| ledger.announce(at(0), &member, here(client.into()), &said(client, 0, 0, 9)));
    let welcome = visits.filter(|verdict| *verdict == Verdict::Welcome).count();
    assert_eq!(welcome, CLIENTS_MAX);
}

#[test]
fn what_comes_late_is_neither_a_new_beginning_nor_credited_twice() {
    let mut ledger = ledger(9);
    let over_v6 = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 1));
    let completed = with(AnnounceEvent::Completed, said(1, 500, 90, 0));
    for (second, way, request) in [
        (0, here(1), said(1, 0, 0, 90)),
        (1000, here(1), completed.clone()),
        // Sent before, and again since no answer came.
        (1010, here(1), said(1, 300, 70, 20)),
        (1020, over_v6, completed),
        (1030, here(1), said(1, 510, 90, 0)),
    ] {
        ledger.announce(at(second), &member(1), way, &request);
    }
    let row = row(&mut ledger);
    assert_eq!((row.uploaded, row.downloaded, row.completed, row.left), (510, 90, 1, 0));
    assert_eq!(row.seeded, Duration::from_secs(30));
    // One that was started anew says so, or comes a while later.
    ledger.announce(at(1040), &member(1), here(1), &with(AnnounceEvent::Started, said(1, 0, 0, 0)));
    ledger.announce(at(1050), &member(1), here(1), &said(1, 7, 0, 0));
    ledger.announce(at(1111), &member(1), here(1), &said(1, 2, 0, 0));
    ledger.announce(at(1112), &member(1), here(1), &said(1, 5, 0, 0));
    assert_eq!(ledger.take(1)[0].uploaded, 10);
}

#[test]
fn a_client_that_was_ended_without_a_word_gives_way_once_it_is_missed() {
    let mut ledger = ledger(9);
    let member = Member { clients_max: NonZeroU32::new(1), ..member(1) };
    let mut visit = |second, client: u8| {
        ledger.announce(at(second), &member, here(client.into()), &said(client, 0, 0, 9))
    };
    assert_eq!(visit(0, 1), Verdict::Welcome);
    assert_eq!(visit(LIFE / 2, 1), Verdict::Welcome);
    assert_eq!(visit(LIFE / 2 + LIFE / 2, 2), Verdict::TooManyClients);
    assert_eq!(visit(LIFE / 2 + LIFE / 8 * 5 + 1, 2), Verdict::Welcome);
    assert_eq!(visit(LIFE / 2 + LIFE / 8 * 5 + 2, 1), Verdict::TooManyClients);
}

#[test]
fn who_stays_away_is_forgotten_but_not_what_is_due() {
    let mut ledger = ledger(1000);
    for user in 0..100 {
        ledger.announce(at(0), &member(user), here(1), &said(1, 0, 0, 9));
        ledger.announce(at(1), &member(user), here(1), &said(1, 5, 0, 9));
    }
    (0..50).for_each(|_| ledger.sweep(at(2 + LIFE)));
    assert_eq!(ledger.accounts(), 100);
    let rows = [ledger.take(60), ledger.take(60)].concat();
    assert_eq!((rows.len(), rows.iter().map(|row| row.uploaded).sum::<u64>()), (100, 500));
    assert_eq!((ledger.accounts(), ledger.per_user.len()), (0, 0));
    // Nothing is due, and nobody comes again.
    for user in 0..100 {
        ledger.announce(at(5000), &member(user), here(1), &said(1, 5, 0, 9));
    }
    ledger.take(100);
    (0..50).for_each(|_| ledger.sweep(at(5000 + LIFE)));
    assert_eq!(ledger.accounts(), 100);
    (0..50).for_each(|_| ledger.sweep(at(5001 + LIFE)));
    assert_eq!((ledger.accounts(), ledger.per_user.len()), (0, 0));
}

#[test]
fn one_user_has_no_more_accounts_than_are_free() {
    let mut ledger = ledger(100);
    let mut visit = |user, torrent: u8| {
        let request = AnnounceRequest { info_hash: InfoHash([torrent; 20]), ..said(1, 0, 0, 9) };
        ledger.announce(at(0), &member(user), here(1), &request);
    };
    (0..200).for_each(|torrent| visit(1, torrent));
    (0..10).for_each(|user| visit(2 + user, 0));
    assert_eq!(ledger.accounts(), 60);
    assert_eq!(ledger.unkept(), 150);
    // Of one account there are no more clients than are counted.
    for client in 0..=99 {
        ledger.announce(at(0), &member(2), here(client.into()), &said(client, 0, 0, 9));
    }
    assert!(ledger.accounts.values().all(|account| account.clients.len() <= CLIENTS_MAX));
    let clients =
        |ledger: &Ledger| ledger.accounts.values().map(|account| account.clients.len()).sum::<usize>();
    assert_eq!((clients(&ledger), ledger.weight), (80, 80), "clients take room as well, and leave some");
    // Where clients leave, there is room again, and no memory is held for them.
    for client in 0..=99 {
        let leaves = with(AnnounceEvent::Stopped, said(client, 0, 0, 9));
        ledger.announce(at(1), &member(2), here(client.into()), &leaves);
    }
    assert_eq!(ledger.weight, 61);
    assert!(ledger.accounts.values().all(|account| account.clients.capacity() <= 2 * account.clients.len()));
    ledger.take(99);
    assert_eq!((ledger.accounts(), ledger.weight), (60, 60));
    (0..99).for_each(|_| ledger.sweep(at(2 + LIFE)));
    assert_eq!((ledger.accounts(), ledger.weight, ledger.per_user.len()), (0, 0, 0));
}

/// A ledger's snapshot, an account to a slice.
fn slices(ledger: &Ledger, now: Instant) -> Vec<Vec<u8>> {
    let (mut slices, mut walk) = (Vec::new(), Some(Walk::default()));
    while let Some(at) = walk {
        let mut slice = Vec::new();
        walk = ledger.snapshot(now, at, 1, &mut slice);
        slices.push(slice);
    }
    slices
}

#[test]
fn over_a_restart_counting_goes_on_where_it_stood() {
    let mut before = ledger(9);
    let torrent = |n| InfoHash([n; 20]);
    let of = |n, request| AnnounceRequest { info_hash: torrent(n), ..request };
    let there = SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 1));
    before.announce(at(0), &member(1), here(1), &of(1, said(1, 100, 7, 0)));
    before.announce(at(0), &member(1), there, &of(2, said(2, 200, 0, 9)));
    before.announce(at(60), &member(2), here(2), &of(1, said(3, 300, 0, 9)));
    before.announce(at(60), &member(2), here(3), &of(1, said(4, 0, 0, 9)));
    let slices = slices(&before, at(90));
    // Half a minute later, in a ledger whose clock is another, and of one torrent alone.
    let mut after = ledger(9);
    let (now, since) = (at(50_000), Duration::from_secs(30));
    // A second time nobody is new.
    for new in [3, 0] {
        let restored =
            slices.iter().map(|slice| after.restore(now, slice, since, |hash| *hash == torrent(1)));
        assert_eq!(restored.map(Result::unwrap).sum::<u64>(), new);
    }
    assert_eq!((after.accounts(), after.rows_due()), (2, 0));
    after.announce(now, &member(1), here(1), &of(1, said(1, 150, 7, 0)));
    let first = row(&mut after);
    assert_eq!((first.uploaded, first.seeded), (50, Duration::from_secs(120)));
    after.announce(now, &member(2), here(2), &of(1, said(3, 300 + 61 * GB, 0, 9)));
    let second = row(&mut after);
    assert_eq!((second.uploaded, second.excesses), (60 * GB, 1), "a minute has passed");
}

#[test]
fn who_has_stayed_away_for_too_long_by_the_restart_is_forgotten_and_bounds_hold() {
    let mut before = ledger(99);
    for user in 0..20 {
        before.announce(at(0), &member(user), here(1), &said(1, 1, 0, 9));
    }
    let slices = slices(&before, at(LIFE - 10));
    let restore = |seconds, most| {
        let mut after = ledger(most);
        let since = Duration::from_secs(seconds);
        for slice in &slices {
            after.restore(at(50_000), slice, since, |_| true).unwrap();
        }
        after.accounts()
    };
    assert_eq!((restore(10, 99), restore(11, 99), restore(0, 5)), (20, 0, 5));
}

#[test]
fn what_is_no_snapshot_does_no_harm() {
    let mut before = ledger(9);
    before.announce(at(0), &member(1), here(1), &said(1, 1, 0, 9));
    let slice = slices(&before, at(1)).swap_remove(0);
    for len in (0..slice.len()).filter(|len| *len != 1) {
        assert_eq!(ledger(9).restore(at(9), &slice[..len], Duration::ZERO, |_| true), Err(NoLedger), "{len}");
    }
    for at_byte in 0..slice.len() {
        for byte in 0..=255 {
            let mut changed = slice.clone();
            changed[at_byte] = byte;
            let mut after = ledger(9);
            let _ = after.restore(at(9), &changed, Duration::MAX, |_| true);
            let _ = after.restore(at(9), &changed, Duration::ZERO, |_| true);
            after.announce(at(9), &member(1), here(1), &said(1, 5, 0, 9));
            assert!(after.take(9).iter().all(|row| row.uploaded <= 5));
        }
    }
}

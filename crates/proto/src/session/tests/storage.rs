//! The way to the disk and back: verification, durability, faults, stages.

use super::rig::{Fate, ID, PLAIN, Rig, error, full};
use crate::event::{Event, StageName};
use crate::input::{DiskErrorKind, DiskOperation, Found};
use crate::output::CloseReason;
use crate::resume::OpenRecord;
use crate::{BlockSet, Command, Duration, Input, Instant, Output, PeerMisbehaved, ResumeRecord, TorrentId};
use wire::message::BlockRequest;
use wire::{Bitfield, PieceIndex, Reserved};

#[test]
fn a_bad_piece_is_fetched_again_and_the_liar_banned() {
    let mut rig = Rig::leech(1, 32 * 1024);
    let liar = rig.source(PLAIN);
    rig.deliver(liar);
    let (piece, attempt) = rig.take_verify().expect("all blocks are here");
    rig.verified((piece, attempt), false);
    assert!(rig.told(&Event::PieceFailed(ID, piece)));
    assert_eq!(rig.fault(liar), Some(PeerMisbehaved::CorruptBlocks), "the only sender");
    assert!(
        rig.wishes
            .iter()
            .any(|wish| matches!(wish, Output::Discard { attempt: gone, .. } if *gone == attempt))
    );
    let again = rig.link_from(std::net::SocketAddr::from(([80, 1, 0, 2], 9)), PLAIN);
    assert_eq!(rig.closed(again), Some(CloseReason::Banned));
    let honest = rig.source(PLAIN);
    assert_eq!(rig.deliver(honest), 2);
    let (_, second) = rig.take_verify().expect("fetched again");
    assert!(second > attempt);
    rig.verified((piece, attempt), true);
    assert_eq!(rig.stats().pieces_have, 0, "a late answer to the first attempt");
    rig.verified((piece, second), true);
    assert_eq!(rig.stats().pieces_have, 1);
}

#[test]
fn a_host_is_banned_once_however_much_it_spoiled() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let liar = rig.source(PLAIN);
    while rig.deliver(liar) > 0 {}
    let pieces = [rig.take_verify(), rig.take_verify()].map(|piece| piece.expect("all blocks are here"));
    pieces.into_iter().for_each(|piece| rig.verified(piece, false));
    let bans = rig.wishes.iter().filter(|wish| matches!(wish, Output::Event(Event::PeerBanned(..))));
    assert_eq!(bans.count(), 1);
}

#[test]
fn pieces_become_durable_within_the_interval_and_the_record_never_runs_ahead() {
    let mut rig = Rig::leech(4, 32 * 1024);
    let source = rig.source(PLAIN);
    let two: Vec<BlockRequest> = rig.take_requests(source);
    two.iter()
        .filter(|request| request.piece < 2)
        .for_each(|&request| assert_eq!(rig.block(source, request), Fate::Kept));
    let first = rig.take_verify().expect("piece 0");
    rig.verified(first, true);
    let write = rig.take_write().expect("it is right");
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.take_sync(), None, "nothing was written");
    rig.written(write);
    rig.pass(Duration::from_millis(1_001));
    let epoch = rig.take_sync().expect("a second later");
    let second = rig.take_verify().expect("piece 1");
    rig.verified(second, true);
    let write = rig.take_write().expect("it is right too");
    rig.written(write);
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (epoch, record) = rig.take_commit().expect("what the sync covered");
    assert_eq!(
        record.have.iter().collect::<Vec<_>>(),
        [first.0],
        "the second was written after the sync was asked for"
    );
    rig.feed(Input::Committed { torrent: ID, epoch });
    rig.pass(Duration::from_secs(2));
    let epoch = rig.take_sync().expect("the second one's");
    rig.feed(Input::Synced { torrent: ID, epoch });
    assert_eq!(rig.take_commit().expect("both").1.have.count(), 2);
}

#[test]
fn old_blocks_are_spilled_synced_recorded_and_restored() {
    let mut rig = Rig::leech(2, 64 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.block(source, asked[0]);
    rig.block(source, asked[1]);
    rig.pass(Duration::from_millis(1_900));
    assert_eq!(rig.take_spill(), None);
    rig.pass(Duration::from_millis(200));
    let (piece, attempt, blocks) = rig.take_spill().expect("they are 2 s old");
    assert_eq!(blocks, 2);
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("spilled bytes are synced too");
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (_, record) = rig.take_commit().expect("and recorded");
    let open = OpenRecord { piece, blocks: BlockSet::full(2) };
    assert_eq!(record.open, [open]);

    let mut later = Rig::opening(2, 64 * 1024, Some(record));
    later.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    let source = later.source(PLAIN);
    let asked = later.take_requests(source);
    assert!(!asked.iter().any(|request| request.piece == piece.0 && request.offset < 32 * 1024), "{asked:?}");
}

#[test]
fn what_was_here_before_is_told_apart_from_the_part_of_a_block_that_came_since() {
    let mut have = Bitfield::new(3);
    have.insert(PieceIndex(0));
    let open = vec![OpenRecord { piece: PieceIndex(1), blocks: BlockSet::full(2) }];
    let record = ResumeRecord { have, open, uploaded: 0, downloaded: 0 };
    let mut rig = Rig::opening(3, 64 * 1024, Some(record));
    let before = |rig: &Rig| (rig.stats().have_before, rig.stats().unverified_before);
    assert_eq!(before(&rig), (0, 0), "nobody looked yet");
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.feed(Input::Progress { link: source, bytes: 15_459 });
    assert_eq!(rig.stats().downloaded, 15_459);
    assert_eq!(before(&rig), (64 * 1024, 32 * 1024));
    asked.iter().for_each(|&request| _ = rig.block(source, request));
    assert_eq!(before(&rig), (64 * 1024, 32 * 1024));
}

#[test]
fn a_piece_stays_in_the_record_by_its_spilled_blocks_until_the_record_can_have_it_whole() {
    let mut rig = Rig::leech(1, 64 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.block(source, asked[0]);
    rig.block(source, asked[1]);
    rig.pass(Duration::from_millis(2_100));
    let (piece, attempt, _) = rig.take_spill().expect("they are 2 s old");
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("of the spilled blocks");
    // The rest comes while they are being synced.
    rig.deliver(source);
    asked[2..].iter().for_each(|&request| _ = rig.block(source, request));
    let whole = rig.take_verify().expect("all blocks are here");
    rig.verified(whole, true);
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (epoch, record) = rig.take_commit().expect("what the sync covered");
    assert_eq!(record.open, [OpenRecord { piece, blocks: BlockSet::full(2) }]);
    assert_eq!(record.have.count(), 0);
    rig.feed(Input::Committed { torrent: ID, epoch });
    let write = rig.take_write().expect("it is right");
    rig.written(write);
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("of the piece");
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (_, record) = rig.take_commit().expect("the whole piece");
    assert_eq!((record.have.count(), record.open), (1, Vec::new()));
}

#[test]
fn blocks_spilled_before_their_piece_was_whole_are_recorded_if_the_sync_was_too_early_for_the_piece() {
    let mut rig = Rig::leech(2, 64 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.block(source, asked[0]);
    rig.pass(Duration::from_millis(2_100));
    let (piece, attempt, _) = rig.take_spill().expect("it is 2 s old");
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    for request in rig.take_requests(source).into_iter().chain(asked[1..].iter().copied()) {
        if request.piece == asked[0].piece {
            rig.block(source, request);
        }
    }
    let whole = rig.take_verify().expect("all blocks are here");
    rig.verified(whole, true);
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("of the spilled block: the piece is not written yet");
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (_, record) = rig.take_commit().expect("what the sync covered");
    assert_eq!(record.open, [OpenRecord { piece, blocks: BlockSet::full(1) }]);
}

#[test]
fn a_slow_disk_brings_spills_forward_so_that_no_block_is_older_than_5_s_when_it_is_recorded() {
    for (sync, commit) in [(0, 0), (500, 500), (900, 600), (1_300, 700)] {
        let mut rig = Rig::leech(1, 32 * 1024 * 1024);
        let source = rig.source(PLAIN);
        let mut disk = SlowDisk { sync, commit, ..SlowDisk::default() };
        let mut waiting = rig.take_requests(source);
        for step in 0..4_000 {
            // A block a tenth of a second: its piece is not whole before the end.
            if step % 10 == 0 {
                waiting.extend(rig.take_requests(source));
                let request = waiting.remove(0);
                assert_eq!(rig.block(source, request), Fate::Kept);
                disk.keep(rig.now, request.offset / 16_384);
            }
            rig.pass(Duration::from_millis(10));
            disk.work(&mut rig);
            let age = disk.oldest(rig.now);
            let limit = Duration::from_secs(5);
            // The first sync tells how slow the disk is: what came before it was bound to be late by what it takes over 1.5 s.
            let first = if step < 1_000 && sync + commit > 1_500 { limit + limit } else { limit };
            assert!(age <= first, "{age:?} at step {step} with {sync} + {commit} ms");
        }
        assert!(disk.recorded > 300, "{} blocks recorded", disk.recorded);
    }
}

/// A disk whose syncs and commits take their time.
#[derive(Default)]
struct SlowDisk {
    sync: u64,
    commit: u64,
    kept: std::collections::BTreeMap<u32, Instant>,
    recorded: usize,
    job: Option<(Instant, Input<'static>, BlockSet)>,
}

impl SlowDisk {
    fn keep(&mut self, now: Instant, block: u32) {
        self.kept.insert(block, now);
    }

    fn work(&mut self, rig: &mut Rig) {
        while let Some((piece, attempt, _)) = rig.take_spill() {
            rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
        }
        if let Some(epoch) = rig.take_sync() {
            let done = rig.now + Duration::from_millis(self.sync);
            self.job = Some((done, Input::Synced { torrent: ID, epoch }, BlockSet::default()));
        }
        if let Some((epoch, record)) = rig.take_commit() {
            let done = rig.now + Duration::from_millis(self.commit);
            let blocks = record.open.into_iter().next().map(|open| open.blocks).unwrap_or_default();
            self.job = Some((done, Input::Committed { torrent: ID, epoch }, blocks));
        }
        if let Some((_, input, blocks)) = self.job.take_if(|job| job.0 <= rig.now) {
            rig.feed(input);
            self.recorded += blocks.iter().filter(|block| self.kept.remove(block).is_some()).count();
        }
    }

    fn oldest(&self, now: Instant) -> Duration {
        self.kept.values().min().map_or(Duration::ZERO, |&kept| now.since(kept))
    }
}

#[test]
fn a_piece_whose_blocks_an_earlier_run_left_complete_is_verified_at_once() {
    let open = vec![OpenRecord { piece: PieceIndex(1), blocks: BlockSet::full(2) }];
    let record = ResumeRecord { have: Bitfield::new(2), open, uploaded: 5, downloaded: 6 };
    let mut rig = Rig::opening(2, 32 * 1024, Some(record));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    let verify = rig.take_verify().expect("nothing is missing");
    assert_eq!(verify.0, PieceIndex(1));
    rig.verified(verify, true);
    assert_eq!((rig.stats().pieces_have, rig.stats().uploaded_before), (1, 5));
}

#[test]
fn only_doubtful_pieces_are_checked_and_the_rest_of_the_record_is_trusted() {
    let mut have = Bitfield::full(6);
    have.remove(PieceIndex(5));
    let record = ResumeRecord { have, open: Vec::new(), uploaded: 0, downloaded: 0 };
    let mut rig = Rig::opening(6, 32 * 1024, Some(record));
    let mut doubtful = Bitfield::new(6);
    doubtful.insert(PieceIndex(2));
    doubtful.insert(PieceIndex(3));
    rig.feed(Input::Opened { torrent: ID, found: Found::Doubtful(doubtful.clone()) });
    assert_eq!(rig.stats().stage, StageName::Checking);
    let asked = rig.take(|wish| match wish {
        Output::Check { pieces, .. } => Some(pieces.clone()),
        _ => None,
    });
    assert_eq!(asked, Some(doubtful));
    let mut good = Bitfield::new(6);
    good.insert(PieceIndex(3));
    rig.feed(Input::Checked { torrent: ID, good });
    assert_eq!(rig.stats().stage, StageName::Downloading);
    let have: Vec<u32> = rig.session.have(ID).unwrap().iter().map(|piece| piece.0).collect();
    assert_eq!(have, [0, 1, 3, 4]);
}

#[test]
fn a_record_of_another_shape_is_not_trusted() {
    let record = ResumeRecord { have: Bitfield::full(7), open: Vec::new(), uploaded: 0, downloaded: 0 };
    let mut rig = Rig::opening(6, 32 * 1024, Some(record));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    assert_eq!((rig.stats().stage, rig.stats().pieces_have), (StageName::Checking, 0));
}

#[test]
fn a_failed_sync_makes_its_pieces_missing_and_stops_the_torrent() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let (other, source) = (rig.link(PLAIN), rig.source(PLAIN));
    rig.deliver(source);
    for _ in 0..2 {
        let verify = rig.take_verify().unwrap();
        rig.verified(verify, true);
        let write = rig.take_write().unwrap();
        rig.written(write);
    }
    assert!(rig.told(&Event::Finished(ID)));
    let epoch = rig.take_sync().expect("complete: at once");
    rig.feed(Input::SyncFailed { torrent: ID, epoch, error: error(DiskErrorKind::Io) });
    assert_eq!((rig.stats().stage, rig.stats().pieces_have), (StageName::Failed, 0));
    assert_eq!(rig.closed(other), Some(CloseReason::TorrentStopped));
    assert!(!rig.told(&Event::Durable(ID)));
    rig.pass(Duration::from_secs(300));
    assert_eq!(rig.stats().stage, StageName::Failed, "only the user can help");
    rig.feed(Input::Command(Command::Resume(ID)));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    assert_eq!(rig.stats().stage, StageName::Downloading);
    let source = rig.source(PLAIN);
    assert_eq!(rig.deliver(source), 4, "fetched again");
}

#[test]
fn a_full_disk_stops_the_torrent_and_it_goes_on_by_itself() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let source = rig.source(PLAIN);
    rig.deliver(source);
    let verify = rig.take_verify().unwrap();
    rig.verified(verify, true);
    let (piece, attempt) = rig.take_write().unwrap();
    let full = || error(DiskErrorKind::Full);
    rig.feed(Input::StorageFailed {
        torrent: ID,
        operation: DiskOperation::Write(piece, attempt),
        error: full(),
    });
    assert!(rig.told(&Event::StorageFailed(ID, full())) && rig.told(&Event::Stage(ID, StageName::Failed)));
    let opens = |rig: &Rig| rig.wishes.iter().filter(|wish| matches!(wish, Output::Open { .. })).count();
    let before = opens(&rig);
    for round in 1..=5 {
        rig.wishes.retain(|wish| !matches!(wish, Output::Event(_)));
        rig.pass(Duration::from_secs(31));
        assert_eq!(opens(&rig) - before, round, "one try per wait");
        rig.feed(Input::StorageFailed { torrent: ID, operation: DiskOperation::Open, error: full() });
        assert_eq!(rig.stats().stage, StageName::Failed);
        assert!(!rig.wishes.iter().any(|wish| matches!(wish, Output::Event(_))), "no news");
    }
    rig.pass(Duration::from_secs(31));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    assert_eq!(rig.stats().stage, StageName::Downloading);
    assert_eq!(rig.take_write(), Some((piece, attempt)), "asked for again");
    rig.written((piece, attempt));
    assert_eq!(rig.stats().pieces_have, 1, "nothing was lost");
}

#[test]
fn a_failed_storage_is_not_tried_in_a_circle_whatever_the_user_does() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let fail = |rig: &mut Rig| {
        let error = error(DiskErrorKind::Vanished);
        rig.feed(Input::StorageFailed { torrent: ID, operation: DiskOperation::Open, error });
    };
    rig.feed(Input::Unsent { token: token(), why: crate::input::Unsent::Recalled });
    rig.feed(Input::Command(Command::Recheck(ID)));
    rig.feed(Input::StorageFailed {
        torrent: ID,
        operation: DiskOperation::Check,
        error: error(DiskErrorKind::Vanished),
    });
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.wishes.clear();
    rig.pass(Duration::from_secs(3600));
    assert!(!rig.wishes.iter().any(|wish| matches!(wish, Output::Open { .. })), "paused: {:?}", rig.wishes);
    rig.feed(Input::Command(Command::Resume(ID)));
    for _ in 0..10 {
        fail(&mut rig);
    }
    let opens = rig.wishes.iter().filter(|wish| matches!(wish, Output::Open { .. })).count();
    assert_eq!(opens, 1);
}

fn token() -> crate::SendToken {
    crate::SendToken { link: crate::LinkId { slot: 77, generation: 0 }, sequence: 3 }
}

#[test]
fn a_pause_during_a_verify_loses_nothing() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    asked[..3].iter().for_each(|&request| assert_eq!(rig.block(source, request), Fate::Kept));
    let verify = rig.take_verify().expect("piece 0 is whole");
    rig.feed(Input::Command(Command::Pause(ID)));
    assert_eq!(rig.closed(source), Some(CloseReason::TorrentStopped));
    assert_eq!(rig.block(source, asked[3]), Fate::Dropped, "after the close");
    rig.verified(verify, true);
    let write = rig.take_write().expect("the answer counts in spite of the pause");
    let (piece, attempt, _) = rig.take_spill().expect("the block of the other piece");
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    rig.written(write);
    rig.run_disk();
    rig.pass(Duration::from_secs(2));
    rig.run_disk();
    assert_eq!(rig.stats().pieces_durable, 1);
    assert_eq!(rig.stats().stage, StageName::Paused);
    rig.feed(Input::Command(Command::Resume(ID)));
    let source = rig.source(PLAIN);
    assert_eq!(rig.take_requests(source), asked[3..], "only what is missing");
}

#[test]
fn a_removal_with_everything_in_flight_saves_closes_and_is_told() {
    let mut rig = Rig::leech(3, 32 * 1024);
    let source = rig.source(Reserved::OURS);
    let mut asked = rig.take_requests(source);
    for at in 0..5 {
        assert_eq!(rig.block(source, asked[at]), Fate::Kept);
        asked.extend(rig.take_requests(source));
    }
    let (one, two) = (rig.take_verify().unwrap(), rig.take_verify().unwrap());
    rig.verified(one, true);
    rig.feed(Input::Command(Command::Remove(ID)));
    let closing = |rig: &Rig| rig.wishes.iter().any(|wish| matches!(wish, Output::CloseStorage { .. }));
    assert!(!closing(&rig));
    rig.verified(two, true);
    rig.run_disk();
    rig.pass(Duration::from_secs(2));
    rig.run_disk();
    assert!(closing(&rig), "{:?}", rig.wishes);
    assert!(!rig.told(&Event::Removed(ID)));
    rig.feed(Input::Closed { torrent: ID });
    assert!(rig.told(&Event::Removed(ID)));
    assert_eq!(rig.session.torrent(ID), None);
    assert_eq!(rig.block(source, asked[5]), Fate::Dropped, "even now");
    assert_eq!(rig.session.next_wake(), None, "no timer is left");
    assert_eq!((rig.session.demand().links, rig.session.demand().buffered), (0, 0));
}

#[test]
fn a_removal_whose_last_sync_fails_ends_all_the_same() {
    let mut rig = Rig::leech(1, 32 * 1024);
    let source = rig.source(PLAIN);
    rig.deliver(source);
    let verify = rig.take_verify().unwrap();
    rig.verified(verify, true);
    let write = rig.take_write().unwrap();
    rig.feed(Input::Command(Command::Remove(ID)));
    rig.written(write);
    let epoch = rig.take_sync().expect("the last one");
    rig.feed(Input::SyncFailed { torrent: ID, epoch, error: error(DiskErrorKind::Io) });
    rig.feed(Input::Closed { torrent: ID });
    assert!(rig.told(&Event::Removed(ID)));
}

#[test]
fn a_failed_storage_is_asked_for_nothing_until_it_was_opened_again() {
    let mut rig = Rig::leech(2, 64 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.block(source, asked[0]);
    rig.pass(Duration::from_millis(2_100));
    let (piece, attempt, _) = rig.take_spill().expect("it is 2 s old");
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    rig.block(source, asked[1]);
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("of the spilled block");
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (epoch, _) = rig.take_commit().expect("a record");
    let (operation, full) = (DiskOperation::Commit(epoch), error(DiskErrorKind::Full));
    rig.feed(Input::StorageFailed { torrent: ID, operation, error: full });
    rig.wishes.clear();
    rig.pass(Duration::from_millis(9_900));
    let asks =
        |wish: &&Output| matches!(wish, Output::Spill { .. } | Output::Sync { .. } | Output::Commit { .. });
    assert!(!rig.wishes.iter().any(|wish| asks(&wish)), "{:?}", rig.wishes);
    rig.pass(Duration::from_secs(1));
    assert!(rig.take(|wish| matches!(wish, Output::Open { .. }).then_some(())).is_some(), "tried again");
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    assert!(rig.take_spill().is_some() && rig.take_sync().is_some(), "{:?}", rig.wishes);
}

#[test]
fn what_a_failure_held_up_is_saved_although_the_user_paused_before_the_storage_was_back() {
    let mut rig = Rig::leech(1, 32 * 1024);
    let source = rig.source(PLAIN);
    rig.deliver(source);
    let whole = rig.take_verify().expect("all blocks are here");
    rig.verified(whole, true);
    let (piece, attempt) = rig.take_write().expect("it is right");
    let (operation, full) = (DiskOperation::Write(piece, attempt), error(DiskErrorKind::Full));
    rig.feed(Input::StorageFailed { torrent: ID, operation, error: full });
    rig.pass(Duration::from_secs(11));
    assert!(rig.take(|wish| matches!(wish, Output::Open { .. }).then_some(())).is_some(), "tried again");
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.feed(Input::Opened { torrent: ID, found: Found::AsRecorded });
    rig.run_disk();
    assert_eq!(rig.stats().pieces_durable, 1);
    rig.feed(Input::Command(Command::Remove(ID)));
    assert!(rig.take(|wish| matches!(wish, Output::CloseStorage { .. }).then_some(())).is_some());
}

#[test]
fn a_shutdown_ends_when_everything_is_saved() {
    let mut rig = Rig::leech(2, 32 * 1024);
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    rig.block(source, asked[0]);
    rig.feed(Input::Command(Command::Shutdown));
    assert!(!rig.told(&Event::Stopped));
    let (piece, attempt, _) = rig.take_spill().expect("the block");
    rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests: None });
    let epoch = rig.take_sync().expect("at once");
    rig.feed(Input::Synced { torrent: ID, epoch });
    let (epoch, record) = rig.take_commit().expect("the record");
    assert_eq!((record.open.len(), record.downloaded), (1, 16 * 1024));
    assert!(!rig.told(&Event::Stopped));
    rig.feed(Input::Committed { torrent: ID, epoch });
    assert!(rig.told(&Event::Stopped));
}

#[test]
fn a_recheck_finds_what_the_disk_lost_and_fetches_it_again() {
    let mut rig = Rig::seed(4, 32 * 1024);
    rig.feed(Input::Command(Command::Recheck(ID)));
    rig.run_disk();
    assert_eq!(rig.stats().stage, StageName::Checking);
    let mut good = Bitfield::full(4);
    good.remove(PieceIndex(1));
    rig.feed(Input::Checked { torrent: ID, good });
    assert_eq!((rig.stats().stage, rig.stats().pieces_have), (StageName::Downloading, 3));
    let source = rig.source(PLAIN);
    let asked = rig.take_requests(source);
    assert!(asked.len() == 2 && asked.iter().all(|request| request.piece == 1), "{asked:?}");
    rig.deliver(source);
    rig.pass(Duration::from_millis(1_100));
    let epoch = rig.take_sync().expect("the record must not claim the lost piece");
    rig.feed(Input::Synced { torrent: ID, epoch });
    assert!(!rig.take_commit().expect("a record").1.have.has(PieceIndex(1)));
}

#[test]
fn skipped_files_are_not_fetched_and_priorities_may_change_at_any_time() {
    let mut rig = Rig::leech(3, 32 * 1024);
    rig.feed(Input::Command(Command::SetPriorities(ID, [crate::Priority::Skip].into())));
    assert!(rig.told(&Event::Finished(ID)), "nothing is wanted");
    let source = rig.source(PLAIN);
    assert_eq!(rig.closed(source), Some(CloseReason::Useless));
    rig.feed(Input::Command(Command::SetPriorities(ID, [crate::Priority::High].into())));
    assert_eq!(rig.stats().stage, StageName::Downloading);
    let source = rig.source(PLAIN);
    assert_eq!(rig.deliver(source), 6);
}

/// Who shares a terabyte seeds as many torrents at once, most of which nobody asks for any more.
#[test]
fn a_thousand_torrents_that_are_whole_and_ask_nobody_wait_without_a_timer() {
    let mut rig = Rig::seed(4, 32 * 1024);
    for slot in 2..=1_000 {
        let torrent = TorrentId { slot, generation: 1 };
        rig.add(torrent, Some(full(4)));
        rig.feed(Input::Opened { torrent, found: Found::AsRecorded });
    }
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.session.torrents().count(), 1_000);
    assert_eq!(rig.session.next_wake(), None);
}

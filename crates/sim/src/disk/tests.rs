//! What a crash leaves, and in which order answers come.

use super::*;
use proto::Seed;
use proto::resume::OpenRecord;

const TORRENT: TorrentId = TorrentId { slot: 0, generation: 0 };
const PIECE: PieceIndex = PieceIndex(1);

/// A disk with a torrent of four pieces of four blocks, and its content.
fn disk(seed: u64) -> (Disk, Arc<Content>) {
    let content = Arc::new(Content::made_up("disk", 256 << 10, 64 << 10, 16 << 10).unwrap());
    (Disk::new(DiskModel::FLASH, core::slice::from_ref(&content), Rng::new(Seed(seed))), content)
}

fn keep(disk: &mut Disk, content: &Content, blocks: core::ops::Range<u32>) {
    for index in blocks {
        let block = content.metainfo().layout.nth_block(PIECE, index);
        disk.store_mut(TORRENT).keep(block, content.tag(block));
    }
}

/// Does a job to its end.
fn does(disk: &mut Disk, work: Work) -> Input<'static> {
    let (job, _) = disk.start(Instant::ZERO, TORRENT, work);
    disk.finish(job).unwrap()
}

fn write() -> Work {
    Work::Write { piece: PIECE, attempt: Attempt(0) }
}

fn spill(blocks: u32) -> Work {
    Work::Spill { piece: PIECE, attempt: Attempt(0), blocks: BlockSet::full(blocks), key: None }
}

fn record(have: bool, open: u32) -> Box<ResumeRecord> {
    let mut pieces = Bitfield::new(4);
    if have {
        pieces.insert(PIECE);
    }
    let open = OpenRecord { piece: PIECE, blocks: BlockSet::full(open) };
    let open = if open.blocks.is_empty() { Vec::new() } else { vec![open] };
    Box::new(ResumeRecord { have: pieces, open, uploaded: 0, downloaded: 0 })
}

#[test]
fn what_was_synced_survives_and_what_was_written_only_is_kept_torn_or_lost() {
    let (mut whole, mut torn, mut lost) = (0, 0, 0);
    for seed in 0..100 {
        let (mut disk, content) = disk(seed);
        keep(&mut disk, &content, 0..4);
        does(&mut disk, write());
        if seed % 2 == 0 {
            does(&mut disk, Work::Sync { epoch: Epoch(0) });
        }
        disk.crash(Crash::PowerLoss);
        let there = disk.store(TORRENT).is_durable(PIECE);
        assert!(there || seed % 2 == 1, "seed {seed}");
        let some = (0..4).any(|index| {
            disk.store(TORRENT).read(content.metainfo().layout.nth_block(PIECE, index)).is_some()
        });
        match (there, some) {
            (true, _) => whole += 1,
            (false, true) => torn += 1,
            (false, false) => lost += 1,
        }
    }
    assert!(whole > 60 && torn > 5 && lost > 5, "{whole} {torn} {lost}");
}

#[test]
fn a_killed_process_loses_its_memory_and_not_what_it_wrote() {
    let (mut disk, content) = disk(1);
    keep(&mut disk, &content, 0..4);
    does(&mut disk, write());
    disk.crash(Crash::Kill);
    assert!(disk.store(TORRENT).serves(PIECE));
    assert_eq!(does(&mut disk, Work::Open).found(), Some(Found::Doubtful(record(true, 0).have)));
}

#[test]
fn a_sync_does_not_cover_what_was_written_after_it_was_asked() {
    let (mut disk, content) = disk(1);
    let (sync, _) = disk.start(Instant::ZERO, TORRENT, Work::Sync { epoch: Epoch(0) });
    keep(&mut disk, &content, 0..4);
    does(&mut disk, write());
    disk.finish(sync);
    assert!(!disk.store(TORRENT).is_durable(PIECE));
}

#[test]
fn what_a_failed_sync_covered_is_gone_until_it_is_written_again() {
    let (mut disk, content) = disk(1);
    keep(&mut disk, &content, 0..4);
    does(&mut disk, write());
    disk.faults.sync_fails = true;
    assert!(matches!(does(&mut disk, Work::Sync { epoch: Epoch(0) }), Input::SyncFailed { .. }));
    disk.faults.sync_fails = false;
    does(&mut disk, Work::Sync { epoch: Epoch(1) });
    assert!(!disk.store(TORRENT).is_durable(PIECE) && !disk.store(TORRENT).serves(PIECE));
    keep(&mut disk, &content, 0..4);
    does(&mut disk, write());
    does(&mut disk, Work::Sync { epoch: Epoch(2) });
    assert!(disk.store(TORRENT).is_durable(PIECE));
}

#[test]
fn spilled_blocks_are_read_back_until_a_record_has_their_piece() {
    let (mut disk, content) = disk(1);
    keep(&mut disk, &content, 0..2);
    does(&mut disk, spill(2));
    does(&mut disk, Work::Sync { epoch: Epoch(0) });
    does(&mut disk, Work::Commit { epoch: Epoch(0), record: record(false, 2) });
    disk.crash(Crash::PowerLoss);
    assert_eq!(does(&mut disk, Work::Open).found(), Some(Found::AsRecorded));
    keep(&mut disk, &content, 2..4);
    let verify = Work::Verify { piece: PIECE, attempt: Attempt(0), key: [0; 16], digests: false };
    assert!(matches!(does(&mut disk, verify), Input::Verified { good: true, digests: None, .. }));
    does(&mut disk, write());
    does(&mut disk, Work::Sync { epoch: Epoch(1) });
    // A crash before the next commit must still find what the old record promises.
    assert_eq!(disk.store(TORRENT).durable_parts(PIECE).count(), 2);
    does(&mut disk, Work::Commit { epoch: Epoch(1), record: record(true, 0) });
    assert_eq!(disk.store(TORRENT).durable_parts(PIECE).count(), 0);
}

#[test]
fn a_spill_of_a_discarded_attempt_takes_nothing_from_the_next() {
    let (mut disk, content) = disk(1);
    keep(&mut disk, &content, 0..2);
    let (job, _) = disk.start(Instant::ZERO, TORRENT, spill(2));
    disk.store_mut(TORRENT).discard(PIECE, Attempt(0));
    keep(&mut disk, &content, 0..2);
    disk.finish(job);
    assert_eq!(disk.store(TORRENT).buffered(), 2 * (16 << 10));
}

#[test]
fn answers_about_one_piece_come_in_the_order_asked_and_closed_comes_last() {
    for seed in 0..20 {
        let (mut disk, content) = disk(seed);
        keep(&mut disk, &content, 0..4);
        let verify = Work::Verify { piece: PIECE, attempt: Attempt(0), key: [0; 16], digests: false };
        let jobs = [spill(1), verify, write(), Work::Sync { epoch: Epoch(0) }, Work::Close];
        let ends = jobs.map(|work| disk.start(Instant::ZERO, TORRENT, work).1);
        assert!(ends[0] <= ends[1] && ends[1] <= ends[2], "seed {seed}: {ends:?}");
        assert!(ends.iter().all(|&end| end <= ends[4]), "seed {seed}: {ends:?}");
    }
}

#[test]
fn a_spoilt_block_spoils_the_hash_and_its_digest_alone_differs() {
    let (mut disk, content) = disk(1);
    keep(&mut disk, &content, 0..3);
    let last = content.metainfo().layout.nth_block(PIECE, 3);
    disk.store_mut(TORRENT).keep(last, content.tag(last).spoilt(7));
    let verify = Work::Verify { piece: PIECE, attempt: Attempt(0), key: [9; 16], digests: false };
    let Input::Verified { good: false, digests: Some(digests), .. } = does(&mut disk, verify) else {
        panic!("a spoilt piece passed")
    };
    for index in 0..4 {
        let right = content.nth_tag(PIECE, index).digest([9; 16]);
        assert_eq!(digests[index as usize] == right, index < 3);
    }
}

trait FoundIn {
    fn found(self) -> Option<Found>;
}

impl FoundIn for Input<'_> {
    fn found(self) -> Option<Found> {
        match self {
            Input::Opened { found, .. } => Some(found),
            _ => None,
        }
    }
}

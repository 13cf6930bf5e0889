//! The threads with real files: answers, order, cancelling, ending.

use super::*;
use crate::disk::fixture::{Content, Place};
use crate::disk::job::{BlockSource, Payload};
use crate::disk::spec::WantedFiles;
use bytes::Bytes;
use proto::input::Found;
use proto::{Attempt, LinkId, ResumeRecord, SendToken};
use std::sync::mpsc;
use wire::{Bitfield, Block, PieceIndex};

const ID: TorrentId = TorrentId { slot: 3, generation: 1 };
const KEY: [u8; 16] = [7; 16];
const FIRST: Attempt = Attempt(0);

struct Loop {
    disk: Disk,
    answers: mpsc::Receiver<DiskDone>,
    content: Content,
}

impl Loop {
    fn new(place: &Place) -> Loop {
        let (sender, answers) = mpsc::channel();
        let config = DiskConfig { threads: 3, files_open_max: 8, state: Arc::new(place.state()) };
        let disk = Disk::start(config, move |done| drop(sender.send(done))).unwrap();
        disk.submit(DiskJob::Open {
            torrent: ID,
            spec: ContentSpec::Kept(place.spec()),
            wanted: WantedFiles::all(),
        });
        Loop { disk, answers, content: place.content.clone() }
    }

    fn next(&self) -> DiskDone {
        self.answers.recv().unwrap()
    }

    fn opened(&self) -> Found {
        match self.next() {
            DiskDone::Opened { torrent: ID, found } => found,
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, piece: PieceIndex) {
        let blocks = self.content.sources(piece);
        self.disk.submit(DiskJob::Write { torrent: ID, piece, attempt: FIRST, blocks });
    }

    fn record(&self, have: Bitfield) -> Box<ResumeRecord> {
        Box::new(ResumeRecord { have, open: Vec::new(), uploaded: 1, downloaded: 2 })
    }

    /// All answers until the torrent is closed.
    fn close(&self) -> Vec<DiskDone> {
        self.disk.submit(DiskJob::Close { torrent: ID });
        let mut answers = Vec::new();
        loop {
            match self.next() {
                DiskDone::Closed { torrent: ID } => return answers,
                other => answers.push(other),
            }
        }
    }
}

fn content() -> Content {
    Content::of(&[("a", 500_000), ("b/c", 70_000), ("b/d", 0)], 65_536)
}

fn block(piece: u32, offset: u32, len: u32) -> Block {
    Block { piece: PieceIndex(piece), offset, len }
}

fn token(sequence: u32) -> SendToken {
    SendToken { link: LinkId { slot: 0, generation: 0 }, sequence }
}

#[test]
fn a_torrent_is_downloaded_committed_and_found_again() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    assert_eq!(net.opened(), Found::Nothing);
    for piece in net.content.pieces() {
        let blocks = net.content.sources(piece);
        let verify = DiskJob::Verify { torrent: ID, piece, attempt: FIRST, key: KEY, digests: false, blocks };
        net.disk.submit(verify);
        net.write(piece);
    }
    let pieces = net.content.metainfo.layout.pieces();
    let (mut verified, mut written) = (0, 0);
    for _ in 0..2 * pieces {
        match net.next() {
            DiskDone::Verified { good: true, digests: None, .. } => verified += 1,
            DiskDone::Written { .. } => written += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((verified, written), (pieces, pieces));
    net.disk.submit(DiskJob::Sync { torrent: ID, epoch: Epoch(1) });
    net.disk.submit(DiskJob::Commit {
        torrent: ID,
        epoch: Epoch(1),
        record: net.record(Bitfield::full(pieces)),
    });
    assert!(matches!(net.next(), DiskDone::Synced { epoch: Epoch(1), .. }));
    assert!(matches!(net.next(), DiskDone::Committed { epoch: Epoch(1), .. }));
    assert!(net.close().is_empty());
    assert_eq!(place.read("t/a").unwrap(), net.content.file("t/a"));
    assert_eq!(place.read("t/b/c").unwrap(), net.content.file("t/b/c"));
    assert_eq!(place.read("t/b/d").unwrap(), b"");
    drop(net);
    assert_eq!(Loop::new(&place).opened(), Found::AsRecorded);
}

#[test]
fn a_bad_piece_returns_the_digest_of_every_block_and_only_the_bad_one_differs() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    net.opened();
    let piece = PieceIndex(1);
    let good = net.content.sources(piece);
    let mut bad = good.clone();
    let BlockSource::Memory(payload) = &bad[2] else { panic!() };
    let mut bytes = payload.slices().map(|bytes| &bytes[..]).concat();
    bytes[5] ^= 1;
    bad[2] = BlockSource::Memory(Payload::one(Bytes::from(bytes)));
    for (attempt, blocks) in [bad, good].into_iter().enumerate() {
        let attempt = Attempt(attempt as u32);
        let verify = DiskJob::Verify { torrent: ID, piece, attempt, key: KEY, digests: true, blocks };
        net.disk.submit(verify);
    }
    let DiskDone::Verified { good: false, digests: Some(bad), .. } = net.next() else { panic!() };
    let DiskDone::Verified { good: true, digests: Some(good), .. } = net.next() else { panic!() };
    let differ: Vec<_> = (0..bad.len()).filter(|&block| bad[block] != good[block]).collect();
    assert_eq!(differ, [2]);
}

#[test]
fn blocks_are_digested_as_they_leave_memory_if_that_is_asked_for() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    net.opened();
    let piece = PieceIndex(1);
    let all = net.content.blocks(piece);
    let spill = |blocks: &[u32], key| {
        let blocks = blocks.iter().map(|&block| (block, all[block as usize].clone())).collect();
        net.disk.submit(DiskJob::Spill { torrent: ID, piece, attempt: FIRST, blocks, key });
        let DiskDone::Spilled { digests, .. } = net.next() else { panic!() };
        digests
    };
    assert_eq!(spill(&[1], None), None);
    let spilled = spill(&[0, 3], Some(KEY)).unwrap();
    // They read back as they were.
    let mut blocks = net.content.sources(piece);
    [0, 1, 3].iter().for_each(|&block: &usize| blocks[block] = BlockSource::Spilled);
    let verify = DiskJob::Verify { torrent: ID, piece, attempt: FIRST, key: KEY, digests: true, blocks };
    net.disk.submit(verify);
    let DiskDone::Verified { good: true, digests: Some(read), .. } = net.next() else { panic!() };
    assert_eq!(spilled[..], [read[0], read[3]]);
}

#[test]
fn reads_are_answered_each_with_its_own_bytes() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    net.opened();
    net.content.pieces().for_each(|piece| net.write(piece));
    net.content.pieces().for_each(|_| assert!(matches!(net.next(), DiskDone::Written { .. })));
    let offsets = [0, 16_384, 32_768, 1, 49_152, 100];
    let ranges: Vec<_> =
        (0..4).flat_map(|piece| offsets.map(|offset| block(piece, offset, 16_384))).collect();
    for (sequence, &block) in (0..).zip(&ranges) {
        net.disk.submit(DiskJob::Read { torrent: ID, token: token(sequence), block });
    }
    for _ in &ranges {
        let DiskDone::Read { token, data } = net.next() else { panic!() };
        let range = ranges[token.sequence as usize];
        let (from, to) = (range.offset as usize, (range.offset + range.len) as usize);
        assert_eq!(data.unwrap(), net.content.piece(range.piece).slice(from..to), "{range:?}");
    }
}

#[test]
fn a_read_of_what_is_not_there_is_an_error_and_not_zeros() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    net.opened();
    net.disk.submit(DiskJob::Read { torrent: ID, token: token(1), block: block(2, 0, 16_384) });
    assert!(matches!(net.next(), DiskDone::Read { data: Err(_), .. }));
}

#[test]
fn a_check_finds_what_is_good_and_a_closed_one_says_nothing_more() {
    let place = Place::new(&content());
    let mut a = place.content.file("t/a").to_vec();
    a[70_000] ^= 1;
    place.put("t/a", &a);
    let net = Loop::new(&place);
    let Found::Doubtful(doubtful) = net.opened() else { panic!() };
    net.disk.submit(DiskJob::Check { torrent: ID, pieces: doubtful.clone() });
    let good = loop {
        match net.next() {
            DiskDone::CheckProgress { .. } => {}
            DiskDone::Checked { good, .. } => break good,
            other => panic!("{other:?}"),
        }
    };
    let expected = doubtful.iter().filter(|piece| ![1, 7].contains(&piece.0));
    assert_eq!(good.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    net.disk.submit(DiskJob::Check { torrent: ID, pieces: doubtful });
    let after = net.close();
    let stray = after
        .iter()
        .filter(|answer| !matches!(answer, DiskDone::CheckProgress { .. } | DiskDone::Checked { .. }));
    assert_eq!(stray.count(), 0, "{after:?}");
}

#[test]
fn what_was_submitted_is_done_although_the_disk_is_dropped() {
    let place = Place::new(&content());
    let Loop { disk, answers, content } = Loop::new(&place);
    let record = ResumeRecord { have: Bitfield::new(9), open: Vec::new(), uploaded: 0, downloaded: 0 };
    let write = DiskJob::Write {
        torrent: ID,
        piece: PieceIndex(0),
        attempt: FIRST,
        blocks: content.sources(PieceIndex(0)),
    };
    disk.submit(write);
    disk.submit(DiskJob::Commit { torrent: ID, epoch: Epoch(0), record: Box::new(record) });
    disk.submit(DiskJob::Close { torrent: ID });
    drop(disk);
    let answers: Vec<_> = answers.iter().collect();
    assert!(matches!(answers.first(), Some(DiskDone::Opened { .. })), "{answers:?}");
    assert!(matches!(answers.last(), Some(DiskDone::Closed { .. })), "{answers:?}");
    assert_eq!(answers.len(), 4, "{answers:?}");
}

#[test]
fn jobs_of_a_torrent_that_is_not_open_are_refused() {
    let place = Place::new(&content());
    let net = Loop::new(&place);
    net.opened();
    net.close();
    net.disk.submit(DiskJob::Sync { torrent: ID, epoch: Epoch(0) });
    assert!(matches!(net.next(), DiskDone::SyncFailed { .. }));
    assert!(net.close().is_empty());
}

//! A session with scripted web servers: what it asks for, and what it makes of what they do. BEP: 19

use super::rig::{Fate, ID, Rig};
use super::toy::metainfo;
use crate::command::Lease;
use crate::input::{BlockDigest, FetchFailure, FetchFault, Found};
use crate::output::Fetch;
use crate::pool::LEASE_DEFAULT;
use crate::stats::{WebSeedState, WebSeedStats};
use crate::torrent::web_seed::{
    BAD_PIECES_MAX, FAULTS_MAX, FETCHES_PER_SEED_MAX, RETRY_AFTER, RUN_BYTES_FIRST,
};
use crate::{Command, Duration, Event, FetchId, Input, Output, PayloadId, TorrentId};
use core::ops::Range;
use std::sync::Arc;
use wire::layout::FileLen;
use wire::message::BlockRequest;
use wire::{Layout, Metainfo, Reserved};

const PIECE_LEN: u32 = 64 * 1024;

fn with_web_seeds(pieces: u32, count: usize) -> Rig {
    let mut metainfo = Metainfo::clone(&metainfo(pieces, PIECE_LEN));
    metainfo.web_seeds = (0..count).map(|n| format!("http://web{n}/")).collect();
    Rig::leech_of(Arc::new(metainfo))
}

impl Rig {
    fn take_fetches(&mut self) -> Vec<Fetch> {
        let pick = |wish: &Output| match wish {
            Output::Fetch(fetch) => Some((**fetch).clone()),
            _ => None,
        };
        core::iter::from_fn(|| self.take(pick)).collect()
    }

    fn cancelled(&mut self) -> Vec<FetchId> {
        let pick = |wish: &Output| match wish {
            Output::CancelFetch { fetch } => Some(*fetch),
            _ => None,
        };
        core::iter::from_fn(|| self.take(pick)).collect()
    }

    /// The block at this place of the content comes.
    fn comes(&mut self, fetch: FetchId, at: u64) -> Fate {
        let block = BlockRequest::from(self.metainfo.layout.block_at(at).unwrap());
        let payload = PayloadId { slot: 1_000_000 + at as u32, generation: fetch.sequence };
        self.feed(Input::Fetched { fetch, block, payload });
        let kept = self.take(|wish| match wish {
            Output::Keep { payload: kept, .. } if *kept == payload => Some(Fate::Kept),
            Output::Drop { payload: dropped } if *dropped == payload => Some(Fate::Dropped),
            _ => None,
        });
        kept.expect("a payload has a fate")
    }

    fn all_come(&mut self, fetch: FetchId, range: Range<u64>) {
        for at in range.step_by(16 * 1024) {
            assert_eq!(self.comes(fetch, at), Fate::Kept);
        }
    }

    fn ends(&mut self, fetch: FetchId, fault: Option<FetchFault>) {
        let failure = fault.map(|fault| FetchFailure { fault, detail: "by the test".into() });
        self.feed(Input::FetchEnded { fetch, outcome: failure.map_or(Ok(()), Err) });
    }

    fn web_seed(&self, index: usize) -> WebSeedStats {
        self.session.web_seeds(ID)[index].clone()
    }
}

#[test]
fn a_web_seed_alone_is_asked_for_everything_from_the_front_in_runs_of_pieces() {
    let mut rig = with_web_seeds(64, 1);
    let mut at = 0;
    let mut fetches = rig.take_fetches();
    assert_eq!(fetches.len(), FETCHES_PER_SEED_MAX as usize);
    while let Some(Fetch { fetch, range, url }) = fetches.first().cloned() {
        assert_eq!((range.start, &*url), (at, "http://web0/"), "no gap and no overlap");
        assert!(range.end - range.start <= RUN_BYTES_FIRST.max(rig.web_seed(0).rate_down * 4));
        at = range.end;
        rig.all_come(fetch, range);
        rig.ends(fetch, None);
        rig.run_disk();
        fetches.remove(0);
        fetches.extend(rig.take_fetches());
        rig.pass(Duration::from_millis(100));
    }
    assert_eq!(at, rig.metainfo.layout.total());
    assert!(rig.told(&Event::Finished(ID)));
    assert_eq!(rig.web_seed(0).state, WebSeedState::Idle);
}

#[test]
fn what_a_fetch_did_not_give_is_asked_for_again_after_a_wait_that_grows() {
    let mut rig = with_web_seeds(8, 1);
    let fetches = rig.take_fetches();
    let Fetch { fetch, range, .. } = fetches[0].clone();
    assert_eq!(fetches.len(), 1, "one run takes all");
    rig.all_come(fetch, range.start..range.start + 3 * 16 * 1024);
    rig.ends(fetch, Some(FetchFault::Unreachable));
    let mut wait = RETRY_AFTER;
    for _ in 0..4 {
        assert!(rig.take_fetches().is_empty());
        assert_eq!(rig.web_seed(0).state, WebSeedState::Waiting(wait));
        rig.pass(wait - Duration::from_millis(1));
        assert!(rig.take_fetches().is_empty(), "not before");
        rig.pass(Duration::from_millis(1));
        rig.run_disk();
        let again = rig.take_fetches();
        assert_eq!(again[0].range.start, 3 * 16 * 1024, "the rest of the piece first");
        for again in again {
            rig.ends(again.fetch, Some(FetchFault::Unreachable));
        }
        // Two fetches failed at once, and each counts.
        let WebSeedState::Waiting(next) = rig.web_seed(0).state else { panic!("{:?}", rig.web_seed(0)) };
        assert!(next >= 2 * wait || next == Duration::from_secs(600), "{next:?} after {wait:?}");
        wait = next;
    }
    assert_ne!(rig.web_seed(0).state, WebSeedState::Dropped, "a line that is down is no fault of the server");
}

#[test]
fn a_server_that_talks_nonsense_again_and_again_is_dropped_and_one_that_leads_astray_at_once() {
    for (fault, most) in
        [(FetchFault::Nonsense, FAULTS_MAX), (FetchFault::Refused, FAULTS_MAX), (FetchFault::Forbidden, 1)]
    {
        let mut rig = with_web_seeds(4, 1);
        let mut failures = 0;
        while rig.web_seed(0).state != WebSeedState::Dropped {
            for fetch in rig.take_fetches() {
                rig.ends(fetch.fetch, Some(fault));
                failures += 1;
            }
            rig.pass(Duration::from_secs(601));
            assert!(failures <= most, "{fault:?}");
        }
        assert_eq!(failures, most, "{fault:?}");
        rig.pass(Duration::from_secs(10_000));
        assert!(rig.take_fetches().is_empty(), "{fault:?}: asked again");
    }
}

/// One piece per file.
fn of_files(files: u32) -> Rig {
    let layout = Layout::with_files(
        (0..files).map(|_| FileLen { len: u64::from(PIECE_LEN), pad: false }),
        PIECE_LEN,
        16 * 1024,
    );
    let hashes: Vec<[u8; 20]> = (0..files).map(|_| [7; 20]).collect();
    let mut metainfo = Metainfo::synthetic("files", layout.unwrap(), &hashes).unwrap();
    metainfo.web_seeds = vec!["http://web0/".into()];
    Rig::leech_of(Arc::new(metainfo))
}

#[test]
fn a_server_that_lacks_one_file_after_another_is_asked_ever_less_and_dropped_after_twenty() {
    let mut rig = of_files(10_000);
    let begin = rig.now;
    let (mut absent, mut first_minute) = (0, 0);
    while rig.web_seed(0).state != WebSeedState::Dropped {
        let fetches = rig.take_fetches();
        absent += fetches.len() as u32;
        first_minute += if rig.now - begin < Duration::from_secs(60) { fetches.len() } else { 0 };
        for Fetch { fetch, range, .. } in fetches {
            rig.ends(fetch, Some(FetchFault::Absent((range.start / u64::from(PIECE_LEN)) as u32)));
        }
        assert!(absent <= 25, "{absent} files are asked for, and none is there");
        rig.pass(Duration::from_secs(1));
    }
    // Of the fetches under way when it was dropped nothing is known.
    assert!((20..=21).contains(&absent), "{absent}");
    assert!(first_minute <= 8, "{first_minute} requests in the first minute");
    rig.pass(Duration::from_secs(10_000));
    assert!(rig.take_fetches().is_empty(), "asked again");
}

#[test]
fn a_server_that_lacks_a_file_now_and_then_gives_all_others() {
    let mut rig = of_files(500);
    let lacks = |file: u64| file % 10 == 3;
    let begin = rig.now;
    let mut given = 0;
    let mut fetches = Vec::new();
    loop {
        fetches.extend(rig.take_fetches());
        let Some(Fetch { fetch, range, .. }) = fetches.pop() else {
            match rig.web_seed(0).state {
                WebSeedState::Waiting(wait) => rig.pass(wait),
                _ => break,
            }
            continue;
        };
        let mut fault = None;
        for at in range.step_by(16 * 1024) {
            let file = at / u64::from(PIECE_LEN);
            if lacks(file) {
                fault = Some(FetchFault::Absent(file as u32));
                break;
            }
            given += u32::from(rig.comes(fetch, at) == Fate::Kept);
        }
        rig.ends(fetch, fault);
        rig.run_disk();
        assert!(rig.now - begin < Duration::from_secs(3_600), "{given} blocks in an hour");
    }
    assert_eq!(given, 450 * 4);
    assert_eq!(rig.stats().pieces_have, 450);
    assert_ne!(rig.web_seed(0).state, WebSeedState::Dropped);
}

#[test]
fn a_busy_server_is_asked_when_it_says_but_within_the_hour() {
    for (said, wait) in [(Some(7), 7), (Some(1_000_000), 3_600), (None, 30)] {
        let mut rig = with_web_seeds(4, 1);
        let fetch = rig.take_fetches()[0].fetch;
        rig.ends(fetch, Some(FetchFault::Busy(said.map(Duration::from_secs))));
        assert_eq!(rig.web_seed(0).state, WebSeedState::Waiting(Duration::from_secs(wait)));
        rig.pass(Duration::from_secs(wait));
        assert_eq!(rig.take_fetches().len(), 1);
    }
}

#[test]
fn three_pieces_that_are_wrong_drop_a_web_seed_and_the_next_one_is_asked() {
    let mut rig = with_web_seeds(40, 2);
    let mut bad = 0;
    let mut fetches: Vec<Fetch> = rig.take_fetches();
    while rig.web_seed(0).state != WebSeedState::Dropped {
        let Fetch { fetch, range, url } = fetches.remove(0);
        if &*url == "http://web1/" {
            continue;
        }
        for at in range.step_by(16 * 1024) {
            rig.comes(fetch, at);
            if let Some(verify) = rig.take_verify() {
                rig.verified(verify, false);
                bad += 1;
            }
            if rig.web_seed(0).state == WebSeedState::Dropped {
                break;
            }
        }
        rig.ends(fetch, None);
        fetches.extend(rig.take_fetches());
    }
    assert_eq!(bad, u32::from(BAD_PIECES_MAX));
    assert!(!rig.cancelled().is_empty(), "what was under way is not wanted");
    rig.pass(Duration::from_secs(1_000));
    assert!(rig.take_fetches().iter().all(|fetch| &*fetch.url == "http://web1/"));
}

/// A slow server gives one piece after another, so that blocks lie on the disk before their piece is whole; each comes to its
/// hash as `rots` says, and is wrong.
fn slow_and_wrong(rots: bool, pieces: usize) -> Rig {
    let mut rig = with_web_seeds(40, 1);
    let digests = |blocks: u32, rotten: bool| -> Option<Box<[BlockDigest]>> {
        Some((0..blocks).map(|_| BlockDigest([u8::from(rotten); 16])).collect())
    };
    let mut fetches: Vec<Fetch> = rig.take_fetches();
    let mut bad = 0;
    while bad < pieces && !fetches.is_empty() {
        let Fetch { fetch, range, .. } = fetches.remove(0);
        for at in range.step_by(16 * 1024) {
            rig.comes(fetch, at);
            rig.pass(Duration::from_secs(3));
            let spill = |wish: &Output| match wish {
                Output::Spill { piece, attempt, blocks, key, .. } => {
                    Some((*piece, *attempt, blocks.count(), key.is_some()))
                }
                _ => None,
            };
            while let Some((piece, attempt, blocks, wanted)) = rig.take(spill) {
                let digests = digests(blocks, false).filter(|_| wanted);
                rig.feed(Input::Spilled { torrent: ID, piece, attempt, digests });
            }
            if let Some((piece, attempt)) = rig.take_verify() {
                let digests = digests(PIECE_LEN / (16 * 1024), rots);
                rig.feed(Input::Verified { torrent: ID, piece, attempt, good: false, digests });
                bad += 1;
            }
        }
        rig.ends(fetch, None);
        fetches.extend(rig.take_fetches());
    }
    rig
}

#[test]
fn pieces_that_our_disk_spoiled_do_not_count_against_the_web_seed_that_gave_them() {
    let rig = slow_and_wrong(true, 10);
    assert_eq!(rig.web_seed(0).pieces_bad, 0);
    assert_ne!(rig.web_seed(0).state, WebSeedState::Dropped);
}

#[test]
fn a_slow_web_seed_that_lies_is_dropped_although_its_blocks_lay_on_the_disk() {
    // The first is nobody's: since then blocks are digested before they leave memory.
    let rig = slow_and_wrong(false, 1 + usize::from(BAD_PIECES_MAX));
    assert_eq!(rig.web_seed(0).state, WebSeedState::Dropped);
}

#[test]
fn memory_that_another_torrent_sets_free_is_asked_for_by_one_that_has_web_seeds_alone() {
    let mut rig = with_web_seeds(64, 1);
    let first = rig.take_fetches().remove(0);
    rig.feed(Input::Command(Command::Lease(Lease { buffer: u64::from(PIECE_LEN), ..LEASE_DEFAULT })));
    for at in first.range.step_by(16 * 1024) {
        rig.comes(first.fetch, at);
        if let Some(verify) = rig.take_verify() {
            rig.verified(verify, true);
        }
    }
    rig.ends(first.fetch, None);
    let other = TorrentId { slot: 100, generation: 1 };
    rig.add(other, None);
    rig.feed(Input::Opened { torrent: other, found: Found::Nothing });
    rig.pass(Duration::from_secs(60));
    let of_other = |rig: &mut Rig| rig.take_fetches().iter().any(|fetch| fetch.fetch.torrent == other);
    assert!(!of_other(&mut rig), "memory is full");
    // The first torrent wants no more when it is paused, and what it has is written.
    rig.feed(Input::Command(Command::Pause(ID)));
    rig.run_disk();
    rig.pass(Duration::from_millis(100));
    assert!(of_other(&mut rig), "its web seed is not asked although there is memory");
}

#[test]
fn a_peer_that_gives_the_rest_of_a_range_ends_its_fetch_and_nothing_is_kept_twice() {
    let mut rig = with_web_seeds(1, 1);
    let Fetch { fetch, .. } = rig.take_fetches()[0].clone();
    assert_eq!(rig.comes(fetch, 0), Fate::Kept);
    let peer = rig.source(Reserved::OURS);
    // All that is lacking was asked for: end-game.
    let requests = rig.take_requests(peer);
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(rig.block(peer, request), Fate::Kept);
    }
    assert_eq!(rig.cancelled(), [fetch]);
    assert_eq!(rig.comes(fetch, 16 * 1024), Fate::Dropped, "it was on its way");
    rig.ends(fetch, Some(FetchFault::Cancelled));
    assert_eq!(rig.web_seed(0).failure, None);
}

#[test]
fn a_pause_ends_all_fetches_and_what_still_comes_is_dropped() {
    let mut rig = with_web_seeds(64, 2);
    let fetches = rig.take_fetches();
    rig.feed(Input::Command(Command::Pause(ID)));
    assert_eq!(rig.cancelled().len(), fetches.len());
    assert_eq!(rig.comes(fetches[0].fetch, 0), Fate::Dropped);
    rig.ends(fetches[0].fetch, Some(FetchFault::Cancelled));
    rig.run_disk();
    rig.feed(Input::Command(Command::Resume(ID)));
    assert_eq!(rig.take_fetches()[0].range.start, 0, "from the front again");
}

#[test]
fn blocks_out_of_place_are_dropped() {
    let mut rig = with_web_seeds(64, 1);
    let Fetch { fetch, range, .. } = rig.take_fetches()[0].clone();
    let stranger = FetchId { sequence: fetch.sequence + 100, ..fetch };
    let block = |piece, offset, len| BlockRequest { piece, offset, len };
    let beyond = rig.metainfo.layout.block_at(range.end).unwrap().piece.0 + 20;
    let wrong = [
        (fetch, block(0, 1, 16_384)),
        (fetch, block(0, 0, 16_383)),
        (fetch, block(64, 0, 16_384)),
        (fetch, block(u32::MAX, u32::MAX, u32::MAX)),
        (fetch, block(beyond, 0, 16_384)),
        (stranger, block(0, 0, 16_384)),
    ];
    for (number, (fetch, block)) in (0..).zip(wrong) {
        let payload = PayloadId { slot: number, generation: 9 };
        rig.feed(Input::Fetched { fetch, block, payload });
        let dropped =
            |wish: &Output| matches!(wish, Output::Drop { payload: dropped } if *dropped == payload);
        assert!(rig.wishes.iter().any(dropped), "{block:?}");
    }
}

//! What is written reads back the same, whatever it is; what is read never panics, whatever it is.

use super::*;
use crate::command::{AddMagnet, AddTorrent, Command, Priority, SeedGoal};
use crate::input::{
    AnnounceFailure, DialFailure, DiskErrorKind, DiskOperation, FetchFault, Found, LinkEnd, MetadataFailure,
    PeerSource, Refusal, Unsent,
};
use crate::output::{CloseReason, Output};
use crate::resume::{OpenRecord, ResumeRecord};
use crate::{BlockSet, DialHints, DialId, LinkId, Outbox, PeerMisbehaved, Rng, TorrentId};
use core::fmt::Debug;
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::layout::FileLen;
use wire::{Bitfield, InfoHash, Layout, Message, Metainfo, PeerId, PieceIndex};

fn bytes_of(value: &(impl Put + ?Sized)) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.put(&mut bytes);
    bytes
}

/// Bytes in which small numbers, and so tags and counts, are common.
fn noise(rng: &mut Rng) -> Vec<u8> {
    let byte = |rng: &mut Rng| {
        let bound = if rng.below(5) == 0 { 256 } else { 18 };
        rng.below(bound) as u8
    };
    (0..rng.below(120)).map(|_| byte(rng)).collect()
}

/// A random value that begins with these bytes: what the first readable noise says after them. Gives up if noise is no
/// likely way to one.
fn any<T: Take>(start: &[u8], rng: &mut Rng) -> Option<T> {
    (0..20_000).find_map(|_| {
        let bytes = [start, &noise(rng)].concat();
        T::take(&mut Source::new(&bytes)).ok()
    })
}

#[track_caller]
fn check_round_trip<T: Put + Take + Debug>(value: &T) {
    let bytes = bytes_of(value);
    let mut source = Source::new(&bytes);
    let again = T::take(&mut source).expect("what is written reads back");
    assert_eq!(format!("{again:?}"), format!("{value:?}"));
    assert!(source.is_empty(), "{value:?} leaves bytes behind");
    assert_eq!(bytes_of(&again), bytes);
}

impl Put for OwnedInput {
    fn put(&self, to: &mut Vec<u8>) {
        self.as_input().put(to);
    }
}

/// Inputs that noise makes; a torrent's description is none of them, and has a test of its own.
fn likely_tags() -> Vec<u8> {
    inputs::TAGS.iter().copied().filter(|&tag| tag != METADATA_READY).collect()
}

/// The tag of [`Input::MetadataReady`].
const METADATA_READY: u8 = 26;

fn head() -> Head {
    let config = Config::new(PeerId(*b"-GA0001-abcdefghijkl"));
    Head { config, seed: Seed(u64::MAX), start: Instant::from_micros(12_345_678) }
}

fn metainfo(files: &[u64], trackers: &[&str]) -> Metainfo {
    let files = files.iter().map(|&len| FileLen { len, pad: len == 7 });
    let layout = Layout::with_files(files, 32_768, 1 << 20).unwrap();
    let hashes: Vec<[u8; 20]> = layout.piece_indices().map(|piece| [piece.0 as u8; 20]).collect();
    let mut metainfo = Metainfo::synthetic("a name", layout, &hashes).unwrap();
    metainfo.trackers = vec![trackers.iter().map(|url| url.to_string()).collect()];
    metainfo.private = true;
    metainfo.nodes = vec![("host".into(), 6881)];
    metainfo
}

fn add(metainfo: Metainfo) -> Input<'static> {
    let pieces = metainfo.layout.pieces();
    let mut have = Bitfield::new(pieces);
    have.insert(PieceIndex(pieces - 1));
    let blocks = BlockSet::from_iter([0, 1, 70]);
    let open = vec![OpenRecord { piece: PieceIndex(0), blocks }];
    Input::Command(Command::Add(Box::new(AddTorrent {
        torrent: TorrentId { slot: 3, generation: 9 },
        metainfo: Arc::new(metainfo),
        resume: Some(ResumeRecord { have, open, uploaded: u64::MAX, downloaded: 0 }),
        priorities: [Priority::Skip, Priority::High].into(),
        sequential: true,
        paused: false,
        peers: vec!["1.2.3.4:5".parse().unwrap(), "[fe80::1%7]:8".parse().unwrap()],
        seed_goal: SeedGoal { ratio_permille: Some(1_500), time: Some(core::time::Duration::MAX) },
    })))
}

/// A one-file torrent of three pieces as a file has it.
fn info_bytes() -> Vec<u8> {
    let mut info = b"d6:lengthi40000e4:name3:abc12:piece lengthi16384e6:pieces60:".to_vec();
    info.extend([0xf9; 60]);
    info.push(b'e');
    info
}

#[test]
fn every_input_reads_back_the_same() {
    let mut rng = Rng::new(Seed(1));
    for tag in likely_tags() {
        for _ in 0..200 {
            let input = any::<OwnedInput>(&[tag], &mut rng).expect("noise makes an input of every kind");
            assert_eq!(bytes_of(&input)[0], tag);
            check_round_trip(&input);
        }
    }
    let tags: BTreeSet<u8> = inputs::TAGS.iter().copied().collect();
    assert_eq!(tags.len(), inputs::TAGS.len(), "each tag has one meaning");
}

#[test]
fn every_variant_inside_inputs_reads_back_the_same() {
    fn check<T: Put + Take + Debug>(variants: core::ops::Range<u8>) {
        let mut rng = Rng::new(Seed(2));
        let mut names = BTreeSet::new();
        for tag in variants.clone() {
            let value: T = any(&[tag], &mut rng).expect("noise makes a value of every kind");
            check_round_trip(&value);
            let name: String = format!("{value:?}").chars().take_while(char::is_ascii_alphabetic).collect();
            names.insert(name);
        }
        assert_eq!(names.len(), variants.len(), "each tag has one meaning: {names:?}");
        assert!(any::<T>(&[variants.end], &mut rng).is_none(), "all tags are checked here");
    }
    // Adding a torrent (0, and 13 by its hash) is no likely outcome of noise, and has tests of its own.
    check::<Command>(1..13);
    check::<Message>(0..17);
    check::<LinkEnd>(0..4);
    check::<CloseReason>(0..9);
    check::<PeerMisbehaved>(0..16);
    check::<MetadataFailure>(0..3);
    check::<Refusal>(0..4);
    check::<DialFailure>(0..5);
    check::<Unsent>(0..3);
    check::<Found>(0..3);
    check::<DiskOperation>(0..6);
    check::<DiskErrorKind>(0..8);
    check::<PeerSource>(0..7);
    check::<AnnounceFailure>(0..3);
    check::<FetchFault>(0..7);
    check::<Priority>(0..4);
}

#[test]
fn torrents_read_back_whether_real_or_synthetic() {
    let mut real = Metainfo::from_info(&info_bytes()).unwrap();
    real.trackers = vec![vec!["udp://t:1".into()], vec!["http://t/announce".into(), "http://u/".into()]];
    for metainfo in
        [metainfo(&[100_000], &[]), metainfo(&[5, 0, 7, 900_000], &["http://a/", "udp://b:1"]), real]
    {
        let input = add(metainfo.clone());
        let owned = OwnedInput::take(&mut Source::new(&bytes_of(&input))).unwrap();
        let OwnedInput::Plain(Input::Command(Command::Add(added))) = &owned else { panic!("{owned:?}") };
        assert_eq!(*added.metainfo, metainfo, "hashes, files and names too");
        check_round_trip(&owned);
        let torrent = TorrentId { slot: 3, generation: 9 };
        let priorities = Box::from([Priority::High, Priority::Skip]);
        let ready = Input::MetadataReady { torrent, metainfo: Arc::new(metainfo), priorities };
        assert_eq!(bytes_of(&ready)[0], METADATA_READY);
        check_round_trip(&OwnedInput::Plain(ready));
    }
}

#[test]
fn a_torrent_known_by_its_hash_alone_reads_back() {
    let add = Command::AddMagnet(Box::new(AddMagnet {
        torrent: TorrentId { slot: 1, generation: 2 },
        info_hash: InfoHash([7; 20]),
        trackers: vec!["udp://t:1".into(), "http://u/".into()],
        sequential: true,
        paused: false,
        peers: vec!["1.2.3.4:5".parse().unwrap()],
        seed_goal: SeedGoal { ratio_permille: None, time: None },
    }));
    assert_eq!(bytes_of(&add)[0], 13);
    check_round_trip(&add);
}

#[test]
fn a_trace_is_its_head_and_its_inputs_in_order() {
    let mut rng = Rng::new(Seed(3));
    let mut writer = TraceWriter::new(&head());
    let (mut trace, mut expected) = (Vec::new(), Vec::new());
    let (mut now, tags) = (head().start, likely_tags());
    for n in 0..500_u32 {
        now += core::time::Duration::from_micros(rng.next_u64() >> (20 + rng.below(40)));
        let tag = tags[rng.index(tags.len())];
        let input = any::<OwnedInput>(&[tag], &mut rng).unwrap();
        writer.record(now, &input.as_input());
        expected.push(format!("{:?}", (now, input)));
        if n.is_multiple_of(7) {
            trace.extend(writer.take());
        }
    }
    trace.extend(writer.take());
    let (read, reader) = TraceReader::new(&trace).unwrap();
    assert_eq!(format!("{read:?}"), format!("{:?}", head()));
    let records: Vec<String> = reader.map(|record| format!("{:?}", input_of(record.unwrap()))).collect();
    assert_eq!(records, expected);
}

fn input_of(record: Record) -> (Instant, OwnedInput) {
    let Record::Input(now, input) = record else { panic!("{record:?} is no input") };
    (now, input)
}

/// A trace of so many wakes, one a millisecond, each of which led to the same word; and its end.
fn marked(wakes: u32) -> Vec<u8> {
    let mut writer = TraceWriter::new(&head());
    let (mut now, mut outbox) = (head().start, Outbox::new());
    outbox.push(Output::PauseReading { link: LinkId { slot: 0, generation: 0 } });
    for _ in 0..wakes {
        now += core::time::Duration::from_millis(1);
        writer.record(now, &Input::Wake);
        writer.said(now, &outbox);
    }
    writer.end(End::Closed);
    writer.take()
}

#[test]
fn a_mark_stands_after_so_many_inputs_and_the_end_after_the_last() {
    let wakes = 3 * INPUTS_PER_MARK + 5;
    let trace = marked(wakes);
    let (_, mut reader) = TraceReader::new(&trace).unwrap();
    let (mut inputs, mut marks, mut seen) = (0, BTreeSet::new(), Vec::new());
    for record in reader.by_ref() {
        match record.unwrap() {
            Record::Input(..) => inputs += 1,
            Record::Mark(outputs) => {
                seen.push(inputs);
                marks.insert(outputs);
            }
            Record::End(why, outputs) => {
                assert_eq!(why, End::Closed);
                marks.insert(outputs);
            }
        }
    }
    assert_eq!((inputs, seen), (wakes, (1..=3).map(|mark| mark * INPUTS_PER_MARK).collect()));
    assert_eq!(marks.len(), 4, "each speaks of all that was said up to it");
    assert!(reader.at() < trace.len());
}

#[test]
fn no_byte_of_a_trace_can_change_unseen() {
    let good = marked(2 * INPUTS_PER_MARK);
    let is_whole = |trace: &[u8]| {
        TraceReader::new(trace).is_ok_and(|(_, reader)| {
            let records: Vec<_> = reader.collect();
            records.iter().all(Result::is_ok) && matches!(records.last(), Some(Ok(Record::End(..))))
        })
    };
    assert!(is_whole(&good));
    for place in 0..good.len() {
        for bit in 0..8 {
            let mut trace = good.clone();
            trace[place] ^= 1 << bit;
            assert!(!is_whole(&trace), "bit {bit} of byte {place}");
        }
        assert!(!is_whole(&good[..place]), "cut off before byte {place}");
    }
    assert!(!is_whole(&[&good[..], &[0]].concat()), "a byte too many");
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut writer = TraceWriter::new(&head());
    for micros in [20_000_000, 5, u64::MAX, 7] {
        writer.record(Instant::from_micros(micros), &Input::Wake);
    }
    let trace = writer.take();
    let times = TraceReader::new(&trace).unwrap().1.map(|record| input_of(record.unwrap()).0.as_micros());
    assert_eq!(times.collect::<Vec<_>>(), [20_000_000, 20_000_000, u64::MAX, u64::MAX]);
}

#[test]
fn a_trace_that_was_cut_off_is_good_up_to_there() {
    let mut writer = TraceWriter::new(&head());
    let start = writer.take();
    writer.record(Instant::FAR, &add(metainfo(&[100_000], &["http://a/"])));
    let trace = [start.clone(), writer.take()].concat();
    for len in 0..trace.len() {
        match TraceReader::new(&trace[..len]) {
            Err(error) => {
                let expected = if len < 8 { TraceError::NotATrace } else { TraceError::Truncated };
                assert_eq!(error, expected, "{len}");
                assert!(len < start.len());
            }
            Ok((_, reader)) => {
                let records: Vec<_> = reader.map(|record| record.map(|_| ())).collect();
                let cut = if len == start.len() { vec![] } else { vec![Err(TraceError::Truncated)] };
                assert_eq!(records, cut, "{len}");
            }
        }
    }
}

#[test]
fn what_is_no_trace_is_named() {
    let good = TraceWriter::new(&head()).take();
    let with = |tail: &[u8]| [good.as_slice(), tail].concat();
    let long = [0xff_u8; 9];
    for (trace, expected) in [
        (b"GANNETRX\x01\x00".to_vec(), TraceError::NotATrace),
        (b"GANNETRC\x02\x00".to_vec(), TraceError::Version(2)),
        (with(&[0, 28]), TraceError::UnknownTag("Input", 28)),
        (with(&[0, 1, 15]), TraceError::UnknownTag("Command", 15)),
        // A number of more than 64 bits, and one of more than the 32 that a slot has.
        (with(&[&long[..], &[2]].concat()), TraceError::Invalid("a number")),
        (with(&[0, 22, 0xff, 0xff, 0xff, 0xff, 0x10, 0]), TraceError::Invalid("a number")),
        // A time beyond the end of time.
        (with(&[&long[..], &[1, 0]].concat()), TraceError::Invalid("a time")),
        // A list of 2^40 items in a few bytes.
        (with(&[0, 6, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 1]), TraceError::Truncated),
        (with(&[0, 14, 0, 0, 3, 0xff]), TraceError::Invalid("a bitfield")),
    ] {
        let error = match TraceReader::new(&trace) {
            Err(error) => error,
            Ok((_, mut reader)) => {
                let error = reader.next().expect("a record").expect_err("no good one");
                assert!(reader.next().is_none(), "nothing follows an error");
                error
            }
        };
        assert_eq!(error, expected, "{trace:02x?}");
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn garbage_ends_in_values_or_in_an_error() {
    let mut writer = TraceWriter::new(&head());
    for metainfo in
        [metainfo(&[5, 0, 7, 900_000], &["http://a/"]), Metainfo::from_info(&info_bytes()).unwrap()]
    {
        writer.record(Instant::from_micros(20_000_000), &add(metainfo));
    }
    let good = writer.take();
    for seed in 0..20_000 {
        let mut rng = Rng::new(Seed(seed));
        let mut trace = good.clone();
        for _ in 0..=rng.below(4) {
            let at = rng.index(trace.len());
            match rng.below(3) {
                0 => trace[at] = rng.next_u32() as u8,
                1 => trace.truncate(at.max(1)),
                _ => drop(trace.splice(at..at, noise(&mut rng))),
            }
        }
        if let Ok((_, reader)) = TraceReader::new(&trace) {
            let errors = reader.filter(|record| record.is_err()).count();
            assert!(errors <= 1, "seed {seed}");
        }
    }
}

#[test]
fn equal_runs_have_equal_digests_and_any_difference_shows() {
    let link = LinkId { slot: 0, generation: 0 };
    let dial = DialId { torrent: TorrentId { slot: 0, generation: 0 }, sequence: 0 };
    let remote = "1.2.3.4:5".parse().unwrap();
    let run = |batches: &[(u64, Vec<Output>)]| {
        let mut digest = OutputDigest::new();
        for (micros, outputs) in batches {
            let mut outbox = Outbox::new();
            outputs.iter().cloned().for_each(|output| outbox.push(output));
            digest.add(Instant::from_micros(*micros), &outbox);
        }
        digest.value()
    };
    let pause = Output::PauseReading { link };
    let resume = Output::ResumeReading { link };
    let runs = [
        vec![],
        vec![(0, vec![])],
        vec![(0, vec![]), (0, vec![])],
        vec![(1, vec![])],
        vec![(0, vec![pause.clone()])],
        vec![(0, vec![resume.clone()])],
        vec![(0, vec![pause.clone(), resume.clone()])],
        vec![(0, vec![resume.clone(), pause.clone()])],
        vec![(0, vec![pause.clone()]), (0, vec![resume.clone()])],
        vec![(0, vec![Output::Dial { dial, remote, hints: DialHints::default() }])],
        vec![(0, vec![Output::Dial { dial, remote, hints: DialHints { once: true, encrypted: false } }])],
        vec![(
            0,
            vec![Output::Dial { dial: DialId { sequence: 1, ..dial }, remote, hints: DialHints::default() }],
        )],
    ];
    let digests: BTreeSet<u128> = runs.iter().map(|batches| run(batches)).collect();
    assert_eq!(digests.len(), runs.len());
    assert!(runs.iter().all(|batches| run(batches) == run(&batches.clone())));
}

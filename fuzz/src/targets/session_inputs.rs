//! A session against a driver gone mad: whatever inputs come in whatever order, with whatever ids, nothing panics, the
//! outbox stays bounded, no payload is answered that was not handed in, none twice, and the same inputs lead to the same
//! outputs.

use proto::trace::{Head, OutputDigest, Record, TraceReader, TraceWriter};
use proto::{
    AddTorrent, Command, Config, Input, Instant, Outbox, Output, PayloadId, Seed, Session, TorrentId,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use wire::{Layout, Metainfo, PeerId};

/// Wishes that one call of `handle` may leave: far above what the links and torrents of one input can ask for.
const OUTPUTS_MAX: usize = 20_000;

/// One input: records of a trace, which a session with one torrent is fed, twice.
pub fn run(data: &[u8]) {
    let config = Config::new(PeerId([b'x'; 20]));
    let head = Head { config, seed: Seed(1), start: Instant::ZERO };
    let trace = [&TraceWriter::new(&head).take(), data].concat();
    assert_eq!(live(&trace), live(&trace), "the same inputs, other outputs");
}

fn live(trace: &[u8]) -> u128 {
    let (head, reader) = TraceReader::new(trace).expect("a head that we wrote");
    let mut session = Session::new(Arc::new(head.config), head.seed, head.start);
    let (mut out, mut digest, mut parked) = (Outbox::new(), OutputDigest::new(), BTreeSet::new());
    session.handle(head.start, Input::Command(Command::Add(Box::new(torrent()))), &mut out);
    for record in reader.map_while(Result::ok) {
        let Record::Input(now, input) = record else { continue };
        let input = input.as_input();
        if let Input::Block { payload, .. }
        | Input::Fetched { payload, .. }
        | Input::MetadataPiece { payload, .. } = &input
            && !parked.insert(*payload)
        {
            // Two payloads under one name are beyond what anybody can tell apart.
            continue;
        }
        session.handle(now, input, &mut out);
        if session.next_wake().is_some_and(|wake| wake <= now) {
            session.handle(now, Input::Wake, &mut out);
        }
        digest.add(now, &out);
        assert!(out.as_slice().len() <= OUTPUTS_MAX, "{} wishes at once", out.as_slice().len());
        out.drain().for_each(|output| answer(&mut parked, &output));
    }
    digest.value()
}

/// A payload is kept or dropped once, and only if it was handed in.
fn answer(parked: &mut BTreeSet<PayloadId>, output: &Output) {
    if let Output::Keep { payload, .. } | Output::KeepMetadata { payload, .. } | Output::Drop { payload } =
        output
    {
        assert!(parked.remove(payload), "{payload:?} was not handed in, or was answered before");
    }
}

/// Three pieces of two and a half blocks; its name across the seam is (0, 0), as fuzzed ids like to be.
fn torrent() -> AddTorrent {
    let layout = Layout::new(3 * 40_960, 40_960).expect("numbers that make a layout");
    let mut metainfo = Metainfo::synthetic("fuzz", layout, &[[7; 20]; 3]).expect("a hash per piece");
    metainfo.web_seeds = vec!["http://a/".into(), "http://b/".into()];
    AddTorrent {
        torrent: TorrentId { slot: 0, generation: 0 },
        metainfo: Arc::new(metainfo),
        resume: None,
        priorities: Box::default(),
        sequential: false,
        paused: false,
        peers: Vec::new(),
        seed_goal: Default::default(),
    }
}

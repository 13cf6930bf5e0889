//! A session against a driver gone mad: whatever inputs come in whatever order, with whatever ids, nothing panics, and the
//! same inputs lead to the same outputs.

use proto::trace::{Head, OutputDigest, TraceReader, TraceWriter};
use proto::{AddTorrent, Command, Config, Input, Instant, Outbox, Seed, Session, TorrentId};
use std::sync::Arc;
use wire::{Layout, Metainfo, PeerId};

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
    let (mut out, mut digest) = (Outbox::new(), OutputDigest::new());
    session.handle(head.start, Input::Command(Command::Add(Box::new(torrent()))), &mut out);
    for (now, input) in reader.map_while(Result::ok) {
        session.handle(now, input.as_input(), &mut out);
        if session.next_wake().is_some_and(|wake| wake <= now) {
            session.handle(now, Input::Wake, &mut out);
        }
        digest.add(now, &out);
        out.drain().for_each(drop);
    }
    digest.value()
}

/// Three pieces of two and a half blocks; its name across the seam is (0, 0), as fuzzed ids like to be.
fn torrent() -> AddTorrent {
    let layout = Layout::new(3 * 40_960, 40_960).expect("numbers that make a layout");
    let metainfo = Metainfo::synthetic("fuzz", layout, &[[7; 20]; 3]).expect("a hash per piece");
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

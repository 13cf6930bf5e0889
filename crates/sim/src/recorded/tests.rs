//! A recording made by hand of a real session: a download of three pieces, without network or disk, by a driver that says yes to everything.

use super::*;
use proto::command::{AddTorrent, Command, SeedGoal};
use proto::input::{Found, LinkUp};
use proto::trace::{Head, TraceWriter};
use proto::{Config, Input, LinkId, PayloadId, Seed, TorrentId};
use std::collections::VecDeque;
use wire::message::BlockRequest;
use wire::{Bitfield, Layout, Message, Metainfo, PeerId, Reserved};

const TORRENT: TorrentId = TorrentId { slot: 0, generation: 0 };
const LINK: LinkId = LinkId { slot: 0, generation: 0 };
const PIECES: u32 = 40;

/// A session under a recorder, whose wishes all come true at once.
struct Driver {
    session: Session,
    trace: TraceWriter,
    now: Instant,
    waiting: VecDeque<Input<'static>>,
    payloads: u32,
    pieces_done: u32,
}

impl Driver {
    fn feed(&mut self, input: Input<'static>) {
        self.waiting.push_back(input);
        while let Some(input) = self.waiting.pop_front() {
            self.now += Duration::from_millis(2);
            let mut out = Outbox::new();
            self.trace.record(self.now, &input);
            self.session.handle(self.now, input, &mut out);
            self.trace.said(self.now, &out);
            for output in out.drain() {
                self.perform(output);
            }
        }
    }

    fn perform(&mut self, output: Output) {
        let answer = match output {
            Output::Open { torrent, .. } => Input::Opened { torrent, found: Found::Nothing },
            Output::Send { link, message: Message::Request(BlockRequest { piece, offset, len }) } => {
                self.payloads += 1;
                let payload = PayloadId { slot: self.payloads, generation: 0 };
                Input::Block { link, block: BlockRequest { piece, offset, len }, payload }
            }
            Output::Verify { torrent, piece, attempt, .. } => {
                Input::Verified { torrent, piece, attempt, good: true, digests: None }
            }
            Output::Write { torrent, piece, attempt } => Input::Written { torrent, piece, attempt },
            Output::Sync { torrent, epoch } => Input::Synced { torrent, epoch },
            Output::Commit { torrent, epoch, .. } => Input::Committed { torrent, epoch },
            Output::Event(proto::Event::PieceDone(..)) => {
                self.pieces_done += 1;
                return;
            }
            _ => return,
        };
        self.waiting.push_back(answer);
    }
}

/// A whole recording, of a download that has come to its end.
fn recording() -> Vec<u8> {
    let start = Instant::from_micros(7_000_000);
    let config = Config::new(PeerId(*b"-GN0000-abcdefghijkl"));
    let head = Head { config: config.clone(), seed: Seed(9), start };
    let mut driver = Driver {
        session: Session::new(Arc::new(config), Seed(9), start),
        trace: TraceWriter::new(&head),
        now: start,
        waiting: VecDeque::new(),
        payloads: 0,
        pieces_done: 0,
    };
    let layout = Layout::new(u64::from(PIECES) * 32_768, 32_768).unwrap();
    let metainfo = Arc::new(Metainfo::synthetic("recorded", layout, &[[7; 20]; PIECES as usize]).unwrap());
    driver.feed(Input::Command(Command::Lease(crate::swarm::SHIPPED)));
    driver.feed(Input::Command(Command::Add(Box::new(AddTorrent {
        torrent: TORRENT,
        metainfo,
        resume: None,
        priorities: Box::default(),
        sequential: false,
        paused: false,
        peers: Vec::new(),
        seed_goal: SeedGoal::default(),
    }))));
    driver.feed(Input::LinkUp(LinkUp {
        link: LINK,
        torrent: TORRENT,
        remote: "192.0.2.1:6881".parse().unwrap(),
        dial: None,
        peer_id: PeerId([1; 20]),
        reserved: Reserved::default(),
        encrypted: false,
    }));
    let all = Bitfield::full(PIECES).to_bytes().into();
    driver.feed(Input::Message { link: LINK, message: Message::Bitfield(all) });
    driver.feed(Input::Message { link: LINK, message: Message::Unchoke });
    for _ in 0..5_000 {
        driver.now += Duration::from_millis(100);
        driver.feed(Input::Wake);
        if driver.pieces_done == PIECES {
            break;
        }
    }
    assert_eq!(driver.pieces_done, PIECES, "the download ends");
    driver.trace.end(End::Closed);
    driver.trace.take()
}

fn replayed(trace: &[u8]) -> Replayed {
    replay(trace, &mut |_| {}).unwrap()
}

#[test]
fn what_was_recorded_is_said_again() {
    let trace = recording();
    let mut steps = 0;
    let found = replay(&trace, &mut |step| {
        steps += 1;
        assert_eq!(step.number, steps);
    })
    .unwrap();
    assert!(found.is_whole_and_same(), "{found}");
    assert!(found.marks > 2 && found.unmarked == 0 && found.inputs == steps, "{found}");
    assert!(found.to_string().contains("same outputs at all"), "{found}");
}

#[test]
fn a_recording_of_another_session_is_told_with_the_inputs_where_it_parts() {
    let mut trace = recording();
    // The head is written again with another seed; the marks stay those of the first session.
    let (mut head, reader) = TraceReader::new(&trace).unwrap();
    head.seed = Seed(10);
    let mut writer = TraceWriter::new(&head);
    let mut session = Session::new(Arc::new(head.config.clone()), Seed(9), head.start);
    for record in reader {
        let Record::Input(now, input) = record.unwrap() else { continue };
        let mut out = Outbox::new();
        writer.record(now, &input.as_input());
        session.handle(now, input.as_input(), &mut out);
        writer.said(now, &out);
    }
    trace = writer.take();
    let found = replayed(&trace);
    let Verdict::Differs { from, lines } = &found.verdict else { panic!("{found}") };
    assert!(*from >= 1 && found.inputs - from < u64::from(INPUTS_PER_MARK), "{found}");
    assert!(lines.iter().any(|line| line.contains("> ")), "{found}");
    assert!(lines.iter().all(|line| line.len() < 2 * LINE_LEN_MAX), "{found}");
    assert!(found.to_string().contains("other outputs than were recorded"), "{found}");
}

#[test]
fn a_changed_bit_is_told() {
    let good = recording();
    // Each bit is `proto`'s test; here some places all over the file, and what is told.
    for place in (0..good.len()).step_by(131) {
        let mut trace = good.clone();
        trace[place] ^= 1 << (place % 8);
        match replay(&trace, &mut |_| {}) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(found) => {
                assert!(!found.is_whole_and_same(), "byte {place}: {found}");
                assert!(matches!(found.ending, Ending::Broken { .. }) || found.verdict != Verdict::Same);
            }
        }
    }
}

#[test]
fn a_truncated_recording_is_told_and_good_up_to_there() {
    let good = recording();
    for len in (200..good.len()).step_by(97) {
        let Ok(found) = replay(&good[..len], &mut |_| {}) else { continue };
        assert_eq!(found.verdict, Verdict::Same, "{len}");
        match &found.ending {
            Ending::CutOff => assert!(found.to_string().contains("has no end")),
            Ending::Broken { at, why } => {
                assert!(*at <= len && *why == TraceError::Truncated, "{len}: {found}");
            }
            Ending::Told(_) => panic!("{len} of {}: {found}", good.len()),
        }
        assert!(!found.is_whole_and_same());
    }
}

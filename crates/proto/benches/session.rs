//! What a block costs the session, both ways: from the input that brings it to the last output it causes.
//!
//! `cargo bench -p gannet-proto --bench session`. Nanoseconds of processor time per block; the share of verifying, writing and telling the
//! peers is in it, spread over the blocks of a piece. Not a test: it asserts nothing and runs by hand.

use proto::command::{Lease, SeedGoal};
use proto::input::{Found, LinkUp};
use proto::{
    AddTorrent, Command, Config, Duration, Input, Instant, LinkId, Outbox, Output, PayloadId, ResumeRecord,
};
use proto::{Seed, SendToken, Session, TorrentId};
use std::collections::VecDeque;
use std::sync::Arc;
use wire::message::BlockRequest;
use wire::{Bitfield, Layout, Message, Metainfo, PeerId, Reserved};

const ID: TorrentId = TorrentId { slot: 0, generation: 0 };
const PIECE: u32 = 256 * 1024;
const BLOCKS: u32 = 200_000;
/// A block every 13 µs: 75,000 a second, 10 Gbit/s.
const PACE: Duration = Duration::from_micros(13);

fn main() {
    println!("ns per block           peers: {:>8} {:>8} {:>8}", 1, 10, 80);
    row("downloaded", [1, 10, 80].map(|peers| download(peers, false)));
    row("downloaded, to others too", [1, 10, 80].map(|peers| download(peers, true)));
    row("uploaded", [1, 10, 80].map(upload));
}

fn row(name: &str, figures: [f64; 3]) {
    println!("{name:<29} {:>8.0} {:>8.0} {:>8.0}", figures[0], figures[1], figures[2]);
}

struct Bench {
    session: Session,
    out: Outbox,
    now: Instant,
    links: Vec<LinkId>,
    /// Requests of the session that wait to be answered.
    asked: VecDeque<(LinkId, BlockRequest)>,
    sends: VecDeque<SendToken>,
    /// What the disk was asked and answers next.
    disk: VecDeque<Input<'static>>,
}

impl Bench {
    fn new(resume: bool, peers: u16, have: bool) -> Bench {
        let pieces = BLOCKS / (PIECE / 16_384);
        let layout = Layout::new(u64::from(pieces) * u64::from(PIECE), PIECE).expect("a layout");
        let hashes = vec![[0; 20]; pieces as usize];
        let metainfo = Arc::new(Metainfo::synthetic("bench", layout, &hashes).expect("a hash per piece"));
        let now = Instant::from_micros(1_000_000);
        let mut config = Config::new(PeerId([1; 20]));
        config.links_per_torrent = 200;
        let mut bench = Bench {
            session: Session::new(Arc::new(config), Seed(1), now),
            out: Outbox::new(),
            now,
            links: Vec::new(),
            asked: VecDeque::new(),
            sends: VecDeque::new(),
            disk: VecDeque::new(),
        };
        let lease = Lease { up: None, down: None, unchoke_slots: 200, links: 200, buffer: 256 << 20 };
        bench.feed(Input::Command(Command::Lease(lease)));
        let record =
            ResumeRecord { have: Bitfield::full(pieces), open: Vec::new(), uploaded: 0, downloaded: 0 };
        bench.feed(Input::Command(Command::Add(Box::new(AddTorrent {
            torrent: ID,
            metainfo,
            resume: resume.then_some(record),
            priorities: Box::default(),
            sequential: false,
            paused: false,
            peers: Vec::new(),
            seed_goal: SeedGoal::default(),
        }))));
        let found = if resume { Found::AsRecorded } else { Found::Nothing };
        bench.feed(Input::Opened { torrent: ID, found });
        for peer in 0..peers {
            let link = LinkId { slot: u32::from(peer), generation: 0 };
            let remote = ([10, 0, (peer >> 8) as u8, peer as u8], 6881).into();
            let up = LinkUp {
                link,
                torrent: ID,
                remote,
                dial: None,
                peer_id: PeerId([peer as u8 + 2; 20]),
                reserved: Reserved::OURS,
                encrypted: false,
            };
            bench.feed(Input::LinkUp(up));
            bench.links.push(link);
            bench.say(link, if have { Message::HaveAll } else { Message::HaveNone });
        }
        bench
    }

    fn say(&mut self, link: LinkId, message: Message) {
        self.feed(Input::Message { link, message });
    }

    fn feed(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input, &mut self.out);
        for output in self.out.drain() {
            match output {
                Output::Send { link, message: Message::Request(request) } => {
                    self.asked.push_back((link, request))
                }
                Output::SendBlock { token, .. } => self.sends.push_back(token),
                Output::Verify { torrent, piece, attempt, .. } => {
                    self.disk.push_back(Input::Verified {
                        torrent,
                        piece,
                        attempt,
                        good: true,
                        digests: None,
                    });
                }
                Output::Write { torrent, piece, attempt } => {
                    self.disk.push_back(Input::Written { torrent, piece, attempt });
                }
                Output::Spill { torrent, piece, attempt, .. } => {
                    self.disk.push_back(Input::Spilled { torrent, piece, attempt, digests: None });
                }
                Output::Sync { torrent, epoch } => self.disk.push_back(Input::Synced { torrent, epoch }),
                Output::Commit { torrent, epoch, .. } => {
                    self.disk.push_back(Input::Committed { torrent, epoch })
                }
                _ => {}
            }
        }
    }

    /// Time passes by one block, and the disk answers once.
    fn tick(&mut self) {
        self.now += PACE;
        if self.session.next_wake().is_some_and(|at| at <= self.now) {
            self.feed(Input::Wake);
        }
        if let Some(answer) = self.disk.pop_front() {
            self.feed(answer);
        }
    }
}

fn download(peers: u16, others: bool) -> f64 {
    let mut bench = Bench::new(false, peers, true);
    for link in 0..if others { peers } else { 0 } {
        let link = LinkId { slot: 1_000 + u32::from(link), generation: 0 };
        let remote = ([10, 1, 0, link.slot as u8], 6881).into();
        let up = LinkUp {
            link,
            torrent: ID,
            remote,
            dial: None,
            peer_id: PeerId([link.slot as u8; 20]),
            reserved: Reserved::OURS,
            encrypted: false,
        };
        bench.feed(Input::LinkUp(up));
        bench.say(link, Message::HaveNone);
        bench.say(link, Message::Interested);
    }
    for link in bench.links.clone() {
        bench.say(link, Message::Unchoke);
    }
    let mut blocks = 0;
    let began = cpu();
    while let Some((link, block)) = bench.asked.pop_front() {
        blocks += 1;
        let payload = PayloadId { slot: blocks, generation: 0 };
        bench.feed(Input::Block { link, block, payload });
        bench.tick();
    }
    let spent = cpu() - began;
    assert!(blocks >= BLOCKS - BLOCKS / 100, "only {blocks} blocks came");
    spent / f64::from(blocks)
}

fn upload(peers: u16) -> f64 {
    let mut bench = Bench::new(true, peers, false);
    for link in bench.links.clone() {
        bench.say(link, Message::Interested);
    }
    bench.now += Duration::from_secs(2);
    bench.feed(Input::Wake);
    let mut next = 0_u32;
    let request =
        |next: u32| BlockRequest { piece: next / 16 % 1_000, offset: next % 16 * 16_384, len: 16_384 };
    for _ in 0..32 {
        for link in bench.links.clone() {
            bench.say(link, Message::Request(request(next)));
            next += 1;
        }
    }
    let mut blocks = 0;
    let began = cpu();
    while blocks < BLOCKS {
        let Some(token) = bench.sends.pop_front() else {
            bench.now += Duration::from_millis(10);
            bench.feed(Input::Wake);
            continue;
        };
        blocks += 1;
        bench.feed(Input::Sent { token });
        bench.say(token.link, Message::Request(request(next)));
        next += 1;
        bench.tick();
    }
    (cpu() - began) / f64::from(blocks)
}

/// Time this thread spent on a processor, so that a busy machine changes little. Linux only.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds come first")
}

//! A driver that does what it is told and answers each wish once, in whatever order and with whatever luck the script says.

mod fetching;
mod trackers;

use super::manners::{Link, Manners};
use crate::script::Script;
use core::net::SocketAddr;
use core::ops::Range;
use proto::command::SeedGoal;
use proto::input::{BlockDigest, DialFailure, DiskOperation, Found, LinkEnd};
use proto::input::{LinkUp, PeerSource, Unsent};
use proto::output::Announce;
use proto::{
    AddTorrent, AnnounceId, Command, Config, DialId, DiskError, DiskErrorKind, Duration, Event, Input,
};
use proto::{FetchId, ScrapeId};
use proto::{
    Instant, Lease, LinkId, Outbox, Output, PayloadId, Priority, Seed, SendToken, Session, TorrentId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use wire::layout::{BLOCK_LEN, FileLen};
use wire::message::BlockRequest;
use wire::{Bitfield, Layout, Message, Metainfo, PeerId, Reserved};

/// Links at once: enough for choking to matter.
const LINKS_MAX: usize = 8;

/// Times that a session may ask to be woken for the same moment.
const WAKES_AT_ONCE_MAX: usize = 3;

/// The contents that stories are about: several pieces of several blocks, one tiny, several files with a pad.
static CONTENTS: LazyLock<[Arc<Metainfo>; 3]> = LazyLock::new(|| {
    let content = |files: &[(u64, bool)], piece_len, private| {
        let files = files.iter().map(|&(len, pad)| FileLen { len, pad });
        let layout = Layout::with_files(files, piece_len, BLOCK_LEN).expect("a layout");
        let hashes = vec![[0; 20]; layout.pieces() as usize];
        let mut metainfo = Metainfo::synthetic("content", layout, &hashes).expect("a torrent");
        let tier = |urls: &[&str]| urls.iter().map(ToString::to_string).collect();
        metainfo.trackers = vec![tier(&["http://a/announce", "udp://b:1"]), tier(&["http://c/announce"])];
        metainfo.web_seeds = tier(&["http://d/", "http://e/f"]);
        metainfo.private = private;
        Arc::new(metainfo)
    };
    [
        content(&[(9 * 32_768 + 20_000, false)], 32_768, false),
        content(&[(10, false)], 16_384, true),
        content(&[(70_000, false), (11_920, true), (300_000, false)], 16_384, false),
    ]
});

pub(super) struct Driver {
    session: Session,
    now: Instant,
    out: Outbox,
    pub(super) manners: Manners,
    pub(super) torrents: BTreeMap<TorrentId, Arc<Metainfo>>,
    /// Wishes to the disk that were not answered.
    jobs: Vec<Output>,
    dials: Vec<DialId>,
    announces: Vec<AnnounceId>,
    scrapes: Vec<ScrapeId>,
    /// Fetches under way, and what of each is still to come.
    fetches: Vec<(FetchId, Range<u64>)>,
    named: u32,
    /// Print the story as it goes; in replays only.
    tells: bool,
}

impl Driver {
    pub(super) fn new(script: &mut Script<'_>) -> Driver {
        let mut config = Config::new(PeerId(*b"-GN0100-0123456789ab"));
        config.requests_out_max = 1 + u32::from(script.byte());
        let now = Instant::from_micros(1);
        let session = Session::new(Arc::new(config), Seed(u64::from(script.byte())), now);
        let mut driver = Driver {
            session,
            now,
            out: Outbox::new(),
            manners: Manners::default(),
            torrents: BTreeMap::new(),
            jobs: Vec::new(),
            dials: Vec::new(),
            announces: Vec::new(),
            scrapes: Vec::new(),
            fetches: Vec::new(),
            named: 0,
            tells: cfg!(not(fuzzing)) && std::env::var_os("GANNET_FUZZ_TELL").is_some(),
        };
        driver.add(script);
        driver
    }

    /// One thing happens.
    pub(super) fn step(&mut self, script: &mut Script<'_>) {
        match script.below(24) {
            0 => self.wait(script),
            1 => self.wake(),
            2 => self.add(script),
            3 => self.command(script),
            4 | 5 => self.link_up(script),
            6 => self.link_down(script),
            7 => self.deliver_requested(script),
            8 => (0..8).for_each(|_| self.deliver_requested(script)),
            9 => self.deliver_other(script),
            10 => self.haves(script),
            11 => self.progress(script),
            12 => self.answer_send(script),
            13 => self.announced(script),
            14 => self.found_peers(script),
            15 | 16 => self.finish_job(script, false),
            18 => self.fetched(script),
            19 => self.fetch_ended(script),
            20 => self.metadata(script),
            21 => self.scraped(script),
            17 => (0..8).for_each(|_| self.finish_job(script, true)),
            _ => self.message(script),
        }
    }

    /// Everything ends: links go down, jobs are done, and nothing is owed.
    pub(super) fn close(&mut self) {
        let links: Vec<LinkId> = self.manners.links.keys().copied().collect();
        links.into_iter().for_each(|link| self.take_down(link, LinkEnd::Broken));
        self.handle(Input::Command(Command::Shutdown));
        for _ in 0..500 {
            if self.jobs.is_empty() {
                break;
            }
            self.finish_job(&mut Script::new(&[]), true);
        }
        assert!(self.jobs.is_empty(), "never done: {:?}", self.jobs.first());
    }

    /// Hands an input in and performs what comes out.
    pub(super) fn handle(&mut self, input: Input<'_>) {
        if self.tells {
            println!("{:?} {input:?}", self.now);
        }
        self.session.handle(self.now, input, &mut self.out);
        if self.tells {
            self.out.as_slice().iter().for_each(|output| println!("    {output:?}"));
        }
        self.manners.judge(self.out.as_slice(), self.now);
        let outputs: Vec<Output> = self.out.drain().collect();
        outputs.into_iter().for_each(|output| self.perform(output));
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Dial { dial, .. } => {
                assert!(!self.dials.contains(&dial), "{dial:?} twice");
                self.dials.push(dial);
            }
            Output::Announce(announce) => {
                let Announce { announce, url, .. } = *announce;
                assert!(!self.announces.contains(&announce), "{announce:?} ({url}) twice");
                self.announces.push(announce);
            }
            Output::Scrape(scrape) => {
                assert!(!self.scrapes.contains(&scrape.scrape), "{scrape:?} twice");
                self.scrapes.push(scrape.scrape);
            }
            Output::Fetch(fetch) => {
                assert!(
                    self.fetches.iter().all(|(other, _)| *other != fetch.fetch),
                    "{:?} twice",
                    fetch.fetch
                );
                assert!(!fetch.range.is_empty(), "a fetch of nothing");
                self.fetches.push((fetch.fetch, fetch.range));
            }
            Output::CancelFetch { fetch } | Output::PauseFetch { fetch } | Output::ResumeFetch { fetch } => {
                assert!(self.fetches.iter().any(|(other, _)| *other == fetch), "{fetch:?} is not under way");
            }
            Output::Open { .. }
            | Output::Check { .. }
            | Output::Verify { .. }
            | Output::Write { .. }
            | Output::Spill { .. }
            | Output::Sync { .. }
            | Output::Commit { .. }
            | Output::AssembleMetadata { .. }
            | Output::CloseStorage { .. } => self.jobs.push(output),
            Output::Event(Event::Removed(torrent)) => {
                assert!(self.torrents.remove(&torrent).is_some(), "{torrent:?} removed twice");
                assert!(self.jobs.iter().all(|job| owner(job) != Some(torrent)), "removed amid jobs");
            }
            Output::Close { .. }
            | Output::Send { .. }
            | Output::Haves { .. }
            | Output::SendBlock { .. }
            | Output::SendMetadata { .. }
            | Output::KeepMetadata { .. }
            | Output::DiscardMetadata { .. }
            | Output::Unsend { .. }
            | Output::PauseReading { .. }
            | Output::ResumeReading { .. }
            | Output::Keep { .. }
            | Output::Drop { .. }
            | Output::Discard { .. }
            | Output::Want { .. }
            | Output::FindPeers { .. }
            | Output::StopFinding { .. }
            | Output::MeetNode(_)
            | Output::Event(_) => {}
        }
    }

    fn wait(&mut self, script: &mut Script<'_>) {
        let millis = 1 << script.below(18);
        self.now += Duration::from_millis(millis);
        self.handle(Input::Wake);
    }

    /// Goes to the moment that the session wants to be woken at; it must not ask for the same moment again and again.
    fn wake(&mut self) {
        for _ in 0..WAKES_AT_ONCE_MAX {
            let Some(at) = self.session.next_wake() else { return };
            let moved = at > self.now;
            self.now = self.now.max(at);
            self.handle(Input::Wake);
            if moved {
                return;
            }
        }
        let again = self.session.next_wake();
        assert!(again.is_none_or(|at| at > self.now), "wants to be woken at once, again and again");
    }

    fn add(&mut self, script: &mut Script<'_>) {
        let slot = script.below(CONTENTS.len());
        let metainfo = &CONTENTS[slot];
        if self.torrents.values().any(|torrent| Arc::ptr_eq(torrent, metainfo)) {
            return;
        }
        let torrent = TorrentId { slot: slot as u32, generation: self.name() };
        let flags = script.byte();
        self.torrents.insert(torrent, metainfo.clone());
        if flags & 16 != 0 {
            return self.add_magnet(torrent, flags, script);
        }
        self.handle(Input::Command(Command::Add(Box::new(AddTorrent {
            torrent,
            metainfo: metainfo.clone(),
            resume: None,
            priorities: if flags & 1 == 0 { Box::default() } else { priorities(metainfo, script) },
            sequential: flags & 2 != 0,
            paused: flags & 4 != 0,
            peers: if flags & 8 == 0 { Vec::new() } else { vec![address(script)] },
            seed_goal: seed_goal(script),
        }))));
    }

    fn command(&mut self, script: &mut Script<'_>) {
        let Some(torrent) = self.any_torrent(script) else { return };
        let metainfo = self.torrents[&torrent].clone();
        let command = match script.below(12) {
            0 => Command::Pause(torrent),
            1 => Command::Resume(torrent),
            2 => Command::Remove(torrent),
            3 => Command::Recheck(torrent),
            4 => Command::SetPriorities(torrent, priorities(&metainfo, script)),
            5 => Command::SetSequential(torrent, script.flag()),
            6 => Command::AddPeers(torrent, vec![address(script), address(script)]),
            7 => Command::Reannounce(torrent),
            8 => Command::SetSeedGoal(torrent, seed_goal(script)),
            9 => match u16::from(script.byte()) {
                port if port % 2 == 0 => Command::Listening(port),
                port => Command::DhtPort(Some(port).filter(|port| port % 8 != 1)),
            },
            10 => {
                let rate = |script: &mut Script<'_>| script.flag().then(|| 1 << script.below(30));
                Command::Lease(Lease {
                    up: rate(script),
                    down: rate(script),
                    unchoke_slots: script.below(10) as u32,
                    links: script.below(10) as u32,
                    buffer: 1 << script.below(30),
                })
            }
            _ if script.byte() > 250 => Command::Shutdown,
            _ => Command::Resume(torrent),
        };
        self.handle(Input::Command(command));
    }

    fn link_up(&mut self, script: &mut Script<'_>) {
        let fast = script.flag();
        let reserved = if fast { Reserved::OURS } else { Reserved::default() };
        let (mut dial, mut remote) = (None, address(script));
        if !self.dials.is_empty() && script.flag() {
            let answered = self.dials.swap_remove(script.below(self.dials.len()));
            if script.below(4) == 0 || self.manners.links.len() >= LINKS_MAX {
                return self.handle(Input::DialFailed { dial: answered, why: DialFailure::Refused });
            }
            remote.set_port(6881);
            dial = Some(answered);
        }
        let torrent = dial.map(|dial| dial.torrent).or_else(|| self.any_torrent(script));
        let known = torrent.and_then(|torrent| Some((torrent, self.torrents.get(&torrent)?)));
        let Some((torrent, metainfo)) = known else { return };
        if self.manners.links.len() >= LINKS_MAX {
            return;
        }
        let layout = metainfo.layout.clone();
        let link = LinkId { slot: script.below(16) as u32, generation: self.name() };
        self.manners.links.insert(link, Link::new(torrent, layout, fast));
        let peer_id = PeerId([script.byte() % 8; 20]);
        let encrypted = script.flag();
        self.handle(Input::LinkUp(LinkUp { link, torrent, remote, dial, peer_id, reserved, encrypted }));
    }

    fn link_down(&mut self, script: &mut Script<'_>) {
        let ends = [LinkEnd::ByPeer, LinkEnd::Broken, LinkEnd::Malformed];
        let end = ends[script.below(ends.len())];
        let closing = self.manners.links.iter().find(|(_, link)| link.closing).map(|(link, _)| *link);
        if let Some(link) = closing.or_else(|| self.any_link(script)) {
            self.take_down(link, end);
        }
    }

    /// The last word about a link, after the answers that are owed on it.
    fn take_down(&mut self, link: LinkId, why: LinkEnd) {
        let owed: Vec<SendToken> =
            self.manners.sending.keys().filter(|token| token.link == link).copied().collect();
        for token in owed {
            self.manners.answered(token, false);
            self.handle(Input::Unsent { token, why: Unsent::LinkDown });
        }
        self.forget_metadata_of(link);
        self.manners.links.remove(&link);
        self.handle(Input::LinkDown { link, why });
    }

    /// A peer sends a block that we asked for.
    fn deliver_requested(&mut self, script: &mut Script<'_>) {
        let Some(link) = self.any_link(script) else { return };
        let asked = &self.manners.links[&link].ours;
        let Some(&block) = asked.keys().nth(script.below(asked.len())) else { return };
        self.deliver(link, block);
    }

    /// A peer sends what nobody asked for, or nobody could.
    fn deliver_other(&mut self, script: &mut Script<'_>) {
        let Some(link) = self.any_link(script) else { return };
        let block = block(&self.manners.links[&link].layout, script);
        self.deliver(link, block);
    }

    fn deliver(&mut self, link: LinkId, block: BlockRequest) {
        let payload = PayloadId { slot: 0, generation: self.name() };
        self.manners.park(link, block, payload);
        self.handle(Input::Block { link, block, payload });
    }

    fn haves(&mut self, script: &mut Script<'_>) {
        let Some(link) = self.any_link(script) else { return };
        let pieces: Vec<u32> = script.bytes(12).iter().map(|&byte| u32::from(byte % 32)).collect();
        self.handle(Input::Haves { link, pieces: &pieces });
    }

    fn progress(&mut self, script: &mut Script<'_>) {
        let Some(link) = self.any_link(script) else { return };
        let bytes = 1 << script.below(15);
        let input = match script.flag() {
            true => Input::Progress { link, bytes },
            false => Input::Overhead { link, received: bytes, sent: bytes / 2 },
        };
        self.handle(input);
    }

    fn answer_send(&mut self, script: &mut Script<'_>) {
        let sending = &self.manners.sending;
        let Some(&token) = sending.keys().nth(script.below(sending.len())) else { return };
        let input = match script.below(4) {
            0 => Input::Unsent { token, why: Unsent::Recalled },
            1 => Input::Unsent { token, why: Unsent::Disk(disk_error(script)) },
            _ => Input::Sent { token },
        };
        self.manners.answered(token, matches!(input, Input::Sent { .. }));
        self.handle(input);
    }

    fn found_peers(&mut self, script: &mut Script<'_>) {
        let Some(torrent) = self.any_torrent(script) else { return };
        let sources =
            [PeerSource::User, PeerSource::Tracker, PeerSource::Resume, PeerSource::Dht, PeerSource::Pex];
        let source = sources[script.below(sources.len())];
        let peers: Vec<SocketAddr> = (0..script.below(20)).map(|_| address(script)).collect();
        self.handle(Input::FoundPeers { torrent, source, peers: &peers });
    }

    fn message(&mut self, script: &mut Script<'_>) {
        let Some(link) = self.any_link(script) else { return };
        let layout = self.manners.links[&link].layout.clone();
        let message = message(&layout, script);
        self.manners.hear(link, &message);
        self.handle(Input::Message { link, message });
    }

    /// A job of the disk ends, some way; the closing of a torrent's storage after all its others.
    fn finish_job(&mut self, script: &mut Script<'_>, well: bool) {
        if self.jobs.is_empty() {
            return;
        }
        let mut index = script.below(self.jobs.len());
        if let Output::CloseStorage { torrent } = self.jobs[index] {
            let mut others = self.jobs.iter().enumerate();
            let other = others
                .find(|(_, job)| owner(job) == Some(torrent) && !matches!(job, Output::CloseStorage { .. }));
            index = other.map_or(index, |(other, _)| other);
        }
        let job = self.jobs.remove(index);
        let luck = if well { 0 } else { script.below(8) };
        let Some(metainfo) = owner(&job).and_then(|torrent| self.torrents.get(&torrent)).cloned() else {
            return;
        };
        if let Output::AssembleMetadata { torrent, size } = job {
            return self.assembled(torrent, size, metainfo, luck);
        }
        if let Some(input) = outcome(job, luck, &metainfo.layout, script) {
            self.handle(input);
        }
    }

    fn any_torrent(&self, script: &mut Script<'_>) -> Option<TorrentId> {
        self.torrents.keys().nth(script.below(self.torrents.len())).copied()
    }

    pub(super) fn any_link(&self, script: &mut Script<'_>) -> Option<LinkId> {
        self.manners.links.keys().nth(script.below(self.manners.links.len())).copied()
    }

    /// A number that was not used before.
    pub(super) fn name(&mut self) -> u32 {
        self.named += 1;
        self.named
    }
}

/// Whose a job is.
fn owner(job: &Output) -> Option<TorrentId> {
    match job {
        Output::Open { torrent, .. }
        | Output::Check { torrent, .. }
        | Output::Verify { torrent, .. }
        | Output::Write { torrent, .. }
        | Output::Spill { torrent, .. }
        | Output::Sync { torrent, .. }
        | Output::Commit { torrent, .. }
        | Output::AssembleMetadata { torrent, .. }
        | Output::CloseStorage { torrent } => Some(*torrent),
        _ => None,
    }
}

/// How a job ends: well with luck 0 and most others, badly with 1, half well with 2.
fn outcome(job: Output, luck: usize, layout: &Layout, script: &mut Script<'_>) -> Option<Input<'static>> {
    let failed = |torrent, operation, script: &mut Script<'_>| {
        Some(Input::StorageFailed { torrent, operation, error: disk_error(script) })
    };
    let ill = luck == 1;
    Some(match job {
        Output::Open { torrent, .. } if ill => return failed(torrent, DiskOperation::Open, script),
        Output::Open { torrent, .. } => {
            let found = match luck {
                2 => Found::Doubtful(Bitfield::full(layout.pieces())),
                _ => Found::Nothing,
            };
            Input::Opened { torrent, found }
        }
        Output::Check { torrent, .. } if ill => return failed(torrent, DiskOperation::Check, script),
        Output::Check { torrent, pieces } => {
            let mut good = Bitfield::new(layout.pieces());
            pieces.iter().filter(|_| luck != 0 && script.flag()).for_each(|piece| {
                good.insert(piece);
            });
            Input::Checked { torrent, good }
        }
        Output::Verify { torrent, piece, attempt, .. } if ill => {
            return failed(torrent, DiskOperation::Verify(piece, attempt), script);
        }
        Output::Verify { torrent, piece, attempt, digests, .. } => {
            let good = luck != 2;
            let blocks = 0..layout.blocks_in(piece);
            let digest = |_| BlockDigest([if good { 0 } else { script.byte() % 2 }; 16]);
            let digests = (digests || !good).then(|| blocks.map(digest).collect());
            Input::Verified { torrent, piece, attempt, good, digests }
        }
        Output::Write { torrent, piece, attempt } if ill => {
            return failed(torrent, DiskOperation::Write(piece, attempt), script);
        }
        Output::Write { torrent, piece, attempt } => Input::Written { torrent, piece, attempt },
        Output::Spill { torrent, piece, attempt, .. } if ill => {
            return failed(torrent, DiskOperation::Spill(piece, attempt), script);
        }
        Output::Spill { torrent, piece, attempt, blocks, key } => {
            let digest = |_| BlockDigest([script.byte() % 2; 16]);
            let digests = key.map(|_| blocks.iter().map(digest).collect());
            Input::Spilled { torrent, piece, attempt, digests }
        }
        Output::Sync { torrent, epoch } if ill => {
            Input::SyncFailed { torrent, epoch, error: disk_error(script) }
        }
        Output::Sync { torrent, epoch } => Input::Synced { torrent, epoch },
        Output::Commit { torrent, epoch, .. } if ill => {
            return failed(torrent, DiskOperation::Commit(epoch), script);
        }
        Output::Commit { torrent, epoch, .. } => Input::Committed { torrent, epoch },
        Output::CloseStorage { torrent } => Input::Closed { torrent },
        _ => return None,
    })
}

fn disk_error(script: &mut Script<'_>) -> DiskError {
    let kinds = [DiskErrorKind::Full, DiskErrorKind::Io, DiskErrorKind::Vanished, DiskErrorKind::Denied];
    DiskError { kind: kinds[script.below(kinds.len())], detail: "x".into() }
}

fn priorities(metainfo: &Metainfo, script: &mut Script<'_>) -> Box<[Priority]> {
    let all = [Priority::Normal, Priority::Skip, Priority::Low, Priority::High];
    (0..metainfo.layout.files()).map(|_| all[script.below(4)]).collect()
}

pub(super) fn seed_goal(script: &mut Script<'_>) -> SeedGoal {
    let flags = script.byte();
    SeedGoal {
        ratio_permille: (flags & 1 != 0).then(|| u32::from(script.byte()) * 10),
        time: (flags & 2 != 0).then(|| Duration::from_secs(u64::from(script.byte()))),
    }
}

/// Few addresses, so that they meet again.
pub(super) fn address(script: &mut Script<'_>) -> SocketAddr {
    let byte = script.byte();
    let port = if byte & 0x40 == 0 { 6881 } else { u16::from(byte) };
    if byte & 0x80 == 0 {
        SocketAddr::new([10, 0, 0, byte & 15].into(), port)
    } else {
        SocketAddr::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(byte & 15)].into(), port)
    }
}

/// Mostly a block of the layout, sometimes what none has.
fn block(layout: &Layout, script: &mut Script<'_>) -> BlockRequest {
    let piece = script.below(layout.pieces() as usize + 1) as u32;
    let offset = script.below(3) as u32 * BLOCK_LEN;
    let len = match script.byte() {
        0..=199 => {
            let piece_len = layout.piece(piece).map_or(0, |piece| layout.piece_len(piece));
            piece_len.saturating_sub(offset).min(BLOCK_LEN)
        }
        200..=230 => u32::from(script.byte()),
        _ => script.u32(),
    };
    BlockRequest { piece, offset, len }
}

fn message(layout: &Layout, script: &mut Script<'_>) -> Message {
    let piece = |script: &mut Script<'_>| script.below(layout.pieces() as usize + 1) as u32;
    match script.below(20) {
        0 => Message::KeepAlive,
        1 => Message::Choke,
        2 | 3 => Message::Unchoke,
        4 => Message::Interested,
        5 => Message::NotInterested,
        6 => Message::Have(piece(script)),
        7 => {
            let fill = script.byte();
            let mut body = vec![fill; layout.pieces().div_ceil(8) as usize];
            if let (Some(last), spare @ 1..) = (body.last_mut(), layout.pieces() % 8) {
                *last &= 0xff << (8 - spare);
            }
            Message::Bitfield(body.into())
        }
        8 => Message::Bitfield(script.bytes(4).into()),
        9 | 10 => Message::Request(block(layout, script)),
        11 => Message::Cancel(block(layout, script)),
        12 => Message::Port(6881),
        13 => Message::Suggest(piece(script)),
        14 => Message::HaveAll,
        15 => Message::HaveNone,
        16 => Message::Reject(block(layout, script)),
        17 => Message::AllowedFast(piece(script)),
        18 => Message::Extended { id: script.byte() % 4, body: script.bytes(60).into() },
        _ => Message::Unknown(script.byte()),
    }
}

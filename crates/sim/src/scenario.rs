//! A sentence about a world, and its judgement: so many peers of such kinds, such a content, such faults; all finish within
//! such a time, no checker finds anything, and the same seed tells the same story twice.
//!
//! A failure prints the seed and the command that replays it.

use crate::content::Content;
use crate::fault::{CrashPoint, Fault};
use crate::node::{Holds, Node, NodeSpec};
use crate::sharing::Sharing;
use crate::web::{WebServer, url_of};
use crate::world::{Settings, World, torrent_id};
use core::fmt::Write;
use core::time::Duration;
use proto::Instant;
use std::sync::Arc;
use wire::Layout;

/// What a world is to be put through.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: &'static str,
    settings: Settings,
    total: u64,
    piece_len: u32,
    block_len: u32,
    trackers: bool,
    private: bool,
    nodes: Vec<NodeSpec>,
    web_servers: Vec<WebServer>,
    faults: Vec<(Instant, Fault)>,
    crash_point: Option<CrashPoint>,
    within: Duration,
    lingers: Duration,
    all_finish: bool,
    journal: Option<Option<u32>>,
}

/// What came of it.
pub struct Outcome {
    /// Which scenario.
    pub name: &'static str,
    /// Its seed.
    pub seed: u64,
    /// The world as it stands at the end.
    pub world: World,
    /// When all that were to finish had finished.
    pub finished: Option<Instant>,
}

impl Scenario {
    /// A world with this seed: 4 MiB in pieces of 64 KiB, nobody in it yet, half an hour to finish.
    pub fn new(name: &'static str, seed: u64) -> Scenario {
        Scenario {
            name,
            settings: Settings::new(seed),
            total: 4 << 20,
            piece_len: 64 << 10,
            block_len: 16 << 10,
            trackers: true,
            private: false,
            nodes: Vec::new(),
            web_servers: Vec::new(),
            faults: Vec::new(),
            crash_point: None,
            within: Duration::from_secs(1800),
            lingers: Duration::from_secs(10),
            all_finish: true,
            journal: None,
        }
    }

    /// The content is so long, in pieces of so many bytes.
    pub fn content(self, total: u64, piece_len: u32) -> Scenario {
        Scenario { total, piece_len, ..self }
    }

    /// A block is so long: 16 KiB unless this says otherwise.
    pub fn blocks_of(self, block_len: u32) -> Scenario {
        Scenario { block_len, ..self }
    }

    /// There is no tracker: nodes know whom they know, and whom they hear of.
    pub fn without_tracker(self) -> Scenario {
        Scenario { trackers: false, ..self }
    }

    /// The tracker names so many peers in one answer at most.
    pub fn tracker_names(mut self, named_max: u32) -> Scenario {
        self.settings.named_max = named_max;
        self
    }

    /// The torrent is private (BEP 27).
    pub fn private(self) -> Scenario {
        Scenario { private: true, ..self }
    }

    /// Another node.
    pub fn node(mut self, spec: NodeSpec) -> Scenario {
        self.nodes.push(spec);
        self
    }

    /// A web server with the content, which the torrent names.
    pub fn web_server(mut self, spec: WebServer) -> Scenario {
        self.web_servers.push(spec);
        self
    }

    /// So many such nodes.
    pub fn nodes(mut self, count: u32, spec: NodeSpec) -> Scenario {
        self.nodes.extend((0..count).map(|_| spec.clone()));
        self
    }

    /// The nodes so far, to change.
    pub fn each(mut self, mut change: impl FnMut(u32, &mut NodeSpec)) -> Scenario {
        (0..).zip(&mut self.nodes).for_each(|(index, spec)| change(index, spec));
        self
    }

    /// So many seconds in, something goes wrong.
    pub fn fault(self, seconds: u64, fault: Fault) -> Scenario {
        self.fault_at(Instant::from_micros(seconds * 1_000_000), fault)
    }

    /// Something goes wrong at a set time.
    pub fn fault_at(mut self, at: Instant, fault: Fault) -> Scenario {
        self.faults.push((at, fault));
        self
    }

    /// A node crashes at a step of its durability.
    pub fn crash(self, point: CrashPoint) -> Scenario {
        Scenario { crash_point: Some(point), ..self }
    }

    /// It may take so long.
    pub fn within(self, within: Duration) -> Scenario {
        Scenario { within, ..self }
    }

    /// When all have finished, it goes on for so long.
    pub fn lingers(self, lingers: Duration) -> Scenario {
        Scenario { lingers, ..self }
    }

    /// Nobody is expected to finish: it goes on to the end of its time.
    pub fn without_end(self) -> Scenario {
        Scenario { all_finish: false, ..self }
    }

    /// Every message goes through the codec.
    pub fn byte_true(mut self) -> Scenario {
        self.settings.byte_true = true;
        self
    }

    /// The network deals its capacity anew so often.
    pub fn quantum(mut self, quantum: Duration) -> Scenario {
        self.settings.quantum = quantum;
        self
    }

    /// The network shares its capacity so.
    pub fn sharing(mut self, sharing: Sharing) -> Scenario {
        self.settings.sharing = sharing;
        self
    }

    /// The same nodes on the same links meet other chances; 0 are those of the seed.
    pub fn dice(mut self, dice: u64) -> Scenario {
        self.settings.seed ^= dice << 32;
        self
    }

    /// All inputs and outputs are digested.
    pub fn traced(mut self) -> Scenario {
        self.settings.traced = true;
        self
    }

    /// All outputs are digested, interesting states counted, and sessions recount themselves: see `fuzz`.
    pub fn watched(mut self) -> Scenario {
        self.settings.watched = true;
        self
    }

    /// A journal is kept, of all nodes or of one.
    pub fn journal(self, only: Option<u32>) -> Scenario {
        Scenario { journal: Some(only), ..self }
    }

    /// The world as it is before anything has happened.
    ///
    /// # Panics
    /// If there can be no such content: the scenario is wrong, not the code under test.
    pub fn build(&self) -> World {
        let urls = (0..self.web_servers.len()).map(url_of).collect();
        let layout = Layout::with_block_len(self.total, self.piece_len, self.block_len);
        let content = layout.and_then(|layout| Content::with_web_seeds(self.name, layout, urls));
        let content = content.unwrap_or_else(|why| panic!("{}: no such content: {why:?}", self.name));
        let content = if self.trackers { content } else { content.without_tracker() };
        let content = if self.private { content.private() } else { content };
        let mut world = World::new(self.settings.clone(), vec![Arc::new(content)]);
        if let Some(only) = self.journal {
            world.trace.keep_journal(only);
        }
        self.web_servers.iter().for_each(|&spec| world.web.add(spec));
        for spec in &self.nodes {
            world.add(spec.clone());
        }
        for (at, fault) in &self.faults {
            world.fault_at(*at, fault.clone());
        }
        self.crash_point.into_iter().for_each(|point| world.crash_at(point));
        world
    }

    /// Lets it happen.
    pub fn run(&self) -> Outcome {
        let mut world = self.build();
        let end = Instant::ZERO + self.within;
        let finished = if self.all_finish {
            let done = world.run_till(end, |world| world.nodes().iter().all(|node| is_done(world, node)));
            done.then(|| world.now())
        } else {
            world.run_until(end);
            None
        };
        if finished.is_some() {
            world.run_until(world.now() + self.lingers);
        }
        if self.all_finish && finished.is_none() {
            for index in 0..world.nodes().len() as u32 {
                if !is_done(&world, world.node(index)) {
                    let text = format!("has not finished: {}", standing(world.node(index)));
                    world.report(index, "progress", text);
                }
            }
        }
        world.conclude();
        Outcome { name: self.name, seed: self.settings.seed, world, finished }
    }

    /// Lets it happen, and panics with all that was found if anything was.
    ///
    /// # Panics
    /// If a checker found something; the message has the seed and the command to replay it.
    pub fn check(&self) -> Outcome {
        let outcome = self.run();
        outcome.judge();
        outcome
    }

    /// Lets it happen twice, and panics if a checker found something or the stories differ.
    ///
    /// # Panics
    /// As [`Scenario::check`].
    pub fn check_twice(self) -> Outcome {
        let scenario = self.traced();
        let (first, second) = (scenario.check(), scenario.check());
        let digests = [&first, &second].map(|outcome| (outcome.world.trace.digest(), outcome.world.events()));
        assert_eq!(digests[0], digests[1], "{}: two runs differ\n{}", first.name, first.replay());
        first
    }
}

impl Outcome {
    /// Panics with all that was found, if anything was.
    ///
    /// # Panics
    /// If a checker found something.
    pub fn judge(&self) {
        assert!(self.world.findings().is_empty(), "{}", self.verdict());
    }

    /// What was found, and how to see it again.
    pub fn verdict(&self) -> String {
        let count = self.world.findings_count();
        let mut text = format!("{} with seed {}: {count} findings\n", self.name, self.seed);
        for finding in self.world.findings().iter().take(20) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {finding}");
        }
        text + &self.replay()
    }

    /// The command that shows this run again.
    pub fn replay(&self) -> String {
        format!("replay: cargo run -p gannet-sim --example replay -- {} --seed {}", self.name, self.seed)
    }

    /// When a node had everything.
    pub fn finish_of(&self, node: u32) -> Option<Duration> {
        self.world.node(node).story.finished.map(|at| at.since(Instant::ZERO))
    }

    /// When the last node had everything.
    pub fn last_finish(&self) -> Option<Duration> {
        (0..self.world.nodes().len() as u32).filter_map(|node| self.finish_of(node)).max()
    }

    /// Payload bytes that a node received and sent in its present run.
    pub fn traffic(&self, node: u32) -> (u64, u64) {
        let session = self.world.node(node).session();
        let stats = session.and_then(|session| session.torrent(torrent_id(0)));
        stats.map_or((0, 0), |stats| (stats.downloaded, stats.uploaded))
    }

    /// Payload bytes that a node received and threw away in its present run.
    pub fn wasted(&self, node: u32) -> u64 {
        let session = self.world.node(node).session();
        session.and_then(|session| session.torrent(torrent_id(0))).map_or(0, |stats| stats.wasted)
    }

    /// The soonest that a fluid could fill all leechers who join together: the seeds' uplink, the slowest downlink, or all
    /// uplinks together are what it takes.
    pub fn fluid_bound(&self) -> Duration {
        let total = self.world.content(0).metainfo().layout.total();
        let specs = || self.world.nodes().iter().map(|node| &node.spec);
        let is_seed = |spec: &&NodeSpec| matches!(spec.holds, Holds::All | Holds::AllUnrecorded);
        let seeds: u64 = specs().filter(is_seed).map(|spec| spec.access.up).sum();
        let all: u64 = specs().map(|spec| spec.access.up).sum();
        let leechers = || specs().filter(|spec| !is_seed(spec));
        let down = leechers().map(|spec| spec.access.down).min().unwrap_or(u64::MAX);
        let each = |bytes: u64, rate: u64| bytes * 1_000_000 / rate.max(1);
        let copies = total * leechers().count() as u64;
        Duration::from_micros(each(total, seeds).max(each(total, down)).max(each(copies, all)))
    }
}

/// Whether a node has what it was to get, or needs nothing.
fn is_done(world: &World, node: &Node) -> bool {
    if node.spec.puppet
        || node.spec.hostile.is_some()
        || node.spec.holds == Holds::All && node.session().is_none()
    {
        return true;
    }
    match node.session().and_then(|session| session.torrent(torrent_id(0))) {
        Some(stats) => stats.wanted_have == stats.wanted && stats.wanted > 0 || !node.is_honest(),
        // Who left in order after it had everything is done; who has not come yet, or is down, is not.
        None => node.story.finished.is_some() && node.ills.leaving || world.has_left(node.index),
    }
}

pub(crate) fn standing(node: &Node) -> String {
    match node.session().and_then(|session| session.torrent(torrent_id(0))) {
        Some(stats) => format!(
            "{:?}, {} of {} pieces, {} peers ({} seeds), {} candidates",
            stats.stage, stats.pieces_have, stats.pieces, stats.peers, stats.seeds, stats.candidates
        ),
        None => "not running".into(),
    }
}

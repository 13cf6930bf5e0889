//! A swarm of real sessions by the hundred thousand: blocks as fluid, no bytes, no disks, nobody hostile.
//!
//! A [`Fleet`] drives the very sessions that a [`crate::World`] drives, for a [`Swarm`]. Time goes in windows no longer than any
//! way between two nodes: what a node does in one reaches nobody before the next, so within a window nodes are independent and a
//! [`Crew`] may share them out. Always: the same swarm gives the same run, to the last output, whoever the hands are and however the
//! nodes are divided among them.
//!
//! Not here, but in a world: attackers and wrong bytes, the codec, disks and their faults, the DHT, web seeds, magnets, limits of
//! rate, and the checkers that look at every message. A downlink is dealt among the flows that were there when the window began, as
//! fast as they were then: with those that begin or speed up within it it may carry more than it can, and then carries less in the next
//! one. Uplinks are exact at every moment.
//!
//! Reading order: `shard`, `node`, `perform`, `flow`, `mail`, `half`, `town`, `survey`.

mod flow;
mod half;
mod mail;
mod node;
mod perform;
mod shard;
mod survey;
mod town;

use crate::checker::Finding;
use crate::content::Content;
use crate::crew::{Alone, Crew, Job};
use crate::fault::Fault;
use crate::figures::{Figures, PeerRow};
use crate::network::micros;
use crate::swarm::{PickOrder, Role, Swarm, Unfit};
use core::time::Duration;
use node::Node;
use proto::Instant;
use shard::{Kind, Scene, Shard, Tally};
use survey::Survey;
use town::Town;

/// A window is no longer than this, however far apart all nodes are: downlinks are dealt once a window.
const WINDOW_MAX: Duration = Duration::from_millis(50);
/// Nor shorter: nodes that are nearer than this to one another are moved apart so far.
const WINDOW_MIN: Duration = Duration::from_micros(500);

/// With fewer nodes than this it takes longer to share out what is light than to do it.
const WORTH_SHARING: usize = 4096;

/// A swarm of sessions, a window at a time.
pub struct Fleet {
    scene: Scene,
    shards: Vec<Shard>,
    /// What each node's downlink gives each flow, by shard.
    downs: Vec<Vec<u64>>,
    town: Town,
    survey: Survey,
    now: Instant,
    wanting: u32,
    seed: u64,
}

impl Fleet {
    /// The members of a swarm, in so many parts.
    ///
    /// # Errors
    /// If the swarm is not fit to be run, or asks for what a fleet does not have.
    pub fn new(swarm: &Swarm, shards: usize) -> Result<Fleet, Unfit> {
        swarm.check()?;
        let kinds: Vec<Kind> = swarm
            .groups
            .iter()
            .map(|group| Kind {
                lease: group.allowance(),
                config: group.settings(),
                sequential: group.order == PickOrder::Sequential,
            })
            .collect();
        if kinds.iter().any(|kind| kind.lease.up.is_some() || kind.lease.down.is_some()) {
            return Err(Unfit::RateLimit);
        }
        if swarm.attackers.is_some() || swarm.dht {
            return Err(Unfit::Company);
        }
        let content =
            swarm.layout().and_then(|layout| Content::with_web_seeds(swarm.name, layout, Vec::new()));
        let content = content.map_err(Unfit::Content)?;
        let content = if swarm.private { content.private() } else { content };
        let cast = swarm.cast();
        let latencies: Vec<u32> = cast.iter().map(|member| shard::latency(&member.access)).collect();
        let span = window(&latencies);
        let wanting = cast.iter().filter(|member| member.role != Role::Seed).count() as u32;
        let nodes: Vec<Node> =
            (0..).zip(cast).map(|(index, member)| Node::new(index, member, swarm.sharing)).collect();
        let town = Town::new(swarm, &nodes)?;
        let per_shard = nodes.len().div_ceil(shards.max(1)).max(1);
        let count = nodes.len().div_ceil(per_shard);
        let mut nodes = nodes.into_iter();
        let shards: Vec<Shard> = (0..count)
            .map(|place| {
                let first = (place * per_shard) as u32;
                Shard::new(first, nodes.by_ref().take(per_shard).collect(), count, span)
            })
            .collect();
        let scene = Scene {
            metainfo: content.metainfo().clone(),
            kinds,
            latencies,
            seed: swarm.seed,
            span,
            per_shard: per_shard as u32,
            sharing: swarm.sharing,
            traced: false,
        };
        let downs = vec![Vec::new(); count];
        let survey = Survey::new(swarm.samples);
        Ok(Fleet { scene, shards, downs, town, survey, now: Instant::ZERO, wanting, seed: swarm.seed })
    }

    /// All outputs are digested from now on, not only when what happened.
    #[must_use]
    pub fn traced(mut self) -> Fleet {
        self.scene.traced = true;
        self
    }

    /// Runs the whole of a swarm's time, or until all who want the content have it or have left.
    ///
    /// # Errors
    /// As [`Fleet::new`].
    pub fn run(swarm: &Swarm, shards: usize, crew: &dyn Crew) -> Result<Figures, Unfit> {
        let mut fleet = Fleet::new(swarm, shards)?;
        let end = Instant::ZERO + swarm.within;
        while fleet.now < end && !fleet.is_done() {
            fleet.step(crew);
        }
        Ok(fleet.figures())
    }

    /// Runs up to this moment; whole windows, so it may be a part of one later.
    pub fn run_until(&mut self, end: Instant, crew: &dyn Crew) {
        while self.now < end {
            self.step(crew);
        }
    }

    /// Something goes wrong, now.
    ///
    /// # Errors
    /// If it cannot in a fleet.
    pub fn befall(&mut self, fault: Fault) -> Result<(), Unfit> {
        self.town.plan(self.now, fault)
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Whether all who want the content have it, or have left.
    pub fn is_done(&self) -> bool {
        self.sum(|tally| u64::from(tally.settled)) == u64::from(self.wanting)
    }

    /// How long a window is.
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.scene.span)
    }

    /// One window, and on to the next in which there is something to do.
    fn step(&mut self, crew: &dyn Crew) {
        let Fleet { scene, shards, downs, town, survey, .. } = self;
        let (begin, scene) = (self.now, &*scene);
        let end = begin + Duration::from_micros(scene.span);
        town.befall(scene, shards, end);
        let light: &dyn Crew = if scene.latencies.len() < WORTH_SHARING { &Alone } else { crew };
        let deals = shards.iter_mut().zip(downs.iter_mut());
        light.run(
            deals.map(|(shard, downs)| Box::new(|| shard.deal(scene, begin, downs)) as Job<'_>).collect(),
        );
        let downs = &*downs;
        let visit = |shard| Box::new(move || Shard::visit(shard, scene, downs, begin)) as Job<'_>;
        crew.run(shards.iter_mut().map(visit).collect());
        hand_over(shards, light);
        town.answer(scene, shards, end);
        town.look(scene, shards, end);
        survey.look(shards, end);
        let next = end.as_micros() / scene.span;
        let due = town.due().min(survey.due()).as_micros() / scene.span;
        let windows = shards.iter().map(|shard| shard.next_window(scene.span, next));
        // Where nothing will ever happen again, time goes on all the same.
        let next = windows.min().unwrap_or(next).min(due).clamp(next, next + (1 << 20));
        self.now = Instant::from_micros(next * scene.span);
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> + '_ {
        self.shards.iter().flat_map(|shard| &shard.nodes)
    }

    fn sum(&self, of: impl Fn(&Tally) -> u64) -> u64 {
        self.shards.iter().map(|shard| of(&shard.tally)).sum()
    }

    /// Pieces verified so far, all together.
    pub fn pieces(&self) -> u64 {
        self.sum(|tally| tally.pieces)
    }

    /// How many who want the content have it so far, or have left.
    pub fn settled(&self) -> u32 {
        self.sum(|tally| tally.settled.into()) as u32
    }

    /// How much happened so far.
    pub fn events(&self) -> u64 {
        self.sum(|tally| tally.events)
    }

    /// What it comes to so far.
    pub fn figures(&self) -> Figures {
        let row = |node: &Node| PeerRow {
            member: node.member,
            met: node.books.met,
            finished: node.books.finished,
            received: node.books.received,
            sent: node.books.sent,
        };
        let peers: Vec<PeerRow> = self.nodes().map(row).collect();
        let wasted = |node: &Node| {
            let stats = node.session.as_ref().and_then(|session| session.torrent(node::TORRENT));
            node.books.wasted + stats.map_or(0, |stats| stats.wasted)
        };
        Figures {
            seed: self.seed,
            origin_sent: peers.iter().filter(|row| row.member.role == Role::Seed).map(|row| row.sent).sum(),
            payload: self.sum(|tally| tally.arrived),
            overhead: self.sum(|tally| tally.overhead),
            wasted: self.nodes().map(wasted).sum(),
            events: self.sum(|tally| tally.events),
            ended: self.now,
            digest: self.shards.iter().map(Shard::digest).fold(0, u64::wrapping_add),
            findings: self.findings(),
            samples: self.survey.samples.clone(),
            peers,
        }
    }

    /// The laws that can be seen from here: bytes are neither made nor lost, and nothing was said that honest nodes without limits
    /// do not say.
    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |checker, text| findings.push(Finding { at: self.now, node: u32::MAX, checker, text });
        let (left, arrived, lost) =
            (self.sum(|tally| tally.left), self.sum(|tally| tally.arrived), self.sum(|tally| tally.lost));
        let arriving: u64 = self.shards.iter().map(Shard::arriving).sum();
        if left != arrived + lost + arriving {
            find("accounts", format!("{left} left, {arrived} arrived, {lost} lost, {arriving} on the way"));
        }
        let flows: u64 = self.nodes().map(|node| u64::from(node.books.flows_in)).sum();
        let served = self.nodes().map(|node| node.uplink.flows().len() as u64).sum::<u64>();
        if flows != served {
            find("flows", format!("{served} blocks leave and {flows} are awaited"));
        }
        let unforeseen = self.sum(|tally| tally.unforeseen);
        if unforeseen > 0 {
            find("unforeseen", format!("{unforeseen} outputs and events that have no place here"));
        }
        findings
    }
}

/// Hands over what left the shards for one another.
fn hand_over(shards: &mut [Shard], crew: &dyn Crew) {
    let count = shards.len();
    let mut mail: Vec<Vec<_>> = (0..count).map(|_| Vec::with_capacity(count)).collect();
    let mut flows: Vec<Vec<_>> = (0..count).map(|_| Vec::with_capacity(count)).collect();
    for shard in shards.iter_mut() {
        for to in 0..count {
            mail[to].push(core::mem::take(&mut shard.leaving.mail[to]));
            flows[to].push(core::mem::take(&mut shard.leaving.flows[to]));
        }
    }
    let jobs = shards.iter_mut().zip(mail.into_iter().zip(flows));
    let job = |(shard, (mail, flows)): (_, (Vec<Vec<_>>, Vec<Vec<_>>))| {
        Box::new(move || {
            let shard: &mut Shard = shard;
            mail.into_iter().zip(flows).for_each(|(mail, flows)| shard.take_in(mail, flows));
        }) as Job<'_>
    };
    crew.run(jobs.map(job).collect());
}

/// Microseconds of a window: no more than any way between two nodes takes.
fn window(latencies: &[u32]) -> u64 {
    let (mut least, mut second) = (u32::MAX, u32::MAX);
    for &latency in latencies {
        if latency < least {
            (least, second) = (latency, least);
        } else {
            second = second.min(latency);
        }
    }
    (u64::from(least) + u64::from(second)).clamp(micros(WINDOW_MIN), micros(WINDOW_MAX))
}

//! What comes of a plan: nothing wrong is ever said or done, and in the end everybody has what can be had.
//!
//! Safety is judged at once: a world stops at its first finding. Progress is judged when all that goes wrong is over: whoever
//! is honest and there, and for whom each piece that it lacks is held by somebody honest whom it can reach, must finish within a bound.

use super::plan::Plan;
use super::sights::{Sight, Sights};
use crate::checker::Finding;
use crate::node::Node;
use crate::world::{World, torrent_id};
use core::fmt;
use core::time::Duration;
use proto::Instant;
use proto::event::StageName;
use wire::{Bitfield, PieceIndex};

/// How often it is looked whether a world is done: rarely beside what it takes, often beside what it lasts.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a world may take beside what its seeds need for all copies: two visits to a tracker that says to come every 15 minutes.
const PATIENCE: Duration = Duration::from_secs(3600);
/// When all is done a world goes on for so long, so that what is left over comes to light.
const LINGERS: Duration = Duration::from_secs(12);

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// What the checkers found, if anything.
    pub findings: Vec<Finding>,
    /// How long the world lasted.
    pub lasted: Duration,
    /// Events delivered.
    pub events: u64,
    /// A digest of all that its sessions wanted, and when.
    pub digest: u128,
    /// What it came through.
    pub sights: Sights,
    /// Its journal, if one was asked for.
    pub journal: Vec<String>,
}

impl Verdict {
    /// Nothing was found, and nothing was run.
    pub fn of(seed: u64) -> Verdict {
        let (findings, journal, sights) = (Vec::new(), Vec::new(), Sights::new());
        Verdict { seed, findings, lasted: Duration::ZERO, events: 0, digest: 0, sights, journal }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whose finding came first.
    pub fn checker(&self) -> Option<&'static str> {
        self.findings.first().map(|finding| finding.checker)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.is_empty() {
            true => writeln!(f, "seed {}: clean after {:?}", self.seed, self.lasted),
            false => writeln!(f, "seed {}: failed after {:?}", self.seed, self.lasted),
        }?;
        self.findings.iter().take(FINDINGS_SHOWN).try_for_each(|finding| writeln!(f, "  {finding}"))
    }
}

/// Findings of a world that are printed: the first is what matters, and others mostly follow from it.
const FINDINGS_SHOWN: usize = 5;

/// How a plan is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// Whose journal is kept: of all, of one, or nobody's.
    pub journal: Option<Option<u32>>,
}

/// Runs a world under all checkers, as [`Run`] says.
pub fn run(plan: &Plan, how: Run) -> Verdict {
    let scenario = match how.journal {
        Some(only) => plan.scenario().journal(only),
        None => plan.scenario(),
    };
    let mut world = scenario.build();
    let calm = plan.calm_after();
    let end = calm + PATIENCE + 8 * plan.copies_take();
    let in_time = run_till(&mut world, end, |world| world.now() >= calm && !is_anybody_owed(world, plan));
    if in_time {
        let lingers = world.now() + LINGERS;
        run_till(&mut world, lingers, |_| false);
    } else if world.findings_count() == 0 {
        for index in 0..world.nodes().len() as u32 {
            if is_owed(&world, plan, world.node(index)) {
                let text = format!("has not finished: {}", crate::scenario::standing(world.node(index)));
                world.report(index, "progress", text);
            }
        }
    }
    world.conclude();
    let mut sights = world.sights();
    if world.losses().blocks > 0 {
        sights.see(Sight::LostUnsynced);
    }
    Verdict {
        seed: plan.seed,
        findings: world.findings().to_vec(),
        lasted: world.now().since(Instant::ZERO),
        events: world.events(),
        digest: world.outputs_digest(),
        sights,
        journal: world.trace.journal().map(str::to_string).collect(),
    }
}

/// Runs until something is found (`true`, for there is no use in going on), it is done (`true`), or this moment.
fn run_till(world: &mut World, end: Instant, done: impl Fn(&World) -> bool) -> bool {
    while world.now() < end {
        if world.findings_count() > 0 || done(world) {
            return true;
        }
        let next = (world.now() + LOOK_EVERY).min(end);
        world.run_until(next);
    }
    world.findings_count() > 0 || done(world)
}

fn is_anybody_owed(world: &World, plan: &Plan) -> bool {
    world.nodes().iter().any(|node| is_owed(world, plan, node))
}

/// Whether somebody lacks something that it could get: it is honest and there, and of each piece that it lacks an honest peer that it
/// can meet has a copy.
fn is_owed(world: &World, plan: &Plan, node: &Node) -> bool {
    if !takes_part(node) || node.spec.puppet {
        return false;
    }
    let total = plan.pieces();
    let Some(have) = have_of(node) else { return false };
    let lacks: Vec<PieceIndex> = (0..total).map(PieceIndex).filter(|&piece| !have.has(piece)).collect();
    if lacks.is_empty() {
        return false;
    }
    let givers: Vec<&Bitfield> =
        world.nodes().iter().filter(|other| gives(plan, node, other)).filter_map(have_of).collect();
    lacks.iter().all(|&piece| givers.iter().any(|have| have.has(piece)))
}

/// Honest, up, in good health, and not about to leave.
fn takes_part(node: &Node) -> bool {
    node.is_honest() && node.is_up() && !node.ills.rotten && !node.ills.leaving
}

fn gives(plan: &Plan, node: &Node, other: &Node) -> bool {
    // A tracker that names some may name the wrong ones for ever.
    let named = plan.tracked && plan.named_max as usize >= plan.peers.len();
    let dials = |from: &Node, to: &Node| to.spec.reachable && (named || from.spec.knows.contains(&to.index));
    let meet = dials(node, other) || dials(other, node);
    let session = other.session().and_then(|session| session.torrent(torrent_id(0)));
    let serves = session.is_some_and(|stats| {
        matches!(stats.stage, StageName::Downloading | StageName::Seeding)
            && other.spec.lease.unchoke_slots > 0
    });
    node.index != other.index && takes_part(other) && meet && serves
}

fn have_of(node: &Node) -> Option<&Bitfield> {
    node.session().and_then(|session| session.have(torrent_id(0)))
}

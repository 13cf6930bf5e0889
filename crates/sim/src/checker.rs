//! Those who look on: each checker holds one law of the protocol or of the seam against everything that is said.
//!
//! Apart from asserts, and apart from the world: a checker sees inputs and outputs and the truth that the world knows, and
//! changes nothing. What it finds is collected, so that a run can be told as a whole.

mod accounts;
mod beliefs;
mod bounds;
mod content;
mod dials;
mod durability;
mod etiquette;
mod leases;
mod payloads;
mod privacy;

use crate::node::Node;
use crate::world::World;
use core::fmt;
use proto::{Input, Instant, Output};

pub use durability::Losses;

/// Findings that are kept; the rest are counted.
const FINDINGS_MAX: usize = 100;

/// A law that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// When.
    pub at: Instant,
    /// By whom.
    pub node: u32,
    /// Which checker says so.
    pub checker: &'static str,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} node {} [{}] {}", self.at, self.node, self.checker, self.text)
    }
}

/// What a checker sees: the time, and all nodes, one of which is concerned.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) now: Instant,
    pub(crate) nodes: &'a [Node],
    pub(crate) index: u32,
}

impl<'a> Scene<'a> {
    pub(crate) fn node(&self) -> &'a Node {
        &self.nodes[self.index as usize]
    }
}

/// One law.
trait Checker {
    fn name(&self) -> &'static str;
    /// A session begins.
    fn started(&mut self, _scene: Scene<'_>) {}
    /// A session is about to be handed this.
    fn input(&mut self, _scene: Scene<'_>, _input: &Input<'_>, _report: &mut dyn FnMut(String)) {}
    /// A session wants this, and it is about to be done.
    fn output(&mut self, _scene: Scene<'_>, _output: &Output, _report: &mut dyn FnMut(String)) {}
    /// A session ended, in whatever way; the disk is as the restart will find it.
    fn stopped(&mut self, _scene: Scene<'_>, _report: &mut dyn FnMut(String)) {}
    /// Time for a look around.
    fn inspect(&mut self, _scene: Scene<'_>, _report: &mut dyn FnMut(String)) {}
    /// The run is over.
    fn conclude(&mut self, _world: &World, _report: &mut dyn FnMut(String)) {}
}

/// All checkers of a world.
#[derive(Default)]
pub(crate) struct Checkers {
    laws: Laws,
    findings: Vec<Finding>,
    more: u32,
}

#[derive(Default)]
struct Laws {
    payloads: payloads::Payloads,
    content: content::Content,
    etiquette: etiquette::Etiquette,
    durability: durability::Durability,
    bounds: bounds::Bounds,
    accounts: accounts::Accounts,
    dials: dials::Dials,
    beliefs: beliefs::Beliefs,
    leases: leases::Leases,
    privacy: privacy::Privacy,
}

impl Laws {
    fn each(&mut self) -> [&mut dyn Checker; 10] {
        [
            &mut self.payloads,
            &mut self.content,
            &mut self.etiquette,
            &mut self.durability,
            &mut self.bounds,
            &mut self.accounts,
            &mut self.dials,
            &mut self.beliefs,
            &mut self.leases,
            &mut self.privacy,
        ]
    }
}

impl Checkers {
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Findings beyond those that are kept.
    pub(crate) fn more(&self) -> u32 {
        self.more
    }

    pub(crate) fn losses(&self) -> Losses {
        self.laws.durability.losses()
    }

    pub(crate) fn report(&mut self, at: Instant, node: u32, checker: &'static str, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { at, node, checker, text });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn started(&mut self, now: Instant, nodes: &[Node], index: u32) {
        self.laws.each().into_iter().for_each(|law| law.started(Scene { now, nodes, index }));
    }

    pub(crate) fn input(&mut self, now: Instant, nodes: &[Node], index: u32, input: &Input<'_>) {
        self.ask(now, index, |law, report| law.input(Scene { now, nodes, index }, input, report));
    }

    pub(crate) fn output(&mut self, now: Instant, nodes: &[Node], index: u32, output: &Output) {
        self.ask(now, index, |law, report| law.output(Scene { now, nodes, index }, output, report));
    }

    pub(crate) fn stopped(&mut self, now: Instant, nodes: &[Node], index: u32) {
        self.ask(now, index, |law, report| law.stopped(Scene { now, nodes, index }, report));
    }

    pub(crate) fn inspect(&mut self, now: Instant, nodes: &[Node], index: u32) {
        self.ask(now, index, |law, report| law.inspect(Scene { now, nodes, index }, report));
    }

    pub(crate) fn conclude(&mut self, world: &World) {
        self.ask(world.now(), u32::MAX, |law, report| law.conclude(world, report));
    }

    fn ask(
        &mut self,
        at: Instant,
        node: u32,
        mut question: impl FnMut(&mut dyn Checker, &mut dyn FnMut(String)),
    ) {
        let Checkers { laws, findings, more } = self;
        for law in laws.each() {
            let checker = law.name();
            question(law, &mut |text| {
                if findings.len() < FINDINGS_MAX {
                    findings.push(Finding { at, node, checker, text });
                } else {
                    *more += 1;
                }
            });
        }
    }
}

/// A table with a row for every node, made as nodes come by.
fn row<T: Default>(rows: &mut Vec<T>, index: u32) -> &mut T {
    let index = index as usize;
    if rows.len() <= index {
        rows.resize_with(index + 1, T::default);
    }
    &mut rows[index]
}

//! The experiments: each a question that somebody can repeat, asked of sessions and of a server in the same world.
//!
//! An [`Experiment`] is a function from what was asked to a [`Report`]; how its runs are carried out (one after the other, side by
//! side, with a word of progress) is the caller's. Reports are data: text, JSON and pictures are made elsewhere. Settings stand in the
//! experiment's file and in `docs/lab/settings.md`, and are printed with every report.

pub mod chart;
mod classes;
mod crowd;
pub mod fidelity;
mod leavers;
mod liars;
mod missing;
mod offline;
mod organisation;
mod pieces;
mod rarest;
mod riders;
mod rules;
pub mod scale;
mod selfscaling;
mod server_wins;
mod shaped;
mod sharing;
mod steady;
mod super_seeding;
mod textbook;
mod tiers;
mod tracker;

use crate::baseline::ClientServer;
use crate::crew::Alone;
use crate::figures::{Figures, PeerRow};
use crate::fleet::Fleet;
use crate::swarm::{Shape, Swarm, Unfit};
use chart::{Chart, Point, millis};
use core::time::Duration;

/// All experiments.
pub const EXPERIMENTS: &[Experiment] = &[
    textbook::EXPERIMENT,
    selfscaling::EXPERIMENT,
    pieces::EXPERIMENT,
    crowd::EXPERIMENT,
    offline::EXPERIMENT,
    leavers::EXPERIMENT,
    classes::EXPERIMENT,
    riders::EXPERIMENT,
    rarest::EXPERIMENT,
    super_seeding::EXPERIMENT,
    missing::EXPERIMENT,
    steady::EXPERIMENT,
    tracker::EXPERIMENT,
    liars::EXPERIMENT,
    server_wins::EXPERIMENT,
    organisation::EXPERIMENT,
    shaped::EXPERIMENT,
    rules::EXPERIMENT,
    tiers::EXPERIMENT,
    sharing::EXPERIMENT,
];

/// The experiment of this name.
pub fn by_name(name: &str) -> Option<&'static Experiment> {
    EXPERIMENTS.iter().find(|experiment| experiment.name == name)
}

/// A question that can be repeated.
#[derive(Debug)]
pub struct Experiment {
    /// What it is called by.
    pub name: &'static str,
    /// What it asks.
    pub title: &'static str,
    /// What is expected, and by whom.
    pub bounds: &'static [Bound],
    /// Asks.
    pub run: fn(&Ask, &mut Bench<'_>) -> Report,
}

/// Carries runs out, in whatever order, and returns what each came to, in the order in which they were given. All that takes time goes
/// through it: who wants to know beforehand how much there is to do asks with a bench that only counts.
pub type Bench<'a> = dyn FnMut(Vec<Run>) -> Vec<Figures> + 'a;

/// What somebody expects of an experiment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// What it is called by.
    pub id: &'static str,
    /// Whose it is.
    pub source: &'static str,
    /// What is expected.
    pub says: &'static str,
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// How many want the content, if not as many as the setting says.
    pub peers: Option<u32>,
    /// Bytes of the content, if not as many as the setting says.
    pub size: Option<u64>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds; figures are the median's.
    pub seeds: u32,
}

/// One world, and how it is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The world.
    pub swarm: Swarm,
    /// How.
    pub how: How,
}

/// How a world is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// A server gives everything.
    Served,
    /// Sessions, message by message.
    Messages,
    /// Sessions, with blocks as flows.
    Flows,
}

/// What an experiment came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// What was set, by name.
    pub setting: Vec<(&'static str, String)>,
    /// What was found.
    pub tables: Vec<Table>,
    /// The same as pictures, where a picture says more.
    pub charts: Vec<Chart>,
    /// How that compares with what was expected.
    pub verdicts: Vec<Verdict>,
    /// The command that repeats it.
    pub command: String,
}

/// Rows under heads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// What it tells.
    pub title: String,
    /// What its columns are.
    pub heads: Vec<&'static str>,
    /// Its rows, each as long as the heads.
    pub rows: Vec<Vec<String>>,
}

/// What was found beside what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// What was expected.
    pub bound: &'static Bound,
    /// What was found.
    pub found: String,
    /// Whether it holds; nothing where the bound says nothing about this setting.
    pub holds: Option<bool>,
}

impl Default for Ask {
    /// The setting as it stands, with five seeds from 1.
    fn default() -> Ask {
        Ask { peers: None, size: None, seed: 1, seeds: 5 }
    }
}

impl Ask {
    /// Whether the setting stands as it is.
    pub fn is_plain(&self) -> bool {
        self.peers.is_none() && self.size.is_none()
    }

    /// The command that asks this.
    pub fn command(&self, name: &str) -> String {
        let plain = Ask::default();
        let mut command = format!("gannet lab run {name}");
        let mut say = |flag: &str, value: Option<u64>| {
            if let Some(value) = value {
                command += &format!(" --{flag} {value}");
            }
        };
        say("peers", self.peers.map(u64::from));
        say("size", self.size);
        say("seed", (self.seed != plain.seed).then_some(self.seed));
        say("seeds", (self.seeds != plain.seeds).then_some(self.seeds.into()));
        command
    }

    fn each_seed(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..u64::from(self.seeds)).map(move |number| first + number)
    }
}

impl Run {
    /// About how much work it is to carry it out, in blocks that arrive. That a piece is there is told to everybody who is linked, and
    /// is worth four of them; message by message a block is worth three. A server's run is arithmetic.
    pub fn steps(&self) -> u64 {
        let Shape { total, piece_len, block_len } = self.swarm.content;
        let members: u64 = self.swarm.groups.iter().map(|group| u64::from(group.count)).sum();
        let links = self.swarm.groups.iter().map(|group| u64::from(group.config.links_per_torrent)).max();
        let told = members.min(links.unwrap_or(0));
        let (pieces, blocks) =
            (total / u64::from(piece_len.max(1)) + 1, total / u64::from(block_len.max(1)) + 1);
        let flows = members.saturating_mul(blocks.saturating_add(pieces.saturating_mul(4 * told)));
        match self.how {
            How::Served => members,
            How::Flows => flows,
            How::Messages => flows.saturating_mul(3),
        }
    }

    /// Carries it out, here and now.
    ///
    /// # Errors
    /// If the world is not fit for it.
    pub fn run(&self) -> Result<Figures, Unfit> {
        self.swarm.check()?;
        Ok(match self.how {
            How::Served => ClientServer::run(&self.swarm),
            How::Messages => Figures::of(&self.swarm, &self.swarm.run_messages()),
            How::Flows => Fleet::run(&self.swarm, 1, &Alone)?,
        })
    }
}

/// A bench of one hand: one run after the other.
///
/// # Panics
/// If an experiment made a world that is not fit to be run: a bug of the experiment.
pub fn one_by_one(runs: Vec<Run>) -> Vec<Figures> {
    let run = |run: &Run| run.run().unwrap_or_else(|why| panic!("{}: {why}", run.swarm.name));
    runs.iter().map(run).collect()
}

/// The middle one of these (the lower of two).
fn median<T: Ord>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    let middle = values.len().checked_sub(1)? / 2;
    Some(values.swap_remove(middle))
}

/// When the last one of a run was done, in the median of these runs; for ever, if somebody never was.
fn last(all: &[Figures]) -> Duration {
    median(all.iter().map(|figures| figures.last().unwrap_or(Duration::MAX))).unwrap_or(Duration::MAX)
}

/// When the last one of each run was done, as a point of a chart.
fn last_at(x: u64, all: &[Figures]) -> Option<Point> {
    Point::of(x, all.iter().map(|figures| millis(figures.last())))
}

/// How often the origin sent the whole, as a point of a chart.
fn copies_at(x: u64, swarm: &Swarm, all: &[Figures]) -> Option<Point> {
    Point::of(x, all.iter().map(|figures| figures.copies_permille(swarm)))
}

/// What all took in the mean; for ever, if somebody never got it.
fn mean(figures: &Figures) -> Duration {
    let spans: Option<Vec<Duration>> = figures.wanting().map(PeerRow::took).collect();
    let spans = spans.unwrap_or_else(|| vec![Duration::MAX]);
    spans.iter().fold(Duration::ZERO, |sum, span| sum.saturating_add(*span)) / spans.len().max(1) as u32
}

/// How many times as long, in thousandths.
fn over(part: Duration, whole: Duration) -> u64 {
    u64::try_from(part.as_micros().saturating_mul(1000) / whole.as_micros().max(1)).unwrap_or(u64::MAX)
}

fn seconds(span: Option<Duration>) -> String {
    span.filter(|span| *span < Duration::MAX)
        .map_or_else(|| "never".into(), |span| format!("{}.{} s", span.as_secs(), span.subsec_millis() / 100))
}

/// Thousandths as a factor.
fn factor(permille: u64) -> String {
    format!("{}.{:03}", permille / 1000, permille % 1000)
}

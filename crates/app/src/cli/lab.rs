//! `gannet lab`: what can be typed.

use crate::quantity::Size;
use crate::words::nearest;
use clap::{Args, Subcommand};
use sim::lab::{Ask, EXPERIMENTS, Experiment, by_name};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// More people than this do not fit into the memory of a machine that somebody has on a table.
const PEERS_MAX: i64 = 1_000_000;

/// More seeds than this tell nothing that the first thousand did not.
const SEEDS_MAX: i64 = 1_000;

/// Threads beyond this only wait.
const THREADS_MAX: u64 = 256;

/// Ask how swarms behave: experiments that anybody can repeat, on the very code that ships.
///
/// Nothing is sent anywhere: links, disks and time are simulated, and the sessions in it are those that `gannet get` runs. The same
/// command finds the same figures on every machine. docs/lab.md says how to use it.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet lab list                                 which experiments there are, and how long they take
  gannet lab run shaped                           one seed, ten leechers: how near to the bound are they?
  gannet lab run selfscaling --html growth.html   with charts, for a browser
  gannet lab run offline --peers 100 --seed 7     the same question of another swarm
  gannet lab run riders --json | jq .verdicts     for programs; see docs/json.md"
)]
pub(crate) struct Lab {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

/// What to do there.
#[derive(Subcommand, Debug)]
pub(crate) enum LabCommand {
    /// Which experiments there are
    List(ListLab),
    /// Run an experiment, and report
    Run(RunLab),
}

#[derive(Args, Debug)]
pub(crate) struct ListLab {
    /// As JSON, for programs (docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RunLab {
    /// Which one: `gannet lab list` names all
    #[arg(value_name = "NAME", value_parser = experiment)]
    pub(crate) experiment: &'static Experiment,
    /// How many people want the content [default: as the experiment is set]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=PEERS_MAX))]
    pub(crate) peers: Option<u32>,
    /// How large the content is, e.g. 64MiB [default: as the experiment is set]
    #[arg(long, value_name = "SIZE", value_parser = content)]
    pub(crate) size: Option<Size>,
    /// The first seed of chance
    #[arg(long, value_name = "N", default_value_t = Ask::default().seed)]
    pub(crate) seed: u64,
    /// How many seeds; figures are the median's
    #[arg(long, value_name = "N", default_value_t = Ask::default().seeds)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=SEEDS_MAX))]
    pub(crate) seeds: u32,
    #[command(flatten)]
    pub(crate) hands: Hands,
    /// Save the report as a page with charts, for a browser; it needs no script and no network
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Save the charts as pictures (SVG), one file each, in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
    /// As JSON, for programs (docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who does the work.
#[derive(Args, Debug)]
pub(crate) struct Hands {
    /// How many threads; the figures are the same for any number [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<NonZeroUsize>,
}

impl Hands {
    /// How many.
    pub(crate) fn threads(&self) -> NonZeroUsize {
        let here = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        self.threads.unwrap_or_else(here)
    }
}

impl RunLab {
    /// What was asked, as the lab understands it.
    pub(crate) fn ask(&self) -> Ask {
        let size = self.size.map(|Size(bytes)| bytes);
        Ask { peers: self.peers, size, seed: self.seed, seeds: self.seeds }
    }
}

fn experiment(name: &str) -> Result<&'static Experiment, String> {
    by_name(name).ok_or_else(|| {
        let names = EXPERIMENTS.iter().map(|experiment| experiment.name);
        match nearest(name, names) {
            Some(near) => format!("there is none of that name; is it `{near}`? `gannet lab list` names all"),
            None => "there is none of that name; `gannet lab list` names all".into(),
        }
    })
}

fn content(text: &str) -> Result<Size, String> {
    match text.parse()? {
        Size(0) => Err("nobody waits for nothing; try 64MiB".into()),
        size => Ok(size),
    }
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() as u64 <= THREADS_MAX);
    count.ok_or_else(|| format!("threads are counted from 1 to {THREADS_MAX}"))
}

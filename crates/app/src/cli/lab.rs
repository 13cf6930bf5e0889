//! `gannet lab`: what can be typed.

use crate::quantity::{Size, Span};
use crate::words::nearest;
use clap::{Args, Subcommand};
use sim::lab::{Ask, EXPERIMENTS, Experiment, by_name};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// More people than this do not fit into the memory of a machine that somebody has on a table.
const PEERS_MAX: i64 = 1_000_000;

/// More seeds than this tell nothing that the first thousand did not.
const SEEDS_MAX: i64 = 1_000;

/// More people than this take longer to simulate than anybody watches.
const RACERS_MAX: i64 = 10_000;

/// The fastest line there is in a race, in Mbit/s.
const MBIT_MAX: i64 = 100_000;

/// Threads beyond this only wait.
const THREADS_MAX: u64 = 256;

/// Ask how swarms behave: experiments that anybody can repeat, on the very code that ships.
///
/// Nothing is sent anywhere: links, disks and time are simulated, and the sessions in it are those that `gannet get` runs. The same
/// command finds the same figures on every machine. docs/lab.md says how to use it, docs/learn.md what can be
/// learned from it.
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  gannet lab list                                 which experiments there are, and how long they take
  gannet lab run shaped                           one seed, ten leechers: how near to the bound are they?
  gannet lab run selfscaling --html growth.html   with charts, for a browser
  gannet lab run offline --peers 100 --seed 7     the same question of another swarm
  gannet lab run riders --json | jq .verdicts     for programs; see docs/json.md
  gannet lab race                                 a server against a swarm; keys kill either
  gannet lab race --plain --kill-seed-at 5m       the same as lines, and the seed dies after five minutes"
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
    /// Watch a server and a swarm race on one simulated clock
    Race(RaceLab),
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

#[derive(Args, Debug)]
pub(crate) struct RaceLab {
    /// How many people want the content
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=RACERS_MAX))]
    pub(crate) peers: u32,
    /// How large the content is
    #[arg(long, value_name = "SIZE", default_value = "700MB", value_parser = content)]
    pub(crate) size: Size,
    /// What each of them can send, in Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = 20, value_parser = mbit())]
    pub(crate) up: u32,
    /// What each of them can receive, in Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = 100, value_parser = mbit())]
    pub(crate) down: u32,
    /// What the server can send, and the swarm's seed as well, in Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = 100, value_parser = mbit())]
    pub(crate) origin: u32,
    /// The seed of chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// What a gigabyte costs that leaves the origin, in any money
    #[arg(long, value_name = "PRICE", default_value_t = 0.05, value_parser = price)]
    pub(crate) price_per_gb: f64,
    /// The server dies after so long, e.g. 5m
    #[arg(long, value_name = "TIME", requires = "plain")]
    pub(crate) kill_server_at: Option<Span>,
    /// The seed of the swarm dies after so long, e.g. 5m
    #[arg(long, value_name = "TIME", requires = "plain")]
    pub(crate) kill_seed_at: Option<Span>,
    /// Lines instead of a picture with keys, as fast as the machine can
    #[arg(long)]
    pub(crate) plain: bool,
    #[command(flatten)]
    pub(crate) hands: Hands,
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

fn mbit() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=MBIT_MAX)
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| format!("`{text}` is no price; try 0.05"))
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() as u64 <= THREADS_MAX);
    count.ok_or_else(|| format!("threads are counted from 1 to {THREADS_MAX}"))
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;

    /// Commands of a page, without what is said about them and without other programs.
    fn commands(page: &str) -> Vec<&str> {
        let lines = page.lines().filter(|line| line.starts_with("gannet "));
        lines
            .map(|line| line.split(" #").next().unwrap_or_default().split(" | ").next().unwrap_or_default())
            .collect()
    }

    #[test]
    fn every_command_of_the_pages_about_the_lab_can_be_typed_and_names_what_there_is() {
        let pages = [include_str!("../../../../docs/learn.md"), include_str!("../../../../docs/lab.md")];
        let mut typed = 0;
        for command in pages.into_iter().flat_map(commands) {
            let words = command.split_whitespace();
            let understood = Cli::explained().try_get_matches_from(words);
            assert!(understood.is_ok(), "{command}: {understood:?}");
            typed += 1;
        }
        assert!(typed >= 20, "only {typed} commands");
    }

    #[test]
    fn every_question_is_answered_with_a_command() {
        let page = include_str!("../../../../docs/learn.md");
        let questions: Vec<&str> = page.split("\n## ").skip(1).collect();
        assert!(questions.len() >= 12, "{}", questions.len());
        for question in questions {
            let shown = !commands(question).is_empty() || question.contains("`cargo xtask ");
            assert!(shown, "{}", question.lines().next().unwrap_or_default());
        }
    }
}

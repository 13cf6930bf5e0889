//! Real processes and the simulator, side by side: `cargo xtask fidelity [world...] [--runs N] [--size MIB] [--small] [--built]`.
//!
//! Each world (`sim::lab::fidelity`) is simulated, and then lived through by eleven processes, as users run them, on hosts of the lab
//! whose links are shaped to the same rates. When the middle one and the last one have everything is held against each other.

mod real;
mod simulated;

use crate::lab::{self, Lab};
use anyhow::{Context, Result, bail, ensure};
use real::Setting;
use simulated::World;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const WORLDS: [&str; 3] = ["shaped", "mixed", "seed-dies"];

/// How far a median may be from what was simulated, in percent.
const APART_MAX: f64 = 10.0;

/// In the short form everything is over before links and rounds have settled: it is to show that both halves work.
const APART_MAX_SMALL: f64 = 35.0;

/// What is asked of the last one in the world `shaped`, in multiples of the bound without frames.
const LAST_MAX: f64 = 1.25;

struct Options<'a> {
    worlds: Vec<&'a str>,
    runs: usize,
    /// MiB of the content.
    size: u64,
    small: bool,
    /// What is run was built before.
    built: bool,
    /// Real sessions are recorded into this folder.
    record: Option<PathBuf>,
}

/// What one way of living through a world came to: of each run, when each leecher had everything; nothing, if it never had.
struct Times(Vec<Vec<Option<f64>>>);

/// Runs the worlds that are named, or all, and says whether both halves agree.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    let dir = std::env::temp_dir().join("gannet-fidelity");
    if !options.built && !lab::is_inside() {
        let built = Command::new("cargo").args(simulated::BUILD).current_dir(crate::root()).status();
        ensure!(built.context("cargo")?.success(), "the simulator does not build");
    }
    if !lab::enter_alone(&dir, !options.built)? {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&dir);
    let lab = Lab::new()?;
    let mut apart = 0;
    for name in &options.worlds {
        let (world, simulated) = simulated::run(name, options.size << 20)?;
        println!("== {name}: simulated\n{}", simulated.lines());
        let setting = Setting { lab: &lab, dir: &dir, world: &world, record: options.record.as_deref() };
        let mut real = Times(Vec::new());
        for number in 1..=options.runs {
            real.0.push(real::run(&setting, number)?);
        }
        println!("== {name}: {} runs of {} processes\n{}", options.runs, world.members.len(), real.lines());
        apart += usize::from(!judge(&world, &simulated, &real, &options));
    }
    ensure!(apart == 0, "fidelity: {apart} worlds are further apart than they may be");
    Ok(())
}

fn options<'a>(args: &[&'a str]) -> Result<Options<'a>> {
    let mut options =
        Options { worlds: Vec::new(), runs: 3, size: 64, small: false, built: false, record: None };
    let mut words = args.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word {
            "--runs" => options.runs = value()?.parse::<usize>()?.max(1),
            "--size" => options.size = value()?.parse()?,
            "--small" => (options.small, options.size, options.runs) = (true, 8, 1),
            "--built" => options.built = true,
            "--record" => options.record = Some(value()?.into()),
            name if WORLDS.contains(&name) => options.worlds.push(name),
            other => bail!("fidelity: what is {other}? Worlds: {}", WORLDS.join(" ")),
        }
    }
    if options.worlds.is_empty() {
        options.worlds = if options.small { vec!["shaped"] } else { WORLDS.into() };
    }
    Ok(options)
}

/// Prints both side by side; whether they agree.
fn judge(world: &World, simulated: &Times, real: &Times, options: &Options<'_>) -> bool {
    let most = if options.small { APART_MAX_SMALL } else { APART_MAX };
    let (mut agree, bound) = (true, world.bounds);
    println!("| {} | simulated | real | apart | of the bound |\n|---|---|---|---|---|", world.name);
    for (what, of) in [("median", middle as fn(&[Option<f64>]) -> Option<f64>), ("last", last)] {
        let [ours, theirs] = [simulated, real].map(|times| times.median_of(of));
        let apart = match (ours, theirs) {
            (Some(ours), Some(theirs)) => Some((theirs / ours - 1.0) * 100.0),
            (None, None) => Some(0.0),
            _ => None,
        };
        agree &= apart.is_some_and(|apart| apart.abs() <= most);
        let over = theirs.map_or_else(String::new, |theirs| format!("{:.2}", theirs / bound[0]));
        let apart = apart.map_or_else(|| "for ever".into(), |apart| format!("{apart:+.1} %"));
        println!("| {what} | {} | {} | {apart} | {over} |", shown(ours), shown(theirs));
    }
    let word = if agree { "holds" } else { "DOES NOT HOLD" };
    println!("within {most} %: {word}; bound {:.1} s, with frames {:.1} s", bound[0], bound[1]);
    if world.name == "shaped" && !options.small {
        let over = real.median_of(last).map_or(f64::INFINITY, |last| last / bound[0]);
        let word = if over <= LAST_MAX { "holds" } else { "DOES NOT HOLD" };
        println!("the last at {over:.3} of the bound, at most {LAST_MAX}: {word}");
    }
    agree
}

impl Times {
    /// One line for each run.
    fn lines(&self) -> String {
        let line = |run: &Vec<Option<f64>>| {
            let mut times: Vec<String> = run.iter().map(|&time| shown(time)).collect();
            times.sort();
            format!("  median {}, last {}: {}\n", shown(middle(run)), shown(last(run)), times.join(" "))
        };
        self.0.iter().map(line).collect()
    }

    /// A figure of the middle run.
    fn median_of(&self, figure: impl Fn(&[Option<f64>]) -> Option<f64>) -> Option<f64> {
        let of_runs: Vec<Option<f64>> = self.0.iter().map(|run| figure(run)).collect();
        middle(&of_runs)
    }
}

/// The middle one, the lower of two; never comes last.
fn middle(times: &[Option<f64>]) -> Option<f64> {
    let mut times: Vec<f64> = times.iter().map(|time| time.unwrap_or(f64::INFINITY)).collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len().checked_sub(1)? / 2).copied().filter(|time| time.is_finite())
}

/// The last one, if all came.
fn last(times: &[Option<f64>]) -> Option<f64> {
    times.iter().copied().try_fold(0.0, |last: f64, time| Some(last.max(time?)))
}

fn shown(time: Option<f64>) -> String {
    time.map_or_else(|| "never".into(), |time| format!("{time:.2} s"))
}

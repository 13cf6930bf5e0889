//! Runs worlds of chance under all checkers: `cargo run --release -p gannet-sim --example fuzz -- [--worlds N] [--seed N] [--threads N]`.
//!
//! Prints worlds, simulated hours, how much faster than life that was, processor time, and the sights: how often each interesting state
//! was come through. A world that fails is shrunk and printed as text, with the command that replays it; its journal goes to a file
//! beside. `--twice`: each world runs twice, and both runs must want the same. `--until-found`: ends at the first failure. `--no-shrink`.
//! `--plan FILE [--journal [--node N]]`: runs the world that a file describes; `--print`: only prints the world of `--seed`.
//! `--quiet-sights`: leaves the sights out.

use sim::fuzz::{Plan, Run, Sights, Verdict, draw, run, shrink};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

/// Runs that shrinking a failing world may take.
const SHRINK_RUNS_MAX: u32 = 400;
/// How often it is told how far it is, seconds.
const PROGRESS_EVERY: f64 = 10.0;

/// What is asked for.
struct Ask {
    seed: u64,
    worlds: u64,
    threads: u64,
    twice: bool,
    until_found: bool,
    shrinks: bool,
    sights: bool,
}

/// What came of all worlds so far.
#[derive(Default)]
struct Tally {
    worlds: u64,
    failed: u64,
    simulated: f64,
    events: u64,
    sights: Sights,
    /// The digests of all worlds in the order of their seeds, folded: one number for a whole run.
    digests: Vec<(u64, u128)>,
}

/// How long the simulation itself takes, which is nobody's decision.
struct Clock(
    #[expect(clippy::disallowed_types, reason = "how fast the simulation itself runs is nobody's decision")]
    std::time::Instant,
);

impl Clock {
    fn start() -> Clock {
        #[expect(clippy::disallowed_types, reason = "as above")]
        Clock(std::time::Instant::now())
    }

    fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let value = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let number = |flag: &str, default: u64| match value(flag) {
        None => Ok(default),
        Some(word) => word.parse().map_err(|_| format!("{flag} {word}: not a number")),
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let read = || -> Result<Ask, String> {
        Ok(Ask {
            seed: number("--seed", 0)?,
            worlds: number("--worlds", if has("--until-found") { u64::MAX >> 1 } else { 1000 })?,
            threads: number("--threads", cores)?.max(1),
            twice: has("--twice"),
            until_found: has("--until-found"),
            shrinks: !has("--no-shrink"),
            sights: !has("--quiet-sights"),
        })
    };
    let ask = match read() {
        Ok(ask) => ask,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    if has("--print") {
        print!("{}", draw(ask.seed));
        return ExitCode::SUCCESS;
    }
    let journal = has("--journal").then(|| value("--node").and_then(|word| word.parse().ok()));
    if let Some(path) = value("--plan") {
        return replay(path, journal);
    }
    if journal.is_some() {
        return show(&draw(ask.seed), journal);
    }
    if search(&ask) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the world of a file.
fn replay(path: &str, journal: Option<Option<u32>>) -> ExitCode {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let plan = text.and_then(|text| text.parse::<Plan>().map_err(|error| error.to_string()));
    match plan {
        Ok(plan) => show(&plan, journal),
        Err(why) => {
            eprintln!("{path}: {why}");
            ExitCode::from(2)
        }
    }
}

/// Runs one world, and prints what it said if that is wanted.
fn show(plan: &Plan, journal: Option<Option<u32>>) -> ExitCode {
    let verdict = run(plan, Run { journal });
    verdict.journal.iter().for_each(|line| println!("{line}"));
    println!("{verdict}{} events, digest {:032x}", verdict.events, verdict.digest);
    if verdict.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all worlds that are asked for; says whether all were clean.
fn search(ask: &Ask) -> bool {
    let (next, found) = (AtomicU64::new(ask.seed), AtomicBool::new(false));
    let end = ask.seed.saturating_add(ask.worlds);
    let (clock, cpu) = (Clock::start(), cpu_seconds());
    let (sender, receiver) = mpsc::channel();
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        for _ in 0..ask.threads {
            let (sender, next, found) = (sender.clone(), &next, &found);
            scope.spawn(move || {
                while !(ask.until_found && found.load(Ordering::Relaxed)) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let verdict = judge(seed, ask.twice);
                    if !verdict.is_clean() {
                        found.store(true, Ordering::Relaxed);
                    }
                    if sender.send(verdict).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut told = 0.0;
        for verdict in receiver {
            if !verdict.is_clean() {
                explain(ask, &verdict);
            }
            tally.add(&verdict);
            if clock.seconds() - told >= PROGRESS_EVERY {
                told = clock.seconds();
                eprintln!("{} worlds, {} failed; {told:.0} s", tally.worlds, tally.failed);
            }
        }
    });
    let again = if ask.twice { ", each twice" } else { "" };
    let (seconds, cpu) = (clock.seconds(), cpu_seconds() - cpu);
    println!("{} worlds from seed {}{again}: {} failed", tally.worlds, ask.seed, tally.failed);
    println!(
        "{:.1} hours simulated in {seconds:.1} s: {:.0} times as fast as life; {} events, {cpu:.1} s of processor time on {} threads",
        tally.simulated / 3600.0,
        tally.simulated / seconds.max(0.001),
        tally.events,
        ask.threads
    );
    println!("digest of all that was wanted: {:032x}", tally.digest());
    if ask.sights {
        print!("{}", tally.sights);
    }
    tally.failed == 0
}

/// Runs the world of a seed, once or twice.
fn judge(seed: u64, twice: bool) -> Verdict {
    let plan = draw(seed);
    let mut verdict = run(&plan, Run::default());
    if twice {
        let again = run(&plan, Run::default());
        if (again.digest, again.events) != (verdict.digest, verdict.events) {
            verdict.findings.push(sim::Finding {
                at: proto::Instant::ZERO,
                node: u32::MAX,
                checker: "sameness",
                text: format!("two runs differ: {} events, then {}", verdict.events, again.events),
            });
        }
    }
    verdict
}

/// Prints a failure so that it can be seen again: smaller if that is wanted, with its journal in a file.
fn explain(ask: &Ask, verdict: &Verdict) {
    print!("{verdict}");
    println!(
        "replay: cargo run --release -p gannet-sim --example fuzz -- --seed {} --worlds 1",
        verdict.seed
    );
    if !ask.shrinks {
        return;
    }
    let (plan, smaller) = shrink(&draw(verdict.seed), SHRINK_RUNS_MAX, |plan| run(plan, Run::default()));
    println!("shrunk to {} peers and {} faults:\n{plan}{smaller}", plan.peers.len(), plan.faults.len());
    let folder = std::env::temp_dir();
    let (text, trace) = (
        folder.join(format!("world-{}.txt", plan.seed)),
        folder.join(format!("world-{}.journal", plan.seed)),
    );
    let journal = run(&plan, Run { journal: Some(None) }).journal.join("\n");
    let written = std::fs::write(&text, plan.to_string()).and_then(|()| std::fs::write(&trace, journal));
    match written {
        Ok(()) => println!(
            "journal: {}\nreplay: cargo run --release -p gannet-sim --example fuzz -- --plan {}",
            trace.display(),
            text.display()
        ),
        Err(error) => println!("{}: {error}", folder.display()),
    }
}

impl Tally {
    fn add(&mut self, verdict: &Verdict) {
        self.worlds += 1;
        self.failed += u64::from(!verdict.is_clean());
        self.simulated += verdict.lasted.as_secs_f64();
        self.events += verdict.events;
        self.sights.add(&verdict.sights);
        self.digests.push((verdict.seed, verdict.digest));
    }

    /// One number for all worlds, whatever order they came in.
    fn digest(&mut self) -> u128 {
        self.digests.sort_unstable();
        self.digests
            .iter()
            .fold(0, |sum, (_, digest)| sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(*digest))
    }
}

/// Processor time of this process so far, as Linux tells in hundredths of seconds; 0 elsewhere.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

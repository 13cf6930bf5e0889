//! Runs many seeded worlds and says how they went: `cargo xtask worlds --hostile [--worlds N] [--seed N] [--threads N]`.
//!
//! `--hostile`: each world with its attackers and without; all honest peers must finish, nobody honest may be accused or
//! banned, and the median may take 1.5 times as long at most, in every single world. One that fails is printed at once with its
//! seed and replay command; how far it all is stands on standard error every ten seconds.
//! `--weather`: worlds in rough weather of each kind and all kinds together; all peers must finish, no law may be broken.
//! `--hostile --kind NAME`: all attackers are of this kind; `--attackers 'NAME ...'`: they are just these; `--journal NODE` tells
//! what one node of the first world heard and said. `--hostile --each-kind`: so many worlds for each kind of attacker alone, to see
//! which does most harm. `--dice N`: the same worlds meet other chances, to tell what is theirs from what was chance; `--chance`:
//! nobody attacks, and each world stands beside itself with other chances.

use sim::hostile::cast::{self, CAST};
use sim::hostile::swarm::{self, Attack, Comparison, SLOWDOWN_PERMILLE_MAX};
use sim::{catalogue, weather};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// What is kept of one world.
struct Row {
    seed: u64,
    slowdown: Option<u64>,
    peers: u64,
    attackers: Vec<&'static str>,
    events: u64,
    /// A law was broken, be it that somebody honest was accused.
    unlawful: bool,
    complaint: Option<String>,
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

/// How often it is said how far it all is, in seconds.
const PROGRESS_EVERY: f64 = 10.0;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| words.iter().any(|word| word == flag);
    for flag in
        ["--seed", "--worlds", "--threads", "--dice", "--journal"].into_iter().filter(|flag| has(flag))
    {
        if number(&words, flag).is_none() {
            eprintln!("{flag} wants a number");
            return ExitCode::from(2);
        }
    }
    let number = |flag: &str, default: u64| number(&words, flag).unwrap_or(default);
    let (first, count, dice) = (number("--seed", 0), number("--worlds", 1000), number("--dice", 0));
    let threads = number("--threads", std::thread::available_parallelism().map_or(1, |n| n.get() as u64));
    if has("--weather") {
        return if weather(first..first + count, threads) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if !has("--hostile") {
        eprintln!("usage: worlds --hostile | --weather [--worlds N] [--seed N] [--threads N]");
        return ExitCode::from(2);
    }
    if has("--each-kind") {
        return each_kind(first..first + count, threads);
    }
    let word = |flag: &str| words.iter().position(|word| word == flag).and_then(|at| words.get(at + 1));
    let kind = word("--kind").map(|name| cast::by_name(name).map(Attack::AllOf));
    let these = || word("--attackers").map(|names| Attack::by_names(names));
    let chance = has("--chance").then_some(Some(Attack::Nobody));
    let attack = match kind.or_else(these).or(chance) {
        None => Attack::Mixed,
        Some(Some(attack)) => attack,
        Some(None) => {
            let names: Vec<&str> = CAST.iter().map(|habit| habit.name).collect();
            eprintln!("which kind? one of: {}", names.join(" "));
            return ExitCode::from(2);
        }
    };
    if has("--journal") {
        let node = number("--journal", 0) as u32;
        let outcome = swarm::under(attack, first).dice(dice).journal(Some(node)).run();
        outcome.world.trace.journal().for_each(|line| println!("{line}"));
        return ExitCode::SUCCESS;
    }
    if hostile(first..first + count, threads, attack, dice) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What stands behind a flag, if it is a number.
fn number(words: &[String], flag: &str) -> Option<u64> {
    let place = words.iter().position(|word| word == flag)?;
    words.get(place + 1)?.parse().ok()
}

fn hostile(seeds: std::ops::Range<u64>, threads: u64, attack: Attack, dice: u64) -> bool {
    let clock = Clock::start();
    let rows = each(seeds, threads, |seed| row(&swarm::compare_with(seed, attack, dice)));
    let took = clock.seconds();
    let mut slowdowns: Vec<u64> = rows.iter().filter_map(|row| row.slowdown).collect();
    slowdowns.sort_unstable();
    let at = |permille: usize| match slowdowns.len() {
        0 => "none".to_string(),
        len => format!("{:.3}", slowdowns[(len - 1) * permille / 1000] as f64 / 1000.0),
    };
    let unlawful = rows.iter().filter(|row| row.unlawful).count();
    let slow = slowdowns.iter().filter(|&&slowdown| slowdown > SLOWDOWN_PERMILLE_MAX).count();
    let stuck = rows.len() - slowdowns.len();
    let attackers: usize = rows.iter().map(|row| row.attackers.len()).sum();
    let peers: u64 = rows.iter().map(|row| row.peers).sum();
    let twin = if attack == Attack::Nobody { "with other chances" } else { "without attackers" };
    println!(
        "{} worlds of {peers} peers, {attackers} of them attackers, each beside itself {twin}",
        rows.len()
    );
    println!("{stuck} worlds in which an honest peer did not finish");
    println!("{unlawful} worlds in which a law was broken, or an honest peer accused or banned");
    println!(
        "{slow} worlds in which the median took more than {:.1} times as long",
        SLOWDOWN_PERMILLE_MAX as f64 / 1000.0
    );
    println!(
        "median finish beside that {twin}: median {}, 90 % {}, 99 % {}, 99.9 % {}, worst {}",
        at(500),
        at(900),
        at(990),
        at(999),
        at(1000)
    );
    if attackers > 0 {
        by_kind(&rows);
    }
    let events: u64 = rows.iter().map(|row| row.events).sum();
    println!(
        "{took:.1} s, {:.2} worlds/s, {:.0} events/s on {threads} threads",
        rows.len() as f64 / took,
        events as f64 / took
    );
    rows.iter().all(|row| row.complaint.is_none())
}

/// A line for each kind of weather: when the median and the last peer of a world finish, beside calm weather.
fn weather(seeds: std::ops::Range<u64>, threads: u64) -> bool {
    let kinds: [catalogue::Entry; 6] = [
        ("calm", weather::calm),
        ("30 % of links lost a minute", weather::links),
        ("half behind NATs", weather::nat),
        ("disks hang for 5 s", weather::disks),
        ("clocks leap by minutes", weather::clocks),
        ("all of it", weather::all),
    ];
    let mut failed = 0;
    for (name, scenario) in kinds {
        let rows = each(seeds.clone(), threads, |seed| {
            let outcome = scenario(seed).run();
            Row {
                seed,
                slowdown: outcome.last_finish().map(|span| span.as_secs()),
                peers: outcome.world.nodes().len() as u64,
                attackers: Vec::new(),
                events: outcome.world.events(),
                unlawful: !outcome.world.findings().is_empty(),
                complaint: (!outcome.world.findings().is_empty()).then(|| outcome.verdict()),
            }
        });
        let mut last: Vec<u64> = rows.iter().filter_map(|row| row.slowdown).collect();
        last.sort_unstable();
        let bad = rows.iter().filter(|row| row.complaint.is_some()).count();
        failed += bad;
        println!(
            "{name:28} {} worlds, {bad} failed; last peer finished after {:?} s in the median, {:?} s at worst",
            rows.len(),
            last.get(last.len() / 2).copied().unwrap_or(0),
            last.last().copied().unwrap_or(0)
        );
    }
    failed == 0
}

/// A line for each kind of attacker: how slow worlds are in which all attackers are of this kind, and what else went wrong.
fn each_kind(seeds: std::ops::Range<u64>, threads: u64) -> ExitCode {
    let mut failed = 0;
    for habit in CAST {
        let rows = each(seeds.clone(), threads, |seed| row(&swarm::compare(seed, Attack::AllOf(habit))));
        let mut slowdowns: Vec<u64> = rows.iter().filter_map(|row| row.slowdown).collect();
        slowdowns.sort_unstable();
        let broken = rows.iter().filter(|row| row.complaint.is_some()).count();
        failed += broken;
        println!(
            "{:24} median {:?}, worst {:?}, {broken} of {} failed",
            habit.name,
            slowdowns.get(slowdowns.len() / 2),
            slowdowns.last(),
            rows.len()
        );
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How slow worlds are in which a kind of attacker stands: which kind hurts most.
fn by_kind(rows: &[Row]) {
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in rows {
        let Some(slowdown) = row.slowdown else { continue };
        for kind in &row.attackers {
            let (sum, count) = kinds.entry(kind).or_default();
            (*sum, *count) = (*sum + slowdown, *count + 1);
        }
    }
    let mut means: Vec<(u64, &str)> =
        kinds.into_iter().map(|(kind, (sum, count))| (sum / count.max(1), kind)).collect();
    means.sort_unstable_by(|a, b| b.cmp(a));
    let worst: Vec<String> = means.iter().take(8).map(|(mean, kind)| format!("{kind} {mean}")).collect();
    println!("slowest on average with: {}", worst.join(", "));
}

fn row(comparison: &Comparison) -> Row {
    Row {
        seed: comparison.seed,
        slowdown: comparison.slowdown_permille(),
        peers: comparison.attacked.world.nodes().len() as u64,
        attackers: comparison.attackers(),
        events: comparison.attacked.world.events() + comparison.alone.world.events(),
        unlawful: [&comparison.attacked, &comparison.alone]
            .iter()
            .any(|outcome| !outcome.world.findings().is_empty()),
        complaint: comparison.verdict(),
    }
}

/// Runs every seed on some threads; prints complaints as they come, and gives the rows in the order of the seeds.
fn each(seeds: std::ops::Range<u64>, threads: u64, run: impl Fn(u64) -> Row + Sync) -> Vec<Row> {
    let (next, end) = (AtomicU64::new(seeds.start), seeds.end);
    let (sender, receiver) = mpsc::channel();
    let clock = Clock::start();
    let mut rows: Vec<Row> = std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, next, run) = (sender.clone(), &next, &run);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || sender.send(run(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let (mut rows, mut told) = (Vec::new(), clock.seconds());
        for row in receiver {
            if let Some(complaint) = &row.complaint {
                println!("{complaint}");
            }
            rows.push(row);
            if clock.seconds() - told >= PROGRESS_EVERY {
                told = clock.seconds();
                progress(&rows, seeds.end - seeds.start, told);
            }
        }
        rows
    });
    rows.sort_by_key(|row: &Row| row.seed);
    rows
}

/// How far it is, on standard error.
fn progress(rows: &[Row], of: u64, seconds: f64) {
    let failed = rows.iter().filter(|row| row.complaint.is_some()).count();
    let left = seconds / rows.len() as f64 * of.saturating_sub(rows.len() as u64) as f64;
    eprintln!("{} of {of} worlds, {failed} failed; {seconds:.0} s, about {left:.0} s to go", rows.len());
}

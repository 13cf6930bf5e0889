//! Runs an experiment: `cargo run --release -p gannet-sim --example lab -- NAME [--peers N] [--size BYTES] [--seed N] [--seeds N]
//! [--threads N]`. Without a name, says which there are.
//!
//! The report is Markdown. Runs are shared out among threads, and come to the same whoever does them.

use sim::Figures;
use sim::lab::{Ask, EXPERIMENTS, Report, Run, Table, by_name};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let Some(experiment) = words.first().and_then(|name| by_name(name)) else {
        EXPERIMENTS.iter().for_each(|experiment| println!("{:14} {}", experiment.name, experiment.title));
        std::process::exit(2);
    };
    let plain = Ask::default();
    let ask = Ask {
        peers: number("--peers").map(|peers| peers as u32),
        size: number("--size"),
        seed: number("--seed").unwrap_or(plain.seed),
        seeds: number("--seeds").map_or(plain.seeds, |seeds| (seeds as u32).max(1)),
    };
    let threads = number("--threads").unwrap_or(2).max(1) as usize;
    #[expect(clippy::disallowed_types, reason = "how fast the simulation itself runs is nobody's decision")]
    let began = std::time::Instant::now();
    let mut events = 0;
    let report = (experiment.run)(&ask, &mut |runs| {
        let all = side_by_side(&runs, threads);
        events += all.iter().map(|figures| figures.events).sum::<u64>();
        all
    });
    println!("## {}: {}\n", experiment.name, experiment.title);
    show(&report);
    let took = began.elapsed();
    println!(
        "\n{events} events in {:.1} s on {threads} threads: {:.0} events/s.",
        took.as_secs_f64(),
        events as f64 / took.as_secs_f64()
    );
}

/// Carries runs out on so many threads; whoever is free takes the next one.
fn side_by_side(runs: &[Run], threads: usize) -> Vec<Figures> {
    let (next, (sender, receiver)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let Some((place, run)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    runs.get(place).map(|run| (place, run))
                } {
                    let figures = run.run().unwrap_or_else(|why| panic!("{}: {why}", run.swarm.name));
                    eprintln!(
                        "{} of {}: {} seed {} {:?}, ended at {:?}",
                        place + 1,
                        runs.len(),
                        run.swarm.name,
                        run.swarm.seed,
                        run.how,
                        figures.ended
                    );
                    for finding in figures.findings.iter().take(3) {
                        eprintln!("  {finding}");
                    }
                    // The receiver outlives all threads.
                    let _ = sender.send((place, figures));
                }
            });
        }
    });
    drop(sender);
    let mut all: Vec<(usize, Figures)> = receiver.iter().collect();
    all.sort_by_key(|&(place, _)| place);
    all.into_iter().map(|(_, figures)| figures).collect()
}

fn show(report: &Report) {
    for (name, value) in &report.setting {
        println!("* {name}: {value}");
    }
    report.tables.iter().for_each(table);
    println!();
    for verdict in &report.verdicts {
        let holds = match verdict.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "nothing is expected of this setting",
        };
        println!(
            "* {}: {}. Found {}: {holds}. ({})",
            verdict.bound.id, verdict.bound.says, verdict.found, verdict.bound.source
        );
    }
    println!("\n`{}`", report.command);
}

fn table(table: &Table) {
    println!("\n{}\n", table.title);
    println!("| {} |", table.heads.join(" | "));
    println!("|{}", "---|".repeat(table.heads.len()));
    table.rows.iter().for_each(|row| println!("| {} |", row.join(" | ")));
}

//! Shows a scenario again: `cargo run -p gannet-sim --example replay -- NAME [--seed N] [--node N] [--journal]`; or lives through
//! the recording of a real session once more: `... -- FILE [--journal]`.
//!
//! Prints what came of it, events per second, and the memory that a peer takes. With `--until M`, runs all seeds from N to
//! below M and prints only the verdicts that are not clean.

use sim::catalogue::{CATALOGUE, by_name};
use sim::recorded::{Step, replay};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    if let Some(file) = words.first().filter(|word| std::path::Path::new(word).is_file()) {
        return recording(file, words.iter().any(|word| word == "--journal"));
    }
    let Some(make) = words.first().and_then(|name| by_name(name)) else {
        let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.0).collect();
        eprintln!("which scenario? one of: {}", names.join(" "));
        std::process::exit(2);
    };
    if let Some(end) = number("--until") {
        return search(make, number("--seed").unwrap_or(0)..end);
    }
    let mut scenario = make(number("--seed").unwrap_or(1));
    let node = number("--node").map(|node| node as u32);
    if words.iter().any(|word| word == "--journal") {
        scenario = scenario.journal(node);
    }
    #[expect(clippy::disallowed_types, reason = "how fast the simulation itself runs is nobody's decision")]
    let began = std::time::Instant::now();
    let before = resident_bytes();
    let outcome = scenario.run();
    let (took, after) = (began.elapsed(), resident_bytes());
    let world = &outcome.world;
    for line in world.trace.journal() {
        println!("{line}");
    }
    for node in world.nodes() {
        let (down, up) = outcome.traffic(node.index);
        println!(
            "node {:2}: finished {:?}, {down} in, {up} out, {} wasted, {} pieces failed, banned {:?}",
            node.index,
            outcome.finish_of(node.index),
            outcome.wasted(node.index),
            node.story.pieces_failed,
            node.story.banned
        );
    }
    let bound = outcome.fluid_bound();
    println!("last finish {:?}, fluid bound {bound:?}", outcome.last_finish());
    let seconds = took.as_secs_f64();
    let (events, peers) = (world.events(), world.nodes().len().max(1) as u64);
    println!(
        "{events} events in {seconds:.2} s: {:.0} events/s; {} bytes per peer (growth of the resident set)",
        events as f64 / seconds,
        after.saturating_sub(before) / peers
    );
    println!("{}", outcome.verdict());
}

/// Lives through a recording; ends with 1 if it is not whole, or something else is said.
fn recording(file: &str, journal: bool) {
    let found = std::fs::read(file).map_err(|error| error.to_string()).and_then(|trace| {
        let mut look = |step: &Step| step.lines().filter(|_| journal).for_each(|line| println!("{line}"));
        replay(&trace, &mut look).map_err(|error| error.to_string())
    });
    match found {
        Ok(found) => {
            println!("{found}");
            std::process::exit(i32::from(!found.is_whole_and_same()));
        }
        Err(error) => {
            eprintln!("{file}: {error}");
            std::process::exit(1);
        }
    }
}

/// Runs many seeds.
fn search(make: fn(u64) -> sim::Scenario, seeds: std::ops::Range<u64>) {
    let (mut runs, mut bad) = (0, 0);
    for seed in seeds {
        let outcome = make(seed).run();
        runs += 1;
        if !outcome.world.findings().is_empty() {
            bad += 1;
            println!("{}", outcome.verdict());
        }
    }
    println!("{runs} runs, {bad} with findings");
}

/// What this process has in memory, as Linux tells; 0 elsewhere.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

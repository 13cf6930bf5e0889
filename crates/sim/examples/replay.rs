//! Shows a scenario again: `cargo run -p gannet-sim --example replay -- NAME [--seed N] [--node N] [--journal]`.
//!
//! Prints what came of it, events per second, and the memory that a peer takes.

use sim::catalogue::{CATALOGUE, by_name};
use std::time::Instant;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let Some(make) = words.first().and_then(|name| by_name(name)) else {
        let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.0).collect();
        eprintln!("which scenario? one of: {}", names.join(" "));
        std::process::exit(2);
    };
    let mut scenario = make(number("--seed").unwrap_or(1));
    let node = number("--node").map(|node| node as u32);
    if words.iter().any(|word| word == "--journal") {
        scenario = scenario.journal(node);
    }
    let (began, before) = (Instant::now(), resident_bytes());
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

/// What this process has in memory, as Linux tells; 0 elsewhere.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

//! The simulated half of `cargo xtask fidelity`, and the plan of the real one:
//! `cargo run --release -p gannet-sim --example fidelity -- WORLD [--size BYTES] [--seeds N] [--latency-ms N]`.
//!
//! Prints lines of words, for a program: the content, the members with what their links are shaped to, the bounds, and for each
//! seed when each leecher had everything.

use core::time::Duration;
use sim::lab::fidelity::{QUEUE, SIZE, WORLDS, World};
use sim::swarm::access::Mix;
use sim::{Access, Figures};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let name = words.first().map_or("", String::as_str);
    let Some(world) = World::by_name(name, number("--size").unwrap_or(SIZE)) else {
        eprintln!("which world? one of: {}", WORLDS.join(" "));
        std::process::exit(2);
    };
    println!("content {} {}", world.size, 256 << 10);
    println!("queue_ms {}", QUEUE.as_millis());
    for line in &world.lines {
        let role = match (line.seed, line.takes_only) {
            (true, _) => "seed",
            (false, true) => "rider",
            (false, false) => "leecher",
        };
        println!("member {role} {} {}", line.up, line.down);
    }
    if let Some(after) = world.seed_dies {
        println!("seed_dies_ms {}", after.as_millis());
    }
    println!("bound_ms {} {}", world.bound().as_millis(), world.bound_in_frames().as_millis());
    for seed in 1..=number("--seeds").unwrap_or(5) {
        let mut swarm = world.swarm(seed);
        if let Some(latency) = number("--latency-ms") {
            for group in &mut swarm.groups {
                let kinds: Vec<(Access, u32)> = group
                    .access
                    .kinds()
                    .map(|kind| (kind.latency(Duration::from_millis(latency)), 1))
                    .collect();
                group.access = Mix::of(&kinds);
            }
        }
        let outcome = swarm.run_messages();
        let figures = Figures::of(&swarm, &outcome);
        let took: Vec<String> = figures
            .wanting()
            .map(|row| row.took().map_or_else(|| "never".into(), |took| took.as_millis().to_string()))
            .collect();
        println!("run {seed} {} {}", figures.copies_permille(&swarm), took.join(" "));
        for finding in figures.findings.iter().take(3) {
            eprintln!("seed {seed}: {finding}");
        }
    }
}

//! A large swarm, and what it costs to run: `cargo run --release -p gannet-sim --example fleet -- [--peers N] [--pieces N]
//! [--links N] [--threads N] [--seed N]`.
//!
//! What is run is said in `sim::lab::scale`. Prints how far it is, and at the end pieces moved, events, time and bytes a peer.

use core::time::Duration;
use sim::crew::{Crew, Job};
use sim::lab::scale::{Cost, Size, Standing};

/// As many threads as said.
struct Threads(usize);

impl Crew for Threads {
    fn run(&self, jobs: Vec<Job<'_>>) {
        let mut piles: Vec<Vec<Job<'_>>> = (0..self.0).map(|_| Vec::new()).collect();
        jobs.into_iter().enumerate().for_each(|(place, job)| piles[place % self.0].push(job));
        // One pile is this thread's own: with one there is nobody to wait for.
        let own = piles.pop();
        std::thread::scope(|scope| {
            for pile in piles {
                scope.spawn(|| pile.into_iter().for_each(|job| job()));
            }
            own.into_iter().flatten().for_each(|job| job());
        });
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, usual: u64| {
        let place = words.iter().position(|word| word == flag);
        place.and_then(|place| words.get(place + 1)?.parse().ok()).unwrap_or(usual)
    };
    let usual = Size::default();
    let size = Size {
        peers: number("--peers", usual.peers.into()) as u32,
        pieces: number("--pieces", usual.pieces.into()) as u32,
        links: number("--links", usual.links.into()) as u32,
        seed: number("--seed", usual.seed),
    };
    let threads = number("--threads", 2).max(1) as usize;
    let before = resident_bytes();
    #[expect(clippy::disallowed_types, reason = "how fast the simulation itself runs is nobody's decision")]
    let began = std::time::Instant::now();
    let (mut told, mut most) = (Duration::ZERO, 0);
    let mut tell = |standing: &Standing| {
        most = most.max(resident_bytes());
        let took = began.elapsed();
        if took >= told + Duration::from_secs(5) {
            told = took;
            eprintln!(
                "{:4} s: {:?} in the world, {} of {} pieces, {} finished, {} events, {} MiB",
                took.as_secs(),
                standing.now,
                standing.pieces,
                standing.wanted,
                standing.finished,
                standing.events,
                most >> 20
            );
        }
    };
    let outcome = match size.run(threads, &Threads(threads), &mut tell) {
        Ok(outcome) => outcome,
        Err(why) => return eprintln!("{why}"),
    };
    let cost = Cost { took: began.elapsed(), memory: most.saturating_sub(before) };
    println!("{} peers x {} pieces, {} links, {threads} threads", size.peers, size.pieces, size.links);
    for (name, value) in outcome.rows(&cost) {
        println!("{name:16} {value}");
    }
    outcome.figures.findings.iter().take(9).for_each(|finding| println!("{finding}"));
}

/// Memory that the process takes, in bytes; 0 where that cannot be read.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

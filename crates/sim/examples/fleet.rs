//! A large swarm, and what it costs to run: `cargo run --release -p gannet-sim --example fleet -- [--peers N] [--pieces N]
//! [--links N] [--named N] [--threads N] [--up MBIT] [--seed N]`.
//!
//! One seed with ten times a peer's uplink; pieces of 256 KiB, each one block; cable links, all at once. Prints pieces moved, events,
//! time and bytes a peer.

use core::time::Duration;
use proto::Instant;
use sim::crew::{Crew, Job};
use sim::{Access, Fleet, Group, Shape, Swarm};

/// As many threads as said.
struct Threads(usize);

impl Crew for Threads {
    fn run(&self, jobs: Vec<Job<'_>>) {
        let mut piles: Vec<Vec<Job<'_>>> = (0..self.0).map(|_| Vec::new()).collect();
        jobs.into_iter().enumerate().for_each(|(place, job)| piles[place % self.0].push(job));
        std::thread::scope(|scope| {
            for pile in piles {
                scope.spawn(|| pile.into_iter().for_each(|job| job()));
            }
        });
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, usual: u64| {
        let place = words.iter().position(|word| word == flag);
        place.and_then(|place| words.get(place + 1)?.parse().ok()).unwrap_or(usual)
    };
    let (peers, pieces, links) = (number("--peers", 1000), number("--pieces", 256), number("--links", 20));
    let (threads, rate) = (number("--threads", 2) as usize, number("--up", 20) * 125_000);
    let piece_len = 256 << 10;
    let content = Shape { total: pieces * u64::from(piece_len), piece_len, block_len: piece_len };
    let latency = Duration::from_millis(25);
    let mut group = Group::leechers(peers as u32, Access::new(rate, 5 * rate).latency(latency));
    group.config.links_per_torrent = links as u32;
    group.config.spill_after = Duration::from_secs(3600);
    let mut origin = Group::seeds(1, Access::new(10 * rate, 10 * rate).latency(latency));
    origin.config.links_per_torrent = links as u32;
    let mut swarm = Swarm::new("fleet", content, number("--seed", 1)).group(origin).group(group);
    swarm.private = true;
    swarm.named_max = number("--named", links + 10) as u32;
    let before = resident_bytes();
    #[expect(clippy::disallowed_types, reason = "how fast the simulation itself runs is nobody's decision")]
    let began = std::time::Instant::now();
    let mut fleet = match Fleet::new(&swarm, threads) {
        Ok(fleet) => fleet,
        Err(why) => return eprintln!("{why}"),
    };
    let crew = Threads(threads);
    let (end, mut most) = (Instant::ZERO + swarm.within, 0);
    while fleet.now() < end && !fleet.is_done() {
        let next = fleet.now() + Duration::from_secs(5);
        fleet.run_until(next, &crew);
        most = most.max(resident_bytes());
        println!("{:?}: {} pieces, {:?}", fleet.now(), fleet.pieces(), began.elapsed());
    }
    let (took, figures) = (began.elapsed(), fleet.figures());
    println!(
        "{peers} peers x {pieces} pieces, {links} links, {threads} threads, windows of {:?}: last {:?}, median {:?}, bound {:?}",
        fleet.window(),
        figures.last(),
        figures.median(),
        swarm.bound()
    );
    println!(
        "{} finished, {} pieces, {} events in {took:?}: {} events/s; {} bytes a peer; origin {} copies; {} wasted; {:x}; {:?}",
        figures.finished(),
        fleet.pieces(),
        figures.events,
        (figures.events as f64 / took.as_secs_f64()) as u64,
        most.saturating_sub(before) / (peers + 1),
        figures.copies_permille(&swarm) as f64 / 1000.0,
        figures.wasted,
        figures.digest,
        figures.findings,
    );
}

/// Memory that the process takes, in bytes; 0 where that cannot be read.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}

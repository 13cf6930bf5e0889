//! How much of each uplink is used while the shaped swarm runs, message by message, and what the origin does meanwhile:
//! `cargo run --release -p gannet-sim --example uplinks -- [--seed N] [--never] [--slots N] [--peers N] [--size BYTES] [--times N]`.
//!
//! One line for each second: what part of its uplink the origin used, and the least, the mean and the most that the others did,
//! in percent; how many pieces the poorest, the middle one and the richest have; how many different pieces are outside the origin;
//! how many copies left the origin so far. `--never`: it does not show its pieces one by one; `--times`: so many times the uplink
//! of one of the others.

use proto::Instant;
use proto::config::SuperSeeding;
use sim::{Access, Group, Shape, Swarm, World};
use std::time::Duration;

const UP: u64 = 2_500_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str| {
        let place = words.iter().position(|word| word == flag)?;
        words.get(place + 1)?.parse::<u64>().ok()
    };
    let total = number("--size").unwrap_or(64 << 20);
    let content = Shape { total, piece_len: 256 << 10, block_len: 16 << 10 };
    let times = number("--times").unwrap_or(1).max(1);
    let mut origin = Group::seeds(1, Access::new(times * UP, 5 * times * UP));
    if words.iter().any(|word| word == "--never") {
        origin.config.super_seeding = SuperSeeding::Never;
    }
    let mut leechers = Group::leechers(number("--peers").unwrap_or(10) as u32, Access::new(UP, 5 * UP));
    if let Some(slots) = number("--slots") {
        (origin.lease.unchoke_slots, leechers.lease.unchoke_slots) = (slots as u32, slots as u32);
    }
    let swarm = Swarm::new("uplinks", content, number("--seed").unwrap_or(1)).group(origin).group(leechers);
    println!("the bound is {:?}", swarm.bound());
    println!("second | origin | others: least mean most | pieces: least median most, different | copies");
    let mut world = swarm.scenario().build();
    let mut before = sent(&world);
    for second in 1..600 {
        world.run_until(Instant::from_micros(second * 1_000_000));
        let after = sent(&world);
        let used: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        let mut others: Vec<u64> = used[1..].iter().map(|bytes| bytes * 100 / UP).collect();
        others.sort_unstable();
        let mean = others.iter().sum::<u64>() / others.len() as u64;
        let (mut have, different) = pieces(&world);
        have.sort_unstable();
        println!(
            "{second:3} | {:3} | {:3} {mean:3} {:3} | {:4} {:4} {:4}, {different:4} | {:.3}",
            used[0] * 100 / (times * UP),
            others[0],
            others[others.len() - 1],
            have[0],
            have[have.len() / 2],
            have[have.len() - 1],
            after[0] as f64 / total as f64
        );
        before = after;
        if world.nodes().iter().skip(1).all(|node| node.story.finished.is_some()) {
            break;
        }
    }
    let mut ends: Vec<Duration> = world
        .nodes()
        .iter()
        .skip(1)
        .filter_map(|node| node.story.finished)
        .map(|at| at.since(Instant::ZERO))
        .collect();
    ends.sort_unstable();
    println!("finished: {ends:?}");
}

/// Payload that each node sent so far, as far as it arrived.
fn sent(world: &World) -> Vec<u64> {
    let mut sent = vec![0; world.nodes().len()];
    for (&(from, _), &bytes) in &world.network().sent {
        sent[from as usize] += bytes;
    }
    sent
}

/// How many pieces each of the others has, and how many they have together.
fn pieces(world: &World) -> (Vec<usize>, usize) {
    let total = world.content(0).metainfo().layout.pieces();
    let mut all = vec![false; total as usize];
    let mut have = Vec::new();
    for node in world.nodes().iter().skip(1) {
        let Some(session) = node.session() else { continue };
        let Some(held) = session.torrents().next().and_then(|torrent| session.have(torrent)) else {
            continue;
        };
        have.push(held.iter().count());
        held.iter().for_each(|piece| all[piece.as_usize()] = true);
    }
    (have, all.into_iter().filter(|&has| has).count())
}

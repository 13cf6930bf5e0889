//! The simulated half: an example of the simulator, and the lines that it prints.

use super::Times;
use crate::lab::process::output;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::str::SplitWhitespace;
use std::time::Duration;

/// What builds it.
pub(super) const BUILD: &[&str] =
    &["build", "--release", "--quiet", "--package", "gannet-sim", "--example", "fidelity"];

/// A world as both halves live through it.
pub(super) struct World {
    pub(super) name: String,
    pub(super) members: Vec<Member>,
    /// Bytes of the content, and of a piece.
    pub(super) size: u64,
    pub(super) piece_len: u32,
    /// How long a frame waits at most before it is let out.
    pub(super) queue: Duration,
    /// When the seed is killed.
    pub(super) seed_dies: Option<Duration>,
    /// In seconds, without headers of frames and with them.
    pub(super) bounds: [f64; 2],
}

/// One who takes part; rates in Mbit/s.
pub(super) struct Member {
    pub(super) role: Role,
    pub(super) up: u64,
    pub(super) down: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Seed,
    Leecher,
    /// Who takes and does not give.
    Rider,
}

/// Simulates a world; says what it is, and what came of it.
pub(super) fn run(name: &str, size: u64) -> Result<(World, Times)> {
    let program = crate::root().join("target/release/examples/fidelity");
    let mut command = Command::new(program);
    let text = output(command.args([name, "--size", &size.to_string()]))?;
    let mut world = World {
        name: name.into(),
        members: Vec::new(),
        size,
        piece_len: 0,
        queue: Duration::ZERO,
        seed_dies: None,
        bounds: [0.0; 2],
    };
    let mut times = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("content") => {
                (world.size, world.piece_len) = (number(&mut words)?, u32::try_from(number(&mut words)?)?);
            }
            Some("queue_ms") => world.queue = Duration::from_millis(number(&mut words)?),
            Some("member") => world.members.push(member(&mut words)?),
            Some("seed_dies_ms") => world.seed_dies = Some(Duration::from_millis(number(&mut words)?)),
            Some("bound_ms") => {
                for bound in &mut world.bounds {
                    *bound = number(&mut words)? as f64 / 1e3;
                }
            }
            Some("run") => {
                // The seed of its chance, and the copies that left the origin.
                let moments = words.skip(2).map(|word| word.parse().ok().map(|ms: f64| ms / 1e3));
                times.push(moments.collect());
            }
            _ => bail!("the simulator says: {line}"),
        }
    }
    Ok((world, Times(times)))
}

fn member(words: &mut SplitWhitespace<'_>) -> Result<Member> {
    let role = match words.next() {
        Some("seed") => Role::Seed,
        Some("leecher") => Role::Leecher,
        Some("rider") => Role::Rider,
        other => bail!("what is {other:?}?"),
    };
    Ok(Member { role, up: number(words)?, down: number(words)? })
}

fn number(words: &mut SplitWhitespace<'_>) -> Result<u64> {
    Ok(words.next().context("a number is missing")?.parse()?)
}

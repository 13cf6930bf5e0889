//! Gannet against clients that we did not write, in a network of our own: `cargo xtask interop [case...]`.
//!
//! Most of a case's time is waiting, for trackers, limits and protocol clocks; so cases run side by side, each on hosts of its
//! own. Those that are judged by the clock or keep the processors busy run alone, after the others.

mod aria2;
mod browsers;
mod client;
mod content;
mod corrupt;
mod dht;
mod encryption;
mod everyday;
mod http;
mod local;
mod magnet;
mod own_tracker;
mod pex;
mod private_tracker;
mod scrape;
mod super_seeding;
mod swarm;
mod tracker;
mod transfers;
mod transmission;
mod web_seeds;

pub(crate) use client::{Client, Kind, Role};
pub(crate) use content::{Content, Shared, gannet, info_hash_of};

use crate::lab::{self, Lab};
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

/// Cases that run side by side: three times as many as the machine of the suite has processors, for they wait more than they work.
const SIDE_BY_SIDE: usize = 6;

/// A test by name, run in a folder of its own.
struct Case {
    name: String,
    alone: bool,
    run: Box<Run>,
}

/// What a case does; it returns its figures.
type Run = dyn Fn(&Lab, &Path) -> Result<String> + Send + Sync;

/// Cases of one kind, for the table of times.
struct Group {
    name: &'static str,
    cases: Vec<Case>,
}

/// How a case ended.
struct Ended {
    group: &'static str,
    seconds: f64,
    passed: bool,
}

impl Case {
    /// A case that minds nobody.
    fn new(
        name: impl Into<String>,
        run: impl Fn(&Lab, &Path) -> Result<String> + Send + Sync + 'static,
    ) -> Case {
        Case { name: name.into(), alone: false, run: Box::new(run) }
    }

    /// The same, with the machine to itself.
    fn alone(self) -> Case {
        Case { alone: true, ..self }
    }
}

/// Runs all cases, or those whose names contain one of the words; ends with what each group took and a line of counts.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    lab::enter()?;
    let lab = Lab::new()?;
    let began = Instant::now();
    let mut groups = groups();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    groups.iter_mut().for_each(|group| group.cases.retain(|case| wanted(&case.name)));
    let all = || groups.iter().flat_map(|group| group.cases.iter().map(|case| (group.name, case)));
    let ended = Mutex::new(Vec::new());
    let side_by_side = Mutex::new(all().filter(|(_, case)| !case.alone));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((group, case)) = next(&side_by_side) {
                    conduct(&lab, group, case, &ended);
                }
            });
        }
    });
    for (group, case) in all().filter(|(_, case)| case.alone) {
        conduct(&lab, group, case, &ended);
    }
    let ended = ended.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    conclude(&ended, began.elapsed().as_secs_f64())
}

fn next<T>(rest: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    rest.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next()
}

/// Runs one case and tells how it went.
fn conduct(lab: &Lab, group: &'static str, case: &Case, ended: &Mutex<Vec<Ended>>) {
    let began = Instant::now();
    let outcome = scratch(&case.name).and_then(|dir| {
        let outcome = (case.run)(lab, &dir);
        match &outcome {
            Ok(_) => fs::remove_dir_all(&dir)?,
            Err(error) => println!("FAIL  {}: {error:#}\n      its files: {}", case.name, dir.display()),
        }
        outcome
    });
    let seconds = began.elapsed().as_secs_f64();
    if let Ok(figures) = &outcome {
        println!("ok    {:<58} {seconds:>6.1} s  {figures}", case.name);
    }
    let row = Ended { group, seconds, passed: outcome.is_ok() };
    ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(row);
}

fn conclude(ended: &[Ended], took: f64) -> Result<()> {
    for Group { name, .. } in groups() {
        let of_group = ended.iter().filter(|row| row.group == name);
        let (count, sum) = of_group.fold((0, 0.0), |(count, sum), row| (count + 1, sum + row.seconds));
        if count > 0 {
            println!("      {name:<16} {count:>3} cases, {sum:>6.1} s of their own");
        }
    }
    let failed = ended.iter().filter(|row| !row.passed).count();
    println!("interop: {} passed, {failed} failed, {took:.0} s", ended.len() - failed);
    if failed > 0 || ended.is_empty() {
        bail!("interop: {failed} of {} cases failed", ended.len());
    }
    Ok(())
}

fn groups() -> Vec<Group> {
    let group = |name, cases| Group { name, cases };
    vec![
        group("transfers", transfers::cases()),
        group("mixed swarms", swarm::cases()),
        group("corruption", corrupt::cases()),
        group("encryption", encryption::cases()),
        group("magnet", magnet::cases()),
        group("local discovery", local::cases()),
        group("DHT", dht::cases()),
        group("peer exchange", pex::cases()),
        group("super-seeding", super_seeding::cases()),
        group("everyday", everyday::cases()),
        group("web seeds", web_seeds::cases()),
        group("scrape", scrape::cases()),
        group("own tracker", own_tracker::cases()),
        group("browsers", browsers::cases()),
        group("private tracker", private_tracker::cases()),
    ]
}

/// A fresh folder for a case. Under the system's temporary folder, for what real clients write is large and short-lived.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let safe: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let dir = std::env::temp_dir().join("gannet-interop").join(safe);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

//! Gannet against clients that we did not write, in a network of our own: `cargo xtask interop [case...]`.

mod aria2;
mod client;
mod content;
mod corrupt;
mod encryption;
mod everyday;
mod http;
mod swarm;
mod tracker;
mod transfers;
mod transmission;
mod web_seeds;

pub(crate) use client::{Client, Kind, Role};
pub(crate) use content::{Content, Shared, gannet};

use crate::lab::{self, Lab};
use anyhow::{Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A test by name, run in a folder of its own.
type Case = (String, Box<dyn Fn(&mut Lab, &Path) -> Result<String>>);

/// Runs all cases, or those whose names contain one of the words; ends with a line of counts.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    lab::enter()?;
    let mut lab = Lab::new()?;
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases() {
        if !words.is_empty() && !words.iter().any(|word| name.contains(word)) {
            continue;
        }
        let dir = scratch(&name)?;
        let began = Instant::now();
        match case(&mut lab, &dir) {
            Ok(figures) => {
                println!("ok    {name:<58} {:>6.1} s  {figures}", began.elapsed().as_secs_f64());
                fs::remove_dir_all(&dir)?;
                passed += 1;
            }
            Err(error) => {
                println!("FAIL  {name}: {error:#}\n      its files: {}", dir.display());
                failed += 1;
            }
        }
    }
    println!("interop: {passed} passed, {failed} failed");
    if failed > 0 || passed == 0 {
        bail!("interop: {failed} of {} cases failed", passed + failed);
    }
    Ok(())
}

fn cases() -> Vec<Case> {
    let mut cases = transfers::cases();
    cases.extend(swarm::cases());
    cases.extend(corrupt::cases());
    cases.extend(encryption::cases());
    cases.extend(everyday::cases());
    cases.extend(web_seeds::cases());
    cases
}

/// A fresh folder for a case. Under the system's temporary folder, for what real clients write is large and short-lived.
pub(crate) fn scratch(name: &str) -> Result<PathBuf> {
    let safe: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let dir = std::env::temp_dir().join("gannet-interop").join(safe);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

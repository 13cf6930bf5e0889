//! Everything that must pass, in one command: `cargo xtask test`.

use crate::lab::BUILD_PROGRAMS;
use crate::lab::process::output;
use crate::{peers, root};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Instant;

/// Sets up the peers, then runs the suites: those of cargo, full and vanishing disks, a short run of each fuzz target, real clients, sharing
/// at home, a tracker in bad company, kills.
pub(crate) fn run() -> Result<()> {
    peers::set_up()?;
    step(
        "tests of the workspace",
        &["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--quiet"],
    )?;
    // Needs root, as the real clients do: the tests mount file systems of their own.
    let mounts = &["test", "--package", "gannet", "--features", "mount-tests", "--lib", "--quiet", "mounted"];
    step("disks that are full, read-only or gone", mounts)?;
    step("examples in the documentation", &["test", "--workspace", "--doc", "--quiet"])?;
    step("the programs", BUILD_PROGRAMS)?;
    step(
        "the demonstration",
        &["run", "--release", "--quiet", "--package", "gannet-cli", "--", "demo", "--plain"],
    )?;
    step(
        "worlds of chance, twice",
        &["xtask", "worlds", "--drawn", "--worlds", "1000", "--twice", "--quiet-sights"],
    )?;
    step("fuzz targets, briefly", &["xtask", "fuzz", "--all", "--seconds", "5"])?;
    step("real clients", &["xtask", "interop"])?;
    step("share and receive at home", &["xtask", "home", "--small"])?;
    step("hostile links", &["xtask", "hostile"])?;
    // Its other parts measure: they want a machine that has nothing else to do.
    let robust = &["xtask", "flood", "--small", "forge", "http", "hashes", "restart"];
    step("a tracker in bad company", robust)?;
    step("a kill loses nothing", &["xtask", "kill", "--kills", "100"])?;
    let head = output(Command::new("git").arg("-C").arg(root()).args(["rev-parse", "--short", "HEAD"]));
    println!("all suites passed at {}", head.as_deref().unwrap_or("a tree without git").trim());
    Ok(())
}

fn step(what: &str, args: &[&str]) -> Result<()> {
    println!("== {what}: cargo {}", args.join(" "));
    let began = Instant::now();
    let status = Command::new("cargo").args(args).current_dir(root()).status().context("cargo")?;
    ensure!(status.success(), "{what}: failed ({status}); again with: cargo {}", args.join(" "));
    println!("== {what}: {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

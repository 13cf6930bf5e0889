//! The net itself is tested: bugs are planted, one at a time, and worlds of chance must find each.
//! `cargo xtask planted [NAME...] [--seeds N] [--list]`.
//!
//! A planted bug is a patch in `xtask/planted`, whose first line says what it does. Each is applied to a copy of the tree (a work tree of git
//! under `target/`), the simulator is built there, and seeds are run from 0 until one fails. Found in time or not, the copy is as before.

use crate::lab::process::output;
use crate::root;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each must be found within so many seeds.
const SEEDS: u64 = 2000;

/// A bug to plant.
struct Bug {
    name: String,
    /// What it does.
    about: String,
    patch: PathBuf,
}

/// What is asked for.
struct Options<'a> {
    names: Vec<&'a str>,
    seeds: u64,
    list: bool,
}

/// Plants bugs and says which worlds find them.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let Options { names, seeds, list } = options(args)?;
    let bugs = bugs()?;
    if let Some(name) = names.iter().find(|name| bugs.iter().all(|bug| bug.name != **name)) {
        bail!("no such bug: {name}; `cargo xtask planted --list` names them");
    }
    if list {
        bugs.iter().for_each(|bug| println!("{:28} {}", bug.name, bug.about));
        return Ok(());
    }
    let tree = copy()?;
    let mut missed = Vec::new();
    let chosen = bugs.iter().filter(|bug| names.is_empty() || names.contains(&bug.name.as_str()));
    for bug in chosen {
        git(&tree, &["apply", &bug.patch.display().to_string()])?;
        let found = hunt(&tree, seeds).with_context(|| bug.name.clone());
        git(&tree, &["checkout", "--quiet", "--", "."])?;
        match found? {
            Some(found) => println!("{:28} {found}", bug.name),
            None => {
                println!("{:28} not found in {seeds} seeds: {}", bug.name, bug.about);
                missed.push(bug.name.as_str());
            }
        }
    }
    ensure!(missed.is_empty(), "not found: {}", missed.join(" "));
    Ok(())
}

fn options<'a>(args: &[&'a str]) -> Result<Options<'a>> {
    let mut options = Options { names: Vec::new(), seeds: SEEDS, list: false };
    let mut words = args.iter();
    while let Some(&word) = words.next() {
        match word {
            "--seeds" => options.seeds = words.next().context("--seeds: how many?")?.parse()?,
            "--list" => options.list = true,
            flag if flag.starts_with('-') => bail!("no such option: {flag}"),
            name => options.names.push(name),
        }
    }
    Ok(options)
}

/// All patches, by name.
fn bugs() -> Result<Vec<Bug>> {
    let folder = root().join("xtask/planted");
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut bugs = Vec::new();
    for entry in entries {
        let patch = entry?.path();
        let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&patch).with_context(|| patch.display().to_string())?;
        let about = text.lines().next().unwrap_or_default().to_string();
        bugs.push(Bug { name, about, patch });
    }
    bugs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(bugs)
}

/// A copy of the tree as it was committed last. One that is there from before is brought to that.
fn copy() -> Result<PathBuf> {
    let tree = root().join("target/planted");
    if tree.join("Cargo.toml").exists() {
        let head = output(Command::new("git").arg("-C").arg(root()).args(["rev-parse", "HEAD"]))?;
        git(&tree, &["checkout", "--quiet", "--force", "--detach", head.trim()])?;
    } else {
        git(&root(), &["worktree", "prune"])?;
        git(&root(), &["worktree", "add", "--quiet", "--detach", &tree.display().to_string(), "HEAD"])?;
    }
    Ok(tree)
}

/// Builds the simulator of a tree and runs seeds until one fails; says which, how many before it, and before which checker.
fn hunt(tree: &Path, seeds: u64) -> Result<Option<String>> {
    let cargo = ["build", "--release", "--quiet", "--package", "gannet-sim", "--example", "fuzz"];
    // The same folder for what is built, so that what the crates depend on is not built again.
    let target = root().join("target");
    let built = Command::new("cargo")
        .args(cargo)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_INCREMENTAL", "1")
        .current_dir(tree)
        .status()
        .context("cargo")?;
    ensure!(built.success(), "does not build with this bug");
    let words = ["--until-found", "--no-shrink", "--quiet-sights", "--worlds", &seeds.to_string()];
    let ran = Command::new(target.join("release/examples/fuzz")).args(words).output().context("fuzz")?;
    let (said, complaint) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    Ok(verdict(&said, &complaint))
}

/// What a run says of its first failure.
fn verdict(said: &str, complaint: &str) -> Option<String> {
    let seed = said.lines().find_map(|line| line.strip_prefix("seed ")?.split(':').next());
    let finding = said.lines().find(|line| line.starts_with("  ") && line.contains('['));
    match (seed, finding) {
        (Some(seed), Some(finding)) => Some(format!("seed {seed}: {}", finding.trim())),
        // A machine that panics was found out, too.
        _ => complaint.lines().find(|line| line.contains("panicked")).map(|line| line.trim().to_string()),
    }
}

fn git(at: &Path, args: &[&str]) -> Result<()> {
    let status = Command::new("git").arg("-C").arg(at).args(args).status().context("git")?;
    ensure!(status.success(), "git {}: {status}", args.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_bug_says_what_it_does_and_still_applies() {
        let bugs = bugs().unwrap();
        assert!(bugs.len() >= 20, "only {} bugs", bugs.len());
        for Bug { name, about, patch } in bugs {
            assert!(
                about.ends_with('.') && !about.starts_with("diff"),
                "{name}: its first line says what it does"
            );
            let check =
                Command::new("git").arg("-C").arg(root()).args(["apply", "--check"]).arg(&patch).output();
            let check = check.unwrap();
            assert!(check.status.success(), "{name}: {}", String::from_utf8_lossy(&check.stderr));
        }
    }

    #[test]
    fn what_found_a_bug_is_read_from_what_is_said() {
        let said = "seed 7: failed after 2s\n  2.000000s node 3 [audit] links: says 3, is 2\nreplay: ...\n";
        assert_eq!(verdict(said, "").unwrap(), "seed 7: 2.000000s node 3 [audit] links: says 3, is 2");
        assert_eq!(verdict("2000 worlds from seed 0: 0 failed\n", "1000 worlds, 0 failed; 10 s\n"), None);
        assert_eq!(
            verdict("", "thread '3' panicked at x.rs:1:\nno").unwrap(),
            "thread '3' panicked at x.rs:1:"
        );
    }
}

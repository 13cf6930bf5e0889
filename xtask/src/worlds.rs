//! Many simulated worlds in one command: `cargo xtask worlds ...` for swarms, `cargo xtask lookups ...` for the DHT. The worlds are the simulator's; this only starts them, as
//! a release, since thousands of them are wanted.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Builds the simulator and runs one of its examples with these words.
pub(crate) fn run(example: &str, words: &[&str]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--package", "gannet-sim", "--example", example, "--"])
        .args(words)
        .current_dir(crate::root())
        .status()
        .context("cargo")?;
    ensure!(status.success(), "{example}: some failed ({status}); what to repeat is above");
    Ok(())
}

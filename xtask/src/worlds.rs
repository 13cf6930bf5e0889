//! Many simulated worlds in one command: `cargo xtask worlds ...`. The worlds are the simulator's; this only starts them, as
//! a release, since thousands of them are wanted.

use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Builds the simulator and runs its example `worlds` with these words.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let status = Command::new("cargo")
        .args(["run", "--release", "--quiet", "--package", "gannet-sim", "--example", "worlds", "--"])
        .args(words)
        .current_dir(crate::root())
        .status()
        .context("cargo")?;
    ensure!(status.success(), "worlds: some failed ({status}); their seeds and replay commands are above");
    Ok(())
}

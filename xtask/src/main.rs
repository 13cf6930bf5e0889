//! Chores of this repository, run as `cargo xtask <chore>`. Only dispatch here: each chore is a module.

mod tidy;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Chores of the Gannet repository.

Usage: cargo xtask <chore>

  tidy     check what compilers do not: headers, import arrows, sizes, banned names
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["help" | "-h" | "--help"] => print!("{HELP}"),
        ["tidy"] => tidy::run()?,
        other => bail!("no such chore: {}\n\n{HELP}", other.join(" ")),
    }
    Ok(())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

//! `gannet share` and `gannet receive` at home: `cargo xtask home [part...] [--small] [--gib N] [--program FILE]`.
//!
//! Each part runs both programs, as users run them, on hosts of the lab, and holds figures against what they must be. At the end
//! there is a table; the command fails if one line of it does not hold, or if a part could not be carried out. Parts run one after
//! the other: they are judged by the clock. What they write is gone afterwards, however the run ends (`lab::enter_with`).

mod addresses;
mod content;
mod figures;
mod leave;
mod page;
mod rate;
mod secrecy;
mod sides;
mod three;

use crate::interop::gannet;
use crate::lab::{self, Lab};
use anyhow::{Context, Result, bail, ensure};
use figures::Figures;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What a part needs to know.
struct Home {
    lab: Lab,
    /// For what it writes; empty, and emptied afterwards.
    dir: PathBuf,
    /// What is tested.
    program: PathBuf,
    /// The short form, for every run of the suite.
    small: bool,
    /// Bytes of the large transfer, if the command line says so.
    size: Option<u64>,
}

type Part = fn(&Home, &mut Figures) -> Result<()>;

const PARTS: &[(&str, Part)] = &[
    ("rate", rate::run),
    ("three", three::run),
    ("addresses", addresses::run),
    ("page", page::run),
    ("leave", leave::run),
    ("secrecy", secrecy::run),
];

/// Runs the parts that are named, or all, and prints the table.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    // Known before the private namespaces, and within: the sweeper must know it too.
    let dir = std::env::temp_dir().join("gannet-home");
    let (parts, small, size, program) = options(args)?;
    if !lab::enter_with(&dir, program == gannet())? {
        return Ok(());
    }
    let _ = fs::remove_dir_all(&dir);
    let home = Home { lab: Lab::new()?, dir: dir.clone(), program, small, size };
    let mut all = Figures::default();
    for (name, part) in PARTS.iter().filter(|(name, _)| parts.is_empty() || parts.contains(name)) {
        fs::create_dir_all(&dir)?;
        let began = Instant::now();
        let mut figures = Figures::of(name);
        if let Err(error) = part(&home, &mut figures) {
            figures.failed(&error);
        }
        println!("== {name}: {:.0} s", began.elapsed().as_secs_f64());
        all.extend(figures);
        fs::remove_dir_all(&dir)?;
    }
    println!("{all}");
    let broken = all.broken();
    ensure!(broken == 0, "home: {broken} lines do not hold");
    Ok(())
}

fn options<'a>(args: &[&'a str]) -> Result<(Vec<&'a str>, bool, Option<u64>, PathBuf)> {
    let (mut parts, mut small, mut size, mut program) = (Vec::new(), false, None, gannet());
    let mut words = args.iter();
    while let Some(&word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} needs a value"));
        match word {
            "--small" => small = true,
            "--gib" => size = Some(value()?.parse::<u64>()? << 30),
            "--program" => program = Path::new(value()?).canonicalize()?,
            part if PARTS.iter().any(|(name, _)| *name == part) => parts.push(part),
            other => bail!(
                "home: what is {other}? Parts: {}",
                PARTS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
            ),
        }
    }
    Ok((parts, small, size, program))
}

impl Home {
    /// Bytes of a transfer: as the command line says, else the first in the full and the second in the short form.
    fn size(&self, full: u64, small: u64) -> u64 {
        self.size.unwrap_or(if self.small { small } else { full })
    }
}

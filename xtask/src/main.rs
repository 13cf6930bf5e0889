//! Chores of this repository, run as `cargo xtask <chore>`. Only dispatch here: each chore is a module.

mod bench;
mod fidelity;
mod flood;
mod fuzz;
mod home;
mod hostile;
mod interop;
mod kill;
mod lab;
mod peers;
mod planted;
mod test;
mod tidy;
mod worlds;

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const HELP: &str = "\
Chores of the Gannet repository.

Usage: cargo xtask <chore>

  interop [word...]  run real clients against ours, all cases or those whose names hold a word
  test               everything that must pass: cargo's tests, fuzz targets, real clients, kills
  kill [--kills N] [--seed N] [--hogs N]   kill downloads at seeded moments and see what is lost
  bench [--size MIB] [--runs N]      loopback throughput, CPU and memory beside libtorrent's
  bench tracker [--peers N] [--torrents N] [--rounds N] [--seconds N] [--announce-only] [--http] [--aquatic PROGRAM] [--memory] [--json]
                     answers per second of processor time beside opentracker's and a bare echo's; or memory per peer
  fuzz TARGET...|--all [--seconds N] [--seed N]   invent inputs for decoders, guided by coverage
  fuzz --minimise TARGET...|--all    distil what was found into the committed inputs
  fidelity [world...] [--runs N] [--size MIB] [--small] [--built] [--record DIR]   eleven processes on shaped links beside the
                     same world simulated: do they agree? worlds: shaped mixed seed-dies
  hostile [--links N] [--size MIB] [--runs N]   2,000 hostile links onto one download: rate, memory, answers
  flood [part...] [--small]          a tracker under forged ids, ill-willed visitors, random torrents, five times its load, and
                     a restart meanwhile; parts: forge http tls browsers hashes overload restart
  home [part...] [--small] [--gib N] [--program FILE]   `share` and `receive` on shaped links, poor networks, before
                     eavesdroppers and a browser: figures, and whether they hold; parts: rate three addresses page leave secrecy
  worlds --hostile [--worlds N] [--seed N] [--kind NAME | --attackers 'NAME ...' | --each-kind | --chance] [--dice N]
                     simulated swarms of which up to half are attackers, each beside itself without them; --dice: the
                     same with other chances, --chance: nobody attacks, each beside itself with other chances
  worlds --weather [--worlds N] [--seed N]   simulated swarms that lose links, hide behind NAT, wait for disks, sleep
  worlds --drawn [--worlds N] [--seed N] [--twice] [--until-found]   simulated worlds of chance under all checkers; a
                     failure is shrunk and printed with what repeats it
  planted [NAME...] [--seeds N] [--list]   plants bugs, one at a time, and says which world of chance finds each
  lookups [--nodes N,N,..] [--searches N] | --attack | --weather | --flood | --soak [--days N]
                     searches in simulated DHTs: over the number of nodes, among attackers, beside floods, for days
  tidy               check what compilers do not: headers, import arrows, sizes, banned names
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
        ["interop", words @ ..] => interop::run(words)?,
        ["test"] => test::run()?,
        ["kill", rest @ ..] => kill::run_kills(rest)?,
        ["bench", rest @ ..] => bench::run(rest)?,
        ["fuzz", rest @ ..] => fuzz::run(rest)?,
        ["flood", rest @ ..] => flood::run(rest)?,
        ["fidelity", rest @ ..] => fidelity::run(rest)?,
        ["hostile", rest @ ..] => hostile::run(rest)?,
        ["home", rest @ ..] => home::run(rest)?,
        ["worlds", "--drawn", rest @ ..] => worlds::run("fuzz", rest)?,
        ["worlds", rest @ ..] => worlds::run("worlds", rest)?,
        ["lookups", rest @ ..] => worlds::run("lookups", rest)?,
        ["planted", rest @ ..] => planted::run(rest)?,
        ["tidy"] => tidy::run()?,
        other => bail!("no such chore: {}\n\n{HELP}", other.join(" ")),
    }
    Ok(())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

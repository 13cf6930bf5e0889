//! Thousands of hostile links onto one download: `cargo xtask hostile [--links N] [--size MIB] [--runs N]`.
//!
//! A seeder, a downloader at a limit of 50 MB/s, and the attackers of `gannet-hostile`, each on a host of its own; the attackers
//! come from as many networks as there are of them. The same download runs without them first, and under them three times. Must hold:
//! at least 80 % of the rate without them, as the middle of the three; in each, memory that is bounded, and a command line that goes
//! on telling and ends when asked.

use crate::interop::{Client, Content, Kind, Role, Shared, gannet, scratch};
use crate::lab::process::{Cost, Running, run as run_command};
use crate::lab::{self, Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
/// What the download is limited to, in bytes a second.
const LIMIT: u64 = 50_000_000;
const PIECE_LEN: u32 = 1 << 20;
/// Share of the rate without attackers that must be left.
const RATE_MIN: f64 = 0.8;
/// Resident memory beyond that of the download without attackers: pending handshakes and full links have buffers of their own, at
/// most 256 KiB for each of some 300.
const MEMORY_MORE_MAX_MIB: f64 = 100.0;
/// The program prints its progress twice a second; so long may a line be late.
const SILENCE_MAX: Duration = Duration::from_millis(1500);
/// Goodbyes to trackers may take 2 s; there are none here, but saving takes its time.
const END_MAX: Duration = Duration::from_secs(3);
/// The first of the attackers' networks; the lab sees no packet of the real ones.
const ATTACKERS_FROM: &str = "11.0.0.1";
const ATTACKERS_NET: &str = "11.0.0.0/8";

struct Options {
    links: u64,
    size: u64,
    runs: u64,
}

/// What one download was like.
struct Figures {
    took: Duration,
    rate: f64,
    cost: Cost,
    longest_silence: Duration,
    /// How long it took to end when asked half-way; measured in a run of its own.
    ended_within: Option<Duration>,
    attack: Option<Value>,
}

/// What happens to the download.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Alone,
    Attacked,
    /// Attacked, and asked to end half-way.
    Interrupted,
}

/// Runs the downloads and prints the figures.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    lab::enter()?;
    let dir = scratch("hostile")?;
    let shared = Content::OneFile(options.size << 20).share(&dir, PIECE_LEN, &[])?;
    let mut lab = Lab::new()?;
    let alone = download(&mut lab, &dir, &shared, &options, Run::Alone)?;
    show("without attackers", &alone);
    let mut attacked = Vec::new();
    for _ in 0..options.runs {
        let run = download(&mut lab, &dir, &shared, &options, Run::Attacked)?;
        show(&format!("with {} hostile links", options.links), &run);
        attacked.push(run);
    }
    let interrupted = download(&mut lab, &dir, &shared, &options, Run::Interrupted)?;
    show("and Ctrl-C half-way", &interrupted);
    std::fs::remove_dir_all(&dir)?;
    judge(&options, &alone, &attacked, &interrupted)
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options { links: 2000, size: 1024, runs: 3 };
    let mut rest = args.iter();
    while let Some(&flag) = rest.next() {
        let mut number = || -> Result<u64> {
            let word = rest.next().with_context(|| format!("{flag} needs a number"))?;
            word.parse().with_context(|| format!("{flag}: {word}"))
        };
        match flag {
            "--links" => options.links = number()?,
            "--size" => options.size = number()?,
            "--runs" => options.runs = number()?.max(1),
            other => bail!("hostile: what is {other}? --links N, --size MIB, --runs N"),
        }
    }
    Ok(options)
}

fn download(lab: &mut Lab, dir: &Path, shared: &Shared, options: &Options, what: Run) -> Result<Figures> {
    let (seed_host, host, attack_host) = (lab.host()?, lab.host()?, lab.host()?);
    let work = dir.join(match what {
        Run::Alone => "alone",
        Run::Attacked => "attacked",
        Run::Interrupted => "interrupted",
    });
    std::fs::create_dir_all(&work)?;
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seeder = Client::start(Kind::Gannet, seed_host, "seeder", role, &work)?;
    seeder.wait_complete(Duration::from_secs(120))?;
    let seed_at = SocketAddr::from((seed_host.address(), PORT));
    let mut attack = match what {
        Run::Alone => None,
        Run::Attacked | Run::Interrupted => Some(attack(attack_host, host, &work, shared, options)?),
    };
    let mut victim = start_victim(host, seed_at, &work, shared)?;
    let mut figures = follow(&mut victim, options.size << 20, what)?;
    if let Some(attackers) = &mut attack {
        let line = attackers.new_lines().pop().context("the attackers said nothing")?;
        figures.attack = Some(serde_json::from_str(&line).with_context(|| line.clone())?);
    }
    if what != Run::Interrupted {
        victim.stop(Duration::from_secs(20))?;
        shared.same_in(&work.join("got"))?;
    }
    seeder.stop()?;
    // The next run of the kind begins with nothing.
    std::fs::remove_dir_all(&work)?;
    Ok(figures)
}

/// Attackers that dial from the start: the victim is not yet there.
fn attack(from: Host, victim: Host, work: &Path, shared: &Shared, options: &Options) -> Result<Running> {
    let ip = |host: Host, args: &[&str]| -> Result<()> {
        let mut words = vec!["route", "add"];
        words.extend(args);
        let mut command = host.command("ip");
        crate::lab::process::output(command.args(words)).map(drop)
    };
    ip(from, &["local", ATTACKERS_NET, "dev", "lo"])?;
    ip(victim, &[ATTACKERS_NET, "via", &from.address().to_string()])?;
    let program = crate::root().join("target/release/gannet-hostile");
    let mut command = from.command(&program.to_string_lossy());
    command.arg("--torrent").arg(&shared.torrent).arg("--content").arg(shared.dir.join(&shared.name));
    command.arg("--victim").arg(SocketAddr::from((victim.address(), PORT)).to_string());
    command.args(["--links", &options.links.to_string(), "--from", ATTACKERS_FROM, "--seconds", "600"]);
    let name = format!("attackers-{}", work.file_name().unwrap_or_default().to_string_lossy());
    Running::start(&name, work, &mut command)
}

fn start_victim(host: Host, seed: SocketAddr, work: &Path, shared: &Shared) -> Result<Running> {
    let mut command: Command = host.command(&gannet().to_string_lossy());
    command.args(["get", "--json"]).arg(&shared.torrent).arg("--output").arg(work.join("got"));
    command.arg("--state").arg(work.join("state")).args(["--port", &PORT.to_string()]);
    command.args([
        "--max-down",
        &LIMIT.to_string(),
        "--peer",
        &seed.to_string(),
        "--seed-time",
        "600s",
        "--no-lsd",
        "--no-dht",
    ]);
    Running::start("victim", work, &mut command)
}

/// Follows a download by what it prints, to its end or to half of it.
fn follow(victim: &mut Running, size: u64, what: Run) -> Result<Figures> {
    let began = Instant::now();
    let mut heard = began;
    let mut longest_silence = Duration::ZERO;
    let mut first_bytes = None;
    loop {
        let (have, durable) = victim.wait_for(Duration::from_secs(120), |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["type"] == "progress").then(|| (value["have"].as_u64(), value["durable"] == true))
        })?;
        let now = Instant::now();
        // Before its first line a program starts; that is no silence.
        if first_bytes.is_some() {
            longest_silence = longest_silence.max(now - heard);
        }
        heard = now;
        let have = have.context("progress without `have`")?;
        if have > 0 {
            first_bytes.get_or_insert(now);
        }
        let cost = victim.cost()?;
        let figures = |ended_within| Figures {
            took: now - began,
            rate: have as f64 / (now - began).as_secs_f64(),
            cost,
            longest_silence,
            ended_within,
            attack: None,
        };
        if what == Run::Interrupted && have >= size / 2 {
            let asked = Instant::now();
            run_command("kill", &["-INT", &victim.pid().to_string()])?;
            victim.wait_end(Duration::from_secs(30))?;
            return Ok(figures(Some(asked.elapsed())));
        }
        if have >= size && (durable || what == Run::Interrupted) {
            return Ok(figures(None));
        }
    }
}

fn show(name: &str, figures: &Figures) {
    let Figures { took, rate, cost, longest_silence, ended_within, attack } = figures;
    println!(
        "{name:<26} {:>6.1} s, {:>5.1} MB/s, {:>5.1} s CPU, peak {:>5.1} MiB, longest silence {:.2} s{}",
        took.as_secs_f64(),
        rate / 1e6,
        cost.cpu,
        cost.peak_mib,
        longest_silence.as_secs_f64(),
        ended_within.map_or(String::new(), |span| format!(", ended after {:.2} s", span.as_secs_f64()))
    );
    if let Some(attack) = attack {
        println!("{:<26} the attackers: {attack}", "");
    }
}

fn judge(options: &Options, alone: &Figures, attacked: &[Figures], interrupted: &Figures) -> Result<()> {
    let mut left: Vec<f64> = attacked.iter().map(|run| run.rate / alone.rate).collect();
    left.sort_by(f64::total_cmp);
    let middle = left[left.len() / 2];
    println!("{:.0} % of the rate is left", 100.0 * middle);
    ensure!(middle >= RATE_MIN, "the attackers cost more than {:.0} % of the rate", 100.0 * (1.0 - RATE_MIN));
    for figures in attacked.iter().chain([interrupted]) {
        let more = figures.cost.peak_mib - alone.cost.peak_mib;
        ensure!(more <= MEMORY_MORE_MAX_MIB, "the attackers cost {more:.0} MiB of memory");
        ensure!(figures.longest_silence <= SILENCE_MAX, "no line for {:?}", figures.longest_silence);
        let dials = figures.attack.as_ref().and_then(|attack| attack["dials"].as_u64()).unwrap_or(0);
        ensure!(dials >= options.links, "only {dials} of {} attackers dialled", options.links);
    }
    let ended = interrupted.ended_within.context("the download was over before it could be interrupted")?;
    ensure!(ended <= END_MAX, "Ctrl-C took {ended:?}");
    Ok(())
}

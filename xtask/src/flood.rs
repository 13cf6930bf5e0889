//! A tracker in bad company: `cargo xtask flood [part...] [--small]`.
//!
//! `forge`: connection ids of strangers, of which none may be answered, and no datagram that shows none may be answered with more bytes
//! than it has. `http`: visitors who are slow, silent, endless or deaf, while honest ones go on. `hashes`: announces to torrents that
//! nobody has named before, within bounded memory, and nobody is forgotten for them. `browsers`: visitors over WebSocket who offer, claim
//! or join without end, or hear nothing. `tls`: handshakes that are begun and left, while honest visitors come over HTTPS. `overload`: five times what it can answer, of which it answers at least 90 % of its best.
//! `restart`: killed and started again while all of this comes, after which nobody is forgotten who was there for an interval.
//! Threats: C13, E5, E6, E8, E9, E10.

mod browsers;
mod tls;

use crate::bench::servers::{Kind, Protocol, SERVER_CPU, Server, last_line, number};
use crate::interop::scratch;
use crate::lab;
use crate::lab::process::{Running, output, run as run_command};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// What happens to a tracker, and must leave it well.
type Part = fn(&Scene) -> Result<()>;

const PARTS: &[(&str, Part)] = &[
    ("forge", forge),
    ("http", http),
    ("tls", tls::tls),
    ("browsers", browsers::browsers),
    ("hashes", hashes),
    ("overload", overload),
    ("restart", restart),
];

/// Of honest questions so many may go unanswered beside a flood.
const LOST_MAX: f64 = 0.01;
/// What a connection may hold at most, and what the program may hold beside connections and its table.
const CONNECTION_MAX_MIB: f64 = 0.1;
const BESIDE_MIB: f64 = 32.0;
/// What the table may hold with its default bounds: a million peers in a hundred thousand swarms.
const TABLE_MAX_MIB: f64 = 160.0;
/// Who works on the server's processor beside it while it is overloaded: so one visitor's processor can ask five times as much as it
/// answers.
const HOGS: usize = 12;
const OVERLOAD: f64 = 5.0;
/// Seconds after which an answer is too late there: a third of a client's first patience (BEP 15). Questions wait in the kernel for 150 ms of
/// the tracker's work, which is ten times as long beside the hogs.
const IN_TIME: &str = "5";
/// Share of the best rate that must be left under overload.
const GOODPUT_MIN: f64 = 0.9;
/// Share of an honest visitor's rate that must be left after a restart.
const AFTER_RESTART_MIN: f64 = 0.5;

/// When peers come again there, in seconds: as soon as can be set.
const RESTART_INTERVAL: u64 = 10;

/// What every part needs.
struct Scene {
    small: bool,
    work: PathBuf,
    population: Vec<String>,
}

/// Runs the parts that are named, or all.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().partition(|word| word.starts_with("--"));
    let known = |name: &str| PARTS.iter().any(|(part, _)| *part == name);
    if let Some(bad) =
        flags.iter().find(|flag| **flag != "--small").or(names.iter().find(|name| !known(name)))
    {
        bail!("flood: what is {bad}? forge, http, tls, browsers, hashes, overload, restart, --small");
    }
    lab::enter()?;
    run_command("ip", &["link", "set", "lo", "up"])?;
    let work = scratch("flood")?;
    let population = ["--peers", "20000", "--torrents", "1000"].map(String::from).to_vec();
    let scene = Scene { small: flags.contains(&"--small"), work, population };
    for (part, run) in PARTS.iter().filter(|(part, _)| names.is_empty() || names.contains(part)) {
        let began = Instant::now();
        run(&scene).with_context(|| format!("flood: {part}"))?;
        println!("flood: {part}: {:.1} s", began.elapsed().as_secs_f64());
    }
    Ok(())
}

impl Scene {
    /// A fresh tracker that knows the population.
    fn tracker(&self) -> Result<Server> {
        let server = Kind::Gannet.start(&self.population, &self.work)?;
        server.fill(&self.population)?;
        Ok(server)
    }

    /// A long figure, or a short one.
    fn or<T>(&self, long: T, short: T) -> T {
        if self.small { short } else { long }
    }

    /// Honest visitors for so long; every answer is looked at.
    fn honest(&self, server: &Server, protocol: Protocol, seconds: &str, more: &[&str]) -> Result<Value> {
        let how = [&["--seconds", seconds, "--warm", "0.2"], more].concat();
        server.load(protocol, &self.population, &how)
    }
}

fn forge(scene: &Scene) -> Result<()> {
    let server = scene.tracker()?;
    let count = scene.or(1u32 << 20, 1 << 17);
    let text = output(server.errand("forge").args(["--count", &count.to_string()]))?;
    let report = last_line(&text)?;
    println!("{report}");
    let still = scene.honest(&server, Protocol::Udp, "0.5", &[])?;
    ensure!(number(&still, "announces")? > 0.0, "honest visitors are not answered any more");
    Ok(())
}

fn http(scene: &Scene) -> Result<()> {
    let server = scene.tracker()?;
    let seconds = scene.or("5", "1.5");
    let visitors = scene.or(6_000u32, 1_500);
    let honest: &[&str] = &["--connections", "16", "--in-time", "3"];
    let alone = scene.honest(&server, Protocol::Http, seconds, honest)?;
    println!("http: alone {:.0} answers/s to honest visitors", number(&alone, "responses_per_second")?);
    let before = mib(server.resident()?);
    for kind in ["slow", "silent", "huge", "deaf"] {
        let mut command = server.errand("flood");
        // Longer than the honest visitors stay.
        command.args(["--kind", kind, "--connections", &visitors.to_string()]);
        command.args(["--seconds", scene.or("12", "4")]);
        let mut flood = Running::start(&format!("flood-{kind}"), &scene.work, &mut command)?;
        flood.wait_for(Duration::from_secs(10), |line| line.contains("flooding").then_some(()))?;
        let over_http = scene.honest(&server, Protocol::Http, seconds, honest)?;
        let over_udp = scene.honest(&server, Protocol::Udp, scene.or("2", "0.5"), &["--window", "16"])?;
        let resident = mib(server.resident()?);
        let did = flood.wait_for(Duration::from_secs(30), |line| {
            line.starts_with("{\"dials\"").then(|| line.to_owned())
        })?;
        println!(
            "http: {kind}: {:.0} answers/s over HTTP, {:.0} over UDP; {resident:.0} MiB, {before:.0} before; they: {did}",
            number(&over_http, "responses_per_second")?,
            number(&over_udp, "responses_per_second")?,
        );
        for honest in [&over_http, &over_udp] {
            let (asked, lost) = (number(honest, "asked")?, number(honest, "lost")?);
            ensure!(
                asked > 0.0 && lost <= LOST_MAX * asked,
                "{kind}: {lost} of {asked} honest questions lost"
            );
            ensure!(number(honest, "announces")? > 50.0, "{kind}: honest visitors hardly come in: {honest}");
        }
        let bound = before + f64::from(visitors) * CONNECTION_MAX_MIB + BESIDE_MIB;
        ensure!(resident <= bound, "{kind}: {resident:.0} MiB, more than {bound:.0}");
    }
    Ok(())
}

fn hashes(scene: &Scene) -> Result<()> {
    let server = scene.tracker()?;
    let before = mib(server.resident()?);
    let mut announces = 0.0;
    for part in 1..=scene.or(6, 2) {
        let flood = ["--random-hashes", "--announce-only", "--seed", &part.to_string()];
        let report = scene.honest(&server, Protocol::Udp, scene.or("10", "2"), &flood)?;
        announces += number(&report, "announces")?;
        let resident = mib(server.resident()?);
        println!("hashes: {announces:.0} torrents named, {resident:.1} MiB resident, {before:.1} before");
        ensure!(resident <= TABLE_MAX_MIB + BESIDE_MIB, "{resident:.0} MiB");
    }
    let after = scene.honest(&server, Protocol::Udp, "1", &[])?;
    let (checked, short) = (number(&after, "checked")?, number(&after, "short")?);
    println!("hashes: afterwards {checked:.0} honest answers, {short:.0} of them with peers missing");
    ensure!(checked > 0.0 && short == 0.0, "peers were forgotten for the flood");
    Ok(())
}

fn overload(scene: &Scene) -> Result<()> {
    let server = scene.tracker()?;
    let _hogs = (0..HOGS).map(|number| hog(number, &scene.work)).collect::<Result<Vec<Running>>>()?;
    let seconds = scene.or("5", "2");
    let mut shares = Vec::new();
    for _ in 0..scene.or(5, 2) {
        let mut best: f64 = 0.0;
        for window in ["32", "128"] {
            let report = scene.honest(&server, Protocol::Udp, seconds, &["--window", window])?;
            best = best.max(number(&report, "responses_per_second")?);
        }
        let rate = format!("{:.0}", best * OVERLOAD);
        // As it is when questions have begun to wait.
        let how = ["--rate", &rate, "--warm", "3", "--in-time", IN_TIME, "--seconds", seconds];
        let report = server.load(Protocol::Udp, &scene.population, &how)?;
        let goodput = number(&report, "responses_per_second")?;
        let offered = number(&report, "asked")? / number(&report, "seconds")?;
        println!(
            "overload: best {best:.0}/s; {:.1} times that asked: {goodput:.0}/s answered in time, {:.0} %",
            offered / best,
            100.0 * goodput / best
        );
        ensure!(offered >= 0.8 * OVERLOAD * best, "only {offered:.0}/s could be asked");
        shares.push(goodput / best);
    }
    shares.sort_by(f64::total_cmp);
    let middle = shares[shares.len() / 2];
    ensure!(middle >= GOODPUT_MIN, "only {:.0} % of the best is left", 100.0 * middle);
    Ok(())
}

/// Somebody who always has something to do on the server's processor.
fn hog(number: usize, work: &Path) -> Result<Running> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", SERVER_CPU, "sh", "-c", "while :; do :; done"]);
    Running::start(&format!("hog-{number}"), work, &mut command)
}

fn restart(scene: &Scene) -> Result<()> {
    let (config, state) = (scene.work.join("restart.toml"), scene.work.join("state"));
    fs::write(
        &config,
        format!("[swarms]\ninterval = \"{RESTART_INTERVAL}s\"\n[state]\nfolder = {state:?}\n"),
    )?;
    let config = config.to_string_lossy();
    let start = || Kind::Gannet.start_with(&scene.population, &scene.work, &["--config", &config]);
    let mut server = start()?;
    server.fill(&scene.population)?;
    let filled = Instant::now();
    let mut command = server.errand("udp");
    command.args(&scene.population).args(["--strict", "--rate", "30000", "--warm", "0"]);
    command.args(["--seconds", scene.or("25", "18")]);
    let mut flood = Running::start("flood-restart", &scene.work, &mut command)?;
    let honest = |server: &Server| -> Result<f64> {
        number(&scene.honest(server, Protocol::Udp, "1", &["--window", "16"])?, "responses_per_second")
    };
    let before = honest(&server)?;
    // Everybody has been there for an interval.
    thread::sleep(Duration::from_secs(RESTART_INTERVAL + 1).saturating_sub(filled.elapsed()));
    server.running.kill()?;
    let killed = Instant::now();
    let mut server = start()?;
    let back = killed.elapsed();
    let remembered = server.running.wait_for(Duration::from_secs(5), |line| {
        line.contains("\"tracker_remembered\"").then(|| line.to_owned())
    })?;
    let after = honest(&server)?;
    let report = flood.wait_for(Duration::from_secs(30), |line| {
        line.starts_with("{\"seconds\"").then(|| line.to_owned())
    })?;
    let ended = flood.wait_status(Duration::from_secs(5))?;
    println!(
        "restart: answers again {:.2} s after it was killed; an honest visitor had {before:.0} answers/s before and {after:.0} after; \
         {remembered}; the flood: {report}",
        back.as_secs_f64()
    );
    ensure!(ended.success(), "answers were wrong");
    // Each answer of before and after was held against all peers that there are.
    let (checked, short) = (number(&last_line(&report)?, "checked")?, number(&last_line(&report)?, "short")?);
    ensure!(
        checked > 0.0 && short == 0.0,
        "{short:.0} of {checked:.0} answers lacked peers: some were forgotten"
    );
    ensure!(
        after >= AFTER_RESTART_MIN * before,
        "an honest visitor has {after:.0}/s after {before:.0}/s before"
    );
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

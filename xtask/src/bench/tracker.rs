//! Trackers beside each other: `cargo xtask bench tracker [--peers N] [--torrents N] [--rounds N] [--seconds N] [--announce-only]
//! [--http [--pipeline N]] [--aquatic PROGRAM] [--memory] [--json]`.
//!
//! Real visitors (`gannet-load`: every answer is read and held against the population) on one processor, the server on another, one
//! server after the other, and that in rounds, so that all see the same weather. What counts are answers per second of the server's
//! own processor time. The echo is the floor: the kernel's share, and nothing else. Compare the rows of one run only.

use super::servers::{Kind, Protocol, Server, number};
use crate::interop::scratch;
use crate::lab;
use crate::lab::process::run as run_command;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Two memory figures: for a small and a large population.
const MEMORY_PEERS: [u32; 2] = [1_000_000, 10_000_000];

struct Options {
    peers: u32,
    torrents: u32,
    rounds: usize,
    seconds: u32,
    announce_only: bool,
    /// Over HTTP, with so many questions under way on each connection.
    http: bool,
    pipeline: u32,
    memory: bool,
    json: bool,
    aquatic: Option<PathBuf>,
}

/// Runs what was asked for and prints a table, or a line of JSON.
pub(super) fn run(args: &[&str]) -> Result<()> {
    let options = options(args)?;
    lab::enter()?;
    run_command("ip", &["link", "set", "lo", "up"])?;
    let work = scratch("bench-tracker")?;
    if options.memory { memory(&options, &work) } else { speed(&options, &work) }
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options {
        peers: 1_000_000,
        torrents: 100_000,
        rounds: 5,
        seconds: 5,
        announce_only: false,
        http: false,
        pipeline: 1,
        memory: false,
        json: false,
        aquatic: None,
    };
    let mut rest = args.iter();
    while let Some(&flag) = rest.next() {
        let mut word = || rest.next().with_context(|| format!("{flag} needs a value"));
        match flag {
            "--peers" => options.peers = word()?.parse()?,
            "--torrents" => options.torrents = word()?.parse()?,
            "--rounds" => options.rounds = word()?.parse::<usize>()?.max(1),
            "--seconds" => options.seconds = word()?.parse()?,
            "--aquatic" => options.aquatic = Some(PathBuf::from(word()?)),
            "--pipeline" => options.pipeline = word()?.parse()?,
            "--http" => options.http = true,
            "--announce-only" => options.announce_only = true,
            "--memory" => options.memory = true,
            "--json" => options.json = true,
            other => bail!(
                "bench tracker: what is {other}? --peers N, --torrents N, --rounds N, --seconds N, --announce-only, \
                 --http, --pipeline N, --aquatic PROGRAM, --memory, --json"
            ),
        }
    }
    Ok(options)
}

impl Options {
    /// What tells `gannet-load` whom to be.
    fn population(&self, peers: u32) -> Vec<String> {
        ["--peers", &peers.to_string(), "--torrents", &self.torrents.to_string()].map(String::from).to_vec()
    }

    fn protocol(&self) -> Protocol {
        if self.http { Protocol::Http } else { Protocol::Udp }
    }

    fn mix(&self) -> String {
        match (self.http, self.announce_only) {
            (true, _) => {
                format!("announces over HTTP, {} under way on each of 128 connections", self.pipeline)
            }
            (false, true) => "announces alone over UDP".into(),
            (false, false) => "connect : announce 1:1 over UDP".into(),
        }
    }

    fn trackers(&self) -> Vec<Kind> {
        let aquatic = self.aquatic.clone().map(Kind::Aquatic);
        [Kind::Gannet, Kind::Opentracker].into_iter().chain(aquatic).collect()
    }
}

/// One server and the reports of its rounds.
struct Row {
    server: Server,
    filled_in: f64,
    reports: Vec<Value>,
}

impl Row {
    /// The middle one of a figure, and its least and greatest.
    fn spread(&self, name: &str) -> Result<[f64; 3]> {
        let mut figures =
            self.reports.iter().map(|report| number(report, name)).collect::<Result<Vec<f64>>>()?;
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().context("no round");
        Ok([at(figures.len() / 2)?, at(0)?, at(figures.len() - 1)?])
    }
}

fn speed(options: &Options, work: &Path) -> Result<()> {
    let population = options.population(options.peers);
    let mut rows = Vec::new();
    let kinds = match options.protocol() {
        Protocol::Udp => [vec![Kind::Echo], options.trackers()].concat(),
        // `aquatic_udp` does not speak it.
        Protocol::Http => vec![Kind::Gannet, Kind::Opentracker],
    };
    for kind in kinds {
        let server = kind.start(&population, work)?;
        let filled_in = if kind == Kind::Echo { 0.0 } else { server.fill(&population)? };
        rows.push(Row { server, filled_in, reports: Vec::new() });
    }
    let (seconds, pipeline) = (options.seconds.to_string(), options.pipeline.to_string());
    let mut how = vec!["--seconds", seconds.as_str()];
    if options.http {
        how.extend(["--pipeline", pipeline.as_str()]);
    }
    how.extend(options.announce_only.then_some("--announce-only"));
    for round in 0..options.rounds {
        // Whoever comes first in a round is another one each time.
        let (len, start) = (rows.len(), round % rows.len());
        for at in (0..len).map(|place| (start + place) % len) {
            let report = rows[at].server.load(options.protocol(), &population, &how)?;
            rows[at].reports.push(report);
        }
    }
    if options.json { show_json(options, &rows) } else { show_table(options, &rows) }
}

fn show_table(options: &Options, rows: &[Row]) -> Result<()> {
    println!(
        "{} peers in {} torrents (Zipf, exponent 1), {}; {} rounds of {} s in turn; answers per second of the server's \
         processor time: middle (least to most)\n",
        options.peers,
        options.torrents,
        options.mix(),
        options.rounds,
        options.seconds
    );
    println!(
        "| server | answers per CPU s | to the echo | answers/s | busy | peers per reply | >= 28 where there are | bytes per answer | lost | wrong | filled in |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let echo =
        rows.iter().find(|row| row.server.kind == Kind::Echo).map(|row| row.spread(PER_CPU)).transpose()?;
    for row in rows {
        let [middle, least, most] = row.spread(PER_CPU)?;
        let figure = |name: &str| row.spread(name).map(|[middle, ..]| middle);
        let busy = figure("server_cpu_seconds")? / figure("seconds")?;
        let share = figure("full")? / figure("could_be_full")?.max(1e-9);
        println!(
            "| {} | {middle:.0} ({least:.0} to {most:.0}) | {} | {:.0} | {:.0} % | {:.1} | {:.1} % | {:.0} | {:.0} | 0 | {:.1} s |",
            row.server.kind,
            echo.map_or("".into(), |[echo, ..]| format!("{:.3}", middle / echo)),
            figure("responses_per_second")?,
            busy * 100.0,
            figure("peers_per_reply")?,
            share * 100.0,
            figure("bytes_per_response")?,
            figure("lost")?,
            row.filled_in,
        );
    }
    println!();
    for [one, other] in pairs(rows) {
        let ratio = one.spread(PER_CPU)?[0] / other.spread(PER_CPU)?[0];
        println!("{} / {}: {ratio:.3}", one.server.kind, other.server.kind);
    }
    Ok(())
}

/// What counts.
const PER_CPU: &str = "responses_per_cpu_second";

/// Ours against each of the others.
fn pairs(rows: &[Row]) -> impl Iterator<Item = [&Row; 2]> {
    let ours = rows.iter().find(|row| row.server.kind == Kind::Gannet);
    rows.iter().filter(|row| row.server.kind != Kind::Gannet).filter_map(move |row| Some([ours?, row]))
}

fn show_json(options: &Options, rows: &[Row]) -> Result<()> {
    let rows = rows.iter().map(|row| {
        let [middle, least, most] = row.spread(PER_CPU)?;
        Ok(json!({
            "server": row.server.kind.to_string(), "responses_per_cpu_second": middle, "least": least, "most": most,
            "filled_in_seconds": row.filled_in, "rounds": row.reports,
        }))
    });
    let rows = rows.collect::<Result<Vec<Value>>>()?;
    let (peers, torrents) = (options.peers, options.torrents);
    println!("{}", json!({ "peers": peers, "torrents": torrents, "mix": options.mix(), "servers": rows }));
    Ok(())
}

/// What a peer costs: everything resident that was not before the first announce.
fn memory(options: &Options, work: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for peers in MEMORY_PEERS.into_iter().filter(|&peers| peers <= options.peers.max(MEMORY_PEERS[0])) {
        let population = options.population(peers);
        for kind in options.trackers() {
            let server = kind.start(&population, work)?;
            let empty = server.resident()?;
            let seconds = server.fill(&population)?;
            let full = server.resident()?;
            let each = full.saturating_sub(empty) as f64 / f64::from(peers);
            lines.push(json!({
                "server": kind.to_string(), "peers": peers, "empty_bytes": empty, "full_bytes": full, "bytes_per_peer": each,
                "filled_in_seconds": seconds,
            }));
        }
    }
    if options.json {
        println!("{}", json!({ "torrents": options.torrents, "memory": lines }));
        return Ok(());
    }
    println!(
        "resident memory over {} torrents (Zipf, exponent 1), each server alone and fresh\n",
        options.torrents
    );
    println!(
        "| server | peers | empty MiB | full MiB | bytes per peer | filled in |\n|---|---|---|---|---|---|"
    );
    for line in &lines {
        let mib = |name: &str| number(line, name).map(|bytes| bytes / f64::from(1 << 20));
        println!(
            "| {} | {} | {:.1} | {:.1} | {:.1} | {:.0} s |",
            line["server"].as_str().unwrap_or_default(),
            line["peers"],
            mib("empty_bytes")?,
            mib("full_bytes")?,
            number(line, "bytes_per_peer")?,
            number(line, "filled_in_seconds")?,
        );
    }
    Ok(())
}

//! `gannet-load`: a population of BitTorrent clients that announce to a tracker, as fast as it answers, and read every answer.
//!
//! No part of what ships: a tool for measuring and testing trackers, which refuses every server that is not on this machine. Everything
//! comes from a seed; what it prints are lines of JSON. Ends with 1 if any answer was wrong.

mod browsers;
mod crowd;
mod echo;
mod flood;
mod forge;
mod judge;
mod population;
mod tls;
mod web;

use anyhow::{Context, Result, bail, ensure};
use crowd::{Crowd, Manner, Tally};
use judge::Judge;
use population::Population;
use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use web::Web;

const HELP: &str = "\
A tracker's visitors, for measuring and tests.

Usage: gannet-load udp --server 127.IP:PORT [options]   clients over UDP
       gannet-load http --server 127.IP:PORT [options]  clients over HTTP, on connections that stay
       gannet-load forge --server 127.IP:PORT [--count N]   connection ids of strangers: none may be answered (1048576)
       gannet-load https --server 127.IP:PORT [--connections N] [--seconds X] [--stay]   a handshake of TLS for each question, or for all
       gannet-load flood --server 127.IP:PORT --kind slow|silent|huge|deaf [--connections N] [--seconds X]   ill will over HTTP
       gannet-load flood --server 127.IP:PORT --kind tls [...]   handshakes that are begun and left, and whole ones
       gannet-load browsers --server 127.IP:PORT [--connections N] [--seconds X]   pairs that meet over WebSocket
       gannet-load browsers --server 127.IP:PORT --kind offers|frames|deaf|swarms [...]   ill will over WebSocket
       gannet-load hashes [options]                     the info-hashes of the population, one a line
       gannet-load echo --listen 127.IP:PORT            a server that answers with a tracker's sizes, and keeps nothing

  --peers N          in the population (1000000)
  --torrents N       over which they are spread (100000)
  --exponent X       sizes follow the rank to the power of minus X (1.0)
  --seed N           all chance comes from here (1)
  --fill             announce everybody once first
  --seconds X        measured after that; 0: fill alone (5)
  --warm X           seconds before that which do not count (0.5)
  --want N           peers asked for in an announce (45: some 28 in the mean answer)
  --window N         questions under way (128: less than a socket's usual buffer holds)
  --announce-only    no connect before each announce
  --rate N           questions a second, whatever is answered: an open loop
  --in-time X        seconds after which an answer is lost (0.5)
  --pid N            the server's process, for its processor time
  --strict           who is handed itself, or as a seed seeds, was answered wrongly
  --echo             the server is the echo
  --random-hashes    each announce names a torrent of its own; answers are not looked at
  --connections N    over HTTP (128)
  --pipeline N       questions under way on each (1)
  --close            a connection for each question
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words = Words(&words);
    let outcome = match words.0.first().map(String::as_str) {
        Some("udp") => udp(&words),
        Some("http") => http(&words),
        Some("forge") => words.address("--server").and_then(|server| {
            forge::run(server, words.number("--count", 1 << 20)?, words.number("--seed", 1)?)
        }),
        Some("https") => https(&words),
        Some("flood") => flood(&words),
        Some("browsers") => browsers(&words),
        Some("hashes") => hashes(&words),
        Some("echo") => words.address("--listen").and_then(echo::run),
        _ => {
            print!("{HELP}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command line.
struct Words<'a>(&'a [String]);

impl Words<'_> {
    fn word(&self, flag: &str) -> Option<&str> {
        self.0.windows(2).find(|pair| pair[0] == flag).map(|pair| pair[1].as_str())
    }

    fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|word| word == flag)
    }

    fn number<T: std::str::FromStr>(&self, flag: &str, default: T) -> Result<T> {
        match self.word(flag).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => bail!("{flag}: {} is no such number", self.word(flag).unwrap_or_default()),
        }
    }

    fn seconds(&self, flag: &str, default: f64) -> Result<Duration> {
        Duration::try_from_secs_f64(self.number(flag, default)?).with_context(|| flag.to_owned())
    }

    /// An address of this machine.
    fn address(&self, flag: &str) -> Result<SocketAddrV4> {
        let at: SocketAddrV4 = self.word(flag).with_context(|| format!("{flag} is missing"))?.parse()?;
        ensure!(at.ip().is_loopback(), "{at}: only servers on this machine are loaded");
        Ok(at)
    }

    fn population(&self) -> Result<Population> {
        let (peers, torrents): (u32, u32) =
            (self.number("--peers", 1_000_000)?, self.number("--torrents", 100_000)?);
        ensure!(
            peers <= PEERS_MAX && torrents <= peers,
            "at most {PEERS_MAX} peers, and one for each torrent"
        );
        Ok(Population::new(peers, torrents, self.number("--exponent", 1.0)?, self.number("--seed", 1)?))
    }
}

/// Addresses are numbers of 24 bits at most.
const PEERS_MAX: u32 = 1 << 24;

fn hashes(words: &Words<'_>) -> Result<()> {
    use std::io::Write;
    let population = words.population()?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for torrent in 0..population.torrents() {
        for byte in population.info_hash(torrent) {
            write!(out, "{byte:02x}")?;
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}

fn udp(words: &Words<'_>) -> Result<()> {
    let population = Arc::new(words.population()?);
    let rate: u32 = words.number("--rate", 0)?;
    let manner = Manner {
        server: words.address("--server")?,
        want: words.number("--want", 45)?,
        announce_only: words.has("--announce-only"),
        window: words.number("--window", 128)?,
        rate: (rate > 0).then_some(rate),
        in_time: words.seconds("--in-time", 0.5)?,
        echo: words.has("--echo"),
        random_hashes: words.has("--random-hashes"),
    };
    let (span, warm) = (words.seconds("--seconds", 5.0)?, words.seconds("--warm", 0.5)?);
    let pid: Option<u32> = words.word("--pid").map(str::parse).transpose().context("--pid")?;
    println!("{}", describe(&population));
    let mut crowd =
        Crowd::new(Arc::clone(&population), manner, words.has("--strict"), words.number("--seed", 1)?)?;
    if words.has("--fill") {
        let began = Instant::now();
        crowd.fill()?;
        println!(
            "{{\"filled\":{},\"seconds\":{:.3},\"lost\":{}}}",
            population.peers(),
            began.elapsed().as_secs_f64(),
            crowd.tally.lost
        );
    }
    if !span.is_zero() {
        crowd.ask(warm)?;
        let began = Began::now(Marks::of(&crowd.tally, &crowd.judge), pid)?;
        crowd.ask(span)?;
        println!("{}", began.report(&Marks::of(&crowd.tally, &crowd.judge))?);
    }
    conclude(&crowd.judge)
}

fn http(words: &Words<'_>) -> Result<()> {
    let population = Arc::new(words.population()?);
    let manner = web::Manner {
        server: words.address("--server")?,
        want: words.number("--want", 45)?,
        connections: words.number("--connections", 128)?,
        pipeline: words.number("--pipeline", 1)?,
        close: words.has("--close"),
        in_time: words.seconds("--in-time", 5.0)?,
    };
    let (span, warm) = (words.seconds("--seconds", 5.0)?, words.seconds("--warm", 0.5)?);
    let pid: Option<u32> = words.word("--pid").map(str::parse).transpose().context("--pid")?;
    println!("{}", describe(&population));
    let mut web = Web::new(population, manner, words.has("--strict"), words.number("--seed", 1)?)?;
    web.ask(warm)?;
    let began = Began::now(Marks::of(&web.tally, &web.judge), pid)?;
    web.ask(span)?;
    println!("{}", began.report(&Marks::of(&web.tally, &web.judge))?);
    conclude(&web.judge)
}

fn flood(words: &Words<'_>) -> Result<()> {
    let (server, span) = (words.address("--server")?, words.seconds("--seconds", 5.0)?);
    let visitors = words.number("--connections", 1000)?;
    match words.word("--kind").context("--kind is missing")? {
        "tls" => tls::flood(server, visitors, span),
        kind => flood::run(server, flood::Kind::named(kind)?, visitors, span),
    }
}

fn https(words: &Words<'_>) -> Result<()> {
    let (server, span) = (words.address("--server")?, words.seconds("--seconds", 5.0)?);
    let (visitors, in_time) = (words.number("--connections", 16)?, words.seconds("--in-time", 5.0)?);
    tls::visit(server, visitors, words.has("--stay"), span, in_time)
}

fn browsers(words: &Words<'_>) -> Result<()> {
    let (server, span) = (words.address("--server")?, words.seconds("--seconds", 5.0)?);
    match words.word("--kind") {
        Some(kind) => {
            let kind = browsers::Kind::named(kind)?;
            browsers::flood(server, kind, words.number("--connections", 500)?, span)
        }
        None => {
            let pairs = words.number("--connections", 64)? / 2;
            browsers::meet(server, pairs, span, words.seconds("--in-time", 5.0)?)
        }
    }
}

fn conclude(judge: &Judge) -> Result<()> {
    ensure!(judge.wrong == 0, "{} of {} answers were wrong", judge.wrong, judge.checked);
    Ok(())
}

/// The population in figures.
fn describe(population: &Population) -> String {
    let sizes = (0..population.torrents()).map(|torrent| population.members(torrent).len());
    let in_full: usize = sizes.clone().filter(|&size| size > 28).sum();
    format!(
        "{{\"peers\":{},\"torrents\":{},\"exponent\":{},\"largest\":{},\"median\":{},\"share_in_swarms_over_28\":{:.3},\"sources\":{}}}",
        population.peers(),
        population.torrents(),
        population.exponent,
        population.members(0).len(),
        population.members(population.torrents() / 2).len(),
        in_full as f64 / f64::from(population.peers()),
        population.sources(),
    )
}

/// Everything that is counted, at one moment.
#[derive(Clone, Copy)]
struct Marks {
    tally: Tally,
    checked: u64,
    peers: u64,
    itself: u64,
    short: u64,
    full: u64,
    could_be_full: u64,
}

impl Marks {
    fn of(tally: &Tally, judge: &Judge) -> Marks {
        Marks {
            tally: *tally,
            checked: judge.checked,
            peers: judge.peers,
            itself: judge.itself,
            short: judge.short,
            full: judge.full,
            could_be_full: judge.could_be_full,
        }
    }
}

/// The beginning of what is measured.
struct Began {
    marks: Marks,
    at: Instant,
    pid: Option<u32>,
    cpu: Option<f64>,
}

impl Began {
    fn now(marks: Marks, pid: Option<u32>) -> Result<Began> {
        Ok(Began { marks, cpu: pid.map(processor_seconds).transpose()?, at: Instant::now(), pid })
    }

    /// What was done since.
    fn report(&self, after: &Marks) -> Result<String> {
        let seconds = self.at.elapsed().as_secs_f64();
        let spent =
            self.pid.map(processor_seconds).transpose()?.zip(self.cpu).map(|(after, before)| after - before);
        Ok(report(&self.marks, after, seconds, spent))
    }
}

fn report(before: &Marks, after: &Marks, seconds: f64, cpu: Option<f64>) -> String {
    let count = |figure: fn(&Marks) -> u64| figure(after) - figure(before);
    let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let (connects, announces) = (count(|at| at.tally.connects), count(|at| at.tally.announces));
    let responses = connects + announces;
    let checked = count(|at| at.checked);
    format!(
        "{{\"seconds\":{seconds:.3},\"asked\":{},\"connects\":{connects},\"announces\":{announces},\"dials\":{},\"responses_per_second\":{:.0},\
         \"lost\":{},\"refused\":{},\"checked\":{checked},\"itself\":{},\"short\":{},\"full\":{:.4},\"could_be_full\":{:.4},\
         \"peers_per_reply\":{:.2},\"bytes_per_response\":{:.1},\"server_cpu_seconds\":{},\"responses_per_cpu_second\":{}}}",
        count(|at| at.tally.asked),
        count(|at| at.tally.dials),
        responses as f64 / seconds,
        count(|at| at.tally.lost),
        count(|at| at.tally.refused),
        count(|at| at.itself),
        count(|at| at.short),
        ratio(count(|at| at.full), checked),
        ratio(count(|at| at.could_be_full), checked),
        ratio(count(|at| at.peers), checked),
        ratio(count(|at| at.tally.bytes_in), responses),
        cpu.map_or("null".into(), |cpu| format!("{cpu:.2}")),
        cpu.filter(|&cpu| cpu > 0.0).map_or("null".into(), |cpu| format!("{:.0}", responses as f64 / cpu)),
    )
}

/// User and system time of a process so far. The kernel counts in ticks, 100 a second on every Linux that we meet.
fn processor_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).context(path)?;
    let after_name = stat.rsplit_once(") ").context("stat")?.1;
    let ticks = after_name.split(' ').skip(11).take(2).map(|word| word.parse::<u64>().unwrap_or(0));
    Ok(ticks.sum::<u64>() as f64 / 100.0)
}

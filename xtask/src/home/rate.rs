//! How fast a share is on a cable of 1 Gbit/s, beside a plain TCP copy in the same run.
//!
//! Two hosts, joined by a veth that is shaped to 1 Gbit/s each way, and no route elsewhere. The plain copy reads the same file
//! (`sendfile`), and writes what it receives to the same disk, once, without waiting for the disk at the end: its rate is payload
//! bytes from the first to the last that were handed to the file system. `receive` is measured from its line `began` to `finished`, when everything is verified and
//! safely on the disk. The file is one sixteenth noise, the rest a hole.

use super::content;
use super::figures::Figures;
use super::sides::{Side, transfer};
use super::{Home, sides};
use crate::lab::Host;
use crate::lab::process::Running;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::Duration;

const GIGABIT: u64 = 1_000_000_000;
/// Slower than this something is stuck.
const RATE_MIN: u64 = 5_000_000;
/// Share of the plain copy's rate. In the short form links have hardly started when all is over.
const RATIO_MIN: f64 = 0.9;
const RATIO_MIN_SMALL: f64 = 0.5;
const CODE_MAX: f64 = 0.5;
const BEGAN_MAX: f64 = 2.0;
const PORT: &str = "5000";

/// One share's figures.
struct Shared {
    code: f64,
    began: f64,
    began_from_share: f64,
    rate: f64,
    cpu: [f64; 2],
}

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let size = home.size(20 << 30, 256 << 20);
    // One run of the full size takes minutes and says enough; short ones are taken in turn.
    let rounds = if size >= 4 << 30 { 1 } else { 3 };
    let hosts = home.lab.pair()?;
    hosts.into_iter().try_for_each(|host| host.shape_uplink(GIGABIT))?;
    let source = home.dir.join("film.bin");
    content::sparse(&source, size)?;
    let (mut plain, mut shared) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        plain.push(tcp_copy(home, hosts, &source)?);
        shared.push(share(home, hosts, &source, size)?);
    }
    let tcp = median(plain.iter().map(|rates| rates.0));
    let ours = |figure: fn(&Shared) -> f64| median(shared.iter().map(figure));
    let gib = size as f64 / f64::from(1 << 30);
    figures.note("size, rounds", format!("{gib:.2} GiB, {rounds}"));
    figures.note("plain TCP copy", format!("{:.1} MB/s", tcp / 1e6));
    figures.note(
        "the same until it is safely on the disk",
        format!("{:.1} MB/s", median(plain.iter().map(|rates| rates.1)) / 1e6),
    );
    figures.note("share to receive", format!("{:.1} MB/s", ours(|run| run.rate) / 1e6));
    let least = if size >= 4 << 30 { RATIO_MIN } else { RATIO_MIN_SMALL };
    figures.at_least("its rate in parts of TCP's", ours(|run| run.rate) / tcp, least, "");
    figures.at_most("code after the start of share", ours(|run| run.code), CODE_MAX, " s");
    figures.at_most("first payload after both commands", ours(|run| run.began), BEGAN_MAX, " s");
    figures.note("the same after the start of share", format!("{:.2} s", ours(|run| run.began_from_share)));
    figures.note("processor time of share, per GiB", format!("{:.2} s", ours(|run| run.cpu[0]) / gib));
    figures.note("processor time of receive, per GiB", format!("{:.2} s", ours(|run| run.cpu[1]) / gib));
    Ok(())
}

/// Bytes per second into a file, and until that is on the disk.
fn tcp_copy(home: &Home, [from, to]: [Host; 2], source: &Path) -> Result<(f64, f64)> {
    let script = crate::root().join("xtask/peers/tcp_copy.py");
    let copy = home.dir.join("plain-copy");
    let mut receive = to.command("python3");
    receive.arg(&script).args(["receive", &to.address().to_string(), PORT]).arg(&copy);
    let mut receiver = Running::start("plain-receiver", &home.dir, &mut receive)?;
    receiver.wait_for(sides::SOON, |line| line.contains("ready").then_some(()))?;
    let mut send = from.command("python3");
    send.arg(&script).args(["send", &to.address().to_string(), PORT]).arg(source);
    let mut sender = Running::start("plain-sender", &home.dir, &mut send)?;
    let size = fs::metadata(source)?.len();
    let line = receiver.wait_for(patience(size), |line| {
        serde_json::from_str::<Value>(line).ok().filter(|line| line["seconds"].is_f64())
    })?;
    sender.wait_end(sides::SOON)?;
    let same = fs::metadata(&copy)?.len() == size;
    fs::remove_file(&copy)?;
    anyhow::ensure!(same, "the plain copy is not as long as its origin");
    let rate = |key: &str| Ok::<f64, anyhow::Error>(size as f64 / line[key].as_f64().context("seconds")?);
    Ok((rate("seconds")?, rate("synced")?))
}

fn share(home: &Home, [from, to]: [Host; 2], source: &Path, size: u64) -> Result<Shared> {
    let work = home.dir.join("work");
    let mut sharer = Side::share(home, from, &[source], &work, &["--no-web"])?;
    let (code_after, code) = sharer.code()?;
    let mut receiver = Side::receive(home, to, "receiver", &code, &work.join("got"), &[])?;
    let between = receiver.started.duration_since(sharer.started);
    let took = transfer(&mut receiver, patience(size))?;
    let cpu = [sharer.cpu()?, receiver.cpu()?];
    receiver.stop()?;
    sharer.stop()?;
    content::same(source, &work.join("got").join(source.file_name().context("name")?))?;
    fs::remove_dir_all(&work)?;
    Ok(Shared {
        code: code_after.as_secs_f64(),
        began: took.began.as_secs_f64(),
        began_from_share: (between + took.began).as_secs_f64(),
        rate: size as f64 / took.seconds(),
        cpu,
    })
}

fn patience(size: u64) -> Duration {
    Duration::from_secs(60 + size / RATE_MIN)
}

/// The middle one.
pub(super) fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

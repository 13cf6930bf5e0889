//! Three receivers beside one: a bridge, each host on a link of its own of 1 Gbit/s each way. A sharer's link carries everything once
//! whether one receives or three, if they give each other what they have.
//!
//! All copies go to memory (a tmpfs of this run's own), for this one machine's disk stands in for those of three. Each takes from the start of its
//! command until it has everything; of three the last counts.

use super::Home;
use super::content;
use super::figures::Figures;
use super::sides::Side;
use crate::lab::{Host, process};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const GIGABIT: u64 = 1_000_000_000;
const RATIO_MAX: f64 = 1.3;
/// In the short form all is over before the three have dealt the pieces out among them.
const RATIO_MAX_SMALL: f64 = 2.5;

/// A folder in memory, until this is dropped or the namespaces end.
struct Memory(PathBuf);

impl Memory {
    fn at(path: PathBuf) -> Result<Memory> {
        fs::create_dir_all(&path)?;
        process::run("mount", &["-t", "tmpfs", "tmpfs", &path.to_string_lossy()])?;
        Ok(Memory(path))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = process::run("umount", &["--lazy", &self.0.to_string_lossy()]);
    }
}

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let size = home.size(2 << 30, 64 << 20);
    let hosts = [home.lab.host()?, home.lab.host()?, home.lab.host()?, home.lab.host()?];
    hosts.into_iter().try_for_each(|host| host.shape_link(GIGABIT))?;
    let memory = Memory::at(home.dir.join("memory"))?;
    let source = memory.0.join("film.bin");
    content::sparse(&source, size)?;
    let [sharer, receivers @ ..] = hosts;
    let alone = receive(home, sharer, &receivers[..1], &source, &memory.0)?;
    let three = receive(home, sharer, &receivers, &source, &memory.0)?;
    let gib = size as f64 / f64::from(1 << 30);
    figures.note("size", format!("{gib:.2} GiB"));
    figures.note("one receiver", alone.told());
    figures.note("three receivers", three.told());
    let sent = |run: &Run| run.sent as f64 / size as f64;
    figures.note(
        "copies that the sharer sent",
        format!("{:.2} to one, {:.2} to three", sent(&alone), sent(&three)),
    );
    let most = if size < 1 << 30 { RATIO_MAX_SMALL } else { RATIO_MAX };
    figures.at_most("three in parts of one's time", three.seconds / alone.seconds, most, "");
    Ok(())
}

struct Run {
    seconds: f64,
    sent: u64,
    /// Processor time of all programs.
    cpu: f64,
    /// How busy the machine was, with whatever: a machine that is full carries three more slowly than one.
    busy: f64,
}

impl Run {
    fn told(&self) -> String {
        let Run { seconds, cpu, busy, .. } = self;
        format!("{seconds:.1} s, {cpu:.1} s of processor time in all; the machine {:.0} % busy", 100.0 * busy)
    }
}

fn receive(home: &Home, from: Host, to: &[Host], source: &Path, memory: &Path) -> Result<Run> {
    let work = memory.join("work");
    let mut sharer = Side::share(home, from, &[source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let start = |(number, host): (usize, &Host)| {
        let into = work.join(format!("got-{number}"));
        Side::receive(home, *host, &format!("receiver-{number}"), &code, &into, &[])
    };
    let mut receivers = to.iter().enumerate().map(start).collect::<Result<Vec<Side>>>()?;
    let before = process::machine_ticks()?;
    let began = receivers.first().context("nobody receives")?.started;
    let limit = Duration::from_secs(60 + fs::metadata(source)?.len() / 5_000_000);
    let mut run = Run { seconds: 0.0, sent: 0, cpu: 0.0, busy: 0.0 };
    for receiver in &mut receivers {
        let (after, _) = receiver.wait("finished", limit)?;
        run.seconds = run.seconds.max((receiver.started + after - began).as_secs_f64());
        run.cpu += receiver.cpu()?;
    }
    let [busy, all] = process::machine_ticks()?;
    run.busy = (busy - before[0]) as f64 / (all - before[1]).max(1) as f64;
    run.cpu += sharer.cpu()?;
    // Its figures are told twice a second.
    std::thread::sleep(Duration::from_secs(1));
    run.sent = sharer.progress("sent");
    receivers.iter_mut().try_for_each(Side::stop)?;
    sharer.stop()?;
    for number in 0..to.len() {
        content::same(source, &work.join(format!("got-{number}")).join(source.file_name().context("name")?))?;
    }
    fs::remove_dir_all(&work)?;
    Ok(run)
}

//! The real half: `gannet tracker`, `gannet seed` and ten times `gannet get`, each on a host of its own.
//!
//! A leecher's time is from the moment when the first of them is started until it prints that it has verified everything. What a link
//! carried is read from its shaper.

use super::simulated::{Member, Role, World};
use crate::interop::{Content, gannet};
use crate::lab::process::{Running, machine_ticks, output};
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const TRACKER_PORT: u16 = 6969;
const SOON: Duration = Duration::from_secs(20);
/// After so many times the bound somebody will never have it.
const PATIENCE: f64 = 6.0;

/// Where and what.
pub(super) struct Setting<'a> {
    pub(super) lab: &'a Lab,
    /// For all files.
    pub(super) dir: &'a Path,
    pub(super) world: &'a World,
    /// For recordings of all sessions.
    pub(super) record: Option<&'a Path>,
}

struct Peer {
    host: Host,
    running: Running,
    finished: Option<Instant>,
}

/// One run: when each leecher had everything.
pub(super) fn run(setting: &Setting<'_>, number: usize) -> Result<Vec<Option<f64>>> {
    let Setting { lab, dir, world, .. } = *setting;
    let work = dir.join(format!("{}-{number}", world.name));
    fs::create_dir_all(&work)?;
    let host = lab.host()?;
    let at = format!("{}:{TRACKER_PORT}", host.address());
    let mut tracker = host.command(&gannet().to_string_lossy());
    let mut tracker = Running::start("tracker", &work, tracker.args(["tracker", "--json", "--listen", &at]))?;
    tracker.wait_for(SOON, |line| line.contains("tracker_listening").then_some(()))?;
    let url = format!("http://{at}/announce");
    let shared = Content::OneFile(world.size).share(&work, world.piece_len, &[url])?;
    // Hosts of its own for each run: kernels remember how fast a path was.
    let hosts: Vec<Host> =
        world.members.iter().map(|member| shaped(setting, member)).collect::<Result<_>>()?;
    let busy = machine_ticks()?;
    let mut began = Instant::now();
    let mut peers = Vec::new();
    for (index, (member, host)) in world.members.iter().zip(hosts).enumerate() {
        let copy =
            if member.role == Role::Seed { shared.dir.clone() } else { work.join(format!("copy-{index}")) };
        let mut running = start(setting, member, host, index, &shared.torrent, &copy, &work)?;
        if member.role == Role::Seed {
            // The tracker knows it before anybody else comes.
            running.wait_for(SOON, |line| line.contains("\"type\":\"tracker\"").then_some(()))?;
            began = Instant::now();
        }
        peers.push(Peer { host, running, finished: None });
    }
    follow(world, &mut peers, began)?;
    let times = peers[1..].iter().map(|peer| Some(peer.finished?.duration_since(began).as_secs_f64()));
    let times: Vec<Option<f64>> = times.collect();
    let busy: Vec<u64> = machine_ticks()?.iter().zip(busy).map(|(after, before)| after - before).collect();
    println!(
        "   run {number}: median {}, last {}; the seed's link carried {:.3} copies, all {:.2}; processors {} % busy",
        super::shown(super::middle(&times)),
        super::shown(super::last(&times)),
        copies(&peers[..1], world)?,
        copies(&peers, world)?,
        100 * busy[0] / busy[1].max(1)
    );
    for (index, peer) in peers.iter_mut().enumerate().skip(1) {
        if peer.finished.is_some() {
            shared.same_in(&work.join(format!("copy-{index}")))?;
        }
        // In order, for the end of what it records.
        peer.running.stop(SOON)?;
    }
    drop(peers);
    fs::remove_dir_all(&work)?;
    Ok(times)
}

/// A host with its link.
fn shaped(setting: &Setting<'_>, member: &Member) -> Result<Host> {
    let host = setting.lab.host()?;
    host.shape_access(member.up * 1_000_000, member.down * 1_000_000, setting.world.queue)?;
    Ok(host)
}

fn start(
    setting: &Setting<'_>,
    member: &Member,
    host: Host,
    index: usize,
    torrent: &Path,
    copy: &Path,
    work: &Path,
) -> Result<Running> {
    let name = format!("peer-{index}");
    let mut command = host.command(&gannet().to_string_lossy());
    match member.role {
        Role::Seed => command.arg("seed").arg(torrent).arg("--data").arg(copy),
        Role::Leecher | Role::Rider => {
            command.arg("get").arg(torrent).arg("--output").arg(copy).args(["--seed-time", "600s"])
        }
    };
    if member.role == Role::Rider {
        command.args(["--max-up", "1B/s", "--slots", "1"]);
    }
    command.args(["--json", "--no-lsd", "--no-dht", "--state"]).arg(work.join(format!("{name}-state")));
    if let Some(folder) = setting.record {
        fs::create_dir_all(folder)?;
        command.arg("--record").arg(folder.join(format!("{}-{name}", setting.world.name)));
    }
    Running::start(&name, work, &mut command)
}

/// Hears when each has everything, and kills the seed when it is time.
fn follow(world: &World, peers: &mut [Peer], began: Instant) -> Result<()> {
    let end = began + Duration::from_secs_f64(world.bounds[0] * PATIENCE + 10.0);
    let mut dies = world.seed_dies.map(|after| began + after);
    loop {
        if dies.is_some_and(|at| at <= Instant::now()) {
            dies = None;
            peers[0].running.kill()?;
        }
        for peer in peers.iter_mut().filter(|peer| peer.finished.is_none()) {
            // The moment when it was printed, whenever we look.
            while let Ok((when, line)) = peer.running.next_line(Instant::now()) {
                if line.contains("\"type\":\"finished\"") {
                    peer.finished = Some(when);
                }
            }
        }
        if peers[1..].iter().all(|peer| peer.finished.is_some()) || Instant::now() > end {
            return Ok(());
        }
        for peer in &mut peers[1..] {
            ensure!(
                !peer.running.has_ended()?,
                "{} ended early\n{}",
                peer.running.name,
                peer.running.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What left these hosts so far, headers and all, in copies of the content.
fn copies(peers: &[Peer], world: &World) -> Result<f64> {
    let mut bytes = 0;
    for peer in peers {
        let text = output(peer.host.command("cat").arg("/sys/class/net/eth0/statistics/tx_bytes"))?;
        bytes += text.trim().parse::<u64>().context("tx_bytes")?;
    }
    Ok(bytes as f64 / world.size as f64)
}

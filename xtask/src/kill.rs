//! A kill loses nothing: `cargo xtask kill [--kills N] [--seed N] [--hogs N]`.
//!
//! Downloads with 16 MiB pieces onto ext4 in a loop file, several side by side, are killed (SIGKILL) at seeded moments and
//! started again. After each start, what the program found must be all it held five seconds before the kill, unchecked again.
//! Hogs write and sync beside it all the time, into the same file system, so that the program's syncs last.

use crate::interop::{Client, Content, Kind, Role, scratch};
use crate::lab::process::{output, run};
use crate::lab::{self, Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::io::{Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SIZE: u64 = 192 * 1024 * 1024;
const PIECE_LEN: u32 = 16 * 1024 * 1024;
/// What a crash may cost.
const LOST_MAX: Duration = Duration::from_secs(5);
/// Side by side, so that a hundred kills fit into a few minutes.
const LANES: u64 = 4;
/// Each lane's seeder sends no faster: a download takes some ten seconds, and meets several kills.
const UPLINK: u64 = 12_000_000;
const PORT: u16 = 51413;
/// What a hog writes before it syncs, and where it begins anew in its file.
const HOG_WRITES: usize = 16 << 20;
const HOG_FILE: u64 = 256 << 20;

/// What one lane saw.
#[derive(Default, Debug)]
struct Tally {
    kills: u32,
    downloads: u32,
    lost_max: u64,
    lost: u64,
    /// Restarts that found something to go on with.
    resumed: u32,
    /// Kills that hit a program at work for longer than the allowance: only these could lose too much.
    long_runs: u32,
}

/// Runs the lanes and prints the figures.
pub(crate) fn run_kills(args: &[&str]) -> Result<()> {
    let Options { kills, seed, hogs } = options(args)?;
    lab::enter()?;
    let dir = scratch("kill")?;
    let mount = mount_ext4(&dir)?;
    let lab = Lab::new()?;
    let shared = Content::OneFile(SIZE).share(&dir, PIECE_LEN, &[])?;
    let began = Instant::now();
    let mut lanes = Vec::new();
    for lane in 0..LANES {
        let (seed_host, leech_host) = (lab.host()?, lab.host()?);
        seed_host.limit_uplink(UPLINK)?;
        let work = dir.join(format!("lane-{lane}"));
        fs::create_dir_all(&work)?;
        let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
        let mut seeder = Client::start(Kind::Libtorrent, seed_host, "seeder", role, &work)?;
        seeder.wait_complete(Duration::from_secs(60))?;
        lanes.push((leech_host, seeder, work, mount.join(format!("lane-{lane}"))));
    }
    let mut tally = Tally::default();
    let (done, hogged) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| -> Result<()> {
        let _done = SetOnDrop(&done);
        for hog in 0..hogs {
            let file = mount.join(format!("hog-{hog}"));
            let (done, hogged) = (&done, &hogged);
            scope.spawn(move || hog_disk(&file, done, hogged));
        }
        let mut running = Vec::new();
        for (lane, (host, seeder, work, out)) in lanes.iter().enumerate() {
            let share = kills / LANES as u32 + u32::from((lane as u32) < kills % LANES as u32);
            let moments = Moments(seed ^ (lane as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let peer = SocketAddr::from((seeder.host.address(), PORT));
            let shared = &shared;
            running.push(scope.spawn(move || {
                let lane = Lane { host: *host, peer, torrent: &shared.torrent, work, out };
                lane.run(share, moments, |dir| shared.same_in(dir))
            }));
        }
        for lane in running {
            tally.add(&lane.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??);
        }
        Ok(())
    })
    .with_context(|| format!("seed {seed}; its files: {}", dir.display()))?;
    ensure!(hogs == 0 || hogged.load(Ordering::Relaxed) > 0, "the hogs could not write");
    run("umount", &[&mount.to_string_lossy()])?;
    fs::remove_dir_all(&dir)?;
    println!(
        "kill: {} kills in {:.0} s, seed {seed}: {} downloads completed with the right content, {} of {} restarts went on \
         from saved bytes, {} kills after more than {LOST_MAX:?} of work; bytes fetched again per kill: at most {}, mean {}; pieces re-checked: 0; \
         {hogs} hogs wrote and synced {} MB beside it",
        tally.kills,
        began.elapsed().as_secs_f64(),
        tally.downloads,
        tally.resumed,
        tally.kills,
        tally.long_runs,
        tally.lost_max,
        tally.lost / u64::from(tally.kills.max(1)),
        hogged.load(Ordering::Relaxed) / 1_000_000,
    );
    Ok(())
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.kills += other.kills;
        self.downloads += other.downloads;
        self.lost_max = self.lost_max.max(other.lost_max);
        self.lost += other.lost;
        self.resumed += other.resumed;
        self.long_runs += other.long_runs;
    }
}

/// What is to be done.
struct Options {
    kills: u32,
    seed: u64,
    hogs: u32,
}

fn options(args: &[&str]) -> Result<Options> {
    let mut options = Options { kills: 100, seed: 1, hogs: 0 };
    for pair in args.chunks(2) {
        match pair {
            ["--kills", n] => options.kills = n.parse()?,
            ["--seed", n] => options.seed = n.parse()?,
            ["--hogs", n] => options.hogs = n.parse()?,
            other => bail!("kill: what is {other:?}? Try --kills N, --seed N, --hogs N"),
        }
    }
    Ok(options)
}

/// However the lanes end, the hogs end too.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Writes and syncs until it is told to stop, or the disk refuses.
fn hog_disk(path: &Path, done: &AtomicBool, hogged: &AtomicU64) -> std::io::Result<()> {
    let mut file = fs::File::create(path)?;
    let bytes = vec![0x5a; HOG_WRITES];
    while !done.load(Ordering::Relaxed) {
        if file.stream_position()? >= HOG_FILE {
            file.rewind()?;
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        hogged.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

/// A real file system with a journal, in a file.
fn mount_ext4(dir: &Path) -> Result<PathBuf> {
    let (image, mount) = (dir.join("ext4.img"), dir.join("ext4"));
    fs::File::create(&image)?.set_len(3 << 30)?;
    fs::create_dir_all(&mount)?;
    output(Command::new("mkfs.ext4").arg("-q").arg(&image))?;
    output(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount))?;
    Ok(mount)
}

/// One download that is killed and started again, over and over.
struct Lane<'a> {
    host: Host,
    peer: SocketAddr,
    torrent: &'a Path,
    work: &'a Path,
    out: &'a Path,
}

/// What one run of the program said: when, and the bytes it held by then.
struct Said {
    resumed: u64,
    held: Vec<(Instant, u64)>,
    complete: bool,
}

impl Lane<'_> {
    fn run(&self, kills: u32, mut moments: Moments, same: impl Fn(&Path) -> Result<()>) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut must_find = 0;
        let mut held_at_kill: u64 = 0;
        while tally.kills < kills {
            let life = moments.next();
            let said = self.live(life)?;
            ensure!(
                said.resumed >= must_find,
                "found {} bytes after the kill, but held {must_find} five seconds before it",
                said.resumed
            );
            if held_at_kill > 0 {
                let lost = held_at_kill.saturating_sub(said.resumed);
                tally.lost += lost;
                tally.lost_max = tally.lost_max.max(lost);
                tally.resumed += u32::from(said.resumed > 0);
            }
            if said.complete {
                same(self.out)?;
                tally.downloads += 1;
                fs::remove_dir_all(self.out)?;
                fs::remove_dir_all(self.work.join("leecher-state"))?;
                (must_find, held_at_kill) = (0, 0);
                continue;
            }
            tally.kills += 1;
            tally.long_runs += u32::from(life > LOST_MAX);
            let killed = Instant::now();
            held_at_kill = said.held.last().map_or(said.resumed, |(_, held)| *held);
            let old_enough = said.held.iter().filter(|(at, _)| killed.duration_since(*at) >= LOST_MAX);
            must_find = old_enough.map(|(_, held)| *held).max().unwrap_or(0).max(said.resumed);
        }
        Ok(tally)
    }

    /// Starts the program, and kills it after `life` or lets it end when it is complete before.
    fn live(&self, life: Duration) -> Result<Said> {
        let role =
            Role { torrent: self.torrent, dir: self.out, port: PORT, peers: &[self.peer], stay: false };
        let mut leecher = Client::start(Kind::Gannet, self.host, "leecher", role, self.work)?;
        let resumed = leecher.running.wait_for(Duration::from_secs(20), |line| {
            let value: Value = serde_json::from_str(line).ok()?;
            (value["type"] == "resumed").then(|| {
                let number = |key: &str| value[key].as_u64();
                Some((number("have")? + number("unverified")?, number("checked")?))
            })
        })?;
        let (resumed, checked) = resumed.context("the `resumed` line lacks a figure")?;
        ensure!(checked == 0, "{checked} pieces were checked again after a kill");
        let mut said = Said { resumed, held: vec![], complete: false };
        let end = Instant::now() + life;
        while Instant::now() < end && !said.complete {
            let rest = end.saturating_duration_since(Instant::now());
            let _ = leecher.running.wait_for(rest, |line| {
                let value: Value = serde_json::from_str(line).ok()?;
                if value["type"] == "progress" {
                    said.held.push((Instant::now(), value["held"].as_u64()?));
                    said.complete = value["durable"] == true;
                }
                said.complete.then_some(())
            });
        }
        match said.complete {
            true => leecher.running.wait_end(Duration::from_secs(20))?,
            false => leecher.running.kill()?,
        }
        Ok(said)
    }
}

/// When to kill, from a seed: from at once to well over the allowance.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(50 + (self.0 >> 33) % 8_000)
    }
}

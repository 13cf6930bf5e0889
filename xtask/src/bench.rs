//! First figures of the byte path beside libtorrent's, in one run: `cargo xtask bench [--size MIB] [--runs N]`; and those of the
//! tracker beside others, `cargo xtask bench tracker ...`, which is `tracker`'s.
//!
//! Both clients on one machine, content and copy in memory (/dev/shm): rates say what the code costs, not what a disk does.
//! Machines differ and are noisy: compare the rows of one run with each other, never with another run's.

pub(crate) mod servers;
mod tracker;

use crate::interop::{Client, Content, Kind, Role};
use crate::lab::process::Cost;
use crate::lab::{self, Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PAIRS: &[[Kind; 2]] = &[
    [Kind::Libtorrent, Kind::Libtorrent],
    [Kind::Gannet, Kind::Gannet],
    [Kind::Libtorrent, Kind::Gannet],
    [Kind::Gannet, Kind::Libtorrent],
];

/// A transfer may take this long to begin, and then as long as at this rate, in memory: slower than this something is stuck,
/// and the figure would say nothing of the code.
const PATIENCE: Duration = Duration::from_secs(60);
const RATE_MIN: u64 = 5_000_000;

/// One transfer's figures.
struct Row {
    mb_per_second: f64,
    seeder: Cost,
    leecher: Cost,
}

/// Runs each pair in turn, several rounds, and prints medians.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    if let ["tracker", rest @ ..] = args {
        return tracker::run(rest);
    }
    let (mut mib, mut runs) = (1024u64, 3usize);
    for pair in args.chunks(2) {
        match pair {
            ["--size", n] => mib = n.parse()?,
            ["--runs", n] => runs = n.parse()?,
            other => bail!("bench: what is {other:?}? Try --size MIB, --runs N"),
        }
    }
    lab::enter()?;
    let _lab = Lab::new()?;
    let dir = PathBuf::from("/dev/shm/gannet-bench");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir)?;
    let shared = Content::OneFile(mib << 20).share(&dir, 1 << 20, &[])?;
    let mut rows: Vec<Vec<Row>> = PAIRS.iter().map(|_| Vec::new()).collect();
    for _ in 0..runs {
        for (pair, rows) in PAIRS.iter().zip(&mut rows) {
            rows.push(transfer(&dir, &shared, *pair)?);
        }
    }
    fs::remove_dir_all(&dir)?;
    let gib = mib as f64 / 1024.0;
    println!(
        "{mib} MiB in 1 MiB pieces, plaintext TCP, medians of {runs} runs taken in turn; CPU in seconds per GiB"
    );
    println!(
        "| seeder -> leecher | MB/s | seeder CPU | leecher CPU | seeder peak MiB | leecher peak MiB |\n|---|---|---|---|---|---|"
    );
    for ([seeder, leecher], rows) in PAIRS.iter().zip(&rows) {
        let median = |figure: &dyn Fn(&Row) -> f64| {
            let mut figures: Vec<f64> = rows.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or_default()
        };
        println!(
            "| {seeder} -> {leecher} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} |",
            median(&|row| row.mb_per_second),
            median(&|row| row.seeder.cpu / gib),
            median(&|row| row.leecher.cpu / gib),
            median(&|row| row.seeder.peak_mib),
            median(&|row| row.leecher.peak_mib),
        );
    }
    Ok(())
}

fn transfer(dir: &std::path::Path, shared: &crate::interop::Shared, kinds: [Kind; 2]) -> Result<Row> {
    let host = Host::OWN;
    let (seed_port, leech_port) = (51_413, 51_414);
    let work = dir.join("work");
    fs::create_dir_all(&work)?;
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: seed_port, peers: &[], stay: true };
    let mut seeder = Client::start(kinds[0], host, "seeder", role, &work)?;
    seeder.wait_complete(Duration::from_secs(60))?;
    let before = seeder.running.cost()?;
    let peers = [SocketAddr::from((host.address(), seed_port))];
    let role = Role { dir: &work.join("copy"), port: leech_port, peers: &peers, ..role };
    let mut leecher = Client::start(kinds[1], host, "leecher", role, &work)?;
    let elapsed = time_transfer(&mut leecher, shared.size)
        .with_context(|| format!("{} -> {}; its files: {}", kinds[0], kinds[1], work.display()))?;
    let after = seeder.running.cost()?;
    let row = Row {
        mb_per_second: shared.size as f64 / 1e6 / elapsed,
        seeder: Cost { cpu: after.cpu - before.cpu, ..after },
        leecher: leecher.running.cost()?,
    };
    leecher.stop()?;
    seeder.stop()?;
    shared.same_in(&work.join("copy"))?;
    fs::remove_dir_all(&work)?;
    Ok(row)
}

/// Waits for a leecher to complete: the seconds that the whole took or, as it is seen late, would have taken.
fn time_transfer(leecher: &mut Client, size: u64) -> Result<f64> {
    let limit = PATIENCE + Duration::from_secs(size / RATE_MIN);
    let (started, mut began) = (Instant::now(), None);
    loop {
        let status = leecher.status()?;
        if status.done > 0 {
            began.get_or_insert((Instant::now(), status.done));
        }
        if let (true, Some((at, had))) = (status.complete, began) {
            let share = (status.size - had) as f64 / status.size as f64;
            return Ok(at.elapsed().as_secs_f64() / share.max(0.01));
        }
        if leecher.running.has_ended()? {
            let tail = leecher.running.log_tail();
            bail!("the leecher ended early, with {} of {} bytes\n{tail}", status.done, status.size);
        }
        ensure!(
            started.elapsed() < limit,
            "the leecher has {} of {} bytes after {limit:?}, and should have all of them",
            status.done,
            status.size
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

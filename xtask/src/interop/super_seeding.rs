//! Super-seeding (BEP 16): Gannet is the only seed of clients that we did not write, every uplink is capped, and all finish.
//! What leaves the seed until the first of them is complete is printed, in copies, as the seed's kernel counts it.

use super::client::{Client, Kind, Role};
use super::swarm::Traffic;
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
/// Long enough for clients that look every ten seconds whom to serve.
const SIZE: u64 = 64 * 1024 * 1024;
const UPLINK: u64 = 2_000_000;
const LIMIT: Duration = Duration::from_secs(180);
/// A seed that serves its four peers as any other sends each piece more than twice before one of them has all.
const COPIES_MAX: f64 = 2.0;
/// In pieces of 16 KiB: many to show one by one.
const ALONE_SIZE: u64 = 60_000_000;
/// How much longer one leecher may take, and a second more, in which clients look what is new.
const SLOWER_MAX: f64 = 1.3;

pub(super) fn cases() -> Vec<Case> {
    let swarms: [(&str, [Kind; 4]); 4] = [
        ("libtorrent", [Kind::Libtorrent; 4]),
        ("transmission", [Kind::Transmission; 4]),
        ("aria2", [Kind::Aria2; 4]),
        ("one of each", [Kind::Libtorrent, Kind::Transmission, Kind::Aria2, Kind::Gannet]),
    ];
    let case = |(who, kinds): (&str, [Kind; 4])| {
        Case::new(format!("super-seeding: gannet -> four leechers, {who}"), move |lab, dir| {
            seed(lab, dir, kinds)
        })
    };
    let mut cases: Vec<Case> = swarms.map(case).into();
    for kind in [Kind::Libtorrent, Kind::Transmission, Kind::Aria2, Kind::Gannet] {
        let name = format!("super-seeding: one leecher alone is not slowed, {kind}");
        // Judged by the clock.
        cases.push(Case::new(name, move |lab, dir| one_alone(lab, dir, kind)).alone());
    }
    cases
}

/// The same leecher with and without super-seeding, of which a web seed in the torrent makes none: somebody else has everything.
/// Then, to compare, with libtorrent as the seed.
fn one_alone(lab: &Lab, dir: &Path, kind: Kind) -> Result<String> {
    let tracker_host = lab.host()?;
    let url = tracker::http_url(tracker_host);
    let shared = Content::OneFile(ALONE_SIZE).share(dir, 16 * 1024, std::slice::from_ref(&url))?;
    let _tracker = Tracker::start(tracker_host, &[shared.info_hash()?], dir)?;
    let nobody = format!("http://{}:1/", lab.host()?.address());
    let plain = shared.variant(&dir.join("plain.torrent"), &["--tracker", &url, "--web-seed", &nobody])?;
    let runs = [
        ("with", Kind::Gannet, &shared.torrent),
        ("without", Kind::Gannet, &plain),
        ("libtorrent", Kind::Libtorrent, &shared.torrent),
    ];
    // Transmission takes half a minute to begin.
    let runs = if kind == Kind::Transmission { &runs[..2] } else { &runs[..] };
    let mut took = Vec::new();
    for (name, seeding, torrent) in runs {
        let work = dir.join(name);
        fs::create_dir_all(&work)?;
        let role = Role { torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
        let mut seeder = Client::start(*seeding, lab.host()?, "seeder", role, &work)?;
        seeder.wait_complete(LIMIT)?;
        let copy = work.join("copy");
        let role = Role { torrent: &shared.torrent, dir: &copy, ..role };
        let mut leecher = Client::start(kind, lab.host()?, "leecher", role, &work)?;
        took.push(time_of_copy(seeder.host, &mut leecher)?);
        leecher.wait_complete(LIMIT)?;
        leecher.stop()?;
        seeder.stop()?;
        shared.same_in_copy_of(kind, &copy)?;
    }
    ensure!(
        took[0] <= took[1] * SLOWER_MAX + 1.0,
        "{:.1} s, without super-seeding {:.1} s",
        took[0],
        took[1]
    );
    let from_libtorrent =
        took.get(2).map(|took| format!(", from libtorrent {took:.1} s")).unwrap_or_default();
    let [with, without] = [took[0], took[1]];
    Ok(format!("{with:.1} s from the first bytes on, without super-seeding {without:.1} s{from_libtorrent}"))
}

/// Seconds from the first piece to the last, as the seed's kernel counts what it sends; or as the leecher says, which may have hung
/// up on a seed that it needs no more.
fn time_of_copy(from: Host, leecher: &mut Client) -> Result<f64> {
    let (start, mut first, mut traffic) = (Instant::now(), None, Traffic::default());
    while start.elapsed() < LIMIT {
        traffic.look(from)?;
        let sent = traffic.sent(from.address(), leecher.host.address());
        if sent >= ALONE_SIZE || leecher.status()?.complete {
            let first: Instant = first.context("all came at once")?;
            return Ok(first.elapsed().as_secs_f64());
        }
        if sent >= 16 * 1024 {
            first.get_or_insert_with(Instant::now);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("not all was sent within {} s", LIMIT.as_secs())
}

fn seed(lab: &Lab, dir: &Path, kinds: [Kind; 4]) -> Result<String> {
    let [tracker_host, seed_host] = [lab.host()?, lab.host()?];
    let shared = Content::OneFile(SIZE).share(dir, 256 * 1024, &[tracker::http_url(tracker_host)])?;
    let _tracker = Tracker::start(tracker_host, &[shared.info_hash()?], dir)?;
    seed_host.limit_uplink(UPLINK)?;
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seeder = Client::start(Kind::Gannet, seed_host, "seeder", role, dir)?;
    seeder.wait_complete(LIMIT)?;
    let began = Instant::now();
    let mut leechers = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let host = lab.host()?;
        host.limit_uplink(UPLINK)?;
        let name = format!("leecher-{index}");
        let own_dir = dir.join(&name);
        let role = Role { dir: &own_dir, ..role };
        leechers.push((Client::start(kind, host, &name, role, dir)?, own_dir, None));
    }
    let mut traffic = Traffic::default();
    let mut at_first = None;
    while leechers.iter().any(|(_, _, finished)| finished.is_none()) {
        traffic.look(seed_host)?;
        for (leecher, _, finished) in &mut leechers {
            if finished.is_none() && leecher.status()?.complete {
                *finished = Some(began.elapsed());
            }
        }
        if at_first.is_none() && leechers.iter().any(|(_, _, finished)| finished.is_some()) {
            traffic.look(seed_host)?;
            let hosts = leechers.iter().map(|(leecher, ..)| leecher.host.address());
            let sent: u64 = hosts.map(|to| traffic.sent(seed_host.address(), to)).sum();
            at_first = Some(sent as f64 / SIZE as f64);
        }
        let ends: Vec<_> = leechers.iter().map(|(leecher, _, finished)| (leecher.kind, finished)).collect();
        ensure!(began.elapsed() < LIMIT, "not all finished: {ends:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    for (leecher, own_dir, _) in &mut leechers {
        leecher.stop()?;
        shared.same_in_copy_of(leecher.kind, own_dir)?;
    }
    let copies = at_first.context("nobody was first")?;
    ensure!(copies < COPIES_MAX, "{copies:.2} copies were sent until the first was complete");
    let ends = leechers.iter().flat_map(|(_, _, finished)| finished).map(Duration::as_secs_f64);
    let (first, last) = ends.fold((f64::MAX, 0.0_f64), |(first, last), end| (first.min(end), last.max(end)));
    Ok(format!(
        "{copies:.2} copies sent until the first was complete at {first:.1} s, the last at {last:.1} s"
    ))
}

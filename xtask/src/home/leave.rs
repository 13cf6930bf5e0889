//! Who leaves: a receiver that is killed and comes back with the same command goes on, and fetches no more than it lacks; and a
//! sharer who is gone when the receivers have everything among them is not needed any more.

use super::Home;
use super::content;
use super::figures::Figures;
use super::sides::{SOON, Side};
use crate::lab::Host;
use crate::lab::process::output;
use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a crash may cost.
const LOST_MAX: Duration = Duration::from_secs(5);
/// Headers, records, and what is said beside blocks, in parts of what is fetched.
const OVERHEAD: f64 = 1.1;
/// Pieces are shorter or as long, and begin at multiples of their length.
const PIECE_LEN_MAX: usize = 1 << 20;
const NAME: &str = "film.bin";

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let size = home.size(1 << 30, 64 << 20);
    content::noisy(&home.dir.join(NAME), size)?;
    for (case, name) in [
        (comes_back as fn(&Home, u64, &mut Figures) -> Result<()>, "killed and back"),
        (complete_receiver_serves, "sharer gone, one has all"),
        (two_halves_are_one, "sharer gone, two have all among them"),
    ] {
        if let Err(error) = case(home, size, figures) {
            figures.failed(&error.context(name));
        }
        let _ = fs::remove_dir_all(home.dir.join("work"));
    }
    Ok(())
}

/// What such a link carries in some twelve seconds is the whole: 5 s of it may be lost with a crash.
fn slow(size: u64) -> u64 {
    size * 8 / 12
}

fn comes_back(home: &Home, size: u64, figures: &mut Figures) -> Result<()> {
    let (work, into) = (home.dir.join("work"), home.dir.join("work/got"));
    let (from, to) = (home.lab.host()?, home.lab.host()?);
    from.shape_link(slow(size))?;
    let source = home.dir.join(NAME);
    let mut sharer = Side::share(home, from, &[&source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let mut receiver = Side::receive(home, to, "receiver", &code, &into, &[])?;
    receiver.wait_where("progress", Duration::from_secs(60), |line| {
        line["has"].as_u64() >= Some(size * 6 / 10)
    })?;
    let had = receiver.progress("has");
    receiver.running.kill()?;
    ensure!(had < size, "it had everything before it was killed");
    let before = received_bytes(to)?;
    let mut again = Side::receive(home, to, "receiver", &code, &into, &[])?;
    let (_, offer) = again.wait("offer", SOON)?;
    again.wait("finished", Duration::from_secs(60))?;
    let fetched = received_bytes(to)? - before;
    again.stop()?;
    content::same(&source, &into.join(NAME))?;
    sharer.stop()?;
    let lost = slow(size) / 8 * LOST_MAX.as_secs();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    figures.note("killed when it had", format!("{:.1} of {:.0} MiB", mib(had), mib(size)));
    let most = OVERHEAD * mib(size - had + lost.min(had));
    let here = offer["here"].as_u64().unwrap_or(0);
    figures.at_least("found again", mib(here), mib(had.saturating_sub(lost)).floor(), " MiB");
    figures.at_most("the network then brought it", mib(fetched), (most * 10.0).round() / 10.0, " MiB");
    Ok(())
}

/// One has everything, the other a part of it, when the sharer is killed.
fn complete_receiver_serves(home: &Home, size: u64, figures: &mut Figures) -> Result<()> {
    let work = home.dir.join("work");
    let hosts = [home.lab.host()?, home.lab.host()?, home.lab.host()?];
    let source = home.dir.join(NAME);
    let mut sharer = Side::share(home, hosts[0], &[&source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let rate = (size / 12).to_string();
    let mut slow = Side::receive(home, hosts[1], "slow", &code, &work.join("got-0"), &["--max-down", &rate])?;
    slow.wait_where("progress", SOON, |line| line["has"].as_u64() > Some(0))?;
    let mut quick = Side::receive(home, hosts[2], "quick", &code, &work.join("got-1"), &[])?;
    quick.wait("finished", Duration::from_secs(60))?;
    let had = slow.progress("has");
    sharer.running.kill()?;
    ensure!(had < size, "the slow one had everything before the sharer was killed");
    slow.wait("finished", Duration::from_secs(60))?;
    figures.must(
        "the other finishes without the sharer",
        format!("from {} % on", 100 * had / size),
        slow.has_said("sharer_left"),
    );
    for (side, number) in [(&mut slow, 0), (&mut quick, 1)] {
        side.stop()?;
        content::same(&source, &work.join(format!("got-{number}")).join(NAME))?;
    }
    Ok(())
}

/// Both together have everything when the sharer is killed; one of them may have all by then, but not both.
fn two_halves_are_one(home: &Home, size: u64, figures: &mut Figures) -> Result<()> {
    let work = home.dir.join("work");
    let hosts = [home.lab.host()?, home.lab.host()?, home.lab.host()?];
    // They give each other less than the sharer gives them, so that what one has the other lacks.
    hosts[0].shape_link(slow(size))?;
    hosts[1..].iter().try_for_each(|host| host.shape_uplink(slow(size) / 4))?;
    let source = home.dir.join(NAME);
    let mut sharer = Side::share(home, hosts[0], &[&source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let folders = [work.join("got-0"), work.join("got-1")];
    let start = |number: usize| {
        Side::receive(home, hosts[1 + number], &format!("receiver-{number}"), &code, &folders[number], &[])
    };
    let mut receivers = [start(0)?, start(1)?];
    let until = Instant::now() + Duration::from_secs(60);
    let mut missing: Vec<u64> = (0..size).step_by(PIECE_LEN_MAX).collect();
    while !missing.is_empty() {
        ensure!(Instant::now() < until, "they do not have everything together after 60 s");
        std::thread::sleep(Duration::from_millis(50));
        missing = still_missing(&folders, size, missing)?;
    }
    sharer.running.kill()?;
    let had = receivers.each_mut().map(|receiver| receiver.progress("has"));
    let finished = receivers.each_mut().map(|receiver| receiver.has_said("finished"));
    ensure!(finished != [true; 2], "both had everything before the sharer was killed");
    hosts[1..].iter().try_for_each(|host| host.shape_uplink(slow(size) * 10))?;
    // None is stopped before both have finished: it may be all that the other has.
    receivers
        .iter_mut()
        .try_for_each(|receiver| receiver.wait("finished", Duration::from_secs(60)).map(drop))?;
    for (receiver, folder) in receivers.iter_mut().zip(&folders) {
        receiver.stop()?;
        content::same(&source, &folder.join(NAME))?;
    }
    let parts = had.map(|had| 100 * had / size);
    figures.must(
        "both finish without the sharer",
        format!("from {} % and {} % on", parts[0], parts[1]),
        true,
    );
    Ok(())
}

/// Which of these pieces lie whole in neither folder. What is shared is noise: a page of zeros was not written yet.
fn still_missing(folders: &[PathBuf; 2], size: u64, mut missing: Vec<u64>) -> Result<Vec<u64>> {
    let mut piece = vec![0; PIECE_LEN_MAX];
    for folder in folders {
        // It may not have begun to write, or give the file another name just now.
        let Some(mut file) = only_file(folder).ok().and_then(|path| File::open(path).ok()) else { continue };
        let mut lacks = |at: &u64| -> Result<bool> {
            let len = PIECE_LEN_MAX.min((size - at) as usize);
            file.seek(SeekFrom::Start(*at))?;
            let read = read_up_to(&mut file, &mut piece[..len])?;
            Ok(read < len || piece[..len].chunks(4096).any(|page| page.iter().all(|byte| *byte == 0)))
        };
        let mut left = Vec::new();
        for at in missing {
            if lacks(&at)? {
                left.push(at);
            }
        }
        missing = left;
    }
    Ok(missing)
}

/// The largest file beneath a folder, under whatever name it has for now.
fn only_file(dir: &Path) -> Result<PathBuf> {
    let mut largest = (0, None);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let len = fs::metadata(&path)?.len();
        if path.is_file() && len >= largest.0 {
            largest = (len, Some(path));
        }
    }
    largest.1.context("no file yet")
}

fn read_up_to(file: &mut File, mut into: &mut [u8]) -> Result<usize> {
    let mut total = 0;
    while !into.is_empty() {
        let count = file.read(into)?;
        if count == 0 {
            break;
        }
        total += count;
        into = &mut into[count..];
    }
    Ok(total)
}

/// What a host's link has brought it so far, in bytes.
fn received_bytes(host: Host) -> Result<u64> {
    let text = output(host.command("ip").args(["-s", "-json", "link", "show", "dev", "eth0"]))?;
    let value: serde_json::Value = serde_json::from_str(&text)?;
    match value[0]["stats64"]["rx"]["bytes"].as_u64() {
        Some(bytes) => Ok(bytes),
        None => bail!("`ip` tells no bytes: {text}"),
    }
}

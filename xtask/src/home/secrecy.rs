//! What others on the network learn of a share: nothing.
//!
//! On a bridge that is a hub, a host records every frame that a sharer, two receivers and a guesser send, and runs libtorrent with
//! local discovery and the DHT on, which in the end is even told the info-hashes. `gannet-eavesdrop` then looks into the recording and
//! tries all words on it. So that "nothing found" says something, the same look is had at an ordinary torrent's recording, and the
//! same trial is given one receiver's chance.

use super::Home;
use super::content;
use super::figures::Figures;
use super::sides::{SOON, Side};
use crate::interop::{gannet, info_hash_of};
use crate::lab::Host;
use crate::lab::process::{Running, output};
use crate::peers;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What each host's link carries: what the recorder keeps up with.
const BITS: u64 = 300_000_000;
const FOLDER: &str = "surprise party";
const NAMES: [&str; 2] = ["speech for anna.bin", "guests and seats.txt"];
/// Pairs of words in the short form.
const CANDIDATES_SMALL: u64 = 1 << 14;
/// What a share allows before it asks whoever shares.
const GUESSES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(120);
/// Chance of the receiver whose secret the attacker is given.
const CHANCE: &str = "c0ffee";

/// Hosts by what they do.
struct Cast {
    sharer: Host,
    receivers: [Host; 2],
    guesser: Host,
    /// Records, and runs libtorrent.
    listener: Host,
}

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let host = || home.lab.host();
    let cast = Cast { sharer: host()?, receivers: [host()?, host()?], guesser: host()?, listener: host()? };
    let shaped = [cast.sharer, cast.receivers[0], cast.receivers[1]];
    shaped.into_iter().try_for_each(|host| host.shape_uplink(BITS))?;
    home.lab.become_hub()?;
    let source = home.dir.join(FOLDER);
    fs::create_dir_all(&source)?;
    content::noisy(&source.join(NAMES[0]), home.size(256 << 20, 64 << 20))?;
    content::noisy(&source.join(NAMES[1]), 100_000)?;
    let told = share(home, &cast, &source, figures)?;
    let size = fs::metadata(source.join(NAMES[0]))?.len();
    let seen = told.recorded["foreign"].as_u64().unwrap_or(0);
    let both = seen >= 2 * size && told.recorded["dropped"] == 0;
    figures.must(
        "everything was recorded",
        format!("{} MB, {} frames lost", seen / 1_000_000, told.recorded["dropped"]),
        both,
    );
    look(home, &source, &told, figures)?;
    ordinary(home, &cast, &source, figures)
}

/// What is known of a share that was recorded.
struct Told {
    code: String,
    hashes: Vec<String>,
    recording: PathBuf,
    recorded: Value,
}

fn share(home: &Home, cast: &Cast, source: &Path, figures: &mut Figures) -> Result<Told> {
    let work = home.dir.join("work");
    let recording = home.dir.join("share.pcap");
    let mut recorder = record(home, cast.listener, &recording)?;
    let mut libtorrent = listen(home, cast.listener, "libtorrent")?;
    let mut sharer = Side::share(home, cast.sharer, &[source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let mut hashes = watch_hashes(home, &work)?;
    let folders = [work.join("got-0"), work.join("got-1")];
    let start = |number: usize| {
        Side::receive(
            home,
            cast.receivers[number],
            &format!("receiver-{number}"),
            &code,
            &folders[number],
            &[],
        )
    };
    let mut receivers = [start(0)?, start(1)?];
    for (receiver, folder) in receivers.iter_mut().zip(&folders) {
        receiver.wait("finished", PATIENCE)?;
        content::same(source, &folder.join(FOLDER))?;
    }
    let hashes = told_hashes(&mut hashes)?;
    figures.must("info-hashes read from the programs' state", hashes.len().to_string(), !hashes.is_empty());
    seeks(&mut libtorrent, &hashes, "libtorrent, which is told the info-hashes", figures)?;
    // Somebody with the right words and with chance that we know, so that there is an exchange whose secret we can give away.
    let at = format!("{}:{}", cast.sharer.address(), sharer.port()?);
    let mut pair = cast.guesser.command(&eavesdrop().to_string_lossy());
    let paired = output(pair.args(["--pair", &code, "--at", &at, "--chance", &chance()]));
    figures.must("an exchange with known chance", "recorded", paired.is_ok());
    guess(home, cast, &mut sharer, &code, figures)?;
    receivers.iter_mut().try_for_each(Side::stop)?;
    sharer.stop()?;
    let recorded = end_record(&mut recorder)?;
    libtorrent.stop(SOON)?;
    fs::remove_dir_all(&work)?;
    Ok(Told { code, hashes, recording, recorded })
}

/// Wrong words: a clear no, and after five of them none is looked at.
fn guess(home: &Home, cast: &Cast, sharer: &mut Side, code: &str, figures: &mut Figures) -> Result<()> {
    let wrong = wrong_codes(code)?;
    // One address may not spend them all; what the listener says itself is not recorded.
    let hosts = [cast.guesser, cast.receivers[0], cast.receivers[1]];
    let mut first = None;
    let mut tries = 0;
    for (number, wrong) in wrong.iter().enumerate() {
        let into = home.dir.join("work").join(format!("guess-{number}"));
        let mut guess =
            Side::receive(home, hosts[number % hosts.len()], &format!("guess-{number}"), wrong, &into, &[])?;
        let status = guess.exit_code(SOON)?;
        first.get_or_insert((status, guess.running.log_tail()));
        ensure!(!guess.has_said("offer"), "{wrong} was taken for {code}");
        tries += 1;
        if sharer.has_said("must_confirm") {
            break;
        }
    }
    let (status, said) = first.context("nobody guessed")?;
    let sentence = said.lines().last().unwrap_or_default().to_owned();
    figures.must(
        "a wrong code ends with 1 and a sentence",
        format!("{status:?}: {sentence}"),
        status == Some(1) && sentence.contains("code"),
    );
    let counted = sharer.count("wrong_code");
    figures.must(
        "five wrong codes and the sharer is asked",
        format!(
            "{counted} counted, {tries} tried, {}",
            if sharer.has_said("must_confirm") { "asked" } else { "not asked" }
        ),
        sharer.has_said("must_confirm") && counted == GUESSES,
    );
    // Not even the right one is looked at now.
    let into = home.dir.join("work/late");
    let mut late = Side::receive(home, cast.guesser, "late", code, &into, &[])?;
    let refused = late.wait("not_paired", SOON);
    let held = refused.is_ok() && !late.has_said("offer");
    figures.must(
        "until it answers nobody comes in",
        refused.map_or_else(|error| format!("{error:#}"), |(_, line)| line["why"].to_string()),
        held,
    );
    late.running.kill()
}

/// The same number with other words, twice as many as are allowed.
fn wrong_codes(code: &str) -> Result<Vec<String>> {
    let number = code.split('-').next().context("a code without a number")?;
    let words = [
        "apple", "river", "zebra", "ocean", "piano", "tiger", "lemon", "robot", "camera", "window", "garden",
    ];
    let pairs = words.windows(2).map(|pair| format!("{number}-{}-{}", pair[0], pair[1]));
    Ok(pairs.filter(|wrong| wrong != code).take(2 * GUESSES).collect())
}

/// What the recording tells.
fn look(home: &Home, source: &Path, told: &Told, figures: &mut Figures) -> Result<()> {
    let mut look = eavesdropper(source, &told.recording, &told.code, &told.hashes);
    look.args(["--chance", &chance()]);
    if home.small {
        look.args(["--candidates", &CANDIDATES_SMALL.to_string()]);
    }
    let found: Value = serde_json::from_str(&output(&mut look)?)?;
    let number = |key: &str| found[key].as_u64().unwrap_or(u64::MAX);
    for (key, what) in [
        ("info_hashes", "info-hashes in the recording"),
        ("names", "names of files in it"),
        ("blocks", "runs of 16 bytes of content in it"),
        ("codes", "words of the code in it"),
        ("digests", "digests of any words in it"),
    ] {
        figures.must(what, number(key).to_string(), number(key) == 0);
    }
    let (exchanges, candidates) = (number("exchanges"), number("candidates"));
    // Two receivers, the one with known chance, five guesses and what else came.
    figures.must("exchanges in it", exchanges.to_string(), (3 + GUESSES as u64..1000).contains(&exchanges));
    figures
        .note("pairs of words tried on each", format!("{candidates}, in {} s", found["dictionary_seconds"]));
    figures.must(
        "of these the recording alone leaves",
        number("left").to_string(),
        number("left") == candidates,
    );
    figures.must("and singles out", number("fits").to_string(), number("fits") == 0);
    let right = number("found_with_secret") == 1 && found["secret_is_right"] == true;
    figures.must(
        "with one receiver's secret the same trial finds",
        format!("{} pair", found["found_with_secret"]),
        right,
    );
    fs::remove_file(&told.recording)?;
    Ok(())
}

/// The same look at a torrent that is no secret: all of it must be found.
fn ordinary(home: &Home, cast: &Cast, source: &Path, figures: &mut Figures) -> Result<()> {
    let (torrent, work) = (home.dir.join("ordinary.torrent"), home.dir.join("ordinary"));
    output(Command::new(gannet()).arg("create").arg(source).arg("--output").arg(&torrent))?;
    let hash = info_hash_of(&torrent)?;
    let recording = home.dir.join("ordinary.pcap");
    let mut recorder = record(home, cast.listener, &recording)?;
    let mut seed = cast.sharer.command(&gannet().to_string_lossy());
    seed.arg("seed").arg(&torrent).arg("--data").arg(&home.dir).arg("--state").arg(work.join("state"));
    let mut seed = Running::start("ordinary-seed", &home.dir, seed.args(["--json", "--no-dht"]))?;
    let mut libtorrent = listen(home, cast.listener, "libtorrent-again")?;
    ask(&mut libtorrent, &format!("{{\"do\":\"magnet\",\"hash\":\"{hash}\"}}"))?;
    let until = Instant::now() + Duration::from_secs(60);
    let learned = loop {
        let report = ask(&mut libtorrent, "{\"do\":\"report\"}")?;
        if report["bytes"].as_u64() > Some(1 << 20) || Instant::now() > until {
            break report;
        }
        std::thread::sleep(Duration::from_millis(300));
    };
    figures.must(
        "control: of an ordinary torrent libtorrent learns",
        learned.to_string(),
        learned["metadata"] == 1,
    );
    libtorrent.stop(SOON)?;
    seed.stop(SOON)?;
    end_record(&mut recorder)?;
    let mut look = eavesdropper(source, &recording, "1-zoo-zoo", &[hash]);
    let found: Value = serde_json::from_str(&output(look.args(["--candidates", "1"]))?)?;
    let all = ["info_hashes", "names", "blocks"].iter().all(|key| found[*key].as_u64() > Some(0));
    let told = format!("{} hashes, {} names, {} runs", found["info_hashes"], found["names"], found["blocks"]);
    figures.must("control: the same look at its recording finds", told, all);
    fs::remove_file(&recording)?;
    Ok(())
}

/// libtorrent looks for these, with what the network tells, and comes to nothing.
fn seeks(libtorrent: &mut Running, hashes: &[String], what: &str, figures: &mut Figures) -> Result<()> {
    for hash in hashes {
        ask(libtorrent, &format!("{{\"do\":\"magnet\",\"hash\":\"{hash}\"}}"))?;
    }
    // An ordinary torrent's peers are found within a second or two.
    std::thread::sleep(Duration::from_secs(8));
    let learned = ask(libtorrent, "{\"do\":\"report\"}")?;
    let nothing = ["lsd_peers", "dht_queries", "incoming", "nodes", "peers", "metadata", "bytes"];
    figures.must(what, learned.to_string(), nothing.iter().all(|key| learned[*key] == 0));
    Ok(())
}

fn eavesdrop() -> PathBuf {
    crate::root().join("target/release/gannet-eavesdrop")
}

fn eavesdropper(source: &Path, recording: &Path, code: &str, hashes: &[String]) -> Command {
    let mut command = Command::new(eavesdrop());
    command.arg("--recording").arg(recording).args(["--code", code, "--name", FOLDER]);
    for name in NAMES {
        command.args(["--name", name]).arg("--content").arg(source.join(name));
    }
    for hash in hashes {
        command.args(["--hash", hash]);
    }
    command
}

/// 64 bytes in hex.
fn chance() -> String {
    CHANCE.chars().cycle().take(128).collect()
}

fn record(home: &Home, host: Host, path: &Path) -> Result<Running> {
    let mut command = host.command("python3");
    command.arg(crate::root().join("xtask/peers/record_frames.py")).arg("eth0").arg(path);
    let mut recorder = Running::start("recorder", &home.dir, &mut command)?;
    recorder.wait_for(SOON, |line| line.contains("ready").then_some(()))?;
    Ok(recorder)
}

fn end_record(recorder: &mut Running) -> Result<Value> {
    recorder.hang_up();
    let line = recorder.wait_for(PATIENCE, |line| serde_json::from_str(line).ok())?;
    recorder.wait_end(SOON)?;
    Ok(line)
}

fn listen(home: &Home, host: Host, name: &str) -> Result<Running> {
    let mut command = host.command(&peers::python().to_string_lossy());
    command
        .arg(crate::root().join("xtask/peers/libtorrent_listener.py"))
        .arg(format!("{}:6881", host.address()));
    let mut libtorrent = Running::start(name, &home.dir, &mut command)?;
    libtorrent.wait_for(SOON, |line| line.contains("ready").then_some(()))?;
    Ok(libtorrent)
}

fn ask(libtorrent: &mut Running, command: &str) -> Result<Value> {
    libtorrent.say(command)?;
    libtorrent.wait_for(SOON, |line| serde_json::from_str(line).ok())
}

/// Begins to look what info-hashes the programs remember while they run.
fn watch_hashes(home: &Home, work: &Path) -> Result<Running> {
    let mut command = Command::new("python3");
    command.arg(crate::root().join("xtask/peers/stored_hashes.py")).arg(work);
    Running::start("hashes", &home.dir, &mut command)
}

fn told_hashes(watcher: &mut Running) -> Result<Vec<String>> {
    watcher.say("enough")?;
    let line: Value = watcher.wait_for(SOON, |line| serde_json::from_str(line).ok())?;
    let hashes = line["hashes"].as_array().context("no hashes")?;
    Ok(hashes.iter().filter_map(|hash| hash.as_str().map(str::to_owned)).collect())
}

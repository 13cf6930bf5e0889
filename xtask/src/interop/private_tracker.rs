//! `gannet tracker --private` as others' clients meet it: each announces to a URL of its own, they find each other, and the books say
//! afterwards what each has sent and received. Over HTTP the passkey is in the path; over UDP libtorrent and Gannet send it as BEP 41
//! says, and others say nothing of the path. BEP: 3, 15, 41

use super::client::{Client, Kind};
use super::content::gannet;
use super::own_tracker::{Family, Meets, Over, start};
use super::{Case, Content};
use crate::lab::process::{Running, output};
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TRACKER_PORT: u16 = 6969;
const SIZE: u64 = 3_000_001;
const LIMIT: Duration = Duration::from_secs(90);

pub(super) fn cases() -> Vec<Case> {
    [Over::Http, Over::Udp]
        .into_iter()
        .map(|over| {
            Case::new(format!("gannet tracker: private, {over}"), move |lab, dir| swarm(lab, dir, over))
        })
        .collect()
}

/// The users' file of a tracker, and where it is reached.
struct Users {
    file: PathBuf,
    at: SocketAddr,
    over: Over,
}

impl Users {
    /// A new user; the URL that is its alone.
    fn add(&self, name: &str) -> Result<String> {
        let mut command = std::process::Command::new(gannet());
        command.args(["tracker", "users", "add", name, "--json", "--in"]).arg(&self.file);
        let scheme = self.over.scheme();
        let said = output(command.args(["--url", &format!("{scheme}://{}", self.at)]))?;
        let said: Value = serde_json::from_str(&said)?;
        Ok(said["url"].as_str().context("no url")?.into())
    }

    /// What the books say of a user.
    fn totals(&self, name: &str) -> Result<Totals> {
        let mut command = std::process::Command::new(gannet());
        let said = output(command.args(["tracker", "users", "list", "--json", "--in"]).arg(&self.file))?;
        let mut lines = said.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["name"] == name).with_context(|| format!("no {name}: {said}"))?;
        let number = |key: &str| line[key].as_u64().unwrap_or_default();
        let [uploaded, downloaded, completed] = ["uploaded", "downloaded", "completed"].map(number);
        Ok(Totals { uploaded, downloaded, completed })
    }
}

struct Totals {
    uploaded: u64,
    downloaded: u64,
    completed: u64,
}

/// libtorrent seeds; the others fetch from it and from each other, each by its own URL.
fn swarm(lab: &Lab, dir: &Path, over: Over) -> Result<String> {
    let host = lab.host()?;
    let at = SocketAddr::new(host.address().into(), TRACKER_PORT);
    let users = Users { file: dir.join("users.db"), at, over };
    let leechers = match over {
        Over::Http | Over::Https => vec![Kind::Gannet, Kind::Libtorrent, Kind::Transmission, Kind::Aria2],
        Over::Udp => vec![Kind::Gannet, Kind::Libtorrent],
    };
    let seeds_url = users.add("seeder")?;
    let shared = Content::OneFile(SIZE).share(dir, 64 * 1024, std::slice::from_ref(&seeds_url))?;
    let urls: Vec<String> =
        leechers.iter().map(|kind| users.add(&kind.to_string())).collect::<Result<_>>()?;
    let mut tracker = run(host, &users, dir)?;
    let began = Instant::now();
    let seeder = start(
        lab,
        Kind::Libtorrent,
        "seeder",
        Meets::plainly(Family::V4),
        &shared.torrent,
        &shared.dir,
        dir,
    )?;
    let mut clients = vec![(seeder, shared.dir.clone())];
    for (kind, url) in leechers.iter().zip(&urls) {
        // The same torrent with another URL of the same length.
        let torrent = dir.join(format!("{kind}.torrent"));
        fs::write(&torrent, replaced(&fs::read(&shared.torrent)?, seeds_url.as_bytes(), url.as_bytes())?)?;
        let own = dir.join(format!("got-{kind}"));
        clients.push((
            start(lab, *kind, &format!("leecher-{kind}"), Meets::plainly(Family::V4), &torrent, &own, dir)?,
            own,
        ));
    }
    for (client, _) in &mut clients {
        client.wait_complete(LIMIT)?;
    }
    let took = began.elapsed();
    // Leechers first: what they say when they leave is what they received.
    for (client, own) in clients.iter_mut().rev() {
        Client::stop(client)?;
        shared.same_in(own)?;
    }
    tracker.stop(LIMIT)?;
    for kind in &leechers {
        let Totals { downloaded, completed, .. } = users.totals(&kind.to_string())?;
        // A little more than there is: what was asked for twice at the end.
        ensure!((SIZE..SIZE * 2).contains(&downloaded), "{kind} received {downloaded} by the books");
        ensure!(completed == 1, "{kind} completed {completed} downloads by the books");
    }
    let seeder = users.totals("seeder")?;
    ensure!(
        seeder.downloaded == 0 && seeder.uploaded >= SIZE,
        "the seed sent {} by the books",
        seeder.uploaded
    );
    Ok(format!("{} members complete after {:.1} s, and credited", clients.len(), took.as_secs_f64()))
}

fn run(host: Host, users: &Users, work: &Path) -> Result<Running> {
    let mut command = host.command(&gannet().to_string_lossy());
    command.args(["tracker", "--json", "--listen", &users.at.to_string(), "--private"]).arg(&users.file);
    let mut running = Running::start("tracker", work, &mut command)?;
    running.wait_for(LIMIT, |line| line.contains("tracker_listening").then_some(()))?;
    Ok(running)
}

/// The bytes with another text of the same length in place of this one, which they have once.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Result<Vec<u8>> {
    let place = bytes.windows(old.len()).position(|window| window == old).context("no such URL")?;
    ensure!(old.len() == new.len(), "URLs of different lengths");
    let mut out = bytes.to_vec();
    out[place..place + new.len()].copy_from_slice(new);
    Ok(out)
}

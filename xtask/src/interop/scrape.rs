//! What a tracker that we did not write counts, as Gannet asks it: over HTTP (BEP 48) and over UDP (BEP 15).

use super::client::{Client, Kind, Role, Settings};
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const LIMIT: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case> {
    [("HTTP", tracker::http_url as fn(Host) -> String), ("UDP", tracker::udp_url)]
        .map(|(over, url)| Case::new(format!("scrape over {over}"), move |lab, dir| scrape(lab, dir, url)))
        .into()
}

/// One seed and one that has finished, neither of them ours; then Gannet comes, and is to be told of both, of itself, and of the
/// one download that was ever completed.
fn scrape(lab: &Lab, dir: &Path, url: fn(Host) -> String) -> Result<String> {
    let host = lab.host()?;
    let shared = Content::OneFile(1_000_001).share(dir, 64 * 1024, &[url(host)])?;
    let _tracker = Tracker::start(host, &[shared.info_hash()?], dir)?;
    let copy = dir.join("copy");
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seed = Client::start(Kind::Libtorrent, lab.host()?, "seed", role, dir)?;
    seed.wait_complete(LIMIT)?;
    let role = Role { dir: &copy, ..role };
    let mut other = Client::start(Kind::Transmission, lab.host()?, "other", role, dir)?;
    other.wait_complete(LIMIT)?;
    let wanted = json!({ "seeds": 2, "leechers": 1, "downloads": 1 });
    // The tracker is told of the completion some time after the client knows of it.
    let end = Instant::now() + LIMIT;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (name, own) = (format!("gannet-{attempt}"), dir.join(format!("got-{attempt}")));
        let role = Role { dir: &own, ..role };
        // Too slow to come to an end: it would be one download more that was completed, in every attempt.
        let settings = Settings { args: &["--max-down", "10kB/s"], ..Settings::default() };
        let mut ours = Client::start_with(Kind::Gannet, lab.host()?, &name, role, dir, &settings)?;
        let counts = counts(&mut ours)?;
        ours.stop()?;
        if counts == wanted {
            return Ok(format!("{counts}"));
        }
        ensure!(Instant::now() < end, "the tracker counts {counts}, and not {wanted}");
    }
}

/// What it is told when it first is told how many downloads there were: of those, only a scrape speaks.
fn counts(client: &mut Client) -> Result<Value> {
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        for line in client.running.new_lines() {
            let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if line["type"] == "progress" && line["swarm"]["downloads"].is_u64() {
                return Ok(line["swarm"].clone());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("no counts: {}", client.running.log_tail())
}

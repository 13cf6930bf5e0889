//! Magnet links (BEP 9) with each foreign client, both ways: by a tracker in the link, and without one. Nobody but the seeder
//! has a torrent file. And metadata of 10 MiB of which the first peer says that it is smaller, and sends rubbish.

use super::client::{Client, Kind, Role, Settings};
use super::content::Shared;
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::process::{Running, output};
use crate::lab::{Host, Lab};
use crate::peers;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const PORT: u16 = 51413;
const LIMIT: Duration = Duration::from_secs(90);
/// Metadata comes in pieces of so many bytes.
const METADATA_PIECE: u64 = 16 * 1024;
/// Bytes of metadata of which the first peer lies.
const LARGE: u64 = 10 << 20;
/// The liar's uplink in bytes a second: its 4 MiB take four seconds.
const LIAR_SENDS: u64 = 1_000_000;

/// How the two find each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// `tr` in the link.
    Tracker,
    /// `x.pe` in the link, and nothing else.
    Peer,
    /// The link has the hash alone, for whom `x.pe` means nothing; the seeder dials.
    Dialled,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for foreign in [Kind::Libtorrent, Kind::Transmission, Kind::Aria2] {
        let alone = if foreign == Kind::Libtorrent { Way::Peer } else { Way::Dialled };
        for (kinds, ways) in [
            ([foreign, Kind::Gannet], [Way::Tracker, Way::Peer]),
            ([Kind::Gannet, foreign], [Way::Tracker, alone]),
        ] {
            for way in ways {
                let how = match way {
                    Way::Tracker => "a tracker in the link",
                    Way::Peer => "x.pe alone",
                    Way::Dialled => "the hash alone, gannet dials",
                };
                let name = format!("magnet: {} -> {}, {how}", kinds[0], kinds[1]);
                cases.push(Case::new(name, move |lab, dir| fetch(lab, dir, kinds, way)));
            }
        }
    }
    cases.push(Case::new("magnet: 10 MiB of metadata, and the first peer lies about its size", lied_to));
    cases
}

fn fetch(lab: &Lab, dir: &Path, kinds: [Kind; 2], way: Way) -> Result<String> {
    let [tracker_host, seed_host, leech_host] = [lab.host()?, lab.host()?, lab.host()?];
    let url = tracker::http_url(tracker_host);
    let trackers = if way == Way::Tracker { vec![url.clone()] } else { vec![] };
    let shared = Content::Files(1000).share(dir, 16 * 1024, &trackers)?;
    let info_hash = shared.info_hash()?;
    let metadata = std::fs::metadata(&shared.torrent)?.len();
    ensure!(metadata > 3 * METADATA_PIECE, "{metadata} bytes are not several pieces of metadata");
    let _tracker = match way {
        Way::Tracker => Some(Tracker::start(tracker_host, std::slice::from_ref(&info_hash), dir)?),
        Way::Peer | Way::Dialled => None,
    };
    let [seed_at, leech_at] = [seed_host, leech_host].map(|host| SocketAddr::from((host.address(), PORT)));
    let told = if way == Way::Dialled { vec![leech_at] } else { vec![] };
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &told, stay: true };
    let mut seeder = Client::start(kinds[0], seed_host, "seeder", role, dir)?;
    seeder.wait_complete(LIMIT)?;
    let magnet = format!("magnet:?xt=urn:btih:{info_hash}");
    let magnet = match way {
        Way::Tracker => format!("{magnet}&tr={}", url.replace(':', "%3A").replace('/', "%2F")),
        Way::Peer => format!("{magnet}&x.pe={seed_at}"),
        Way::Dialled => magnet,
    };
    let copy = dir.join("copy");
    let role = Role { torrent: Path::new("none"), dir: &copy, peers: &[], ..role };
    let settings = Settings { magnet: Some(&magnet), ..Settings::default() };
    let mut leecher = Client::start_with(kinds[1], leech_host, "leecher", role, dir, &settings)?;
    leecher.wait_complete(LIMIT)?;
    leecher.stop()?;
    shared.same_in_copy_of(kinds[1], &copy)?;
    Ok(format!("{metadata} bytes of metadata, {} of content", shared.size))
}

/// The liar is there first; when it has been asked, the honest seeder comes.
fn lied_to(lab: &Lab, dir: &Path) -> Result<String> {
    let [seed_host, liar_host, host] = [lab.host()?, lab.host()?, lab.host()?];
    let (shared, info_hash) = share_large(dir)?;
    let metadata = std::fs::metadata(&shared.torrent)?.len();
    ensure!(metadata > LARGE, "only {metadata} bytes of metadata");
    let copy = dir.join("copy");
    let magnet = format!("magnet:?xt=urn:btih:{info_hash}");
    let settings = Settings { magnet: Some(&magnet), args: &["--json-peers"], ..Settings::default() };
    let role = Role { torrent: Path::new("none"), dir: &copy, port: PORT, peers: &[], stay: true };
    let mut leecher = Client::start_with(Kind::Gannet, host, "leecher", role, dir, &settings)?;
    let ours = SocketAddr::from((host.address(), PORT));
    // So slow that the honest one comes while the lie is being told.
    liar_host.limit_uplink(LIAR_SENDS)?;
    let mut liar = lie(liar_host, ours, &shared, dir)?;
    let lies_from = liar_host.address().to_string();
    leecher
        .running
        .wait_for(LIMIT, |line| linked_with(line, &lies_from).then_some(()))
        .context("the liar")?;
    let to_us = [ours];
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, peers: &to_us, ..role };
    let _seeder = Client::start(Kind::Libtorrent, seed_host, "seeder", role, dir)?;
    let mut banned = Vec::new();
    leecher.running.wait_for(LIMIT, |line| {
        let value: Value = serde_json::from_str(line).ok()?;
        if value["type"] == "peer_banned" {
            banned.push(value["address"].as_str().unwrap_or_default().to_owned());
        }
        (value["type"] == "progress" && value["durable"] == true).then_some(())
    })?;
    leecher.stop()?;
    shared.same_by_name_in(&copy)?;
    ensure!(
        matches!(&banned[..], [only] if only.starts_with(&format!("{lies_from}:"))),
        "banned {banned:?}, should be {lies_from} alone"
    );
    let told = liar.new_lines().pop().context("the liar said nothing")?;
    let told: Value = serde_json::from_str(&told).with_context(|| told.clone())?;
    let sent = told["sent"].as_u64().unwrap_or(0);
    ensure!(sent > METADATA_PIECE, "the liar sent only {sent} bytes");
    Ok(format!("{metadata} bytes of metadata; the liar sent {sent} and was banned alone"))
}

fn linked_with(line: &str, ip: &str) -> bool {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let peers = value["peers"].as_array().into_iter().flatten();
    let mut addresses = peers.filter_map(|peer| peer["address"].as_str());
    addresses.any(|address| address.rsplit_once(':').is_some_and(|(host, _)| host == ip))
}

/// A content whose paths alone are 10 MiB.
fn share_large(dir: &Path) -> Result<(Shared, String)> {
    let shared = Content::LongPaths(3_700).make_in(dir, 16 * 1024)?;
    let mut command = Command::new(peers::python());
    command.arg(crate::root().join("xtask/peers/make_torrent.py"));
    command.arg(shared.dir.join(&shared.name)).arg(shared.piece_len.to_string()).arg(&shared.torrent);
    let info_hash = output(&mut command)?;
    Ok((shared, info_hash.trim().into()))
}

fn lie(from: Host, victim: SocketAddr, shared: &Shared, work: &Path) -> Result<Running> {
    let program = crate::root().join("target/release/gannet-hostile");
    let mut command = from.command(&program.to_string_lossy());
    command.arg("--torrent").arg(&shared.torrent).args(["--victim", &victim.to_string()]);
    command.args(["--kind", "metadata-liar", "--links", "1", "--seconds", "120"]);
    Running::start("liar", work, &mut command)
}

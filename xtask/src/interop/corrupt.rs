//! A seeder whose disk went bad after its check, among good ones: Gannet finds it, leaves it, and ends with the right bytes.

use super::client::{Client, Kind, Role};
use super::{Case, Content};
use crate::lab::Lab;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

const PORT: u16 = 51413;
const SIZE: u64 = 48 * 1024 * 1024;

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("a corrupting seeder among good ones", corrupt)]
}

fn corrupt(lab: &Lab, dir: &Path) -> Result<String> {
    let shared = Content::OneFile(SIZE).share(dir, 256 * 1024, &[])?;
    let mut seeders = Vec::new();
    for index in 0..3 {
        let own_dir = dir.join(format!("seed-{index}"));
        fs::create_dir_all(&own_dir)?;
        fs::copy(shared.dir.join(&shared.name), own_dir.join(&shared.name))?;
        let role = Role { torrent: &shared.torrent, dir: &own_dir, port: PORT, peers: &[], stay: true };
        let host = lab.host()?;
        // Slow enough that each of the three has a share in the download.
        host.limit_uplink(8_000_000)?;
        let mut seeder = Client::start(Kind::Libtorrent, host, &format!("seeder-{index}"), role, dir)?;
        seeder.wait_complete(Duration::from_secs(30))?;
        if index == 0 {
            spoil(&own_dir.join(&shared.name))?;
        }
        seeders.push(seeder);
    }
    let peers: Vec<SocketAddr> = seeders.iter().map(|seeder| (seeder.host.address(), PORT).into()).collect();
    let own_dir = dir.join("copy");
    let role = Role { torrent: &shared.torrent, dir: &own_dir, port: PORT, peers: &peers, stay: true };
    let mut leecher = Client::start(Kind::Gannet, lab.host()?, "leecher", role, dir)?;
    let mut banned = Vec::new();
    let done = leecher.running.wait_for(Duration::from_secs(60), |line| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        if value["type"] == "peer_banned" {
            banned.push(value["address"].as_str().unwrap_or_default().to_owned());
        }
        (value["type"] == "progress" && value["durable"] == true).then_some(value["wasted"].as_u64())
    })?;
    leecher.stop()?;
    shared.same_in(&own_dir)?;
    let liar = peers[0].to_string();
    ensure!(banned == [liar.clone()], "banned {banned:?}, should be {liar} alone");
    Ok(format!("banned {liar} alone, {} KiB wasted", done.context("wasted")? / 1024))
}

/// Turns one byte in every 16 KiB block of the second half: half of its blocks are good, so that blame must tell them apart.
fn spoil(path: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    for block in (SIZE / 2 / 16_384..SIZE / 16_384).step_by(3) {
        file.write_all_at(&[0xa5, 0x5a], block * 16_384 + 77)?;
    }
    file.set_modified(modified)?;
    Ok(())
}

//! One seeder, one leecher, both directions with each foreign client: file shapes, piece lengths and trackers, each value once.

use super::client::{Client, Kind, Role};
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::Lab;
use anyhow::Result;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const PORT: u16 = 51413;

/// How the two find each other.
#[derive(Clone, Copy, Debug)]
enum Meet {
    Http,
    Udp,
    /// Gannet is told the other's address.
    Direct,
}

/// Each shape, piece length and way to meet, once.
const SHAPES: &[(Content, u32, Meet)] = &[
    (Content::OneFile(20_000_001), 16 * 1024, Meet::Http),
    (Content::Files(1000), 256 * 1024, Meet::Udp),
    (Content::OneFile(40_000_000), 16 * 1024 * 1024, Meet::Direct),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for foreign in [Kind::Libtorrent, Kind::Transmission, Kind::Aria2] {
        for (seeder, leecher) in [(foreign, Kind::Gannet), (Kind::Gannet, foreign)] {
            for &(content, piece_len, meet) in SHAPES {
                let name =
                    format!("{seeder} -> {leecher}, {content:?}, {} KiB pieces, {meet:?}", piece_len / 1024);
                cases.push(Case::new(name, move |lab, dir| {
                    transfer(lab, dir, [seeder, leecher], content, piece_len, meet)
                }));
            }
        }
    }
    cases
}

fn transfer(
    lab: &Lab,
    dir: &Path,
    kinds: [Kind; 2],
    content: Content,
    piece_len: u32,
    meet: Meet,
) -> Result<String> {
    let tracker_host = lab.host()?;
    let trackers = match meet {
        Meet::Http => vec![tracker::http_url(tracker_host)],
        Meet::Udp => vec![tracker::udp_url(tracker_host)],
        Meet::Direct => vec![],
    };
    let shared = content.share(dir, piece_len, &trackers)?;
    let _tracker = match meet {
        Meet::Http | Meet::Udp => Some(Tracker::start(tracker_host, &[shared.info_hash()?], dir)?),
        Meet::Direct => None,
    };
    let [seed_host, leech_host] = [lab.host()?, lab.host()?];
    let told = |other: crate::lab::Host, kind: Kind| match (meet, kind) {
        (Meet::Direct, Kind::Gannet) => vec![SocketAddr::from((other.address(), PORT))],
        _ => vec![],
    };
    let leech_dir = dir.join("copy");
    let role = Role {
        torrent: &shared.torrent,
        dir: &shared.dir,
        port: PORT,
        peers: &told(leech_host, kinds[0]),
        stay: true,
    };
    let mut seeder = Client::start(kinds[0], seed_host, "seeder", role, dir)?;
    seeder.wait_complete(Duration::from_secs(60))?;
    let role = Role { dir: &leech_dir, peers: &told(seed_host, kinds[1]), ..role };
    let mut leecher = Client::start(kinds[1], leech_host, "leecher", role, dir)?;
    leecher.wait_complete(Duration::from_secs(120))?;
    leecher.stop()?;
    shared.same_in_copy_of(kinds[1], &leech_dir)?;
    Ok(format!("{} bytes", shared.size))
}

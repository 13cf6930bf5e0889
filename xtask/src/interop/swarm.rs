//! Mixed swarms: one foreign seeder, two foreign leechers, three of ours, every uplink 4 MB/s; and who sent whom how much.

use super::client::{Client, Kind, Role};
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::process::output;
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const SIZE: u64 = 64 * 1024 * 1024;
const UPLINK: u64 = 4_000_000;
/// Payload is what TCP carried, less some headers: a tenth of the size is asked of every leecher.
const LEECHER_SENDS_MIN: f64 = 0.10;
const SEEDER_SENDS_MAX: f64 = 2.0;

pub(super) fn cases() -> Vec<Case> {
    let kinds = [Kind::Libtorrent, Kind::Transmission, Kind::Aria2];
    kinds
        .map(|foreign| -> Case {
            // Who sends whom how much is judged: the processors must not be what is short.
            Case::new(format!("mixed swarm with {foreign}"), move |lab, dir| mixed(lab, dir, foreign)).alone()
        })
        .into()
}

/// Bytes by connection, as the sender's kernel counts what was acknowledged.
#[derive(Default)]
pub(super) struct Traffic {
    connections: BTreeMap<(Ipv4Addr, String), (Ipv4Addr, u64)>,
}

impl Traffic {
    /// Looks at every connection of a host. A connection's last figure stays when it is gone.
    pub(super) fn look(&mut self, host: Host) -> Result<()> {
        let text = output(host.command("ss").args(["-tinHO"]))?;
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (Some(ours), Some(theirs)) = (words.get(3), words.get(4)) else { continue };
            let Some(bytes) = words.iter().find_map(|word| word.strip_prefix("bytes_acked:")) else {
                continue;
            };
            let Some(to) = theirs.rsplit_once(':').and_then(|(address, _)| address.parse().ok()) else {
                continue;
            };
            self.connections.insert((host.address(), format!("{ours} {theirs}")), (to, bytes.parse()?));
        }
        Ok(())
    }

    pub(super) fn sent(&self, from: Ipv4Addr, to: Ipv4Addr) -> u64 {
        let matching =
            self.connections.iter().filter(|((source, _), (target, _))| *source == from && *target == to);
        matching.map(|(_, (_, bytes))| bytes).sum()
    }
}

fn mixed(lab: &Lab, dir: &Path, foreign: Kind) -> Result<String> {
    let tracker_host = lab.host()?;
    let shared = Content::OneFile(SIZE).share(dir, 256 * 1024, &[tracker::http_url(tracker_host)])?;
    let _tracker = Tracker::start(tracker_host, &[shared.info_hash()?], dir)?;
    let kinds = [foreign, foreign, foreign, Kind::Gannet, Kind::Gannet, Kind::Gannet];
    let mut clients = Vec::new();
    let began = Instant::now();
    for (index, kind) in kinds.into_iter().enumerate() {
        let host = lab.host()?;
        host.limit_uplink(UPLINK)?;
        let name = if index == 0 { "seeder".into() } else { format!("leecher-{index}") };
        let own_dir = if index == 0 { shared.dir.clone() } else { dir.join(&name) };
        let role = Role { torrent: &shared.torrent, dir: &own_dir, port: PORT, peers: &[], stay: true };
        let mut client = Client::start(kind, host, &name, role, dir)?;
        if index == 0 {
            client.wait_complete(Duration::from_secs(60))?;
        }
        clients.push((client, own_dir));
    }
    let mut traffic = Traffic::default();
    let end = Instant::now() + Duration::from_secs(240);
    let mut finished = vec![None; clients.len()];
    loop {
        for (index, (client, _)) in clients.iter_mut().enumerate() {
            traffic.look(client.host)?;
            if finished[index].is_none() && client.status()?.complete {
                finished[index] = Some(began.elapsed());
            }
        }
        if finished.iter().all(Option::is_some) {
            break;
        }
        let late = || {
            finished
                .iter()
                .enumerate()
                .filter(|(_, at)| at.is_none())
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        };
        ensure!(Instant::now() < end, "not finished: clients {:?}\n{}", late(), matrix(&clients, &traffic));
        std::thread::sleep(Duration::from_millis(200));
    }
    let table = matrix(&clients, &traffic);
    for (client, own_dir) in &mut clients {
        client.stop()?;
        shared.same_in_copy_of(client.kind, own_dir)?;
    }
    judge(&clients, &traffic).with_context(|| format!("who sent whom, in copies:\n{table}"))?;
    let last = finished.iter().flatten().max().map_or(0.0, Duration::as_secs_f64);
    Ok(format!("last finished after {last:.1} s\n{}", table.trim_end()))
}

fn copies(bytes: u64) -> f64 {
    bytes as f64 / SIZE as f64
}

fn sent_in_all(clients: &[(Client, std::path::PathBuf)], traffic: &Traffic, from: usize) -> f64 {
    copies(
        clients.iter().map(|(to, _)| traffic.sent(clients[from].0.host.address(), to.host.address())).sum(),
    )
}

fn judge(clients: &[(Client, std::path::PathBuf)], traffic: &Traffic) -> Result<()> {
    let seeder = sent_in_all(clients, traffic, 0);
    ensure!(seeder <= SEEDER_SENDS_MAX, "the seeder sent {seeder:.2} copies, more than {SEEDER_SENDS_MAX}");
    for (index, (client, _)) in clients.iter().enumerate().skip(1) {
        let sent = sent_in_all(clients, traffic, index);
        ensure!(
            sent >= LEECHER_SENDS_MIN,
            "{} {} sent only {sent:.2} of the size",
            client.kind,
            client.running.name
        );
    }
    Ok(())
}

/// Who sent whom, in copies of the content.
fn matrix(clients: &[(Client, std::path::PathBuf)], traffic: &Traffic) -> String {
    let label = |index: usize| format!("{}{index}", &clients[index].0.kind.to_string()[..2]);
    let mut text = String::from("      from \\ to");
    (0..clients.len()).for_each(|index| text += &format!("{:>7}", label(index)));
    text += "    all\n";
    for (from, (client, _)) in clients.iter().enumerate() {
        text += &format!("      {:<9}", label(from));
        for (to, _) in clients {
            text += &format!("{:>7.2}", copies(traffic.sent(client.host.address(), to.host.address())));
        }
        text += &format!("{:>7.2}\n", sent_in_all(clients, traffic, from));
    }
    text
}

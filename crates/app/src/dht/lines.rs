//! What `gannet dht` says: the lines that programs read (docs/json.md), and the same in words.

use crate::show::json::VERSION;
use crate::words::count;
use gannet::dht::{NodeInfo, Report, Stats};
use serde::Serialize;
use std::net::SocketAddr;
use wire::DisplaySafe;

/// Peers that were found.
#[derive(Serialize)]
pub(super) struct PeersLine {
    pub(super) v: u32,
    pub(super) r#type: &'static str,
    pub(super) info_hash: String,
    pub(super) peers: Vec<String>,
}

/// An item that was found.
#[derive(Serialize)]
pub(super) struct ItemLine {
    pub(super) v: u32,
    pub(super) r#type: &'static str,
    pub(super) target: String,
    pub(super) value: String,
    pub(super) text: Option<String>,
    pub(super) info_hash: Option<String>,
    pub(super) key: Option<String>,
    pub(super) seq: Option<i64>,
}

/// What one node knows.
#[derive(Serialize)]
pub(super) struct SampleLine {
    pub(super) v: u32,
    pub(super) r#type: &'static str,
    pub(super) node: String,
    pub(super) address: String,
    pub(super) torrents: u32,
    pub(super) interval: u32,
    pub(super) info_hashes: Vec<String>,
}

/// How a search went: the last line.
#[derive(Serialize)]
pub(super) struct DoneLine {
    v: u32,
    r#type: &'static str,
    asked: u32,
    answered: u32,
    hops: u8,
    stored: u32,
    refused: u32,
    why: Option<String>,
    peers: u32,
    seeds: Option<u32>,
    leechers: Option<u32>,
    took_ms: u64,
    nearest: Vec<Nearest>,
}

#[derive(Serialize)]
struct Nearest {
    id: String,
    address: String,
}

impl DoneLine {
    /// Of a report.
    pub(super) fn of(report: &Report) -> DoneLine {
        let nearest =
            |info: &NodeInfo| Nearest { id: info.id.to_string(), address: info.address.to_string() };
        let refused = report.refused.as_ref();
        DoneLine {
            v: VERSION,
            r#type: "dht_done",
            asked: report.asked,
            answered: report.answered,
            hops: report.hops,
            stored: report.stored,
            refused: refused.map_or(0, |(count, _)| *count),
            why: refused.map(|(_, why)| shown(why)),
            peers: report.peers,
            seeds: report.counts.map(|(seeds, _)| seeds),
            leechers: report.counts.map(|(_, leechers)| leechers),
            took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX),
            nearest: report.nearest.iter().map(nearest).collect(),
        }
    }
}

/// How a node stands.
#[derive(Serialize)]
pub(super) struct StatsLine {
    v: u32,
    r#type: &'static str,
    addresses: Vec<String>,
    nodes: [usize; 2],
    network_size: [u64; 2],
    external: [Option<String>; 2],
    stored_torrents: usize,
    stored_peers: usize,
    stored_items: usize,
    answered: u64,
    unanswered: u64,
    asked: u64,
    heard: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl StatsLine {
    /// Of a node at these addresses.
    pub(super) fn of(stats: &Stats, addresses: &[SocketAddr]) -> StatsLine {
        StatsLine {
            v: VERSION,
            r#type: "dht_stats",
            addresses: addresses.iter().map(ToString::to_string).collect(),
            nodes: stats.nodes,
            network_size: stats.network_size,
            external: stats.external.map(|external| external.map(|ip| ip.to_string())),
            stored_torrents: stats.stored_torrents,
            stored_peers: stats.stored_peers,
            stored_items: stats.stored_items,
            answered: stats.tally.answered,
            unanswered: stats.tally.unanswered,
            asked: stats.tally.asked,
            heard: stats.tally.heard,
            bytes_in: stats.tally.bytes_in,
            bytes_out: stats.tally.bytes_out,
        }
    }
}

/// How a node stands, in one line.
pub(super) fn in_words(stats: &Stats) -> String {
    let [v4, v6] = stats.nodes;
    let mut parts = vec![format!("{} over IPv4, {v6} over IPv6", count(v4 as u64, "node"))];
    let size = stats.network_size.into_iter().max().unwrap_or(0);
    if size > 0 {
        parts.push(format!("about {size} in the whole network"));
    }
    let external: Vec<String> = stats.external.into_iter().flatten().map(|ip| ip.to_string()).collect();
    if !external.is_empty() {
        parts.push(format!("they see us at {}", external.join(" and ")));
    }
    let (torrents, peers) =
        (count(stats.stored_torrents as u64, "torrent"), count(stats.stored_peers as u64, "peer"));
    let items = count(stats.stored_items as u64, "item");
    parts.push(format!("stored for others: {torrents} with {peers}, {items}"));
    let (asked, answered) = (stats.tally.asked, stats.tally.answered);
    parts.push(format!(
        "{} asked, {} heard; {answered} of others' answered",
        count(asked, "question"),
        count(stats.tally.heard, "answer")
    ));
    parts.join("; ")
}

/// How a search went, in words.
pub(super) fn went(report: &Report) -> String {
    let (asked, answered) = (count(report.asked, "node"), report.answered);
    format!("{asked} asked, {answered} answered, {:.1} s", report.took.as_secs_f64())
}

/// A stranger's words, so that they can be shown.
pub(super) fn shown(words: &str) -> String {
    DisplaySafe::from(words).to_string()
}

//! `gannet dht get-peers` and `gannet dht sample`: who has a torrent, and which torrents there are.

use super::lines::{self, DoneLine, PeersLine, SampleLine};
use super::{Manners, Running};
use crate::cli::{Exit, GetPeers, Sample};
use crate::failure::{Failure, Outcome};
use crate::show;
use crate::show::json::{self, VERSION};
use crate::words::count;
use gannet::dht::{Finding, Goal, NodeId, Wanted};
use std::collections::BTreeSet;

/// `gannet dht get-peers`.
pub(super) fn get_peers(args: &GetPeers) -> Outcome {
    // Counts are long: who is to get them proves its address, by answering.
    let manners = if args.scrape { Manners::Answers } else { Manners::Asks };
    let running = Running::reach(&args.asking, manners)?;
    let announce = args.announce.map(|port| Wanted { port: Some(port), seed: true, seeking: false });
    let goal = Goal::Peers { info_hash: args.info_hash, announce, scrape: args.scrape };
    let mut unsaid = Ok(());
    let report = running.search(goal, |finding| {
        let Finding::Peers(peers) = finding else { return };
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        let said = if running.json {
            let info_hash = args.info_hash.to_string();
            json::print(&PeersLine { v: VERSION, r#type: "dht_peers", info_hash, peers })
        } else {
            show::print(&(peers.join("\n") + "\n"))
        };
        if unsaid.is_ok() {
            unsaid = said;
        }
    })?;
    unsaid?;
    let Some(report) = report else { return running.end(Exit::Interrupted) };
    if running.json {
        json::print(&DoneLine::of(&report))?;
    } else {
        let mut parts = vec![count(report.peers, "peer")];
        if let Some((seeds, leechers)) = report.counts {
            parts.push(format!("{} and {leechers} others by the nodes' counts", count(seeds, "seed")));
        }
        if args.announce.is_some() {
            parts.push(format!("announced to {}", count(report.stored, "node")));
        }
        parts.push(lines::went(&report));
        show::message(&parts.join("; "));
    }
    let unannounced = args.announce.is_some() && report.stored == 0;
    if unannounced {
        return Err(Failure::plain("no node took the announce; try again in a while"));
    }
    let found = report.peers > 0 || args.announce.is_some();
    running.end(if found { Exit::Done } else { Exit::NoSource })
}

/// `gannet dht sample`.
pub(super) fn sample(args: &Sample) -> Outcome {
    let running = Running::reach(&args.asking, Manners::Asks)?;
    let near = match args.near {
        Some(near) => near,
        None => NodeId(crate::chance::bytes()?),
    };
    let (mut all, mut nodes, mut known) = (BTreeSet::new(), 0_u64, 0_u64);
    let mut unsaid = Ok(());
    let report = running.search(Goal::Sample(near), |finding| {
        let Finding::Samples { by, samples } = finding else { return };
        nodes += 1;
        known += u64::from(samples.num);
        let said = if running.json {
            json::print(&SampleLine {
                v: VERSION,
                r#type: "dht_sample",
                node: by.id.to_string(),
                address: by.address.to_string(),
                torrents: samples.num,
                interval: samples.interval,
                info_hashes: samples.samples.iter().map(ToString::to_string).collect(),
            })
        } else {
            let new = samples.samples.iter().filter(|info_hash| all.insert(**info_hash));
            let text: String = new.map(|info_hash| format!("{info_hash}\n")).collect();
            show::print(&text)
        };
        if unsaid.is_ok() {
            unsaid = said;
        }
    })?;
    unsaid?;
    let Some(report) = report else { return running.end(Exit::Interrupted) };
    if running.json {
        json::print(&DoneLine::of(&report))?;
    } else {
        let torrents = count(all.len() as u64, "torrent");
        let by = count(nodes, "node");
        show::message(&format!("{torrents} named by {by}, which know of {known}; {}", lines::went(&report)));
    }
    running.end(if nodes > 0 { Exit::Done } else { Exit::NoSource })
}

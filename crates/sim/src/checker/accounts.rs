//! Law: bytes are neither made nor lost. What leaves arrives or is lost with a link; what a session says it received and
//! sent is what it received and sent.

use super::{Checker, Scene, row};
use crate::world::{World, torrent_id};
use proto::{Input, LinkId};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Accounts {
    rows: Vec<Row>,
}

/// One process of a node.
#[derive(Default)]
struct Row {
    received: u64,
    sent: u64,
    /// Bytes of an unfinished block that were told already, per link.
    told: BTreeMap<LinkId, u64>,
    sending: BTreeMap<proto::SendToken, u32>,
}

impl Checker for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.rows, scene.index) = Row::default();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, _report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        match input {
            Input::Progress { link, bytes } => {
                row.received += u64::from(*bytes);
                *row.told.entry(*link).or_default() += u64::from(*bytes);
            }
            Input::Block { link, block, .. } => {
                let told = row.told.remove(link).unwrap_or(0);
                row.received += u64::from(block.len).saturating_sub(told);
            }
            Input::Fetched { block, .. } => row.received += u64::from(block.len),
            Input::LinkDown { link, .. } => {
                row.told.remove(link);
            }
            Input::Sent { token } => row.sent += u64::from(row.sending.remove(token).unwrap_or(0)),
            Input::Unsent { token, .. } => {
                row.sending.remove(token);
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &proto::Output, _report: &mut dyn FnMut(String)) {
        if let proto::Output::SendBlock { token, block, .. } = output {
            row(&mut self.rows, scene.index).sending.insert(*token, block.len);
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        let session = scene.node().session();
        let Some(stats) = session.and_then(|session| session.torrent(torrent_id(0))) else { return };
        if (stats.downloaded, stats.uploaded) != (row.received, row.sent) {
            report(format!(
                "says {} in, {} out; it was {} in, {} out",
                stats.downloaded, stats.uploaded, row.received, row.sent
            ));
        }
        // A piece that fails its hash may have blocks of an earlier run.
        if stats.wasted > stats.downloaded && scene.node().story.pieces_failed == 0 {
            report(format!("wasted {} of {}", stats.wasted, stats.downloaded));
        }
    }

    fn conclude(&mut self, world: &World, report: &mut dyn FnMut(String)) {
        let totals = world.network().totals;
        if totals.left < totals.arrived + totals.lost {
            report(format!("bytes from nowhere: {totals:?}"));
        }
        let in_flight = world.bytes_in_flight();
        if totals.left != totals.arrived + totals.lost + in_flight {
            report(format!("bytes went astray: {totals:?}, {in_flight} in flight"));
        }
    }
}

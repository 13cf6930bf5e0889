//! Law: every queue stays under its bound, however the world treats it.

use super::{Checker, Scene, row};
use crate::world::torrent_id;
use proto::{Input, LinkId, Output, SendToken};
use std::collections::BTreeMap;

/// Jobs that a disk has at once: far above what the open pieces of any test need.
const DISK_JOBS_MAX: usize = 4096;
/// Bytes in line on one link: the greatest send credit, and the block that oversteps it.
const LINK_BACKLOG_MAX: u64 = (1 << 20) + (16 << 10);
/// Payloads that wait for a verdict: none is needed, and a few do no harm.
const PARKED_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Bounds {
    rows: Vec<Row>,
}

/// Blocks on their way out, and their sum per link.
#[derive(Default)]
struct Row {
    sending: BTreeMap<SendToken, u32>,
    backlog: BTreeMap<LinkId, u64>,
}

impl Checker for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn inspect(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let node = scene.node();
        if node.session().is_none() {
            return;
        }
        let lease = node.spec.lease;
        if node.links() > lease.links as usize {
            report(format!("{} links, {} leased", node.links(), lease.links));
        }
        if node.parked() > PARKED_MAX {
            report(format!("{} payloads without a verdict", node.parked()));
        }
        if node.disk.busy() > DISK_JOBS_MAX {
            report(format!("{} disk jobs at once", node.disk.busy()));
        }
        let store = node.disk.store(torrent_id(0));
        // One piece may always be open, however long it is.
        let piece = u64::from(store.content().metainfo().layout.piece_len_max());
        if store.buffered() > lease.buffer.max(piece) {
            report(format!("{} bytes in memory, {} leased", store.buffered(), lease.buffer));
        }
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.rows, scene.index) = Row::default();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, _report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        match input {
            Input::Sent { token } | Input::Unsent { token, .. } => {
                let len = row.sending.remove(token).unwrap_or(0);
                row.backlog.entry(token.link).and_modify(|sum| *sum -= u64::from(len));
            }
            Input::LinkDown { link, .. } => {
                row.backlog.remove(link);
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        if let Output::SendBlock { token, block, .. } = output {
            let row = row(&mut self.rows, scene.index);
            row.sending.insert(*token, block.len);
            let sum = row.backlog.entry(token.link).or_default();
            *sum += u64::from(block.len);
            if *sum > LINK_BACKLOG_MAX.max(u64::from(block.len)) {
                report(format!("{sum} bytes in line on {:?}", token.link));
            }
        }
    }
}

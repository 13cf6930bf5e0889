//! Law: every payload is kept or dropped exactly once, in the call that brought it, as the block it came as and never over a block that is there; every
//! `SendBlock` ends in exactly one `Sent` or `Unsent`.

use super::{Checker, Scene, row};
use proto::{Input, Output, PayloadId, SendToken};
use std::collections::{BTreeMap, BTreeSet};
use wire::message::BlockRequest;

#[derive(Default)]
pub(super) struct Payloads {
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    parked: BTreeMap<PayloadId, BlockRequest>,
    sending: BTreeSet<SendToken>,
}

impl Checker for Payloads {
    fn name(&self) -> &'static str {
        "payloads"
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.rows, scene.index) = Row::default();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        while let Some((payload, block)) = row.parked.pop_first() {
            report(format!("no verdict on {payload:?}, which brought {block:?}"));
        }
        match input {
            Input::Block { block, payload, .. } => {
                row.parked.insert(*payload, *block);
            }
            Input::Fetched { block, payload, .. } => {
                row.parked.insert(*payload, *block);
            }
            Input::MetadataPiece { piece, len, payload, .. } => {
                row.parked.insert(*payload, BlockRequest { piece: *piece, offset: 0, len: *len });
            }
            Input::Sent { token } | Input::Unsent { token, .. } => {
                let known = row.sending.remove(token);
                if !known {
                    report(format!("the driver answers {token:?} twice"));
                }
            }
            Input::LinkDown { link, .. } => {
                let sending = row.sending.iter().find(|token| token.link == *link);
                sending.into_iter().for_each(|token| report(format!("the driver forgot {token:?}")));
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let row = row(&mut self.rows, scene.index);
        match output {
            Output::Keep { payload, torrent, block } => {
                match row.parked.remove(payload) {
                    Some(came_as) if came_as == BlockRequest::from(*block) => {}
                    Some(came_as) => report(format!("keeps {came_as:?} as {block:?}")),
                    None => report(format!("keeps {payload:?}, which is not parked")),
                }
                if scene.node().disk.store(*torrent).holds(*block) {
                    report(format!("keeps {block:?} over one that is there"));
                }
            }
            Output::KeepMetadata { payload, piece, .. } => match row.parked.remove(payload) {
                Some(came_as) if came_as.piece == *piece => {}
                Some(came_as) => report(format!("keeps metadata {came_as:?} as piece {piece}")),
                None => report(format!("keeps {payload:?}, which is not parked")),
            },
            Output::Drop { payload } => {
                let known = row.parked.remove(payload).is_some();
                if !known {
                    report(format!("drops {payload:?}, which is not parked"));
                }
            }
            Output::SendBlock { token, .. } | Output::SendMetadata { token, .. } => {
                let new = row.sending.insert(*token);
                if !new {
                    report(format!("sends under {token:?} twice"));
                }
            }
            _ => {}
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let parked = row(&mut self.rows, scene.index).parked.len();
        if parked != scene.node().parked() && scene.node().session().is_some() {
            report(format!("{parked} payloads wait, and the driver holds {}", scene.node().parked()));
        }
    }
}

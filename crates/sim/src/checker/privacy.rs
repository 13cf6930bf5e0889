//! Law: a private torrent is found by its trackers alone (BEP 27): nobody is named to peers, no DHT is asked or spoken of, by whoever
//! knows more of it than its hash.

use super::{Checker, Scene, row};
use crate::world::torrent_id;
use proto::{Input, Output};
use wire::Message;
use wire::extension::{ExtensionHandshake, HANDSHAKE_ID, name};

#[derive(Default)]
pub(super) struct Privacy {
    /// Who knows more than the hash: nobody else can know that a torrent is private.
    knows: Vec<bool>,
}

impl Checker for Privacy {
    fn name(&self) -> &'static str {
        "privacy"
    }

    fn started(&mut self, scene: Scene<'_>) {
        *row(&mut self.knows, scene.index) = scene.node().knows_metadata();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, _report: &mut dyn FnMut(String)) {
        *row(&mut self.knows, scene.index) |= matches!(input, Input::MetadataReady { .. });
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let private = scene.node().disk.store(torrent_id(0)).content().metainfo().private;
        if !private || !*row(&mut self.knows, scene.index) {
            return;
        }
        match output {
            Output::FindPeers { .. } => {
                report("looks for peers of a private torrent beside its trackers".into())
            }
            Output::MeetNode(at) => report(format!("hears of the node {at} in a private torrent")),
            Output::Send { message: Message::Port(port), .. } => {
                report(format!("tells of its node at port {port} in a private torrent"));
            }
            Output::Send { message: Message::Extended { id: HANDSHAKE_ID, body }, .. } => {
                let said = ExtensionHandshake::decode(body).unwrap_or_default();
                if said.id_of(name::PEX).is_some_and(|id| id != 0) {
                    report("offers to exchange peers in a private torrent".into());
                }
            }
            _ => {}
        }
    }
}

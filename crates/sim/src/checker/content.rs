//! Law: nothing wrong is ever `Have`, and nothing wrong is served.

use super::{Checker, Scene};
use proto::{Output, TorrentId};
use wire::{Bitfield, Message, PieceIndex};

#[derive(Default)]
pub(super) struct Content;

impl Checker for Content {
    fn name(&self) -> &'static str {
        "content"
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let node = scene.node();
        if node.ills.rotten {
            return;
        }
        match output {
            Output::Send { link, message } => {
                let Some(torrent) = node.links.torrent(*link) else { return };
                let pieces = node.disk.store(torrent).content().metainfo().layout.pieces();
                let claimed = match message {
                    Message::Have(piece) => vec![PieceIndex(*piece)],
                    Message::HaveAll => Bitfield::full(pieces).iter().collect(),
                    Message::Bitfield(bytes) => match Bitfield::from_bytes(bytes, pieces) {
                        Ok(set) => set.iter().collect(),
                        Err(why) => return report(format!("sends a bitfield that is {why:?}")),
                    },
                    _ => return,
                };
                claims(scene, torrent, &claimed, report);
            }
            Output::Haves { link, pieces } => {
                let Some(torrent) = node.links.torrent(*link) else { return };
                claims(scene, torrent, pieces, report);
            }
            Output::SendBlock { torrent, block, .. } => {
                let store = node.disk.store(*torrent);
                let wrong = match store.read(*block) {
                    Some((tag, _)) => tag != store.content().tag(*block),
                    None => true,
                };
                if wrong {
                    report(format!("serves {block:?}, which it does not have"));
                }
            }
            _ => {}
        }
    }
}

fn claims(scene: Scene<'_>, torrent: TorrentId, pieces: &[PieceIndex], report: &mut dyn FnMut(String)) {
    let store = scene.node().disk.store(torrent);
    if let Some(piece) = pieces.iter().find(|&&piece| !store.serves(piece)) {
        report(format!("claims {piece:?}, which it does not have whole and right"));
    }
}

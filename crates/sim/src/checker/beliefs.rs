//! Law: what a peer was told is what is so. Whoever lacks something hears, before long, of every piece that a session comes to have;
//! a seed may show its pieces one by one (BEP 16). BEP: 3, 6

use super::{Checker, Scene, row};
use crate::world::torrent_id;
use core::time::Duration;
use proto::{Input, Instant, LinkId, Output};
use std::collections::BTreeMap;
use wire::{Bitfield, Message, PieceIndex};

/// News gather for 50 ms; a link that is about to close hears none.
const TOLD_WITHIN: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(super) struct Beliefs {
    rows: Vec<BTreeMap<LinkId, Line>>,
}

/// One link, as one end spoke on it.
struct Line {
    told: Bitfield,
    theirs: Bitfield,
    closing: bool,
    /// The first piece that it was not told of, and since when that is so.
    behind: Option<(PieceIndex, Instant)>,
}

impl Checker for Beliefs {
    fn name(&self) -> &'static str {
        "beliefs"
    }

    fn started(&mut self, scene: Scene<'_>) {
        row(&mut self.rows, scene.index).clear();
    }

    fn input(&mut self, scene: Scene<'_>, input: &Input<'_>, _report: &mut dyn FnMut(String)) {
        let links = row(&mut self.rows, scene.index);
        match input {
            Input::LinkUp(up) => {
                let pieces = pieces_of(scene);
                let (told, theirs) = (Bitfield::new(pieces), Bitfield::new(pieces));
                links.insert(up.link, Line { told, theirs, closing: false, behind: None });
            }
            Input::LinkDown { link, .. } => drop(links.remove(link)),
            Input::Message { link, message } => {
                links.get_mut(link).into_iter().for_each(|line| add(&mut line.theirs, message));
            }
            Input::Haves { link, pieces } => {
                let line = links.get_mut(link);
                line.into_iter()
                    .for_each(|line| pieces.iter().for_each(|&piece| insert(&mut line.theirs, piece)));
            }
            _ => {}
        }
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, _report: &mut dyn FnMut(String)) {
        let links = row(&mut self.rows, scene.index);
        match output {
            Output::Send { link, message } => {
                links.get_mut(link).into_iter().for_each(|line| add(&mut line.told, message));
            }
            Output::Haves { link, pieces } => {
                let line = links.get_mut(link);
                line.into_iter()
                    .for_each(|line| pieces.iter().for_each(|piece| insert(&mut line.told, piece.0)));
            }
            Output::Close { link, .. } => {
                links.get_mut(link).into_iter().for_each(|line| line.closing = true)
            }
            _ => {}
        }
    }

    fn inspect(&mut self, scene: Scene<'_>, report: &mut dyn FnMut(String)) {
        let node = scene.node();
        let Some(have) = node.session().and_then(|session| session.have(torrent_id(0))) else { return };
        // Who has everything may show it piece by piece.
        if have.is_full() || !node.knows_metadata() {
            return;
        }
        for (link, line) in row(&mut self.rows, scene.index) {
            let untold = have.iter().find(|&piece| !line.told.has(piece));
            let Some(piece) = untold.filter(|_| !line.closing && !line.theirs.is_full()) else {
                line.behind = None;
                continue;
            };
            let since = match line.behind {
                Some((behind, since)) if behind == piece => since,
                Some(_) | None => scene.now,
            };
            line.behind = Some((piece, since));
            if scene.now.since(since) >= TOLD_WITHIN {
                report(format!("{link:?} was never told of {piece:?}, which is here since {since:?}"));
                line.behind = None;
            }
        }
    }
}

fn pieces_of(scene: Scene<'_>) -> u32 {
    scene.node().disk.store(torrent_id(0)).content().metainfo().layout.pieces()
}

/// What a message says of pieces; strangers' numbers may be anything.
fn add(set: &mut Bitfield, message: &Message) {
    match message {
        Message::Have(piece) => insert(set, *piece),
        Message::HaveAll => *set = Bitfield::full(set.len()),
        Message::Bitfield(bytes) => {
            if let Ok(more) = Bitfield::from_bytes(bytes, set.len()) {
                more.iter().for_each(|piece| {
                    set.insert(piece);
                });
            }
        }
        _ => {}
    }
}

fn insert(set: &mut Bitfield, piece: u32) {
    if piece < set.len() {
        set.insert(PieceIndex(piece));
    }
}

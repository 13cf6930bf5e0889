//! Suggesting pieces (BEP 6): whoever we serve is told of pieces of ours that nobody else has, each peer of other ones, so that
//! what leaves us once need not leave us twice.
//!
//! The rule is the BEP's own: it names "super-seeding without throughput reduction, to avoid redundant downloads" as what the
//! message is for. (libtorrent's `suggest_read_cache` suggests what was just read from the disk, rare pieces only; we keep no such
//! cache but the kernel's.) Unlike in super-seeding, nothing is withheld: a peer that does not listen loses nothing.
//! Invariants: at most [`OPEN_MAX`] suggestions of a peer and [`SUGGESTED_MAX`] of a torrent are open; never what the peer has, was
//! not told that we have, or another was suggested; none while super-seeding, which shows pieces in its own order.
//! What becomes of suggestions that we hear is the picker's. BEP: 6

use super::Torrent;
use crate::PeerKey;
use crate::cx::Cx;
use wire::{Block, Message, PieceIndex};

/// Suggestions to a peer that it has not followed: one that it fetches, and the next.
pub const OPEN_MAX: usize = 2;
/// The same of all peers together: many more than are served at once.
pub const SUGGESTED_MAX: usize = 64;
/// Pieces looked at for a suggestion, from anywhere on: whoever finds none among so many finds few at all.
const PROBES_MAX: u32 = 64;

/// What was suggested, and not followed so far.
#[derive(Clone, Debug, Default)]
pub struct Suggestions {
    open: Vec<(PieceIndex, PeerKey)>,
    /// The last search found nothing that nobody has.
    dry: bool,
}

impl Torrent {
    /// A peer is served from now on: it may want what nobody has.
    pub fn suggest_first(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        self.haves.suggestions.dry = false;
        self.suggest(cx, key);
    }

    /// A block left: the peer's next piece may be another one that nobody has, if that was its last.
    pub fn suggest_next(&mut self, cx: &mut Cx<'_>, key: PeerKey, sent: Block) {
        if !self.haves.suggestions.dry && sent.offset + sent.len == self.metainfo.layout.piece_len(sent.piece)
        {
            self.suggest(cx, key);
        }
    }

    fn suggest(&mut self, cx: &mut Cx<'_>, key: PeerKey) {
        if self.is_super_seeding() || !self.stage.is_active() {
            return;
        }
        let peers = &self.peers;
        // Who was choked since, has left, or has the piece by now, leaves it to others.
        self.haves.suggestions.open.retain(|&(piece, to)| {
            peers.get(to).is_some_and(|peer| !peer.state.am_choking && !peer.pieces.has(piece))
        });
        let listens =
            |peer: &&crate::peer::Peer| peer.terms.fast && peer.state.peer_interested && !peer.state.closing;
        if self.peers.get(key).filter(listens).is_none() {
            return;
        }
        let open = &self.haves.suggestions.open;
        let of_this = open.iter().filter(|(_, to)| *to == key).count();
        let room = OPEN_MAX.saturating_sub(of_this).min(SUGGESTED_MAX.saturating_sub(open.len()));
        for piece in self.pieces_of_ours_alone(cx, room) {
            self.haves.suggestions.open.push((piece, key));
            if let Some(peer) = self.peers.get_mut(key) {
                peer.send(cx, Message::Suggest(piece.0));
            }
        }
    }

    /// Pieces that we have and spoke of, and nobody whom we are linked with has or is to fetch; at most so many.
    fn pieces_of_ours_alone(&mut self, cx: &mut Cx<'_>, most: usize) -> Vec<PieceIndex> {
        if most == 0 {
            return Vec::new();
        }
        let pieces = self.metainfo.layout.pieces();
        let start = cx.rng.index(pieces as usize) as u32;
        let (have, suggestions) = (self.picker.pieces().have(), &self.haves.suggestions);
        let alone = |piece: &PieceIndex| {
            have.has(*piece)
                && self.picker.availability(*piece) == 0
                && !self.haves.is_untold(*piece)
                && suggestions.open.iter().all(|(open, _)| open != piece)
        };
        let probed = (0..pieces.min(PROBES_MAX)).map(|step| PieceIndex((start + step) % pieces));
        let found: Vec<PieceIndex> = probed.filter(alone).take(most).collect();
        self.haves.suggestions.dry = found.is_empty();
        found
    }
}

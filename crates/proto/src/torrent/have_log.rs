//! The pieces that came to us of late, in order, for telling the peers in batches: one shared list instead of a message per
//! piece and peer. Holds only what somebody has not been told.
//!
//! Invariant: `told` counts every piece ever logged before `fresh`; a peer's own count says from where it must be told.

use super::suggesting::Suggestions;
use super::super_seed::SuperSeed;
use std::sync::Arc;
use wire::PieceIndex;

/// News to be told.
#[derive(Debug, Default)]
pub struct HaveLog {
    told: u64,
    fresh: Vec<PieceIndex>,
    /// While the first copy goes out: peers are told of single pieces instead (BEP 16).
    pub first_copy: Option<Box<SuperSeed>>,
    /// Pieces of ours that peers were told to fetch first (BEP 6).
    pub suggestions: Suggestions,
}

/// What goes out in one flush.
#[derive(Debug)]
pub struct Batch {
    from: u64,
    pieces: Arc<[PieceIndex]>,
}

impl HaveLog {
    /// No news.
    pub fn new() -> HaveLog {
        HaveLog::default()
    }

    /// A piece came; says whether it is the first news since the last flush.
    pub fn push(&mut self, piece: PieceIndex) -> bool {
        self.fresh.push(piece);
        self.fresh.len() == 1
    }

    /// A piece is gone again before it was told.
    pub fn retract(&mut self, piece: PieceIndex) {
        // Cursors count, so the place stays taken: it is replaced by a neighbour, and a have told twice does no harm.
        if let Some(at) = self.fresh.iter().position(|&fresh| fresh == piece) {
            match self.fresh.iter().copied().find(|&other| other != piece) {
                Some(other) => self.fresh[at] = other,
                None => self.fresh.clear(),
            }
        }
    }

    /// Whether peers are still to be told of this piece.
    pub fn is_untold(&self, piece: PieceIndex) -> bool {
        self.fresh.contains(&piece)
    }

    /// How many pieces were ever logged: where a peer stands that knows all of it.
    pub fn head(&self) -> u64 {
        self.told + self.fresh.len() as u64
    }

    /// Takes the news out.
    pub fn flush(&mut self) -> Option<Batch> {
        if self.fresh.is_empty() {
            return None;
        }
        let (from, pieces): (u64, Arc<[PieceIndex]>) = (self.told, core::mem::take(&mut self.fresh).into());
        self.told += pieces.len() as u64;
        Some(Batch { from, pieces })
    }
}

impl Batch {
    /// What a peer is told that knows the log up to `cursor`: the shared list, or its tail if the peer came in between.
    pub fn since(&self, cursor: u64) -> Option<Arc<[PieceIndex]>> {
        let known = usize::try_from(cursor.saturating_sub(self.from)).unwrap_or(usize::MAX);
        match known {
            0 => Some(Arc::clone(&self.pieces)),
            known => self.pieces.get(known..).filter(|rest| !rest.is_empty()).map(Arc::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_share_a_batch_and_a_latecomer_gets_its_tail() {
        let mut log = HaveLog::new();
        assert!(log.push(PieceIndex(3)));
        let latecomer = log.head();
        assert!(!log.push(PieceIndex(5)));
        let newest = log.head();
        let batch = log.flush().unwrap();
        let (one, two) = (batch.since(0).unwrap(), batch.since(0).unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        assert_eq!(&*one, &[PieceIndex(3), PieceIndex(5)]);
        assert_eq!(batch.since(latecomer).as_deref(), Some(&[PieceIndex(5)][..]));
        assert_eq!(batch.since(newest), None);
        assert!(log.flush().is_none());
        assert!(log.push(PieceIndex(9)));
        assert_eq!(log.flush().unwrap().since(newest).as_deref(), Some(&[PieceIndex(9)][..]));
    }
}

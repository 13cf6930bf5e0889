//! Reads a few recorded pieces back before the record is believed: H8.
//!
//! Not a check: most pieces stay unread. What it cannot see, because size, time and inode fit: a change that no sample lies
//! in, bit rot among it; a device that lost what the kernel still has in memory; blocks of unfinished pieces, which the hash
//! of their piece judges later. The pieces are the same at every start. Who wants to know more asks for a check.
//! Always: it writes nothing, and reads no more than [`SAMPLE_BYTES_MAX`].

use super::{CHUNK_LEN, Home, Storage};
use proto::{DiskError, Rng, Seed};
use wire::{Bitfield, Metainfo, PieceIndex};

/// Pieces read back. A file that was replaced is wrong everywhere, so that the first sample in it tells; more of them cost a
/// seek each, at every start and for every torrent.
pub(super) const SAMPLE_PIECES_MAX: u32 = 8;

/// Bytes read back in all: two pieces of 16 MiB or eight of 4 MiB, 20 to 30 ms if the kernel has them in memory. Longer pieces
/// than this are not sampled at all: a part of a piece has no hash to compare with.
pub(super) const SAMPLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

impl Storage {
    /// Samples the recorded pieces; returns those that can no longer be believed: all pieces of every file that a bad sample
    /// lies in. Such files count as somebody else's from now on, and only verified pieces are written over them.
    pub(super) fn refuted(&self, recorded: &Bitfield) -> Result<Bitfield, DiskError> {
        let (metainfo, layout) = (&self.spec.metainfo, &self.spec.metainfo.layout);
        let mut refuted = Bitfield::new(layout.pieces());
        let mut buffer = vec![0; CHUNK_LEN.min(layout.piece_len_max() as usize)];
        for piece in choose(metainfo, recorded) {
            if self.hash_on_disk(piece, &mut buffer)? == Some(metainfo.piece_hash(piece)) {
                continue;
            }
            tracing::warn!(root = %self.spec.root.display(), %piece, "changed behind us: the files it lies in are checked");
            let mut book = self.book();
            for file in layout.files_of(piece) {
                let pieces = layout.pieces_of(file);
                (pieces.start.0..pieces.end.0).for_each(|piece| _ = refuted.insert(PieceIndex(piece)));
                let entry = &mut book.files[file.as_usize()];
                if entry.home != Home::Absent {
                    entry.adopted = layout.extent(file).len;
                }
            }
        }
        let mut book = self.book();
        refuted.iter().for_each(|piece| _ = book.written.remove(piece));
        drop(book);
        Ok(refuted)
    }
}

/// The pieces to read back: the first and the last, for they show whether there is a beginning and an end, and others
/// in between, one at random in each of as many equal stretches. Always the same for one torrent and record.
pub(super) fn choose(metainfo: &Metainfo, recorded: &Bitfield) -> Vec<PieceIndex> {
    let layout = &metainfo.layout;
    let fits = |piece: &PieceIndex| u64::from(layout.piece_len(*piece)) <= SAMPLE_BYTES_MAX;
    let among: Vec<_> = recorded.iter().filter(fits).collect();
    let mut chosen = Vec::new();
    let (Some((first, rest)), piece_len) = (among.split_first(), u64::from(layout.piece_len_max())) else {
        return chosen;
    };
    chosen.push(*first);
    if let Some((last, between)) = rest.split_last() {
        chosen.push(*last);
        let most = (SAMPLE_BYTES_MAX / piece_len.max(1)).min(u64::from(SAMPLE_PIECES_MAX)) as usize;
        let stretches = most.saturating_sub(chosen.len()).min(between.len());
        let mut seed = [0; 8];
        seed.copy_from_slice(&metainfo.info_hash.0[..8]);
        let mut rng = Rng::new(Seed(u64::from_le_bytes(seed)));
        for stretch in 0..stretches {
            let (from, to) = (between.len() * stretch / stretches, between.len() * (stretch + 1) / stretches);
            chosen.push(between[from + rng.index(to - from)]);
        }
    }
    let mut left = SAMPLE_BYTES_MAX;
    chosen.retain(|&piece| match left.checked_sub(u64::from(layout.piece_len(piece))) {
        Some(after) => {
            left = after;
            true
        }
        None => false,
    });
    chosen
}

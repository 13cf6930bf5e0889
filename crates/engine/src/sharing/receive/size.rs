//! How much a torrent adds to what a sharer has offered, to be held against what it said there would be. Pure.

use wire::FileIndex;
use wire::offer::OfferedTorrent;

/// How much of what the offer said is in a torrent.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Size {
    pub(super) bytes: u64,
    pub(super) files: u64,
    pub(super) executables: u64,
    /// Bytes of its description.
    pub(super) info: u64,
}

impl Size {
    pub(super) fn of(torrent: &OfferedTorrent) -> Size {
        let OfferedTorrent { metainfo, places, executables, .. } = torrent;
        // A file in ranges is counted with its first.
        let counts = |file: &FileIndex| match places.binary_search_by_key(file, |place| place.file) {
            Ok(at) => places[at].offset == 0,
            Err(_) => true,
        };
        let files = metainfo.layout.file_indices().filter(|&file| metainfo.path(file).is_some());
        Size {
            bytes: metainfo.layout.total(),
            files: files.filter(counts).count() as u64,
            executables: executables.iter().filter(|file| counts(file)).count() as u64,
            info: metainfo.info().len() as u64,
        }
    }

    pub(super) fn and(self, other: Size) -> Size {
        Size {
            bytes: self.bytes.saturating_add(other.bytes),
            files: self.files.saturating_add(other.files),
            executables: self.executables.saturating_add(other.executables),
            info: self.info.saturating_add(other.info),
        }
    }

    pub(super) fn without(self, other: Size) -> Size {
        Size {
            bytes: self.bytes.saturating_sub(other.bytes),
            files: self.files.saturating_sub(other.files),
            executables: self.executables.saturating_sub(other.executables),
            // A sharer that withdraws what it says may not say it for ever.
            info: self.info,
        }
    }

    pub(super) fn is_within(self, most: Size) -> bool {
        self.bytes <= most.bytes
            && self.files <= most.files
            && self.executables <= most.executables
            && self.info <= most.info
    }
}

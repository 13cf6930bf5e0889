//! What a `.torrent` holds, checked: a value of this type can be downloaded.
//!
//! Not a tree of bencode, and not the state of a download. Invariants: there are as many piece hashes as the layout has
//! pieces, and as many paths as it has files; `info_hash` is the hash of the bytes that [`Metainfo::info`] returns, as they
//! stood in the file. Everything that a stranger wrote is [`DisplaySafe`], a [`SafePath`], or a URL without controls.
//! BEP: 3, 5 (nodes), 12, 19, 27, 47; the v1 half of 52

mod build;
mod error;
mod parse;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use sha1::{Digest, Sha1};

pub use build::{MetainfoBuilder, NewFile, default_piece_len};
pub use error::MetainfoError;

use crate::{
    DisplaySafe, FileIndex, InfoHash, Layout, PieceIndex, SafePath,
    bencode::{Bencode, Limits, Oddities},
    path::SafePaths,
};

/// Most trackers kept of one torrent: more than any public list has; every one costs an announce.
pub const TRACKERS_MAX: usize = 500;

/// Most web seeds kept of one torrent.
pub const WEB_SEEDS_MAX: usize = 100;

/// Most DHT nodes kept of one torrent: a bootstrap needs a handful.
pub const NODES_MAX: usize = 100;

/// Longest URL kept, in bytes: what HTTP servers commonly take.
pub const URL_BYTES_MAX: usize = 4_096;

/// A torrent's description, right by construction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metainfo {
    /// SHA-1 of the `info` dictionary as it stood in the file.
    pub info_hash: InfoHash,
    /// Which generations of peers can take part.
    pub version: MetaVersion,
    /// What the content is called: its file, or its top directory.
    pub name: TorrentName,
    /// Pieces, blocks and files.
    pub layout: Layout,
    /// No peers from anywhere but its own trackers (BEP 27).
    pub private: bool,
    /// Announce URLs in tiers (BEP 12); `announce` alone is one tier of one. At most [`TRACKERS_MAX`], each once.
    pub trackers: Vec<Vec<String>>,
    /// URLs of web servers with the content (BEP 19). At most [`WEB_SEEDS_MAX`].
    pub web_seeds: Vec<String>,
    /// DHT nodes, host and port, for torrents without a tracker (BEP 5). At most [`NODES_MAX`].
    pub nodes: Vec<(String, u16)>,
    /// What its maker says about it.
    pub about: About,
    /// What was not canonical in the file and forgiven.
    pub oddities: Oddities,
    info: Arc<[u8]>,
    hashes: PieceHashes,
    files: Files,
}

/// Which generations of peers a torrent is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetaVersion {
    /// SHA-1 and pieces that run through all files (BEP 3).
    V1,
    /// Both that and BEP 52; we use the v1 half.
    Hybrid,
}

/// A torrent's name as we use it and as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TorrentName {
    /// One element: the file or the top directory. Of a torrent without a name: its info-hash.
    pub safe: SafePath,
    /// For people.
    pub original: DisplaySafe,
}

/// What its maker says about a torrent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// Free text.
    pub comment: Option<DisplaySafe>,
    /// The program that made it.
    pub created_by: Option<DisplaySafe>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
    /// The site it was made for; part of `info`, so that sites' torrents differ.
    pub source: Option<DisplaySafe>,
}

/// 20 bytes per piece, inside a text that others share.
#[derive(Clone, PartialEq, Eq)]
struct PieceHashes {
    bytes: Arc<[u8]>,
    at: usize,
}

/// Where the files go.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Files {
    /// One file, called like the torrent.
    Single,
    /// Files in a top directory that is called like the torrent.
    Many {
        paths: SafePaths,
        /// Where each file's dictionary starts in `info`; empty if there is no `info`.
        written_at: Box<[u32]>,
    },
}

impl Metainfo {
    /// Reads a `.torrent` file.
    pub fn parse(torrent: &[u8]) -> Result<Metainfo, MetainfoError> {
        parse::torrent(torrent)
    }

    /// Reads what [`Metainfo::to_torrent`] wrote: metadata from peers may be longer than a `.torrent` file of strangers.
    pub fn parse_stored(torrent: &[u8]) -> Result<Metainfo, MetainfoError> {
        parse::stored(torrent)
    }

    /// Reads an `info` dictionary that peers sent (BEP 9). The caller compares the info-hash.
    pub fn from_info(info: &[u8]) -> Result<Metainfo, MetainfoError> {
        parse::info_alone(info)
    }

    /// A description that was never bencode, for simulated swarms and tests: its info-hash is a hash of all that is given,
    /// [`Metainfo::info`] is empty, and files are numbered.
    ///
    /// # Errors
    /// [`MetainfoError::PieceHashes`] if there is not one hash per piece.
    pub fn synthetic(
        name: &str,
        layout: Layout,
        piece_hashes: &[[u8; 20]],
    ) -> Result<Metainfo, MetainfoError> {
        let bytes: Arc<[u8]> = piece_hashes.as_flattened().into();
        let hashes = PieceHashes::new(bytes, 0, piece_hashes.len() * 20, &layout)?;
        let mut hash = Sha1::new_with_prefix(name);
        hash.update(layout.piece_len_max().to_be_bytes());
        for file in layout.file_indices() {
            hash.update(layout.extent(file).len.to_be_bytes());
        }
        hash.update(piece_hashes.as_flattened());
        let files = if layout.files() == 1 {
            Files::Single
        } else {
            let numbers: Vec<String> = layout.file_indices().map(|file| file.to_string()).collect();
            let written = layout.file_indices().zip(&numbers);
            let written =
                written.map(|(file, number)| (!layout.extent(file).pad).then_some([number.as_bytes()]));
            Files::Many { paths: SafePaths::new(written)?, written_at: Box::default() }
        };
        Ok(Metainfo {
            info_hash: InfoHash(hash.finalize().into()),
            version: MetaVersion::V1,
            name: TorrentName {
                safe: SafePath::from_name(name.as_bytes()),
                original: DisplaySafe::new(name),
            },
            layout,
            private: false,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            nodes: Vec::new(),
            about: About::default(),
            oddities: Oddities::default(),
            info: Arc::default(),
            hashes,
            files,
        })
    }

    /// SHA-1 that the piece must have.
    pub fn piece_hash(&self, piece: PieceIndex) -> [u8; 20] {
        self.hashes.get(piece)
    }

    /// The `info` dictionary, byte for byte: what BEP 9 serves.
    pub fn info(&self) -> &Arc<[u8]> {
        &self.info
    }

    /// A `.torrent` file of this: its `info` byte for byte, its trackers and web seeds.
    pub fn to_torrent(&self) -> Vec<u8> {
        build::torrent_of(self)
    }

    /// How long the `info` dictionary is. One that was never bencode is taken to be as long as its hashes.
    pub fn metadata_len(&self) -> u32 {
        let len = if self.info.is_empty() { self.hashes.bytes.len() } else { self.info.len() };
        u32::try_from(len).unwrap_or(u32::MAX)
    }

    /// Whether the files lie in a directory, rather than being one file.
    pub fn has_directory(&self) -> bool {
        matches!(self.files, Files::Many { .. })
    }

    /// Where a file goes, the top directory included. `None` for what is never written: pads and symbolic links (BEP 47).
    pub fn path(&self, file: FileIndex) -> Option<SafePath> {
        match &self.files {
            Files::Single => Some(self.name.safe.clone()),
            Files::Many { paths, .. } => paths.get_beneath(&self.name.safe, file),
        }
    }

    /// A file's path as it was written, `/` between its elements, without the top directory; for people.
    pub fn original_path(&self, file: FileIndex) -> DisplaySafe {
        let Files::Many { paths, written_at } = &self.files else { return self.name.original.clone() };
        let written = written_at.get(file.as_usize()).and_then(|&at| self.info.get(at as usize..));
        let parsed = written.and_then(|bytes| Bencode::parse_prefix(bytes, &Limits::METADATA).ok());
        match parsed {
            Some(entry) => DisplaySafe::new(parse::joined_path(entry.root())),
            None => paths.get(file).map(|path| DisplaySafe::from(path.as_str())).unwrap_or_default(),
        }
    }
}

impl PieceHashes {
    /// The hashes are `len` bytes of `bytes` from `at`; there must be one per piece.
    fn new(bytes: Arc<[u8]>, at: usize, len: usize, layout: &Layout) -> Result<PieceHashes, MetainfoError> {
        let wanted = layout.pieces();
        if len as u64 != u64::from(wanted) * 20 || bytes.get(at..).is_none_or(|rest| rest.len() < len) {
            return Err(MetainfoError::PieceHashes { pieces: wanted, bytes: len });
        }
        Ok(PieceHashes { bytes, at })
    }

    fn get(&self, piece: PieceIndex) -> [u8; 20] {
        let behind = self.bytes.get(self.at + piece.as_usize() * 20..).unwrap_or_default();
        // Nothing hashes to zeros; and the layout knows no piece without a hash.
        behind.first_chunk().copied().unwrap_or_default()
    }
}

impl core::fmt::Debug for PieceHashes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PieceHashes")
    }
}

//! Writes `.torrent` files. The piece hashes come from outside: nothing here reads a file.
//!
//! Invariants: the same input gives the same bytes, on every machine; what is written parses. BEP: 3, 12, 19, 27

use super::{Metainfo, MetainfoError};
use crate::{
    Layout,
    bencode::{Encoded, bytes, dict, int, list},
    layout::{BLOCK_LEN, FileLen, LayoutError},
};

/// A torrent to be made.
#[derive(Clone, Debug)]
pub struct MetainfoBuilder {
    name: String,
    piece_len: u32,
    content: Content,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    private: bool,
    comment: Option<String>,
    source: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

/// A file of a torrent to be made.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NewFile {
    /// Directories and name, beneath the top directory.
    pub path: Vec<String>,
    /// Bytes.
    pub len: u64,
}

#[derive(Clone, Debug)]
enum Content {
    Single(u64),
    Many(Vec<NewFile>),
}

impl MetainfoBuilder {
    /// A torrent of one file.
    pub fn single(name: impl Into<String>, len: u64, piece_len: u32) -> MetainfoBuilder {
        MetainfoBuilder::new(name.into(), Content::Single(len), piece_len)
    }

    /// A torrent of a directory. Its files are put in order of their paths, whatever order a disk listed them in: hash them
    /// in the order of [`MetainfoBuilder::files`].
    pub fn directory(name: impl Into<String>, mut files: Vec<NewFile>, piece_len: u32) -> MetainfoBuilder {
        files.sort_unstable();
        MetainfoBuilder::new(name.into(), Content::Many(files), piece_len)
    }

    fn new(name: String, content: Content, piece_len: u32) -> MetainfoBuilder {
        MetainfoBuilder {
            name,
            piece_len,
            content,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            comment: None,
            source: None,
            created_by: None,
            creation_date: None,
        }
    }

    /// Announce URLs in tiers (BEP 12).
    pub fn trackers(mut self, tiers: Vec<Vec<String>>) -> MetainfoBuilder {
        self.trackers = tiers.into_iter().filter(|tier| !tier.is_empty()).collect();
        self
    }

    /// URLs of web servers with the content (BEP 19).
    pub fn web_seeds(mut self, urls: Vec<String>) -> MetainfoBuilder {
        self.web_seeds = urls;
        self
    }

    /// No peers from anywhere but the trackers (BEP 27).
    pub fn private(mut self, private: bool) -> MetainfoBuilder {
        self.private = private;
        self
    }

    /// Free text.
    pub fn comment(mut self, comment: impl Into<String>) -> MetainfoBuilder {
        self.comment = Some(comment.into());
        self
    }

    /// The site it is made for; changes the info-hash.
    pub fn source(mut self, source: impl Into<String>) -> MetainfoBuilder {
        self.source = Some(source.into());
        self
    }

    /// The program that makes it.
    pub fn created_by(mut self, program: impl Into<String>) -> MetainfoBuilder {
        self.created_by = Some(program.into());
        self
    }

    /// Seconds since 1970. Leave it out, and the same content gives the same torrent tomorrow.
    pub fn creation_date(mut self, seconds: i64) -> MetainfoBuilder {
        self.creation_date = Some(seconds);
        self
    }

    /// The files of a directory in the order in which pieces run through them; none for a single file.
    pub fn files(&self) -> &[NewFile] {
        match &self.content {
            Content::Single(_) => &[],
            Content::Many(files) => files,
        }
    }

    /// Which pieces are to be hashed.
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        match &self.content {
            Content::Single(len) => Layout::new(*len, self.piece_len),
            Content::Many(files) => {
                let lens = files.iter().map(|file| FileLen { len: file.len, pad: false });
                Layout::with_files(lens, self.piece_len, BLOCK_LEN)
            }
        }
    }

    /// The `.torrent` file, canonical, and what it says.
    ///
    /// # Errors
    /// As [`Metainfo::parse`]: what cannot be read back is not handed out.
    pub fn build(&self, piece_hashes: &[[u8; 20]]) -> Result<(Vec<u8>, Metainfo), MetainfoError> {
        self.layout()?;
        let mut entries = vec![("info", self.info(piece_hashes))];
        if let Some(first) = self.trackers.first().and_then(|tier| tier.first()) {
            entries.push(("announce", bytes(first)));
        }
        // A list of one would say what `announce` says.
        if self.trackers.iter().map(Vec::len).sum::<usize>() > 1 {
            let tiers = self.trackers.iter().map(|tier| list(tier.iter().map(bytes)));
            entries.push(("announce-list", list(tiers)));
        }
        if !self.web_seeds.is_empty() {
            entries.push(("url-list", list(self.web_seeds.iter().map(bytes))));
        }
        entries.extend(self.comment.as_ref().map(|comment| ("comment", bytes(comment))));
        entries.extend(self.created_by.as_ref().map(|program| ("created by", bytes(program))));
        entries.extend(self.creation_date.map(|date| ("creation date", int(date))));
        let torrent = dict(entries).into_bytes();
        let metainfo = Metainfo::parse(&torrent)?;
        Ok((torrent, metainfo))
    }

    fn info(&self, piece_hashes: &[[u8; 20]]) -> Encoded {
        let mut entries = vec![
            ("name", bytes(&self.name)),
            ("piece length", int(i64::from(self.piece_len))),
            ("pieces", bytes(piece_hashes.as_flattened())),
        ];
        match &self.content {
            Content::Single(len) => entries.push(("length", size(*len))),
            Content::Many(files) => entries.push(("files", list(files.iter().map(file_entry)))),
        }
        if self.private {
            entries.push(("private", int(1)));
        }
        entries.extend(self.source.as_ref().map(|source| ("source", bytes(source))));
        dict(entries)
    }
}

/// The `.torrent` of a description, around its `info` as it stands.
pub(super) fn torrent_of(metainfo: &Metainfo) -> Vec<u8> {
    let mut entries = vec![("info", Encoded::raw(metainfo.info()))];
    let tiers = &metainfo.trackers;
    entries.extend(tiers.iter().flatten().next().map(|first| ("announce", bytes(first))));
    if tiers.iter().map(Vec::len).sum::<usize>() > 1 {
        let tiers = tiers.iter().map(|tier| list(tier.iter().map(bytes)));
        entries.push(("announce-list", list(tiers)));
    }
    if !metainfo.web_seeds.is_empty() {
        entries.push(("url-list", list(metainfo.web_seeds.iter().map(bytes))));
    }
    dict(entries).into_bytes()
}

/// A piece length for so much content: at most 2,000 pieces, so that a torrent stays near 40 KB, but never below 16 KiB,
/// which is one block, nor above 16 MiB, from where every client can hold and check pieces with ease.
pub fn default_piece_len(total: u64) -> u32 {
    const PIECES_AIM: u64 = 2_000;
    const PIECE_LEN_AIM_MAX: u32 = 16 * 1024 * 1024;
    let mut piece_len = BLOCK_LEN;
    while piece_len < PIECE_LEN_AIM_MAX && total.div_ceil(u64::from(piece_len)) > PIECES_AIM {
        piece_len *= 2;
    }
    piece_len
}

fn file_entry(file: &NewFile) -> Encoded {
    dict([("length", size(file.len)), ("path", list(file.path.iter().map(bytes)))])
}

/// A layout bounds every length by 2^45, so it fits.
fn size(len: u64) -> Encoded {
    int(i64::try_from(len).unwrap_or(i64::MAX))
}

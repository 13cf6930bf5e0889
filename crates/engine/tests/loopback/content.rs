//! Content that is a function of a seed, on disk where a test wants it, and as a torrent.

use proto::{Rng, Seed};
use sha1::{Digest, Sha1};
use std::fs;
use std::io::Write;
use std::path::Path;
use wire::metainfo::{MetainfoBuilder, NewFile};
use wire::{InfoHash, Metainfo};

/// Some files and their torrent.
pub(crate) struct Content {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    piece_len: u32,
    pub(crate) torrent: Vec<u8>,
}

impl Content {
    /// Files with these names and lengths, in a directory of this name.
    pub(crate) fn new(name: &str, files: &[(&str, u64)], piece_len: u32, seed: u64) -> Content {
        let mut rng = Rng::new(Seed(seed));
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(path, len)| (path.to_string(), bytes(&mut rng, *len))).collect();
        let mut content = Content { name: name.into(), files, piece_len, torrent: Vec::new() };
        content.torrent = content.torrent_with(Vec::new());
        content
    }

    /// The torrent, with these trackers.
    pub(crate) fn torrent_with(&self, trackers: Vec<Vec<String>>) -> Vec<u8> {
        self.torrent_of(trackers, Vec::new())
    }

    /// The torrent, with these trackers and web seeds.
    pub(crate) fn torrent_of(&self, trackers: Vec<Vec<String>>, web_seeds: Vec<String>) -> Vec<u8> {
        let (builder, hashes) = self.builder();
        builder.trackers(trackers).web_seeds(web_seeds).build(&hashes).unwrap().0
    }

    /// The torrent, for its own trackers alone (BEP 27), of which it has none.
    pub(crate) fn torrent_that_is_private(&self) -> Vec<u8> {
        let (builder, hashes) = self.builder();
        builder.private(true).build(&hashes).unwrap().0
    }

    fn builder(&self) -> (MetainfoBuilder, Vec<[u8; 20]>) {
        let mut files: Vec<&(String, Vec<u8>)> = self.files.iter().collect();
        files.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
        let new = files.iter().map(|(path, bytes)| NewFile {
            path: path.split('/').map(String::from).collect(),
            len: bytes.len() as u64,
        });
        let all: Vec<u8> = files.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        let hashes: Vec<[u8; 20]> =
            all.chunks(self.piece_len as usize).map(|piece| Sha1::digest(piece).into()).collect();
        (MetainfoBuilder::directory(self.name.clone(), new.collect(), self.piece_len), hashes)
    }

    /// Puts the files where a client looks for them.
    pub(crate) fn write_to(&self, downloads: &Path) {
        for (path, bytes) in &self.files {
            let path = downloads.join(&self.name).join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Compares what a client has fetched.
    pub(crate) fn check(&self, downloads: &Path) {
        for (path, _) in &self.files {
            self.check_file(downloads, path);
        }
    }

    /// Compares one file.
    pub(crate) fn check_file(&self, downloads: &Path, path: &str) {
        let (_, expected) = self.files.iter().find(|(other, _)| other == path).unwrap();
        let found = fs::read(downloads.join(&self.name).join(path));
        let found = found.unwrap_or_else(|error| panic!("{path} of {}: {error}", self.name));
        assert!(found == *expected, "{path} of {} differs", self.name);
    }

    /// Changes one byte in every 100,000 of a file behind its client's back.
    pub(crate) fn spoil(&self, downloads: &Path, path: &str) {
        let path = downloads.join(&self.name).join(path);
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(100_000).for_each(|byte| *byte ^= 0xff);
        fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&bytes).unwrap();
    }

    /// Whether a file is there at all.
    pub(crate) fn exists(&self, downloads: &Path, path: &str) -> bool {
        downloads.join(&self.name).join(path).exists()
    }

    /// Its name in the world.
    pub(crate) fn info_hash(&self) -> InfoHash {
        Metainfo::parse(&self.torrent).unwrap().info_hash
    }

    /// Bytes in all.
    pub(crate) fn total(&self) -> u64 {
        self.files.iter().map(|(_, bytes)| bytes.len() as u64).sum()
    }
}

pub(crate) fn bytes(rng: &mut Rng, len: u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    bytes.truncate(len as usize);
    bytes
}

//! What the disk's tests share: torrents of generated content, roots with a look at the whole tree, and a state store.

use super::handles::Handles;
use super::job::{BlockSource, Payload};
use super::spec::{Allocation, StorageSpec, WantedFiles};
use super::storage::Storage;
use crate::state::{State, StoredTorrent, Swarm, TorrentOptions};
use bytes::Bytes;
use proto::input::Found;
use proto::resume::OpenRecord;
use proto::{BlockSet, DiskError, ResumeRecord, Rng, Seed};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wire::metainfo::{MetainfoBuilder, NewFile};
use wire::{Bitfield, Metainfo, PieceIndex};

/// A torrent and its bytes.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) metainfo: Arc<Metainfo>,
    pub(super) bytes: Bytes,
}

impl Content {
    /// A directory `t` of files with these names and lengths.
    pub(super) fn of(files: &[(&str, u64)], piece_len: u32) -> Content {
        let new_file =
            |&(name, len): &(&str, u64)| NewFile { path: name.split('/').map(str::to_owned).collect(), len };
        let builder = MetainfoBuilder::directory("t", files.iter().map(new_file).collect(), piece_len);
        let total: u64 = files.iter().map(|(_, len)| len).sum();
        let mut rng = Rng::new(Seed(total + u64::from(piece_len)));
        let bytes: Vec<u8> = (0..total).map(|_| rng.next_u32() as u8).collect();
        let hashes: Vec<[u8; 20]> =
            bytes.chunks(piece_len as usize).map(|piece| Sha1::digest(piece).into()).collect();
        let (_, metainfo) = builder.build(&hashes).unwrap();
        Content { metainfo: Arc::new(metainfo), bytes: bytes.into() }
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = PieceIndex> + use<> {
        self.metainfo.layout.piece_indices()
    }

    pub(super) fn piece(&self, piece: PieceIndex) -> Bytes {
        let layout = &self.metainfo.layout;
        let start = layout.piece_offset(piece) as usize;
        self.bytes.slice(start..start + layout.piece_len(piece) as usize)
    }

    /// A piece's blocks as they come from the network; every third in two slices.
    pub(super) fn blocks(&self, piece: PieceIndex) -> Vec<Payload> {
        let (layout, bytes) = (&self.metainfo.layout, self.piece(piece));
        let block = |index| {
            let block = layout.nth_block(piece, index);
            let bytes = bytes.slice(block.offset as usize..(block.offset + block.len) as usize);
            match index % 3 {
                1 => Payload::two(bytes.slice(..bytes.len() / 2), bytes.slice(bytes.len() / 2..)),
                _ => Payload::one(bytes),
            }
        };
        (0..layout.blocks_in(piece)).map(block).collect()
    }

    pub(super) fn sources(&self, piece: PieceIndex) -> Vec<BlockSource> {
        self.blocks(piece).into_iter().map(BlockSource::Memory).collect()
    }

    /// The bytes of the file at this path below the root.
    pub(super) fn file(&self, path: &str) -> Bytes {
        let layout = &self.metainfo.layout;
        let named = |file: &wire::FileIndex| self.metainfo.path(*file).is_some_and(|at| at.as_str() == path);
        let extent = layout.extent(layout.file_indices().find(named).unwrap());
        self.bytes.slice(extent.offset as usize..extent.end() as usize)
    }
}

/// A torrent's place: a root, a state store, and what is needed to open it again and again.
pub(super) struct Place {
    pub(super) temp: Arc<tempfile::TempDir>,
    pub(super) content: Content,
    pub(super) allocation: Allocation,
    /// Files that are ranges of larger ones.
    pub(super) places: Vec<wire::offer::Place>,
}

impl Place {
    pub(super) fn new(content: &Content) -> Place {
        let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Place::within(Arc::new(temp), content)
    }

    /// Another torrent's, with the same root and the same state store.
    pub(super) fn beside(&self, content: &Content) -> Place {
        Place::within(Arc::clone(&self.temp), content)
    }

    fn within(temp: Arc<tempfile::TempDir>, content: &Content) -> Place {
        let place =
            Place { temp, content: content.clone(), allocation: Allocation::Sparse, places: Vec::new() };
        let torrent = StoredTorrent {
            info_hash: content.metainfo.info_hash,
            metainfo: Vec::new(),
            root: place.root(),
            options: TorrentOptions::default(),
            added: 0,
            swarm: Swarm::Open,
            places: Box::default(),
            resume: None,
        };
        place.state().add(&torrent).unwrap();
        place
    }

    pub(super) fn root(&self) -> PathBuf {
        self.temp.path().join("root")
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(super) fn state(&self) -> State {
        State::open(&self.temp.path().join("state")).unwrap().0
    }

    pub(super) fn spec(&self) -> Arc<StorageSpec> {
        let (metainfo, root) = (Arc::clone(&self.content.metainfo), self.root());
        Arc::new(StorageSpec::new(metainfo, root, self.allocation, self.places.as_slice().into()))
    }

    /// Puts a file there before us.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(super) fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(path)).ok()
    }

    pub(super) fn open(&self) -> Run {
        self.try_open(WantedFiles::all()).unwrap()
    }

    pub(super) fn try_open(&self, wanted: WantedFiles) -> Result<Run, DiskError> {
        let state = Arc::new(self.state());
        let info_hash = self.content.metainfo.info_hash;
        let resume = state.torrent(info_hash).unwrap().unwrap().resume;
        let handles = Arc::new(Handles::new(4));
        let opened = Storage::open(self.spec(), resume.as_deref(), wanted, handles, Arc::clone(&state))?;
        Ok(Run { storage: opened.storage, found: opened.found, state, content: self.content.clone() })
    }

    /// Every path below the test's directory but the state's, with what is there.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        walk(self.temp.path(), &mut tree);
        tree.retain(|path, _| !path.starts_with(self.temp.path().join("state")));
        tree
    }
}

fn walk(dir: &Path, tree: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, tree);
            tree.insert(path, None);
        } else {
            let bytes = std::fs::read(&path).ok();
            tree.insert(path, bytes);
        }
    }
}

/// One run of the client on a place.
pub(super) struct Run {
    pub(super) storage: Storage,
    pub(super) found: Found,
    pub(super) state: Arc<State>,
    pub(super) content: Content,
}

impl Run {
    /// Writes a piece from memory.
    pub(super) fn write(&self, piece: PieceIndex) -> Result<(), DiskError> {
        self.storage.write_piece(piece, &self.content.sources(piece))
    }

    /// Spills some blocks of a piece.
    pub(super) fn spill(&self, piece: PieceIndex, blocks: &[u32]) -> Result<(), DiskError> {
        let all = self.content.blocks(piece);
        let some: Vec<_> = blocks.iter().map(|&block| (block, all[block as usize].clone())).collect();
        self.storage.spill(piece, &some)
    }

    pub(super) fn sync(&self) -> Result<(), DiskError> {
        self.storage.sync().map(drop)
    }

    /// Commits a record of these pieces and spilled blocks.
    pub(super) fn commit(&self, have: &[PieceIndex], open: &[(PieceIndex, &[u32])]) -> Result<(), String> {
        let mut record = ResumeRecord {
            have: Bitfield::new(self.content.metainfo.layout.pieces()),
            open: Vec::new(),
            uploaded: 0,
            downloaded: 0,
        };
        have.iter().for_each(|&piece| _ = record.have.insert(piece));
        for &(piece, blocks) in open {
            record.open.push(OpenRecord { piece, blocks: BlockSet::from_iter(blocks.iter().copied()) });
        }
        super::step::step(super::step::Step::Write).map_err(|error| error.to_string())?;
        let update = self.storage.update(&record);
        self.state.commit(std::slice::from_ref(&update)).remove(0).map_err(|error| error.to_string())?;
        self.storage.committed(&update);
        Ok(())
    }

    /// Writes, syncs and commits these pieces.
    pub(super) fn finish(&self, pieces: &[PieceIndex]) {
        pieces.iter().for_each(|&piece| self.write(piece).unwrap());
        self.sync().unwrap();
        self.commit(pieces, &[]).unwrap();
    }

    /// Hashes all pieces on disk; the good ones.
    pub(super) fn good_on_disk(&self) -> Vec<PieceIndex> {
        let mut buffer = vec![0; super::storage::CHUNK_LEN];
        let right = |&piece: &PieceIndex| {
            let hash = self.storage.hash_on_disk(piece, &mut buffer).unwrap();
            hash == Some(self.content.metainfo.piece_hash(piece))
        };
        self.content.pieces().filter(right).collect()
    }

    /// What a session would do after opening: check what is doubtful, trust the rest of the record. The pieces it then has.
    pub(super) fn settle(&self) -> Vec<PieceIndex> {
        let resume = self.state.torrent(self.content.metainfo.info_hash).unwrap().unwrap().resume;
        let have = resume.map(|resume| resume.record.have);
        let doubtful = match &self.found {
            Found::Doubtful(pieces) => pieces.clone(),
            Found::Nothing | Found::AsRecorded => Bitfield::new(self.content.metainfo.layout.pieces()),
        };
        let on_disk = self.good_on_disk();
        let (good, bad): (Vec<_>, Vec<_>) = doubtful.iter().partition(|piece| on_disk.contains(piece));
        self.storage.checked(&good, &bad).unwrap();
        let trusted = have.iter().flat_map(Bitfield::iter).filter(|&piece| !doubtful.has(piece));
        let mut all: Vec<_> = trusted.chain(good).collect();
        all.sort_unstable();
        all
    }
}

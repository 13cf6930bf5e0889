//! Bytes to and from disk: pieces, spilled blocks, ranges, hashes.
//!
//! Always: received blocks are written from where they landed. Memory does not grow with the piece length: what is read back
//! passes through one buffer of [`CHUNK_LEN`].

use super::{Home, PART_STORE, SpillPlace, Storage, Target};
use crate::disk::job::{BlockSource, Payload};
use crate::disk::step::{Step, step};
use crate::disk::trouble::fault;
use os::fs::{Access, File};
use proto::input::BlockDigest;
use proto::{DiskError, DiskErrorKind};
use sha1::{Digest, Sha1};
use siphasher::sip128::SipHasher24;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;
use wire::layout::FileSlice;
use wire::{Block, FileIndex, Layout, PieceIndex};

/// How much is read at a time: enough that a system call costs nothing beside it, and it stays in the cache while hashed.
pub(crate) const CHUNK_LEN: usize = 1 << 20;

/// Files that a write went to.
type Touched = Vec<(FileIndex, Arc<File>)>;

impl Storage {
    /// Puts a verified piece where it belongs.
    pub(crate) fn write_piece(&self, piece: PieceIndex, blocks: &[BlockSource]) -> Result<(), DiskError> {
        self.check_blocks(piece, blocks)?;
        self.unsettle()?;
        let start = self.spec.metainfo.layout.piece_offset(piece);
        let mut touched = Touched::new();
        for (range, run) in self.runs(piece, blocks) {
            match run {
                Run::Memory(slices) => self.put(start + u64::from(range.start), slices, &mut touched)?,
                Run::Spilled => match self.spill_place(piece) {
                    Some(SpillPlace::InPlace) => {}
                    Some(SpillPlace::Store) => self.move_spilled(start, range, &mut touched)?,
                    None => return Err(self.not_spilled(piece)),
                },
            }
        }
        let mut book = self.book();
        if book.spills.remove(&piece) == Some(SpillPlace::Store) {
            book.outlived.push(piece);
        }
        book.written.insert(piece);
        book.dirty.pieces.push(piece);
        touched.into_iter().for_each(|(file, handle)| self.touch(&mut book, file, handle));
        Ok(())
    }

    /// Puts unverified blocks out of memory: in place if all of the piece's place is ours, else into the part store.
    pub(crate) fn spill(&self, piece: PieceIndex, blocks: &[(u32, Payload)]) -> Result<(), DiskError> {
        self.unsettle()?;
        let layout = &self.spec.metainfo.layout;
        let known = self.spill_place(piece);
        let place = known.map_or_else(|| self.place_for_spill(piece), Ok)?;
        let mut touched = Touched::new();
        let mut rest = blocks;
        while let Some(&(first, _)) = rest.first() {
            let joined = rest.iter().zip(first..).take_while(|((index, _), next)| index == next).count();
            let (run, behind) = rest.split_at(joined);
            rest = behind;
            let at = layout.piece_offset(piece) + u64::from(first) * u64::from(layout.block_len());
            let slices =
                run.iter().flat_map(|(_, payload)| payload.slices()).map(|bytes| &bytes[..]).collect();
            match place {
                SpillPlace::InPlace => self.put(at, slices, &mut touched)?,
                SpillPlace::Store => self.put_in_store(at, slices, &mut touched)?,
            }
        }
        let mut book = self.book();
        book.spills.insert(piece, place);
        touched.into_iter().for_each(|(file, handle)| self.touch(&mut book, file, handle));
        Ok(())
    }

    /// Forgets the spilled blocks of a piece.
    pub(crate) fn discard(&self, piece: PieceIndex) {
        let mut book = self.book();
        if book.spills.remove(&piece) == Some(SpillPlace::Store) {
            book.outlived.push(piece);
        }
    }

    /// Reads a range of a piece that is written.
    pub(crate) fn read(&self, range: Block, buf: &mut [u8]) -> Result<(), DiskError> {
        let start = self.spec.metainfo.layout.piece_offset(range.piece) + u64::from(range.offset);
        self.get(start, buf)
    }

    /// Hashes a piece from its blocks.
    pub(crate) fn hash_blocks(
        &self,
        piece: PieceIndex,
        blocks: &[BlockSource],
    ) -> Result<[u8; 20], DiskError> {
        self.check_blocks(piece, blocks)?;
        let mut hash = Sha1::new();
        for (range, run) in self.runs(piece, blocks) {
            match run {
                Run::Memory(slices) => slices.iter().for_each(|bytes| hash.update(bytes)),
                Run::Spilled => self.read_spilled(piece, range, |_, bytes| hash.update(bytes))?,
            }
        }
        Ok(hash.finalize().into())
    }

    /// A keyed digest of each block. SipHash-2-4 with 128 bits: made for short keyed sums, a few cycles a byte, and without
    /// the key nobody can make a block that collides with another.
    pub(crate) fn digests(
        &self,
        piece: PieceIndex,
        key: &[u8; 16],
        blocks: &[BlockSource],
    ) -> Result<Box<[BlockDigest]>, DiskError> {
        let layout = &self.spec.metainfo.layout;
        let sip = SipHasher24::new_with_key(key);
        let mut joined = Vec::new();
        let digests = (0..).zip(blocks).map(|(index, source)| match source {
            BlockSource::Memory(payload) => Ok(digest_in_memory(&sip, payload, &mut joined)),
            BlockSource::Spilled => {
                let block = layout.nth_block(piece, index);
                let range = block.offset..block.offset + block.len;
                joined.clear();
                self.read_spilled(piece, range, |_, bytes| joined.extend_from_slice(bytes))?;
                Ok(BlockDigest(sip.hash(&joined).as_bytes()))
            }
        });
        digests.collect()
    }

    /// Hashes a piece as it lies on disk; `None` if not all of it is there. The buffer is [`CHUNK_LEN`] long.
    pub(crate) fn hash_on_disk(
        &self,
        piece: PieceIndex,
        buffer: &mut [u8],
    ) -> Result<Option<[u8; 20]>, DiskError> {
        let hash = hash_piece(&self.spec.metainfo.layout, piece, buffer, |at, chunk| self.get(at, chunk));
        match hash {
            Err(error) if error.kind == DiskErrorKind::Changed => Ok(None),
            hash => hash.map(Some),
        }
    }

    /// Reads spilled blocks back, at most [`CHUNK_LEN`] at a time; `use_it` gets the offset in the piece.
    fn read_spilled(
        &self,
        piece: PieceIndex,
        range: Range<u32>,
        mut use_it: impl FnMut(u32, &[u8]),
    ) -> Result<(), DiskError> {
        let place = self.spill_place(piece).ok_or_else(|| self.not_spilled(piece))?;
        let start = self.spec.metainfo.layout.piece_offset(piece);
        let mut buffer = vec![0; (range.end - range.start).min(CHUNK_LEN as u32) as usize];
        for offset in range.clone().step_by(CHUNK_LEN) {
            let chunk = &mut buffer[..(range.end - offset).min(CHUNK_LEN as u32) as usize];
            match place {
                SpillPlace::InPlace => self.get(start + u64::from(offset), chunk)?,
                SpillPlace::Store => self.get_from_store(start + u64::from(offset), chunk)?,
            }
            use_it(offset, chunk);
        }
        Ok(())
    }

    fn move_spilled(&self, start: u64, range: Range<u32>, touched: &mut Touched) -> Result<(), DiskError> {
        let mut buffer = vec![0; (range.end - range.start).min(CHUNK_LEN as u32) as usize];
        for offset in range.clone().step_by(CHUNK_LEN) {
            let chunk = &mut buffer[..(range.end - offset).min(CHUNK_LEN as u32) as usize];
            self.get_from_store(start + u64::from(offset), chunk)?;
            self.put(start + u64::from(offset), vec![chunk], touched)?;
        }
        Ok(())
    }

    /// Writes consecutive bytes of the content, from `at` on, each to its place.
    fn put(&self, at: u64, bytes: Vec<&[u8]>, touched: &mut Touched) -> Result<(), DiskError> {
        let len: u64 = bytes.iter().map(|part| part.len() as u64).sum();
        let mut parts = bytes.into_iter();
        let mut part: &[u8] = &[];
        for slice in self.spec.metainfo.layout.file_slices(at..at + len) {
            let mut slices = Vec::new();
            let mut left = slice.len as usize;
            while left > 0 {
                if part.is_empty() {
                    let Some(next) = parts.next() else { break };
                    part = next;
                    continue;
                }
                let (now, later) = part.split_at(part.len().min(left));
                slices.push(IoSlice::new(now));
                (part, left) = (later, left - now.len());
            }
            let target = self.target(&mut self.book(), slice, Access::Write);
            let target = match target {
                // A neighbour that we must not write to, and need not: its share of the piece lies there.
                Err(error) if error.kind == DiskErrorKind::Denied => {
                    let (file, handle) = self.lies_there(slice, &slices).ok_or(error)?;
                    note_touched(touched, file, handle);
                    continue;
                }
                target => target?,
            };
            let Target::File { file, handle, offset } = target else { continue };
            let written = step(Step::Write).and_then(|()| handle.write_slices_at(&mut slices, offset));
            written.map_err(|error| self.trouble_of(&error, "writing", file))?;
            note_touched(touched, file, handle);
        }
        Ok(())
    }

    /// The file that holds these bytes already, if one does. What it holds may not be durable yet.
    fn lies_there(&self, slice: FileSlice, bytes: &[IoSlice<'_>]) -> Option<(FileIndex, Arc<File>)> {
        let target = self.target(&mut self.book(), slice, Access::Read).ok()?;
        let Target::File { file, handle, mut offset } = target else { return None };
        let mut buffer = Vec::new();
        for part in bytes {
            buffer.resize(part.len(), 0);
            handle.read_exact_at(&mut buffer, offset).ok()?;
            if buffer[..] != part[..] {
                return None;
            }
            offset += part.len() as u64;
        }
        Some((file, handle))
    }

    fn put_in_store(&self, at: u64, bytes: Vec<&[u8]>, touched: &mut Touched) -> Result<(), DiskError> {
        let store = self.open_store(&mut self.book(), Access::Write)?;
        let mut slices: Vec<_> = bytes.into_iter().map(IoSlice::new).collect();
        let written = step(Step::Write).and_then(|()| store.write_slices_at(&mut slices, at));
        written.map_err(|error| self.trouble_of(&error, "writing", PART_STORE))?;
        note_touched(touched, PART_STORE, store);
        Ok(())
    }

    /// Reads consecutive bytes of the content, from `at` on, each from its place.
    fn get(&self, at: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let mut rest = buf;
        for slice in self.spec.metainfo.layout.file_slices(at..at + rest.len() as u64) {
            let Some((now, later)) = rest.split_at_mut_checked(slice.len as usize) else { break };
            rest = later;
            let target = self.target(&mut self.book(), slice, Access::Read)?;
            match target {
                Target::Pad => now.fill(0),
                Target::File { file, handle, offset } => {
                    let read = handle.read_exact_at(now, offset);
                    read.map_err(|error| self.trouble_of(&error, "reading", file))?;
                }
            }
        }
        Ok(())
    }

    fn get_from_store(&self, at: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let store = self.open_store(&mut self.book(), Access::Read)?;
        store.read_exact_at(buf, at).map_err(|error| self.trouble_of(&error, "reading", PART_STORE))
    }

    fn spill_place(&self, piece: PieceIndex) -> Option<SpillPlace> {
        self.book().spills.get(&piece).copied()
    }

    fn place_for_spill(&self, piece: PieceIndex) -> Result<SpillPlace, DiskError> {
        let (layout, mut book) = (&self.spec.metainfo.layout, self.book());
        for file in layout.files_of(piece).filter(|&file| self.is_range(file)) {
            // What others left in our range shows when the file is made or found, which must not be after this.
            if book.files[file.as_usize()].home == Home::Absent && book.wanted.has(file) {
                self.create(&mut book, file)?;
            }
        }
        let ours = layout.slices_of_piece(piece).all(|slice| {
            let entry = &book.files[slice.file.as_usize()];
            let exists = match entry.home {
                Home::Absent => book.wanted.has(slice.file) && !self.never_on_disk(slice.file),
                Home::Unfinished => true,
                // Others may have given it a second name by now; only verified bytes go there.
                Home::Finished => false,
            };
            layout.extent(slice.file).pad || (exists && slice.offset >= entry.adopted)
        });
        Ok(if ours { SpillPlace::InPlace } else { SpillPlace::Store })
    }

    /// The blocks of a piece, joined where they lie alike.
    fn runs<'b>(&self, piece: PieceIndex, blocks: &'b [BlockSource]) -> Vec<(Range<u32>, Run<'b>)> {
        let layout = &self.spec.metainfo.layout;
        let mut runs: Vec<(Range<u32>, Run<'b>)> = Vec::new();
        for (index, source) in (0..).zip(blocks) {
            let block = layout.nth_block(piece, index);
            let end = block.offset + block.len;
            match (runs.last_mut(), source) {
                (Some((range, Run::Spilled)), BlockSource::Spilled) => range.end = end,
                (Some((range, Run::Memory(slices))), BlockSource::Memory(payload)) => {
                    range.end = end;
                    slices.extend(payload.slices().map(|bytes| &bytes[..]));
                }
                (_, BlockSource::Spilled) => runs.push((block.offset..end, Run::Spilled)),
                (_, BlockSource::Memory(payload)) => {
                    let slices = payload.slices().map(|bytes| &bytes[..]).to_vec();
                    runs.push((block.offset..end, Run::Memory(slices)));
                }
            }
        }
        runs
    }

    /// That there is one source for each block, as long as the block. The loops see to it; a mistake there must not write one
    /// block's bytes into the next.
    fn check_blocks(&self, piece: PieceIndex, blocks: &[BlockSource]) -> Result<(), DiskError> {
        let layout = &self.spec.metainfo.layout;
        let fits = blocks.len() == layout.blocks_in(piece) as usize
            && (0..).zip(blocks).all(|(index, source)| match source {
                BlockSource::Spilled => true,
                BlockSource::Memory(payload) => payload.len() == layout.nth_block(piece, index).len as usize,
            });
        debug_assert!(fits, "blocks of {piece} do not fit");
        fits.then_some(())
            .ok_or_else(|| fault(DiskErrorKind::Io, format!("blocks of {piece} do not fit: a bug")))
    }

    fn not_spilled(&self, piece: PieceIndex) -> DiskError {
        let root = self.spec.root.display();
        fault(DiskErrorKind::Changed, format!("{root}: blocks of {piece} are not where they were spilled to"))
    }
}

/// Blocks that lie alike and behind one another.
enum Run<'b> {
    Memory(Vec<&'b [u8]>),
    Spilled,
}

/// Hashes a piece through this buffer, as `get` reads it.
pub(crate) fn hash_piece(
    layout: &Layout,
    piece: PieceIndex,
    buffer: &mut [u8],
    get: impl Fn(u64, &mut [u8]) -> Result<(), DiskError>,
) -> Result<[u8; 20], DiskError> {
    let (mut at, mut left) = (layout.piece_offset(piece), layout.piece_len(piece) as usize);
    let mut hash = Sha1::new();
    while left > 0 {
        let chunk = left.min(buffer.len());
        get(at, &mut buffer[..chunk])?;
        hash.update(&buffer[..chunk]);
        at += chunk as u64;
        left -= chunk;
    }
    Ok(hash.finalize().into())
}

/// The digests of blocks that are in memory, one each.
pub(crate) fn digests_in_memory(key: &[u8; 16], blocks: &[(u32, Payload)]) -> Box<[BlockDigest]> {
    let sip = SipHasher24::new_with_key(key);
    let mut joined = Vec::new();
    blocks.iter().map(|(_, payload)| digest_in_memory(&sip, payload, &mut joined)).collect()
}

/// The digest of a block's bytes, joined in the buffer if they do not lie beside one another.
fn digest_in_memory(sip: &SipHasher24, payload: &Payload, joined: &mut Vec<u8>) -> BlockDigest {
    let whole = match payload.slices() {
        [whole, tail] if tail.is_empty() => &whole[..],
        slices => {
            joined.clear();
            slices.iter().for_each(|bytes| joined.extend_from_slice(bytes));
            joined
        }
    };
    BlockDigest(sip.hash(whole).as_bytes())
}

fn note_touched(touched: &mut Touched, file: FileIndex, handle: Arc<File>) {
    if touched.last().is_none_or(|&(last, _)| last != file) {
        touched.push((file, handle));
    }
}

//! A snapshot as a file.
//!
//! ```text
//! file  = "GANNETSW" version:u16be began:u64be block* end       began: seconds since 1970, when the walk began
//! block = len:u32be check:u64be slices:[len]                    len > 0
//! end   = 0:u32be check:u64be
//! ```
//! `check` is SipHash-2-4 of the slices under the block's number and `began`, so that a block is in its place in its file or is none. It
//! finds what was torn, lost or changed by accident; it is no secret, and no seal. Invariant: no more is read at once than a block may
//! have, whatever its length says.

use crate::siphash;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAGIC: [u8; 8] = *b"GANNETSW";
const VERSION: u16 = 1;

/// Longest block: what is worth being written (256 KiB) and what one more turn of a walk comes by are less.
pub(crate) const BLOCK_LEN_MAX: usize = 1 << 20;

/// Writes one.
#[derive(Debug)]
pub(crate) struct SnapshotWriter<W> {
    to: W,
    began: u64,
    blocks: u64,
}

impl<W: Write> SnapshotWriter<W> {
    /// The beginning, of a walk that began then.
    pub(crate) fn new(mut to: W, began: SystemTime) -> io::Result<SnapshotWriter<W>> {
        let began = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        to.write_all(&MAGIC)?;
        to.write_all(&VERSION.to_be_bytes())?;
        to.write_all(&began.to_be_bytes())?;
        Ok(SnapshotWriter { to, began, blocks: 0 })
    }

    /// Slices that follow.
    pub(crate) fn block(&mut self, slices: &[u8]) -> io::Result<()> {
        if slices.is_empty() { Ok(()) } else { self.put(slices) }
    }

    /// The end.
    pub(crate) fn end(mut self) -> io::Result<W> {
        self.put(&[])?;
        Ok(self.to)
    }

    fn put(&mut self, slices: &[u8]) -> io::Result<()> {
        let too_long = || io::Error::from(ErrorKind::InvalidInput);
        debug_assert!(slices.len() <= BLOCK_LEN_MAX, "nobody could read {} bytes", slices.len());
        let len = u32::try_from(slices.len()).ok().filter(|_| slices.len() <= BLOCK_LEN_MAX);
        let len = len.ok_or_else(too_long)?;
        let check = siphash::of_bytes([self.blocks, self.began], slices);
        self.blocks += 1;
        self.to.write_all(&len.to_be_bytes())?;
        self.to.write_all(&check.to_be_bytes())?;
        self.to.write_all(slices)
    }
}

/// Reads one.
#[derive(Debug)]
pub(crate) struct Reader<R> {
    from: R,
    began: u64,
    blocks: u64,
    block: Vec<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning.
    pub(crate) fn new(mut from: R) -> io::Result<Reader<R>> {
        let not_ours = || io::Error::new(ErrorKind::InvalidData, "it is no snapshot of a tracker");
        if array(&mut from).map_err(|_| not_ours())? != MAGIC {
            return Err(not_ours());
        }
        let version = u16::from_be_bytes(array(&mut from)?);
        if version != VERSION {
            let what = format!("it has version {version}; this program reads version {VERSION}");
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        let began = u64::from_be_bytes(array(&mut from)?);
        Ok(Reader { from, began, blocks: 0, block: Vec::new() })
    }

    /// When the walk began.
    pub(crate) fn began(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_secs(self.began)).unwrap_or(UNIX_EPOCH)
    }

    /// The next slices; nothing at the end.
    ///
    /// # Errors
    /// When this is not what was written.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<&[u8]>> {
        let len = u32::from_be_bytes(array(&mut self.from)?) as usize;
        let check = u64::from_be_bytes(array(&mut self.from)?);
        if len > BLOCK_LEN_MAX {
            return Err(changed());
        }
        self.block.resize(len, 0);
        self.from.read_exact(&mut self.block).map_err(|error| early(&error))?;
        if siphash::of_bytes([self.blocks, self.began], &self.block) != check {
            return Err(changed());
        }
        self.blocks += 1;
        Ok((len > 0).then_some(&self.block))
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(|error| early(&error))?;
    Ok(bytes)
}

fn early(error: &io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "it ends too early"),
        kind => io::Error::new(kind, error.to_string()),
    }
}

fn changed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is not as it was written: a checksum does not fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut reader = Reader::new(bytes)?;
        let mut blocks = Vec::new();
        while let Some(block) = reader.next_block()? {
            blocks.push(block.to_vec());
        }
        assert_eq!(reader.began(), UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        Ok(blocks)
    }

    fn written(blocks: &[&[u8]]) -> Vec<u8> {
        let began = UNIX_EPOCH + Duration::from_millis(1_700_000_000_500);
        let mut writer = SnapshotWriter::new(Vec::new(), began).unwrap();
        blocks.iter().try_for_each(|block| writer.block(block)).unwrap();
        writer.end().unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let long = [7; 100_000];
        for blocks in [&[][..], &[&b"one"[..]], &[b"one", b"two", &long]] {
            assert_eq!(read(&written(blocks)).unwrap(), blocks);
        }
        assert_eq!(read(&written(&[b"", b"x", b""])).unwrap(), [b"x"]);
    }

    #[test]
    fn what_was_torn_changed_or_misplaced_is_not_believed() {
        let whole = written(&[b"one", b"two"]);
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(read(&changed).is_err(), "{at}");
        }
        // A block that another file had at another place.
        let (head, block) = (18, 4 + 8 + 3);
        let swapped = [
            &whole[..head],
            &whole[head + block..][..block],
            &whole[head..][..block],
            &whole[head + 2 * block..],
        ];
        assert!(read(&swapped.concat()).is_err());
        let cut_short = [&whole[..head + block], &whole[head + 2 * block..]].concat();
        assert!(read(&cut_short).is_err());
    }

    #[test]
    fn a_length_that_is_a_lie_takes_no_memory() {
        let mut bytes = written(&[]);
        for lie in [u32::MAX, 1 + (1 << 20)] {
            bytes[18..22].copy_from_slice(&lie.to_be_bytes());
            let mut reader = Reader::new(&bytes[..]).unwrap();
            assert!(reader.next_block().is_err());
            assert_eq!(reader.block.capacity(), 0);
        }
        let longest = vec![7; BLOCK_LEN_MAX];
        assert_eq!(read(&written(&[&longest])).unwrap(), [longest]);
    }
}

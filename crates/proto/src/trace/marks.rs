//! What stands between inputs: marks, by which a replay is held against what was recorded, and the end.
//!
//! A mark bears two numbers. One is the digest of all outputs so far: a replay that has said the same has the same. The other
//! is a checksum of all bytes of the trace so far, so that a file that was changed is told apart from a session that does
//! otherwise.

use super::code::{Put, Source, Take, code, put, take};
use super::{OutputDigest, TraceError};

/// The tag of a mark, where an input's would stand.
pub(super) const MARK: u8 = 254;

/// The tag of the end.
pub(super) const END: u8 = 255;

/// Inputs from one mark to the next. A mark takes 26 bytes, an input some 12: a mark costs 3 % of the recording, and where two
/// runs differ there are no more inputs to read than fill a screen.
pub const INPUTS_PER_MARK: u32 = 64;

/// How a trace ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The session ended, and all of it is here.
    Closed,
    /// More happened than could be written in time; the session went on.
    Behind,
    /// It had become as large as it might; the session went on.
    Full,
}

code! { enum End { 0 Closed, 1 Behind, 2 Full } }

/// A running checksum (FNV-1a, 64 bits). Each step can be undone by whoever knows the byte, so a single byte that was
/// changed always shows. Not for adversaries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Checksum {
        Checksum(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Writes what a mark holds beside its tag; the checksum is that of everything before, the digest with it.
pub(super) fn put(outputs: &OutputDigest, mut sum: Checksum, to: &mut Vec<u8>) {
    let digest = outputs.value().to_le_bytes();
    sum.add(&digest);
    digest.put(to);
    sum.0.to_le_bytes().put(to);
}

/// Reads it: the digest of what was said. The bytes before must be those that were written.
pub(super) fn take(from: &mut Source<'_>, mut sum: Checksum) -> Result<u128, TraceError> {
    let digest = from.array::<16>()?;
    sum.add(&digest);
    if u64::from_le_bytes(from.array()?) != sum.0 {
        return Err(TraceError::Changed);
    }
    Ok(u128::from_le_bytes(digest))
}

//! A session's life as bytes: configuration, seed, and every input with its time, resume records and metainfo included, so
//! that a failing run can be replayed where there is neither network nor disk. No file is opened here.
//!
//! ```text
//! trace  = "GANNETRC" version:u16le config seed start:micros record*
//! record = elapsed:micros input          elapsed since the record before
//! ```
//! Numbers wider than a byte are LEB128 varints; texts and lists bear their length. Invariants: whatever bytes come in, reading ends in
//! values or in a named error; what is written reads back the same. Payload is not in a trace, as it is not in the seam.

mod code;
mod inputs;
mod outputs;
mod values;

use crate::{Config, Input, Instant, Seed};
use code::{Put, Source, Take};
use core::fmt;
pub use inputs::OwnedInput;
pub use outputs::OutputDigest;
use wire::layout::LayoutError;
use wire::metainfo::MetainfoError;

/// The version that this build writes and the only one it reads. Any change of a tag or field list counts it up.
pub const VERSION: u16 = 3;
const MAGIC: [u8; 8] = *b"GANNETRC";

/// Appends a trace to memory, record by record; the caller writes it out as it likes.
#[derive(Clone, Debug)]
pub struct TraceWriter {
    bytes: Vec<u8>,
    last: Instant,
}

/// What a session was made of.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its settings.
    pub config: Config,
    /// Its chance.
    pub seed: Seed,
    /// When it began.
    pub start: Instant,
}

/// Reads a trace.
#[derive(Clone, Debug)]
pub struct TraceReader<'a> {
    rest: Source<'a>,
    last: Instant,
}

/// Why bytes are no trace, or no more of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TraceError {
    /// It does not begin as a trace does.
    NotATrace,
    /// Written by another version; this is its number.
    Version(u16),
    /// It ends in the middle of a record, as it does after a crash; what came before is good.
    Truncated,
    /// A variant of this type that nobody wrote.
    UnknownTag(&'static str, u8),
    /// No value of this kind has these bytes.
    Invalid(&'static str),
    /// The numbers of a synthetic torrent make no layout.
    Layout(LayoutError),
    /// The metainfo cannot be used.
    Metainfo(MetainfoError),
}

impl TraceWriter {
    /// A trace of a session that begins now.
    pub fn new(head: &Head) -> TraceWriter {
        let mut bytes = MAGIC.to_vec();
        VERSION.to_le_bytes().put(&mut bytes);
        head.config.put(&mut bytes);
        head.seed.put(&mut bytes);
        head.start.put(&mut bytes);
        TraceWriter { bytes, last: head.start }
    }

    /// One input. Time that goes back counts as standing still, as it does for the machines.
    pub fn record(&mut self, now: Instant, input: &Input<'_>) {
        let elapsed = now.as_micros().saturating_sub(self.last.as_micros());
        self.last = self.last.max(now);
        elapsed.put(&mut self.bytes);
        input.put(&mut self.bytes);
    }

    /// Takes out what was written since the last time: the trace is these pieces, one after the other.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }
}

impl<'a> TraceReader<'a> {
    /// Reads the beginning of a trace.
    pub fn new(trace: &'a [u8]) -> Result<(Head, TraceReader<'a>), TraceError> {
        let mut rest = Source::new(trace);
        if rest.array() != Ok(MAGIC) {
            return Err(TraceError::NotATrace);
        }
        let version = u16::from_le_bytes(rest.array()?);
        if version != VERSION {
            return Err(TraceError::Version(version));
        }
        let (config, seed) = (Take::take(&mut rest)?, Take::take(&mut rest)?);
        let start = Instant::take(&mut rest)?;
        Ok((Head { config, seed, start }, TraceReader { rest, last: start }))
    }
}

/// Ends at the end of the trace, or after the first error.
impl Iterator for TraceReader<'_> {
    type Item = Result<(Instant, OwnedInput), TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = u64::take(&mut self.rest).and_then(|elapsed| {
            let now = self.last.as_micros().checked_add(elapsed).ok_or(TraceError::Invalid("a time"))?;
            Ok((Instant::from_micros(now), OwnedInput::take(&mut self.rest)?))
        });
        match &record {
            Ok((now, _)) => self.last = *now,
            Err(_) => self.rest = Source::new(&[]),
        }
        Some(record)
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::NotATrace => write!(f, "not a Gannet trace"),
            TraceError::Version(version) => {
                write!(f, "a trace of version {version}; this build reads version {VERSION}")
            }
            TraceError::Truncated => write!(f, "the trace ends in the middle of a record"),
            TraceError::UnknownTag(what, tag) => write!(f, "the trace has an unknown {what}: {tag}"),
            TraceError::Invalid(what) => write!(f, "the trace holds {what} that cannot be"),
            TraceError::Layout(error) => write!(f, "the trace holds a torrent that cannot be: {error}"),
            TraceError::Metainfo(error) => write!(f, "the trace holds a torrent that cannot be: {error}"),
        }
    }
}

impl core::error::Error for TraceError {}

#[cfg(test)]
mod tests;

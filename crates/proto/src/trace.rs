//! A session's life as bytes: configuration, seed, and every input with its time, resume records and metainfo included, so
//! that a run can be replayed where there is neither network nor disk, and held against what was said. No file is opened here.
//!
//! ```text
//! trace  = "GANNETRC" version:u16le config seed start:micros record* [end]
//! record = elapsed:micros input          elapsed since the record before
//!        | 0 254 mark                    after every 64 inputs
//! end    = 0 255 why mark                nothing follows
//! mark   = outputs:16 bytes checksum:u64le
//! ```
//! Numbers wider than a byte are LEB128 varints; texts and lists bear their length. A mark has the digest of all outputs so far, and a
//! checksum of all bytes before it. A trace without an end was cut off. Invariants: whatever bytes come in, reading ends in values or in
//! a named error at a known place; what is written reads back the same. Payload is not in a trace, as it is not in the seam.

mod code;
mod inputs;
mod marks;
mod outputs;
mod values;

use crate::{Config, Input, Instant, Outbox, Seed};
use code::{Put, Source, Take};
use core::fmt;
pub use inputs::OwnedInput;
use marks::{Checksum, END, MARK};
pub use marks::{End, INPUTS_PER_MARK};
pub use outputs::OutputDigest;
use wire::layout::LayoutError;
use wire::metainfo::MetainfoError;

/// The version that this build writes and the only one it reads. Any change of a tag or field list counts it up.
pub const VERSION: u16 = 5;

/// What every trace begins with.
pub const MAGIC: [u8; 8] = *b"GANNETRC";

/// Appends a trace to memory, record by record; the caller writes it out as it likes.
#[derive(Clone, Debug)]
pub struct TraceWriter {
    bytes: Vec<u8>,
    last: Instant,
    sum: Checksum,
    outputs: OutputDigest,
    /// Inputs since the last mark.
    unmarked: u32,
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
    whole: &'a [u8],
    rest: Source<'a>,
    last: Instant,
    sum: Checksum,
    /// Where the record that was read last begins.
    at: usize,
}

/// One thing that a trace tells.
#[derive(Clone, Debug)]
pub enum Record {
    /// This happened then.
    Input(Instant, OwnedInput),
    /// All that was said so far has this digest.
    Mark(u128),
    /// Nothing more is told, and all that was said has this digest.
    End(End, u128),
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
    /// Bytes before this place, and behind the mark before it, are not those that were written.
    Changed,
    /// There are bytes behind its end.
    Longer,
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
        let mut sum = Checksum::new();
        sum.add(&bytes);
        TraceWriter { bytes, last: head.start, sum, outputs: OutputDigest::new(), unmarked: 0 }
    }

    /// One input. Time that goes back counts as standing still, as it does for the machines.
    pub fn record(&mut self, now: Instant, input: &Input<'_>) {
        let elapsed = now.as_micros().saturating_sub(self.last.as_micros());
        self.last = self.last.max(now);
        self.write(|bytes| {
            elapsed.put(bytes);
            input.put(bytes);
        });
        self.unmarked += 1;
    }

    /// What the input led to: all that the call of `handle` left in an outbox that was empty before.
    pub fn said(&mut self, now: Instant, outbox: &Outbox) {
        self.outputs.add(self.last.max(now), outbox);
        if self.unmarked >= INPUTS_PER_MARK {
            self.unmarked = 0;
            self.mark(&[0, MARK]);
        }
    }

    /// That nothing follows, and why.
    pub fn end(&mut self, why: End) {
        let mut start = vec![0, END];
        why.put(&mut start);
        self.mark(&start);
    }

    /// Takes out what was written since the last time: the trace is these pieces, one after the other.
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.bytes)
    }

    /// Bytes that were not taken out yet.
    pub fn pending(&self) -> usize {
        self.bytes.len()
    }

    fn mark(&mut self, start: &[u8]) {
        self.write(|bytes| bytes.extend_from_slice(start));
        let TraceWriter { outputs, sum, .. } = self;
        let (outputs, sum) = (outputs.clone(), *sum);
        self.write(|bytes| marks::put(&outputs, sum, bytes));
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.sum.add(&self.bytes[before..]);
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
        let mut reader = TraceReader { whole: trace, rest, last: start, sum: Checksum::new(), at: 0 };
        reader.sum_from(0);
        Ok((Head { config, seed, start }, reader))
    }

    /// At which byte the record begins that was read last, or could not be read.
    pub fn at(&self) -> usize {
        self.at
    }

    fn place(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    /// Takes what was read from here on into the checksum.
    fn sum_from(&mut self, from: usize) {
        let read = self.whole.get(from..self.place()).unwrap_or_default();
        self.sum.add(read);
    }

    fn record(&mut self) -> Result<Record, TraceError> {
        let elapsed = u64::take(&mut self.rest)?;
        let mut ahead = self.rest;
        match ahead.tag()? {
            tag @ (MARK | END) if elapsed == 0 => {
                self.rest = ahead;
                let why = if tag == END { Some(End::take(&mut self.rest)?) } else { None };
                self.sum_from(self.at);
                let before = self.place();
                let outputs = marks::take(&mut self.rest, self.sum)?;
                self.sum_from(before);
                match why {
                    Some(_) if !self.rest.is_empty() => Err(TraceError::Longer),
                    Some(why) => Ok(Record::End(why, outputs)),
                    None => Ok(Record::Mark(outputs)),
                }
            }
            _ => {
                let now = self.last.as_micros().checked_add(elapsed);
                let now = Instant::from_micros(now.ok_or(TraceError::Invalid("a time"))?);
                let input = OwnedInput::take(&mut self.rest)?;
                self.sum_from(self.at);
                self.last = now;
                Ok(Record::Input(now, input))
            }
        }
    }
}

/// Ends at the end of the trace, or after the first error.
impl Iterator for TraceReader<'_> {
    type Item = Result<Record, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        self.at = self.place();
        let record = self.record();
        if record.is_err() {
            self.rest = Source::new(&[]);
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
            TraceError::Changed => write!(f, "the bytes before this place are not those that were written"),
            TraceError::Longer => write!(f, "there are bytes behind the end of the trace"),
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

//! What was said in a run: a digest of every input and output, to compare runs, and a journal of the last lines, to read.
//!
//! Not a recording that can be replayed: a run replays from its seed.

use crate::content::mix;
use core::fmt::{self, Debug, Write};
use proto::{Input, Instant, Output};
use std::collections::VecDeque;

/// Lines that a journal holds.
const JOURNAL_LINES_MAX: usize = 2_000_000;

/// The digest of a run, and its journal if one is kept.
#[derive(Debug, Default)]
pub struct Trace {
    on: bool,
    digest: Digest,
    said: u64,
    journal: Option<VecDeque<String>>,
    only: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Digest(u64);

impl Trace {
    pub(crate) fn new(on: bool) -> Trace {
        Trace { on, ..Trace::default() }
    }

    /// Keeps a journal from now on, of all nodes or one.
    pub fn keep_journal(&mut self, only: Option<u32>) {
        self.journal = Some(VecDeque::new());
        self.only = only;
    }

    /// The digest of all that was said so far.
    pub fn digest(&self) -> u64 {
        self.digest.0
    }

    /// How many inputs and outputs there were.
    pub fn said(&self) -> u64 {
        self.said
    }

    /// The last lines of the journal, oldest first.
    pub fn journal(&self) -> impl Iterator<Item = &str> + '_ {
        self.journal.iter().flatten().map(String::as_str)
    }

    pub(crate) fn input(&mut self, now: Instant, node: u32, input: &Input<'_>) {
        self.note(now, node, '>', input);
    }

    pub(crate) fn output(&mut self, now: Instant, node: u32, output: &Output) {
        self.note(now, node, '<', output);
    }

    fn note(&mut self, now: Instant, node: u32, way: char, what: &dyn Debug) {
        self.said += 1;
        if self.on {
            // Writing to a digest cannot fail.
            let _ = write!(self.digest, "{} {node} {way} {what:?}", now.as_micros());
        }
        if let Some(journal) = self.journal.as_mut().filter(|_| self.only.is_none_or(|only| only == node)) {
            if journal.len() == JOURNAL_LINES_MAX {
                journal.pop_front();
            }
            journal.push_back(format!("{now:?} {node} {way} {what:?}"));
        }
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0 ^ u64::from_le_bytes(word)).rotate_left(chunk.len() as u32);
        }
        Ok(())
    }
}

//! A recording of a real session, lived through once more: the same configuration, seed and inputs, with neither network nor disk.
//!
//! Marks in the recording say what the session had said up to there ([`proto::trace`]); [`replay`] holds this build's session against
//! them, and shows the inputs of the first span in which it does otherwise. Bounded: at no time is more in memory than the
//! recording, the session, and the inputs since the last mark.

use core::fmt;
use core::time::Duration;
use proto::trace::{End, INPUTS_PER_MARK, OutputDigest, OwnedInput, Record, TraceError, TraceReader};
use proto::{Instant, Outbox, Output, Session};
use std::sync::Arc;

/// Inputs since the last mark that are kept to be shown. A recording of ours has no more between two marks.
const SPAN_MAX: usize = INPUTS_PER_MARK as usize;

/// Letters of an input or output that are shown: a torrent's description is long.
const LINE_LEN_MAX: usize = 300;

/// What came of living through a recording once more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replayed {
    /// Inputs that were handed in.
    pub inputs: u64,
    /// What the session said to them.
    pub outputs: u64,
    /// Marks that it was held against, the end with them.
    pub marks: u64,
    /// Inputs behind the last mark: what they led to, nobody knows.
    pub unmarked: u64,
    /// From the beginning to the last input.
    pub lasted: Duration,
    /// Whether it said the same.
    pub verdict: Verdict,
    /// How the recording ends.
    pub ending: Ending,
}

/// Whether a session said the same as the recorded one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// At every mark.
    Same,
    /// Not at the mark after this span. It was not replayed further.
    Differs {
        /// The number of the span's first input, from 1.
        from: u64,
        /// Inputs of the span, and below each what the session says to it now.
        lines: Vec<String>,
    },
}

/// How a recording ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// As whoever wrote it said.
    Told(End),
    /// It just stops, as when the power went; every record is whole.
    CutOff,
    /// It cannot be read from this byte on. What stands behind the last mark is not to be trusted.
    Broken {
        /// Where the record begins that is none.
        at: usize,
        /// What is wrong.
        why: TraceError,
    },
}

/// One input that was handed in, with what the session said to it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which one, from 1.
    pub number: u64,
    /// When.
    pub now: Instant,
    /// What happened.
    pub input: OwnedInput,
    /// What was to be done about it.
    pub outputs: Vec<Output>,
}

/// Lives through a recording once more, as far as the session does the same; `look` is shown each step.
///
/// # Errors
/// If these bytes do not begin as a recording of this version.
pub fn replay(trace: &[u8], look: &mut dyn FnMut(&Step)) -> Result<Replayed, TraceError> {
    let (head, mut reader) = TraceReader::new(trace)?;
    let (start, mut now) = (head.start, head.start);
    let mut session = Session::new(Arc::new(head.config), head.seed, head.start);
    let (mut outbox, mut digest) = (Outbox::new(), OutputDigest::new());
    let (mut span, mut unmarked): (Vec<Step>, u64) = (Vec::new(), 0);
    let (mut inputs, mut outputs, mut marks) = (0, 0, 0);
    let (mut verdict, mut ending) = (Verdict::Same, Ending::CutOff);
    while let Some(record) = reader.next() {
        let (expected, end) = match record {
            Ok(Record::Input(at, input)) => {
                now = at;
                session.handle(now, input.as_input(), &mut outbox);
                digest.add(now, &outbox);
                inputs += 1;
                let step = Step { number: inputs, now, input, outputs: outbox.drain().collect() };
                outputs += step.outputs.len() as u64;
                look(&step);
                unmarked += 1;
                if span.len() == SPAN_MAX {
                    span.remove(0);
                }
                span.push(step);
                continue;
            }
            Ok(Record::Mark(expected)) => (expected, None),
            Ok(Record::End(why, expected)) => (expected, Some(why)),
            Err(why) => {
                ending = Ending::Broken { at: reader.at(), why };
                break;
            }
        };
        marks += 1;
        if digest.value() != expected {
            let from = inputs + 1 - unmarked;
            verdict = Verdict::Differs { from, lines: span.iter().flat_map(Step::lines).collect() };
            break;
        }
        (unmarked, ending) = (0, end.map_or(Ending::CutOff, Ending::Told));
        span.clear();
    }
    Ok(Replayed { inputs, outputs, marks, unmarked, lasted: now.since(start), verdict, ending })
}

impl Step {
    /// The input as a line, and each output as one.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let input = format!("{:>9} {:?} > {}", self.number, self.now, short(&self.input.as_input()));
        core::iter::once(input)
            .chain(self.outputs.iter().map(|output| format!("{:>11} {}", "<", short(output))))
    }
}

/// What something is, in few letters.
fn short(what: &dyn fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(LINE_LEN_MAX) {
        Some((place, _)) => format!("{}...", &text[..place]),
        None => text,
    }
}

impl Replayed {
    /// Whether the whole of a session was recorded, and all of it was said again.
    pub fn is_whole_and_same(&self) -> bool {
        self.verdict == Verdict::Same && self.ending == Ending::Told(End::Closed)
    }
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Replayed { inputs, outputs, marks, unmarked, lasted, verdict, ending } = self;
        writeln!(f, "{inputs} inputs over {} s, {outputs} outputs", Tenths(*lasted))?;
        match verdict {
            Verdict::Same if *marks == 0 => writeln!(f, "no mark to hold them against")?,
            Verdict::Same => writeln!(f, "same outputs at all {marks} marks")?,
            Verdict::Differs { from, lines } => {
                writeln!(f, "other outputs than were recorded, somewhere from input {from} to {inputs}:")?;
                lines.iter().try_for_each(|line| writeln!(f, "{line}"))?;
                return write!(f, "{} marks before were right", marks - 1);
            }
        }
        if *unmarked > 0 {
            writeln!(f, "{unmarked} inputs after the last mark, whose outputs nobody knows")?;
        }
        match ending {
            Ending::Told(End::Closed) => write!(f, "the recording is whole"),
            Ending::Told(End::Behind) => {
                write!(f, "the recording ends early: the disk could not keep up")
            }
            Ending::Told(End::Full) => {
                write!(f, "the recording ends early: it was as large as it might become")
            }
            Ending::CutOff => write!(f, "the recording has no end: it was cut off between two records"),
            Ending::Broken { at, why } => write!(f, "the recording is broken at byte {at}: {why}"),
        }
    }
}

/// A span in seconds and tenths.
struct Tenths(Duration);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.as_secs(), self.0.subsec_millis() / 100)
    }
}

#[cfg(test)]
mod tests;

//! Traces: whatever bytes come, reading ends in values or in an error, what was read is written and read again the same, and
//! no byte of a whole trace can change unseen.

use proto::trace::{End, Head, OwnedInput, Record, TraceReader, TraceWriter};
use proto::{Config, Instant, Outbox, Seed};
use wire::PeerId;

/// One input: a whole trace, and records behind a good head.
pub fn run(data: &[u8]) {
    check(data);
    let config = Config::new(PeerId([b'x'; 20]));
    let head = TraceWriter::new(&Head { config, seed: Seed(1), start: Instant::ZERO }).take();
    check(&[&head, data].concat());
}

fn check(trace: &[u8]) {
    let Ok((head, reader)) = TraceReader::new(trace) else { return };
    let mut writer = TraceWriter::new(&head);
    let mut read = Vec::new();
    for (now, input) in inputs(reader) {
        writer.record(now, &input.as_input());
        writer.said(now, &Outbox::new());
        read.push(format!("{now:?} {input:?}"));
    }
    writer.end(End::Closed);
    let written = writer.take();
    let (head_again, reader) = TraceReader::new(&written).expect("a head that we wrote");
    assert_eq!(format!("{head_again:?}"), format!("{head:?}"));
    let again: Vec<String> = inputs(reader).map(|(now, input)| format!("{now:?} {input:?}")).collect();
    assert_eq!(again, read);
    assert!(is_whole(&written));
    // One place of it, and one of its bits.
    let place =
        trace.iter().fold(0, |place: usize, &byte| place.wrapping_mul(31).wrapping_add(usize::from(byte)))
            % (written.len() * 8);
    let mut changed = written;
    changed[place / 8] ^= 1 << (place % 8);
    assert!(!is_whole(&changed), "bit {place} can change unseen");
}

fn inputs(reader: TraceReader<'_>) -> impl Iterator<Item = (Instant, OwnedInput)> {
    reader.map_while(Result::ok).filter_map(|record| match record {
        Record::Input(now, input) => Some((now, input)),
        Record::Mark(_) | Record::End(..) => None,
    })
}

/// Reads without an error, and to its end.
fn is_whole(trace: &[u8]) -> bool {
    TraceReader::new(trace).is_ok_and(|(_, mut reader)| {
        let last = reader.by_ref().try_fold(None, |_, record| record.map(Some));
        matches!(last, Ok(Some(Record::End(..))))
    })
}

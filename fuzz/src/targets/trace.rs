//! Traces: whatever bytes come, reading ends in values or in an error, and what was read is written and read again the same.

use proto::trace::{Head, TraceReader, TraceWriter};
use proto::{Config, Instant, Seed};
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
    for (now, input) in reader.map_while(Result::ok) {
        writer.record(now, &input.as_input());
        read.push(format!("{now:?} {input:?}"));
    }
    let written = writer.take();
    let (head_again, reader) = TraceReader::new(&written).expect("a head that we wrote");
    assert_eq!(format!("{head_again:?}"), format!("{head:?}"));
    let mut again = reader.map(|record| record.expect("a record that we wrote"));
    for record in read {
        let (now, input) = again.next().expect("as many records as we wrote");
        assert_eq!(format!("{now:?} {input:?}"), record);
    }
    assert!(again.next().is_none());
}

//! Recorded frames: the bytes of the whole, and what flowed over TCP, in the order in which it was recorded.
//!
//! Reads pcap of Ethernet with IPv4 or IPv6 and TCP; everything else is bytes. Not a reassembler: a segment that was sent twice is
//! there twice, which hides nothing from a search. Of the beginnings of flows, where exchanges are, segments are put where they belong.

use crate::dictionary::Exchange;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use wire::pairing::{GREETING, HELLO_LEN, PROOF_LEN};

const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;
/// Of each flow so many bytes are put in order: an exchange is shorter.
const BEGINNING: usize = 256;
const SYN: u8 = 2;
/// Longest message of an exchange.
const POINT_LEN: usize = 33;

/// Addresses as they stand in the frame, and ports: source, then destination.
type Flow = (Vec<u8>, Vec<u8>);

/// A recording.
pub(crate) struct Recording {
    /// Frames in it.
    pub(crate) frames: usize,
    raw: Vec<u8>,
    flows: BTreeMap<Flow, Stream>,
}

#[derive(Default)]
struct Stream {
    /// Everything, as it was recorded.
    bytes: Vec<u8>,
    /// The sequence number of the first byte, if its beginning was recorded.
    first: Option<u32>,
    beginning: Vec<Option<u8>>,
}

struct Segment<'a> {
    flow: Flow,
    sequence: u32,
    begins: bool,
    payload: &'a [u8],
}

impl Recording {
    /// Reads a file whole.
    pub(crate) fn read(path: &Path) -> Result<Recording> {
        Recording::of(std::fs::read(path)?)
    }

    pub(crate) fn of(raw: Vec<u8>) -> Result<Recording> {
        ensure!(raw.get(..4) == Some(&[0xd4, 0xc3, 0xb2, 0xa1]), "no little-endian pcap");
        let (mut at, mut frames) = (FILE_HEADER, 0);
        let mut flows: BTreeMap<Flow, Stream> = BTreeMap::new();
        while at < raw.len() {
            let len = raw.get(at + 8..at + 12).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes);
            let begin = at + FRAME_HEADER;
            let end = begin + len.context("cut frame header")? as usize;
            let frame = raw.get(begin..end).context("cut frame")?;
            if let Some(segment) = segment(frame) {
                flows.entry(segment.flow.clone()).or_default().take(&segment);
            }
            frames += 1;
            at = end;
        }
        Ok(Recording { frames, raw, flows })
    }

    /// Bytes of the file.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// What can be searched: the file, and each flow, in which nothing stands between two segments.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(&self.raw[..]).chain(self.flows.values().map(|flow| &flow.bytes[..]))
    }

    /// The exchanges of codes in which both points, and the receiver's proof, were said.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.flows
            .iter()
            .filter_map(|((from, to), forth)| {
                let forth = forth.begun();
                let back = self.flows.get(&(to.clone(), from.clone()))?.begun();
                let hello = forth.strip_prefix(&GREETING)?;
                Some(Exchange {
                    receivers: hello.get(1..POINT_LEN)?.try_into().ok()?,
                    sharers: back.get(2..1 + POINT_LEN)?.try_into().ok()?,
                    proof: forth.get(HELLO_LEN..HELLO_LEN + PROOF_LEN)?.try_into().ok()?,
                })
            })
            .collect()
    }
}

impl Stream {
    fn take(&mut self, segment: &Segment<'_>) {
        self.bytes.extend_from_slice(segment.payload);
        if segment.begins {
            self.first = Some(segment.sequence.wrapping_add(1));
        }
        let Some(first) = self.first else { return };
        let offset = segment.sequence.wrapping_add(u32::from(segment.begins)).wrapping_sub(first) as usize;
        self.beginning.resize(BEGINNING, None);
        let places = self.beginning.iter_mut().skip(offset);
        places.zip(segment.payload).for_each(|(place, byte)| *place = Some(*byte));
    }

    /// The first bytes, as far as they are known.
    fn begun(&self) -> Vec<u8> {
        self.beginning.iter().map_while(|byte| *byte).collect()
    }
}

/// A TCP segment, if the frame is one.
fn segment(frame: &[u8]) -> Option<Segment<'_>> {
    let packet = frame.get(14..)?;
    let (tcp, source, destination) = match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header = usize::from(packet.first()? & 15) * 4;
            let len = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
            // Segments that the card would have cut have no length yet, or more than a packet's.
            let end = if len > header && len < packet.len() { len } else { packet.len() };
            (*packet.get(9)? == 6).then_some(())?;
            (packet.get(header..end)?, packet.get(12..16)?, packet.get(16..20)?)
        }
        [0x86, 0xdd] => {
            let len = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
            let end = if len > 0 && 40 + len < packet.len() { 40 + len } else { packet.len() };
            (*packet.get(6)? == 6).then_some(())?;
            (packet.get(40..end)?, packet.get(8..24)?, packet.get(24..40)?)
        }
        _ => return None,
    };
    let header = usize::from(tcp.get(12)? >> 4) * 4;
    Some(Segment {
        flow: ([source, tcp.get(..2)?].concat(), [destination, tcp.get(2..4)?].concat()),
        sequence: u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?),
        begins: tcp.get(13)? & SYN != 0,
        payload: tcp.get(header..)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A recording of segments over IPv4: from port, to port, sequence number, whether it begins a flow, payload.
    pub(crate) fn recorded(segments: &[(u16, u16, u32, bool, &[u8])]) -> Recording {
        let mut raw = vec![0xd4, 0xc3, 0xb2, 0xa1];
        raw.resize(FILE_HEADER, 0);
        for (from, to, sequence, begins, payload) in segments {
            let mut frame = vec![0; 12];
            frame.extend([0x08, 0x00, 0x45, 0]);
            frame.extend((40 + payload.len() as u16).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 1]);
            frame.extend(from.to_be_bytes().iter().chain(&to.to_be_bytes()).chain(&sequence.to_be_bytes()));
            frame.extend([0, 0, 0, 0, 0x50, if *begins { SYN } else { 16 }, 0, 0, 0, 0, 0, 0]);
            frame.extend_from_slice(payload);
            raw.extend([0; 8]);
            raw.extend((frame.len() as u32).to_le_bytes().iter().chain(&(frame.len() as u32).to_le_bytes()));
            raw.extend(frame);
        }
        Recording::of(raw).unwrap()
    }

    #[test]
    fn an_exchange_is_found_however_it_was_cut_and_repeated() {
        let forth = [&GREETING[..], b"A", &[1; 32], &[2; 32]].concat();
        let back = [&[0, b'B'][..], &[3; 32]].concat();
        let recording = recorded(&[
            (7, 9, 99, true, b""),
            (9, 7, 500, true, b""),
            (7, 9, 110, false, &forth[10..50]),
            (7, 9, 100, false, &forth[..12]),
            (9, 7, 501, false, &back),
            (7, 9, 150, false, &forth[50..]),
            (7, 9, 150, false, &forth[50..]),
            (8, 9, 1, true, b""),
            (8, 9, 2, false, b"gannet1\n and no more"),
        ]);
        let exchange = Exchange { receivers: [1; 32], sharers: [3; 32], proof: [2; 32] };
        assert_eq!(recording.exchanges(), [exchange]);
        assert_eq!(recording.frames, 9);
    }
}

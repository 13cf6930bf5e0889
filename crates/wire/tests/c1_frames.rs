//! Threat row C1: every message type, with every length around its limits, cut at every byte. Prints how many cases ran.
//!
//! The verdicts are held against a table of lengths that is written down here once more, not taken from the decoder.

use wire::frame::{self, Frame, FrameError, Limits};
use wire::layout::{BLOCK_LEN, PIECES_MAX};
use wire::message::{BlockRequest, Message};

/// Cases that the threat table asks for.
const CASES_MIN: usize = 3_000;

/// Pieces of the torrent that the links here are about; their bitfield has 126 bytes.
const PIECES: u32 = 1_001;

/// Bytes after the length prefix that a message with this id may have, as the BEPs and our bounds say.
fn allowed(id: u8, pieces: Option<u32>) -> std::ops::RangeInclusive<u64> {
    match id {
        0..=3 | 14 | 15 => 1..=1,
        4 | 13 | 17 => 5..=5,
        5 => match pieces {
            Some(pieces) => {
                let len = 1 + u64::from(pieces).div_ceil(8);
                len..=len
            }
            None => 1..=1 + u64::from(PIECES_MAX) / 8,
        },
        6 | 8 | 16 => 13..=13,
        7 => 10..=9 + u64::from(BLOCK_LEN),
        9 => 3..=3,
        20 => 2..=1 + 256 * 1024,
        _ => 1..=1 + 32 * 1024,
    }
}

/// The error that names the fault of this message.
fn fault(id: u8, claimed: u32) -> FrameError {
    match id {
        5 => FrameError::BitfieldLen { claimed },
        7 => FrameError::BlockLen { claimed },
        20 => FrameError::ExtendedLen { claimed },
        0..=4 | 6 | 8 | 9 | 13..=17 => FrameError::WrongLen { id, claimed },
        _ => FrameError::UnknownLen { id, claimed },
    }
}

/// Lengths worth trying: all small ones, and each power of two, each limit, with their neighbours.
fn lengths() -> Vec<u32> {
    let limits = [127, 9 + BLOCK_LEN, 1 + 32 * 1024, 1 + 256 * 1024];
    let around = (4..32).map(|power| 1 << power).chain(limits).flat_map(|len| [len - 1, len, len + 1]);
    let mut lengths: Vec<u32> = (1..=20).chain(around).chain([u32::MAX - 1, u32::MAX]).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The length is judged by the first five bytes, and not before.
fn judge(id: u8, claimed: u32, limits: &Limits) {
    let case = format!("id {id} claims {claimed} of {limits:?}");
    let mut head = claimed.to_be_bytes().to_vec();
    for cut in 0..4 {
        assert_eq!(frame::next(&head[..cut], limits), Ok(Frame::Need { at_least: 4, block: None }), "{case}");
    }
    assert_eq!(frame::next(&head, limits), Ok(Frame::Need { at_least: 5, block: None }), "{case}");
    head.push(id);
    let verdict = frame::next(&head, limits);
    if !allowed(id, limits.pieces).contains(&u64::from(claimed)) {
        assert_eq!(verdict, Err(fault(id, claimed)), "{case}");
    } else if claimed > 1 {
        let at_least = claimed as usize + 4;
        assert_eq!(verdict, Ok(Frame::Need { at_least, block: None }), "{case}");
    } else {
        assert!(matches!(verdict, Ok(Frame::Message { consumed: 5, .. })), "{case}: {verdict:?}");
    }
}

/// What a link may carry: every kind of message, short and long.
fn messages() -> Vec<Message> {
    let request = BlockRequest { piece: 1, offset: 0x0203_0405, len: BLOCK_LEN };
    let bits = PIECES.div_ceil(8) as usize;
    vec![
        Message::KeepAlive,
        Message::Choke,
        Message::Unchoke,
        Message::Interested,
        Message::NotInterested,
        Message::Have(u32::MAX),
        Message::Bitfield(vec![0xa5; bits].into()),
        Message::Request(request),
        Message::Cancel(request),
        Message::Port(6881),
        Message::Suggest(0),
        Message::HaveAll,
        Message::HaveNone,
        Message::Reject(request),
        Message::AllowedFast(7),
        Message::Extended { id: 0, body: (*b"d1:mdee").into() },
        Message::Extended { id: 255, body: [].into() },
        Message::Extended { id: 3, body: vec![b'x'; 1000].into() },
        Message::Unknown(21),
    ]
}

/// The message, cut at this byte, asks for more and then is itself.
fn split(message: &Message, stream: &[u8], cut: usize, limits: &Limits) {
    let whole = frame::encoded_len(message);
    match frame::next(&stream[..cut], limits) {
        Ok(Frame::Need { at_least, block: None }) => {
            assert!(cut < at_least && at_least <= whole, "{message:?} at {cut}: {at_least}");
        }
        other => panic!("{message:?} at {cut}: {other:?}"),
    }
    let frame = Frame::Message { message: message.clone(), consumed: whole };
    assert_eq!(frame::next(stream, limits), Ok(frame), "{cut}");
}

/// The block, cut at this byte, says how much of its body is there, and then is itself.
fn split_block(request: BlockRequest, stream: &[u8], cut: usize, limits: &Limits) {
    let whole = frame::BLOCK_HEAD_LEN + request.len as usize;
    match (frame::next(&stream[..cut], limits), cut.checked_sub(frame::BLOCK_HEAD_LEN)) {
        (Ok(Frame::Need { at_least, block: None }), None) => {
            assert!(cut < at_least && at_least <= whole, "{request:?} at {cut}");
        }
        (Ok(Frame::Need { at_least, block: Some(partial) }), Some(present)) => {
            assert_eq!((at_least, partial.request, partial.present as usize), (whole, request, present));
        }
        (other, _) => panic!("{request:?} at {cut}: {other:?}"),
    }
    let frame = Frame::Block { request, data: frame::BLOCK_HEAD_LEN..whole };
    assert_eq!(frame::next(stream, limits), Ok(frame), "{cut}");
}

#[test]
fn every_type_every_length_every_split() {
    let mut cases = 0;
    for limits in [Limits::new(Some(PIECES)), Limits::new(Some(1)), Limits::new(None)] {
        // The known ids, and of the unknown ones those beside known ones, those of BEP 52, and the ends.
        for id in (0..=24).chain([99, 127, 128, 254, 255]) {
            for claimed in lengths() {
                judge(id, claimed, &limits);
                cases += 1;
            }
        }
    }
    let limits = Limits::new(Some(PIECES));
    for message in messages() {
        let mut stream = Vec::new();
        frame::encode(&message, &mut stream);
        let whole = stream.len();
        // What follows must not matter.
        stream.extend([0, 0, 0, 1, 7, 7]);
        for cut in 0..whole {
            split(&message, &stream, cut, &limits);
            cases += 1;
        }
    }
    for len in [1, 13, 1_000, BLOCK_LEN - 1, BLOCK_LEN] {
        let request = BlockRequest { piece: 9, offset: 16_384, len };
        let mut stream = frame::block_head(request).to_vec();
        stream.resize(frame::BLOCK_HEAD_LEN + len as usize, 0xcc);
        let whole = stream.len();
        stream.extend([0, 0, 0, 0]);
        for cut in (0..whole).filter(|&cut| cut < 100 || cut % 97 == 0 || whole - cut < 30) {
            split_block(request, &stream, cut, &limits);
            cases += 1;
        }
    }
    println!("C1: {cases} cases");
    assert!(cases >= CASES_MIN, "{cases} cases, the threat table asks for {CASES_MIN}");
}

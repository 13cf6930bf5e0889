//! Framing by example. The exhaustive suite is `tests/c1_frames.rs`.

use super::*;

fn limits() -> Limits {
    Limits::new(Some(20))
}

fn bytes(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    encode(message, &mut out);
    out
}

#[test]
fn a_keep_alive_is_a_message_of_four_bytes() {
    let frame = next(&[0, 0, 0, 0, 9], &limits());
    assert_eq!(frame, Ok(Frame::Message { message: Message::KeepAlive, consumed: 4 }));
}

#[test]
fn a_block_is_named_by_its_range_and_not_copied() {
    let request = BlockRequest { piece: 3, offset: 16_384, len: 100 };
    let mut stream = block_head(request).to_vec();
    stream.resize(BLOCK_HEAD_LEN + 100, 7);
    stream.extend([0; 4]);
    assert_eq!(next(&stream, &limits()), Ok(Frame::Block { request, data: 13..113 }));
}

#[test]
fn a_block_partly_there_says_how_much_of_its_body_is() {
    let request = BlockRequest { piece: 3, offset: 0, len: 16_384 };
    let mut stream = block_head(request).to_vec();
    let at_least = BLOCK_HEAD_LEN + 16_384;
    assert_eq!(next(&stream[..12], &limits()), Ok(Frame::Need { at_least, block: None }));
    for present in [0, 1, 16_383] {
        stream.resize(BLOCK_HEAD_LEN + present as usize, 0);
        let block = Some(PartialBlock { request, present });
        assert_eq!(next(&stream, &limits()), Ok(Frame::Need { at_least, block }));
    }
}

#[test]
fn a_length_is_refused_as_soon_as_the_id_is_there() {
    let refused = |claimed: u32, id: u8| {
        let mut head = claimed.to_be_bytes().to_vec();
        assert_eq!(next(&head, &limits()), Ok(Frame::Need { at_least: 5, block: None }));
        head.push(id);
        next(&head, &limits())
    };
    assert_eq!(refused(2, 0), Err(FrameError::WrongLen { id: 0, claimed: 2 }));
    assert_eq!(refused(u32::MAX, 4), Err(FrameError::WrongLen { id: 4, claimed: u32::MAX }));
    assert_eq!(refused(5, 5), Err(FrameError::BitfieldLen { claimed: 5 }));
    assert_eq!(refused(9, 7), Err(FrameError::BlockLen { claimed: 9 }));
    assert_eq!(refused(9 + 16_385, 7), Err(FrameError::BlockLen { claimed: 9 + 16_385 }));
    assert_eq!(refused(1, 20), Err(FrameError::ExtendedLen { claimed: 1 }));
    assert_eq!(refused(u32::MAX, 20), Err(FrameError::ExtendedLen { claimed: u32::MAX }));
    assert_eq!(refused(u32::MAX, 99), Err(FrameError::UnknownLen { id: 99, claimed: u32::MAX }));
}

#[test]
fn a_bitfield_is_bounded_even_before_the_metainfo_is_here() {
    let unknown = Limits::new(None);
    let head = |claimed: u32| [&claimed.to_be_bytes()[..], &[5]].concat();
    assert!(next(&head(1 + BITFIELD_BODY_MAX), &unknown).is_ok());
    let claimed = 2 + BITFIELD_BODY_MAX;
    assert_eq!(next(&head(claimed), &unknown), Err(FrameError::BitfieldLen { claimed }));
}

#[test]
fn the_simulators_longer_blocks_pass_if_it_says_so() {
    let limits = Limits { pieces: Some(20), block_len_max: 1 << 20 };
    let request = BlockRequest { piece: 0, offset: 0, len: 1 << 20 };
    let block = Some(PartialBlock { request, present: 0 });
    assert_eq!(next(&block_head(request), &limits), Ok(Frame::Need { at_least: 13 + (1 << 20), block }));
}

#[test]
fn a_message_of_an_unknown_kind_is_skipped_whole() {
    let stream = [0, 0, 0, 3, 99, 1, 2, 0];
    assert_eq!(next(&stream, &limits()), Ok(Frame::Message { message: Message::Unknown(99), consumed: 7 }));
}

#[test]
fn a_burst_of_haves_is_what_the_single_messages_are() {
    let pieces: Vec<_> = (0..20).map(PieceIndex).collect();
    let mut burst = Vec::new();
    encode_haves(&pieces, &mut burst);
    let single: Vec<u8> = pieces.iter().flat_map(|piece| bytes(&Message::Have(piece.0))).collect();
    assert_eq!(burst, single);
}

//! Framing: progress with every message, no claim believed beyond its bound, the same verdict for every shorter view of the
//! same bytes, and messages that are written as they were read.

use wire::frame::{self, BLOCK_HEAD_LEN, FRAME_LEN_MAX, Frame, Limits};
use wire::message::{BlockRequest, Message};

/// One input: two bytes of limits, then the stream.
pub fn run(data: &[u8]) {
    let Some((&[pieces, block_len], mut unread)) = data.split_first_chunk::<2>() else { return };
    let pieces = (pieces != 0).then(|| u32::from(pieces) * 5);
    let limits = Limits { pieces, block_len_max: u32::from(block_len) * 64 };
    while let Ok(frame) = frame::next(unread, &limits) {
        let consumed = match frame {
            Frame::Message { message, consumed } => {
                check_message(&message, &unread[..consumed]);
                consumed
            }
            Frame::Block { request, data } => {
                check_block(request, &unread[..data.end], &limits);
                assert_eq!(data, BLOCK_HEAD_LEN..BLOCK_HEAD_LEN + request.len as usize);
                data.end
            }
            Frame::Need { at_least, block } => {
                assert!(at_least > unread.len());
                assert!(at_least <= FRAME_LEN_MAX.max(BLOCK_HEAD_LEN + limits.block_len_max as usize));
                if let Some(block) = block {
                    assert_eq!(block.present as usize + BLOCK_HEAD_LEN, unread.len());
                    assert!(block.present < block.request.len);
                }
                return;
            }
        };
        check_shorter_views(&unread[..consumed], &limits);
        unread = &unread[consumed..];
    }
}

fn check_message(message: &Message, bytes: &[u8]) {
    let mut written = Vec::new();
    frame::encode(message, &mut written);
    assert_eq!(written.len(), frame::encoded_len(message));
    match message {
        // Its body is skipped, so it is not written.
        Message::Unknown(_) => assert_eq!(written[4..], bytes[4..5]),
        _ => assert_eq!(written, bytes),
    }
}

fn check_block(request: BlockRequest, bytes: &[u8], limits: &Limits) {
    assert!(request.len > 0 && request.len <= limits.block_len_max);
    assert_eq!(frame::block_head(request), bytes[..BLOCK_HEAD_LEN]);
}

/// Cut anywhere, the frame is neither refused nor taken for another.
fn check_shorter_views(frame: &[u8], limits: &Limits) {
    let whole = frame.len();
    for cut in (0..whole).filter(|cut| *cut < 20 || whole - cut < 3) {
        match frame::next(&frame[..cut], limits) {
            Ok(Frame::Need { at_least, .. }) => assert!(cut < at_least && at_least <= whole),
            other => panic!("{other:?} at {cut} of {whole}"),
        }
    }
}

//! Messages about metadata (BEP 9): the head ends inside the body, and what was understood is written as it is read.

use wire::metadata::MetadataMessage;

/// One input.
pub fn run(data: &[u8]) {
    let Ok(message) = MetadataMessage::decode(data) else { return };
    let body = message.encode();
    match message {
        MetadataMessage::Data { piece, total_size, at } => {
            assert!(at <= data.len());
            let again = MetadataMessage::Data { piece, total_size, at: body.len() };
            assert_eq!(MetadataMessage::decode(&body), Ok(again));
        }
        MetadataMessage::Request(_) | MetadataMessage::Reject(_) => {
            assert_eq!(MetadataMessage::decode(&body), Ok(message));
        }
        MetadataMessage::Unknown => {}
    }
}

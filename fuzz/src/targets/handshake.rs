//! The handshake: known by its first bytes, read only whole, written as it was read.

use wire::handshake::{self, HANDSHAKE_LEN, HEAD_LEN, PROTOCOL};

/// One input.
pub fn run(data: &[u8]) {
    let same = data.iter().zip(PROTOCOL).take_while(|(theirs, ours)| theirs == ours).count();
    match handshake::decode(data) {
        Err(error) => {
            assert_eq!(error.at, same);
            assert!(handshake::decode_head(data).is_err());
            assert_eq!(handshake::decode(&data[..error.at]), Ok(None));
        }
        Ok(None) => assert!(data.len() < HANDSHAKE_LEN && same == data.len().min(PROTOCOL.len())),
        Ok(Some(handshake)) => {
            assert_eq!(handshake::encode(&handshake), data[..HANDSHAKE_LEN]);
            let head = handshake::decode_head(&data[..HEAD_LEN]);
            assert_eq!(head, Ok(Some((handshake.reserved, handshake.info_hash))));
        }
    }
}

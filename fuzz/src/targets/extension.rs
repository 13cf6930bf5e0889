//! The extension handshake and peer exchange: bounded, and what was understood of it survives being written and read.

use wire::extension::{self, CLIENT_LEN_MAX, EXTENSIONS_MAX, ExtensionHandshake, NAME_LEN_MAX};
use wire::pex::{ADDED_MAX, DROPPED_MAX, PexMessage};

/// One input.
pub fn run(data: &[u8]) {
    let _ = (extension::decode_dont_have(data), extension::decode_upload_only(data));
    peer_exchange(data);
    let Ok(handshake) = ExtensionHandshake::decode(data) else { return };
    assert!(handshake.extensions.len() <= EXTENSIONS_MAX);
    assert!(handshake.extensions.iter().all(|(name, _)| name.len() <= NAME_LEN_MAX));
    // What is no UTF-8 was replaced, by up to three bytes for one.
    assert!(handshake.client.as_ref().is_none_or(|client| client.len() <= 3 * CLIENT_LEN_MAX));
    let mut again = ExtensionHandshake::decode(&handshake.encode()).expect("our own writing is read");
    // The writer sorts extensions and writes each once; a client's name that grew in replacing is cut once more.
    assert!(again.extensions.iter().all(|extension| handshake.extensions.contains(extension)));
    again.extensions.clone_from(&handshake.extensions);
    again.client.clone_from(&handshake.client);
    assert_eq!(again, handshake);
}

/// What was read of a peer exchange is bounded and survives being written and read.
fn peer_exchange(data: &[u8]) {
    let Ok(read) = PexMessage::decode(data) else { return };
    assert!(read.added.len() <= ADDED_MAX && read.dropped.len() <= DROPPED_MAX);
    assert!(read.added.iter().all(|peer| peer.address.port() != 0));
    let again = PexMessage::decode(&read.encode()).expect("our own writing is read");
    // Addresses of IPv6 that hold one of IPv4 are written as what they are, before the others.
    assert_eq!((again.added.len(), again.dropped.len()), (read.added.len(), read.dropped.len()));
    assert!(again.added.iter().all(|peer| read.added.contains(peer)));
}

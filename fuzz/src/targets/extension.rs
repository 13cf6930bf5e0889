//! The extension handshake: bounded, and what was understood of it survives being written and read.

use wire::extension::{self, CLIENT_LEN_MAX, EXTENSIONS_MAX, ExtensionHandshake, NAME_LEN_MAX};

/// One input.
pub fn run(data: &[u8]) {
    let _ = (extension::decode_dont_have(data), extension::decode_upload_only(data));
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

//! The bytes of a link that leave as they stand here: an encrypted handshake, then, if the link's cipher turns bytes, copies
//! of what it sends. A plaintext link has nothing here: its blocks leave from where they lie.
//!
//! Invariant: what stands here is on its way. It is not turned again, not recalled, and nothing overtakes it.

use proto::SendToken;
use std::io::{self, Write};
use wire::Cipher;

/// Bytes turned at once: four blocks. They stay in the processor's cache until the socket takes them, and an urgent message
/// waits behind no more than these.
pub(super) const SEALED_LEN_MAX: usize = 64 * 1024;

/// Room kept by a link that has nothing to send.
const KEPT_LEN_MAX: usize = 4 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    cipher: Cipher,
    bytes: Vec<u8>,
    /// Bytes already written.
    at: usize,
    /// Blocks that end in these bytes.
    tokens: Vec<SendToken>,
}

impl Sealed {
    /// What the link's bytes go through from now on.
    pub(super) fn set_cipher(&mut self, cipher: Cipher) {
        self.cipher = cipher;
    }

    /// Appends bytes that are not to be turned.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes as much of the link's next bytes as there is room for, when everything before has left.
    pub(super) fn fill<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        for slice in slices {
            let room = SEALED_LEN_MAX - self.bytes.len();
            self.bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.cipher.apply(&mut self.bytes);
    }

    /// How many bytes stand here.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The blocks that end in these bytes.
    pub(super) fn tokens(&mut self) -> &mut Vec<SendToken> {
        &mut self.tokens
    }

    /// Whether the link's bytes must pass through here.
    pub(super) fn turns(&self) -> bool {
        !self.cipher.is_plaintext()
    }

    /// Whether everything has left.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Writes once; appends the tokens of blocks when all of these bytes have left. False if the socket takes no more.
    pub(super) fn flush(&mut self, socket: &mut impl Write, sent: &mut Vec<SendToken>) -> io::Result<bool> {
        let written = match socket.write(&self.bytes[self.at..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        self.at += written;
        if self.at < self.bytes.len() {
            return Ok(false);
        }
        self.at = 0;
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_LEN_MAX);
        sent.append(&mut self.tokens);
        Ok(true)
    }

    /// The blocks that have not left whole.
    pub(super) fn abandon(&mut self) -> Vec<SendToken> {
        std::mem::take(&mut self.tokens)
    }
}

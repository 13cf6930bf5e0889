//! The bytes of a link that leave as they stand here: an encrypted handshake, then, if the link's cipher turns bytes, copies
//! of what it sends. A plaintext link has nothing here: its blocks leave from where they lie.
//!
//! Invariants: what stands here is on its way. It is not turned again, not recalled, and nothing overtakes it. Of a link that is to be
//! private nothing leaves but its handshake until there are keys, and nothing that could not be sealed.

use proto::SendToken;
use std::io::{self, Write};
use wire::Cipher;
use wire::private::{PrivateError, RECORD_CLEAR_MAX, Sealer};

/// Bytes turned at once: four blocks. They stay in the processor's cache until the socket takes them, and an urgent message
/// waits behind no more than these.
pub(super) const SEALED_LEN_MAX: usize = 64 * 1024;

/// Clear bytes sealed at once on a private link: four records, each a block with its head or some messages.
const RECORDS_CLEAR_MAX: usize = 4 * RECORD_CLEAR_MAX;

/// Room kept by a link that has nothing to send.
const KEPT_LEN_MAX: usize = 4 * 1024;

/// How a link's bytes are turned.
#[derive(Debug)]
enum Sealing {
    /// Not at all: the link will be private, and has no keys yet.
    Awaited,
    /// Byte by byte.
    Stream(Cipher),
    /// Record by record.
    Records(Box<Sealer>),
}

impl Default for Sealing {
    fn default() -> Sealing {
        Sealing::Stream(Cipher::Plaintext)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    sealing: Sealing,
    bytes: Vec<u8>,
    /// Bytes already written.
    at: usize,
    /// Blocks that end in these bytes.
    tokens: Vec<SendToken>,
}

impl Sealed {
    /// Nothing but a handshake may leave before the link has keys.
    pub(super) fn await_records(&mut self) {
        self.sealing = Sealing::Awaited;
    }

    /// What the link's bytes go through from now on.
    pub(super) fn set_cipher(&mut self, cipher: Cipher) {
        self.sealing = Sealing::Stream(cipher);
    }

    /// The link's bytes go into records from now on.
    pub(super) fn set_records(&mut self, sealer: Sealer) {
        self.sealing = Sealing::Records(Box::new(sealer));
    }

    /// Appends bytes that are not to be turned.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes as much of the link's next frames as there is room for, when everything before has left. Says how much that was.
    ///
    /// # Errors
    /// When a private link cannot seal them. Then nothing was taken, and the link must end.
    pub(super) fn fill<'a>(
        &mut self,
        frames: impl Iterator<Item = [&'a [u8]; 3]>,
    ) -> Result<usize, PrivateError> {
        match &mut self.sealing {
            Sealing::Awaited => Err(PrivateError::Unsealed),
            Sealing::Stream(cipher) => {
                for slice in frames.flatten() {
                    let room = SEALED_LEN_MAX - self.bytes.len();
                    self.bytes.extend_from_slice(&slice[..slice.len().min(room)]);
                }
                cipher.apply(&mut self.bytes);
                Ok(self.bytes.len())
            }
            Sealing::Records(sealer) => fill_records(sealer, frames, &mut self.bytes),
        }
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
        match &self.sealing {
            Sealing::Stream(cipher) => !cipher.is_plaintext(),
            Sealing::Awaited | Sealing::Records(_) => true,
        }
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

/// Seals whole frames, several small ones in a record and no block in two, so that the other side opens each where it lands.
/// Only a first frame that is longer than everything at once is cut: a long row of control messages.
fn fill_records<'a>(
    sealer: &mut Sealer,
    frames: impl Iterator<Item = [&'a [u8]; 3]>,
    out: &mut Vec<u8>,
) -> Result<usize, PrivateError> {
    let (mut record, mut record_len, mut taken) = (Vec::new(), 0, 0);
    for frame in frames {
        let len: usize = frame.iter().map(|slice| slice.len()).sum();
        if taken > 0 && taken + len > RECORDS_CLEAR_MAX {
            break;
        }
        if record_len > 0 && record_len + len > RECORD_CLEAR_MAX {
            sealer.seal(record.drain(..), out)?;
            record_len = 0;
        }
        for slice in frame {
            let slice = &slice[..slice.len().min(RECORDS_CLEAR_MAX - taken)];
            record.push(slice);
            record_len += slice.len();
            taken += slice.len();
        }
    }
    sealer.seal(record.drain(..), out)?;
    Ok(taken)
}

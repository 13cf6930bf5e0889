//! Private links: only who holds the swarm's key takes part, and nobody else learns more than that bytes pass. A machine for
//! each side of the handshake, then records each way. No socket, no clock, no chance but the ephemeral key it is handed.
//!
//! The handshake is `Noise_NNpsk0_25519_AESGCM_SHA256` (the Noise Protocol Framework, revision 34): both sides prove that they hold the
//! swarm key, and agree on fresh keys that it alone does not give away, so that who learns it later reads no recording.
//!
//! ```text
//! A -> B  ephemeral key (32), tag (16): sealed under the swarm key, so that a stranger is known by its first 48 bytes
//! B -> A  ephemeral key (32), tag (16)
//! A <> B  records: length (2) sealed with its tag (16), clear bytes (1..=16,512) sealed with their tag (16)
//! ```
//!
//! Who does not hold the key gets no answer, and is known before a key is agreed upon, which is what costs. Who repeats an A's first
//! message from a recording gets 48 bytes that look like noise and can do nothing with them; who remembers what was said
//! first ([`Responder::hail`]) need not answer even that. What is not hidden: who talks with whom, when, and about how much.
//!
//! AES-GCM, because `ring` seals and opens some 3 GB/s with it on a processor with AES instructions, and 1.1 to 1.5 GB/s with
//! ChaCha20-Poly1305 (`cargo bench -p gannet-wire --bench private`). A processor without them would do better with the latter.
//!
//! Invariants: what is kept of a handshake has a fixed size; after an error a machine takes nothing more and says nothing;
//! how the bytes are cut changes nothing; what cannot be sealed is not said.

mod noise;
mod record;

pub use record::{HEADER_LEN, Opened, Opener, RECORD_CLEAR_MAX, RECORD_OVERHEAD, Sealer};

use core::fmt;
use noise::{Handshake, MESSAGE_LEN};

/// Bytes of chance that each side of a handshake needs.
pub const EPHEMERAL_KEY_LEN: usize = 32;

/// What who dialled says first.
pub const FIRST_LEN: usize = MESSAGE_LEN;

/// Bytes of a [`Responder::hail`].
pub const HAIL_LEN: usize = 16;

/// Both sides name this protocol, so that its keys fit no other use of the same swarm key.
const PROLOGUE: &[u8] = b"gannet private link 1";

/// What all members of a private swarm hold, and nobody else: 32 bytes of chance. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmKey(pub [u8; 32]);

/// Bytes of a swarm's mark.
pub const SWARM_MARK_LEN: usize = 16;

impl SwarmKey {
    /// By which the swarm is known again among others, to be written down where the key must not be: whoever sees it can
    /// neither take part nor learn the key.
    pub fn mark(&self) -> [u8; SWARM_MARK_LEN] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        let tag = ring::hmac::sign(&key, b"gannet swarm mark 1");
        let mut mark = [0; SWARM_MARK_LEN];
        mark.iter_mut().zip(tag.as_ref()).for_each(|(place, byte)| *place = *byte);
        mark
    }
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwarmKey(..)")
    }
}

/// Why a private link ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrivateError {
    /// The handshake is not made with our swarm key: another swarm's, or a stranger's.
    OtherKey,
    /// A record is not as it was sealed: bytes were changed, left out, repeated or put in between.
    Altered,
    /// A record of this many clear bytes; it must be 1 to [`RECORD_CLEAR_MAX`].
    Length(u16),
    /// Bytes that were to be sent could not be sealed, and so are not said.
    Unsealed,
    /// The link has ended before, for one of the other reasons.
    Over,
}

impl fmt::Display for PrivateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrivateError::OtherKey => f.write_str("the other side does not hold the key of this swarm"),
            PrivateError::Altered => f.write_str("bytes of a private link were altered on the way"),
            PrivateError::Length(len) => {
                write!(f, "a record of {len} bytes on a private link; 1 to {RECORD_CLEAR_MAX} are allowed")
            }
            PrivateError::Unsealed => f.write_str("bytes for a private link cannot be sealed"),
            PrivateError::Over => f.write_str("the private link has ended"),
        }
    }
}

impl core::error::Error for PrivateError {}

/// Both sides hold the key: what the link's bytes go through from here on.
#[derive(Debug)]
pub struct Agreed {
    /// For what we send, from the first byte after what the machine has written.
    pub send: Sealer,
    /// For what we receive, from the first byte that the machine has not taken.
    pub receive: Opener,
}

/// The handshake of who dialled.
#[derive(Debug)]
pub struct Initiator {
    /// `None` when it is over.
    handshake: Option<Box<Handshake>>,
}

/// The handshake of who was dialled, with somebody who holds the key, or repeats who did.
#[derive(Debug)]
pub struct Responder {
    handshake: Box<Handshake>,
    hail: [u8; HAIL_LEN],
}

impl Initiator {
    /// Begins a handshake; appends what is to be sent first. `ephemeral` comes from a source that nobody can predict and is
    /// used for this handshake alone.
    pub fn new(key: &SwarmKey, ephemeral: [u8; EPHEMERAL_KEY_LEN], out: &mut Vec<u8>) -> Initiator {
        let mut handshake = Handshake::new(PROLOGUE, &key.0);
        let begun = handshake.write_first(ephemeral, &[], out);
        Initiator { handshake: begun.map(|()| Box::new(handshake)) }
    }

    /// Takes what it can of the bytes that came, and says how many. `Agreed` ends the handshake.
    ///
    /// # Errors
    /// When they do not hold the key; then the machine takes nothing more.
    pub fn read(&mut self, unread: &[u8]) -> Result<(usize, Option<Agreed>), PrivateError> {
        let Some(message) = unread.get(..MESSAGE_LEN) else { return Ok((0, None)) };
        let mut handshake = self.handshake.take().ok_or(PrivateError::Over)?;
        handshake.read_second(message).ok_or(PrivateError::OtherKey)?;
        let (ours, theirs) = handshake.split();
        let agreed = Agreed { send: Sealer::new(ours), receive: Opener::new(theirs) };
        Ok((MESSAGE_LEN, Some(agreed)))
    }
}

impl Responder {
    /// Knows by what somebody says first whether it was made with our swarm key. Costs a few hashes.
    ///
    /// # Errors
    /// When it was not. Then there is nothing to be answered.
    pub fn recognise(key: &SwarmKey, first: &[u8; FIRST_LEN]) -> Result<Responder, PrivateError> {
        let mut handshake = Handshake::new(PROLOGUE, &key.0);
        handshake.read_first(first).ok_or(PrivateError::OtherKey)?;
        let mut hail = [0; HAIL_LEN];
        hail.iter_mut().zip(first).for_each(|(place, byte)| *place = *byte);
        Ok(Responder { handshake: Box::new(handshake), hail })
    }

    /// Of their ephemeral key, which is drawn anew for each link: who comes with one that was here before repeats a recording.
    pub fn hail(&self) -> [u8; HAIL_LEN] {
        self.hail
    }

    /// Appends the answer. Costs a key agreement. `ephemeral` as for [`Initiator::new`]. That they can also open what is sealed
    /// their first record shows.
    ///
    /// # Errors
    /// When their key is one that would make the secret known to everybody; then nothing is appended.
    pub fn answer(
        mut self,
        ephemeral: [u8; EPHEMERAL_KEY_LEN],
        out: &mut Vec<u8>,
    ) -> Result<Agreed, PrivateError> {
        self.handshake.write_second(ephemeral, &[], out).ok_or(PrivateError::OtherKey)?;
        let (theirs, ours) = self.handshake.split();
        Ok(Agreed { send: Sealer::new(ours), receive: Opener::new(theirs) })
    }
}

#[cfg(test)]
mod tests;

//! From a code to a link: the receiver and the sharer prove to each other that they know the same words, and come to keys that
//! nobody else has. A machine for each side; no socket, no clock, no chance but what it is handed.
//!
//! SPAKE2 over Edwards25519 (the crate `spake2`, whose messages are those of Magic Wormhole), then proofs:
//!
//! ```text
//! receiver -> sharer  greeting (8), SPAKE2 A (33)
//! sharer -> receiver  SPAKE2 B (33)
//! receiver -> sharer  proof (32)
//! sharer -> receiver  proof (32)
//! both                records, as on a private link (`private`)
//! ```
//!
//! Who listens learns nothing about the words, however long he computes on what he has. Who takes part can test one pair of
//! words each time, and not in silence: the receiver proves first, and before that the sharer has said nothing that a guess
//! could be held against. So a sharer needs to count wrong proofs alone ([`Claim`]); connections that end without one learn
//! nothing. Who stands in for a sharer can test one pair on each receiver that comes to him: receivers count too.
//!
//! Invariants: what is kept has a fixed size; after an error, and after a wrong proof, a machine says nothing more.

use crate::code::Code;
use crate::private::{Opener, Sealer};
use core::convert::Infallible;
use core::fmt;
use ring::{hkdf, hmac};
use spake2::rand_core::{TryCryptoRng, TryRng};
use spake2::{Ed25519Group, Identity, Password, Spake2};

/// What a receiver's first message begins with, so that a listener knows what it is about.
pub const GREETING: [u8; 8] = *b"gannet1\n";

/// Bytes of chance for one exchange.
pub const PAIRING_CHANCE_LEN: usize = 64;

/// A message of SPAKE2: its side and a point.
const POINT_LEN: usize = 33;
const PROOF_LEN: usize = 32;

/// Why an exchange came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PairingError {
    /// The first bytes are no greeting.
    NoGreeting,
    /// What should be a point of the curve is none.
    NoPoint,
    /// The other side does not know the words: a slip of the tongue, or somebody else.
    OtherCode,
    /// The exchange has ended before.
    Over,
}

impl fmt::Display for PairingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PairingError::NoGreeting => "this is no receiver with a code",
            PairingError::NoPoint => "the other side does not speak as the exchange of a code wants it",
            PairingError::OtherCode => "the other side has another code",
            PairingError::Over => "the exchange has ended",
        })
    }
}

impl core::error::Error for PairingError {}

/// Both sides know the words: what the link's bytes go through from here on.
#[derive(Debug)]
pub struct Paired {
    /// For what we send.
    pub send: Sealer,
    /// For what we receive, from the first byte that the machine has not taken.
    pub receive: Opener,
}

/// The side that was told a code.
#[derive(Debug)]
pub struct Receiver(ReceiverStage);

#[derive(Debug)]
enum ReceiverStage {
    /// The sharer's point is to come.
    Point(Box<Spake2<Ed25519Group>>),
    /// The sharer's proof is to come.
    Proof(Box<Keys>),
    Over,
}

/// The side that made a code.
#[derive(Debug)]
pub struct Sharer(SharerStage);

#[derive(Debug)]
enum SharerStage {
    /// The receiver's point is to come, and has not been answered.
    Point {
        spake: Box<Spake2<Ed25519Group>>,
        ours: [u8; POINT_LEN],
    },
    /// The receiver's proof is to come.
    Proof(Box<Keys>),
    Over,
}

/// A receiver's proof that it knows the words, not looked at yet: whether it may be is for who counts guesses to say.
#[derive(Debug)]
pub struct Claim {
    keys: Box<Keys>,
    proof: [u8; PROOF_LEN],
}

impl Receiver {
    /// Begins; appends what is to be sent first. `chance` comes from a source that nobody can predict and is used once.
    pub fn new(code: &Code, chance: [u8; PAIRING_CHANCE_LEN], out: &mut Vec<u8>) -> Receiver {
        let [receiver, sharer] = identities(code);
        let password = Password::new(code.password());
        let (spake, point) = Spake2::start_a_with_rng(&password, &receiver, &sharer, Given(chance));
        out.extend_from_slice(&GREETING);
        out.extend_from_slice(&point);
        Receiver(ReceiverStage::Point(Box::new(spake)))
    }

    /// Takes what it can of the bytes that came, and says how many; appends what is to be sent. `Paired` ends the exchange. From the
    /// moment that something is appended the other side may have tested one pair of words, whatever follows.
    ///
    /// # Errors
    /// When the other side does not know the words; then the machine takes nothing more.
    pub fn read(
        &mut self,
        unread: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Paired>), PairingError> {
        match core::mem::replace(&mut self.0, ReceiverStage::Over) {
            ReceiverStage::Point(spake) => {
                let Some(point) = unread.get(..POINT_LEN) else {
                    self.0 = ReceiverStage::Point(spake);
                    return Ok((0, None));
                };
                let keys = Keys::agree(*spake, point)?;
                out.extend_from_slice(keys.receivers.prove().as_ref());
                self.0 = ReceiverStage::Proof(Box::new(keys));
                Ok((POINT_LEN, None))
            }
            ReceiverStage::Proof(keys) => {
                let Some(proof) = unread.get(..PROOF_LEN) else {
                    self.0 = ReceiverStage::Proof(keys);
                    return Ok((0, None));
                };
                if !keys.sharers.proves(proof) {
                    return Err(PairingError::OtherCode);
                }
                let paired = Paired { send: Sealer::of(keys.forth), receive: Opener::of(keys.back) };
                Ok((PROOF_LEN, Some(paired)))
            }
            ReceiverStage::Over => Err(PairingError::Over),
        }
    }
}

impl Sharer {
    /// Waits for a receiver. `chance` as for [`Receiver::new`].
    pub fn new(code: &Code, chance: [u8; PAIRING_CHANCE_LEN]) -> Sharer {
        let [receiver, sharer] = identities(code);
        let password = Password::new(code.password());
        let (spake, point) = Spake2::start_b_with_rng(&password, &receiver, &sharer, Given(chance));
        let mut ours = [0; POINT_LEN];
        ours.iter_mut().zip(point).for_each(|(place, byte)| *place = byte);
        Sharer(SharerStage::Point { spake: Box::new(spake), ours })
    }

    /// Takes what it can of the bytes that came, and says how many; appends what is to be sent. A `Claim` ends the machine's part.
    ///
    /// # Errors
    /// When this is no receiver; then the machine takes nothing more and nothing is appended.
    pub fn read(&mut self, unread: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Claim>), PairingError> {
        match core::mem::replace(&mut self.0, SharerStage::Over) {
            SharerStage::Point { spake, ours } => {
                if unread.iter().zip(&GREETING).any(|(byte, ours)| byte != ours) {
                    return Err(PairingError::NoGreeting);
                }
                let Some(point) = unread.get(GREETING.len()..GREETING.len() + POINT_LEN) else {
                    self.0 = SharerStage::Point { spake, ours };
                    return Ok((0, None));
                };
                let keys = Keys::agree(*spake, point)?;
                out.extend_from_slice(&ours);
                self.0 = SharerStage::Proof(Box::new(keys));
                Ok((GREETING.len() + POINT_LEN, None))
            }
            SharerStage::Proof(keys) => {
                let Some(proof) = unread.first_chunk::<PROOF_LEN>() else {
                    self.0 = SharerStage::Proof(keys);
                    return Ok((0, None));
                };
                Ok((PROOF_LEN, Some(Claim { keys, proof: *proof })))
            }
            SharerStage::Over => Err(PairingError::Over),
        }
    }
}

impl Claim {
    /// Whether the receiver knows the words. Asking is what a guess costs: only who counts guesses asks.
    pub fn is_right(&self) -> bool {
        self.keys.receivers.proves(&self.proof)
    }

    /// Proves the same to the receiver, by appending our proof, if the claim is right.
    ///
    /// # Errors
    /// When it is not; then nothing is appended.
    pub fn accept(self, out: &mut Vec<u8>) -> Result<Paired, PairingError> {
        if !self.is_right() {
            return Err(PairingError::OtherCode);
        }
        out.extend_from_slice(self.keys.sharers.prove().as_ref());
        Ok(Paired { send: Sealer::of(self.keys.back), receive: Opener::of(self.keys.forth) })
    }
}

/// The names of both sides, which are part of what they agree upon: the nameplate too, so that a code is one for one share.
fn identities(code: &Code) -> [Identity; 2] {
    ["receiver", "sharer"]
        .map(|side| Identity::new(format!("gannet {side} of {}", code.nameplate()).as_bytes()))
}

/// Everything that follows from what both sides agreed upon.
struct Keys {
    receivers: ProofKey,
    sharers: ProofKey,
    forth: [u8; 32],
    back: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

impl Keys {
    fn agree(spake: Spake2<Ed25519Group>, theirs: &[u8]) -> Result<Keys, PairingError> {
        // The crate hashes the words, both names, both points and the secret point into this.
        let shared = spake.finish(theirs).map_err(|_| PairingError::NoPoint)?;
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gannet code 1").extract(&shared);
        let key = |name: &[u8]| {
            let mut key = [0; 32];
            // 32 bytes are never too many.
            let filled = secret.expand(&[name], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
            filled.map(|()| key).map_err(|_| PairingError::NoPoint)
        };
        Ok(Keys {
            receivers: ProofKey(hmac::Key::new(hmac::HMAC_SHA256, &key(b"receiver's proof")?)),
            sharers: ProofKey(hmac::Key::new(hmac::HMAC_SHA256, &key(b"sharer's proof")?)),
            forth: key(b"receiver to sharer")?,
            back: key(b"sharer to receiver")?,
        })
    }
}

/// One side's proof that it came to the same keys.
struct ProofKey(hmac::Key);

impl ProofKey {
    fn prove(&self) -> hmac::Tag {
        hmac::sign(&self.0, &GREETING)
    }

    /// In the same time whatever is wrong with it.
    fn proves(&self, proof: &[u8]) -> bool {
        hmac::verify(&self.0, &GREETING, proof).is_ok()
    }
}

/// Chance that was handed in, where a generator is wanted. The crate draws once; it would get the same bytes again.
struct Given([u8; PAIRING_CHANCE_LEN]);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.iter_mut().zip(self.0).for_each(|(place, byte)| *place = byte);
        Ok(())
    }
}

impl TryCryptoRng for Given {}

#[cfg(test)]
mod tests;

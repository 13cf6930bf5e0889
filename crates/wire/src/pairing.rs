//! From a code to a link: the receiver and the sharer prove to each other that they know the same words, and come to keys that
//! nobody else has. A machine for each side; no socket, no clock, no chance but what it is handed.
//!
//! SPAKE2 over Edwards25519 (the crate `spake2`, whose messages are those of Magic Wormhole), then proofs:
//!
//! ```text
//! receiver -> sharer  greeting (8), SPAKE2 A (33)
//! sharer -> receiver  0 (1), SPAKE2 B (33)   or why not (1)
//! receiver -> sharer  proof (32)
//! sharer -> receiver  0 (1), proof (32)      or why not (1)
//! both                records, as on a private link (`private`)
//! ```
//!
//! Why not ([`Refusal`]) is said in the clear and proves nothing, for there is no key yet that both have: who can change what passes
//! can say it in the sharer's place. He gains that a receiver gives up, which he has too by cutting the line. That all
//! is well only a proof says.
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

/// What a receiver says first: a greeting and a point.
pub const HELLO_LEN: usize = GREETING.len() + POINT_LEN;

/// What a receiver says next.
pub const PROOF_LEN: usize = 32;

/// What the sharer says first of each message that is not a refusal.
const GO_ON: u8 = 0;

/// Why a sharer does not go on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The receiver's proof does not fit: it has another code.
    OtherCode,
    /// So many had another code that nobody is looked at before the person who shares says so.
    MustConfirm,
    /// Too many come at once.
    Busy,
}

impl Refusal {
    /// As a sharer says it, in place of anything else; nothing follows.
    pub fn encode(self) -> u8 {
        match self {
            Refusal::OtherCode => 1,
            Refusal::MustConfirm => 2,
            Refusal::Busy => 3,
        }
    }

    fn decode(byte: u8) -> Option<Refusal> {
        [Refusal::OtherCode, Refusal::MustConfirm, Refusal::Busy]
            .into_iter()
            .find(|refusal| refusal.encode() == byte)
    }
}

/// Why an exchange came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PairingError {
    /// The first bytes are no greeting.
    NoGreeting,
    /// What should be a point of the curve is none.
    NoPoint,
    /// The other side's proof does not fit: it does not know the words.
    OtherCode,
    /// The sharer, or somebody in its place, says why not.
    Refused(Refusal),
    /// The exchange has ended before.
    Over,
}

impl fmt::Display for PairingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PairingError::NoGreeting => "this is no receiver with a code",
            PairingError::NoPoint => "the other side does not speak as the exchange of a code wants it",
            PairingError::OtherCode | PairingError::Refused(Refusal::OtherCode) => {
                "the other side has another code"
            }
            PairingError::Refused(Refusal::MustConfirm) => {
                "so many came with another code that whoever shares must say first whether to go on"
            }
            PairingError::Refused(Refusal::Busy) => "too many come to this share at once",
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

/// What a receiver began with. Nothing was computed yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello([u8; POINT_LEN]);

/// The side that made a code, when it has answered: the receiver's proof is to come.
#[derive(Debug)]
pub struct Sharer(Box<Keys>);

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
        let stage = core::mem::replace(&mut self.0, ReceiverStage::Over);
        let said_len = match stage {
            ReceiverStage::Point(_) => POINT_LEN,
            ReceiverStage::Proof(_) => PROOF_LEN,
            ReceiverStage::Over => return Err(PairingError::Over),
        };
        let said = match unread.split_first() {
            Some((&GO_ON, said)) => said.get(..said_len),
            Some((&other, _)) => {
                return Err(Refusal::decode(other).map_or(PairingError::NoPoint, PairingError::Refused));
            }
            None => None,
        };
        let (Some(said), taken) = (said, 1 + said_len) else {
            self.0 = stage;
            return Ok((0, None));
        };
        match stage {
            ReceiverStage::Point(spake) => {
                let keys = Keys::agree(*spake, said)?;
                out.extend_from_slice(keys.receivers.prove().as_ref());
                self.0 = ReceiverStage::Proof(Box::new(keys));
                Ok((taken, None))
            }
            ReceiverStage::Proof(keys) if keys.sharers.proves(said) => {
                Ok((taken, Some(Paired { send: Sealer::of(keys.forth), receive: Opener::of(keys.back) })))
            }
            ReceiverStage::Proof(_) => Err(PairingError::OtherCode),
            ReceiverStage::Over => Err(PairingError::Over),
        }
    }
}

impl Hello {
    /// What stands at the beginning of the bytes that came, as soon as it is whole: [`HELLO_LEN`] bytes.
    ///
    /// # Errors
    /// As soon as it is clear that this is no receiver. It is to get no answer.
    pub fn read(unread: &[u8]) -> Result<Option<Hello>, PairingError> {
        if unread.iter().zip(&GREETING).any(|(byte, ours)| byte != ours) {
            return Err(PairingError::NoGreeting);
        }
        let point = unread.get(GREETING.len()..).and_then(|rest| rest.first_chunk());
        Ok(point.map(|point| Hello(*point)))
    }

    /// Goes on with this receiver, and appends what is to be said. Costs two multiplications of points, which makes it the
    /// step that is to be rationed. `chance` as for [`Receiver::new`].
    ///
    /// # Errors
    /// When it sent no point; then nothing is appended.
    pub fn answer(
        &self,
        code: &Code,
        chance: [u8; PAIRING_CHANCE_LEN],
        out: &mut Vec<u8>,
    ) -> Result<Sharer, PairingError> {
        let [receiver, sharer] = identities(code);
        let password = Password::new(code.password());
        let (spake, ours) = Spake2::start_b_with_rng(&password, &receiver, &sharer, Given(chance));
        let keys = Keys::agree(spake, &self.0)?;
        out.push(GO_ON);
        out.extend_from_slice(&ours);
        Ok(Sharer(Box::new(keys)))
    }
}

impl Sharer {
    /// The receiver's next [`PROOF_LEN`] bytes are here.
    pub fn claim(self, proof: [u8; PROOF_LEN]) -> Claim {
        Claim { keys: self.0, proof }
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
        out.push(GO_ON);
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

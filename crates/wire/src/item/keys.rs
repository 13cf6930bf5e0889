//! The keys of mutable items: Ed25519, with the library's arithmetic. No key is made here: they come as bytes. BEP: 44

use super::{MutableItem, signed_bytes};
use core::fmt;
use core::str::FromStr;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Sha512, VerifyingKey};
use std::sync::Arc;

/// Whose an item is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// That the owner of a key said so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// What an owner signs with. Is wiped when it is dropped, and shows nothing of itself.
pub struct SecretKey {
    expanded: ExpandedSecretKey,
    public: VerifyingKey,
}

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPublicKey;

impl PublicKey {
    /// Whether the owner of this key signed this message. No for a key that is none, and for the few weak keys and
    /// nonces under which a signature proves nothing.
    pub(super) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl SecretKey {
    /// The key of a seed: 32 bytes that nobody else can guess (RFC 8032).
    pub fn from_seed(seed: [u8; 32]) -> SecretKey {
        SecretKey::of(ExpandedSecretKey::from(&seed))
    }

    /// The key in the form that BEP 44 shows and libtorrent keeps: the scalar's 32 bytes and the 32 of the nonces' prefix.
    pub fn from_expanded(bytes: [u8; 64]) -> SecretKey {
        SecretKey::of(ExpandedSecretKey::from_bytes(&bytes))
    }

    fn of(expanded: ExpandedSecretKey) -> SecretKey {
        SecretKey { public: VerifyingKey::from(&expanded), expanded }
    }

    /// What others know the owner by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.public.to_bytes())
    }

    /// Signs a version of the item that has this salt. The same arguments give the same bytes.
    ///
    /// `value` is bencode. Signs whatever it is given: [`MutableItem::check`] says whether nodes would store it.
    pub fn sign(&self, salt: &[u8], seq: i64, value: &[u8]) -> MutableItem {
        let message = signed_bytes(salt, seq, value);
        let signature = raw_sign::<Sha512>(&self.expanded, &message, &self.public);
        MutableItem {
            key: self.public(),
            salt: salt.into(),
            seq,
            value: Arc::from(value),
            signature: Signature(signature.to_bytes()),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// 64 hexadecimal digits, either case.
impl FromStr for PublicKey {
    type Err = NotAPublicKey;

    fn from_str(text: &str) -> Result<PublicKey, NotAPublicKey> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(NotAPublicKey);
        }
        for (pair, byte) in digits.chunks_exact(2).zip(&mut bytes) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NotAPublicKey);
            *byte = pair.iter().try_fold(0, |sum, &one| Ok(sum << 4 | digit(one)? as u8))?;
        }
        Ok(PublicKey(bytes))
    }
}

impl fmt::Display for NotAPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 64 hexadecimal digits, as a public key has")
    }
}

impl core::error::Error for NotAPublicKey {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

//! The key exchange of MSE: Diffie-Hellman in its 768-bit group with generator 2, in constant time. Draws no keys: the
//! caller brings them.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};

/// Bytes of a public key and of the shared secret.
pub const KEY_LEN: usize = 96;

/// Bytes of a private key: 160 bits, as the specification advises.
pub const PRIVATE_KEY_LEN: usize = 20;

const PRIVATE_KEY_BITS: u32 = 8 * PRIVATE_KEY_LEN as u32;

const_monty_params!(
    Group,
    U768,
    "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74\
     020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b0a6df25f1437\
     4fe1356d6d51c245e485b576625e7ec6f44c42e9a63a36210000000000090563",
    "The integers modulo MSE's prime."
);

type Element = ConstMontyForm<Group, { U768::LIMBS }>;

/// One side's half of the exchange. Its bytes are shown to nobody.
#[derive(Clone)]
pub(super) struct PrivateKey(U192);

impl PrivateKey {
    /// The key in these random bytes. The highest bit is set, so that no key is trivial.
    pub(super) fn new(bytes: [u8; PRIVATE_KEY_LEN]) -> PrivateKey {
        let mut wide = [0; 24];
        wide[4..].copy_from_slice(&bytes);
        wide[4] |= 0x80;
        PrivateKey(U192::from_be_slice(&wide))
    }

    /// What the other side is told.
    pub(super) fn public(&self) -> [u8; KEY_LEN] {
        bytes_of(&Element::new(&U768::from_u8(2)).pow_bounded_exp(&self.0, PRIVATE_KEY_BITS))
    }

    /// What both sides know and nobody who only listens; `None` if the other's key is no honest one: below 2, or above the
    /// prime less 2. Such keys force a secret that anybody can guess.
    pub(super) fn shared(&self, theirs: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let theirs = U768::from_be_slice(theirs);
        let prime = Group::PARAMS.modulus();
        if theirs <= U768::ONE || theirs >= prime.wrapping_sub(&U768::ONE) {
            return None;
        }
        Some(bytes_of(&Element::new(&theirs).pow_bounded_exp(&self.0, PRIVATE_KEY_BITS)))
    }
}

fn bytes_of(element: &Element) -> [u8; KEY_LEN] {
    let mut bytes = [0; KEY_LEN];
    bytes.copy_from_slice(element.retrieve().to_be_bytes().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prime() -> U768 {
        *Group::PARAMS.modulus().as_ref()
    }

    fn key(number: U768) -> [u8; KEY_LEN] {
        let mut bytes = [0; KEY_LEN];
        bytes.copy_from_slice(number.to_be_bytes().as_ref());
        bytes
    }

    #[test]
    fn both_sides_come_to_the_same_secret() {
        for n in 0..20 {
            let (a, b) = (PrivateKey::new([n; 20]), PrivateKey::new([200 - n; 20]));
            let secret = a.shared(&b.public()).unwrap();
            assert_eq!(Some(secret), b.shared(&a.public()));
            assert_ne!(secret, PrivateKey::new([n + 1; 20]).shared(&b.public()).unwrap());
        }
    }

    /// By schoolbook square and multiply, one bit after the other.
    #[test]
    fn powers_are_those_of_plain_arithmetic() {
        let exponent = [0x81, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];
        let mut power = U768::ONE;
        for bit in exponent.iter().flat_map(|byte: &u8| (0..8).rev().map(move |bit| byte >> bit & 1)) {
            let modulus = crypto_bigint::NonZero::new(prime()).unwrap();
            power = power.mul_mod(&power, &modulus);
            if bit == 1 {
                power = power.add_mod(&power, &modulus);
            }
        }
        assert_eq!(PrivateKey::new(exponent).public(), key(power));
    }

    #[test]
    fn keys_that_force_the_secret_are_refused() {
        let ours = PrivateKey::new([7; 20]);
        let prime = prime();
        for bad in [
            U768::ZERO,
            U768::ONE,
            prime.wrapping_sub(&U768::ONE),
            prime,
            prime.wrapping_add(&U768::ONE),
            U768::MAX,
        ] {
            assert_eq!(ours.shared(&key(bad)), None, "{bad}");
        }
        for good in [U768::from_u8(2), prime.wrapping_sub(&U768::from_u8(2))] {
            assert!(ours.shared(&key(good)).is_some(), "{good}");
        }
    }

    #[test]
    fn a_key_of_zeros_is_not_trivial() {
        assert_ne!(PrivateKey::new([0; 20]).public(), key(U768::ONE));
    }
}

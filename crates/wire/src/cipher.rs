//! What the bytes of a link go through on their way, one [`Cipher`] for each direction: nothing, or the RC4 of MSE. A later
//! cipher is another variant here. Knows no socket and no message.
//!
//! Invariant: a cipher turns each byte once and in order, so that how the bytes are cut changes nothing.

use crate::mse::Rc4;

/// One direction of a link.
#[derive(Clone, Debug, Default)]
pub enum Cipher {
    /// The bytes as they are.
    #[default]
    Plaintext,
    /// Every byte through RC4.
    Rc4(Box<Rc4>),
    /// As many bytes through RC4, what follows as it is: MSE's initial payload before a plaintext stream.
    Rc4First {
        /// The keystream.
        rc4: Box<Rc4>,
        /// Bytes still to go through it.
        left: u16,
    },
}

impl Cipher {
    /// Turns these bytes, in place: clear ones when sending, theirs when receiving.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        match self {
            Cipher::Plaintext => {}
            Cipher::Rc4(rc4) => rc4.apply(bytes),
            Cipher::Rc4First { rc4, left } => {
                let count = bytes.len().min(usize::from(*left));
                rc4.apply(bytes.get_mut(..count).unwrap_or_default());
                *left -= count as u16;
                if *left == 0 {
                    *self = Cipher::Plaintext;
                }
            }
        }
    }

    /// Whether bytes pass as they are from now on.
    pub fn is_plaintext(&self) -> bool {
        match self {
            Cipher::Plaintext => true,
            Cipher::Rc4(_) | Cipher::Rc4First { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_the_bytes_are_cut_changes_nothing() {
        let ciphers = [
            Cipher::Plaintext,
            Cipher::Rc4(Box::new(Rc4::new(b"key"))),
            Cipher::Rc4First { rc4: Box::new(Rc4::new(b"key")), left: 0 },
            Cipher::Rc4First { rc4: Box::new(Rc4::new(b"key")), left: 68 },
        ];
        for cipher in ciphers {
            let mut whole = [7; 200];
            cipher.clone().apply(&mut whole);
            for step in 1..200 {
                let (mut cut, mut cipher) = ([7; 200], cipher.clone());
                cut.chunks_mut(step).for_each(|part| cipher.apply(part));
                assert_eq!(cut, whole, "in steps of {step}");
            }
        }
    }

    #[test]
    fn after_its_part_the_rest_is_plain() {
        let mut cipher = Cipher::Rc4First { rc4: Box::new(Rc4::new(b"key")), left: 3 };
        let (mut bytes, mut expected) = ([9; 5], [9; 3]);
        assert!(!cipher.is_plaintext());
        cipher.apply(&mut bytes);
        Rc4::new(b"key").apply(&mut expected);
        assert!(cipher.is_plaintext());
        assert_eq!((&bytes[..3], &bytes[3..]), (&expected[..], &[9, 9][..]));
    }
}

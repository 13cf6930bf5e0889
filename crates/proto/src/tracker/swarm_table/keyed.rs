//! A keyed hash (SipHash-1-3 by Aumasson and Bernstein) of what strangers choose: info-hashes, and the addresses of peers. Whoever
//! does not know the key cannot name swarms or peers that fall into one bucket.
//!
//! Written for words: a caller always hashes the same number of them, or tells the kinds apart by one of them.

use crate::Rng;

/// The key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    k0: u64,
    k1: u64,
}

impl Key {
    pub(super) fn new(rng: &mut Rng) -> Key {
        Key { k0: rng.next_u64(), k1: rng.next_u64() }
    }

    /// 64 bits that only the owner of the key can foresee.
    #[inline]
    pub(super) fn hash<const N: usize>(self, words: [u64; N]) -> u64 {
        let mut v = [
            self.k0 ^ 0x736f_6d65_7073_6575,
            self.k1 ^ 0x646f_7261_6e64_6f6d,
            self.k0 ^ 0x6c79_6765_6e65_7261,
            self.k1 ^ 0x7465_6462_7974_6573,
        ];
        // The last word is the length in SipHash proper; here it closes the message.
        for word in words.into_iter().chain([(N as u64) << 59]) {
            v[3] ^= word;
            round(&mut v);
            v[0] ^= word;
        }
        v[2] ^= 0xff;
        (0..3).for_each(|_| round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[1]);
    v[0] = v[0].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_siphash_1_3_of_whole_words() {
        // As the hasher of Rust's standard library, which is SipHash-1-3 with the key 0, gives it.
        let key = Key { k0: 0, k1: 0 };
        assert_eq!(key.hash([0]), 0xbd60_acb6_58c7_9e45);
        assert_eq!(key.hash([0x0706_0504_0302_0100]), 0xead4_11e6_7ebe_2eea);
        assert_eq!(key.hash([1, 2, 3]), 0x8acb_6513_5d8f_2da1);
        assert_ne!(Key { k0: 1, k1: 0 }.hash([0]), Key { k0: 0, k1: 1 }.hash([0]));
    }
}

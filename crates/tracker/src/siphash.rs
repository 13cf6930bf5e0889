//! SipHash-2-4 (Aumasson, Bernstein), of words and of bytes. It stays the same over versions of this program, which the standard library's
//! hashers need not.

/// Of whole words.
pub(crate) fn of_words<const N: usize>(key: [u64; 2], words: [u64; N]) -> u64 {
    hash(key, words.into_iter(), (N as u64) << 59)
}

/// Of bytes.
pub(crate) fn of_bytes(key: [u64; 2], bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let last = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    hash(key, words.iter().map(|word| u64::from_le_bytes(*word)), (bytes.len() as u64) << 56 | last)
}

/// Of words, and a last one that has the length in bytes in its highest byte.
fn hash([k0, k1]: [u64; 2], words: impl Iterator<Item = u64>, last: u64) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut take = |word: u64| {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    };
    words.for_each(&mut take);
    take(last);
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn it_is_siphash_as_others_compute_it() {
        for (key, words) in [([0, 0], [0; 3]), ([1, u64::MAX], [7, 8, 9]), ([u64::MAX / 3, 5], [u64::MAX; 3])]
        {
            let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            for len in 0..=bytes.len() {
                #[allow(deprecated)]
                let mut theirs = std::hash::SipHasher::new_with_keys(key[0], key[1]);
                theirs.write(&bytes[..len]);
                assert_eq!(of_bytes(key, &bytes[..len]), theirs.finish(), "{len}");
            }
            assert_eq!(of_words(key, words), of_bytes(key, &bytes));
        }
    }
}

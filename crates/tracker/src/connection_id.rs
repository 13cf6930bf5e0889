//! Connection ids (BEP 15): a keyed hash of the asker's address and the minute. Nothing is remembered per asker; whoever shows an id that
//! is valid has received it at that address.
//!
//! Invariants: an id is valid for at least two minutes and never longer than three, and none of the future is. Without the key an id is
//! guessed with a chance of 2^-62. Threat E5.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// Minutes of which ids are valid, this one counted.
const MINUTES_VALID: u64 = 3;

/// The lowest bits of an id say in which minute it was made, so that one hash decides.
const MINUTE_BITS: u64 = 0b11;

/// The secret behind the ids.
#[derive(Clone, Copy)]
pub(crate) struct ConnectionIds {
    key: [u64; 2],
}

impl ConnectionIds {
    /// With a key of the system's chance.
    pub(crate) fn new() -> ConnectionIds {
        // Each `RandomState` has a 128-bit key of the system's, of which these are two keyed hashes: nothing can be told from them.
        let chance = RandomState::new();
        ConnectionIds { key: [chance.hash_one("one half"), chance.hash_one("the other half")] }
    }

    /// The id for this address in this minute.
    pub(crate) fn make(&self, ip: IpAddr, minute: u64) -> u64 {
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let ip = u128::from(ip);
        let hash = siphash(self.key, [(ip >> 64) as u64, ip as u64, minute]);
        hash & !MINUTE_BITS | minute & MINUTE_BITS
    }

    /// Whether it is an id for this address that is still valid.
    pub(crate) fn is_valid(&self, id: u64, ip: IpAddr, minute: u64) -> bool {
        let age = minute.wrapping_sub(id) & MINUTE_BITS;
        let made = minute.checked_sub(age);
        // Two words are compared by one instruction: it takes as long however many bits are right.
        age < MINUTES_VALID && made.is_some_and(|made| self.make(ip, made) == id)
    }
}

/// SipHash-2-4 (Aumasson, Bernstein) of three words.
fn siphash(key: [u64; 2], words: [u64; 3]) -> u64 {
    let [k0, k1] = key;
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // The last word has the length in bytes in its highest byte.
    for word in words.into_iter().chain([24 << 56]) {
        v[3] ^= word;
        round(&mut v);
        round(&mut v);
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

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

    const HERE: &str = "192.0.2.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_is_valid_for_two_minutes_at_least_and_three_at_most() {
        let ids = ConnectionIds::new();
        for made in [0, 1, 2, 3, 1_000_003] {
            let id = ids.make(ip(HERE), made);
            for now in made.saturating_sub(9)..made + 9 {
                assert_eq!(ids.is_valid(id, ip(HERE), now), (made..made + 3).contains(&now), "{made} {now}");
            }
        }
    }

    #[test]
    fn an_id_is_valid_at_its_address_and_under_its_key_alone() {
        let ids = ConnectionIds::new();
        for home in [HERE, "2001:db8::7"] {
            let id = ids.make(ip(home), 5);
            assert!(ids.is_valid(id, ip(home), 5));
            for elsewhere in ["192.0.2.8", "2001:db8::8", "::192.0.2.7", "0.0.0.0"] {
                assert!(!ids.is_valid(id, ip(elsewhere), 5), "{elsewhere}");
            }
            assert!(!ConnectionIds::new().is_valid(id, ip(home), 5));
        }
    }

    #[test]
    fn no_id_is_guessed_by_changing_one() {
        let ids = ConnectionIds::new();
        let id = ids.make(ip(HERE), 5);
        for bit in 0..64 {
            assert!(!ids.is_valid(id ^ 1 << bit, ip(HERE), 5), "{bit}");
        }
        let forged = (0..1u64 << 16).map(|guess| guess.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert_eq!(forged.filter(|&guess| guess != id && ids.is_valid(guess, ip(HERE), 5)).count(), 0);
    }

    #[test]
    fn the_hash_is_siphash_as_others_compute_it() {
        for (key, words) in [([0, 0], [0; 3]), ([1, u64::MAX], [7, 8, 9]), ([u64::MAX / 3, 5], [u64::MAX; 3])]
        {
            #[allow(deprecated)]
            let mut theirs = std::hash::SipHasher::new_with_keys(key[0], key[1]);
            words.iter().for_each(|&word: &u64| theirs.write(&word.to_le_bytes()));
            assert_eq!(siphash(key, words), theirs.finish());
        }
    }
}

//! Connection ids (BEP 15): a keyed hash of the asker's address and the minute. Nothing is remembered per asker; whoever shows an id that
//! is valid has received it at that address.
//!
//! Invariants: an id is valid for at least as many minutes as is set, never for more than one longer, and none of the future is. Without
//! the key an id is guessed with a chance of 2^-60. Threat E5.

use crate::siphash;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// The lowest bits of an id say in which minute it was made, so that one hash decides.
const MINUTE_BITS: u64 = 0b1111;

/// Minutes for which ids may be valid. By BEP 15 it is two; some clients use one for five; and 4 bits tell sixteen minutes apart.
pub(crate) const MINUTES: RangeInclusive<u8> = 2..=14;

/// The secret behind the ids.
#[derive(Clone, Copy)]
pub(crate) struct ConnectionIds {
    key: [u64; 2],
    /// Minutes for which one is valid at least.
    minutes: u64,
}

impl ConnectionIds {
    /// With a key of the system's chance; valid for so many of [`MINUTES`].
    pub(crate) fn new(minutes: u8) -> ConnectionIds {
        // Each `RandomState` has a 128-bit key of the system's, of which these are two keyed hashes: nothing can be told from them.
        let chance = RandomState::new();
        ConnectionIds::with([chance.hash_one("one half"), chance.hash_one("the other half")], minutes)
    }

    /// With this key, which was given to others before.
    pub(crate) fn with(key: [u64; 2], minutes: u8) -> ConnectionIds {
        ConnectionIds { key, minutes: minutes.clamp(*MINUTES.start(), *MINUTES.end()).into() }
    }

    /// The key: whoever has it can make ids.
    pub(crate) fn key(&self) -> [u64; 2] {
        self.key
    }

    /// The id for this address in this minute.
    pub(crate) fn make(&self, ip: IpAddr, minute: u64) -> u64 {
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let ip = u128::from(ip);
        let hash = siphash::of_words(self.key, [(ip >> 64) as u64, ip as u64, minute]);
        hash & !MINUTE_BITS | minute & MINUTE_BITS
    }

    /// Whether it is an id for this address that is still valid.
    pub(crate) fn is_valid(&self, id: u64, ip: IpAddr, minute: u64) -> bool {
        let age = minute.wrapping_sub(id) & MINUTE_BITS;
        let made = minute.checked_sub(age);
        // Two words are compared by one instruction: it takes as long however many bits are right.
        age <= self.minutes && made.is_some_and(|made| self.make(ip, made) == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "192.0.2.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_is_valid_for_as_long_as_is_set_and_at_most_a_minute_longer() {
        // (what is set, what holds)
        for (set, minutes) in [(2, 2), (5, 5), (14, 14), (0, 2), (255, 14)] {
            let ids = ConnectionIds::new(set);
            for made in [0, 1, 2, 3, 15, 16, 1_000_003] {
                let id = ids.make(ip(HERE), made);
                for now in made.saturating_sub(40)..made + 40 {
                    let valid = (made..=made + minutes).contains(&now);
                    assert_eq!(ids.is_valid(id, ip(HERE), now), valid, "{set}: {made} {now}");
                }
            }
        }
    }

    #[test]
    fn an_id_is_valid_at_its_address_and_under_its_key_alone() {
        let ids = ConnectionIds::new(2);
        for home in [HERE, "2001:db8::7"] {
            let id = ids.make(ip(home), 5);
            assert!(ids.is_valid(id, ip(home), 5));
            for elsewhere in ["192.0.2.8", "2001:db8::8", "::192.0.2.7", "0.0.0.0"] {
                assert!(!ids.is_valid(id, ip(elsewhere), 5), "{elsewhere}");
            }
            assert!(!ConnectionIds::new(2).is_valid(id, ip(home), 5));
        }
    }

    #[test]
    fn no_id_is_guessed_by_changing_one() {
        let ids = ConnectionIds::new(2);
        let id = ids.make(ip(HERE), 5);
        for bit in 0..64 {
            assert!(!ids.is_valid(id ^ 1 << bit, ip(HERE), 5), "{bit}");
        }
        let forged = (0..1u64 << 16).map(|guess| guess.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        assert_eq!(forged.filter(|&guess| guess != id && ids.is_valid(guess, ip(HERE), 5)).count(), 0);
    }
}

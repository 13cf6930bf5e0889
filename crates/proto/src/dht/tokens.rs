//! Write tokens: a proof that whoever announces was told so at the address that it announces from, a short while ago.
//!
//! Nothing is remembered per asker: a token is a keyed digest of who asked and for what. Invariant: a token is good for one address and
//! port, one id and one target, for five to ten minutes. BEP: 5. Threats: D4

use crate::{Duration, Instant};
use core::net::{IpAddr, SocketAddr};
use sha1::{Digest, Sha1};
use wire::krpc::Token;
use wire::node_id::NodeId;

/// How long tokens of one making are given out; they are taken for as long again (BEP 5).
const EPOCH: Duration = Duration::from_secs(300);

/// Makes tokens and knows them again.
#[derive(Clone)]
pub(super) struct Tokens {
    key: [u8; 16],
}

impl core::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Under this key, which nobody else knows.
    pub(super) fn new(key: [u8; 16]) -> Tokens {
        Tokens { key }
    }

    /// The token for who asked for a target.
    pub(super) fn give(&self, now: Instant, to: SocketAddr, id: &NodeId, target: &NodeId) -> Token {
        self.token(epoch(now), to, id, target)
    }

    /// Whether we gave this token, lately, to whom it comes from and for this target.
    pub(super) fn take(
        &self,
        now: Instant,
        token: &Token,
        from: SocketAddr,
        id: &NodeId,
        target: &NodeId,
    ) -> bool {
        let epoch = epoch(now);
        let is = |epoch| same(self.token(epoch, from, id, target).as_bytes(), token.as_bytes());
        is(epoch) | epoch.checked_sub(1).is_some_and(is)
    }

    fn token(&self, epoch: u64, of: SocketAddr, id: &NodeId, target: &NodeId) -> Token {
        // HMAC-SHA1 (RFC 2104): inner and outer digest under the key, padded to a block.
        let pad = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(self.key).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let mut inner = Sha1::new_with_prefix(pad(0x36));
        inner.update(epoch.to_be_bytes());
        match of.ip() {
            IpAddr::V4(ip) => inner.update(ip.octets()),
            IpAddr::V6(ip) => inner.update(ip.octets()),
        }
        inner.update(of.port().to_be_bytes());
        inner.update(id.0);
        inner.update(target.0);
        let outer = Sha1::new_with_prefix(pad(0x5c)).chain_update(inner.finalize()).finalize();
        // Nobody guesses 64 bits, and each byte more is taken from what an answer may name (see `responder`).
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 20]>::from(outer);
        Token::from_array([a, b, c, d, e, f, g, h])
    }
}

fn epoch(now: Instant) -> u64 {
    now.as_micros() / EPOCH.as_micros() as u64
}

/// Compares all bytes whatever they are, so that the time it takes tells nothing.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_whom_and_what_it_was_given_for_and_for_a_while() {
        let tokens = Tokens::new([7; 16]);
        let (at, seconds) =
            (|text: &str| text.parse::<SocketAddr>().unwrap(), |s: u64| Instant::from_micros(s * 1_000_000));
        let (id, other) = (NodeId([1; 20]), NodeId([2; 20]));
        let home = at("9.8.7.6:5");
        let token = tokens.give(seconds(1000), home, &id, &other);
        let cases = [
            (1000, home, id, other, true),
            (1199, home, id, other, true),
            (1200, home, id, other, true),
            (1499, home, id, other, true),
            (1500, home, id, other, false),
            (899, home, id, other, false),
            (1000, at("9.8.7.6:6"), id, other, false),
            (1000, at("9.8.7.7:5"), id, other, false),
            (1000, at("[2001:db8::1]:5"), id, other, false),
            (1000, home, other, other, false),
            (1000, home, id, id, false),
        ];
        for (when, from, by, target, good) in cases {
            assert_eq!(tokens.take(seconds(when), &token, from, &by, &target), good, "{when} s, {from}");
        }
        assert!(!Tokens::new([8; 16]).take(seconds(1000), &token, home, &id, &other), "another's key");
        for len in [0, 7] {
            let cut = Token::from(&token.as_bytes()[..len]).unwrap();
            assert!(!tokens.take(seconds(1000), &cut, home, &id, &other), "{len} bytes of it");
        }
    }
}

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

/// A digest that nobody makes who has not the key: HMAC-SHA1 (RFC 2104).
#[derive(Clone)]
pub(super) struct Mac {
    /// The digests after the padded key, inner and outer.
    begun: [Sha1; 2],
}

impl core::fmt::Debug for Mac {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Mac")
    }
}

impl Mac {
    /// Under this key, which nobody else knows.
    pub(super) fn new(key: [u8; 16]) -> Mac {
        let pad = |with: u8| {
            let mut block = [with; 64];
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            Sha1::new_with_prefix(block)
        };
        Mac { begun: [pad(0x36), pad(0x5c)] }
    }

    /// The digest of these parts, one after another. Whoever digests two kinds of things sees to it that they differ.
    pub(super) fn digest(&self, parts: &[&[u8]]) -> [u8; 20] {
        let [inner, outer] = &self.begun;
        let inner = parts.iter().fold(inner.clone(), |inner, part| inner.chain_update(part));
        outer.clone().chain_update(inner.finalize()).finalize().into()
    }
}

/// Makes tokens and knows them again.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    mac: Mac,
}

impl Tokens {
    /// Under this key, which nobody else knows.
    pub(super) fn new(mac: Mac) -> Tokens {
        Tokens { mac }
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
        let mut ip = [0; 16];
        let ip: &[u8] = match of.ip() {
            IpAddr::V4(v4) => {
                ip[..4].copy_from_slice(&v4.octets());
                &ip[..4]
            }
            IpAddr::V6(v6) => {
                ip = v6.octets();
                &ip
            }
        };
        let digest = self.mac.digest(&[
            b"token",
            &epoch.to_be_bytes(),
            ip,
            &of.port().to_be_bytes(),
            &id.0,
            &target.0,
        ]);
        // Nobody guesses 64 bits, and each byte more is taken from what an answer may name (see `responder`).
        let [a, b, c, d, e, f, g, h, ..] = digest;
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
    fn the_digest_is_the_standards() {
        // By Python's hmac.
        let hex = |bytes: [u8; 20]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(
            hex(Mac::new([0x0b; 16]).digest(&[b"Hi", b" There"])),
            "675b0b3a1b4ddf4e124872da6c2f632bfed957e9"
        );
    }

    #[test]
    fn a_token_is_good_for_whom_and_what_it_was_given_for_and_for_a_while() {
        let tokens = Tokens::new(Mac::new([7; 16]));
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
        assert!(
            !Tokens::new(Mac::new([8; 16])).take(seconds(1000), &token, home, &id, &other),
            "another's key"
        );
        for len in [0, 7] {
            let cut = Token::from(&token.as_bytes()[..len]).unwrap();
            assert!(!tokens.take(seconds(1000), &cut, home, &id, &other), "{len} bytes of it");
        }
    }
}

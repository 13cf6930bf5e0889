//! All pairs of words, tried on exchanges that were recorded.
//!
//! Of an exchange two points and a proof are heard: `X = xB + wM`, `Y = yB + wN`, and what follows from `xyB`. For every `w` there are an
//! `x` and a `y` that give these points, so a pair of words is tried by what can be computed without `x` and `y`:
//!
//! * whether `X - wM` and `Y - wN` are what an honest side may have chosen: points of the group of prime order other than zero. The
//!   order is a question of `X`, `Y`, `M` and `N` alone, for the group is closed; so it is looked at once, and zero for each pair.
//! * whether the proof follows from a secret point that is known without either exponent: zero, `X - wM`, `Y - wN`, their sum. It
//!   would if one side's chance were 0 or 1.
//!
//! Nobody knows a better trial that does not solve the Diffie-Hellman problem. Who is given `x` needs none: `x(Y - wN)` is the secret.

use anyhow::{Context, Result, ensure};
use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity};
use ring::{digest, hkdf, hmac};
use std::num::NonZero;
use std::thread;
use wire::code::{Code, words};
use wire::pairing::{GREETING, PAIRING_CHANCE_LEN};

/// The constants of SPAKE2 over Edwards25519, as the crate `spake2` and Python's implementation have them.
const M: [u8; 32] = [
    0x15, 0xcf, 0xd1, 0x8e, 0x38, 0x59, 0x52, 0x98, 0x2b, 0x6a, 0x8f, 0x8c, 0x78, 0x54, 0x96, 0x3b, 0x58,
    0xe3, 0x43, 0x88, 0xc8, 0xe6, 0xda, 0xe8, 0x91, 0xdb, 0x75, 0x64, 0x81, 0xa0, 0x23, 0x12,
];
const N: [u8; 32] = [
    0xf0, 0x4f, 0x2e, 0x7e, 0xb7, 0x34, 0xb2, 0xa8, 0xf8, 0xb4, 0x72, 0xea, 0xf9, 0xc3, 0xc6, 0x32, 0x57,
    0x6a, 0xc6, 0x4a, 0xea, 0x65, 0x0b, 0x49, 0x6a, 0x8a, 0x20, 0xff, 0x00, 0xe5, 0x83, 0xc3,
];

/// What is heard of an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Exchange {
    pub(crate) receivers: [u8; 32],
    pub(crate) sharers: [u8; 32],
    pub(crate) proof: [u8; 32],
}

/// Pairs of words under a number.
pub(crate) struct Dictionary {
    nameplate: u16,
    words: Vec<&'static str>,
    /// Pairs that are tried: every so many, among them the true one.
    tried: Vec<usize>,
    truth: usize,
}

/// What a trial of all pairs came to.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Tried {
    /// Pairs that can be what was said.
    pub(crate) left: usize,
    /// Pairs with which the proof follows from what is known.
    pub(crate) fit: Vec<usize>,
}

impl Dictionary {
    /// All pairs, or so many of them.
    pub(crate) fn among(code: &Code, count: usize) -> Dictionary {
        let words: Vec<&'static str> = words().collect();
        let text = code.to_string();
        let mut parts =
            text.split('-').skip(1).map(|part| words.iter().position(|word| *word == part).unwrap_or(0));
        let truth = parts.next().unwrap_or(0) * words.len() + parts.next().unwrap_or(0);
        let all = words.len() * words.len();
        let step = (all / count.clamp(1, all)).max(1);
        let tried = (truth % step..all).step_by(step).collect();
        Dictionary { nameplate: code.nameplate(), words, tried, truth }
    }

    pub(crate) fn len(&self) -> usize {
        self.tried.len()
    }

    pub(crate) fn is_true(&self, pair: usize) -> bool {
        pair == self.truth
    }

    fn password(&self, pair: usize) -> String {
        format!("{}-{}", self.words[pair / self.words.len()], self.words[pair % self.words.len()])
    }

    /// What somebody careless would have sent: hashes of the words and of the code, and what SPAKE2 makes of them.
    pub(crate) fn everything_that_follows(&self, mut take: impl FnMut(&[u8])) {
        let (m, n) = (Comb::of(&point(&M)), Comb::of(&point(&N)));
        let digests = self.each(|pair| {
            let password = self.password(pair);
            let code = format!("{}-{password}", self.nameplate);
            let scalar = scalar_of(&password);
            let mut all: Vec<[u8; 8]> = Vec::new();
            let mut add = |bytes: &[u8]| all.extend(bytes.first_chunk::<8>());
            for text in [&password, &code] {
                add(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
                add(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref());
                add(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes()), &GREETING).as_ref());
            }
            add(scalar.as_bytes());
            add(m.times(&scalar).compress().as_bytes());
            add(n.times(&scalar).compress().as_bytes());
            all
        });
        digests.iter().flatten().for_each(|word| take(word));
    }

    /// Tries all pairs on each of these by what was heard alone.
    pub(crate) fn listen(&self, exchanges: &[Exchange]) -> Result<Tried> {
        let heard = exchanges.iter().map(Heard::of).collect::<Result<Vec<_>>>()?;
        let (m, n) = (Comb::of(&point(&M)), Comb::of(&point(&N)));
        let verdicts = self.each(|pair| {
            let password = self.password(pair);
            let scalar = scalar_of(&password);
            let (m, n) = (m.times(&scalar), n.times(&scalar));
            let trial = |heard: &Heard<'_>| {
                let (x, y) = (heard.x - m, heard.y - n);
                let transcript = self.transcript(&password, heard.exchange);
                let fits =
                    [EdwardsPoint::identity(), x, y, x + y].iter().any(|secret| transcript.proves(secret));
                (!x.is_identity() && !y.is_identity(), fits)
            };
            let trials: Vec<(bool, bool)> = heard.iter().map(trial).collect();
            let fits = trials.iter().any(|(_, fits)| *fits).then_some(pair);
            vec![(trials.iter().all(|(possible, _)| *possible), fits)]
        });
        Ok(Tried {
            left: verdicts.iter().flatten().filter(|(possible, _)| *possible).count(),
            fit: verdicts.iter().flatten().filter_map(|(_, fits)| *fits).collect(),
        })
    }

    /// Tries all pairs on each of these with a receiver's chance.
    pub(crate) fn listen_knowing(
        &self,
        exchanges: &[Exchange],
        chance: &[u8; PAIRING_CHANCE_LEN],
    ) -> Result<Vec<usize>> {
        let secret = Scalar::from_bytes_mod_order_wide(chance);
        let known = |exchange| Heard::of(exchange).map(|heard| (exchange, heard.y * secret));
        let known = exchanges.iter().map(known).collect::<Result<Vec<_>>>()?;
        let blind = Comb::of(&(point(&N) * secret));
        let fits = self.each(|pair| {
            let password = self.password(pair);
            let blind = blind.times(&scalar_of(&password));
            let mut trials =
                known.iter().map(|(exchange, known)| (self.transcript(&password, exchange), known - blind));
            let fits = trials.any(|(transcript, secret)| transcript.proves(&secret));
            fits.then_some(pair).into_iter().collect()
        });
        Ok(fits.into_iter().flatten().collect())
    }

    fn transcript<'a>(&self, password: &str, exchange: &'a Exchange) -> Transcript<'a> {
        let hash = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
        let mut transcript = Vec::with_capacity(192);
        transcript.extend_from_slice(hash(password).as_ref());
        for side in ["receiver", "sharer"] {
            transcript.extend_from_slice(hash(&format!("gannet {side} of {}", self.nameplate)).as_ref());
        }
        transcript.extend_from_slice(&exchange.receivers);
        transcript.extend_from_slice(&exchange.sharers);
        Transcript(transcript, exchange)
    }

    /// Something for each pair that is tried, by all processors.
    fn each<T: Send>(&self, work: impl Fn(usize) -> Vec<T> + Sync) -> Vec<Vec<T>> {
        let lanes = thread::available_parallelism().map_or(1, NonZero::get);
        let chunk = self.tried.len().div_ceil(lanes).max(1);
        let work = &work;
        thread::scope(|scope| {
            let start = |pairs| {
                scope.spawn(move || Vec::from_iter(<[usize]>::iter(pairs).flat_map(|pair| work(*pair))))
            };
            let lanes: Vec<_> = self.tried.chunks(chunk).map(start).collect();
            lanes
                .into_iter()
                .map(|lane| lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }
}

/// Both points of an exchange, which say nothing by their order.
struct Heard<'a> {
    exchange: &'a Exchange,
    x: EdwardsPoint,
    y: EdwardsPoint,
}

impl Heard<'_> {
    fn of(exchange: &Exchange) -> Result<Heard<'_>> {
        let [x, y] =
            [exchange.receivers, exchange.sharers].map(|bytes| CompressedEdwardsY(bytes).decompress());
        let (x, y) = (x.context("no point")?, y.context("no point")?);
        let of_prime_order = [x, y, point(&M), point(&N)].iter().all(EdwardsPoint::is_torsion_free);
        ensure!(of_prime_order, "the points say something about the words by their order");
        Ok(Heard { exchange, x, y })
    }
}

/// What both sides hash, but for the secret.
struct Transcript<'a>(Vec<u8>, &'a Exchange);

impl Transcript<'_> {
    /// Whether the recorded proof follows from this secret.
    fn proves(&self, secret: &EdwardsPoint) -> bool {
        let whole = [&self.0[..], secret.compress().as_bytes()].concat();
        let shared = digest::digest(&digest::SHA256, &whole);
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"gannet code 1").extract(shared.as_ref());
        let mut proof = [0; 32];
        let filled =
            key.expand(&[b"receiver's proof"], hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut proof));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &proof);
        filled.is_ok() && hmac::verify(&key, &GREETING, &self.1.proof).is_ok()
    }
}

/// What SPAKE2 multiplies with: 48 bytes of HKDF, the last first.
fn scalar_of(password: &str) -> Scalar {
    struct Len;
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            48
        }
    }
    let mut okm = [0; 48];
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(password.as_bytes());
    // 48 bytes are never too many.
    let _ = key.expand(&[b"SPAKE2 pw"], Len).and_then(|filled| filled.fill(&mut okm));
    let mut wide = [0; 64];
    wide.iter_mut().zip(okm.iter().rev()).for_each(|(place, byte)| *place = *byte);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn point(bytes: &[u8; 32]) -> EdwardsPoint {
    // Constants, which are points.
    CompressedEdwardsY(*bytes).decompress().unwrap_or(ED25519_BASEPOINT_POINT)
}

/// Multiples of a point, so that four million products of it cost 32 additions each.
struct Comb(Vec<EdwardsPoint>);

impl Comb {
    fn of(point: &EdwardsPoint) -> Comb {
        let mut table = Vec::with_capacity(32 * 256);
        let mut base = *point;
        for _ in 0..32 {
            let mut multiple = EdwardsPoint::identity();
            for _ in 0..256 {
                table.push(multiple);
                multiple += base;
            }
            base = multiple;
        }
        Comb(table)
    }

    fn times(&self, scalar: &Scalar) -> EdwardsPoint {
        let digits = scalar.as_bytes().iter().enumerate();
        digits.map(|(place, digit)| self.0[place * 256 + usize::from(*digit)]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::pairing::{HELLO_LEN, Hello, Receiver};

    const CHANCE: [u8; PAIRING_CHANCE_LEN] = [7; PAIRING_CHANCE_LEN];

    /// An exchange as it is heard.
    fn heard(code: &Code, receivers: [u8; PAIRING_CHANCE_LEN]) -> Exchange {
        let (mut forth, mut back) = (Vec::new(), Vec::new());
        let mut receiver = Receiver::new(code, receivers, &mut forth);
        Hello::read(&forth).unwrap().unwrap().answer(code, [9; PAIRING_CHANCE_LEN], &mut back).unwrap();
        receiver.read(&back, &mut forth).unwrap();
        Exchange {
            receivers: forth[9..41].try_into().unwrap(),
            sharers: back[2..34].try_into().unwrap(),
            proof: forth[HELLO_LEN..].try_into().unwrap(),
        }
    }

    #[test]
    fn a_recording_alone_leaves_all_pairs_and_with_one_sides_chance_the_true_one() {
        let code: Code = "42-apple-river".parse().unwrap();
        let exchange = [heard(&code, CHANCE)];
        let dictionary = Dictionary::among(&code, 64);
        assert_eq!(dictionary.len(), 64);
        assert_eq!(dictionary.listen(&exchange).unwrap(), Tried { left: 64, fit: vec![] });
        let found = dictionary.listen_knowing(&exchange, &CHANCE).unwrap();
        assert_eq!(found.iter().map(|pair| dictionary.password(*pair)).collect::<Vec<_>>(), ["apple-river"]);
        assert!(dictionary.is_true(found[0]));
        assert!(dictionary.listen_knowing(&exchange, &[8; PAIRING_CHANCE_LEN]).unwrap().is_empty());
    }

    /// The trial by ear can succeed: where a receiver has no chance at all.
    #[test]
    fn a_receiver_without_chance_is_found_out_by_who_only_listens() {
        let code: Code = "42-apple-river".parse().unwrap();
        let mut one = [0; PAIRING_CHANCE_LEN];
        one[0] = 1;
        let dictionary = Dictionary::among(&code, 64);
        for chance in [[0; PAIRING_CHANCE_LEN], one] {
            let tried = dictionary.listen(&[heard(&code, chance)]).unwrap();
            assert_eq!(tried.fit.len(), 1);
            assert!(dictionary.is_true(tried.fit[0]));
        }
    }

    #[test]
    fn all_pairs_are_tried_if_nothing_else_is_said() {
        let dictionary = Dictionary::among(&"1-zoo-zoo".parse().unwrap(), usize::MAX);
        assert_eq!(dictionary.len(), 2048 * 2048);
        assert_eq!(dictionary.password(dictionary.truth), "zoo-zoo");
    }
}

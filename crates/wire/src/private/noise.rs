//! The Noise pattern NNpsk0 over X25519, AES-256-GCM and SHA-256: two messages, of which even the first is sealed under the
//! shared key. Follows the specification's sections 5 and 9 step by step; its published vectors are the tests.
//!
//! ```text
//! -> psk, e
//! <- e, ee
//! ```

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use x25519_dalek::{PublicKey, StaticSecret};

const NAME: &[u8; 32] = b"Noise_NNpsk0_25519_AESGCM_SHA256";
const KEY_LEN: usize = 32;
/// What AES-GCM adds to what it seals.
pub(super) const TAG_LEN: usize = 16;
/// A message without a payload: an ephemeral key and a tag.
pub(super) const MESSAGE_LEN: usize = KEY_LEN + TAG_LEN;

/// A key and how often it was used (`CipherState`).
pub(super) struct CipherState {
    /// `None` never comes to pass: 32 bytes are a key. Without one nothing is sealed and nothing opens.
    key: Option<LessSafeKey>,
    used: u64,
}

/// Uses after which a key is replaced by the next (`REKEY`): half a million records, 8 GiB of blocks. AES-GCM's margin shrinks
/// with the bytes under one key, and who takes a key from memory shall not read what passed long before.
pub(super) const USES_MAX: u64 = 1 << 20;

impl CipherState {
    pub(super) fn new(bytes: [u8; KEY_LEN]) -> CipherState {
        CipherState { key: UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new), used: 0 }
    }

    /// One without a key, of which there is none outside of tests.
    #[cfg(test)]
    pub(super) fn keyless() -> CipherState {
        CipherState { key: None, used: 0 }
    }

    /// Seals in place, and returns the tag. Without one, nothing was sealed and the bytes are as they were.
    pub(super) fn seal(&mut self, ad: &[u8], bytes: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        self.renew();
        let nonce = self.next_nonce();
        let tag = self.key.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(ad), bytes).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Opens in place what ends in its tag; `None` if it was not sealed like this.
    pub(super) fn open(&mut self, ad: &[u8], sealed: &mut [u8]) -> Option<()> {
        self.renew();
        let nonce = self.next_nonce();
        self.key.as_ref()?.open_in_place(nonce, Aad::from(ad), sealed).ok().map(drop)
    }

    fn next_nonce(&mut self) -> Nonce {
        let nonce = nonce(self.used);
        self.used += 1;
        nonce
    }

    fn renew(&mut self) {
        if self.used < USES_MAX {
            return;
        }
        let mut next = [0; KEY_LEN];
        if let Some(key) = &self.key {
            // The tag is left off, as the specification says.
            let _ = key.seal_in_place_separate_tag(nonce(u64::MAX), Aad::empty(), &mut next);
        }
        *self = CipherState::new(next);
    }
}

/// Section 12.4: four zeros, then the count.
fn nonce(count: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes.iter_mut().skip(4).zip(count.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
    Nonce::assume_unique_for_key(bytes)
}

impl core::fmt::Debug for CipherState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "CipherState(.., used {})", self.used)
    }
}

/// One side of a handshake (`HandshakeState` and the `SymmetricState` in it).
pub(super) struct Handshake {
    /// Our ephemeral key, once we have said its public half. The crate wipes it.
    ours: Option<StaticSecret>,
    /// Theirs, once it came.
    theirs: Option<PublicKey>,
    chaining: [u8; 32],
    hash: [u8; 32],
    cipher: CipherState,
}

impl core::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Handshake(..)")
    }
}

impl Handshake {
    /// Both sides begin alike: with the names, then the token `psk`.
    pub(super) fn new(prologue: &[u8], psk: &[u8; KEY_LEN]) -> Handshake {
        let mut begun = Handshake {
            ours: None,
            theirs: None,
            chaining: *NAME,
            hash: *NAME,
            cipher: CipherState::new([0; KEY_LEN]),
        };
        begun.mix_hash(prologue);
        let [chaining, hash, key] = hkdf(&begun.chaining, psk);
        begun.chaining = chaining;
        begun.mix_hash(&hash);
        begun.cipher = CipherState::new(key);
        begun
    }

    /// `-> psk, e`; nothing if it cannot be sealed.
    pub(super) fn write_first(
        &mut self,
        ephemeral: [u8; KEY_LEN],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        whole_or_nothing(out, |out| {
            self.write_e(ephemeral, out);
            self.write_payload(payload, out)
        })
    }

    /// The other side of [`Handshake::write_first`]: the payload. Costs a few hashes, and no key agreement.
    pub(super) fn read_first(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let payload = self.read_e(message)?;
        self.read_payload(payload)
    }

    /// `<- e, ee`; nothing if their key is a bad one.
    pub(super) fn write_second(
        &mut self,
        ephemeral: [u8; KEY_LEN],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        whole_or_nothing(out, |out| {
            self.write_e(ephemeral, out);
            self.mix_ee()?;
            self.write_payload(payload, out)
        })
    }

    /// The other side of [`Handshake::write_second`]: the payload.
    pub(super) fn read_second(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let payload = self.read_e(message)?;
        self.mix_ee()?;
        self.read_payload(payload)
    }

    /// The keys from initiator to responder, and back.
    pub(super) fn split(&self) -> (CipherState, CipherState) {
        let [forth, back, _] = hkdf(&self.chaining, &[]);
        (CipherState::new(forth), CipherState::new(back))
    }

    fn write_e(&mut self, ephemeral: [u8; KEY_LEN], out: &mut Vec<u8>) {
        let ours = StaticSecret::from(ephemeral);
        let public = PublicKey::from(&ours).to_bytes();
        self.ours = Some(ours);
        out.extend_from_slice(&public);
        self.mix_e(&public);
    }

    /// Returns what follows their key.
    fn read_e<'a>(&mut self, message: &'a [u8]) -> Option<&'a [u8]> {
        let (public, rest) = message.split_first_chunk::<KEY_LEN>()?;
        self.theirs = Some(PublicKey::from(*public));
        self.mix_e(public);
        Some(rest)
    }

    /// Section 9.2: where a shared key is used, ephemeral keys are mixed into the chain, not into the hash alone.
    fn mix_e(&mut self, public: &[u8; KEY_LEN]) {
        self.mix_hash(public);
        self.mix_key(public);
    }

    fn mix_ee(&mut self) -> Option<()> {
        let secret = self.ours.as_ref()?.diffie_hellman(self.theirs.as_ref()?);
        // A key of small order would make the secret one that everybody knows.
        if !secret.was_contributory() {
            return None;
        }
        self.mix_key(secret.as_bytes());
        Some(())
    }

    fn write_payload(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        out.extend_from_slice(payload);
        let hash = self.hash;
        let tag = self.cipher.seal(&hash, out.get_mut(start..)?)?;
        out.extend_from_slice(&tag);
        self.mix_hash(out.get(start..)?);
        Some(())
    }

    fn read_payload(&mut self, sealed: &[u8]) -> Option<Vec<u8>> {
        let hash = self.hash;
        let mut payload = sealed.to_vec();
        self.cipher.open(&hash, &mut payload)?;
        payload.truncate(sealed.len().checked_sub(TAG_LEN)?);
        self.mix_hash(sealed);
        Some(payload)
    }

    fn mix_hash(&mut self, data: &[u8]) {
        let mut sha256 = ring::digest::Context::new(&ring::digest::SHA256);
        sha256.update(&self.hash);
        sha256.update(data);
        self.hash.copy_from_slice(sha256.finish().as_ref());
    }

    fn mix_key(&mut self, input: &[u8]) {
        let [chaining, key, _] = hkdf(&self.chaining, input);
        self.chaining = chaining;
        self.cipher = CipherState::new(key);
    }
}

/// What cannot be written to its end leaves nothing behind, least of all something that was to be sealed.
fn whole_or_nothing(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
    let start = out.len();
    let written = write(out);
    if written.is_none() {
        out.truncate(start);
    }
    written
}

/// Section 4.3. The first two of three outputs are the same as of two.
fn hkdf(chaining: &[u8; 32], input: &[u8]) -> [[u8; 32]; 3] {
    let temporary = hmac_sha256(chaining, &[input]);
    let first = hmac_sha256(&temporary, &[&[1]]);
    let second = hmac_sha256(&temporary, &[&first, &[2]]);
    let third = hmac_sha256(&temporary, &[&second, &[3]]);
    [first, second, third]
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn key(text: &str) -> [u8; 32] {
        hex(text).try_into().unwrap()
    }

    /// The vector of this pattern among cacophony's, which the other implementations of Noise are held against too.
    #[test]
    fn the_published_vector_comes_out_to_the_byte() {
        let psk = key("54686973206973206d7920417573747269616e20706572737065637469766521");
        let prologue = hex("4a6f686e2047616c74");
        let a = key("893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a");
        let b = key("bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b");
        let mut initiator = Handshake::new(&prologue, &psk);
        let mut responder = Handshake::new(&prologue, &psk);

        let (mut first, mut second) = (Vec::new(), Vec::new());
        let said = hex("4c756477696720766f6e204d69736573");
        initiator.write_first(a, &said, &mut first).unwrap();
        assert_eq!(
            first,
            hex(
                "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c79447c37a89fc17813788d30df2d59501d6066f5f8aecc3406bbd9829f2d24a531b1"
            )
        );
        assert_eq!(responder.read_first(&first), Some(said));
        let said = hex("4d757272617920526f746862617264");
        responder.write_second(b, &said, &mut second).unwrap();
        assert_eq!(
            second,
            hex(
                "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f1448088432f29d79368ef9de4e1ae7a362fb05bf0ad668e026bf5714554497b3a720461"
            )
        );
        assert_eq!(initiator.read_second(&second), Some(said));
        assert_eq!(initiator.hash, key("9f3b1f9afd7767767b5b9d1069844a6154fdbdcc36dfb3e31c0fffc5c973d530"));
        assert_eq!(initiator.hash, responder.hash);

        let (mut forth, mut back) = initiator.split();
        let (mut heard_forth, mut heard_back) = responder.split();
        let transport = [
            ("462e20412e20486179656b", "7c01e898a6201f36aecee532e29cd0b7f8ffa29d3366ad0dce39a6"),
            ("4361726c204d656e676572", "a9ff535aace3db6a1da1a7fb00fe2de2622bb373abad9fb42c00e0"),
            (
                "4a65616e2d426170746973746520536179",
                "6cfc49a3e65472edc2d0152abe5ce950170a8a47c959f30bd48b5f0aacf29adbfd",
            ),
            (
                "457567656e2042f6686d20766f6e2042617765726b",
                "9bc86e6d974ed21ba04604a94aa68de21677eb409ead070c0cd569b069ee19ba142aa4c1a9",
            ),
        ];
        for (turn, (clear, sealed)) in transport.into_iter().enumerate() {
            let (send, receive) = match turn % 2 {
                0 => (&mut forth, &mut heard_forth),
                _ => (&mut back, &mut heard_back),
            };
            let mut bytes = hex(clear);
            let tag = send.seal(&[], &mut bytes).unwrap();
            bytes.extend_from_slice(&tag);
            assert_eq!(bytes, hex(sealed));
            receive.open(&[], &mut bytes).unwrap();
            assert!(bytes.starts_with(&hex(clear)));
        }
    }

    #[test]
    fn a_key_of_small_order_ends_the_handshake_before_an_answer() {
        let mut small = Handshake::new(&[], &[7; 32]);
        let mut first = vec![0; 32];
        // Zero is a public key whose secret is zero for everybody.
        small.mix_e(&[0; 32]);
        small.write_payload(&[], &mut first).unwrap();
        let mut responder = Handshake::new(&[], &[7; 32]);
        assert_eq!(responder.read_first(&first), Some(Vec::new()));
        let mut out = Vec::new();
        assert_eq!((responder.write_second([2; 32], &[], &mut out), out), (None, Vec::new()));
    }

    #[test]
    fn a_handshake_that_cannot_be_sealed_says_nothing() {
        for answers in [false, true] {
            let mut handshake = Handshake::new(&[], &[7; 32]);
            handshake.theirs = Some(PublicKey::from(&StaticSecret::from([1; 32])));
            let mut out = b"before".to_vec();
            // Mixing a key in makes a cipher; what stands for its failure is put in behind that.
            let written = whole_or_nothing(&mut out, |out| {
                handshake.write_e([2; 32], out);
                if answers {
                    handshake.mix_ee()?;
                }
                handshake.cipher = CipherState::keyless();
                handshake.write_payload(b"clear", out)
            });
            assert_eq!((written, &out[..]), (None, &b"before"[..]));
        }
    }

    #[test]
    fn both_sides_go_on_to_the_same_next_key() {
        let (mut send, mut receive) = (CipherState::new([3; 32]), CipherState::new([3; 32]));
        let mut keystreams = Vec::new();
        for use_of_all in 0..2 * USES_MAX + 2 {
            let mut bytes = [0; 32 + TAG_LEN];
            let tag = send.seal(&[], &mut bytes[..32]).unwrap();
            bytes[32..].copy_from_slice(&tag);
            if use_of_all % USES_MAX == 0 {
                keystreams.push(bytes);
            }
            receive.open(&[], &mut bytes).unwrap();
            assert_eq!(bytes[..32], [0; 32]);
        }
        // Each key's first nonce is the same: what it makes of the same bytes differs only if the key does.
        assert!(keystreams[0] != keystreams[1] && keystreams[1] != keystreams[2]);
        assert_eq!((keystreams.len(), send.used, receive.used), (3, 2, 2));
    }
}

//! The side that was dialled: it learns which torrent is meant, and selects the method.

use super::dh::PrivateKey;
use super::{
    Agreed, Chance, KEY_LEN, Keys, Method, MseError, PAD_LEN_MAX, Unread, VC, greeting, hash, pad_len, put,
    stream, xor,
};
use crate::InfoHash;
use crate::cipher::Cipher;

/// The handshake of who was dialled, part of the way along.
pub struct Responder {
    /// What we take, the dearest first.
    take: Vec<Method>,
    zeros: u16,
    torrent: Option<InfoHash>,
    stage: Stage,
}

enum Stage {
    /// Their key is to come.
    Key { private_key: Box<PrivateKey>, pad: Vec<u8> },
    /// HASH('req1', S), after at most so much padding.
    Sync { secret: Box<[u8; KEY_LEN]>, passed: usize },
    /// Which torrent is meant.
    Torrent { secret: Box<[u8; KEY_LEN]> },
    /// What they offer.
    Provide(Box<Keys>),
    /// The rest of their padding.
    Pad { keys: Box<Keys>, method: Method, left: u16 },
    /// How much they say at once.
    Payload { keys: Box<Keys>, method: Method },
    /// Nothing more is to come.
    Over,
}

impl Responder {
    /// Waits for a handshake. `take` are the methods that we accept, the dearest first. Nothing is computed before their key
    /// is there.
    pub fn new(take: &[Method], chance: Chance<'_>) -> Responder {
        let private_key = Box::new(PrivateKey::new(chance.private_key));
        Responder {
            take: take.to_vec(),
            zeros: chance.zeros.min(PAD_LEN_MAX as u16),
            torrent: None,
            stage: Stage::Key { private_key, pad: chance.pad.to_vec() },
        }
    }

    /// The torrent that is meant, once it is known.
    pub fn torrent(&self) -> Option<InfoHash> {
        self.torrent
    }

    /// Takes what it can of the bytes that came, and says how many; appends what is to be sent. `find` is asked once at most,
    /// for the torrent of a [`super::torrent_key`]. `Agreed` ends the handshake: what the other says at once follows.
    ///
    /// # Errors
    /// When the handshake cannot be completed; then the machine takes nothing more.
    pub fn read(
        &mut self,
        unread: &[u8],
        find: impl Fn(&[u8; 20]) -> Option<InfoHash>,
        out: &mut Vec<u8>,
    ) -> Result<(usize, Option<Agreed>), MseError> {
        let mut unread = Unread::new(unread);
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Key { private_key, pad } => {
                    let Some(theirs) = unread.take::<KEY_LEN>() else {
                        self.stage = Stage::Key { private_key, pad };
                        break;
                    };
                    let secret = private_key.shared(&theirs).ok_or(MseError::DegenerateKey)?;
                    greeting(&private_key.public(), &pad, out);
                    self.stage = Stage::Sync { secret: Box::new(secret), passed: 0 };
                }
                Stage::Sync { secret, mut passed } => {
                    if !unread.find(&hash(&[b"req1", &*secret]), &mut passed)? {
                        self.stage = Stage::Sync { secret, passed };
                        break;
                    }
                    self.stage = Stage::Torrent { secret };
                }
                Stage::Torrent { secret } => {
                    let Some(hidden) = unread.take::<20>() else {
                        self.stage = Stage::Torrent { secret };
                        break;
                    };
                    let skey =
                        find(&xor(hidden, hash(&[b"req3", &*secret]))).ok_or(MseError::UnknownTorrent)?;
                    self.torrent = Some(skey);
                    self.stage = Stage::Provide(Box::new(Keys::new(&secret, &skey)));
                }
                Stage::Provide(mut keys) => {
                    let Some(fields) = unread.take_clear::<14>(&mut keys.initiator) else {
                        self.stage = Stage::Provide(keys);
                        break;
                    };
                    let (method, left) = self.offered(fields)?;
                    self.stage = Stage::Pad { keys, method, left };
                }
                Stage::Pad { mut keys, method, mut left } => {
                    unread.skip_pad(&mut keys.initiator, &mut left);
                    if left > 0 {
                        self.stage = Stage::Pad { keys, method, left };
                        break;
                    }
                    self.stage = Stage::Payload { keys, method };
                }
                Stage::Payload { mut keys, method } => {
                    let Some(len) = unread.take_clear::<2>(&mut keys.initiator) else {
                        self.stage = Stage::Payload { keys, method };
                        break;
                    };
                    let agreed = self.agree(*keys, method, u16::from_be_bytes(len), out);
                    return Ok((unread.taken, Some(agreed)));
                }
                Stage::Over => break,
            }
        }
        Ok((unread.taken, None))
    }

    /// The best of what is offered, and the length of PadC.
    fn offered(&self, fields: [u8; 14]) -> Result<(Method, u16), MseError> {
        let [vc @ .., a, b, c, d, e, f] = fields;
        if vc != VC {
            return Err(MseError::Unverified);
        }
        let bits = u32::from_be_bytes([a, b, c, d]);
        let best = self.take.iter().copied().find(|method| bits & method.bit() != 0);
        Ok((best.ok_or(MseError::NothingInCommon(bits))?, pad_len([e, f])?))
    }

    /// Our second message. What they say at once goes through RC4 in any case.
    fn agree(&self, keys: Keys, method: Method, payload: u16, out: &mut Vec<u8>) -> Agreed {
        let Keys { initiator, mut responder } = keys;
        put(&mut responder, &VC, out);
        put(&mut responder, &method.bit().to_be_bytes(), out);
        put(&mut responder, &self.zeros.to_be_bytes(), out);
        put(&mut responder, &vec![0; self.zeros.into()], out);
        let receive = match method {
            Method::Plaintext if payload > 0 => Cipher::Rc4First { rc4: Box::new(initiator), left: payload },
            Method::Plaintext | Method::Rc4 => stream(method, initiator),
        };
        Agreed { method, send: stream(method, responder), receive }
    }
}

/// Without keys.
impl core::fmt::Debug for Responder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let stage = match self.stage {
            Stage::Key { .. } => "Key",
            Stage::Sync { .. } => "Sync",
            Stage::Torrent { .. } => "Torrent",
            Stage::Provide(_) => "Provide",
            Stage::Pad { .. } => "Pad",
            Stage::Payload { .. } => "Payload",
            Stage::Over => "Over",
        };
        write!(f, "Responder({stage})")
    }
}

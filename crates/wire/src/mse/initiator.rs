//! The side that dialled: it knows the torrent, offers methods, and may say something at once.

use super::dh::PrivateKey;
use super::{
    Agreed, Chance, KEY_LEN, Keys, Method, MseError, PAD_LEN_MAX, Rc4, Unread, VC, greeting, hash, pad_len,
    put, stream, torrent_key, xor,
};
use crate::InfoHash;

/// The handshake of who dialled, part of the way along.
pub struct Initiator {
    offer: Vec<Method>,
    stage: Stage,
}

enum Stage {
    /// Their key is to come.
    Key(Box<Ours>),
    /// Their verification constant is to come, after at most so much padding.
    Sync { keys: Box<Keys>, passed: usize },
    /// What they select.
    Select(Box<Keys>),
    /// The rest of their padding.
    Pad { keys: Box<Keys>, method: Method, left: u16 },
    /// Nothing more is to come.
    Over,
}

/// What we say once we have their key.
struct Ours {
    private_key: PrivateKey,
    skey: InfoHash,
    zeros: u16,
    payload: Vec<u8>,
}

impl Initiator {
    /// Begins a handshake about a torrent; appends what is to be sent first. `payload` (IA) goes with the second message, so
    /// that it costs no round trip of its own; 65,535 bytes at most, the rest is left out.
    pub fn new(
        skey: InfoHash,
        offer: &[Method],
        payload: &[u8],
        chance: Chance<'_>,
        out: &mut Vec<u8>,
    ) -> Initiator {
        let private_key = PrivateKey::new(chance.private_key);
        greeting(&private_key.public(), chance.pad, out);
        let zeros = chance.zeros.min(PAD_LEN_MAX as u16);
        let payload = payload.get(..usize::from(u16::MAX)).unwrap_or(payload).to_vec();
        let ours = Ours { private_key, skey, zeros, payload };
        Initiator { offer: offer.to_vec(), stage: Stage::Key(Box::new(ours)) }
    }

    /// Takes what it can of the bytes that came, and says how many; appends what is to be sent. `Agreed` ends the handshake.
    ///
    /// # Errors
    /// When the handshake cannot be completed; then the machine takes nothing more.
    pub fn read(&mut self, unread: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Agreed>), MseError> {
        let mut unread = Unread::new(unread);
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Key(ours) => {
                    let Some(theirs) = unread.take::<KEY_LEN>() else {
                        self.stage = Stage::Key(ours);
                        break;
                    };
                    let keys = Box::new(ours.answer(&self.offer, &theirs, out)?);
                    self.stage = Stage::Sync { keys, passed: 0 };
                }
                Stage::Sync { mut keys, mut passed } => {
                    let mark: [u8; VC.len()] = keys.responder.peek();
                    if !unread.find(&mark, &mut passed)? {
                        self.stage = Stage::Sync { keys, passed };
                        break;
                    }
                    keys.responder.apply(&mut VC.clone());
                    self.stage = Stage::Select(keys);
                }
                Stage::Select(mut keys) => {
                    let Some(fields) = unread.take_clear::<6>(&mut keys.responder) else {
                        self.stage = Stage::Select(keys);
                        break;
                    };
                    let [a, b, c, d, len @ ..] = fields;
                    let method = self.selected(u32::from_be_bytes([a, b, c, d]))?;
                    self.stage = Stage::Pad { keys, method, left: pad_len(len)? };
                }
                Stage::Pad { mut keys, method, mut left } => {
                    unread.skip_pad(&mut keys.responder, &mut left);
                    if left > 0 {
                        self.stage = Stage::Pad { keys, method, left };
                        break;
                    }
                    let Keys { initiator, responder } = *keys;
                    let (send, receive) = (stream(method, initiator), stream(method, responder));
                    return Ok((unread.taken, Some(Agreed { method, send, receive })));
                }
                Stage::Over => break,
            }
        }
        Ok((unread.taken, None))
    }

    /// Exactly one method, of those that we offered.
    fn selected(&self, bits: u32) -> Result<Method, MseError> {
        let offered = self.offer.iter().copied().find(|method| method.bit() == bits);
        offered.ok_or(MseError::NotOffered(bits))
    }
}

impl Ours {
    /// Our second message.
    fn answer(&self, offer: &[Method], theirs: &[u8; KEY_LEN], out: &mut Vec<u8>) -> Result<Keys, MseError> {
        let secret = self.private_key.shared(theirs).ok_or(MseError::DegenerateKey)?;
        out.extend_from_slice(&hash(&[b"req1", &secret]));
        out.extend_from_slice(&xor(torrent_key(&self.skey), hash(&[b"req3", &secret])));
        let mut keys = Keys::new(&secret, &self.skey);
        let rc4: &mut Rc4 = &mut keys.initiator;
        put(rc4, &VC, out);
        put(rc4, &Method::all_bits(offer).to_be_bytes(), out);
        put(rc4, &self.zeros.to_be_bytes(), out);
        put(rc4, &vec![0; self.zeros.into()], out);
        put(rc4, &(self.payload.len() as u16).to_be_bytes(), out);
        put(rc4, &self.payload, out);
        Ok(keys)
    }
}

/// Without keys.
impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let stage = match self.stage {
            Stage::Key(_) => "Key",
            Stage::Sync { .. } => "Sync",
            Stage::Select(_) => "Select",
            Stage::Pad { .. } => "Pad",
            Stage::Over => "Over",
        };
        write!(f, "Initiator({stage})")
    }
}

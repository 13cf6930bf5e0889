//! Shaking hands: in plaintext, after the key exchange of Message Stream Encryption, or after that of a private link
//! (`private`). Ends in a link, or in a closed socket and a word to the door.
//!
//! Which way is tried, who is answered how and who may have a key exchange is the door's to say. Invariant: until the door
//! has answered a greeting nothing more is read. BEP: 3. Threats: C5, C11

use super::dht::DhtNode;
use super::event_loop::EventLoop;
use super::links::{Link, Stage, link_of, pending_id};
use super::private::hear_greeting;
use crate::entropy;
use proto::door::{self, Crypto, PendingId, Refusal};
use proto::input::{DialFailure, LinkEnd, LinkUp};
use proto::{DialId, Input, LinkId, TorrentId};
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::mse::{Agreed, Initiator, Method, MseError, Responder};
use wire::private::{self, PrivateError};
use wire::{Handshake, InfoHash, Reserved, frame};

/// What a link's handshake speaks.
#[derive(Debug)]
pub(crate) enum Shake {
    /// They came, and have not said enough.
    Unknown,
    /// They came and spoke; the door is to say how it goes on.
    Asked,
    /// What we shall speak when the connection stands, or what is spoken, in plaintext.
    Plaintext,
    /// We shall begin a key exchange when the connection stands.
    Offer(&'static [Method]),
    /// We began one; perhaps our handshake is to follow when it is over.
    Initiator(Box<Initiator>, Option<[u8; HANDSHAKE_LEN]>),
    /// They began one.
    Responder(Box<Responder>),
    /// The keys are exchanged, and both sides mean this torrent.
    Agreed(Method, InfoHash),
    /// We shall begin a private handshake when the connection stands.
    OfferPrivate,
    /// We began one; our handshake is to follow when it is over.
    PrivateInitiator(Box<private::Initiator>, [u8; HANDSHAKE_LEN]),
    /// They began one, and hold the swarm's key; the door is to say whether it goes on.
    Recognised(Box<private::Responder>),
    /// Both sides hold the swarm's key.
    Private,
}

/// Why keys are not exchanged.
#[derive(Debug, thiserror::Error)]
enum NoKeys {
    #[error("{0}")]
    Mse(#[from] MseError),
    #[error("{0}")]
    Private(#[from] PrivateError),
}

/// How the bytes of a link look on their way. None of it keeps a secret but the last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkEncryption {
    /// As they are.
    None,
    /// Only the handshake was encrypted.
    Handshake,
    /// All are encrypted with RC4.
    Rc4,
    /// All are sealed under the swarm's key: only who holds it reads or changes anything.
    Private,
}

impl Shake {
    /// How the link's bytes look.
    pub(super) fn encryption(&self) -> LinkEncryption {
        match self {
            Shake::Agreed(Method::Rc4, _) => LinkEncryption::Rc4,
            Shake::Agreed(Method::Plaintext, _) => LinkEncryption::Handshake,
            Shake::Private => LinkEncryption::Private,
            Shake::Unknown
            | Shake::Asked
            | Shake::Plaintext
            | Shake::Offer(_)
            | Shake::OfferPrivate
            | Shake::Initiator(..)
            | Shake::Responder(_)
            | Shake::PrivateInitiator(..)
            | Shake::Recognised(_) => LinkEncryption::None,
        }
    }

    /// What we do with a connection of our own.
    pub(super) fn planned(crypto: Crypto) -> Shake {
        match crypto {
            Crypto::Plaintext => Shake::Plaintext,
            Crypto::Mse(offer) => Shake::Offer(offer),
            Crypto::Private => Shake::OfferPrivate,
        }
    }
}

impl Link {
    /// Both sides have the keys: what is unread and what is to be sent go through them.
    fn agree(&mut self, agreed: Agreed, torrent: InfoHash) {
        self.inbound.set_cipher(agreed.receive);
        self.outbound.set_cipher(agreed.send);
        self.shake = Shake::Agreed(agreed.method, torrent);
    }
}

impl EventLoop {
    /// Our first words to a peer that we dialled. False if there are none: no plan, no key, or no random bytes for us.
    pub(super) fn greet(&mut self, id: LinkId, info_hash: InfoHash) -> bool {
        let hello = self.hello(info_hash);
        let Some(link) = self.links.get_mut(id) else { return false };
        match link.shake {
            Shake::Plaintext => {
                link.outbound.raw(&hello);
                true
            }
            Shake::Offer(offer) => self.greet_encrypted(id, info_hash, offer, hello),
            Shake::OfferPrivate => self.greet_privately(id, hello),
            Shake::Unknown
            | Shake::Asked
            | Shake::Initiator(..)
            | Shake::Responder(_)
            | Shake::Agreed(..)
            | Shake::PrivateInitiator(..)
            | Shake::Recognised(_)
            | Shake::Private => false,
        }
    }

    fn greet_encrypted(
        &mut self,
        id: LinkId,
        info_hash: InfoHash,
        offer: &'static [Method],
        hello: [u8; HANDSHAKE_LEN],
    ) -> bool {
        let Some(link) = self.links.get_mut(id) else { return false };
        let Ok(chance) = entropy::mse().inspect_err(|error| tracing::error!(%error, "no random bytes"))
        else {
            return false;
        };
        let mut said = Vec::new();
        // Said at once it saves a round trip. But Transmission 3.00, when it selects plaintext, reads what is said at once as
        // plaintext too, which it is not: whoever has a choice hears from us after the choice.
        let (at_once, later) = match offer {
            [_] => (&hello[..], None),
            _ => (&[][..], Some(hello)),
        };
        let initiator = Initiator::new(info_hash, offer, at_once, chance.as_chance(), &mut said);
        link.outbound.handshake(&said);
        link.shake = Shake::Initiator(Box::new(initiator), later);
        true
    }

    /// The handshake of a peer that we dialled.
    pub(super) fn read_answer(&mut self, id: LinkId, dial: DialId) {
        let expected = self.torrents.get(dial.torrent).map(|entry| entry.info_hash);
        if let Err(error) = self.read_keys(id, expected) {
            return self.dial_misled(id, dial, &error);
        }
        let Some(link) = self.links.get_mut(id) else { return };
        if matches!(link.shake, Shake::Initiator(..) | Shake::PrivateInitiator(..)) {
            return;
        }
        match handshake::decode(link.inbound.unread()) {
            Ok(None) => {}
            Ok(Some(theirs)) if Some(theirs.info_hash) == expected => {
                self.links.dial_ended(dial);
                self.tell_door(door::Input::Linked(dial));
                self.link_up(id, dial.torrent, Some(dial), theirs);
            }
            Ok(Some(_)) => self.dial_misled(id, dial, &"the peer answers for another torrent"),
            Err(error) => self.dial_misled(id, dial, &error),
        }
    }

    /// The handshake of a peer that dialled us. We answer as soon as we know which torrent it means.
    pub(super) fn read_greeting(&mut self, id: LinkId, heard: bool, answered: Option<TorrentId>) {
        if !heard {
            self.tell_door(door::Input::Heard(pending_id(id)));
        }
        let Some(link) = self.links.get_mut(id) else { return };
        link.stage = Stage::Pending { heard: true, torrent: answered };
        if matches!(link.shake, Shake::Unknown) {
            let key = self.outside.swarm_key.as_ref();
            let Some((greeting, shake)) = hear_greeting(key, link.inbound.unread()) else { return };
            // The door may want us to wait: meanwhile the peer's bytes are the kernel's to keep.
            (link.shake, link.paused) = (shake, true);
            self.tell_door(door::Input::Greeted { pending: pending_id(id), greeting });
        }
        if let Err(error) = self.read_keys(id, None) {
            return self.greeting_failed(id, error);
        }
        self.read_clear_greeting(id, answered);
    }

    /// The door says how a peer that came is answered. Its bytes are read again in the next turn.
    pub(super) fn answer_greeting(&mut self, pending: PendingId, crypto: Crypto) {
        let id = link_of(pending);
        let shake = match crypto {
            Crypto::Plaintext => Some(Shake::Plaintext),
            Crypto::Private if self.answer_privately(id) => None,
            Crypto::Private => return self.lose(id, LinkEnd::Broken),
            Crypto::Mse(take) => match entropy::mse() {
                Ok(chance) => Some(Shake::Responder(Box::new(Responder::new(take, chance.as_chance())))),
                Err(error) => {
                    tracing::error!(%error, "no random bytes");
                    return self.lose(id, LinkEnd::Broken);
                }
            },
        };
        let Some(link) = self.links.get_mut(id) else { return };
        if let Some(shake) = shake {
            link.shake = shake;
        }
        (link.paused, link.readable) = (false, true);
        self.links.want_read(id);
    }

    /// The door does not want a peer that came.
    pub(super) fn turn_away(&mut self, pending: PendingId, why: Refusal) {
        if let Some(link) = self.links.remove(self.poll.registry(), link_of(pending)) {
            tracing::debug!(remote = %link.remote, "{why}");
        }
    }

    /// Goes on with a key exchange, if one is under way. `ours` is the torrent that we dialled for.
    fn read_keys(&mut self, id: LinkId, ours: Option<InfoHash>) -> Result<(), NoKeys> {
        self.read_private_keys(id)?;
        let torrents = &self.torrents;
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let (mut said, unread) = (Vec::new(), link.inbound.unread());
        let (read, torrent, later) = match &mut link.shake {
            Shake::Initiator(initiator, later) => (initiator.read(unread, &mut said), ours, *later),
            Shake::Responder(responder) => {
                let read = responder.read(unread, |key| torrents.by_mse_key(key), &mut said);
                (read, responder.torrent(), None)
            }
            Shake::Unknown
            | Shake::Asked
            | Shake::Plaintext
            | Shake::Offer(_)
            | Shake::Agreed(..)
            | Shake::OfferPrivate
            | Shake::PrivateInitiator(..)
            | Shake::Recognised(_)
            | Shake::Private => return Ok(()),
        };
        let (taken, agreed) = read?;
        link.inbound.skip(taken);
        link.outbound.handshake(&said);
        if let (Some(agreed), Some(torrent)) = (agreed, torrent) {
            link.agree(agreed, torrent);
            link.outbound.raw(later.as_ref().map_or(&[][..], |hello| hello));
        }
        self.links.want_write(id);
        Ok(())
    }

    fn read_clear_greeting(&mut self, id: LinkId, answered: Option<TorrentId>) {
        let Some(link) = self.links.get_mut(id) else { return };
        let agreed = match link.shake {
            Shake::Plaintext | Shake::Private => None,
            Shake::Agreed(_, torrent) => Some(torrent),
            Shake::Unknown
            | Shake::Asked
            | Shake::Offer(_)
            | Shake::OfferPrivate
            | Shake::Initiator(..)
            | Shake::Responder(_)
            | Shake::PrivateInitiator(..)
            | Shake::Recognised(_) => return,
        };
        let torrent = match (answered, handshake::decode_head(link.inbound.unread())) {
            (Some(torrent), _) => torrent,
            (None, Ok(None)) => return,
            (None, Err(_)) => return self.lose(id, LinkEnd::Malformed),
            (None, Ok(Some((_, info_hash)))) => {
                // Who names two torrents, one to be found by and one to talk about, means neither.
                let meant = agreed.is_none_or(|agreed| agreed == info_hash);
                let Some(torrent) = self.torrents.by_hash(info_hash).filter(|_| meant) else {
                    return self.lose(id, LinkEnd::Malformed);
                };
                let hello = self.hello(info_hash);
                if let Some(link) = self.links.get_mut(id) {
                    link.stage = Stage::Pending { heard: true, torrent: Some(torrent) };
                    link.outbound.raw(&hello);
                }
                self.links.want_write(id);
                torrent
            }
        };
        let Some(link) = self.links.get_mut(id) else { return };
        if let Ok(Some(theirs)) = handshake::decode(link.inbound.unread()) {
            self.tell_door(door::Input::Settled(pending_id(id)));
            self.link_up(id, torrent, None, theirs);
        }
    }

    fn greeting_failed(&mut self, id: LinkId, error: NoKeys) {
        if let Some(link) = self.links.remove(self.poll.registry(), id) {
            tracing::debug!(remote = %link.remote, "{error}");
            self.tell_door(door::Input::Unsettled(pending_id(id)));
        }
    }

    /// A peer that we dialled answers, but not as it should.
    fn dial_misled(&mut self, id: LinkId, dial: DialId, why: &dyn std::fmt::Display) {
        if let Some(link) = self.links.remove(self.poll.registry(), id) {
            tracing::debug!(remote = %link.remote, "{why}");
            self.tell_door(door::Input::WayFailed { dial, why: DialFailure::Handshake, heard: true });
        }
    }

    fn link_up(&mut self, id: LinkId, torrent: TorrentId, dial: Option<DialId>, theirs: Handshake) {
        let Some(link) = self.links.get_mut(id) else { return };
        let pieces = self.torrents.layout(torrent).map(|layout| layout.pieces());
        link.stage = Stage::Up(torrent, frame::Limits::new(pieces));
        link.inbound.skip(HANDSHAKE_LEN);
        let Handshake { reserved, peer_id, .. } = theirs;
        let (remote, encrypted) = (link.remote, link.shake.encryption() != LinkEncryption::None);
        let up = LinkUp { link: id, torrent, remote, dial, peer_id, reserved, encrypted };
        self.feed(Input::LinkUp(up));
        self.decode_messages(id);
    }

    fn hello(&self, info_hash: InfoHash) -> [u8; HANDSHAKE_LEN] {
        let ours = Reserved::OURS;
        let reserved =
            if self.listening.dht.as_ref().is_some_and(DhtNode::answers) { ours.with_dht() } else { ours };
        handshake::encode(&Handshake { reserved, info_hash, peer_id: self.outside.peer_id })
    }
}

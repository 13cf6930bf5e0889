//! Handshakes of private links: with whoever holds the swarm's key, and with nobody else. A stranger's bytes are never answered.
//!
//! Whether links are private is the door's to say; without a key there are no links then. BEP: none

use super::event_loop::EventLoop;
use super::links::Link;
use super::shaking::Shake;
use crate::entropy;
use proto::LinkId;
use proto::door::Greeting;
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::private::{Agreed, FIRST_LEN, Initiator, PrivateError, Responder, SwarmKey};

impl Link {
    /// Both sides hold the key: from here on there are only records.
    fn agree_privately(&mut self, agreed: Agreed) {
        self.inbound.set_records(agreed.receive);
        self.outbound.set_records(agreed.send);
        self.shake = Shake::Private;
    }
}

impl EventLoop {
    /// With a swarm key nothing leaves a link in the clear, whatever else goes wrong.
    pub(super) fn keep_private(&mut self, id: LinkId) {
        if self.outside.swarm_key.is_some()
            && let Some(link) = self.links.get_mut(id)
        {
            link.outbound.await_records();
        }
    }

    /// Our first words to a peer that we dialled; our handshake follows when it has shown that it holds the key. False if we
    /// have no key, or the system no random bytes.
    pub(super) fn greet_privately(&mut self, id: LinkId, hello: [u8; HANDSHAKE_LEN]) -> bool {
        let (Some(key), Some(link)) = (&self.outside.swarm_key, self.links.get_mut(id)) else { return false };
        let Ok(chance) = entropy::bytes().inspect_err(|error| tracing::error!(%error, "no random bytes"))
        else {
            return false;
        };
        let mut said = Vec::new();
        let initiator = Initiator::new(key, chance, &mut said);
        link.outbound.handshake(&said);
        link.shake = Shake::PrivateInitiator(Box::new(initiator), hello);
        true
    }

    /// Answers a member of our swarm. False if that cannot be.
    pub(super) fn answer_privately(&mut self, id: LinkId) -> bool {
        let Some(link) = self.links.get_mut(id) else { return false };
        let Shake::Recognised(member) = std::mem::replace(&mut link.shake, Shake::Asked) else {
            return false;
        };
        let Ok(chance) = entropy::bytes().inspect_err(|error| tracing::error!(%error, "no random bytes"))
        else {
            return false;
        };
        let mut said = Vec::new();
        let Ok(agreed) = member.answer(chance, &mut said) else { return false };
        link.inbound.skip(FIRST_LEN);
        link.outbound.handshake(&said);
        link.agree_privately(agreed);
        self.links.want_write(id);
        true
    }

    /// Goes on with a private handshake, if one is under way, and opens what may be a handshake of BitTorrent behind it.
    pub(super) fn read_private_keys(&mut self, id: LinkId) -> Result<(), PrivateError> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let unread = link.inbound.unread();
        let ((taken, agreed), hello) = match &mut link.shake {
            Shake::PrivateInitiator(initiator, hello) => (initiator.read(unread)?, *hello),
            Shake::Private => return link.inbound.open_up_to(HANDSHAKE_LEN),
            Shake::Unknown
            | Shake::Asked
            | Shake::Plaintext
            | Shake::Offer(_)
            | Shake::OfferPrivate
            | Shake::Initiator(..)
            | Shake::Responder(_)
            | Shake::Agreed(..)
            | Shake::Recognised(_) => return Ok(()),
        };
        link.inbound.skip(taken);
        if let Some(agreed) = agreed {
            link.agree_privately(agreed);
            link.outbound.raw(&hello);
            link.inbound.open_up_to(HANDSHAKE_LEN)?;
        }
        self.links.want_write(id);
        Ok(())
    }
}

/// What a peer that came speaks, by its first bytes, and how that goes on; `None` if they are too few. A stranger to a private swarm
/// is known here, and nothing is computed for him but a few hashes.
pub(super) fn hear_greeting(key: Option<&SwarmKey>, unread: &[u8]) -> Option<(Greeting, Shake)> {
    if handshake::decode_head(unread).is_ok() {
        return (unread.len() >= handshake::PROTOCOL.len()).then_some((Greeting::Plaintext, Shake::Asked));
    }
    let Some(key) = key else { return Some((Greeting::Encrypted, Shake::Asked)) };
    match Responder::recognise(key, unread.first_chunk()?) {
        Ok(member) => Some((Greeting::Member(member.hail()), Shake::Recognised(Box::new(member)))),
        Err(_) => Some((Greeting::Encrypted, Shake::Asked)),
    }
}

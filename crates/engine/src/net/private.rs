//! Handshakes of private links: with whoever holds the swarm's key, and with nobody else. A stranger's bytes are never answered.
//!
//! Whether links are private is the door's to say; without a key there are no links then. BEP: none

use super::event_loop::EventLoop;
use super::links::Link;
use super::shaking::Shake;
use crate::entropy;
use proto::LinkId;
use wire::handshake::HANDSHAKE_LEN;
use wire::private::{Agreed, Initiator, PrivateError, Responder};

impl Link {
    /// Both sides hold the key: from here on there are only records.
    fn agree_privately(&mut self, agreed: Agreed) {
        self.inbound.set_records(agreed.receive);
        self.outbound.set_records(agreed.send);
        self.shake = Shake::Private;
    }
}

impl EventLoop {
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

    /// How a peer that came goes on, if it can be answered.
    pub(super) fn await_private_keys(&self) -> Option<Shake> {
        let key = self.outside.swarm_key.as_ref()?;
        let chance = entropy::bytes().inspect_err(|error| tracing::error!(%error, "no random bytes")).ok()?;
        Some(Shake::PrivateResponder(Box::new(Responder::new(key, chance))))
    }

    /// Goes on with a private handshake, if one is under way, and opens what may be a handshake of BitTorrent behind it.
    pub(super) fn read_private_keys(&mut self, id: LinkId) -> Result<(), PrivateError> {
        let Some(link) = self.links.get_mut(id) else { return Ok(()) };
        let (mut said, unread) = (Vec::new(), link.inbound.unread());
        let ((taken, agreed), hello) = match &mut link.shake {
            Shake::PrivateInitiator(initiator, hello) => (initiator.read(unread)?, Some(*hello)),
            Shake::PrivateResponder(responder) => (responder.read(unread, &mut said)?, None),
            Shake::Private => return link.inbound.open_up_to(HANDSHAKE_LEN),
            Shake::Unknown
            | Shake::Asked
            | Shake::Plaintext
            | Shake::Offer(_)
            | Shake::OfferPrivate
            | Shake::Initiator(..)
            | Shake::Responder(_)
            | Shake::Agreed(..) => return Ok(()),
        };
        link.inbound.skip(taken);
        link.outbound.handshake(&said);
        if let Some(agreed) = agreed {
            link.agree_privately(agreed);
            link.outbound.raw(hello.as_ref().map_or(&[][..], |hello| hello));
            link.inbound.open_up_to(HANDSHAKE_LEN)?;
        }
        self.links.want_write(id);
        Ok(())
    }
}

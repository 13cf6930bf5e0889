//! The extension protocol: which extensions we speak, under which ids, and what a peer said in them. One file per extension,
//! one line in [`REGISTRY`]; what follows from a message is the torrent's business. BEP: 10

pub mod donthave;
pub mod handshake;
pub mod metadata;
pub mod pex;
pub mod upload_only;

use crate::PeerMisbehaved;
use crate::seldom::Seldom;
use pex::PexDealings;
use wire::Message;
use wire::extension::{ExtensionHandshake, name};
use wire::pex::PexMessage;

/// An extension that we speak.
#[derive(Clone, Copy, Debug)]
pub struct Extension {
    /// Its name in the handshake's `m`.
    pub name: &'static str,
    /// What a message of it says. Pure: bytes in, report out.
    pub receive: fn(&[u8]) -> Result<ExtensionReport, PeerMisbehaved>,
}

/// All extensions that we speak. The id under which we want one is its place here plus 1: append, never reorder.
pub const REGISTRY: [Extension; 4] = [
    Extension { name: name::UPLOAD_ONLY, receive: upload_only::receive },
    Extension { name: name::DONT_HAVE, receive: donthave::receive },
    Extension { name: name::PEX, receive: pex::receive },
    Extension { name: name::METADATA, receive: metadata::receive },
];

/// What an extended message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExtensionReport {
    /// The peer introduced itself.
    Handshake(Box<ExtensionHandshake>),
    /// The peer wants nothing (BEP 21), or does again.
    UploadOnly(bool),
    /// The peer lost a piece (BEP 54). A stranger's number.
    DontHave(u32),
    /// The peer says with whom it is linked (BEP 11). Strangers' addresses.
    Pex(Box<PexMessage>),
    /// The peer asks for a piece of metadata (BEP 9). A stranger's number.
    MetadataRequest(u32),
    /// The peer will not send a piece of metadata (BEP 9). A stranger's number.
    MetadataReject(u32),
    /// An extension that we do not speak: ignored.
    Unknown,
}

/// What is known of a peer by the extension protocol.
#[derive(Clone, Debug, Default)]
pub struct RemoteExtensions {
    /// The peer's ids for the extensions of [`REGISTRY`]; 0 is none.
    ids: [u8; REGISTRY.len()],
    /// The peer's client and version; a stranger's text.
    pub client: Option<Box<str>>,
    /// The port it listens on, if it said.
    pub port: Option<u16>,
    /// It wants nothing (BEP 21).
    pub upload_only: bool,
    /// Peer exchange with it.
    pub pex: Seldom<PexDealings>,
    /// How many requests it queues.
    pub reqq: Option<u32>,
    /// How large it says the metadata is (BEP 9); 0 if it has none itself.
    pub metadata_size: Option<u32>,
}

impl RemoteExtensions {
    /// Takes note of an introduction. A later one changes what it names (BEP 10).
    pub fn meet(&mut self, introduction: &ExtensionHandshake) {
        for (id, extension) in self.ids.iter_mut().zip(REGISTRY) {
            if let Some((_, theirs)) =
                introduction.extensions.iter().find(|(name, _)| **name == *extension.name)
            {
                *id = *theirs;
            }
        }
        if introduction.client.is_some() {
            self.client.clone_from(&introduction.client);
        }
        // But where it listens it says once: a candidate for each of ten thousand ports would fill the list of them.
        self.port = self.port.or(introduction.port);
        self.upload_only = introduction.upload_only.unwrap_or(self.upload_only);
        self.reqq = introduction.reqq.or(self.reqq);
        self.metadata_size = introduction.metadata_size.or(self.metadata_size);
    }

    /// A message of the named extension, if the peer speaks it.
    pub fn message(&self, name: &str, body: Box<[u8]>) -> Option<Message> {
        Some(Message::Extended { id: self.id_of(name)?, body })
    }

    /// The peer's id for the named extension, if it speaks it.
    pub fn id_of(&self, name: &str) -> Option<u8> {
        let place = REGISTRY.iter().position(|extension| extension.name == name)?;
        self.ids.get(place).copied().filter(|&id| id != 0)
    }

    /// Whether the peer speaks the named extension.
    pub fn speaks(&self, name: &str) -> bool {
        self.id_of(name).is_some()
    }
}

/// What an extended message says; `id` is ours, or 0 for the handshake.
pub fn receive(id: u8, body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    let Some(place) = usize::from(id).checked_sub(1) else { return handshake::receive(body) };
    match REGISTRY.get(place) {
        Some(extension) => (extension.receive)(body),
        None => Ok(ExtensionReport::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_by_our_id_and_written_by_theirs() {
        let report = |id, body: &[u8]| receive(id, body);
        assert_eq!(report(1, &[1]), Ok(ExtensionReport::UploadOnly(true)));
        assert_eq!(report(2, &[0, 0, 1, 0]), Ok(ExtensionReport::DontHave(256)));
        assert_eq!(report(77, b"anything"), Ok(ExtensionReport::Unknown));
        for (id, body) in [(0, &b"le"[..]), (0, b""), (1, b""), (1, b"22"), (2, b"333")] {
            assert_eq!(report(id, body), Err(PeerMisbehaved::ExtensionMalformed), "{id} {body:?}");
        }
        let mut remote = RemoteExtensions::default();
        assert_eq!(remote.message(name::UPLOAD_ONLY, upload_only::body(true)), None);
        let ids = |id| ExtensionHandshake {
            extensions: vec![(name::UPLOAD_ONLY.into(), id)],
            ..Default::default()
        };
        remote.meet(&ids(9));
        let sent = remote.message(name::UPLOAD_ONLY, upload_only::body(true));
        assert_eq!(sent, Some(Message::Extended { id: 9, body: [1].into() }));
        remote.meet(&ids(0));
        assert_eq!(remote.message(name::UPLOAD_ONLY, upload_only::body(true)), None);
    }
}

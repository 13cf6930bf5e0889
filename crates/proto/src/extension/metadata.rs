//! Metadata between peers: who asks for which piece, who will not send it. The pieces themselves never come here: a driver
//! knows them by [`data`] and parks their bytes. BEP: 9

use super::ExtensionReport;
use crate::PeerMisbehaved;
use wire::metadata::MetadataMessage;

/// The id under which we want messages about metadata: its place in the registry, plus 1.
pub const METADATA_ID: u8 = 4;

/// A piece of metadata as a message brings it. Numbers are a stranger's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetadataData {
    /// Which piece.
    pub piece: u32,
    /// How large the whole is, as the sender says once more.
    pub total: Option<u32>,
    /// Where in the body the bytes begin; they reach to its end.
    pub at: usize,
}

/// What the message says. A piece that a driver did not take out means nothing here.
pub fn receive(body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    let message = MetadataMessage::decode(body).map_err(|_| PeerMisbehaved::ExtensionMalformed)?;
    Ok(match message {
        MetadataMessage::Request(piece) => ExtensionReport::MetadataRequest(piece),
        MetadataMessage::Reject(piece) => ExtensionReport::MetadataReject(piece),
        MetadataMessage::Data { .. } | MetadataMessage::Unknown => ExtensionReport::Unknown,
    })
}

/// The piece that an extended message to us brings, if it is one: its bytes are for the driver to park.
pub fn data(id: u8, body: &[u8]) -> Option<MetadataData> {
    if id != METADATA_ID {
        return None;
    }
    match MetadataMessage::decode(body) {
        Ok(MetadataMessage::Data { piece, total_size: total, at }) => Some(MetadataData { piece, total, at }),
        Ok(MetadataMessage::Request(_) | MetadataMessage::Reject(_) | MetadataMessage::Unknown) | Err(_) => {
            None
        }
    }
}

/// The body of our request.
pub fn request(piece: u32) -> Box<[u8]> {
    MetadataMessage::Request(piece).encode().into()
}

/// The body of our refusal.
pub fn reject(piece: u32) -> Box<[u8]> {
    MetadataMessage::Reject(piece).encode().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::REGISTRY;
    use wire::extension::name;

    #[test]
    fn our_id_is_the_place_in_the_registry() {
        assert_eq!(REGISTRY[usize::from(METADATA_ID) - 1].name, name::METADATA);
    }

    #[test]
    fn a_piece_is_the_drivers_and_all_else_the_sessions() {
        let body = [MetadataMessage::Data { piece: 1, total_size: Some(20_000), at: 0 }.encode(), vec![7; 9]];
        let (at, body) = (body[0].len(), body.concat());
        assert_eq!(data(METADATA_ID, &body), Some(MetadataData { piece: 1, total: Some(20_000), at }));
        assert_eq!(data(METADATA_ID + 1, &body), None);
        assert_eq!(receive(&body), Ok(ExtensionReport::Unknown));
        assert_eq!(receive(&request(4)), Ok(ExtensionReport::MetadataRequest(4)));
        assert_eq!(receive(&reject(5)), Ok(ExtensionReport::MetadataReject(5)));
        assert_eq!((data(METADATA_ID, &request(4)), data(METADATA_ID, b"")), (None, None));
        assert_eq!(receive(b"de"), Err(PeerMisbehaved::ExtensionMalformed));
    }
}

//! "I lost this piece": the opposite of have. BEP: 54

use super::ExtensionReport;
use crate::PeerMisbehaved;
use wire::PieceIndex;
use wire::extension::{decode_dont_have, encode_dont_have};

/// What the message says. The number is a stranger's.
pub fn receive(body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    decode_dont_have(body).map(ExtensionReport::DontHave).ok_or(PeerMisbehaved::ExtensionMalformed)
}

/// The body of ours.
pub fn body(piece: PieceIndex) -> Box<[u8]> {
    encode_dont_have(piece.0).into()
}

//! "I only upload": a partial seed wants nothing more, so two such peers need not stay linked. BEP: 21

use super::ExtensionReport;
use crate::PeerMisbehaved;
use wire::extension::{decode_upload_only, encode_upload_only};

/// What the message says.
pub fn receive(body: &[u8]) -> Result<ExtensionReport, PeerMisbehaved> {
    decode_upload_only(body).map(ExtensionReport::UploadOnly).ok_or(PeerMisbehaved::ExtensionMalformed)
}

/// The body of ours.
pub fn body(upload_only: bool) -> Box<[u8]> {
    encode_upload_only(upload_only).into()
}

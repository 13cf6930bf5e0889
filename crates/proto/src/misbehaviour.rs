//! What a peer can do wrong. Each closes its link; some ban it.

/// Why we close the link to a peer that broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PeerMisbehaved {
    /// A have-none, or a bitfield without pieces, from a peer that told of pieces before.
    BitfieldLate,
    /// A bitfield of the wrong length or with spare bits set.
    BitfieldMalformed,
    /// Have, suggest or allowed-fast names a piece that does not exist.
    PieceOutOfRange,
    /// A request or cancel that does not lie inside a piece, or is longer than a block.
    RequestOutOfRange,
    /// More requests queued than the `reqq` that we advertised.
    TooManyRequests,
    /// Went on asking although we choke it.
    RequestsWhileChoked,
    /// A block we never asked for, more than once in a while.
    UnrequestedBlock,
    /// Rejects a request that we did not make (BEP 6).
    UnrequestedReject,
    /// A fast-extension message from a peer that did not offer it (BEP 6).
    FastWithoutOffer,
    /// An extended message from a peer that did not offer BEP 10.
    ExtendedWithoutOffer,
    /// An extension body that cannot be decoded.
    ExtensionMalformed,
    /// Named peers (BEP 11) again and again without leaving a minute between.
    PexTooOften,
    /// More messages of one kind than any honest peer sends.
    Flood,
    /// A piece of metadata that cannot be one of what the peer said it has (BEP 9).
    MetadataMalformed,
    /// Lied about the metadata: its size, or all of its bytes. Bans.
    MetadataLie,
    /// Found to have sent blocks that spoiled a piece. Bans.
    CorruptBlocks,
}

impl PeerMisbehaved {
    /// Whether the peer's address is refused from now on.
    pub fn bans(self) -> bool {
        matches!(self, PeerMisbehaved::CorruptBlocks | PeerMisbehaved::MetadataLie)
    }
}

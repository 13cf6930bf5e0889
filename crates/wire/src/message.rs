//! What peers say to one another, as values. The bodies of blocks are not here: payload stays with the driver.
//!
//! Numbers in these messages are strangers' numbers: [`crate::Layout`] turns them into ours or refuses them.
//! BEP: 3, 6, 10

use crate::{InfoHash, PeerId};

/// A message after the handshake, but for `piece`, whose body the driver keeps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Nothing to say; keeps the link open.
    KeepAlive,
    /// We will not serve your requests.
    Choke,
    /// We will serve your requests.
    Unchoke,
    /// You have pieces that I lack.
    Interested,
    /// You have none.
    NotInterested,
    /// I have this piece now.
    Have(u32),
    /// The pieces I have: the raw body, for its length is known to be right only with the metainfo.
    Bitfield(Box<[u8]>),
    /// Send me this.
    Request(BlockRequest),
    /// Do not send me that any more.
    Cancel(BlockRequest),
    /// My DHT node listens on this UDP port (BEP 5).
    Port(u16),
    /// You may want this piece next (BEP 6).
    Suggest(u32),
    /// I have every piece (BEP 6).
    HaveAll,
    /// I have no piece (BEP 6).
    HaveNone,
    /// I will not serve this request (BEP 6).
    Reject(BlockRequest),
    /// You may ask for this piece although I choke you (BEP 6).
    AllowedFast(u32),
    /// A message of the extension protocol (BEP 10); id 0 is its handshake. `proto`'s registry decodes the body.
    Extended {
        /// The id that the receiver gave to the extension, or 0.
        id: u8,
        /// Bencoded head, and what follows it.
        body: Box<[u8]>,
    },
    /// A message id that we do not know. Ignored, as BEP 3 peers do.
    Unknown(u8),
}

/// A range that a peer names: in a request, a cancel or a reject.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockRequest {
    /// Piece number.
    pub piece: u32,
    /// Bytes from the start of the piece.
    pub offset: u32,
    /// Bytes.
    pub len: u32,
}

impl From<crate::Block> for BlockRequest {
    fn from(block: crate::Block) -> BlockRequest {
        BlockRequest { piece: block.piece.0, offset: block.offset, len: block.len }
    }
}

/// The 68 bytes that open a link (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Handshake {
    /// What the sender can do.
    pub reserved: Reserved,
    /// Which torrent it is about.
    pub info_hash: InfoHash,
    /// What the sender calls itself.
    pub peer_id: PeerId,
}

/// The eight reserved bytes of the handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What we offer: extension protocol (BEP 10) and fast extension (BEP 6).
    pub const OURS: Reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// The same, and that there is a node of the DHT (BEP 5): who hears it says where its own is.
    #[must_use]
    pub fn with_dht(self) -> Reserved {
        let mut bytes = self.0;
        bytes[7] |= 0x01;
        Reserved(bytes)
    }

    /// BEP 10.
    pub fn extension_protocol(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// BEP 6.
    pub fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// BEP 5.
    pub fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// BEP 52: the sender would rather speak v2.
    pub fn v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }
}

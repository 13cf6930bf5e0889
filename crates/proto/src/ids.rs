//! The names of things that cross the seam. A slot says where to look, a generation says whether it is still the same thing.

macro_rules! slot_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name {
            /// Index into its owner's table.
            pub slot: u32,
            /// Which tenant of the slot.
            pub generation: u32,
        }
    };
}

slot_id! {
    /// A torrent of ours. Named by the driver when it adds one.
    TorrentId
}
slot_id! {
    /// A link to a peer, after its handshake. Named by the driver, whose socket it is.
    LinkId
}
slot_id! {
    /// The bytes of one received block, parked with the driver. Named by the driver.
    PayloadId
}

/// One attempt to reach a candidate. Named by the session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DialId {
    /// For which torrent.
    pub torrent: TorrentId,
    /// Counts this torrent's dials.
    pub sequence: u32,
}

/// One block on its way out. Named by the session; ends in exactly one `Sent` or `Unsent`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SendToken {
    /// Over which link.
    pub link: LinkId,
    /// Counts this link's sends.
    pub sequence: u32,
}

/// One visit to a tracker. Named by the session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AnnounceId {
    /// For which torrent.
    pub torrent: TorrentId,
    /// Counts this torrent's visits.
    pub sequence: u32,
}

/// One question to a tracker for its counts (BEP 48, 15). Named by the session; ends in exactly one `Scraped`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ScrapeId {
    /// For which torrent.
    pub torrent: TorrentId,
    /// Counts this torrent's visits.
    pub sequence: u32,
}

/// One range on its way from a web server (BEP 19). Named by the session; ends in exactly one `FetchEnded`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FetchId {
    /// For which torrent.
    pub torrent: TorrentId,
    /// Counts this torrent's fetches.
    pub sequence: u32,
}

/// Which time round a piece is being fetched; counts up when it fails its hash, so that late answers are known as late.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Attempt(pub u32);

/// A batch of writes of one torrent that is made durable together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u32);

/// The first slot of keys that stand for web seeds. No peer sits there: the table of peers ends far below.
const WEB_SEED_SLOT: u16 = 0xff00;

/// One peer of one torrent, inside the session: a slot of the torrent's peer table and which tenant of it. Does not cross the seam.
/// A web seed has a key too, so that the picker and blame know every source of blocks by one kind of name.
///
/// The generation keeps a newcomer from being taken for the peer that had its slot before: blocks of unfinished pieces
/// remember who sent them, and a ban must not fall on the next tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerKey(u32);

impl PeerKey {
    /// The peer in this slot; `generation` counts the slot's tenants and may wrap.
    pub const fn new(slot: u16, generation: u16) -> PeerKey {
        PeerKey((generation as u32) << 16 | slot as u32)
    }

    /// The web seed with this index.
    pub const fn of_web_seed(index: u8) -> PeerKey {
        PeerKey::new(WEB_SEED_SLOT + index as u16, 0)
    }

    /// Which web seed this is; nothing if it is a peer.
    pub const fn web_seed(self) -> Option<u8> {
        let slot = self.slot() as u16;
        if slot >= WEB_SEED_SLOT { Some((slot - WEB_SEED_SLOT) as u8) } else { None }
    }

    /// Index into the torrent's peer table.
    pub const fn slot(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// Which tenant of the slot.
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

impl core::fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "peer {}.{}", self.slot(), self.generation())
    }
}

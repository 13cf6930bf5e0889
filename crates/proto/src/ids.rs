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

/// Which time round a piece is being fetched; counts up when it fails its hash, so that late answers are known as late.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Attempt(pub u32);

/// A batch of writes of one torrent that is made durable together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u32);

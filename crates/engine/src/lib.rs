//! The library that users embed: network loop, disk threads, clock and entropy around `proto`.
//!
//! Start at [`Client`]. It decides nothing about peers, pieces, retries or rates: that is `proto`'s, which the simulator
//! drives with the very same code.

mod client;
mod clock;
pub mod dht;
mod disk;
mod edge;
mod entropy;
mod events;
pub mod hashing;
mod mailbox;
mod net;
pub mod page;
mod pipe;
mod reply;
pub mod sharing;
mod state;

pub use client::{AddError, AddOptions, CheckRoom, ChooseFiles, Client, ClientConfig, Prospect};
pub use client::{StartError, TorrentHandle};
pub use disk::spec::Allocation;
pub use edge::{FetchError, Forbidden};
pub use events::{EVENTS_MAX, Events};
pub use mailbox::RecvError;
pub use net::beacon::{BeaconNews, EVERYWHERE, LocalBeacon};
pub use net::listen::Listen;
pub use net::{LinkEncryption, LinkedPeer};
pub use reply::Reply;

pub use wire::private::SwarmKey;

pub use proto::beacon::{Sharer, Silence};
pub use proto::command::SeedGoal;
pub use proto::config::SuperSeeding;
pub use proto::door::{Encryption, Policy, Tally};
pub use proto::event::StageName;
pub use proto::input::{PeerSource, Refusal};
pub use proto::share::Limits;
pub use proto::stats::{PeerStats, SwarmCounts, TorrentStats, TrackerStats, WebSeedState, WebSeedStats};
pub use proto::{DiskError, DiskErrorKind};
pub use proto::{Event, Priority, TorrentId};
pub use wire::{Bitfield, InfoHash, Magnet, Metainfo, PeerId, PieceIndex};

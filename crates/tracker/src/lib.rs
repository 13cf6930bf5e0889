//! The tracker server: sockets around `proto`'s swarm table. Announces over HTTP, UDP and WebSocket, in plain or within TLS; scrapes.
//!
//! Workers, each one thread with one loop and the swarms of one shard; no choice about peers: who is kept, forgotten and handed out is
//! `proto::tracker`'s, and what members are credited. Start at [`Tracker`]. Always: every connection, buffer and table is bounded; nobody's
//! address is believed but the one that its packets come from, or that a proxy which the operator named says; a UDP answer is never longer
//! than its question unless the asker has shown that the address is its own. BEP: 3, 7, 15, 23, 24, 41, 48

mod access;
mod accounts;
mod certificate;
mod config;
mod connection_id;
mod desk;
mod handle;
mod http;
mod listing;
mod members;
mod network;
mod server;
mod shards;
mod siphash;
mod sockets;
mod state;
mod stream;
mod tally;
mod turns;
mod udp;
mod visitors;
mod websocket;
mod worker;

pub use access::{Access, TorrentList};
pub use accounts::{Books, Standing};
pub use certificate::{Certificate, CertificateError};
pub use config::{Config, HttpRules, Listen, Private, UdpRules, WebSocketRules};
pub use handle::{Busy, HEEDED_WITHIN, Handle, PEERS_MAX, Swarm, TORRENTS_MAX};
pub use members::{Members, User};
pub use network::Network;
pub use proto::tracker::ledger;
pub use proto::tracker::signalling;
pub use proto::tracker::swarm_table::{Counts, Restored, Rules};
pub use server::{Figures, StartError, Tracker};
pub use shards::Unheeded;
pub use state::Remembered;

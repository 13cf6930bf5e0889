//! The distributed hash table (BEP 5) for users of the library: how a client takes part in it
//! ([`ClientConfig::dht`](crate::ClientConfig::dht)), and searches of one's own ([`Client::search_dht`](crate::Client::search_dht)).
//! Torrents look for peers there by themselves.

pub use crate::client::dht::{DhtConfig, DhtFound, DhtSearch, NoDht};
pub use proto::dht::{Finding, Goal, Report, Stats, Tally, Wanted};
pub use wire::item::{Item, MutableItem, PublicKey, SecretKey};
pub use wire::krpc::{NodeInfo, Put, Samples};
pub use wire::node_id::NodeId;

//! One module per target. Each says in its header what it holds its decoder to.

pub mod beacon;
pub mod bencode;
pub mod code;
pub mod dht;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod krpc;
pub mod lsd;
pub mod magnet;
pub mod metainfo;
pub mod mse;
pub mod offer;
pub mod paired;
pub mod pairing;
pub mod path;
pub mod private;
pub mod session;
pub mod session_inputs;
pub mod swarm_table;
pub mod trace;
pub mod tracker_head;
pub mod tracker_http;
pub mod tracker_query;
pub mod tracker_udp;
pub mod ut_metadata;

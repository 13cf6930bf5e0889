//! Bytes to values and back: bencode, metainfo, peer messages, tracker formats, datagrams of the DHT.
//!
//! No socket, no clock, no randomness, no decision: a decoder says what the bytes mean or what is wrong with them.
//! Every decoder bounds its depth, its size and its allocations before it reads (`facts` in each module's limits).
//!
//! Start at [`Metainfo`] (what a `.torrent` holds), [`Layout`] (where its bytes live) and [`Message`] (what peers say).
#![forbid(unsafe_code)]

pub mod announce;
pub mod beacon;
pub mod bencode;
pub mod bitfield;
pub mod bloom;
pub mod cipher;
pub mod code;
pub mod compact;
pub mod disguise;
pub mod display_safe;
pub mod extension;
pub mod frame;
pub mod handshake;
pub mod hash;
pub mod item;
pub mod krpc;
pub mod layout;
pub mod lsd;
pub mod magnet;
pub mod message;
pub mod metadata;
pub mod metainfo;
pub mod mse;
pub mod node_id;
pub mod offer;
pub mod paired;
pub mod pairing;
pub mod passkey;
pub mod path;
pub mod pex;
pub mod private;
pub mod proxied;
pub mod tracker_http;
pub mod tracker_udp;
pub mod tracker_ws;

pub use bitfield::Bitfield;
pub use cipher::Cipher;
pub use display_safe::DisplaySafe;
pub use hash::{InfoHash, PeerId};
pub use layout::{Block, FileIndex, Layout, PieceIndex};
pub use magnet::Magnet;
pub use message::{Handshake, Message, Reserved};
pub use metainfo::Metainfo;
pub use node_id::NodeId;
pub use passkey::Passkey;
pub use path::SafePath;

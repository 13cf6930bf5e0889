//! What nodes of the DHT say to each other: queries, replies and errors, each a bencoded dictionary in one datagram.
//!
//! Stateless: whether a reply's transaction is one of ours, a token one that we gave, a signature genuine, is for the caller
//! to say. Read as leniently as real clients write, written canonically.
//! Invariants: what is read is bounded by the constants here; lists hold no port 0, `nodes` no IPv6 and `nodes6` no IPv4
//! address; every [`crate::item::Item`] read passes its `check`. BEP: 5, 32, 33, 42, 43, 44, 51. Threats: D4, D7, D10

mod decode;
mod encode;
mod error;
mod short;

#[cfg(test)]
mod tests;

use crate::bencode::Limits;
use crate::bloom::Filter;
use crate::item::Item;
use crate::{InfoHash, NodeId};
use core::net::SocketAddr;

pub use error::{KrpcError, error_code};
pub use short::{TOKEN_LEN_MAX, TRANSACTION_LEN_MAX, Token, Transaction};

/// Longest datagram that is read, in bytes. The longest honest ones answer a `get`: a value of 1,000, its key and signature,
/// a token, and eight nodes of either family make some 1,800, which IP then sends in two fragments.
pub const DATAGRAM_LEN_MAX: usize = Limits::KRPC.bytes;

/// Shortest datagram that is read, in bytes: no message is shorter, and most of what is no message is.
pub const DATAGRAM_LEN_MIN: usize = 15;

/// Most nodes kept of one list. BEP 5 has 8, the public routers 16; with more, one stranger would steer a whole look-up.
pub const NODES_MAX: usize = 32;

/// Most peers kept of one reply: libtorrent sends up to 100.
pub const VALUES_MAX: usize = 128;

/// Most info-hashes kept of one sample: what fits into a datagram (BEP 51).
pub const SAMPLES_MAX: usize = 102;

/// Longest time, in seconds, for which a node may ask not to be sampled again (BEP 51): six hours.
pub const SAMPLE_INTERVAL_MAX: u32 = 21_600;

/// Longest name of a method that is kept, in bytes; the longest known one has 17.
pub const METHOD_NAME_LEN_MAX: usize = 32;

/// Longest text of an error that is kept, in bytes.
pub const FAULT_TEXT_LEN_MAX: usize = 200;

/// One datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Chosen by who asks; comes back with the answer.
    pub transaction: Transaction,
    /// `v`: what the sender's program calls itself.
    pub version: Option<[u8; 4]>,
    /// `ip`: the receiver's address as the sender sees it (BEP 42). Port 0 if only an address was given.
    pub external: Option<SocketAddr>,
    /// What is said.
    pub body: Body,
}

/// The three kinds of datagrams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// `y` is `q`.
    Query(Query),
    /// `y` is `r`.
    Reply(Reply),
    /// `y` is `e`.
    Error(KrpcFault),
}

/// An error as it is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KrpcFault {
    /// One of [`error_code`], or a stranger's own.
    pub code: i64,
    /// A stranger's text of at most [`FAULT_TEXT_LEN_MAX`] bytes, not yet safe to display.
    pub message: Box<str>,
}

/// A question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// Who asks.
    pub id: NodeId,
    /// Who asks will not answer, and wants to be in nobody's table (BEP 43).
    pub read_only: bool,
    /// What is asked.
    pub method: Method,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Method {
    /// Are you there?
    Ping,
    /// Which nodes are near this id?
    FindNode {
        /// The id.
        target: NodeId,
        /// In which families.
        want: Option<Want>,
    },
    /// Which peers has this torrent, or which nodes are nearer to it?
    GetPeers {
        /// The torrent.
        info_hash: InfoHash,
        /// In which families nodes are wanted.
        want: Option<Want>,
        /// Rather no seeds (BEP 33).
        noseed: bool,
        /// How many are there (BEP 33)?
        scrape: bool,
    },
    /// I am a peer of this torrent.
    AnnouncePeer {
        /// The torrent.
        info_hash: InfoHash,
        /// Where: not 0 unless `implied_port`.
        port: u16,
        /// At the port that the datagram came from, whatever `port` says.
        implied_port: bool,
        /// Having all of it (BEP 33).
        seed: bool,
        /// As the node gave it.
        token: Token,
    },
    /// What is stored here (BEP 44)?
    Get {
        /// Where.
        target: NodeId,
        /// Only what is newer than this.
        seq: Option<i64>,
        /// In which families nodes are wanted.
        want: Option<Want>,
    },
    /// Store this (BEP 44).
    Put {
        /// As the node gave it.
        token: Token,
        /// What.
        put: Put,
    },
    /// Which torrents do you know (BEP 51)?
    SampleInfohashes {
        /// Near which id nodes are wanted.
        target: NodeId,
        /// In which families.
        want: Option<Want>,
    },
    /// A method that we do not know.
    Unknown {
        /// Its name, of at most [`METHOD_NAME_LEN_MAX`] bytes, not yet safe to display.
        name: Box<str>,
        /// Its `target` or `info_hash`, near which an answer names nodes, as other clients do.
        target: Option<NodeId>,
    },
}

/// What is to be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Put {
    /// What.
    pub item: Item,
    /// Only in place of this version. For mutable items.
    pub cas: Option<i64>,
}

/// An answer. Which of these it holds depends on the question; here it is only said what came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Who answers.
    pub id: NodeId,
    /// Nodes near what was asked for, over IPv4; at most [`NODES_MAX`] are read.
    pub nodes: Vec<NodeInfo>,
    /// The same over IPv6 (BEP 32).
    pub nodes6: Vec<NodeInfo>,
    /// Peers of either family; at most [`VALUES_MAX`] are read.
    pub values: Vec<SocketAddr>,
    /// To be shown when something is stored with this node. One that is too long is none.
    pub token: Option<Token>,
    /// `p`: the port that the question came from.
    pub port: Option<u16>,
    /// Who has all of it and who has not (`BFsd`, `BFpe` of BEP 33).
    pub scrape: Option<Box<(Filter, Filter)>>,
    /// What is stored (BEP 44). A mutable item is without its salt.
    pub item: Option<Item>,
    /// Which version is stored, when the value did not come because it is not newer (BEP 44).
    pub seq: Option<i64>,
    /// What a node knows (BEP 51).
    pub samples: Option<Samples>,
}

/// Some of the torrents that a node stores peers of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Samples {
    /// Seconds for which the sample stays the same: at most [`SAMPLE_INTERVAL_MAX`].
    pub interval: u32,
    /// How many it stores.
    pub num: u32,
    /// Some of them; at most [`SAMPLES_MAX`] are read.
    pub samples: Vec<InfoHash>,
}

/// A node and where it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeInfo {
    /// What it calls itself.
    pub id: NodeId,
    /// Where it is.
    pub address: SocketAddr,
}

/// Of which families nodes are wanted (BEP 32). A question without it wants its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Want {
    /// `n4`
    pub v4: bool,
    /// `n6`
    pub v6: bool,
}

impl Packet {
    /// A packet with nothing but what is said.
    pub fn new(transaction: Transaction, body: Body) -> Packet {
        Packet { transaction, version: None, external: None, body }
    }

    /// Reads a datagram. Keys that are unknown or not needed and wrong count as absent; bytes behind the dictionary too.
    ///
    /// # Errors
    /// When it is no message of BEP 5, or lacks what its kind needs. [`KrpcError::answer`] says if and what to reply.
    pub fn decode(bytes: &[u8]) -> Result<Packet, KrpcError> {
        decode::packet(bytes)
    }

    /// Appends the datagram, its keys in order. How long it gets, the lists in it decide.
    ///
    /// Nodes and the scope of addresses that have no place in their list are left out, and empty lists.
    pub fn encode(&self, out: &mut Vec<u8>) {
        encode::packet(self, out);
    }
}

impl Reply {
    /// An answer that says nothing but who answers.
    pub fn new(id: NodeId) -> Reply {
        Reply {
            id,
            nodes: Vec::new(),
            nodes6: Vec::new(),
            values: Vec::new(),
            token: None,
            port: None,
            scrape: None,
            item: None,
            seq: None,
            samples: None,
        }
    }
}

impl KrpcFault {
    /// An error with one of our texts.
    pub fn new(code: i64, message: &str) -> KrpcFault {
        KrpcFault { code, message: message.into() }
    }
}

impl Method {
    /// The name in `q`.
    pub fn name(&self) -> &str {
        match self {
            Method::Ping => "ping",
            Method::FindNode { .. } => "find_node",
            Method::GetPeers { .. } => "get_peers",
            Method::AnnouncePeer { .. } => "announce_peer",
            Method::Get { .. } => "get",
            Method::Put { .. } => "put",
            Method::SampleInfohashes { .. } => "sample_infohashes",
            Method::Unknown { name, .. } => name,
        }
    }
}

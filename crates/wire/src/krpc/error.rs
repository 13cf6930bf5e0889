//! Why a datagram is not understood, and whether its sender is told.

use super::{DATAGRAM_LEN_MAX, KrpcFault, Transaction};
use crate::bencode::BencodeError;
use core::fmt;

/// The numbers of errors. BEP: 5, 44
pub mod error_code {
    /// Something went wrong.
    pub const GENERIC: i64 = 201;
    /// The node cannot, for now.
    pub const SERVER: i64 = 202;
    /// The question lacks something, or a token is not ours.
    pub const PROTOCOL: i64 = 203;
    /// A method that the node does not know.
    pub const METHOD_UNKNOWN: i64 = 204;
    /// A value is longer than [`crate::item::VALUE_LEN_MAX`].
    pub const VALUE_TOO_LONG: i64 = 205;
    /// A signature is not genuine.
    pub const BAD_SIGNATURE: i64 = 206;
    /// A salt is longer than [`crate::item::SALT_LEN_MAX`].
    pub const SALT_TOO_LONG: i64 = 207;
    /// `cas` is not the version that is stored: read again and try again.
    pub const CAS_MISMATCH: i64 = 301;
    /// The version is older than the one that is stored.
    pub const SEQ_TOO_LOW: i64 = 302;
}

/// Why a datagram is none of BEP 5.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KrpcError {
    /// Longer than [`DATAGRAM_LEN_MAX`]: so many bytes.
    TooLong(usize),
    /// Too short, or no dictionary: something else's datagram.
    NotKrpc,
    /// No bencode, or too much of it.
    Bencode(BencodeError),
    /// A key without which nothing can be made of it is missing or of the wrong kind.
    Field {
        /// Which, as a path from the top.
        key: &'static str,
        /// What it must be.
        needs: &'static str,
    },
    /// A question by what seems a node, that lacks something: the one kind that is answered.
    Query {
        /// To be answered with.
        transaction: Transaction,
        /// One of [`error_code`].
        code: i64,
        /// What is wrong, for the sender's developer.
        what: &'static str,
    },
}

impl KrpcError {
    /// What to reply, if anything. Garbage gets no answer, for its sender's address may be forged; what does get one asked in
    /// about as many bytes.
    pub fn answer(&self) -> Option<(Transaction, KrpcFault)> {
        match self {
            KrpcError::Query { transaction, code, what } => Some((*transaction, KrpcFault::new(*code, what))),
            KrpcError::TooLong(_) | KrpcError::NotKrpc | KrpcError::Bencode(_) | KrpcError::Field { .. } => {
                None
            }
        }
    }
}

impl fmt::Display for KrpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KrpcError::TooLong(len) => {
                write!(
                    f,
                    "DHT datagram: {len} bytes, more than the {DATAGRAM_LEN_MAX} that any message takes"
                )
            }
            KrpcError::NotKrpc => f.write_str("DHT datagram: not a bencoded dictionary"),
            KrpcError::Bencode(error) => write!(f, "DHT datagram: {error}"),
            KrpcError::Field { key, needs } => write!(f, "DHT datagram: `{key}` must be {needs}"),
            KrpcError::Query { code, what, .. } => write!(f, "DHT query: {what} (error {code})"),
        }
    }
}

impl core::error::Error for KrpcError {}

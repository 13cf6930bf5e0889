//! Datagrams between clients and UDP trackers, both ways and both roles.
//!
//! Stateless: whether a reply's transaction is one of ours, and whether a connection id is one that we gave, is for the
//! caller to say, and the first thing to ask. Invariant: a datagram of the wrong size is refused whole. BEP: 15, 41

use crate::announce::{AnnounceEvent, AnnounceRequest, PEERS_MAX, text};
use crate::compact::{self, Family};
use crate::{InfoHash, PeerId};
use core::fmt;
use core::net::SocketAddr;

pub mod question;
#[cfg(test)]
mod tests;

use question::{Question, announce_reply, connect_reply, error_reply, scrape_reply, scrape_row};

/// Opens every connect request.
pub const PROTOCOL_ID: u64 = 0x0417_2710_1980;

/// Most torrents in a scrape (BEP 15).
pub const SCRAPE_MAX: usize = 74;

/// Longest path and query that are sent or read as URL data (BEP 41), so that an announce fits any path's datagram.
pub const URL_DATA_MAX: usize = 1024;

/// Bytes of an announce request before its options.
const ANNOUNCE_LEN: usize = 98;

mod action {
    pub(super) const CONNECT: u32 = 0;
    pub(super) const ANNOUNCE: u32 = 1;
    pub(super) const SCRAPE: u32 = 2;
    pub(super) const ERROR: u32 = 3;
}

mod option {
    pub(super) const END: u8 = 0;
    pub(super) const NOTHING: u8 = 1;
    pub(super) const URL_DATA: u8 = 2;
}

/// What a client sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Give me a connection id.
    Connect {
        /// Comes back in the reply.
        transaction: u32,
    },
    /// Here I am; who else is there? The address field of BEP 15 is sent as 0 and not read: the datagram has one.
    Announce {
        /// As the tracker gave it.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// What the visit says. `Paused` travels as a regular visit: BEP 15 has no number for it.
        announce: AnnounceRequest,
        /// Path and query of the tracker's URL, or nothing (BEP 41). At most [`URL_DATA_MAX`] bytes.
        url_data: Box<str>,
    },
    /// How many are there?
    Scrape {
        /// As the tracker gave it.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// Of which torrents; at most [`SCRAPE_MAX`].
        torrents: Vec<InfoHash>,
    },
}

/// What a tracker answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// Use this connection id, for about a minute.
    Connect {
        /// As the client named it.
        transaction: u32,
        /// The id.
        connection: u64,
    },
    /// Peers.
    Announce {
        /// As the client named it.
        transaction: u32,
        /// Seconds until the next visit.
        interval: u32,
        /// How many are downloading.
        leechers: u32,
        /// How many have everything.
        seeders: u32,
        /// Strangers' addresses, of the family over which the tracker was asked; at most [`PEERS_MAX`] are read.
        peers: Vec<SocketAddr>,
    },
    /// Counts, in the order of the request.
    Scrape {
        /// As the client named it.
        transaction: u32,
        /// One for each torrent.
        counts: Vec<ScrapeCounts>,
    },
    /// No.
    Error {
        /// As the client named it.
        transaction: u32,
        /// Why: a stranger's text.
        reason: Box<str>,
    },
}

/// One row of a scrape.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScrapeCounts {
    /// How many have everything.
    pub seeders: u32,
    /// How often it was downloaded whole.
    pub completed: u32,
    /// How many are downloading.
    pub leechers: u32,
}

/// Why a datagram is none of BEP 15.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatagramError {
    /// Not the size that its action has.
    WrongLen,
    /// An action that does not exist.
    UnknownAction(u32),
    /// A connect request without the protocol's number.
    NotTheProtocol,
    /// The options of an announce request do not add up (BEP 41).
    Options,
}

impl fmt::Display for DatagramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatagramError::WrongLen => f.write_str("wrong size for its action"),
            DatagramError::UnknownAction(action) => write!(f, "unknown action {action}"),
            DatagramError::NotTheProtocol => f.write_str("not the UDP tracker protocol"),
            DatagramError::Options => f.write_str("malformed options"),
        }
    }
}

impl core::error::Error for DatagramError {}

impl Request {
    /// Reads a client's datagram.
    ///
    /// # Errors
    /// When it is not exactly what its action demands; options that nobody knows are skipped.
    pub fn decode(datagram: &[u8]) -> Result<Request, DatagramError> {
        Ok(match Question::decode(datagram)? {
            Question::Connect { transaction } => Request::Connect { transaction },
            Question::Announce { connection, transaction, announce, url_data } => {
                let data: Vec<u8> = url_data.parts().flatten().copied().collect();
                // URLs are ASCII.
                let url_data = String::from_utf8(data).map_err(|_| DatagramError::Options)?.into_boxed_str();
                Request::Announce { connection, transaction, announce, url_data }
            }
            Question::Scrape { connection, transaction, torrents } => {
                Request::Scrape { connection, transaction, torrents: torrents.iter().collect() }
            }
        })
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Request::Connect { transaction } => head(PROTOCOL_ID, action::CONNECT, *transaction, out),
            Request::Announce { connection, transaction, announce, url_data } => {
                head(*connection, action::ANNOUNCE, *transaction, out);
                encode_announce(announce, out);
                let data = url_data.as_bytes();
                for chunk in data.get(..URL_DATA_MAX).unwrap_or(data).chunks(255) {
                    out.extend([option::URL_DATA, chunk.len() as u8]);
                    out.extend(chunk);
                }
            }
            Request::Scrape { connection, transaction, torrents } => {
                head(*connection, action::SCRAPE, *transaction, out);
                torrents.iter().take(SCRAPE_MAX).for_each(|torrent| out.extend(torrent.0));
            }
        }
    }
}

impl Reply {
    /// The transaction that the reply claims to answer.
    pub fn transaction(&self) -> u32 {
        match self {
            Reply::Connect { transaction, .. }
            | Reply::Announce { transaction, .. }
            | Reply::Scrape { transaction, .. }
            | Reply::Error { transaction, .. } => *transaction,
        }
    }

    /// Reads a tracker's datagram; `family` is the one over which it came, which says how peers are packed.
    ///
    /// # Errors
    /// When it is not exactly what its action demands.
    pub fn decode(datagram: &[u8], family: Family) -> Result<Reply, DatagramError> {
        let mut rest = Reader(datagram);
        let (action, transaction) = (rest.u32()?, rest.u32()?);
        match action {
            action::CONNECT => {
                let connection = rest.u64()?;
                rest.end(Reply::Connect { transaction, connection })
            }
            action::ANNOUNCE => {
                let (interval, leechers, seeders) = (rest.count()?, rest.count()?, rest.count()?);
                if !rest.0.len().is_multiple_of(family.packed_len()) {
                    return Err(DatagramError::WrongLen);
                }
                let peers = compact::decode(rest.0, family).take(PEERS_MAX).collect();
                Ok(Reply::Announce { transaction, interval, leechers, seeders, peers })
            }
            action::SCRAPE => {
                let counts = rest.rows(12, |row| {
                    let (seeders, completed, leechers) = (row.count()?, row.count()?, row.count()?);
                    Ok(ScrapeCounts { seeders, completed, leechers })
                })?;
                Ok(Reply::Scrape { transaction, counts })
            }
            action::ERROR => Ok(Reply::Error { transaction, reason: text(rest.0) }),
            _ => Err(DatagramError::UnknownAction(action)),
        }
    }

    /// Appends the datagram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Reply::Connect { transaction, connection } => {
                out.extend(connect_reply(*transaction, *connection))
            }
            Reply::Announce { transaction, interval, leechers, seeders, peers } => {
                out.extend(announce_reply(*transaction, *interval, *leechers, *seeders));
                peers.iter().for_each(|peer| compact::encode(peer, out));
            }
            Reply::Scrape { transaction, counts } => {
                out.extend(scrape_reply(*transaction));
                counts.iter().for_each(|&row| out.extend(scrape_row(row)));
            }
            Reply::Error { transaction, reason } => {
                out.extend(error_reply(*transaction));
                out.extend(reason.as_bytes());
            }
        }
    }
}

fn head(connection: u64, action: u32, transaction: u32, out: &mut Vec<u8>) {
    out.extend(connection.to_be_bytes());
    out.extend(action.to_be_bytes());
    out.extend(transaction.to_be_bytes());
}

fn decode_announce(rest: &mut Reader<'_>) -> Result<AnnounceRequest, DatagramError> {
    let (info_hash, peer_id) = (InfoHash(rest.array()?), PeerId(rest.array()?));
    let (downloaded, left, uploaded) = (rest.u64()?, rest.u64()?, rest.u64()?);
    let event = match rest.u32()? {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        _ => AnnounceEvent::None,
    };
    let _address = rest.u32()?;
    let key = Some(rest.u32()?);
    // -1, and to be safe every negative number, leaves it to the tracker.
    let want = Some(rest.u32()?).filter(|&want| want <= i32::MAX as u32);
    let port = rest.u16()?;
    Ok(AnnounceRequest { info_hash, peer_id, port, uploaded, downloaded, left, event, want, key })
}

fn encode_announce(announce: &AnnounceRequest, out: &mut Vec<u8>) {
    let AnnounceRequest { info_hash, peer_id, port, uploaded, downloaded, left, event, want, key } = announce;
    let event: u32 = match event {
        AnnounceEvent::None | AnnounceEvent::Paused => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    let want = want.map_or(-1, |want| i32::try_from(want).unwrap_or(i32::MAX));
    out.reserve(ANNOUNCE_LEN - 16);
    out.extend(info_hash.0);
    out.extend(peer_id.0);
    [downloaded, left, uploaded].iter().for_each(|bytes| out.extend(bytes.to_be_bytes()));
    out.extend(event.to_be_bytes());
    out.extend([0; 4]);
    out.extend(key.unwrap_or(0).to_be_bytes());
    out.extend(want.to_be_bytes());
    out.extend(port.to_be_bytes());
}

/// What is left to read of a datagram.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DatagramError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DatagramError::WrongLen)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, DatagramError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, DatagramError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, DatagramError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A number that BEP 15 calls a signed 32-bit count: below zero it means nothing.
    fn count(&mut self) -> Result<u32, DatagramError> {
        self.u32().map(|number| if number > i32::MAX as u32 { 0 } else { number })
    }

    /// All that is left, as rows of this many bytes each.
    fn rows<T>(
        &mut self,
        len: usize,
        mut row: impl FnMut(&mut Reader<'a>) -> Result<T, DatagramError>,
    ) -> Result<Vec<T>, DatagramError> {
        if !self.0.len().is_multiple_of(len) {
            return Err(DatagramError::WrongLen);
        }
        self.0.chunks_exact(len).map(|bytes| row(&mut Reader(bytes))).collect()
    }

    /// The value, if nothing is left.
    fn end<T>(self, value: T) -> Result<T, DatagramError> {
        if self.0.is_empty() { Ok(value) } else { Err(DatagramError::WrongLen) }
    }
}

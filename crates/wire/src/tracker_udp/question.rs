//! A client's datagram as a tracker reads it, and the tracker's answers as bytes of fixed size: nothing is allocated on either way.
//! [`super::Request`] and [`super::Reply`] are the same as values to keep.
//!
//! Invariant: what is borrowed was looked through when it was decoded, so that reading it cannot fail. BEP: 15, 41

use super::{
    ANNOUNCE_LEN, DatagramError, PROTOCOL_ID, Reader, SCRAPE_MAX, ScrapeCounts, URL_DATA_MAX, action,
    decode_announce, option,
};
use crate::InfoHash;
use crate::announce::AnnounceRequest;

/// What a client sends, its lists still in the datagram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question<'a> {
    /// Give me a connection id.
    Connect {
        /// Comes back in the reply.
        transaction: u32,
    },
    /// Here I am; who else is there?
    Announce {
        /// As the tracker gave it.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// What the visit says.
        announce: AnnounceRequest,
        /// Path and query of the tracker's URL, or nothing (BEP 41).
        url_data: UrlData<'a>,
    },
    /// How many are there?
    Scrape {
        /// As the tracker gave it.
        connection: u64,
        /// Comes back in the reply.
        transaction: u32,
        /// Of which torrents.
        torrents: Torrents<'a>,
    },
}

impl Question<'_> {
    /// Reads a client's datagram.
    ///
    /// # Errors
    /// When it is not exactly what its action demands; options that nobody knows are skipped.
    pub fn decode(datagram: &[u8]) -> Result<Question<'_>, DatagramError> {
        let mut rest = Reader(datagram);
        let (connection, action, transaction) = (rest.u64()?, rest.u32()?, rest.u32()?);
        match action {
            action::CONNECT if connection != PROTOCOL_ID => Err(DatagramError::NotTheProtocol),
            action::CONNECT => rest.end(Question::Connect { transaction }),
            action::ANNOUNCE => {
                let announce = decode_announce(&mut rest)?;
                let url_data = UrlData::check(rest.0)?;
                Ok(Question::Announce { connection, transaction, announce, url_data })
            }
            action::SCRAPE => {
                let (torrents, odd) = rest.0.as_chunks();
                let fits = (1..=SCRAPE_MAX).contains(&torrents.len()) && odd.is_empty();
                let scrape = Question::Scrape { connection, transaction, torrents: Torrents(torrents) };
                if fits { Ok(scrape) } else { Err(DatagramError::WrongLen) }
            }
            _ => Err(DatagramError::UnknownAction(action)),
        }
    }
}

/// The torrent and the port of an announce; nothing if it is something else. Nothing more is looked at: it may not be an announce after
/// all.
pub fn glance(datagram: &[u8]) -> Option<(InfoHash, u16)> {
    let mut rest = Reader(datagram.get(..ANNOUNCE_LEN)?);
    let (_connection, action, _transaction) = (rest.u64().ok()?, rest.u32().ok()?, rest.u32().ok()?);
    let info_hash = InfoHash(rest.array().ok()?);
    let port = Reader(datagram.get(ANNOUNCE_LEN - 2..ANNOUNCE_LEN)?).u16().ok()?;
    (action == action::ANNOUNCE).then_some((info_hash, port))
}

/// The torrents of a scrape: 1 to [`SCRAPE_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torrents<'a>(&'a [[u8; 20]]);

impl<'a> Torrents<'a> {
    /// In the order of the question.
    pub fn iter(self) -> impl ExactSizeIterator<Item = InfoHash> + 'a {
        self.0.iter().map(|&bytes| InfoHash(bytes))
    }
}

/// Path and query of the tracker's URL, in one or several options (BEP 41). At most [`URL_DATA_MAX`] bytes, of any kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UrlData<'a> {
    options: &'a [u8],
}

impl<'a> UrlData<'a> {
    /// Looks through all options.
    fn check(options: &'a [u8]) -> Result<UrlData<'a>, DatagramError> {
        let (mut rest, mut len) = (options, 0);
        while let Some(part) = next_part(&mut rest)? {
            len += part.len();
        }
        if len <= URL_DATA_MAX { Ok(UrlData { options }) } else { Err(DatagramError::Options) }
    }

    /// Its parts, to be put together in this order.
    pub fn parts(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.options;
        core::iter::from_fn(move || next_part(&mut rest).ok().flatten())
    }

    /// Put together. Where it came in one piece, as it usually does, that is borrowed; otherwise the pieces are copied to this place.
    pub fn joined<'b>(self, place: &'b mut [u8; URL_DATA_MAX]) -> &'b [u8]
    where
        'a: 'b,
    {
        let mut parts = self.parts();
        match (parts.next(), parts.next()) {
            (None, _) => &[],
            (Some(only), None) => only,
            (Some(_), Some(_)) => {
                let mut len = 0;
                for (room, byte) in place.iter_mut().zip(self.parts().flatten()) {
                    *room = *byte;
                    len += 1;
                }
                place.get(..len).unwrap_or_default()
            }
        }
    }
}

/// The next part of the URL data; nothing when no more comes.
fn next_part<'a>(options: &mut &'a [u8]) -> Result<Option<&'a [u8]>, DatagramError> {
    while let Some((&kind, after)) = options.split_first() {
        match kind {
            option::END => *options = &[],
            option::NOTHING => *options = after,
            _ => {
                let (&len, after) = after.split_first().ok_or(DatagramError::Options)?;
                let (body, after) = after.split_at_checked(usize::from(len)).ok_or(DatagramError::Options)?;
                *options = after;
                if kind == option::URL_DATA {
                    return Ok(Some(body));
                }
            }
        }
    }
    Ok(None)
}

/// A connect reply.
pub fn connect_reply(transaction: u32, connection: u64) -> [u8; 16] {
    let mut out = [0; 16];
    put(&mut out, &[&action::CONNECT.to_be_bytes(), &transaction.to_be_bytes(), &connection.to_be_bytes()]);
    out
}

/// An announce reply before its peers, which follow packed.
pub fn announce_reply(transaction: u32, interval: u32, leechers: u32, seeders: u32) -> [u8; 20] {
    let mut out = [0; 20];
    let words = [action::ANNOUNCE, transaction, interval, leechers, seeders];
    for (place, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
        *place = word.to_be_bytes();
    }
    out
}

/// A scrape reply before its rows, of which one follows for each torrent.
pub fn scrape_reply(transaction: u32) -> [u8; 8] {
    let mut out = [0; 8];
    put(&mut out, &[&action::SCRAPE.to_be_bytes(), &transaction.to_be_bytes()]);
    out
}

/// A row of a scrape reply.
pub fn scrape_row(counts: ScrapeCounts) -> [u8; 12] {
    let mut out = [0; 12];
    let ScrapeCounts { seeders, completed, leechers } = counts;
    put(&mut out, &[&seeders.to_be_bytes(), &completed.to_be_bytes(), &leechers.to_be_bytes()]);
    out
}

/// An error reply before its text.
pub fn error_reply(transaction: u32) -> [u8; 8] {
    let mut out = [0; 8];
    put(&mut out, &[&action::ERROR.to_be_bytes(), &transaction.to_be_bytes()]);
    out
}

/// Fields one after the other, which fill the place.
fn put(out: &mut [u8], fields: &[&[u8]]) {
    for (place, byte) in out.iter_mut().zip(fields.iter().copied().flatten()) {
        *place = *byte;
    }
}

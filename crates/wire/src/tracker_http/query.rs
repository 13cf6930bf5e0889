//! The question to an HTTP tracker: an announce written onto a tracker's URL, and read back by a tracker.
//!
//! Invariant: the tracker's own URL, with whatever passkey its path or query bears, stays as it is to the letter.
//! BEP: 3, 7, 23

use super::scrape::SCRAPE_FILES_MAX;
use crate::announce::{AnnounceEvent, AnnounceRequest, TEXT_LEN_MAX};
use crate::{InfoHash, PeerId};
use core::fmt;

/// Longest tracker URL that is used, in bytes.
pub const URL_LEN_MAX: usize = 2048;

/// Longest query that a tracker reads, in bytes.
pub const QUERY_LEN_MAX: usize = 8 * 1024;

/// What a client adds to a tracker's URL. A URL that already has one of these is somebody's attempt to make us say
/// something to a server that is no tracker.
const OURS: [&str; 9] =
    ["info_hash", "peer_id", "port", "uploaded", "downloaded", "left", "event", "key", "corrupt"];

/// Why a tracker's URL is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlError {
    /// Longer than [`URL_LEN_MAX`].
    TooLong,
    /// A space, a control character, or one beyond ASCII.
    BadCharacter(char),
    /// It already says what only a client may say.
    Preset(&'static str),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UrlError::TooLong => write!(f, "tracker URL longer than {URL_LEN_MAX} bytes"),
            UrlError::BadCharacter(char) => write!(f, "tracker URL has character U+{:04X}", u32::from(*char)),
            UrlError::Preset(name) => write!(f, "tracker URL already has `{name}`, which is ours to say"),
        }
    }
}

impl core::error::Error for UrlError {}

/// The URL of a visit: the tracker's, its fragment cut off, with the announce added to its query. Asks for packed peers.
///
/// # Errors
/// When the URL is not one to build upon. Whether it may be visited (scheme, host, address) is not asked here.
pub fn announce_url(
    url: &str,
    announce: &AnnounceRequest,
    tracker_id: Option<&str>,
) -> Result<String, UrlError> {
    check_url(url)?;
    let base = url.split_once('#').map_or(url, |(base, _)| base);
    let mut out = String::with_capacity(base.len() + 300);
    out.push_str(base);
    match base.split_once('?') {
        None => out.push('?'),
        Some((_, query)) if query.is_empty() || query.ends_with('&') => {}
        Some(_) => out.push('&'),
    }
    let AnnounceRequest { info_hash, peer_id, port, uploaded, downloaded, left, event, want, key } = announce;
    out.push_str("info_hash=");
    percent_encode(&info_hash.0, &mut out);
    out.push_str("&peer_id=");
    percent_encode(&peer_id.0, &mut out);
    out.push_str(&format!("&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}&compact=1"));
    if let Some(event) = event_name(*event) {
        out.push_str("&event=");
        out.push_str(event);
    }
    if let Some(want) = want {
        out.push_str(&format!("&numwant={want}"));
    }
    if let Some(key) = key {
        out.push_str(&format!("&key={key:08x}"));
    }
    if let Some(id) = tracker_id {
        out.push_str("&trackerid=");
        percent_encode(id.as_bytes(), &mut out);
    }
    Ok(out)
}

pub(super) fn check_url(url: &str) -> Result<(), UrlError> {
    if url.len() > URL_LEN_MAX {
        return Err(UrlError::TooLong);
    }
    if let Some(bad) = url.chars().find(|char| !char.is_ascii_graphic()) {
        return Err(UrlError::BadCharacter(bad));
    }
    // The name is compared as a server would read it: a disguise of escapes does not help.
    let presets = url.split(['?', '&', '#']).skip(1).filter_map(|pair| pair.split('=').next());
    for name in presets.filter_map(|name| percent_decode(name.as_bytes())) {
        if let Some(ours) = OURS.into_iter().find(|ours| name == ours.as_bytes()) {
            return Err(UrlError::Preset(ours));
        }
    }
    Ok(())
}

fn event_name(event: AnnounceEvent) -> Option<&'static str> {
    match event {
        AnnounceEvent::None => None,
        AnnounceEvent::Started => Some("started"),
        AnnounceEvent::Completed => Some("completed"),
        AnnounceEvent::Stopped => Some("stopped"),
        AnnounceEvent::Paused => Some("paused"),
    }
}

/// An announce as a tracker reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AnnounceQuery {
    /// What the visit says. An `ip` in the query is not read: the connection has one.
    pub announce: AnnounceRequest,
    /// Packed peers, unless the client asks otherwise.
    pub compact: bool,
    /// What the tracker gave the client last time.
    pub tracker_id: Option<Box<str>>,
}

/// Why a query is no announce.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryError {
    /// Longer than [`QUERY_LEN_MAX`].
    TooLong,
    /// A percent sign without two hexadecimal digits.
    BadEscape,
    /// Absent, or not what it should be.
    Bad(&'static str),
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueryError::TooLong => f.write_str("query too long"),
            QueryError::BadEscape => f.write_str("bad percent escape"),
            QueryError::Bad(name) => write!(f, "`{name}` is missing or invalid"),
        }
    }
}

impl core::error::Error for QueryError {}

impl AnnounceQuery {
    /// Reads what follows the question mark of an announce. Of a name that comes twice, the first counts; unknown names
    /// are skipped.
    ///
    /// # Errors
    /// When hash, peer id or port are not right. Byte counts that are absent or no numbers are 0, as old clients need it.
    pub fn decode(query: &str) -> Result<AnnounceQuery, QueryError> {
        if query.len() > QUERY_LEN_MAX {
            return Err(QueryError::TooLong);
        }
        let mut read = Read::default();
        for (name, value) in pairs(query) {
            let mut small = [0; NAME_LEN_MAX];
            let name = decode_into(name, &mut small).ok_or(QueryError::BadEscape)?;
            read.take(name, value).ok_or(QueryError::BadEscape)?;
        }
        let announce = AnnounceRequest {
            info_hash: InfoHash(read.info_hash.flatten().ok_or(QueryError::Bad("info_hash"))?),
            peer_id: PeerId(read.peer_id.flatten().ok_or(QueryError::Bad("peer_id"))?),
            port: read.port.flatten().filter(|&port| port != 0).ok_or(QueryError::Bad("port"))?,
            uploaded: read.uploaded.flatten().unwrap_or(0),
            downloaded: read.downloaded.flatten().unwrap_or(0),
            left: read.left.flatten().unwrap_or(0),
            event: read.event.unwrap_or_default(),
            want: read.want.flatten(),
            key: read.key.flatten(),
        };
        Ok(AnnounceQuery {
            announce,
            compact: read.compact.unwrap_or(true),
            tracker_id: read.tracker_id.flatten(),
        })
    }
}

/// The longest name or number that is read; a longer one is nothing that we know.
const NAME_LEN_MAX: usize = 32;

/// What was read of an announce so far. Outside: whether the name came; inside: whether its value makes sense.
#[derive(Default)]
struct Read {
    info_hash: Option<Option<[u8; 20]>>,
    peer_id: Option<Option<[u8; 20]>>,
    port: Option<Option<u16>>,
    uploaded: Option<Option<u64>>,
    downloaded: Option<Option<u64>>,
    left: Option<Option<u64>>,
    event: Option<AnnounceEvent>,
    want: Option<Option<u32>>,
    key: Option<Option<u32>>,
    compact: Option<bool>,
    tracker_id: Option<Option<Box<str>>>,
}

impl Read {
    /// Takes a pair, if it is the first of its name; nothing if an escape in its value is broken.
    fn take(&mut self, name: &[u8], value: &str) -> Option<()> {
        match name {
            b"info_hash" => first(&mut self.info_hash, exactly(value)?),
            b"peer_id" => first(&mut self.peer_id, exactly(value)?),
            b"port" => first(&mut self.port, number(value)?),
            b"uploaded" => first(&mut self.uploaded, number(value)?),
            b"downloaded" => first(&mut self.downloaded, number(value)?),
            b"left" => first(&mut self.left, number(value)?),
            b"numwant" => first(&mut self.want, number(value)?),
            b"event" => first(&mut self.event, event(decode_into(value, &mut [0; NAME_LEN_MAX])?)),
            b"key" => {
                let mut small = [0; NAME_LEN_MAX];
                let key = core::str::from_utf8(decode_into(value, &mut small)?);
                first(&mut self.key, key.ok().and_then(|key| u32::from_str_radix(key, 16).ok()));
            }
            b"compact" => first(&mut self.compact, decode_into(value, &mut [0; NAME_LEN_MAX])? != b"0"),
            b"trackerid" => {
                let id = String::from_utf8(percent_decode(value.as_bytes())?).ok();
                first(&mut self.tracker_id, id.filter(|id| id.len() <= TEXT_LEN_MAX).map(Into::into));
            }
            _ => drop(decode_into(value, &mut [])?),
        }
        Some(())
    }
}

fn first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}

fn event(name: &[u8]) -> AnnounceEvent {
    match name {
        b"started" => AnnounceEvent::Started,
        b"completed" => AnnounceEvent::Completed,
        b"stopped" => AnnounceEvent::Stopped,
        b"paused" => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

/// Twenty bytes, no more and no fewer.
fn exactly(value: &str) -> Option<Option<[u8; 20]>> {
    let mut place = [0; 21];
    let found = decode_into(value, &mut place)?;
    Some(found.try_into().ok())
}

fn number<T: core::str::FromStr>(value: &str) -> Option<Option<T>> {
    let mut small = [0; NAME_LEN_MAX];
    let digits = core::str::from_utf8(decode_into(value, &mut small)?);
    Some(digits.ok().and_then(|digits| digits.parse().ok()))
}

/// The torrents that a scrape asks about (BEP 48), in the order of what follows its question mark.
///
/// # Errors
/// When it names none, or more than a tracker answers at once, or one that is no info-hash.
pub fn scraped(query: &str) -> Result<Vec<InfoHash>, QueryError> {
    const NAME: &str = "info_hash";
    if query.len() > QUERY_LEN_MAX {
        return Err(QueryError::TooLong);
    }
    let mut hashes = Vec::new();
    for (name, value) in pairs(query) {
        let mut small = [0; NAME_LEN_MAX];
        let name = decode_into(name, &mut small).ok_or(QueryError::BadEscape)?;
        if name != NAME.as_bytes() {
            decode_into(value, &mut []).ok_or(QueryError::BadEscape)?;
        } else if hashes.len() < SCRAPE_FILES_MAX {
            let hash = exactly(value).ok_or(QueryError::BadEscape)?;
            hashes.push(InfoHash(hash.ok_or(QueryError::Bad(NAME))?));
        } else {
            return Err(QueryError::Bad(NAME));
        }
    }
    if hashes.is_empty() { Err(QueryError::Bad(NAME)) } else { Ok(hashes) }
}

/// Names and values of a query, escapes as they are.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Escapes all but the characters that never need it (RFC 3986, unreserved).
pub(super) fn percent_encode(bytes: &[u8], out: &mut String) {
    const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.extend(['%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Resolves escapes; a plus is a space, as in forms. `None` if an escape is broken.
fn percent_decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len());
    decode(bytes, |byte| out.push(byte))?;
    Some(out)
}

/// Resolves escapes into a place, as far as there is room: what fills it whole may have been longer. `None` if an escape is broken.
fn decode_into<'a>(text: &str, place: &'a mut [u8]) -> Option<&'a [u8]> {
    let mut len = 0;
    decode(text.as_bytes(), |byte| {
        if let Some(place) = place.get_mut(len) {
            *place = byte;
            len += 1;
        }
    })?;
    place.get(..len)
}

fn decode(bytes: &[u8], mut push: impl FnMut(u8)) -> Option<()> {
    let mut rest = bytes.iter();
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    while let Some(&byte) = rest.next() {
        push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            b'+' => b' ',
            _ => byte,
        });
    }
    Some(())
}

//! Messages between browsers and a tracker over WebSocket: WebTorrent's signalling, by which two that cannot listen learn of each
//! other. JSON texts; names of 20 bytes travel as 20 characters below U+0100.
//!
//! Stateless: who may say what to whom is the swarm's to decide. Invariants: what is read is within the bounds below, and of a session
//! description only its kind and text are passed on. There is no BEP; the reference is `bittorrent-tracker`'s
//! `lib/server/parse-websocket.js`. BEP: 3, 48. Threats: C13

use crate::announce::AnnounceEvent;
use crate::tracker_udp::{SCRAPE_MAX, ScrapeCounts};
use crate::{InfoHash, PeerId};
use core::fmt;
use serde_json::{Map, Value, json};

#[cfg(test)]
mod tests;

/// Most offers in one announce; clients make 5, or 10.
pub const OFFERS_MAX: usize = 10;

/// The longest session description, in bytes: usual ones have 500 to 4,000, with every address of a host in many networks.
pub const SDP_LEN_MAX: usize = 16 * 1024;

/// The longest message that needs to be read: as many offers as there may be, their line ends escaped, and the rest.
pub const MESSAGE_LEN_MAX: usize = OFFERS_MAX * (SDP_LEN_MAX + SDP_LEN_MAX / 4) + 8 * 1024;

/// What an offer is called by who makes it, so that its answer finds home.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OfferId(pub [u8; 20]);

/// What a browser says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Here I am; give my offers to others.
    Announce(Announce),
    /// This is my answer to an offer.
    Answer(Answer),
    /// How many are there? At most [`SCRAPE_MAX`].
    Scrape(Vec<InfoHash>),
}

/// A visit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// What the browser calls itself.
    pub peer_id: PeerId,
    /// Bytes that it lacks; `None` if it does not know, for it has no metadata yet.
    pub left: Option<u64>,
    /// What the visit says.
    pub event: AnnounceEvent,
    /// One for each peer that it would like to meet; at most [`OFFERS_MAX`].
    pub offers: Vec<Offer>,
}

/// An invitation to a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Its name.
    pub id: OfferId,
    /// The session description (RFC 8866), at most [`SDP_LEN_MAX`] bytes: a stranger's text.
    pub sdp: Box<str>,
}

/// What was said to an invitation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Which torrent.
    pub info_hash: InfoHash,
    /// Who answers.
    pub peer_id: PeerId,
    /// Who made the offer.
    pub to: PeerId,
    /// Which offer.
    pub offer: OfferId,
    /// The session description (RFC 8866), at most [`SDP_LEN_MAX`] bytes: a stranger's text.
    pub sdp: Box<str>,
}

/// What a tracker says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// You are known; come again.
    Announced {
        /// In which torrent.
        info_hash: InfoHash,
        /// Seconds until the next visit.
        interval: u32,
        /// How the swarm stands.
        counts: ScrapeCounts,
    },
    /// Somebody invites you.
    Offered {
        /// To which torrent.
        info_hash: InfoHash,
        /// Who.
        from: PeerId,
        /// The invitation.
        offer: Offer,
    },
    /// Somebody answered.
    Answered(Answer),
    /// Counts, in the order of the question.
    Scraped(Vec<(InfoHash, ScrapeCounts)>),
    /// No, and why.
    Refused {
        /// The sentence.
        reason: Box<str>,
        /// Of which torrent it was about.
        info_hash: Option<InfoHash>,
    },
}

/// Why a text is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MessageError {
    /// Longer than [`MESSAGE_LEN_MAX`].
    TooLong,
    /// No JSON object.
    NotJson,
    /// Neither `announce` nor `scrape`.
    UnknownAction,
    /// A field that must be there is not, or is not what it should be.
    Field(&'static str),
    /// More than [`OFFERS_MAX`] offers, or more than [`SCRAPE_MAX`] torrents.
    TooMany,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::TooLong => write!(f, "a message has at most {MESSAGE_LEN_MAX} bytes"),
            MessageError::NotJson => f.write_str("a message is a JSON object"),
            MessageError::UnknownAction => f.write_str("`action` is \"announce\" or \"scrape\""),
            MessageError::Field(name) => write!(f, "`{name}` is missing or malformed"),
            MessageError::TooMany => {
                write!(f, "at most {OFFERS_MAX} offers to an announce, {SCRAPE_MAX} torrents to a scrape")
            }
        }
    }
}

impl core::error::Error for MessageError {}

impl Request {
    /// Reads a browser's message.
    ///
    /// # Errors
    /// When it is none, or larger than the bounds allow.
    pub fn decode(message: &str) -> Result<Request, MessageError> {
        if message.len() > MESSAGE_LEN_MAX {
            return Err(MessageError::TooLong);
        }
        let Ok(Value::Object(fields)) = serde_json::from_str(message) else {
            return Err(MessageError::NotJson);
        };
        match fields.get("action").and_then(Value::as_str) {
            Some("announce") if fields.get("answer").is_some_and(|answer| !answer.is_null()) => {
                Ok(Request::Answer(Answer {
                    info_hash: InfoHash(name(&fields, "info_hash")?),
                    peer_id: PeerId(name(&fields, "peer_id")?),
                    to: PeerId(name(&fields, "to_peer_id")?),
                    offer: OfferId(name(&fields, "offer_id")?),
                    sdp: sdp(fields.get("answer"), "answer")?,
                }))
            }
            Some("announce") => Ok(Request::Announce(Announce {
                info_hash: InfoHash(name(&fields, "info_hash")?),
                peer_id: PeerId(name(&fields, "peer_id")?),
                // Who has no metadata writes infinity, which JSON turns into null; and some write 1.5.
                left: fields.get("left").and_then(Value::as_f64).map(|left| left as u64),
                event: event(&fields)?,
                offers: offers(&fields)?,
            })),
            Some("scrape") => Ok(Request::Scrape(scraped(&fields)?)),
            _ => Err(MessageError::UnknownAction),
        }
    }

    /// The message.
    pub fn encode(&self) -> String {
        let message = match self {
            Request::Announce(announce) => {
                let offer = |offer: &Offer| json!({ "offer_id": characters(offer.id.0), "offer": description("offer", &offer.sdp) });
                let mut message = json!({
                    "action": "announce",
                    "info_hash": characters(announce.info_hash.0),
                    "peer_id": characters(announce.peer_id.0),
                    "left": announce.left,
                    "numwant": announce.offers.len(),
                    "offers": announce.offers.iter().map(offer).collect::<Vec<_>>(),
                });
                if let Some(event) = event_word(announce.event) {
                    message["event"] = event.into();
                }
                message
            }
            Request::Answer(answer) => {
                let mut message = answered(answer);
                message["to_peer_id"] = characters(answer.to.0).into();
                message
            }
            Request::Scrape(torrents) => {
                let names = torrents.iter().map(|torrent| characters(torrent.0));
                json!({ "action": "scrape", "info_hash": names.collect::<Vec<_>>() })
            }
        };
        message.to_string()
    }
}

impl Reply {
    /// The message.
    pub fn encode(&self) -> String {
        let message = match self {
            Reply::Announced { info_hash, interval, counts } => json!({
                "action": "announce",
                "info_hash": characters(info_hash.0),
                "interval": interval,
                "complete": counts.seeders,
                "incomplete": counts.leechers,
            }),
            Reply::Offered { info_hash, from, offer } => json!({
                "action": "announce",
                "info_hash": characters(info_hash.0),
                "peer_id": characters(from.0),
                "offer_id": characters(offer.id.0),
                "offer": description("offer", &offer.sdp),
            }),
            Reply::Answered(answer) => answered(answer),
            Reply::Scraped(rows) => {
                let row = |(torrent, counts): &(InfoHash, ScrapeCounts)| {
                    let row = json!({
                        "complete": counts.seeders,
                        "incomplete": counts.leechers,
                        "downloaded": counts.completed,
                    });
                    (characters(torrent.0), row)
                };
                json!({ "action": "scrape", "files": rows.iter().map(row).collect::<Map<_, _>>() })
            }
            Reply::Refused { reason, info_hash } => {
                let mut message = json!({ "action": "announce", "failure reason": reason });
                if let Some(info_hash) = info_hash {
                    message["info_hash"] = characters(info_hash.0).into();
                }
                message
            }
        };
        message.to_string()
    }
}

/// The message that an answer is, to the tracker and from it.
fn answered(answer: &Answer) -> Value {
    json!({
        "action": "announce",
        "info_hash": characters(answer.info_hash.0),
        "peer_id": characters(answer.peer_id.0),
        "offer_id": characters(answer.offer.0),
        "answer": description("answer", &answer.sdp),
    })
}

fn offers(fields: &Map<String, Value>) -> Result<Vec<Offer>, MessageError> {
    let offers = match fields.get("offers") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(offers)) => offers,
        Some(_) => return Err(MessageError::Field("offers")),
    };
    if offers.len() > OFFERS_MAX {
        return Err(MessageError::TooMany);
    }
    let offer = |offer: &Value| {
        let fields = offer.as_object().ok_or(MessageError::Field("offers"))?;
        Ok(Offer { id: OfferId(name(fields, "offer_id")?), sdp: sdp(fields.get("offer"), "offer")? })
    };
    offers.iter().map(offer).collect()
}

/// One torrent or several.
fn scraped(fields: &Map<String, Value>) -> Result<Vec<InfoHash>, MessageError> {
    const FIELD: &str = "info_hash";
    let torrents = match fields.get(FIELD) {
        Some(Value::Array(torrents)) => torrents.as_slice(),
        Some(one) => core::slice::from_ref(one),
        None => return Err(MessageError::Field(FIELD)),
    };
    if torrents.len() > SCRAPE_MAX {
        return Err(MessageError::TooMany);
    }
    let torrent = |torrent: &Value| bytes(torrent).map(InfoHash).ok_or(MessageError::Field(FIELD));
    torrents.iter().map(torrent).collect()
}

fn event(fields: &Map<String, Value>) -> Result<AnnounceEvent, MessageError> {
    match fields.get("event") {
        None | Some(Value::Null) => Ok(AnnounceEvent::None),
        Some(event) => match event.as_str() {
            Some("" | "update" | "empty" | "none") => Ok(AnnounceEvent::None),
            Some("started") => Ok(AnnounceEvent::Started),
            Some("completed") => Ok(AnnounceEvent::Completed),
            Some("stopped") => Ok(AnnounceEvent::Stopped),
            Some("paused") => Ok(AnnounceEvent::Paused),
            _ => Err(MessageError::Field("event")),
        },
    }
}

fn event_word(event: AnnounceEvent) -> Option<&'static str> {
    match event {
        AnnounceEvent::None => None,
        AnnounceEvent::Started => Some("started"),
        AnnounceEvent::Completed => Some("completed"),
        AnnounceEvent::Stopped => Some("stopped"),
        AnnounceEvent::Paused => Some("paused"),
    }
}

fn sdp(description: Option<&Value>, kind: &'static str) -> Result<Box<str>, MessageError> {
    let text = description.filter(|description| description.get("type").is_some_and(|is| is == kind));
    let text = text.and_then(|description| description.get("sdp")?.as_str());
    text.filter(|sdp| sdp.len() <= SDP_LEN_MAX).map(Box::from).ok_or(MessageError::Field(kind))
}

fn description(kind: &str, sdp: &str) -> Value {
    json!({ "type": kind, "sdp": sdp })
}

fn name(fields: &Map<String, Value>, field: &'static str) -> Result<[u8; 20], MessageError> {
    fields.get(field).and_then(bytes).ok_or(MessageError::Field(field))
}

/// Each character is a byte.
fn bytes(value: &Value) -> Option<[u8; 20]> {
    let mut characters = value.as_str()?.chars();
    let mut bytes = [0; 20];
    for byte in &mut bytes {
        *byte = u8::try_from(u32::from(characters.next()?)).ok()?;
    }
    characters.next().is_none().then_some(bytes)
}

/// Each byte is a character.
fn characters(bytes: [u8; 20]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

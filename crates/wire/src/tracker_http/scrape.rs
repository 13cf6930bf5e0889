//! How many take part in a torrent, asked of an HTTP tracker without taking part: the question's URL and the answer.
//!
//! Invariant: an answer that is read has at most [`SCRAPE_FILES_MAX`] rows. Not when to ask. BEP: 48

use super::query::{UrlError, check_url, percent_encode};
use super::{ReplyError, number};
use crate::InfoHash;
use crate::announce::text;
use crate::bencode::{self, Bencode, Limits, Value};
use crate::tracker_udp::ScrapeCounts;

/// Most torrents that are read of one answer: a tracker that was asked about some may not answer with all it has.
pub const SCRAPE_FILES_MAX: usize = 74;

/// What an HTTP tracker answers to a scrape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ScrapeReply {
    /// Counts by torrent; those that the tracker does not know are absent.
    Files(Vec<(InfoHash, ScrapeCounts)>),
    /// No: a stranger's text.
    Refused(Box<str>),
}

impl ScrapeReply {
    /// Reads the body of a tracker's answer.
    ///
    /// # Errors
    /// When it is not bencode within [`Limits::TRACKER_REPLY`], or has neither files nor a refusal.
    pub fn decode(body: &[u8]) -> Result<ScrapeReply, ReplyError> {
        let parsed = Bencode::parse(body, &Limits::TRACKER_REPLY).map_err(ReplyError::Bencode)?;
        let root = parsed.root();
        if let Some(reason) = root.get("failure reason").and_then(|reason| reason.as_bytes()) {
            return Ok(ScrapeReply::Refused(text(reason)));
        }
        let files = root.get("files").ok_or(ReplyError::NotAReply)?;
        let files = files.as_dict().ok_or(ReplyError::NotAReply)?;
        let row =
            |(key, value): (&[u8], Value<'_, '_>)| Some((InfoHash(key.try_into().ok()?), counts(value)?));
        Ok(ScrapeReply::Files(files.filter_map(row).take(SCRAPE_FILES_MAX).collect()))
    }

    /// The body.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ScrapeReply::Refused(reason) => {
                bencode::dict([("failure reason", bencode::bytes(reason.as_bytes()))]).into_bytes()
            }
            ScrapeReply::Files(files) => {
                let number = |number: u32| bencode::int(i64::from(number));
                let row = |counts: &ScrapeCounts| {
                    bencode::dict([
                        ("complete", number(counts.seeders)),
                        ("downloaded", number(counts.completed)),
                        ("incomplete", number(counts.leechers)),
                    ])
                };
                let files = bencode::dict(files.iter().map(|(hash, counts)| (hash.0, row(counts))));
                bencode::dict([("files", files)]).into_bytes()
            }
        }
    }

    /// The counts of one torrent.
    pub fn of(&self, info_hash: InfoHash) -> Option<ScrapeCounts> {
        match self {
            ScrapeReply::Files(files) => {
                files.iter().find(|(theirs, _)| *theirs == info_hash).map(|(_, counts)| *counts)
            }
            ScrapeReply::Refused(_) => None,
        }
    }
}

/// Absent counts are 0, but a row without any is none.
fn counts(value: Value<'_, '_>) -> Option<ScrapeCounts> {
    let of = |name: &str| value.get(name).and_then(number);
    let (seeders, completed, leechers) = (of("complete"), of("downloaded"), of("incomplete"));
    seeders.or(leechers).or(completed)?;
    let known = |count: Option<u32>| count.unwrap_or_default();
    Some(ScrapeCounts { seeders: known(seeders), completed: known(completed), leechers: known(leechers) })
}

/// The URL under which a tracker is asked about one torrent; `None` if its announce URL has not the form for which there is one:
/// the last part of the path must begin with `announce`, which becomes `scrape` (BEP 48).
///
/// # Errors
/// When the URL is not one to build upon, as for announces.
pub fn scrape_url(announce: &str, info_hash: InfoHash) -> Result<Option<String>, UrlError> {
    check_url(announce)?;
    let Some((folder, rest)) = around_announce(announce) else { return Ok(None) };
    let mut out = format!("{folder}/scrape{rest}");
    match rest.split_once('?') {
        None => out.push('?'),
        Some((_, query)) if query.is_empty() || query.ends_with('&') => {}
        Some(_) => out.push('&'),
    }
    out.push_str("info_hash=");
    percent_encode(&info_hash.0, &mut out);
    Ok(Some(out))
}

/// Whether a tracker can be asked for counts at all: every one over UDP (BEP 15), over HTTP those whose announce URL has the
/// form of which BEP 48 makes another.
pub fn can_be_scraped(announce: &str) -> bool {
    announce.starts_with("udp:") || around_announce(announce).is_some()
}

/// What stands before the slash and after the word in `/announce`, which must begin the last part of the path.
fn around_announce(announce: &str) -> Option<(&str, &str)> {
    let base = announce.split_once('#').map_or(announce, |(base, _)| base);
    // The last slash of all counts, as the BEP has it: one in the query means that there is no scrape.
    let (folder, last) = base.rsplit_once('/')?;
    Some((folder, last.strip_prefix("announce")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");

    #[test]
    fn the_urls_are_those_of_bep_48() {
        for (announce, scrape) in [
            ("http://example.com/announce", Some("http://example.com/scrape?info_hash=")),
            ("http://example.com/x/announce", Some("http://example.com/x/scrape?info_hash=")),
            ("http://example.com/announce.php", Some("http://example.com/scrape.php?info_hash=")),
            ("http://example.com/a", None),
            ("http://example.com/announce?x2%0644", Some("http://example.com/scrape?x2%0644&info_hash=")),
            ("http://example.com/announce?x=2/4", None),
            ("http://example.com/x%064announce", None),
            ("http://example.com/announce#here", Some("http://example.com/scrape?info_hash=")),
            ("http://example.com/announce?", Some("http://example.com/scrape?info_hash=")),
        ] {
            let expected = scrape.map(|scrape| format!("{scrape}aaaaaaaaaaaaaaaaaaaa"));
            assert_eq!(scrape_url(announce, HASH), Ok(expected), "{announce}");
            assert_eq!(can_be_scraped(announce), scrape.is_some(), "{announce}");
        }
        assert!(can_be_scraped("udp://example.com:80"), "it needs no path");
        let preset = "http://example.com/announce?info_hash=b";
        assert_eq!(scrape_url(preset, HASH), Err(UrlError::Preset("info_hash")));
    }

    #[test]
    fn an_answer_survives_the_wire_and_strangers_answers_are_read_leniently() {
        let counts = ScrapeCounts { seeders: 3, completed: 70, leechers: 4 };
        let reply = ScrapeReply::Files(vec![(HASH, counts)]);
        assert_eq!(ScrapeReply::decode(&reply.encode()), Ok(reply.clone()));
        assert_eq!((reply.of(HASH), reply.of(InfoHash([0; 20]))), (Some(counts), None));
        let refused = ScrapeReply::Refused("not here".into());
        assert_eq!(ScrapeReply::decode(&refused.encode()), Ok(refused));
        let read = |body: &[u8]| ScrapeReply::decode(body);
        let files = |rows| Ok(ScrapeReply::Files(rows));
        assert_eq!(read(b"d5:filesdee"), files(vec![]));
        assert_eq!(read(b"d5:filesd3:abcd8:completei1eeee"), files(vec![]), "no hash");
        let partial = ScrapeCounts { leechers: 2, ..ScrapeCounts::default() };
        assert_eq!(
            read(b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei-1e10:incompletei2eeee"),
            files(vec![(HASH, partial)])
        );
        assert_eq!(read(b"d5:filesd20:aaaaaaaaaaaaaaaaaaaadeee"), files(vec![]), "a row without counts");
        for body in [&b"de"[..], b"d5:filesi1ee", b"le"] {
            assert!(matches!(read(body), Err(ReplyError::NotAReply)), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_tracker_that_answers_with_all_it_has_is_cut() {
        let rows = (0..200_u32).map(|n| {
            let mut hash = [7; 20];
            hash[..4].copy_from_slice(&n.to_be_bytes());
            (InfoHash(hash), ScrapeCounts { seeders: n, ..ScrapeCounts::default() })
        });
        let read = ScrapeReply::decode(&ScrapeReply::Files(rows.collect()).encode());
        assert!(matches!(read, Ok(ScrapeReply::Files(rows)) if rows.len() == SCRAPE_FILES_MAX));
    }
}

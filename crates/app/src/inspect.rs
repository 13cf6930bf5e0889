//! `gannet inspect`: what is in a torrent file, for people and for programs.

use crate::cli::{Exit, Inspect};
use crate::failure::{Failure, Outcome};
use crate::quantity::Size;
use crate::show;
use crate::source;
use gannet::{Magnet, Metainfo};
use serde::Serialize;
use std::fmt::Write as _;
use wire::bencode::Oddity;
use wire::disguise::disguises;

/// Runs the command.
pub(crate) fn run(args: &Inspect) -> Outcome {
    if let Some(magnet) = source::magnet(&args.torrent)? {
        let told = Link::of(&magnet);
        show::print(&match args.json {
            true => serde_json::to_string(&told).map(|line| line + "\n").map_err(Failure::plain)?,
            false => told.describe(),
        })?;
        return Ok(Exit::Done);
    }
    let torrent = source::read(&args.torrent)?;
    let text = match args.json {
        true => json(&Description::of(&torrent.metainfo))?,
        false => describe(&torrent.metainfo, args.files),
    };
    show::print(&text)?;
    Ok(Exit::Done)
}

/// A torrent as JSON says it (docs/json.md).
#[derive(Serialize)]
pub(crate) struct Description {
    pub(crate) v: u32,
    pub(crate) r#type: &'static str,
    pub(crate) info_hash: String,
    pub(crate) name: String,
    pub(crate) version: &'static str,
    pub(crate) size: u64,
    pub(crate) piece_length: u32,
    pub(crate) pieces: u32,
    pub(crate) private: bool,
    pub(crate) trackers: Vec<Vec<String>>,
    pub(crate) web_seeds: Vec<String>,
    #[serde(flatten)]
    pub(crate) about: Said,
    pub(crate) magnet: String,
    pub(crate) files: Vec<FileRow>,
}

/// What its maker says about a torrent.
#[derive(Serialize)]
pub(crate) struct Said {
    pub(crate) comment: Option<String>,
    pub(crate) created_by: Option<String>,
    pub(crate) creation_date: Option<i64>,
    pub(crate) source: Option<String>,
}

/// A magnet link as JSON says it (docs/json.md).
#[derive(Serialize)]
struct Link {
    v: u32,
    r#type: &'static str,
    info_hash: String,
    name: Option<String>,
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    peers: Vec<String>,
    select: Option<String>,
    left_out: u32,
}

impl Link {
    fn of(magnet: &Magnet) -> Link {
        Link {
            v: 1,
            r#type: "magnet",
            info_hash: magnet.info_hash.to_string(),
            name: magnet.name.as_ref().map(ToString::to_string),
            trackers: safe(&magnet.trackers),
            web_seeds: safe(&magnet.web_seeds),
            peers: magnet.peers.iter().map(ToString::to_string).collect(),
            select: magnet.selection.as_ref().map(ToString::to_string),
            left_out: magnet.left_out,
        }
    }

    /// For people: what the link says, and that the rest is known only when it is fetched.
    fn describe(&self) -> String {
        let mut rows = vec![("info-hash", self.info_hash.clone())];
        rows.extend(self.name.iter().map(|name| ("name", format!("{name}  (as the link says)"))));
        rows.extend(self.trackers.iter().map(|url| ("tracker", url.clone())));
        rows.extend(self.web_seeds.iter().map(|url| ("web seed", url.clone())));
        rows.extend(self.peers.iter().map(|peer| ("peer", peer.clone())));
        rows.extend(self.select.iter().map(|files| ("files", format!("{files}  (from 0)"))));
        if self.left_out > 0 {
            rows.push(("left out", format!("{} hints that are none, or too many", self.left_out)));
        }
        rows.push(("files", "known only when peers have told: gannet get --save-torrent FILE".into()));
        rows.iter().map(|(name, value)| format!("{name:<11} {value}\n")).collect()
    }
}

#[derive(Serialize)]
pub(crate) struct FileRow {
    pub(crate) index: u32,
    pub(crate) path: String,
    pub(crate) length: u64,
    pub(crate) pad: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beware: Option<String>,
}

impl Description {
    /// What a torrent says.
    pub(crate) fn of(metainfo: &Metainfo) -> Description {
        let text = |text: &Option<wire::DisplaySafe>| text.as_ref().map(ToString::to_string);
        let mut disguised = disguises(metainfo).into_iter().peekable();
        let files = metainfo.layout.file_indices().map(|file| {
            let extent = metainfo.layout.extent(file);
            FileRow {
                index: file.0 + 1,
                path: metainfo.original_path(file).to_string(),
                length: extent.len,
                pad: extent.pad,
                beware: disguised.next_if(|(at, _)| *at == file).map(|(_, disguise)| disguise.to_string()),
            }
        });
        Description {
            v: 1,
            r#type: "torrent",
            info_hash: metainfo.info_hash.to_string(),
            name: metainfo.name.original.to_string(),
            version: version(metainfo),
            size: metainfo.layout.total(),
            piece_length: metainfo.layout.piece_len_max(),
            pieces: metainfo.layout.pieces(),
            private: metainfo.private,
            trackers: metainfo.trackers.iter().map(|tier| safe(tier)).collect(),
            web_seeds: safe(&metainfo.web_seeds),
            about: Said {
                comment: text(&metainfo.about.comment),
                created_by: text(&metainfo.about.created_by),
                creation_date: metainfo.about.creation_date,
                source: text(&metainfo.about.source),
            },
            magnet: Magnet::of(metainfo).to_string(),
            files: files.collect(),
        }
    }
}

/// URLs as they may be shown.
fn safe(urls: &[String]) -> Vec<String> {
    urls.iter().map(|url| wire::DisplaySafe::new(url).to_string()).collect()
}

/// One line of JSON.
pub(crate) fn json(description: &Description) -> Result<String, Failure> {
    serde_json::to_string(description).map(|line| line + "\n").map_err(Failure::plain)
}

/// What was not canonical, in words.
fn oddity_words(oddity: Oddity) -> &'static str {
    match oddity {
        Oddity::LeadingZero => "a number with needless zeros",
        Oddity::NegativeZero => "a negative zero",
        Oddity::HugeInteger => "a number beyond 64 bits",
        Oddity::LengthLeadingZero => "a length with needless zeros",
        Oddity::KeyOrder => "keys out of order",
        Oddity::DuplicateKey => "a key that stands twice",
        Oddity::TrailingBytes => "bytes after the end",
    }
}

fn version(metainfo: &Metainfo) -> &'static str {
    match metainfo.version {
        wire::metainfo::MetaVersion::V1 => "v1",
        wire::metainfo::MetaVersion::Hybrid => "hybrid",
    }
}

/// A torrent for people: a table of what it says, then its files.
fn describe(metainfo: &Metainfo, files_max: usize) -> String {
    let layout = &metainfo.layout;
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11} {value}");
    };
    row("name", metainfo.name.original.to_string());
    row("info-hash", metainfo.info_hash.to_string());
    row("size", format!("{} ({} bytes)", Size(layout.total()), layout.total()));
    row("pieces", format!("{} of {}", layout.pieces(), Size(layout.piece_len_max().into())));
    row("version", version(metainfo).into());
    if metainfo.private {
        row("private", "yes: peers only through its own trackers".into());
    }
    let about = &metainfo.about;
    for (name, value) in
        [("comment", &about.comment), ("created by", &about.created_by), ("source", &about.source)]
    {
        if let Some(value) = value {
            row(name, value.to_string());
        }
    }
    if let Some(moment) = about.creation_date.and_then(utc) {
        row("created", moment);
    }
    for (tier, trackers) in metainfo.trackers.iter().enumerate() {
        for tracker in safe(trackers) {
            row(
                "tracker",
                format!(
                    "{tracker}{}",
                    if tier > 0 { format!("  (tier {})", tier + 1) } else { String::new() }
                ),
            );
        }
    }
    for url in safe(&metainfo.web_seeds) {
        row("web seed", url);
    }
    for (oddity, offset) in metainfo.oddities.iter() {
        row("oddity", format!("{} at byte {offset}; forgiven", oddity_words(oddity)));
    }
    for (file, disguise) in disguises(metainfo).into_iter().take(files_max) {
        row("beware", format!("{} is {disguise}", metainfo.original_path(file)));
    }
    row("magnet", Magnet::of(metainfo).to_string());
    row("files", layout.files().to_string());
    for file in layout.file_indices().filter(|&file| !layout.extent(file).pad).take(files_max) {
        let _ = writeln!(
            text,
            "{:>7}  {:>10}  {}",
            file.0 + 1,
            Size(layout.extent(file).len),
            metainfo.original_path(file)
        );
    }
    if layout.files() as usize > files_max {
        let _ = writeln!(
            text,
            "         ... and {} more (--files {})",
            layout.files() as usize - files_max,
            layout.files()
        );
    }
    text
}

/// A moment in seconds since 1970 as people read it; `None` before that and after the year 9999.
fn utc(seconds: i64) -> Option<String> {
    const YEAR_10_000: u64 = 253_402_300_800;
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds < YEAR_10_000)?;
    let moment = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    // "2026-11-22T16:58:01Z", of which the seconds tell nobody anything.
    let text = humantime::format_rfc3339_seconds(moment).to_string();
    let (day, time) = text.split_once('T')?;
    Some(format!("{day} {} UTC", time.get(..5)?))
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_told_from_1970_to_9999_and_others_are_not() {
        assert_eq!(utc(0).as_deref(), Some("1970-01-01 00:00 UTC"));
        assert_eq!(utc(1_709_251_199).as_deref(), Some("2024-02-29 23:59 UTC"));
        assert_eq!(utc(253_402_300_799).as_deref(), Some("9999-12-31 23:59 UTC"));
        for seconds in [-1, 253_402_300_800, i64::MIN, i64::MAX] {
            assert_eq!(utc(seconds), None);
        }
    }
}

//! Bencode to metainfo. What a download does not need is dropped if it is wrong; what it needs is refused.

use std::{collections::BTreeSet, sync::Arc};

use sha1::{Digest, Sha1};

use super::{
    About, Files, MetaVersion, Metainfo, MetainfoError, NODES_MAX, PieceHashes, TRACKERS_MAX, TorrentName,
    URL_BYTES_MAX, WEB_SEEDS_MAX,
};
use crate::{
    DisplaySafe, FileIndex, InfoHash, Layout, SafePath,
    bencode::{Bencode, Kind, Limits, Oddity, Value},
    display_safe::misleads,
    layout::{BLOCK_LEN, FILES_MAX, FileLen, LayoutError, PIECE_LEN_MAX},
    path::SafePaths,
};

/// Reads a whole `.torrent`.
pub(super) fn torrent(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    within(bytes, &Limits::TORRENT)
}

/// Reads one that we wrote.
pub(super) fn stored(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    within(bytes, &Limits::STORED)
}

fn within(bytes: &[u8], limits: &Limits) -> Result<Metainfo, MetainfoError> {
    let parsed = Bencode::parse(bytes, limits)?;
    let root = parsed.root();
    let info = root.get("info").filter(|info| info.kind() == Kind::Dict).ok_or(MetainfoError::NotATorrent)?;
    let mut metainfo = from_info(info)?;
    metainfo.oddities = *parsed.oddities();
    metainfo.trackers = trackers(root);
    metainfo.web_seeds = web_seeds(root);
    metainfo.nodes = nodes(root);
    metainfo.about.comment = text(root, "comment.utf-8").or_else(|| text(root, "comment"));
    metainfo.about.created_by = text(root, "created by");
    metainfo.about.creation_date = root.get("creation date").and_then(|date| date.as_int());
    Ok(metainfo)
}

/// Reads an `info` dictionary and nothing around it.
pub(super) fn info_alone(bytes: &[u8]) -> Result<Metainfo, MetainfoError> {
    let parsed = Bencode::parse(bytes, &Limits::METADATA)?;
    if parsed.oddities().first(Oddity::TrailingBytes).is_some() {
        return Err(MetainfoError::TrailingBytes);
    }
    if parsed.root().kind() != Kind::Dict {
        return Err(MetainfoError::NotATorrent);
    }
    let mut metainfo = from_info(parsed.root())?;
    metainfo.oddities = *parsed.oddities();
    Ok(metainfo)
}

fn from_info(info: Value<'_, '_>) -> Result<Metainfo, MetainfoError> {
    let raw: Arc<[u8]> = info.raw().into();
    let info_hash = InfoHash(Sha1::digest(&raw).into());
    let version = version(info)?;
    let piece_len = info.get("piece length").ok_or(MetainfoError::Missing("piece length"))?;
    let wanted = MetainfoError::WrongKind { key: "piece length", wanted: Kind::Int };
    let piece_len = piece_len.as_int().ok_or(wanted)?;
    let piece_len = u32::try_from(piece_len)
        .ok()
        .filter(|len| (1..=PIECE_LEN_MAX).contains(len))
        .ok_or(MetainfoError::PieceLen(piece_len))?;
    let (layout, files) = files(info, piece_len)?;
    let pieces = info.get("pieces").ok_or(MetainfoError::Missing("pieces"))?;
    let hashes =
        pieces.as_bytes().ok_or(MetainfoError::WrongKind { key: "pieces", wanted: Kind::Bytes })?.len();
    let hashes_at = pieces.offset() - info.offset() + (pieces.raw().len() - hashes);
    Ok(Metainfo {
        info_hash,
        version,
        name: name(info, info_hash),
        private: info.get("private").and_then(|private| private.as_int()).is_some_and(|private| private != 0),
        trackers: Vec::new(),
        web_seeds: Vec::new(),
        nodes: Vec::new(),
        about: About { source: text(info, "source"), ..About::default() },
        oddities: Default::default(),
        hashes: PieceHashes::new(raw.clone(), hashes_at, hashes, &layout)?,
        info: raw,
        layout,
        files,
    })
}

/// Hybrids are known by having both generations' keys; v2 alone has no `pieces` (BEP 52).
fn version(info: Value<'_, '_>) -> Result<MetaVersion, MetainfoError> {
    let newer = info.get("meta version").and_then(|version| version.as_int());
    let tree = info.get("file tree").is_some();
    match (info.get("pieces").is_some(), newer) {
        (true, None | Some(..=1)) if !tree => Ok(MetaVersion::V1),
        (true, _) => Ok(MetaVersion::Hybrid),
        (false, Some(version @ 3..)) => Err(MetainfoError::UnknownVersion(version)),
        (false, newer) if tree || newer == Some(2) => Err(MetainfoError::V2Only),
        (false, _) => Err(MetainfoError::Missing("pieces")),
    }
}

fn name(info: Value<'_, '_>, info_hash: InfoHash) -> TorrentName {
    let original =
        utf8_or_plain(info, "name.utf-8", "name").and_then(|name| name.as_bytes()).unwrap_or_default();
    let safe = match original {
        [] => SafePath::from_name(info_hash.to_string().as_bytes()),
        name => SafePath::from_name(name),
    };
    TorrentName { safe, original: DisplaySafe::new(original) }
}

/// A key that old clients wrote in a local encoding, and its UTF-8 twin if there is one.
fn utf8_or_plain<'t, 'a>(dict: Value<'t, 'a>, utf8: &str, plain: &str) -> Option<Value<'t, 'a>> {
    dict.get(utf8).or_else(|| dict.get(plain))
}

/// One entry of `files`, as far as it matters.
struct Entry<'t, 'a> {
    file: Value<'t, 'a>,
    len: u64,
    pad: bool,
    link: bool,
}

fn files(info: Value<'_, '_>, piece_len: u32) -> Result<(Layout, Files), MetainfoError> {
    let Some(list) = info.get("files") else {
        let len = info.get("length").ok_or(MetainfoError::Missing("length"))?;
        let len = len.as_uint().ok_or(MetainfoError::FileLen(FileIndex(0)))?;
        return Ok((Layout::new(len, piece_len)?, Files::Single));
    };
    let wanted = MetainfoError::WrongKind { key: "files", wanted: Kind::List };
    let mut entries = Vec::new();
    for file in list.as_list().ok_or(wanted)? {
        if entries.len() == FILES_MAX {
            return Err(LayoutError::TooManyFiles.into());
        }
        entries.push(entry(file, FileIndex(entries.len() as u32))?);
    }
    let lens = entries.iter().map(|entry| FileLen { len: entry.len, pad: entry.pad });
    let layout = Layout::with_files(lens, piece_len, BLOCK_LEN)?;
    let paths = SafePaths::new(entries.iter().map(|entry| {
        let written = !entry.pad && !entry.link;
        written.then(|| path_elements(entry.file))
    }))?;
    let written_at = entries.iter().map(|entry| (entry.file.offset() - info.offset()) as u32).collect();
    Ok((layout, Files::Many { paths, written_at }))
}

fn entry<'t, 'a>(file: Value<'t, 'a>, index: FileIndex) -> Result<Entry<'t, 'a>, MetainfoError> {
    let attributes = file.get("attr").and_then(|attr| attr.as_bytes()).unwrap_or_default();
    let link = attributes.contains(&b'l');
    let len = file.get("length").and_then(|len| len.as_uint());
    // A symbolic link has no bytes of its own, whatever it says (BEP 47).
    let len = if link { Some(0) } else { len };
    Ok(Entry { file, len: len.ok_or(MetainfoError::FileLen(index))?, pad: attributes.contains(&b'p'), link })
}

/// The elements of a file's path. What is not a string counts as a name that is empty.
fn path_elements<'a>(file: Value<'_, 'a>) -> impl Iterator<Item = &'a [u8]> {
    let path = utf8_or_plain(file, "path.utf-8", "path").and_then(|path| path.as_list());
    path.into_iter().flatten().map(|element| element.as_bytes().unwrap_or_default())
}

/// A file's path as it was written, joined.
pub(super) fn joined_path(file: Value<'_, '_>) -> Vec<u8> {
    path_elements(file).collect::<Vec<_>>().join(&b'/')
}

fn text(dict: Value<'_, '_>, key: &str) -> Option<DisplaySafe> {
    dict.get(key)?.as_bytes().filter(|text| !text.is_empty()).map(DisplaySafe::new)
}

/// BEP 12: where `announce-list` is, `announce` is ignored, unless the list names nobody.
fn trackers(root: Value<'_, '_>) -> Vec<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut tiers = Vec::new();
    let list = root.get("announce-list").and_then(|list| list.as_list());
    for tier in list.into_iter().flatten() {
        // Some makers forget the inner lists: a string is a tier of one.
        let alone = tier.as_bytes().is_some().then_some(tier);
        let urls = tier.as_list().into_iter().flatten().chain(alone).filter_map(url);
        let tier: Vec<String> =
            urls.filter(|url| seen.len() < TRACKERS_MAX && seen.insert(url.clone())).collect();
        if !tier.is_empty() {
            tiers.push(tier);
        }
        if seen.len() == TRACKERS_MAX {
            break;
        }
    }
    if tiers.is_empty() {
        tiers.extend(root.get("announce").and_then(url).map(|url| vec![url]));
    }
    tiers
}

/// BEP 19: one URL or a list of them.
fn web_seeds(root: Value<'_, '_>) -> Vec<String> {
    let Some(value) = root.get("url-list") else { return Vec::new() };
    let alone = value.as_bytes().is_some().then_some(value);
    let mut urls: Vec<String> = Vec::new();
    for url in value.as_list().into_iter().flatten().chain(alone).filter_map(url) {
        if urls.len() == WEB_SEEDS_MAX {
            break;
        }
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

fn nodes(root: Value<'_, '_>) -> Vec<(String, u16)> {
    let list = root.get("nodes").and_then(|nodes| nodes.as_list());
    let node = |node: Value<'_, '_>| {
        let mut pair = node.as_list()?;
        let (host, port) = (url(pair.next()?)?, u16::try_from(pair.next()?.as_int()?).ok()?);
        (port != 0).then_some((host, port))
    };
    list.into_iter().flatten().filter_map(node).take(NODES_MAX).collect()
}

/// A URL or host name: printable, without blanks, not overlong. Whether it is well formed and may be asked, others decide.
fn url(value: Value<'_, '_>) -> Option<String> {
    let url = value.as_str()?.trim();
    let plain = !url.is_empty()
        && url.len() <= URL_BYTES_MAX
        && !url.chars().any(|c| c.is_whitespace() || misleads(c));
    plain.then(|| url.to_owned())
}

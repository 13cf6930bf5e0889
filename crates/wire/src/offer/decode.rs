//! Reading what the other side says. Everything is checked here, so that nobody behind it checks again.

use super::*;
use crate::bencode::{Bencode, Limits, Value};
use crate::path::SafePaths;

/// Bounds of a message: the most values are those of a torrent's places, four for each file.
const LIMITS: Limits = Limits { bytes: MESSAGE_LEN_MAX, tokens: 8 * TORRENT_FILES_MAX as usize, depth: 8 };

pub(super) fn sharer(text: &[u8]) -> Result<SharerSays, OfferError> {
    let parsed = Bencode::parse(text, &LIMITS).map_err(OfferError::Bencode)?;
    let root = parsed.root();
    Ok(match kind(root)? {
        b"offer" => SharerSays::Offer(offer(root)?),
        b"hashed" => SharerSays::Hashed(number(root, "bytes")?),
        b"torrent" => SharerSays::Torrent(Box::new(torrent(root)?)),
        b"withdrawn" => SharerSays::Withdrawn { number: number(root, "number")? },
        b"folders" => SharerSays::Folders(paths(root)?),
        b"empty" => SharerSays::EmptyFiles(paths(root)?),
        b"empty executables" => SharerSays::EmptyExecutables(paths(root)?),
        b"lost" => SharerSays::Lost(batch(root, "paths")?.map(lost).collect::<Result<_, _>>()?),
        b"peers" => peers(root)?,
        b"end" => SharerSays::End { torrents: number(root, "torrents")?, bytes: number(root, "bytes")? },
        _ => return Err(OfferError::Kind),
    })
}

pub(super) fn receiver(text: &[u8]) -> Result<ReceiverSays, OfferError> {
    let parsed = Bencode::parse(text, &LIMITS).map_err(OfferError::Bencode)?;
    let root = parsed.root();
    Ok(match kind(root)? {
        b"hello" => {
            same_version(root)?;
            let instance = root.get("instance").and_then(|instance| instance.as_bytes()?.try_into().ok());
            let instance = instance.ok_or(OfferError::Field("instance"))?;
            ReceiverSays::Hello { name: shown(root, "name")?, instance }
        }
        b"wants" => ReceiverSays::Wants { swarm_port: port(root)? },
        b"declines" => ReceiverSays::Declines,
        b"has" => ReceiverSays::Has(number(root, "bytes")?),
        b"complete" => ReceiverSays::Complete,
        _ => return Err(OfferError::Kind),
    })
}

fn kind<'a>(root: Value<'_, 'a>) -> Result<&'a [u8], OfferError> {
    root.get("t").and_then(|kind| kind.as_bytes()).ok_or(OfferError::Kind)
}

fn same_version(root: Value<'_, '_>) -> Result<(), OfferError> {
    match number(root, "v")? {
        OFFER_VERSION => Ok(()),
        other => Err(OfferError::Version(other)),
    }
}

fn number(root: Value<'_, '_>, name: &'static str) -> Result<u64, OfferError> {
    root.get(name).and_then(|value| value.as_uint()).ok_or(OfferError::Field(name))
}

fn port(root: Value<'_, '_>) -> Result<u16, OfferError> {
    u16::try_from(number(root, "port")?).map_err(|_| OfferError::Field("port"))
}

fn shown(root: Value<'_, '_>, name: &'static str) -> Result<DisplaySafe, OfferError> {
    root.get(name).and_then(text_of).ok_or(OfferError::Field(name))
}

fn text_of(value: Value<'_, '_>) -> Option<DisplaySafe> {
    let raw = value.as_bytes().filter(|raw| (1..=TEXT_BYTES_MAX).contains(&raw.len()))?;
    Some(DisplaySafe::new(raw))
}

fn batch<'t, 'a>(
    root: Value<'t, 'a>,
    name: &'static str,
) -> Result<impl Iterator<Item = Value<'t, 'a>>, OfferError> {
    let items = root.get(name).and_then(|value| value.as_list()).ok_or(OfferError::Field(name))?;
    if items.clone().count() > BATCH_MAX {
        return Err(OfferError::Field(name));
    }
    Ok(items)
}

fn offer(root: Value<'_, '_>) -> Result<Offer, OfferError> {
    same_version(root)?;
    let key = root.get("key").and_then(|key| key.as_bytes()?.try_into().ok());
    Ok(Offer {
        name: shown(root, "name")?,
        size: number(root, "size")?,
        files: number(root, "files")?,
        executables: number(root, "executables")?,
        folders: number(root, "folders")?,
        lost: number(root, "lost")?,
        swarm_key: SwarmKey(key.ok_or(OfferError::Field("key"))?),
        swarm_port: Some(port(root)?).filter(|&port| port != 0).ok_or(OfferError::Field("port"))?,
    })
}

fn torrent(root: Value<'_, '_>) -> Result<OfferedTorrent, OfferError> {
    let info = root.get("info").and_then(|info| info.as_bytes()).filter(|info| info.len() <= INFO_LEN_MAX);
    let metainfo =
        Metainfo::from_info(info.ok_or(OfferError::Field("info"))?).map_err(OfferError::Metainfo)?;
    if metainfo.layout.files() > TORRENT_FILES_MAX {
        return Err(OfferError::Field("info"));
    }
    let places = ascending(root, "places", |value| place(&metainfo, value), |place| place.file)?;
    let file = |value: Value<'_, '_>| real_file(&metainfo, value);
    let executables = ascending(root, "executables", file, |file| *file)?;
    let (number, replaces) = (number(root, "number")?, root.get("replaces"));
    let replaces = replaces.map(|replaces| replaces.as_uint().filter(|&replaced| replaced < number));
    if replaces == Some(None) {
        return Err(OfferError::Field("replaces"));
    }
    Ok(OfferedTorrent { number, metainfo, places, executables, replaces: replaces.flatten() })
}

/// What is said of some files, in their order, of each at most once.
fn ascending<T>(
    root: Value<'_, '_>,
    name: &'static str,
    read: impl Fn(Value<'_, '_>) -> Option<T>,
    file: impl Fn(&T) -> FileIndex,
) -> Result<Vec<T>, OfferError> {
    let items = root.get(name).and_then(|value| value.as_list()).ok_or(OfferError::Field(name))?;
    let read = items.map(read).collect::<Option<Vec<T>>>().ok_or(OfferError::Field(name))?;
    let in_order = read.windows(2).all(|pair| match pair {
        [one, next] => file(one) < file(next),
        _ => true,
    });
    in_order.then_some(read).ok_or(OfferError::Field(name))
}

/// A file of the torrent that is more than padding.
fn real_file(metainfo: &Metainfo, value: Value<'_, '_>) -> Option<FileIndex> {
    let file = FileIndex(u32::try_from(value.as_uint()?).ok()?);
    let exists = file.0 < metainfo.layout.files() && metainfo.path(file).is_some();
    exists.then_some(file)
}

fn place(metainfo: &Metainfo, value: Value<'_, '_>) -> Option<Place> {
    let mut fields = value.as_list()?;
    let file = real_file(metainfo, fields.next()?)?;
    let (offset, whole) = (fields.next()?.as_uint()?, fields.next()?.as_uint()?);
    let end = offset.checked_add(metainfo.layout.extent(file).len)?;
    (fields.next().is_none() && end <= whole).then_some(Place { file, offset, whole })
}

fn paths(root: Value<'_, '_>) -> Result<Vec<SafePath>, OfferError> {
    batch(root, "paths")?.map(path).collect::<Option<_>>().ok_or(OfferError::Field("paths"))
}

/// A path, by the same rules as that of a torrent's file: its first element is the name of everything, the others are beneath.
fn path(value: Value<'_, '_>) -> Option<SafePath> {
    let elements: Vec<&[u8]> = value.as_list()?.map(|element| element.as_bytes()).collect::<Option<_>>()?;
    let (top, beneath) = elements.split_first()?;
    let top = SafePath::from_name(top);
    match beneath {
        [] => Some(top),
        beneath => SafePaths::new([Some(beneath.iter().copied())]).ok()?.get_beneath(&top, FileIndex(0)),
    }
}

fn peers(root: Value<'_, '_>) -> Result<SharerSays, OfferError> {
    let items = root.get("others").and_then(|others| others.as_list());
    let items = items.filter(|items| items.clone().count() <= PEERS_MAX);
    let others = items.and_then(|items| items.map(address).collect::<Option<_>>());
    let incomplete = u32::try_from(number(root, "incomplete")?);
    Ok(SharerSays::Peers {
        others: others.ok_or(OfferError::Field("others"))?,
        incomplete: incomplete.map_err(|_| OfferError::Field("incomplete"))?,
    })
}

fn address(packed: Value<'_, '_>) -> Option<SocketAddr> {
    let packed = packed.as_bytes()?;
    let family = match packed.len() {
        compact::V4_LEN => compact::Family::V4,
        compact::V6_LEN => compact::Family::V6,
        _ => return None,
    };
    compact::decode(packed, family).next()
}

fn lost(entry: Value<'_, '_>) -> Result<Lost, OfferError> {
    let read = || {
        let mut fields = entry.as_list()?;
        let word = fields.next()?.as_bytes()?;
        let why = LostWhy::ALL.into_iter().find(|why| why.word().as_bytes() == word)?;
        Some(Lost { path: text_of(fields.next()?)?, why })
    };
    read().ok_or(OfferError::Field("paths"))
}

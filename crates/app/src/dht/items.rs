//! `gannet dht get` and `gannet dht put`: small items under their own hash, or under a key whose owner may replace them. BEP: 44, 46

use super::lines::{self, DoneLine, ItemLine};
use super::{Manners, Running, key};
use crate::cli::{Exit, GetItem, ItemPlace, PutItem};
use crate::failure::{Failure, Outcome};
use crate::show;
use crate::show::json::{self, VERSION};
use crate::words::{count, why};
use gannet::dht::{Finding, Goal, Item, MutableItem, NodeId, Put};
use std::fs::File;
use std::io::{Read, Write, stdout};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::DisplaySafe;
use wire::bencode::{self, Bencode, Limits};
use wire::item::{VALUE_LEN_MAX, info_hash_of, info_hash_value, target_of_key};
use wire::magnet::Publisher;

/// `gannet dht get`.
pub(super) fn get(args: &GetItem) -> Outcome {
    // A long value is given only to who proves its address, by answering.
    let running = Running::reach(&args.asking, Manners::Answers)?;
    let salt: Box<[u8]> = args.salt.as_bytes().into();
    let target = match &args.at {
        ItemPlace::Target(target) => *target,
        ItemPlace::Key(key) => target_of_key(key, &salt),
    };
    let mut newest = None;
    let report = running.search(Goal::Item { target, salt }, |finding| {
        if let Finding::Item(item) = finding {
            newest = Some(item);
        }
    })?;
    let Some(report) = report else { return running.end(Exit::Interrupted) };
    match &newest {
        Some(item) if running.json => json::print(&line(target, item))?,
        Some(item) if args.raw => {
            let written = stdout().lock().write_all(item.value()).and_then(|()| stdout().flush());
            written.map_err(|error| {
                Failure::plain(format!("cannot write to standard output: {}", why(&error)))
            })?;
        }
        Some(item) => {
            show::print(&format!("{}\n", readable(item.value())))?;
            let version = match item {
                Item::Immutable { .. } => "never changes".into(),
                Item::Mutable(item) => format!("version {} of what {} publishes", item.seq, item.key),
            };
            show::message(&format!("{version}; {}", lines::went(&report)));
        }
        None if running.json => {}
        None => show::message(&format!("nobody has it; {}", lines::went(&report))),
    }
    if running.json {
        json::print(&DoneLine::of(&report))?;
    }
    running.end(if newest.is_some() { Exit::Done } else { Exit::NoSource })
}

/// `gannet dht put`.
pub(super) fn put(args: &PutItem) -> Outcome {
    let value = value(args)?;
    let secret = args.key.as_deref().map(key::read).transpose()?;
    wire::item::check_value(&value).map_err(Failure::plain)?;
    let salt = args.salt.as_bytes();
    let running = Running::reach(&args.asking, Manners::Answers)?;
    let item = match &secret {
        None => Item::Immutable { value: value.into() },
        Some(secret) => {
            let seq = match args.seq {
                Some(seq) => seq,
                None => {
                    let Some(known) = newest(&running, target_of_key(&secret.public(), salt), salt)? else {
                        return running.end(Exit::Interrupted);
                    };
                    next(known.map(|item| item.seq))?
                }
            };
            Item::Mutable(secret.sign(salt, seq, &value))
        }
    };
    item.check().map_err(Failure::plain)?;
    let Some(report) = running.search(Goal::Put(Box::new(Put { item: item.clone(), cas: None })), |_| {})?
    else {
        return running.end(Exit::Interrupted);
    };
    if running.json && report.stored == 0 {
        json::print(&DoneLine::of(&report))?;
    }
    if report.stored == 0 {
        let why = report.refused.map_or_else(
            || "no node took it; try again in a while".into(),
            |(refused, why)| format!("{} refused it: {}", count(refused, "node"), lines::shown(&why)),
        );
        return Err(Failure::plain(why));
    }
    if running.json {
        json::print(&line(item.target(), &item))?;
        json::print(&DoneLine::of(&report))?;
    } else {
        show::print(&format!("{}\n", name_of(&item, salt, args.torrent.is_some())))?;
        let how_long = "it is forgotten after about two hours, unless it is put again";
        let refused = report.refused.as_ref().map_or(String::new(), |(nodes, why)| {
            format!(", refused by {}: {}", count(*nodes, "node"), lines::shown(why))
        });
        show::message(&format!("stored by {}{refused}; {how_long}", count(report.stored, "node")));
    }
    running.end(Exit::Done)
}

/// The version after the one that is known: the time, so that it is a later one even where nobody has an earlier one any more.
fn next(known: Option<i64>) -> Result<i64, Failure> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = i64::try_from(time).unwrap_or(i64::MAX);
    let full = "the highest version is out already and nothing can follow it: use another --salt";
    let after = known.map_or(Some(0), |seq| seq.checked_add(1)).ok_or_else(|| Failure::plain(full))?;
    Ok(after.max(time))
}

/// What is there now, if anything; nothing at all if it was stopped.
fn newest(running: &Running, target: NodeId, salt: &[u8]) -> Result<Option<Option<MutableItem>>, Failure> {
    let mut newest = None;
    let report = running.search(Goal::Item { target, salt: salt.into() }, |finding| {
        if let Finding::Item(Item::Mutable(item)) = finding {
            newest = Some(item);
        }
    })?;
    Ok(report.map(|_| newest))
}

/// What is to be put, as bencode.
fn value(args: &PutItem) -> Result<Vec<u8>, Failure> {
    match (&args.text, args.torrent, &args.file) {
        (_, Some(info_hash), _) => Ok(info_hash_value(info_hash)),
        (_, None, Some(path)) => read(path),
        (text, None, None) => Ok(bencode::bytes(text.clone().unwrap_or_default()).into_bytes()),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(VALUE_LEN_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::plain(format!("cannot read {}: {}", path.display(), why(&error))))?;
    Ok(bytes)
}

/// How others get at it.
fn name_of(item: &Item, salt: &[u8], is_torrent: bool) -> String {
    match item {
        Item::Immutable { .. } => item.target().to_string(),
        Item::Mutable(item) if is_torrent => {
            format!("magnet:?{}", Publisher { key: item.key, salt: salt.into() })
        }
        Item::Mutable(item) => item.key.to_string(),
    }
}

/// A value as a person can read it: a text as what it says, anything else as bencode.
fn readable(value: &[u8]) -> String {
    if let Some(info_hash) = info_hash_of(value) {
        return format!("magnet:?xt=urn:btih:{info_hash}");
    }
    DisplaySafe::new(text(value).map_or(value.to_vec(), String::into_bytes)).to_string()
}

/// The text, if it is one.
fn text(value: &[u8]) -> Option<String> {
    let parsed = Bencode::parse(value, &Limits::ITEM).ok()?;
    str::from_utf8(parsed.root().as_bytes()?).ok().map(str::to_owned)
}

fn line(target: NodeId, item: &Item) -> ItemLine {
    let mutable = if let Item::Mutable(item) = item { Some(item) } else { None };
    ItemLine {
        v: VERSION,
        r#type: "dht_item",
        target: target.to_string(),
        value: item.value().iter().map(|byte| format!("{byte:02x}")).collect(),
        text: text(item.value()).map(|text| lines::shown(&text)),
        info_hash: info_hash_of(item.value()).map(|info_hash| info_hash.to_string()),
        key: mutable.map(|item| item.key.to_string()),
        seq: mutable.map(|item| item.seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_what_they_are() {
        for (value, expected) in [
            (&b"5:hello"[..], "hello"),
            (b"3:a\x1bb", "a\\u{1b}b"),
            (b"i7e", "i7e"),
            (b"d1:a1:be", "d1:a1:be"),
            (b"2:\xff\xfe", "2:\\xff\\xfe"),
            (
                b"d2:ih20:aaaaaaaaaaaaaaaaaaaae",
                "magnet:?xt=urn:btih:6161616161616161616161616161616161616161",
            ),
        ] {
            assert_eq!(readable(value), expected);
        }
    }
}

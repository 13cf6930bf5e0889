//! The users of a private tracker, as its operator asks for them and changes them: in their file, and at once.
//!
//! Invariant: a passkey is in the answer to who made it, and in no other answer, nor in what is told of it (E11).

use super::command::{UserCommand, unescape};
use super::perform::Answer;
use crate::chance;
use crate::failure::Failure;
use crate::show::json::VERSION;
use crate::tracker::office::Office;
use crate::tracker::users::commands::UserLine;
use crate::tracker::users::{Change, Record, Store, Totals, check_name, is_harmless};
use serde_json::{Value, json};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU32;
use wire::Passkey;

/// Users told of at once if nobody says how many.
const USERS: usize = 100;

/// Users told of at once, at most.
const USERS_MAX: usize = 1000;

/// How what stands for a name begins that is not told. No name that is made here does.
const HIDDEN: char = '-';

/// What was done to a user, or is known of it; nothing if there is none of that name.
type Done<T> = Option<Result<Option<T>, Failure>>;

/// Some users, by their names.
pub(super) fn list(query: &str, office: &Office) -> Answer {
    let (mut after, mut most) = (String::new(), USERS);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("after", text)) => match unescape(text) {
                Some(name) => after = name,
                None => return Answer::error(400, "after: that is no user's name"),
            },
            Some(("count", text)) => match text.parse() {
                Ok(count) if (1..=USERS_MAX).contains(&count) => most = count,
                _ => return Answer::error(400, &format!("count: between 1 and {USERS_MAX}")),
            },
            _ => return Answer::error(400, "what can be said is `after` and `count`"),
        }
    }
    let known = match office.look_at_users(Store::list) {
        None => return nobody_has_users(),
        Some(Err(failure)) => return Answer::error(500, &failure.to_string()),
        Some(Ok(known)) => known,
    };
    if let Some((hidden, _)) =
        known.iter().find(|(record, _)| after != record.name && after == cursor(&record.name))
    {
        after = hidden.name.clone();
    } else if after.starts_with(HIDDEN) && !known.iter().any(|(record, _)| record.name == after) {
        return Answer::error(
            400,
            "after: whoever was the last of that page is not there any more; begin again",
        );
    }
    let behind = known.into_iter().filter(|(record, _)| record.name > after);
    let page: Vec<_> = behind.take(most).collect();
    let next = page.last().filter(|_| page.len() == most).map(|(record, _)| cursor(&record.name));
    let rows: Vec<Value> = page.into_iter().map(|(record, totals)| row(record, totals)).collect();
    Answer::ok(json!({ "v": VERSION, "type": "tracker_users", "users": rows, "next": next }))
}

/// What is said in `after` for those behind this user. Others may write any name into a database: one that is not shown as it is, for it could
/// be a passkey, is not told here either.
fn cursor(name: &str) -> String {
    if is_harmless(name) {
        return name.into();
    }
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    format!("{HIDDEN}{:016x}", hasher.finish())
}

/// A user, as a list has it.
fn row(record: Record, totals: Totals) -> Value {
    let mut row = serde_json::to_value(UserLine::of(record, totals)).unwrap_or_default();
    if let Some(members) = row.as_object_mut() {
        members.remove("v");
        members.remove("type");
    }
    row
}

/// What is answered to a command about one user, once it was done.
pub(super) fn answer(what: UserCommand, name: &str, query: &str, office: &Office) -> Answer {
    match what {
        UserCommand::Show => {
            let found = office.look_at_users(|store| match store.find(name)? {
                Some(known) => Ok(Some(Some(known))),
                None => Ok(store.knows(name)?.then_some(None)),
            });
            said(found, |known| match known.map(|(record, totals)| UserLine::of(record, totals)) {
                Some(line) => serde_json::to_value(line)
                    .map_or_else(|error| Answer::error(500, &error.to_string()), Answer::ok),
                None => {
                    Answer::error(409, "what should be the passkey of that user is none: it needs a new one")
                }
            })
        }
        UserCommand::Add => add(name, query, office),
        UserCommand::NewKey => match new_passkey() {
            Ok(passkey) => {
                said(change(name, Change::Passkey(passkey), office), |not_yet| shown(name, passkey, not_yet))
            }
            Err(answer) => answer,
        },
        UserCommand::Remove => done(name, Change::Removed, "the user is removed", office),
        UserCommand::Disable => done(name, Change::Enabled(false), "the user is disabled", office),
        UserCommand::Enable => done(name, Change::Enabled(true), "the user is enabled", office),
        UserCommand::NoDownload => {
            done(name, Change::MayDownload(false), "the user may seed, but not download", office)
        }
        UserCommand::Download => done(name, Change::MayDownload(true), "the user may download", office),
    }
}

fn add(name: &str, query: &str, office: &Office) -> Answer {
    let (mut may_download, mut clients_max) = (true, None);
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("download", "no")) => may_download = false,
            Some(("clients", text)) => match text.parse::<NonZeroU32>() {
                Ok(most) => clients_max = Some(most),
                Err(_) => return Answer::error(400, "clients: a number above 0"),
            },
            _ => return Answer::error(400, "what can be said is `download=no` and `clients`"),
        }
    }
    if let Err(failure) = check_name(name) {
        return Answer::error(400, &failure.to_string());
    }
    let passkey = match new_passkey() {
        Ok(passkey) => passkey,
        Err(answer) => return answer,
    };
    let added = office.change_users(|store| {
        let is_new = !store.knows(name)?;
        if is_new {
            store.add(Record { name: name.into(), passkey, may_download, enabled: true, clients_max })?;
        }
        Ok(is_new)
    });
    match added {
        None => nobody_has_users(),
        Some(Err(failure)) => Answer::error(500, &failure.to_string()),
        Some(Ok((false, _))) => Answer::error(409, "a user of that name is there already"),
        Some(Ok((true, not_yet))) => shown(name, passkey, not_yet),
    }
}

/// Changes the user of this name. If that does not hold yet, why.
fn change(name: &str, change: Change, office: &Office) -> Done<Option<Failure>> {
    let changed = office.change_users(|store| match store.knows(name)? {
        false => Ok(None),
        true => store.change(name, change).map(Some),
    })?;
    Some(changed.map(|(done, not_yet)| done.map(|()| not_yet)))
}

fn done(name: &str, what: Change, says: &str, office: &Office) -> Answer {
    said(change(name, what, office), |not_yet| match not_yet {
        None => Answer::changed(says),
        Some(failure) => Answer::error(503, &failure.to_string()),
    })
}

fn said<T>(done: Done<T>, say: impl FnOnce(T) -> Answer) -> Answer {
    match done {
        None => nobody_has_users(),
        Some(Err(failure)) => Answer::error(500, &failure.to_string()),
        Some(Ok(None)) => Answer::error(404, "nobody has that name"),
        Some(Ok(Some(what))) => say(what),
    }
}

fn new_passkey() -> Result<Passkey, Answer> {
    let chance = chance::bytes().map_err(|failure| Answer::error(500, &failure.to_string()))?;
    Ok(Passkey::of_chance(chance))
}

/// The one time that a passkey is shown: also if it is of no use yet.
fn shown(name: &str, passkey: Passkey, not_yet: Option<Failure>) -> Answer {
    let but = not_yet.map_or(String::new(), |failure| format!("; {failure}"));
    let what = format!("the passkey is the user's alone, and is not shown again{but}");
    let (r#type, passkey) = ("tracker_passkey", passkey.reveal());
    Answer::ok(json!({ "v": VERSION, "type": r#type, "name": name, "passkey": passkey, "what": what }))
}

fn nobody_has_users() -> Answer {
    Answer::error(
        409,
        "this tracker is open to everybody and has no users; `users` under [private] names a file",
    )
}

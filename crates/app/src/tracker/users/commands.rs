//! `gannet tracker users`: makes and changes the users of a private tracker, while it runs or not.
//!
//! Invariant: a passkey is printed once, to whoever made it; no other command shows one (E11).

use super::{Change, Record, Store, Totals, check_name, shown};
use crate::chance;
use crate::cli::{AddUser, Exit, TRACKER_PORT, TrackerUsers, UserName, UsersCommand};
use crate::failure::{Failure, Outcome};
use crate::show;
use crate::show::json::{VERSION, print};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use wire::Passkey;

/// A passkey, for whoever made it.
#[derive(Serialize)]
struct PasskeyLine<'a> {
    v: u32,
    r#type: &'static str,
    name: &'a str,
    passkey: &'a str,
    url: String,
}

/// A user, without the passkey.
#[derive(Serialize)]
pub(crate) struct UserLine {
    v: u32,
    r#type: &'static str,
    name: String,
    enabled: bool,
    may_download: bool,
    clients_max: Option<u32>,
    uploaded: u64,
    downloaded: u64,
    completed: u64,
    seed_time: u64,
    excesses: u64,
    last_seen: Option<u64>,
}

impl UserLine {
    pub(crate) fn of(record: Record, totals: Totals) -> UserLine {
        let Record { name, passkey: _, may_download, enabled, clients_max } = record;
        let Totals { uploaded, downloaded, completed, seed_time, excesses, last_seen } = totals;
        UserLine {
            v: VERSION,
            r#type: "tracker_user",
            name: shown(&name),
            enabled,
            may_download,
            clients_max: clients_max.map(Into::into),
            uploaded,
            downloaded,
            completed,
            seed_time,
            excesses,
            last_seen: (last_seen > 0).then_some(last_seen),
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &TrackerUsers) -> Outcome {
    let done = |UserName { name, users }: &UserName, change, what: &str| {
        Store::open(users, false)?.change(name, change)?;
        show::message(&format!("{name} {what}{}", holds_when(users)));
        Ok(Exit::Done)
    };
    match &args.command {
        UsersCommand::Add(args) => add(args),
        UsersCommand::List(args) => list(&args.users, args.json),
        UsersCommand::Disable(who) => done(who, Change::Enabled(false), "is disabled"),
        UsersCommand::Enable(who) => done(who, Change::Enabled(true), "is enabled"),
        UsersCommand::NoDownload(who) => done(who, Change::MayDownload(false), "may seed, but not download"),
        UsersCommand::Download(who) => done(who, Change::MayDownload(true), "may download"),
        UsersCommand::Remove(who) => done(who, Change::Removed, "is removed"),
        UsersCommand::NewKey(args) => {
            let passkey = Passkey::of_chance(chance::bytes()?);
            Store::open(&args.who.users, false)?.change(&args.who.name, Change::Passkey(passkey))?;
            tell(&args.who.name, passkey, &args.at, args.json)?;
            show::message(&format!("the old one is of no use any more{}", holds_when(&args.who.users)));
            Ok(Exit::Done)
        }
    }
}

fn add(args: &AddUser) -> Outcome {
    let AddUser { who: UserName { name, users }, no_download, clients, at, json } = args;
    // Before a file is made for it.
    check_name(name)?;
    let passkey = Passkey::of_chance(chance::bytes()?);
    let record = Record {
        name: name.clone(),
        passkey,
        may_download: !no_download,
        enabled: true,
        clients_max: *clients,
    };
    Store::open(users, true)?.add(record)?;
    tell(name, passkey, at, *json)?;
    show::message(&format!("that is {name}'s alone, and is not shown again{}", holds_when(users)));
    Ok(Exit::Done)
}

/// The one time that a passkey is shown.
fn tell(name: &str, passkey: Passkey, at: &Option<String>, json: bool) -> Result<(), Failure> {
    let nearby = format!("http://127.0.0.1:{TRACKER_PORT}");
    let at = at.as_deref().unwrap_or(&nearby).trim_end_matches('/');
    // This form works where others do not: clients ask a tracker on their own machine for /announce alone, and to scrape they replace
    // that word at the end of the path.
    let url = format!("{at}/announce?passkey={}", passkey.reveal());
    if json {
        let passkey = passkey.reveal();
        return print(&PasskeyLine { v: VERSION, r#type: "tracker_passkey", name, passkey, url });
    }
    show::print(&format!("{url}\n"))
}

/// A tracker notices it by itself in a database; a text file is read when it is told to.
fn holds_when(users: &Path) -> &'static str {
    match Store::open(users, false) {
        Ok(Store::Text(_)) => "; a tracker that runs already is told by SIGHUP",
        Ok(Store::Database(_)) | Err(_) => "",
    }
}

fn list(users: &Path, json: bool) -> Outcome {
    let mut store = Store::open(users, false)?;
    let list = store.list()?;
    if let Some(told) = store.read()?.unfit {
        show::message(&told);
    }
    if json {
        for (record, totals) in list {
            print(&UserLine::of(record, totals))?;
        }
        return Ok(Exit::Done);
    }
    show::print(&table(&list))?;
    Ok(Exit::Done)
}

fn table(list: &[(Record, Totals)]) -> String {
    let names: Vec<String> = list.iter().map(|(record, _)| shown(&record.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
    let mut text =
        format!("{:width$}  {:>15}  {:>15}  {:>9}  state\n", "name", "uploaded", "downloaded", "completed");
    for ((record, totals), name) in list.iter().zip(names) {
        let Totals { uploaded, downloaded, completed, .. } = totals;
        let _ = writeln!(
            text,
            "{name:width$}  {uploaded:>15}  {downloaded:>15}  {completed:>9}  {}",
            state(record)
        );
    }
    text
}

fn state(record: &Record) -> String {
    let mut state = if record.enabled { "enabled".to_owned() } else { "disabled".to_owned() };
    state.push_str(if record.may_download { "" } else { ", no download" });
    if let Some(most) = record.clients_max {
        let _ = write!(state, ", at most {most} at once in a torrent");
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_wrote_into_the_database_forge_nothing_and_tell_no_passkey() {
        let passkey = Passkey::of_chance([7; 16]);
        let of = |name: &str| {
            let name = name.into();
            (
                Record { name, passkey, may_download: true, enabled: true, clients_max: None },
                Totals::default(),
            )
        };
        let list = [of("an\u{1b}[2Ja\nbert  999"), of(passkey.reveal())];
        let text = table(&list);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains(passkey.reveal()), "{text}");
        for (record, totals) in list {
            let line = serde_json::to_string(&UserLine::of(record, totals)).unwrap();
            assert!(!line.contains(passkey.reveal()), "{line}");
        }
    }
}

//! The users of a private tracker: who there is, what each may do, and what each has sent and received so far. Kept in a text file
//! with a second one for the totals beside it, or in one SQLite database.
//!
//! Invariants: no passkey is in an error, a message or a `Debug` (E11); what was credited is written whole or not at all, and a crash
//! costs what was not yet written, a few seconds' worth.

pub(super) mod commands;
mod database;
mod keeper;
mod text;

pub(super) use keeper::{Keeper, Reader};

use crate::failure::Failure;
use crate::words::{count, shell, why};
use database::{Database, DatabaseFile};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use text::TextFile;
use tracker::ledger::{Member, Row, UserId};
use tracker::{Members, User};
use wire::passkey::PASSKEY_LEN_MIN;
use wire::{DisplaySafe, Passkey};

/// The longest name, in bytes.
const NAME_LEN_MAX: usize = 64;

/// Names told at most of those who cannot visit.
const UNFIT_TOLD_MAX: usize = 10;

/// How a database begins.
const SQLITE_HEAD: &[u8] = b"SQLite format 3\0";

/// Endings of files that are to be databases, if there is nothing in them yet.
const SQLITE_ENDINGS: [&str; 3] = ["db", "sqlite", "sqlite3"];

/// A user and what it may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) passkey: Passkey,
    pub(super) may_download: bool,
    pub(super) enabled: bool,
    pub(super) clients_max: Option<NonZeroU32>,
}

impl Record {
    /// As the tracker knows it.
    fn user(&self, user: UserId) -> User {
        let member = Member { user, may_download: self.may_download, clients_max: self.clients_max };
        User { passkey: self.passkey, member, enabled: self.enabled }
    }
}

/// What a user has done in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Totals {
    /// Bytes.
    pub(super) uploaded: u64,
    /// Bytes.
    pub(super) downloaded: u64,
    /// Downloads.
    pub(super) completed: u64,
    /// Seconds as a seed, of all torrents and clients together.
    pub(super) seed_time: u64,
    /// Announces that claimed more than is believable.
    pub(super) excesses: u64,
    /// Seconds since 1970; 0 for never.
    pub(super) last_seen: u64,
}

impl Totals {
    /// Adds what is due for one torrent.
    fn add(&mut self, row: &Row, now: u64) {
        let Totals { uploaded, downloaded, completed, seed_time, excesses, last_seen } = self;
        *uploaded = uploaded.saturating_add(row.uploaded);
        *downloaded = downloaded.saturating_add(row.downloaded);
        *completed = completed.saturating_add(row.completed.into());
        *seed_time = seed_time.saturating_add(row.seeded.as_secs());
        *excesses = excesses.saturating_add(row.excesses.into());
        *last_seen = now;
    }
}

/// Where users are.
pub(super) enum Store {
    Text(TextFile),
    Database(Database),
}

impl Store {
    /// The store in this file: a database if it is one, or is to become one by its name; otherwise text. One that does not exist is
    /// only made if that is wanted.
    pub(super) fn open(path: &Path, create: bool) -> Result<Store, Failure> {
        if is_database(path).map_err(|error| failed(path, &why(&error)))? {
            Database::open(path, create).map(Store::Database)
        } else {
            TextFile::open(path, create).map(Store::Text)
        }
    }

    /// Where it is, to open it once more.
    fn place(&self) -> Place {
        match self {
            Store::Text(file) => Place::Text(file.path().into()),
            Store::Database(database) => Place::Database(database.file().clone()),
        }
    }

    /// All users, for the tracker.
    pub(super) fn read(&mut self) -> Result<Everybody, Failure> {
        let (users, unfit) = match self {
            // A line without a passkey is no user, and nothing is read.
            Store::Text(file) => (file.users()?, Vec::new()),
            Store::Database(database) => database.read()?,
        };
        Ok(Everybody { members: Members::new(users), unfit: told_of(&unfit) })
    }

    /// The same, if whoever opens it knows users by the same numbers.
    pub(super) fn read_own(&mut self) -> Option<Result<Everybody, Failure>> {
        match self {
            // Its users have the numbers that the keeper gave them.
            Store::Text(_) => None,
            Store::Database(_) => Some(self.read()),
        }
    }

    /// Everybody with what they have done, by their names.
    pub(super) fn list(&mut self) -> Result<Vec<(Record, Totals)>, Failure> {
        match self {
            Store::Text(file) => file.list(),
            Store::Database(database) => database.list(),
        }
    }

    /// Whether somebody has this name, be it somebody who cannot visit.
    pub(super) fn knows(&mut self, name: &str) -> Result<bool, Failure> {
        match self {
            Store::Text(file) => Ok(file.list()?.iter().any(|(record, _)| record.name == name)),
            Store::Database(database) => database.knows(name),
        }
    }

    /// Whoever has this name, with what it has done.
    pub(super) fn find(&mut self, name: &str) -> Result<Option<(Record, Totals)>, Failure> {
        match self {
            Store::Text(file) => Ok(file.list()?.into_iter().find(|(record, _)| record.name == name)),
            Store::Database(database) => database.find(name),
        }
    }

    /// A new user.
    pub(super) fn add(&mut self, record: Record) -> Result<(), Failure> {
        check_name(&record.name)?;
        match self {
            Store::Text(file) => file.add(record),
            Store::Database(database) => database.add(&record),
        }
    }

    /// Changes a user in place.
    pub(super) fn change(&mut self, name: &str, change: Change) -> Result<(), Failure> {
        match self {
            Store::Text(file) => file.change(name, change),
            Store::Database(database) => database.change(name, change),
        }
    }

    /// Makes sure that what is due can be added to what there is.
    fn open_books(&mut self) -> Result<(), Failure> {
        match self {
            Store::Text(file) => file.read_totals(),
            // Its tables were looked at when it was opened.
            Store::Database(_) => Ok(()),
        }
    }

    /// Adds what is due. If that fails, nothing was added.
    fn credit(&mut self, rows: &[Row]) -> Result<(), Failure> {
        match self {
            Store::Text(file) => file.credit(rows, now()),
            Store::Database(database) => database.credit(rows, now()),
        }
    }

    /// Whether somebody else has changed something since the last time.
    fn has_changed(&mut self) -> bool {
        match self {
            // A person edits it in several steps: SIGHUP says when it is whole.
            Store::Text(_) => false,
            Store::Database(database) => database.has_changed(),
        }
    }
}

/// Who there is, read at one time.
pub(super) struct Everybody {
    members: Members,
    /// What is told of those who cannot visit, if there is anybody.
    unfit: Option<String>,
}

/// What is told of those who cannot visit, for what should be a passkey is none.
fn told_of(unfit: &[String]) -> Option<String> {
    let mut some = unfit.iter().take(UNFIT_TOLD_MAX).map(|name| shown(name)).collect::<Vec<_>>();
    if unfit.len() > some.len() {
        some.push("...".into());
    }
    let (some, who) = (some.join(", "), count(unfit.len() as u64, "user"));
    let told =
        || format!("{who} cannot visit, for a passkey has 32 to 64 letters, digits, `-` and `_`: {some}");
    (!unfit.is_empty()).then(told)
}

/// Where users are, once it is known how they are kept there. A process that has a database open must not look into its file to find that
/// out: the system takes all locks that a process has on a file away when it closes the file anywhere, and others would take it for theirs.
#[derive(Clone, Debug)]
enum Place {
    Text(PathBuf),
    Database(DatabaseFile),
}

impl Place {
    fn open(&self) -> Result<Store, Failure> {
        match self {
            Place::Text(path) => TextFile::open(path, false).map(Store::Text),
            Place::Database(file) => file.open().map(Store::Database),
        }
    }
}

/// What may become of a user.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    Enabled(bool),
    MayDownload(bool),
    Passkey(Passkey),
    Removed,
}

/// A name that both kinds of store can hold and a person can type.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let fits = (1..=NAME_LEN_MAX).contains(&name.len()) && !name.starts_with(['#', '-']);
    // Names are shown.
    let looks_secret = Passkey::read(name.as_bytes()).is_some();
    if fits
        && !looks_secret
        && name.chars().all(|letter| letter.is_alphanumeric() || "-_.@+".contains(letter))
    {
        return Ok(());
    }
    Err(Failure::plain(format!(
        "a name has letters, digits and `-_.@+`, at most {NAME_LEN_MAX} bytes of them; it begins with no `-`, and is not as long as a passkey if it could be one"
    )))
}

/// Whether a name may stand in what is kept about who did what: it is one that users have, and no passkey is in it, which somebody has put
/// there by mistake.
pub(super) fn is_harmless(name: &str) -> bool {
    check_name(name).is_ok() && !may_hold_passkey(name)
}

/// A name as it is shown. A database takes any from whoever else writes into it: one that moves the cursor, or has somebody's passkey in it.
fn shown(name: &str) -> String {
    match may_hold_passkey(name) {
        true => "(looks like a passkey)".into(),
        false => DisplaySafe::new(name).to_string(),
    }
}

/// Whether so many letters of a passkey stand next to each other in a name that they, or some of them, could be one.
fn may_hold_passkey(name: &str) -> bool {
    let of_passkey = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    name.split(|letter| !of_passkey(letter)).any(|part| part.len() >= PASSKEY_LEN_MIN)
}

/// Names that occur twice, or passkeys that two users share: by name.
fn check_distinct<'a>(records: impl Iterator<Item = &'a Record>) -> Result<(), String> {
    let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        if !names.insert(&record.name) {
            return Err(format!("`{}` is there twice", shown(&record.name)));
        }
        if !keys.insert(record.passkey.reveal()) {
            return Err(format!("`{}` has the passkey of another user", shown(&record.name)));
        }
    }
    Ok(())
}

fn is_database(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => drop(file.take(SQLITE_HEAD.len() as u64).read_to_end(&mut head)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let ending = path.extension().unwrap_or_default();
    Ok(head == SQLITE_HEAD || head.is_empty() && SQLITE_ENDINGS.iter().any(|known| ending == *known))
}

/// Files with users in them: beside a database, its log, in which the newest are, and the index of that. These two come when it is first
/// read, with the database's own mode as it is then, and keep it.
fn files(store: &Store, path: &Path) -> Vec<PathBuf> {
    let endings: &[&str] = match store {
        Store::Text(_) => &[""],
        Store::Database(_) => &["", "-wal", "-shm"],
    };
    let with = |ending: &&str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    };
    endings.iter().map(with).collect()
}

/// What is told of files of users that others may read or write than their owner and their group.
fn exposed(files: &[PathBuf]) -> Option<String> {
    let others_may =
        |file: &PathBuf| std::fs::metadata(file).map_or(0, |meta| meta.permissions().mode() & 0o006);
    let open = files.iter().filter(|file| others_may(file) != 0);
    let may = match open.clone().fold(0, |all, file| all | others_may(file)) {
        0 => return None,
        0o004 => "read",
        0o002 => "write",
        _ => "read and write",
    };
    let files = open.map(|file| shell(file)).collect::<Vec<_>>();
    let (all, which) = (files.join(" "), files.join(" and "));
    Some(format!(
        "everybody on this machine may {may} {which}, with passkeys in them; `chmod o= {all}` ends that"
    ))
}

/// A failure about users' file.
fn failed(path: &Path, what: &str) -> Failure {
    Failure::plain(format!("the users in {}: {what}", path.display()))
}

fn nobody(path: &Path, name: &str) -> Failure {
    failed(path, &format!("nobody there is called `{}`", shown(name)))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;

    #[test]
    fn no_name_is_shown_in_which_a_passkey_could_be_wherever_it_stands_there() {
        let key = Passkey::of_chance([7; 16]);
        let key = key.reveal();
        for name in [
            key.to_owned(),
            format!("{key}{key}"),
            format!("{key}{key}{key}"),
            format!("x{key}"),
            format!("anna {key}"),
            format!("anna@{key}.example"),
            format!("http://127.0.0.1/announce?passkey={key}&x"),
            format!("\u{e9}{key}\n"),
        ] {
            assert_eq!(shown(&name), "(looks like a passkey)");
            assert!(!is_harmless(&name));
        }
        let short = &key[1..];
        for name in ["anna", &format!("{short}.{short}"), &format!("{short}@b")] {
            assert_eq!(shown(name), name);
            assert!(is_harmless(name));
        }
    }

    #[test]
    fn a_file_that_others_may_read_or_write_is_told_of() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (mode, may) in [
            (0o600, None),
            (0o660, None),
            (0o604, Some("may read ")),
            (0o602, Some("may write ")),
            (0o666, Some("may read and write ")),
        ] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let told = exposed(&[file.path().to_owned()]);
            assert_eq!(told.is_some(), may.is_some(), "{mode:o}");
            assert!(told.unwrap_or_default().contains(may.unwrap_or_default()), "{mode:o}");
        }
        // Those that are made here are their owner's alone.
        let folder = tempfile::tempdir().unwrap();
        for name in ["users.txt", "users.db"] {
            let path = folder.path().join(name);
            let mut store = Store::open(&path, true).unwrap();
            store.read().unwrap();
            assert_eq!(exposed(&files(&store, &path)), None, "{name}");
        }
    }

    #[test]
    fn the_log_of_a_database_is_told_of_as_long_as_others_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.db");
        let mut store = Store::open(&path, true).unwrap();
        store.read().unwrap();
        let all = files(&store, &path);
        let set = |file: &Path, mode| std::fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        all.iter().for_each(|file| set(file, 0o644));
        for closed in 0..=all.len() {
            let told = exposed(&all);
            assert_eq!(told.is_some(), closed < all.len());
            let names = all.iter().map(|file| file.display().to_string()).collect::<Vec<_>>();
            let command = format!("`chmod o= {}`", names[closed..].join(" "));
            assert!(told.is_none_or(|told| told.contains(&command)), "{command}");
            all.get(closed).into_iter().for_each(|file| set(file, 0o640));
        }
    }
}

//! Books that cannot be written or read for a while.

use super::*;
use crate::tracker::users::Record;
use tracker::ledger::UserId;
use wire::{InfoHash, Passkey};

fn row() -> Row {
    let (user, info_hash) = (UserId(0), InfoHash([7; 20]));
    let (uploaded, downloaded, left, completed) = (1, 0, 0, 0);
    Row { user, info_hash, uploaded, downloaded, left, completed, seeded: Duration::ZERO, excesses: 0 }
}

/// Users in a text file that is there, with totals that cannot be read, so that nothing can be written.
fn spoilt(folder: &Path) -> Store {
    let path = folder.join("users.txt");
    let mut store = Store::open(&path, true).unwrap();
    let passkey = Passkey::of_chance([1; 16]);
    let anna = Record { name: "anna".into(), passkey, may_download: true, enabled: true, clients_max: None };
    store.add(anna).unwrap();
    std::fs::write(folder.join("users.txt.totals"), "spoilt\n").unwrap();
    store
}

#[test]
fn totals_that_cannot_be_read_are_said_at_the_start_and_not_when_something_is_due() {
    let folder = tempfile::tempdir().unwrap();
    drop(spoilt(folder.path()));
    let error = Keeper::start(&folder.path().join("users.txt")).map(drop).unwrap_err().to_string();
    assert!(error.contains("users.txt.totals: line 1"), "{error}");
    std::fs::remove_file(folder.path().join("users.txt.totals")).unwrap();
    let (_keeper, private) = Keeper::start(&folder.path().join("users.txt")).unwrap();
    assert_eq!(private.members.len(), 1);
}

#[test]
fn a_full_keeper_that_cannot_write_ends_and_lets_the_tracker_end() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, mut keeping, books) = Keeper::of(spoilt(folder.path()));
    let rows = books.rows;
    keeping.waiting = vec![row(); ROWS_WAITING_MAX];
    // Workers are still there, and more than fits is on its way.
    (0..BATCHES_MAX).for_each(|_| rows.send(vec![row()]).unwrap());
    assert!(rows.try_send(vec![row()]).is_err());
    keeper.gives_up.set(Instant::now()).unwrap();
    keeping.run();
    assert!(rows.send(vec![row()]).is_err(), "nobody takes it, and nobody waits");
}

#[test]
fn what_could_not_be_written_is_as_soon_as_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let (keeper, mut keeping, books) = Keeper::of(spoilt(folder.path()));
    let totals = folder.path().join("users.txt.totals");
    keeping.store.read().unwrap();
    keeping.waiting = vec![row(); 3];
    keeping.write();
    assert_eq!(books.standing.failures(), 1);
    assert!(keeping.fails && !keeping.is_given_up(), "as long as no end is in sight it is tried");
    std::fs::remove_file(&totals).unwrap();
    drop(keeper.end_in_sight());
    drop(books);
    keeping.run();
    assert!(std::fs::read_to_string(&totals).unwrap().contains("\nanna 3 "));
}

#[test]
fn how_many_cannot_visit_is_said_with_some_of_their_names_and_none_that_may_be_a_passkey() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let (keeper, mut keeping, _books) = Keeper::of(Store::open(&path, true).unwrap());
    let unfit = || keeper.reader.unfit.0.lock().unwrap().clone();
    let read = || keeper.reader.members_of(keeper.reader.open().unwrap().read().unwrap());
    assert_eq!((read().len(), unfit()), (0, None));
    let db = rusqlite::Connection::open(&path).unwrap();
    let secret = Passkey::of_chance([7; 16]);
    let mut names = (0..11).map(|number| format!("user{number}")).collect::<Vec<_>>();
    names.insert(0, secret.reveal().into());
    for (number, name) in names.iter().enumerate() {
        let add = "INSERT INTO users (name, passkey) VALUES (?1, ?2)";
        db.execute(add, rusqlite::params![name, format!("short{number}")]).unwrap();
    }
    // All are read once, and not by the keeper.
    keeping.look_around();
    assert!(keeper.has_news() && unfit().is_none());
    assert_eq!(read().len(), 0);
    let told = unfit().unwrap();
    assert!(told.starts_with("12 users cannot visit") && told.ends_with("user8, ..."), "{told}");
    assert!(!told.contains(secret.reveal()) && !told.contains("short"), "{told}");
}

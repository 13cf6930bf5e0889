//! Users in a database that others change, spoil and replace.

use super::*;
use wire::InfoHash;

fn record_of(name: &str, chance: u8) -> Record {
    let passkey = Passkey::of_chance([chance; 16]);
    Record { name: name.into(), passkey, may_download: true, enabled: true, clients_max: None }
}

fn row(user: u64, uploaded: u64) -> Row {
    Row {
        user: UserId(user),
        info_hash: InfoHash([7; 20]),
        uploaded,
        downloaded: 1,
        left: u64::MAX,
        completed: 1,
        seeded: Duration::from_millis(5999),
        excesses: 1,
    }
}

#[test]
fn what_is_due_is_added_to_users_and_transfers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let mut database = Database::open(&path, true).unwrap();
    let anna = Record { clients_max: NonZeroU32::new(3), ..record_of("anna", 1) };
    database.add(&anna).unwrap();
    database.add(&Record { may_download: false, enabled: false, ..record_of("bert", 2) }).unwrap();
    for twice in [record_of("anna", 3), record_of("carl", 1)] {
        let error = database.add(&twice).unwrap_err().to_string();
        assert!(error.contains("already") && !error.contains("0101"), "{error}");
    }
    database.credit(&[row(1, 10), row(2, 20), row(1, 5), row(9, 1)], 1000).unwrap();
    database.credit(&[row(1, u64::MAX)], 2000).unwrap();
    database.credit(&[row(1, u64::MAX)], 3000).unwrap();
    let list = database.list().unwrap();
    assert_eq!(list[0].0, anna);
    let full = i64::MAX as u64;
    let totals =
        Totals { uploaded: full, downloaded: 4, completed: 4, seed_time: 20, excesses: 4, last_seen: 3000 };
    assert_eq!(list[0].1, totals);
    assert_eq!((list[1].1.uploaded, list[1].0.enabled, list[1].0.may_download), (20, false, false));
    let transfer = "SELECT uploaded, downloaded, left, first_seen, last_seen FROM transfers WHERE user = 1 AND info_hash = ?1";
    let found: (i64, i64, i64, i64, i64) = database
        .db
        .query_row(transfer, ["07".repeat(20)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .unwrap();
    assert_eq!(found, (i64::MAX, 4, i64::MAX, 1000, 3000));
}

#[test]
fn what_others_change_is_noticed_and_what_we_add_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let mut ours = Database::open(&path, true).unwrap();
    let mut theirs = Database::open(&path, true).unwrap();
    assert!(!ours.has_changed());
    theirs.add(&record_of("anna", 1)).unwrap();
    assert!(ours.has_changed() && !ours.has_changed());
    ours.credit(&[row(1, 10)], 1).unwrap();
    assert!(!ours.has_changed());
    theirs.change("anna", Change::Passkey(Passkey::of_chance([5; 16]))).unwrap();
    assert!(ours.has_changed());
    assert_eq!(ours.read().unwrap().0[0].passkey, Passkey::of_chance([5; 16]));
    theirs.change("anna", Change::Removed).unwrap();
    assert!(theirs.change("anna", Change::Enabled(true)).is_err());
    assert_eq!(ours.read().unwrap().0, []);
    // A number is never given twice: what is still due to who is gone is nobody's.
    theirs.add(&record_of("bert", 1)).unwrap();
    ours.credit(&[row(1, 10)], 2).unwrap();
    assert_eq!(ours.read().unwrap().0[0].member.user, UserId(2));
    assert_eq!(ours.list().unwrap()[0].1, Totals::default());
}

#[test]
fn who_has_no_fit_passkey_is_told_of_and_no_name_keeps_others_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let mut database = Database::open(&path, true).unwrap();
    database.add(&record_of("anna", 1)).unwrap();
    assert_eq!(database.read().unwrap().1, [""; 0]);
    let key = Passkey::of_chance([2; 16]);
    let others = "INSERT INTO users (name, passkey) VALUES ('bert', 'short'), ('carl', ''), (CAST(x'ff41' AS TEXT), ?1)";
    Connection::open(&path).unwrap().execute(others, [key.reveal()]).unwrap();
    assert_eq!(database.read().unwrap().1, ["bert", "carl"]);
    let keys: Vec<_> = database.read().unwrap().0.into_iter().map(|user| user.passkey).collect();
    assert_eq!(keys, [Passkey::of_chance([1; 16]), key]);
    let names: Vec<_> = database.list().unwrap().into_iter().map(|(record, _)| record.name).collect();
    assert_eq!(names, ["anna", "\u{fffd}A"]);
}

#[test]
fn torrents_that_a_member_invents_leave_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    let mut database = Database::open(&path, true).unwrap();
    database.transfers_max = 2;
    database.add(&record_of("anna", 1)).unwrap();
    let nothing = Row { downloaded: 0, completed: 0, seeded: Duration::ZERO, ..row(1, 0) };
    let of = |torrent, uploaded| Row { info_hash: InfoHash([torrent; 20]), uploaded, ..nothing };
    let stored = |database: &Database| {
        let all = "SELECT count(*), sum(uploaded), max(last_seen) FROM transfers";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        database.db.query_row(all, [], read).unwrap()
    };
    database.credit(&[of(1, 0), of(2, 0), of(3, 0)], 1).unwrap();
    assert_eq!(stored(&database), (0, None::<i64>, None::<i64>));
    database.credit(&[of(1, 5)], 2).unwrap();
    // Who says nothing new was seen all the same.
    database.credit(&[of(1, 0)], 3).unwrap();
    assert_eq!(stored(&database), (1, Some(5), Some(3)));
    // There are no more than these, and what is done beyond them is the account's alone.
    database.credit(&[of(2, 5), of(3, 5), of(1, 5)], 4).unwrap();
    assert_eq!(stored(&database), (2, Some(15), Some(4)));
    assert_eq!(database.list().unwrap()[0].1.uploaded, 20);
    // Somebody makes room.
    Connection::open(&path).unwrap().execute("DELETE FROM transfers", []).unwrap();
    assert!(database.has_changed());
    database.credit(&[of(3, 5)], 5).unwrap();
    assert_eq!(stored(&database), (1, Some(5), Some(5)));
}

#[test]
fn another_file_in_its_place_is_noticed_and_nothing_is_written_into_either() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other, aside] = ["users.db", "other.db", "aside.db"].map(|name| folder.path().join(name));
    Database::open(&other, true).unwrap().add(&record_of("bert", 2)).unwrap();
    let mut database = Database::open(&path, true).unwrap();
    database.add(&record_of("anna", 1)).unwrap();
    assert!(!database.has_changed());
    std::fs::rename(&path, &aside).unwrap();
    for is_there in [false, true] {
        if is_there {
            std::fs::rename(&other, &path).unwrap();
        }
        assert!(database.has_changed());
        let error = database.read().unwrap_err().to_string();
        assert!(error.contains("moved or replaced"), "{error}");
        database.credit(&[row(1, 10)], 1).unwrap_err();
        assert!(database.file().open().is_err());
    }
    std::fs::rename(&aside, &path).unwrap();
    assert!(!database.has_changed() && database.file().open().is_ok());
    assert_eq!(database.list().unwrap()[0].1, Totals::default());
    database.credit(&[row(1, 10)], 1).unwrap();
    assert_eq!(database.read().unwrap().0.len(), 1);
}

#[test]
fn a_file_that_is_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users.db");
    assert!(Database::open(&path, false).is_err() && !path.exists());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 7").unwrap();
    let error = Database::open(&path, true).map(drop).unwrap_err().to_string();
    assert!(error.contains("version 7"), "{error}");
    std::fs::write(&path, "no database at all, but long enough to be taken for one").unwrap();
    assert!(Database::open(&path, true).is_err());
}

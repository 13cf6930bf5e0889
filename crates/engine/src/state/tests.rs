//! The store against restarts, a second process, flipped bits and garbage.

use super::*;
use proto::command::SeedGoal;
use proto::resume::OpenRecord;
use proto::{BlockSet, Duration, Priority, ResumeRecord};
use std::collections::BTreeMap;
use wire::offer::Place;
use wire::{Bitfield, FileIndex, PieceIndex};

fn torrent(number: u8) -> StoredTorrent {
    StoredTorrent {
        info_hash: InfoHash([number; 20]),
        metainfo: (0..300u32).map(|i| (i as u8).wrapping_mul(number)).collect(),
        root: PathBuf::from(format!("/data/{number}")),
        options: TorrentOptions {
            priorities: [Priority::Normal, Priority::Skip, Priority::High, Priority::Low].into(),
            sequential: number.is_multiple_of(2),
            paused: number.is_multiple_of(3),
            seed_goal: SeedGoal { ratio_permille: Some(1500), time: Some(Duration::from_secs(60)) },
        },
        added: 1_700_000_000 + u64::from(number),
        swarm: if number.is_multiple_of(2) { Swarm::Private([number; 16]) } else { Swarm::Open },
        places: (0..u32::from(number % 4))
            .map(|file| Place { file: FileIndex(file), offset: 1 << (32 + file), whole: u64::MAX - 1 })
            .collect(),
        resume: None,
    }
}

fn update(number: u8) -> ResumeUpdate {
    let mut have = Bitfield::new(77);
    (0..77).step_by(usize::from(number) + 1).for_each(|piece| _ = have.insert(PieceIndex(piece)));
    let open = OpenRecord { piece: PieceIndex(5), blocks: BlockSet::from_iter([0, 3, 70]) };
    let mark = |file| FileMark {
        file,
        size: 1000 + u64::from(file),
        mtime: -5,
        inode: u64::MAX - u64::from(number),
        adopted: 7,
        settled: file % 2 == 0,
    };
    ResumeUpdate {
        info_hash: InfoHash([number; 20]),
        record: ResumeRecord { have, open: vec![open], uploaded: 1 << 40, downloaded: u64::from(number) },
        volume: VolumeMark { fsid: u64::MAX, root_inode: 2 },
        stored: vec![PieceIndex(5)],
        files: (0..4).map(mark).collect(),
    }
}

fn with_resume(number: u8) -> StoredTorrent {
    let ResumeUpdate { record, volume, stored, files, .. } = update(number);
    StoredTorrent {
        resume: Some(Box::new(StoredResume { record, volume, files, stored })),
        ..torrent(number)
    }
}

fn open(dir: &Path) -> State {
    let (state, notices) = State::open(dir).unwrap();
    assert_eq!(notices, []);
    state
}

/// A store with these torrents and their resume records, closed.
fn filled(dir: &Path, numbers: &[u8]) {
    let state = open(dir);
    for &number in numbers {
        state.add(&torrent(number)).unwrap();
    }
    let updates: Vec<_> = numbers.iter().map(|&number| update(number)).collect();
    assert!(state.commit(&updates).iter().all(Result::is_ok));
}

#[test]
fn what_was_committed_is_read_back() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1, 2, 3]);
    let state = open(temp.path());
    let all = state.torrents().unwrap();
    assert_eq!(all.notices, []);
    assert_eq!(all.torrents, [1, 2, 3].map(with_resume));
    assert_eq!(state.torrent(InfoHash([2; 20])).unwrap(), Some(with_resume(2)));
    assert_eq!(state.torrent(InfoHash([9; 20])).unwrap(), None);
}

#[test]
fn adding_again_changes_the_settings_and_keeps_the_progress() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1]);
    let state = open(temp.path());
    state.add(&StoredTorrent { added: 7, ..torrent(1) }).unwrap();
    let options = TorrentOptions { paused: true, ..TorrentOptions::default() };
    state.set_options(InfoHash([1; 20]), &options).unwrap();
    let expected = StoredTorrent { added: 7, options, ..with_resume(1) };
    assert_eq!(state.torrents().unwrap().torrents, [expected]);
}

#[test]
fn a_torrent_in_another_directory_starts_afresh_and_others_stay() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1, 2]);
    let state = open(temp.path());
    let elsewhere = StoredTorrent { root: "/elsewhere".into(), ..torrent(1) };
    state.add(&elsewhere).unwrap();
    assert_eq!(state.torrents().unwrap().torrents, [elsewhere, with_resume(2)]);
    state.add(&torrent(1)).unwrap();
    assert_eq!(state.torrent(InfoHash([1; 20])).unwrap(), Some(torrent(1)), "not believed on the way back");
    let other_ranges = StoredTorrent { places: Box::default(), ..torrent(2) };
    state.add(&other_ranges).unwrap();
    assert_eq!(state.torrent(InfoHash([2; 20])).unwrap(), Some(other_ranges));
}

#[test]
fn a_removed_torrent_leaves_nothing_and_others_stay() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1, 2]);
    let state = open(temp.path());
    state.remove(InfoHash([1; 20])).unwrap();
    state.remove(InfoHash([1; 20])).unwrap();
    assert_eq!(state.torrents().unwrap().torrents, [with_resume(2)]);
    state.add(&torrent(1)).unwrap();
    assert_eq!(state.torrent(InfoHash([1; 20])).unwrap(), Some(torrent(1)));
}

#[test]
fn a_commit_for_an_unknown_torrent_fails_alone() {
    let temp = tempfile::tempdir().unwrap();
    let state = open(temp.path());
    state.add(&torrent(1)).unwrap();
    let answers = state.commit(&[update(1), update(2)]);
    assert!(matches!(answers[..], [Ok(()), Err(StateError::Unknown(InfoHash([2, ..])))]), "{answers:?}");
    assert_eq!(state.torrents().unwrap().torrents, [with_resume(1)]);
}

#[test]
fn unsettled_files_are_no_longer_held_to_their_exact_size_and_time() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1]);
    let state = open(temp.path());
    state.unsettle(InfoHash([1; 20])).unwrap();
    let files = state.torrent(InfoHash([1; 20])).unwrap().unwrap().resume.unwrap().files;
    assert_eq!(files.len(), 4);
    assert!(files.iter().all(|mark| !mark.settled));
}

#[test]
fn a_torrent_is_run_by_one_process_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let (first, second) = (open(temp.path()), open(temp.path()));
    let claim = |state: &State, number| state.claim(&state.turn().unwrap(), InfoHash([number; 20]));
    let held = claim(&first, 1).unwrap();
    assert!(matches!(claim(&second, 1), Err(StateError::InUse { .. })));
    claim(&second, 2).unwrap();
    drop(held);
    claim(&second, 1).unwrap();
}

#[test]
fn what_other_processes_run_can_be_asked_and_is_not_disturbed_by_it() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1, 2, 3]);
    let (first, second) = (open(temp.path()), open(temp.path()));
    let claim = |state: &State, number| state.claim(&state.turn().unwrap(), InfoHash([number; 20]));
    let claimed = |state: &State, ours: &[u8]| {
        let found = state.claimed(&state.turn().unwrap(), |info_hash| ours.contains(&info_hash.0[0]));
        found.unwrap().iter().map(|torrent| torrent.info_hash.0[0]).collect::<Vec<_>>()
    };
    let held = [claim(&first, 1).unwrap(), claim(&first, 3).unwrap()];
    assert_eq!(claimed(&second, &[]), [1, 3]);
    assert!(claimed(&first, &[1, 3]).is_empty());
    drop(held);
    assert!(claimed(&second, &[]).is_empty());
    drop(claim(&first, 2).unwrap());
    // Who has found himself alone hears of those who come.
    let held = claim(&first, 2).unwrap();
    first.add(&torrent(2)).unwrap();
    assert_eq!(claimed(&second, &[]), [2]);
    drop(held);
    assert!(claimed(&second, &[]).is_empty());
    let (_held, _ours) = (claim(&first, 5).unwrap(), claim(&second, 1).unwrap());
    first.add(&torrent(5)).unwrap();
    second.add(&torrent(1)).unwrap();
    assert_eq!((claimed(&second, &[1]), claimed(&first, &[5])), (vec![5], vec![1]));
}

#[test]
fn two_processes_may_write_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let states = [open(temp.path()), open(temp.path())];
    std::thread::scope(|scope| {
        for (half, state) in states.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..20 {
                    let number = number * 2 + half as u8;
                    state.add(&torrent(number)).unwrap();
                    assert!(state.commit(&[update(number)])[0].is_ok());
                }
            });
        }
    });
    assert_eq!(states[0].torrents().unwrap().torrents.len(), 40);
}

#[test]
fn the_store_of_a_later_version_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1]);
    let db = Connection::open(temp.path().join(FILE_NAME)).unwrap();
    db.pragma_update(None, "user_version", 5).unwrap();
    drop(db);
    assert!(matches!(State::open(temp.path()), Err(StateError::Newer { found: 5, known: 4 })));
}

/// As an earlier version would have left a store with these torrents: without places, and before version 3 in the open.
fn make_older(dir: &Path, version: i64) {
    let db = Connection::open(dir.join(FILE_NAME)).unwrap();
    schema::make_older(&db, version).unwrap();
}

#[test]
fn the_stores_of_earlier_versions_are_read_and_upgraded() {
    for version in [1, 2, 3] {
        let temp = tempfile::tempdir().unwrap();
        filled(temp.path(), &[1, 2, 3]);
        make_older(temp.path(), version);
        let swarm = |number| if version < 3 { Swarm::Open } else { torrent(number).swarm };
        let places = Box::default;
        let expected = [1, 2, 3].map(|number| StoredTorrent {
            swarm: swarm(number),
            places: places(),
            ..with_resume(number)
        });
        for _ in 0..2 {
            let state = open(temp.path());
            assert_eq!(state.torrents().unwrap().torrents, expected, "version {version}");
            assert_eq!(state.swarm(InfoHash([2; 20])).unwrap(), Some(swarm(2)));
        }
        let db = Connection::open(temp.path().join(FILE_NAME)).unwrap();
        assert_eq!(db.pragma_query_value(None, "user_version", |row| row.get(0)), Ok(4));
    }
}

#[test]
fn an_older_store_that_is_damaged_is_saved_as_far_as_it_can_be_read() {
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &[1, 2, 3]);
    make_older(temp.path(), 2);
    let db = Connection::open(temp.path().join(FILE_NAME)).unwrap();
    db.execute_batch("CREATE TABLE stray (a); UPDATE torrent SET root = x'00' WHERE id = 2").unwrap();
    drop(db);
    let (state, notices) = State::open(temp.path()).unwrap();
    assert!(matches!(
        notices[..],
        [StateNotice::Replaced { carried: 2, .. }, StateNotice::Quarantined { .. }]
    ));
    let without = |number| StoredTorrent { places: Box::default(), ..with_resume(number) };
    assert_eq!(state.torrents().unwrap().torrents, [without(1), without(3)]);
}

/// Whatever is done to the columns that say among whom a torrent is kept, a secret is never taken for something open.
#[test]
fn a_secret_is_known_as_one_whatever_happens_to_its_record() {
    let open_seal = {
        let temp = tempfile::tempdir().unwrap();
        filled(temp.path(), &[1]);
        let db = Connection::open(temp.path().join(FILE_NAME)).unwrap();
        db.query_row("SELECT swarm_seal FROM torrent", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    for (damage, still_private) in [
        ("root = x'00'".to_string(), true),
        ("seal = 0".into(), true),
        ("swarm = x''".into(), false),
        ("swarm = 'text'".into(), false),
        ("swarm = NULL".into(), false),
        ("swarm_seal = 'text'".into(), false),
        (format!("swarm = x'', swarm_seal = {open_seal}"), false),
    ] {
        let temp = tempfile::tempdir().unwrap();
        filled(temp.path(), &[2]);
        let state = open(temp.path());
        assert_eq!(state.swarm(InfoHash([2; 20])).unwrap(), Some(Swarm::Private([2; 16])));
        let done = state.db().execute(&format!("UPDATE torrent SET {damage}"), []);
        if damage.contains("NULL") {
            assert!(done.is_err(), "the schema does not allow it");
            continue;
        }
        assert_eq!(done.unwrap(), 1);
        let left = if still_private { Swarm::Private([2; 16]) } else { Swarm::Unknown };
        assert_eq!(state.swarm(InfoHash([2; 20])).unwrap(), Some(left), "{damage}");
        let all = state.torrents().unwrap();
        assert!(all.torrents.is_empty() && all.notices.len() == 1, "{damage}: it is not started");
    }
}

#[test]
fn metadata_takes_the_place_of_the_link_and_brings_no_removed_torrent_back() {
    let temp = tempfile::tempdir().unwrap();
    let state = open(temp.path());
    let link = StoredTorrent { metainfo: b"magnet:?xt=urn:btih:01".to_vec(), ..torrent(2) };
    state.add(&link).unwrap();
    state.set_metainfo(link.info_hash, b"d4:info", &[Priority::Skip]).unwrap();
    drop(state);
    let state = open(temp.path());
    let known = state.torrent(link.info_hash).unwrap().unwrap();
    assert_eq!((known.metainfo, known.options.priorities), (b"d4:info".to_vec(), [Priority::Skip].into()));
    assert_eq!((known.root, known.swarm), (link.root, Swarm::Private([2; 16])));
    state.remove(link.info_hash).unwrap();
    let late = state.set_metainfo(link.info_hash, b"d4:info", &[]);
    assert!(matches!(late, Err(StateError::Unknown(_))));
    assert_eq!(state.torrent(link.info_hash).unwrap(), None);
}

#[test]
fn a_file_that_is_no_database_is_moved_aside_and_said_so() {
    for garbage in
        [&b"hello"[..], &[0; 5000], &[0xff; 100], b"SQLite format 3\0 and then nothing of the kind"]
    {
        let temp = tempfile::tempdir().unwrap();
        std::fs::write(temp.path().join(FILE_NAME), garbage).unwrap();
        let (state, notices) = State::open(temp.path()).unwrap();
        let [StateNotice::Replaced { kept, carried: 0, .. }] = &notices[..] else {
            panic!("{notices:?}");
        };
        assert_eq!(std::fs::read(kept).unwrap(), garbage);
        state.add(&torrent(1)).unwrap();
        drop(state);
        assert_eq!(open(temp.path()).torrents().unwrap().torrents, [torrent(1)]);
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("file"), b"").unwrap();
    let error = State::open(&temp.path().join("file/state")).err().unwrap();
    assert!(matches!(error, StateError::Directory { .. }), "{error}");
}

/// H15: every byte of a small store, flipped in one of several ways, and every length it can be cut to.
#[test]
fn no_flipped_byte_is_believed_and_no_torrent_pays_for_another() {
    let numbers = [1, 2, 3, 4];
    let temp = tempfile::tempdir().unwrap();
    filled(temp.path(), &numbers);
    let sound = std::fs::read(temp.path().join(FILE_NAME)).unwrap();
    let expected: BTreeMap<InfoHash, StoredTorrent> =
        numbers.iter().map(|&number| (InfoHash([number; 20]), with_resume(number))).collect();
    // Unused space inside pages is not worth a case each: all bytes that are not zero, and every 16th of those that are.
    let used = (0..sound.len()).filter(|&at| sound[at] != 0 || at % 16 == 0);
    let flips = used.flat_map(|at| [(at, 0xff), (at, 0x01), (at, 0x80)]);
    let flipped = flips.map(|(at, mask)| {
        let mut bytes = sound.clone();
        bytes[at] ^= mask;
        (format!("byte {at} ^ {mask:#x}"), bytes)
    });
    // Not to nothing: an empty file is what a crash at the very first start leaves.
    let cut = (256..sound.len()).step_by(256).map(|len| (format!("cut to {len}"), sound[..len].to_vec()));
    let damaged = Mutex::new(flipped.chain(cut));
    let tally = Mutex::new(BTreeMap::<&str, u32>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((case, bytes)) = damaged.lock().unwrap().next() else { break };
                    let outcome = outcome(&bytes, &expected, &case);
                    *tally.lock().unwrap().entry(outcome).or_default() += 1;
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    let cases: u32 = tally.values().sum();
    println!("{cases} damaged stores of {} bytes: {tally:?}", sound.len());
    assert!(cases >= 5_000, "{cases}");
}

/// Opens a store of these bytes. Whatever is read must be what was written; what is missing must be named.
fn outcome(bytes: &[u8], expected: &BTreeMap<InfoHash, StoredTorrent>, case: &str) -> &'static str {
    let temp = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    std::fs::write(temp.path().join(FILE_NAME), bytes).unwrap();
    let (state, mut notices) = match State::open(temp.path()) {
        Ok(opened) => opened,
        Err(StateError::Newer { .. }) => return "looks like a later version's",
        Err(error) => panic!("{case}: {error}"),
    };
    let all = state.torrents().unwrap_or_else(|error| panic!("{case}: {error}"));
    notices.extend(all.notices);
    let (mut whole, mut without_resume) = (0, 0);
    for torrent in &all.torrents {
        let sound = expected.get(&torrent.info_hash).unwrap_or_else(|| panic!("{case}: a stranger"));
        let bare = |torrent: &StoredTorrent| StoredTorrent { resume: None, ..torrent.clone() };
        assert_eq!(bare(torrent), bare(sound), "{case}");
        match (&torrent.resume, &sound.resume) {
            (Some(found), Some(sound)) => {
                assert_eq!(found.record, sound.record, "{case}");
                assert!(found.files.iter().all(|mark| sound.files.contains(mark)), "{case}");
                whole += 1;
            }
            _ => without_resume += 1,
        }
    }
    let replaced = notices.iter().any(|notice| matches!(notice, StateNotice::Replaced { .. }));
    let named = notices.len();
    assert!(whole == expected.len() || named > 0, "{case}: something is missing and nothing is said");
    assert!(
        replaced || whole + without_resume + 1 >= expected.len(),
        "{case}: one bad row cost several torrents"
    );
    assert!(
        state.add(&torrent(200)).is_ok() && state.commit(&[update(200)])[0].is_ok(),
        "{case}: not usable"
    );
    match (replaced, whole, named) {
        (true, 0, _) => "moved aside, nothing readable",
        (true, ..) => "rebuilt from what was readable",
        (false, _, 0) => "all there",
        (false, ..) => "one quarantined or without progress",
    }
}

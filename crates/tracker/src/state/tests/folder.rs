//! What is believed of a folder, and what is said instead.

use crate::state::{CLOCK_ERROR_MAX, Folder, Remembered, refuse_others, since};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

#[test]
fn a_clock_that_is_days_behind_is_said_and_makes_nobody_young() {
    let now = SystemTime::now();
    let ago = Duration::from_secs(600);
    assert!(since(now - ago).unwrap() >= ago);
    // Set back a little, as clocks are that somebody looks after.
    assert_eq!(since(now + CLOCK_ERROR_MAX / 2).unwrap(), Duration::ZERO);
    let error = since(now + Duration::from_secs(86_400)).unwrap_err().to_string();
    assert!(error.contains("is the clock right?"), "{error}");
}

#[test]
fn a_folder_that_cannot_be_listed_is_no_empty_one() {
    let parent = tempfile::tempdir().unwrap();
    let folder = Folder::open(&parent.path().join("state"), false).unwrap();
    assert_eq!(folder.restore(&mut [], |_| 0), Remembered::default());
    fs::remove_dir_all(&folder.path).unwrap();
    let damaged = folder.restore(&mut [], |_| 0).damaged;
    assert!(matches!(&damaged[..], [said] if said.contains("state")), "{damaged:?}");
}

#[test]
fn a_key_that_is_known_needs_no_room_on_the_disk() {
    let parent = tempfile::tempdir().unwrap();
    let mut folder = Folder::open(parent.path(), false).unwrap();
    let key = folder.connection_ids(2).unwrap().key();
    // Nothing can be made under this name any more.
    fs::create_dir(parent.path().join("key.new")).unwrap();
    assert_eq!(folder.connection_ids(2).unwrap().key(), key);
    fs::remove_file(parent.path().join("key")).unwrap();
    assert!(folder.connection_ids(2).is_err());
}

#[test]
fn what_is_known_of_members_is_not_for_strangers_nor_strangers_for_members() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("members-0-of-1"), "").unwrap();
    fs::write(home.path().join("swarms-0-of-1"), "").unwrap();
    for (is_private, left) in [(false, "members-0-of-1"), (true, "swarms-0-of-1")] {
        let folder = Folder::open(home.path(), is_private).unwrap();
        let damaged = folder.restore(&mut [], |_| 0).damaged;
        assert!(matches!(&damaged[..], [said] if said.contains(left)), "{is_private}: {damaged:?}");
    }
}

#[test]
fn a_folder_into_which_others_may_write_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o1777)).unwrap();
    let error = Folder::open(home.path(), false).unwrap_err().to_string();
    assert!(error.contains("everybody may write into it"), "{error}");
    assert!(!home.path().join("lock").exists());
    assert!(refuse_others(1000, 0o700, 0).unwrap_err().to_string().contains("another user (1000, we are 0)"));
    refuse_others(1000, 0o775, 1000).unwrap();
}

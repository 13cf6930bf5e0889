//! What is shared arrives as it was, whatever it is.

use super::super::{LostWhy, ReceiveError, ReceiveTrouble};
use super::*;
use std::fs::{File, Permissions};
use std::os::unix::fs::symlink;

#[test]
fn a_folder_of_all_kinds_arrives_as_it_was_and_a_link_is_named_as_lost() {
    let home = Home::new();
    let root = home.source().join("holiday");
    for number in 0..300 {
        home.write(&format!("holiday/sub {}/file {number}", number % 7), number * 37);
    }
    let tool = home.write("holiday/tool", 1000);
    fs::set_permissions(tool, Permissions::from_mode(0o755)).unwrap();
    let large_tool = home.write("holiday/large tool", 1_500_000);
    fs::set_permissions(large_tool, Permissions::from_mode(0o755)).unwrap();
    home.write("holiday/Makefile", 10);
    home.write("holiday/large", 3_000_000);
    fs::create_dir_all(root.join("empty/inner")).unwrap();
    let share = home.share(&root);
    symlink("tool", root.join("link")).unwrap();
    let receiver = home.receive(&share, "one");
    let offered = receiver.offered();
    // Whether the link was seen depends on who was faster.
    assert_eq!((offered.files, offered.executables, offered.folders), (304, 2, 1));
    assert!(!home.output("one").exists(), "nothing is written before the user agrees");
    receiver.0.accept();
    let seen = receiver.finish();
    assert!(seen.iter().any(|event| matches!(event, ReceiveEvent::Began)), "{seen:?}");
    assert!(!seen.iter().any(|event| matches!(event, ReceiveEvent::Trouble(_))), "{seen:?}");
    fs::remove_file(root.join("link")).unwrap();
    assert_same(&root, &home.output("one").join("holiday"));
    receiver.until("nobody needs us", |event| matches!(event, ReceiveEvent::Served));
    let status = receiver.0.status();
    assert_eq!((status.has, status.size, status.complete), (offered.size, offered.size, true));
    until(&share, "completion", |event| matches!(event, ShareEvent::Complete { receiver: 1 }));
    let status = share.status();
    assert_eq!((status.copies, status.hashed, status.all_hashed), (1, offered.size, true));
    receiver.end();
    assert!(fs::read_dir(home.state("one").join("receive")).unwrap().next().is_none(), "nothing is kept");
    end(share);
    assert!(!home.0.path().join("scratch").exists());
}

#[test]
fn what_does_not_come_along_is_named_to_both() {
    let home = Home::new();
    home.write("t/a", 10);
    symlink("a", home.source().join("t/link")).unwrap();
    let share = home.share(&home.source().join("t"));
    let seen = until(&share, "list", |event| matches!(event, ShareEvent::Listed(_)));
    let Some(ShareEvent::Listed(listing)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!(listing.lost, [(home.source().join("t/link"), LostWhy::Link)]);
    let receiver = home.receive(&share, "one");
    assert_eq!(receiver.offered().lost, 1);
    receiver.0.accept();
    let seen = receiver.finish();
    let told = |event: &ReceiveEvent| match event {
        // Nothing of where the folder is.
        ReceiveEvent::Lost { path, why: LostWhy::Link } => path.raw() == b"t/link",
        _ => false,
    };
    assert!(seen.iter().any(told), "{seen:?}");
    receiver.end();
}

#[test]
fn a_lone_file_lies_where_the_folder_is() {
    for len in [0, 5, 100_000, 5_000_000] {
        let home = Home::new();
        let file = home.write("film.mkv", len);
        let share = home.share(&file);
        let receiver = home.receive(&share, "one");
        receiver.take();
        assert_same(&file, &home.output("one").join("film.mkv"));
        receiver.end();
        end(share);
    }
}

#[test]
fn an_empty_folder_can_be_shared_and_names_that_meet_are_told_apart() {
    let home = Home::new();
    fs::create_dir(home.source().join("hollow")).unwrap();
    let share = home.share(&home.source().join("hollow"));
    let receiver = home.receive(&share, "one");
    receiver.take();
    assert_same(&home.source().join("hollow"), &home.output("one").join("hollow"));
    drop((receiver, share));
    // In torrents of their own each.
    home.write("t/Name", 400_000);
    home.write("t/name", 400_000);
    let share = home.share(&home.source().join("t"));
    let receiver = home.receive(&share, "two");
    receiver.take();
    let copies = tree(&home.output("two").join("t"));
    let mut lens: Vec<_> = copies.values().flatten().map(|(bytes, _)| bytes.len()).collect();
    lens.sort();
    assert_eq!(lens, [400_000, 400_000]);
}

/// All ranges of a hole hold the same, and are torrents of their own.
#[test]
fn a_large_file_with_holes_arrives_in_ranges() {
    let home = Home::new();
    let path = home.write("disk.img", 700_000);
    File::options().write(true).open(&path).unwrap().set_len(20_000_000).unwrap();
    let share = home.share(&path);
    let receiver = home.receive(&share, "one");
    receiver.take();
    assert_same(&path, &home.output("one").join("disk.img"));
    assert_eq!(fs::read_dir(home.output("one")).unwrap().count(), 1, "nothing else");
    let seen = until(&share, "all hashed", |event| matches!(event, ShareEvent::AllHashed { .. }));
    assert!(
        matches!(seen.last(), Some(ShareEvent::AllHashed { torrents: 12.., bytes: 20_000_000 })),
        "{seen:?}"
    );
    receiver.end();
}

#[test]
fn nothing_is_overwritten() {
    let home = Home::new();
    home.write("t/a", 100_000);
    let share = home.share(&home.source().join("t"));
    for taken in ["t", "t.part"] {
        let output = home.output(taken);
        fs::create_dir_all(&output).unwrap();
        fs::write(output.join(taken), "mine").unwrap();
        let receiver = home.receive(&share, taken);
        receiver.0.accept();
        let seen = receiver.until("refusal", |event| matches!(event, ReceiveEvent::Failed(_)));
        let Some(ReceiveEvent::Failed(ReceiveError::Exists(path))) = seen.last() else { panic!("{seen:?}") };
        assert_eq!(*path, output.join(taken));
        assert_eq!(fs::read(output.join(taken)).unwrap(), b"mine");
        assert_eq!(fs::read_dir(&output).unwrap().count(), 1);
        receiver.end();
    }
}

#[test]
fn who_declines_has_nothing_and_the_sharer_knows() {
    let home = Home::new();
    home.write("t/a", 100_000);
    let share = home.share(&home.source().join("t"));
    let receiver = home.receive(&share, "one");
    receiver.offered();
    receiver.0.decline();
    until(&share, "refusal", |event| matches!(event, ShareEvent::Declined { receiver: 1 }));
    receiver.end();
    assert!(!home.output("one").exists() && !home.state("one").exists());
}

/// A file that grows between the list and its hash is lost, the rest of its torrent is not.
#[test]
fn what_changes_while_it_is_hashed_is_lost_and_said_so() {
    let home = Home::new();
    let root = home.source().join("t");
    for number in 0..40 {
        home.write(&format!("t/{number:02}"), 200_000);
    }
    // The last in the row: until it is its turn megabytes are hashed.
    let last = home.write("t/zz", 150_000);
    let share = home.share(&root);
    until(&share, "list", |event| matches!(event, ShareEvent::Listed(_)));
    fs::write(&last, "other").unwrap();
    let seen = until(&share, "all hashed", |event| matches!(event, ShareEvent::AllHashed { .. }));
    assert!(
        seen.iter()
            .any(|event| matches!(event, ShareEvent::Lost { path, why: LostWhy::Changed } if *path == last)),
        "{seen:?}"
    );
    assert!(matches!(seen.last(), Some(ShareEvent::AllHashed { bytes: 8_000_000, .. })), "{seen:?}");
    let receiver = home.receive(&share, "one");
    let seen = receiver.take();
    assert!(
        seen.iter().any(|event| matches!(event, ReceiveEvent::Lost { why: LostWhy::Changed, .. })),
        "{seen:?}"
    );
    fs::remove_file(&last).unwrap();
    assert_same(&root, &home.output("one").join("t"));
}

/// Files that were hashed and are written to before anybody has fetched them: they are named, and what is behind them comes all the
/// same, although more torrents wait for bytes that do not come than fetch at once.
#[test]
fn what_changes_after_it_was_offered_does_not_hold_up_the_rest() {
    let home = Home::new();
    let root = home.source().join("t");
    for number in 0..7 {
        home.write(&format!("t/{number:02}"), 2_000_000);
    }
    let share = home.share(&root);
    until(&share, "all hashed", |event| matches!(event, ShareEvent::AllHashed { .. }));
    let changed: Vec<_> = (0..2).map(|number| root.join(format!("{number:02}"))).collect();
    changed.iter().for_each(|path| fs::write(path, "other").unwrap());
    let receiver = home.receive(&share, "one");
    receiver.offered();
    receiver.0.accept();
    let seen = receiver.finish();
    let mut lost: Vec<_> = seen
        .iter()
        .filter_map(|event| match event {
            ReceiveEvent::Lost { path, why: LostWhy::Changed } => Some(path.to_string()),
            ReceiveEvent::Lost { .. } => panic!("{event:?}"),
            _ => None,
        })
        .collect();
    lost.sort_unstable();
    assert_eq!(lost, ["t/00", "t/01"], "what was to come with them is not lost");
    receiver.end();
    let output = home.output("one").join("t");
    assert_eq!(fs::read_dir(&output).unwrap().count(), 5);
    for number in 2..7 {
        let name = format!("{number:02}");
        assert!(fs::read(output.join(&name)).unwrap() == fs::read(root.join(&name)).unwrap(), "{name}");
    }
}

/// A torrent of several files, one of which is written to before anybody has fetched it.
#[test]
fn a_file_that_changes_later_is_lost_alone_and_the_rest_of_its_torrent_comes() {
    let home = Home::new();
    let root = home.source().join("t");
    let paths: Vec<_> = ["a", "b", "c"].map(|name| home.write(&format!("t/{name}"), 20_000)).into();
    // Its first range is in the same torrent.
    home.write("t/large", 3_000_000);
    let share = home.share(&root);
    until(&share, "all hashed", |event| matches!(event, ShareEvent::AllHashed { .. }));
    // As long as it was, and of the same time: the system knows all the same.
    let modified = fs::metadata(&paths[1]).unwrap().modified().unwrap();
    fs::write(&paths[1], vec![1; 20_000]).unwrap();
    fs::File::open(&paths[1]).unwrap().set_modified(modified).unwrap();
    for name in ["one", "another"] {
        let receiver = home.receive(&share, name);
        receiver.offered();
        receiver.0.accept();
        let seen = receiver.finish();
        let lost = |event: &&ReceiveEvent| match event {
            ReceiveEvent::Lost { path, why: LostWhy::Changed } => path.raw() == b"t/b",
            ReceiveEvent::Lost { .. } => panic!("{event:?}"),
            _ => false,
        };
        assert_eq!(seen.iter().filter(lost).count(), 1, "{seen:?}");
        let top = home.output(name).join("t");
        for file in ["a", "c", "large"] {
            assert!(
                fs::read(root.join(file)).unwrap() == fs::read(top.join(file)).unwrap(),
                "{name}: {file}"
            );
        }
        let mut here: Vec<_> = fs::read_dir(&top).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        here.sort_unstable();
        assert_eq!(here, ["a", "c", "large"], "{name}: nothing else is left");
        receiver.end();
    }
    let is_end = |event: &ShareEvent| matches!(event, ShareEvent::Left { receiver: 2 });
    let seen = until(&share, "end of the other", is_end);
    let lost: Vec<_> = seen.iter().filter(|event| matches!(event, ShareEvent::Lost { .. })).collect();
    assert!(matches!(&lost[..], [ShareEvent::Lost { path, .. }] if *path == paths[1]), "{lost:?}");
}

#[test]
fn a_name_that_is_taken_meanwhile_is_left_alone_and_the_bytes_wait() {
    let home = Home::new();
    let path = home.write("disk.img", 5_000_000);
    let share = home.share(&path);
    let receiver = home.receive_with(&share, "one", |config| config.download_max = Some(2_000_000));
    receiver.offered();
    receiver.0.accept();
    receiver.until("first byte", |event| matches!(event, ReceiveEvent::Began));
    let taken = home.output("one").join("disk.img");
    fs::write(&taken, "mine").unwrap();
    let finish = |event: &ReceiveEvent| matches!(event, ReceiveEvent::Trouble(ReceiveTrouble::Finish { .. }));
    receiver.until("trouble", finish);
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    fs::remove_file(&taken).unwrap();
    receiver.finish();
    assert_same(&path, &taken);
}

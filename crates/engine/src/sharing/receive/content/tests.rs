//! What is refused of an offer, and what becomes of files whose names are taken or that do not come along.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use wire::FileIndex;
use wire::metainfo::{MetainfoBuilder, NewFile};
use wire::private::SwarmKey;

struct Receiver {
    dir: TempDir,
    content: Content,
}

fn receiver() -> Receiver {
    let dir = tempfile::tempdir().unwrap();
    let offer = Offer {
        name: "holiday".into(),
        size: 100_000,
        files: 4,
        executables: 1,
        folders: 1,
        lost: 0,
        swarm_key: SwarmKey([1; 32]),
        swarm_port: 7,
    };
    let content = Content::new(dir.path().into(), SafePath::from_name(b"holiday"), &offer);
    Receiver { dir, content }
}

fn torrent(number: u64, name: &str, lens: &[u64]) -> Box<OfferedTorrent> {
    let files = lens.iter().enumerate().map(|(n, &len)| NewFile { path: vec![format!("{number} {n}")], len });
    let pieces = lens.iter().sum::<u64>().div_ceil(16 << 10) as usize;
    let builder = MetainfoBuilder::directory(name, files.collect(), 16 << 10);
    let (_, metainfo) = builder.build(&vec![[number as u8; 20]; pieces]).unwrap();
    Box::new(OfferedTorrent { number, metainfo, places: Vec::new(), executables: Vec::new() })
}

fn path(elements: &[&str]) -> SafePath {
    let top = SafePath::from_name(elements[0].as_bytes());
    match &elements[1..] {
        [] => top,
        beneath => {
            let beneath = Some(beneath.iter().map(|element| element.as_bytes()));
            wire::path::SafePaths::new([beneath]).unwrap().get_beneath(&top, FileIndex(0)).unwrap()
        }
    }
}

#[test]
fn nothing_beside_the_name_that_the_user_agreed_to_is_touched() {
    let Receiver { dir, mut content } = receiver();
    for name in [".bashrc", "Holiday", "documents"] {
        assert!(matches!(content.offer(torrent(0, name, &[10])), Err(ReceiveError::TooMuch)), "{name}");
        for outside in [path(&[name]), path(&[name, "holiday"])] {
            assert!(matches!(content.make_folders(vec![outside.clone()]), Err(ReceiveError::TooMuch)));
            content.begin_again();
            assert!(matches!(content.make_empty_files(vec![outside], false), Err(ReceiveError::TooMuch)));
            content.begin_again();
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    content.offer(torrent(0, "holiday", &[10])).unwrap();
    assert!(content.make_folders(vec![path(&["holiday", "in"])]).unwrap().is_empty());
    assert!(dir.path().join("holiday/in").is_dir());
    assert!(content.make_empty_files(vec![path(&["holiday", "hook"])], true).unwrap().is_empty());
    let hook = dir.path().join("holiday/hook").metadata().unwrap();
    assert_eq!((hook.len(), hook.permissions().mode() & 0o100), (0, 0o100));
}

#[test]
fn a_sharer_that_offers_more_than_it_said_is_refused() {
    for (lens, expected) in
        [(&[25_000; 4][..], true), (&[25_001; 4], false), (&[1; 4], true), (&[1; 5], false)]
    {
        assert_eq!(receiver().content.offer(torrent(0, "holiday", lens)).is_ok(), expected, "{lens:?}");
    }
    let with = |places, executables| {
        let torrent = OfferedTorrent { places, executables, ..*torrent(0, "holiday", &[1; 4]) };
        receiver().content.offer(Box::new(torrent)).is_ok()
    };
    let place = |whole| vec![Place { file: FileIndex(0), offset: 5, whole }];
    assert!(with(place(100_000), vec![FileIndex(3)]));
    assert!(!with(place(100_001), Vec::new()));
    assert!(!with(Vec::new(), vec![FileIndex(2), FileIndex(3)]));
}

#[test]
fn what_is_withdrawn_may_be_offered_anew_and_is_not_waited_for() {
    let Receiver { mut content, .. } = receiver();
    let mut meter = Meter::default();
    content.offer(torrent(0, "holiday", &[25_000; 4])).unwrap();
    assert!(content.offer(torrent(1, "holiday", &[25_000; 3])).is_err());
    content.withdraw(0, &mut meter);
    content.withdraw(0, &mut meter);
    content.withdraw(u64::MAX, &mut meter);
    content.set_end(1, 0);
    assert!(content.is_all_here());
    content.offer(torrent(1, "holiday", &[25_000; 3])).unwrap();
    content.set_end(2, 0);
    assert!(content.is_all_offered() && !content.is_all_here());
}

#[test]
fn a_file_whose_name_is_taken_keeps_its_own_and_what_lies_there_is_not_made_executable() {
    let Receiver { dir, mut content } = receiver();
    let at = |name: &str| dir.path().join("holiday").join(name);
    let executes = |name: &str| at(name).metadata().unwrap().permissions().mode() & 0o100 != 0;
    fs::create_dir(dir.path().join("holiday")).unwrap();
    fs::write(at("tool.part"), b"ours").unwrap();
    fs::write(at("tool"), b"mine").unwrap();
    let chore = Chore::Name { path: path(&["holiday", "tool"]), len: 4, executable: true };
    for _ in 0..2 {
        assert!(content.attempt(chore.clone()).is_some());
    }
    content.set_end(0, 0);
    assert!(!content.is_all_here() && !executes("tool"));
    // Something else of that name is not taken for ours either.
    fs::rename(at("tool.part"), at("aside")).unwrap();
    fs::write(at("tool"), b"mine, and longer").unwrap();
    assert!(!content.try_again().is_empty() && !executes("tool"));
    fs::rename(at("aside"), at("tool.part")).unwrap();
    fs::remove_file(at("tool")).unwrap();
    assert!(content.try_again().is_empty() && content.is_all_here() && executes("tool"));
    assert_eq!(fs::read(at("tool")).unwrap(), b"ours");
}

#[test]
fn what_came_of_a_large_file_that_does_not_come_along_is_removed_and_a_folder_moved_away_is_no_obstacle() {
    let Receiver { dir, mut content } = receiver();
    content.make_folders(vec![path(&["holiday", "in"])]).unwrap();
    let part = dir.path().join("holiday/big.part");
    fs::write(&part, b"some").unwrap();
    assert!(!content.ranges.add(&path(&["holiday", "big"]), 0, 4, 9));
    content.settle().unwrap();
    assert!(!part.exists());
    content.make_folders(vec![path(&["holiday", "in"])]).unwrap();
    fs::rename(dir.path().join("holiday"), dir.path().join("elsewhere")).unwrap();
    content.settle().unwrap();
}

#[test]
fn an_empty_file_into_which_somebody_wrote_is_left_alone_and_holds_nothing_up() {
    let Receiver { dir, mut content } = receiver();
    fs::create_dir(dir.path().join("holiday")).unwrap();
    let hook = dir.path().join("holiday/hook");
    fs::write(&hook, b"mine").unwrap();
    assert!(content.make_empty_files(vec![path(&["holiday", "hook"])], true).unwrap().is_empty());
    assert_eq!(fs::read(&hook).unwrap(), b"mine");
    assert_eq!(hook.metadata().unwrap().permissions().mode() & 0o100, 0);
    content.set_end(0, 0);
    assert!(content.is_all_here());
}

#[test]
fn a_folder_that_became_a_link_or_a_file_does_not_hold_up_the_end() {
    for link in [true, false] {
        let Receiver { dir, mut content } = receiver();
        content.make_folders(vec![path(&["holiday", "in"])]).unwrap();
        let folder = dir.path().join("holiday/in");
        fs::remove_dir(&folder).unwrap();
        match link {
            true => std::os::unix::fs::symlink(dir.path(), &folder).unwrap(),
            false => fs::write(&folder, b"mine").unwrap(),
        }
        content.settle().unwrap();
        assert!(fs::symlink_metadata(&folder).unwrap().is_symlink() == link);
    }
}

//! What is refused of an offer, and what becomes of files whose names are taken or that do not come along.

use super::*;
use crate::ClientConfig;
use sha1::{Digest, Sha1};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
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
    Box::new(OfferedTorrent { number, metainfo, places: Vec::new(), executables: Vec::new(), replaces: None })
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
        assert!(
            matches!(content.offer(torrent(0, name, &[10]), false), Err(ReceiveError::TooMuch)),
            "{name}"
        );
        for outside in [path(&[name]), path(&[name, "holiday"])] {
            assert!(matches!(content.make_folders(vec![outside.clone()]), Err(ReceiveError::TooMuch)));
            content.begin_again();
            assert!(matches!(content.make_empty_files(vec![outside], false), Err(ReceiveError::TooMuch)));
            content.begin_again();
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    content.offer(torrent(0, "holiday", &[10]), false).unwrap();
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
        assert_eq!(
            receiver().content.offer(torrent(0, "holiday", lens), false).is_ok(),
            expected,
            "{lens:?}"
        );
    }
    let with = |places, executables| {
        let torrent = OfferedTorrent { places, executables, ..*torrent(0, "holiday", &[1; 4]) };
        receiver().content.offer(Box::new(torrent), false).is_ok()
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
    content.offer(torrent(0, "holiday", &[25_000; 4]), false).unwrap();
    assert!(content.offer(torrent(1, "holiday", &[25_000; 3]), false).is_err());
    content.withdraw(0, &mut meter);
    content.withdraw(0, &mut meter);
    content.withdraw(u64::MAX, &mut meter);
    content.set_end(2, 0);
    assert!(!content.is_all_offered() && !content.is_all_here(), "what is left of it comes in another");
    content.offer(torrent(1, "holiday", &[25_000; 3]), false).unwrap();
    assert!(content.is_all_offered() && !content.is_all_here());
}

/// A torrent whose bytes are these, in files of 20,000 each.
fn real_torrent(number: u64, names: &[&str], bytes: &[u8]) -> Box<OfferedTorrent> {
    let files = names.iter().map(|name| NewFile { path: vec![(*name).into()], len: 20_000 });
    let builder = MetainfoBuilder::directory("holiday", files.collect(), 16 << 10).source(number.to_string());
    let hashes: Vec<[u8; 20]> = bytes.chunks(16 << 10).map(|piece| Sha1::digest(piece).into()).collect();
    let (_, metainfo) = builder.build(&hashes).unwrap();
    let replaces = number.checked_sub(1);
    Box::new(OfferedTorrent { number, metainfo, places: Vec::new(), executables: Vec::new(), replaces })
}

/// What is told meanwhile is heard, until it is so.
fn until(content: &mut Content, client: &Client, meter: &mut Meter, is_so: impl Fn(&Content) -> bool) {
    let events = client.events();
    content.go_on(client, meter).unwrap();
    while !is_so(content) {
        let event = events.recv_timeout(Duration::from_secs(60)).unwrap();
        content.on_event(&event);
        content.go_on(client, meter).unwrap();
    }
}

#[test]
fn what_was_here_when_it_was_withdrawn_stays_as_its_user_has_it_and_serves_others() {
    let Receiver { dir, mut content } = receiver();
    let state = tempfile::tempdir().unwrap();
    let mut config = ClientConfig::new(state.path(), dir.path());
    (config.local_discovery, config.dht) = (false, None);
    let (client, mut meter) = (Client::start(config).unwrap(), Meter::default());
    let names = ["a", "b", "c", "d"];
    let bytes: Vec<u8> = (0..80_000u32).map(|at| (at / 7) as u8).collect();
    let at = |name: &str| dir.path().join("holiday").join(name);
    fs::create_dir(dir.path().join("holiday")).unwrap();
    for (name, bytes) in names.iter().zip(bytes.chunks(20_000)) {
        fs::write(at(name), bytes).unwrap();
    }
    content.offer(real_torrent(0, &names, &bytes), false).unwrap();
    content.set_end(1, 80_000);
    until(&mut content, &client, &mut meter, Content::is_all_here);
    // The user goes on with two of them; the sharer finds that another one has changed.
    fs::write(at("c"), b"mine").unwrap();
    fs::remove_file(at("d")).unwrap();
    content.set_end(2, 0);
    content.withdraw(0, &mut meter);
    let rest = [&bytes[..20_000], &bytes[40_000..]].concat();
    content.offer(real_torrent(1, &["a", "c", "d"], &rest), true).unwrap();
    let served = |content: &Content| matches!(content.items[..], [_, Item::Kept(Some(_), _)]);
    until(&mut content, &client, &mut meter, served);
    assert!(content.is_all_here());
    assert_eq!(content.kept(), 60_000);
    let Some(Item::Kept(Some(handle), _)) = content.items.get(1) else { panic!() };
    let events = client.events();
    let mut stats = handle.stats().wait().unwrap();
    while stats.pieces_have == 0 {
        events.recv_timeout(Duration::from_secs(60)).unwrap();
        stats = handle.stats().wait().unwrap();
    }
    assert_eq!((stats.pieces_have, stats.wanted), (1, 0), "the first piece is of `a` alone");
    assert_eq!((fs::read(at("c")).unwrap(), at("d").exists()), (b"mine".to_vec(), false));
    let folder = fs::read_dir(dir.path().join("holiday")).unwrap();
    let mut left: Vec<_> = folder.map(|entry| entry.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["a", "b", "c"]);
    // That one is withdrawn too.
    content.withdraw(1, &mut meter);
    content.offer(real_torrent(2, &["a"], &bytes[..20_000]), true).unwrap();
    content.set_end(3, 0);
    let served = |content: &Content| matches!(content.items[..], [_, _, Item::Kept(Some(_), _)]);
    until(&mut content, &client, &mut meter, served);
    assert_eq!((content.kept(), content.is_all_here()), (20_000, true));
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

//! What is said is understood, and whatever breaks a bound is refused for its reason.

use super::*;
use crate::metainfo::{MetainfoBuilder, NewFile};

fn metainfo() -> Metainfo {
    let file = |name: &str, len| NewFile { path: vec!["sub".into(), name.into()], len };
    let files = vec![file("a", 20_000), file("b", 5), file("c", 16_384)];
    let builder = MetainfoBuilder::directory("holiday", files, 16 * 1024);
    builder.build(&[[7; 20]; 3]).unwrap().1
}

fn offered() -> OfferedTorrent {
    OfferedTorrent {
        number: 3,
        metainfo: metainfo(),
        places: vec![
            Place { file: FileIndex(0), offset: 1 << 40, whole: (1 << 40) + 20_000 },
            Place { file: FileIndex(2), offset: 0, whole: 1 << 50 },
        ],
        executables: vec![FileIndex(0), FileIndex(1)],
        replaces: Some(2),
    }
}

fn offer() -> Offer {
    Offer {
        name: "holiday".into(),
        size: 36_389,
        files: 3,
        executables: 2,
        folders: 1,
        lost: 4,
        swarm_key: SwarmKey([5; 32]),
        swarm_port: 51413,
    }
}

fn others(addresses: &[&str]) -> Vec<SocketAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn folders(paths: &[&[&str]]) -> Vec<u8> {
    let paths = paths.iter().map(|path| list(path.iter().map(bytes)));
    message("folders", [("paths", list(paths))])
}

#[test]
fn what_a_sharer_says_is_understood() {
    let folders = SharerSays::decode(&folders(&[&["empty"], &["sub", "hollow"]])).unwrap();
    let lost = LostWhy::ALL.map(|why| Lost { path: "sub/x".into(), why });
    let all = [
        SharerSays::Offer(offer()),
        SharerSays::Hashed(1 << 45),
        SharerSays::Torrent(Box::new(offered())),
        SharerSays::Withdrawn { number: 2 },
        folders.clone(),
        SharerSays::EmptyFiles(vec![SafePath::from_name(b"nothing")]),
        SharerSays::EmptyExecutables(vec![SafePath::from_name(b"hook")]),
        SharerSays::Lost(lost.into()),
        SharerSays::Peers { others: others(&["10.0.0.7:51413", "[fe80::1]:7"]), incomplete: 1 },
        SharerSays::End { torrents: 4, bytes: 36_389 },
    ];
    for said in all {
        assert_eq!(SharerSays::decode(&said.encode()), Ok(said.clone()));
        assert_eq!(ReceiverSays::decode(&said.encode()), Err(OfferError::Kind), "{said:?}");
    }
    let SharerSays::Folders(folders) = folders else { panic!("{folders:?}") };
    assert_eq!(folders.iter().map(SafePath::as_str).collect::<Vec<_>>(), ["empty", "sub/hollow"]);
}

#[test]
fn what_a_receiver_says_is_understood() {
    for said in [
        ReceiverSays::Hello { name: "kitchen".into(), instance: *b"sixteen of these" },
        ReceiverSays::Wants { swarm_port: 51413 },
        ReceiverSays::Wants { swarm_port: 0 },
        ReceiverSays::Declines,
        ReceiverSays::Has(0),
        ReceiverSays::Complete,
    ] {
        assert_eq!(ReceiverSays::decode(&said.encode()), Ok(said.clone()));
        assert_eq!(SharerSays::decode(&said.encode()), Err(OfferError::Kind), "{said:?}");
    }
}

#[test]
fn the_fullest_messages_fit_between_two_who_are_paired() {
    let longest = DisplaySafe::new(vec![b'x'; TEXT_BYTES_MAX]);
    let lost = vec![Lost { path: longest, why: LostWhy::Unreadable }; BATCH_MAX];
    assert!(SharerSays::Lost(lost).encode().len() <= MESSAGE_LEN_MAX);
    // As many files as a torrent may have, each a far range of a huge file and executable, and the longest description.
    let name = |n: u32| NewFile { path: vec![format!("{n:0134}")], len: 1 };
    let files = (0..TORRENT_FILES_MAX).map(name).collect();
    let (_, metainfo) = MetainfoBuilder::directory("t", files, 16 * 1024).build(&[[7; 20]; 1]).unwrap();
    assert!(
        (INFO_LEN_MAX - 20_000..=INFO_LEN_MAX).contains(&metainfo.info().len()),
        "{}",
        metainfo.info().len()
    );
    let every = || (0..TORRENT_FILES_MAX).map(FileIndex);
    let place = |file| Place { file, offset: i64::MAX as u64 - 1, whole: i64::MAX as u64 };
    let torrent = OfferedTorrent {
        number: i64::MAX as u64,
        metainfo,
        places: every().map(place).collect(),
        executables: every().collect(),
        replaces: Some(i64::MAX as u64 - 1),
    };
    let said = SharerSays::Torrent(Box::new(torrent));
    let text = said.encode();
    assert!(text.len() <= MESSAGE_LEN_MAX, "{}", text.len());
    assert_eq!(SharerSays::decode(&text), Ok(said));
}

#[test]
fn an_offer_that_lacks_something_or_is_of_another_version_is_refused() {
    for (name, replacement, expected) in [
        ("v", Some(uint(2)), OfferError::Version(2)),
        ("v", None, OfferError::Field("v")),
        ("name", Some(bytes("")), OfferError::Field("name")),
        ("name", Some(bytes(vec![b'x'; TEXT_BYTES_MAX + 1])), OfferError::Field("name")),
        ("size", Some(int(-1)), OfferError::Field("size")),
        ("files", Some(bytes("3")), OfferError::Field("files")),
        ("key", Some(bytes([5; 31])), OfferError::Field("key")),
        ("key", None, OfferError::Field("key")),
        ("port", Some(uint(0)), OfferError::Field("port")),
        ("port", Some(uint(65_536)), OfferError::Field("port")),
    ] {
        let mut entries = offer().entries();
        entries.retain(|(key, _)| *key != name);
        entries.extend(replacement.map(|value| (name, value)));
        assert_eq!(SharerSays::decode(&message("offer", entries)), Err(expected), "{name}");
    }
    assert!(matches!(SharerSays::decode(b"d1:t5:offer"), Err(OfferError::Bencode(_))));
    assert_eq!(SharerSays::decode(b"le"), Err(OfferError::Kind));
    assert_eq!(SharerSays::decode(b"d1:t5:otheree"), Err(OfferError::Kind));
}

#[test]
fn a_place_lies_within_its_file_and_files_are_named_in_order_and_once() {
    let place = |file, offset, whole| Place { file: FileIndex(file), offset, whole };
    let files = |files: &[u32]| files.iter().copied().map(FileIndex).collect::<Vec<_>>();
    for (places, executables, expected) in [
        (vec![place(0, 0, 19_999)], files(&[]), "places"),
        (vec![place(0, 1, 20_000)], files(&[]), "places"),
        (vec![place(0, i64::MAX as u64, i64::MAX as u64)], files(&[]), "places"),
        (vec![place(3, 0, 20_000)], files(&[]), "places"),
        (vec![place(2, 0, 20_000), place(0, 0, 20_000)], files(&[]), "places"),
        (vec![place(0, 0, 20_000), place(0, 0, 20_000)], files(&[]), "places"),
        (vec![], files(&[3]), "executables"),
        (vec![], files(&[1, 0]), "executables"),
        (vec![], files(&[1, 1]), "executables"),
    ] {
        let torrent = OfferedTorrent { places, executables, ..offered() };
        let text = SharerSays::Torrent(Box::new(torrent)).encode();
        assert_eq!(SharerSays::decode(&text), Err(OfferError::Field(expected)));
    }
}

#[test]
fn a_torrent_replaces_one_that_came_before_it() {
    for (number, replaces, right) in
        [(3, None, true), (3, Some(2), true), (3, Some(3), false), (0, Some(0), false)]
    {
        let torrent = OfferedTorrent { number, replaces, ..offered() };
        let said = SharerSays::Torrent(Box::new(torrent));
        let expected = if right { Ok(said.clone()) } else { Err(OfferError::Field("replaces")) };
        assert_eq!(SharerSays::decode(&said.encode()), expected);
    }
}

#[test]
fn the_longest_paths_beneath_a_long_name_are_as_those_of_torrents() {
    let top = "t".repeat(240);
    let deep = [&[top.as_str()][..], &["d"; 99], &["e"]].concat();
    let name = "x".repeat(200);
    let long = [&[top.as_str()][..], &[name.as_str(); 3][..]].concat();
    // Of another folder, so that nothing is in its way.
    let same = ["u", "d"];
    let text = folders(&[&deep, &long, &same]);
    let Ok(SharerSays::Folders(paths)) = SharerSays::decode(&text) else { panic!("paths") };
    let expected = [deep.join("/"), long.join("/"), same.join("/")];
    assert_eq!(paths.iter().map(|path| path.as_str().to_owned()).collect::<Vec<_>>(), expected);
}

#[test]
fn what_leads_out_of_the_folder_does_not_and_what_is_too_many_is_refused() {
    let SharerSays::Folders(paths) = SharerSays::decode(&folders(&[&["..", "etc"], &["/", "a"]])).unwrap()
    else {
        panic!("folders")
    };
    for path in &paths {
        assert!(path.elements().all(|element| !matches!(element, "" | "." | "..") && !element.contains('/')));
    }
    let many = vec![&["a"][..]; BATCH_MAX + 1];
    assert_eq!(SharerSays::decode(&folders(&many)), Err(OfferError::Field("paths")));
    let lost = list([list([bytes("boredom"), bytes("x")])]);
    assert_eq!(SharerSays::decode(&message("lost", [("paths", lost)])), Err(OfferError::Field("paths")));
    let crowd = others(&vec!["10.0.0.7:1"; PEERS_MAX + 1]);
    let crowd = SharerSays::Peers { others: crowd, incomplete: 0 }.encode();
    assert_eq!(SharerSays::decode(&crowd), Err(OfferError::Field("others")));
    for odd in [&[10, 0, 0, 7, 0, 0][..], &[10, 0, 0, 7, 1], b""] {
        let said = message("peers", [("others", list([bytes(odd)])), ("incomplete", uint(0))]);
        assert_eq!(SharerSays::decode(&said), Err(OfferError::Field("others")), "{odd:?}");
    }
    for (len, expected) in [(INSTANCE_LEN, Ok(())), (15, Err(())), (17, Err(()))] {
        let entries = [("v", uint(1)), ("name", bytes("x")), ("instance", bytes(vec![1; len]))];
        assert_eq!(ReceiverSays::decode(&message("hello", entries)).map(|_| ()).map_err(|_| ()), expected);
    }
    let torrent = message("torrent", [("info", bytes(vec![b'x'; INFO_LEN_MAX + 1]))]);
    assert_eq!(SharerSays::decode(&torrent), Err(OfferError::Field("info")));
}

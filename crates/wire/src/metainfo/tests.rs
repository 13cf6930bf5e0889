//! Metainfo in small; the counted threat suites are in `tests/`.

use super::*;
use crate::{
    bencode::{Encoded, Kind, bytes, dict, int, list},
    layout::LayoutError,
};

fn info(extra: Vec<(&str, Encoded)>) -> Encoded {
    let mut entries = extra;
    entries.extend([
        ("name", bytes("n")),
        ("length", int(100)),
        ("piece length", int(64)),
        ("pieces", bytes([7; 40])),
    ]);
    dict(entries)
}

fn torrent(info: Encoded) -> Vec<u8> {
    dict([("info", info)]).into_bytes()
}

fn many(files: Vec<Encoded>, total: i64) -> Vec<u8> {
    let pieces = vec![7; (total as usize).div_ceil(64) * 20];
    let entries = [
        ("name", bytes("top")),
        ("files", list(files)),
        ("piece length", int(64)),
        ("pieces", bytes(pieces)),
    ];
    torrent(dict(entries))
}

fn file(len: i64, path: &[&str], attr: &str) -> Encoded {
    let path = list(path.iter().map(bytes));
    dict([("length", int(len)), ("path", path), ("attr", bytes(attr))])
}

#[test]
fn a_single_file_is_read() {
    let metainfo = Metainfo::parse(&torrent(info(vec![]))).unwrap();
    assert_eq!(metainfo.layout.total(), 100);
    assert_eq!(metainfo.layout.pieces(), 2);
    assert_eq!(metainfo.piece_hash(PieceIndex(1)), [7; 20]);
    assert_eq!(metainfo.path(FileIndex(0)).unwrap().as_str(), "n");
    assert_eq!(metainfo.version, MetaVersion::V1);
    assert!(!metainfo.private && !metainfo.has_directory());
    assert_eq!(&metainfo.info()[..], info(vec![]).as_bytes());
    assert_eq!(metainfo.info_hash.0[..], Sha1::digest(info(vec![]).as_bytes())[..]);
    assert_eq!(Metainfo::from_info(metainfo.info()).unwrap().info_hash, metainfo.info_hash);
}

#[test]
fn the_info_hash_is_of_the_bytes_as_they_stood() {
    // Keys out of order, a needless zero: never to be written so, but to be hashed so.
    let odd = [b"d6:pieces40:".as_slice(), &[9; 40], b"6:lengthi0100e12:piece lengthi64ee"].concat();
    let torrent = [b"d4:info".as_slice(), &odd, b"e"].concat();
    let metainfo = Metainfo::parse(&torrent).unwrap();
    assert_eq!(metainfo.info_hash.0[..], Sha1::digest(&odd)[..]);
    assert_eq!(metainfo.piece_hash(PieceIndex(0)), [9; 20]);
    assert!(!metainfo.oddities.is_empty());
    assert_eq!(metainfo.name.safe.as_str(), metainfo.info_hash.to_string(), "a torrent without a name");
}

#[test]
fn pads_and_links_are_laid_out_but_never_written() {
    let files = vec![
        file(10, &["a", "b"], ""),
        file(54, &[".pad", "54"], "p"),
        file(9, &["l"], "l"),
        file(5, &["c"], "x"),
    ];
    let metainfo = Metainfo::parse(&many(files, 69)).unwrap();
    let paths: Vec<_> = metainfo.layout.file_indices().map(|file| metainfo.path(file)).collect();
    let shown: Vec<_> = paths.iter().map(|path| path.as_ref().map(SafePath::as_str)).collect();
    assert_eq!(shown, [Some("top/a/b"), None, None, Some("top/c")]);
    assert_eq!(metainfo.layout.total(), 69);
    assert!(metainfo.layout.extent(FileIndex(1)).pad);
    assert_eq!(metainfo.original_path(FileIndex(0)).to_string(), "a/b");
    assert_eq!(metainfo.original_path(FileIndex(1)).to_string(), ".pad/54");
}

#[test]
fn the_original_of_a_hostile_name_is_kept_for_display() {
    let metainfo = Metainfo::parse(&many(vec![file(1, &["..", "a\x1bb"], ""), file(1, &[], "")], 2)).unwrap();
    assert_eq!(metainfo.path(FileIndex(0)).unwrap().as_str(), "top/__/a_b");
    assert_eq!(metainfo.original_path(FileIndex(0)).to_string(), r"../a\u{1b}b");
    assert_eq!(metainfo.path(FileIndex(1)).unwrap().as_str(), "top/_");
}

#[test]
fn generations_are_told_apart() {
    let v2 = |extra| Metainfo::parse(&torrent(info(extra))).map(|metainfo| metainfo.version);
    assert_eq!(v2(vec![("meta version", int(2)), ("file tree", dict::<&str>([]))]), Ok(MetaVersion::Hybrid));
    assert_eq!(v2(vec![("meta version", int(1))]), Ok(MetaVersion::V1));
    let alone = |version| {
        let entries = [
            ("name", bytes("n")),
            ("meta version", int(version)),
            ("piece length", int(16384)),
            ("file tree", dict::<&str>([])),
        ];
        Metainfo::parse(&torrent(dict(entries)))
    };
    assert_eq!(alone(2), Err(MetainfoError::V2Only));
    assert_eq!(alone(3), Err(MetainfoError::UnknownVersion(3)));
    assert!(MetainfoError::V2Only.to_string().contains("not supported yet"));
}

#[test]
fn trackers_seeds_and_nodes_are_cleaned() {
    let tiers = list([
        list([bytes(" http://a/announce "), bytes(""), bytes("http://a/announce")]),
        list([bytes("udp://b:1\n\x1b"), int(1)]),
        bytes("udp://c:2"),
        list([]),
    ]);
    let node = |host: &str, port| list([bytes(host), int(port)]);
    let root = dict([
        ("info", info(vec![("private", int(1)), ("source", bytes("S"))])),
        ("announce", bytes("http://ignored/")),
        ("announce-list", tiers),
        ("url-list", bytes("http://seed/")),
        ("nodes", list([node("1.2.3.4", 6881), node("h", 0), node("h", 70000), int(4)])),
        ("comment", bytes("c\n")),
        ("creation date", int(5)),
    ]);
    let metainfo = Metainfo::parse(root.as_bytes()).unwrap();
    assert_eq!(metainfo.trackers, [vec!["http://a/announce"], vec!["udp://c:2"]]);
    assert_eq!(metainfo.web_seeds, ["http://seed/"]);
    assert_eq!(metainfo.nodes, [("1.2.3.4".to_owned(), 6881)]);
    assert_eq!(metainfo.about.comment.unwrap().to_string(), r"c\u{a}");
    assert_eq!(metainfo.about.creation_date, Some(5));
    assert_eq!(metainfo.about.source.unwrap().raw(), b"S");
    assert!(metainfo.private);
}

#[test]
fn every_fault_is_named_with_what_to_do() {
    use MetainfoError::{
        FileLen, Layout, Missing, NotATorrent, PieceHashes, PieceLen, TrailingBytes, WrongKind,
    };
    let with = |key, value| torrent(info(vec![(key, value)]));
    let without = |missing: &str| {
        let parsed = info(vec![]);
        let parsed = Bencode::parse(parsed.as_bytes(), &Limits::TORRENT).unwrap();
        let entries = parsed.root().as_dict().unwrap().filter(|(key, _)| *key != missing.as_bytes());
        torrent(dict(entries.map(|(key, value)| (key, Encoded::from(value)))))
    };
    let table: Vec<(Vec<u8>, MetainfoError)> = vec![
        (b"i1e".to_vec(), NotATorrent),
        (b"d4:infoi1ee".to_vec(), NotATorrent),
        (without("pieces"), Missing("pieces")),
        (without("length"), Missing("length")),
        (without("piece length"), Missing("piece length")),
        (with("piece length", bytes("x")), WrongKind { key: "piece length", wanted: Kind::Int }),
        (with("pieces", int(1)), WrongKind { key: "pieces", wanted: Kind::Bytes }),
        (with("files", int(1)), WrongKind { key: "files", wanted: Kind::List }),
        (with("piece length", int(0)), PieceLen(0)),
        (with("piece length", int(-1)), PieceLen(-1)),
        (with("length", int(-1)), FileLen(FileIndex(0))),
        (with("length", int(0)), Layout(LayoutError::Empty)),
        (with("pieces", bytes([0; 20])), PieceHashes { pieces: 2, bytes: 20 }),
        (with("pieces", bytes([0; 39])), PieceHashes { pieces: 2, bytes: 39 }),
        (many(vec![dict([("path", list([]))])], 1), FileLen(FileIndex(0))),
    ];
    for (torrent, error) in table {
        assert_eq!(Metainfo::parse(&torrent).unwrap_err(), error);
        assert!(error.to_string().contains("; "), "says what to do: {error}");
    }
    let page = Metainfo::parse(b"<!DOCTYPE html>").unwrap_err();
    assert!(page.to_string().contains("web page"), "{page}");
    assert_eq!(Metainfo::from_info(b"dex").unwrap_err(), TrailingBytes);
}

#[test]
fn what_is_built_is_canonical_and_reads_back() {
    let files = vec![
        NewFile { path: vec!["b".into()], len: 70 },
        NewFile { path: vec!["a".into(), "x".into()], len: 3 },
    ];
    let builder = MetainfoBuilder::directory("top", files, 64)
        .trackers(vec![vec!["http://a/".into(), "http://b/".into()], vec![]])
        .web_seeds(vec!["http://w/".into()])
        .private(true)
        .comment("c")
        .source("s")
        .created_by("p")
        .creation_date(1);
    assert_eq!(builder.files()[0].path, ["a", "x"], "in the order of paths");
    let (torrent, metainfo) = builder.build(&[[1; 20], [2; 20]]).unwrap();
    assert!(metainfo.oddities.is_empty());
    assert_eq!(builder.build(&[[1; 20], [2; 20]]).unwrap().0, torrent, "reproducible");
    assert_eq!(metainfo.trackers, [vec!["http://a/", "http://b/"]]);
    assert_eq!(metainfo.path(FileIndex(0)).unwrap().as_str(), "top/a/x");
    assert_eq!(metainfo.piece_hash(PieceIndex(1)), [2; 20]);
    assert_eq!(builder.build(&[]).unwrap_err(), MetainfoError::PieceHashes { pieces: 2, bytes: 0 });
    let (torrent, _) = MetainfoBuilder::single("f", 5, 16384).build(&[[0; 20]]).unwrap();
    assert_eq!(
        torrent,
        [b"d4:infod6:lengthi5e4:name1:f12:piece lengthi16384e6:pieces20:", &[0; 20][..], b"ee"].concat()
    );
}

#[test]
fn a_default_piece_length_keeps_torrents_small() {
    for (total, piece_len) in
        [(1, 16 << 10), (30 << 20, 16 << 10), (1 << 30, 1 << 20), (1 << 36, 16 << 20), (1 << 45, 16 << 20)]
    {
        assert_eq!(default_piece_len(total), piece_len, "{total}");
        assert!(Layout::new(total, default_piece_len(total)).is_ok());
    }
}

#[test]
fn a_synthetic_description_needs_no_bencode() {
    let layout = Layout::with_block_len(100, 10, 10).unwrap();
    let metainfo = Metainfo::synthetic("s", layout.clone(), &[[3; 20]; 10]).unwrap();
    assert_eq!(metainfo.piece_hash(PieceIndex(9)), [3; 20]);
    assert_eq!(metainfo.layout.block_len(), 10);
    assert_ne!(
        metainfo.info_hash,
        Metainfo::synthetic("t", layout.clone(), &[[3; 20]; 10]).unwrap().info_hash
    );
    let wrong = Metainfo::synthetic("s", layout, &[[3; 20]; 9]).unwrap_err();
    assert_eq!(wrong, MetainfoError::PieceHashes { pieces: 10, bytes: 180 });
    let files = [5, 6].map(|len| crate::layout::FileLen { len, pad: false });
    let layout = Layout::with_files(files, 10, 10).unwrap();
    let many = Metainfo::synthetic("s", layout, &[[3; 20]; 2]).unwrap();
    assert_eq!(many.path(FileIndex(1)).unwrap().as_str(), "s/1");
}

//! Storage on real files: what may be created and overwritten, what is found again, what a crash leaves.

mod adopt;
mod crash;
mod foreign;
mod found;
mod links;
#[cfg(feature = "mount-tests")]
mod mounted;
mod race;
mod ranges;

use super::*;
use crate::disk::fixture::{Content, Place};
use crate::disk::job::BlockSource;
use crate::disk::spec::WantedFiles;
use crate::disk::step::{Plan, plan, taken};
use proto::Priority;
use proto::input::Found;
use proto::resume::OpenRecord;
use proto::{BlockSet, ResumeRecord};
use wire::layout::FileLen;

fn wanted(files: &[bool]) -> WantedFiles {
    let priorities = files.iter().map(|&wanted| if wanted { Priority::Normal } else { Priority::Skip });
    WantedFiles::from_priorities(&priorities.collect::<Vec<_>>())
}

fn pieces(numbers: impl IntoIterator<Item = u32>) -> Vec<PieceIndex> {
    numbers.into_iter().map(PieceIndex).collect()
}

#[test]
fn an_unwanted_file_is_never_created_and_its_neighbours_pieces_are_whole() {
    // Files of 1.5, 1.5, 0.1 and 2 pieces: pieces 1 and 3 straddle.
    let content = Content::of(&[("a", 24_576), ("b", 24_576), ("c", 1_638), ("d", 32_768)], 16_384);
    let all: Vec<_> = content.pieces().collect();
    let mut cases = 0;
    for mask in 0..16_u32 {
        let selection: Vec<_> = (0..4).map(|file| mask & (1 << file) != 0).collect();
        let place = Place::new(&content);
        let run = place.try_open(wanted(&selection)).unwrap();
        let needed: Vec<_> = all
            .iter()
            .copied()
            .filter(|&piece| content.metainfo.layout.files_of(piece).any(|file| selection[file.as_usize()]))
            .collect();
        run.finish(&needed);
        run.storage.close().unwrap();
        for (name, selected) in ["t/a", "t/b", "t/c", "t/d"].into_iter().zip(&selection) {
            let expected = selected.then(|| content.file(name).to_vec());
            assert_eq!(place.read(name), expected, "{mask:04b} {name}");
            assert_eq!(place.read(&format!("{name}.part")), None, "{mask:04b} {name}");
        }
        let again = place.try_open(wanted(&selection)).unwrap();
        assert_eq!(
            again.found,
            if needed.is_empty() { Found::Nothing } else { Found::AsRecorded },
            "{mask:04b}"
        );
        assert_eq!(again.good_on_disk(), needed, "{mask:04b}");
        // Now everything is wanted: what is there is moved, the rest is fetched, and no store is left behind.
        again.storage.want(WantedFiles::all()).unwrap();
        assert_eq!(again.good_on_disk(), needed, "{mask:04b} after wanting all");
        let rest: Vec<_> = all.iter().copied().filter(|piece| !needed.contains(piece)).collect();
        rest.iter().for_each(|&piece| again.write(piece).unwrap());
        again.sync().unwrap();
        again.commit(&all, &[]).unwrap();
        again.storage.close().unwrap();
        for name in ["t/a", "t/b", "t/c", "t/d"] {
            assert_eq!(place.read(name).unwrap(), content.file(name), "{mask:04b} {name}");
        }
        let hidden = place.path(&format!(".gannet-{}.parts", content.metainfo.info_hash));
        assert!(!hidden.exists(), "{mask:04b}");
        cases += 1;
    }
    println!("{cases} selections");
}

#[test]
fn padding_is_nowhere_on_disk_and_hashes_as_zeros() {
    use sha1::Digest;
    let files = [
        FileLen { len: 20_000, pad: false },
        FileLen { len: 12_768, pad: true },
        FileLen { len: 5, pad: false },
    ];
    let layout = wire::Layout::with_files(files, 16_384, 16_384).unwrap();
    let mut bytes = vec![7; 20_000];
    bytes.resize(32_768, 0);
    bytes.extend([9; 5]);
    let hashes: Vec<[u8; 20]> = bytes.chunks(16_384).map(|piece| sha1::Sha1::digest(piece).into()).collect();
    let metainfo = wire::Metainfo::synthetic("t", layout, &hashes).unwrap();
    let content = Content { metainfo: Arc::new(metainfo), bytes: bytes.into() };
    let place = Place::new(&content);
    let run = place.open();
    run.finish(&pieces(0..3));
    assert_eq!(run.good_on_disk(), pieces(0..3));
    assert_eq!(place.read("t/0").unwrap().len(), 20_000);
    assert_eq!(place.read("t/2").unwrap(), [9; 5]);
    assert_eq!(std::fs::read_dir(place.path("t")).unwrap().count(), 2);
}

#[test]
fn a_file_has_its_suffix_until_its_last_piece_is_durable() {
    let content = Content::of(&[("a", 40_000), ("b", 1_000)], 16_384);
    let place = Place::new(&content);
    let run = place.open();
    run.write(PieceIndex(0)).unwrap();
    run.write(PieceIndex(1)).unwrap();
    run.sync().unwrap();
    run.write(PieceIndex(2)).unwrap();
    assert!(place.path("t/a.part").exists() && place.path("t/b.part").exists());
    run.sync().unwrap();
    assert!(!place.path("t/a.part").exists() && !place.path("t/b.part").exists());
    assert_eq!(place.read("t/a").unwrap(), content.file("t/a"));
}

#[test]
fn a_file_called_like_an_unfinished_one_is_not_mistaken_for_it() {
    let content = Content::of(&[("a", 30_000), ("a.part", 1000), ("b.PART/x", 1000), ("b", 1000)], 16_384);
    let place = Place::new(&content);
    // Piece by piece, and looked for again after each: some files are finished and some are not.
    let all: Vec<_> = content.pieces().collect();
    for done in 0..all.len() {
        let run = place.open();
        assert_eq!(run.settle(), all[..done]);
        run.write(all[done]).unwrap();
        run.sync().unwrap();
        run.commit(&all[..=done], &[]).unwrap();
    }
    assert_eq!((place.open().found, place.open().good_on_disk()), (Found::AsRecorded, all));
    let names: BTreeSet<_> =
        content.metainfo.layout.file_indices().map(|file| content.metainfo.path(file)).collect();
    assert_eq!(names.len(), 4);
    for name in names.into_iter().flatten() {
        assert_eq!(place.read(name.as_str()).unwrap(), content.file(name.as_str()), "{name}");
    }
}

#[test]
fn a_file_that_was_left_with_both_its_names_loses_the_unfinished_one() {
    let content = Content::of(&[("a", 40_000)], 16_384);
    let place = Place::new(&content);
    let all: Vec<_> = content.pieces().collect();
    place.open().finish(&all[..2]);
    std::fs::hard_link(place.path("t/a.part"), place.path("t/a")).unwrap();
    let run = place.open();
    assert_eq!((&run.found, run.settle()), (&Found::AsRecorded, all[..2].to_vec()));
    assert!(!place.path("t/a.part").exists());
    run.finish(&all);
    assert_eq!(place.read("t/a").unwrap(), content.file("t/a"));
}

/// Whoever made them may not have synced them.
#[test]
fn directories_that_were_there_are_synced_all_the_same() {
    let content = Content::of(&[("d/a", 40_000)], 16_384);
    let place = Place::new(&content);
    place.put("t/d/other", b"");
    let run = place.open();
    run.write(PieceIndex(0)).unwrap();
    plan(Plan::Never);
    run.sync().unwrap();
    // The file, and three directories.
    assert_eq!(taken().iter().filter(|&&step| step == Step::Sync).count(), 4);
}

#[test]
fn a_finished_file_never_takes_a_name_that_is_in_use() {
    let content = Content::of(&[("a", 1000)], 16_384);
    let place = Place::new(&content);
    let run = place.open();
    run.write(PieceIndex(0)).unwrap();
    place.put("t/a", b"somebody else's");
    let warnings = run.storage.sync().unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("a.part is complete but cannot be renamed"), "{warnings:?}");
    assert_eq!(place.read("t/a").unwrap(), b"somebody else's");
    assert_eq!(place.read("t/a.part").unwrap(), content.file("t/a"));
    assert_eq!(run.good_on_disk(), pieces([0]));
    run.commit(&pieces([0]), &[]).unwrap();
    drop(run);
    // When it is moved away, the next start gives the name.
    std::fs::remove_file(place.path("t/a")).unwrap();
    assert_eq!(place.open().found, Found::AsRecorded);
    assert_eq!(place.read("t/a").unwrap(), content.file("t/a"));
}

#[test]
fn full_allocation_takes_the_room_at_once_and_only_for_wanted_files() {
    let content = Content::of(&[("a", 300_000), ("b", 300_000)], 16_384);
    let mut place = Place::new(&content);
    place.allocation = Allocation::Full;
    let _run = place.try_open(wanted(&[true, false])).unwrap();
    let stat = place.path("t/a.part").metadata().unwrap();
    assert_eq!(stat.len(), 300_000);
    assert!(std::os::unix::fs::MetadataExt::blocks(&stat) * 512 >= 300_000);
    assert!(!place.path("t/b.part").exists());
}

#[test]
fn spilled_blocks_are_read_back_and_written_with_those_in_memory() {
    // 5 blocks a piece; the second file straddles.
    let content = Content::of(&[("a", 200_000), ("b", 100_000)], 81_920);
    let sets: [&[u32]; 6] = [&[0], &[4], &[0, 1, 2, 3, 4], &[1, 3], &[0, 2, 4], &[2, 3]];
    let mut cases = 0;
    for selection in [[true, true], [true, false], [false, true]] {
        for blocks in sets {
            let place = Place::new(&content);
            let run = place.try_open(wanted(&selection)).unwrap();
            for piece in pieces(0..3) {
                let sources = |run: &crate::disk::fixture::Run| {
                    let mut sources = run.content.sources(piece);
                    blocks.iter().for_each(|&block| sources[block as usize] = BlockSource::Spilled);
                    sources
                };
                run.spill(piece, blocks).unwrap();
                let right = content.metainfo.piece_hash(piece);
                assert_eq!(run.storage.hash_blocks(piece, &sources(&run)).unwrap(), right);
                let key = [3; 16];
                let digests = run.storage.digests(piece, &key, &sources(&run)).unwrap();
                assert_eq!(digests, run.storage.digests(piece, &key, &content.sources(piece)).unwrap());
                run.storage.write_piece(piece, &sources(&run)).unwrap();
                cases += 1;
            }
            assert_eq!(run.good_on_disk(), pieces(0..3), "{selection:?} {blocks:?}");
        }
    }
    println!("{cases} pieces with spilled blocks");
}

#[test]
fn discarded_blocks_cannot_be_read_back() {
    let content = Content::of(&[("a", 100_000)], 65_536);
    let place = Place::new(&content);
    let run = place.open();
    run.spill(PieceIndex(0), &[0, 1]).unwrap();
    run.storage.discard(PieceIndex(0));
    let blocks = vec![BlockSource::Spilled; 4];
    assert_eq!(run.storage.hash_blocks(PieceIndex(0), &blocks).unwrap_err().kind, DiskErrorKind::Changed);
}

#[test]
fn room_in_the_part_store_is_given_back_after_the_commit_and_not_before() {
    use std::os::unix::fs::MetadataExt;
    let content = Content::of(&[("a", 1 << 20)], 1 << 20);
    let place = Place::new(&content);
    place.put("t/a.part", &[1; 1 << 20]);
    let run = place.open();
    let all: Vec<u32> = (0..64).collect();
    run.spill(PieceIndex(0), &all).unwrap();
    run.sync().unwrap();
    run.commit(&[], &[(PieceIndex(0), &all)]).unwrap();
    let store = place.path(&format!(".gannet-{}.parts", content.metainfo.info_hash));
    let room = || store.metadata().unwrap().blocks() * 512;
    run.storage.write_piece(PieceIndex(0), &vec![BlockSource::Spilled; 64]).unwrap();
    run.sync().unwrap();
    assert!(room() >= 1 << 20);
    run.commit(&pieces([0]), &[]).unwrap();
    assert_eq!(room(), 0);
    run.storage.close().unwrap();
    assert!(!store.exists());
}

#[test]
fn a_record_between_write_and_sync_still_finds_the_spilled_blocks_in_the_store() {
    let content = Content::of(&[("a", 1 << 20)], 1 << 20);
    let place = Place::new(&content);
    place.put("t/a.part", &[1; 1 << 20]);
    let run = place.open();
    run.spill(PieceIndex(0), &[0, 1]).unwrap();
    run.sync().unwrap();
    run.write(PieceIndex(0)).unwrap();
    let open = OpenRecord { piece: PieceIndex(0), blocks: BlockSet::from_iter([0, 1]) };
    let record = ResumeRecord { have: Bitfield::new(1), open: vec![open], uploaded: 0, downloaded: 0 };
    assert_eq!(run.storage.update(&record).stored, [PieceIndex(0)]);
}

/// Names that mean something else somewhere.
const HOSTILE: [&str; 25] = [
    "..",
    ".",
    "...",
    "../..",
    "/etc/passwd",
    "a/../../x",
    "\\..\\x",
    "C:\\x",
    "~",
    "$HOME",
    "-rf",
    "con",
    "nul.txt",
    "a\0b",
    "a\nb",
    ".gannet",
    "x.part",
    ".part",
    "%2e%2e",
    "\u{202e}txt.exe",
    "outside",
    "link",
    " ",
    "a ",
    "a.",
];

/// B1, the half that needs real files: whatever a torrent calls its files, nothing outside the root changes.
#[test]
fn hostile_names_change_nothing_outside_the_root() {
    let mut cases = 0;
    for top in HOSTILE {
        for first in HOSTILE {
            for second in [None, Some(".."), Some("link"), Some("ok")] {
                let mut path = vec![first.to_owned()];
                path.extend(second.map(str::to_owned));
                let new = vec![
                    wire::metainfo::NewFile { path, len: 100 },
                    wire::metainfo::NewFile { path: vec!["fine".into()], len: 100 },
                ];
                let bytes = vec![5; 200];
                let hash = <sha1::Sha1 as sha1::Digest>::digest(&bytes).into();
                let builder = wire::metainfo::MetainfoBuilder::directory(top, new, 16_384);
                // What the builder refuses to make, a stranger's torrent can still say: the raw dictionary.
                let raw = raw_torrent(top, first, second, hash);
                let metainfo = match builder.build(&[hash]).map(|(_, metainfo)| metainfo) {
                    Ok(metainfo) => metainfo,
                    Err(_) => match wire::Metainfo::parse(&raw) {
                        Ok(metainfo) => metainfo,
                        Err(_) => continue,
                    },
                };
                let content = Content { metainfo: Arc::new(metainfo), bytes: bytes.into() };
                let place = Place::new(&content);
                std::fs::create_dir_all(place.root()).unwrap();
                std::fs::write(place.temp.path().join("outside"), b"precious").unwrap();
                std::os::unix::fs::symlink("../outside", place.path("link")).unwrap();
                let mut before = place.tree();
                if let Ok(run) = place.try_open(WantedFiles::all()) {
                    let _ = run.write(PieceIndex(0));
                    let _ = run.sync();
                    let _ = run.storage.close();
                }
                let mut after = place.tree();
                before.retain(|path, _| !path.starts_with(place.root()));
                after.retain(|path, _| !path.starts_with(place.root()));
                assert_eq!(before, after, "{top:?} {first:?} {second:?}");
                cases += 1;
            }
        }
    }
    println!("{cases} hostile names");
    assert!(cases >= 2_000, "{cases}");
}

fn raw_torrent(top: &str, first: &str, second: Option<&str>, hash: [u8; 20]) -> Vec<u8> {
    let text = |text: &str| [text.len().to_string().as_bytes(), b":", text.as_bytes()].concat();
    let mut path = text(first);
    path.extend(second.map(text).unwrap_or_default());
    let fine = [b"d6:lengthi100e4:pathl".to_vec(), text("fine"), b"ee".to_vec()].concat();
    let file = [b"d6:lengthi100e4:pathl".to_vec(), path, b"ee".to_vec()].concat();
    let info = [
        b"d5:filesl".to_vec(),
        file,
        fine,
        b"e4:name".to_vec(),
        text(top),
        b"12:piece lengthi16384e6:pieces20:".to_vec(),
        hash.to_vec(),
        b"e".to_vec(),
    ];
    [b"d4:info".to_vec(), info.concat(), b"e".to_vec()].concat()
}

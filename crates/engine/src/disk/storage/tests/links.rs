//! B2: links that somebody planted, wherever and whenever, and links that a torrent asks for: nothing outside the root is read,
//! created or changed, and what is in the way is named.
//!
//! Not here: a folder that keeps changing while we write (`race`).

use super::*;
use crate::disk::fixture::Run;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::symlink;

/// Where a link is planted: each folder of a path, both names of files at two depths, and the part store.
const POSITIONS: [&str; 8] = ["t", "t/f", "t/f/g", "t/f/g/c", "t/f/g/c.part", "t/a", "t/a.part", "STORE"];

const FILES: [(&str, u64); 3] = [("a", 40_000), ("f/b", 30_000), ("f/g/c", 40_000)];

/// What is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plant {
    OutsideDir,
    OutsideDirRelative,
    OutsideFile,
    OutsideFileRelative,
    /// To a name outside where nothing is: following it would create something.
    Dangling,
    Itself,
    CycleOfTwo,
    /// To another link inside that leads outside.
    Chain,
    SiblingDir,
    SiblingFile,
    HardLink,
}

use Plant::*;

const PLANTS: [Plant; 11] = [
    OutsideDir,
    OutsideDirRelative,
    OutsideFile,
    OutsideFileRelative,
    Dangling,
    Itself,
    CycleOfTwo,
    Chain,
    SiblingDir,
    SiblingFile,
    HardLink,
];

/// Just before which operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    Open,
    Spill,
    Write,
    Sync,
    Check,
    Reopen,
}

const MOMENTS: [Moment; 6] =
    [Moment::Open, Moment::Spill, Moment::Write, Moment::Sync, Moment::Check, Moment::Reopen];

/// What lies outside under the names that the torrent would use there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Precious {
    /// The torrent's own bytes: whoever reads through a link believes them.
    Right,
    Garbage,
    Short,
    Empty,
}

const PRECIOUS: [Precious; 4] = [Precious::Right, Precious::Garbage, Precious::Short, Precious::Empty];

/// Everything outside the root: bytes, size, time, inode.
pub(super) type Outside = BTreeMap<PathBuf, (Option<Vec<u8>>, u64, i64, u64)>;

pub(super) fn outside_of(place: &Place) -> Outside {
    let tree = place.tree().into_iter().filter(|(path, _)| !path.starts_with(place.root()));
    tree.map(|(path, bytes)| {
        let stat = path.symlink_metadata().unwrap();
        (path, (bytes, stat.size(), stat.mtime(), stat.ino()))
    })
    .collect()
}

/// Fills the outside with what a followed link would find; all of it is old, so that any write shows in its time.
pub(super) fn lay_outside(place: &Place, precious: Precious) {
    let outside = place.temp.path().join("outside");
    std::fs::create_dir_all(outside.join("f/g")).unwrap();
    std::fs::create_dir_all(outside.join("g")).unwrap();
    let names = [
        ("t/a", ["a", "a.part", "file"]),
        ("t/f/b", ["f/b", "f/b.part", "b"]),
        ("t/f/g/c", ["f/g/c", "c.part", "g/c"]),
    ];
    for (source, targets) in names {
        let right = place.content.file(source);
        let bytes = match precious {
            Precious::Right => right.to_vec(),
            Precious::Garbage => vec![0x77; right.len()],
            Precious::Short => right[..20_000].to_vec(),
            Precious::Empty => Vec::new(),
        };
        targets.iter().for_each(|target| std::fs::write(outside.join(target), &bytes).unwrap());
    }
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for (path, bytes) in place.tree() {
        if bytes.is_some() {
            std::fs::File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
    }
}

impl Plant {
    /// Puts it there. What had the name is moved aside, within the root.
    fn plant(self, place: &Place, position: &str) {
        let at = match position {
            "STORE" => place.path(&format!(".gannet-{}.parts", place.content.metainfo.info_hash)),
            _ => place.path(position),
        };
        // An ancestor may be what an earlier operation could not make.
        if let Some(parent) = at.parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        if at.symlink_metadata().is_ok() {
            std::fs::rename(&at, place.path("moved-aside")).unwrap();
        }
        let outside = place.temp.path().join("outside");
        let up = "../".repeat(position.matches('/').count() + 1);
        let link = |to: &Path| symlink(to, &at).unwrap();
        match self {
            OutsideDir => link(&outside),
            OutsideDirRelative => link(Path::new(&format!("{up}outside"))),
            OutsideFile => link(&outside.join("file")),
            OutsideFileRelative => link(Path::new(&format!("{up}outside/file"))),
            Dangling => link(&outside.join("nothing")),
            Itself => link(&at),
            CycleOfTwo => {
                symlink(&at, place.path("second")).unwrap();
                link(&place.path("second"));
            }
            Chain => {
                symlink(&outside, place.path("second")).unwrap();
                link(&place.path("second"));
            }
            SiblingDir => {
                std::fs::create_dir_all(place.path("sibling/f/g")).unwrap();
                link(&place.path("sibling"));
            }
            SiblingFile => {
                place.put("sibling", b"the user's");
                link(&place.path("sibling"));
            }
            HardLink => {
                let inner = if position.contains('c') { "g/c" } else { "file" };
                std::fs::hard_link(outside.join(inner), &at).unwrap();
            }
        }
    }
}

/// What was told of a case.
#[derive(Default)]
struct Told {
    /// The faults and warnings in the order they came.
    faults: Vec<(Moment, String)>,
    planted: bool,
    /// Good pieces found before anything was written.
    believed: usize,
}

impl Told {
    fn hear<T>(&mut self, when: Moment, said: Result<T, DiskError>) -> Option<T> {
        said.map_err(|error| self.faults.push((when, error.detail.to_string()))).ok()
    }

    fn warn(&mut self, when: Moment, warnings: &[Arc<str>]) {
        self.faults.extend(warnings.iter().map(|warning| (when, warning.to_string())));
    }
}

/// Everything that a session asks of a storage, with something planted just before one of its operations.
fn play(place: &Place, wanted: &WantedFiles, when: Moment, plant: impl Fn()) -> Told {
    let mut told = Told::default();
    let at = |moment: Moment, told: &mut Told| {
        if moment == when && !told.planted {
            plant();
            told.planted = true;
        }
    };
    std::fs::create_dir_all(place.root()).unwrap();
    at(Moment::Open, &mut told);
    let Some(run) = told.hear(Moment::Open, place.try_open(wanted.clone())) else { return told };
    at(Moment::Spill, &mut told);
    told.believed = good(&run, &mut told);
    for piece in place.content.pieces() {
        let spilled = run.spill(piece, &[0]);
        told.hear(Moment::Spill, spilled);
    }
    at(Moment::Write, &mut told);
    let written: Vec<_> = place
        .content
        .pieces()
        .filter(|&piece| told.hear(Moment::Write, run.write(piece)).is_some())
        .collect();
    at(Moment::Sync, &mut told);
    match run.storage.sync() {
        Ok(warnings) => told.warn(Moment::Sync, &warnings),
        Err(error) => told.faults.push((Moment::Sync, error.detail.to_string())),
    }
    run.commit(&written, &[]).unwrap();
    at(Moment::Check, &mut told);
    good(&run, &mut told);
    told.hear(Moment::Check, run.storage.close());
    drop(run);
    at(Moment::Reopen, &mut told);
    if let Some(run) = told.hear(Moment::Reopen, place.try_open(wanted.clone())) {
        good(&run, &mut told);
        told.hear(Moment::Reopen, run.storage.close());
    }
    told
}

/// How many pieces lie right on disk.
fn good(run: &Run, told: &mut Told) -> usize {
    let mut buffer = vec![0; CHUNK_LEN];
    let right = |&piece: &PieceIndex| {
        let hash = run.storage.hash_on_disk(piece, &mut buffer);
        told.hear(Moment::Check, hash).flatten() == Some(run.content.metainfo.piece_hash(piece))
    };
    run.content.pieces().filter(right).count()
}

#[test]
fn a_planted_link_is_never_followed_wherever_it_is_and_whenever_it_appears() {
    let content = Content::of(&FILES, 32_768);
    let (mut cases, mut refused) = (0, 0);
    for position in POSITIONS {
        for plant in PLANTS {
            for moment in MOMENTS {
                for precious in PRECIOUS {
                    let faults = one(&content, (position, plant, moment, precious), cases);
                    refused += usize::from(faults > 0);
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} planted links, {refused} of them in the way of something and named");
    assert!(cases >= 500 && refused >= cases / 2, "{cases} {refused}");
}

fn one(
    content: &Content,
    (position, plant, moment, precious): (&str, Plant, Moment, Precious),
    number: usize,
) -> usize {
    // All wanted; one that needs the part store; all room at once.
    let selection = [[true; 3], [true, false, true], [true; 3]][number % 3];
    let mut place = Place::new(content);
    place.allocation = [Allocation::Sparse, Allocation::Sparse, Allocation::Full][number % 3];
    lay_outside(&place, precious);
    let before = outside_of(&place);
    let case = format!("{plant:?} at {position} before {moment:?}, {precious:?} outside, {selection:?}");
    let told = play(&place, &wanted(&selection), moment, || plant.plant(&place, position));
    assert_eq!(outside_of(&place), before, "{case}: the outside changed; told {:?}", told.faults);
    let root = place.root().display().to_string();
    for (when, fault) in &told.faults {
        assert!(fault.contains(&root), "{case}: {when:?} does not say where: {fault}");
    }
    assert!(told.planted || !told.faults.is_empty(), "{case}: never planted");
    if plant != HardLink {
        assert_eq!(told.believed, 0, "{case}: bytes were read through a link");
        let looks = matches!(moment, Moment::Open | Moment::Reopen);
        assert!(!looks || told.faults.iter().any(|(when, _)| *when == moment), "{case}: not told on opening");
        assert_eq!(place.read("sibling").filter(|bytes| bytes != b"the user's"), None, "{case}");
    }
    if told.faults.is_empty() {
        for (name, selected) in ["t/a", "t/f/b", "t/f/g/c"].into_iter().zip(selection) {
            let whole = !selected || place.read(name).is_some_and(|bytes| bytes == content.file(name));
            assert!(whole || told.planted, "{case}: {name} is not whole and nobody said so");
        }
    }
    told.faults.len()
}

#[test]
fn a_file_with_another_name_elsewhere_is_read_but_never_written_to() {
    let content = Content::of(&FILES, 32_768);
    let place = Place::new(&content);
    lay_outside(&place, Precious::Garbage);
    std::fs::create_dir_all(place.path("t")).unwrap();
    HardLink.plant(&place, "t/a");
    let run = place.open();
    assert_eq!(run.good_on_disk(), []);
    let error = run.write(PieceIndex(0)).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::Denied);
    assert!(error.detail.contains("t/a") && error.detail.contains("another name"), "{}", error.detail);
}

#[test]
fn a_neighbour_with_another_name_does_not_hinder_the_piece_that_it_shares() {
    let content = Content::of(&FILES, 32_768);
    let place = Place::new(&content);
    let run = place.open();
    let all: Vec<_> = content.pieces().collect();
    run.finish(&all);
    run.storage.close().unwrap();
    drop(run);
    // Somebody files b elsewhere too, and loses a; piece 1 is of both.
    std::fs::hard_link(place.path("t/f/b"), place.temp.path().join("filed")).unwrap();
    std::fs::remove_file(place.path("t/a")).unwrap();
    let before = outside_of(&place);
    let run = place.open();
    let have = run.settle();
    assert!(!have.contains(&PieceIndex(1)));
    for piece in all.iter().copied().filter(|piece| !have.contains(piece)) {
        run.spill(piece, &[0]).unwrap();
        let mut sources = content.sources(piece);
        sources[0] = BlockSource::Spilled;
        run.storage.write_piece(piece, &sources).unwrap();
    }
    run.sync().unwrap();
    assert_eq!(run.good_on_disk(), all);
    assert_eq!(outside_of(&place), before);
}

/// BEP 47: entries that a torrent calls links, to wherever it says.
#[test]
fn a_link_that_a_torrent_asks_for_is_never_made() {
    let attributes = ["l", "lx", "hl", "lp", "llll"];
    let targets: [&[&str]; 9] = [
        &["..", "outside", "file"],
        &["..", "..", "outside"],
        &["/etc", "passwd"],
        &["fine"],
        &["link"],
        &["."],
        &[],
        &["fine", ".."],
        &["\0"],
    ];
    let names: [&[&str]; 5] = [&["link"], &["d", "link"], &["fine2"], &[".."], &["d", "..", "link"]];
    let (mut cases, mut taken) = (0, 0);
    for attribute in attributes {
        for target in targets {
            for name in names {
                for len in [0, 100] {
                    taken += usize::from(links_of_a_torrent(attribute, target, name, len));
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} torrents with links, {taken} of them taken");
    assert!(cases >= 400 && taken >= 100, "{cases} {taken}");
}

fn links_of_a_torrent(attribute: &str, target: &[&str], name: &[&str], len: u64) -> bool {
    let bytes = vec![5; 100 + len as usize];
    let hash: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(&bytes).into();
    let text = |text: &str| format!("{}:{text}", text.len());
    let list = |names: &[&str]| names.iter().map(|name| text(name)).collect::<String>();
    let info = format!(
        "d5:filesld6:lengthi100e4:pathl4:fineeed4:attr{}6:lengthi{len}e4:pathl{}e12:symlink pathl{}eee4:name1:t12:piece lengthi16384e6:pieces20:",
        text(attribute),
        list(name),
        list(target),
    );
    let raw = [b"d4:info", info.as_bytes(), &hash, b"ee"].concat();
    let Ok(metainfo) = wire::Metainfo::parse(&raw) else { return false };
    let content = Content { metainfo: Arc::new(metainfo), bytes: bytes.into() };
    let place = Place::new(&content);
    std::fs::create_dir_all(place.temp.path().join("outside")).unwrap();
    std::fs::write(place.temp.path().join("outside/file"), b"precious").unwrap();
    let before = outside_of(&place);
    let case = format!("{attribute} {name:?} -> {target:?}, {len} bytes");
    let told = play(&place, &WantedFiles::all(), Moment::Open, || ());
    assert_eq!(told.faults, [], "{case}");
    assert_eq!(outside_of(&place), before, "{case}");
    let links: Vec<_> = place.tree().into_keys().filter(|path| path.is_symlink()).collect();
    assert_eq!(links, Vec::<PathBuf>::new(), "{case}: a link was made");
    assert_eq!(place.read("t/fine").unwrap(), [5; 100], "{case}: the content beside it");
    true
}

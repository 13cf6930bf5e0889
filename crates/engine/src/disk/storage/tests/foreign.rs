//! B8: others use the directory too. What appears under our names just before any of our steps is never overwritten, deleted or
//! renamed away, and it is named, or taken for what it is.
//!
//! Not here: somebody moves a file of his over one that we have open.

use super::*;
use crate::disk::fixture::Run;
use crate::disk::step::{Plan, before_step, plan, taken};
use std::cell::Cell;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

const FILES: [(&str, u64); 3] = [("a", 40_000), ("f/b", 30_000), ("e", 0)];

/// What somebody makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Foreign {
    File(&'static str),
    /// With the torrent's own bytes: worth adopting.
    Right(&'static str),
    /// With a file in it.
    Folder(&'static str),
    Socket(&'static str),
}

use Foreign::*;

const FOREIGN: [Foreign; 17] = [
    File("t"),
    File("t/f"),
    File("t/a"),
    File("t/a.part"),
    File("t/f/b"),
    File("t/f/b.part"),
    File("t/e"),
    Right("t/a"),
    Right("t/a.part"),
    Right("t/f/b"),
    Right("t/f/b.part"),
    Folder("t/a"),
    Folder("t/a.part"),
    Folder("t/f/b"),
    Folder("t/f/b.part"),
    Folder("t/e"),
    Socket("t/a"),
];

/// A path, its bytes if it is a file, and which file it is.
type Lying = (PathBuf, Option<Vec<u8>>, u64);

impl Foreign {
    fn name(self) -> &'static str {
        match self {
            File(name) | Right(name) | Folder(name) | Socket(name) => name,
        }
    }

    /// Makes it, as a careful program does: only if the name is free. Whether it was.
    fn appear(self, place: &Path, content: &Content) -> bool {
        let path = place.join(self.name());
        let folder = path.parent().unwrap();
        if path.symlink_metadata().is_ok() || std::fs::create_dir_all(folder).is_err() {
            return false;
        }
        match self {
            File(_) => std::fs::write(path, b"somebody else's").unwrap(),
            Right(name) => std::fs::write(path, content.file(name.trim_end_matches(".part"))).unwrap(),
            Folder(_) => {
                std::fs::create_dir(&path).unwrap();
                std::fs::write(path.join("letter"), b"somebody else's").unwrap();
            }
            Socket(_) => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        }
        true
    }

    /// What of it must stay as it is.
    fn lying(self, place: &Place) -> Lying {
        let path = match self {
            Folder(name) => place.path(name).join("letter"),
            File(name) | Right(name) | Socket(name) => place.path(name),
        };
        let inode = path.symlink_metadata().map_or(0, |stat| stat.ino());
        (path.clone(), std::fs::read(&path).ok(), inode)
    }
}

/// Everything that a session asks; the faults and warnings that it hears.
fn play(place: &Place, selection: [bool; 3]) -> Vec<String> {
    let mut told = Vec::new();
    let run = match place.try_open(wanted(&selection)) {
        Ok(run) => run,
        Err(error) => return vec![error.detail.to_string()],
    };
    let mut hear = |said: Result<(), DiskError>| match said {
        Ok(()) => true,
        Err(error) => {
            told.push(error.detail.to_string());
            false
        }
    };
    hear(run.spill(PieceIndex(1), &[0]));
    let mut written = Vec::new();
    for piece in place.content.pieces() {
        if hear(run.write(piece)) {
            written.push(piece);
        }
        sync(&run, &mut hear);
    }
    run.commit(&written, &[]).unwrap();
    let closed = run.storage.close();
    hear_warnings(closed, &mut hear);
    told
}

fn sync(run: &Run, hear: &mut impl FnMut(Result<(), DiskError>) -> bool) {
    hear_warnings(run.storage.sync(), hear);
}

fn hear_warnings(
    said: Result<Vec<Arc<str>>, DiskError>,
    hear: &mut impl FnMut(Result<(), DiskError>) -> bool,
) {
    match said {
        Ok(warnings) => warnings.into_iter().for_each(|detail| {
            hear(Err(DiskError { kind: DiskErrorKind::Denied, detail }));
        }),
        Err(error) => _ = hear(Err(error)),
    }
}

#[test]
fn what_others_put_under_our_names_stays_theirs_whenever_it_appears() {
    let content = Content::of(&FILES, 32_768);
    let (mut cases, mut named) = (0, 0);
    for (selection, allocation) in [
        ([true; 3], Allocation::Sparse),
        ([true; 3], Allocation::Full),
        ([true, false, true], Allocation::Sparse),
    ] {
        let mut place = Place::new(&content);
        place.allocation = allocation;
        plan(Plan::Never);
        assert_eq!(play(&place, selection), Vec::<String>::new());
        let steps = taken().len();
        for foreign in FOREIGN {
            for number in 0..steps {
                let told = one(&content, (foreign, number), (selection, allocation));
                cases += usize::from(told.is_some());
                named += usize::from(told == Some(true));
            }
        }
    }
    println!("{cases} appearances of what is not ours, {named} of them in our way and named");
    assert!(cases >= 250 && named >= 100, "{cases} {named}");
}

/// Whether it was told of; `None` if it could not appear there and then.
fn one(
    content: &Content,
    (foreign, number): (Foreign, usize),
    (selection, allocation): ([bool; 3], Allocation),
) -> Option<bool> {
    let case = format!("{foreign:?} before step {number}, {selection:?}, {allocation:?}");
    let mut place = Place::new(content);
    place.allocation = allocation;
    let appeared = Rc::new(Cell::new(false));
    let (seen, root, its_content) = (Rc::clone(&appeared), place.root(), content.clone());
    before_step(number, move || seen.set(foreign.appear(&root, &its_content)));
    let mut told = play(&place, selection);
    before_step(usize::MAX, || ());
    if !appeared.get() {
        return None;
    }
    let after_play = foreign.lying(&place);
    assert_stays(foreign, content, &after_play, &case);
    // A new start looks, checks, and adopts what is right; nothing is fetched.
    match place.try_open(wanted(&selection)) {
        Ok(run) => {
            run.settle();
            if let Err(error) = run.storage.close() {
                told.push(error.detail.to_string());
            }
        }
        Err(error) => told.push(error.detail.to_string()),
    }
    let mut after_start = foreign.lying(&place);
    if let Right(name) = foreign
        && after_start.1.is_none()
    {
        // It is the torrent's file, and whole: it got its name and kept all else.
        let whole = place.path(name.trim_end_matches(".part"));
        after_start = (whole.clone(), std::fs::read(&whole).ok(), whole.metadata().unwrap().ino());
        assert_eq!(after_start.2, after_play.2, "{case}");
    } else {
        assert_eq!(after_start, after_play, "{case}");
    }
    assert_stays(foreign, content, &after_start, &case);
    let root = place.root().display().to_string();
    told.iter().for_each(|fault| assert!(fault.contains(&root), "{case}: does not say where: {fault}"));
    let whole = ["t/a", "t/f/b"].into_iter().zip(selection).all(|(name, selected)| {
        !selected || place.read(name).is_some_and(|bytes| bytes == content.file(name))
    });
    assert!(whole || !told.is_empty(), "{case}: not whole, and nobody said so");
    Some(!told.is_empty())
}

fn assert_stays(foreign: Foreign, content: &Content, (path, bytes, _): &Lying, case: &str) {
    let expected = match foreign {
        File(_) | Folder(_) => Some(b"somebody else's".to_vec()),
        Right(name) => Some(content.file(name.trim_end_matches(".part")).to_vec()),
        Socket(_) => None,
    };
    assert_eq!(*bytes, expected, "{case}: {}", path.display());
    assert!(path.symlink_metadata().is_ok(), "{case}: {} is gone", path.display());
}

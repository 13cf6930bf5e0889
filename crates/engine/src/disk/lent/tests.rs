//! What is read of lent files when somebody does something to them.

use super::*;
use crate::disk::fixture::Content;
use crate::disk::spec::Misfit;
use crate::hashing::FileTimes;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is before and behind the range in its file.
const BEFORE: usize = 5_001;
const BEHIND: usize = 777;

/// A torrent of two files, each a range of a larger one, in a folder of its own.
struct Place {
    content: Content,
    temp: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let content = Content::of(&[("a", 50_000), ("b", 30_000)], 16_384);
        let temp = tempfile::tempdir().unwrap();
        let place = Place { content, temp };
        fs::create_dir(place.folder()).unwrap();
        for name in ["a", "b"] {
            let ours = place.content.file(&format!("t/{name}"));
            fs::write(place.path(name), [&vec![1; BEFORE], &ours[..], &vec![2; BEHIND]].concat()).unwrap();
        }
        place
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("folder")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    fn ranges(&self) -> Vec<HashRange> {
        let range = |(name, len)| {
            let found = fs::metadata(self.path(name)).unwrap();
            let (whole, times) = (found.len(), FileTimes::of(&found));
            HashRange { path: self.path(name), whole, times, offset: BEFORE as u64, len }
        };
        [("a", 50_000), ("b", 30_000)].map(range).to_vec()
    }

    fn spec(&self) -> Arc<LentSpec> {
        Arc::new(LentSpec::new(Arc::clone(&self.content.metainfo), self.ranges()).unwrap())
    }

    fn open(&self, spec: Arc<LentSpec>) -> Result<Lent, DiskError> {
        Lent::open(spec, Arc::new(Handles::new(8)))
    }

    /// Something else under this name, of the same length and time.
    fn disguise(&self, name: &str, make: impl FnOnce(&Path)) {
        let (path, modified) = (self.path(name), fs::metadata(self.path(name)).unwrap().modified().unwrap());
        make(&path);
        // Of a link this sets the time of what it leads to.
        let set = fs::File::open(&path).and_then(|file| file.set_modified(modified));
        set.unwrap();
    }
}

/// Reads across both files.
fn read(lent: &Lent) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; 30_000];
    lent.get(35_000, &mut bytes).map(|()| bytes)
}

/// What somebody does; whether a file that is not open is read after it, and one that is open.
type Deed = (&'static str, fn(&Place), bool, bool);

const DEEDS: [Deed; 11] = [
    ("nothing", |_| (), true, true),
    ("reads it", |place| drop(fs::read(place.path("a")).unwrap()), true, true),
    ("touches it", |place| touch(&place.path("b")), false, false),
    ("appends", |place| lengthen(&place.path("a"), 1), false, false),
    ("cuts off its end", |place| lengthen(&place.path("a"), -1), false, false),
    (
        "makes it longer and as long again",
        |place| [1, -1].into_iter().for_each(|by| lengthen(&place.path("a"), by)),
        false,
        false,
    ),
    ("deletes it", |place| fs::remove_file(place.path("b")).unwrap(), false, false),
    (
        "puts another in its place",
        |place| {
            fs::write(place.path("new"), b"other").unwrap();
            fs::rename(place.path("new"), place.path("a")).unwrap();
        },
        false,
        false,
    ),
    (
        "puts a link to the like in its place",
        |place| {
            place.disguise("a", |path| {
                let aside = place.temp.path().join("aside");
                fs::rename(path, &aside).unwrap();
                symlink(&aside, path).unwrap();
            });
        },
        false,
        false,
    ),
    (
        // Whoever has it open reads the file that was shared, whatever becomes of the folder's name.
        "puts a link in the folder's place",
        |place| {
            let aside = place.temp.path().join("aside");
            fs::rename(place.folder(), &aside).unwrap();
            symlink(&aside, place.folder()).unwrap();
        },
        false,
        true,
    ),
    (
        "puts a folder in its place",
        |place| {
            fs::remove_file(place.path("a")).unwrap();
            fs::create_dir(place.path("a")).unwrap();
        },
        false,
        false,
    ),
];

fn touch(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::File::open(path).unwrap().set_modified(modified + Duration::from_nanos(1_000_000)).unwrap();
}

fn lengthen(path: &Path, by: i64) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let found = file.metadata().unwrap();
    file.set_len(found.len().checked_add_signed(by).unwrap()).unwrap();
    file.set_modified(found.modified().unwrap()).unwrap();
}

#[test]
fn a_file_is_read_as_it_was_or_not_at_all() {
    for (what, deed, read_when_shut, read_when_open) in DEEDS {
        for is_open in [false, true] {
            let place = Place::new();
            let lent = place.open(place.spec()).unwrap();
            if is_open {
                read(&lent).unwrap();
            }
            deed(&place);
            let found = read(&lent);
            let readable = if is_open { read_when_open } else { read_when_shut };
            assert_eq!(found.is_ok(), readable, "somebody {what}, open before: {is_open}: {found:?}");
            match found {
                Ok(bytes) => assert_eq!(bytes, place.content.bytes[35_000..65_000], "somebody {what}"),
                Err(error) => {
                    assert_eq!(error.kind, DiskErrorKind::Changed, "somebody {what}");
                    assert!(error.detail.contains("share it again"), "{}", error.detail);
                }
            }
            // Whoever looks anew sees it too.
            lent.close();
            let again = place.open(Arc::clone(&lent.spec)).map(drop);
            assert_eq!(again.is_ok(), read_when_shut, "somebody {what}: {again:?}");
        }
    }
}

#[test]
fn no_link_is_followed_that_somebody_put_there_before_it_was_lent() {
    let place = Place::new();
    let link = place.temp.path().join("link");
    symlink(place.folder(), &link).unwrap();
    let mut ranges = place.ranges();
    ranges.iter_mut().for_each(|range| range.path = link.join(range.path.file_name().unwrap()));
    let spec = LentSpec::new(Arc::clone(&place.content.metainfo), ranges).unwrap();
    assert_eq!(place.open(Arc::new(spec)).map(drop).unwrap_err().kind, DiskErrorKind::Changed);
}

#[test]
fn ranges_that_are_not_the_torrents_files_are_no_content_of_it() {
    let place = Place::new();
    let spec = |change: fn(&mut Vec<HashRange>)| {
        let mut ranges = place.ranges();
        change(&mut ranges);
        LentSpec::new(Arc::clone(&place.content.metainfo), ranges).map(drop)
    };
    assert_eq!(spec(|_| ()), Ok(()));
    assert_eq!(spec(|ranges| drop(ranges.pop())), Err(Misfit::Count(1)));
    for (change, file) in [
        ((|ranges| ranges.swap(0, 1)) as fn(&mut Vec<HashRange>), 0),
        (|ranges| ranges[1].len += 1, 1),
        (|ranges| ranges[1].offset += 778, 1),
        (|ranges| ranges[0].offset = u64::MAX, 0),
    ] {
        assert_eq!(spec(change), Err(Misfit::File(FileIndex(file))));
    }
}

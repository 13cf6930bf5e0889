//! Files of which several torrents have a range each: one file, no byte beside its range touched, no name given, whoever comes first.

use super::*;
use crate::disk::fixture::Run;
use crate::disk::step::{Plan, plan, taken};
use std::os::unix::fs::MetadataExt;
use wire::offer;

const PIECE_LEN: u32 = 16_384;

/// Lengths of the ranges: none begins or ends where a piece or a page does.
const LENS: [u64; 3] = [40_001, 70_003, 20_005];

/// What a torrent has beside its range of the film.
const BESIDE: [&str; 3] = ["a", "z", "b"];

/// Torrents that have a file in common; each has a small one of its own too.
struct Film {
    places: Vec<Place>,
}

impl Film {
    fn new() -> Film {
        let whole = LENS.iter().sum();
        let mut places: Vec<Place> = Vec::new();
        for (part, (len, beside)) in LENS.into_iter().zip(BESIDE).enumerate() {
            // The files' order in the torrent is that of their names: the film is first, last, and last.
            let mut files = [("film", len), (beside, 3_000)];
            files.sort_unstable();
            let content = Content::of(&files, PIECE_LEN);
            let mut place = match places.first() {
                Some(first) => first.beside(&content),
                None => Place::new(&content),
            };
            let offset = LENS[..part].iter().sum();
            let file = FileIndex(files.iter().position(|(name, _)| *name == "film").unwrap() as u32);
            place.places = vec![offer::Place { file, offset, whole }];
            places.push(place);
        }
        Film { places }
    }

    fn bytes(&self) -> Vec<u8> {
        self.places.iter().flat_map(|place| place.content.file("t/film").to_vec()).collect()
    }

    fn open(&self) -> Vec<Run> {
        self.places.iter().map(Place::open).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.places[0].path(name)
    }

    /// Names in the torrents' directory.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("t")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// No part store was ever needed.
    fn has_store(&self) -> bool {
        let entries = std::fs::read_dir(self.places[0].root()).unwrap();
        entries.count() > 1
    }
}

fn all(run: &Run) -> Vec<PieceIndex> {
    run.content.pieces().collect()
}

/// Lets go of open files, as others do that need the room.
fn forget_handles(run: &Run) {
    run.storage.handles.forget(run.storage.number);
}

#[test]
fn torrents_write_into_one_file_whoever_comes_first_and_leave_its_name_to_others() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let film = Film::new();
        // Two are looked at before anything is there, the third when its file exists.
        let early: Vec<_> = order[..2].iter().map(|&part| film.places[part].open()).collect();
        for run in &early {
            assert_eq!(run.found, Found::Nothing);
            run.spill(PieceIndex(1), &[0]).unwrap();
            run.finish(&all(run));
        }
        let late = film.places[order[2]].open();
        assert_eq!(late.found, Found::Nothing, "{order:?}: nothing lies in its range");
        late.spill(PieceIndex(1), &[0]).unwrap();
        late.finish(&all(&late));
        assert_eq!(film.names(), ["a", "b", "film.part", "z"], "{order:?}");
        assert_eq!(film.places[0].read("t/film.part").unwrap(), film.bytes(), "{order:?}");
        assert!(!film.has_store(), "{order:?}: what was spilled went where it belongs");
        // Who knows of all gives the name; those who have it open, or not any more, find it.
        std::fs::rename(film.path("t/film.part"), film.path("t/film")).unwrap();
        for run in early.iter().chain([&late]) {
            forget_handles(run);
            assert_eq!(run.good_on_disk(), all(run));
            run.storage.close().unwrap();
        }
        for run in film.open() {
            assert_eq!((&run.found, run.good_on_disk()), (&Found::AsRecorded, all(&run)), "{order:?}");
        }
        assert_eq!(film.names(), ["a", "b", "film", "z"]);
    }
}

#[test]
fn a_range_is_found_again_whatever_others_have_written_meanwhile() {
    for orderly in [true, false] {
        let film = Film::new();
        let mut runs = film.open();
        let last = runs.pop().unwrap();
        runs.iter().for_each(|run| run.finish(&pieces([0, 2])));
        runs[0].write(PieceIndex(1)).unwrap();
        if orderly {
            runs.iter().for_each(|run| drop(run.storage.close().unwrap()));
        }
        drop(runs);
        // The file grows, and is younger.
        last.finish(&all(&last));
        for (part, place) in film.places[..2].iter().enumerate() {
            let run = place.open();
            assert_eq!(run.found, Found::AsRecorded, "{part} after an orderly end: {orderly}");
            assert_eq!(run.settle(), pieces([0, 2]));
            run.finish(&all(&run));
        }
        assert_eq!(film.places[0].read("t/film.part").unwrap(), film.bytes());
    }
}

#[test]
fn a_whole_file_that_was_touched_between_runs_is_checked() {
    let film = Film::new();
    film.open().iter().for_each(|run| run.finish(&all(run)));
    std::fs::rename(film.path("t/film.part"), film.path("t/film")).unwrap();
    for _ in 0..2 {
        let runs = film.open();
        assert!(runs.iter().all(|run| run.found == Found::AsRecorded));
        runs.iter().for_each(|run| drop(run.storage.close().unwrap()));
    }
    let file = std::fs::File::options().write(true).open(film.path("t/film")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(film.open().iter().all(|run| matches!(run.found, Found::Doubtful(_))));
}

#[test]
fn a_strangers_whole_file_is_not_taken_for_the_one_in_which_others_have_their_ranges() {
    let film = Film::new();
    film.places[0].open().finish(&pieces([0]));
    film.places[0].put("t/film", &vec![1; LENS.iter().sum::<u64>() as usize]);
    let run = film.places[1].open();
    run.finish(&all(&run));
    let part = film.places[0].read("t/film.part").unwrap();
    assert_eq!(part[40_001..110_004], film.places[1].content.file("t/film"));
}

/// A loss of power takes what others have not synced yet: no reason to doubt what was.
#[test]
fn what_others_have_not_synced_when_a_torrent_is_closed_is_not_counted_on() {
    let film = Film::new();
    let [first, second] = [film.places[0].open(), film.places[1].open()];
    first.finish(&all(&first));
    let synced = std::fs::metadata(film.path("t/film.part")).unwrap().len();
    second.write(PieceIndex(2)).unwrap();
    first.storage.close().unwrap();
    drop((first, second));
    std::fs::File::options().write(true).open(film.path("t/film.part")).unwrap().set_len(synced).unwrap();
    let again = film.places[0].open();
    assert_eq!((&again.found, again.good_on_disk()), (&Found::AsRecorded, all(&again)));
}

#[test]
fn what_was_never_recorded_is_hashed_and_kept() {
    let film = Film::new();
    let runs = film.open();
    runs[1].write(PieceIndex(1)).unwrap();
    drop(runs);
    let run = film.places[1].open();
    let Found::Doubtful(doubtful) = &run.found else { panic!("{:?}", run.found) };
    assert_eq!(doubtful.iter().collect::<Vec<_>>(), all(&run), "all that its files are in");
    assert_eq!(run.settle(), pieces([1]));
    // And whose range begins behind all that is there has nothing to look at.
    assert_eq!(film.places[2].open().found, Found::Nothing);
}

/// The second torrent's range with a stranger's bytes in it.
fn foreign(film: &Film) -> Vec<u8> {
    let mut bytes = vec![0; LENS.iter().sum::<u64>() as usize];
    bytes[50_000..60_000].fill(0xee);
    film.places[0].put("t/film.part", &bytes);
    bytes
}

#[test]
fn what_strangers_put_into_a_range_gives_way_to_verified_bytes_alone() {
    // There before we looked, or after.
    for early in [true, false] {
        let film = Film::new();
        let before = early.then(|| foreign(&film));
        let run = film.places[1].open();
        let bytes = before.unwrap_or_else(|| foreign(&film));
        assert_eq!(early, matches!(run.found, Found::Doubtful(_)));
        assert_eq!(run.settle(), []);
        run.spill(PieceIndex(0), &[0]).unwrap();
        assert!(film.has_store());
        assert_eq!(film.places[0].read("t/film.part").unwrap(), bytes, "{early}");
        run.finish(&all(&run));
        let mut expected = bytes;
        expected[40_001..110_004].copy_from_slice(&film.places[1].content.file("t/film"));
        assert_eq!(film.places[0].read("t/film.part").unwrap(), expected, "{early}");
    }
}

#[test]
fn a_file_of_another_length_or_with_another_name_is_left_alone() {
    let whole: u64 = LENS.iter().sum();
    for name in ["t/film", "t/film.part"] {
        for early in [true, false] {
            if name == "t/film" && !early {
                continue;
            }
            let film = Film::new();
            let late = (!early).then(|| film.places[1].open());
            film.places[0].put(name, &vec![1; whole as usize + 1]);
            let error = match late {
                Some(run) => run.write(PieceIndex(0)).unwrap_err(),
                None => film.places[1].try_open(WantedFiles::all()).map(drop).unwrap_err(),
            };
            assert_eq!(error.kind, DiskErrorKind::Denied);
            assert!(error.detail.contains("is another file and is left alone"), "{}", error.detail);
            assert_eq!(film.places[0].read(name).unwrap(), vec![1; whole as usize + 1]);
        }
    }
    let film = Film::new();
    film.places[0].put("t/film.part", b"");
    std::fs::hard_link(film.path("t/film.part"), film.path("elsewhere")).unwrap();
    let error = film.places[1].open().write(PieceIndex(1)).unwrap_err();
    assert!(error.detail.contains("hard link"), "{}", error.detail);
    assert_eq!(film.places[0].read("elsewhere").unwrap(), b"");
}

#[test]
fn a_range_that_is_not_wanted_lies_in_the_part_store_although_the_file_exists() {
    let film = Film::new();
    // The torrents' files are "film" and "z": of the first only what the second's piece covers is fetched.
    let selection = || wanted(&[false, true]);
    let run = film.places[1].try_open(selection()).unwrap();
    let last = *all(&run).last().unwrap();
    run.finish(&[last]);
    run.storage.close().unwrap();
    assert!(!film.names().contains(&"film.part".into()));
    let others = [film.places[0].open(), film.places[2].open()];
    others.iter().for_each(|run| run.finish(&all(run)));
    let run = film.places[1].try_open(selection()).unwrap();
    assert_eq!((&run.found, run.good_on_disk()), (&Found::AsRecorded, vec![last]));
    run.storage.want(WantedFiles::all()).unwrap();
    assert_eq!(run.good_on_disk(), [last]);
    run.finish(&all(&run));
    run.storage.close().unwrap();
    assert_eq!(film.places[0].read("t/film.part").unwrap(), film.bytes());
    assert!(!film.has_store());
}

#[test]
fn a_file_that_is_taken_away_or_replaced_is_missed_at_the_next_sync() {
    for replaced in [false, true] {
        let film = Film::new();
        let run = film.places[1].open();
        run.finish(&pieces([0]));
        run.write(PieceIndex(1)).unwrap();
        std::fs::rename(film.path("t/film.part"), film.path("aside")).unwrap();
        if replaced {
            // By the next torrent, which finds none.
            film.places[2].open().finish(&pieces([0]));
        }
        assert_eq!(run.sync().unwrap_err().kind, DiskErrorKind::Changed);
        drop(run);
        let run = film.places[1].open();
        let Found::Doubtful(doubtful) = &run.found else { panic!("{:?}", run.found) };
        assert!(doubtful.has(PieceIndex(0)));
        assert_eq!(run.settle(), []);
        run.finish(&all(&run));
        let written = film.places[0].read("t/film.part").unwrap();
        assert_eq!(written[40_001..110_004], film.places[1].content.file("t/film"));
    }
}

#[test]
fn all_room_is_made_for_the_whole_file_and_what_is_made_is_nobodys() {
    let mut film = Film::new();
    film.places.iter_mut().for_each(|place| place.allocation = Allocation::Full);
    let runs = film.open();
    let made = std::fs::metadata(film.path("t/film.part")).unwrap();
    assert_eq!((made.size(), made.blocks() * 512 >= made.size()), (LENS.iter().sum(), true));
    assert!(runs.iter().all(|run| run.found == Found::Nothing));
    runs.iter().for_each(|run| run.finish(&all(run)));
    assert_eq!(film.places[0].read("t/film.part").unwrap(), film.bytes());
    assert!(film.open().iter().all(|run| run.found == Found::AsRecorded));
}

/// Two torrents take turns until they are stopped before some step: what was committed is neither lost nor doubted, nothing wrong
/// is believed, and the next run finishes.
#[test]
fn two_torrents_that_are_stopped_at_any_step_go_on_where_they_were() {
    let turns = |film: &Film, committed: &mut [Vec<PieceIndex>; 2]| -> Option<()> {
        let mut have = [Vec::new(), Vec::new()];
        let runs = [1, 2].map(|part| film.places[part].try_open(WantedFiles::all()));
        let [Ok(first), Ok(second)] = runs else { return None };
        for piece in 0..2 {
            for (run, have) in [&first, &second].into_iter().zip(&mut have) {
                run.spill(PieceIndex(piece), &[0]).ok()?;
                run.write(PieceIndex(piece)).ok()?;
                have.push(PieceIndex(piece));
            }
            for (number, run) in [&first, &second].into_iter().enumerate() {
                run.sync().ok()?;
                run.commit(&have[number], &[]).ok()?;
                committed[number].clone_from(&have[number]);
            }
        }
        second.storage.close().ok()?;
        Some(())
    };
    let mut stop = 0;
    loop {
        let (film, mut committed) = (Film::new(), Default::default());
        plan(Plan::StopAt(stop));
        let whole = turns(&film, &mut committed).is_some();
        let steps = taken().len();
        plan(Plan::Never);
        for (part, committed) in [1, 2].into_iter().zip(&committed) {
            let run = film.places[part].open();
            if let Found::Doubtful(doubtful) = &run.found {
                assert!(
                    committed.iter().all(|&piece| !doubtful.has(piece)),
                    "{part} doubts, stopped at {stop}"
                );
            }
            let (believed, good) = (run.settle(), run.good_on_disk());
            assert!(believed.iter().all(|piece| good.contains(piece)), "{part} stopped at {stop}");
            assert!(committed.iter().all(|piece| believed.contains(piece)), "{part} stopped at {stop}");
            run.finish(&all(&run));
        }
        film.places[0].open().finish(&pieces(0..3));
        assert_eq!(film.places[0].read("t/film.part").unwrap(), film.bytes(), "stopped at {stop}");
        if whole {
            break println!("{steps} steps");
        }
        stop += 1;
    }
    assert!(stop > 20, "{stop}");
}

/// Neighbours' bytes end and begin inside of the file system's blocks, and are none of ours.
#[test]
fn a_range_is_blank_if_nothing_but_zeros_at_its_ends_lies_in_it() {
    use std::os::unix::fs::FileExt;
    let (from, to, len) = (1_000_003, 3_000_001, 4 << 20);
    // What somebody wrote there, and whether the range is still blank.
    let table: [(u64, &[u8], bool); 9] = [
        (0, b"", true),
        (from, b"\0\0\0", true),
        (to - 3, b"\0\0\0", true),
        (from - 1, b"x", true),
        (to, b"x", true),
        (from, b"x", false),
        (to - 1, b"x", false),
        (2_000_000, b"x", false),
        (from + 300_000, b"x", false),
    ];
    let film = Film::new();
    std::fs::create_dir_all(film.path("")).unwrap();
    for (at, bytes, expected) in table {
        let path = film.path("file");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(&vec![7; from as usize], 0).unwrap();
        file.write_all_at(&vec![7; (len - to) as usize], to).unwrap();
        file.write_all_at(bytes, at).unwrap();
        let opened =
            os::fs::Dir::open(&film.path("")).unwrap().file(Path::new("file"), Access::Read).unwrap();
        let blank = |from, to| super::super::ranges::is_blank(&opened, from, to).unwrap();
        assert_eq!(blank(from, to), expected, "{bytes:?} at {at}");
        assert!(blank(from, from) && blank(len, len + 5) && blank(to, from));
        assert!(!blank(from - 1, to) && !blank(from, to + 1));
    }
}

//! Large files as ranges in several torrents: lent by one client out of the file as it lies, received by others into one file.

use super::content::bytes;
use super::swarm::{Peer, wait_for};
use gannet::hashing::{FileTimes, HashRange, hash_ranges};
use gannet::sharing::Place;
use gannet::{AddError, AddOptions, DiskErrorKind, Event, StageName, SwarmKey, TorrentHandle, TorrentId};
use proto::{Rng, Seed};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use wire::metainfo::MetainfoBuilder;
use wire::{FileIndex, Magnet};

const PIECE_LEN: u32 = 64 * 1024;

/// A file that is shared, and its ranges as torrents.
pub(crate) struct Film {
    dir: TempDir,
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Vec<Part>,
}

/// One torrent of it.
pub(crate) struct Part {
    pub(crate) torrent: Vec<u8>,
    pub(crate) range: HashRange,
}

impl Film {
    /// A file with these bytes, cut at these offsets.
    pub(crate) fn of(bytes: Vec<u8>, cuts: &[u64]) -> Film {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film");
        fs::write(&path, &bytes).unwrap();
        Film { parts: cut(&path, cuts), dir, bytes }
    }

    /// A file of this length with holes: nothing is in it but these bytes at one place.
    pub(crate) fn sparse(len: u64, at: u64, bytes: &[u8], cuts: &[u64]) -> Film {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film");
        let file = fs::File::create(&path).unwrap();
        file.set_len(len).unwrap();
        file.write_all_at(bytes, at).unwrap();
        let mut all = vec![0; len as usize];
        all[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
        Film { parts: cut(&path, cuts), dir, bytes: all }
    }

    /// One of three million bytes that look like chance, in three ranges, none of which begins or ends with a block.
    pub(crate) fn in_three(seed: u64) -> Film {
        Film::of(bytes(&mut Rng::new(Seed(seed)), 3_000_000), &[400_001, 1_700_000])
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("film")
    }

    /// Lends all of it.
    pub(crate) fn lend(&self, peer: &Peer) -> Vec<TorrentHandle> {
        let lend = |part: &Part| {
            let torrent = peer.client.lend(&part.torrent, vec![part.range.clone()], Vec::new()).unwrap();
            wait_for(peer, "seeding", |event| *event == Event::Stage(torrent.id(), StageName::Seeding));
            torrent
        };
        self.parts.iter().map(lend).collect()
    }

    /// Receives all of it into one file.
    pub(crate) fn receive(&self, peer: &Peer, from: &[SocketAddr]) -> Vec<TorrentHandle> {
        let add = |part: &Part| {
            let HashRange { offset, whole, .. } = part.range;
            let places = vec![Place { file: FileIndex(0), offset, whole }];
            let options = AddOptions { peers: from.to_vec(), places, ..AddOptions::default() };
            peer.client.add(&part.torrent, options).unwrap()
        };
        self.parts.iter().map(add).collect()
    }

    /// Compares what lies under this name, and that there is nothing else.
    fn check(&self, downloads: &Path, name: &str) {
        assert_eq!(names(downloads), [name]);
        assert!(fs::read(downloads.join(name)).unwrap() == self.bytes, "the content differs");
    }
}

/// Gives a whole file its name, as who knows of all its ranges does.
fn give_name(downloads: &Path) {
    fs::rename(downloads.join("film.part"), downloads.join("film")).unwrap();
}

/// Waits until this was said of all of them; returns everything that was.
fn wait_for_all(
    peer: &Peer,
    torrents: &[TorrentHandle],
    what: &str,
    of: impl Fn(&Event) -> Option<TorrentId>,
) -> Vec<Event> {
    let left = RefCell::new(torrents.iter().map(TorrentHandle::id).collect::<BTreeSet<_>>());
    wait_for(peer, what, |event| {
        if let Some(torrent) = of(event) {
            left.borrow_mut().remove(&torrent);
        }
        left.borrow().is_empty()
    })
}

fn durable(event: &Event) -> Option<TorrentId> {
    if let Event::Durable(torrent) = event { Some(*torrent) } else { None }
}

fn seeding(event: &Event) -> Option<TorrentId> {
    if let Event::Stage(torrent, StageName::Seeding) = event { Some(*torrent) } else { None }
}

fn is_check(event: &Event) -> bool {
    matches!(event, Event::Stage(_, StageName::Checking))
}

fn cut(path: &Path, cuts: &[u64]) -> Vec<Part> {
    let found = fs::metadata(path).unwrap();
    let (whole, times) = (found.len(), FileTimes::of(&found));
    let (begins, ends) = (std::iter::once(&0).chain(cuts), cuts.iter().chain(std::iter::once(&whole)));
    let part = |(number, (&offset, &end)): (usize, (&u64, &u64))| {
        let range = HashRange { path: path.into(), whole, times, offset, len: end - offset };
        let hashes = hash_ranges(std::slice::from_ref(&range), PIECE_LEN, &|_| ()).unwrap();
        // Ranges of equal bytes are other torrents all the same.
        let builder = MetainfoBuilder::single("film", range.len, PIECE_LEN).source(number.to_string());
        Part { torrent: builder.build(&hashes).unwrap().0, range }
    };
    begins.zip(ends).enumerate().map(part).collect()
}

/// Everything below a directory, by name.
fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_lent_is_fetched_and_nothing_of_it_is_written_or_remembered() {
    let film = Film::in_three(61);
    let seed = Peer::start();
    let lent = film.lend(&seed);
    for (part, torrent) in film.parts.iter().zip(&lent) {
        assert_eq!(torrent.stats().wait().unwrap().uploaded, 0);
        let again = seed.client.lend(&part.torrent, vec![part.range.clone()], Vec::new());
        assert!(matches!(again, Err(AddError::Known(_))));
        let leech = Peer::start();
        let options = AddOptions { peers: seed.addresses(), ..AddOptions::default() };
        let fetched = leech.client.add(&part.torrent, options).unwrap();
        wait_for(&leech, "durable", |event| *event == Event::Durable(fetched.id()));
        let HashRange { offset, len, .. } = part.range;
        let found = fs::read(leech.downloads().join("film")).unwrap();
        assert!(found == film.bytes[offset as usize..(offset + len) as usize], "from {offset} on");
        leech.stop();
    }
    lent[0].pause();
    lent[0].resume();
    lent[1].recheck();
    wait_for(&seed, "a check", |event| *event == Event::Stage(lent[1].id(), StageName::Checking));
    wait_for(&seed, "seeding", |event| *event == Event::Stage(lent[1].id(), StageName::Seeding));
    lent[2].remove();
    wait_for(&seed, "removal", |event| *event == Event::Removed(lent[2].id()));
    let downloads = seed.downloads().to_owned();
    assert_eq!(names(film.dir.path()), ["film"]);
    assert!(fs::read(film.path()).unwrap() == film.bytes);
    let after = Peer::start_in(seed.stop(), |_| {});
    assert_eq!(after.client.restore().unwrap().len(), 0);
    assert_eq!(names(&downloads), [""; 0]);
    after.stop();
}

#[test]
fn a_lent_file_that_is_changed_under_way_is_not_sent_any_more_and_nobody_is_banned_for_it() {
    let film = Film::in_three(62);
    let (seed, leech) = (Peer::start(), Peer::start_with(|config| config.limits.down = Some(500_000)));
    let lent = film.lend(&seed);
    let options = AddOptions { peers: seed.addresses(), ..AddOptions::default() };
    let fetched = leech.client.add(&film.parts[2].torrent, options).unwrap();
    wait_for(&leech, "a piece", |event| matches!(event, Event::PieceDone(..)));
    let mut changed = film.bytes.clone();
    changed.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(film.path(), &changed).unwrap();
    // Whatever the clock of the file system is worth.
    let later = SystemTime::now() + Duration::from_secs(2);
    fs::File::options().write(true).open(film.path()).unwrap().set_modified(later).unwrap();
    let events = wait_for(&seed, "the fault", |event| matches!(event, Event::StorageFailed(..)));
    let Some(Event::StorageFailed(torrent, error)) = events.last() else { unreachable!() };
    assert_eq!((*torrent, error.kind), (lent[2].id(), DiskErrorKind::Changed));
    assert!(error.detail.contains("share it again"), "{}", error.detail);
    // What was on its way when it changed may be lost; nobody is to blame for a whole one.
    let stats = fetched.stats().wait().unwrap();
    assert!(stats.pieces_have > 0 && stats.pieces_have < stats.pieces);
    leech.stop();
    seed.stop();
}

#[test]
fn what_was_changed_or_does_not_fit_before_it_is_lent_is_refused() {
    let film = Film::in_three(63);
    let seed = Peer::start();
    let part = &film.parts[0];
    let lend = |ranges| seed.client.lend(&part.torrent, ranges, Vec::new());
    assert!(matches!(lend(Vec::new()), Err(AddError::Ranges { given: 0, files: 1 })));
    for range in [
        HashRange { len: part.range.len - 1, ..part.range.clone() },
        HashRange { offset: 2_600_000, ..part.range.clone() },
        HashRange { offset: u64::MAX, ..part.range.clone() },
    ] {
        assert!(matches!(lend(vec![range]), Err(AddError::Misplaced(FileIndex(0)))));
    }
    let mut earlier = part.range.times;
    earlier.modified -= 1_000_000_000;
    let torrent = lend(vec![HashRange { times: earlier, ..part.range.clone() }]).unwrap();
    wait_for(&seed, "the fault", |event| {
        matches!(event, Event::StorageFailed(id, error)
            if *id == torrent.id() && error.kind == DiskErrorKind::Changed)
    });
    seed.stop();
}

#[test]
fn three_ranges_arrive_in_one_file_that_is_found_again_under_its_name() {
    let film = Film::in_three(64);
    let (seed, mut leech) = (Peer::start(), Peer::start());
    film.lend(&seed);
    let fetched = film.receive(&leech, &seed.addresses());
    wait_for_all(&leech, &fetched, "durable", durable);
    film.check(leech.downloads(), "film.part");
    // Another's bytes are refused, and a range that is none.
    let part = &film.parts[0];
    let place = Place { file: FileIndex(0), offset: part.range.offset + 1, whole: 3_000_000 };
    let other = MetainfoBuilder::single("film", 100, PIECE_LEN).build(&[[1; 20]]).unwrap().0;
    let add = |place| leech.client.add(&other, AddOptions { places: vec![place], ..AddOptions::default() });
    assert!(matches!(add(place), Err(AddError::SamePlace { .. })));
    assert!(matches!(add(Place { whole: 100, ..place }), Err(AddError::Misplaced(_))));
    assert!(matches!(add(Place { file: FileIndex(1), ..place }), Err(AddError::Misplaced(_))));
    // Who begins again without saying what the ranges are, by itself or by links, has them where they were.
    for by_links in [false, true] {
        leech = Peer::start_in(leech.stop(), |_| {});
        let link = |torrent: &TorrentHandle| Magnet::new(torrent.info_hash());
        let again: Vec<_> = match by_links {
            false => leech.client.restore().unwrap().into_iter().map(Result::unwrap).collect(),
            true => {
                let links = fetched.iter().map(link);
                links.map(|link| leech.client.add_magnet(&link, AddOptions::default()).unwrap()).collect()
            }
        };
        let events = wait_for_all(&leech, &again, "seeding", seeding);
        assert!(!events.iter().any(is_check), "nothing is hashed again: {events:?}");
        film.check(leech.downloads(), "film.part");
    }
    give_name(leech.downloads());
    let leech = Peer::start_in(leech.stop(), |_| {});
    let again = film.receive(&leech, &[]);
    let events = wait_for_all(&leech, &again, "seeding", seeding);
    assert!(!events.iter().any(is_check), "nothing is hashed again: {events:?}");
    film.check(leech.downloads(), "film");
    seed.stop();
    // Who came late gets it from who came early.
    let late = Peer::start();
    let fetched = film.receive(&late, &leech.addresses());
    wait_for_all(&late, &fetched, "durable", durable);
    film.check(late.downloads(), "film.part");
    late.stop();
    leech.stop();
}

#[test]
fn a_receiver_that_left_goes_on_where_it_was() {
    for orderly in [true, false] {
        let film = Film::of(bytes(&mut Rng::new(Seed(65)), 12_000_000), &[2_000_001, 7_000_003]);
        let seed = Peer::start();
        film.lend(&seed);
        let leech = Peer::start_with(|config| config.limits.down = Some(3_000_000));
        let fetched = film.receive(&leech, &seed.addresses());
        let has = |torrents: &[TorrentHandle]| {
            let stats = torrents.iter().map(|torrent| torrent.stats().wait().unwrap());
            stats.map(|stats| stats.pieces_durable).sum::<u32>()
        };
        while has(&fetched) < 40 {
            wait_for(&leech, "a piece", |event| matches!(event, Event::PieceDone(..)));
        }
        let before = has(&fetched);
        let home = if orderly { leech.stop() } else { leech.crash() };
        let leech = Peer::start_in(home, |_| {});
        let again = film.receive(&leech, &seed.addresses());
        let events = wait_for_all(&leech, &again, "durable", durable);
        if orderly {
            assert!(!events.iter().any(is_check), "nothing is hashed again: {events:?}");
        }
        film.check(leech.downloads(), "film.part");
        let downloaded: u64 = again.iter().map(|torrent| torrent.stats().wait().unwrap().downloaded).sum();
        let most = film.bytes.len() as u64 - u64::from(before.saturating_sub(3)) * u64::from(PIECE_LEN);
        assert!(downloaded <= most, "{downloaded} bytes after {before} pieces were durable ({orderly})");
        leech.stop();
        seed.stop();
    }
}

#[test]
fn a_file_with_holes_is_shared_like_any_other() {
    let film = Film::sparse(40_000_000, 19_999_990, b"in the middle of nothing", &[10_000_001, 20_000_002]);
    assert!(fs::metadata(film.path()).unwrap().blocks() < 1_000);
    let (seed, leech) = (Peer::start(), Peer::start());
    film.lend(&seed);
    let fetched = film.receive(&leech, &seed.addresses());
    wait_for_all(&leech, &fetched, "durable", durable);
    film.check(leech.downloads(), "film.part");
    leech.stop();
    seed.stop();
}

/// The sharer ends before all have all: they have it from each other.
#[test]
fn three_receivers_of_a_private_swarm_all_get_one_file() {
    let film = Film::of(bytes(&mut Rng::new(Seed(66)), 8_000_000), &[1_000_001, 4_500_003]);
    let member = || Peer::start_with(|config| config.swarm_key = Some(SwarmKey([66; 32])));
    let (seed, leeches) = (member(), [member(), member(), member()]);
    film.lend(&seed);
    let first = film.receive(&leeches[0], &seed.addresses());
    let known = leeches[0].addresses();
    let others: Vec<_> = leeches[1..].iter().map(|leech| film.receive(leech, &known)).collect();
    wait_for_all(&leeches[0], &first, "durable", durable);
    give_name(leeches[0].downloads());
    seed.stop();
    for (leech, torrents) in leeches[1..].iter().zip(&others) {
        wait_for_all(leech, torrents, "durable", durable);
        film.check(leech.downloads(), "film.part");
    }
    film.check(leeches[0].downloads(), "film");
    for leech in leeches {
        leech.stop();
    }
}

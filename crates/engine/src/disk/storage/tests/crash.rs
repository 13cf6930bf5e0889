//! A run that stops before any one of its steps, or in which any one step fails: nothing that was committed is lost or even
//! doubted, nothing wrong is believed, and the next run finishes.
//!
//! A stop is a process that is killed: what was written stays in the kernel. Lost write-backs are the simulator's part.

use super::*;
use crate::disk::fixture::Run;
use crate::disk::step::{Plan, Step, plan, taken};
use proto::{Rng, Seed};

const EIO: i32 = 5;
const FAULTS: [(i32, DiskErrorKind); 5] = [
    (EIO, DiskErrorKind::Io),
    (28, DiskErrorKind::Full),        // ENOSPC
    (30, DiskErrorKind::ReadOnly),    // EROFS
    (24, DiskErrorKind::TooManyOpen), // EMFILE
    (122, DiskErrorKind::Full),       // EDQUOT
];

/// What the session of a scenario knows.
#[derive(Default, Debug)]
struct Told {
    /// Handed to the file system, not yet synced.
    written: BTreeSet<PieceIndex>,
    synced: BTreeSet<PieceIndex>,
    committed: BTreeSet<PieceIndex>,
    spilled: BTreeMap<PieceIndex, BTreeSet<u32>>,
    /// Spilled blocks of the last commit.
    open: BTreeMap<PieceIndex, Vec<u32>>,
    failures: Vec<DiskErrorKind>,
    sync_failures: u32,
}

/// From this seed on two of the files are ranges of larger ones.
const WITH_RANGES: u64 = 1_000;

/// Of these two, where they begin, and what the whole file has.
const RANGES: [(&str, u32, u64, u64); 2] = [("t/a", 0, 12_345, 200_000), ("t/e", 3, 300_001, 400_000)];

struct Scenario {
    /// What a neighbour has written before our range of the first of them.
    neighbours: Vec<u8>,
    content: Content,
    place: Place,
    selection: Vec<bool>,
    rng: Rng,
}

impl Scenario {
    fn new(seed: u64) -> Scenario {
        let mut rng = Rng::new(Seed(seed));
        let content = Content::of(&[("a", 90_000), ("b/c", 40_000), ("d", 3_000), ("e", 70_000)], 32_768);
        let mut place = Place::new(&content);
        let selection: Vec<bool> = (0..4).map(|_| rng.below(4) != 0).collect();
        if rng.below(3) == 0 {
            place.allocation = Allocation::Full;
        }
        if rng.below(2) == 0 {
            let mut foreign = content.file("t/b/c").to_vec();
            foreign.truncate(10_000 + rng.below(30_000) as usize);
            foreign[5_000] ^= 1;
            place.put("t/b/c", &foreign);
        }
        let mut neighbours = Vec::new();
        if seed >= WITH_RANGES {
            place.places = RANGES
                .map(|(_, file, offset, whole)| wire::offer::Place { file: FileIndex(file), offset, whole })
                .to_vec();
            if rng.below(2) == 0 {
                neighbours = vec![7; 12_345];
                place.put("t/a.part", &neighbours);
            }
        }
        Scenario { content, place, selection, rng, neighbours }
    }

    fn open(&self) -> Result<Run, DiskError> {
        self.place.try_open(wanted(&self.selection))
    }

    /// Some 30 things that a session asks for. Ends early when everything fails, as it does after a stop.
    fn play(&mut self, told: &mut Told) {
        let Ok(run) = self.open() else { return };
        let layout = self.content.metainfo.layout.clone();
        let wanted: Vec<_> = self
            .content
            .pieces()
            .filter(|&piece| layout.files_of(piece).any(|file| self.selection[file.as_usize()]))
            .collect();
        if wanted.is_empty() {
            return;
        }
        for _ in 0..30 {
            let piece = wanted[self.rng.index(wanted.len())];
            let have = told.written.contains(&piece) || told.synced.contains(&piece);
            match self.rng.below(8) {
                0..=2 if !have => self.write(&run, piece, told),
                3 if !have => {
                    let blocks: Vec<u32> =
                        (0..layout.blocks_in(piece)).filter(|_| self.rng.below(2) == 0).collect();
                    match run.spill(piece, &blocks) {
                        Ok(()) => told.spilled.entry(piece).or_default().extend(blocks),
                        Err(error) => told.failures.push(error.kind),
                    }
                }
                4 if told.spilled.contains_key(&piece) => {
                    run.storage.discard(piece);
                    told.spilled.remove(&piece);
                }
                5 | 6 => self.sync(&run, told),
                _ => {
                    let open: Vec<_> = told
                        .spilled
                        .iter()
                        .map(|(&piece, blocks)| (piece, blocks.iter().copied().collect()))
                        .collect();
                    // As the seam has it: only what was synced is committed.
                    self.sync(&run, told);
                    let have: Vec<_> = told.synced.iter().copied().collect();
                    let spilled: Vec<(PieceIndex, Vec<u32>)> =
                        open.into_iter().filter(|(piece, _)| told.spilled.contains_key(piece)).collect();
                    let slices: Vec<_> =
                        spilled.iter().map(|(piece, blocks)| (*piece, &blocks[..])).collect();
                    if run.commit(&have, &slices).is_ok() {
                        told.committed = told.synced.clone();
                        told.open = spilled.into_iter().collect();
                    }
                }
            }
        }
        if self.rng.below(2) == 0 {
            let _ = run.storage.close();
        }
    }

    fn write(&self, run: &Run, piece: PieceIndex, told: &mut Told) {
        let mut sources = self.content.sources(piece);
        for &block in told.spilled.get(&piece).into_iter().flatten() {
            sources[block as usize] = BlockSource::Spilled;
        }
        match run.storage.write_piece(piece, &sources) {
            Ok(()) => {
                told.spilled.remove(&piece);
                told.written.insert(piece);
            }
            Err(error) => told.failures.push(error.kind),
        }
    }

    fn sync(&self, run: &Run, told: &mut Told) {
        match run.sync() {
            Ok(()) => told.synced.append(&mut told.written),
            Err(_) => {
                // In doubt: the session fetches them again.
                told.sync_failures += 1;
                told.written.clear();
                told.spilled.clear();
            }
        }
    }

    /// The next run, in which nothing fails.
    fn recover(&self, told: &Told, case: &str) {
        let run = self.open().unwrap_or_else(|error| panic!("{case}: {}", error.detail));
        let info_hash = self.content.metainfo.info_hash;
        let resume = run.state.torrent(info_hash).unwrap().unwrap().resume;
        let doubtful = match &run.found {
            Found::Doubtful(pieces) => pieces.clone(),
            Found::Nothing | Found::AsRecorded => Bitfield::new(self.content.metainfo.layout.pieces()),
        };
        let record = resume.map(|resume| resume.record);
        for &piece in &told.committed {
            let has = record.as_ref().is_some_and(|record| record.have.has(piece));
            assert!(has, "{case}: the commit of {piece} is lost");
            assert!(!doubtful.has(piece), "{case}: {piece} was committed and would be checked again");
        }
        for (&piece, blocks) in told.open.iter().filter(|(piece, _)| !doubtful.has(**piece)) {
            let mut sources = self.content.sources(piece);
            blocks.iter().for_each(|&block| sources[block as usize] = BlockSource::Spilled);
            let hash = run.storage.hash_blocks(piece, &sources);
            let right = self.content.metainfo.piece_hash(piece);
            assert_eq!(hash, Ok(right), "{case}: committed blocks of {piece} are lost");
        }
        let have = run.settle();
        let good = run.good_on_disk();
        assert!(
            have.iter().all(|piece| good.contains(piece)),
            "{case}: {have:?} is believed, {good:?} is right"
        );
        let rest: Vec<_> = self.content.pieces().filter(|piece| !have.contains(piece)).collect();
        run.storage.want(WantedFiles::all()).unwrap();
        rest.iter().for_each(|&piece| run.write(piece).unwrap());
        run.sync().unwrap();
        run.commit(&self.content.pieces().collect::<Vec<_>>(), &[]).unwrap();
        run.storage.close().unwrap();
        let is_range =
            |path: &str| RANGES.iter().any(|range| range.0 == path) && !self.place.places.is_empty();
        for path in ["t/a", "t/b/c", "t/d", "t/e"].into_iter().filter(|path| !is_range(path)) {
            assert_eq!(self.place.read(path).unwrap(), self.content.file(path), "{case} {path}");
        }
        for (path, _, offset, _) in RANGES.into_iter().filter(|range| is_range(range.0)) {
            let (found, ours) = (self.place.read(&format!("{path}.part")).unwrap(), self.content.file(path));
            let (beside, found) = found.split_at(offset as usize);
            assert_eq!(found[..ours.len()], ours, "{case} {path}");
            let neighbours = if path == "t/a" { &self.neighbours[..] } else { &[] };
            assert_eq!(beside[..neighbours.len()], *neighbours, "{case} {path}");
            assert!(beside[neighbours.len()..].iter().all(|&byte| byte == 0), "{case} {path}");
            assert!(found[ours.len()..].iter().all(|&byte| byte == 0), "{case} {path}");
        }
    }
}

/// The steps that this scenario takes when nothing goes wrong.
fn steps(seed: u64) -> Vec<Step> {
    plan(Plan::Never);
    Scenario::new(seed).play(&mut Told::default());
    taken()
}

#[test]
fn a_kill_before_any_step_loses_nothing_that_was_committed() {
    let (mut cases, mut committed) = (0, 0);
    for seed in (0..24).chain(WITH_RANGES..WITH_RANGES + 12) {
        for stop in 0..=steps(seed).len() {
            let case = format!("seed {seed}, stopped before step {stop}");
            let (mut scenario, mut told) = (Scenario::new(seed), Told::default());
            plan(Plan::StopAt(stop));
            scenario.play(&mut told);
            plan(Plan::Never);
            scenario.recover(&told, &case);
            cases += 1;
            committed += told.committed.len();
        }
    }
    println!("{cases} kills, {committed} pieces had been committed");
    assert!(cases >= 500 && committed > cases, "{cases} {committed}");
}

#[test]
fn a_step_that_fails_fails_its_job_and_nothing_else() {
    let (mut cases, mut failed_syncs) = (0, 0);
    for seed in (100..112).chain(WITH_RANGES + 100..WITH_RANGES + 106) {
        for (number, step) in steps(seed).into_iter().enumerate() {
            let (errno, kind) = FAULTS[number % FAULTS.len()];
            let case = format!("seed {seed}, step {number} ({step:?}) fails with {errno}");
            let (mut scenario, mut told) = (Scenario::new(seed), Told::default());
            plan(Plan::FailOnce(number, errno));
            scenario.play(&mut told);
            plan(Plan::Never);
            assert!(told.failures.iter().all(|&found| found == kind), "{case}: {:?}", told.failures);
            assert!(told.sync_failures <= 1, "{case}: a failed sync was told {} times", told.sync_failures);
            scenario.recover(&told, &case);
            cases += 1;
            failed_syncs += told.sync_failures;
        }
    }
    println!("{cases} failed steps, {failed_syncs} of them syncs that were told");
    assert!(cases >= 500 && failed_syncs > 50, "{cases} {failed_syncs}");
}

#[test]
fn a_failed_sync_is_told_once_and_its_pieces_are_not_taken_for_durable() {
    let content = Content::of(&[("a", 60_000)], 16_384);
    let place = Place::new(&content);
    let run = place.open();
    content.pieces().for_each(|piece| run.write(piece).unwrap());
    plan(Plan::FailOnce(0, EIO));
    assert_eq!(run.sync().unwrap_err().kind, DiskErrorKind::Io);
    plan(Plan::Never);
    run.sync().unwrap();
    assert!(place.path("t/a.part").exists(), "a file was called finished whose sync had failed");
    content.pieces().for_each(|piece| run.write(piece).unwrap());
    run.sync().unwrap();
    assert!(place.path("t/a").exists());
}

#[test]
fn more_dirty_files_than_handles_are_all_synced_and_a_failure_among_them_is_told() {
    let names: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
    let files: Vec<_> = names.iter().map(|name| (&name[..], 1000)).collect();
    let content = Content::of(&files, 16_384);
    for fails in [false, true] {
        let place = Place::new(&content);
        let run = place.open();
        // The first sync is one that happens in between, when too many files wait for one.
        let step = if fails { first_sync(&content) } else { usize::MAX };
        plan(Plan::FailOnce(step, EIO));
        content.pieces().for_each(|piece| run.write(piece).unwrap());
        let outcome = run.sync();
        plan(Plan::Never);
        assert_eq!(outcome.is_err(), fails);
        assert_eq!(place.path("t/000").exists(), !fails);
        assert_eq!(place.path("t/000.part").exists(), fails);
    }
}

/// The number of the first sync step when all pieces are written without asking for one.
fn first_sync(content: &Content) -> usize {
    let place = Place::new(content);
    let run = place.open();
    plan(Plan::Never);
    content.pieces().for_each(|piece| run.write(piece).unwrap());
    taken().iter().position(|&step| step == Step::Sync).unwrap()
}

//! H3 and H4 on file systems of our own: full at every write, read-only, unmounted, another one in its place. Needs root; run
//! with `--features mount-tests`, and it fails where it cannot mount.

use super::*;
use crate::disk::fixture::Run;
use std::process::Command;

/// A small file system at the root of a place; unmounted when dropped.
struct Mounted {
    root: PathBuf,
}

impl Mounted {
    fn new(place: &Place, pages: u32) -> Mounted {
        Mounted::at(place.root(), pages)
    }

    fn at(root: PathBuf, pages: u32) -> Mounted {
        std::fs::create_dir_all(&root).unwrap();
        let size = format!("size={}", pages * 4096);
        run("mount", &["-t", "tmpfs", "-o", &size, "gannet-test", root.to_str().unwrap()]);
        Mounted { root }
    }

    /// The same volume, seen at another place: what plugging a drive in looks like.
    fn show_at(&self, root: PathBuf) -> Mounted {
        std::fs::create_dir_all(&root).unwrap();
        run("mount", &["--bind", self.root.to_str().unwrap(), root.to_str().unwrap()]);
        Mounted { root }
    }

    fn remount(&self, option: &str) {
        run("mount", &["-o", &format!("remount,{option}"), self.root.to_str().unwrap()]);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a test that failed may still hold files.
        let _ = Command::new("umount").arg("-l").arg(&self.root).status();
    }
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: this test needs root");
}

/// Downloads what is missing; the first error stops it.
fn download(run: &Run, have: &mut BTreeSet<PieceIndex>, spill: bool) -> Result<(), DiskError> {
    for piece in run.content.pieces() {
        if have.contains(&piece) {
            continue;
        }
        if spill {
            run.spill(piece, &[0])?;
        }
        run.write(piece)?;
        run.sync()?;
        have.insert(piece);
        run.commit(&have.iter().copied().collect::<Vec<_>>(), &[]).unwrap();
    }
    Ok(())
}

#[test]
fn a_disk_that_fills_up_at_any_write_pauses_with_the_reason_and_goes_on_when_there_is_room() {
    let content = Content::of(&[("a", 120_000), ("b/c", 60_000), ("d", 9_000)], 32_768);
    let mut cases = 0;
    for pages in 2..50 {
        for allocation in [Allocation::Sparse, Allocation::Full] {
            for spill in [false, true] {
                let case = format!("{pages} pages, {allocation:?}, spill {spill}");
                let mut place = Place::new(&content);
                place.allocation = allocation;
                let mount = Mounted::new(&place, pages);
                let mut have = BTreeSet::new();
                let stopped = match place.try_open(WantedFiles::all()) {
                    Ok(run) => download(&run, &mut have, spill),
                    Err(error) => Err(error),
                };
                if let Err(error) = &stopped {
                    assert_eq!(error.kind, DiskErrorKind::Full, "{case}: {}", error.detail);
                    assert!(error.detail.contains("make room"), "{}", error.detail);
                }
                mount.remount("size=1000k");
                let run = place.open();
                assert!(run.settle().iter().all(|piece| run.good_on_disk().contains(piece)), "{case}");
                let again: BTreeSet<_> = run.settle().into_iter().collect();
                assert!(have.is_subset(&again), "{case}: {have:?} was committed, {again:?} is found");
                download(&run, &mut have, spill).unwrap_or_else(|error| panic!("{case}: {}", error.detail));
                run.storage.close().unwrap();
                for name in ["t/a", "t/b/c", "t/d"] {
                    assert_eq!(place.read(name).unwrap(), content.file(name), "{case} {name}");
                }
                cases += 1;
            }
        }
    }
    println!("{cases} full disks");
}

#[test]
fn a_read_only_disk_is_named_and_still_serves() {
    let content = Content::of(&[("a", 100_000)], 32_768);
    let place = Place::new(&content);
    let mount = Mounted::new(&place, 100);
    let run = place.open();
    run.finish(&pieces(0..2));
    drop(run);
    mount.remount("ro");
    let run = place.open();
    assert_eq!(run.found, Found::AsRecorded);
    assert_eq!(run.good_on_disk(), pieces(0..2));
    let error = run.write(PieceIndex(2)).unwrap_err();
    assert_eq!(error.kind, DiskErrorKind::ReadOnly, "{}", error.detail);
    drop(run);
    mount.remount("rw");
    let run = place.open();
    run.finish(&pieces(2..4));
    assert_eq!(run.good_on_disk(), pieces(0..4));
}

#[test]
fn a_drive_that_is_not_mounted_or_another_one_in_its_place_is_neither_checked_nor_filled() {
    let content = Content::of(&[("a", 100_000), ("b", 50_000)], 32_768);
    let mut cases = 0;
    // How far the download was when the drive went, and whether it was closed in order.
    for done in 1..=content.metainfo.layout.pieces() {
        for closed in [false, true] {
            let place = Place::new(&content);
            let volume = Mounted::at(place.temp.path().join("volume"), 100);
            let plugged = volume.show_at(place.root());
            let run = place.open();
            run.finish(&pieces(0..done));
            if closed {
                run.storage.close().unwrap();
            }
            drop((run, plugged));
            let nothing = place.tree();
            let vanished = |place: &Place| place.try_open(WantedFiles::all()).err().map(|error| error.kind);
            assert_eq!(vanished(&place), Some(DiskErrorKind::Vanished), "{done} {closed}: mount point bare");
            assert_eq!(place.tree(), nothing);
            let other = Mounted::new(&place, 100);
            assert_eq!(vanished(&place), Some(DiskErrorKind::Vanished), "{done} {closed}: another volume");
            assert_eq!(std::fs::read_dir(place.root()).unwrap().count(), 0);
            drop(other);
            std::fs::remove_dir(place.root()).unwrap();
            assert_eq!(vanished(&place), Some(DiskErrorKind::Vanished), "{done} {closed}: no mount point");
            let plugged = volume.show_at(place.root());
            let run = place.open();
            assert_eq!(run.found, Found::AsRecorded, "{done} {closed}: it is back");
            assert_eq!(run.good_on_disk(), pieces(0..done));
            drop((run, plugged));
            cases += 4;
        }
    }
    println!("{cases} mounts and unmounts");
}

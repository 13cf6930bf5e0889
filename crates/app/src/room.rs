//! Whether there is room for a download, asked before its first byte is written: space, and what the file system can hold.
//!
//! Reads sizes and writes nothing. Not a promise: others may fill the disk meanwhile, and then the download pauses.

use crate::cli::Exit;
use crate::failure::Failure;
use crate::quantity::Size;
use gannet::{Metainfo, Priority};
use os::fs::{Dir, Volume};
use std::path::{Path, PathBuf};
use wire::FileIndex;

/// What is behind the name of an unfinished file.
const UNFINISHED: &str = ".part";

/// The place of downloads, and what those of this run will still take of it.
pub(crate) struct Room {
    output: PathBuf,
    claimed: u64,
}

impl Room {
    /// The room in a folder, which need not exist yet.
    pub(crate) fn at(output: &Path) -> Room {
        Room { output: output.into(), claimed: 0 }
    }

    /// Takes room for the wanted files of a torrent, less what is on disk of them already.
    pub(crate) fn claim(&mut self, metainfo: &Metainfo, priorities: &[Priority]) -> Result<(), Failure> {
        // What cannot be looked at is not refused here: whoever writes will say what is wrong.
        let Some(volume) = existing(&self.output).and_then(|dir| dir.volume().ok()) else { return Ok(()) };
        let here = Dir::open(&self.output).ok();
        let wanted = metainfo.layout.file_indices().filter(|&file| is_wanted(metainfo, priorities, file));
        let mut missing: u64 = 0;
        for file in wanted {
            let len = metainfo.layout.extent(file).len;
            fits(metainfo, file, len, &volume, &self.output)?;
            missing = missing.saturating_add(len.saturating_sub(allocated(metainfo, file, here.as_ref())));
        }
        let needed = self.claimed.saturating_add(missing);
        if needed > volume.free {
            let text = format!(
                "{} needs {} more, and {} has room for {}: make room, name another folder with --output, or fetch \
                 less with --select",
                metainfo.name.original,
                Size(missing),
                self.output.display(),
                Size(volume.free.saturating_sub(self.claimed)),
            );
            return Err(Failure::new(Exit::Disk, text));
        }
        self.claimed = needed;
        Ok(())
    }
}

fn is_wanted(metainfo: &Metainfo, priorities: &[Priority], file: FileIndex) -> bool {
    let skipped = priorities.get(file.0 as usize) == Some(&Priority::Skip);
    !skipped && !metainfo.layout.extent(file).pad
}

/// An error if the file system has no files of this length.
fn fits(
    metainfo: &Metainfo,
    file: FileIndex,
    len: u64,
    volume: &Volume,
    output: &Path,
) -> Result<(), Failure> {
    match volume.file_max {
        Some(max) if len > max => Err(Failure::new(
            Exit::Disk,
            format!(
                "{} has {}, and on the file system of {} (FAT) a file has at most 4 GiB: name another folder with \
                 --output, or leave the file out with --select",
                metainfo.original_path(file),
                Size(len),
                output.display()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Bytes that a file takes on disk already.
fn allocated(metainfo: &Metainfo, file: FileIndex, here: Option<&Dir>) -> u64 {
    let (Some(path), Some(here)) = (metainfo.path(file), here) else { return 0 };
    let names = [path.to_string(), format!("{path}{UNFINISHED}")];
    names.iter().find_map(|name| here.stat(Path::new(name)).ok()).map_or(0, |stat| stat.allocated)
}

/// The folder, or the nearest one above it that exists.
fn existing(folder: &Path) -> Option<Dir> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find_map(|ancestor| Dir::open(ancestor).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::metainfo::MetainfoBuilder;

    #[test]
    fn a_file_of_four_gib_is_refused_on_fat_alone() {
        let volume = |file_max| Volume { fsid: 0, free: u64::MAX, read_only: false, file_max };
        let fat = volume(Some(u64::from(u32::MAX)));
        for (len, volume, fine) in
            [(u64::from(u32::MAX), &fat, true), (1 << 32, &fat, false), (1 << 32, &volume(None), true)]
        {
            let pieces = len.div_ceil(1 << 24) as usize;
            let metainfo =
                MetainfoBuilder::single("film.mkv", len, 1 << 24).build(&vec![[0; 20]; pieces]).unwrap().1;
            let said = fits(&metainfo, FileIndex(0), len, volume, Path::new("/media/stick"));
            assert_eq!(said.is_ok(), fine, "{len}");
            if let Err(failure) = said {
                assert!(
                    failure
                        .to_string()
                        .starts_with("film.mkv has 4.0 GiB, and on the file system of /media/stick")
                );
            }
        }
    }

    #[test]
    fn what_is_on_disk_already_needs_no_room() {
        let temp = tempfile::tempdir().unwrap();
        let metainfo = MetainfoBuilder::single("a", 1 << 20, 1 << 20).build(&[[0; 20]]).unwrap().1;
        let mut room = Room::at(&temp.path().join("not there yet"));
        room.claim(&metainfo, &[]).unwrap();
        assert_eq!(room.claimed, 1 << 20);
        std::fs::write(temp.path().join("a.part"), vec![1; 1 << 20]).unwrap();
        std::fs::File::open(temp.path().join("a.part")).unwrap().sync_all().unwrap();
        let mut room = Room::at(temp.path());
        room.claim(&metainfo, &[]).unwrap();
        assert_eq!(room.claimed, 0);
        room.claim(&metainfo, &[Priority::Skip]).unwrap();
        assert_eq!(room.claimed, 0);
    }

    #[test]
    fn more_than_is_free_is_refused_with_what_to_do_and_torrents_count_together() {
        let temp = tempfile::tempdir().unwrap();
        let free = Dir::open(temp.path()).unwrap().volume().unwrap().free;
        let piece = 1u64 << 29;
        // A little more than half of what is free, in whole pieces.
        let len = (free / 2 / piece + 1) * piece;
        let hashes = vec![[0; 20]; (len / piece) as usize];
        let metainfo = MetainfoBuilder::single("huge", len, piece as u32).build(&hashes).unwrap().1;
        let mut room = Room::at(temp.path());
        if len <= free {
            room.claim(&metainfo, &[]).unwrap();
        }
        let failure = room.claim(&metainfo, &[]).unwrap_err().to_string();
        assert!(failure.starts_with("huge needs ") && failure.contains("--output"), "{failure}");
    }
}

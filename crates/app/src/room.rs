//! Whether there is room for a download, asked before its first byte is written: space, and what the file system can hold.
//!
//! Reads sizes and writes nothing. Not a promise: others may fill the disk meanwhile, and then the download pauses. What an
//! earlier run has verified needs nothing more, however little room a file system that compresses says that it takes.

use crate::quantity::Size;
use gannet::{Bitfield, CheckRoom, Metainfo, PieceIndex, Priority, Prospect};
use os::fs::{Access, Data, Dir, File, Volume};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wire::FileIndex;

/// What is behind the name of an unfinished file.
const UNFINISHED: &str = ".part";

/// Stretches of a file that are looked at; of one that is more scattered the rest counts as written.
const STRETCHES_MAX: u32 = 4_096;

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

    /// Asks for each torrent, as soon as it is known what is in it.
    pub(crate) fn into_check(self) -> CheckRoom {
        let room = Mutex::new(self);
        CheckRoom::by(move |prospect| room.lock().unwrap_or_else(PoisonError::into_inner).claim(prospect))
    }

    /// Takes room for the wanted files of a torrent, less what is on disk of them already.
    fn claim(&mut self, prospect: Prospect<'_>) -> Result<(), String> {
        let Prospect { metainfo, priorities, have, .. } = prospect;
        // What cannot be looked at is not refused here: whoever writes will say what is wrong.
        let Some(volume) = existing(&self.output).and_then(|dir| dir.volume().ok()) else { return Ok(()) };
        let here = Dir::open(&self.output).ok();
        let wanted = metainfo.layout.file_indices().filter(|&file| is_wanted(metainfo, priorities, file));
        let mut missing: u64 = 0;
        for file in wanted {
            let len = metainfo.layout.extent(file).len;
            fits(metainfo, file, len, &volume, &self.output)?;
            missing = missing.saturating_add(missing_of(metainfo, file, have, here.as_ref()));
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
            return Err(text);
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
) -> Result<(), String> {
    match volume.file_max {
        Some(max) if len > max => Err(format!(
            "{} has {}, and on the file system of {} (FAT) a file has at most 4 GiB: name another folder with \
             --output, or leave the file out with --select",
            metainfo.original_path(file),
            Size(len),
            output.display()
        )),
        Some(_) | None => Ok(()),
    }
}

/// Bytes that a file will still take.
fn missing_of(metainfo: &Metainfo, file: FileIndex, have: Option<&Bitfield>, here: Option<&Dir>) -> u64 {
    let len = metainfo.layout.extent(file).len;
    let (Some(path), Some(here)) = (metainfo.path(file), here) else { return len };
    let names = [path.to_string(), format!("{path}{UNFINISHED}")];
    let found = names.iter().find_map(|name| Some((name, here.stat(Path::new(name)).ok()?)));
    // Without the file, whatever the record says of it is gone.
    let Some((name, stat)) = found else { return len };
    let lacking = have.map_or(len, |have| lacking(metainfo, file, have));
    if lacking == 0 {
        return 0;
    }
    let written = here.file(Path::new(name), Access::Read).map_or(0, |file| written(&file, len));
    lacking.min(len.saturating_sub(stat.allocated.max(written)))
}

/// Bytes of a file in pieces that are not verified.
fn lacking(metainfo: &Metainfo, file: FileIndex, have: &Bitfield) -> u64 {
    let extent = metainfo.layout.extent(file);
    let (from, to) = (extent.offset, extent.offset + extent.len);
    let piece_len = u64::from(metainfo.layout.piece_len_max());
    let pieces = from / piece_len..to.div_ceil(piece_len);
    let lacking =
        pieces.filter(|&piece| !u32::try_from(piece).is_ok_and(|piece| have.has(PieceIndex(piece))));
    lacking.map(|piece| to.min((piece + 1) * piece_len) - from.max(piece * piece_len)).sum()
}

/// Bytes of a file that were written to: compressed ones count in full, holes and reserved room do not.
fn written(file: &File, len: u64) -> u64 {
    let (mut at, mut sum) = (0, 0);
    for _ in 0..STRETCHES_MAX {
        let Ok(Data::At(from)) = file.data_from(at) else { return sum };
        if from >= len {
            return sum;
        }
        at = file.hole_from(from).unwrap_or(len).clamp(from, len);
        sum += at - from;
        if at == from || at == len {
            return sum;
        }
    }
    sum + (len - at)
}

/// The folder, or the nearest one above it that exists.
fn existing(folder: &Path) -> Option<Dir> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find_map(|ancestor| Dir::open(ancestor).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::metainfo::{MetainfoBuilder, NewFile};

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
            if let Err(told) = said {
                assert!(told.starts_with("film.mkv has 4.0 GiB, and on the file system of /media/stick"));
            }
        }
    }

    fn prospect<'a>(metainfo: &'a Metainfo, priorities: &'a [Priority]) -> Prospect<'a> {
        Prospect { metainfo, priorities, root: Path::new(""), have: None }
    }

    #[test]
    fn what_is_on_disk_already_needs_no_room() {
        let temp = tempfile::tempdir().unwrap();
        let metainfo = MetainfoBuilder::single("a", 1 << 20, 1 << 20).build(&[[0; 20]]).unwrap().1;
        let mut room = Room::at(&temp.path().join("not there yet"));
        room.claim(prospect(&metainfo, &[])).unwrap();
        assert_eq!(room.claimed, 1 << 20);
        std::fs::write(temp.path().join("a.part"), vec![1; 1 << 20]).unwrap();
        std::fs::File::open(temp.path().join("a.part")).unwrap().sync_all().unwrap();
        let mut room = Room::at(temp.path());
        room.claim(prospect(&metainfo, &[])).unwrap();
        assert_eq!(room.claimed, 0);
        room.claim(prospect(&metainfo, &[Priority::Skip])).unwrap();
        assert_eq!(room.claimed, 0);
    }

    #[test]
    fn what_an_earlier_run_verified_needs_no_room_however_little_is_allocated() {
        let (temp, piece) = (tempfile::tempdir().unwrap(), 1u64 << 16);
        // Three files of two and a half pieces each.
        let files = ["x", "y", "z"].map(|name| NewFile { path: vec![name.into()], len: piece * 5 / 2 });
        let builder = MetainfoBuilder::directory("d", files.into(), piece as u32);
        let metainfo = builder.build(&[[0; 20]; 8]).unwrap().1;
        std::fs::create_dir(temp.path().join("d")).unwrap();
        // All there by length, and nothing of it allocated: as a file system shows it that compresses well.
        for name in ["d/x", "d/y.part"] {
            std::fs::File::create(temp.path().join(name)).unwrap().set_len(piece * 5 / 2).unwrap();
        }
        let claimed = |have: &[u32]| {
            let mut set = Bitfield::new(8);
            for &piece in have {
                set.insert(PieceIndex(piece));
            }
            let mut room = Room::at(temp.path());
            room.claim(Prospect { have: Some(&set), ..prospect(&metainfo, &[]) }).unwrap();
            room.claimed
        };
        let all = piece * 15 / 2;
        // Piece 2 is half in x and half in y, piece 7 all in z.
        for (have, expected) in [
            (&[][..], all),
            (&[0], all - piece),
            (&[0, 1], all - 2 * piece),
            (&[0, 1, 2], all - 3 * piece),
            (&[0, 1, 2, 3, 4], all - 5 * piece),
            // Of z there is no file, whatever the record says.
            (&[0, 1, 2, 3, 4, 5, 6, 7], piece * 5 / 2),
        ] {
            assert_eq!(claimed(have), expected, "{have:?}");
        }
    }

    #[test]
    fn of_a_file_that_nobody_vouches_for_what_was_written_counts_and_holes_do_not() {
        use std::os::unix::fs::FileExt;
        let temp = tempfile::tempdir().unwrap();
        let metainfo = MetainfoBuilder::single("a", 4 << 20, 1 << 20).build(&[[0; 20]; 4]).unwrap().1;
        let file = std::fs::File::create(temp.path().join("a")).unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[1; 1 << 20], 2 << 20).unwrap();
        file.sync_all().unwrap();
        let mut room = Room::at(temp.path());
        room.claim(prospect(&metainfo, &[])).unwrap();
        assert_eq!(room.claimed, 3 << 20);
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
            room.claim(prospect(&metainfo, &[])).unwrap();
        }
        let told = room.claim(prospect(&metainfo, &[])).unwrap_err();
        assert!(told.starts_with("huge needs ") && told.contains("--output"), "{told}");
    }
}

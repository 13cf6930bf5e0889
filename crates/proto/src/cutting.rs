//! How a share is cut into consecutive torrents, so that its first bytes can be fetched while its last ones are still being
//! hashed: small torrents first, then ever larger ones. Pure: files in, portions out, one at a time, however many there are.
//!
//! Knows lengths, not paths or content. What always holds: the portions cover every byte of every file once and in order; of
//! one file a portion has one range at most; a portion is never empty, is at most [`SLACK`] longer than its target, has at most
//! [`TORRENT_FILES_MAX`] files, and its `info` dictionary keeps to [`INFO_LEN_MAX`]. Files without bytes are in none: a torrent
//! of nothing is not possible, so they are named as empty folders are.

use wire::offer::{INFO_LEN_MAX, TORRENT_FILES_MAX};

const MIB: u64 = 1 << 20;

/// Bytes of the first portions; of all that follow, as of the last. 16 MiB are hashed within some tens of milliseconds, and a
/// gigabyte keeps a share of a terabyte at a thousand torrents.
pub const TARGETS: [u64; 4] = [16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB];

/// So much longer or shorter than its target a portion may be, lest a file's first or last bytes lie by themselves; a sixteenth of a
/// target that is less than 16 MiB.
pub const SLACK: u64 = MIB;

/// Pieces of a portion that is as long as its target, unless that makes them too small.
const PIECES: u64 = 1024;

/// Shortest pieces: shorter ones cost more messages than they gain on a local network.
const PIECE_LEN_MIN: u64 = 64 * 1024;

/// What an `info` dictionary holds beside its files: hashes of the most pieces, and the longest name of a share.
const INFO_REST: usize = 20 * (PIECES + SLACK / PIECE_LEN_MIN) as usize + 4 * 1024 + 200;

/// What a file costs there beside its path: `d6:lengthi...e4:pathl...ee` with a length of 19 digits.
const FILE_COST: usize = 50;

/// A file of a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct File {
    /// Bytes.
    pub len: u64,
    /// Bytes of its path as it is bencoded: of each element its length in digits, a colon, and itself.
    pub path_cost: usize,
}

/// A range of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// Which, counted from 0, the ones without bytes too.
    pub file: u64,
    /// Where it begins.
    pub offset: u64,
    /// Bytes; more than 0.
    pub len: u64,
}

/// What goes into one torrent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Portion {
    /// Its content, in the order of the files.
    pub ranges: Vec<Range>,
    /// Bytes of all of them.
    pub len: u64,
    /// Bytes of its pieces: a power of two, 64 KiB to 1 MiB.
    pub piece_len: u32,
}

/// The portions of these files, one after another.
#[derive(Clone, Debug)]
pub struct Cutter<I> {
    files: I,
    targets: [u64; 4],
    /// The file of which something is left, or may be: its number, and how much of it is cut.
    open: Option<(File, u64, u64)>,
    /// Files that were looked at.
    seen: u64,
    portions: usize,
}

impl<I: Iterator<Item = File>> Cutter<I> {
    /// Cuts these files, in this order.
    pub fn new(files: impl IntoIterator<IntoIter = I>) -> Cutter<I> {
        Cutter::with_targets(files, TARGETS)
    }

    /// Cuts them into portions of other lengths than [`TARGETS`]; each more than 0 and at most 2^40.
    pub fn with_targets(files: impl IntoIterator<IntoIter = I>, targets: [u64; 4]) -> Cutter<I> {
        Cutter { files: files.into_iter(), targets, open: None, seen: 0, portions: 0 }
    }

    /// The file that is next to be cut, its number, and how much of it is cut already.
    fn open(&mut self) -> Option<(File, u64, u64)> {
        while self.open.is_none_or(|(file, _, cut)| cut >= file.len) {
            self.open = Some((self.files.next()?, self.seen, 0));
            self.seen += 1;
        }
        self.open
    }
}

impl<I: Iterator<Item = File>> Iterator for Cutter<I> {
    type Item = Portion;

    fn next(&mut self) -> Option<Portion> {
        let [.., last] = self.targets;
        let target = self.targets.get(self.portions).copied().unwrap_or(last);
        let slack = SLACK.min(target / 16);
        let piece_len = (target / PIECES).max(PIECE_LEN_MIN) as u32;
        let (mut portion, mut info_len) = (Portion { ranges: Vec::new(), len: 0, piece_len }, INFO_REST);
        while let Some((file, number, cut)) = self.open() {
            info_len = info_len.saturating_add(FILE_COST).saturating_add(file.path_cost);
            let full = portion.ranges.len() >= TORRENT_FILES_MAX as usize
                || info_len > INFO_LEN_MAX
                || portion.len + slack > target;
            // Whatever a file's path is, it goes somewhere.
            if full && !portion.ranges.is_empty() {
                break;
            }
            let (rest, room) = (file.len - cut, target - portion.len);
            let len = if rest <= room + slack { rest } else { room };
            portion.ranges.push(Range { file: number, offset: cut, len });
            portion.len += len;
            self.open = Some((file, number, cut + len));
        }
        self.portions += 1;
        (!portion.ranges.is_empty()).then_some(portion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Rng, Seed};
    use wire::metainfo::{MetainfoBuilder, NewFile};

    /// The portions of files of these lengths, as (file, offset, length) in each.
    fn cut(lens: &[u64]) -> Vec<Vec<(u64, u64, u64)>> {
        let files = lens.iter().map(|&len| File { len, path_cost: 10 });
        let ranges = |portion: Portion| {
            assert_eq!(portion.len, portion.ranges.iter().map(|range| range.len).sum::<u64>());
            portion.ranges.iter().map(|range| (range.file, range.offset, range.len)).collect()
        };
        Cutter::new(files).map(ranges).collect()
    }

    #[test]
    fn portions_grow_and_a_large_file_lies_in_several() {
        let huge = 4000 * MIB;
        let portions = cut(&[huge]);
        let sizes: Vec<u64> = portions.iter().map(|ranges| ranges[0].2 / MIB).collect();
        assert_eq!(sizes, [16, 64, 256, 1024, 1024, 1024, 592]);
        assert_eq!(portions[3], [(0, 336 * MIB, 1024 * MIB)]);
    }

    #[test]
    fn small_files_go_together_and_no_crumb_lies_by_itself() {
        for (lens, expected) in [
            (&[][..], vec![]),
            (&[0, 0], vec![]),
            (&[0, 5, 0], vec![vec![(1, 0, 5)]]),
            (&[5, 7, 9], vec![vec![(0, 0, 5), (1, 0, 7), (2, 0, 9)]]),
            // Its last bytes stay with it.
            (&[17 * MIB], vec![vec![(0, 0, 17 * MIB)]]),
            (&[17 * MIB + 1], vec![vec![(0, 0, 16 * MIB)], vec![(0, 16 * MIB, MIB + 1)]]),
            // Where there is no room for more than its first bytes, a file begins the next portion.
            (&[15 * MIB + 1, 30 * MIB], vec![vec![(0, 0, 15 * MIB + 1)], vec![(1, 0, 30 * MIB)]]),
            (&[15 * MIB, 30 * MIB], vec![vec![(0, 0, 15 * MIB), (1, 0, MIB)], vec![(1, MIB, 29 * MIB)]]),
        ] {
            assert_eq!(cut(lens), expected, "{lens:?}");
        }
    }

    #[test]
    fn whatever_the_files_every_byte_is_in_one_portion_and_every_bound_holds() {
        let mut rng = Rng::new(Seed(11));
        for round in 0..200 {
            let files: Vec<File> = (0..rng.below(5000))
                .map(|_| File {
                    len: u64::from(rng.next_u32()) >> rng.below(33),
                    path_cost: rng.below(600) as usize,
                })
                .collect();
            let mut done = vec![0; files.len()];
            for (number, portion) in Cutter::new(files.iter().copied()).enumerate() {
                let target = TARGETS[number.min(TARGETS.len() - 1)];
                assert!(portion.len <= target + SLACK && !portion.ranges.is_empty(), "round {round}");
                assert!(portion.ranges.len() <= TORRENT_FILES_MAX as usize, "round {round}");
                assert!(
                    portion.piece_len.is_power_of_two()
                        && portion.len.div_ceil(portion.piece_len.into()) <= 1040
                );
                assert!(portion.ranges.windows(2).all(|pair| pair[0].file < pair[1].file), "round {round}");
                for range in portion.ranges {
                    assert!(range.len > 0 && done[range.file as usize] == range.offset, "round {round}");
                    done[range.file as usize] += range.len;
                }
            }
            assert!(done.iter().zip(&files).all(|(done, file)| *done == file.len), "round {round}");
        }
    }

    #[test]
    fn the_description_of_the_fullest_portion_is_short_enough() {
        let name = |n: u32| format!("{n:0>200}");
        let file = |n: u32| File { len: MIB + 512 * 1024, path_cost: name(n).len() + 4 };
        let portions: Vec<Portion> = Cutter::new((0..3000).map(file)).collect();
        assert!(portions.iter().any(|portion| portion.ranges.len() > 500));
        for portion in portions {
            let new = |range: &Range| NewFile { path: vec![name(range.file as u32)], len: range.len };
            let files = portion.ranges.iter().map(new).collect();
            let builder = MetainfoBuilder::directory("n".repeat(240), files, portion.piece_len);
            let pieces = portion.len.div_ceil(portion.piece_len.into()) as usize;
            let (_, metainfo) = builder.build(&vec![[1; 20]; pieces]).unwrap();
            assert!(metainfo.info().len() <= INFO_LEN_MAX, "{}", metainfo.info().len());
        }
    }
}

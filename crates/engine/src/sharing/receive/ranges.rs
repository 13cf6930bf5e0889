//! Which large files are here in full, of those that lie in several torrents. Pure.

use std::collections::BTreeMap;
use wire::SafePath;

/// The files of which something is here: by their paths, the ranges that are, by their beginnings, none touching another.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    files: BTreeMap<SafePath, BTreeMap<u64, u64>>,
}

impl Ranges {
    /// A range of a file of `whole` bytes is here. Whether the file is, by this one.
    pub(super) fn add(&mut self, path: &SafePath, offset: u64, len: u64, whole: u64) -> bool {
        let ranges = self.files.entry(path.clone()).or_default();
        let (mut start, mut end) = (offset, offset.saturating_add(len));
        if let Some((&before, &ends)) = ranges.range(..=start).next_back()
            && ends >= start
        {
            (start, end) = (before, end.max(ends));
        }
        while let Some((&next, &ends)) = ranges.range(start..=end).next() {
            end = end.max(ends);
            ranges.remove(&next);
        }
        ranges.insert(start, end);
        let is_whole = start == 0 && end >= whole;
        if is_whole {
            self.files.remove(path);
        }
        is_whole
    }

    /// The files that are not whole, from now on forgotten.
    pub(super) fn take_unfinished(&mut self) -> impl Iterator<Item = SafePath> {
        std::mem::take(&mut self.files).into_keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_with_its_last_range_in_whatever_order_they_come() {
        let (one, other) = (SafePath::from_name(b"one"), SafePath::from_name(b"other"));
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [1, 3, 0, 2], [2, 0, 3, 1]] {
            let mut ranges = Ranges::default();
            let cuts = [(0, 16), (16, 64), (80, 20), (100, 1)];
            let whole: Vec<bool> = order
                .map(|index| {
                    let (offset, len) = cuts[index];
                    assert!(!ranges.add(&other, offset, len, 1000));
                    ranges.add(&one, offset, len, 101)
                })
                .into();
            assert_eq!(whole, [false, false, false, true], "{order:?}");
        }
    }

    #[test]
    fn ranges_that_are_told_twice_or_overlap_count_once() {
        let path = SafePath::from_name(b"one");
        let mut ranges = Ranges::default();
        for (offset, len, expected) in
            [(10, 10, false), (10, 10, false), (5, 10, false), (21, 9, false), (0, 5, false), (18, 4, true)]
        {
            assert_eq!(ranges.add(&path, offset, len, 30), expected, "{offset}");
        }
    }
}

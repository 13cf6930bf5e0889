//! Which files of a torrent a link selects: numbers and ranges. BEP: 53
//!
//! Invariant: ranges are in order, do not touch, and there are at most [`SELECTED_RANGES_MAX`] of them.

use core::fmt;

use crate::FileIndex;
use crate::layout::FILES_MAX;

/// Most ranges of one selection: a link of 32 KiB has room for a few thousand, and nobody picks that many by hand.
pub const SELECTED_RANGES_MAX: usize = 1_000;

/// A set of files by number, as ranges. The numbers are a stranger's: a torrent may have fewer files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSelection {
    /// First and last of each.
    ranges: Vec<(u32, u32)>,
}

impl FileSelection {
    /// Reads `0,2,4-6`; `None` if it is anything else, empty, too long, or names a file that no torrent can have.
    pub fn parse(text: &str) -> Option<FileSelection> {
        let mut ranges = Vec::new();
        for part in text.split(',') {
            if ranges.len() == SELECTED_RANGES_MAX {
                return None;
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            ranges.push((first <= last).then_some((first, last))?);
        }
        Some(FileSelection::merged(ranges))
    }

    /// Both selections together; `None` if there are too many ranges.
    pub fn and(self, other: FileSelection) -> Option<FileSelection> {
        let ranges = [self.ranges, other.ranges].concat();
        (ranges.len() <= SELECTED_RANGES_MAX).then(|| FileSelection::merged(ranges))
    }

    /// Whether this file is selected.
    pub fn has(&self, file: FileIndex) -> bool {
        let behind = self.ranges.partition_point(|&(first, _)| first <= file.0);
        behind.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|&(_, last)| file.0 <= last)
    }

    /// The ranges, first and last of each, in order.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    fn merged(mut ranges: Vec<(u32, u32)>) -> FileSelection {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                Some(_) | None => merged.push((first, last)),
            }
        }
        FileSelection { ranges: merged }
    }
}

impl fmt::Display for FileSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match first == last {
                true => write!(f, "{first}")?,
                false => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.then(|| text.parse().ok()).flatten()?;
    ((number as usize) < FILES_MAX).then_some(number)
}

//! The bytes of a torrent that is lent: ranges of files that are somebody's own, wherever they lie, and that he shares as they are.
//!
//! Reads, and does nothing else: nothing is written, made, renamed or removed, and nothing of it is remembered in the state
//! store. Shared by all disk threads, without a lock.
//! Always:
//! * a file is read only as it was when it was hashed: its length and its times are looked at when it is opened, and
//!   again after every read, so that no byte leaves here that was changed before it was read;
//! * no link is followed: whoever puts one into a path after it was listed gets nothing read through it;
//! * no file stays open beyond what `handles` allows.

use super::handles::{HandleKey, Handles};
use super::spec::LentSpec;
use super::storage::next_number;
use super::trouble::{fault, trouble};
use crate::hashing::HashRange;
use os::fault::Fault;
use os::fs::File;
use proto::{DiskError, DiskErrorKind};
use std::io;
use std::sync::Arc;
use wire::FileIndex;

/// One torrent's lent files.
pub(crate) struct Lent {
    spec: Arc<LentSpec>,
    handles: Arc<Handles>,
    /// Names it among the handles.
    number: u64,
}

impl Lent {
    /// Looks at all files: they must be as they were.
    pub(crate) fn open(spec: Arc<LentSpec>, handles: Arc<Handles>) -> Result<Lent, DiskError> {
        let lent = Lent { spec, handles, number: next_number() };
        for (_, range) in lent.spec.ranges() {
            let stat = range.stat().map_err(|error| unreadable(&error, range))?;
            if !range.is_as_it_was(&stat) {
                return Err(changed(range));
            }
        }
        Ok(lent)
    }

    /// What it was opened with.
    pub(crate) fn spec(&self) -> &LentSpec {
        &self.spec
    }

    /// Reads consecutive bytes of the content, from `at` on, each from its file.
    pub(crate) fn get(&self, at: u64, buf: &mut [u8]) -> Result<(), DiskError> {
        let mut rest = buf;
        for slice in self.spec.metainfo.layout.file_slices(at..at + rest.len() as u64) {
            let Some((now, later)) = rest.split_at_mut_checked(slice.len as usize) else { break };
            rest = later;
            let Some(range) = self.spec.range(slice.file) else { break };
            let handle = self.open_file(slice.file, range)?;
            let read = handle.read_exact_at(now, range.offset + slice.offset);
            let stat = read.and_then(|()| handle.stat()).map_err(|error| unreadable(&error, range))?;
            if !range.is_as_it_was(&stat) {
                return Err(changed(range));
            }
        }
        Ok(())
    }

    /// Closes the files.
    pub(crate) fn close(&self) {
        self.handles.forget(self.number);
    }

    /// What is said when its bytes are not those that were hashed, although its files look as they did.
    pub(crate) fn spoiled(&self) -> DiskError {
        let name = &self.spec.metainfo.name.safe;
        let detail = format!(
            "what is shared as {name} is not what it was, though nobody seems to have written to it: share it again, and check the drive"
        );
        fault(DiskErrorKind::Changed, detail)
    }

    fn open_file(&self, file: FileIndex, range: &HashRange) -> Result<Arc<File>, DiskError> {
        let key = HandleKey { storage: self.number, file: file.0, writes: false };
        let mut other = false;
        let handle = self.handles.get(key, || {
            let opened = range.open()?;
            other = !range.is_as_it_was(&opened.stat()?);
            if other { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(opened) }
        });
        handle.map_err(|error| if other { changed(range) } else { unreadable(&error, range) })
    }
}

impl Drop for Lent {
    /// Whatever ended it: no file stays open, so that its drive can be unmounted.
    fn drop(&mut self) {
        self.close();
    }
}

fn changed(range: &HashRange) -> DiskError {
    let detail = format!(
        "{} was changed since it was shared, so that no more of it can be sent: share it again",
        range.path.display()
    );
    fault(DiskErrorKind::Changed, detail)
}

fn unreadable(error: &io::Error, range: &HashRange) -> DiskError {
    match Fault::of(error) {
        Fault::Short | Fault::InTheWay => changed(range),
        Fault::Absent => {
            let detail = format!(
                "{} was moved or deleted since it was shared: put it back as it was, or share it again",
                range.path.display()
            );
            fault(DiskErrorKind::Changed, detail)
        }
        Fault::Full
        | Fault::Quota
        | Fault::TooLarge
        | Fault::ReadOnly
        | Fault::Denied
        | Fault::Unsupported
        | Fault::TooManyOpen
        | Fault::Gone
        | Fault::Device => trouble(error, "reading", &range.path),
    }
}

#[cfg(test)]
mod tests;

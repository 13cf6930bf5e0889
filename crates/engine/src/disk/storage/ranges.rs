//! Files of which the torrent has a range, and other torrents of this client the rest.
//!
//! They come and go under others' hands: another torrent may have made one, and may be writing beside us; whoever knows of all
//! ranges gives it its name, at a time of his own. So:
//! * bytes beside the range are neither read nor written, and the file is never renamed here;
//! * what is known of one is its inode: under whichever of its two names that one lies it is ours, and nothing else is;
//! * a range in which nothing lies is as good as a file that is absent: whoever made room for it, no byte of anybody's is lost
//!   when unverified ones are written there. In one with something in it only verified bytes replace what was there before us;
//! * a sync vouches for the range only if the file is still to be found: the next torrent would make another one.

use super::{Book, FileEntry, Home, Storage};
use crate::disk::trouble::fault;
use os::fs::{Access, Data, File, Stat};
use proto::{DiskError, DiskErrorKind};
use std::io;
use std::path::Path;
use std::sync::Arc;
use wire::FileIndex;

/// Bytes at either end of a range that may lie in a block of the file system's which others have written to: two of ZFS's and btrfs's
/// largest by default.
const EDGE_LEN: u64 = 256 * 1024;

impl Storage {
    /// Whether other torrents have the rest of this file.
    pub(super) fn is_range(&self, file: FileIndex) -> bool {
        self.spec.place(file).is_some()
    }

    /// Another torrent has made the file since we looked, or it was there and had nothing in our range.
    pub(super) fn join(&self, book: &mut Book, file: FileIndex, path: &Path) -> Result<Arc<File>, DiskError> {
        let handle = self.open_handle(file, path, Access::Write, || self.root.file(path, Access::Write))?;
        let looked = handle.stat().and_then(|stat| Ok((stat, self.bytes_before_us(file, &handle, &stat)?)));
        let (stat, adopted) = looked.map_err(|error| self.trouble_at(&error, "looking at", path))?;
        let (whole, _) = self.spec.whole_and_offset(file);
        if stat.size > whole {
            let detail = format!(
                "{} has {} bytes where the shared file has {whole}: it is another file and is left alone; move it away, or choose another directory",
                self.show(path),
                stat.size
            );
            return Err(fault(DiskErrorKind::Denied, detail));
        }
        let entry = &mut book.files[file.as_usize()];
        (entry.home, entry.adopted, entry.inode) = (Home::Unfinished, adopted, stat.inode);
        self.note_found(book, path);
        Ok(handle)
    }

    /// A file that others made: its name, and those of its directories, may not be durable yet.
    pub(super) fn note_found(&self, book: &mut Book, path: &Path) {
        let parent = path.parent().unwrap_or(Path::new(""));
        book.dirty.dirs.extend(parent.ancestors().map(Path::to_owned));
    }

    /// Opens it under whichever of its names it has.
    pub(super) fn open_range(&self, file: FileIndex, entry: FileEntry, access: Access) -> io::Result<File> {
        for home in [entry.home, Home::Finished] {
            match self.root.file(&self.path_of(file, home), access) {
                Ok(opened) if opened.stat()?.inode == entry.inode => return Ok(opened),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// What it looks like under whichever of its names it has.
    pub(super) fn stat_range(&self, file: FileIndex, inode: u64) -> io::Result<Stat> {
        for home in [Home::Unfinished, Home::Finished] {
            match self.root.stat(&self.path_of(file, home)) {
                Ok(stat) if stat.inode == inode => return Ok(stat),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// How many bytes of our range, from its beginning, may be somebody's.
    fn bytes_before_us(&self, file: FileIndex, handle: &File, stat: &Stat) -> io::Result<u64> {
        let ((_, from), len) = (self.spec.whole_and_offset(file), self.spec.metainfo.layout.extent(file).len);
        let to = stat.size.min(from + len);
        Ok(if is_blank(handle, from, to)? { 0 } else { to - from })
    }
}

/// Whether there is nothing but room between these two bytes of a file. What is first and last in it may share a block of the file
/// system's with what others wrote beside it, so that there zeros count as nothing: nobody could miss them.
pub(super) fn is_blank(file: &File, from: u64, to: u64) -> io::Result<bool> {
    if from >= to {
        return Ok(true);
    }
    let inner = (from + EDGE_LEN).min(to);
    let behind = to.saturating_sub(EDGE_LEN).max(inner);
    let nothing_between = match file.data_from(inner)? {
        Data::At(at) => at >= behind,
        Data::None => true,
    };
    Ok(nothing_between && is_zero(file, from, inner)? && is_zero(file, behind, to)?)
}

fn is_zero(file: &File, from: u64, to: u64) -> io::Result<bool> {
    let mut bytes = vec![0; (to - from) as usize];
    let read = file.read_at(&mut bytes, from)?;
    Ok(bytes[..read].iter().all(|&byte| byte == 0))
}

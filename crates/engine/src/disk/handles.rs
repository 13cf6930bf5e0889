//! Open files, shared by all torrents and bounded: the least recently used is closed to make room.
//!
//! Knows no torrent, only keys. A handle that is closed here stays open for whoever still holds it.

use os::fs::File;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Names a file of a storage, and whether the handle can write.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct HandleKey {
    /// Which storage.
    pub(crate) storage: u64,
    /// Which of its files.
    pub(crate) file: u32,
    /// Opened for writing too.
    pub(crate) writes: bool,
}

/// The open files.
#[derive(Debug)]
pub(crate) struct Handles {
    table: Mutex<Table>,
    max: usize,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<HandleKey, (Arc<File>, u64)>,
    /// Keys by when they were last used.
    order: BTreeMap<u64, HandleKey>,
    clock: u64,
}

impl Handles {
    /// At most this many files are held open.
    pub(crate) fn new(max: usize) -> Handles {
        Handles { table: Mutex::default(), max: max.max(1) }
    }

    /// The handle of this key; opened if it is not open.
    pub(crate) fn get(
        &self,
        key: HandleKey,
        open: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<Arc<File>> {
        if let Some(file) = self.touch(key) {
            return Ok(file);
        }
        // Opened without the lock: a slow file system must not hold up the others. Two may open the same; one is dropped.
        let file = Arc::new(open()?);
        let mut table = self.lock();
        table.clock += 1;
        let now = table.clock;
        if let Some((_, before)) = table.open.insert(key, (Arc::clone(&file), now)) {
            table.order.remove(&before);
        }
        table.order.insert(now, key);
        while table.open.len() > self.max {
            let Some((_, oldest)) = table.order.pop_first() else { break };
            table.open.remove(&oldest);
        }
        Ok(file)
    }

    /// Closes all files of a storage.
    pub(crate) fn forget(&self, storage: u64) {
        let mut table = self.lock();
        table.open.retain(|key, _| key.storage != storage);
        table.order.retain(|_, key| key.storage != storage);
    }

    fn touch(&self, key: HandleKey) -> Option<Arc<File>> {
        let mut table = self.lock();
        table.clock += 1;
        let now = table.clock;
        let (file, used) = table.open.get_mut(&key)?;
        let (file, before) = (Arc::clone(file), std::mem::replace(used, now));
        table.order.remove(&before);
        table.order.insert(now, key);
        Some(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use os::fs::{Access, Dir};
    use std::path::Path;

    #[test]
    fn the_least_recently_used_file_is_closed() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open(temp.path()).unwrap();
        let handles = Handles::new(2);
        let key = |file| HandleKey { storage: 1, file, writes: false };
        let mut opened = Vec::new();
        for file in [0, 1, 0, 2, 0, 1] {
            let open = || {
                opened.push(file);
                let name = format!("{file}-{}", opened.len());
                dir.file(Path::new(&name), Access::Create)
            };
            handles.get(key(file), open).unwrap();
        }
        assert_eq!(opened, [0, 1, 2, 1]);
        handles.forget(1);
        assert!(handles.touch(key(0)).is_none());
    }
}

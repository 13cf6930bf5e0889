//! Writes a session's trace to a file while the session works, by a thread of its own: the loop never waits for that disk.
//!
//! Bounded: what waits to be written, and the file. When either is full the recording ends with a word, and the session goes on. A
//! recording names peers, trackers and torrents, so nobody but its owner may read it; it holds no payload.

use proto::Instant;
use proto::trace::{End, Head, MAGIC, TraceWriter};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that are gathered before they are handed on.
const CHUNK_LEN_MIN: usize = 64 * 1024;

/// Or this long: a crash costs no more of a recording.
const CHUNK_AGE_MAX: Duration = Duration::from_secs(1);

/// Bytes that may wait for the disk: ten seconds of a download of 10 Gbit/s, and longer than a disk hiccups.
const WAITING_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of a recording: some 1 TB of content. Whoever replays it has it in memory.
const FILE_LEN_MAX: u64 = 1024 * 1024 * 1024;

/// Where a trace goes while it grows.
pub(super) struct Recorder {
    pub(super) trace: TraceWriter,
    /// To the thread; nothing when no more goes there.
    chunks: Option<Sender<Vec<u8>>>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
    /// Bytes handed on so far.
    len: u64,
    saved_at: Instant,
    limits: Limits,
}

/// What the thread tells the loop.
#[derive(Default)]
struct Progress {
    /// Bytes handed on and not yet written.
    waiting: AtomicU64,
    /// The file takes no more.
    failed: AtomicBool,
}

/// See the constants.
#[derive(Clone, Copy)]
struct Limits {
    waiting: u64,
    file: u64,
}

impl Recorder {
    /// Begins a recording in a file of [`create`].
    pub(super) fn new(head: &Head, file: File) -> io::Result<Recorder> {
        Recorder::start(head, file, Limits { waiting: WAITING_MAX, file: FILE_LEN_MAX })
    }

    fn start(head: &Head, file: impl Write + Send + 'static, limits: Limits) -> io::Result<Recorder> {
        let progress = Arc::new(Progress::default());
        let (chunks, received) = channel();
        let of_thread = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("gannet-record".into());
        let thread = thread.spawn(move || write(file, &received, &of_thread))?;
        Ok(Recorder {
            trace: TraceWriter::new(head),
            chunks: Some(chunks),
            progress,
            thread: Some(thread),
            len: 0,
            saved_at: head.start,
            limits,
        })
    }

    /// Hands on what was recorded, if it is much or old. Says whether the recording goes on.
    pub(super) fn save(&mut self, now: Instant) -> bool {
        let pending = self.trace.pending();
        if pending < CHUNK_LEN_MIN && (pending == 0 || now.since(self.saved_at) < CHUNK_AGE_MAX) {
            return true;
        }
        self.saved_at = now;
        if self.progress.failed.load(Ordering::Relaxed) {
            self.chunks = None;
            return false;
        }
        let after = self.progress.waiting.load(Ordering::Relaxed) + pending as u64;
        let end = if after > self.limits.waiting {
            Some(("the recording ends: the disk does not keep up with what happens", End::Behind))
        } else if self.len + pending as u64 > self.limits.file {
            Some(("the recording ends: it is as large as one may be", End::Full))
        } else {
            None
        };
        if let Some((word, why)) = end {
            tracing::warn!("{word}; everything else goes on");
            self.trace.end(why);
        }
        self.hand_on();
        if end.is_some() {
            self.chunks = None;
        }
        end.is_none()
    }

    fn hand_on(&mut self) {
        let chunk = self.trace.take();
        self.len += chunk.len() as u64;
        self.progress.waiting.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        if let Some(chunks) = &self.chunks {
            // A thread that is gone has said why.
            let _ = chunks.send(chunk);
        }
    }
}

/// A recording that was not ended before ends with its session, and is in the file then. One that was is left to its thread: the
/// session is not to wait for a disk that could not keep up.
impl Drop for Recorder {
    fn drop(&mut self) {
        if self.chunks.is_some() {
            self.trace.end(End::Closed);
            self.hand_on();
            self.chunks = None;
            if let Some(thread) = self.thread.take() {
                // It does nothing that could panic.
                let _ = thread.join();
            }
        }
    }
}

/// Writes what comes until nothing does.
fn write(mut file: impl Write, chunks: &Receiver<Vec<u8>>, progress: &Progress) {
    for chunk in chunks {
        if let Err(error) = file.write_all(&chunk) {
            tracing::warn!(%error, "the recording ends, and everything else goes on");
            progress.failed.store(true, Ordering::Relaxed);
            return;
        }
        progress.waiting.fetch_sub(chunk.len() as u64, Ordering::Relaxed);
    }
}

/// A file that is ours alone to read. One that was there must be a recording; it keeps its owner and loses what it held, and others
/// that could read it can no longer.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    if let Ok(found) = std::fs::metadata(path) {
        if !found.is_file() {
            return refuse("it is no file");
        }
        let mut start = [0; MAGIC.len()];
        if found.len() > 0 && (File::open(path)?.read_exact(&mut start).is_err() || start != MAGIC) {
            return refuse("it is there, and is no recording");
        }
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests;

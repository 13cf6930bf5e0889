//! The session, and whoever listens in: with recording on, everything that happens to it goes to a file before it happens.

use proto::trace::{Head, TraceWriter};
use proto::{Config, Input, Instant, Outbox, Seed, Session};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are gathered before they are written to the file.
const RECORD_LEN_MIN: usize = 64 * 1024;

/// A session that can be recorded.
pub(super) struct Machine {
    pub(super) session: Session,
    recorder: Option<Recorder>,
}

struct Recorder {
    trace: TraceWriter,
    pending: Vec<u8>,
    file: File,
}

impl Machine {
    /// A new session; recorded, if there is a file to record to.
    pub(super) fn new(
        config: Arc<Config>,
        seed: Seed,
        now: Instant,
        record: Option<&Path>,
    ) -> io::Result<Machine> {
        let recorder = match record {
            Some(path) => {
                let trace = TraceWriter::new(&Head { config: Config::clone(&config), seed, start: now });
                Some(Recorder { trace, pending: Vec::new(), file: create_private(path)? })
            }
            None => None,
        };
        Ok(Machine { session: Session::new(config, seed, now), recorder })
    }

    /// One thing happened.
    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) {
        if let Some(recorder) = &mut self.recorder {
            recorder.trace.record(now, &input);
        }
        self.session.handle(now, input, out);
    }

    /// Writes out what was recorded, if it is much. A file that takes no more ends the recording, not the client.
    pub(super) fn save_record(&mut self) {
        if let Some(recorder) = &mut self.recorder
            && let Err(error) = recorder.save(RECORD_LEN_MIN)
        {
            tracing::error!(%error, "recording ends");
            self.recorder = None;
        }
    }
}

/// A file that is ours alone to read: a recording holds names, and addresses of others. One that was there keeps its owner and loses
/// what it held; others that could read it can no longer.
fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::PermissionsExt;
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

impl Recorder {
    fn save(&mut self, least: usize) -> io::Result<()> {
        self.pending.append(&mut self.trace.take());
        if self.pending.len() >= least {
            self.file.write_all(&self.pending)?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(error) = self.save(0) {
            tracing::error!(%error, "the end of the recording is lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_recording_is_for_its_owner_alone_even_where_a_file_was() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("recording");
        for _ in 0..2 {
            create_private(&path).unwrap().write_all(b"names").unwrap();
            let found = std::fs::metadata(&path).unwrap();
            assert_eq!((found.permissions().mode() & 0o777, found.len()), (0o600, 5));
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}

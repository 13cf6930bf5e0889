//! The session, and whoever listens in: with recording on, everything that happens to it is written down before it happens, and
//! what it says to that goes into a digest.

use super::recorder::Recorder;
use proto::trace::Head;
use proto::{Config, Input, Instant, Outbox, Seed, Session};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A session that can be recorded.
pub(super) struct Machine {
    pub(super) session: Session,
    recorder: Option<Recorder>,
}

impl Machine {
    /// A new session; recorded, if there is a file for it.
    pub(super) fn new(
        config: Arc<Config>,
        seed: Seed,
        now: Instant,
        record: Option<File>,
    ) -> io::Result<Machine> {
        let head = || Head { config: Config::clone(&config), seed, start: now };
        let recorder = record.map(|file| Recorder::new(&head(), file)).transpose()?;
        Ok(Machine { session: Session::new(config, seed, now), recorder })
    }

    /// One thing happened. The outbox is empty.
    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) {
        let Some(recorder) = &mut self.recorder else { return self.session.handle(now, input, out) };
        recorder.trace.record(now, &input);
        self.session.handle(now, input, out);
        recorder.trace.said(now, out);
    }

    /// Hands on what was recorded, if it is time. A disk that does not keep up ends the recording, not the client.
    pub(super) fn save_record(&mut self, now: Instant) {
        if self.recorder.as_mut().is_some_and(|recorder| !recorder.save(now)) {
            self.recorder = None;
        }
    }
}

//! What the library warns of while it works: a damaged state file that was moved aside, a file that cannot be renamed.
//! Kept until the screen has a line for it, so that no warning tears a panel apart.

use std::fmt::{Debug, Write as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use wire::DisplaySafe;

/// Warnings kept at once; the loop takes them several times a second, and who has this many needs no more.
const NOTICES_MAX: usize = 64;

/// Listens from now on. Once per process.
pub(crate) fn listen() -> Receiver<String> {
    let (sender, notices) = sync_channel(NOTICES_MAX);
    // Somebody else who listens hears them instead.
    let _ = tracing::subscriber::set_global_default(Listener(sender));
    notices
}

struct Listener(SyncSender<String>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = ["gannet", "tracker::"].iter().any(|crate_| metadata.target().starts_with(crate_));
        metadata.is_event() && *metadata.level() <= Level::WARN && ours
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        // Paths and errors may have what strangers wrote in them.
        let _ = self.0.try_send(DisplaySafe::new(words.message + &words.error).to_string());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Of an event what a person understands; the rest is for developers.
#[derive(Default)]
struct Words {
    message: String,
    error: String,
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a `String` does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "error" => write!(self.error, ": {value:?}"),
            _ => Ok(()),
        };
    }
}

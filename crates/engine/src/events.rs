//! What happens, told to whoever listens: each listener has a bounded box of its own, so that none can hold up the loop or another.

use crate::mailbox::{Mailbox, RecvError};
use proto::Event;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Events kept for a listener that does not look: a quarter of the pieces of the largest torrent, some 20 MiB.
pub const EVENTS_MAX: usize = 1 << 19;

/// The events from the moment of subscribing on, in order. Usable with any async runtime and with none.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let client = gannet::Client::start(gannet::ClientConfig::new("state", "downloads"))?;
/// let events = client.events();
/// while let Ok(event) = events.recv_timeout(std::time::Duration::from_secs(60)) {
///     if let gannet::Event::Finished(torrent) = event {
///         println!("{torrent:?} is complete");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events(Arc<Mailbox<Event>>);

impl Events {
    /// The next event; `None` once the client has stopped.
    pub async fn next(&self) -> Option<Event> {
        poll_fn(|cx| self.0.poll_take(cx)).await.ok()
    }

    /// The next event; blocks the thread. Fails once the client has stopped.
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.0.take(None)
    }

    /// The next event, if it comes in time; blocks the thread.
    pub fn recv_timeout(&self, patience: Duration) -> Result<Event, RecvError> {
        self.0.take(Some(patience))
    }

    /// The next event, if it is here.
    pub fn try_recv(&self) -> Result<Event, RecvError> {
        self.0.try_take()
    }

    /// How many events were lost because nobody looked: the oldest go first, above [`EVENTS_MAX`].
    pub fn missed(&self) -> u64 {
        self.0.missed()
    }
}

/// Where the loop announces events.
#[derive(Debug, Default)]
pub(crate) struct EventHub {
    listeners: Mutex<Vec<Weak<Mailbox<Event>>>>,
}

impl EventHub {
    /// A new listener.
    pub(crate) fn subscribe(&self) -> Events {
        let mailbox = Mailbox::new(EVENTS_MAX);
        self.lock().push(Arc::downgrade(&mailbox));
        Events(mailbox)
    }

    /// Tells every listener; forgets those that left.
    pub(crate) fn announce(&self, event: &Event) {
        self.lock().retain(|listener| match listener.upgrade() {
            Some(mailbox) => {
                mailbox.put(event.clone());
                true
            }
            None => false,
        });
    }

    /// Nothing will happen any more.
    pub(crate) fn close(&self) {
        self.lock().drain(..).filter_map(|listener| listener.upgrade()).for_each(|mailbox| mailbox.close());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Mailbox<Event>>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

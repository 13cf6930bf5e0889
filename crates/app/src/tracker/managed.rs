//! Under a service manager: it is told when the tracker answers, reads its settings again, and ends, and how it goes.

use os::supervisor::{State, Supervisor, VARIABLE};

/// Who runs this, if anybody does who wants to hear from it.
pub(super) struct Managed(Option<Supervisor>);

impl Managed {
    /// As the environment says.
    pub(super) fn of_environment() -> Managed {
        let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        Managed(named.and_then(|name| {
            let manager = Supervisor::at(&name);
            manager.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told")).ok()
        }))
    }

    /// Whether there is somebody who shows how it goes: then it is not for the log.
    pub(super) fn is_managed(&self) -> bool {
        self.0.is_some()
    }

    /// Tells it, if it listens: a manager that does not is its own affair.
    pub(super) fn tell(&self, state: State<'_>) {
        if let Some(manager) = &self.0
            && let Err(error) = manager.tell(state)
        {
            tracing::debug!(%error, ?state, "the service manager was not told");
        }
    }
}

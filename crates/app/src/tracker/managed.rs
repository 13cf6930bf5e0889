//! Under a service manager: it is told when the tracker answers, reads its settings again, and ends, and how it goes.
//!
//! Invariant: a manager that waits for the tracker to answer is told so again until it was told.

use os::supervisor::{State, Supervisor, VARIABLE};

/// Who runs this, if anybody does who wants to hear from it.
pub(super) struct Managed {
    manager: Option<Supervisor>,
    /// That visitors are answered could not be told yet: others have filled the manager's queue.
    is_ready_untold: bool,
}

impl Managed {
    /// As the environment says.
    pub(super) fn of_environment() -> Managed {
        let named = std::env::var_os(VARIABLE).filter(|name| !name.is_empty());
        let manager = named.and_then(|name| {
            let manager = Supervisor::at(&name);
            manager.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told")).ok()
        });
        Managed { manager, is_ready_untold: false }
    }

    /// Whether there is somebody who shows how it goes: then it is not for the log.
    pub(super) fn is_managed(&self) -> bool {
        self.manager.is_some()
    }

    /// Tells it, if it listens: nobody waits for one that does not.
    pub(super) fn tell(&mut self, state: State<'_>) {
        let Some(manager) = &self.manager else { return };
        if self.is_ready_untold && matches!(state, State::Status(_)) {
            // It would end a service that it waits for in vain.
            self.is_ready_untold = !is_told(manager, State::Ready);
        }
        let is_told = is_told(manager, state);
        match state {
            State::Ready => self.is_ready_untold = !is_told,
            State::Reloading | State::Stopping => self.is_ready_untold = false,
            State::Status(_) => {}
        }
    }
}

fn is_told(manager: &Supervisor, state: State<'_>) -> bool {
    let told = manager.tell(state);
    told.inspect_err(|error| tracing::debug!(%error, ?state, "the service manager was not told")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_manager_that_could_not_be_told_that_it_answers_is_told_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let heard = || {
            let mut buffer = [0; 1024];
            let len = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..len].to_vec()).unwrap())
        };
        let manager = Supervisor::at(path.as_os_str()).unwrap();
        // Others have much to say.
        while manager.tell(State::Status("other")).is_ok() {}
        let mut managed = Managed { manager: Some(manager), is_ready_untold: false };
        managed.tell(State::Ready);
        managed.tell(State::Status("five peers"));
        while let Some(text) = heard() {
            assert_eq!(text, "STATUS=other\n");
        }
        managed.tell(State::Status("six peers"));
        managed.tell(State::Status("seven peers"));
        let told: Vec<String> = std::iter::from_fn(heard).collect();
        assert_eq!(told, ["READY=1\n", "STATUS=six peers\n", "STATUS=seven peers\n"]);
    }
}

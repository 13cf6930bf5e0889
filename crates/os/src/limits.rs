//! Limits that the system puts on this process, and as whom it runs.

use rustix::process::{Resource, Rlimit};

/// Raises the number of files that may be open at once as far as we are allowed to; says how many that is.
pub fn raise_open_files() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    now.unwrap_or(u64::MAX)
}

/// The user with whose rights this process works.
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

//! The network thread: one loop, its links, and where it performs what the session wants.

pub(crate) mod inbound;

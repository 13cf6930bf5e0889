//! The network thread: one loop, its links, and where it performs what the session wants.

pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod pieces;

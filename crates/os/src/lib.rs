//! Sockets and files as the kernel offers them: vectored I/O, sync, `openat2`. The only crate that may hold unsafe code.
//! Not one BitTorrent word.

pub mod clock;
pub mod datagrams;
pub mod fault;
pub mod fs;
pub mod interfaces;
pub mod limits;
pub mod local;
pub mod many_sources;
pub mod multicast;
pub mod net;
pub mod signals;
pub mod supervisor;

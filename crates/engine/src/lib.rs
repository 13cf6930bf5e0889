//! The library that users embed: network loop, disk threads, clock and entropy around `proto`.

mod clock;
mod disk;
mod edge;
mod entropy;
mod events;
pub mod hashing;
mod mailbox;
mod net;
mod reply;
mod state;

pub use disk::spec::Allocation;

//! The library that users embed: network loop, disk threads, clock and entropy around `proto`.

mod disk;
mod state;

pub use disk::spec::Allocation;

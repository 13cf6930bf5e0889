//! The simulated world: virtual time, links, disks and faults around the very `proto` that ships.
#![forbid(unsafe_code)]

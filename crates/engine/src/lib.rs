//! The library that users embed: network loop, disk threads, clock and entropy around `proto`.

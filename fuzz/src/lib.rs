//! Fuzz targets: what must hold of a decoder whatever bytes it is given, one file per decoder.
//!
//! Here are the targets and their list; the loop that invents bytes is libFuzzer's, in builds of `cargo xtask fuzz` only.
//! Ordinary builds run the committed inputs through the targets as a test, so a fault once found stays found.
//!
//! Invariant: a target panics if, and only if, a promise of ours is broken.

pub mod script;
pub mod targets;

/// One decoder under test.
pub struct Target {
    /// What it is called on the command line, and its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Feeds it one input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "beacon", run: targets::beacon::run },
    Target { name: "bencode", run: targets::bencode::run },
    Target { name: "code", run: targets::code::run },
    Target { name: "dht", run: targets::dht::run },
    Target { name: "extension", run: targets::extension::run },
    Target { name: "frame", run: targets::frame::run },
    Target { name: "handshake", run: targets::handshake::run },
    Target { name: "krpc", run: targets::krpc::run },
    Target { name: "lsd", run: targets::lsd::run },
    Target { name: "magnet", run: targets::magnet::run },
    Target { name: "metainfo", run: targets::metainfo::run },
    Target { name: "mse", run: targets::mse::run },
    Target { name: "offer", run: targets::offer::run },
    Target { name: "paired", run: targets::paired::run },
    Target { name: "pairing", run: targets::pairing::run },
    Target { name: "path", run: targets::path::run },
    Target { name: "private", run: targets::private::run },
    Target { name: "session", run: targets::session::run },
    Target { name: "session_inputs", run: targets::session_inputs::run },
    Target { name: "swarm_table", run: targets::swarm_table::run },
    Target { name: "trace", run: targets::trace::run },
    Target { name: "tracker_head", run: targets::tracker_head::run },
    Target { name: "tracker_http", run: targets::tracker_http::run },
    Target { name: "tracker_query", run: targets::tracker_query::run },
    Target { name: "tracker_snapshot", run: targets::tracker_snapshot::run },
    Target { name: "tracker_udp", run: targets::tracker_udp::run },
    Target { name: "tracker_ws", run: targets::tracker_ws::run },
    Target { name: "ut_metadata", run: targets::ut_metadata::run },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

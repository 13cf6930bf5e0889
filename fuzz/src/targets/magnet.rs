//! Magnet links: every list bounded, nothing in them that could steer a terminal or a command line, and what was understood
//! is the same after being written and read.

use wire::InfoHash;
use wire::magnet::{
    MAGNET_PEERS_MAX, MAGNET_TRACKERS_MAX, MAGNET_WEB_SEEDS_MAX, Magnet, SELECTED_RANGES_MAX,
};

/// One input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(hash) = text.parse::<InfoHash>() {
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    let Ok(magnet) = Magnet::parse(&text) else { return };
    assert!(magnet.trackers.len() <= MAGNET_TRACKERS_MAX && magnet.peers.len() <= MAGNET_PEERS_MAX);
    assert!(magnet.web_seeds.len() <= MAGNET_WEB_SEEDS_MAX);
    assert!(magnet.selection.as_ref().is_none_or(|all| all.ranges().len() <= SELECTED_RANGES_MAX));
    let hosts = magnet.peers.iter().map(ToString::to_string);
    for hint in magnet.trackers.iter().chain(&magnet.web_seeds).cloned().chain(hosts) {
        assert!(!hint.starts_with('-') && !hint.contains(|c: char| c.is_control() || c.is_whitespace()));
    }
    // Every byte of a name may take three when it is written: a link of names and trackers can outgrow the limit.
    let written = magnet.to_string();
    if written.len() > wire::magnet::MAGNET_BYTES_MAX {
        return;
    }
    let mut again = Magnet::parse(&written).expect("our own writing is read");
    (again.hybrid, again.left_out) = (magnet.hybrid, magnet.left_out);
    assert_eq!(again, magnet);
}

//! Magnet links: every list bounded, nothing in them that could steer a terminal or a command line, and what was understood
//! is the same after being written and read.

use wire::InfoHash;
use wire::item::SALT_LEN_MAX;
use wire::magnet::{
    Link, MAGNET_BYTES_MAX, MAGNET_PEERS_MAX, MAGNET_TRACKERS_MAX, MAGNET_WEB_SEEDS_MAX, Magnet, MagnetError,
    SELECTED_RANGES_MAX,
};

/// One input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(hash) = text.parse::<InfoHash>() {
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }
    let link = match Link::parse(&text) {
        Ok(link) => link,
        Err(error) => {
            assert_eq!(Magnet::parse(&text), Err(error));
            return;
        }
    };
    let magnet = match link {
        Link::Torrent(magnet) => magnet,
        Link::Mutable(link) => {
            assert_eq!(Magnet::parse(&text), Err(MagnetError::Mutable));
            // What the publisher will name has its hints from here.
            let magnet = link.at(InfoHash(*b"01234567890123456789"));
            if link.to_string().len() <= MAGNET_BYTES_MAX {
                let again = Link::parse(&link.to_string()).expect("our own writing is read");
                let Link::Mutable(again) = again else { panic!("a publisher's link became a torrent's") };
                let again = again.at(magnet.info_hash);
                assert_eq!(Magnet { left_out: magnet.left_out, ..again }, magnet);
            }
            magnet
        }
    };
    assert!(magnet.publisher.as_ref().is_none_or(|publisher| publisher.salt.len() <= SALT_LEN_MAX));
    assert!(magnet.trackers.len() <= MAGNET_TRACKERS_MAX && magnet.peers.len() <= MAGNET_PEERS_MAX);
    assert!(magnet.web_seeds.len() <= MAGNET_WEB_SEEDS_MAX);
    assert!(magnet.selection.as_ref().is_none_or(|all| all.ranges().len() <= SELECTED_RANGES_MAX));
    let hosts = magnet.peers.iter().map(ToString::to_string);
    for hint in magnet.trackers.iter().chain(&magnet.web_seeds).cloned().chain(hosts) {
        assert!(!hint.starts_with('-') && !hint.contains(|c: char| c.is_control() || c.is_whitespace()));
    }
    // Every byte of a name may take three when it is written: a link of names and trackers can outgrow the limit.
    let written = magnet.to_string();
    if written.len() > MAGNET_BYTES_MAX {
        return;
    }
    let mut again = Magnet::parse(&written).expect("our own writing is read");
    (again.hybrid, again.left_out) = (magnet.hybrid, magnet.left_out);
    assert_eq!(again, magnet);
}

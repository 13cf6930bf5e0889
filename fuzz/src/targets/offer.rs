//! What sharers and receivers say: whatever comes over the line, what is understood is bounded, leads nowhere, and is the same
//! after it was written and read; nothing is understood as both.

use super::path::check_path;
use wire::offer::{
    BATCH_MAX, INFO_LEN_MAX, PEERS_MAX, ReceiverSays, SharerSays, TEXT_BYTES_MAX, TORRENT_FILES_MAX,
};
use wire::paired::MESSAGE_LEN_MAX;

/// One input.
pub fn run(data: &[u8]) {
    let (sharer, receiver) = (SharerSays::decode(data), ReceiverSays::decode(data));
    assert!(sharer.is_err() || receiver.is_err());
    if let Ok(said) = receiver {
        assert_eq!(ReceiverSays::decode(&said.encode()), Ok(said));
    }
    let Ok(said) = sharer else { return };
    match &said {
        SharerSays::Offer(offer) => {
            assert!(offer.swarm_port != 0 && offer.name.raw().len() <= TEXT_BYTES_MAX);
        }
        SharerSays::Torrent(torrent) => {
            let metainfo = &torrent.metainfo;
            assert!(metainfo.info().len() <= INFO_LEN_MAX && metainfo.layout.files() <= TORRENT_FILES_MAX);
            assert!(metainfo.trackers.is_empty() && metainfo.web_seeds.is_empty());
            for place in &torrent.places {
                assert!(metainfo.path(place.file).is_some() && place.offset <= place.whole);
            }
            assert!(torrent.executables.iter().all(|file| metainfo.path(*file).is_some()));
        }
        SharerSays::Folders(paths) | SharerSays::EmptyFiles(paths) | SharerSays::EmptyExecutables(paths) => {
            assert!(paths.len() <= BATCH_MAX);
            paths.iter().for_each(check_path);
        }
        SharerSays::Lost(lost) => assert!(lost.len() <= BATCH_MAX),
        SharerSays::Peers { others, .. } => {
            assert!(others.len() <= PEERS_MAX && others.iter().all(|address| address.port() != 0));
        }
        SharerSays::Hashed(_) | SharerSays::Withdrawn { .. } | SharerSays::End { .. } => {}
    }
    let text = said.encode();
    assert!(text.len() <= MESSAGE_LEN_MAX);
    let again = SharerSays::decode(&text).expect("what we wrote");
    // Odd bencode in metadata stays as it was, and so do its oddities.
    assert_eq!(again, said);
}

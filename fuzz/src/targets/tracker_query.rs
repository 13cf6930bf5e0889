//! Announces as a tracker reads them, and tracker URLs as a client builds upon them: what is accepted means the same to
//! both, and nothing in a URL can speak for us.

use wire::announce::AnnounceRequest;
use wire::tracker_http::query::{AnnounceQuery, announce_url};
use wire::{InfoHash, PeerId};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(query) = AnnounceQuery::decode(text) {
        let url = announce_url("http://t/announce", &query.announce, query.tracker_id.as_deref());
        let url = url.expect("a plain URL is built upon");
        let again = AnnounceQuery::decode(url.split_once('?').map_or("", |(_, query)| query));
        assert_eq!(again, Ok(AnnounceQuery { compact: true, ..query }));
    }
    let ours = announce();
    let Ok(url) = announce_url(text, &ours, None) else { return };
    assert!(url.is_ascii() && !url.contains(['\r', '\n', ' ', '#']));
    assert!(url.starts_with(text.split('#').next().unwrap_or_default()));
    let (_, query) = url.split_once('?').expect("what we add begins with a question mark, if none is there");
    // Whatever stood there before, a tracker reads what we say; unless the tracker's own query has broken escapes.
    if let Ok(read) = AnnounceQuery::decode(query) {
        assert_eq!(read.announce.info_hash, ours.info_hash);
        assert_eq!((read.announce.port, read.announce.left), (ours.port, ours.left));
    }
}

fn announce() -> AnnounceRequest {
    AnnounceRequest {
        info_hash: InfoHash([0xab; 20]),
        peer_id: PeerId(*b"-GN0100-0123456789ab"),
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: wire::announce::AnnounceEvent::Started,
        want: Some(50),
        key: Some(4),
    }
}

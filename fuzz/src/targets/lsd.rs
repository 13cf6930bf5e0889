//! Local discovery: whatever is multicast, a search that comes out has a port and a bounded number of hashes, each once, and is the
//! same after being written and read.

use wire::lsd::{GROUP_V4, GROUP_V6, HASHES_MAX, HEARD_LEN_MAX, PORT, Search};

/// One input.
pub fn run(data: &[u8]) {
    let Ok(search) = Search::decode(data) else { return };
    assert!(data.len() <= HEARD_LEN_MAX && search.port != 0);
    assert!((1..=HASHES_MAX).contains(&search.info_hashes.len()));
    let mut once = search.info_hashes.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), search.info_hashes.len());
    for group in [(GROUP_V4, PORT).into(), (GROUP_V6, PORT).into()] {
        assert_eq!(Search::decode(&search.encode(group)), Ok(search.clone()));
    }
}

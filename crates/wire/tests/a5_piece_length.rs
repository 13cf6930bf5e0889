//! Threat row A5, its part that needs no disk: piece lengths from nonsense to 2 GiB, as torrents are added.
//!
//! The table asks for 60 lengths in three generations and four activities. What is refused is here, and all that parses;
//! checking, downloading and seeding are the engine's (its test of the same name). v2 alone is refused, whatever its length.

mod common;

use common::{Cases, single, torrent};
use wire::Metainfo;
use wire::bencode::{bytes, dict, int};
use wire::layout::PIECE_LEN_MAX;
use wire::metainfo::{MetaVersion, MetainfoError};

const LENGTHS_MIN: usize = 60;

fn lengths() -> Vec<i64> {
    let powers = (0..=33).flat_map(|power| [(1_i64 << power) - 1, 1 << power, (1 << power) + 1]);
    let odd = [-1, i64::MIN, i64::MAX, 3 * 16_384, 1_000_000, 10_000_019];
    let mut lengths: Vec<i64> = powers.chain(odd).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

#[test]
fn a_piece_length_is_taken_from_1_byte_to_512_mib() {
    let mut cases = Cases::of("A5, adding");
    let content = 1_000_i64;
    for piece_len in lengths() {
        let sound = (1..=i64::from(PIECE_LEN_MAX)).contains(&piece_len);
        let hashes = if sound { (content as u64).div_ceil(piece_len as u64) as usize } else { 1 };
        let hybrid = vec![("meta version", int(2)), ("file tree", dict::<&str>([]))];
        for (more, version) in [(vec![], MetaVersion::V1), (hybrid, MetaVersion::Hybrid)] {
            let info = single(int(content), int(piece_len), hashes, more);
            match Metainfo::parse(&torrent(info)) {
                Ok(metainfo) => {
                    assert!(sound, "{piece_len}");
                    assert_eq!(metainfo.version, version);
                    let layout = &metainfo.layout;
                    let tiled: u64 =
                        layout.piece_indices().map(|piece| u64::from(layout.piece_len(piece))).sum();
                    assert_eq!(tiled, content as u64, "{piece_len}");
                }
                Err(error) => {
                    assert!(!sound, "{piece_len}: {error}");
                    assert_eq!(error, MetainfoError::PieceLen(piece_len));
                }
            }
            cases.add();
        }
        let alone = [
            ("name", bytes("n")),
            ("meta version", int(2)),
            ("piece length", int(piece_len)),
            ("file tree", dict::<&str>([])),
        ];
        assert_eq!(Metainfo::parse(&torrent(dict(alone))), Err(MetainfoError::V2Only), "{piece_len}");
        cases.add();
    }
    assert!(lengths().len() >= LENGTHS_MIN);
    cases.finish(3 * LENGTHS_MIN);
}

//! Metainfo: what is accepted can be downloaded. Pieces tile the content, files tile the pieces, every path is safe, lists
//! of strangers' URLs are bounded, and the `info` dictionary alone says the same as the whole file.

use super::path::check_path;
use wire::metainfo::{Metainfo, NODES_MAX, TRACKERS_MAX, URL_BYTES_MAX, WEB_SEEDS_MAX};
use wire::{Layout, PieceIndex};

/// Pieces and files that are looked at of one input: a torrent of a kilobyte may have a million of either.
const LOOKED_AT_MAX: usize = 40;

/// One input: a `.torrent` file, and an `info` dictionary.
pub fn run(data: &[u8]) {
    if let Ok(metainfo) = Metainfo::from_info(data) {
        check(&metainfo);
    }
    let Ok(metainfo) = Metainfo::parse(data) else { return };
    check(&metainfo);
    let alone = Metainfo::from_info(metainfo.info()).expect("what was read inside a file is read alone");
    assert_eq!(alone.info_hash, metainfo.info_hash);
    assert_eq!((alone.layout, alone.name, alone.private), (metainfo.layout, metainfo.name, metainfo.private));
}

fn check(metainfo: &Metainfo) {
    let Metainfo { layout, trackers, web_seeds, nodes, .. } = metainfo;
    assert!(trackers.iter().map(Vec::len).sum::<usize>() <= TRACKERS_MAX);
    assert!(web_seeds.len() <= WEB_SEEDS_MAX && nodes.len() <= NODES_MAX);
    let urls = trackers.iter().flatten().chain(web_seeds);
    urls.for_each(|url| assert!(url.len() <= URL_BYTES_MAX && !url.chars().any(char::is_control), "{url:?}"));
    check_path(&metainfo.name.safe);
    assert!(!format!("{}", metainfo.name.original).chars().any(char::is_control));
    for file in layout.file_indices().take(LOOKED_AT_MAX) {
        metainfo.path(file).iter().for_each(check_path);
        assert!(!format!("{}", metainfo.original_path(file)).chars().any(char::is_control));
        let extent = layout.extent(file);
        assert!(extent.offset + extent.len <= layout.total());
    }
    let ends = layout.piece_indices().take(LOOKED_AT_MAX).chain(layout.piece_indices().next_back());
    ends.for_each(|piece| check_piece(metainfo, layout, piece));
}

fn check_piece(metainfo: &Metainfo, layout: &Layout, piece: PieceIndex) {
    let _hash = metainfo.piece_hash(piece);
    let len = layout.piece_len(piece);
    assert!(len > 0 && layout.piece_offset(piece) + u64::from(len) <= layout.total());
    let sliced: u64 = layout.slices_of_piece(piece).map(|slice| slice.len).sum();
    assert_eq!(sliced, u64::from(len), "files tile pieces");
    let last = layout.nth_block(piece, layout.blocks_in(piece) - 1);
    assert_eq!(last.offset + last.len, len, "blocks tile pieces");
    assert_eq!(layout.block(piece.0, last.offset, last.len), Some(last));
}

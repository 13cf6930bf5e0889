//! The arithmetic in small; threat suite A4 is in `tests/`.

use super::*;

#[test]
fn the_last_piece_and_its_last_block_are_short() {
    let layout = Layout::new(100_000, 65_536).unwrap();
    assert_eq!(layout.pieces(), 2);
    assert_eq!(layout.piece_len(PieceIndex(1)), 34_464);
    assert_eq!(layout.blocks_in(PieceIndex(1)), 3);
    assert_eq!(layout.nth_block(PieceIndex(1), 2).len, 34_464 - 2 * 16_384);
}

#[test]
fn a_strangers_block_must_be_one_of_ours() {
    let layout = Layout::new(100_000, 65_536).unwrap();
    assert!(layout.block(1, 32_768, 1_696).is_some());
    for (piece, offset, len) in [
        (2, 0, 16_384),
        (1, 32_768, 16_384),
        (0, 1, 16_384),
        (0, 0, 16_383),
        (0, u32::MAX, 16_384),
        (0, 0, 0),
    ] {
        assert_eq!(layout.block(piece, offset, len), None, "{piece} {offset} {len}");
    }
}

fn files(lens: &[u64]) -> Vec<FileLen> {
    lens.iter().map(|&len| FileLen { len, pad: false }).collect()
}

#[test]
fn a_block_over_several_files_is_cut_at_their_borders() {
    let layout = Layout::with_files(files(&[10, 0, 5, 100]), 32, 16).unwrap();
    let cut = |piece, offset, len| -> Vec<(u32, u64, u64)> {
        let slices = layout.slices_of(Block { piece: PieceIndex(piece), offset, len });
        slices.map(|slice| (slice.file.0, slice.offset, slice.len)).collect()
    };
    assert_eq!(cut(0, 0, 16), [(0, 0, 10), (2, 0, 5), (3, 0, 1)]);
    assert_eq!(cut(0, 16, 16), [(3, 1, 16)]);
    assert_eq!(cut(0, 10, 5), [(2, 0, 5)]);
    assert_eq!(cut(3, 0, 16), [(3, 81, 16)]);
    assert_eq!(layout.files_of(PieceIndex(0)).map(|file| file.0).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(layout.pieces_of(FileIndex(1)), PieceIndex(0)..PieceIndex(0));
    assert_eq!(layout.pieces_of(FileIndex(2)), PieceIndex(0)..PieceIndex(1));
    assert_eq!(layout.pieces_of(FileIndex(3)), PieceIndex(0)..PieceIndex(4));
    assert_eq!(layout.file_slices(110..1_000).map(|slice| slice.len).collect::<Vec<_>>(), [5]);
    assert_eq!(layout.file_slices(115..u64::MAX).count(), 0);
    assert_eq!(
        layout.file_slices(12..12).count() + layout.file_slices(Range { start: 14, end: 11 }).count(),
        0
    );
    assert_eq!((layout.file(3), layout.file(4)), (Some(FileIndex(3)), None));
}

#[test]
fn files_and_pieces_name_each_other() {
    // A small generator of its own: the pattern matters, not the quality.
    let mut state = 7_u64;
    let mut next = |bound: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % bound
    };
    for round in 0..50 {
        let lens: Vec<u64> = (0..=next(40)).map(|_| next(9) * next(30)).chain([1]).collect();
        let layout = Layout::with_files(files(&lens), 1 + next(64) as u32, 8).unwrap();
        for piece in layout.piece_indices() {
            let slices: Vec<_> = layout.slices_of_piece(piece).collect();
            let sum: u64 = slices.iter().map(|slice| slice.len).sum();
            assert_eq!(sum, u64::from(layout.piece_len(piece)), "round {round}");
            assert!(
                slices.iter().all(|slice| layout.pieces_of(slice.file).contains(&piece)),
                "round {round}"
            );
        }
        for file in layout.file_indices() {
            let range = layout.pieces_of(file);
            assert_eq!(range.is_empty(), layout.extent(file).len == 0);
            for piece in range.start.0..range.end.0 {
                assert!(layout.files_of(PieceIndex(piece)).any(|other| other == file), "round {round}");
            }
        }
    }
}

#[test]
fn no_layout_is_made_of_impossible_numbers() {
    let lens = |lens: &[u64], piece_len| Layout::with_files(files(lens), piece_len, BLOCK_LEN).map(|_| ());
    assert_eq!(lens(&[u64::MAX, 2], 1 << 20), Err(LayoutError::TooLong));
    assert_eq!(lens(&[TOTAL_LEN_MAX, 1], PIECE_LEN_MAX), Err(LayoutError::TooLong));
    assert_eq!(lens(&[0, 0], 1), Err(LayoutError::Empty));
    assert_eq!(lens(&[], 1), Err(LayoutError::Empty));
    assert_eq!(lens(&[1], 0), Err(LayoutError::PieceLen));
    assert_eq!(lens(&[1], PIECE_LEN_MAX + 1), Err(LayoutError::PieceLen));
    assert_eq!(lens(&[u64::from(PIECES_MAX) + 1], 1), Err(LayoutError::TooManyPieces));
    assert_eq!(lens(&[TOTAL_LEN_MAX], 1 << 24), Ok(()));
    assert_eq!(lens(&vec![1; FILES_MAX + 1], 1 << 20), Err(LayoutError::TooManyFiles));
}

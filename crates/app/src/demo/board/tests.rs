//! The comparison as a table of news and what follows from them.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Two people on each side, a seed, ten pieces of 100 bytes.
fn board() -> Board {
    let mut board = Board::new(1000, 10);
    board.add_member(Role::Seed);
    for _ in 0..2 {
        board.add_client();
        board.add_member(Role::Peer);
    }
    for member in 0..3 {
        let (address, peer_id) = (format!("127.0.0.1:{member}"), format!("id{member}"));
        board.on_news(at(0), News::Said(member, Said::Listening { address, peer_id }));
    }
    board
}

fn has(board: &mut Board, seconds: u64, member: usize, pieces: std::ops::Range<u32>) {
    pieces.for_each(|piece| board.on_news(at(seconds), News::Said(member, Said::Piece(piece))));
}

fn linked(peer_id: &str, downloaded: u64, uploaded: u64) -> Said {
    Said::Peers(vec![Linked { peer_id: peer_id.into(), pieces: 4, downloaded, uploaded }])
}

#[test]
fn the_finish_is_what_the_rate_of_the_last_seconds_promises() {
    let mut board = board();
    assert_eq!(board.left_finish(at(0)), Finish::Unknown);
    for second in 0..=4 {
        for client in 0..2 {
            board.on_news(at(second), News::Fetched(client, second * 50));
        }
        board.tick(at(second));
    }
    // 400 of 2,000 bytes in four seconds; the rest takes sixteen.
    assert_eq!(board.left_finish(at(4)), Finish::About(at(20)));
    board.on_news(at(9), News::FetchDone(0));
    board.on_news(at(11), News::FetchDone(1));
    assert_eq!(board.left_finish(at(12)), Finish::Done(at(11)));
}

#[test]
fn without_its_server_the_left_never_ends_and_the_right_does_if_a_copy_is_out() {
    let mut board = board();
    has(&mut board, 1, 1, 0..6);
    has(&mut board, 1, 2, 6..10);
    board.tick(at(1));
    board.origins_killed = Some(at(2));
    board.on_news(at(2), News::Left(0));
    board.on_news(at(2), News::FetchFailed(0));
    assert_eq!((board.left_finish(at(2)), board.pieces_out()), (Finish::Never, 10));
    assert!(!board.is_over(at(60)), "what is out comes together");
    for member in [1, 2] {
        has(&mut board, 3, member, 0..10);
        board.on_news(at(3), News::Said(member, Said::Finished));
        assert!(!board.is_over(at(3)), "not everything has its name yet");
        board.on_news(at(4), News::Said(member, Said::Durable));
    }
    assert_eq!((board.right_finish(at(4)), board.is_over(at(4))), (Finish::Done(at(3)), true));
}

#[test]
fn a_piece_that_died_with_the_seed_ends_both_sides_after_a_standstill() {
    let mut board = board();
    has(&mut board, 1, 1, 0..9);
    board.tick(at(1));
    board.origins_killed = Some(at(2));
    board.on_news(at(2), News::Left(0));
    assert_ne!(board.right_finish(at(3)), Finish::Never, "the others may still get nine pieces");
    has(&mut board, 4, 2, 0..9);
    board.tick(at(4));
    assert!(!board.is_over(at(4) + STANDSTILL));
    assert!(board.is_over(at(5) + STANDSTILL));
    assert_eq!((board.right_finish(at(5) + STANDSTILL), board.pieces_out()), (Finish::Never, 9));
}

#[test]
fn both_ends_of_a_flow_count_once_and_a_new_link_adds_to_the_old() {
    let mut board = board();
    board.on_news(at(1), News::Said(1, linked("id0", 70, 0)));
    board.on_news(at(1), News::Said(0, linked("id1", 0, 90)));
    assert_eq!(board.flow(at(1), 0, 1), (90, true));
    assert_eq!((board.flow(at(9), 0, 1), board.flow(at(9), 1, 0)), ((90, false), (0, false)));
    board.on_news(at(9), News::Said(1, linked("id0", 20, 0)));
    assert_eq!(board.flow(at(9), 0, 1), (90, false), "70 and 20: no more than was known");
    board.on_news(at(9), News::Said(1, linked("id0", 30, 0)));
    assert_eq!(board.flow(at(9), 0, 1), (100, true));
}

#[test]
fn whoever_joins_from_elsewhere_is_a_guest_and_never_too_many_are() {
    let mut board = board();
    for seconds in [1, 5] {
        for stranger in 0..100 {
            board.on_news(at(seconds), News::Said(1, linked(&format!("stranger{stranger}"), 5, 0)));
        }
    }
    assert_eq!(board.members.len(), MEMBERS_MAX);
    assert_eq!((board.members[3].name.as_str(), board.members[3].pieces), ("guest1", 4));
    assert_eq!(board.flow(at(5), 3, 1).0, 5);
}

#[test]
fn a_piece_that_does_not_exist_is_no_news() {
    let mut board = board();
    board.on_news(at(1), News::Said(1, Said::Piece(u32::MAX)));
    assert_eq!(board.members[1].pieces, 0);
}

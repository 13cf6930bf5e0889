//! Floods from one network, and from several: others still get in. Threats: E8

use super::*;

/// A visit of a peer with this address, to a swarm of its own.
fn alone(table: &mut SwarmTable, n: u32, peer: SocketAddr) -> Kept {
    let mut hash = [9; 20];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    ask(table, at(1), Visit { info_hash: InfoHash(hash), peer, ..visit(0, Started, 9) }).0.kept
}

fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

#[test]
fn a_network_that_floods_gets_half_and_others_still_get_in() {
    let rules = Rules { peers_max: 10_000, swarms_max: 2_000, ..Rules::default() };
    let mut table = SwarmTable::new(rules, Seed(1));
    let full = SwarmTable::new(rules, Seed(1)).memory() + 2_000 * (64 + 32) + 10_000 * 20;
    for n in 0..30_000 {
        alone(&mut table, n, address([11, 0, 0, n as u8], 1_024 + (n >> 8) as u16));
        assert!(table.memory() < full);
    }
    assert_eq!((table.peers(), table.swarms()), (1_000, 1_000), "half of the swarms, with a peer each");
    assert_eq!(alone(&mut table, 90_000, address([11, 0, 0, 7], 9)), Kept::NoRoom);
    // A second and a third one do the same; then each of a hundred others opens a swarm, and a friend joins.
    for n in 0..30_000 {
        alone(&mut table, 30_000 + n, address([11, 0, 1 + (n % 2) as u8, n as u8], 1_024 + (n >> 8) as u16));
    }
    for n in 0..100 {
        assert_eq!(alone(&mut table, 100_000 + n, address([12, n as u8, 0, 1], 6881)), Kept::Known, "{n}");
        assert_eq!(alone(&mut table, 100_000 + n, address([13, n as u8, 0, 1], 6881)), Kept::Known, "{n}");
    }
    // Who is kept stays kept, and may say so.
    assert_eq!(alone(&mut table, 0, address([11, 0, 0, 0], 1_024)), Kept::Known);
}

#[test]
fn a_network_that_crowds_one_swarm_leaves_room_in_it_for_others() {
    let mut table = SwarmTable::new(Rules { peers_max: 1_000, ..Rules::default() }, Seed(1));
    let first = 0x2001_0db8_u128 << 96;
    for n in 0..5_000_u128 {
        // All over one /48.
        let peer = SocketAddr::from(((first | n << 64).to_be_bytes(), 6881));
        alone(&mut table, 0, peer);
    }
    assert_eq!(table.peers(), 500);
    let other = SocketAddr::from(((first | 1 << 80).to_be_bytes(), 6881));
    assert_eq!(alone(&mut table, 0, other), Kept::Known);
    // Those who leave make room for themselves.
    let seven = SocketAddr::from(((first | 7 << 64).to_be_bytes(), 6881));
    ask(&mut table, at(1), Visit { peer: seven, info_hash: hash_of_zero(), ..visit(0, Stopped, 9) });
    ask(&mut table, at(1), Visit { peer: other, info_hash: hash_of_zero(), ..visit(0, Stopped, 9) });
    assert_eq!(alone(&mut table, 0, seven), Kept::Known);
}

fn hash_of_zero() -> InfoHash {
    let mut hash = [9; 20];
    hash[..4].fill(0);
    InfoHash(hash)
}

#[test]
fn neighbours_on_private_networks_are_not_held_to_a_share() {
    let mut table = SwarmTable::new(Rules { peers_max: 1_000, ..Rules::default() }, Seed(1));
    for n in 0..1_000_u32 {
        assert_eq!(alone(&mut table, 0, address([192, 168, 0, n as u8], 1 + n as u16)), Kept::Known);
    }
    assert_eq!(alone(&mut table, 0, address([192, 168, 1, 0], 1)), Kept::NoRoom, "but to the bound");
}

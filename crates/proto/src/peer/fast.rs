//! Allowed fast: the few pieces that a choked newcomer may have from us, so that it has something to give. BEP: 6
//!
//! Not the messages. Invariant: at most [`ALLOWED_FAST_MAX`] pieces, the same for all of a /24, so that many addresses gain little; and
//! while choked a peer gets no more bytes than these pieces have, once.

use core::net::IpAddr;
use sha1::{Digest, Sha1};
use wire::{Block, InfoHash, Layout, PieceIndex};

/// BEP 6's own example, and enough to begin with.
pub const ALLOWED_FAST_MAX: usize = 10;

/// What one peer may have from us although we choke it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AllowedFast {
    pieces: Vec<PieceIndex>,
    /// Bytes it may still have while choked.
    bytes_left: u64,
}

impl AllowedFast {
    /// Nothing.
    pub const NONE: AllowedFast = AllowedFast { pieces: Vec::new(), bytes_left: 0 };

    /// The set for a peer at this address. `count` is cut to [`ALLOWED_FAST_MAX`]. An IPv6 peer gets none: BEP 6 has no rule for it,
    /// and whoever has one such address has 2^64.
    pub fn new(remote: IpAddr, info_hash: InfoHash, layout: &Layout, count: usize) -> AllowedFast {
        let IpAddr::V4(address) = remote.to_canonical() else { return AllowedFast::default() };
        let pieces = allowed_set(address.octets(), info_hash, layout.pieces(), count.min(ALLOWED_FAST_MAX));
        let bytes_left = pieces.iter().map(|&piece| u64::from(layout.piece_len(piece))).sum();
        AllowedFast { pieces, bytes_left }
    }

    /// Takes out what we lack: a peer may have what it was told of, and it is told of what we have.
    pub fn retain(&mut self, has: impl Fn(PieceIndex) -> bool) {
        self.pieces.retain(|&piece| has(piece));
    }

    /// The pieces to tell the peer of.
    pub fn pieces(&self) -> &[PieceIndex] {
        &self.pieces
    }

    /// Whether a request may be served although we choke the peer.
    pub fn allows(&self, block: Block) -> bool {
        self.pieces.contains(&block.piece) && u64::from(block.len) <= self.bytes_left
    }

    /// A request was taken on while we choke the peer. Charged then and not when the block leaves, so that a burst gains nothing.
    pub fn charge(&mut self, block: Block) {
        self.bytes_left = self.bytes_left.saturating_sub(u64::from(block.len));
    }
}

/// BEP 6: hash the network and the torrent, read the digest as piece numbers, hash again for more.
fn allowed_set(address: [u8; 4], info_hash: InfoHash, pieces: u32, count: usize) -> Vec<PieceIndex> {
    let count = count.min(pieces as usize);
    let mut set = Vec::with_capacity(count);
    let [a, b, c, _] = address;
    let mut digest: [u8; 20] =
        Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize().into();
    while set.len() < count {
        for word in digest.chunks_exact(4) {
            let number = word.iter().fold(0, |number: u32, &byte| number << 8 | u32::from(byte));
            let piece = PieceIndex(number % pieces);
            if set.len() < count && !set.contains(&piece) {
                set.push(piece);
            }
        }
        digest = Sha1::digest(digest).into();
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(address: [u8; 4], pieces: u32, count: usize) -> Vec<u32> {
        let set = allowed_set(address, InfoHash([0xaa; 20]), pieces, count);
        set.into_iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn the_set_is_the_one_of_the_specification() {
        let seven = [1059, 431, 808, 1217, 287, 376, 1188];
        let nine = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(set([80, 4, 4, 200], 1313, 7), seven);
        assert_eq!(set([80, 4, 4, 200], 1313, 9), nine);
        assert_eq!(set([80, 4, 4, 1], 1313, 9), nine, "the same for the whole network");
        assert_ne!(set([80, 4, 5, 200], 1313, 9), nine);
    }

    #[test]
    fn a_small_torrent_is_allowed_whole_and_no_set_is_longer_than_the_bound() {
        for pieces in 1..40_u32 {
            let layout = Layout::new(u64::from(pieces) * 16_384, 16_384).unwrap();
            let allowed = AllowedFast::new(IpAddr::from([1, 2, 3, 4]), InfoHash([7; 20]), &layout, 1_000);
            assert_eq!(allowed.pieces().len(), ALLOWED_FAST_MAX.min(pieces as usize));
        }
    }

    #[test]
    fn an_ipv6_peer_gets_none_and_a_mapped_one_what_its_ipv4_address_gets() {
        let layout = Layout::new(1 << 30, 1 << 18).unwrap();
        let of = |address: &str| AllowedFast::new(address.parse().unwrap(), InfoHash([7; 20]), &layout, 5);
        assert_eq!(of("2001:db8::1"), AllowedFast::default());
        assert_eq!(of("::ffff:80.4.4.200"), of("80.4.4.200"));
    }

    #[test]
    fn what_a_peer_was_not_told_of_it_may_not_have() {
        let layout = Layout::new(1 << 24, 1 << 15).unwrap();
        let mut allowed = AllowedFast::new(IpAddr::from([1, 2, 3, 4]), InfoHash([7; 20]), &layout, 3);
        let told = allowed.pieces().to_vec();
        let [lacking, ref rest @ ..] = told[..] else { panic!("an empty set") };
        allowed.retain(|piece| piece != lacking);
        assert!(!allowed.allows(layout.nth_block(lacking, 0)));
        assert!(rest.iter().all(|&piece| allowed.allows(layout.nth_block(piece, 0))));
    }

    #[test]
    fn a_choked_peer_gets_each_allowed_byte_once_however_it_asks() {
        let layout = Layout::new(1 << 24, 1 << 15).unwrap();
        let mut allowed = AllowedFast::new(IpAddr::from([1, 2, 3, 4]), InfoHash([7; 20]), &layout, 3);
        let piece = allowed.pieces()[0];
        let block = layout.nth_block(piece, 0);
        let mut bytes = 0;
        while allowed.allows(block) {
            allowed.charge(block);
            bytes += u64::from(block.len);
        }
        assert_eq!(bytes, 3 << 15);
        assert!(!allowed.allows(layout.nth_block(PieceIndex(piece.0 ^ 1), 0)));
    }
}

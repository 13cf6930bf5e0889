//! A peer as it is kept: address, port, and when it was last heard of; 8 bytes for IPv4, 20 for IPv6.

use super::clock::Stamp;
use super::keyed::Key;
use crate::address;
use core::net::{Ipv4Addr, Ipv6Addr};
use wire::compact::{V4_LEN, V6_LEN};

/// A peer of one address family.
pub(super) trait Entry: Copy + core::fmt::Debug {
    /// What a swarm holds without an allocation.
    type Few: AsRef<[Self]> + AsMut<[Self]> + Clone + core::fmt::Debug;
    /// Room in which nobody is yet.
    const NOBODY: Self::Few;

    /// Whether both are the same peer.
    fn is(&self, other: &Self) -> bool;
    /// When it was last heard of.
    fn seen(&self) -> Stamp;
    /// It was heard of.
    fn touch(&mut self, now: Stamp);
    /// Where it falls in a hashed set.
    fn hash(&self, key: Key) -> u64;
    /// Writes address and port in network order to where `out` begins, and perhaps a little behind them: says how many bytes count, none if
    /// there is no room.
    fn write(&self, out: &mut [u8]) -> usize;
    /// What stands for the network that one party may hold, a /24 or a /48; none where all neighbours share one.
    fn network(&self) -> Option<u64>;
}

/// A peer with an IPv4 address: address, port and stamp, from the highest bits to the lowest, so that one comparison finds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct V4(u64);

impl V4 {
    pub(super) fn new(ip: Ipv4Addr, port: u16, seen: Stamp) -> V4 {
        V4(u64::from(ip.to_bits()) << 32 | u64::from(port) << 16 | u64::from(seen.0))
    }
}

impl V4 {
    /// The peer with this address and port in network order, if it can be one.
    pub(super) fn read(packed: &[u8], seen: Stamp) -> Option<V4> {
        let (ip, port) = packed.split_first_chunk::<4>()?;
        let (ip, port) = (Ipv4Addr::from(*ip), u16::from_be_bytes(port.try_into().ok()?));
        (port != 0 && address::may_be_a_peer(ip.into())).then(|| V4::new(ip, port, seen))
    }
}

impl Entry for V4 {
    type Few = [V4; 3];
    const NOBODY: [V4; 3] = [V4(0); 3];

    #[inline]
    fn is(&self, other: &V4) -> bool {
        (self.0 ^ other.0) >> 16 == 0
    }

    #[inline]
    fn seen(&self) -> Stamp {
        Stamp(self.0 as u16)
    }

    #[inline]
    fn touch(&mut self, now: Stamp) {
        self.0 = self.0 >> 16 << 16 | u64::from(now.0);
    }

    #[inline]
    fn hash(&self, key: Key) -> u64 {
        key.hash([self.0 >> 16])
    }

    #[inline]
    fn write(&self, out: &mut [u8]) -> usize {
        // A whole word: the two bytes of the stamp are overwritten by the next peer, or not sent.
        let Some(place) = out.first_chunk_mut() else { return 0 };
        *place = (self.0 >> 16 << 16).to_be_bytes();
        V4_LEN
    }

    fn network(&self) -> Option<u64> {
        address::block(Ipv4Addr::from_bits((self.0 >> 32) as u32).into()).map(|_| self.0 >> 40)
    }
}

/// A peer with an IPv6 address. Bytes and no numbers, so that no room is lost to alignment.
#[derive(Clone, Copy, Debug)]
pub(super) struct V6 {
    ip: [u8; 16],
    port: [u8; 2],
    seen: u16,
}

impl V6 {
    pub(super) fn new(ip: Ipv6Addr, port: u16, seen: Stamp) -> V6 {
        V6 { ip: ip.octets(), port: port.to_be_bytes(), seen: seen.0 }
    }
}

impl V6 {
    /// The peer with this address and port in network order, if it can be one.
    pub(super) fn read(packed: &[u8], seen: Stamp) -> Option<V6> {
        let (ip, port) = packed.split_first_chunk::<16>()?;
        let (ip, port) = (Ipv6Addr::from(*ip), u16::from_be_bytes(port.try_into().ok()?));
        let own = ip.to_ipv4_mapped().is_none() && address::may_be_a_peer(ip.into());
        (port != 0 && own).then(|| V6::new(ip, port, seen))
    }
}

impl Entry for V6 {
    type Few = [V6; 1];
    const NOBODY: [V6; 1] = [V6 { ip: [0; 16], port: [0; 2], seen: 0 }];

    #[inline]
    fn is(&self, other: &V6) -> bool {
        (self.ip, self.port) == (other.ip, other.port)
    }

    #[inline]
    fn seen(&self) -> Stamp {
        Stamp(self.seen)
    }

    #[inline]
    fn touch(&mut self, now: Stamp) {
        self.seen = now.0;
    }

    #[inline]
    fn hash(&self, key: Key) -> u64 {
        let ip = u128::from_be_bytes(self.ip);
        key.hash([(ip >> 64) as u64, ip as u64, u16::from_be_bytes(self.port).into()])
    }

    #[inline]
    fn write(&self, out: &mut [u8]) -> usize {
        let Some(place) = out.first_chunk_mut::<V6_LEN>() else { return 0 };
        let (ip, port) = place.split_at_mut(self.ip.len());
        ip.copy_from_slice(&self.ip);
        port.copy_from_slice(&self.port);
        V6_LEN
    }

    fn network(&self) -> Option<u64> {
        // The uppermost bit tells it from a network of IPv4.
        let ip = u128::from_be_bytes(self.ip);
        address::block(Ipv6Addr::from_bits(ip).into()).map(|_| (ip >> 80) as u64 | 1 << 63)
    }
}

//! Addresses that are refused: those of peers that were found to cheat, and our own.
//!
//! Invariant: at most [`BANS_MAX`] bans; the oldest gives way, so that a host of cheats cannot fill memory.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::collections::{BTreeSet, VecDeque};

/// Bans that are kept, per torrent. Real swarms hold a handful of cheats; 1,024 are 24 KiB.
pub const BANS_MAX: usize = 1_024;
/// Addresses of our own that are kept: a few interfaces, two families, a router.
const OURS_MAX: usize = 16;

/// Who is refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Bans {
    banned: BTreeSet<IpAddr>,
    /// The bans in the order in which they came.
    order: VecDeque<IpAddr>,
    ours: VecDeque<SocketAddr>,
}

impl Bans {
    pub(super) fn ban(&mut self, ip: IpAddr) {
        let host = host(ip);
        if !self.banned.insert(host) {
            return;
        }
        self.order.push_back(host);
        if self.order.len() > BANS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.banned.remove(&oldest);
        }
    }

    pub(super) fn is_banned(&self, ip: IpAddr) -> bool {
        self.banned.contains(&host(ip))
    }

    pub(super) fn add_ours(&mut self, address: SocketAddr) {
        if !self.is_ours(address) {
            self.ours.push_back(address);
        }
        if self.ours.len() > OURS_MAX {
            self.ours.pop_front();
        }
    }

    pub(super) fn is_ours(&self, address: SocketAddr) -> bool {
        self.ours.contains(&address)
    }
}

/// What one party commands: an IPv4 address, but a whole /64 of IPv6.
pub(super) fn host(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
    }
}

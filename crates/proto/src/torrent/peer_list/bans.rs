//! Addresses that are refused: those of peers that were found to cheat, and our own.
//!
//! Invariant: at most [`BANS_MAX`] bans; the oldest gives way, so that a host of cheats cannot fill memory.

use crate::address::HostSet;
use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

/// Bans that are kept, per torrent. Real swarms hold a handful of cheats; 1,024 are 24 KiB.
pub const BANS_MAX: usize = 1_024;
/// Addresses of our own that are kept: a few interfaces, two families, a router.
const OURS_MAX: usize = 16;

/// Who is refused.
#[derive(Clone, Debug)]
pub(super) struct Bans {
    banned: HostSet,
    ours: VecDeque<SocketAddr>,
}

impl Default for Bans {
    fn default() -> Bans {
        Bans { banned: HostSet::new(BANS_MAX), ours: VecDeque::new() }
    }
}

impl Bans {
    pub(super) fn ban(&mut self, ip: IpAddr) {
        self.banned.insert(ip);
    }

    pub(super) fn is_banned(&self, ip: IpAddr) -> bool {
        self.banned.has(ip)
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

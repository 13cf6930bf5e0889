//! Law: nobody makes us an attacker of others. An address behind which no node of the world is can only be known from gossip: it is
//! tried once an hour at most, and not at all if it is a server's port or a machine of a local network (threat C10).

use super::{Checker, Scene, row};
use crate::node::node_at;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use proto::{Instant, Output};
use std::collections::BTreeMap;

/// An address that never completed a handshake is left alone for this long.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(3600);
/// Where all nodes of a world listen.
const LISTENS: u16 = 6881;
/// Ports below this are servers'.
const PORT_MIN: u16 = 1024;

/// By node: when it last tried whom.
#[derive(Default)]
pub(super) struct Dials {
    rows: Vec<BTreeMap<SocketAddr, Instant>>,
}

impl Checker for Dials {
    fn name(&self) -> &'static str {
        "dials"
    }

    fn started(&mut self, scene: Scene<'_>) {
        row(&mut self.rows, scene.index).clear();
    }

    fn output(&mut self, scene: Scene<'_>, output: &Output, report: &mut dyn FnMut(String)) {
        let Output::Dial { remote, .. } = output else { return };
        if node_at(*remote).is_some_and(|far| (far as usize) < scene.nodes.len()) {
            return;
        }
        if remote.port() < PORT_MIN {
            report(format!("dials {remote}, where only a server can be"));
        }
        if is_local(remote.ip()) {
            report(format!("dials {remote}, which is not for strangers to name"));
        }
        // A peer may say of itself where it listens, and be tried there as often as any.
        let of_a_peer = node_at(SocketAddr::new(remote.ip(), LISTENS));
        if of_a_peer.is_some_and(|far| (far as usize) < scene.nodes.len()) {
            return;
        }
        let before = row(&mut self.rows, scene.index).insert(*remote, scene.now);
        if before.is_some_and(|before| scene.now.since(before) < ATTEMPT_INTERVAL) {
            report(format!("dials {remote} again, where no peer ever was"));
        }
    }
}

fn is_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

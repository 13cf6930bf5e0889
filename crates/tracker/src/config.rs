//! What a tracker is told before it starts. No file is read here.

use proto::tracker::swarm_table::Rules;
use std::net::SocketAddr;

/// What a tracker is like.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Where visitors are awaited.
    pub listen: Vec<Listen>,
    /// How the table behaves.
    pub rules: Rules,
}

/// One address at which visitors are awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Where; port 0 takes a free one, the same for all protocols.
    pub at: SocketAddr,
    /// Over HTTP.
    pub http: bool,
    /// Over UDP.
    pub udp: bool,
}

impl Listen {
    /// Over every protocol that there is.
    pub fn all(at: SocketAddr) -> Listen {
        Listen { at, http: true, udp: true }
    }

    /// Over HTTP alone.
    pub fn http(at: SocketAddr) -> Listen {
        Listen { at, http: true, udp: false }
    }
}

//! What a tracker is told before it starts. No file is read here.

use crate::access::Access;
use crate::accounts::Books;
use crate::certificate::Certificate;
use crate::connection_id;
use crate::members::Members;
use crate::network::Network;
use proto::tracker::signalling;
use proto::tracker::swarm_table::Rules;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

/// What a tracker is like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where visitors are awaited.
    pub listen: Vec<Listen>,
    /// Threads, each of which has its share of the swarms.
    pub workers: NonZeroUsize,
    /// How the table behaves, all shares together.
    pub rules: Rules,
    /// Which torrents are served.
    pub access: Access,
    /// Nothing: whoever comes is served. Otherwise members alone, and what they send and receive is counted; browsers are refused then,
    /// for they say nothing of that.
    pub private: Option<Private>,
    /// How visitors over UDP are treated.
    pub udp: UdpRules,
    /// What is shown where HTTP is spoken within TLS.
    pub certificate: Option<Certificate>,
    /// Who may stay how long over HTTP, and whose word counts there.
    pub http: HttpRules,
    /// How browsers are treated, that speak WebSocket where HTTP is; nothing if they are refused.
    pub websocket: Option<WebSocketRules>,
    /// The folder in which swarms outlive a restart; nothing if they do not.
    pub state: Option<PathBuf>,
}

impl Default for Config {
    /// One worker that listens nowhere.
    fn default() -> Config {
        Config {
            listen: Vec::new(),
            workers: NonZeroUsize::MIN,
            rules: Rules::default(),
            access: Access::Open,
            private: None,
            udp: UdpRules::default(),
            certificate: None,
            http: HttpRules::default(),
            websocket: Some(WebSocketRules::default()),
            state: None,
        }
    }
}

impl Config {
    /// The same with each worker's share of what is bounded. Nobody's share is nothing.
    pub(crate) fn of_one_worker(mut self) -> Config {
        let workers = self.workers.get();
        let share = |all: u32| all.div_ceil(u32::try_from(workers).unwrap_or(u32::MAX));
        self.rules.peers_max = share(self.rules.peers_max);
        self.rules.swarms_max = share(self.rules.swarms_max);
        if let Some(private) = &mut self.private {
            private.books.rules.accounts_max = share(private.books.rules.accounts_max);
        }
        self.http.connections_max = self.http.connections_max.div_ceil(workers);
        self.http.connections_per_address_max = self.http.connections_per_address_max.div_ceil(workers);
        self
    }
}

/// What makes a tracker private.
#[derive(Clone, Debug)]
pub struct Private {
    /// Who may visit.
    pub members: Arc<Members>,
    /// Where it is said what they send and receive.
    pub books: Books,
}

/// One address at which visitors are awaited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Where; port 0 takes a free one, the same for all protocols.
    pub at: SocketAddr,
    /// Over HTTP.
    pub http: bool,
    /// And that within TLS: `https://`, and `wss://` for browsers.
    pub tls: bool,
    /// Over UDP.
    pub udp: bool,
}

impl Listen {
    /// Over every protocol that there is, in plain.
    pub fn all(at: SocketAddr) -> Listen {
        Listen { at, http: true, tls: false, udp: true }
    }

    /// Over HTTP alone, in plain.
    pub fn http(at: SocketAddr) -> Listen {
        Listen { at, http: true, tls: false, udp: false }
    }

    /// Over HTTP within TLS alone.
    pub fn https(at: SocketAddr) -> Listen {
        Listen { tls: true, ..Listen::http(at) }
    }
}

/// How visitors over UDP are treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpRules {
    /// For how many minutes a connection id is valid, and at most one more: within [`UdpRules::MINUTES`], to which it is bounded. The
    /// longer, the longer may somebody who has lost an address still announce for it.
    pub connection_id_minutes: u8,
}

impl UdpRules {
    /// What can be set.
    pub const MINUTES: RangeInclusive<u8> = connection_id::MINUTES;
}

impl Default for UdpRules {
    /// Two minutes, as BEP 15 has it.
    fn default() -> UdpRules {
        UdpRules { connection_id_minutes: *Self::MINUTES.start() }
    }
}

/// How connections are treated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpRules {
    /// Connections at once; when one more comes, one that has been idle for long gives way. Each holds at most some 100 KiB, if its
    /// visitor does the worst it can, and a few hundred bytes otherwise; within TLS 150 KiB, and some 10 KiB.
    pub connections_max: usize,
    /// Connections at once from one IPv4 address, or one /64 of IPv6; further ones are closed. Proxies named below are not counted.
    pub connections_per_address_max: usize,
    /// Reverse proxies, whose `X-Forwarded-For` says who visits.
    pub forwarded_by: Vec<Network>,
    /// Proxies that begin each connection with a header of the PROXY protocol, which says who visits. Without one they are refused.
    pub proxied_by: Vec<Network>,
    /// Who may read `/metrics`; for others there is no such page.
    pub metrics_for: Vec<Network>,
}

impl Default for HttpRules {
    /// As many as a system's usual limit of 1,024 open files cannot hold, but raised limits do.
    fn default() -> HttpRules {
        HttpRules {
            connections_max: 4096,
            connections_per_address_max: 1024,
            forwarded_by: Vec::new(),
            proxied_by: Vec::new(),
            metrics_for: vec![Network::of(Ipv4Addr::LOCALHOST, 8), Network::of(Ipv6Addr::LOCALHOST, 128)],
        }
    }
}

/// How browsers are treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WebSocketRules {
    /// Connections at once; further ones are closed. One that does nothing costs some 6 KiB, and at most 800 KiB if its visitor does the
    /// worst it can.
    pub connections_max: usize,
    /// Connections at once from one IPv4 address, or one /64 of IPv6.
    pub connections_per_address_max: usize,
    /// Messages a second of one connection, in the long run; further ones wait. A long one counts as another for every 4 KiB. Whoever goes and
    /// comes again may say no more by it.
    pub messages_per_second_max: u32,
    /// How their swarms behave.
    pub swarms: signalling::Rules,
}

impl Default for WebSocketRules {
    fn default() -> WebSocketRules {
        WebSocketRules {
            connections_max: 4096,
            connections_per_address_max: 256,
            messages_per_second_max: 20,
            swarms: signalling::Rules::default(),
        }
    }
}

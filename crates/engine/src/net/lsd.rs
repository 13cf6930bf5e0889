//! Local discovery's driver: what the machine announces goes to both of its groups, and what is heard there goes to the machine.
//! BEP: 14. Threats: D9, G1
//!
//! Decides nothing about when to announce or whom to believe (`proto::lsd`); over which interfaces is `neighbours`' affair.

use super::event_loop::EventLoop;
use super::neighbours::Neighbours;
use crate::entropy;
use mio::{Registry, Token};
use proto::input::PeerSource;
use proto::lsd::{Input as LsdInput, Lsd, Output as LsdOutput};
use proto::{Input, Instant, TorrentId};
use std::net::SocketAddr;
use wire::InfoHash;
use wire::lsd::{GROUP_V4, GROUP_V6, HEARD_LEN_MAX, PORT, Search};

/// Local discovery, with its sockets.
pub(super) struct LocalDiscovery {
    machine: Lsd,
    /// Where peers reach us.
    port: u16,
    neighbours: Neighbours,
}

impl LocalDiscovery {
    /// Joins on the interfaces where those are who can reach these addresses; nothing if it is not possible here at all.
    pub(super) fn open(
        registry: &Registry,
        tokens: [Token; 3],
        listens: &[SocketAddr],
        now: Instant,
    ) -> Option<LocalDiscovery> {
        let groups = [(GROUP_V4, PORT).into(), (GROUP_V6, PORT).into()];
        let hosts = listens.iter().map(SocketAddr::ip);
        let neighbours = Neighbours::open(registry, tokens, groups, hosts, HEARD_LEN_MAX, now)?;
        let (port, machine) = (listens.first()?.port(), Lsd::new(entropy::seed().ok()?, now));
        let mut discovery = LocalDiscovery { machine, port, neighbours };
        discovery.scan(now);
        Some(discovery)
    }

    /// A torrent wants to be found.
    pub(super) fn find(&mut self, now: Instant, torrent: TorrentId, info_hash: InfoHash) {
        self.tell(now, LsdInput::Find { torrent, info_hash });
    }

    /// It no longer does.
    pub(super) fn stop(&mut self, now: Instant, torrent: TorrentId, info_hash: InfoHash) {
        self.tell(now, LsdInput::Stop { torrent, info_hash });
    }

    /// The kernel says that there may be something to read, from either group.
    pub(super) fn note_readable(&mut self, family_v6: bool) {
        self.neighbours.note_readable(family_v6);
    }

    /// The kernel says that interfaces changed.
    pub(super) fn note_change(&mut self, now: Instant) {
        self.neighbours.note_change(now);
    }

    /// When to take a turn, at the latest.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        if self.neighbours.readable() {
            return Some(Instant::ZERO);
        }
        let announces = self.machine.next_wake();
        [announces, self.neighbours.next_scan(announces.is_some())].into_iter().flatten().min()
    }

    /// Looks at the interfaces, reads what came, announces what is due. Returns whom it found.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<(TorrentId, SocketAddr)> {
        self.scan(now);
        let mut heard = Vec::new();
        self.neighbours.hear(|datagram, from| match Search::decode(datagram) {
            Ok(search) => heard.push((search, from)),
            Err(error) => tracing::debug!(%error, %from, "not heeded"),
        });
        let mut found = Vec::new();
        for (search, from) in &heard {
            found.extend(self.tell(now, LsdInput::Heard { from: *from, search }));
        }
        if self.machine.next_wake().is_some_and(|due| due <= now) {
            self.tell(now, LsdInput::Wake);
        }
        found
    }

    /// Tells the machine, does what it says, and returns whom it found.
    fn tell(&mut self, now: Instant, input: LsdInput<'_>) -> Vec<(TorrentId, SocketAddr)> {
        let (mut out, mut found) = (Vec::new(), Vec::new());
        self.machine.handle(now, input, &mut out);
        for output in out {
            match output {
                LsdOutput::Found { torrent, peer } => found.push((torrent, peer)),
                LsdOutput::Announce { info_hashes } => self.announce(info_hashes),
            }
        }
        found
    }

    fn announce(&self, info_hashes: Vec<InfoHash>) {
        let search = Search { port: self.port, info_hashes, cookie: Some(self.machine.cookie().into()) };
        self.neighbours.say(|group| search.encode(group));
    }

    fn scan(&mut self, now: Instant) {
        if self.neighbours.scan(now) {
            self.tell(now, LsdInput::NetworkChanged);
        }
    }
}

impl EventLoop {
    /// Takes local discovery's turn; whom it found, the session hears of.
    pub(super) fn meet_neighbours(&mut self) {
        let Some(discovery) = &mut self.listening.local else { return };
        for (torrent, peer) in discovery.turn(self.now) {
            self.feed(Input::FoundPeers { torrent, source: PeerSource::Lsd, peers: &[peer] });
        }
    }
}

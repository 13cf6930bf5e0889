//! One client in a directory of its own, and how tests wait for what it says.

use super::content::Content;
use gannet::{AddOptions, Client, ClientConfig, Event, Events, TorrentHandle};
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wire::handshake::{self, HANDSHAKE_LEN};
use wire::{Handshake, InfoHash, PeerId, Reserved};

/// How long a test waits for anything. Generous: machines that run all tests at once are slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A client and its directory.
pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) events: Events,
    downloads: PathBuf,
    home: TempDir,
}

impl Peer {
    /// A fresh client on a port of its own on IPv4 loopback.
    pub(crate) fn start() -> Peer {
        Peer::start_with(|_| {})
    }

    /// A fresh client with other settings.
    pub(crate) fn start_with(set: impl FnOnce(&mut ClientConfig)) -> Peer {
        Peer::start_in(tempfile::tempdir().unwrap(), set)
    }

    /// A client where one was before.
    pub(crate) fn start_in(home: TempDir, set: impl FnOnce(&mut ClientConfig)) -> Peer {
        let mut config = config(home.path());
        set(&mut config);
        let downloads = config.output_dir.clone();
        let client = Client::start(config).unwrap();
        Peer { events: client.events(), client, downloads, home }
    }

    /// Another client on the same directory.
    pub(crate) fn neighbour(&self) -> Client {
        Client::start(config(self.home.path())).unwrap()
    }

    /// Takes part in a torrent.
    pub(crate) fn add(&self, content: &Content, options: AddOptions) -> TorrentHandle {
        self.client.add(&content.torrent, options).unwrap()
    }

    /// Where its content goes.
    pub(crate) fn downloads(&self) -> &Path {
        &self.downloads
    }

    /// Where others reach it.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.client.local_addrs().to_vec()
    }

    /// Ends in order; the directory stays as long as what is returned.
    pub(crate) fn stop(self) -> TempDir {
        assert_eq!(self.client.shutdown().wait_for(PATIENCE), Ok(()), "shutdown");
        self.home
    }

    /// Ends at once.
    pub(crate) fn crash(self) -> TempDir {
        drop(self.client);
        self.home
    }
}

fn config(home: &Path) -> ClientConfig {
    let mut config = ClientConfig::new(home.join("state"), home.join("downloads"));
    config.listen.ports = 0..=0;
    config.listen.ipv4 = Some(Ipv4Addr::LOCALHOST);
    config.listen.ipv6 = None;
    // Whoever is found is named: others of these tests are on the same network.
    config.local_discovery = false;
    config.dht = None;
    config
}

/// Waits for an event; says what happened instead if it does not come. Returns everything up to it.
pub(crate) fn wait_for(peer: &Peer, what: &str, wanted: impl Fn(&Event) -> bool) -> Vec<Event> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    loop {
        match peer.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => {
                let found = wanted(&event);
                seen.push(event);
                if found {
                    return seen;
                }
            }
            Err(error) => panic!("waiting for {what}: {error}; before that: {seen:#?}"),
        }
    }
}

/// Asks again and again until it is so; says what there is instead if it never is.
pub(crate) fn wait_until(is_so: impl Fn() -> bool, instead: impl Fn() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{}", instead());
        std::thread::yield_now();
    }
}

/// Whether a handshake from this address is answered.
pub(crate) fn is_answered(peer: &Peer, from: Ipv4Addr, info_hash: InfoHash) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&peer.addresses()[0].into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let reserved = Reserved::OURS;
    let hello =
        handshake::encode(&Handshake { reserved, info_hash, peer_id: PeerId([from.octets()[3]; 20]) });
    // Whoever refuses us may have hung up already.
    stream.write_all(&hello).is_ok() && stream.read_exact(&mut [0; HANDSHAKE_LEN]).is_ok()
}

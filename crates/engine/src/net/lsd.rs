//! Local discovery's sockets: what the machine announces goes to both groups over every interface beside which there may be
//! neighbours, and what is heard there goes to the machine. BEP: 14. Threats: D9, G1
//!
//! Decides nothing about when to announce or whom to believe (`proto::lsd`). What always holds: nothing is said on an interface
//! where nobody could reach us, so who listens at one address alone says so on its interface alone; a fault of a socket or an
//! interface never disturbs the loop.

use super::event_loop::EventLoop;
use crate::entropy;
use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use os::interfaces::{self, Interface, Watch};
use os::multicast::Member;
use proto::input::PeerSource;
use proto::lsd::{Input as LsdInput, Lsd, Output as LsdOutput};
use proto::{Duration, Input, Instant, TorrentId};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use wire::InfoHash;
use wire::lsd::{GROUP_V4, GROUP_V6, HEARD_LEN_MAX, PORT, Search};

/// Interfaces of one family on which we announce: the kernel allows 20 memberships a socket. Others are left out.
const INTERFACES_MAX: usize = 16;

/// Datagrams read in one turn of the loop, from each group: more than the machine believes in a second.
const DATAGRAMS_PER_TURN_MAX: usize = 128;

/// After word of a change it is waited so long before the interfaces are looked at: changes come in swarms.
const SETTLE: Duration = Duration::from_millis(300);

/// Without word of changes, interfaces are looked at this often.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);

/// Local discovery, with its sockets.
pub(super) struct LocalDiscovery {
    machine: Lsd,
    /// Where peers reach us.
    port: u16,
    groups: Vec<Group>,
    watch: Option<Watch>,
    scan_at: Option<Instant>,
    buffer: Box<[u8]>,
}

/// Our membership in one of the two groups.
struct Group {
    member: Member,
    receiver: UdpSocket,
    /// There may be something to read.
    readable: bool,
    /// Where we take connections of this family.
    listens: IpAddr,
    /// Interfaces by index, and the address from which we speak there.
    joined: BTreeMap<u32, IpAddr>,
}

impl LocalDiscovery {
    /// Joins on the interfaces where those are who can reach these addresses; nothing if it is not possible here at all.
    pub(super) fn open(
        registry: &Registry,
        tokens: [Token; 3],
        listens: &[SocketAddr],
        now: Instant,
    ) -> Option<LocalDiscovery> {
        let [v4, v6, word] = tokens;
        let mut groups = Vec::new();
        for address in listens {
            let (group, token) = match address {
                SocketAddr::V4(_) => (SocketAddr::from((GROUP_V4, PORT)), v4),
                SocketAddr::V6(_) => (SocketAddr::from((GROUP_V6, PORT)), v6),
            };
            match Group::open(registry, token, group, address.ip()) {
                Ok(group) => groups.push(group),
                Err(error) => tracing::info!(%error, %group, "no local discovery over this family"),
            }
        }
        let (port, machine) = (listens.first()?.port(), Lsd::new(entropy::seed().ok()?, now));
        if groups.is_empty() {
            return None;
        }
        let watch = Watch::open().and_then(|watch| {
            registry.register(&mut SourceFd(&watch.as_raw_fd()), word, Interest::READABLE)?;
            Ok(watch)
        });
        let watch =
            watch.inspect_err(|error| tracing::info!(%error, "interfaces are looked at now and then")).ok();
        let buffer = vec![0; HEARD_LEN_MAX + 1].into();
        let mut discovery = LocalDiscovery { machine, port, groups, watch, scan_at: None, buffer };
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
        for group in self.groups.iter_mut().filter(|group| group.listens.is_ipv6() == family_v6) {
            group.readable = true;
        }
    }

    /// The kernel says that interfaces changed.
    pub(super) fn note_change(&mut self, now: Instant) {
        if self.watch.as_ref().is_some_and(Watch::changed) {
            self.scan_at.get_or_insert(now + SETTLE);
        }
    }

    /// When to take a turn, at the latest.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        if self.groups.iter().any(|group| group.readable) {
            return Some(Instant::ZERO);
        }
        let announces = self.machine.next_wake();
        // Who has nothing to announce needs no interfaces, and sleeps.
        let scan = self.scan_at.filter(|_| self.watch.is_some() || announces.is_some());
        [announces, scan].into_iter().flatten().min()
    }

    /// Reads what came, looks at the interfaces, announces what is due. Returns whom it found.
    pub(super) fn turn(&mut self, now: Instant) -> Vec<(TorrentId, SocketAddr)> {
        if self.scan_at.is_some_and(|at| at <= now) {
            self.scan(now);
        }
        let mut found = Vec::new();
        for number in 0..self.groups.len() {
            for _ in 0..DATAGRAMS_PER_TURN_MAX {
                let Some((search, from)) = self.hear(number) else { break };
                if let Some(search) = search {
                    found.extend(self.tell(now, LsdInput::Heard { from, search: &search }));
                }
            }
        }
        if self.machine.next_wake().is_some_and(|due| due <= now) {
            self.tell(now, LsdInput::Wake);
        }
        found
    }

    /// The next datagram, and what it says if it says anything.
    fn hear(&mut self, number: usize) -> Option<(Option<Search>, SocketAddr)> {
        let group = self.groups.get_mut(number).filter(|group| group.readable)?;
        match group.receiver.recv_from(&mut self.buffer) {
            Ok((len, from)) => {
                let search = Search::decode(self.buffer.get(..len).unwrap_or_default());
                if let Err(error) = &search {
                    tracing::debug!(%error, %from, "not heeded");
                }
                Some((search.ok(), from))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, "local discovery hears nothing");
                }
                group.readable = false;
                None
            }
        }
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
        for group in &self.groups {
            let datagram = search.encode(group.member.group());
            for (&interface, &from) in &group.joined {
                // An interface that is gone, down or full: the next announcement may go.
                if let Err(error) = group.member.send(interface, from, &datagram) {
                    tracing::debug!(%error, interface, "an announcement does not leave");
                }
            }
        }
    }

    /// Joins and leaves as interfaces come and go.
    fn scan(&mut self, now: Instant) {
        self.scan_at = self.watch.is_none().then_some(now + SCAN_INTERVAL);
        let interfaces = match interfaces::list() {
            Ok(interfaces) => interfaces,
            Err(error) => return tracing::debug!(%error, "the interfaces are not known"),
        };
        let mut news = false;
        for group in &mut self.groups {
            news |= group.follow(suitable(&interfaces, group.listens));
        }
        if news {
            self.tell(now, LsdInput::NetworkChanged);
        }
    }
}

impl Group {
    fn open(registry: &Registry, token: Token, group: SocketAddr, listens: IpAddr) -> io::Result<Group> {
        let member = Member::open(group)?;
        let mut receiver = UdpSocket::from_std(member.receiver()?);
        registry.register(&mut receiver, token, Interest::READABLE)?;
        Ok(Group { member, receiver, readable: true, listens, joined: BTreeMap::new() })
    }

    /// Is a member on these interfaces and no others, as far as the kernel allows. Whether there are new ones, or new addresses.
    fn follow(&mut self, wanted: BTreeMap<u32, IpAddr>) -> bool {
        for gone in self.joined.keys().filter(|interface| !wanted.contains_key(interface)) {
            // An interface that went away has taken the membership with it.
            let _ = self.member.leave(*gone);
        }
        let mut joined = BTreeMap::new();
        for (interface, from) in wanted {
            match self.member.join(interface) {
                Ok(()) => drop(joined.insert(interface, from)),
                Err(error) => tracing::debug!(%error, interface, "cannot listen to neighbours here"),
            }
        }
        let news = joined.iter().any(|(interface, from)| self.joined.get(interface) != Some(from));
        self.joined = joined;
        news
    }
}

/// The interfaces beside which somebody may be who can reach us at `listens`, each with the address from which we speak there.
/// Where there are no neighbours at all, other programs of this machine can still be met.
fn suitable(interfaces: &[Interface], listens: IpAddr) -> BTreeMap<u32, IpAddr> {
    if !listens.is_unspecified() {
        let own = interfaces.iter().find(|interface| interface.addresses.contains(&listens));
        return own.map(|interface| (interface.index, listens)).into_iter().collect();
    }
    let on = |fits: fn(&Interface) -> bool| -> BTreeMap<u32, IpAddr> {
        let fitting = interfaces.iter().filter(|interface| fits(interface));
        let speaks = |interface: &Interface| {
            let of_family = |address: &&IpAddr| address.is_ipv4() == listens.is_ipv4();
            Some((interface.index, *interface.addresses.iter().find(of_family)?))
        };
        fitting.filter_map(speaks).take(INTERFACES_MAX).collect()
    };
    let beside = on(|interface| interface.neighbours);
    if beside.is_empty() { on(|interface| interface.loopback) } else { beside }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(index: u32, kind: &str, addresses: &[&str]) -> Interface {
        Interface {
            index,
            name: format!("if{index}"),
            loopback: kind == "loopback",
            neighbours: kind == "ethernet",
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn what_is_said_goes_where_somebody_can_reach_us_and_nowhere_else() {
        let lo = interface(1, "loopback", &["127.0.0.1", "::1"]);
        let wired = interface(2, "ethernet", &["192.168.1.7", "fe80::7", "2001:db8::7"]);
        let tunnel = interface(3, "tunnel", &["10.8.0.2", "fe80::3"]);
        let link_local = interface(4, "ethernet", &["169.254.9.9"]);
        let only_v6 = interface(5, "ethernet", &["fe80::5"]);
        let all = [lo.clone(), wired.clone(), tunnel.clone(), link_local.clone(), only_v6.clone()];
        for (interfaces, listens, expected) in [
            // Everywhere but in tunnels; addresses of any kind will do.
            (&all[..], "0.0.0.0", &[(2, "192.168.1.7"), (4, "169.254.9.9")][..]),
            (&all, "::", &[(2, "fe80::7"), (5, "fe80::5")]),
            // At one address: on its interface, whatever that is.
            (&all, "192.168.1.7", &[(2, "192.168.1.7")]),
            (&all, "127.0.0.1", &[(1, "127.0.0.1")]),
            (&all, "10.8.0.2", &[(3, "10.8.0.2")]),
            (&all, "192.168.1.8", &[]),
            // Nobody beside us: this machine alone.
            (&[lo.clone(), tunnel.clone()], "0.0.0.0", &[(1, "127.0.0.1")]),
            (&[lo.clone(), link_local.clone()], "::", &[(1, "::1")]),
            (&[], "0.0.0.0", &[]),
        ] {
            let expected: BTreeMap<u32, IpAddr> =
                expected.iter().map(|&(index, address)| (index, address.parse().unwrap())).collect();
            assert_eq!(suitable(interfaces, listens.parse().unwrap()), expected, "{listens}");
        }
        let many: Vec<Interface> =
            (1..40).map(|n| interface(n, "ethernet", &[&format!("10.0.{n}.1")])).collect();
        assert_eq!(suitable(&many, "0.0.0.0".parse().unwrap()).len(), INTERFACES_MAX);
    }
}

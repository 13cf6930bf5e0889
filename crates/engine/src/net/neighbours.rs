//! Two multicast groups, one for each address family, over every interface beside which there may be neighbours, whatever
//! interfaces come and go. BEP: 14. Threats: D9, G1
//!
//! Knows datagrams, not what they say, nor when to say it. What always holds: nothing is said on an interface where nobody could
//! reach us, so who listens at one address alone is a member on its interface alone; a fault of a socket or an interface is
//! noted and never disturbs who waits.

use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use os::interfaces::{self, Interface, Watch};
use os::multicast::Member;
use proto::{Duration, Instant};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// Interfaces of one family on which we announce: the kernel allows 20 memberships a socket. Others are left out.
const INTERFACES_MAX: usize = 16;

/// Datagrams read in one turn, from each group: more than any machine believes in a second.
const DATAGRAMS_PER_TURN_MAX: usize = 128;

/// After word of a change it is waited so long before the interfaces are looked at: changes come in swarms.
const SETTLE: Duration = Duration::from_millis(300);

/// Without word of changes, interfaces are looked at this often.
const SCAN_INTERVAL: Duration = Duration::from_secs(5);

/// Our memberships in a pair of groups.
pub(super) struct Neighbours {
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
    /// Where we can be reached over this family.
    listens: IpAddr,
    /// Interfaces by index, and the address from which we speak there.
    joined: BTreeMap<u32, IpAddr>,
}

impl Neighbours {
    /// Joins on the interfaces where those are who can reach us at these addresses; nothing if it is not possible here at all. Of
    /// each datagram so many bytes are read, and one more, that shows the longer ones.
    pub(super) fn open(
        registry: &Registry,
        tokens: [Token; 3],
        groups: [SocketAddr; 2],
        listens: impl IntoIterator<Item = IpAddr>,
        heard_len_max: usize,
        now: Instant,
    ) -> Option<Neighbours> {
        let ([v4, v6, word], [group_v4, group_v6]) = (tokens, groups);
        let mut groups = Vec::new();
        for listens in listens {
            let (group, token) = if listens.is_ipv4() { (group_v4, v4) } else { (group_v6, v6) };
            match Group::open(registry, token, group, listens) {
                Ok(group) => groups.push(group),
                Err(error) => tracing::info!(%error, %group, "no word to neighbours over this family"),
            }
        }
        if groups.is_empty() {
            return None;
        }
        let watch = Watch::open().and_then(|watch| {
            registry.register(&mut SourceFd(&watch.as_raw_fd()), word, Interest::READABLE)?;
            Ok(watch)
        });
        let watch =
            watch.inspect_err(|error| tracing::info!(%error, "interfaces are looked at now and then")).ok();
        let buffer = vec![0; heard_len_max + 1].into();
        Some(Neighbours { groups, watch, scan_at: Some(now), buffer })
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

    /// Whether there may be something to read.
    pub(super) fn readable(&self) -> bool {
        self.groups.iter().any(|group| group.readable)
    }

    /// When to look at the interfaces. Who has nothing to say needs none, and sleeps until there is word of a change.
    pub(super) fn next_scan(&self, speaks: bool) -> Option<Instant> {
        self.scan_at.filter(|_| self.watch.is_some() || speaks)
    }

    /// Joins and leaves as interfaces come and go, if it is time to look. Whether there are new ones, or new addresses: whoever is
    /// there now has not heard of us.
    pub(super) fn scan(&mut self, now: Instant) -> bool {
        if self.scan_at.is_none_or(|at| at > now) {
            return false;
        }
        self.scan_at = self.watch.is_none().then_some(now + SCAN_INTERVAL);
        let interfaces = match interfaces::list() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::debug!(%error, "the interfaces are not known");
                return false;
            }
        };
        let mut news = false;
        for group in &mut self.groups {
            news |= group.follow(suitable(&interfaces, group.listens));
        }
        news
    }

    /// Reads what came, and hands in each datagram with its sender: as many as are read in one turn.
    pub(super) fn hear(&mut self, mut heard: impl FnMut(&[u8], SocketAddr)) {
        for group in &mut self.groups {
            for _ in 0..DATAGRAMS_PER_TURN_MAX {
                let Some((len, from)) = group.receive(&mut self.buffer) else { break };
                heard(self.buffer.get(..len).unwrap_or_default(), from);
            }
        }
    }

    /// Says to each group, over every interface, what there is to be said to it.
    pub(super) fn say(&self, datagram: impl Fn(SocketAddr) -> Vec<u8>) {
        for group in &self.groups {
            let datagram = datagram(group.member.group());
            for (&interface, &from) in &group.joined {
                // An interface that is gone, down or full: what is said next may go.
                if let Err(error) = group.member.send(interface, from, &datagram) {
                    tracing::debug!(%error, interface, "a word to neighbours does not leave");
                }
            }
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
    /// The next datagram's length and sender, if there is one.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if !self.readable {
            return None;
        }
        match self.receiver.recv_from(buffer) {
            Ok(heard) => Some(heard),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, "nothing is heard of neighbours");
                }
                self.readable = false;
                None
            }
        }
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

//! What attackers name as peers (BEP 11): victims, machines of whoever hears it, peers that do not exist.
//!
//! All addresses are from blocks that are for documentation and benchmarks or for private networks (RFC 5737, 2544, 1918), so that
//! nobody outside is ever dialled, whoever runs this over real sockets. Threats: C6, C10

use super::habit::Names;
use core::net::{Ipv4Addr, SocketAddr};
use proto::Rng;
use wire::pex::{PexFlags, PexMessage, PexPeer};

/// The host that is to be dialled by everybody, and is no peer.
pub const VICTIM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// Where it answers, above the ports that need no rule against them.
pub const VICTIM_PORT: u16 = 8080;
/// Peers in one message: what BEP 11 allows.
const NAMED: u32 = 50;
/// Ports where servers listen.
const SERVER_PORTS: [u16; 6] = [22, 25, 53, 80, 443, 1023];
/// Machines that are somebody else's for everybody who hears of them.
const NEIGHBOURS: [([u8; 4], u16); 5] = [
    ([127, 0, 0, 1], 6881),
    ([10, 0, 0, 1], 6881),
    ([192, 168, 1, 1], 8080),
    ([172, 16, 0, 1], 8080),
    ([169, 254, 169, 254], 8080),
];

/// The next message.
pub(super) fn message(names: Names, rng: &mut Rng) -> PexMessage {
    let addresses: Vec<SocketAddr> = match names {
        Names::Victim => vec![SocketAddr::from((VICTIM, VICTIM_PORT))],
        Names::Servers => SERVER_PORTS.map(|port| SocketAddr::from((VICTIM, port))).to_vec(),
        Names::Neighbours => NEIGHBOURS.map(SocketAddr::from).to_vec(),
        Names::Crowd => (0..NAMED).map(|_| made_up(rng)).collect(),
    };
    let added = addresses.into_iter().map(|address| PexPeer { address, flags: PexFlags::REACHABLE });
    PexMessage { added: added.collect(), dropped: Vec::new() }
}

/// Somewhere in 198.18.0.0/15.
fn made_up(rng: &mut Rng) -> SocketAddr {
    let host = Ipv4Addr::from_bits(0xc612_0000 | rng.below(1 << 17));
    SocketAddr::from((host, 1024 + rng.below(60_000) as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::Seed;

    #[test]
    fn nobody_outside_is_named() {
        let mut rng = Rng::new(Seed(3));
        for names in [Names::Victim, Names::Servers, Names::Neighbours, Names::Crowd] {
            for PexPeer { address, .. } in (0..100).flat_map(|_| message(names, &mut rng).added) {
                let SocketAddr::V4(address) = address else { panic!("{address}") };
                let ip = *address.ip();
                let for_benchmarks = ip.octets()[0] == 198 && ip.octets()[1] & 0xfe == 18;
                let nobodys = ip.is_private() || ip.is_loopback() || ip.is_link_local();
                assert!(for_benchmarks || nobodys || ip.is_documentation(), "{ip}");
            }
        }
    }
}

//! Where the edge may go on a stranger's word. A torrent names its trackers, and a server names where it redirects to; neither
//! may make us talk to what only this machine, or its network, can reach.
//!
//! Pure: looks no name up. Whoever resolves a name asks about every address, and then connects to a checked address and no
//! other, so that a name that changes its mind between the check and the visit gains nothing. Threats: E1

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// What we go there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Errand {
    /// An announce to a tracker that a torrent names.
    Tracker,
    /// A question for counts to such a tracker, by the URL that BEP 48 makes of the other.
    Scrape,
    /// A `.torrent` file behind a URL that the user gave.
    TorrentFile,
    /// Content from a web server that a torrent names.
    WebSeed,
}

/// Why we do not go there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Forbidden {
    /// Neither a tracker nor a torrent file is reached that way.
    #[error("its scheme is not one that is used for this")]
    Scheme,
    /// There is nobody to ask.
    #[error("it names no host")]
    NoHost,
    /// It names no port, and its scheme has none by custom.
    #[error("it names no port")]
    NoPort,
    /// Something on this machine that does not look like a tracker.
    #[error("it leads to this machine, and its path does not begin with /announce")]
    Loopback,
    /// Something near us that could be told to do things by what follows the question mark.
    #[error("it leads to this machine or its network, and bears a query")]
    LocalQuery,
    /// Something near us that asks for a name and a password, which are not the torrent's to give: a router, a camera.
    #[error("it leads to this machine or its network, and bears a name or a password")]
    LocalCredentials,
    /// No host of its own: unspecified, multicast, broadcast, reserved.
    #[error("it leads to an address that is no host's")]
    NoAddress,
    /// Where clouds keep their keys.
    #[error("it leads to a metadata service")]
    Metadata,
    /// From the open network into ours.
    #[error("a server outside redirects to an address inside")]
    Inward,
}

/// How far away an address is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Reach {
    /// This machine.
    Loopback,
    /// Networks that are somebody's own: private, link-local, carrier-grade NAT, unique local.
    Inside,
    /// The open network.
    Outside,
}

/// Whether this URL may be visited at all. Its addresses are asked about one by one.
pub(crate) fn check_url(url: &Url, errand: Errand) -> Result<(), Forbidden> {
    match (url.scheme(), errand) {
        ("http" | "https", Errand::Tracker | Errand::Scrape | Errand::TorrentFile | Errand::WebSeed)
        | ("udp", Errand::Tracker | Errand::Scrape) => {}
        _ => return Err(Forbidden::Scheme),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Forbidden::NoHost);
    }
    match url.port_or_known_default() {
        None | Some(0) => Err(Forbidden::NoPort),
        Some(_) => Ok(()),
    }
}

/// Whether this URL may be visited at this address. `from` is the address that redirected here, if one did.
pub(crate) fn check_address(
    url: &Url,
    errand: Errand,
    ip: IpAddr,
    from: Option<IpAddr>,
) -> Result<Reach, Forbidden> {
    let reach = reach(ip)?;
    let came_from = from.map_or(Ok(Reach::Loopback), self::reach)?;
    if came_from == Reach::Outside && reach != Reach::Outside {
        return Err(Forbidden::Inward);
    }
    // A tracker beside us is a common and honest set-up; any other service here is none of a torrent's business.
    let asks_like_a_tracker = url.scheme() == "udp"
        || url.path().starts_with("/announce")
        || (errand == Errand::Scrape && url.path().starts_with("/scrape"));
    match (reach, errand) {
        (Reach::Loopback, Errand::Tracker | Errand::Scrape) if !asks_like_a_tracker => {
            Err(Forbidden::Loopback)
        }
        // A file server at home is honest, too; a form that does something when it is fetched is none.
        (Reach::Loopback | Reach::Inside, Errand::WebSeed) if url.query().is_some() => {
            Err(Forbidden::LocalQuery)
        }
        (Reach::Loopback | Reach::Inside, Errand::WebSeed) if has_credentials(url) => {
            Err(Forbidden::LocalCredentials)
        }
        _ => Ok(reach),
    }
}

/// Whether a URL bears a name or a password.
fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The address that a URL names without asking anybody.
pub(crate) fn literal_address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
        Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        // Of schemes that it does not know, the URL parser leaves addresses as names.
        Host::Domain(name) => name.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// How far away an address is, or why nobody is to be found there.
pub(crate) fn reach(ip: IpAddr) -> Result<Reach, Forbidden> {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => match carried_v4(ip) {
            Some(inner) => reach_v4(inner),
            None => reach_v6(ip),
        },
    }
}

fn reach_v4(ip: Ipv4Addr) -> Result<Reach, Forbidden> {
    match ip.octets() {
        // AWS and most others; AWS containers; Alibaba; Oracle; Azure.
        [169, 254, 169, 254] | [169, 254, 169, 253] | [169, 254, 170, 2] | [169, 254, 170, 23] => {
            Err(Forbidden::Metadata)
        }
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Err(Forbidden::Metadata),
        [0, ..] | [224..=255, ..] => Err(Forbidden::NoAddress),
        [127, ..] => Ok(Reach::Loopback),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] | [100, 64..=127, ..] => {
            Ok(Reach::Inside)
        }
        // Protocol assignments, benchmarks: no public host is there, but somebody's own may be.
        [192, 0, 0, _] | [198, 18..=19, ..] => Ok(Reach::Inside),
        _ => Ok(Reach::Outside),
    }
}

fn reach_v6(ip: Ipv6Addr) -> Result<Reach, Forbidden> {
    // AWS and Google over IPv6.
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    ];
    if METADATA.contains(&ip) {
        return Err(Forbidden::Metadata);
    }
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Ok(Reach::Loopback),
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xff00..=0xffff, ..] => Err(Forbidden::NoAddress),
        [0xfc00..=0xfdff, ..] | [0xfe80..=0xfeff, ..] => Ok(Reach::Inside),
        // Only 2000::/3 is given out; what lies outside and is not named above is no host's.
        [0x2000..=0x3fff, ..] => Ok(Reach::Outside),
        _ => Err(Forbidden::NoAddress),
    }
}

/// The IPv4 address inside an IPv6 address that some translator or tunnel would unpack.
fn carried_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // Mapped, and translated in the older manner (SIIT).
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(v4(high, low)),
        // Compatible; but :: and ::1 are what they are.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => Some(v4(high, low)),
        // NAT64, well-known and local prefix.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => Some(v4(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => Some(v4(high, low)),
        // Teredo: the client's address, inverted.
        [0x2001, 0, _, _, _, _, high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! The page of a share: what is on it, and where a phone finds it, as receivers find the share.

use gannet::Listen;
use gannet::page::{PAGE_FILES_MAX, Page, PageContent, PageFile};
use gannet::sharing::{ListedFile, Listing};
use os::interfaces::{self, Interface};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Addresses that are shown: a machine may have dozens, and nobody types them.
const SHOWN_MAX: usize = 3;

/// Opens the page of what was listed.
pub(super) fn open(listing: &Listing, listen: &Listen) -> io::Result<Page> {
    let files = listing.files.iter().take(PAGE_FILES_MAX + 1).filter_map(on_page).collect();
    Page::open(PageContent { title: listing.name.clone(), files }, listen)
}

/// A file as the page wants it: what the user named himself may be a link, what lies beneath may not.
fn on_page(file: &ListedFile) -> Option<PageFile> {
    let beneath = file.path.len().checked_sub(1)?;
    let named = file.source.ancestors().nth(beneath)?.canonicalize().ok()?;
    let (root, name) = (named.parent()?.to_owned(), Path::new(named.file_name()?));
    let path = file.path.get(1..)?.iter().fold(PathBuf::from(name), |path, part| path.join(part));
    Some(PageFile { root, path, len: file.len })
}

/// Where a browser on the local network finds it.
pub(super) fn urls(page: &Page) -> Vec<String> {
    let at = reachable(page.local_addrs(), &interfaces::list().unwrap_or_default());
    at.into_iter().map(|at| format!("http://{at}{}", page.path())).collect()
}

/// Where who listens at these addresses is found on the local network.
pub(super) fn found_at(listens: &[SocketAddr]) -> Vec<SocketAddr> {
    reachable(listens, &interfaces::list().unwrap_or_default())
}

/// Addresses of the interfaces instead of those that stand for all; what neighbours are likeliest to reach comes first.
fn reachable(listens: &[SocketAddr], interfaces: &[Interface]) -> Vec<SocketAddr> {
    let mut found: Vec<(u8, SocketAddr)> = Vec::new();
    for &at in listens {
        if !at.ip().is_unspecified() {
            found.push((0, at));
            continue;
        }
        for interface in interfaces {
            let of_family = interface.addresses.iter().filter(|ip| ip.is_ipv4() == at.is_ipv4());
            found.extend(
                of_family.filter_map(|ip| Some((rank(*ip, interface)?, SocketAddr::new(*ip, at.port())))),
            );
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().take(SHOWN_MAX).map(|(_, at)| at).collect()
}

/// How likely neighbours reach this address. Of `fe80::` who is told it would have to know on which of his interfaces it is meant,
/// and a browser has no way to say so.
fn rank(ip: IpAddr, interface: &Interface) -> Option<u8> {
    if interface.loopback {
        return None;
    }
    let tunnel = if interface.neighbours { 0 } else { 4 };
    match ip {
        IpAddr::V4(ip) if ip.is_link_local() => Some(tunnel + 1),
        IpAddr::V4(_) => Some(tunnel),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => None,
        IpAddr::V6(ip) if ip.is_unique_local() => Some(tunnel + 2),
        IpAddr::V6(_) => Some(tunnel + 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[&str]) -> Interface {
        Interface {
            index: 1,
            name: name.into(),
            loopback: name == "lo",
            neighbours: name != "lo" && !name.starts_with("tun"),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn the_address_that_a_phone_reaches_comes_first() {
        let interfaces = [
            interface("lo", &["127.0.0.1", "::1"]),
            interface("tun0", &["10.8.0.2"]),
            interface("wlan0", &["fe80::1", "192.168.0.7", "2001:db8::7"]),
        ];
        let both = [SocketAddr::from(([0; 16], 8000)), SocketAddr::from(([0; 4], 8000))];
        let expected = ["192.168.0.7:8000", "[2001:db8::7]:8000", "10.8.0.2:8000"];
        assert_eq!(reachable(&both, &interfaces), expected.map(|at| at.parse().unwrap()));
        let bound = [SocketAddr::from(([127, 0, 0, 1], 8000))];
        assert_eq!(reachable(&bound, &interfaces), bound);
        assert!(reachable(&both, &interfaces[..1]).is_empty(), "no neighbour is on our loopback");
    }

    #[test]
    fn what_the_user_named_may_be_a_link_to_elsewhere() {
        let temp = tempfile::tempdir().unwrap();
        let real = temp.path().canonicalize().unwrap();
        std::fs::create_dir_all(real.join("elsewhere/inner")).unwrap();
        std::fs::write(real.join("elsewhere/inner/a"), "a").unwrap();
        std::os::unix::fs::symlink(real.join("elsewhere"), real.join("named")).unwrap();
        let listing = Listing::of(&[real.join("named")], |_| {}).unwrap();
        let files: Vec<PageFile> = listing.files.iter().filter_map(on_page).collect();
        assert_eq!(files, [PageFile { root: real, path: "elsewhere/inner/a".into(), len: 1 }]);
    }
}

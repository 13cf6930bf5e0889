//! Local discovery (BEP 14): hosts on one network, no tracker, no peer named by anybody, and a link that holds the info-hash alone.
//! With libtorrent both ways; and among ourselves where the network is poorer than usual. No host has a route to elsewhere.

use super::client::{Client, Kind, Role, Settings};
use super::{Case, Content};
use crate::lab::process::output;
use crate::lab::{Host, Lab};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
/// Far below the five minutes between announcements: whoever comes must be met by what is said at once.
const LIMIT: Duration = Duration::from_secs(40);

/// What the network has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    Usual,
    NoIpv6,
    /// `fe80::` alone: no IPv4, and nobody gives addresses out.
    LinkLocalIpv6,
    /// 169.254/16 alone, as machines take when nobody gives addresses out.
    LinkLocalIpv4,
    /// The newcomer starts before its cable is in.
    LateCable,
}

pub(super) fn cases() -> Vec<Case> {
    use Kind::{Gannet, Libtorrent};
    let cases = [
        ([Libtorrent, Gannet], Network::Usual, "the hash alone"),
        ([Gannet, Libtorrent], Network::Usual, "the hash alone"),
        ([Gannet, Gannet], Network::Usual, "the hash alone"),
        ([Gannet, Gannet], Network::NoIpv6, "no IPv6"),
        ([Gannet, Gannet], Network::LinkLocalIpv6, "only fe80:: addresses"),
        ([Gannet, Gannet], Network::LinkLocalIpv4, "only 169.254/16 addresses"),
        ([Gannet, Gannet], Network::LateCable, "a cable that comes later"),
    ];
    let case = |(kinds, network, what): ([Kind; 2], Network, &str)| {
        let name = format!("local discovery: {} -> {}, {what}", kinds[0], kinds[1]);
        Case::new(name, move |lab, dir| fetch(lab, dir, kinds, network))
    };
    cases.map(case).into()
}

fn fetch(lab: &Lab, dir: &Path, kinds: [Kind; 2], network: Network) -> Result<String> {
    let [seed_host, leech_host] = [lab.host()?, lab.host()?];
    lay(network, [seed_host, leech_host])?;
    let shared = Content::Files(100).share(dir, 16 * 1024, &[])?;
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let settings = Settings { lsd: true, ..Settings::default() };
    let mut seeder = Client::start_with(kinds[0], seed_host, "seeder", role, dir, &settings)?;
    seeder.wait_complete(LIMIT)?;
    // Its first words, and their repeats, are over: it must hear the newcomer's, or answer them.
    std::thread::sleep(Duration::from_secs(15));
    let magnet = format!("magnet:?xt=urn:btih:{}", shared.info_hash()?);
    let settings = Settings { magnet: Some(&magnet), ..settings };
    let copy = dir.join("copy");
    let role = Role { torrent: Path::new("none"), dir: &copy, ..role };
    let mut began = Instant::now();
    let mut leecher = Client::start_with(kinds[1], leech_host, "leecher", role, dir, &settings)?;
    if network == Network::LateCable {
        // Longer than what is new is repeated.
        std::thread::sleep(Duration::from_secs(20));
        ip(leech_host, &["link", "set", "eth0", "up"])?;
        began = Instant::now();
    }
    leecher.wait_complete(LIMIT)?;
    let took = began.elapsed().as_secs_f64();
    leecher.stop()?;
    shared.same_in_copy_of(kinds[1], &copy)?;
    let since = if network == Network::LateCable { "cable" } else { "start" };
    Ok(format!("{} bytes, {took:.1} s from the newcomer's {since}", shared.size))
}

fn lay(network: Network, hosts: [Host; 2]) -> Result<()> {
    match network {
        Network::Usual => Ok(()),
        Network::NoIpv6 => hosts.into_iter().try_for_each(without_ipv6),
        Network::LinkLocalIpv6 => hosts.into_iter().try_for_each(|host| {
            ip(host, &["addr", "del", "127.0.0.1/8", "dev", "lo"])?;
            ip(host, &["-4", "addr", "flush", "dev", "eth0"])
        }),
        Network::LinkLocalIpv4 => (7..).zip(hosts).try_for_each(|(number, host)| {
            without_ipv6(host)?;
            ip(host, &["addr", "flush", "dev", "eth0"])?;
            ip(host, &["addr", "add", &format!("169.254.77.{number}/16"), "dev", "eth0"])
        }),
        Network::LateCable => ip(hosts[1], &["link", "set", "eth0", "down"]),
    }
}

fn without_ipv6(host: Host) -> Result<()> {
    output(host.command("sysctl").args(["-qw", "net.ipv6.conf.all.disable_ipv6=1"])).map(drop)
}

fn ip(host: Host, words: &[&str]) -> Result<()> {
    output(host.command("ip").args(words)).map(drop)
}

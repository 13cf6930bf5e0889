//! Poor networks: only `fe80::` addresses, only 169.254/16, no default route, a VPN beside it that takes the default route, multicast
//! that does not pass. What is shared is a folder with everything that may come along.

use super::Home;
use super::content;
use super::figures::Figures;
use super::sides::{SOON, Side};
use crate::lab::Host;
use crate::lab::process::{Running, output};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

/// The first byte of payload after the receiver's start.
const BEGAN_MAX: f64 = 2.0;
/// "Nobody is heard" after the receiver's start.
const SILENCE_MAX: f64 = 5.0;

/// What the network has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    LinkLocalIpv6,
    LinkLocalIpv4,
    /// As the lab's hosts are: one network, and no route to elsewhere.
    NoDefaultRoute,
    /// A tunnel on each host, with the default route, which leads nowhere.
    BesideVpn,
    NoMulticast,
}

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let source = home.dir.join("things");
    content::folder(&source)?;
    for (network, name) in [
        (Network::LinkLocalIpv6, "only fe80:: addresses"),
        (Network::LinkLocalIpv4, "only 169.254/16 addresses"),
        (Network::NoDefaultRoute, "no default route"),
        (Network::BesideVpn, "beside a VPN"),
        (Network::NoMulticast, "no multicast"),
    ] {
        if let Err(error) = fetch(home, network, name, figures) {
            figures.failed(&error.context(name));
        }
        let _ = fs::remove_dir_all(home.dir.join("work"));
    }
    Ok(())
}

fn fetch(home: &Home, network: Network, name: &str, figures: &mut Figures) -> Result<()> {
    let hosts = [home.lab.host()?, home.lab.host()?];
    let _tunnels = lay(home, network, hosts)?;
    let (source, work) = (home.dir.join("things"), home.dir.join("work"));
    let mut sharer = Side::share(home, hosts[0], &[&source], &work, &["--no-web"])?;
    let (_, code) = sharer.code()?;
    let into = work.join("got");
    let mut receiver = if network == Network::NoMulticast {
        let mut deaf = Side::receive(home, hosts[1], "deaf", &code, &into, &[])?;
        let (after, line) = deaf.wait("silence", SOON)?;
        figures.at_most(format!("{name}: said so after"), after.as_secs_f64(), SILENCE_MAX, " s");
        let advice = line["advice"].as_str().unwrap_or_default().to_owned();
        figures.must(format!("{name}: names --peer"), format!("{advice:?}"), advice.contains("--peer"));
        ensure!(!deaf.has_said("found"), "{name}: the sharer was found, so nothing was blocked");
        deaf.running.kill()?;
        let peer = SocketAddr::from((hosts[0].address(), sharer.port()?));
        Side::receive(home, hosts[1], "receiver", &code, &into, &["--peer", &peer.to_string()])?
    } else {
        Side::receive(home, hosts[1], "receiver", &code, &into, &[])?
    };
    let (began, _) = receiver.wait("began", SOON)?;
    figures.at_most(format!("{name}: first payload after"), began.as_secs_f64(), BEGAN_MAX, " s");
    receiver.wait("finished", SOON)?;
    let at = receiver.latest("found").as_ref().and_then(|line| line["address"].as_str().map(str::to_owned));
    receiver.stop()?;
    sharer.stop()?;
    content::same(&source, &into.join("things"))?;
    figures.must(
        format!("{name}: everything came along"),
        format!("from {}", at.unwrap_or_else(|| "--peer".into())),
        true,
    );
    Ok(())
}

/// Makes the network what the case wants; what it gives back must live as long as that.
fn lay(home: &Home, network: Network, hosts: [Host; 2]) -> Result<Vec<Running>> {
    match network {
        Network::NoDefaultRoute => {
            let routes = output(hosts[1].command("ip").args(["route", "show", "default"]))?;
            ensure!(routes.trim().is_empty(), "there is a default route: {routes}");
        }
        Network::LinkLocalIpv6 => hosts.into_iter().try_for_each(|host| {
            ip(host, &["addr", "del", "127.0.0.1/8", "dev", "lo"])?;
            ip(host, &["-4", "addr", "flush", "dev", "eth0"])
        })?,
        Network::LinkLocalIpv4 => (7..).zip(hosts).try_for_each(|(number, host)| {
            without_ipv6(host)?;
            ip(host, &["addr", "flush", "dev", "eth0"])?;
            ip(host, &["addr", "add", &format!("169.254.78.{number}/16"), "dev", "eth0"])
        })?,
        Network::BesideVpn => {
            return (7..).zip(hosts).map(|(number, host)| tunnel(home, host, number)).collect();
        }
        // Neither IPv6's neighbours are found then: only what goes by broadcasts, IPv4's ARP, still works.
        Network::NoMulticast => hosts.into_iter().try_for_each(|host| host.let_multicast_through(false))?,
    }
    settle(hosts)?;
    Ok(Vec::new())
}

/// A tunnel with the default route, and a process that holds its other end and answers nothing.
fn tunnel(home: &Home, host: Host, number: u8) -> Result<Running> {
    let mut command = host.command("python3");
    command.arg(crate::root().join("xtask/peers/dead_tunnel.py"));
    let mut tunnel = Running::start(&format!("tunnel-{number}"), &home.dir, &mut command)?;
    let line = tunnel.wait_for(SOON, |line| serde_json::from_str::<Value>(line).ok())?;
    let name = line["tunnel"].as_str().context("no tunnel")?.to_owned();
    ip(host, &["addr", "add", &format!("10.99.0.{number}/24"), "dev", &name])?;
    ip(host, &["link", "set", &name, "up"])?;
    ip(host, &["route", "add", "default", "dev", &name])?;
    ip(host, &["route", "add", "224.0.0.0/4", "dev", &name])?;
    Ok(tunnel)
}

/// IPv6 addresses are not used before it is sure that nobody else has them.
fn settle(hosts: [Host; 2]) -> Result<()> {
    for host in hosts {
        let tentative =
            || output(host.command("ip").args(["-6", "addr", "show", "dev", "eth0", "tentative"]));
        let until = std::time::Instant::now() + SOON;
        while !tentative()?.trim().is_empty() {
            ensure!(std::time::Instant::now() < until, "an address stays tentative");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

fn without_ipv6(host: Host) -> Result<()> {
    output(host.command("sysctl").args(["-qw", "net.ipv6.conf.all.disable_ipv6=1"])).map(drop)
}

fn ip(host: Host, words: &[&str]) -> Result<()> {
    output(host.command("ip").args(words)).map(drop)
}

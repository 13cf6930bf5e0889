//! What home networks do: one address family is missing, or the cable is pulled and put back.

use super::client::{Client, Kind, Role};
use super::{Case, Content};
use crate::lab::process::output;
use crate::lab::{Host, Lab};
use anyhow::{Result, ensure};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const SIZE: u64 = 20_000_000;
/// So slow that the cable is out in the middle.
const UPLINK: u64 = 2_000_000;
/// Long enough for the kernel to notice, shorter than peers have patience.
const CABLE_OUT: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(180);

/// What is wrong with the network.
#[derive(Clone, Copy)]
enum Weather {
    NoIpv6,
    NoIpv4,
    CableOut,
}

pub(super) fn cases() -> Vec<Case> {
    let named = [
        ("everyday: no IPv6", Weather::NoIpv6),
        ("everyday: no IPv4", Weather::NoIpv4),
        ("everyday: the cable is out for 15 s", Weather::CableOut),
    ];
    let case = |(name, weather): (&str, Weather)| -> Case {
        Case::new(name, move |lab, dir| transfer(lab, dir, weather))
    };
    named.map(case).into()
}

fn transfer(lab: &Lab, dir: &Path, weather: Weather) -> Result<String> {
    let shared = Content::OneFile(SIZE).share(dir, 256 * 1024, &[])?;
    let hosts = [lab.host()?, lab.host()?];
    let mut address = SocketAddr::new(hosts[0].address().into(), PORT);
    match weather {
        Weather::NoIpv6 => hosts.into_iter().try_for_each(without_ipv6)?,
        Weather::NoIpv4 => {
            for (number, host) in (1..).zip(hosts) {
                let ip = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number);
                only_ipv6(host, ip)?;
                address = if number == 1 { SocketAddr::new(ip.into(), PORT) } else { address };
            }
        }
        Weather::CableOut => hosts[0].limit_uplink(UPLINK)?,
    }
    let role = |dir, peers, stay| Role { torrent: &shared.torrent, dir, port: PORT, peers, stay };
    let mut seeder = Client::start(Kind::Gannet, hosts[0], "seeder", role(&shared.dir, &[], true), dir)?;
    seeder.wait_complete(LIMIT)?;
    let got = dir.join("got");
    let began = Instant::now();
    let peers = [address];
    let mut leecher = Client::start(Kind::Gannet, hosts[1], "leecher", role(&got, &peers, false), dir)?;
    if let Weather::CableOut = weather {
        while leecher.status()?.done < SIZE / 4 {
            ensure!(began.elapsed() < LIMIT, "nothing comes: {}", leecher.running.log_tail());
            std::thread::sleep(Duration::from_millis(100));
        }
        ip(hosts[1], &["link", "set", "eth0", "down"])?;
        std::thread::sleep(CABLE_OUT);
        ensure!(leecher.status()?.done < SIZE, "the cable was out, and all came");
        ip(hosts[1], &["link", "set", "eth0", "up"])?;
    }
    leecher.wait_complete(LIMIT)?;
    let took = began.elapsed();
    leecher.stop()?;
    shared.same_in(&got)?;
    Ok(format!("{:.1} MB/s", SIZE as f64 / 1e6 / took.as_secs_f64()))
}

fn without_ipv6(host: Host) -> Result<()> {
    output(host.command("sysctl").args(["-qw", "net.ipv6.conf.all.disable_ipv6=1"]))?;
    output(host.command("sysctl").args(["-qw", "net.ipv6.conf.default.disable_ipv6=1"])).map(drop)
}

/// IPv4 is gone even from the loopback.
fn only_ipv6(host: Host, address: Ipv6Addr) -> Result<()> {
    ip(host, &["addr", "flush", "dev", "eth0"])?;
    ip(host, &["addr", "del", "127.0.0.1/8", "dev", "lo"])?;
    ip(host, &["addr", "add", &format!("{address}/64"), "dev", "eth0", "nodad"])
}

fn ip(host: Host, words: &[&str]) -> Result<()> {
    output(host.command("ip").args(words)).map(drop)
}

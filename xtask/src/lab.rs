//! A small network of our own to run real clients in: hosts as network namespaces on one bridge, nothing outside reachable.
//!
//! The process that uses it lives in a namespace of its own too (see [`enter`]), so whatever goes wrong, no packet leaves.

pub(crate) mod process;

use crate::peers;
use anyhow::{Context, Result, bail};
use process::run;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the re-executed process, which is inside the private namespaces.
const INSIDE: &str = "GANNET_XTASK_INSIDE";

/// Sets up the peers, then runs this very command again inside network and mount namespaces of its own; returns only there.
pub(crate) fn enter() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    // From where there is a way out to what is missing.
    peers::set_up()?;
    let me = std::env::current_exe().context("own path")?;
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(me)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    bail!("cannot make a private network (this needs root and `unshare` from util-linux): {error}")
}

/// The bridge and its hosts.
pub(crate) struct Lab {
    hosts: u8,
}

/// One machine of the lab, with an address of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Host(u8);

impl Lab {
    /// The bridge, with the address of [`Lab::own_address`] for ourselves. Call [`enter`] before.
    pub(crate) fn new() -> Result<Lab> {
        // `ip netns` keeps its names under /run/netns: a private one, so that runs cannot meet.
        run("mkdir", &["-p", "/run/netns"])?;
        run("mount", &["-t", "tmpfs", "tmpfs", "/run/netns"])?;
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["link", "add", "lab", "type", "bridge"])?;
        run("ip", &["addr", "add", "10.77.0.1/24", "dev", "lab"])?;
        run("ip", &["link", "set", "lab", "up"])?;
        Ok(Lab { hosts: 0 })
    }

    /// Where the test itself, and the tracker, can be reached.
    pub(crate) fn own_address(&self) -> Ipv4Addr {
        Host::OWN.address()
    }

    /// One more host.
    pub(crate) fn host(&mut self) -> Result<Host> {
        self.hosts = self.hosts.checked_add(1).filter(|&hosts| hosts < 250).context("too many hosts")?;
        let host = Host(self.hosts);
        let (name, port) = (host.name(), format!("port{}", host.0));
        run("ip", &["netns", "add", &name])?;
        run("ip", &["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
        run("ip", &["link", "set", &port, "master", "lab", "up"])?;
        run("ip", &["-n", &name, "addr", "add", &format!("{}/24", host.address()), "dev", "eth0"])?;
        run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
        run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
        // The default may be bbr, which a shaped link treats differently: the same for everybody.
        let cubic = "net.ipv4.tcp_congestion_control=cubic";
        let _ = Command::new("ip").args(["netns", "exec", &name, "sysctl", "-qw", cubic]).output();
        Ok(host)
    }
}

impl Host {
    /// The machine of the test itself; what it sends to itself takes the loopback path.
    pub(crate) const OWN: Host = Host(0);

    /// Its address on the bridge.
    pub(crate) fn address(self) -> Ipv4Addr {
        match self {
            Host::OWN => Ipv4Addr::new(10, 77, 0, 1),
            Host(number) => Ipv4Addr::new(10, 77, 0, 10 + number),
        }
    }

    /// A command that will run on this host.
    pub(crate) fn command(self, program: &str) -> Command {
        if self == Host::OWN {
            return Command::new(program);
        }
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name(), program]);
        command
    }

    /// Limits what this host can send, in bytes per second.
    pub(crate) fn limit_uplink(self, bytes_per_second: u64) -> Result<()> {
        let rate = format!("{}bit", bytes_per_second * 8);
        run(
            "tc",
            &[
                "-n",
                &self.name(),
                "qdisc",
                "add",
                "dev",
                "eth0",
                "root",
                "tbf",
                "rate",
                &rate,
                "burst",
                "64kb",
                "latency",
                "300ms",
            ],
        )
    }

    fn name(self) -> String {
        format!("host{}", self.0)
    }
}

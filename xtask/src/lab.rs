//! A small network of our own to run real clients in: hosts as network namespaces on one bridge, nothing outside reachable.
//!
//! The process that uses it lives in a namespace of its own too (see [`enter`]), so whatever goes wrong, no packet leaves.

pub(crate) mod process;

use crate::{peers, root};
use anyhow::{Context, Result, bail, ensure};
use process::{output_of, run};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};

/// Set in the re-executed process, which is inside the private namespaces.
const INSIDE: &str = "GANNET_XTASK_INSIDE";

/// What is tested, as users run it, and the attackers that real sockets are tested with: built for release.
pub(crate) const BUILD_PROGRAMS: &[&str] =
    &["build", "--release", "--quiet", "--package", "gannet-cli", "--package", "gannet-hostile"];

/// Sets up the peers and the programs, then runs this very command again inside network and mount namespaces of its own; returns
/// only there.
pub(crate) fn enter() -> Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    // From where there is a way out to what is missing.
    peers::set_up()?;
    // Or else what is tested might be the build of another day.
    let built = Command::new("cargo").args(BUILD_PROGRAMS).current_dir(root()).status().context("cargo")?;
    ensure!(built.success(), "the programs do not build: cargo {}", BUILD_PROGRAMS.join(" "));
    let me = std::env::current_exe().context("own path")?;
    let error = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(me)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    bail!("cannot make a private network (this needs root and `unshare` from util-linux): {error}")
}

/// The bridge and its hosts. Tests side by side share it: each takes hosts of its own.
pub(crate) struct Lab {
    hosts: AtomicU16,
}

/// Hosts of a lab: more ports than 1,024 a bridge does not have.
const HOSTS_MAX: u16 = 1_000;

/// One machine of the lab, with an address of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Host(u16);

impl Lab {
    /// The bridge, with the address of [`Host::OWN`] for ourselves. Call [`enter`] before.
    pub(crate) fn new() -> Result<Lab> {
        // `ip netns` keeps its names under /run/netns: a private one, so that runs cannot meet.
        run("mkdir", &["-p", "/run/netns"])?;
        run("mount", &["-t", "tmpfs", "tmpfs", "/run/netns"])?;
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["link", "add", "lab", "type", "bridge"])?;
        run("ip", &["addr", "add", "10.77.0.1/16", "dev", "lab"])?;
        run("ip", &["link", "set", "lab", "up"])?;
        Ok(Lab { hosts: AtomicU16::new(0) })
    }

    /// One more host.
    pub(crate) fn host(&self) -> Result<Host> {
        let host = Host(self.hosts.fetch_add(1, Ordering::Relaxed) + 1);
        ensure!(host.0 < HOSTS_MAX, "too many hosts");
        let (name, port) = (host.name(), format!("port{}", host.0));
        let outside = format!(
            "netns add {name}\nlink add {port} type veth peer name eth0 netns {name}\nlink set {port} master lab up\n"
        );
        output_of(Command::new("ip").args(["-batch", "-"]), &outside)?;
        let inside = format!("addr add {}/16 dev eth0\nlink set eth0 up\nlink set lo up\n", host.address());
        output_of(Command::new("ip").args(["-n", &name, "-batch", "-"]), &inside)?;
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
            Host(number) => Ipv4Addr::from_bits(Ipv4Addr::new(10, 77, 0, 10).to_bits() + u32::from(number)),
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

    /// Takes the limit away.
    pub(crate) fn free_uplink(self) -> Result<()> {
        run("tc", &["-n", &self.name(), "qdisc", "del", "dev", "eth0", "root"])
    }

    fn name(self) -> String {
        format!("host{}", self.0)
    }
}

//! A small network of our own to run real clients in: hosts as network namespaces on one bridge, nothing outside reachable.
//!
//! The process that uses it lives in a namespace of its own too (see [`enter`]), so whatever goes wrong, no packet leaves.

pub(crate) mod process;

use crate::{peers, root};
use anyhow::{Context, Result, bail, ensure};
use process::{output, output_of, run};
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Set in the re-executed process, which is inside the private namespaces.
const INSIDE: &str = "GANNET_XTASK_INSIDE";

/// What is tested, as users run it, and the attackers that real sockets are tested with: built for release.
pub(crate) const BUILD_PROGRAMS: &[&str] =
    &["build", "--release", "--quiet", "--package", "gannet-cli", "--package", "gannet-hostile"];

/// Sets up the peers and the programs, then runs this very command again inside network and mount namespaces of its own; returns
/// only there.
pub(crate) fn enter() -> Result<()> {
    if is_inside() {
        return Ok(());
    }
    // From where there is a way out to what is missing.
    peers::set_up()?;
    build_programs()?;
    let error = inside(Command::new("unshare"))?.exec();
    bail!("cannot make a private network (this needs root and `unshare` from util-linux): {error}")
}

/// Whether this process is inside.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// The same for a run that writes much into one folder: that folder is gone afterwards, however the run ends. Says whether we are
/// inside; if not, the run inside has ended well. Does not build what is not tested.
pub(crate) fn enter_with(scratch: &Path, build: bool) -> Result<bool> {
    if !is_inside() {
        peers::set_up()?;
    }
    enter_alone(scratch, build)
}

/// The same where nobody takes part but programs of ours.
pub(crate) fn enter_alone(scratch: &Path, build: bool) -> Result<bool> {
    if is_inside() {
        return Ok(true);
    }
    if build {
        build_programs()?;
    }
    // Sees the end of its standard input when we end, even if we are killed; in a group of its own, for Ctrl-C goes to all of ours.
    let sweeper = Command::new("sh")
        .args(["-c", "cat; sleep 1; rm -rf \"$0\""])
        .arg(scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn();
    let mut sweeper = sweeper.context("sh")?;
    // `unshare` lets Ctrl-C pass to what it runs, and the first process of a namespace does not hear it: so all end when we do.
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--", "unshare"]);
    let status = inside(bound)?.status().context("setpriv (util-linux)");
    drop(sweeper.stdin.take());
    sweeper.wait()?;
    let status = status?;
    ensure!(status.success(), "not everything held");
    Ok(false)
}

fn build_programs() -> Result<()> {
    // Or else what is tested might be the build of another day.
    let built = Command::new("cargo").args(BUILD_PROGRAMS).current_dir(root()).status().context("cargo")?;
    ensure!(built.success(), "the programs do not build: cargo {}", BUILD_PROGRAMS.join(" "));
    Ok(())
}

/// This very command once more, in namespaces of its own.
fn inside(mut unshare: Command) -> Result<Command> {
    let me = std::env::current_exe().context("own path")?;
    unshare.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    unshare.arg(me).args(std::env::args_os().skip(1)).env(INSIDE, "1");
    Ok(unshare)
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
        let (name, port) = (host.name(), host.port());
        let outside = format!(
            "netns add {name}\nlink add {port} type veth peer name eth0 netns {name}\nlink set {port} master lab up\n"
        );
        output_of(Command::new("ip").args(["-batch", "-"]), &outside)?;
        host.wake()?;
        Ok(host)
    }

    /// Two more hosts, joined by a cable and by nothing else.
    pub(crate) fn pair(&self) -> Result<[Host; 2]> {
        let first = self.hosts.fetch_add(2, Ordering::Relaxed) + 1;
        let hosts = [Host(first), Host(first + 1)];
        ensure!(hosts[1].0 < HOSTS_MAX, "too many hosts");
        let [one, other] = hosts.map(Host::name);
        let cable = format!(
            "netns add {one}\nnetns add {other}\nlink add eth0 netns {one} type veth peer name eth0 netns {other}\n"
        );
        output_of(Command::new("ip").args(["-batch", "-"]), &cable)?;
        hosts.into_iter().try_for_each(Host::wake)?;
        Ok(hosts)
    }

    /// Makes the bridge a hub: every host sees every frame.
    pub(crate) fn become_hub(&self) -> Result<()> {
        // What it has learnt where is forgotten at once, and nothing is learnt where; multicast goes to all, not to members.
        run("ip", &["link", "set", "lab", "type", "bridge", "ageing_time", "0", "mcast_snooping", "0"])?;
        Ok(())
    }
}

impl Host {
    /// Its address, and both interfaces up.
    fn wake(self) -> Result<()> {
        let (name, host) = (self.name(), self);
        let inside = format!("addr add {}/16 dev eth0\nlink set eth0 up\nlink set lo up\n", host.address());
        output_of(Command::new("ip").args(["-n", &name, "-batch", "-"]), &inside)?;
        // The default may be bbr, which a shaped link treats differently: the same for everybody.
        let cubic = "net.ipv4.tcp_congestion_control=cubic";
        let _ = Command::new("ip").args(["netns", "exec", &name, "sysctl", "-qw", cubic]).output();
        Ok(())
    }

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

    /// Gives its link this rate each way, in bits per second, with a queue such as switches have.
    pub(crate) fn shape_link(self, bits: u64) -> Result<()> {
        self.shape_uplink(bits)?;
        shape(None, &self.port(), bits)
    }

    /// Gives it a link as homes have one: so many bits per second out and in, and queues in which frames wait so long at most.
    pub(crate) fn shape_access(self, up: u64, down: u64, queue: Duration) -> Result<()> {
        shape_with(Some(&self.name()), "eth0", up, queue)?;
        shape_with(None, &self.port(), down, queue)
    }

    /// The same for what it sends alone; one end of a pair has no other.
    pub(crate) fn shape_uplink(self, bits: u64) -> Result<()> {
        shape(Some(&self.name()), "eth0", bits)
    }

    /// Its socket in the bridge lets no multicast out to it any more, or again.
    pub(crate) fn let_multicast_through(self, through: bool) -> Result<()> {
        let flood = if through { "on" } else { "off" };
        run("bridge", &["link", "set", "dev", &self.port(), "mcast_flood", flood])
    }

    fn name(self) -> String {
        format!("host{}", self.0)
    }

    fn port(self) -> String {
        format!("port{}", self.0)
    }
}

/// A token bucket, and 20 ms of queue.
fn shape(namespace: Option<&str>, device: &str, bits: u64) -> Result<()> {
    shape_with(namespace, device, bits, Duration::from_millis(20))
}

/// A token bucket: wide enough that a processor that is late by a millisecond still fills a gigabit link.
fn shape_with(namespace: Option<&str>, device: &str, bits: u64, queue: Duration) -> Result<()> {
    let burst = format!("{}b", (bits / 8 / 500).max(64 * 1024));
    let mut tc = Command::new("tc");
    if let Some(namespace) = namespace {
        tc.args(["-n", namespace]);
    }
    tc.args(["qdisc", "replace", "dev", device, "root", "tbf", "rate", &format!("{bits}bit")]);
    tc.args(["burst", &burst, "latency", &format!("{}ms", queue.as_millis())]);
    output(&mut tc).map(drop)
}

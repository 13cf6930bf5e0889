//! `gannet tracker` as others' clients meet it: a swarm of four programs that find each other by it alone, over HTTP, HTTPS and UDP, IPv4 and
//! IPv6 (of two, where the others do not speak UDP over IPv6); and npm's bittorrent-tracker, which announces and scrapes. BEP: 3, 7, 15, 23, 48

use super::client::{Client, Kind, Role, Settings};
use super::content::gannet;
use super::{Case, Content};
use crate::lab::process::{Running, output};
use crate::lab::{Host, Lab};
use crate::peers;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const TRACKER_PORT: u16 = 6969;
const SIZE: u64 = 3_000_001;
const LIMIT: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

/// By which way the tracker is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Http,
    Https,
    Udp,
}

pub(super) fn cases() -> Vec<Case> {
    let ways = [
        (Over::Http, Family::V4),
        (Over::Https, Family::V4),
        (Over::Udp, Family::V4),
        (Over::Http, Family::V6),
        (Over::Udp, Family::V6),
    ];
    let mut cases = Vec::new();
    for (over, family) in ways {
        cases.push(Case::new(format!("gannet tracker: a mixed swarm, {over}, {family}"), move |lab, dir| {
            swarm(lab, dir, over, family)
        }));
        // npm's client opens sockets of IPv4 alone for UDP.
        if (over, family) != (Over::Udp, Family::V6) {
            cases.push(Case::new(
                format!("gannet tracker: bittorrent-tracker, {over}, {family}"),
                move |lab, dir| npm(lab, dir, over, family),
            ));
        }
    }
    cases
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl Over {
    /// How its URLs begin.
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Over::Http => "http",
            Over::Https => "https",
            Over::Udp => "udp",
        }
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Over::Http => "HTTP",
            Over::Https => "HTTPS",
            Over::Udp => "UDP",
        })
    }
}

/// A tracker of ours at work on a host, which listens at its address of one family alone.
pub(super) struct Tracker {
    running: Running,
    pub(super) at: SocketAddr,
    url: String,
    /// What it shows over HTTPS; it vouches for itself.
    pub(super) certificate: PathBuf,
}

impl Tracker {
    pub(super) fn start(lab: &Lab, over: Over, family: Family, work: &Path) -> Result<Tracker> {
        let host = lab.host()?;
        let at = SocketAddr::new(address(host, family)?, TRACKER_PORT);
        let mut command = host.command(&gannet().to_string_lossy());
        let [certificate, key] = ["tracker.pem", "tracker.key"].map(|name| work.join(name));
        command.args(["tracker", "--json"]);
        match over {
            Over::Http | Over::Udp => command.args(["--listen", &at.to_string()]),
            Over::Https => {
                make_certificate(at.ip(), &certificate, &key)?;
                command.args(["--tls-listen", &at.to_string()]);
                command.arg("--certificate").arg(&certificate).arg("--key").arg(&key)
            }
        };
        let mut running = Running::start("tracker", work, &mut command)?;
        running.wait_for(LIMIT, |line| line.contains("tracker_listening").then_some(()))?;
        let scheme = over.scheme();
        Ok(Tracker { running, at, url: format!("{scheme}://{at}/announce"), certificate })
    }

    /// How many announces it says it has answered, in its next news.
    fn announces(&mut self) -> Result<u64> {
        self.running.new_lines();
        self.running.wait_for(Duration::from_secs(30), |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line["announces"].as_u64()
        })
    }
}

/// A certificate for an address, and its key.
fn make_certificate(ip: IpAddr, certificate: &Path, key: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=tracker", "-addext", &format!("subjectAltName=IP:{ip}")]);
    // By itself it makes that of an authority, which rustls does not take for a server's.
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    output(command.arg("-out").arg(certificate).arg("-keyout").arg(key))?;
    Ok(())
}

/// A host's address of this family, which it is given if it is IPv6.
pub(super) fn address(host: Host, family: Family) -> Result<IpAddr> {
    let v4 = host.address();
    match family {
        Family::V4 => Ok(v4.into()),
        Family::V6 => {
            let [.., high, low] = v4.octets();
            let ip = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from_be_bytes([high, low]));
            let line = ["-6", "addr", "add", &format!("{ip}/64"), "dev", "eth0", "nodad"].map(String::from);
            output(host.command("ip").args(line))?;
            Ok(ip.into())
        }
    }
}

/// libtorrent seeds; Transmission, aria2 and Gannet fetch from it and from each other.
fn swarm(lab: &Lab, dir: &Path, over: Over, family: Family) -> Result<String> {
    let mut tracker = Tracker::start(lab, over, family, dir)?;
    let shared = Content::OneFile(SIZE).share(dir, 64 * 1024, &[tracker.url.clone()])?;
    let began = Instant::now();
    let meets = Meets { family, authorities: (over == Over::Https).then_some(&*tracker.certificate) };
    let seeder = start(lab, Kind::Libtorrent, "seeder", meets, &shared.torrent, &shared.dir, dir)?;
    let mut leechers = vec![Kind::Gannet];
    // aria2 and Transmission 3.00 ask trackers over UDP by IPv4 alone.
    if (over, family) != (Over::Udp, Family::V6) {
        leechers.extend([Kind::Transmission, Kind::Aria2]);
    }
    let mut clients = vec![(seeder, shared.dir.clone())];
    for kind in leechers {
        let own = dir.join(format!("got-{kind}"));
        let client = start(lab, kind, &format!("leecher-{kind}"), meets, &shared.torrent, &own, dir)?;
        clients.push((client, own));
    }
    for (client, _) in &mut clients {
        client.wait_complete(LIMIT)?;
    }
    let took = began.elapsed();
    let announces = tracker.announces()?;
    ensure!(announces >= clients.len() as u64, "{announces} announces of {} clients", clients.len());
    for (client, own) in &mut clients {
        client.stop()?;
        shared.same_in(own)?;
    }
    Ok(format!("{} clients complete after {:.1} s, {announces} announces", clients.len(), took.as_secs_f64()))
}

/// How clients reach the tracker.
#[derive(Clone, Copy)]
pub(super) struct Meets<'a> {
    pub(super) family: Family,
    /// Who vouches for it.
    pub(super) authorities: Option<&'a Path>,
}

impl Meets<'_> {
    /// Where nobody needs to.
    pub(super) fn plainly(family: Family) -> Self {
        Meets { family, authorities: None }
    }
}

pub(super) fn start(
    lab: &Lab,
    kind: Kind,
    name: &str,
    Meets { family, authorities }: Meets<'_>,
    torrent: &Path,
    content: &Path,
    work: &Path,
) -> Result<Client> {
    let host = lab.host()?;
    let ip = address(host, family)?;
    let role = Role { torrent, dir: content, port: PORT, peers: &[], stay: true };
    let listen = SocketAddr::new(ip, PORT).to_string();
    let (mut args, mut json) = (Vec::new(), None);
    if family == Family::V6 {
        match kind {
            Kind::Gannet => {}
            Kind::Libtorrent => args.extend(["--listen", &listen]),
            Kind::Aria2 => args.extend(["--disable-ipv6=false", "--interface=eth0"]),
            // It would ask trackers from the address that it is bound to.
            Kind::Transmission => {
                json = Some(json!({ "bind-address-ipv4": "0.0.0.0", "bind-address-ipv6": ip.to_string() }));
            }
        }
    }
    let settings = Settings { args: &args, authorities, json, ..Settings::default() };
    Client::start_with(kind, host, name, role, work, &settings)
}

/// A seed and a leecher of npm's client hear of each other, and of both in the scrape.
fn npm(lab: &Lab, dir: &Path, over: Over, family: Family) -> Result<String> {
    let tracker = Tracker::start(lab, over, family, dir)?;
    let host = lab.host()?;
    address(host, family)?;
    let mut command = host.command("node");
    if over == Over::Https {
        command.env("NODE_EXTRA_CA_CERTS", &tracker.certificate);
    }
    command.arg(crate::root().join("xtask/peers/bittorrent_tracker.mjs")).arg(peers::node_modules());
    command.args([&tracker.url, "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"]);
    let said = output(&mut command)?;
    let said: Value = serde_json::from_str(said.trim()).with_context(|| said.clone())?;
    let wanted = json!({
        "seed": [6882], "leecher": [6881], "counts": { "complete": 1, "incomplete": 1 },
        "scrape": { "complete": 1, "incomplete": 1, "downloaded": 0 },
    });
    ensure!(said == wanted, "{said}, and not {wanted}");
    Ok("each heard of the other".into())
}

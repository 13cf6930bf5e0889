//! Web seeds (BEP 19): Debian's nginx serves the content, alone and beside a peer, to Gannet and to clients that we did not write;
//! the torrents are those that `gannet create --web-seed` makes.

use super::client::{Client, Kind, Role};
use super::content::Shared;
use super::{Case, Content};
use crate::lab::process::Running;
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const HTTP_PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_secs(120);

/// Who fetches what from nginx alone. Piece lengths vary on the way.
const ALONE: &[(Kind, Content, u32)] = &[
    (Kind::Gannet, Content::OneFile(400_000_001), 1024 * 1024),
    (Kind::Gannet, Content::Files(100), 64 * 1024),
    (Kind::Libtorrent, Content::OneFile(40_000_001), 256 * 1024),
    (Kind::Libtorrent, Content::Files(100), 64 * 1024),
    (Kind::Aria2, Content::OneFile(40_000_001), 256 * 1024),
    (Kind::Aria2, Content::Files(100), 64 * 1024),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for &(kind, content, piece_len) in ALONE {
        let name = format!("web seed alone: nginx -> {kind}, {content:?}, {} KiB pieces", piece_len / 1024);
        let case = Case::new(name, move |lab, dir| alone(lab, dir, kind, content, piece_len));
        // Its rate is printed.
        cases.push(if kind == Kind::Gannet { case.alone() } else { case });
    }
    cases.push(Case::new("web seed and peer: nginx + libtorrent -> gannet", beside_a_peer).alone());
    cases
}

fn alone(lab: &Lab, dir: &Path, kind: Kind, content: Content, piece_len: u32) -> Result<String> {
    let (server, shared) = serve(lab, dir, content, piece_len)?;
    let copy = dir.join("copy");
    let role = Role { torrent: &shared.torrent, dir: &copy, port: PORT, peers: &[], stay: true };
    let began = Instant::now();
    let mut leecher = Client::start(kind, lab.host()?, "leecher", role, dir)?;
    leecher.wait_complete(LIMIT)?;
    let (took, cost) = (began.elapsed(), leecher.running.cost()?);
    leecher.stop()?;
    shared.same_in_copy_of(kind, &copy)?;
    drop(server);
    let rate = shared.size as f64 / took.as_secs_f64() / 1e6;
    let (cpu, peak) = (cost.cpu, cost.peak_mib);
    Ok(format!("{} bytes, {rate:.0} MB/s with start and sync, {cpu:.2} s CPU, {peak:.0} MiB", shared.size))
}

/// Both lines are slow enough that neither has sent everything before the other has begun.
fn beside_a_peer(lab: &Lab, dir: &Path) -> Result<String> {
    const RATE: u64 = 8_000_000;
    let (server, shared) = serve(lab, dir, Content::OneFile(48_000_000), 256 * 1024)?;
    server.host.limit_uplink(RATE)?;
    let seed_host = lab.host()?;
    seed_host.limit_uplink(RATE)?;
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seeder = Client::start(Kind::Libtorrent, seed_host, "seeder", role, dir)?;
    seeder.wait_complete(Duration::from_secs(30))?;
    let (copy, peers) = (dir.join("copy"), [SocketAddr::from((seed_host.address(), PORT))]);
    let role = Role { dir: &copy, peers: &peers, ..role };
    let began = Instant::now();
    let mut leecher = Client::start(Kind::Gannet, lab.host()?, "leecher", role, dir)?;
    let mut web_seeds = 0;
    let wasted = leecher.running.wait_for(LIMIT, |line| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        web_seeds = web_seeds.max(value["web_seeds"].as_u64().unwrap_or(0));
        (value["type"] == "progress" && value["durable"] == true).then_some(value["wasted"].as_u64())
    })?;
    let took = began.elapsed().as_secs_f64();
    leecher.stop()?;
    shared.same_in(&copy)?;
    ensure!(web_seeds == 1, "the web seed was not used");
    let alone = shared.size as f64 / RATE as f64;
    ensure!(took < alone * 0.85, "{took:.1} s; either of them alone takes {alone:.1} s");
    let wasted = wasted.context("wasted")? / 1024;
    Ok(format!("{took:.1} s, either alone {alone:.1} s; {wasted} KiB wasted"))
}

/// nginx on a host of its own.
struct Nginx {
    host: Host,
    _running: Running,
}

/// A content that nginx serves, and its torrent.
fn serve(lab: &Lab, dir: &Path, content: Content, piece_len: u32) -> Result<(Nginx, Shared)> {
    let host = lab.host()?;
    let url = format!("http://{}:{HTTP_PORT}/", host.address());
    let shared = content.share_with(dir, piece_len, &[], &[url])?;
    let config = dir.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; error_log {0}/nginx-error.log; pid {0}/nginx.pid;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; sendfile on; client_body_temp_path {0}; proxy_temp_path {0};\n\
         fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};\n\
         server {{ listen {1}:{HTTP_PORT}; root \"{2}\"; }} }}\n",
        dir.display(),
        host.address(),
        shared.dir.display()
    );
    fs::write(&config, text)?;
    let mut command = host.command("nginx");
    command.arg("-p").arg(dir).arg("-c").arg(&config);
    let mut running = Running::start("nginx", dir, &mut command)?;
    let (end, address) =
        (Instant::now() + Duration::from_secs(10), SocketAddr::from((host.address(), HTTP_PORT)));
    while TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_err() {
        if running.has_ended()? || Instant::now() > end {
            bail!("nginx does not answer at {address}\n{}", running.log_tail());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok((Nginx { host, _running: running }, shared))
}

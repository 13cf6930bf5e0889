//! aria2c, driven by its JSON-RPC.

use super::client::{Role, Settings, Status};
use super::http;
use crate::lab::Host;
use crate::lab::process::Running;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

const RPC_PORT: u16 = 6800;

/// Starts aria2c with the torrent. It checks what is there and seeds it, or fetches it.
pub(super) fn start(
    host: Host,
    name: &str,
    role: &Role<'_>,
    work: &Path,
    settings: &Settings<'_>,
) -> Result<Running> {
    let mut command = host.command("aria2c");
    command
        .args([
            "--enable-rpc",
            "--rpc-listen-all",
            "--enable-dht=true",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
        ])
        .args(["--check-integrity=true", "--seed-ratio=0.0", "--seed-time=600", "--file-allocation=none"])
        .args([
            "--console-log-level=warn",
            "--summary-interval=0",
            "--disable-ipv6=true",
            "--allow-overwrite=true",
        ])
        .args(["--bt-max-peers=0", "--no-conf"])
        .arg(format!("--interface={}", host.address()))
        .arg(format!("--listen-port={}", role.port))
        // Its UDP tracker client runs on the DHT's socket; in the private network there is no DHT to meet.
        .arg(format!("--dht-listen-port={}", role.port))
        .arg("--dht-file-path")
        .arg(work.join(format!("{name}-dht.dat")))
        .args(settings.args)
        .arg("--dir")
        .arg(role.dir)
        .arg(settings.source(role));
    if let Some(file) = settings.authorities {
        command.arg("--ca-certificate").arg(file);
    }
    let running = Running::start(name, work, &mut command)?;
    let end = Instant::now() + Duration::from_secs(10);
    while call(host.address(), "aria2.getVersion", json!([])).is_err() {
        if Instant::now() > end {
            bail!("{name}: its RPC does not answer\n{}", running.log_tail());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

/// How far it is.
pub(super) fn status(host: Ipv4Addr, running: &Running) -> Result<Status> {
    let keys = json!([[
        "completedLength",
        "totalLength",
        "uploadLength",
        "status",
        "seeder",
        "errorMessage",
        "verifyIntegrityPending",
        "verifiedLength",
        "bittorrent"
    ]]);
    let reply = call(host, "aria2.tellActive", keys)?;
    // Metadata is a download of its own, which the content's follows.
    let is_content = |download: &&Value| download["bittorrent"]["info"].is_object();
    let Some(download) = reply["result"].as_array().and_then(|all| all.iter().find(is_content)) else {
        return Ok(Status::default());
    };
    if let Some(error) = download["errorMessage"].as_str().filter(|text| !text.is_empty()) {
        bail!("{}: {error}", running.name);
    }
    let number = |key: &str| download[key].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    let (done, size) = (number("completedLength"), number("totalLength"));
    let complete = size > 0 && done == size && download["seeder"] == "true";
    Ok(Status { done, size, complete })
}

fn call(host: Ipv4Addr, method: &str, params: Value) -> Result<Value> {
    let body = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": params});
    let reply = http::post(SocketAddr::from((host, RPC_PORT)), "/jsonrpc", "", &body)?;
    serde_json::from_str(&reply.body).with_context(|| reply.body)
}

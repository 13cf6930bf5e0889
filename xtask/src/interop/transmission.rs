//! transmission-daemon, driven by its RPC.

use super::client::{Role, Settings, Status};
use super::http;
use crate::lab::Host;
use crate::lab::process::Running;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

const RPC_PORT: u16 = 9091;

/// Starts the daemon and hands it the torrent.
pub(super) fn start(
    host: Host,
    name: &str,
    role: &Role<'_>,
    work: &Path,
    settings: &Settings<'_>,
) -> Result<Running> {
    let config = work.join(format!("{name}-config"));
    fs::create_dir_all(&config)?;
    let mut chosen = json!({
        "bind-address-ipv4": host.address().to_string(),
        "peer-port": role.port,
        "rpc-port": RPC_PORT,
        "rpc-bind-address": host.address().to_string(),
        "rpc-whitelist-enabled": false,
        "rpc-host-whitelist-enabled": false,
        "dht-enabled": false,
        "lpd-enabled": false,
        "utp-enabled": false,
        "port-forwarding-enabled": false,
        "incomplete-dir-enabled": false,
        "encryption": 0,
        "ratio-limit-enabled": false,
        "cache-size-mb": 4,
    });
    for (key, value) in settings.json.iter().filter_map(Value::as_object).flatten() {
        chosen[key] = value.clone();
    }
    fs::write(config.join("settings.json"), chosen.to_string())?;
    let mut command = host.command("transmission-daemon");
    command.arg("--foreground").arg("--config-dir").arg(&config).env("HOME", work);
    if let Some(file) = settings.authorities {
        // Without the first it believes everybody.
        command.env("TR_CURL_SSL_VERIFY", "1").env("CURL_CA_BUNDLE", file);
    }
    let running = Running::start(name, work, &mut command)?;
    let session = session_id(host.address(), &running)?;
    let mut what = json!({"download-dir": role.dir});
    match settings.magnet {
        Some(magnet) => what["filename"] = magnet.into(),
        None => what["metainfo"] = base64_text(&fs::read(role.torrent)?).into(),
    }
    let add = json!({"method": "torrent-add", "arguments": what});
    let reply = call(host.address(), &session, &add)?;
    if reply["result"] != "success" {
        bail!("{name}: torrent-add: {reply}");
    }
    Ok(running)
}

/// How far it is.
pub(super) fn status(host: Ipv4Addr, running: &Running) -> Result<Status> {
    let session = session_id(host, running)?;
    let ask = json!({"method": "torrent-get", "arguments": {"fields":
        ["leftUntilDone", "sizeWhenDone", "status", "errorString"]}});
    let reply = call(host, &session, &ask)?;
    let torrent = &reply["arguments"]["torrents"][0];
    if torrent["errorString"].as_str().is_some_and(|text| text.contains("rror") && !text.contains("racker")) {
        bail!("{}: {}", running.name, torrent["errorString"]);
    }
    let number = |key: &str| torrent[key].as_u64().unwrap_or(0);
    let size = number("sizeWhenDone");
    // 5 and 6: queued to seed, seeding. While it checks, nothing is "left" to it either.
    let complete = size > 0 && number("leftUntilDone") == 0 && number("status") >= 5;
    Ok(Status { done: size - number("leftUntilDone"), size, complete })
}

/// Stops the torrent and waits until it is stopped.
pub(super) fn stop_torrent(host: Ipv4Addr, running: &Running) -> Result<()> {
    let session = session_id(host, running)?;
    call(host, &session, &json!({"method": "torrent-stop", "arguments": {}}))?;
    let ask = json!({"method": "torrent-get", "arguments": {"fields": ["status"]}});
    let end = Instant::now() + Duration::from_secs(10);
    while call(host, &session, &ask)?["arguments"]["torrents"][0]["status"] != 0 {
        if Instant::now() > end {
            bail!("{}: does not stop", running.name);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn call(host: Ipv4Addr, session: &str, body: &Value) -> Result<Value> {
    let header = format!("X-Transmission-Session-Id: {session}\r\n");
    let reply = http::post(SocketAddr::from((host, RPC_PORT)), "/transmission/rpc", &header, body)?;
    serde_json::from_str(&reply.body).with_context(|| reply.body)
}

/// The token against cross-site requests, once the daemon answers.
fn session_id(host: Ipv4Addr, running: &Running) -> Result<String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let reply = http::post(SocketAddr::from((host, RPC_PORT)), "/transmission/rpc", "", &json!({}));
        match reply.as_ref().map(|reply| reply.header("X-Transmission-Session-Id")) {
            Ok(Some(id)) => return Ok(id.into()),
            _ if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            _ => bail!("{}: its RPC does not answer\n{}", running.name, running.log_tail()),
        }
    }
}

/// RFC 4648, with padding.
fn base64_text(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { letter as char } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(super::base64_text(bytes.as_bytes()), text);
        }
    }
}

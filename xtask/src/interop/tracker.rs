//! opentracker, the tracker that we did not write. Debian's build serves only the torrents on its list.

use crate::lab::Host;
use crate::lab::process::{Running, output};
use crate::peers;
use anyhow::{Context, Result};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 6969;

/// A tracker for these torrents, over HTTP and UDP.
pub(crate) struct Tracker {
    _running: Running,
}

/// The announce URL of the tracker on a host, known before it runs.
pub(crate) fn http_url(host: Host) -> String {
    format!("http://{}:{PORT}/announce", host.address())
}

/// The same over UDP (BEP 15).
pub(crate) fn udp_url(host: Host) -> String {
    format!("udp://{}:{PORT}/announce", host.address())
}

impl Tracker {
    /// Starts it on a host, and waits until it answers.
    pub(crate) fn start(host: Host, info_hashes: &[String], work: &Path) -> Result<Tracker> {
        // It drops its privileges and makes the folder it is given its root, so the list lies there, under a relative name.
        let dir = work.join("tracker");
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("list"), info_hashes.join("\n") + "\n")?;
        let (address, port) = (host.address().to_string(), PORT.to_string());
        let mut command = host.command("opentracker");
        command.args(["-i", &address, "-p", &port, "-P", &port, "-w"]).arg("list").arg("-d").arg(&dir);
        let running = Running::start("tracker", work, &mut command)?;
        let end = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect((host.address(), PORT)).is_err() {
            if Instant::now() > end {
                return Err(anyhow::anyhow!("{}", running.log_tail())).context("opentracker does not answer");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Tracker { _running: running })
    }
}

/// Tells a tracker of a client on a host that does not announce itself.
pub(crate) fn announce(host: Host, port: u16, tracker: &str, info_hash: &str) -> Result<()> {
    let escaped: String =
        info_hash.as_bytes().chunks(2).map(|byte| format!("%{}", String::from_utf8_lossy(byte))).collect();
    let url = format!(
        "{tracker}?info_hash={escaped}&peer_id=-GN0000-{:012}&port={port}&uploaded=0&downloaded=0&left=0&compact=1&event=started",
        u32::from(host.address())
    );
    let mut command = host.command(&peers::python().to_string_lossy());
    command.args([
        "-c",
        "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10).read()",
        &url,
    ]);
    output(&mut command).map(drop)
}

//! The clients that we did not write: installs what is missing, so that no test ever skips for want of a peer.

use crate::lab::process::{output, run};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Command;

/// Debian packages: the program that shows it is there, and the package.
const DEBIAN: &[(&str, &str)] = &[
    ("transmission-daemon", "transmission-daemon"),
    ("aria2c", "aria2"),
    ("opentracker", "opentracker"),
    ("nginx", "nginx-light"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("mkfs.ext4", "e2fsprogs"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("node", "nodejs"),
    ("npm", "npm"),
    // A page for phones is looked at with it.
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    // libFuzzer is compiled with it; nothing else is.
    ("g++", "g++"),
];

/// The version that the interop table names.
const LIBTORRENT: &str = "libtorrent==2.1.1";

/// The other client whose nodes of the DHT we meet.
const BITTORRENT_DHT: &str = "bittorrent-dht@11.0.12";

/// The tracker's client that our tracker meets, beside those of whole programs.
const BITTORRENT_TRACKER: &str = "bittorrent-tracker@11.2.3";

/// The WebRTC by which two of those send bytes to each other. It comes compiled, so nothing of it is run to install it.
const WRTC: &str = "@roamhq/wrtc@0.10.0";

/// Where Node's modules are, under `target/`.
pub(crate) fn node_modules() -> PathBuf {
    crate::root().join("target/peers/npm/node_modules")
}

/// Python with libtorrent, in a virtual environment under `target/`.
pub(crate) fn python() -> PathBuf {
    crate::root().join("target/peers/venv/bin/python")
}

/// Makes sure that all peers are here.
pub(crate) fn set_up() -> Result<()> {
    let missing: Vec<&str> =
        DEBIAN.iter().filter(|(program, _)| !installed(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    let has_libtorrent = Command::new(python())
        .args(["-c", "import libtorrent"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !has_libtorrent {
        set_up_python()?;
    }
    if ![BITTORRENT_DHT, BITTORRENT_TRACKER, WRTC].into_iter().all(has_module) {
        set_up_node()?;
    }
    let version =
        output(Command::new(python()).args(["-c", "import libtorrent; print(libtorrent.__version__)"]))?;
    println!(
        "peers: libtorrent {}, {BITTORRENT_DHT}, {BITTORRENT_TRACKER}, {WRTC}, transmission, aria2, opentracker, nginx",
        version.trim()
    );
    Ok(())
}

/// Whether Node has this module in this version.
fn has_module(module: &str) -> bool {
    let Some((name, version)) = module.rsplit_once('@') else { return false };
    let manifest = std::fs::read_to_string(node_modules().join(name).join("package.json"));
    manifest.is_ok_and(|manifest| manifest.contains(&format!("\"version\": \"{version}\"")))
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).exists())
}

fn install(packages: &[&str]) -> Result<()> {
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root {
        bail!("these packages are missing; run this line as root, then try again:\n  {line}");
    }
    println!("peers: {line}");
    run("apt-get", &["update", "-q"])?;
    let mut args = vec!["install", "-q", "-y", "--no-install-recommends"];
    args.extend(packages);
    output(Command::new("apt-get").args(&args).env("DEBIAN_FRONTEND", "noninteractive"))
        .context("cannot install the peers")?;
    Ok(())
}

fn set_up_python() -> Result<()> {
    let dir = crate::root().join("target/peers/venv");
    let dir = dir.to_str().context("path")?;
    println!("peers: {LIBTORRENT} into {dir}");
    if run("python3", &["-m", "venv", dir]).is_err() {
        // Debian splits venv off python3.
        install(&["python3", "python3-venv"])?;
        run("python3", &["-m", "venv", dir])?;
    }
    run(&format!("{dir}/bin/pip"), &["install", "-q", "--disable-pip-version-check", LIBTORRENT])
}

fn set_up_node() -> Result<()> {
    let dir = crate::root().join("target/peers/npm");
    let dir = dir.to_str().context("path")?;
    println!("peers: {BITTORRENT_DHT}, {BITTORRENT_TRACKER}, {WRTC} into {dir}");
    run(
        "npm",
        &[
            "install",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefix",
            dir,
            BITTORRENT_DHT,
            BITTORRENT_TRACKER,
            WRTC,
        ],
    )
}

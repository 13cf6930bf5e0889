//! A tracker's browsers in bad company: honest pairs meet over WebSocket beside visitors who make offers without end, send frames that claim
//! everything, hear nothing, or are in more swarms than there are. What the tracker holds for them stays within bounds. Threat: C13

use super::{BESIDE_MIB, LOST_MAX, Scene, mib};
use crate::bench::servers::{Protocol, Server, last_line, number};
use crate::lab::process::{Running, output};
use anyhow::{Result, ensure};
use serde_json::Value;
use std::time::Duration;

/// What a browser may hold at most: half a MiB that it does not read, one message of some 210 KiB in, and what they are kept in.
const BROWSER_MAX_MIB: f64 = 0.8;

/// Who comes, how many of them, and how many with `--small`.
const KINDS: &[(&str, u32, u32)] = &[
    ("offers", 400, 100),
    ("frames", 1500, 300),
    ("deaf", 1000, 200),
    ("swarms", 1, 1),
    ("swarms", 400, 100),
];

pub(super) fn browsers(scene: &Scene) -> Result<()> {
    let server = scene.tracker()?;
    let alone = meet(scene, &server)?;
    let before = mib(server.resident()?);
    println!("browsers: alone: {alone}; {before:.0} MiB");
    // What one kind has made it hold is not always given back to the system before the next.
    let mut most = 0;
    for &(kind, many, few) in KINDS {
        let visitors = scene.or(many, few);
        most = most.max(visitors);
        let mut command = server.errand("browsers");
        command.args(["--kind", kind, "--connections", &visitors.to_string()]);
        // Longer than the honest stay.
        command.args(["--seconds", scene.or("20", "10")]);
        let mut flood = Running::start(&format!("flood-browsers-{kind}"), &scene.work, &mut command)?;
        flood.wait_for(Duration::from_secs(10), |line| line.contains("flooding").then_some(()))?;
        let met = meet(scene, &server)?;
        let over_udp = scene.honest(&server, Protocol::Udp, scene.or("2", "0.5"), &["--window", "16"])?;
        let resident = mib(server.resident()?);
        let did = flood.wait_for(Duration::from_secs(60), |line| {
            line.starts_with("{\"dials\"").then(|| line.to_owned())
        })?;
        println!("browsers: {visitors} x {kind}: {met}; {resident:.0} MiB, {before:.0} before; they: {did}");
        let (rounds, lost) = (number(&met, "rounds")?, number(&met, "lost")?);
        ensure!(rounds > 50.0 && lost <= LOST_MAX * rounds, "{kind}: {lost} of {rounds} honest offers lost");
        ensure!(number(&over_udp, "announces")? > 50.0, "{kind}: nobody comes in over UDP: {over_udp}");
        let bound = before + f64::from(most) * BROWSER_MAX_MIB + BESIDE_MIB;
        ensure!(resident <= bound, "{kind}: {resident:.0} MiB, more than {bound:.0}");
    }
    Ok(())
}

/// Honest pairs for some seconds.
fn meet(scene: &Scene, server: &Server) -> Result<Value> {
    let mut command = server.errand("browsers");
    command.args(["--connections", "32", "--seconds", scene.or("8", "4")]);
    last_line(&output(&mut command)?)
}

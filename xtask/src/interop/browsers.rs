//! `gannet tracker` as browsers meet it: two of npm's bittorrent-tracker, each a process on a host of its own with a real WebRTC, announce
//! over WebSocket, plain or within TLS, exchange an offer and its answer by our tracker alone, and send bytes both ways. Peers over HTTP and UDP hear of
//! neither, and are counted apart. BEP: 3, 15, 48

use super::Case;
use super::own_tracker::{Family, Over, Tracker, address};
use crate::lab::process::Running;
use crate::lab::{Host, Lab};
use crate::peers;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(90);
const INFO_HASH: &str = "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb";

pub(super) fn cases() -> Vec<Case> {
    let case = |over: Over, family| {
        let tls = if over == Over::Https { " in TLS" } else { "" };
        let name = format!("gannet tracker: bittorrent-tracker, WebSocket{tls}, {family}");
        Case::new(name, move |lab, dir| meet(lab, dir, over, family))
    };
    vec![case(Over::Http, Family::V4), case(Over::Http, Family::V6), case(Over::Https, Family::V4)]
}

fn meet(lab: &Lab, dir: &Path, over: Over, family: Family) -> Result<String> {
    let tracker = Tracker::start(lab, over, family, dir)?;
    let began = Instant::now();
    let mut seed = browser(lab.host()?, "seed", &tracker, (over, family), dir)?;
    next(&mut seed, "announced")?;
    let mut leecher = browser(lab.host()?, "leecher", &tracker, (over, family), dir)?;
    next(&mut leecher, "announced")?;
    let [by_seed, by_leecher] = [next(&mut seed, "received")?, next(&mut leecher, "received")?];
    let took = began.elapsed();
    let bytes = 40 * 16_384;
    let wanted = json!({ "received": bytes, "met_the_other": true });
    ensure!(by_seed == wanted, "the seed: {by_seed}, and not {wanted}");
    // Each browser is counted among browsers, and two who came by other ways among those alone: one that hears of nobody, and one that
    // hears of it.
    let mut wanted = json!({
        "received": bytes, "met_the_other": true,
        "browsers": { "complete": 1, "incomplete": 1 },
        "browsers_still": { "complete": 1, "incomplete": 1 },
    });
    wanted[over.scheme()] = json!({ "complete": 0, "incomplete": 1, "heard": [] });
    if (over, family) == (Over::Http, Family::V4) {
        wanted["udp"] = json!({ "complete": 0, "incomplete": 2, "heard": [6901] });
    }
    ensure!(by_leecher == wanted, "the leecher: {by_leecher}, and not {wanted}");
    for browser in [&mut leecher, &mut seed] {
        browser.hang_up();
        browser.wait_end(LIMIT)?;
    }
    Ok(format!("{bytes} bytes both ways over WebRTC after {:.1} s", took.as_secs_f64()))
}

fn browser(
    host: Host,
    role: &str,
    tracker: &Tracker,
    (over, family): (Over, Family),
    dir: &Path,
) -> Result<Running> {
    address(host, family)?;
    let mut command = host.command("node");
    command.arg(crate::root().join("xtask/peers/bittorrent_tracker_ws.mjs")).arg(peers::node_modules());
    let scheme = if over == Over::Https { "wss" } else { "ws" };
    command.args([&tracker.at.to_string(), INFO_HASH, role, scheme]);
    if over == Over::Https {
        command.env("NODE_EXTRA_CA_CERTS", &tracker.certificate);
    }
    Running::start(role, dir, &mut command)
}

/// The line with this key, which is the next unless something went wrong.
fn next(browser: &mut Running, key: &str) -> Result<Value> {
    let (_, line) = browser.next_line(Instant::now() + LIMIT)?;
    let line: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
    if line[key].is_null() {
        bail!("{}: {line}", browser.name);
    }
    Ok(line)
}

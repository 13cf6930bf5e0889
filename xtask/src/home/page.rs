//! The page for phones without Gannet, in Debian's Chromium: it opens the address that `share` prints, fetches a part of a file,
//! downloads a whole one, and says that it is over when the share has ended. Pictures go to `target/home`.

use super::Home;
use super::content;
use super::figures::Figures;
use super::sides::{SOON, Side};
use crate::lab::Host;
use crate::lab::process::Running;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

/// A browser that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const NAME: &str = "große Datei.bin";
const PART: std::ops::Range<usize> = 1_000_000..1_050_000;
/// It looks every 2.5 s, believes the second miss, and looks again after one.
const OVER_MAX: f64 = 8.0;

pub(super) fn run(home: &Home, figures: &mut Figures) -> Result<()> {
    let size = home.size(1 << 30, 64 << 20);
    let (from, phone) = (home.lab.host()?, home.lab.host()?);
    let folder = home.dir.join("for phones");
    fs::create_dir_all(&folder)?;
    content::noisy(&folder.join(NAME), size)?;
    fs::write(folder.join("<b>note.txt"), "a name that is no markup\n")?;
    let work = home.dir.join("work");
    let mut sharer = Side::share(home, from, &[&folder], &work, &[])?;
    let url = address_for(&mut sharer, from)?;
    figures.must("address", url.clone(), url.starts_with("http://"));
    let pictures = crate::root().join("target/home");
    fs::create_dir_all(&pictures)?;
    let mut browse = phone.command("python3");
    browse.arg(crate::root().join("xtask/peers/browse_page.py")).args(["--url", &url, "--name", NAME]);
    browse.args(["--range", &format!("{}-{}", PART.start, PART.end)]);
    browse.arg("--downloads").arg(work.join("downloads")).arg("--pictures").arg(&pictures);
    let mut browser = Running::start("browser", &home.dir, &mut browse)?;
    let opened = step(&mut browser, "opened")?;
    let text = opened["text"].as_str().unwrap_or_default().to_owned();
    let named = text.contains(NAME) && text.contains("<b>note.txt") && text.contains("plain HTTP");
    figures.must(
        format!("Chromium {} shows the files", opened["chromium"].as_str().unwrap_or("?")),
        first_line(&text),
        named,
    );
    let range = step(&mut browser, "range")?;
    let origin = fs::read(folder.join(NAME))?;
    let whole = format!("bytes {}-{}/{size}", PART.start, PART.end - 1);
    let right = range["status"] == 206 && range["range"] == whole && range["hex"] == hex(&origin[PART]);
    figures.must(
        "a part by fetch()",
        format!("{} {}", range["status"], range["range"].as_str().unwrap_or("?")),
        right,
    );
    let downloaded = step(&mut browser, "downloaded")?;
    let path = downloaded["path"].as_str().context("no path")?;
    let same = content::same(&folder.join(NAME), path.as_ref());
    figures.must("a download", format!("{} MiB", size >> 20), same.is_ok());
    sharer.stop()?;
    browser.say("the share has ended")?;
    let over = step(&mut browser, "over")?;
    let said = over["text"].as_str().unwrap_or_default();
    let said = said.lines().find(|line| line.contains("ended") && !text.contains(line)).unwrap_or_default();
    figures.must("the open page says that it is over", said, over["over"] == true && !said.is_empty());
    figures.at_most(
        "after the end of the share",
        over["seconds"].as_f64().context("seconds")?,
        OVER_MAX,
        " s",
    );
    figures.note("pictures", "target/home/page.png, target/home/page-over.png");
    browser.wait_end(SOON)
}

/// The address of the page at which this host is reached.
fn address_for(sharer: &mut Side, host: Host) -> Result<String> {
    let (_, line) = sharer.wait("page", SOON)?;
    let urls = line["urls"].as_array().context("`page` without urls")?;
    let here = format!("//{}:", host.address());
    let url = urls.iter().filter_map(Value::as_str).find(|url| url.contains(&here));
    Ok(url.with_context(|| format!("no address of {} in {line}", host.address()))?.to_owned())
}

fn step(browser: &mut Running, name: &str) -> Result<Value> {
    let line = browser.wait_for(PATIENCE, |line| serde_json::from_str::<Value>(line).ok())?;
    ensure!(line["step"] == name, "the browser said {line} instead of {name}");
    Ok(line)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

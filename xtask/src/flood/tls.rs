//! A tracker that speaks TLS in bad company: thousands of handshakes that are begun and left, begun and never gone on with, or made whole for
//! one question, with a key of ECDSA and with one of RSA, whose signature costs it ten times as much. Honest visitors over HTTPS are answered
//! meanwhile, whether they keep their connection or come anew, and so is everybody over UDP. Threat: E9

use super::{BESIDE_MIB, LOST_MAX, Scene, mib};
use crate::bench::servers::{Kind, Protocol, Server, last_line, number};
use crate::lab::process::{Running, output};
use anyhow::{Context, Result, ensure};
use std::process::Command;
use std::time::Duration;

/// Where the tracker speaks TLS.
const AT: &str = "127.0.0.1:7005";

/// How keys are made, by `openssl`.
const KEYS: &[(&str, &[&str])] =
    &[("ecdsa", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]), ("rsa", &["rsa:2048"])];

/// What a connection may hold at most.
const CONNECTION_MAX_MIB: f64 = 0.15;

/// Honest visitors who make a handshake for each question.
const NEWCOMERS: u32 = 16;

pub(super) fn tls(scene: &Scene) -> Result<()> {
    KEYS.iter().try_for_each(|(name, key)| beside(scene, name, key).with_context(|| (*name).to_owned()))
}

fn beside(scene: &Scene, name: &str, key: &[&str]) -> Result<()> {
    let server = start(scene, name, key)?;
    let (seconds, flooded) = (scene.or("20", "10"), scene.or("26", "14"));
    let who_come = ["--connections", &NEWCOMERS.to_string(), "--in-time", scene.or("10", "5")];
    let alone = last_line(&output(visitors(&server, "2").args(who_come))?)?;
    let before = mib(server.resident()?);
    println!("tls: {name}: alone: {alone}; {before:.0} MiB");
    let mut to_stay = visitors(&server, flooded);
    let mut staying = Running::start("https-stay", &scene.work, to_stay.arg("--stay"))?;
    staying.wait_for(Duration::from_secs(10), |line| line.contains("all_were_answered").then_some(()))?;
    let ill = scene.or(3_000u32, 1_000);
    let mut command = server.errand_at("flood", AT);
    command.args(["--kind", "tls", "--connections", &ill.to_string(), "--seconds", flooded]);
    let mut flood = Running::start(&format!("flood-tls-{name}"), &scene.work, &mut command)?;
    flood.wait_for(Duration::from_secs(10), |line| line.contains("flooding").then_some(()))?;
    let came = last_line(&output(visitors(&server, seconds).args(who_come))?)?;
    let over_udp = scene.honest(&server, Protocol::Udp, scene.or("2", "0.5"), &["--window", "16"])?;
    let resident = mib(server.resident()?);
    let did = flood
        .wait_for(Duration::from_secs(60), |line| line.starts_with("{\"dials\"").then(|| line.to_owned()))?;
    let stayed = staying.wait_for(Duration::from_secs(60), |line| {
        line.starts_with("{\"seconds\"").then(|| line.to_owned())
    })?;
    println!(
        "tls: {name}: beside {ill}: who came: {came}; who stayed: {stayed}; {:.0} answers/s over UDP; {resident:.0} MiB; they: {did}",
        number(&over_udp, "responses_per_second")?,
    );
    for (who, met) in [("over UDP", &over_udp), ("who stayed", &last_line(&stayed)?)] {
        let answered = number(met, "answered").or_else(|_| number(met, "announces"))?;
        let lost = number(met, "lost")?;
        ensure!(
            answered > 50.0 && lost <= LOST_MAX * (answered + lost),
            "{who}: {lost} lost, {answered} answered"
        );
    }
    // They wait among all others for a signature, and each has its turn in half of the time.
    let [answered, lost, never] = ["answered", "lost", "never_answered"].map(|name| number(&came, name));
    let (answered, lost, never) = (answered?, lost?, never?);
    ensure!(
        lost == 0.0 && never == 0.0,
        "who came: {lost} lost, {answered} answered, {never} visitors never"
    );
    let bound = before + f64::from(ill) * CONNECTION_MAX_MIB + BESIDE_MIB;
    ensure!(resident <= bound, "{resident:.0} MiB, more than {bound:.0}");
    Ok(())
}

/// A tracker that shows a certificate with a key of this kind.
fn start(scene: &Scene, name: &str, kind: &[&str]) -> Result<Server> {
    let [certificate, key] = ["cert", "key"]
        .map(|what| scene.work.join(format!("{name}-{what}.pem")).to_string_lossy().into_owned());
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey"]).args(kind).args([
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=tracker",
    ]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", &certificate, "-keyout", &key]);
    output(&mut command)?;
    let more = ["--tls-listen", AT, "--certificate", &certificate, "--key", &key];
    let server = Kind::Gannet.start_with(&scene.population, &scene.work, &more)?;
    server.fill(&scene.population)?;
    Ok(server)
}

/// Honest visitors over HTTPS, for so many seconds.
fn visitors(server: &Server, seconds: &str) -> Command {
    let mut command = server.errand_at("https", AT);
    command.args(["--seconds", seconds]);
    command
}

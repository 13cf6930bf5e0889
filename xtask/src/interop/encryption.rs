//! Encryption with each foreign client, in both directions of dialling: which policies meet, how their links look as Gannet
//! tells it, and who is turned away for which reason. Every case is one setting of theirs against all four of ours at once.
//!
//! Torrents are private and each side hears of the other by one way only, so that nobody meets behind a policy's back.

use super::client::{Client, Kind, Role, Settings};
use super::content;
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::{Host, Lab};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const SIZE: u64 = 3_000_000;
/// So slow that a link is seen while it lives, so fast that a case takes seconds.
const RATE: &str = "200kB/s";
const RATE_DOWN: &str = "1MB/s";
const PATIENCE: Duration = Duration::from_secs(60);

const OURS: [&str; 4] = ["off", "allow", "prefer", "require"];

/// What becomes of a link: `encryption` as our lines have it, or a word of the reason why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Is(&'static str),
    TurnedAway(&'static str),
}

const NONE: Outcome = Outcome::Is("none");
const HANDSHAKE: Outcome = Outcome::Is("handshake");
const RC4: Outcome = Outcome::Is("rc4");
/// What we say when they refuse our plaintext, or we theirs.
const OFF_OUT: Outcome = Outcome::TurnedAway("closes without a word");
const OFF_IN: Outcome = Outcome::TurnedAway("a peer that encrypts");
const REQUIRE_OUT: Outcome = Outcome::TurnedAway("does not answer encrypted");
const REQUIRE_IN: Outcome = Outcome::TurnedAway("without encryption");
const REQUIRE_METHOD: Outcome = Outcome::TurnedAway("handshake failed");

/// A setting of a foreign client, and what our four policies come to when we dial and when they do.
struct Foreign {
    kind: Kind,
    name: &'static str,
    args: &'static [&'static str],
    encryption: Option<u8>,
    we_dial: [Outcome; 4],
    they_dial: [Outcome; 4],
}

const LIBTORRENT_DISABLED: &[&str] = &["--set", "out_enc_policy=2", "--set", "in_enc_policy=2"];
const LIBTORRENT_ENABLED: &[&str] = &["--set", "out_enc_policy=1", "--set", "in_enc_policy=1"];
const LIBTORRENT_ENABLED_RC4: &[&str] =
    &["--set", "out_enc_policy=1", "--set", "in_enc_policy=1", "--set", "prefer_rc4=1"];
const LIBTORRENT_FORCED_BOTH: &[&str] =
    &["--set", "out_enc_policy=0", "--set", "in_enc_policy=0", "--set", "prefer_rc4=1"];
const LIBTORRENT_FORCED_RC4: &[&str] =
    &["--set", "out_enc_policy=0", "--set", "in_enc_policy=0", "--set", "allowed_enc_level=2"];
const LIBTORRENT_FORCED_PLAINTEXT: &[&str] =
    &["--set", "out_enc_policy=0", "--set", "in_enc_policy=0", "--set", "allowed_enc_level=1"];

const FOREIGN: &[Foreign] = &[
    Foreign {
        kind: Kind::Libtorrent,
        name: "disabled",
        args: LIBTORRENT_DISABLED,
        encryption: None,
        we_dial: [NONE, NONE, NONE, REQUIRE_OUT],
        they_dial: [NONE, NONE, NONE, REQUIRE_IN],
    },
    Foreign {
        kind: Kind::Libtorrent,
        name: "enabled",
        args: LIBTORRENT_ENABLED,
        encryption: None,
        we_dial: [NONE, NONE, HANDSHAKE, RC4],
        they_dial: [NONE, NONE, NONE, RC4],
    },
    Foreign {
        kind: Kind::Libtorrent,
        name: "enabled, RC4 first",
        args: LIBTORRENT_ENABLED_RC4,
        encryption: None,
        we_dial: [NONE, NONE, RC4, RC4],
        they_dial: [NONE, NONE, NONE, RC4],
    },
    Foreign {
        kind: Kind::Libtorrent,
        name: "forced, both, RC4 first",
        args: LIBTORRENT_FORCED_BOTH,
        encryption: None,
        we_dial: [OFF_OUT, RC4, RC4, RC4],
        they_dial: [OFF_IN, HANDSHAKE, RC4, RC4],
    },
    Foreign {
        kind: Kind::Libtorrent,
        name: "forced, RC4",
        args: LIBTORRENT_FORCED_RC4,
        encryption: None,
        we_dial: [OFF_OUT, RC4, RC4, RC4],
        they_dial: [OFF_IN, RC4, RC4, RC4],
    },
    Foreign {
        kind: Kind::Libtorrent,
        name: "forced, plaintext",
        args: LIBTORRENT_FORCED_PLAINTEXT,
        encryption: None,
        we_dial: [OFF_OUT, HANDSHAKE, HANDSHAKE, REQUIRE_OUT],
        they_dial: [OFF_IN, HANDSHAKE, HANDSHAKE, REQUIRE_METHOD],
    },
    Foreign {
        kind: Kind::Transmission,
        name: "tolerated",
        args: &[],
        encryption: Some(0),
        we_dial: [NONE, NONE, HANDSHAKE, RC4],
        they_dial: [NONE, NONE, NONE, REQUIRE_IN],
    },
    Foreign {
        kind: Kind::Transmission,
        name: "preferred",
        args: &[],
        encryption: Some(1),
        we_dial: [NONE, NONE, RC4, RC4],
        they_dial: [NONE, RC4, RC4, RC4],
    },
    Foreign {
        kind: Kind::Transmission,
        name: "required",
        args: &[],
        encryption: Some(2),
        we_dial: [OFF_OUT, RC4, RC4, RC4],
        they_dial: [OFF_IN, RC4, RC4, RC4],
    },
    Foreign {
        kind: Kind::Aria2,
        name: "plain",
        args: &["--bt-min-crypto-level=plain"],
        encryption: None,
        we_dial: [NONE, NONE, HANDSHAKE, RC4],
        they_dial: [NONE, HANDSHAKE, RC4, RC4],
    },
    Foreign {
        kind: Kind::Aria2,
        name: "required, plain",
        args: &["--bt-require-crypto=true", "--bt-min-crypto-level=plain"],
        encryption: None,
        we_dial: [OFF_OUT, HANDSHAKE, HANDSHAKE, RC4],
        they_dial: [OFF_IN, HANDSHAKE, RC4, RC4],
    },
    Foreign {
        kind: Kind::Aria2,
        name: "forced",
        args: &["--bt-force-encryption=true"],
        encryption: None,
        we_dial: [OFF_OUT, RC4, RC4, RC4],
        they_dial: [OFF_IN, RC4, RC4, RC4],
    },
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for foreign in FOREIGN {
        let Foreign { kind, name, .. } = foreign;
        let we = format!("encryption: gannet dials {kind} ({name})");
        cases.push(Case::new(we, |lab, dir| we_dial(lab, dir, foreign)));
        let they = format!("encryption: {kind} ({name}) dials gannet");
        cases.push(Case::new(they, |lab, dir| they_dial(lab, dir, foreign)));
    }
    cases
}

/// They seed, and four of us fetch: we know their address, they do not know ours.
fn we_dial(lab: &Lab, dir: &Path, foreign: &Foreign) -> Result<String> {
    let shared = Content::OneFile(SIZE).share(dir, 64 * 1024, &[])?;
    let torrent = shared.variant(&dir.join("ours.torrent"), &["--private"])?;
    let host = lab.host()?;
    let role = Role { torrent: &torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seeder = Client::start_with(foreign.kind, host, "foreign", role, dir, &foreign.settings())?;
    seeder.wait_complete(PATIENCE)?;
    let peers = [SocketAddr::from((host.address(), PORT))];
    let mut watched = Vec::new();
    for (policy, expected) in OURS.into_iter().zip(foreign.we_dial) {
        let copy = dir.join(policy);
        let role = Role { dir: &copy, peers: &peers, stay: false, ..role };
        watched.push(Watched::start(lab.host()?, policy, expected, role, dir, ["--max-down", RATE_DOWN])?);
    }
    wait(&mut watched, |watched| watched.is_decided(true))?;
    for watched in &watched {
        if let Outcome::Is(_) = watched.expected {
            shared.same_in(&dir.join(watched.policy))?;
        }
    }
    Ok(told(&watched))
}

/// Four of us seed, and they fetch: a tracker tells them of us, and nobody tells us of them.
fn they_dial(lab: &Lab, dir: &Path, foreign: &Foreign) -> Result<String> {
    let shared = Content::OneFile(SIZE).share(dir, 64 * 1024, &[])?;
    let ours = shared.variant(&dir.join("ours.torrent"), &["--private"])?;
    let tracker_host = lab.host()?;
    let url = tracker::http_url(tracker_host);
    let theirs = shared.variant(&dir.join("theirs.torrent"), &["--private", "--tracker", &url])?;
    let info_hash = content::info_hash_of(&ours)?;
    let _tracker = Tracker::start(tracker_host, std::slice::from_ref(&info_hash), dir)?;
    let mut watched = Vec::new();
    for (policy, expected) in OURS.into_iter().zip(foreign.they_dial) {
        let host = lab.host()?;
        let copy = dir.join(policy);
        std::fs::create_dir_all(&copy)?;
        std::fs::copy(shared.dir.join(&shared.name), copy.join(&shared.name))?;
        let role = Role { torrent: &ours, dir: &copy, port: PORT, peers: &[], stay: true };
        watched.push(Watched::start(host, policy, expected, role, dir, ["--max-up", RATE])?);
        tracker::announce(host, PORT, &url, &info_hash)?;
    }
    let copy = dir.join("theirs");
    let role = Role { torrent: &theirs, dir: &copy, port: PORT, peers: &[], stay: true };
    let mut leecher =
        Client::start_with(foreign.kind, lab.host()?, "foreign", role, dir, &foreign.settings())?;
    wait(&mut watched, |watched| watched.is_decided(false))?;
    leecher.wait_complete(PATIENCE)?;
    leecher.stop()?;
    shared.same_in_copy_of(foreign.kind, &copy)?;
    Ok(told(&watched))
}

/// One of us, and what its lines have told.
struct Watched {
    policy: &'static str,
    expected: Outcome,
    client: Client,
    encryption: Option<String>,
    turned_away: Option<String>,
    durable: bool,
    downloaded: u64,
}

impl Watched {
    fn start(
        host: Host,
        policy: &'static str,
        expected: Outcome,
        role: Role<'_>,
        dir: &Path,
        limit: [&str; 2],
    ) -> Result<Watched> {
        let args = ["--json-peers", "--encryption", policy, limit[0], limit[1]];
        let settings = Settings { args: &args, ..Settings::default() };
        let name = format!("gannet-{policy}");
        let client = Client::start_with(Kind::Gannet, host, &name, role, dir, &settings)?;
        Ok(Watched {
            policy,
            expected,
            client,
            encryption: None,
            turned_away: None,
            durable: false,
            downloaded: 0,
        })
    }

    fn look(&mut self) -> Result<()> {
        for line in self.client.running.new_lines() {
            let value: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            match value["type"].as_str() {
                Some("peers") => {
                    for peer in value["peers"].as_array().into_iter().flatten() {
                        self.encryption = peer["encryption"].as_str().map(str::to_owned);
                    }
                }
                Some("turned_away") => self.turned_away = value["why"].as_str().map(str::to_owned),
                Some("progress") => {
                    self.durable = value["durable"] == true;
                    self.downloaded = value["downloaded"].as_u64().unwrap_or(0);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it has come to what is expected; an error if it has come to something else.
    fn is_decided(&self, fetches: bool) -> Result<bool> {
        let Watched { policy, expected, encryption, turned_away, .. } = self;
        match expected {
            Outcome::Is(wanted) => {
                if let Some(is) = encryption {
                    ensure!(is == wanted, "{policy}: the link's encryption is {is}, not {wanted}");
                }
                Ok(encryption.is_some() && (self.durable || !fetches))
            }
            Outcome::TurnedAway(wanted) => {
                ensure!(encryption.is_none(), "{policy}: there is a link, encryption {encryption:?}");
                if let Some(why) = turned_away {
                    ensure!(why.contains(wanted), "{policy}: turned away: {why}; not: {wanted}");
                    ensure!(!fetches || self.downloaded == 0, "{policy}: {} bytes came", self.downloaded);
                }
                Ok(turned_away.is_some())
            }
        }
    }
}

fn wait(watched: &mut [Watched], decided: impl Fn(&Watched) -> Result<bool>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let mut open = Vec::new();
        for one in watched.iter_mut() {
            one.look()?;
            if !decided(one)? {
                open.push(format!("{} {:?} {:?}", one.policy, one.encryption, one.turned_away));
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("undecided after {PATIENCE:?}: {}", open.join("; "));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn told(watched: &[Watched]) -> String {
    let words = watched.iter().map(|one| match one.expected {
        Outcome::Is(encryption) => format!("{}: {encryption}", one.policy),
        Outcome::TurnedAway(_) => format!("{}: turned away", one.policy),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Foreign {
    fn settings(&self) -> Settings<'static> {
        Settings {
            args: self.args,
            json: self.encryption.map(|encryption| json!({"encryption": encryption})),
            ..Settings::default()
        }
    }
}

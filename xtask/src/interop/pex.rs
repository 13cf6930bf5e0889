//! Peer exchange (BEP 11) with each foreign client: three clients of which one, the hub, knows the others. The learner comes to
//! be linked with the third by the hub's word alone: the third, a libtorrent, neither names nor hears names, and dials nobody.
//! In a private torrent the same three stay strangers.

use super::client::{Client, Kind, Role, Settings};
use super::content;
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::process::output;
use crate::lab::{Host, Lab};
use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;
const SIZE: u64 = 16_000_000;
/// The third's uplink in bytes a second: so slow that nobody is complete, and leaves, before names have gone round.
const SLOW: u64 = 50_000;
/// Transmission names peers after 90 s first, the others within a minute.
const LIMIT: Duration = Duration::from_secs(180);
/// How long nothing is heard of in a private torrent: both sides would have named peers by then.
const SILENCE: Duration = Duration::from_secs(80);
/// How long aria2 and the learner are linked before the third comes: within the minute before aria2 names peers.
const ARIA2_PAUSE: Duration = Duration::from_secs(15);
const COMPLETE_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for foreign in [Kind::Libtorrent, Kind::Transmission, Kind::Aria2] {
        for (hub, learner) in [(foreign, Kind::Gannet), (Kind::Gannet, foreign)] {
            let name = format!("pex: {learner} learns of a peer from {hub}");
            cases.push(Case::new(name, move |lab, dir| learns(lab, dir, hub, learner)));
        }
    }
    for (hub, learner) in [(Kind::Libtorrent, Kind::Gannet), (Kind::Gannet, Kind::Libtorrent)] {
        let name = format!("pex: {learner} learns nothing from {hub} in a private torrent");
        cases.push(Case::new(name, move |lab, dir| learns_nothing(lab, dir, hub, learner)));
    }
    cases
}

/// Hub, learner and third, at work.
struct Three {
    shared: content::Shared,
    hub: Client,
    learner: Client,
    third: Client,
    _tracker: Tracker,
}

fn learns(lab: &Lab, dir: &Path, hub: Kind, learner: Kind) -> Result<String> {
    let mut three = Three::start(lab, dir, [hub, learner], &[])?;
    let began = Instant::now();
    while !three.have_met()? {
        let status = [three.hub.status()?, three.learner.status()?];
        ensure!(
            began.elapsed() < LIMIT,
            "not after {LIMIT:?}: hub and learner {status:?}\n{}{}",
            three.hub.running.log_tail(),
            three.learner.running.log_tail()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let took = began.elapsed().as_secs_f64();
    three.third.host.free_uplink()?;
    three.finish(dir)?;
    Ok(format!("linked after {took:.0} s"))
}

fn learns_nothing(lab: &Lab, dir: &Path, hub: Kind, learner: Kind) -> Result<String> {
    let mut three = Three::start(lab, dir, [hub, learner], &["--private"])?;
    let began = Instant::now();
    let mut linked = false;
    while began.elapsed() < SILENCE {
        ensure!(!three.have_met()?, "{learner} knows the third after {:?}", began.elapsed());
        // That the hub has both is what the silence is worth.
        linked |=
            is_linked(three.hub.host, three.third.host)? && is_linked(three.hub.host, three.learner.host)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    ensure!(linked, "the hub was never linked with both");
    three.third.host.free_uplink()?;
    three.finish(dir)?;
    Ok(format!("strangers for {} s", SILENCE.as_secs()))
}

impl Three {
    /// A hub that is none of us has the third from a tracker that names nobody else; Gannet dials whom it is to know.
    fn start(lab: &Lab, dir: &Path, [hub, learner]: [Kind; 2], args: &[&str]) -> Result<Three> {
        let [tracker_host, hub_host, learner_host, third_host] =
            [lab.host()?, lab.host()?, lab.host()?, lab.host()?];
        let shared = Content::OneFile(SIZE).share(dir, 64 * 1024, &[])?;
        let plain = shared.variant(&dir.join("plain.torrent"), args)?;
        let url = tracker::http_url(tracker_host);
        let tracked = shared.variant(&dir.join("tracked.torrent"), &[args, &["--tracker", &url]].concat())?;
        let info_hash = content::info_hash_of(&plain)?;
        let _tracker = Tracker::start(tracker_host, std::slice::from_ref(&info_hash), dir)?;
        let at = |host: Host| SocketAddr::from((host.address(), PORT));
        let role = Role { torrent: &plain, dir: &shared.dir, port: PORT, peers: &[], stay: true };
        let start_third = |peers: &[SocketAddr]| -> Result<Client> {
            third_host.limit_uplink(SLOW)?;
            let settings = Settings { args: &["--no-pex"], ..Settings::default() };
            let role = Role { peers, ..role };
            let mut third = Client::start_with(Kind::Libtorrent, third_host, "third", role, dir, &settings)?;
            third.wait_complete(COMPLETE_LIMIT)?;
            tracker::announce(third_host, PORT, &url, &info_hash)?;
            Ok(third)
        };
        let (hub_dir, learner_dir) = (dir.join("hub"), dir.join("learner"));
        let start_hub = |peers: &[SocketAddr]| {
            let torrent = if hub == Kind::Gannet { &plain } else { &tracked };
            Client::start(hub, hub_host, "hub", Role { torrent, dir: &hub_dir, peers, ..role }, dir)
        };
        let start_learner = |peers: &[SocketAddr]| {
            Client::start(learner, learner_host, "learner", Role { dir: &learner_dir, peers, ..role }, dir)
        };
        // Who is dialled is there first.
        let (hub, learner, third) = match hub {
            Kind::Gannet => {
                let (third, learner) = (start_third(&[])?, start_learner(&[])?);
                (start_hub(&[at(learner_host), at(third_host)])?, learner, third)
            }
            // It names only whom it met since it last did, so the third comes last, and dials.
            Kind::Aria2 => {
                let (hub, learner) = (start_hub(&[])?, start_learner(&[at(hub_host)])?);
                wait_for_link(hub_host, learner_host)?;
                std::thread::sleep(ARIA2_PAUSE);
                (hub, learner, start_third(&[at(hub_host)])?)
            }
            Kind::Libtorrent | Kind::Transmission => {
                let third = start_third(&[])?;
                (start_hub(&[])?, start_learner(&[at(hub_host)])?, third)
            }
        };
        Ok(Three { shared, hub, learner, third, _tracker })
    }

    /// Whether the learner is linked with the third, as the third's kernel sees it.
    fn have_met(&self) -> Result<bool> {
        is_linked(self.third.host, self.learner.host)
    }

    /// Both fetch the rest; what they have is what was shared.
    fn finish(&mut self, dir: &Path) -> Result<()> {
        self.hub.wait_complete(COMPLETE_LIMIT)?;
        self.learner.wait_complete(COMPLETE_LIMIT)?;
        for (client, own_dir) in [(&mut self.hub, "hub"), (&mut self.learner, "learner")] {
            client.stop()?;
            self.shared.same_in_copy_of(client.kind, &dir.join(own_dir))?;
        }
        Ok(())
    }
}

fn wait_for_link(host: Host, other: Host) -> Result<()> {
    let end = Instant::now() + COMPLETE_LIMIT;
    while !is_linked(host, other)? {
        ensure!(Instant::now() < end, "{} and {} do not meet", host.address(), other.address());
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Whether a connection of peers stands between two hosts.
fn is_linked(host: Host, other: Host) -> Result<bool> {
    let text = output(host.command("ss").args(["-tnHO", "state", "established"]))?;
    let to_other = format!("{}:", other.address());
    Ok(text.lines().any(|line| line.split_whitespace().nth(3).is_some_and(|at| at.starts_with(&to_other))))
}

//! The distributed hash table in a network of its own: nodes of libtorrent, of npm's bittorrent-dht and of ours find what each other
//! announced and stored; a bare info-hash is enough to fetch; and a swarm outlives its tracker. BEP: 5, 44

use super::client::{Client, Kind, Role, Settings};
use super::content::gannet;
use super::tracker::{self, Tracker};
use super::{Case, Content};
use crate::lab::process::{Running, output};
use crate::lab::{Host, Lab};
use crate::peers;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PORT: u16 = 51413;

/// For one question: others' time-outs are of seconds.
const LIMIT: Duration = Duration::from_secs(40);

/// How soon a newcomer must have met the swarm.
const JOINED_WITHIN: Duration = Duration::from_secs(15);

/// Who wrote a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Author {
    Gannet,
    Libtorrent,
    Npm,
}

impl Author {
    const ALL: [Author; 3] = [Author::Gannet, Author::Libtorrent, Author::Npm];

    fn name(self) -> &'static str {
        match self {
            Author::Gannet => "gannet",
            Author::Libtorrent => "libtorrent",
            Author::Npm => "bittorrent-dht",
        }
    }
}

pub(super) fn cases() -> Vec<Case> {
    use Kind::{Gannet, Libtorrent};
    let fetches = [
        ([Libtorrent, Gannet], Author::Libtorrent),
        ([Libtorrent, Gannet], Author::Npm),
        ([Gannet, Libtorrent], Author::Gannet),
        ([Gannet, Libtorrent], Author::Libtorrent),
        ([Gannet, Gannet], Author::Gannet),
    ];
    let mut cases = vec![
        Case::new("DHT: what each stores, the others find", store),
        Case::new("DHT: a swarm outlives its tracker", outlive),
    ];
    cases.extend(fetches.map(|(kinds, router)| {
        let name =
            format!("DHT: {} -> {}, the hash alone, beginning at {}", kinds[0], kinds[1], router.name());
        Case::new(name, move |lab, dir| fetch(lab, dir, kinds, router))
    }));
    cases
}

/// A node at work.
struct Node {
    author: Author,
    host: Host,
    running: Running,
    /// Where questions of ours are remembered.
    work: PathBuf,
    /// Where others begin.
    router: String,
}

impl Node {
    fn start(author: Author, host: Host, router: Option<Host>, work: &Path) -> Result<Node> {
        let own = format!("{}:{PORT}", host.address());
        let router = router.map(|router| format!("{}:{PORT}", router.address()));
        let name = format!("{}-{}", author.name(), host.address());
        let begin = router.as_deref();
        let mut command = match author {
            Author::Gannet => {
                let mut command = host.command(&gannet().to_string_lossy());
                command.args(["dht", "node", "--json", "--port", &PORT.to_string()]);
                command.args(["--dht-bootstrap", begin.unwrap_or(&own)]);
                command.arg("--state").arg(work.join(&name));
                command
            }
            Author::Libtorrent => {
                let mut command = host.command(&peers::python().to_string_lossy());
                command.arg(crate::root().join("xtask/peers/libtorrent_dht.py")).args(["--listen", &own]);
                command.args(begin.map(|begin| ["--router", begin]).into_iter().flatten());
                command
            }
            Author::Npm => {
                let mut command = host.command("node");
                command.arg(crate::root().join("xtask/peers/bittorrent_dht.mjs")).arg(peers::node_modules());
                command.args([&host.address().to_string(), &PORT.to_string()]).args(begin);
                command
            }
        };
        let mut running = Running::start(&name, work, &mut command)?;
        running
            .wait_for(LIMIT, |line| (line.contains("ready") || line.contains("dht_stats")).then_some(()))?;
        let router = router.unwrap_or(own);
        Ok(Node { author, host, running, work: work.join(format!("{name}-asks")), router })
    }

    /// Says that there is a peer.
    fn announce(&mut self, hash: &str, port: u16) -> Result<()> {
        match self.author {
            Author::Gannet => self.ask(&["get-peers", hash, "--announce", &port.to_string()]).map(drop),
            _ => self.tell(json!({ "do": "announce", "hash": hash, "port": port })).map(drop),
        }
    }

    /// Whether a peer is found.
    fn finds(&mut self, hash: &str, peer: &str) -> Result<()> {
        let found = match self.author {
            // It ends with a code of its own when there is none.
            Author::Gannet => self.ask(&["get-peers", hash]).unwrap_or_default(),
            _ => self.tell(json!({ "do": "peers", "hash": hash }))?.to_string(),
        };
        ensure!(found.contains(peer), "{} does not find {peer} but {found}", self.author.name());
        Ok(())
    }

    /// Stores a text under its hash; where that is.
    fn put(&mut self, text: &str) -> Result<String> {
        match self.author {
            Author::Gannet => Ok(self.ask(&["put", text])?.trim().to_owned()),
            _ => named(&self.tell(json!({ "do": "put", "text": text }))?, "target"),
        }
    }

    /// Stores a text under a key of its own; the key.
    fn publish(&mut self, text: &str, salt: &str) -> Result<String> {
        if self.author != Author::Gannet {
            return named(&self.tell(json!({ "do": "put_key", "text": text, "salt": salt }))?, "key");
        }
        let mut file = self.work.clone().into_os_string();
        file.push(".key");
        let mut make = Command::new(gannet());
        output(make.args(["dht", "key"]).arg(&file))?;
        let file = file.to_string_lossy().into_owned();
        Ok(self.ask(&["put", "--key", &file, "--salt", salt, text])?.trim().to_owned())
    }

    /// What is stored under a hash.
    fn get(&mut self, target: &str) -> Result<String> {
        match self.author {
            Author::Gannet => Ok(self.ask(&["get", target])?.trim().to_owned()),
            _ => named(&self.tell(json!({ "do": "get", "target": target }))?, "text"),
        }
    }

    /// What is stored under a key.
    fn follow(&mut self, key: &str, salt: &str) -> Result<String> {
        match self.author {
            Author::Gannet => Ok(self.ask(&["get", key, "--salt", salt])?.trim().to_owned()),
            _ => named(&self.tell(json!({ "do": "get_key", "key": key, "salt": salt }))?, "text"),
        }
    }

    /// Asks by a command of ours, from the same host.
    fn ask(&self, words: &[&str]) -> Result<String> {
        let mut command = self.host.command(&gannet().to_string_lossy());
        command.arg("dht").args(words).args(["--dht-bootstrap", &self.router]).arg("--state").arg(&self.work);
        output(&mut command)
    }

    /// Gives a script a command; its answer.
    fn tell(&mut self, command: Value) -> Result<Value> {
        self.running.say(&command.to_string())?;
        let answer: Value = self.running.wait_for(LIMIT, |line| serde_json::from_str(line).ok())?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{}: {command}: {error}", self.author.name());
        }
        Ok(answer)
    }
}

fn named(answer: &Value, what: &str) -> Result<String> {
    let text = answer[what].as_str().map(str::to_owned);
    text.with_context(|| format!("there is no {what} in {answer}"))
}

/// Six nodes, two of each author. What one of each announces and stores, one of each finds.
fn store(lab: &Lab, dir: &Path) -> Result<String> {
    let router = lab.host()?;
    let mut nodes = vec![Node::start(Author::Gannet, router, None, dir)?];
    for author in Author::ALL.into_iter().chain([Author::Libtorrent, Author::Npm]) {
        nodes.push(Node::start(author, lab.host()?, Some(router), dir)?);
    }
    let mut found = 0;
    for giver in 0..nodes.len() {
        let from = &mut nodes[giver];
        let (author, host) = (from.author, from.host);
        let hash = format!("{giver:040x}").replace('0', "a");
        from.announce(&hash, 7000 + giver as u16)?;
        let peer = format!("{}:{}", host.address(), 7000 + giver);
        let (fixed, changing) = (format!("of node {giver}"), format!("by node {giver}"));
        let target = from.put(&fixed)?;
        let salt = format!("salt {giver}");
        let key = from.publish(&changing, &salt)?;
        for other in nodes.iter_mut().filter(|other| other.author != author) {
            let context = format!("{} asks for what {} gave", other.author.name(), author.name());
            other.finds(&hash, &peer).with_context(|| context.clone())?;
            let got = [other.get(&target), other.follow(&key, &salt)];
            for (got, wanted) in got.into_iter().zip([&fixed, &changing]) {
                let got = got.with_context(|| context.clone())?;
                ensure!(got == *wanted, "{context}: {got:?} instead of {wanted:?}");
                found += 1;
            }
            found += 1;
        }
    }
    Ok(format!("{found} peers and items found across authors"))
}

/// One has the content, the other the hash; both know one node.
fn fetch(lab: &Lab, dir: &Path, kinds: [Kind; 2], router: Author) -> Result<String> {
    let [router_host, seed_host, leech_host] = [lab.host()?, lab.host()?, lab.host()?];
    let _router = Node::start(router, router_host, None, dir)?;
    let shared = Content::Files(100).share(dir, 16 * 1024, &[])?;
    let at = format!("{}:{PORT}", router_host.address());
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let settings = Settings { dht: Some(&at), ..Settings::default() };
    let mut seeder = Client::start_with(kinds[0], seed_host, "seeder", role, dir, &settings)?;
    seeder.wait_complete(LIMIT)?;
    let hash = shared.info_hash()?;
    let magnet = format!("magnet:?xt=urn:btih:{hash}");
    let settings = Settings { magnet: Some(&magnet), ..settings };
    let copy = dir.join("copy");
    let role = Role { torrent: Path::new("none"), dir: &copy, ..role };
    let began = Instant::now();
    let mut leecher = Client::start_with(kinds[1], leech_host, "leecher", role, dir, &settings)?;
    leecher.wait_complete(2 * LIMIT)?;
    let took = began.elapsed().as_secs_f64();
    leecher.stop()?;
    shared.same_in_copy_of(kinds[1], &copy)?;
    Ok(format!("{} bytes, {took:.1} s from the newcomer's start", shared.size))
}

/// A swarm of four whose tracker dies when half is there: all finish, and a newcomer with the bare hash, who knows the node of one of
/// them, has its first bytes soon.
fn outlive(lab: &Lab, dir: &Path) -> Result<String> {
    let tracker_host = lab.host()?;
    let shared = Content::OneFile(24 << 20).share(dir, 64 * 1024, &[tracker::http_url(tracker_host)])?;
    let tracker = Tracker::start(tracker_host, &[shared.info_hash()?], dir)?;
    let seed_host = lab.host()?;
    seed_host.limit_uplink(2 << 20)?;
    let at = format!("{}:{PORT}", seed_host.address());
    let settings = Settings { dht: Some(&at), ..Settings::default() };
    let role = Role { torrent: &shared.torrent, dir: &shared.dir, port: PORT, peers: &[], stay: true };
    let mut seed = Client::start_with(Kind::Gannet, seed_host, "seed", role, dir, &settings)?;
    seed.wait_complete(LIMIT)?;
    let kinds = [Kind::Gannet, Kind::Libtorrent, Kind::Gannet];
    let copies: Vec<PathBuf> = (0..kinds.len()).map(|number| dir.join(format!("copy-{number}"))).collect();
    let mut leechers = Vec::new();
    for ((number, kind), copy) in kinds.into_iter().enumerate().zip(&copies) {
        let role = Role { dir: copy, ..role };
        leechers.push(Client::start_with(
            kind,
            lab.host()?,
            &format!("leecher-{number}"),
            role,
            dir,
            &settings,
        )?);
    }
    let end = Instant::now() + 2 * LIMIT;
    let half = |leechers: &mut Vec<Client>| -> Result<bool> {
        let mut all = true;
        for leecher in leechers {
            let status = leecher.status()?;
            all &= status.size > 0 && status.done * 2 >= status.size;
        }
        Ok(all)
    };
    while !half(&mut leechers)? {
        ensure!(Instant::now() < end, "half of it is not there");
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(tracker);
    // Nobody is asked who is there by anything but a hash, and the newcomer knows one leecher's node, not its port for peers' sake.
    let magnet =
        format!("magnet:?xt=urn:btih:{}&tr={}", shared.info_hash()?, tracker::http_url(tracker_host));
    let known = format!("{}:{PORT}", leechers[0].host.address());
    let settings = Settings { magnet: Some(&magnet), dht: Some(&known), ..Settings::default() };
    let copy = dir.join("newcomer");
    let role = Role { torrent: Path::new("none"), dir: &copy, ..role };
    let began = Instant::now();
    let mut newcomer = Client::start_with(Kind::Gannet, lab.host()?, "newcomer", role, dir, &settings)?;
    while newcomer.status()?.done == 0 {
        ensure!(began.elapsed() < JOINED_WITHIN, "the newcomer has nothing after {JOINED_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let joined = began.elapsed().as_secs_f64();
    for (leecher, copy) in leechers.iter_mut().zip(&copies) {
        leecher.wait_complete(2 * LIMIT)?;
        leecher.stop()?;
        shared.same_in_copy_of(leecher.kind, copy)?;
    }
    newcomer.wait_complete(2 * LIMIT)?;
    newcomer.stop()?;
    shared.same_in_copy_of(Kind::Gannet, &copy)?;
    Ok(format!("3 of 3 finish; first piece {joined:.1} s after the newcomer's start"))
}

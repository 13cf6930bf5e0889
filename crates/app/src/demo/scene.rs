//! Everything that is at work: the folder, the server and its clients, the tracker, the programs of the swarm. Starts them,
//! kills them; decides nothing about them.
//!
//! Invariant: when this value is gone, so are the processes, the sockets and the folder, whatever way that came about.

use super::board::{Board, Role};
use super::client;
use super::member::Member;
use super::news::{NEWS_MAX, News, Said};
use super::plan::{self, FILE_NAME, ORIGIN_RATE, PEER_RATE, PIECE_LEN, SLOTS};
use super::server::Server;
use crate::failure::Failure;
use crate::fault;
use crate::stop::Stop;
use crate::words::{shell, why};
use gannet::hashing::{FileState, HashFile, hash_files, verify_files};
use gannet::{Magnet, Metainfo};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tracker::{Config, Listen, Rules, Tracker};
use wire::magnet::PeerHint;
use wire::metainfo::MetainfoBuilder;

/// How long the seed may take until it serves; the machine may be busy.
const START_MAX: Duration = Duration::from_secs(30);

/// How often somebody who asks for the end is heard meanwhile.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// When peers come to the tracker again: soon, for so does everything here.
const RULES: Rules = Rules {
    interval: Duration::from_secs(30),
    min_interval: Duration::from_secs(5),
    peers_max: 1_000,
    swarms_max: 100,
};

/// All that is at work. Fields are dropped in this order: first those who write into the folder, then the folder.
pub(super) struct Scene {
    members: Vec<Member>,
    server: Server,
    tracker: Option<Tracker>,
    news: Receiver<News>,
    sender: SyncSender<News>,
    metainfo: Metainfo,
    torrent: PathBuf,
    folder: TempDir,
}

impl Scene {
    /// The folder with the file and its torrent; the server, the tracker and the seed at work, and nobody else yet. Nothing
    /// if someone asks for the end meanwhile.
    pub(super) fn set(people: usize, stop: &Stop) -> Result<Option<(Scene, Board)>, Failure> {
        let failed = |error: io::Error| Failure::plain(format!("cannot set the scene: {}", why(&error)));
        let folder = tempfile::Builder::new().prefix("gannet-demo-").tempdir().map_err(|error| {
            let dir = std::env::temp_dir();
            Failure::plain(format!(
                "cannot make a folder in {}: {}; TMPDIR names another place",
                dir.display(),
                why(&error)
            ))
        })?;
        let content = plan::content(plan::file_len(people));
        fs::write(folder.path().join(FILE_NAME), &content).map_err(failed)?;
        let listen = vec![Listen::http((Ipv4Addr::LOCALHOST, 0).into())];
        let tracker = Tracker::start(Config { listen, rules: RULES, ..Config::default() });
        let tracker = tracker.map_err(|error| failed(error.into()))?;
        let announce =
            tracker.http_addr().map(|at| format!("http://{at}/announce")).into_iter().collect::<Vec<_>>();
        let (bytes, metainfo) = torrent(folder.path(), content.len() as u64, announce)?;
        let torrent = folder.path().join("demo.torrent");
        fs::write(&torrent, bytes).map_err(failed)?;
        let server = Server::start(content.into(), ORIGIN_RATE).map_err(failed)?;
        let (sender, news) = sync_channel(NEWS_MAX);
        let mut board = Board::new(metainfo.layout.total(), metainfo.layout.pieces());
        let mut scene = Scene {
            members: Vec::new(),
            server,
            tracker: Some(tracker),
            news,
            sender,
            metainfo,
            torrent,
            folder,
        };
        Ok(scene.seed(&mut board, stop)?.then_some((scene, board)))
    }

    /// One more on both sides.
    pub(super) fn person(&mut self, board: &mut Board) -> Result<(), Failure> {
        let client = board.add_client();
        let folder = self.make_folder("server", plan::name(client))?;
        client::start(client, self.server.address(), folder, self.sender.clone())
            .map_err(|error| Failure::plain(format!("cannot start a download: {}", why(&error))))?;
        self.peer(board, Role::Peer, PEER_RATE)
    }

    /// One who takes and does not give: a rate of one byte a second is the least there is.
    pub(super) fn free_rider(&mut self, board: &mut Board) -> Result<(), Failure> {
        self.peer(board, Role::FreeRider, 1)
    }

    /// The server and the seed die in the same moment.
    pub(super) fn kill_origins(&mut self) {
        self.server.kill();
        self.members[0].kill();
    }

    /// The tracker dies.
    pub(super) fn kill_tracker(&mut self) {
        self.tracker = None;
    }

    /// Bytes that left the server.
    pub(super) fn server_sent(&self) -> u64 {
        self.server.sent()
    }

    /// What happens next, if anything does within this time.
    pub(super) fn next(&self, patience: Duration) -> Option<News> {
        self.news.recv_timeout(patience).ok()
    }

    /// The command by which another terminal joins.
    pub(super) fn join(&self) -> String {
        format!("{} get {}", program(), shell(&self.torrent))
    }

    /// Hashes what everybody has got; how many of these files are right, and of how many.
    pub(super) fn verify(&self, board: &Board) -> (usize, usize) {
        let left = board.clients.iter().filter(|client| client.bytes == board.file_len);
        let left = left.map(|client| self.place("server", &client.name));
        let right = board.members.iter().filter(|member| member.durable);
        let right = right.map(|member| self.place("swarm", &member.name));
        let places: Vec<PathBuf> = left.chain(right).collect();
        let good = |place: &&PathBuf| {
            verify_files(&self.metainfo, place, &|_| {})
                .is_ok_and(|verified| verified.files.iter().all(|file| *file == FileState::Good))
        };
        (places.iter().filter(good).count(), places.len())
    }

    /// Starts the seed; whether it serves. If not, someone asked for the end.
    fn seed(&mut self, board: &mut Board, stop: &Stop) -> Result<bool, Failure> {
        let (torrent, data) = (text(&self.torrent)?, text(self.folder.path())?);
        let rate = ORIGIN_RATE.to_string();
        let words =
            ["seed", &torrent, "--data", &data, "--max-up", &rate, "--slots", SLOTS, "--no-lsd", "--no-dht"];
        let number = board.add_member(Role::Seed);
        let name = board.members[number].name.clone();
        self.spawn(number, &name, &words)?;
        let deadline = Instant::now() + START_MAX;
        while !stop.asked() {
            match self.next(LISTEN_EVERY) {
                Some(News::Said(_, Said::Seeding)) if !fault::is_wanted("a mute seed") => return Ok(true),
                Some(News::Left(_)) => return Err(self.no_seed()),
                Some(news) => board.on_news(Duration::ZERO, news),
                None if Instant::now() >= deadline => return Err(self.no_seed()),
                None => {}
            }
        }
        Ok(false)
    }

    fn no_seed(&self) -> Failure {
        let log = fs::read_to_string(self.folder.path().join("seed.log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it did not say why");
        Failure::plain(format!("the seed of the demonstration did not start: {last}"))
    }

    fn peer(&mut self, board: &mut Board, role: Role, rate: u64) -> Result<(), Failure> {
        let (magnet, rate) = (self.magnet(board), rate.to_string());
        let number = board.add_member(role);
        let name = board.members[number].name.clone();
        let output = text(&self.make_folder("swarm", &name)?)?;
        // Whoever is done stays and serves: the demonstration is over before this time is.
        let words = [
            "get",
            &magnet,
            "--output",
            &output,
            "--max-up",
            &rate,
            "--slots",
            SLOTS,
            "--seed-time",
            "1h",
            "--no-lsd",
            "--no-dht",
        ];
        self.spawn(number, &name, &words)
    }

    /// What each peer is given: the torrent's name in the world, the tracker, and who is there already.
    fn magnet(&self, board: &Board) -> String {
        let here = board.members.iter().filter(|member| !member.gone);
        let addresses = here.filter_map(|member| member.address.as_ref()?.parse().ok());
        let mut magnet = Magnet::new(self.metainfo.info_hash);
        magnet.trackers = self.metainfo.trackers.iter().flatten().cloned().collect();
        magnet.peers = addresses.map(PeerHint::Address).collect();
        magnet.to_string()
    }

    fn spawn(&mut self, number: usize, name: &str, words: &[&str]) -> Result<(), Failure> {
        let state = self.folder.path().join(format!("{name}.state"));
        let log = self.folder.path().join(format!("{name}.log"));
        let member = Member::start(number, words, &state, &log, self.sender.clone()).map_err(|error| {
            Failure::plain(format!("cannot start a gannet of the swarm: {}", why(&error)))
        })?;
        self.members.push(member);
        Ok(())
    }

    fn make_folder(&self, side: &str, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.place(side, name);
        fs::create_dir_all(&folder)
            .map_err(|error| Failure::plain(format!("cannot make {}: {}", folder.display(), why(&error))))?;
        Ok(folder)
    }

    fn place(&self, side: &str, name: &str) -> PathBuf {
        self.folder.path().join(side).join(name)
    }
}

/// This program as it can be typed: by its path, if that is not where a shell looks.
pub(super) fn program() -> String {
    let typed = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "gannet".into());
    let here = std::env::current_dir().unwrap_or_default();
    shell(typed.strip_prefix(&here).unwrap_or(&typed))
}

fn torrent(folder: &Path, len: u64, announce: Vec<String>) -> Result<(Vec<u8>, Metainfo), Failure> {
    let path = folder.join(FILE_NAME);
    let files = [HashFile { path, len }];
    let hashes = hash_files(&files, PIECE_LEN, &|_| {}).map_err(Failure::plain)?;
    let builder = MetainfoBuilder::single(FILE_NAME, len, PIECE_LEN).trackers(vec![announce]);
    builder.build(&hashes).map_err(Failure::plain)
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::plain(format!("{} is not UTF-8; TMPDIR names another place", path.display())))
}

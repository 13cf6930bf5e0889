//! What a tracker knows after a restart, an orderly one or none; and what it does when the disk does not let it. Threat E5. BEP: 15

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tracker::ledger::Rules;
use tracker::{Books, Config, Listen, Members, Private, StartError, Tracker};
use wire::announce::{AnnounceEvent, AnnounceRequest};
use wire::compact::Family;
use wire::tracker_udp::{Reply, Request};
use wire::{InfoHash, PeerId};

/// Whoever does not answer within this does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(folder: &Path, workers: usize) -> Config {
    let listen = vec![Listen::all(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))];
    let state = Some(folder.to_owned());
    Config { listen, workers: workers.try_into().unwrap(), state, ..Config::default() }
}

fn tracker(folder: &Path, workers: usize) -> Tracker {
    Tracker::start(config(folder, workers)).unwrap()
}

/// Swarms of every worker.
fn swarms() -> impl Iterator<Item = InfoHash> {
    (0..60).map(|n| InfoHash([n; 20]))
}

/// A client over UDP.
struct Client {
    socket: UdpSocket,
    connection: u64,
    asked: u32,
}

impl Client {
    fn of(tracker: &Tracker) -> Client {
        let mut client = Client::with_id(tracker, 0);
        client.connection = client.connect();
        client
    }

    /// One that has got this id before.
    fn with_id(tracker: &Tracker, connection: u64) -> Client {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(tracker.udp_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket, connection, asked: 0 }
    }

    fn connect(&mut self) -> u64 {
        self.send(|_, transaction| Request::Connect { transaction });
        let reply = self.reply();
        let Reply::Connect { connection, transaction } = reply else { panic!("{reply:?}") };
        assert_eq!(transaction, self.asked);
        connection
    }

    /// Announces a peer with this port; the ports of those that it is told of.
    fn announce(&mut self, info_hash: InfoHash, port: u16) -> BTreeSet<u16> {
        self.send_announce(info_hash, port);
        match self.reply() {
            Reply::Announce { peers, .. } => peers.iter().map(|peer| peer.port()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn send_announce(&mut self, info_hash: InfoHash, port: u16) {
        let announce = AnnounceRequest {
            info_hash,
            peer_id: PeerId([b'x'; 20]),
            port,
            uploaded: 0,
            downloaded: 0,
            left: 1,
            event: AnnounceEvent::Started,
            want: None,
            key: None,
        };
        self.send(|connection, transaction| Request::Announce {
            connection,
            transaction,
            announce,
            url_data: "".into(),
        });
    }

    fn send(&mut self, request: impl FnOnce(u64, u32) -> Request) {
        self.asked += 1;
        let mut datagram = Vec::new();
        request(self.connection, self.asked).encode(&mut datagram);
        self.socket.send(&datagram).unwrap();
    }

    fn reply(&mut self) -> Reply {
        let mut answer = [0; 2048];
        let len = self.socket.recv(&mut answer).unwrap();
        Reply::decode(&answer[..len], Family::V4).unwrap()
    }
}

/// A peer of this port comes to every swarm.
fn come(tracker: &Tracker, port: u16) {
    let mut client = Client::of(tracker);
    swarms().for_each(|swarm| drop(client.announce(swarm, port)));
}

/// Whom a visitor of this port is told of, in every swarm alike.
fn told(tracker: &Tracker, port: u16) -> BTreeSet<u16> {
    let mut client = Client::of(tracker);
    let mut each = swarms().map(|swarm| client.announce(swarm, port)).collect::<BTreeSet<_>>().into_iter();
    let (first, other) = (each.next().unwrap(), each.next());
    assert_eq!(other, None, "beside {first:?}");
    first
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn of_workers(workers: usize) -> BTreeSet<String> {
    let swarms = (0..workers).map(|worker| format!("swarms-{worker}-of-{workers}"));
    swarms.chain(["key".to_owned(), "lock".to_owned()]).collect()
}

#[test]
fn after_an_end_in_order_everybody_is_known_whatever_the_number_of_workers() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("new/state");
    let first = tracker(&folder, 1);
    assert_eq!(first.remembered().unwrap().peers.peers, 0);
    come(&first, 1001);
    first.end(PATIENCE);
    assert_eq!(names(&folder), of_workers(1));
    let second = tracker(&folder, 3);
    assert_eq!(second.remembered().unwrap().peers.peers, 60);
    assert_eq!((second.figures().swarms, second.figures().peers), (60, 60));
    assert_eq!(told(&second, 1002), BTreeSet::from([1001]));
    second.end(PATIENCE);
    assert_eq!(names(&folder), of_workers(3), "what one worker left is in what three wrote");
    let third = tracker(&folder, 2);
    assert_eq!(told(&third, 1003), BTreeSet::from([1001, 1002]));
    // To be dropped is an end, too.
    drop(third);
    assert_eq!(told(&tracker(&folder, 1), 1004), BTreeSet::from([1001, 1002, 1003]));
}

#[test]
fn after_a_kill_those_are_known_who_were_there_when_it_was_last_saved() {
    let [home, after] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let running = tracker(home.path(), 2);
    come(&running, 1001);
    running.save().unwrap();
    come(&running, 1002);
    // The disk as it is found by who starts it again.
    for name in names(home.path()) {
        fs::copy(home.path().join(&name), after.path().join(&name)).unwrap();
    }
    // It was about to save once more.
    fs::write(after.path().join("swarms-1-of-2.new"), "half a snapshot").unwrap();
    let again = tracker(after.path(), 3);
    assert_eq!(told(&again, 1003), BTreeSet::from([1001]));
    assert_eq!(told(&running, 1003), BTreeSet::from([1001, 1002]));
    // Before all three have saved theirs, nothing of the two is removed.
    assert!(names(after.path()).contains("swarms-0-of-2"));
    again.save().unwrap();
    assert_eq!(names(after.path()), of_workers(3));
}

#[test]
fn connection_ids_stay_valid_and_without_the_folder_do_not() {
    let home = tempfile::tempdir().unwrap();
    let first = tracker(home.path(), 1);
    let id = Client::of(&first).connection;
    first.end(PATIENCE);
    let second = tracker(home.path(), 2);
    assert_eq!(Client::with_id(&second, id).announce(InfoHash([1; 20]), 1001), BTreeSet::new());
    let other = Tracker::start(Config { state: None, ..config(home.path(), 1) }).unwrap();
    assert_eq!(other.remembered(), None);
    let mut client = Client::with_id(&other, id);
    client.send_announce(InfoHash([1; 20]), 1001);
    // The next question is the first to be answered.
    client.connect();
}

#[test]
fn a_folder_that_cannot_be_used_is_said_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let said = |folder: &Path| match Tracker::start(config(folder, 1)) {
        Err(StartError::State(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let path = home.path().join("a file");
    fs::write(&path, "").unwrap();
    assert!(said(&path).starts_with(&format!("the folder {}: ", path.display())), "{}", said(&path));
    let folder = home.path().join("state");
    let running = tracker(&folder, 1);
    assert_eq!(said(&folder), format!("the folder {}: another tracker uses it", folder.display()));
    drop(running);
    symlink("/dev/full", folder.join("key.new")).unwrap();
    // What is there needs no room.
    tracker(&folder, 1).end(PATIENCE);
    fs::remove_file(folder.join("key")).unwrap();
    assert!(said(&folder).contains("No space left"));
    fs::remove_file(folder.join("key.new")).unwrap();
    // A directory where the key should be.
    fs::create_dir(folder.join("key")).unwrap();
    assert!(said(&folder).contains(folder.to_str().unwrap()));
}

#[test]
fn what_was_changed_is_left_out_and_said_and_the_rest_is_believed() {
    let home = tempfile::tempdir().unwrap();
    let first = tracker(home.path(), 2);
    come(&first, 1001);
    first.end(PATIENCE);
    let [good, whole] =
        ["swarms-0-of-2", "swarms-1-of-2"].map(|name| fs::read(home.path().join(name)).unwrap());
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 4;
    for (bytes, why) in [
        (&changed[..], "a checksum does not fit"),
        (&whole[..whole.len() / 2], "it ends too early"),
        (b"something else", "it is no snapshot of a tracker"),
    ] {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("swarms-0-of-2"), &good).unwrap();
        fs::write(home.path().join("swarms-1-of-2"), bytes).unwrap();
        let again = tracker(home.path(), 3);
        let remembered = again.remembered().unwrap();
        assert_eq!(remembered.damaged.len(), 1, "{remembered:?}");
        assert!(remembered.damaged[0].contains("swarms-1-of-2: "), "{remembered:?}");
        assert!(remembered.damaged[0].contains(why), "{remembered:?}");
        assert_eq!(remembered.peers.peers, 30, "those of the other file");
        assert_eq!(Client::of(&again).announce(InfoHash([0; 20]), 1002), BTreeSet::from([1001]));
    }
}

#[test]
fn a_disk_that_fails_keeps_nobody_waiting_and_is_used_again_when_it_works() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let running = tracker(&folder, 2);
    come(&running, 1001);
    fs::remove_dir_all(&folder).unwrap();
    running.save().unwrap_err();
    come(&running, 1002);
    fs::create_dir(&folder).unwrap();
    running.save().unwrap();
    // No room for one worker's, and then there is some.
    symlink("/dev/full", folder.join("swarms-1-of-2.new")).unwrap();
    let full = running.save().unwrap_err();
    assert!(full.contains("No space left"), "{full}");
    assert_eq!(told(&running, 1003), BTreeSet::from([1001, 1002]));
    running.save().unwrap();
    running.end(PATIENCE);
    assert_eq!(told(&tracker(&folder, 1), 1004), BTreeSet::from([1001, 1002, 1003]));
}

#[test]
fn a_folder_that_was_removed_at_work_is_taken_again_unless_another_tracker_has_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let running = tracker(&folder, 2);
    let id = Client::of(&running).connection;
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    running.save().unwrap();
    assert_eq!(names(&folder), of_workers(2));
    let Err(StartError::State(error)) = Tracker::start(config(&folder, 1)) else { panic!("it has taken it") };
    assert!(error.to_string().ends_with("another tracker uses it"), "{error}");
    // The next knows ids that were given before.
    running.end(PATIENCE);
    let next = tracker(&folder, 1);
    Client::with_id(&next, id).announce(InfoHash([1; 20]), 1001);
    fs::remove_dir_all(&folder).unwrap();
    let other = tracker(&folder, 1);
    assert!(next.save().unwrap_err().ends_with("another tracker uses it"));
    assert_eq!(names(&folder), BTreeSet::from(["key".to_owned(), "lock".to_owned()]));
    other.save().unwrap();
}

#[test]
fn who_is_in_the_files_of_two_numbers_of_workers_is_one_peer() {
    let [home, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for (folder, workers) in [(home.path(), 1), (other.path(), 2)] {
        let first = tracker(folder, workers);
        come(&first, 1001);
        first.end(PATIENCE);
    }
    for name in ["swarms-0-of-2", "swarms-1-of-2"] {
        fs::copy(other.path().join(name), home.path().join(name)).unwrap();
    }
    assert_eq!(tracker(home.path(), 3).remembered().unwrap().peers.peers, 60);
}

#[test]
fn what_an_open_tracker_kept_outlives_a_private_one_in_its_folder_and_is_not_used_by_it() {
    let home = tempfile::tempdir().unwrap();
    let first = tracker(home.path(), 1);
    come(&first, 1001);
    first.end(PATIENCE);
    let (rows, _books) = sync_channel(1);
    let books = Books { rules: Rules::default(), rows, standing: Arc::default() };
    let private = Some(Private { members: Arc::new(Members::new([])), books });
    let between = Tracker::start(Config { private, ..config(home.path(), 2) }).unwrap();
    let remembered = between.remembered().unwrap();
    assert_eq!((remembered.peers.peers, remembered.damaged.len()), (0, 1), "{remembered:?}");
    between.end(PATIENCE);
    let again = tracker(home.path(), 1);
    assert_eq!(again.remembered().unwrap().peers.peers, 60);
    assert_eq!(told(&again, 1002), BTreeSet::from([1001]));
}

#[test]
fn nobody_else_reads_what_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    tracker(&folder, 2).end(PATIENCE);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in of_workers(2) {
        assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
    }
}

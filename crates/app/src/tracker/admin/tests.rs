//! Every command at every door by everybody, and what comes in as bytes. Threat F10

use super::command::{Command, Rule, TORRENT, USER, UserCommand};
use super::*;
use crate::cli::Tracker as Args;
use crate::tracker::settings::Settings;
use crate::tracker::users::{Keeper, Record, Store};
use clap::Parser;
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use tracker::{Listen, Tracker};
use wire::Passkey;

const HASH: &str = "0707070707070707070707070707070707070707";

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

/// A private tracker with one user and a list that has one torrent, in which there is one peer; and its desk with a token for each role.
struct Place {
    tracker: Tracker,
    keeper: Keeper,
    desk: Arc<Desk>,
    dir: tempfile::TempDir,
}

fn token(role: Role) -> String {
    format!("{role:?}").to_lowercase().repeat(5)
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("list"), format!("{HASH} a remark\n")).unwrap();
        let lines = [Role::Viewer, Role::Operator, Role::Admin].map(|role| {
            let name = format!("{role:?}").to_lowercase();
            format!("{} {name} the-{name}\n", token(role))
        });
        fs::write(file("tokens"), lines.concat()).unwrap();
        #[cfg(unix)]
        fs::set_permissions(file("tokens"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let (list, users) = (file("list"), file("users.db"));
        let line = ["tracker", "--allow", list.to_str().unwrap(), "--private", users.to_str().unwrap()];
        let args = Typed::parse_from(line.map(str::to_owned)).args;
        let (name, passkey) = ("anna".into(), Passkey::of_chance([7; 16]));
        let anna = Record { name, passkey, may_download: true, enabled: true, clients_max: None };
        Store::open(&users, true).unwrap().add(anna).unwrap();
        let (keeper, private) = Keeper::start(&users).unwrap();
        let settings = Settings::of(&args).unwrap();
        let listen = Listen::http((Ipv4Addr::LOCALHOST, 0).into());
        let tracker = Tracker::start(settings.config(vec![listen], Some(private)).unwrap()).unwrap();
        let office = Office::new(&args, settings, tracker.handle().clone(), Some(keeper.reader()));
        let desk = Desk::new(office, Asked::default(), Some(&file("tokens"))).unwrap();
        let place = Place { tracker, keeper, desk, dir };
        assert!(place.announce(passkey.reveal()).contains("interval"));
        place
    }

    /// What a visitor with this passkey hears.
    fn announce(&self, passkey: &str) -> String {
        let mut visitor = TcpStream::connect(self.tracker.http_addr().unwrap()).unwrap();
        let (hash, id) = ("%07".repeat(20), "x".repeat(20));
        let visit = format!(
            "GET /{passkey}/announce?info_hash={hash}&peer_id={id}&port=6881&left=5 HTTP/1.0\r\n\r\n"
        );
        visitor.write_all(visit.as_bytes()).unwrap();
        let mut heard = Vec::new();
        visitor.read_to_end(&mut heard).unwrap();
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// What can be seen of everything that a command changes.
    fn state(&self) -> (String, Value, u16) {
        let health = self.ask(Door::Socket, "GET", "/health", "").status();
        (self.list(), self.done("GET", "/users"), health)
    }

    /// As it was at first: what is done to one of everything can be done again.
    fn restore(&self) {
        self.desk.office.forget_the_end();
        self.done("DELETE", "/drain");
        self.done("PUT", &format!("/access/{HASH}"));
        self.ask(Door::Socket, "DELETE", "/users/new", "");
        self.ask(Door::Socket, "PUT", "/users/anna", "");
    }

    fn ask(&self, door: Door, method: &str, target: &str, fields: &str) -> Answer {
        let text = format!("{method} {target} HTTP/1.1\r\n{fields}\r\n");
        let head = Head::read(text.as_bytes(), 0).unwrap().unwrap();
        answer(&head, door, &self.desk)
    }

    /// By the socket; must be done.
    fn done(&self, method: &str, target: &str) -> Value {
        let answer = self.ask(Door::Socket, method, target, "");
        assert_eq!(answer.status(), 200, "{method} {target}: {}", answer.body());
        answer.body().clone()
    }

    fn list(&self) -> String {
        fs::read_to_string(self.dir.path().join("list")).unwrap()
    }
}

/// Who may do it at the least, said a second time: a row of the table is not changed by mistake.
fn least(command: Command) -> Role {
    match command {
        Command::Figures | Command::Health | Command::Torrents | Command::Torrent => Role::Viewer,
        Command::Settings | Command::Reload | Command::List | Command::Unlist => Role::Operator,
        Command::Drain | Command::Serve => Role::Operator,
        Command::Peers | Command::End => Role::Admin,
        Command::Users => Role::Operator,
        Command::User(what) => match what {
            UserCommand::Show | UserCommand::Disable | UserCommand::Enable => Role::Operator,
            UserCommand::NoDownload | UserCommand::Download => Role::Operator,
            UserCommand::Add | UserCommand::Remove | UserCommand::NewKey => Role::Admin,
        },
    }
}

#[test]
fn every_command_is_for_its_roles_at_every_door() {
    let place = Place::new();
    let host = "Host: 127.0.0.1:6970\r\n";
    for command in Command::ALL {
        let Rule { method, path, .. } = command.rule();
        let who = if command == Command::User(UserCommand::Add) { "new" } else { "anna" };
        let target = path.replace(TORRENT, HASH).replace(USER, who);
        let ask = |door, fields: &str| {
            place.restore();
            place.ask(door, method, &target, fields)
        };
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let fields = format!("{host}Authorization: Bearer {}\r\n", token(role));
            place.restore();
            let before = place.state();
            let answer = ask(Door::Loopback, &fields);
            let wanted = if role >= least(command) { 200 } else { 403 };
            assert_eq!(answer.status(), wanted, "{command:?} as {role:?}: {}", answer.body());
            assert!(wanted == 200 || place.state() == before, "{command:?} as {role:?}");
            assert_eq!(answer.ends, command == Command::End && wanted == 200);
            // A token changes nothing at the socket, nor does a host.
            assert_eq!(ask(Door::Socket, &fields).status(), 200, "{command:?}");
            for (fields, status) in [
                (format!("Authorization: Bearer {}\r\n", token(role)), 421),
                (format!("Host: evil.example\r\nAuthorization: Bearer {}\r\n", token(role)), 421),
                (format!("{host}{fields}"), 421),
                (format!("{host}Authorization: Bearer {}x\r\n", token(role)), 401),
                (format!("{host}Authorization: {}\r\n", token(role)), 401),
                (format!("{fields}Authorization: Bearer {}\r\n", token(role)), 401),
                (host.to_owned(), 401),
            ] {
                assert_eq!(ask(Door::Loopback, &fields).status(), status, "{command:?}: {fields}");
            }
        }
        assert_eq!(ask(Door::Socket, "").status(), 200, "{command:?}");
    }
    place.restore();
    assert!(place.list().starts_with(HASH));
}

#[test]
fn a_host_that_is_not_the_loopback_was_led_here() {
    for (host, wanted) in [
        ("127.0.0.1", true),
        ("127.0.0.1:6970", true),
        ("[::1]:6970", true),
        ("localhost:1", true),
        ("LOCALHOST", true),
        ("", false),
        ("localhost.evil.example", false),
        ("192.0.2.7", false),
        ("evil.example:127", false),
        ("127.0.0.1.evil.example", false),
    ] {
        assert_eq!(is_this_machine(host.as_bytes()), wanted, "{host}");
    }
}

#[test]
fn torrents_are_told_of_in_their_order_and_peers_with_them() {
    let place = Place::new();
    let all = place.done("GET", "/torrents?count=1");
    let row = serde_json::json!({ "info_hash": HASH, "seeds": 0, "leechers": 1, "downloads": 0 });
    assert_eq!((&all["torrents"][0], &all["next"]), (&row, &HASH.into()));
    let rest = place.done("GET", &format!("/torrents?after={HASH}"));
    assert_eq!((rest["torrents"].as_array().unwrap().len(), &rest["next"]), (0, &Value::Null));
    let one = place.done("GET", &format!("/torrents/{HASH}"));
    assert!(one["leechers"] == 1 && one.get("peers").is_none(), "{one}");
    let peers = place.done("GET", &format!("/torrents/{HASH}/peers"));
    assert_eq!(peers["peers"], serde_json::json!([{ "address": "127.0.0.1:6881", "seed": false }]));
    for (target, status) in [
        ("/torrents?count=0", 400),
        ("/torrents?after=7", 400),
        ("/torrents?sort=size", 400),
        (&*format!("/torrents/{}", "0".repeat(40)), 404),
    ] {
        assert_eq!(place.ask(Door::Socket, "GET", target, "").status(), status, "{target}");
    }
}

#[test]
fn what_is_changed_holds_and_is_in_the_file() {
    let place = Place::new();
    let other = "f".repeat(40);
    let path = format!("/access/{other}");
    assert_eq!(place.done("PUT", &path)["what"], "it is listed");
    assert_eq!(place.done("PUT", &path)["what"], "nothing: it was so already");
    assert_eq!(place.list(), format!("{HASH} a remark\n{other}\n"));
    assert_eq!(place.done("DELETE", &path)["what"], "it is not listed any more");
    assert_eq!(place.list(), format!("{HASH} a remark\n"));
    assert_eq!(
        place.done("POST", "/reload")["what"],
        "read again: private, for 1 user, 1 listed torrent alone"
    );
    fs::remove_file(place.dir.path().join("list")).unwrap();
    let answer = place.ask(Door::Socket, "POST", "/reload", "");
    assert_eq!(answer.status(), 409);
    assert!(answer.body()["error"].as_str().unwrap().starts_with("nothing was changed: the list "));
    place.done("PUT", "/drain");
    let health = place.ask(Door::Socket, "GET", "/health", "");
    assert_eq!((health.status(), &health.body()["status"]), (503, &"draining".into()));
    let settings = place.done("GET", "/settings");
    assert_eq!(settings["settings"]["access"]["mode"], "allow");
    assert!(!settings.to_string().contains(&token(Role::Viewer)));
}

#[test]
fn users_are_made_and_changed_and_that_holds_at_once() {
    let place = Place::new();
    let serves = |passkey: &str| place.announce(passkey).contains("interval");
    let made = place.done("PUT", "/users/Zo%C3%AB?clients=3");
    let (name, old) = (made["name"].as_str().unwrap(), made["passkey"].as_str().unwrap());
    assert!(name == "Zo\u{eb}" && serves(old));
    let shown = place.done("GET", "/users/Zo%C3%AB");
    assert!(shown["clients_max"] == 3 && shown["enabled"] == true && shown["uploaded"] == 0, "{shown}");
    assert_eq!(place.done("PUT", "/users/Zo%C3%AB/disabled")["what"], "the user is disabled");
    assert!(!serves(old));
    place.done("DELETE", "/users/Zo%C3%AB/disabled");
    place.done("PUT", "/users/Zo%C3%AB/no-download");
    assert_eq!(place.done("GET", "/users/Zo%C3%AB")["may_download"], false);
    place.done("DELETE", "/users/Zo%C3%AB/no-download");
    assert!(serves(old));
    let newer = place.done("POST", "/users/Zo%C3%AB/passkey");
    let newer = newer["passkey"].as_str().unwrap();
    assert!(newer != old && serves(newer) && !serves(old));
    let all = place.done("GET", "/users");
    assert_eq!((&all["users"][1]["name"], &all["users"][0]["name"]), (&"anna".into(), &"Zo\u{eb}".into()));
    assert!(all["next"].is_null() && !all.to_string().contains(newer), "{all}");
    let one = place.done("GET", "/users?count=1&after=Zo%C3%AB");
    assert_eq!((&one["users"][0]["name"], &one["next"]), (&"anna".into(), &"anna".into()));
    place.done("DELETE", "/users/Zo%C3%AB");
    assert!(!serves(newer));
    for (method, target, status) in [
        ("GET", "/users/nobody", 404),
        ("PUT", "/users/nobody/disabled", 404),
        ("DELETE", "/users/nobody", 404),
        ("PUT", "/users/anna", 409),
        ("PUT", "/users/an:na", 400),
        ("PUT", "/users/bert?clients=0", 400),
        ("PUT", "/users/bert?passkey=x", 400),
        ("PUT", "/users/0123456789abcdef0123456789abcdef", 400),
        ("GET", "/users?count=1001", 400),
    ] {
        assert_eq!(place.ask(Door::Socket, method, target, "").status(), status, "{method} {target}");
    }
}

#[test]
fn pages_of_users_go_on_behind_a_name_that_is_not_told() {
    let place = Place::new();
    let site = rusqlite::Connection::open(place.dir.path().join("users.db")).unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    for (number, name) in [secret, "an\u{1b}[2Jna", "-x", "bert", "zoe@\u{7f}"].into_iter().enumerate() {
        site.execute("INSERT INTO users (name, passkey) VALUES (?1, ?2)", (name, format!("{number:032}")))
            .unwrap();
    }
    for count in 1..4 {
        let (mut after, mut seen) = (String::new(), 0);
        for _ in 0..7 {
            let page = place.done("GET", &format!("/users?count={count}&after={after}"));
            assert!(!page.to_string().contains(secret), "{page}");
            seen += page["users"].as_array().unwrap().len();
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, 6, "{count} at once");
    }
    let gone = place.ask(Door::Socket, "GET", "/users?after=-0000000000000000", "");
    assert_eq!(gone.status(), 400, "who begins in the middle would hear of some twice");
}

#[test]
fn a_passkey_that_does_not_hold_yet_is_shown_all_the_same() {
    let place = Place::new();
    let users = place.dir.path().join("users.txt");
    fs::write(&users, "# nobody\n").unwrap();
    let args = Typed::parse_from(["tracker", "--private", users.to_str().unwrap()].map(str::to_owned)).args;
    let settings = Settings::of(&args).unwrap();
    // Nobody reads the file again: its keeper has ended.
    let reader = Keeper::reader_of_nobody(&users);
    let office = Office::new(&args, settings, place.tracker.handle().clone(), Some(reader));
    let place = Place { desk: Desk::new(office, Asked::default(), None).unwrap(), ..place };
    for (method, target) in [("PUT", "/users/carla"), ("POST", "/users/carla/passkey")] {
        let made = place.done(method, target);
        let what = made["what"].as_str().unwrap();
        assert!(what.contains("; that does not hold everywhere yet: the keeper"), "{what}");
        let line = format!("# nobody\n{} carla\n", made["passkey"].as_str().unwrap());
        assert_eq!(fs::read_to_string(&users).unwrap(), line);
    }
    let answer = place.ask(Door::Socket, "PUT", "/users/carla/disabled", "");
    assert!(answer.status() == 503 && fs::read_to_string(&users).unwrap().ends_with(" carla disabled\n"));
}

#[test]
fn who_cannot_visit_for_its_passkey_is_none_is_given_one() {
    let place = Place::new();
    let site = rusqlite::Connection::open(place.dir.path().join("users.db")).unwrap();
    site.execute("INSERT INTO users (name, passkey) VALUES ('dora', 'too short')", []).unwrap();
    for (method, target) in [("PUT", "/users/dora"), ("GET", "/users/dora")] {
        assert_eq!(
            place.ask(Door::Socket, method, target, "").status(),
            409,
            "{method} is no way to mend it"
        );
    }
    for (method, target) in [("PUT", "/users/dora/disabled"), ("DELETE", "/users/dora/disabled")] {
        place.done(method, target);
    }
    let made = place.done("POST", "/users/dora/passkey");
    assert!(place.announce(made["passkey"].as_str().unwrap()).contains("interval"));
    place.done("DELETE", "/users/dora");
}

#[test]
fn who_only_asks_for_users_waits_for_nobody() {
    let place = Place::new();
    let _changing = place.desk.office.settings();
    let (desk, (tell, told)) = (Arc::clone(&place.desk), std::sync::mpsc::channel());
    thread::spawn(move || {
        for target in ["/users/anna", "/users"] {
            let text = format!("GET {target} HTTP/1.1\r\n\r\n");
            let head = Head::read(text.as_bytes(), 0).unwrap().unwrap();
            let _ = tell.send(answer(&head, Door::Socket, &desk).body().clone());
        }
    });
    let next = || told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(next()["name"], "anna");
    assert_eq!(next()["users"][0]["name"], "anna");
}

#[test]
fn what_somebody_else_has_changed_undoes_nothing_that_was_changed_since() {
    let place = Place::new();
    let anna = Passkey::of_chance([7; 16]);
    let new = Record {
        name: "bert".into(),
        passkey: Passkey::of_chance([8; 16]),
        may_download: true,
        enabled: true,
        clients_max: None,
    };
    place.keeper.reader().open().unwrap().add(new.clone()).unwrap();
    place.keeper.wait_for_news();
    // The keeper has looked; what is changed then holds, whenever its word is heeded.
    place.done("PUT", "/users/anna/disabled");
    assert_eq!(place.desk.office.read_users().unwrap(), (2, false));
    assert!(!place.announce(anna.reveal()).contains("interval"));
    assert!(place.announce(new.passkey.reveal()).contains("interval"));
}

/// Whether this process has a lock on a file.
fn is_locked(file: &Path) -> bool {
    let inode = format!(":{} ", fs::metadata(file).unwrap().ino());
    let us = std::process::id().to_string();
    let all = fs::read_to_string("/proc/locks").unwrap();
    all.lines().any(|line| line.split(' ').any(|word| word == us) && line.contains(&inode))
}

#[test]
fn a_database_that_is_open_stays_locked_whatever_is_asked() {
    let place = Place::new();
    let users = place.dir.path().join("users.db");
    assert!(is_locked(&users), "the keeper has it open");
    for (method, target) in
        [("GET", "/users"), ("GET", "/users/anna"), ("PUT", "/users/bert"), ("POST", "/reload")]
    {
        place.done(method, target);
        assert!(is_locked(&users), "{method} {target}");
    }
}

#[test]
fn of_two_who_read_the_tokens_again_the_later_has_the_last_word() {
    let place = Place::new();
    let tokens = place.dir.path().join("tokens");
    fs::remove_file(&tokens).unwrap();
    assert!(
        std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&tokens).status().unwrap().success()
    );
    let desk = Arc::clone(&place.desk);
    let reading = thread::spawn(move || desk.reload());
    // It is open as soon as somebody reads it, who has to wait for what is in it.
    let mut file = fs::OpenOptions::new().write(true).open(&tokens).unwrap();
    assert!(place.desk.office.is_in_use(), "nobody else reads them until these hold");
    writeln!(file, "{} admin new", "n".repeat(20)).unwrap();
    drop(file);
    reading.join().unwrap().unwrap();
    assert_eq!(place.desk.caller(&[b'n'; 20]).unwrap().name, "new");
    assert_eq!(place.desk.caller(token(Role::Admin).as_bytes()), None);
}

#[test]
fn how_many_came_without_a_token_is_told() {
    let place = Place::new();
    let host = "Host: 127.0.0.1\r\n";
    let valid = format!("{host}Authorization: Bearer {}\r\n", token(Role::Viewer));
    for (fields, status) in
        [(host, 401), (&*format!("{valid}Authorization: x\r\n"), 401), ("", 421), (&*valid, 403)]
    {
        assert_eq!(place.ask(Door::Loopback, "POST", "/end", fields).status(), status);
    }
    let told = place.desk.turned_away().unwrap();
    assert!(told.starts_with("3 requests at the admin address"), "{told}");
    assert_eq!(place.desk.turned_away(), None);
}

#[test]
fn once_it_ends_nobody_hastens_that_or_changes_anything() {
    let place = Place::new();
    assert!(place.ask(Door::Socket, "POST", "/end", "").ends);
    for command in Command::ALL {
        let Rule { method, path, changes, .. } = command.rule();
        let target = path.replace(TORRENT, HASH).replace(USER, "anna");
        let answer = place.ask(Door::Socket, method, &target, "");
        assert_eq!((answer.status(), answer.ends), (if changes { 409 } else { 200 }, false), "{command:?}");
    }
    assert!(place.list().starts_with(HASH));
}

#[test]
fn whoever_asks_for_the_end_at_a_door_does_it_by_no_signal() {
    let place = Place::new();
    for (said, asked) in [("GET /health", None), ("POST /end", Some(Signal::End)), ("POST /end", None)] {
        let (mut client, server) = UnixStream::pair().unwrap();
        write!(client, "{said} HTTP/1.1\r\n\r\n").unwrap();
        serve(server, &place.desk, Door::Socket);
        assert_eq!(place.desk.asked.wait(Duration::ZERO), asked, "{said}");
    }
}

#[test]
fn a_request_is_read_within_its_bounds() {
    let place = Place::new();
    for (said, wanted) in [
        (b"GET /health HTTP/1.1\r\n\r\n".to_vec(), "HTTP/1.1 200 "),
        (b"GET /health HTTP/1.1\r\nContent-Length: 1\r\n\r\nx".to_vec(), "HTTP/1.1 400 "),
        (b"nonsense\r\n\r\n".to_vec(), "HTTP/1.1 400 "),
        (b"x".repeat(HEAD_LEN_MAX), "HTTP/1.1 400 "),
        // It hangs up in the middle.
        (b"GET /health".to_vec(), ""),
    ] {
        let (mut client, server) = UnixStream::pair().unwrap();
        let desk = Arc::clone(&place.desk);
        let serving = thread::spawn(move || serve(server, &desk, Door::Socket));
        client.write_all(&said).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = String::new();
        client.read_to_string(&mut heard).unwrap();
        assert!(heard.starts_with(wanted) && heard.is_empty() == wanted.is_empty(), "{heard}");
        serving.join().unwrap();
    }
}

#[test]
fn whoever_crowds_the_loopback_keeps_nobody_from_the_socket() {
    let place = Place::new();
    let _crowd: Vec<_> =
        (0..guests::GUESTS_MAX).map(|_| place.desk.guests.enter(Door::Loopback).unwrap()).collect();
    for (door, wanted) in [(Door::Loopback, "HTTP/1.1 503 "), (Door::Socket, "HTTP/1.1 200 ")] {
        let (mut client, server) = UnixStream::pair().unwrap();
        client.write_all(b"GET /health HTTP/1.1\r\n\r\n").unwrap();
        receive(server, &place.desk, door);
        let mut heard = [0; 13];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(std::str::from_utf8(&heard).unwrap(), wanted);
    }
}

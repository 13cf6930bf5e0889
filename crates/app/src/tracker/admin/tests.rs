//! Every command at every door by everybody, and what comes in as bytes. Threat F10

use super::command::{Command, Rule};
use super::*;
use crate::cli::Tracker as Args;
use crate::tracker::settings::Settings;
use clap::Parser;
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use tracker::{Listen, Tracker};

const HASH: &str = "0707070707070707070707070707070707070707";

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    args: Args,
}

/// A tracker with a list that has one torrent, in which there is one peer; and its desk with a token for each role.
struct Place {
    _tracker: Tracker,
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
        let line = ["tracker", "--allow", file("list").to_str().unwrap()].map(str::to_owned);
        let args = Typed::parse_from(line).args;
        let settings = Settings::of(&args).unwrap();
        let listen = Listen::http((Ipv4Addr::LOCALHOST, 0).into());
        let tracker = Tracker::start(settings.config(vec![listen], None).unwrap()).unwrap();
        let mut visitor = TcpStream::connect(tracker.http_addr().unwrap()).unwrap();
        let hash = "%07".repeat(20);
        let visit = format!(
            "GET /announce?info_hash={hash}&peer_id={}&port=6881&left=5 HTTP/1.0\r\n\r\n",
            "x".repeat(20)
        );
        visitor.write_all(visit.as_bytes()).unwrap();
        visitor.read_to_end(&mut Vec::new()).unwrap();
        let office = Office::new(&args, settings, tracker.handle().clone(), None);
        let desk = Desk::new(office, Some(&file("tokens"))).unwrap();
        Place { _tracker: tracker, desk, dir }
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
    }
}

#[test]
fn every_command_is_for_its_roles_at_every_door() {
    let place = Place::new();
    let host = "Host: 127.0.0.1:6970\r\n";
    for command in Command::ALL {
        let Rule { method, path, .. } = command.rule();
        let target = path.replace('*', HASH);
        let ask = |door, fields: &str| {
            let answer = place.ask(door, method, &target, fields);
            // Whoever drained lets visitors in again, for the next question.
            place.done("DELETE", "/drain");
            answer
        };
        for role in [Role::Viewer, Role::Operator, Role::Admin] {
            let fields = format!("{host}Authorization: Bearer {}\r\n", token(role));
            let answer = ask(Door::Loopback, &fields);
            let wanted = if role >= least(command) { 200 } else { 403 };
            assert_eq!(answer.status(), wanted, "{command:?} as {role:?}: {}", answer.body());
            assert_eq!(answer.ends, command == Command::End && wanted == 200);
            // A token changes nothing at the socket, nor does a host.
            assert_eq!(ask(Door::Socket, &fields).status(), 200, "{command:?}");
            // What was unlisted is listed again.
            place.done("PUT", &format!("/access/{HASH}"));
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
        place.done("PUT", &format!("/access/{HASH}"));
    }
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
    assert_eq!(place.done("POST", "/reload")["what"], "read again: for 1 listed torrent alone");
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

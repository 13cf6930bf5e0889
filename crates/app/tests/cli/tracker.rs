//! `gannet tracker`: where it says that it is, that peers meet there, and how it ends. BEP: 3, 15

use crate::program::{Place, Running, noise};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

#[test]
fn peers_meet_by_the_urls_that_it_prints() {
    let place = Place::new();
    let mut tracker = place.start(&["tracker", "--listen", "127.0.0.1:0", "--workers", "2", "--json"]);
    let line = tracker.wait_for_type("tracker_listening");
    let urls: Vec<&str> = line["urls"].as_array().unwrap().iter().map(|url| url.as_str().unwrap()).collect();
    let address = line["addresses"][0].as_str().unwrap();
    assert_eq!(urls, [format!("http://{address}/announce"), format!("udp://{address}/announce")]);
    for (number, url) in urls.into_iter().enumerate() {
        let name = format!("{number}.bin");
        place.write(&name, &noise(100_000, number as u64 + 1));
        place.create(&[&name, "--tracker", url]);
        let torrent = format!("{name}.torrent");
        let _seed = place.seed(&torrent, ".");
        let got = place.run(&["get", &torrent, "-o", "copy", "--port", "0", "--no-seed"]);
        assert_eq!(got.code, Some(0), "{url}: {got:?}");
        assert_eq!(place.read(&format!("copy/{name}")), place.read(&name));
    }
    tracker.signal("TERM");
    let ended = tracker.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let stats = ended.json().into_iter().rfind(|line| line["type"] == "tracker_stats").unwrap();
    assert_eq!(stats["swarms"], 2, "{stats}");
    assert!(stats["announces"].as_u64().unwrap() >= 4, "{stats}");
}

#[test]
fn a_person_reads_urls_to_paste_and_for_whom_they_are() {
    let place = Place::new();
    let mut tracker = place.start(&["tracker", "--listen", "127.0.0.1:0"]);
    tracker.wait_for("for this machine alone");
    tracker.signal("INT");
    let ended = tracker.end();
    assert_eq!((ended.code, ended.out.len()), (Some(0), 2), "{ended:?}");
    assert!(ended.out[0].starts_with("  http://127.0.0.1:"), "{ended:?}");
    assert!(ended.out[1].starts_with("  udp://127.0.0.1:"), "{ended:?}");
}

#[test]
fn a_list_is_read_again_on_sighup_and_a_bad_one_changes_nothing() {
    let place = Place::new();
    place.write("one.bin", &noise(50_000, 1));
    place.create(&["one.bin"]);
    let hash = place.run(&["inspect", "one.bin.torrent", "--json"]).json_of("torrent")["info_hash"].clone();
    place.write("etc/ours.txt", b"# nothing yet\n");
    place.write(
        "etc/tracker.toml",
        b"listen = ['127.0.0.1:0']\n[access]\nmode = 'allow'\nlist = 'ours.txt'\n",
    );
    let mut tracker = place.start(&["tracker", "--config", "etc/tracker.toml", "--json"]);
    let line = tracker.wait_for_type("tracker_listening");
    let url = line["urls"][0].as_str().unwrap().to_owned();
    place.create(&["one.bin", "--tracker", &url, "--force"]);
    // The seed says so when its tracker answers, and why if it does not.
    let seed = ["seed", "one.bin.torrent", "--data", ".", "--port", "0", "--json"];
    place.start(&seed).wait_for("this tracker does not serve that torrent");
    place.write("etc/ours.txt", format!("{}\n", hash.as_str().unwrap()).as_bytes());
    tracker.signal("HUP");
    assert_eq!(tracker.wait_for_type("tracker_reloaded")["error"], serde_json::Value::Null);
    place.start(&seed).wait_for_type("tracker");
    place.write("etc/tracker.toml", b"lisen = 1\n");
    tracker.signal("HUP");
    let error = tracker.wait_for_type("tracker_reloaded")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("unknown field `lisen`"), "{error}");
    place.start(&seed).wait_for_type("tracker");
    tracker.signal("TERM");
    assert_eq!(tracker.end().code, Some(0));
}

/// One question to the operator's socket.
fn ask(socket: &Path, question: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{question} HTTP/1.1\r\nHost: tracker\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn its_operator_reaches_it_by_a_socket_and_ends_it() {
    let place = Place::new();
    // Left behind by one that was killed.
    drop(UnixListener::bind(place.path("admin.sock")).unwrap());
    let args = ["tracker", "--listen", "127.0.0.1:0", "--admin-socket", "admin.sock", "--json"];
    let mut tracker = place.start(&args);
    tracker.wait_for_type("tracker_listening");
    let socket = place.path("admin.sock");
    let answer = ask(&socket, "GET /figures");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"type\":\"tracker_stats\""), "{answer}");
    let second = place.run(&args);
    assert_eq!(second.code, Some(1));
    assert!(second.last_word().contains("another tracker listens there"), "{second:?}");
    assert!(ask(&socket, "POST /end").contains("it ends"));
    let line = tracker.wait_for_type("tracker_admin");
    assert_eq!((&line["who"], &line["command"]), (&"socket".into(), &"POST /end".into()));
    assert_eq!(tracker.end().code, Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_manager_whose_signal_comes_behind_an_operators_end_does_not_hasten_it() {
    let place = Place::new();
    let args = ["tracker", "--listen", "127.0.0.1:0", "--admin-socket", "a.sock", "--json"];
    let mut tracker = place.start(&args);
    let line = tracker.wait_for_type("tracker_listening");
    let url = line["urls"][0].as_str().unwrap().to_owned();
    let at = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    // It is served before it ends, for which there are seconds.
    let mut visitor = std::net::TcpStream::connect(at).unwrap();
    visitor.write_all(b"GET /scrape HTTP/1.1\r\n").unwrap();
    let socket = place.path("a.sock");
    assert!(ask(&socket, "POST /end").contains("it ends"));
    let until = Instant::now() + Duration::from_secs(60);
    while socket.exists() {
        assert!(Instant::now() < until, "its doors stay open");
        std::thread::yield_now();
    }
    tracker.signal("TERM");
    assert_eq!(tracker.end().code, Some(0));
}

#[test]
fn its_operator_makes_users_who_are_served_at_once_and_nobody_else_reads_their_passkeys() {
    let place = Place::new();
    place.write("users.txt", b"# ours\n");
    let args = ["tracker", "--listen", "127.0.0.1:0", "--private", "users.txt", "--admin-socket", "a.sock"];
    let mut tracker = place.start(&[&args[..], &["--json"]].concat());
    let line = tracker.wait_for_type("tracker_listening");
    let url = line["urls"][0].as_str().unwrap().to_owned();
    let at = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    let made = ask(&place.path("a.sock"), "PUT /users/anna");
    let body: serde_json::Value = serde_json::from_str(made.lines().last().unwrap()).unwrap();
    let passkey = body["passkey"].as_str().unwrap();
    // A passkey in the place of a name, by mistake.
    assert!(ask(&place.path("a.sock"), &format!("DELETE /users/{passkey}")).starts_with("HTTP/1.1 400 "));
    for mistake in [&*format!("{passkey}%20"), &*format!("announce%3Fpasskey%3D{passkey}")] {
        let answer = ask(&place.path("a.sock"), &format!("PUT /users/{mistake}/disabled"));
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    let mut visitor = std::net::TcpStream::connect(at).unwrap();
    let (hash, id) = ("%07".repeat(20), "x".repeat(20));
    let visit =
        format!("GET /{passkey}/announce?info_hash={hash}&peer_id={id}&port=7&left=9 HTTP/1.0\r\n\r\n");
    visitor.write_all(visit.as_bytes()).unwrap();
    let mut heard = Vec::new();
    visitor.read_to_end(&mut heard).unwrap();
    assert!(String::from_utf8_lossy(&heard).contains("interval"));
    assert_eq!(place.read("users.txt"), format!("# ours\n{passkey} anna\n").into_bytes());
    tracker.signal("TERM");
    let ended = tracker.end();
    let said = [&ended.out[..], &ended.err[..]].concat().join("\n");
    assert!(said.contains("PUT /users/anna") && !said.contains(passkey), "{said}");
}

#[test]
fn the_settings_that_are_printed_are_a_file_to_begin_with() {
    let place = Place::new();
    let printed = place.run(&["tracker", "--print-config", "--workers", "3", "--listen", "127.0.0.1:7070"]);
    assert_eq!((printed.code, printed.err.len()), (Some(0), 0), "{printed:?}");
    let text = printed.out.join("\n");
    assert!(text.contains("\nworkers = 3\n") && text.contains("listen = [\"127.0.0.1:7070\"]"), "{text}");
    place.write("tracker.toml", text.as_bytes());
    let again = place.run(&["tracker", "--print-config", "--config", "tracker.toml"]);
    assert_eq!(again.out, printed.out);
    let lacking = place.run(&["tracker", "--tls-listen", "127.0.0.1:0"]);
    assert_eq!(lacking.code, Some(1));
    assert!(lacking.last_word().contains("TLS needs --certificate FILE and --key FILE"), "{lacking:?}");
    let absent = place.run(&["tracker", "--config", "absent.toml"]);
    assert_eq!(absent.code, Some(1));
    assert!(absent.last_word().contains("the configuration absent.toml: No such file"), "{absent:?}");
}

#[test]
fn who_cannot_listen_hears_what_to_do() {
    let place = Place::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = busy.local_addr().unwrap().to_string();
    for (address, code, wanted) in [
        (&*at, 1, "end it, or take another port, such as --listen 127.0.0.1:7070"),
        ("192.0.2.7", 1, "cannot listen at 192.0.2.7:6969: "),
        ("localhost", 2, "an address to listen at is given as 192.0.2.7"),
    ] {
        let ended = place.run(&["tracker", "--listen", address]);
        assert_eq!((ended.code, ended.out.len()), (Some(code), 0), "{ended:?}");
        assert!(ended.err.join("\n").contains(wanted), "{ended:?}");
    }
}

#[test]
fn with_a_folder_for_it_a_restart_forgets_nobody() {
    let place = Place::new();
    let words = ["tracker", "--listen", "127.0.0.1:0", "--state", "kept", "--json"];
    let mut first = place.start(&words);
    assert_eq!(first.wait_for_type("tracker_remembered")["peers"], 0);
    let url = first.wait_for_type("tracker_listening")["urls"][0].as_str().unwrap().to_owned();
    place.write("one.bin", &noise(50_000, 1));
    place.create(&["one.bin", "--tracker", &url]);
    let mut seed = place.start(&["seed", "one.bin.torrent", "--data", ".", "--port", "0", "--json"]);
    seed.wait_for_type("tracker");
    // Killed, it cannot say that it leaves.
    seed.signal("KILL");
    drop(seed);
    let refused = place.run(&words);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.join("\n").contains("kept: another tracker uses it"), "{refused:?}");
    first.signal("TERM");
    assert_eq!(first.end().code, Some(0));
    let mut second = place.start(&[&words[..], &["--workers", "3"]].concat());
    let line = second.wait_for_type("tracker_remembered");
    assert_eq!((&line["peers"], line["damaged"].as_array().unwrap().len()), (&1.into(), 0), "{line}");
    second.signal("TERM");
    assert_eq!(second.end().code, Some(0));
}

#[test]
fn a_service_manager_is_told_when_it_answers_reloads_and_ends() {
    let place = Place::new();
    let abstract_name = format!("gannet-manager-of-{}", std::process::id());
    let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&abstract_name).unwrap()).unwrap();
    let by_path = UnixDatagram::bind(place.path("notify")).unwrap();
    let path = place.path("notify").display().to_string();
    for (socket, name) in [(by_path, path), (by_name, format!("@{abstract_name}"))] {
        socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        // Next to how it goes, which comes as time passes.
        let told = || loop {
            let mut buffer = [0; 1024];
            let len = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8(buffer[..len].to_vec()).unwrap();
            if !text.starts_with("STATUS=0 peers of 0 torrents; ") {
                break text;
            }
        };
        let mut command = place.command(&["tracker", "--listen", "127.0.0.1:0", "--json"]);
        let mut tracker = Running::start(command.env("NOTIFY_SOCKET", name));
        assert_eq!(told(), "READY=1\n");
        let line = tracker.wait_for_type("tracker_listening");
        let at = line["addresses"][0].as_str().unwrap();
        std::net::TcpStream::connect(at).unwrap();
        tracker.signal("HUP");
        assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(told(), "READY=1\n");
        tracker.signal("TERM");
        assert_eq!(told(), "STOPPING=1\n");
        assert_eq!(tracker.end().code, Some(0));
    }
}

#[test]
fn what_the_tracker_warns_of_is_said() {
    let place = Place::new();
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -n 32 && exec \"$0\" tracker --listen 127.0.0.1:0 --json";
    command.args(["-c", script, env!("CARGO_BIN_EXE_gannet")]).current_dir(place.path("."));
    let mut tracker = Running::start(&mut command);
    let line = tracker.wait_for_type("tracker_listening");
    let at = line["addresses"][0].as_str().unwrap();
    let visitors: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(at).unwrap()).collect();
    // It says so with its next news, if it has noticed by then.
    tracker.signal("HUP");
    tracker.wait_for("a visitor could not be let in: ");
    drop(visitors);
    tracker.signal("TERM");
    let ended = tracker.end();
    assert_eq!(ended.code, Some(0));
    let said = ended.err.iter().filter(|line| line.contains("could not be let in")).count();
    assert!(said <= 3, "{ended:?}");
}

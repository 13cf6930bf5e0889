//! What users send on when they ask for help: no line that the program prints may hold what opens a door on a tracker or a web
//! server. Threats: E11

use crate::program::{Place, noise};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// In every place of a URL where one can stand.
const SECRETS: [&str; 4] =
    ["wilhelmina", "correcthorse", "0123456789abcdef0123456789abcdef", "fedcba98765432100123456789abcdef"];

/// A server that refuses everything in its visitor's own words, as trackers do that do not know a passkey.
fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let len = socket.read(&mut request).unwrap_or(0);
            let line = String::from_utf8_lossy(&request[..len]).lines().next().unwrap_or("").to_owned();
            let body = format!("d14:failure reason{}:{line}e", line.len());
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = socket.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[test]
fn no_secret_of_a_tracker_or_a_web_seed_is_printed() {
    let place = Place::new();
    place.write("film.bin", &noise(200_000, 7));
    let [name, password, path, query] = SECRETS;
    let host = parrot();
    let tracker = format!("http://{name}:{password}@{host}/announce/{path}?passkey={query}");
    let dead = format!("http://{name}:{password}@127.0.0.1:1/{path}/announce?passkey={query}");
    let deaf = format!("udp://{name}:{password}@127.0.0.1:1/{path}/announce?passkey={query}");
    // One that is not visited, since it is in our own network and bears a name; and one that is, and refuses.
    let named = format!("http://{name}:{password}@{host}/{path}/");
    let plain = format!("http://{host}/{path}/");
    let trackers = ["-t", &tracker, "-t", &dead, "-t", &deaf];
    place.create(&[&["film.bin", "-w", &named, "-w", &plain], &trackers[..]].concat());
    for (kind, of_web_seeds) in [("--plain", "web seed"), ("--json", "web_seed_failed")] {
        // An option is no folder's name.
        let place_of_its_own = kind.trim_start_matches('-');
        let words = ["get", "film.bin.torrent", "-o", place_of_its_own, "--port", "0", "--wait", "14s", kind];
        let words = [&words[..], &["--state", place_of_its_own]].concat();
        let ended = place.run(&words);
        let lines = [&ended.out[..], &ended.err[..]].concat();
        // What was to be said was said: of the trackers, of the web seeds, of the end.
        for wanted in
            ["no source", "bears a name or a password", of_web_seeds, "127.0.0.1:1", &host.to_string()]
        {
            assert!(lines.iter().any(|line| line.contains(wanted)), "{kind}: no `{wanted}`: {lines:#?}");
        }
        for secret in SECRETS {
            let leak = lines.iter().find(|line| line.contains(secret));
            assert_eq!(leak, None, "{kind}: a secret in {lines:#?}");
        }
    }
}

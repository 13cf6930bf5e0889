//! A private tracker: users are made, meet, are counted, and are changed while it runs; and nobody but the user is ever shown a passkey.
//! BEP: 3, 15, 41. Threat: E11

use crate::program::{Ended, Place, Running, noise};
use std::io::{Read, Write};
use std::net::TcpStream;

const SIZE: usize = 300_000;

/// A tracker for the users of this file, and where it is reached over HTTP.
fn start(place: &Place, users: &str) -> (Running, String) {
    let mut tracker = place.start(&["tracker", "--listen", "127.0.0.1:0", "--private", users, "--json"]);
    let line = tracker.wait_for_type("tracker_listening");
    (tracker, line["addresses"][0].as_str().unwrap().to_owned())
}

/// Makes a user; the passkey.
fn add(place: &Place, name: &str, users: &str, more: &[&str]) -> String {
    let made = place.run(&[&["tracker", "users", "add", name, "--in", users, "--json"], more].concat());
    let line = made.json_of("tracker_passkey");
    let passkey = line["passkey"].as_str().unwrap().to_owned();
    assert_eq!(line["url"], format!("http://127.0.0.1:6969/announce?passkey={passkey}"));
    passkey
}

/// The answer to a visit by a client that lacks so much.
fn announce(at: &str, passkey: &str, left: u32) -> String {
    let hash = "%07".repeat(20);
    let peer = "x".repeat(20);
    get(at, &format!("/{passkey}/announce?info_hash={hash}&peer_id={peer}&port=7&left={left}"))
}

fn get(at: &str, target: &str) -> String {
    let mut link = TcpStream::connect(at).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    link.write_all(head.as_bytes()).unwrap();
    let mut said = Vec::new();
    link.read_to_end(&mut said).unwrap();
    String::from_utf8_lossy(&said).into_owned()
}

/// One user's line of the list.
fn listed(place: &Place, users: &str, name: &str) -> serde_json::Value {
    let list = place.run(&["tracker", "users", "list", "--in", users, "--json"]);
    list.json().into_iter().find(|line| line["name"] == name).unwrap()
}

fn end(tracker: Running) -> Ended {
    tracker.signal("TERM");
    let ended = tracker.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[test]
fn members_meet_and_what_they_sent_and_received_is_in_the_books() {
    for (users, scheme) in [("users.db", "udp"), ("users.txt", "http")] {
        let place = Place::new();
        let [anna, bert] = ["anna", "bert"].map(|name| add(&place, name, users, &[]));
        let (tracker, at) = start(&place, users);
        place.write("film.bin", &noise(SIZE, 1));
        let url = |passkey: &str| format!("{scheme}://{at}/announce?passkey={passkey}");
        place.create(&["film.bin", "--tracker", &url(&anna)]);
        place.create(&["film.bin", "--tracker", &url(&bert), "-o", "berts.torrent"]);
        let (seed, _) = place.seed("film.bin.torrent", ".");
        let got = place.run(&["get", "berts.torrent", "-o", "copy", "--port", "0", "--no-seed"]);
        assert_eq!(got.code, Some(0), "{got:?}");
        assert_eq!(place.read("copy/film.bin"), place.read("film.bin"));
        // It says goodbye, and with it what it has sent.
        seed.signal("INT");
        let seeded = seed.end();
        let ended = end(tracker);
        let said = [got.out, got.err, seeded.out, seeded.err, ended.out, ended.err].concat().join("\n");
        assert!(!said.contains(&anna) && !said.contains(&bert), "{said}");
        let [annas, berts] = ["anna", "bert"].map(|name| listed(&place, users, name));
        let size = SIZE as u64;
        assert_eq!((annas["uploaded"].as_u64(), annas["downloaded"].as_u64()), (Some(size), Some(0)));
        assert_eq!((berts["uploaded"].as_u64(), berts["downloaded"].as_u64()), (Some(0), Some(size)));
        assert_eq!((annas["completed"].as_u64(), berts["completed"].as_u64()), (Some(0), Some(1)));
        let list = place.run(&["tracker", "users", "list", "--in", users]).out.join("\n");
        assert!(list.contains("anna") && list.contains(&SIZE.to_string()), "{list}");
        assert!(!list.contains(&anna) && !list.contains(&bert), "{list}");
    }
}

#[test]
fn what_is_changed_in_a_database_holds_within_seconds_and_what_is_in_a_text_after_sighup() {
    for users in ["users.db", "users.txt"] {
        let place = Place::new();
        let anna = add(&place, "anna", users, &["--no-download"]);
        let (mut tracker, at) = start(&place, users);
        assert!(announce(&at, &anna, 5).contains("may not download"));
        assert!(announce(&at, &anna, 0).contains("8:interval"));
        let mut change = |words: &[&str]| {
            let done = place.run(&[&["tracker", "users"], words, &["--in", users]].concat());
            assert_eq!(done.code, Some(0), "{done:?}");
            if users == "users.txt" {
                assert!(done.last_word().contains("is told by SIGHUP"), "{done:?}");
                tracker.signal("HUP");
            }
            assert_eq!(tracker.wait_for_type("tracker_reloaded")["error"], serde_json::Value::Null);
            done
        };
        change(&["download", "anna"]);
        assert!(announce(&at, &anna, 5).contains("8:interval"));
        change(&["disable", "anna"]);
        assert!(announce(&at, &anna, 5).contains("this account is disabled"));
        change(&["enable", "anna"]);
        assert!(announce(&at, &anna, 5).contains("8:interval"));
        let other = change(&["new-key", "anna", "--json"]).json_of("tracker_passkey")["passkey"].clone();
        assert!(announce(&at, &anna, 5).contains("a personal announce URL is needed"));
        assert!(announce(&at, other.as_str().unwrap(), 5).contains("8:interval"));
        change(&["remove", "anna"]);
        assert!(announce(&at, other.as_str().unwrap(), 5).contains("a personal announce URL is needed"));
        end(tracker);
    }
}

#[test]
fn a_text_that_cannot_be_read_changes_nothing_and_its_passkeys_are_not_told() {
    let place = Place::new();
    let anna = add(&place, "anna", "users.txt", &[]);
    let (mut tracker, at) = start(&place, "users.txt");
    let good = place.read("users.txt");
    let other = "0123456789abcdef0123456789abcdef";
    for bad in [
        format!("{anna} anna\n{anna} bert\n"),
        format!("{anna} {other}"),
        format!("{anna}{other}{anna} anna"),
        format!("{anna}\n{other} anna"),
        format!("{anna} anna {other}"),
    ] {
        place.write("users.txt", bad.as_bytes());
        tracker.signal("HUP");
        let error = tracker.wait_for_type("tracker_reloaded")["error"].as_str().unwrap().to_owned();
        assert!(error.contains("users.txt"), "{error}");
        assert!(announce(&at, &anna, 5).contains("8:interval"));
        let failed = place.run(&["tracker", "--listen", "127.0.0.1:0", "--private", "users.txt"]);
        assert_eq!(failed.code, Some(1), "{failed:?}");
        let said = [failed.out, failed.err].concat().join("\n") + &error;
        assert!(!said.contains(&anna[1..]) && !said.contains(&other[1..]), "{said}");
    }
    place.write("users.txt", &good);
    let ended = end(tracker);
    let said = [ended.out, ended.err].concat().join("\n");
    assert!(!said.contains(&anna[1..]) && !said.contains(&other[1..]), "{said}");
}

#[test]
fn nothing_that_a_private_tracker_says_has_a_passkey_in_it() {
    let place = Place::new();
    let keys = ["anna", "bert"].map(|name| add(&place, name, "users.db", &[]));
    let unknown = "0123456789abcdef0123456789abcdef".to_owned();
    let (tracker, at) = start(&place, "users.db");
    let mut said = String::new();
    for key in keys.iter().chain([&unknown]) {
        said += &announce(&at, key, 5);
        for page in ["scrape", "metrics", "health", "else", ""] {
            said += &get(&at, &format!("/{key}/{page}"));
            said += &get(&at, &format!("/{page}?passkey={key}&{key}"));
        }
        said += &get(&at, &format!("/announce?passkey={key}&info_hash={key}"));
        // What is no request.
        said += &get(&at, &format!("/{key}/announce HTTP/9.9"));
    }
    let printed = place.run(&["tracker", "--private", "users.db", "--print-config"]).out.join("\n");
    assert!(printed.contains("users = \"users.db\""), "{printed}");
    for words in [&["list"][..], &["list", "--json"], &["disable", "anna"], &["remove", "carl"]] {
        let ended = place.run(&[&["tracker", "users"], words, &["--in", "users.db"]].concat());
        said += &[ended.out, ended.err].concat().join("\n");
    }
    let ended = end(tracker);
    said += &[ended.out, ended.err].concat().join("\n");
    said += &printed;
    assert!(said.contains("tracker_reloaded") || said.contains("tracker_stats"), "{said}");
    assert!(said.contains("gannet_tracker_strangers_total"), "{said}");
    for key in keys.iter().chain([&unknown]) {
        assert!(!said.contains(key), "{said}");
    }
    // Nor does a file of ours that others can read.
    for file in place.files(".") {
        use std::os::unix::fs::PermissionsExt;
        let bytes = String::from_utf8_lossy(&place.read(&file)).into_owned();
        let mode = std::fs::metadata(place.path(&file)).unwrap().permissions().mode();
        assert!(!keys.iter().any(|key| bytes.contains(key)) || mode & 0o077 == 0, "{file}: {mode:o}");
    }
}

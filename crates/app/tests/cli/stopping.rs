//! Signals: the first saves and says how to go on, the second ends at once.

use crate::program::{Place, Running, noise};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc::channel;

const SIZE: usize = 6_000_000;

/// A slow download of which something has been fetched.
fn half_way(place: &Place, get: &[&str]) -> Running {
    let mut running = place.start(&[get, &["--max-down", "1MB/s"]].concat());
    for _ in 0..20 {
        running.wait_for_type("piece_done");
    }
    running
}

fn film() -> (Place, Running, String) {
    let place = Place::new();
    place.write("film.bin", &noise(SIZE, 1));
    place.create(&["film.bin"]);
    let (seed, peer) = place.seed("film.bin.torrent", ".");
    (place, seed, peer)
}

#[test]
fn a_stopped_download_goes_on_where_it_was() {
    let (place, _seed, peer) = film();
    let get = ["get", "film.bin.torrent", "-o", "got", "--json", "--port", "0", "--peer", &peer];
    let mut had = 0;
    for signal in ["INT", "TERM", "HUP"] {
        let running = half_way(&place, &get);
        running.signal(signal);
        let stopped = running.end();
        assert_eq!(stopped.code, Some(130), "{signal}: {stopped:?}");
        assert_eq!(place.files("got"), ["film.bin.part"]);
        let resumed = stopped.json_of("resumed");
        let have = resumed["have"].as_u64().unwrap();
        assert!(have >= had, "{signal}: {have} here, {had} were");
        assert_eq!(resumed["checked"], 0, "{signal}: what was saved in order is not hashed again");
        had = have + 20 * 16_384;
    }
    let finished = place.run(&get);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.json_of("resumed")["have"].as_u64().unwrap() >= had);
    assert_eq!(place.files("got"), ["film.bin"]);
    assert!(place.read("got/film.bin") == place.read("film.bin"));
}

#[test]
fn a_person_is_told_that_it_is_saved_and_goes_on() {
    let (place, _seed, peer) = film();
    let get =
        ["get", "film.bin.torrent", "-o", "got", "--port", "0", "--peer", &peer, "--max-down", "500kB/s"];
    let mut running = place.start(&get);
    running.wait_for("film.bin: downloading");
    running.signal("INT");
    let stopped = running.end();
    assert_eq!(stopped.code, Some(130));
    assert_eq!(stopped.last_word(), "stopped; the same command goes on where it was");
}

#[test]
fn the_second_signal_ends_at_once() {
    let place = Place::new();
    place.write("film.bin", &noise(SIZE, 1));
    // A tracker that answers once and then never again: the goodbye to it would be waited for.
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", tracker.local_addr().unwrap());
    let (goodbye, heard) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for (number, link) in tracker.incoming().map_while(Result::ok).enumerate() {
            let mut head = BufReader::new(&link).lines().map_while(Result::ok);
            let _ = head.find(String::is_empty);
            if number == 0 {
                let body = "d8:intervali1800e5:peers0:e";
                let _ = write!(
                    &link,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            } else {
                let _ = goodbye.send(());
                open.push(link);
            }
        }
    });
    place.create(&["film.bin", "-t", &url]);
    let mut running = place.start(&["get", "film.bin.torrent", "-o", "got", "--json", "--port", "0"]);
    running.wait_for_type("tracker");
    running.signal("INT");
    heard.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    running.signal("INT");
    let told = running.end();
    assert_eq!(told.code, Some(130), "{told:?}");
}

#[test]
fn a_reader_of_json_who_goes_away_stops_it() {
    let (place, _seed, peer) = film();
    let get = format!("get film.bin.torrent -o got --json --port 0 --peer {peer} --max-down 500kB/s");
    let script = format!("({} {get}; echo $? >&2) | head -n 3", env!("CARGO_BIN_EXE_gannet"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(place.path(".")).env("XDG_STATE_HOME", place.path("state"));
    let ended = Running::start(&mut shell).end();
    assert_eq!((ended.out.len(), ended.err), (3, vec!["130".to_owned()]));
}

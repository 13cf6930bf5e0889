//! `get` and `seed` to their good end.

use crate::program::{Place, noise};
use std::net::TcpListener;

/// Content in three files whose pieces straddle their borders, and its torrent.
fn album() -> Place {
    let place = Place::new();
    place.write("album/1.flac", &noise(150_000, 1));
    place.write("album/2.flac", &noise(100_000, 2));
    place.write("album/notes/read me.txt", &noise(10_000, 3));
    place.write("album/empty.txt", b"");
    place.create(&["album", "-l", "64KiB"]);
    place
}

fn assert_same(place: &Place, fetched: &str, files: &[&str]) {
    assert_eq!(place.files(fetched), files);
    for name in files {
        assert!(place.read(&format!("{fetched}/{name}")) == place.read(name), "{name} differs");
    }
}

const ALL: [&str; 4] = ["album/1.flac", "album/2.flac", "album/empty.txt", "album/notes/read me.txt"];

#[test]
fn what_is_seeded_is_fetched() {
    let place = album();
    let (seed, peer) = place.seed("album.torrent", ".");
    let got = place.run(&["get", "album.torrent", "-o", "got", "--port", "0", "--peer", &peer]);
    assert_eq!((got.code, got.out.len()), (Some(0), 0), "{got:?}");
    assert_eq!(got.last_word(), "album: complete and safe on disk (253.9 KiB)");
    assert_same(&place, "got", &ALL);
    seed.signal("INT");
    assert_eq!(seed.end().code, Some(0), "whoever stops a seed has had what they wanted");
}

#[test]
fn what_happens_to_the_protocol_can_be_recorded() {
    let place = album();
    let (_seed, peer) = place.seed("album.torrent", ".");
    let get = ["get", "album.torrent", "-o", "got", "--port", "0", "--peer", &peer, "--record", "trace"];
    // Twice: an earlier recording is written over.
    for _ in 0..2 {
        let got = place.run(&get);
        assert_eq!((got.code, got.out.len()), (Some(0), 0), "{got:?}");
        let trace = place.read("trace");
        assert!(trace.starts_with(b"GANNETRC") && trace.len() > 200, "{}", trace.len());
    }
    assert_same(&place, "got", &ALL);
    let refused = place.run(&["get", "album.torrent", "--port", "0", "--record", "album/1.flac"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.last_word().contains("it is there, and is no recording; name a file that is new"));
    assert!(place.read("album/1.flac") == noise(150_000, 1), "and it is as it was");
}

#[test]
fn a_peer_can_be_given_by_its_name() {
    let place = album();
    let (_seed, peer) = place.seed("album.torrent", ".");
    let peer = peer.replace("127.0.0.1", "localhost");
    let got = place.run(&["get", "album.torrent", "-o", "got", "--port", "0", "--peer", &peer, "--quiet"]);
    assert_eq!((got.code, got.err.len()), (Some(0), 0), "{got:?}");
    assert_same(&place, "got", &ALL);
}

#[test]
fn programs_are_told_who_sends_to_whom() {
    let place = album();
    let seed = ["seed", "album.torrent", "--json", "--json-peers", "--port", "0", "--bind", "127.0.0.1"];
    let mut seed = place.start(&[&seed[..], &["--state", "state-of-the-seed"]].concat());
    let listening = seed.wait_for_type("listening");
    let address = listening["addresses"][0].as_str().unwrap().to_owned();
    assert!(address.starts_with("127.0.0.1:") && listening["addresses"].as_array().unwrap().len() == 1);
    seed.wait_for_type("seeding");
    let get = ["get", "album.torrent", "-o", "got", "--json", "--json-peers", "--port", "0"];
    let got =
        place.run(&[&get[..], &["--bind", "::1", "--peer", &address, "--max-down", "200kB/s"]].concat());
    assert_eq!(got.code, Some(0), "{got:?}");
    assert!(got.json_of("listening")["addresses"][0].as_str().unwrap().starts_with("[::1]:"));
    let lines = got.json();
    let rows = lines.iter().filter(|line| line["type"] == "peers").filter_map(|line| line["peers"].get(0));
    let row = rows.max_by_key(|row| row["downloaded"].as_u64()).unwrap();
    assert_eq!((&row["peer_id"], row["address"].as_str()), (&listening["peer_id"], Some(&*address)));
    assert!(row["downloaded"].as_u64().unwrap() > 0 && row["incoming"] == false, "{row}");
}

#[test]
fn only_the_selected_files_are_created() {
    let place = album();
    let (_seed, peer) = place.seed("album.torrent", ".");
    let get = ["get", "album.torrent", "-o", "got", "--port", "0", "--peer", &peer];
    let got = place.run(&[&get[..], &["--select", "2.FLAC"]].concat());
    assert_eq!(got.code, Some(0), "{got:?}");
    assert!(got.last_word().starts_with("album: complete and safe on disk ("), "{got:?}");
    // Pieces 2 and 3 hold bytes of files that were not asked for.
    let here = place.files("got");
    let visible: Vec<_> = here.iter().filter(|name| !name.starts_with('.')).collect();
    assert_eq!(visible, ["album/2.flac"]);
    assert!(place.read("got/album/2.flac") == place.read("album/2.flac"));
    let rest = place.run(&get);
    assert_eq!(rest.code, Some(0), "{rest:?}");
    assert_same(&place, "got", &ALL);
}

#[test]
fn content_that_is_here_is_adopted_and_not_written_to() {
    let place = album();
    for name in ALL {
        place.write(&format!("got/{name}"), &place.read(name));
    }
    let time = |name: &str| place.path(&format!("got/{name}")).metadata().unwrap().modified().unwrap();
    let before = ALL.map(time);
    let got = place.run(&["get", "album.torrent", "-o", "got", "--port", "0"]);
    assert_eq!(got.code, Some(0), "{got:?}");
    assert!(got.err.iter().any(|line| line == "album: 253.9 KiB of 253.9 KiB here already"), "{got:?}");
    assert_eq!(ALL.map(time), before);
    assert_same(&place, "got", &ALL);
}

#[test]
fn a_damaged_memory_is_told_of_and_holds_nothing_up() {
    let place = album();
    place.write("state/gannet/state.db", &noise(10_000, 9));
    let seeded = place.run(&["seed", "album.torrent", "--port", "0", "--seed-time", "0s", "--quiet"]);
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
    assert!(seeded.err.len() == 1 && seeded.err[0].starts_with("note: "), "{seeded:?}");
    assert!(seeded.err[0].contains("state.db"), "{seeded:?}");
}

#[test]
fn the_same_torrent_can_be_fetched_into_another_folder() {
    let place = album();
    let (_seed, peer) = place.seed("album.torrent", ".");
    for folder in ["first", "second", "first"] {
        let got = place.run(&["get", "album.torrent", "-o", folder, "--port", "0", "--peer", &peer]);
        assert_eq!(got.code, Some(0), "{folder}: {got:?}");
        assert_same(&place, folder, &ALL);
    }
}

#[test]
fn a_goal_of_seeding_is_waited_for() {
    let place = album();
    let (_seed, peer) = place.seed("album.torrent", ".");
    let get = ["get", "album.torrent", "-o", "got", "--port", "0", "--peer", &peer];
    let got = place.run(&[&get[..], &["--json", "--seed-time", "1s"]].concat());
    assert_eq!(got.code, Some(0), "{got:?}");
    let types: Vec<String> =
        got.json().iter().map(|line| line["type"].as_str().unwrap().to_owned()).collect();
    let at =
        |wanted: &str| types.iter().position(|name| name == wanted).unwrap_or_else(|| panic!("{wanted}"));
    let in_order = ["added", "resumed", "piece_done", "finished", "durable", "seed_goal_reached"].map(at);
    assert!(in_order.is_sorted(), "{types:?}");
    assert_eq!(got.json().last().unwrap()["durable"], true);
}

#[test]
fn a_busy_port_is_passed_over() {
    let place = album();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut seed = place.start(&["seed", "album.torrent", "--port", &port]);
    let told = seed.wait_for("listening on port ");
    assert!(told.starts_with(&format!("port {port} is taken; listening on port ")), "{told}");
    seed.wait_for("album: complete, 253.9 KiB; Ctrl-C stops");
}

#[test]
fn a_torrent_is_run_by_one_process_at_a_time() {
    let place = album();
    let get = ["get", "album.torrent", "-o", "got", "--port", "0", "--plain"];
    let mut first = place.start(&get);
    first.wait_for("album: downloading");
    let second = place.run(&get);
    assert_eq!(second.code, Some(1), "{second:?}");
    let told = "with the same state directory: stop that one first, or name another";
    assert!(second.last_word().contains(told), "{second:?}");
    let first = format!("another Gannet (process {}, into {})", first.id(), place.path("got").display());
    assert!(second.last_word().contains(&first), "{first}: {second:?}");
}

#[test]
fn one_that_nobody_has_is_given_up_aloud_and_paused_while_others_go_on() {
    let place = album();
    place.write("film.bin", &noise(50_000, 9));
    place.create(&["film.bin"]);
    let (seed, peer) = place.seed("album.torrent", ".");
    let torrents = ["get", "album.torrent", "film.bin.torrent", "-o", "got", "--port", "0", "--wait", "3s"];
    let get = [&torrents[..], &["--peer", &peer, "--max-down", "10kB/s"]].concat();
    let mut told = place.start(&[&get[..], &["--json"]].concat());
    let given_up = told.wait_for_type("given_up");
    assert!(given_up["why"].as_str().unwrap().starts_with("no source within 3 s: no tracker is known; "));
    loop {
        let progress = told.wait_for_type("progress");
        if progress["info_hash"] == given_up["info_hash"] && progress["stage"] == "paused" {
            break;
        }
    }
    told.signal("INT");
    let told = told.end();
    assert_eq!(told.code, Some(6), "{told:?}");
    let mut read = place.start(&[&get[..], &["--plain"]].concat());
    read.wait_for("film.bin: given up: no source within 3 s: no tracker is known; ");
    read.signal("INT");
    assert_eq!(read.end().code, Some(6));
    // The pause is this run's alone.
    drop(seed);
    let (_seed, peer) = place.seed("film.bin.torrent", ".");
    let got = place.run(&["get", "film.bin.torrent", "-o", "got", "--port", "0", "--peer", &peer]);
    assert_eq!(got.code, Some(0), "{got:?}");
}

//! `gannet share` and `gannet receive` on loopback: what comes along, what is refused, what people are asked and told.

use crate::program::{Ended, Place, Running, noise};
use crate::pty::OnTerminal;
use std::os::unix::fs::{PermissionsExt, symlink};

/// Keeps to this machine.
const HERE: [&str; 2] = ["--bind", "127.0.0.1"];

/// A folder with something of everything.
fn holiday() -> Place {
    let place = Place::new();
    place.write("holiday/film.bin", &noise(3_000_000, 1));
    place.write("holiday/inner/run.sh", b"#!/bin/sh\n");
    place.write("holiday/nothing", b"");
    place.write("holiday/hook", b"");
    for script in ["holiday/inner/run.sh", "holiday/hook"] {
        std::fs::set_permissions(place.path(script), PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::create_dir_all(place.path("holiday/empty")).unwrap();
    symlink("film.bin", place.path("holiday/link")).unwrap();
    place
}

/// A share at work, its code, and where it is.
fn share(place: &Place, more: &[&str]) -> (Running, String, String) {
    let mut share = place.start(&[&["share", "holiday", "--json", "--no-web"], &HERE[..], more].concat());
    let line = share.wait_for_type("sharing");
    let at = line["addresses"][0].as_str().unwrap().to_owned();
    (share, line["code"].as_str().unwrap().to_owned(), at)
}

fn receive(place: &Place, code: &str, at: &str, more: &[&str]) -> Ended {
    place.run(&[&["receive", code, "--peer", at, "-o", "got"], &HERE[..], more].concat())
}

/// A code of the same number that is another.
fn wrong(code: &str) -> String {
    let number = code.split('-').next().unwrap();
    let words = if code.ends_with("apple-river") { "river-apple" } else { "apple-river" };
    format!("{number}-{words}")
}

#[test]
fn what_is_shared_comes_whole_and_what_does_not_come_is_named() {
    let place = holiday();
    let (share, code, at) = share(&place, &["--copies", "1"]);
    let received = receive(&place, &code, &at, &["--yes", "--json"]);
    assert_eq!(received.code, Some(0), "{received:?}");
    let offer = received.json_of("offer");
    assert_eq!((offer["files"].clone(), offer["executables"].clone()), (4.into(), 2.into()));
    assert_eq!((offer["folders"].clone(), offer["lost"].clone()), (1.into(), 1.into()));
    assert_eq!(received.json_of("lost")["path"], "holiday/link");
    assert!(received.json_of("finished")["path"].as_str().unwrap().ends_with("got/holiday"));
    assert_eq!(place.files("got/holiday"), ["film.bin", "hook", "inner/run.sh", "nothing"]);
    for file in ["film.bin", "hook", "inner/run.sh", "nothing"] {
        assert!(
            place.read(&format!("holiday/{file}")) == place.read(&format!("got/holiday/{file}")),
            "{file}"
        );
    }
    let mode = |file: &str| place.path(file).metadata().unwrap().permissions().mode();
    for script in ["got/holiday/inner/run.sh", "got/holiday/hook"] {
        assert_eq!(mode(script) & 0o100, 0o100, "{script} can be run there, too");
    }
    assert_eq!(mode("got/holiday/film.bin") & 0o111, 0);
    assert!(place.path("got/holiday/empty").is_dir());
    let share = share.end();
    assert_eq!(share.code, Some(0), "one copy was enough: {share:?}");
    assert_eq!(share.json_of("receiver_complete")["number"], share.json_of("receiver_came")["number"]);
}

#[test]
fn a_wrong_code_is_refused_with_a_sentence_and_five_ask_for_the_sharer() {
    let place = holiday();
    let (mut share, code, at) = share(&place, &[]);
    let refused = receive(&place, &wrong(&code), &at, &["--yes"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(
        refused.last_word(),
        "error: the code is not the one of this share: was it typed as it was said?"
    );
    share.wait_for_type("wrong_code");
    // One address may guess three times.
    for _ in 0..2 {
        receive(&place, &wrong(&code), &at, &["--yes"]);
    }
    let held = receive(&place, &code, &at, &["--yes"]);
    assert!(held.last_word().contains("who shares must confirm first"), "{held:?}");
    assert_eq!(share.wait_for_type("must_confirm")["wrong"][0]["count"], 3);
    assert!(!place.exists("got"));
}

#[test]
fn what_is_no_code_is_said_before_anybody_is_asked() {
    let place = Place::new();
    for (typed, said) in [
        ("42-aple-river", "no such word: aple; did you mean able, apple or maple?"),
        ("apple-river", "the number is missing: a code is a number and two words, such as 42-apple-river"),
        ("magnet:?xt=x", "that is a magnet link, not a code; fetch it with: gannet get 'magnet:?xt=x'"),
    ] {
        let refused = place.run(&["receive", typed]);
        assert_eq!((refused.code, refused.last_word()), (Some(1), format!("error: {said}").as_str()));
    }
    let none = place.run(&["receive"]);
    assert!(none.last_word().contains("which code?"), "{none:?}");
}

#[test]
fn nothing_is_written_without_a_yes_and_nothing_is_overwritten() {
    let place = holiday();
    let (_share, code, at) = share(&place, &[]);
    let unasked = receive(&place, &code, &at, &[]);
    assert_eq!(unasked.code, Some(1), "{unasked:?}");
    assert!(unasked.last_word().contains("--yes takes it without asking"), "{unasked:?}");
    assert!(!place.exists("got"));
    place.write("got/holiday/mine", b"mine");
    let refused = receive(&place, &code, &at, &["--yes"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.last_word().contains("nothing is overwritten"), "{refused:?}");
    assert_eq!(place.files("got"), ["holiday/mine"]);
}

#[test]
fn a_person_is_shown_what_it_is_and_asked() {
    let place = holiday();
    let (_share, code, at) = share(&place, &[]);
    for (answer, code_of_exit) in [("n\r", 0), ("y\r", 0)] {
        let words = [&["receive", code.as_str(), "--peer", &at, "-o", "got"], &HERE[..]].concat();
        let mut receive = OnTerminal::start(&place, &words, (100, 30), &[("LANG", "C")]);
        receive.wait_for("Receive it into");
        receive.wait_for("4 files, 2.9 MiB; 2 can be run as programs; 1 empty folder; 1 thing");
        assert!(!place.exists("got"));
        receive.press(answer);
        let (exit, screen) = receive.end();
        assert_eq!(exit, Some(code_of_exit), "{}", screen.text());
        assert_eq!(place.exists("got"), answer.starts_with('y'), "{}", screen.text());
        assert!(receive.raw().is_ascii());
    }
    assert_eq!(place.files("got/holiday"), ["film.bin", "hook", "inner/run.sh", "nothing"]);
}

#[test]
fn the_sharer_sees_who_has_what_and_that_it_is_safe_to_close() {
    let place = holiday();
    let words = [&["share", "holiday", "--no-web"], &HERE[..]].concat();
    let mut share = OnTerminal::start(&place, &words, (100, 30), &[("LANG", "C")]);
    share.wait_for("Waiting for receivers. Ctrl-C ends it.");
    let told = share.wait_for(" --peer 127.0.0.1:").text();
    let line = told.lines().find(|line| line.contains(" --peer ")).unwrap();
    let words: Vec<&str> = line.rsplit(' ').take(3).collect();
    let received = receive(&place, words[2], words[0], &["--yes"]);
    assert_eq!(received.code, Some(0), "{received:?}");
    share.wait_for("Safe to close: 1 full copy elsewhere.");
    share.press("\x03");
    let (exit, screen) = share.end();
    assert!(
        exit == Some(0) && screen.text().contains("the share has ended; 2.9 MiB sent"),
        "{}",
        screen.text()
    );
}

#[test]
fn in_public_it_is_an_ordinary_torrent_with_a_magnet_link() {
    let place = holiday();
    // Nobody is told of it but whom the test tells.
    let mut share = place.start(&[&["share", "holiday", "--public", "--json"], &HERE[..]].concat());
    let line = share.wait_for_type("magnet");
    let (magnet, at) = (line["magnet"].as_str().unwrap(), line["addresses"][0].as_str().unwrap());
    let got = place.run(&[
        "get", magnet, "--peer", at, "-o", "got", "--state", "getter", "--port", "0", HERE[0], HERE[1],
    ]);
    assert_eq!(got.code, Some(0), "{got:?}");
    assert_eq!(place.read("got/holiday/film.bin"), place.read("holiday/film.bin"));
    share.signal("INT");
    assert_eq!(share.end().code, Some(0));
}

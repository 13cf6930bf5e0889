//! `get` on a terminal: of any width, resized, dumb, without colours, with a panel or without; and what a person who looks on
//! gets beyond what a program gets.

use crate::program::{Place, noise};
use crate::pty::OnTerminal;

/// A film, slow enough to look at while it comes.
fn film() -> Place {
    let place = Place::new();
    place.write("film.bin", &noise(3_000_000, 1));
    place.create(&["film.bin"]);
    place
}

fn get<'a>(peer: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["get", "film.bin.torrent", "-o", "got", "--port", "0", "--bind", "127.0.0.1", "--peer", peer], more]
        .concat()
}

#[test]
fn a_panel_fits_any_width_in_ascii_and_without_colour() {
    for columns in [40, 80, 200] {
        let place = film();
        let (_seed, peer) = place.seed("film.bin.torrent", ".");
        let words = get(&peer, &["--max-down", "300kB/s", "--no-seed"]);
        let mut get = OnTerminal::start(&place, &words, (columns, 24), &[("NO_COLOR", "1"), ("LANG", "C")]);
        get.wait_until("pieces and figures", |screen| {
            let lines = screen.lines();
            let top = lines.iter().position(|line| line == "film.bin");
            top.is_some_and(|top| {
                lines[top + 1].starts_with(['#', '=', '-', '.']) && lines[top + 2].contains(" %")
            })
        });
        let panel = get.panel_after(1);
        assert!(panel.len() == 3 && panel.iter().all(|line| line.len() < columns), "{columns}: {panel:?}");
        let (code, screen) = get.end();
        let safe = screen.text().contains("film.bin: complete and safe on disk");
        assert!(code == Some(0) && safe && !screen.coloured, "{columns}: {}", screen.text());
        assert!(get.raw().is_ascii(), "{columns}");
    }
}

#[test]
fn a_panel_follows_the_terminal_when_it_is_resized() {
    let place = film();
    let (_seed, peer) = place.seed("film.bin.torrent", ".");
    let words = get(&peer, &["--max-down", "50kB/s"]);
    let mut get = OnTerminal::start(&place, &words, (120, 24), &[]);
    get.wait_for(" peer");
    assert!(get.panel_after(1)[1].len() > 40);
    for columns in [40, 200] {
        get.resize(columns);
        // The one that is drawn right now may not know yet.
        let panel = get.panel_after(2);
        assert!(panel.iter().all(|line| line.len() < columns), "{columns}: {panel:?}");
        assert_eq!(panel[1].len() > 40, columns > 40, "{panel:?}");
    }
    get.press("\x03");
    let (code, screen) = get.end();
    assert_eq!(code, Some(130), "{}", screen.text());
    assert!(screen.text().contains("stopped; the same command goes on where it was"), "{}", screen.text());
}

#[test]
fn whoever_looks_on_gives_back_until_they_stop_it() {
    let place = film();
    let (_seed, peer) = place.seed("film.bin.torrent", ".");
    let mut get = OnTerminal::start(&place, &get(&peer, &[]), (200, 24), &[]);
    get.wait_for("serving on until 1.0 times its size is given back; Ctrl-C stops");
    get.press("\x03");
    let (code, screen) = get.end();
    assert_eq!(code, Some(0), "what was wanted is here: {}", screen.text());
    assert!(place.read("got/film.bin") == place.read("film.bin"));
}

#[test]
fn dumb_terminals_and_screen_readers_get_plain_lines() {
    for (more, env) in [(vec![], vec![("TERM", "dumb")]), (vec!["--plain"], vec![])] {
        let place = film();
        let (_seed, peer) = place.seed("film.bin.torrent", ".");
        let words = get(&peer, &[&["--max-down", "300kB/s", "--no-seed"], &more[..]].concat());
        let mut get = OnTerminal::start(&place, &words, (80, 24), &env);
        let (code, screen) = get.end();
        assert_eq!(code, Some(0), "{}", screen.text());
        assert!(screen.text().contains("film.bin: downloading, "), "{}", screen.text());
        assert!(!get.raw().contains('\x1b'), "{:?}", get.raw());
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_is_told_below_the_panel_and_the_terminal_is_as_it_was() {
    let place = film();
    let (_seed, peer) = place.seed("film.bin.torrent", ".");
    let words = get(&peer, &["--max-down", "50kB/s"]);
    let mut get = OnTerminal::start(&place, &words, (80, 24), &[("GANNET_TEST_FAULT", "panic")]);
    let (code, screen) = get.end();
    assert_eq!(code, Some(101), "{}", screen.text());
    assert!(!screen.other_screen && !screen.cursor_hidden, "{}", screen.text());
    let lines = screen.lines();
    let told = lines.iter().position(|line| line.starts_with("thread 'main' ")).unwrap();
    assert_eq!(lines[told + 1], "a test wants to see what a panic leaves behind", "{}", screen.text());
}

#[test]
fn the_limit_of_open_files_is_raised() {
    let place = film();
    let (_seed, peer) = place.seed("film.bin.torrent", ".");
    let script = format!(
        "ulimit -Sn 64; exec {} get film.bin.torrent -o got --port 0 --json --peer {peer} --max-down 50kB/s",
        env!("CARGO_BIN_EXE_gannet")
    );
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(place.path(".")).env("XDG_STATE_HOME", place.path("state"));
    let mut get = crate::program::Running::start(&mut shell);
    get.wait_for_type("piece_done");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", get.id())).unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = open.split_whitespace().skip(3).collect();
    assert_eq!(numbers[0], numbers[1], "as many as are allowed: {open}");
    assert_ne!(numbers[0], "64", "{open}");
}

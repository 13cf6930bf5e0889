//! The demonstration: on a terminal, without one, and ended in the middle.

use crate::program::{Place, Running};
use crate::pty::OnTerminal;
use std::path::Path;

/// Processes that were started with this folder among their words.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.canonicalize().unwrap().display().to_string();
    let words = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let words = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&words).into_owned())
    });
    words.filter(|words| words.contains("gannet") && words.contains(&folder)).count()
}

fn assert_nothing_is_left(place: &Place) {
    assert_eq!(processes_of(&place.path(".")), 0, "children are still at work");
    let left = std::fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("gannet-demo-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn without_a_terminal_it_prints_lines_and_leaves_nothing_behind_when_it_is_stopped() {
    let place = Place::new();
    let mut demo = Running::start(place.command(&["demo", "--people", "2"]).env("TMPDIR", place.path(".")));
    demo.wait_for("join from another terminal: ");
    demo.wait_for("  server ");
    assert!(processes_of(&place.path(".")) >= 3, "a seed and two peers");
    demo.signal("INT");
    let ended = demo.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.out.iter().any(|line| line.starts_with("It was ended at ")), "{ended:?}");
    assert!(ended.out.iter().all(|line| !line.contains('\x1b')), "{ended:?}");
    assert_nothing_is_left(&place);
}

#[test]
fn on_a_terminal_it_obeys_keys_and_puts_the_terminal_in_order() {
    let place = Place::new();
    let mut demo = OnTerminal::start(&place, &["demo", "--people", "2"], (80, 24), &[]);
    // The picture comes in pieces, and the cursor is hidden behind it.
    demo.wait_until("a coloured picture on the other screen, without a cursor", |screen| {
        let whole = screen.text().contains("A SWARM (BitTorrent)") && screen.lines()[23].starts_with("join");
        whole && screen.other_screen && screen.cursor_hidden && screen.coloured
    });
    demo.press("f");
    demo.wait_for("rider1");
    demo.press("+");
    // Once on each side, and twice in the table of who sends to whom.
    demo.wait_until("cat", |screen| screen.text().matches("cat ").count() >= 3);
    demo.press("t");
    demo.wait_for("A SWARM, tracker killed at 0:");
    demo.press("s");
    demo.wait_for("A SWARM; dead: seed 0:");
    demo.wait_for("A SERVER (HTTP), killed at 0:");
    demo.wait_for("never done: the rest is gone");
    demo.press("q");
    let (code, screen) = demo.end();
    assert!(!screen.other_screen && !screen.cursor_hidden, "{}", screen.text());
    assert_eq!(code, Some(0), "{}", screen.text());
    assert_nothing_is_left(&place);
}

#[test]
fn a_narrow_terminal_without_colours_is_told_how_both_sides_stand() {
    let place = Place::new();
    let mut demo = OnTerminal::start(&place, &["demo"], (40, 12), &[("NO_COLOR", "1")]);
    demo.wait_until("both sides in a few lines", |screen| {
        ["server ", "swarm ", "all of it from 80x24 on; q quits"]
            .iter()
            .all(|part| screen.text().contains(part))
    });
    demo.press("\x03");
    let (code, screen) = demo.end();
    assert!(code == Some(0) && !screen.coloured, "{code:?} {}", screen.text());
    assert_nothing_is_left(&place);
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let place = Place::new();
    let mut demo = OnTerminal::start(&place, &["demo"], (80, 24), &[("TERM", "dumb")]);
    demo.wait_for("  server ");
    demo.press("\x03");
    let (code, screen) = demo.end();
    assert!(code == Some(130) && screen.text().contains("It was ended at "), "{code:?} {}", screen.text());
    assert!(!demo.raw().contains('\x1b'));
    assert_nothing_is_left(&place);
}

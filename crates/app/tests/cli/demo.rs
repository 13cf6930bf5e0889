//! The demonstration: on a terminal, without one, and ended in the middle.

use crate::program::{Place, Running};
use crate::pty::{OnTerminal, Screen};
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
        let whole = screen.text().contains("A SWARM (BitTorrent)") && join_command(screen).is_some();
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

#[cfg(debug_assertions)]
#[test]
fn a_signal_while_the_scene_is_set_ends_it_and_leaves_nothing_behind() {
    let place = Place::new();
    let mut demo = place.command(&["demo", "--picture", "demo.svg"]);
    // The seed never says that it serves, so the scene is never ready.
    demo.env("TMPDIR", place.path(".")).env("GANNET_TEST_FAULT", "a mute seed");
    let mut demo = Running::start(&mut demo);
    demo.wait_for("setting the scene ...");
    demo.signal("INT");
    let ended = demo.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(ended.out, ["setting the scene ...", "It was ended before it began."], "{ended:?}");
    assert!(!place.exists("demo.svg"), "of what was not seen there is no picture");
    assert_nothing_is_left(&place);
}

#[test]
fn a_picture_replaces_no_file_and_has_its_place_before_anybody_watches() {
    let place = Place::new();
    place.write("mine.svg", b"a drawing");
    for (picture, why) in [
        ("mine.svg", "mine.svg exists already and is left alone: name another file"),
        ("absent/demo.svg", "cannot write absent/demo.svg: No such file or directory"),
    ] {
        let refused = place.run(&["demo", "--picture", picture]);
        assert_eq!(refused.code, Some(4), "{refused:?}");
        assert_eq!(refused.err, [format!("error: {why}")], "{refused:?}");
        assert!(refused.out.is_empty(), "before anything begins: {refused:?}");
    }
    assert_eq!(place.read("mine.svg"), b"a drawing");
    let mut demo = place.command(&["demo", "--people", "2", "--picture", "new.svg"]);
    let mut demo = Running::start(demo.env("TMPDIR", place.path(".")));
    demo.wait_for("  server ");
    demo.signal("INT");
    let ended = demo.end();
    assert_eq!(ended.out.last().map(String::as_str), Some("the picture is in new.svg"), "{ended:?}");
    let picture = String::from_utf8(place.read("new.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"), "{picture}");
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_puts_the_terminal_in_order_and_leaves_nothing_behind() {
    let place = Place::new();
    let fault = [("GANNET_TEST_FAULT", "panic")];
    let mut demo = OnTerminal::start(&place, &["demo", "--people", "2"], (80, 24), &fault);
    let (code, screen) = demo.end();
    assert_eq!(code, Some(101), "{}", screen.text());
    assert!(!screen.other_screen && !screen.cursor_hidden, "{}", screen.text());
    let said = "a test wants to see what a panic leaves behind";
    assert!(screen.text().contains(said), "what happened can still be read:\n{}", screen.text());
    assert!(demo.raw().contains("\x1b[?1049h"), "it had begun: {}", demo.raw());
    assert_nothing_is_left(&place);
}

/// The command that the lower edge of the screen shows, whole, however many lines it takes.
fn join_command(screen: &Screen) -> Option<String> {
    let lines = screen.lines();
    let from = lines.iter().position(|line| line.starts_with("join"))?;
    let shown = lines[from..].join("\n");
    let command = shown.split_once(": ")?.1.trim_end().to_owned();
    command.ends_with("demo.torrent").then_some(command)
}

#[test]
fn a_second_terminal_joins_by_the_command_that_is_shown_on_narrow_terminals_too() {
    let place = Place::new();
    let mut demo = OnTerminal::start(&place, &["demo", "--people", "4"], (80, 24), &[]);
    let screen = demo.wait_until("a command to join by", |screen| join_command(screen).is_some());
    let command = join_command(screen).unwrap();
    let second = Place::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &command]).current_dir(second.path(".")).env("XDG_STATE_HOME", second.path("state"));
    let guest = Running::start(&mut shell);
    demo.wait_for("guest1");
    let ended = guest.end();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let folder = std::fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    let folder = folder.map(|name| name.into_string().unwrap()).find(|name| name.starts_with("gannet-demo-"));
    let original = place.read(&format!("{}/gannet-demo.bin", folder.unwrap()));
    assert!(second.read("gannet-demo.bin") == original, "to the last byte");
    demo.press("q");
    let (code, screen) = demo.end();
    assert!(code == Some(0) && screen.text().contains("guest1"), "{code:?} {}", screen.text());
    assert_nothing_is_left(&place);
}

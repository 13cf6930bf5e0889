//! The lab from outside: what there is, reports for people, programs and browsers, and what is refused.

use crate::program::{Ended, Place};
use crate::pty::OnTerminal;
use serde_json::Value;

/// An experiment in a world so small that it is over at once.
const TINY: [&str; 9] = ["lab", "run", "shaped", "--peers", "5", "--size", "8MiB", "--seeds", "2"];

fn ran(place: &Place, more: &[&str]) -> Ended {
    let ended = place.run(&[&TINY, more].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[test]
fn the_list_names_each_experiment_with_its_question_and_how_long_it_takes() {
    let place = Place::new();
    let list = place.run(&["lab", "list"]);
    let row = list.out.iter().find(|line| line.starts_with("shaped "));
    assert!(row.is_some_and(|row| row.contains(" s  One seed and ten leechers")), "{list:?}");
    let json = place.run(&["lab", "list", "--json"]);
    assert_eq!(json.code, Some(0), "{json:?}");
    for line in &json.out {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["v"], &line["type"]), (&1.into(), &"experiment".into()));
        assert!(line["runs"].as_u64() > Some(0) && line["estimate"].is_u64(), "{line}");
    }
    assert!(json.out.len() >= 10, "{json:?}");
}

#[test]
fn a_report_has_setting_table_verdict_and_the_command_that_repeats_it() {
    let place = Place::new();
    let report = ran(&place, &[]);
    let command = "`gannet lab run shaped --peers 5 --size 8388608 --seeds 2`";
    for wanted in
        ["* peers: 1 + 5", "| who gives ", "| a server ", "nothing is expected of this setting", command]
    {
        assert!(report.out.iter().any(|line| line.contains(wanted)), "{wanted}: {report:?}");
    }
    assert!(report.err.iter().any(|line| line.contains(" events/s")), "{report:?}");
    assert!(report.err.iter().all(|line| !line.contains('\x1b')), "nobody looks on: {report:?}");
    for threads in ["1", "3"] {
        assert_eq!(
            ran(&place, &["--threads", threads]).out,
            report.out,
            "{threads} threads find something else"
        );
    }
    assert_ne!(
        ran(&place, &["--seed", "7"]).out,
        report.out,
        "another seed finds the same to the last digit"
    );
}

#[test]
fn a_report_for_programs_is_one_line_that_says_the_same_each_time() {
    let place = Place::new();
    let read = |ended: &Ended| -> Value {
        assert_eq!(ended.out.len(), 1, "{ended:?}");
        serde_json::from_str(&ended.out[0]).unwrap()
    };
    let mut report = read(&ran(&place, &["--json"]));
    assert_eq!((&report["type"], &report["experiment"]), (&"report".into(), &"shaped".into()), "{report}");
    assert_eq!((&report["size"], &report["seeds"]), (&8_388_608.into(), &2.into()), "{report}");
    assert_eq!(report["verdicts"][0]["holds"], Value::Null);
    assert_eq!(report["findings"], Value::Array(Vec::new()));
    let chart = &report["charts"][0];
    assert_eq!(chart["x"]["names"], serde_json::json!(["a server", "everybody"]), "{chart}");
    let [server, swarm] = [0, 1].map(|place| chart["series"][0]["points"][place]["y"].as_f64().unwrap());
    assert!(swarm < server && swarm > 0.0, "{chart}");
    assert!(report["work"]["events"].as_u64() > Some(0), "{report}");
    let mut again = read(&ran(&place, &["--json"]));
    report["work"].take();
    again["work"].take();
    assert_eq!(report, again);
}

#[test]
fn a_page_needs_no_script_and_nothing_from_outside() {
    let place = Place::new();
    ran(&place, &["--html", "report.html", "--svg", "pictures"]);
    let page = String::from_utf8(place.read("report.html")).unwrap();
    let pictures = place.files("pictures");
    assert_eq!(pictures, ["shaped-1.svg", "shaped-2.svg"]);
    let picture = String::from_utf8(place.read("pictures/shaped-1.svg")).unwrap();
    for text in [&page, &picture.replacen("http://www.w3.org/2000/svg", "", 1)] {
        for outside in ["<script", "http:", "https:", "src=", "@import", "<link", "<iframe", "<object"] {
            let found = text.find(outside).map(|at| &text[at..(at + 60).min(text.len())]);
            assert_eq!(found, None);
        }
        let handler = text.split_whitespace().find(|word| word.starts_with("on") && word.contains("=\""));
        assert_eq!(handler, None, "a script in an attribute");
        let references = text.matches("url(").count();
        assert_eq!(references, text.matches("url(#").count(), "a reference to the outside");
        assert!(text.contains("prefers-color-scheme:dark"));
    }
    for wanted in [
        "<html lang=\"en\">",
        "<svg ",
        "<h1>",
        "gannet lab run shaped --peers 5",
        "1 + 5",
        "no swarm is faster",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    // What is there is left alone, and that is said before anything is run.
    let again = place.run(&[&TINY[..], &["--html", "report.html"]].concat());
    assert_eq!(again.code, Some(4), "{again:?}");
    assert!(again.err[0].contains("report.html exists already and is left alone"), "{again:?}");
    assert!(again.out.is_empty(), "{again:?}");
}

/// A race that is over in a moment.
const RACE: [&str; 7] = ["lab", "race", "--plain", "--peers", "5", "--size", "40MB"];

#[test]
fn a_race_is_told_in_lines_with_both_dates_what_left_the_origins_and_the_curve_over_people() {
    let place = Place::new();
    let race = place.run(&[&RACE[..], &["--price-per-gb", "1"]].concat());
    assert_eq!(race.code, Some(0), "{race:?}");
    let row = |name: &str| -> Vec<String> {
        let row = race.out.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{race:?}"));
        row[name.len()..].split_whitespace().map(String::from).collect()
    };
    // Five copies of 40 MB over 12.5 MB/s.
    let (server, swarm) = (row("a server "), row("everybody "));
    assert_eq!(
        (&*server[0], &*server[3], &*server[4], &*server[5], &*server[6]),
        ("0:00:16", "200", "MB", "5.00", "0.20")
    );
    assert!(swarm[0] <= server[0] && swarm[5] < server[5], "{race:?}");
    for wanted in
        ["everybody has it", "theory", "    5  server ##", "       swarm  =", "gannet lab run selfscaling"]
    {
        assert!(race.out.iter().any(|line| line.contains(wanted)), "{wanted}: {race:?}");
    }
    let again = place.run(&[&RACE[..], &["--price-per-gb", "1", "--threads", "3"]].concat());
    assert_eq!(again.out, race.out, "three threads see another race");
}

#[test]
fn who_dies_in_a_race_leaves_a_servers_people_without_and_a_swarm_with_what_is_out() {
    let place = Place::new();
    let race = |more: &[&str]| place.run(&[&RACE[..], more].concat()).out.join("\n");
    let both = race(&["--kill-server-at", "1s", "--kill-seed-at", "1s"]);
    assert!(both.contains("0:00:01: the server is dead, and 5 people will never have it"), "{both}");
    assert!(both.contains("the swarm stands still: what is missing died with the seed"), "{both}");
    assert_eq!(both.lines().filter(|line| line.contains(" never ")).count(), 2 + 1, "{both}");
    let late = race(&["--kill-server-at", "9s", "--kill-seed-at", "9s"]);
    assert!(late.contains("the swarm is done, everybody has it"), "more than a copy was out: {late}");
}

#[test]
fn a_race_on_a_terminal_obeys_keys_and_puts_the_terminal_in_order() {
    let place = Place::new();
    let mut race =
        OnTerminal::start(&place, &["lab", "race", "--peers", "5", "--size", "200MB"], (80, 24), &[]);
    race.wait_until("both sides and the line that theory races along", |screen| {
        let text = screen.text();
        ["A SERVER", "A SWARM", "theory", "q quit"].iter().all(|part| text.contains(part))
            && screen.other_screen
    });
    race.press(" ");
    race.wait_for("paused");
    race.press("s");
    race.wait_for("A SERVER, killed at 0:00:");
    race.wait_for("never done: 5 go without");
    race.press("d");
    race.wait_for("A SWARM, seed killed at 0:00:");
    race.press("q");
    let (code, screen) = race.end();
    assert!(code == Some(0) && !screen.other_screen && !screen.cursor_hidden, "{code:?} {}", screen.text());
}

#[test]
fn what_makes_no_sense_is_refused_with_advice() {
    let place = Place::new();
    for (words, code, wanted) in [
        (&["lab", "run", "shapd"][..], 2, "is it `shaped`? `gannet lab list` names all"),
        (&["lab", "run", "entropy"], 2, "there is none of that name; `gannet lab list` names all"),
        (&["lab", "run"], 2, "required arguments were not provided"),
        (&["lab", "run", "shaped", "--peers", "0"], 2, "0 is not in 1..=1000000"),
        (&["lab", "run", "shaped", "--seeds", "0"], 2, "0 is not in 1..=1000"),
        (&["lab", "run", "shaped", "--size", "0"], 2, "nobody waits for nothing; try 64MiB"),
        (&["lab", "run", "shaped", "--size", "much"], 2, "`much` is no size; try 65536, 256KiB or 4MB"),
        (&["lab", "run", "shaped", "--threads", "0"], 2, "threads are counted from 1 to 256"),
        (
            &["lab", "run", "shaped", "--html", "no/folder/report.html"],
            4,
            "cannot write no/folder/report.html",
        ),
        (&["lab", "race", "--price-per-gb", "free"], 2, "`free` is no price; try 0.05"),
        (&["lab", "race", "--kill-seed-at", "5m"], 2, "--plain"),
        (&["lab", "run", "textbook", "--size", "100GB"], 1, "textbook cannot be asked that: "),
    ] {
        let ended = place.run(words);
        assert_eq!(ended.code, Some(code), "{words:?}: {ended:?}");
        assert!(ended.err.iter().any(|line| line.contains(wanted)), "{words:?}: {ended:?}");
    }
}

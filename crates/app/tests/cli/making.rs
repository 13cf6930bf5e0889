//! `create`, `inspect` and `verify`.

use crate::program::{Place, noise};
use serde_json::{Value, json};

/// A folder with files of every kind: large, small, empty, in folders.
fn holiday() -> Place {
    let place = Place::new();
    place.write("holiday/a.bin", &noise(100_000, 1));
    place.write("holiday/sub/b.bin", &noise(30_000, 2));
    place.write("holiday/sub/deep/c.txt", b"hello");
    place.write("holiday/empty.txt", b"");
    place
}

/// The fields of a JSON object, in order of their names.
fn fields(object: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    fields
}

#[test]
fn the_same_content_gives_the_same_torrent() {
    let (one, two) = (holiday(), holiday());
    one.create(&["holiday"]);
    two.create(&["holiday/", "--output", "again.torrent"]);
    assert_eq!(one.read("holiday.torrent"), two.read("again.torrent"));
}

#[test]
fn a_torrent_that_exists_is_not_replaced_unless_that_is_forced() {
    let place = holiday();
    place.write("holiday.torrent", b"precious");
    let refused = place.run(&["create", "holiday"]);
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.last_word(), "error: holiday.torrent exists; --force replaces it");
    assert_eq!(place.read("holiday.torrent"), b"precious");
    place.create(&["holiday", "--force"]);
    assert_ne!(place.read("holiday.torrent"), b"precious");
    assert_eq!(place.files(".").iter().filter(|name| !name.starts_with("holiday/")).count(), 1);
}

#[test]
fn the_command_that_create_suggests_works() {
    let place = holiday();
    place.write("two words/one.txt", b"one");
    let made = place.run(&["create", "two words/one.txt"]);
    assert!(made.out[0].ends_with("3 B in 1 file, 1 piece"), "{made:?}");
    assert!(made.out[2].starts_with("magnet magnet:?xt=urn:btih:"), "{made:?}");
    let script = made.out[3].strip_prefix("to serve it: gannet ").unwrap();
    let script = format!("exec {} {script} --port 0 --seed-time 0s", env!("CARGO_BIN_EXE_gannet"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).current_dir(place.path(".")).env("XDG_STATE_HOME", place.path("state"));
    let seeded = crate::program::Running::start(&mut shell).end();
    assert_eq!(seeded.code, Some(0), "{seeded:?}");
}

#[test]
fn all_that_is_said_about_a_torrent_is_in_it() {
    let place = holiday();
    let said =
        ["holiday", "-t", "http://a.example/announce, udp://b.example:6969", "-t", "https://c.example/x"];
    let more =
        ["--private", "--comment", "hey", "--source", "SITE", "-w", "http://seed.example/", "-l", "32KiB"];
    let made = place.run(&[&["create", "--json"], &said[..], &more[..]].concat());
    let inspected = place.run(&["inspect", "holiday.torrent", "--json"]);
    assert_eq!((made.code, inspected.code), (Some(0), Some(0)));
    assert_eq!(made.json(), inspected.json());
    let torrent = inspected.json_of("torrent");
    let file = |index: u32, path: &str, length: u32| json!({"index": index, "path": path, "length": length, "pad": false});
    let expected = json!({
        "v": 1, "type": "torrent", "name": "holiday", "version": "v1", "size": 130_005, "piece_length": 32_768,
        "pieces": 4, "private": true, "web_seeds": ["http://seed.example/"], "comment": "hey", "source": "SITE",
        "trackers": [["http://a.example/announce", "udp://b.example:6969"], ["https://c.example/x"]],
        "created_by": concat!("Gannet/", env!("CARGO_PKG_VERSION")), "creation_date": null,
        "info_hash": torrent["info_hash"],
        "magnet": format!(
            "magnet:?xt=urn:btih:{}&dn=holiday&tr=http://a.example/announce&tr=udp://b.example:6969&\
             tr=https://c.example/x&ws=http://seed.example/",
            torrent["info_hash"].as_str().unwrap()
        ),
        "files": [
            file(1, "a.bin", 100_000), file(2, "empty.txt", 0), file(3, "sub/b.bin", 30_000),
            file(4, "sub/deep/c.txt", 5),
        ],
    });
    assert_eq!(torrent, expected);
    assert_eq!(torrent["info_hash"].as_str().unwrap().len(), 40);
    let for_people = place.run(&["inspect", "holiday.torrent"]).out.join("\n");
    for words in [
        "name        holiday",
        "127.0 KiB (130005 bytes)",
        "4 of 32.0 KiB",
        "yes: peers only",
        "hey",
        "SITE",
        "http://a.example/announce",
        "https://c.example/x  (tier 2)",
        "http://seed.example/",
        "sub/deep/c.txt",
    ] {
        assert!(for_people.contains(words), "no `{words}` in\n{for_people}");
    }
}

#[test]
fn every_field_of_json_is_documented() {
    let documentation = include_str!("../../../../docs/json.md");
    let place = holiday();
    place.create(&["holiday"]);
    place.write("holiday/a.bin", &noise(100_000, 9));
    let (seed, peer) = {
        place.write("good/holiday/a.bin", &noise(100_000, 1));
        for name in ["sub/b.bin", "sub/deep/c.txt", "empty.txt"] {
            place.write(&format!("good/holiday/{name}"), &place.read(&format!("holiday/{name}")));
        }
        place.seed("holiday.torrent", "good")
    };
    let runs = [
        place.run(&["inspect", "--json", "holiday.torrent"]),
        place.run(&["verify", "--json", "holiday.torrent"]),
        place.run(&["get", "--json", "holiday.torrent", "-o", "got", "--port", "0", "--peer", &peer]),
    ];
    drop(seed);
    let lines: Vec<Value> = runs.iter().flat_map(|run| run.json()).collect();
    for line in &lines {
        assert_eq!(line["v"], 1, "{line}");
        let nested = line["files"].as_array().into_iter().flatten();
        let names = [fields(line), nested.flat_map(fields).collect()].concat();
        for name in names.into_iter().chain(line["type"].as_str()) {
            assert!(documentation.contains(&format!("`{name}`")), "`{name}` is not documented: {line}");
        }
    }
    let progress = lines.iter().find(|line| line["type"] == "progress").unwrap();
    let (_, table) = documentation.split_once("`progress`:").unwrap();
    for row in table.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `")) {
        for name in row.split(" |").next().unwrap().split(", ").map(|name| name.trim_matches('`')) {
            assert!(progress.get(name).is_some(), "`{name}` is documented and not there: {progress}");
        }
    }
}

#[test]
fn good_content_is_found_good() {
    let place = holiday();
    place.create(&["holiday"]);
    let verified = place.run(&["verify", "holiday.torrent"]);
    assert_eq!((verified.code, verified.out.len()), (Some(0), 1), "{verified:?}");
    assert_eq!(verified.out[0], "holiday: complete and right, 127.0 KiB in 8 pieces");
    let quiet = place.run(&["verify", "holiday.torrent", "--quiet"]);
    assert_eq!((quiet.code, quiet.out.len(), quiet.err.len()), (Some(0), 0, 0));
}

#[test]
fn what_is_not_right_is_named() {
    type Spoil = fn(&Place);
    let spoil: [(&str, Spoil, &str, u32); 4] = [
        ("damaged", |place| place.write("holiday/sub/b.bin", &noise(30_000, 3)), "sub/b.bin", 2),
        ("missing", |place| std::fs::remove_file(place.path("holiday/a.bin")).unwrap(), "a.bin", 7),
        ("has 4 bytes", |place| place.write("holiday/sub/deep/c.txt", b"hell"), "sub/deep/c.txt", 1),
        ("missing", |place| std::fs::remove_file(place.path("holiday/empty.txt")).unwrap(), "empty.txt", 0),
    ];
    for (why, spoil, path, bad_pieces) in spoil {
        let place = holiday();
        place.create(&["holiday"]);
        spoil(&place);
        let verified = place.run(&["verify", "--json", "holiday.torrent"]);
        let verdict = verified.json_of("verified");
        assert_eq!(verified.code, Some(5), "{path} {why}");
        assert_eq!(verdict["complete"], false, "{path} {why}");
        let named = json!({"path": path, "why": why, "bad_pieces": bad_pieces});
        assert!(verdict["files"].as_array().unwrap().contains(&named), "{named} is not in {verdict}");
        let bad = verdict["bad"].as_array().unwrap().len() as u64;
        assert_eq!(verdict["good"].as_u64().unwrap() + bad, verdict["pieces"].as_u64().unwrap());
        let told = place.run(&["verify", "holiday.torrent"]);
        assert_eq!(told.code, Some(5));
        assert!(told.out.iter().any(|line| line.starts_with(&format!("  {path}: {why} ("))), "{told:?}");
        assert_eq!(
            told.out.last().unwrap(),
            "to fetch what is missing: gannet get holiday.torrent --output ."
        );
    }
}

#[test]
fn naming_the_content_instead_of_the_folder_around_it_is_explained() {
    let place = holiday();
    place.create(&["holiday"]);
    let here = std::fs::canonicalize(place.path(".")).unwrap();
    let expected = format!("--data names the folder around holiday; try --data {}", here.display());
    let verified = place.run(&["verify", "holiday.torrent", "--data", "holiday"]);
    assert_eq!((verified.code, verified.out.last()), (Some(5), Some(&expected)));
    let seeded = place.run(&["seed", "holiday.torrent", "--data", "holiday", "--port", "0"]);
    assert_eq!((seeded.code, seeded.last_word()), (Some(5), format!("error: {expected}").as_str()));
}

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let place = holiday();
    place.create(&["holiday"]);
    let script = format!("{} inspect holiday.torrent; echo $? >&2", env!("CARGO_BIN_EXE_gannet"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("({script}) | true")]).current_dir(place.path("."));
    let ended = crate::program::Running::start(&mut shell).end();
    assert_eq!(ended.err, ["0"]);
}

//! What cannot be done: one line that says what, why and what to do, and the exit code that says it to a shell.

use crate::program::{Place, noise};

/// A link that names whose torrent, and not which (BEP 46).
const PUBLISHER: &str =
    "magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e&s=6e";

#[test]
fn every_refusal_says_what_and_why_and_ends_with_its_code() {
    let place = Place::new();
    place.write("one.txt", b"hello");
    place.write("bad.torrent", b"this is no torrent");
    place.write("none.torrent", b"");
    place.write("empty/nothing.txt", b"");
    place.create(&["one.txt"]);
    let mut torrent = place.read("one.txt.torrent");
    torrent.truncate(torrent.len() - 5);
    place.write("cut.torrent", &torrent);
    place.write("folder/x", b"x");
    let get = |torrent: &'static str| vec!["get", torrent, "--port", "0"];
    let nobodys = "c9e15763f722f23e98a29decdfae341b98d53056";
    let alone = vec!["get", nobodys, "--port", "0", "--bind", "127.0.0.1", "--wait", "1s"];
    for (words, code, wanted) in [
        (get("absent.torrent"), 1, "cannot read absent.torrent: No such file or directory"),
        (get("folder"), 1, "folder is a folder; name a torrent file, or make one: gannet create folder"),
        (get("magnet:?dn=x"), 3, "the magnet link does not say which torrent"),
        (get(PUBLISHER), 1, "only the DHT knows which torrent is the newest of this publisher, and --no-dht"),
        (get("magnet:?xt=urn:btih:12"), 3, "the magnet link's hash is damaged"),
        (alone, 6, "no source within 1 s: no tracker is known; no peer was named (--peer)"),
        (vec!["verify", "magnet:?dn=x"], 1, "fetch it: gannet get"),
        (get("bad.torrent"), 3, "bad.torrent: not a torrent, or a damaged one"),
        (get("none.torrent"), 3, "none.torrent: not a torrent, or a damaged one"),
        (get("cut.torrent"), 3, "cut.torrent: not a torrent, or a damaged one"),
        (
            get("ftp://host.example/x.torrent"),
            1,
            "torrent files come from disk, or over http:// and https://",
        ),
        (vec!["get", "one.txt.torrent", "--seed-ratio", "-1"], 2, "`-1` is no ratio; try 1.5"),
        (vec!["get"], 2, "required arguments were not provided"),
        (vec!["get", "one.txt.torrent", "--max-up", "0"], 2, "a rate of 0 would never end"),
        (vec!["get", "one.txt.torrent", "--seed-time", "5 weeks"], 2, "try 90s, 30m, 2h or 7d"),
        (vec!["get", "one.txt.torrent", "--peer", "nonsense"], 1, "a peer is given as 192.0.2.7:6881"),
        (
            vec!["get", "one.txt.torrent", "--select", "7"],
            1,
            "no file of the torrent fits --select 7; it has 1 file, which",
        ),
        (vec!["get", "one.txt.torrent", "-o", "one.txt"], 4, "choose another directory"),
        (
            vec!["get", "one.txt.torrent", "--state", "one.txt"],
            1,
            "the state directory one.txt cannot be used",
        ),
        (vec!["get", "one.txt.torrent", "one.txt.torrent"], 1, "was added before"),
        (vec!["inspect", "bad.torrent"], 3, "not a torrent"),
        (vec!["inspect", "http://host.example/x.torrent"], 1, "curl -L http://host.example/x.torrent"),
        (vec!["verify", "bad.torrent"], 3, "not a torrent"),
        (vec!["verify", "one.txt.torrent", "--data", "absent"], 4, "absent"),
        (vec!["seed", "one.txt.torrent", "--data", "absent"], 4, "absent is no folder"),
        (vec!["create", "absent"], 1, "cannot read absent: No such file or directory"),
        (vec!["create", "/"], 1, "has no name to call the torrent by"),
        (vec!["create", "empty"], 1, "the content is empty"),
        (vec!["create", "one.txt", "-o", "absent/x"], 4, "cannot write absent/x: No such file or directory"),
        (
            vec!["create", "one.txt", "-t", "nonsense"],
            2,
            "is no URL that begins with http:// or https:// or udp://",
        ),
        (vec!["create", "one.txt", "-l", "100kB"], 2, "pieces have 16KiB, 32KiB"),
    ] {
        let refused = place.run(&words);
        let told = refused.err.join("\n");
        assert_eq!(refused.code, Some(code), "{words:?}: {told}");
        assert!(told.contains(wanted), "{words:?}: no `{wanted}` in: {told}");
    }
    assert!(!place.exists("absent"), "nothing was made where nothing was");
}

#[test]
fn a_torrent_whose_pieces_are_too_many_is_not_made() {
    let place = Place::new();
    std::fs::File::create(place.path("sparse")).unwrap().set_len(9 << 30).unwrap();
    let refused = place.run(&["create", "sparse", "-l", "16KiB"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.last_word().ends_with("longer ones do: --piece-length 8MiB"), "{refused:?}");
}

#[test]
fn without_a_home_a_state_folder_is_asked_for() {
    let place = Place::new();
    place.write("one.txt", b"hello");
    place.create(&["one.txt"]);
    let mut command = place.command(&["get", "one.txt.torrent"]);
    let refused = crate::program::Running::start(command.env_remove("XDG_STATE_HOME")).end();
    assert_eq!(refused.code, Some(1));
    assert!(refused.last_word().contains("name a folder with --state DIR"), "{refused:?}");
}

#[test]
fn a_seed_of_incomplete_data_ends_and_creates_nothing() {
    let place = Place::new();
    place.write("holiday/a.bin", &noise(100_000, 1));
    place.write("holiday/b.bin", &noise(100_000, 2));
    place.create(&["holiday"]);
    place.write("part/holiday/a.bin", &place.read("holiday/a.bin"));
    let refused = place.run(&["seed", "holiday.torrent", "--data", "part", "--port", "0", "--plain"]);
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let path = place.path("part");
    let expected = format!(
        "error: holiday: 7 of 13 pieces are missing or differ; to fetch them: gannet get holiday.torrent --output {}",
        path.display()
    );
    assert_eq!(refused.last_word(), expected);
    assert_eq!(place.files("part"), ["holiday/a.bin"]);
    let json = place.run(&["seed", "holiday.torrent", "--data", "part", "--port", "0", "--json"]);
    assert_eq!(json.code, Some(5));
    let wrong = ["finished", "seeding"];
    assert!(json.json().iter().all(|line| !wrong.contains(&line["type"].as_str().unwrap())), "{json:?}");
}

#[test]
fn a_seed_that_is_incomplete_does_not_stop_the_others() {
    let place = Place::new();
    place.write("here.bin", &noise(50_000, 1));
    place.write("gone.bin", &noise(50_000, 2));
    place.create(&["here.bin"]);
    place.create(&["gone.bin"]);
    std::fs::remove_file(place.path("gone.bin")).unwrap();
    let mut seed = place.start(&["seed", "here.bin.torrent", "gone.bin.torrent", "--port", "0", "--plain"]);
    let (mut here, mut gone) = (false, false);
    while !(here && gone) {
        let line = seed.wait_for(".bin: ");
        here |= line.starts_with("here.bin: complete");
        gone |= line.starts_with("gone.bin: 4 of 4 pieces are missing");
    }
    seed.signal("INT");
    assert_eq!(seed.end().code, Some(5));
}

#[test]
fn a_download_that_has_no_room_is_refused_before_anything_is_written() {
    let place = Place::new();
    // Below the longest content that there is (32 TiB), and more than anyone has.
    let pieces = 40_960;
    let info = format!(
        "d6:lengthi{}e4:name4:huge12:piece lengthi{}e6:pieces{}:",
        (1u64 << 29) * pieces,
        1 << 29,
        pieces * 20
    );
    let mut torrent = format!("d4:info{info}").into_bytes();
    torrent.extend(vec![0; pieces as usize * 20]);
    torrent.extend(b"ee");
    place.write("huge.torrent", &torrent);
    let refused = place.run(&["get", "huge.torrent", "-o", "got", "--port", "0"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.last_word().starts_with("error: huge needs 20.0 TiB more, and got has room for "),
        "{refused:?}"
    );
    assert!(!place.exists("got"));
}

#[test]
fn a_disguised_program_is_named_before_it_is_fetched() {
    let place = Place::new();
    place.write("season/film.mkv.exe", b"MZ");
    place.create(&["season"]);
    let told = "film.mkv.exe is a program (.exe) whose name pretends .mkv";
    let inspected = place.run(&["inspect", "season.torrent"]);
    assert!(inspected.out.contains(&format!("beware      {told}")), "{inspected:?}");
    let json = place.run(&["inspect", "season.torrent", "--json"]).json_of("torrent");
    assert_eq!(json["files"][0]["beware"], "a program (.exe) whose name pretends .mkv");
    let mut get = place.start(&["get", "season.torrent", "-o", "got", "--port", "0", "--plain"]);
    get.wait_for(&format!("beware: {told}"));
    let mut get =
        place.start(&["get", "season.torrent", "-o", "got2", "--port", "0", "--json", "--state", "other"]);
    assert_eq!(get.wait_for_type("beware")["path"], "film.mkv.exe");
}

#[test]
fn a_home_that_cannot_be_written_to_is_explained() {
    let place = Place::new();
    place.write("film.bin", b"film");
    place.create(&["film.bin"]);
    for (home, words) in [
        (Some("/dev/null"), "the state directory /dev/null/.local/state/gannet cannot be used: "),
        (Some("/proc"), "the state directory /proc/.local/state/gannet cannot be used: "),
        (None, "there is no place to remember progress: HOME is not set; "),
    ] {
        let mut command = place.command(&["get", "film.bin.torrent", "-o", "got", "--port", "0"]);
        command.env_remove("XDG_STATE_HOME").envs(home.map(|home| ("HOME", home)));
        let refused = crate::program::Running::start(&mut command).end();
        assert_eq!(refused.code, Some(1), "{home:?}: {refused:?}");
        let said = refused.last_word();
        assert!(said.contains(words) && said.contains("--state"), "{home:?}: {said}");
    }
}

#[test]
fn help_is_given_in_every_way_that_it_is_asked_for() {
    let place = Place::new();
    let pages = [vec!["get", "--help"], vec!["help", "get"]].map(|words| {
        let page = place.run(&words);
        assert_eq!(page.code, Some(0), "{words:?}: {page:?}");
        page.out
    });
    assert_eq!(pages[0], pages[1]);
    assert!(pages[0].iter().any(|line| line == "Exit codes:"), "{pages:?}");
    let page = place.run(&["help"]);
    assert!(page.code == Some(0) && page.out.iter().any(|line| line.starts_with("  get ")), "{page:?}");
}

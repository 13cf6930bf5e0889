//! `get` of a magnet link: refused with the right exit code, saved as a torrent file, named by what an earlier run knows.

use crate::program::{Place, Running, noise};

/// A seed of two files, one of which pretends to be a film; the link to it.
fn films() -> (Place, Running, String) {
    let place = Place::new();
    place.write("films/a.mkv", &noise(150_000, 1));
    place.write("films/b.mkv.exe", &noise(10_000, 2));
    place.create(&["films", "-l", "64KiB"]);
    let (seed, peer) = place.seed("films.torrent", ".");
    let link = format!("magnet:?xt=urn:btih:{}&x.pe={peer}", hash(&place, "films.torrent"));
    (place, seed, link)
}

fn hash(place: &Place, torrent: &str) -> String {
    let said = place.run(&["inspect", "--json", torrent]);
    said.json()[0]["info_hash"].as_str().unwrap().to_owned()
}

#[test]
fn a_selection_that_fits_nothing_is_the_users_fault_and_not_the_torrents() {
    let (place, _seed, link) = films();
    let got = place.run(&["get", &link, "-o", "got", "--port", "0", "--select", "*.flac", "--json"]);
    assert_eq!(got.code, Some(1), "{got:?}");
    let told =
        "films: no file of the torrent fits --select *.flac; it has 2 files, which `gannet inspect` lists";
    assert_eq!(got.last_word(), format!("error: {told}"), "{got:?}");
    assert!(got.json_of("content_refused")["why"].as_str().unwrap().starts_with("no file"), "{got:?}");
    assert!(!place.exists("got"));
    let file = place.run(&["get", "films.torrent", "-o", "got", "--port", "0", "--select", "*.flac"]);
    assert_eq!(file.code, got.code, "as with the torrent file: {file:?}");
}

#[test]
fn a_link_is_saved_as_a_torrent_file_and_nothing_is_downloaded() {
    let (place, _seed, link) = films();
    let visible = |place: &Place| -> Vec<String> {
        place.files(".").into_iter().filter(|name| !name.contains("state")).collect()
    };
    let mut before = visible(&place);
    let got = place.run(&["get", &link, "--port", "0", "--save-torrent", "saved.torrent"]);
    assert_eq!(got.code, Some(0), "{got:?}");
    let done = "films: saved as saved.torrent; what is in it: gannet inspect saved.torrent; to fetch it: gannet get \
                saved.torrent";
    assert_eq!(got.last_word(), done, "{got:?}");
    assert!(got.err.iter().any(|line| line.starts_with("beware: b.mkv.exe is ")), "{got:?}");
    before.push("saved.torrent".into());
    before.sort_unstable();
    assert_eq!(visible(&place), before, "nothing is downloaded");
    assert_eq!(hash(&place, "saved.torrent"), hash(&place, "films.torrent"));
    let again = place.run(&["get", &link, "--port", "0", "--save-torrent", "saved.torrent"]);
    assert_eq!(again.code, Some(4), "{again:?}");
    assert!(again.last_word().contains("saved.torrent exists already and is left alone"), "{again:?}");
    let peer = link.rsplit('=').next().unwrap();
    let got = place.run(&["get", "saved.torrent", "-o", "got", "--port", "0", "--peer", peer]);
    assert_eq!(got.code, Some(0), "{got:?}");
    assert_eq!(place.files("got"), ["films/a.mkv", "films/b.mkv.exe"]);
    // Now that it is here, nobody is needed for it, and what is here stays and is remembered.
    let known = place.run(&["get", &hash(&place, "saved.torrent"), "--port", "0", "--save-torrent", "b"]);
    assert_eq!((known.code, place.exists("b")), (Some(0), true), "{known:?}");
    let again = place.run(&["get", "b", "-o", "got", "--port", "0", "--json"]);
    assert_eq!((again.code, &again.json_of("resumed")["checked"]), (Some(0), &0.into()), "{again:?}");
    assert_eq!(place.files("got"), ["films/a.mkv", "films/b.mkv.exe"]);
}

#[test]
fn one_torrent_file_is_saved_at_a_time() {
    let place = Place::new();
    let got = place.run(&["get", &"1".repeat(40), &"2".repeat(40), "--save-torrent", "a", "--port", "0"]);
    assert_eq!(got.code, Some(1), "{got:?}");
    assert!(got.last_word().contains("name one magnet link or URL"), "{got:?}");
}

#[test]
fn a_link_to_what_an_earlier_run_knows_names_disguises_and_the_trackers_that_are_asked() {
    let (place, _seed, link) = films();
    assert_eq!(place.run(&["get", &link, "-o", "got", "--port", "0"]).code, Some(0));
    let nowhere = ["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"];
    let known = format!("magnet:?xt=urn:btih:{}", hash(&place, "films.torrent"));
    // The first run adds one tracker, the second another: both are asked, under their own names.
    for (url, asked) in [(nowhere[0], &nowhere[..1]), (nowhere[1], &nowhere[..])] {
        let link = format!("{known}&tr={url}");
        let got = place.start(&["get", &link, "-o", "other", "--port", "0", "--json"]);
        let mut got = got;
        assert!(got.wait_for_type("beware")["path"].as_str().unwrap().ends_with("b.mkv.exe"));
        let mut failed: Vec<String> = (0..asked.len())
            .map(|_| got.wait_for_type("tracker_failed")["tracker"].as_str().unwrap().to_owned())
            .collect();
        failed.sort_unstable();
        assert_eq!(failed, asked);
        got.signal("INT");
        got.end();
    }
}

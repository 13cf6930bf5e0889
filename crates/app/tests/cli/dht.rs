//! `gannet dht`: nodes of ours on loopback, what is put into them and found there, and links that name a publisher. BEP: 5, 33, 44, 46, 51

use crate::program::{Ended, Place, Running};
use serde_json::Value;

const HASH: &str = "c9e15763f722f23e98a29decdfae341b98d53056";

/// A node that others begin at, and where it is.
fn node(place: &Place) -> (Running, String) {
    let mut node = place.start(&[
        "dht",
        "node",
        "--bind",
        "127.0.0.1",
        "--port",
        "0",
        "--json",
        "--state",
        "node",
        // Nobody is there: public routers are not for tests.
        "--dht-bootstrap",
        "127.0.0.1:9",
    ]);
    let line = node.wait_for_type("dht_stats");
    (node, line["addresses"][0].as_str().unwrap().to_owned())
}

/// Asks at that node.
fn ask(place: &Place, at: &str, words: &[&str]) -> Ended {
    let here = ["--bind", "127.0.0.1", "--dht-bootstrap", at, "--state", "asker"];
    place.run(&[&["dht"], words, &here].concat())
}

fn one_line(ended: &Ended) -> String {
    assert_eq!((ended.code, ended.out.len()), (Some(0), 1), "{ended:?}");
    ended.out[0].clone()
}

#[test]
fn a_text_is_put_and_got_by_its_hash() {
    let place = Place::new();
    let (_node, at) = node(&place);
    let target = one_line(&ask(&place, &at, &["put", "hello\u{1b}[31m there"]));
    assert_eq!(one_line(&ask(&place, &at, &["get", &target])), "hello\\u{1b}[31m there");
    let json = ask(&place, &at, &["get", &target, "--json"]);
    let item = json.json_of("dht_item");
    assert_eq!(
        (&item["target"], &item["text"]),
        (&Value::from(target), &Value::from("hello\\u{1b}[31m there"))
    );
    assert_eq!((json.json_of("dht_done")["answered"].clone(), item["seq"].clone()), (1.into(), Value::Null));
    let raw = ask(&place, &at, &["get", item["target"].as_str().unwrap(), "--raw"]);
    assert_eq!(one_line(&raw), "16:hello\u{1b}[31m there");
    let none = ask(&place, &at, &["get", HASH]);
    assert_eq!((none.code, none.out.len()), (Some(6), 0), "{none:?}");
    assert!(none.last_word().starts_with("nobody has it"), "{none:?}");
}

#[test]
fn what_is_published_under_a_key_is_replaced_by_later_versions_alone() {
    let place = Place::new();
    let (_node, at) = node(&place);
    let public = one_line(&place.run(&["dht", "key", "my.key"]));
    let mut before = 0;
    for text in ["one", "two", "three"] {
        assert_eq!(one_line(&ask(&place, &at, &["put", "--key", "my.key", text])), public);
        let got = ask(&place, &at, &["get", &public]);
        assert_eq!(one_line(&got), text);
        let version = got.last_word().strip_prefix("version ").unwrap();
        let (version, whose) = version.split_once(' ').unwrap();
        assert!(whose.starts_with(&format!("of what {public} publishes")), "{got:?}");
        let version: i64 = version.parse().unwrap();
        assert!(version > before, "{version} after {before}");
        before = version;
    }
    let old = ask(&place, &at, &["put", "--key", "my.key", "--seq", "1", "old"]);
    assert_eq!(old.code, Some(1));
    assert!(old.last_word().contains("1 node refused it"), "{old:?}");
    // Another salt is another item.
    assert_eq!(one_line(&ask(&place, &at, &["put", "--key", "my.key", "--salt", "x", "four"])), public);
    assert_eq!(one_line(&ask(&place, &at, &["get", &public, "--salt", "x"])), "four");
    assert_eq!(one_line(&ask(&place, &at, &["get", &public])), "three");
}

#[test]
fn a_link_to_a_publisher_fetches_the_newest_torrent() {
    let place = Place::new();
    let (_node, at) = node(&place);
    place.write("first.txt", b"the first version");
    place.write("second.txt", b"the second version");
    place.create(&["first.txt"]);
    place.create(&["second.txt"]);
    let hash = |torrent: &str| {
        place.run(&["inspect", torrent, "--json"]).json_of("torrent")["info_hash"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    place.run(&["dht", "key", "my.key"]);
    let mut seeds = Vec::new();
    for name in ["first.txt", "second.txt"] {
        let torrent = format!("{name}.torrent");
        let (seed, peer) = place.seed(&torrent, ".");
        seeds.push(seed);
        let link = one_line(&ask(&place, &at, &["put", "--key", "my.key", "--torrent", &hash(&torrent)]));
        assert!(link.starts_with("magnet:?xs=urn:btpk:"), "{link}");
        let words =
            ["get", &link, "-o", "copy", "--bind", "127.0.0.1", "--port", "0", "--dht-bootstrap", &at];
        let got =
            place.run_with_dht(&[&words[..], &["--peer", &peer, "--state", "getter", "--no-lsd"]].concat());
        assert_eq!(got.code, Some(0), "{got:?}");
        assert_eq!(place.read(&format!("copy/{name}")), place.read(name));
    }
    let refused = place.run(&["inspect", &format!("magnet:?xs=urn:btpk:{}", "7".repeat(64))]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.last_word().contains("whose newest torrent only the DHT knows"), "{refused:?}");
    let nobody = format!("magnet:?xs=urn:btpk:{}", "7".repeat(64));
    let words = ["get", &nobody, "--bind", "127.0.0.1", "--port", "0", "--dht-bootstrap", &at, "--no-lsd"];
    let got = place.run_with_dht(&words);
    assert_eq!(got.code, Some(6), "{got:?}");
    assert!(got.last_word().contains("the DHT has nothing of the publisher 7777"), "{got:?}");
}

#[test]
fn who_announces_is_found_counted_and_sampled() {
    let place = Place::new();
    let (_node, at) = node(&place);
    let magnet = format!("magnet:?xt=urn:btih:{HASH}");
    let before = ask(&place, &at, &["get-peers", &magnet]);
    assert_eq!((before.code, before.out.len()), (Some(6), 0), "{before:?}");
    let announced = ask(&place, &at, &["get-peers", HASH, "--announce", "4321"]);
    assert!(announced.last_word().contains("announced to 1 node"), "{announced:?}");
    let after = ask(&place, &at, &["get-peers", HASH, "--scrape"]);
    assert_eq!(one_line(&after), "127.0.0.1:4321");
    assert!(after.last_word().starts_with("1 peer; 1 seed and 0 others by the nodes' counts"), "{after:?}");
    assert_eq!(one_line(&ask(&place, &at, &["sample"])), HASH);
    let stats = ask(&place, &at, &["stats", "--for", "1s", "--json"]);
    assert_eq!(stats.json_of("dht_stats")["nodes"][0], 1, "{stats:?}");
}

#[test]
fn whoever_reaches_nobody_hears_what_to_do() {
    let place = Place::new();
    let closed = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let ended = ask(&place, &closed, &["stats", "--wait", "1s"]);
    assert_eq!(ended.code, Some(6));
    assert!(ended.last_word().contains("no node of the DHT was reached within 1 s"), "{ended:?}");
    for (words, code, expected) in [
        (&["get", "12"][..], 2, "an item is named by 40 digits"),
        (&["get-peers", "zz"], 2, "an info-hash has 40 hexadecimal digits"),
        (&["put"], 2, "required"),
        (&["put", "--salt", "x", "text"], 2, "--key"),
        (
            &["put", "--key", "absent.key", "text"],
            1,
            "there is no key absent.key; make one: gannet dht key absent.key",
        ),
        (&["stats", "--dht-bootstrap", "192.0.2.7:0"], 2, "a node is given as 192.0.2.7:6881"),
        (&["stats", "--dht-bootstrap", "nowhere"], 2, "a node is given as 192.0.2.7:6881"),
    ] {
        let ended = place.run(&[&["dht"], words].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.err.join("\n").contains(expected), "{ended:?}");
    }
}

//! Threat row A10: links that mean harm. Whatever they hold, what is taken of them is bounded, on one line, no option of a
//! command line, and written back as the same link; everything else is refused by name.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Cases, Chance};
use std::collections::BTreeSet;
use wire::Magnet;
use wire::magnet::{
    Link, MAGNET_BYTES_MAX, MAGNET_PEERS_MAX, MAGNET_TRACKERS_MAX, MAGNET_WEB_SEEDS_MAX, MagnetError,
    PeerHint, SELECTED_RANGES_MAX,
};

const CASES_MIN: usize = 800;

const KEY: &str = "8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e";

const HASH: &str = "xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056";

const HASH_OF_LINKS: &str = "c9e15763f722f23e98a29decdfae341b98d53056";

/// What must hold of every link, taken or refused.
fn check(link: &str) -> Result<Magnet, MagnetError> {
    let read = Magnet::parse(link);
    // What a publisher will name must keep the promises too.
    let read = match Link::parse(link) {
        Ok(Link::Mutable(mutable)) => {
            assert_eq!(read, Err(MagnetError::Mutable), "{link:?}");
            let again = Link::parse(&mutable.to_string()).map(|again| again.to_string());
            assert_eq!(again, Ok(mutable.to_string()), "{link:?}");
            Ok(mutable.at(HASH_OF_LINKS.parse().unwrap()))
        }
        _ => read,
    };
    let Ok(magnet) = &read else { return read };
    assert!(link.len() <= MAGNET_BYTES_MAX && !link.contains(char::is_control), "{link:?}");
    assert!(magnet.trackers.len() <= MAGNET_TRACKERS_MAX, "{link:?}");
    assert!(magnet.peers.len() <= MAGNET_PEERS_MAX, "{link:?}");
    assert!(magnet.web_seeds.len() <= MAGNET_WEB_SEEDS_MAX, "{link:?}");
    assert!(
        magnet.selection.as_ref().is_none_or(|all| all.ranges().len() <= SELECTED_RANGES_MAX),
        "{link:?}"
    );
    let hosts = magnet.peers.iter().map(PeerHint::to_string);
    for text in magnet.trackers.iter().chain(&magnet.web_seeds).cloned().chain(hosts) {
        assert!(!text.starts_with('-'), "{text:?} would be an option");
        assert!(!text.contains(|c: char| c.is_control() || c.is_whitespace()), "{text:?}");
    }
    let shown = magnet.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
    assert!(!shown.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{shown:?}");
    let written = magnet.to_string();
    let mut again = Magnet::parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    (again.hybrid, again.left_out) = (magnet.hybrid, magnet.left_out);
    assert_eq!(&again, magnet, "{link:?}");
    read
}

/// A name for the case: links of masses are long.
fn told(link: &str) -> String {
    link.chars().take(120).collect()
}

fn refused(cases: &mut Cases, link: &str, why: MagnetError) {
    assert_eq!(check(link), Err(why), "{}", told(link));
    cases.add();
}

/// Hints that are none: the link is taken, they are not.
fn left_out(cases: &mut Cases, hint: &str) {
    let link = format!("magnet:?{HASH}&{hint}");
    let magnet = check(&link).unwrap_or_else(|error| panic!("{link}: {error}"));
    assert!(magnet.trackers.is_empty() && magnet.peers.is_empty() && magnet.web_seeds.is_empty(), "{link:?}");
    assert_eq!(magnet.left_out, 1, "{link:?}");
    cases.add();
}

fn controls(cases: &mut Cases) {
    for control in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32) {
        // As it is, anywhere.
        for link in [
            format!("magnet:?{HASH}&dn=a{control}b"),
            format!("magnet:?{control}{HASH}"),
            format!("{control}magnet:?{HASH}"),
            format!("magnet:?{HASH}&tr=http://a/{control}"),
        ] {
            let at = link.find(control).unwrap();
            refused(cases, &link, MagnetError::Control(at));
        }
        // Spelled out: a name is shown safely, a URL or host is no URL or host.
        let mut spelled = String::new();
        for byte in control.to_string().bytes() {
            spelled.push_str(&format!("%{byte:02x}"));
        }
        check(&format!("magnet:?{HASH}&dn=a{spelled}b")).unwrap();
        cases.add();
        for hint in ["tr=http://a/", "ws=http://a/", "x.pe=a", "tr=udp://"] {
            left_out(cases, &format!("{hint}{spelled}:1"));
        }
    }
}

fn options_and_other_urls_that_are_none(cases: &mut Cases) {
    let values = [
        "-oProxyCommand=calc",
        "--upload-pack=x",
        "-",
        "--",
        "%2d%2dexec=x",
        "-http://a/",
        "%2Dhttp://a/",
        " http://a/",
        "%20http://a/",
        "http://a/%20b",
        "javascript:alert(1)",
        "//a/b",
        "/etc/passwd",
        "a",
        "http:/a",
        "://a",
        "%",
        "%4",
        "%zz",
        "http://a/%ff",
        "http://a/%E2%80%AEb",
        "1http://a/",
        "%00",
    ];
    for value in values {
        left_out(cases, &format!("tr={value}"));
        left_out(cases, &format!("ws={value}"));
        left_out(cases, &format!("x.pe={value}"));
    }
}

fn peers_and_web_seeds_that_are_none(cases: &mut Cases) {
    for web in ["file:///etc/passwd", "ftp://a/b", "udp://a:1", "data:,x", "gopher://a", "httpx://a"] {
        left_out(cases, &format!("ws={web}"));
    }
    let peers = [
        "1.2.3.4",
        "1.2.3.4:",
        "1.2.3.4:0",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:+1",
        "1.2.3:4",
        "::1:80",
        "[::1]",
        "[::1]:",
        "[::1]:0",
        "[::1:80",
        "::1]:80",
        "[a]:80",
        "2130706433:80",
        "0x7f.1:a",
        "host",
        ":80",
        "host:0",
        "host:99999",
        "-host:80",
        "a..b:80",
        "a.-b:80",
        "host:80/x",
        "user@host:80",
        "a b:80",
        "h%00:1",
        "127.1:80",
        "0177.0.0.1.:8a",
    ];
    for peer in peers {
        left_out(cases, &format!("x.pe={peer}"));
    }
    left_out(cases, &format!("x.pe={}:80", "a.".repeat(200)));
    left_out(cases, &format!("x.pe={}:80", "a".repeat(64)));
    left_out(cases, &format!("tr=http://{}", "a".repeat(5_000)));
}

fn masses(cases: &mut Cases) {
    for count in [1usize, 99, 100, 101, 1_000] {
        for (key, value) in [("tr", "udp://a:"), ("ws", "http://a/"), ("x.pe", "1.2.3.4:")] {
            let hints: String = (1..=count).map(|index| format!("&{key}={value}{index}")).collect();
            let magnet = check(&format!("magnet:?{HASH}{hints}")).unwrap();
            let kept = magnet.trackers.len() + magnet.web_seeds.len() + magnet.peers.len();
            assert_eq!(kept, count.min(100), "{count} of {key}");
            assert_eq!(magnet.left_out as usize, count - kept);
            cases.add();
        }
    }
    for (len, taken) in
        [(MAGNET_BYTES_MAX - 1, true), (MAGNET_BYTES_MAX, true), (MAGNET_BYTES_MAX + 1, false)]
    {
        let mut link = format!("magnet:?{HASH}&dn=");
        link.push_str(&"a".repeat(len - link.len()));
        assert_eq!(check(&link).is_ok(), taken, "{len} bytes");
        cases.add();
    }
    for (pad, count) in
        [("&", 30_000), ("&=", 15_000), ("&tr=", 7_000), ("&a=b", 7_000), ("%", 30_000), ("?", 30_000)]
    {
        check(&format!("magnet:?{HASH}{}", pad.repeat(count))).ok();
        cases.add();
    }
    let selections = [
        "",
        ",",
        "-",
        "0-",
        "-0",
        "1-0",
        "a",
        "0,",
        ",0",
        "0--1",
        "0-1-2",
        "00x1",
        "1e3",
        "0x10",
        "１",
        "1000000",
        "0-1000000",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "0-18446744073709551616",
        "-1",
        "0;1",
        "0 1",
        "%00",
        "%ff",
        "0,%2d1",
    ];
    for selection in selections {
        refused(cases, &format!("magnet:?{HASH}&so={selection}"), MagnetError::Selection);
    }
    for count in [1, SELECTED_RANGES_MAX, SELECTED_RANGES_MAX + 1, 4_000] {
        let numbers: Vec<String> = (0..count).map(|index| (2 * index).to_string()).collect();
        let taken = check(&format!("magnet:?{HASH}&so={}", numbers.join(","))).is_ok();
        assert_eq!(taken, count <= SELECTED_RANGES_MAX, "{count} ranges");
        cases.add();
    }
    assert!(check(&format!("magnet:?{HASH}&so=0-999999")).is_ok());
}

fn topics(cases: &mut Cases) {
    let digits = "0123456789abcdef".repeat(4);
    for len in 0..=64 {
        let taken = check(&format!("magnet:?xt=urn:btih:{}", &digits[..len]));
        match len {
            40 => assert!(taken.is_ok()),
            // Of base32 the digits 0, 1, 8 and 9 are none.
            _ => assert_eq!(taken, Err(MagnetError::BadHash), "{len} digits"),
        }
        let base32 = check(&format!("magnet:?xt=urn:btih:{}", "A2".repeat(40).get(..len).unwrap()));
        assert_eq!(base32.is_ok(), len == 32 || len == 40, "{len} digits");
        let v2 = check(&format!("magnet:?xt=urn:btmh:1220{}", &digits[..len]));
        assert_eq!(
            v2,
            Err(if len == 64 { MagnetError::V2Only } else { MagnetError::BadHash }),
            "{len} digits"
        );
        cases.add();
        cases.add();
        cases.add();
    }
    for other in ["sha1", "ed2k", "tree:tiger", "btpk", "aich", "kzhash", "bitprint", "", "btih", "btmh"] {
        refused(cases, &format!("magnet:?xt=urn:{other}"), MagnetError::NotBitTorrent);
    }
    for scheme in
        ["", "magnet", "magnet:", "magne:?", "http://?", "magnet:/?", "magnet://?", "?", "stream-magnet:?"]
    {
        refused(cases, &format!("{scheme}{HASH}"), MagnetError::NotAMagnet);
    }
}

/// Publishers (BEP 46): keys and salts of every length, alone and beside a torrent.
fn publishers(cases: &mut Cases) {
    for len in 0..=70 {
        let key = KEY.repeat(2);
        let link = format!("xs=urn:btpk:{}", &key[..len]);
        match check(&format!("magnet:?{link}")) {
            Ok(magnet) => assert!(len == 64 && magnet.publisher.is_some(), "{len} digits"),
            Err(error) => assert!(len != 64 && error == MagnetError::BadKey, "{len} digits: {error}"),
        }
        let beside = check(&format!("magnet:?{HASH}&{link}")).unwrap();
        assert_eq!((beside.publisher.is_some(), beside.left_out), (len == 64, u32::from(len != 64)));
        cases.add();
        cases.add();
    }
    for len in (0..=140).chain([1_000, 30_000]) {
        let link = format!("magnet:?xs=urn:btpk:{KEY}&s={}", "5a".repeat(len).get(..len).unwrap());
        match check(&link) {
            Ok(magnet) => assert_eq!(magnet.publisher.map(|publisher| publisher.salt.len() * 2), Some(len)),
            Err(error) => {
                assert!((len > 128 || len % 2 == 1) && error == MagnetError::BadSalt, "{len}: {error}")
            }
        }
        cases.add();
    }
    for salt in ["0x", "+1", "-1", " 6e", "6e ", "6ｅ", "%", "%6", "%ff", "é", "%00%00", "\u{202e}"] {
        refused(cases, &format!("magnet:?xs=urn:btpk:{KEY}&s={salt}"), MagnetError::BadSalt);
    }
}

/// Links put together and taken apart at random: whatever comes out, the promises hold.
fn mutations(cases: &mut Cases, seed: u64) {
    let keys =
        ["xt", "xt.1", "dn", "tr", "tr.0", "amp;tr", "x.pe", "ws", "so", "xs", "s", "as", "TR", "x.pe.1", ""];
    let values = [
        "urn:btih:c9e15763f722f23e98a29decdfae341b98d53056",
        "urn:btih:ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMCW",
        "http://a/announce",
        "udp%3A%2F%2Fb%3A80",
        "1.2.3.4:5",
        "[::1]:6",
        "h.example:7",
        "0,2-4",
        "a+b%20c",
        "%e2%80%ae",
        "-x",
        "",
        "%",
        "日本",
        "http://a/?x=1%26y",
        "urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e",
        "6e",
    ];
    let noise = ['&', '=', '?', '%', '+', '-', '\0', '\n', ':', '/', '.', ',', '0', 'z', '\u{202e}', 'é'];
    let mut chance = Chance(seed);
    let mut seen = BTreeSet::new();
    while seen.len() < 600 {
        let mut link = match chance.below(3) {
            0 => format!("magnet:?xs=urn:btpk:{KEY}&s=6e"),
            _ => format!("magnet:?{HASH}"),
        };
        for _ in 0..chance.below(8) {
            link.push_str(&format!("&{}={}", chance.pick(&keys), chance.pick(&values)));
        }
        for _ in 0..chance.below(6) {
            let places: Vec<usize> = link.char_indices().map(|(at, _)| at).collect();
            let at = *chance.pick(&places);
            match chance.below(3) {
                0 => link.insert(at, *chance.pick(&noise)),
                1 => drop(link.remove(at)),
                _ => {
                    let tail = link.split_off(at);
                    link = format!("{link}{tail}{tail}");
                }
            }
        }
        check(&link).ok();
        if seen.insert(link) {
            cases.add();
        }
    }
}

#[test]
fn no_link_blows_up_or_smuggles_anything_in() {
    let seed = 10;
    println!("seed {seed}");
    let mut cases = Cases::of("A10");
    controls(&mut cases);
    options_and_other_urls_that_are_none(&mut cases);
    peers_and_web_seeds_that_are_none(&mut cases);
    masses(&mut cases);
    topics(&mut cases);
    publishers(&mut cases);
    mutations(&mut cases, seed);
    cases.finish(CASES_MIN);
}

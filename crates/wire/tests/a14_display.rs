//! Threat row A14: hostile text in every field that strangers fill, shown in every sink that exists: terminal, log, HTML,
//! JSON. What is hostile is written down here once more, not taken from the code.
//!
//! The table counts 14 fields, 6 sinks and 30 payloads; 4 sinks exist by now, so there are 60 payloads.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::Cases;
use wire::bencode::{bytes, dict, int, list};
use wire::compact::Family;
use wire::extension::ExtensionHandshake;
use wire::tracker_http::Reply as HttpReply;
use wire::tracker_udp::Reply as UdpReply;
use wire::{DisplaySafe, FileIndex, Metainfo};

const CASES_MIN: usize = 2_520;

/// Characters that move cursors, hide or reorder.
fn hostile(c: char) -> bool {
    c.is_control()
        || ('\u{200b}'..='\u{200f}').contains(&c)
        || ('\u{2028}'..='\u{202e}').contains(&c)
        || ('\u{2060}'..='\u{206f}').contains(&c)
        || ('\u{e0000}'..='\u{e007f}').contains(&c)
        || ['\u{61c}', '\u{feff}', '\u{ad}', '\u{115f}', '\u{3164}', '\u{ffa0}', '\u{180e}'].contains(&c)
}

fn payloads() -> Vec<Vec<u8>> {
    let texts = [
        "\x1b[2J\x1b[H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://evil/\x1b\\link\x1b]8;;\x1b\\",
        "\x1b[31mred\x1b[0m",
        "\x1bP1$r\x1b\\",
        "\x1b]52;c;ZXZpbA==\x07",
        "\u{9b}31m",
        "\u{9d}0;x\u{9c}",
        "\u{85}next line",
        "\x07\x08\x08\x08",
        "a\rb",
        "a\nb",
        "a\r\n[INFO] forged",
        "a\x0bb\x0cc",
        "tab\tbed",
        "nul\0byte",
        "del\x7f",
        "photo\u{202e}gpj.exe",
        "\u{202a}\u{202b}\u{202c}\u{202d}",
        "\u{2066}a\u{2067}b\u{2068}c\u{2069}",
        "\u{200e}\u{200f}\u{61c}",
        "zero\u{200b}width\u{200c}\u{200d}\u{2060}",
        "\u{feff}bom",
        "soft\u{ad}hyphen",
        "\u{2028}line\u{2029}paragraph",
        "\u{e0041}\u{e0042}tags",
        "\u{115f}\u{3164}\u{ffa0}blank",
        "\u{180e}vowel",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "\"><svg onload=alert(1)>",
        "' onmouseover='alert(1)",
        "</title><b>",
        "<!-- -->",
        "]]>",
        "&lt;already&gt; & not",
        "`backtick`",
        "javascript:alert(1)",
        "{{template}} ${expression}",
        "\\u0022,\"admin\":true,\"x\":\"",
        "\"}\n{\"forged\":true}",
        "back\\slash\\",
        "%s%n%x",
        "$(reboot) `reboot` ; reboot |",
        "-rf /",
        "../../etc/passwd",
        "Cyrillic \u{430}pple",
        "e\u{301}\u{301}\u{301}\u{301} stacked",
        "漢字 🎬 honest",
        "",
        " ",
    ];
    let broken: [&[u8]; 9] = [
        b"\xff\xfe",
        b"\xc0\xae\xc0\xaf",
        b"cut\xf0\x9f\x8e",
        b"\xed\xa0\x80 surrogate",
        b"\x80\x9b31m",
        b"latin caf\xe9",
        b"\xe2\x80",
        b"\xf4\x90\x80\x80 beyond",
        b"a\xe2\x80\xaeb\xff\x1b[0m",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(broken.map(<[u8]>::to_vec)).collect()
}

/// Every field of a torrent and of a peer's or tracker's words that is shown, filled with the payload.
fn fields(payload: &[u8]) -> Vec<(&'static str, DisplaySafe)> {
    let file = |name: &[u8]| dict([("length", int(1)), ("path", list([bytes("d"), bytes(name)]))]);
    let info = dict([
        ("name", bytes(payload)),
        ("files", list([file(payload), file(b"x")])),
        ("piece length", int(16_384)),
        ("pieces", bytes([0; 20])),
        ("source", bytes(payload)),
    ]);
    let url = [b"http://h/".as_slice(), payload].concat();
    let torrent = dict([
        ("info", info),
        ("comment", bytes(payload)),
        ("created by", bytes(payload)),
        ("announce", bytes(&url)),
        ("url-list", bytes(&url)),
        ("nodes", list([list([bytes(payload), int(1)])])),
    ]);
    let metainfo = Metainfo::parse(torrent.as_bytes()).unwrap();
    let text = |field: &Option<DisplaySafe>| field.clone().unwrap_or_default();
    let first = |urls: Option<&String>| urls.map(|url| DisplaySafe::from(url.as_str())).unwrap_or_default();
    vec![
        ("name", metainfo.name.original.clone()),
        ("safe name", DisplaySafe::from(metainfo.name.safe.as_str())),
        ("file", metainfo.original_path(FileIndex(0))),
        ("safe path", DisplaySafe::from(metainfo.path(FileIndex(0)).unwrap().as_str())),
        ("comment", text(&metainfo.about.comment)),
        ("created by", text(&metainfo.about.created_by)),
        ("source", text(&metainfo.about.source)),
        ("tracker", first(metainfo.trackers.first().and_then(|tier| tier.first()))),
        ("web seed", first(metainfo.web_seeds.first())),
        ("node", first(metainfo.nodes.first().map(|(host, _)| host))),
        // These decoders give plain text, which proto's events carry as the safe type.
        ("tracker's refusal", refusal(payload)),
        ("tracker's warning", warning(payload)),
        ("UDP tracker's error", udp_error(payload)),
        ("client", client(payload)),
    ]
}

fn refusal(payload: &[u8]) -> DisplaySafe {
    match HttpReply::decode(dict([("failure reason", bytes(payload))]).as_bytes()) {
        Ok(HttpReply::Refused { reason, .. }) => DisplaySafe::from(&*reason),
        other => panic!("{other:?}"),
    }
}

fn warning(payload: &[u8]) -> DisplaySafe {
    let reply = dict([("interval", int(60)), ("peers", bytes("")), ("warning message", bytes(payload))]);
    match HttpReply::decode(reply.as_bytes()) {
        Ok(HttpReply::Peers(announced)) => {
            DisplaySafe::from(announced.warning.as_deref().unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

fn udp_error(payload: &[u8]) -> DisplaySafe {
    match UdpReply::decode(&[&[0, 0, 0, 3, 0, 0, 0, 0], payload].concat(), Family::V4) {
        Ok(UdpReply::Error { reason, .. }) => DisplaySafe::from(&*reason),
        other => panic!("{other:?}"),
    }
}

fn client(payload: &[u8]) -> DisplaySafe {
    let handshake = dict([("m", dict::<&str>([])), ("v", bytes(payload))]);
    let handshake = ExtensionHandshake::decode(handshake.as_bytes()).unwrap();
    DisplaySafe::from(handshake.client.as_deref().unwrap_or_default())
}

/// A JSON string's value, by the letter of RFC 8259; `None` if it is none.
fn decode_json(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut chars = text.strip_prefix('"')?.strip_suffix('"')?.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            c if u32::from(c) < 0x20 => return None,
            '\\' => match chars.next()? {
                c @ ('"' | '\\' | '/') => units.push(c as u16),
                'n' => units.push(10),
                't' => units.push(9),
                'r' => units.push(13),
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                }
                _ => return None,
            },
            c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
        }
    }
    String::from_utf16(&units).ok()
}

#[test]
fn no_text_of_a_stranger_acts_where_it_is_shown() {
    let mut cases = Cases::of("A14");
    for payload in payloads() {
        for (field, text) in fields(&payload) {
            let what = format!("{field}: {}", payload.escape_ascii());
            let terminal = text.to_string();
            assert!(!terminal.chars().any(hostile), "{what}: {terminal:?}");
            assert!(field.starts_with("safe") || text.raw().is_empty() == terminal.is_empty(), "{what}");
            cases.add();
            let log = format!("{text:?}");
            assert!(!log.chars().any(hostile) && log.lines().count() == 1, "{what}: {log:?}");
            cases.add();
            let html = text.html().to_string();
            assert!(!html.contains(['<', '>', '"', '\'', '`']), "{what}: {html}");
            assert!(!html.chars().any(hostile), "{what}: {html:?}");
            let entities = html.matches('&').count();
            let known = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "&#96;"];
            let known: usize = known.iter().map(|entity| html.matches(entity).count()).sum();
            assert_eq!(entities, known, "{what}: {html}");
            cases.add();
            let json = text.json().to_string();
            assert_eq!(decode_json(&json).as_deref(), Some(terminal.as_str()), "{what}: {json}");
            assert!(!json.chars().any(hostile) && !json.contains("</"), "{what}: {json}");
            cases.add();
        }
    }
    cases.finish(CASES_MIN);
}

#[test]
fn honest_text_is_shown_as_it_is() {
    for text in ["漢字 🎬 ßÄ ñ", "a b.mkv", "日本語のファイル", "Ελληνικά", "עברית", "العربية"]
    {
        assert_eq!(DisplaySafe::from(text).to_string(), text);
        assert_eq!(DisplaySafe::from(text).html().to_string(), text);
        assert_eq!(DisplaySafe::from(text).json().to_string(), format!("\"{text}\""));
    }
}

/// For every character there is: whether it is spelled out agrees with Unicode's control and separator properties.
#[test]
fn every_control_and_every_line_break_is_spelled_out() {
    for c in '\0'..=char::MAX {
        let shown = DisplaySafe::new(c.to_string()).to_string();
        if hostile(c) {
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(c)));
        } else if c.is_alphanumeric() && !hostile(c) && shown != c.to_string() {
            // Only blank letters.
            let blank = ['\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{3164}', '\u{ffa0}'];
            assert!(blank.contains(&c), "{c:?} is spelled out");
        }
    }
}

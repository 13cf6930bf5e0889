//! Threat row B3: names that Windows takes for devices, streams, other names or nothing. A list times forms.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod common;

use common::Cases;
use wire::SafePath;

const CASES_MIN: usize = 900;

fn devices() -> Vec<String> {
    let named = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"].map(str::to_owned);
    let numbers = "0123456789\u{b9}\u{b2}\u{b3}";
    let ports =
        ["COM", "LPT"].into_iter().flat_map(|port| numbers.chars().map(move |n| format!("{port}{n}")));
    named.into_iter().chain(ports).collect()
}

/// Forms in which Windows still opens the device.
const FORMS: [fn(&str) -> String; 22] = [
    |device| device.to_owned(),
    |device| device.to_lowercase(),
    |device| {
        device.chars().enumerate().map(|(n, c)| if n % 2 == 0 { c.to_ascii_lowercase() } else { c }).collect()
    },
    |device| format!("{device}.txt"),
    |device| format!("{device}.tar.gz"),
    |device| format!("{}.JPG", device.to_lowercase()),
    |device| format!("{device}."),
    |device| format!("{device}..."),
    |device| format!("{device} "),
    |device| format!("{device}   "),
    |device| format!("{device} . "),
    |device| format!("{device} .txt"),
    |device| format!("{device}  .tar.gz"),
    |device| format!("{device}:"),
    |device| format!("{device}:stream"),
    |device| format!("{device}::$DATA"),
    |device| format!("{device}.txt:stream:$DATA"),
    |device| format!("\\\\.\\{device}"),
    |device| format!("\\\\?\\{device}"),
    |device| format!("C:\\{device}"),
    |device| format!("..\\{device}"),
    |device| format!("{device}.{}", "x".repeat(300)),
];

/// What is before the first dot or colon, without spaces behind it, is what Windows looks up.
fn opens_a_device(name: &str) -> bool {
    let looked_up = name.rsplit(['\\', '/']).next().unwrap();
    let base = looked_up.split(['.', ':']).next().unwrap().trim_end_matches(' ');
    devices().iter().any(|device| device.to_lowercase() == base.to_lowercase())
}

fn portable(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*'])
        && !name.ends_with(['.', ' '])
        && !name.chars().any(char::is_control)
        && name.encode_utf16().count() <= 255
        && !opens_a_device(name)
}

#[test]
fn no_name_means_something_else_on_windows() {
    let mut cases = Cases::of("B3");
    for device in devices() {
        for form in FORMS {
            let raw = form(&device);
            assert!(opens_a_device(&raw), "{raw:?}: the form is a form of the device");
            let safe = SafePath::from_name(raw.as_bytes());
            assert!(portable(safe.as_str()), "{raw:?} became {safe:?}");
            cases.add();
        }
    }
    // Characters that Windows reserves, in front, inside, and at the end.
    let reserved = ('\0'..='\x1f').chain(['<', '>', ':', '"', '/', '\\', '|', '?', '*', '\x7f']);
    for c in reserved {
        for raw in
            [format!("{c}name"), format!("na{c}me.txt"), format!("name{c}"), format!("{c}"), format!("a.{c}")]
        {
            let safe = SafePath::from_name(raw.as_bytes());
            assert!(portable(safe.as_str()), "{raw:?} became {safe:?}");
            cases.add();
        }
    }
    // Ends that Windows drops.
    for end in [".", " ", "..", "  ", ". ", " .", "...", ". . .", ".  .", "     "] {
        for front in ["", "a", "a.txt", "a.b.c", "\u{e9}", "_"] {
            let raw = format!("{front}{end}");
            let safe = SafePath::from_name(raw.as_bytes());
            assert!(portable(safe.as_str()), "{raw:?} became {safe:?}");
            assert!(safe.as_str().starts_with(front), "{raw:?} became {safe:?}");
            cases.add();
        }
    }
    // Short aliases that may name a file with a longer name.
    for base in ["PROGRA~1", "longna~2", "A~1", "ab~12", "abcd~123"] {
        for extension in ["", ".TXT", ".c", ".htm"] {
            let safe = SafePath::from_name(format!("{base}{extension}").as_bytes());
            assert!(!safe.as_str().contains('~'), "{safe:?}");
            cases.add();
        }
    }
    cases.finish(CASES_MIN);
}

#[test]
fn names_that_only_resemble_devices_are_left_alone() {
    let names = [
        "console.txt",
        "COM10",
        "COM",
        "LPT",
        "nullable.rs",
        "auxiliary",
        "com1x",
        "\u{2074}COM",
        "context",
        "aux_.txt",
    ];
    for name in names.iter().chain(&["notes~1.text", "much-longer~1.txt", "~1", "a~b", ".com1"]) {
        assert_eq!(SafePath::from_name(name.as_bytes()).as_str(), *name);
    }
}

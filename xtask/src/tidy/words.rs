//! Banned words: names that say nothing, names the field does not use, and calls that belong in another room.

use super::{Fault, Source};

/// A word that may not stand in some files, and why.
struct Ban {
    word: &'static str,
    /// Path prefixes where it is banned.
    within: &'static [&'static str],
    /// Path prefixes where it is allowed all the same.
    but: &'static [&'static str],
    why: &'static str,
}

const EVERYWHERE: &[&str] = &["crates/", "fuzz/"];
const PURE: &[&str] = &["crates/wire/src/", "crates/proto/src/", "crates/sim/src/"];

const BANS: &[Ban] = &[
    Ban {
        word: "unsafe {",
        within: EVERYWHERE,
        // A counting allocator, to hold decoders to what they may allocate, cannot be written without.
        but: &["crates/os/", "crates/wire/tests/a2_allocation.rs"],
        why: "unsafe code lives in `os` alone",
    },
    Ban {
        word: "unsafe fn",
        within: EVERYWHERE,
        // A counting allocator, to hold decoders to what they may allocate, cannot be written without.
        but: &["crates/os/", "crates/wire/tests/a2_allocation.rs"],
        why: "unsafe code lives in `os` alone",
    },
    Ban { word: "rustix::", within: EVERYWHERE, but: &["crates/os/"], why: "OS calls are `os`'s" },
    Ban { word: "libc::", within: EVERYWHERE, but: &["crates/os/"], why: "OS calls are `os`'s" },
    Ban { word: "std::time::Instant", within: PURE, but: &[], why: "time is an argument" },
    Ban { word: "SystemTime", within: PURE, but: &[], why: "time is an argument" },
    Ban { word: "std::thread", within: PURE, but: &[], why: "threads belong to the engine" },
    Ban { word: "std::fs", within: PURE, but: &[], why: "files belong to `os` and the engine" },
    Ban { word: "ring::rand", within: PURE, but: &[], why: "chance is an argument" },
    Ban { word: "std::io", within: PURE, but: &[], why: "no I/O in the pure crates" },
    Ban { word: "HashMap", within: PURE, but: &[], why: "iteration order is part of the result" },
    Ban { word: "HashSet", within: PURE, but: &[], why: "iteration order is part of the result" },
    Ban {
        word: "serde",
        within: &["crates/wire/", "crates/proto/", "crates/os/", "crates/engine/", "crates/sim/"],
        // What browsers say to a tracker is the field's one format that is JSON: it is read as bare values, and no type of ours derives.
        but: &["crates/wire/src/tracker_ws"],
        why: "serialise at the edge: in `app`",
    },
    Ban { word: "thread::sleep", within: EVERYWHERE, but: &[], why: "nobody sleeps: wait for the event" },
    Ban { word: "#[ignore", within: EVERYWHERE, but: &[], why: "a test that does not run is no test" },
    Ban { word: "todo!(", within: EVERYWHERE, but: &[], why: "no stubs" },
    Ban { word: "unimplemented!(", within: EVERYWHERE, but: &[], why: "no stubs" },
    Ban { word: "FIXME", within: EVERYWHERE, but: &[], why: "mend it or say why it is so" },
];

/// Endings of type names that say nothing.
const EMPTY_ENDINGS: &[&str] = &["Manager", "Helper", "Utils", "Util", "Handler", "Info2", "Impl"];

/// File names that say nothing.
const EMPTY_FILES: &[&str] = &["util.rs", "utils.rs", "helpers.rs", "common.rs", "misc.rs", "types.rs"];

/// All banned words of one file.
pub(super) fn check(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    if EMPTY_FILES.iter().any(|name| source.path.ends_with(&format!("/{name}"))) {
        faults.push(format!("{}: name the file after what it holds", source.path));
    }
    for (number, line) in source.text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let at = |what: String| format!("{}:{}: {what}", source.path, number + 1);
        for ban in BANS {
            if code.contains(ban.word) && starts(&source.path, ban.within) && !starts(&source.path, ban.but) {
                faults.push(at(format!("`{}`: {}", ban.word, ban.why)));
            }
        }
        if let Some(name) = type_named(code)
            && EMPTY_ENDINGS.iter().any(|ending| name.ends_with(ending))
        {
            faults.push(at(format!("`{name}`: say what it does, not that it does something")));
        }
    }
    faults
}

fn starts(path: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| path.starts_with(prefix))
}

/// The type that this line defines, if it does.
fn type_named(code: &str) -> Option<&str> {
    let mut words = code.split_whitespace().skip_while(|word| word.starts_with("pub"));
    matches!(words.next()?, "struct" | "enum" | "trait" | "type").then_some(())?;
    words.next()?.split(|c: char| !c.is_alphanumeric()).next()
}

//! What compilers do not check: headers, import arrows, OS calls only in `os`, sizes, banned names.
//!
//! Sizes are a ratchet: `xtask/tidy-ratchet.txt` lists what is too large today. A new entry fails, an old one may only shrink.

mod arrows;
mod sizes;
mod words;

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// One source file of the repository.
struct Source {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
    syntax: syn::File,
}

/// Something to mend: where, and what.
type Fault = String;

/// Checks the whole repository; prints every fault.
pub(crate) fn run() -> Result<()> {
    let sources = read_sources(&crate::root())?;
    let faults = check(&sources)?;
    for fault in &faults {
        eprintln!("{fault}");
    }
    if !faults.is_empty() {
        bail!("tidy: {} faults in {} files", faults.len(), sources.len());
    }
    println!("tidy: {} files are in order", sources.len());
    Ok(())
}

fn check(sources: &[Source]) -> Result<Vec<Fault>> {
    let mut faults: Vec<Fault> = sources.iter().filter_map(header_missing).collect();
    faults.extend(arrows::between_crates(&crate::root())?);
    faults.extend(sources.iter().flat_map(arrows::inside_proto));
    faults.extend(sources.iter().flat_map(words::check));
    faults.extend(sizes::check(sources, &crate::root())?);
    Ok(faults)
}

fn header_missing(source: &Source) -> Option<Fault> {
    let has = source.text.starts_with("//! ") || source.text.starts_with("#!/");
    (!has).then(|| format!("{}:1: a file opens by saying what it is (`//! ...`)", source.path))
}

/// Every Rust file under the places where we keep code, in a fixed order.
fn read_sources(root: &Path) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    for place in ["crates", "xtask", "fuzz"] {
        walk(&root.join(place), &mut paths)?;
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let syntax = syn::parse_file(&text).with_context(|| path.display().to_string())?;
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            Ok(Source { path, text, syntax })
        })
        .collect()
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "corpus" {
            walk(&path, found)?;
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into(), syntax: syn::parse_file(text).unwrap() }
    }

    #[test]
    fn the_repository_is_tidy() {
        let faults = check(&read_sources(&crate::root()).unwrap()).unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn a_file_without_a_header_is_a_fault() {
        assert!(header_missing(&source("crates/wire/src/x.rs", "fn f() {}")).is_some());
        assert!(header_missing(&source("crates/wire/src/x.rs", "//! An x.\nfn f() {}")).is_none());
    }

    #[test]
    fn machines_that_must_not_know_each_other_are_kept_apart() {
        let check = |path, text| arrows::inside_proto(&source(path, text)).len();
        assert_eq!(check("crates/proto/src/choker.rs", "use crate::rate::Rate;"), 0);
        assert_eq!(check("crates/proto/src/choker.rs", "use crate::torrent::Torrent;"), 1);
        assert_eq!(check("crates/proto/src/pieces/picker.rs", "use crate::{choker, Rng};"), 1);
        assert_eq!(check("crates/proto/src/torrent/stage.rs", "fn f() { crate::session::x() }"), 1);
        assert_eq!(check("crates/proto/src/peer.rs", "use crate::pieces::Bucket;"), 0);
    }

    #[test]
    fn words_that_say_nothing_and_calls_in_the_wrong_room_are_faults() {
        let check = |path, text| words::check(&source(path, text)).len();
        assert_eq!(check("crates/engine/src/x.rs", "struct PeerManager;"), 1);
        assert_eq!(check("crates/proto/src/x.rs", "use std::time::Instant;"), 1);
        assert_eq!(check("crates/engine/src/x.rs", "fn f() { unsafe { g() } }"), 1);
        assert_eq!(check("crates/os/src/x.rs", "fn f() { unsafe { g() } }"), 0);
        assert_eq!(check("crates/engine/src/x.rs", "#[test]\n#[ignore]\nfn f() {}"), 1);
    }
}

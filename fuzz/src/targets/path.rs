//! The path sanitiser: whatever names come in, no path leads out, means another thing on some system, or meets another.

use std::collections::BTreeSet;
use wire::FileIndex;
use wire::path::{DEPTH_MAX, ELEMENT_BYTES_MAX, PATH_BYTES_MAX, SafePath, SafePaths};

/// One input: elements with a byte of length before each; its highest bit ends the file, the next makes it a pad.
pub fn run(data: &[u8]) {
    check_path(&SafePath::from_name(data));
    let files = files(data);
    let names = files.iter().map(|file| file.as_ref().map(|elements| elements.iter().copied()));
    let Ok(paths) = SafePaths::new(names) else { return };
    assert_eq!(paths.len(), files.len());
    let top = SafePath::from_name(data.get(..10).unwrap_or(data));
    let mut seen = BTreeSet::new();
    for (index, file) in files.iter().enumerate() {
        let file_index = FileIndex(index as u32);
        let path = paths.get(file_index);
        assert_eq!(path.is_some(), file.is_some(), "a pad has no path, a file has one");
        let Some(path) = path else { continue };
        check_path(&path);
        if let Some(beneath) = paths.get_beneath(&top, file_index) {
            check_path(&beneath);
        }
        assert!(seen.insert(path.as_str().to_lowercase()), "{path} twice");
    }
    for path in &seen {
        let directories = path.match_indices('/').map(|(at, _)| &path[..at]);
        directories.for_each(|directory| assert!(!seen.contains(directory), "{directory} is a file"));
    }
}

fn files(mut data: &[u8]) -> Vec<Option<Vec<&[u8]>>> {
    let (mut files, mut elements) = (Vec::new(), Vec::new());
    while let Some((&head, rest)) = data.split_first() {
        let (element, rest) = rest.split_at(usize::from(head & 0x3f).min(rest.len()));
        elements.push(element);
        data = rest;
        if head & 0x80 != 0 || data.is_empty() {
            let file = core::mem::take(&mut elements);
            files.push((head & 0x40 == 0).then_some(file));
        }
    }
    files
}

/// Holds one path to its promises.
pub(super) fn check_path(path: &SafePath) {
    let text = path.as_str();
    assert!(text.len() <= PATH_BYTES_MAX, "{} bytes", text.len());
    assert!(path.elements().count() <= DEPTH_MAX + 1);
    for element in path.elements() {
        assert!(!matches!(element, "" | "." | ".."), "{text:?}");
        assert!(element.len() <= ELEMENT_BYTES_MAX, "{element:?}");
        assert!(!element.ends_with(['.', ' ']), "{text:?}");
        assert!(!element.contains(['\\', ':', '*', '?', '"', '<', '>', '|']), "{text:?}");
        assert!(!element.chars().any(char::is_control), "{text:?}");
        let stem = element.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
        assert!(!matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "COM1" | "LPT9"), "{text:?}");
    }
}

//! Sanitising in small; the counted threat suites are in `tests/`.

use super::*;

fn paths(files: &[&[&str]]) -> Vec<String> {
    let raw = files.iter().map(|path| Some(path.iter().map(|element| element.as_bytes())));
    let paths = SafePaths::new(raw).unwrap();
    (0..files.len()).map(|file| paths.get(FileIndex(file as u32)).unwrap().to_string()).collect()
}

#[test]
fn what_a_system_could_misread_is_replaced() {
    let table: &[(&[u8], &str)] = &[
        (b"plain.txt", "plain.txt"),
        ("漢字 é.mkv".as_bytes(), "漢字 é.mkv"),
        (b"", "_"),
        (b".", "_"),
        (b"..", "__"),
        (b".hidden", ".hidden"),
        (b"a/b\\c", "a_b_c"),
        (b"C:evil", "C_evil"),
        (b"nul\0byte", "nul_byte"),
        (b"trailing. .", "trailing___"),
        (b"CON", "_CON"),
        (b"aux.txt", "_aux.txt"),
        (b"nul .tar.gz", "_nul .tar.gz"),
        ("COM¹.x".as_bytes(), "_COM¹.x"),
        (b"COM10", "COM10"),
        (b"console", "console"),
        (b"PROGRA~1", "PROGRA_1"),
        (b"long-name~1.txt", "long-name~1.txt"),
        (b"\xff\xfe\xfdx", "___x"),
        (b"\xc0\xae\xc0\xae", "____"),
        ("a\u{202e}b\u{200d}c\u{feff}".as_bytes(), "a_b_c_"),
        (b"what?<now>", "what__now_"),
    ];
    for (raw, safe) in table {
        assert_eq!(SafePath::from_name(raw).as_str(), *safe, "{}", raw.escape_ascii());
    }
}

#[test]
fn a_long_name_is_cut_and_keeps_its_extension() {
    let long = format!("{}.mkv", "ä".repeat(200));
    let safe = SafePath::from_name(long.as_bytes());
    assert!(safe.as_str().len() <= ELEMENT_BYTES_MAX && safe.as_str().ends_with(".mkv"), "{safe}");
    let other = SafePath::from_name(format!("{}x.mkv", "ä".repeat(200)).as_bytes());
    assert_ne!(safe, other);
}

#[test]
fn a_path_too_long_for_some_system_is_gathered_in_one_directory() {
    let element = "d".repeat(200);
    let made = paths(&[&[&element, &element, &element, &element, "f.txt"]]);
    assert!(made[0].starts_with("_deep_") && made[0].ends_with("/f.txt"), "{}", made[0]);
}

#[test]
fn of_files_that_would_share_a_path_the_first_keeps_it() {
    assert_eq!(
        paths(&[&["A.txt"], &["a.TXT"], &["a.1.txt"], &["a.txt"]]),
        ["A.txt", "a.2.TXT", "a.1.txt", "a.3.txt"]
    );
    assert_eq!(paths(&[&["stra\u{df}e"], &["STRASSE"]]), ["stra\u{df}e", "STRASSE.1"]);
    assert_eq!(paths(&[&["e\u{301}"], &["\u{e9}"]]), ["e\u{301}", "\u{e9}.1"]);
}

#[test]
fn a_file_yields_to_a_directory() {
    assert_eq!(paths(&[&["a"], &["A", "b"], &["a", "B", "c"]]), ["a.1", "A/b.1", "A/B/c"]);
}

#[test]
fn directories_that_differ_in_case_become_one() {
    assert_eq!(paths(&[&["Dir", "x"], &["dir", "y"], &["DIR", "X"]]), ["Dir/x", "Dir/y", "Dir/X.1"]);
}

#[test]
fn a_spelling_that_would_make_a_path_too_long_is_not_taken_over() {
    // The Kelvin sign takes three bytes and is a k to every system that ignores case.
    let (kelvin, k) = ("\u{212a}".repeat(80), "k".repeat(80));
    let long_name = "b".repeat(240);
    let made = paths(&[&[&kelvin, &kelvin, "a"], &[&k, &k, &long_name], &[&k, &k, "c"]]);
    assert_eq!(made[1], format!("{k}/{k}/{long_name}"));
    assert!(made.iter().all(|path| path.len() < PATH_BYTES_MAX - ELEMENT_BYTES_MAX));
}

#[test]
fn an_unwritten_file_is_in_nobodys_way() {
    let raw = [Some([&b"x"[..]]), None, Some([&b"x"[..]])];
    let made = SafePaths::new(raw).unwrap();
    let shown: Vec<_> = (0..3).map(|file| made.get(FileIndex(file)).map(|path| path.to_string())).collect();
    assert_eq!(shown, [Some("x".to_owned()), None, Some("x.1".to_owned())]);
}

#[test]
fn masses_are_refused() {
    let deep = vec![&b"d"[..]; DEPTH_MAX + 1];
    assert_eq!(SafePaths::new([Some(deep)]), Err(PathsError::TooDeep(FileIndex(0))));
    let same = vec![Some([&b"x"[..]]); SAME_NAMES_MAX + 1];
    assert_eq!(SafePaths::new(same), Err(PathsError::TooManySameNames(FileIndex(0))));
}

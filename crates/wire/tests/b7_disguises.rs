//! B7: programs named as if they were something else, each way in many forms; and harmless names that nobody is warned of.

#![allow(clippy::unwrap_used)]

use wire::FileIndex;
use wire::disguise::{Disguise, disguises};
use wire::metainfo::{MetainfoBuilder, NewFile};

/// As the threat's row asks for.
const CASES_MIN: usize = 120;

fn kind(name: &str, among_media: bool) -> Option<&'static str> {
    Disguise::of(name.as_bytes(), among_media).map(|disguise| match disguise {
        Disguise::TwoEndings { .. } => "two endings",
        Disguise::Reordered { .. } => "reordered",
        Disguise::PushedAway { .. } => "pushed away",
        Disguise::NamedLikeMedia { .. } => "named like media",
        Disguise::AmongMedia { .. } => "among media",
        Disguise::NeverWanted { .. } => "never wanted",
    })
}

/// Names and what they hide.
fn disguised() -> Vec<(String, &'static str)> {
    [two_endings(), veiled(), out_of_place()].concat()
}

fn two_endings() -> Vec<(String, &'static str)> {
    let mut cases = Vec::new();
    for shown in ["mkv", "mp4", "avi", "mp3", "flac", "jpg", "pdf", "docx", "srt", "zip"] {
        for real in ["exe", "lnk", "scr", "js"] {
            cases.push((format!("A Film (2024).{shown}.{real}"), "two endings"));
        }
    }
    for name in [
        "film.mkv .exe",
        "film.mkv. exe",
        "film.mkv....exe",
        "film.mkv_.exe",
        "FILM.MKV.EXE",
        "film.mkv.exe.",
        "film.mkv.exe ",
        "film.mkv.exe. . .",
        "season/film.mkv.bat",
        "a\\b.pdf.vbs",
        "film.mkv                .exe",
        "film.mkv\u{3000}\u{3000}\u{3000}\u{3000}\u{3000}\u{3000}.exe",
        "film.mkv\u{a0}.exe",
        "film.mkv\u{2800}.exe",
        "photo.jpg.desktop",
        "tape.mp3.sh",
        "book.epub.msi",
        "book.pdf.hta",
    ] {
        cases.push((name.into(), "two endings"));
    }
    cases
}

fn veiled() -> Vec<(String, &'static str)> {
    let mut cases = Vec::new();
    for hidden in [
        '\u{202e}',
        '\u{202d}',
        '\u{202a}',
        '\u{202b}',
        '\u{2066}',
        '\u{2067}',
        '\u{2068}',
        '\u{200e}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{200d}',
        '\u{2060}',
        '\u{feff}',
        '\u{ad}',
        '\u{e0041}',
        '\u{7}',
        '\u{1b}',
    ] {
        cases.push((format!("film{hidden}4pm.exe"), "reordered"));
        cases.push((format!("film.mkv.ex{hidden}e"), "reordered"));
    }
    for blank in
        [' ', '\u{a0}', '\u{2003}', '\u{3000}', '\u{3164}', '\u{2800}', '\u{115f}', '\u{1680}', '\u{205f}']
    {
        cases.push((format!("holiday{}.exe", blank.to_string().repeat(6)), "pushed away"));
        cases.push((format!("read me{}x.bat", blank.to_string().repeat(200)), "pushed away"));
    }
    cases
}

fn out_of_place() -> Vec<(String, &'static str)> {
    let mut cases = Vec::new();
    for name in [
        "film.scr",
        "film.lnk",
        "film.pif",
        "film.hta",
        "film.cpl",
        "film.scf",
        "film.desktop",
        "codec.msc",
        "x.appref-ms",
        "x.gadget",
        "x.wsh",
        "x.sct",
    ] {
        cases.push((name.into(), "never wanted"));
    }
    for name in [
        "A.Film.2024.1080p.BluRay.x264-GROUP.exe",
        "Show.S01E02.720p.HDTV.msi",
        "Show s3e12 final.exe",
        "Artist - Album (2020) [FLAC].exe",
        "Album MP3 320.exe",
        "film.WEB-DL.exe",
        "film.web-dl.h264.bat",
        "Film 2160p HEVC 10bit.cmd",
        "film_dvdrip_xvid.com",
        "Film.REMUX.exe",
        "s10e100.exe",
        "Film.CAMRip.jar",
    ] {
        cases.push((name.into(), "named like media"));
    }
    cases
}

/// Names that are what they say.
const HARMLESS: [&str; 44] = [
    "film.mkv",
    "a.b.c.mp4",
    "setup.exe",
    "Setup 1.2.3.exe",
    "v1.0.tar.gz",
    "install.sh",
    "script.js",
    "app.min.js",
    "program.com",
    "example.com",
    "www.example.com.txt",
    "README",
    ".hidden",
    "exe",
    ".exe.txt",
    "film.exe.mkv",
    "photo.jpg",
    "x.scr.txt",
    "notes.lnk.md",
    "a  b.mkv",
    "long       name.mkv",
    "שלום.mkv",
    "سلام.mp3",
    "幅.pdf",
    "film\u{202e}.mkv",
    "archive.zip",
    "disc.iso",
    "package.deb",
    "package_1.2_amd64.deb",
    "image.dmg",
    "game.apk",
    "lib.so.1",
    "library.dll",
    "a.torrent",
    "1080p.mkv",
    "x264.tar.xz",
    "se.exe",
    "sxe.exe",
    "season.exe",
    "s1e.exe",
    "use.js",
    "pdf.exe",
    "jpg.exe",
    "My Program 64.msi",
];

#[test]
fn disguised_programs_are_named_and_harmless_names_are_not() {
    let cases = disguised();
    for (name, expected) in &cases {
        assert_eq!(kind(name, false), Some(*expected), "{name:?}");
    }
    for name in HARMLESS {
        assert_eq!(kind(name, false), None, "{name:?}");
    }
    println!("B7: {} disguised names, {} harmless ones", cases.len(), HARMLESS.len());
    assert!(cases.len() >= CASES_MIN, "{} cases", cases.len());
}

#[test]
fn a_torrent_is_searched_with_its_company_in_mind() {
    let found = |paths: &[&str]| {
        let new = |path: &&str| NewFile { path: path.split('/').map(str::to_owned).collect(), len: 10 };
        let builder = MetainfoBuilder::directory("t", paths.iter().map(new).collect(), 16_384);
        let metainfo = builder.build(&[[1; 20]]).unwrap().1;
        let found = disguises(&metainfo);
        found.iter().map(|(file, _)| metainfo.original_path(*file).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(&["film.mkv", "codec.exe", "film.srt", "poster.jpg"]), ["codec.exe"]);
    assert_eq!(found(&["game.exe", "intro.mp4", "level.dat"]), [""; 0], "games have films in them");
    assert_eq!(found(&["setup.exe", "readme.txt"]), [""; 0]);
    assert_eq!(found(&["a.pdf.lnk", "b.dat", "sub/c.scr"]), ["a.pdf.lnk", "sub/c.scr"]);
}

#[test]
fn a_torrent_of_one_file_is_searched_too() {
    let metainfo = MetainfoBuilder::single("film\u{202e}vkm.exe", 10, 16_384).build(&[[1; 20]]).unwrap().1;
    let found = disguises(&metainfo);
    assert_eq!(found, [(FileIndex(0), Disguise::Reordered { real: "exe".into() })]);
    assert_eq!(found[0].1.to_string(), "a program (.exe) whose name has characters that hide it");
}

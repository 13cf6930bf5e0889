//! Programs that are named as if they were something else: `film.mkv.exe`, a name turned round by a bidirectional override,
//! an ending pushed out of sight by blanks, a shortcut, a "film" that is a program.
//!
//! Knows names and lengths, not content: what it says is a warning for people, never a verdict. Pure. Threats: B7

use crate::{FileIndex, Metainfo};
use core::fmt;

/// Endings that start a program when they are opened, on some system.
const PROGRAMS: [&str; 45] = [
    "apk",
    "app",
    "appref-ms",
    "appx",
    "bat",
    "cmd",
    "com",
    "command",
    "cpl",
    "deb",
    "desktop",
    "dmg",
    "elf",
    "exe",
    "gadget",
    "hta",
    "inf",
    "ins",
    "isp",
    "jar",
    "js",
    "jse",
    "lnk",
    "msc",
    "msi",
    "msix",
    "msp",
    "mst",
    "paf",
    "pif",
    "pkg",
    "ps1",
    "psm1",
    "reg",
    "rpm",
    "run",
    "scf",
    "scr",
    "sct",
    "sh",
    "vb",
    "vbe",
    "vbs",
    "wsf",
    "wsh",
];

/// Of these, what nobody shares for its own sake: screen savers, shortcuts, control panels, script hosts.
const NEVER_WANTED: [&str; 12] =
    ["appref-ms", "cpl", "desktop", "gadget", "hta", "lnk", "msc", "pif", "scf", "scr", "sct", "wsh"];

/// Endings that people open without a thought.
const HARMLESS: [&str; 52] = [
    "3gp", "aac", "ac3", "ass", "avi", "azw3", "bmp", "cbr", "cbz", "djvu", "doc", "docx", "epub", "flac",
    "flv", "gif", "heic", "jpeg", "jpg", "m2ts", "m4a", "m4b", "m4v", "mka", "mkv", "mobi", "mov", "mp3",
    "mp4", "mpeg", "mpg", "nfo", "odt", "ogg", "ogv", "opus", "pdf", "png", "ppt", "pptx", "rar", "rtf",
    "srt", "sub", "txt", "wav", "webm", "webp", "wmv", "xls", "xlsx", "zip",
];

/// Of these, what is seen or heard for its own sake.
const MEDIA: [&str; 24] = [
    "3gp", "aac", "ac3", "avi", "flac", "flv", "m2ts", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp3",
    "mp4", "mpeg", "mpg", "ogg", "ogv", "opus", "ts", "wav", "webm", "wmv",
];

/// What comes along with films and music and says nothing about a torrent.
const BESIDE_MEDIA: [&str; 18] = [
    "ass", "cue", "gif", "idx", "jpeg", "jpg", "log", "m3u", "m3u8", "md5", "nfo", "png", "sfv", "srt",
    "sub", "txt", "url", "webp",
];

/// Words of which a film's or an album's name is made.
const RELEASE_WORDS: [&str; 26] = [
    "1080p", "10bit", "2160p", "480p", "720p", "aac", "bdrip", "bluray", "brrip", "camrip", "dvdrip",
    "dvdscr", "flac", "h264", "h265", "hdrip", "hdtv", "hevc", "mp3", "remux", "web-dl", "webdl", "webrip",
    "x264", "x265", "xvid",
];

/// Blanks in a row that push what follows out of sight.
const BLANKS_MIN: usize = 6;

/// How a program hides what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Disguise {
    /// Two endings, of which systems that hide the last show the first.
    TwoEndings {
        /// What it seems to be.
        shown: Box<str>,
        /// What it is.
        real: Box<str>,
    },
    /// Characters that turn the order of what is shown round, or are not shown at all.
    Reordered {
        /// What it is.
        real: Box<str>,
    },
    /// So many blanks that its ending is out of sight.
    PushedAway {
        /// What it is.
        real: Box<str>,
    },
    /// Named like a film or an album.
    NamedLikeMedia {
        /// What it is.
        real: Box<str>,
    },
    /// A program in the midst of films or music.
    AmongMedia {
        /// What it is.
        real: Box<str>,
    },
    /// Something that nobody shares for its own sake.
    NeverWanted {
        /// What it is.
        real: Box<str>,
    },
}

impl Disguise {
    /// What a file's name hides, if it does; `among_media` says that the rest of its torrent is to be seen or heard.
    pub fn of(name: &[u8], among_media: bool) -> Option<Disguise> {
        let name = String::from_utf8_lossy(name).to_lowercase();
        let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
        let plain: String = name.chars().filter(|&c| !is_unseen(c)).collect();
        // Windows drops dots and blanks at the end: the ending is what stands before them.
        let plain = plain.trim_end_matches(|c: char| c == '.' || is_blank(c));
        let (stem, real) = plain.rsplit_once('.')?;
        let real = real.trim_matches(is_blank);
        if !PROGRAMS.contains(&real) {
            return None;
        }
        let real: Box<str> = real.into();
        if name.chars().any(is_unseen) {
            return Some(Disguise::Reordered { real });
        }
        let bare = stem.trim_end_matches(|c: char| c == '.' || c == '_' || is_blank(c));
        let shown = bare.rsplit_once('.').map(|(_, shown)| shown).filter(|shown| HARMLESS.contains(shown));
        if let Some(shown) = shown {
            return Some(Disguise::TwoEndings { shown: shown.into(), real });
        }
        if has_run_of_blanks(name) {
            return Some(Disguise::PushedAway { real });
        }
        if NEVER_WANTED.contains(&&*real) {
            return Some(Disguise::NeverWanted { real });
        }
        if is_release(stem) {
            return Some(Disguise::NamedLikeMedia { real });
        }
        among_media.then_some(Disguise::AmongMedia { real })
    }
}

impl fmt::Display for Disguise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disguise::TwoEndings { shown, real } => {
                write!(f, "a program (.{real}) whose name pretends .{shown}")
            }
            Disguise::Reordered { real } => {
                write!(f, "a program (.{real}) whose name has characters that hide it")
            }
            Disguise::PushedAway { real } => {
                write!(f, "a program (.{real}), its ending pushed away by blanks")
            }
            Disguise::NamedLikeMedia { real } => {
                write!(f, "a program (.{real}) named like a film or an album")
            }
            Disguise::AmongMedia { real } => write!(f, "a program (.{real}) among films or music"),
            Disguise::NeverWanted { real } => {
                write!(f, "a .{real} file: it starts programs when it is opened")
            }
        }
    }
}

/// The disguised files of a torrent.
pub fn disguises(metainfo: &Metainfo) -> Vec<(FileIndex, Disguise)> {
    let files = || metainfo.layout.file_indices().filter(|&file| !metainfo.layout.extent(file).pad);
    let among_media = is_media(files().map(|file| metainfo.original_path(file).raw().to_vec()));
    let of = |file| Some((file, Disguise::of(metainfo.original_path(file).raw(), among_media)?));
    files().filter_map(of).collect()
}

/// Whether, but for programs and what comes along, everything is to be seen or heard.
fn is_media(names: impl Iterator<Item = Vec<u8>>) -> bool {
    let mut media = 0;
    for name in names {
        let name = String::from_utf8_lossy(&name).to_lowercase();
        let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
        if MEDIA.contains(&ending) {
            media += 1;
        } else if !PROGRAMS.contains(&ending) && !BESIDE_MEDIA.contains(&ending) {
            return false;
        }
    }
    media > 0
}

/// Whether a name is made as those of films and albums are: their words, or season and episode.
fn is_release(stem: &str) -> bool {
    let mut words = stem.split(|c: char| !c.is_alphanumeric() && c != '-');
    words.any(|word| RELEASE_WORDS.contains(&word) || is_episode(word)) || stem.contains("web-dl")
}

/// `s01e02`.
fn is_episode(word: &str) -> bool {
    let Some((season, episode)) = word.strip_prefix('s').and_then(|rest| rest.split_once('e')) else {
        return false;
    };
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    number(season) && number(episode)
}

fn has_run_of_blanks(name: &str) -> bool {
    let mut run = 0;
    name.chars().any(|c| {
        run = if is_blank(c) || c == '_' && run > 0 { run + 1 } else { 0 };
        run >= BLANKS_MIN
    })
}

/// What takes room and shows nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}' | '\u{180e}')
}

/// What takes no room, or turns round what follows.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

//! How far torrents are, as text: three lines each that fit the terminal, or one where they are many, or a plain sentence.
//! Pure. Only ASCII of our own, so that any terminal can show it.

use crate::quantity::{Rate, Size, Span};
use crate::words::count;
use gannet::{Bitfield, PieceIndex, StageName, TorrentStats};
use std::time::Duration;

/// A torrent as it is shown.
pub(crate) struct Row {
    /// Safe to show.
    pub(crate) name: String,
    pub(crate) stats: TorrentStats,
    pub(crate) have: Bitfield,
}

/// Marks of the map of pieces: none, some, many, all of the pieces under a mark are here. Told by shape, not by colour.
const MARKS: [char; 4] = ['.', '-', '=', '#'];

/// The lines of all torrents in a terminal of this size.
pub(crate) fn screenful(rows: &[Row], width: usize, height: usize) -> Vec<String> {
    // Room stays for the ^C that a terminal writes at the cursor: it must not break the last line in two.
    let (width, height) = (width.saturating_sub(3).max(20), height.saturating_sub(1).max(3));
    if rows.len() * 3 <= height {
        return rows.iter().flat_map(|row| lines(row, width)).collect();
    }
    let shown = if rows.len() <= height { height } else { height - 1 };
    let mut lines: Vec<String> = rows.iter().take(shown).map(|row| line(row, width)).collect();
    if rows.len() > shown {
        lines.push(format!("... and {} more", rows.len() - shown));
    }
    lines
}

fn lines(row: &Row, width: usize) -> [String; 3] {
    [cut(&row.name, width), map(&row.have, width.min(100)), join(figures(&row.stats), width)]
}

/// The name gets what the first figures leave, but at least half of the line.
fn line(row: &Row, width: usize) -> String {
    let figures = join(figures(&row.stats), width / 2);
    let name = cut(&row.name, width - figures.len() - 2);
    let gap = width - figures.len() - console::measure_text_width(&name);
    format!("{name}{}{figures}", " ".repeat(gap))
}

/// In order of importance: a narrow terminal shows the first.
fn figures(stats: &TorrentStats) -> Vec<String> {
    let mut figures = Vec::new();
    match stats.stage {
        StageName::Downloading => {
            figures.push(percent(stats));
            figures.push(format!("{} down", Rate(stats.rate_down)));
            figures.push(format!("{} up", Rate(stats.rate_up)));
            figures.push(peers(stats));
            figures.extend(eta(stats).map(|eta| format!("{} left", Span(eta))));
            figures.extend(swarm(stats));
        }
        StageName::Seeding => {
            figures.push(stage_word(stats.stage).into());
            figures.push(format!("{} up", Rate(stats.rate_up)));
            figures.push(peers(stats));
            figures.push(format!("{} given", Size(stats.uploaded + stats.uploaded_before)));
            figures.extend(swarm(stats));
        }
        StageName::FetchingMetadata => {
            figures.push(metadata(stats));
            figures.push(peers(stats));
            return figures;
        }
        StageName::Checking => figures.push(format!("{} checked", checked(stats))),
        StageName::Paused | StageName::Failed => {
            figures.push(stage_word(stats.stage).into());
            figures.push(percent(stats));
        }
        StageName::Opening => figures.push(stage_word(stats.stage).into()),
    }
    figures.push(Size(stats.wanted).to_string());
    figures
}

/// As many of them as fit.
pub(crate) fn join(figures: Vec<String>, width: usize) -> String {
    let mut text = String::new();
    for figure in figures {
        if text.chars().count() + 2 + figure.chars().count() > width {
            break;
        }
        if !text.is_empty() {
            text += "  ";
        }
        text += &figure;
    }
    text
}

/// One plain sentence.
pub(crate) fn plain(row: &Row) -> String {
    let stats = &row.stats;
    let done = match stats.stage {
        StageName::FetchingMetadata => {
            return format!("{}: {}, {}", row.name, metadata(stats), peers(stats));
        }
        StageName::Opening => return format!("{}: opening, {}", row.name, Size(stats.wanted)),
        StageName::Checking => checked(stats),
        StageName::Downloading | StageName::Seeding | StageName::Paused | StageName::Failed => percent(stats),
    };
    let mut text = format!("{}: {}, {done} of {}", row.name, stage_word(stats.stage), Size(stats.wanted));
    if matches!(stats.stage, StageName::Downloading | StageName::Seeding) {
        text += &format!(", {} down, {} up, {}", Rate(stats.rate_down), Rate(stats.rate_up), peers(stats));
    }
    if let (StageName::Downloading, Some(eta)) = (stats.stage, eta(stats)) {
        text += &format!(", {} left", Span(eta));
    }
    if let (StageName::Downloading | StageName::Seeding, Some(swarm)) = (stats.stage, swarm(stats)) {
        text += &format!(", {swarm}");
    }
    text
}

/// The stage in a word.
pub(crate) fn stage_word(stage: StageName) -> &'static str {
    match stage {
        StageName::FetchingMetadata => "metadata",
        StageName::Opening => "opening",
        StageName::Checking => "checking",
        StageName::Downloading => "downloading",
        StageName::Seeding => "seeding",
        StageName::Paused => "paused",
        StageName::Failed => "failed",
    }
}

/// Time until everything wanted is here, at the rate of the last seconds.
pub(crate) fn eta(stats: &TorrentStats) -> Option<Duration> {
    let left = stats.wanted.saturating_sub(stats.wanted_have + stats.unverified);
    (stats.rate_down > 0 && left > 0).then(|| Duration::from_secs(left.div_ceil(stats.rate_down)))
}

/// How far a torrent is of which only the hash is known.
fn metadata(stats: &TorrentStats) -> String {
    match stats.metadata {
        Some((here, size)) => {
            let part = per_cent(here.into(), size.into());
            format!("fetching its description, {part:.1} % of {}", Size(size.into()))
        }
        None => "looking for somebody who has it".into(),
    }
}

fn percent(stats: &TorrentStats) -> String {
    percent_of(stats.wanted_have, stats.wanted)
}

/// A part of a whole, as it is shown.
pub(crate) fn percent_of(part: u64, whole: u64) -> String {
    format!("{:.1} %", per_cent(part, whole))
}

/// A part of a whole as so many marks.
pub(crate) fn gauge(part: u64, whole: u64, marks: usize) -> String {
    let full = (u128::from(part) * marks as u128 / u128::from(whole.max(1))).min(marks as u128) as usize;
    "#".repeat(full) + &".".repeat(marks - full)
}

fn checked(stats: &TorrentStats) -> String {
    format!("{:.1} %", per_cent(stats.checked.into(), stats.pieces.into()))
}

/// Rounded down: 100.0 % means all of it.
fn per_cent(part: u64, whole: u64) -> f64 {
    let permille = u128::from(part) * 1000 / u128::from(whole.max(1));
    permille as f64 / 10.0
}

fn peers(stats: &TorrentStats) -> String {
    match stats.web_seeds {
        0 => count(stats.peers, "peer"),
        web_seeds => format!("{}, {}", count(stats.peers, "peer"), count(web_seeds, "web seed")),
    }
}

/// Everybody who takes part, linked or not, as far as a tracker says.
fn swarm(stats: &TorrentStats) -> Option<String> {
    let swarm = stats.swarm?;
    let who = format!("swarm: {}, {}", count(swarm.seeds, "seed"), count(swarm.leechers, "leecher"));
    let downloads = swarm.downloads.map(|downloads| format!(", {}", count(downloads, "download")));
    Some(who + downloads.as_deref().unwrap_or_default())
}

/// Which pieces are here: each mark stands for as many pieces as it must.
pub(crate) fn map(have: &Bitfield, width: usize) -> String {
    let pieces = have.len() as usize;
    let marks = width.min(pieces).max(1);
    let mark = |index: usize| {
        let (from, to) =
            (index * pieces / marks, ((index + 1) * pieces / marks).max(index * pieces / marks + 1));
        let here = (from..to).filter(|&piece| have.has(PieceIndex(piece as u32))).count();
        match here {
            0 => MARKS[0],
            here if here == to - from => MARKS[3],
            here if here * 2 < to - from => MARKS[1],
            _ => MARKS[2],
        }
    };
    (0..marks).map(mark).collect()
}

/// As much of a text as fits.
pub(crate) fn cut(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "...").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gannet::SwarmCounts;

    fn row(pieces: u32, have: u32) -> Row {
        let mut set = Bitfield::new(pieces);
        (0..have).for_each(|piece| {
            set.insert(PieceIndex(piece));
        });
        let stats = TorrentStats {
            stage: StageName::Downloading,
            metadata: None,
            pieces_have: have,
            pieces,
            wanted: u64::from(pieces) << 20,
            wanted_have: u64::from(have) << 20,
            unverified: 0,
            pieces_durable: 0,
            checked: 0,
            downloaded: 0,
            uploaded: 0,
            wasted: 0,
            rate_down: 1 << 20,
            rate_up: 1 << 19,
            peers: 3,
            seeds: 1,
            web_seeds: 0,
            candidates: 0,
            swarm: None,
            seeding_for: Duration::ZERO,
            have_before: 0,
            unverified_before: 0,
            downloaded_before: 0,
            uploaded_before: 0,
        };
        Row { name: "a name that is rather long for a narrow terminal".into(), stats, have: set }
    }

    #[test]
    fn every_line_fits_the_terminal() {
        for name in
            ["a name that is rather long for a narrow terminal", "幅の広い文字の名前".repeat(9).as_str()]
        {
            for (width, torrents) in
                [1, 20, 40, 80, 200].into_iter().flat_map(|width| [(width, 1), (width, 50)])
            {
                let rows: Vec<Row> =
                    (0..torrents).map(|_| Row { name: name.into(), ..row(1000, 400) }).collect();
                let lines = screenful(&rows, width, 24);
                assert!(lines.len() < 24, "{} lines", lines.len());
                for line in lines {
                    assert!(
                        console::measure_text_width(&line) <= width.saturating_sub(3).max(20),
                        "{width}: {line}"
                    );
                }
            }
        }
    }

    #[test]
    fn many_torrents_have_a_line_each_and_the_rest_is_counted() {
        let rows: Vec<Row> = (0..9).map(|_| row(100, 40)).collect();
        let lines = screenful(&rows, 63, 9);
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "a name that is rather long for a ...  40.0 %  1.0 MiB/s down");
        assert_eq!(lines[7], "... and 2 more");
    }

    #[test]
    fn the_figures_say_what_matters_first() {
        assert_eq!(
            lines(&row(100, 40), 79)[2],
            "40.0 %  1.0 MiB/s down  512.0 KiB/s up  3 peers  1 min 00 s left  100.0 MiB"
        );
        assert_eq!(lines(&row(100, 40), 39)[2], "40.0 %  1.0 MiB/s down  512.0 KiB/s up");
    }

    #[test]
    fn the_swarm_is_told_where_there_is_room_and_a_tracker_counts() {
        let mut row = row(100, 40);
        row.stats.swarm = Some(SwarmCounts { seeds: 1, leechers: 12, downloads: None });
        assert!(
            lines(&row, 120)[2].ends_with("  swarm: 1 seed, 12 leechers  100.0 MiB"),
            "{:?}",
            lines(&row, 120)
        );
        assert!(!lines(&row, 79)[2].contains("swarm"));
        row.stats.swarm = Some(SwarmCounts { seeds: 1, leechers: 12, downloads: Some(700) });
        assert!(plain(&row).ends_with("left, swarm: 1 seed, 12 leechers, 700 downloads"), "{}", plain(&row));
    }

    #[test]
    fn a_gauge_is_full_only_when_all_is_there() {
        assert_eq!(gauge(999, 1000, 10), "#########.");
        assert_eq!((gauge(0, 0, 4), gauge(9, 3, 4)), ("....".into(), "####".into()));
    }

    #[test]
    fn the_map_shows_where_the_pieces_are() {
        assert_eq!(map(&row(8, 3).have, 100), "###.....");
        assert_eq!(map(&row(100, 45).have, 10), "####=.....");
        assert_eq!(map(&row(100, 42).have, 10), "####-.....");
    }

    #[test]
    fn a_hundred_percent_means_all_of_it() {
        assert_eq!(percent(&row(10_000, 9_999).stats), "99.9 %");
        assert_eq!(percent(&row(10_000, 10_000).stats), "100.0 %");
    }

    #[test]
    fn the_plain_sentence_says_everything() {
        let sentence = plain(&row(100, 40));
        assert!(sentence.ends_with(
            "downloading, 40.0 % of 100.0 MiB, 1.0 MiB/s down, 512.0 KiB/s up, 3 peers, 1 min 00 s left"
        ));
    }
}

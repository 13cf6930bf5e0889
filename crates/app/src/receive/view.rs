//! What a receiver is shown, as text. Pure. Only ASCII of our own.

use crate::quantity::{Rate, Size, Span};
use crate::show::panel::{cut, gauge, join, percent_of};
use crate::words::count;
use gannet::sharing::{Offered, ReceiveStatus};
use std::time::Duration;

/// Widest gauge.
const GAUGE_MAX: usize = 100;

/// What somebody offers.
pub(super) fn offer(offered: &Offered) -> String {
    let mut parts = vec![format!("{}, {}", count(offered.files, "file"), Size(offered.size))];
    if offered.executables > 0 {
        parts.push(format!("{} can be run as programs", offered.executables));
    }
    if offered.folders > 0 {
        parts.push(count(offered.folders, "empty folder"));
    }
    if offered.lost > 0 {
        parts.push(format!("{} of the sharer's cannot come along", count(offered.lost, "thing")));
    }
    if offered.resumed > 0 {
        parts.push(format!("{} are here already", Size(offered.resumed)));
    }
    format!("\n    {}\n    {}\n", offered.name, parts.join("; "))
}

/// The lines for a terminal of this width.
pub(super) fn panel(status: &ReceiveStatus, width: usize) -> Vec<String> {
    // Room stays for the ^C that a terminal writes at the cursor.
    let width = width.saturating_sub(3).max(20);
    vec![
        cut(&status.name.to_string(), width),
        gauge(status.has, status.size, width.min(GAUGE_MAX)),
        join(figures(status), width),
    ]
}

/// In order of importance: a narrow terminal shows the first.
fn figures(status: &ReceiveStatus) -> Vec<String> {
    if status.complete {
        let mut figures = vec!["complete".to_owned(), format!("{} up", Rate(status.rate_up))];
        figures.push(count(status.peers, "peer"));
        figures.push(format!("{} given", Size(status.sent)));
        return figures;
    }
    let mut figures = vec![percent_of(status.has, status.size), format!("{} down", Rate(status.rate_down))];
    if status.sent > 0 {
        figures.push(format!("{} up", Rate(status.rate_up)));
    }
    figures.push(count(status.peers, "peer"));
    figures.extend(left(status).map(|left| format!("{} left", Span(left))));
    if status.sharer_hashed < status.size {
        figures.push(format!("sharer has hashed {}", percent_of(status.sharer_hashed, status.size)));
    }
    figures.push(Size(status.size).to_string());
    figures
}

/// Time until everything is here, at the rate of the last seconds.
fn left(status: &ReceiveStatus) -> Option<Duration> {
    let missing = status.size.saturating_sub(status.has);
    (status.rate_down > 0 && missing > 0).then(|| Duration::from_secs(missing.div_ceil(status.rate_down)))
}

/// One plain sentence.
pub(super) fn sentence(status: &ReceiveStatus) -> String {
    format!("{}: {}", status.name, figures(status).join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::DisplaySafe;

    fn status() -> ReceiveStatus {
        ReceiveStatus {
            name: DisplaySafe::new("holiday"),
            size: 1000 << 20,
            offered: 336 << 20,
            sharer_hashed: 500 << 20,
            has: 250 << 20,
            rate_down: 10 << 20,
            rate_up: 0,
            received: 250 << 20,
            sent: 0,
            peers: 2,
            others_incomplete: 1,
            complete: false,
        }
    }

    #[test]
    fn the_panel_says_how_much_is_here_and_how_long_it_takes() {
        let expected =
            ["holiday", "##########..............................", "25.0 %  10.0 MiB/s down  2 peers"];
        assert_eq!(panel(&status(), 43), expected);
        let wide = panel(&status(), 120);
        assert_eq!(
            wide[2],
            "25.0 %  10.0 MiB/s down  2 peers  1 min 15 s left  sharer has hashed 50.0 %  1000.0 MiB"
        );
        let complete = ReceiveStatus { complete: true, sent: 5 << 20, rate_up: 1 << 20, ..status() };
        assert_eq!(sentence(&complete), "holiday: complete, 1.0 MiB/s up, 2 peers, 5.0 MiB given");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = ReceiveStatus { name: DisplaySafe::new("long ".repeat(60)), ..status() };
        for width in [1usize, 20, 40, 80, 300] {
            let fits = |line: &String| console::measure_text_width(line) <= width.saturating_sub(3).max(20);
            assert!(panel(&long, width).iter().all(fits));
        }
    }

    #[test]
    fn an_offer_says_what_there_is_to_know_before_anything_is_written() {
        let offered = Offered {
            name: DisplaySafe::new("holiday\u{1b}[2J"),
            path: "/tmp/holiday".into(),
            size: 3 << 30,
            files: 1204,
            executables: 2,
            folders: 0,
            lost: 1,
            resumed: 0,
        };
        let text = offer(&offered);
        assert!(
            text.contains("1204 files, 3.0 GiB; 2 can be run as programs; 1 thing of the sharer's cannot"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "a stranger's name moves no cursor");
    }
}

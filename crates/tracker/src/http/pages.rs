//! Pages for people and programs that watch the tracker: plain HTML that needs no script, and numbers for Prometheus.
//!
//! Invariant: nothing that a visitor wrote is shown.

use crate::access::{Access, Admission};
use crate::server::Figures;
use crate::tally::Tallies;
use std::time::Duration;

/// What a person sees who follows the tracker's address.
pub(super) fn status(tallies: &Tallies, access: &Admission, interval: Duration) -> String {
    let Figures { announces, scrapes, swarms, peers } = tallies.figures();
    let mode = match &access.access {
        Access::Open => "every torrent",
        Access::Allow(_) => "listed torrents",
        Access::Deny(_) => "every torrent but listed ones",
    };
    let address = match access.is_private() {
        false => "Its announce address is this page's, with <code>/announce</code> behind it.",
        true => "It is private: its members have announce addresses of their own.",
    };
    let minutes = interval.as_secs().div_ceil(60);
    format!(
        "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">
<title>BitTorrent tracker</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}}td{{padding:0 1rem 0 0}}td+td{{text-align:right}}
@media(prefers-color-scheme:dark){{body{{background:#111;color:#eee}}}}</style></head>
<body><h1>A BitTorrent tracker</h1>
<p>It introduces peers to each other, and holds no files. It serves {mode}; peers come again every {minutes} min.
{address}</p>
<table>
<tr><td>Peers now</td><td>{peers}</td></tr>
<tr><td>Torrents now</td><td>{swarms}</td></tr>
<tr><td>Announces answered</td><td>{announces}</td></tr>
<tr><td>Torrents told of in scrapes</td><td>{scrapes}</td></tr>
</table></body></html>
"
    )
}

/// What Prometheus reads.
pub(super) fn metrics(tallies: &Tallies) -> String {
    let mut out = String::new();
    tallies.metrics(&mut out);
    out
}

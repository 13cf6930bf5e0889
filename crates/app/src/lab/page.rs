//! A report as a page: one file, readable without a script, without a network, on light and on dark screens, and on paper.

use super::svg::{self, escaped};
use super::text::{holds, is_numeric};
use sim::lab::{Ask, Experiment, Report, Table, Verdict};
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1a1a1a;--faint:#666;--rule:#ddd;--card:#f6f6f6}\
@media (prefers-color-scheme:dark){:root{--paper:#161616;--ink:#e8e8e8;--faint:#a0a0a0;--rule:#3a3a3a;--card:#202020}}\
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:780px;margin:0 auto;padding:24px 20px 48px}\
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 .6rem}h2{font-size:1.15rem;margin:2rem 0 .5rem}\
.faint{color:var(--faint)}figure{margin:1.6rem 0}figcaption{font-weight:600;margin-bottom:.3rem}\
svg{display:block;width:100%;height:auto}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .7rem;border-bottom:1px solid var(--rule);text-align:left;vertical-align:top}\
th{font-weight:600}.n{text-align:right;white-space:nowrap}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:0}dt{color:var(--faint)}dd{margin:0}\
pre{background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:.7rem .9rem;overflow-x:auto}\
.verdicts{list-style:none;padding:0;margin:0}.verdicts li{padding:.5rem 0;border-bottom:1px solid var(--rule)}\
.sign{font-weight:600;margin-right:.4rem}\n";

/// The page of a report. The same report gives the same bytes.
pub(super) fn page(experiment: &Experiment, ask: &Ask, report: &Report) -> String {
    let (name, title) = (escaped(experiment.name), escaped(experiment.title));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{name}: {title}</title>\n\
         <style>\n{STYLE}{}</style>\n</head>\n<body>\n<main>\n<p class=\"faint\">Gannet's lab: {name}</p>\n<h1>{title}</h1>\n",
        svg::STYLE
    );
    if !report.verdicts.is_empty() {
        page += "<h2>What was expected, and what was found</h2>\n<ul class=\"verdicts\">\n";
        report.verdicts.iter().for_each(|found| page += &verdict(found));
        page += "</ul>\n";
    }
    for (number, chart) in report.charts.iter().enumerate() {
        let title = escaped(&chart.title);
        let drawn = svg::inline(chart, &format!("c{number}"));
        let _ = write!(page, "<figure>\n<figcaption>{title}</figcaption>\n{drawn}</figure>\n");
    }
    if !report.charts.is_empty() {
        page += &caption(ask);
    }
    report.tables.iter().for_each(|shown| page += &table(shown));
    page += "<h2>The setting</h2>\n<dl>\n";
    for (name, value) in &report.setting {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
    }
    let _ = write!(
        page,
        "</dl>\n<h2>The command that repeats it</h2>\n<pre>{}</pre>\n\
         <p class=\"faint\">Gannet {}. The same command finds the same figures on every machine and with any number of threads.</p>\n\
         </main>\n</body>\n</html>\n",
        escaped(&report.command),
        env!("CARGO_PKG_VERSION")
    );
    page
}

/// How charts are read.
fn caption(ask: &Ask) -> String {
    let medians = match ask.seeds {
        1 => "Figures are those of one seed".to_owned(),
        seeds => {
            format!("Figures are medians of {seeds} seeds, thin lines go from the least to the greatest")
        }
    };
    format!(
        "<p class=\"faint\">{medians}. Solid with marks, or bars: measured. Dashed: what theory says. Dotted: a bound. \
         The figures stand in the tables below.</p>\n"
    )
}

fn verdict(verdict: &Verdict) -> String {
    let sign = match verdict.holds {
        Some(true) => "\u{2713}",
        Some(false) => "\u{2717}",
        None => "\u{2013}",
    };
    format!(
        "<li><span class=\"sign\">{sign} {}</span> {}: {}.<br>Found {}. <span class=\"faint\">({})</span></li>\n",
        holds(verdict),
        escaped(verdict.bound.id),
        escaped(verdict.bound.says),
        escaped(&verdict.found),
        escaped(verdict.bound.source)
    )
}

fn table(table: &Table) -> String {
    let class = |column: usize| if is_numeric(table, column) { " class=\"n\"" } else { "" };
    let row = |cells: &mut dyn Iterator<Item = &str>, tag: &str| {
        let cells = cells
            .enumerate()
            .map(|(column, cell)| format!("<{tag}{}>{}</{tag}>", class(column), escaped(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let mut text = format!("<h2>{}</h2>\n<div class=\"wide\"><table>\n<thead>\n", escaped(&table.title));
    text += &row(&mut table.heads.iter().copied(), "th");
    text += "</thead>\n<tbody>\n";
    table.rows.iter().for_each(|cells| text += &row(&mut cells.iter().map(String::as_str), "td"));
    text + "</tbody>\n</table></div>\n"
}

//! A report for people: tables that stand in columns on a terminal and are Markdown at the same time, so that they can be put on a page
//! as they are.

use super::bench::Done;
use super::plan::Plan;
use crate::quantity::Span;
use crate::words::count;
use sim::lab::{Experiment, Report, Table, Verdict};
use std::fmt::Write as _;

/// All experiments, with how long they take.
pub(super) fn list(plans: &[(&Experiment, Option<Plan>)], threads: usize) -> String {
    let widest = plans.iter().map(|(experiment, _)| experiment.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (experiment, plan) in plans {
        let takes = plan.map_or_else(|| "?".into(), |plan| takes(&plan, threads));
        let _ = writeln!(text, "{:widest$}  {takes:>10}  {}", experiment.name, experiment.title);
    }
    let on = count(threads as u64, "thread");
    text + &format!("\nTimes are about those of a slow machine on {on}. Run one: gannet lab run NAME\n")
}

/// How long a plan takes, in words.
pub(super) fn takes(plan: &Plan, threads: usize) -> String {
    let takes = plan.takes(threads);
    match takes.as_secs() {
        0 => "1 s".into(),
        _ => Span(takes).to_string(),
    }
}

/// A report.
pub(super) fn report(experiment: &Experiment, report: &Report) -> String {
    let mut text = format!("## {}: {}\n\n", experiment.name, experiment.title);
    for (name, value) in &report.setting {
        let _ = writeln!(text, "* {name}: {value}");
    }
    for shown in &report.tables {
        let _ = write!(text, "\n{}\n\n{}", shown.title, table(shown));
    }
    if !report.verdicts.is_empty() {
        text.push('\n');
    }
    for verdict in &report.verdicts {
        let Verdict { bound, found, .. } = verdict;
        let _ = writeln!(
            text,
            "* {}: {}. Found {found}: {}. ({})",
            bound.id,
            bound.says,
            holds(verdict),
            bound.source
        );
    }
    text + &format!("\n`{}`\n", report.command)
}

/// Whether a bound holds, in words.
pub(super) fn holds(verdict: &Verdict) -> &'static str {
    match verdict.holds {
        Some(true) => "holds",
        Some(false) => "does not hold",
        None => "nothing is expected of this setting",
    }
}

/// How much work it was.
pub(super) fn work(done: &Done, threads: usize) -> String {
    let seconds = done.took.as_secs_f64();
    let rate = done.events as f64 / seconds.max(0.001);
    let on = count(threads as u64, "thread");
    format!(
        "{} events in {seconds:.1} s on {on}: {} events/s",
        thousands(done.events),
        thousands(rate as u64)
    )
}

/// A number that can be read: 1,234,567.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether a cell is a number, and stands to the right.
pub(super) fn is_number(cell: &str) -> bool {
    cell.starts_with(|c: char| c.is_ascii_digit()) || matches!(cell, "-" | "never")
}

/// Whether all cells of a column are numbers.
pub(super) fn is_numeric(table: &Table, column: usize) -> bool {
    let cells = || table.rows.iter().filter_map(|row| row.get(column));
    cells().next().is_some() && cells().all(|cell| is_number(cell))
}

fn table(table: &Table) -> String {
    let width = |cell: &str| console::measure_text_width(cell);
    let widths: Vec<usize> = (0..table.heads.len())
        .map(|column| {
            let cells = table.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell));
            cells.chain([width(table.heads[column]), 3]).max().unwrap_or(0)
        })
        .collect();
    let right: Vec<bool> = (0..table.heads.len()).map(|column| is_numeric(table, column)).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(widths.iter().zip(&right)).map(|(cell, (&wide, &right))| {
            let pad = " ".repeat(wide - width(cell));
            if right { format!(" {pad}{cell} |") } else { format!(" {cell}{pad} |") }
        });
        format!("|{}\n", cells.collect::<String>())
    };
    let mut text = line(&mut table.heads.iter().copied());
    let rule = widths.iter().zip(&right).map(|(&wide, &right)| {
        let dashes = "-".repeat(wide + 1);
        if right { format!("{dashes}:|") } else { format!("{dashes}-|") }
    });
    text += &format!("|{}\n", rule.collect::<String>());
    table.rows.iter().for_each(|row| text += &line(&mut row.iter().map(String::as_str)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_stands_in_columns_and_is_markdown() {
        let rows = [["as shipped", "5.0 s"], ["2 slots", "12.5 s"], ["none", "never"]];
        let rows = rows.iter().map(|row| row.map(String::from).to_vec()).collect();
        let shown = table(&Table { title: String::new(), heads: vec!["rules", "last, ‰"], rows });
        let expected = "\
            | rules      | last, ‰ |\n\
            |------------|--------:|\n\
            | as shipped |   5.0 s |\n\
            | 2 slots    |  12.5 s |\n\
            | none       |   never |\n";
        assert_eq!(shown, expected);
    }

    #[test]
    fn large_numbers_are_divided_where_they_are_read() {
        let shown = [0, 999, 1000, 1_234_567].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }
}

//! Reports and the list of experiments as JSON says them (docs/json.md). Thousandths become numbers of the axis's unit.

use super::bench::Done;
use super::plan::Plan;
use crate::failure::Failure;
use serde::Serialize;
use sim::lab::chart::{Axis, Chart, Kind, NEVER, Point, Scale, Series};
use sim::lab::{Ask, Experiment, Table, Verdict};

/// Version of the schema.
const V: u32 = 1;

#[derive(Serialize)]
struct ListedLine<'a> {
    v: u32,
    r#type: &'static str,
    experiment: &'a str,
    asks: &'a str,
    expected: Vec<BoundRow<'a>>,
    runs: Option<usize>,
    threads: usize,
    estimate: Option<u64>,
}

#[derive(Serialize)]
struct BoundRow<'a> {
    id: &'a str,
    source: &'a str,
    says: &'a str,
}

#[derive(Serialize)]
struct ReportLine<'a> {
    v: u32,
    r#type: &'static str,
    experiment: &'a str,
    asks: &'a str,
    peers: Option<u32>,
    size: Option<u64>,
    seed: u64,
    seeds: u32,
    setting: Vec<SettingRow<'a>>,
    tables: Vec<TableRow<'a>>,
    charts: Vec<ChartRow<'a>>,
    verdicts: Vec<VerdictRow<'a>>,
    findings: &'a [String],
    command: &'a str,
    work: Work,
}

/// What it took: the only part that another run of the same command says otherwise.
#[derive(Serialize)]
struct Work {
    events: u64,
    threads: usize,
    millis: u64,
}

#[derive(Serialize)]
struct SettingRow<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct TableRow<'a> {
    title: &'a str,
    heads: &'a [&'static str],
    rows: &'a [Vec<String>],
}

#[derive(Serialize)]
struct VerdictRow<'a> {
    #[serde(flatten)]
    bound: BoundRow<'a>,
    found: &'a str,
    holds: Option<bool>,
}

#[derive(Serialize)]
struct ChartRow<'a> {
    title: &'a str,
    x: AxisRow<'a>,
    y: AxisRow<'a>,
    series: Vec<SeriesRow<'a>>,
}

#[derive(Serialize)]
struct AxisRow<'a> {
    name: &'a str,
    unit: &'a str,
    scale: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<&'a [String]>,
}

#[derive(Serialize)]
struct SeriesRow<'a> {
    name: &'a str,
    kind: &'static str,
    points: Vec<PointRow>,
}

#[derive(Serialize)]
struct PointRow {
    x: f64,
    y: f64,
    least: f64,
    most: Option<f64>,
}

/// One line for each experiment.
pub(super) fn list(plans: &[(&Experiment, Option<Plan>)], threads: usize) -> Result<String, Failure> {
    let lines = plans.iter().map(|(experiment, plan)| {
        line(&ListedLine {
            v: V,
            r#type: "experiment",
            experiment: experiment.name,
            asks: experiment.title,
            expected: experiment.bounds.iter().map(BoundRow::of).collect(),
            runs: plan.map(|plan| plan.runs),
            threads,
            estimate: plan.map(|plan| plan.takes(threads).as_secs()),
        })
    });
    lines.collect()
}

/// One line with a report.
pub(super) fn report(
    experiment: &Experiment,
    ask: &Ask,
    done: &Done,
    threads: usize,
) -> Result<String, Failure> {
    let report = &done.report;
    line(&ReportLine {
        v: V,
        r#type: "report",
        experiment: experiment.name,
        asks: experiment.title,
        peers: ask.peers,
        size: ask.size,
        seed: ask.seed,
        seeds: ask.seeds,
        setting: report.setting.iter().map(|(name, value)| SettingRow { name, value }).collect(),
        tables: report.tables.iter().map(TableRow::of).collect(),
        charts: report.charts.iter().map(ChartRow::of).collect(),
        verdicts: report.verdicts.iter().map(VerdictRow::of).collect(),
        findings: &done.findings,
        command: &report.command,
        work: Work {
            events: done.events,
            threads,
            millis: u64::try_from(done.took.as_millis()).unwrap_or(u64::MAX),
        },
    })
}

fn line(of: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(of).map(|line| line + "\n").map_err(Failure::plain)
}

impl<'a> BoundRow<'a> {
    fn of(bound: &'a sim::lab::Bound) -> BoundRow<'a> {
        BoundRow { id: bound.id, source: bound.source, says: bound.says }
    }
}

impl<'a> VerdictRow<'a> {
    fn of(verdict: &'a Verdict) -> VerdictRow<'a> {
        VerdictRow { bound: BoundRow::of(verdict.bound), found: &verdict.found, holds: verdict.holds }
    }
}

impl<'a> TableRow<'a> {
    fn of(table: &'a Table) -> TableRow<'a> {
        TableRow { title: &table.title, heads: &table.heads, rows: &table.rows }
    }
}

impl<'a> ChartRow<'a> {
    fn of(chart: &'a Chart) -> ChartRow<'a> {
        let names = matches!(chart.x.scale, Scale::Names(_));
        ChartRow {
            title: &chart.title,
            x: AxisRow::of(&chart.x),
            y: AxisRow::of(&chart.y),
            series: chart.series.iter().map(|series| SeriesRow::of(series, names)).collect(),
        }
    }
}

impl<'a> AxisRow<'a> {
    fn of(axis: &'a Axis) -> AxisRow<'a> {
        let (scale, names) = match &axis.scale {
            Scale::Linear => ("linear", None),
            Scale::Log => ("log", None),
            Scale::Names(names) => ("names", Some(names.as_slice())),
        };
        AxisRow { name: axis.name, unit: axis.unit, scale, names }
    }
}

impl<'a> SeriesRow<'a> {
    fn of(series: &'a Series, names: bool) -> SeriesRow<'a> {
        let kind = match series.kind {
            Kind::Measured => "measured",
            Kind::Theory => "theory",
            Kind::Bound => "bound",
        };
        let points = series.points.iter().map(|point| PointRow::of(point, names)).collect();
        SeriesRow { name: &series.name, kind, points }
    }
}

impl PointRow {
    fn of(point: &Point, names: bool) -> PointRow {
        let whole = |thousandths: u64| thousandths as f64 / 1000.0;
        PointRow {
            x: if names { point.x as f64 } else { whole(point.x) },
            y: whole(point.y),
            least: whole(point.least),
            most: (point.most < NEVER).then(|| whole(point.most)),
        }
    }
}

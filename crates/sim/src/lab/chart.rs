//! Pictures of a report, as data: what was measured beside what theory says. Who draws them knows nothing of experiments.
//!
//! Whole numbers in thousandths of an axis's unit, so that a report is the same on every machine. A point of several seeds is their
//! median, with the least and the greatest of them.

use crate::figures::{Figures, PeerRow};
use core::time::Duration;

/// What never came, where an amount is wanted.
pub const NEVER: u64 = u64::MAX;

/// Points of one curve at most: more cannot be told apart in a picture.
const CURVE_POINTS_MAX: usize = 100;

/// Curves over one pair of axes, or bars beside names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What goes on: a number of people, an uplink, time; or names, and then there are bars.
    pub x: Axis,
    /// What is found.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// One direction of a chart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Axis {
    /// What is told along it.
    pub name: &'static str,
    /// In what: "s", "Mbit/s"; nothing for counts and names.
    pub unit: &'static str,
    /// How it is divided.
    pub scale: Scale,
}

/// How an axis is divided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scale {
    /// From zero, evenly.
    Linear,
    /// By factors; what is zero is not on it.
    Log,
    /// One place for each name.
    Names(Vec<String>),
}

/// One curve, or one bar beside each name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// Where it is from.
    pub kind: Kind,
    /// In the order of x.
    pub points: Vec<Point>,
}

/// Where a series is from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Runs.
    Measured,
    /// A formula that says what should be found.
    Theory,
    /// What nobody can be better than, or should be worse than.
    Bound,
}

/// One place of a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point {
    /// Thousandths; on an axis of names, which of them.
    pub x: u64,
    /// Thousandths; the median where there are several.
    pub y: u64,
    /// The least of them.
    pub least: u64,
    /// The greatest of them; may be [`NEVER`].
    pub most: u64,
}

impl Chart {
    /// A chart without curves yet.
    pub fn curves(title: impl Into<String>, x: Axis, y: Axis) -> Chart {
        Chart { title: title.into(), x, y, series: Vec::new() }
    }

    /// A chart without bars yet, for these names.
    pub fn bars<N: Into<String>>(
        title: impl Into<String>,
        names: impl IntoIterator<Item = N>,
        y: Axis,
    ) -> Chart {
        let names = names.into_iter().map(Into::into).collect();
        Chart::curves(title, Axis { name: "", unit: "", scale: Scale::Names(names) }, y)
    }

    /// With what runs came to.
    #[must_use]
    pub fn measured<P: Into<Option<Point>>>(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = P>,
    ) -> Chart {
        self.series(name, Kind::Measured, points)
    }

    /// With what a formula says.
    #[must_use]
    pub fn theory<P: Into<Option<Point>>>(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = P>,
    ) -> Chart {
        self.series(name, Kind::Theory, points)
    }

    /// With what nobody can be better than, or should be worse than.
    #[must_use]
    pub fn bound<P: Into<Option<Point>>>(
        self,
        name: impl Into<String>,
        points: impl IntoIterator<Item = P>,
    ) -> Chart {
        self.series(name, Kind::Bound, points)
    }

    fn series<P: Into<Option<Point>>>(
        mut self,
        name: impl Into<String>,
        kind: Kind,
        points: impl IntoIterator<Item = P>,
    ) -> Chart {
        let points = points.into_iter().filter_map(Into::into).collect();
        self.series.push(Series { name: name.into(), kind, points });
        self
    }
}

impl Axis {
    /// Evenly divided.
    pub const fn linear(name: &'static str, unit: &'static str) -> Axis {
        Axis { name, unit, scale: Scale::Linear }
    }

    /// Divided by factors.
    pub const fn log(name: &'static str, unit: &'static str) -> Axis {
        Axis { name, unit, scale: Scale::Log }
    }
}

impl Point {
    /// One value, both in thousandths.
    pub const fn new(x: u64, y: u64) -> Point {
        Point { x, y, least: y, most: y }
    }

    /// What several seeds came to, in thousandths; nothing if most never came to anything ([`NEVER`]).
    pub fn of(x: u64, values: impl IntoIterator<Item = u64>) -> Option<Point> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let y = *values.get(values.len().checked_sub(1)? / 2)?;
        (y < NEVER).then(|| Point { x, y, least: values[0], most: values[values.len() - 1] })
    }
}

/// Thousandths of a second, or [`NEVER`].
pub fn millis(span: Option<Duration>) -> u64 {
    span.map_or(NEVER, |span| u64::try_from(span.as_millis()).unwrap_or(NEVER))
}

/// How many of those who want it have it, after so many seconds since they came.
pub(super) fn done_by(figures: &Figures) -> Vec<Point> {
    let mut spans: Vec<u64> =
        figures.wanting().filter_map(PeerRow::took).map(|took| millis(Some(took))).collect();
    spans.sort_unstable();
    let step = spans.len().div_ceil(CURVE_POINTS_MAX).max(1);
    let last = spans.len();
    let shown = (1..).zip(spans).filter(|&(count, _)| count == 1 || count == last || count % step == 0);
    shown.map(|(count, span)| Point::new(span, count as u64 * 1000)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_the_middle_one_of_what_seeds_came_to_between_the_least_and_the_greatest() {
        assert_eq!(Point::of(5, [30, 10, 20]), Some(Point { x: 5, y: 20, least: 10, most: 30 }));
        assert_eq!(Point::of(5, [7]), Some(Point::new(5, 7)));
        // One of three never came to an end: the middle one did.
        assert_eq!(Point::of(5, [NEVER, 10, 20]), Some(Point { x: 5, y: 20, least: 10, most: NEVER }));
        assert_eq!((Point::of(5, [NEVER, NEVER, 20]), Point::of(5, [])), (None, None));
    }

    #[test]
    fn what_never_came_is_left_out_of_a_curve() {
        let axis = || Axis::linear("people", "");
        let chart = Chart::curves("who", axis(), axis())
            .measured("found", [Point::of(1, [NEVER]), Point::of(2, [3])])
            .theory("said", [Point::new(1, 2)]);
        let lens: Vec<usize> = chart.series.iter().map(|series| series.points.len()).collect();
        assert_eq!(lens, [1, 1]);
    }
}

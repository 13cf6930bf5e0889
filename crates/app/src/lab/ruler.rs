//! Axes: from where to where they go, which places are named, and what stands beside them. Pure.

use super::text::thousands;
use sim::lab::chart::{Axis, Scale};

/// Named places that are wanted on an evenly divided axis.
const TICKS: f64 = 5.0;

/// Seconds that people have names for.
const TIMES: [f64; 19] = [
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
    43_200.0, 86_400.0, 172_800.0, 432_000.0,
];

/// And those that stand on an axis of factors: less than ten and more than three times apart.
const TIMES_BY_FACTORS: [f64; 10] =
    [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 36_000.0, 172_800.0, 864_000.0];

/// An axis with its places.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Ruler {
    log: bool,
    low: f64,
    high: f64,
    unit: &'static str,
    /// Places that are named.
    pub(super) ticks: Vec<f64>,
}

impl Ruler {
    /// An axis on which all these values have a place; nothing if there are none.
    pub(super) fn of(axis: &Axis, values: impl Iterator<Item = f64>) -> Option<Ruler> {
        let log = axis.scale == Scale::Log;
        let values = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (least, most) =
            values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        if !least.is_finite() {
            return None;
        }
        let ticks = if log { by_factors(axis.unit, least, most) } else { evenly(axis.unit, most) };
        let (first, last) = (*ticks.first()?, *ticks.last()?);
        let (low, high) = if log { (first.min(least), last.max(most)) } else { (0.0, last) };
        Some(Ruler { log, low, high, unit: axis.unit, ticks })
    }

    /// Where a value stands, from 0 to 1; what is not on the axis stands at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = match self.log {
            false => (value - self.low) / (self.high - self.low),
            true if value <= 0.0 => 0.0,
            true => (value / self.low).ln() / (self.high / self.low).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// A place's name.
    pub(super) fn name(&self, tick: f64) -> String {
        amount(tick, self.unit)
    }
}

/// An amount with its unit, as people read it: spans in the unit that fits, everything else in its own.
pub(super) fn amount(value: f64, unit: &str) -> String {
    let text = |value: f64, unit: &str| match unit {
        "" => number(value),
        unit => format!("{} {unit}", number(value)),
    };
    match unit {
        "s" if value >= 172_800.0 => text(value / 86_400.0, "d"),
        "s" if value >= 3_600.0 => text(value / 3_600.0, "h"),
        "s" if value >= 120.0 || value == 60.0 => text(value / 60.0, "min"),
        unit => text(value, unit),
    }
}

/// Three digits that tell something, no more.
fn number(value: f64) -> String {
    let digits = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    match text.split_once('.') {
        Some(_) => text.to_owned(),
        None => text.parse().map_or_else(|_| text.to_owned(), thousands),
    }
}

/// From zero in equal steps that people like, to the first that is no less than the most.
fn evenly(unit: &str, most: f64) -> Vec<f64> {
    if most <= 0.0 {
        return vec![0.0, 1.0];
    }
    let wanted = most / TICKS;
    let usual = || {
        let decade = 10_f64.powf(wanted.log10().floor());
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|times| times * decade).find(|step| *step >= wanted * 0.999)
    };
    let time =
        TIMES.into_iter().find(|step| *step >= wanted * 0.999).filter(|_| unit == "s" && wanted >= 1.0);
    let step = time.or_else(usual).unwrap_or(most);
    let count = (most / step - 1e-9).ceil().max(1.0) as u32;
    (0..=count).map(|tick| step * f64::from(tick)).collect()
}

/// Powers of ten, or times that have names, around all values; in between more of them where there are few.
fn by_factors(unit: &str, least: f64, most: f64) -> Vec<f64> {
    let decades = (-9..=15).map(|power| 10_f64.powi(power));
    let all: Vec<f64> = if unit == "s" { TIMES_BY_FACTORS.to_vec() } else { decades.collect() };
    let within = |all: &[f64]| -> Vec<f64> {
        let from = all.iter().rposition(|tick| *tick <= least * 1.000_001).unwrap_or(0);
        let to = all.iter().position(|tick| *tick >= most * 0.999_999).unwrap_or(all.len() - 1).max(from);
        all[from..=to].to_vec()
    };
    let few = within(&all);
    if few.len() > 3 {
        return few;
    }
    let more: Vec<f64> = match unit {
        "s" => [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].into_iter().chain(TIMES).collect(),
        _ => all.iter().flat_map(|decade| [1.0, 2.0, 5.0].map(|times| times * decade)).collect(),
    };
    let more = within(&more);
    match more.len() {
        // A single place is no axis.
        1 => vec![more[0], more[0] * 2.0],
        _ => more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(axis: &Axis, values: &[f64]) -> Vec<String> {
        let ruler = Ruler::of(axis, values.iter().copied()).unwrap();
        ruler.ticks.iter().map(|tick| ruler.name(*tick)).collect()
    }

    #[test]
    fn places_have_names_that_people_like() {
        let time = Axis::linear("time", "s");
        assert_eq!(names(&time, &[3.0, 39.5]), ["0 s", "10 s", "20 s", "30 s", "40 s"]);
        assert_eq!(names(&time, &[1009.0]), ["0 s", "5 min", "10 min", "15 min", "20 min"]);
        assert_eq!(names(&Axis::linear("copies", ""), &[1.1, 4.977]), ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(names(&Axis::linear("people", ""), &[0.0]), ["0", "1"]);
        assert_eq!(names(&Axis::log("people", ""), &[1.0, 10_000.0]), ["1", "10", "100", "1,000", "10,000"]);
        assert_eq!(
            names(&Axis::log("time", "s"), &[300.0, 320_000.0]),
            ["1 min", "10 min", "1 h", "10 h", "2 d", "10 d"]
        );
        assert_eq!(names(&Axis::log("uplinks", ""), &[1.0, 50.0]), ["1", "2", "5", "10", "20", "50"]);
    }

    #[test]
    fn values_stand_where_they_belong_and_none_beside_the_axis() {
        let even = Ruler::of(&Axis::linear("time", "s"), [10.0, 40.0].into_iter()).unwrap();
        assert_eq!([0.0, 10.0, 40.0, 400.0].map(|value| even.place(value)), [0.0, 0.25, 1.0, 1.0]);
        let factors = Ruler::of(&Axis::log("people", ""), [1.0, 10_000.0].into_iter()).unwrap();
        assert_eq!([0.0, 1.0, 100.0, 10_000.0].map(|value| factors.place(value)), [0.0, 0.0, 0.5, 1.0]);
        assert_eq!(Ruler::of(&Axis::log("people", ""), [0.0].into_iter()), None);
    }

    #[test]
    fn every_ruler_has_two_places_and_holds_all_values() {
        for axis in [Axis::linear("a", ""), Axis::linear("a", "s"), Axis::log("a", ""), Axis::log("a", "s")] {
            for power in -3..8 {
                for (least, most) in [(1.0, 1.0), (1.3, 9.9), (1.0, 250.0)] {
                    let scale = 10_f64.powi(power);
                    let values = [least * scale, most * scale];
                    let ruler = Ruler::of(&axis, values.into_iter()).unwrap();
                    assert!((2..=16).contains(&ruler.ticks.len()), "{values:?}: {ruler:?}");
                    assert!(
                        values.iter().all(|value| *value <= ruler.high && *value >= ruler.low),
                        "{ruler:?}"
                    );
                    assert!(ruler.ticks.iter().all(|tick| ruler.place(*tick).is_finite()), "{ruler:?}");
                }
            }
        }
    }
}

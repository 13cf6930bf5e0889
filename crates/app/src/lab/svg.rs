//! Charts as SVG, to stand in a page or alone. No script, no reference to anything outside, and nothing that colour alone tells:
//! curves have marks and dashes of their own, bars have patterns. Colours are those of Okabe and Ito, which all eyes tell apart.
//!
//! What is measured is a line with marks, what theory says is dashed, a bound is dotted. Thin lines go from the least to the greatest
//! of all seeds.

use super::ruler::{Ruler, amount};
use sim::lab::chart::{Axis, Chart, Kind, NEVER, Point, Scale, Series};
use std::fmt::Write as _;

const WIDTH: f64 = 720.0;

/// Height of the room in which curves are drawn.
const ROOM: f64 = 280.0;

/// Around it: what stands left of it, above it without the names of curves, below it, and right of it.
const LEFT: f64 = 76.0;
const ABOVE: f64 = 12.0;
const BELOW: f64 = 52.0;
const RIGHT: f64 = 24.0;

/// Height of a line of names of curves.
const NAME: f64 = 20.0;

/// Width of a letter, at most.
const LETTER: f64 = 7.0;

/// Bars: their height, and what is left between names.
const BAR: f64 = 14.0;
const BETWEEN: f64 = 14.0;

/// Left of bars there is this much room for their names at most, and right of them for the figures.
const NAMES_MAX: f64 = 250.0;
const FIGURES: f64 = 70.0;

/// Marks on one curve at most.
const MARKS_MAX: usize = 16;

/// Colours, marks and patterns there are; more series begin again.
const STYLES: usize = 6;

/// What charts need to be drawn as they are meant, on light and on dark paper.
pub(super) const STYLE: &str = "\
.chart{--paper:#fff;--ink:#1a1a1a;--faint:#767676;--grid:#e4e4e4}\
.chart .s0{--c:#0072b2}.chart .s1{--c:#d55e00}.chart .s2{--c:#009e73}\
.chart .s3{--c:#b0568f}.chart .s4{--c:#a86f00}.chart .s5{--c:#3a8fc0}\
.chart text{font:13px system-ui,sans-serif;fill:var(--ink)}.chart .faint{fill:var(--faint)}\
.chart .grid{stroke:var(--grid);stroke-width:1}.chart .axis{stroke:var(--faint);stroke-width:1}\
.chart .line{fill:none;stroke:var(--c);stroke-width:2}.chart .theory{stroke-dasharray:7 4}\
.chart .bound{stroke-dasharray:1.5 4;stroke-linecap:round;stroke-width:2.5}\
.chart .mark{fill:var(--c);stroke:var(--paper);stroke-width:1}\
.chart .span{stroke:var(--c);stroke-width:1.2}.chart .edge{fill:none;stroke:var(--c);stroke-width:1}\
.chart .wash{fill:var(--c)}.chart .hatch{stroke:var(--c);stroke-width:2}\
@media (prefers-color-scheme:dark){\
.chart{--paper:#161616;--ink:#e8e8e8;--faint:#9a9a9a;--grid:#333}\
.chart .s0{--c:#56b4e9}.chart .s1{--c:#e69f00}.chart .s2{--c:#1fbf92}\
.chart .s3{--c:#cc79a7}.chart .s4{--c:#f0e442}.chart .s5{--c:#6f9bff}}\n";

/// A chart for a page that has [`STYLE`]; `id` is not the same for two charts of a page.
pub(super) fn inline(chart: &Chart, id: &str) -> String {
    drawing(chart, id, "")
}

/// A chart as a file.
pub(super) fn alone(chart: &Chart) -> String {
    let paper = "<rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>\n";
    drawing(chart, "c", &format!("<style>\n{STYLE}</style>\n{paper}")).replacen(
        "<svg ",
        "<svg xmlns=\"http://www.w3.org/2000/svg\" ",
        1,
    )
}

/// Text as it stands in HTML and SVG.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn drawing(chart: &Chart, id: &str, first: &str) -> String {
    let drawn = match &chart.x.scale {
        Scale::Names(names) => bars(chart, names, id),
        Scale::Linear | Scale::Log => curves(chart),
    };
    let Drawn { height, body } = drawn.unwrap_or_else(nothing);
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{}\">\n{first}{body}</svg>\n",
        escaped(&described(chart))
    )
}

struct Drawn {
    height: f64,
    body: String,
}

fn nothing() -> Drawn {
    let body = format!("<text x=\"{:.0}\" y=\"30\">nothing came to an end</text>\n", LEFT);
    Drawn { height: 48.0, body }
}

/// A chart in words, for those who do not see it.
fn described(chart: &Chart) -> String {
    let names: Vec<&str> = chart.series.iter().map(|series| series.name.as_str()).collect();
    let over = if chart.x.name.is_empty() { String::new() } else { format!(" over {}", chart.x.name) };
    format!("{}: {}{over}, of {}", chart.title, chart.y.name, names.join(", "))
}

fn whole(thousandths: u64) -> f64 {
    thousandths as f64 / 1000.0
}

/// All values of a direction, with the spans between seeds where they are found.
fn heights(series: &[Series]) -> impl Iterator<Item = f64> {
    let points = series.iter().flat_map(|series| &series.points);
    points.flat_map(|point| [point.least, point.y, point.most]).filter(|value| *value < NEVER).map(whole)
}

/// Names of series in lines, each beside how it is drawn; and how high that is.
fn legend(
    series: &[Series],
    left: f64,
    sample: impl Fn(usize, &Series, f64, f64) -> String,
) -> (f64, String) {
    let (mut x, mut y, mut text) = (left, ABOVE + 8.0, String::new());
    for (number, one) in series.iter().enumerate() {
        let wide = 44.0 + one.name.chars().count() as f64 * LETTER;
        if x > left && x + wide > WIDTH - RIGHT {
            (x, y) = (left, y + NAME);
        }
        text += &sample(number, one, x, y);
        let _ =
            writeln!(text, "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 30.0, y + 4.0, escaped(&one.name));
        x += wide;
    }
    (y + 8.0, text)
}

/// Where a pair of values is drawn.
struct Paper {
    x: Ruler,
    y: Ruler,
    top: f64,
}

impl Paper {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.place(value)) * ROOM
    }

    /// Lines of both axes with their names.
    fn grid(&self, x: &Axis, y: &Axis) -> String {
        let mut text = String::new();
        let (bottom, right) = (self.top + ROOM, WIDTH - RIGHT);
        for tick in &self.y.ticks {
            let at = self.y(*tick);
            let _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                at + 4.0,
                self.y.name(*tick)
            );
        }
        for tick in &self.x.ticks {
            let at = self.x(*tick);
            let _ = writeln!(
                text,
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom:.1}\" y2=\"{:.1}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 5.0,
                bottom + 20.0,
                self.x.name(*tick)
            );
        }
        let middle = self.top + ROOM / 2.0;
        let _ = writeln!(
            text,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"faint\" transform=\"translate(14 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            bottom + 42.0,
            escaped(x.name),
            escaped(y.name)
        );
        text
    }
}

fn curves(chart: &Chart) -> Option<Drawn> {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let x = Ruler::of(&chart.x, points().map(|point| whole(point.x)))?;
    let y = Ruler::of(&chart.y, heights(&chart.series))?;
    let (legend_height, names) = legend(&chart.series, LEFT, |number, series, x, y| {
        let line = format!(
            "<line class=\"line {}\" x1=\"{x:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>",
            look(series),
            x + 24.0
        );
        let mark = if series.kind == Kind::Measured { mark(number, x + 12.0, y, "") } else { String::new() };
        format!("<g class=\"s{}\">{line}{mark}</g>\n", number % STYLES)
    });
    let paper = Paper { x, y, top: legend_height + ABOVE };
    let mut body = names + &paper.grid(&chart.x, &chart.y);
    for (number, series) in chart.series.iter().enumerate() {
        let _ =
            writeln!(body, "<g class=\"s{}\">{}</g>", number % STYLES, curve(chart, &paper, number, series));
    }
    Some(Drawn { height: paper.top + ROOM + BELOW, body })
}

fn look(series: &Series) -> &'static str {
    match series.kind {
        Kind::Measured => "measured",
        Kind::Theory => "theory",
        Kind::Bound => "bound",
    }
}

/// A curve with its marks, each of which says its figures to a pointer.
fn curve(chart: &Chart, paper: &Paper, number: usize, series: &Series) -> String {
    let place = |point: &Point| (paper.x(whole(point.x)), paper.y(whole(point.y)));
    let line: Vec<String> = series.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut text = format!("<polyline class=\"line {}\" points=\"{}\"/>", look(series), line.join(" "));
    if series.kind != Kind::Measured {
        return text;
    }
    let every = series.points.len().div_ceil(MARKS_MAX).max(1);
    for (place_in_line, point) in series.points.iter().enumerate() {
        let (x, y) = place(point);
        if point.least < point.most {
            let most = if point.most < NEVER { paper.y(whole(point.most)) } else { paper.top };
            let least = paper.y(whole(point.least));
            let _ = write!(
                text,
                "<line class=\"span\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{most:.1}\" y2=\"{least:.1}\"/>"
            );
        }
        if place_in_line % every == 0 || place_in_line + 1 == series.points.len() {
            let at = amount(whole(point.x), chart.x.unit);
            let said = format!("{}, {} {at}: {}", series.name, chart.x.name, figure(point, chart.y.unit));
            text += &mark(number, x, y, &said);
        }
    }
    text
}

/// What was found at a place, in words.
fn figure(point: &Point, unit: &str) -> String {
    let middle = amount(whole(point.y), unit);
    let most = if point.most < NEVER { amount(whole(point.most), unit) } else { "never".into() };
    match point.least == point.most {
        true => middle,
        false => format!("{middle} ({} to {most})", amount(whole(point.least), unit)),
    }
}

/// The mark of a series, with words for a pointer.
fn mark(number: usize, x: f64, y: f64, said: &str) -> String {
    let shape =
        |path: &str| format!("<path class=\"mark\" transform=\"translate({x:.1} {y:.1})\" d=\"{path}\">");
    let open = match number % STYLES {
        0 => shape("M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0z"),
        1 => shape("M-4.2 -4.2h8.4v8.4h-8.4z"),
        2 => shape("M0 -5.5L5.2 4.2H-5.2z"),
        3 => shape("M0 -5.8L5.8 0L0 5.8L-5.8 0z"),
        4 => shape("M0 5.5L5.2 -4.2H-5.2z"),
        _ => shape("M-1.8 -5.5h3.6v3.7h3.7v3.6h-3.7v3.7h-3.6v-3.7h-3.7v-3.6h3.7z"),
    };
    let title = if said.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(said)) };
    format!("{open}{title}</path>")
}

/// Bars beside names, a bar for each measured series; what theory says and bounds are upright lines across them.
fn bars(chart: &Chart, names: &[String], id: &str) -> Option<Drawn> {
    let ruler = Ruler::of(&chart.y, heights(&chart.series).chain([0.0]))?;
    heights(&chart.series).next()?;
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * LETTER + 16.0).min(NAMES_MAX);
    let across = |value: f64| left + ruler.place(value) * (WIDTH - left - FIGURES);
    let measured: Vec<usize> =
        (0..chart.series.len()).filter(|&number| chart.series[number].kind == Kind::Measured).collect();
    let group = measured.len().max(1) as f64 * BAR + BETWEEN;
    let (legend_height, legend) = legend(&chart.series, left, |number, series, x, y| {
        let class = number % STYLES;
        match series.kind {
            Kind::Measured => {
                format!("<g class=\"s{class}\">{}</g>\n", bar(id, number, (x + 4.0, y - 6.0), 20.0, 12.0))
            }
            Kind::Theory | Kind::Bound => format!(
                "<g class=\"s{class}\"><line class=\"line {}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/></g>\n",
                look(series),
                x + 14.0,
                x + 14.0,
                y - 8.0,
                y + 8.0
            ),
        }
    });
    let top = legend_height + ABOVE;
    let bottom = top + group * names.len() as f64;
    let mut body = patterns(id) + &legend;
    body += &ladder(&ruler, names, (left, top), group);
    for (number, series) in chart.series.iter().enumerate() {
        let _ = write!(body, "<g class=\"s{}\">", number % STYLES);
        for point in &series.points {
            let row = top + group * point.x as f64 + BETWEEN / 2.0;
            let x = across(whole(point.y));
            let Some(place) = measured.iter().position(|&other| other == number) else {
                let (from, to) = (row - 3.0, row + group - BETWEEN + 3.0);
                let _ = write!(
                    body,
                    "<line class=\"line {}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from:.1}\" y2=\"{to:.1}\"/>",
                    look(series)
                );
                continue;
            };
            let y = row + place as f64 * BAR;
            body += &bar(id, number, (left, y), x - left, BAR - 2.0);
            body += &beside(chart, series, point, y + BAR / 2.0 - 1.0, across);
        }
        body += "</g>\n";
    }
    let _ = writeln!(
        body,
        "<line class=\"axis\" x1=\"{left:.1}\" x2=\"{left:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
         <text class=\"faint\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        (left + WIDTH - FIGURES) / 2.0,
        bottom + 38.0,
        escaped(chart.y.name)
    );
    Some(Drawn { height: bottom + BELOW, body })
}

/// Upright lines with their names below, and names of bars left of them.
fn ladder(ruler: &Ruler, names: &[String], (left, top): (f64, f64), group: f64) -> String {
    let across = |value: f64| left + ruler.place(value) * (WIDTH - left - FIGURES);
    let (mut body, bottom) = (String::new(), top + group * names.len() as f64);
    for tick in &ruler.ticks {
        let at = across(*tick);
        let _ = writeln!(
            body,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            bottom + 18.0,
            ruler.name(*tick)
        );
    }
    for (place, name) in names.iter().enumerate() {
        let y = top + group * place as f64 + group / 2.0;
        let (x, y) = (left - 8.0, y + 4.0);
        let _ =
            writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escaped(name));
    }
    body
}

/// What stands at a bar's end: how far seeds are apart, and the figure.
fn beside(chart: &Chart, series: &Series, point: &Point, y: f64, across: impl Fn(f64) -> f64) -> String {
    let (mut text, mut end) = (String::new(), across(whole(point.y)));
    if point.least < point.most {
        let least = across(whole(point.least));
        let most = if point.most < NEVER { across(whole(point.most)) } else { WIDTH - FIGURES };
        let _ = write!(
            text,
            "<line class=\"span\" x1=\"{least:.1}\" x2=\"{most:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
        end = end.max(most);
    }
    let _ = write!(
        text,
        "<text x=\"{:.1}\" y=\"{:.1}\">{}<title>{}: {}</title></text>",
        end + 5.0,
        y + 4.5,
        amount(whole(point.y), chart.y.unit),
        escaped(&series.name),
        figure(point, chart.y.unit)
    );
    text
}

/// A bar with the pattern of its series.
fn bar(id: &str, number: usize, (x, y): (f64, f64), width: f64, height: f64) -> String {
    let style = number % STYLES;
    let width = width.max(0.5);
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"");
    match style {
        0 => format!("<rect class=\"wash\" {place}/>"),
        _ => format!("<rect fill=\"url(#{id}-{style})\" {place}/><rect class=\"edge\" {place}/>"),
    }
}

/// Patterns of bars: lines one way, the other way, upright, level, both.
fn patterns(id: &str) -> String {
    let paths = ["M-2 8L8 -2", "M-2 -2L8 8", "M3 0V6", "M0 3H6", "M-2 8L8 -2M-2 -2L8 8"];
    let pattern = |(number, path): (usize, &str)| {
        format!(
            "<pattern id=\"{id}-{number}\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" class=\"s{number}\">\
             <path class=\"hatch\" d=\"{path}\"/></pattern>"
        )
    };
    format!("<defs>{}</defs>\n", (1..).zip(paths).map(pattern).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x: Axis) -> Chart {
        let points = |times: u64| [1, 10, 100].map(|x| Point::of(x * 1000, [x * times, x * times * 2]));
        Chart::curves("Growth <of> \"all\"", x, Axis::log("time", "s"))
            .measured("a server", points(5000))
            .measured("a swarm", points(100))
            .theory("a line", points(6000))
            .bound("no less", points(50))
    }

    #[test]
    fn what_colour_tells_marks_dashes_and_patterns_tell_too() {
        let curves = inline(&chart(Axis::log("people", "")), "a");
        assert_eq!(curves.matches("<polyline class=\"line measured\"").count(), 2, "{curves}");
        assert_eq!(curves.matches("<polyline class=\"line theory\"").count(), 1);
        assert_eq!(curves.matches("<polyline class=\"line bound\"").count(), 1);
        let shapes: std::collections::BTreeSet<&str> =
            curves.split("d=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(shapes.len(), 2, "a mark for each measured curve: {shapes:?}");
        let time = || Axis::linear("time", "s");
        let bars = Chart::bars("Who", ["one", "two"], time())
            .measured("first", [Point::new(0, 5000), Point::new(1, 9000)])
            .measured("second", [Point::new(0, 4000)])
            .bound("no less", [Point::new(0, 1000)]);
        let bars = inline(&bars, "b");
        assert_eq!(bars.matches("class=\"wash\"").count(), 2 + 1, "and its name: {bars}");
        assert_eq!(bars.matches("url(#b-1)").count(), 1 + 1, "{bars}");
    }

    #[test]
    fn text_of_a_chart_stays_text_and_figures_are_said_to_pointers_and_readers() {
        let drawn = alone(&chart(Axis::log("people", "")));
        assert!(
            drawn.contains("aria-label=\"Growth &lt;of&gt; &quot;all&quot;: time over people, of a server,"),
            "{drawn}"
        );
        assert!(drawn.contains("<title>a server, people 10: 50 s (50 s to 100 s)</title>"), "{drawn}");
    }

    #[test]
    fn a_chart_of_nothing_says_so() {
        let none: [Option<Point>; 1] = [None];
        let time = || Axis::linear("time", "s");
        let empty = [Chart::curves("a", time(), time()), Chart::bars("a", ["x"], time())];
        for chart in empty {
            let drawn = inline(&chart.measured("never", none), "a");
            assert!(drawn.contains("nothing came to an end"), "{drawn}");
        }
    }

    #[test]
    fn every_number_in_a_drawing_is_one() {
        let drawn = inline(&chart(Axis::log("people", "")), "a");
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}

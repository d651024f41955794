//! Curves as drawings: one SVG for a curve, one panel for each metric, both axes logarithmic.
//!
//! Without a background and in middle tones, so that they are read on light and on dark pages. A dashed
//! line says what is allowed: flat from the least value, or in proportion up to the last one. What the
//! limit program needs for the same is drawn like the axes.

use std::fmt::Write as _;

use super::data::{Value, of};
use super::{Axis, Curve};
use crate::metric::Metric;
use crate::table::number;

const COLUMNS: usize = 3;
/// A panel, and the field within it.
const PANEL: (f64, f64) = (320.0, 250.0);
const FIELD: (f64, f64) = (240.0, 160.0);
const FIELD_AT: (f64, f64) = (58.0, 40.0);
const TOP: f64 = 28.0;
const INK: &str = "#808080";
const LINE: &str = "#2f81f7";
/// Nothing has no place on a logarithmic axis.
const DRAWN_MIN: f64 = 0.001;
/// On a longer axis only the decades have names.
const LABELLED_DECADES_MAX: f64 = 2.0;

/// The drawing of a curve.
#[must_use]
pub fn svg(curve: &Curve, values: &[&Value]) -> String {
    let columns = curve.metrics.len().min(COLUMNS);
    let lines = curve.metrics.len().div_ceil(COLUMNS);
    let width = PANEL.0 * columns as f64;
    let height = TOP + PANEL.1 * lines as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"{INK}\">\n\
         <title>{}</title>\n\
         <text x=\"8\" y=\"18\" font-size=\"13\">{}</text>\n",
        curve.about, curve.about
    );
    for (at, metric) in curve.metrics.iter().enumerate() {
        let x = PANEL.0 * (at % COLUMNS) as f64;
        let y = TOP + PANEL.1 * (at / COLUMNS) as f64;
        let _ = writeln!(text, "<g transform=\"translate({x} {y})\">");
        panel(&mut text, curve, *metric, values);
        text.push_str("</g>\n");
    }
    text.push_str("</svg>\n");
    text
}

fn panel(text: &mut String, curve: &Curve, metric: Metric, all: &[&Value]) {
    let [values, limits] = [false, true].map(|is_limit| of(all, metric, is_limit));
    let both = || values.iter().chain(&limits);
    let [Some(first), Some(last)] = [values.first(), values.last()] else {
        return;
    };
    let x = Scale::over(first.size as f64, last.size as f64, FIELD_AT.0, FIELD.0);
    let bottom = FIELD_AT.1 + FIELD.1;
    let drawn = |value: f64| value.max(DRAWN_MIN);
    let least = both().map(|value| drawn(value.cell.least));
    let most = both().map(|value| drawn(value.cell.most));
    let y = Scale::over(
        least.fold(f64::INFINITY, f64::min),
        most.fold(DRAWN_MIN, f64::max),
        bottom,
        -FIELD.1,
    );
    let right = FIELD_AT.0 + FIELD.0;
    let middle = FIELD_AT.0 + FIELD.0 / 2.0;
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>",
        FIELD_AT.1 - 14.0,
        metric.name()
    );
    let (unit, kilo) = match curve.axis {
        Axis::Bytes(what) => (format!("{what}, bytes"), true),
        Axis::Count(what) => (what.to_owned(), false),
    };
    let _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{unit}</text>",
        bottom + 32.0
    );
    for (value, is_named) in x.ticks() {
        let at = x.place(value);
        rule(text, [at, FIELD_AT.1, at, bottom], is_named);
        if is_named {
            let _ = writeln!(
                text,
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 15.0,
                short(value, kilo)
            );
        }
    }
    for (value, is_named) in y.ticks() {
        let at = y.place(value);
        rule(text, [FIELD_AT.0, at, right, at], is_named);
        if is_named {
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                FIELD_AT.0 - 6.0,
                at + 4.0,
                short(value, false)
            );
        }
    }
    let points: Vec<(f64, f64)> = values
        .iter()
        .map(|value| (value.size as f64, drawn(value.cell.least)))
        .collect();
    allowed(text, &x, &y, &points, curve.grows.contains(&metric));
    for (values, colour) in [(&limits, INK), (&values, LINE)] {
        let line: Vec<String> = values
            .iter()
            .map(|value| {
                let [at, least] = [x.place(value.size as f64), y.place(drawn(value.cell.least))];
                format!("{at:.1},{least:.1}")
            })
            .collect();
        if !line.is_empty() {
            let _ = writeln!(
                text,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                line.join(" ")
            );
        }
        for value in values {
            let at = x.place(value.size as f64);
            let [least, most] =
                [value.cell.least, value.cell.most].map(|cost| y.place(drawn(cost)));
            let fill = if value.cell.is_noisy { "none" } else { colour };
            let _ = writeln!(
                text,
                "<path d=\"M{at:.1} {least:.1}V{most:.1}\" stroke=\"{colour}\"/>\
                 <circle cx=\"{at:.1}\" cy=\"{least:.1}\" r=\"3\" fill=\"{fill}\" stroke=\"{colour}\">\
                 <title>{} {} at {}</title></circle>",
                value.subject,
                number(value.cell.least),
                value.size
            );
        }
    }
    let ends = [
        (first, points[0], "start"),
        (last, points[points.len() - 1], "end"),
    ];
    for (value, (size, least), anchor) in ends {
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{LINE}\">{}</text>",
            x.place(size),
            y.place(least) - 8.0,
            number(value.cell.least)
        );
    }
}

/// What the curve may do.
fn allowed(text: &mut String, x: &Scale, y: &Scale, points: &[(f64, f64)], grows: bool) {
    let (left, right) = (x.from, x.to);
    let [from, to] = if grows {
        let (size, value) = points[points.len() - 1];
        // From where it enters the field.
        let begin = (size * y.from / value).max(left);
        [(begin, value * begin / size), (size, value)]
    } else {
        let least = points
            .iter()
            .map(|point| point.1)
            .fold(f64::INFINITY, f64::min);
        [(left, least), (right, least)]
    };
    let _ = writeln!(
        text,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"{INK}\" stroke-dasharray=\"4 4\"/>",
        x.place(from.0),
        y.place(from.1),
        x.place(to.0),
        y.place(to.1)
    );
}

fn rule(text: &mut String, [x1, y1, x2, y2]: [f64; 4], is_strong: bool) {
    let opacity = if is_strong { 0.5 } else { 0.2 };
    let _ = writeln!(
        text,
        "<path d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\" stroke=\"{INK}\" stroke-opacity=\"{opacity}\"/>"
    );
}

/// A logarithmic axis from `from` to `to`, drawn from `at` on.
struct Scale {
    from: f64,
    to: f64,
    at: f64,
    length: f64,
}

impl Scale {
    /// Takes in both values, and a decade at least.
    fn over(least: f64, most: f64, at: f64, length: f64) -> Scale {
        let from = step_down(least * 1.001);
        let mut to = from * 10.0;
        while to < most * 0.999 {
            to = step_up(to);
        }
        Scale {
            from,
            to,
            at,
            length,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.at + self.length * (value / self.from).log10() / (self.to / self.from).log10()
    }

    /// Each 1, 2 and 5 of its decades, and whether it has a name.
    fn ticks(&self) -> Vec<(f64, bool)> {
        let is_few = (self.to / self.from).log10() <= LABELLED_DECADES_MAX;
        let mut ticks = Vec::new();
        let mut at = self.from;
        while at < self.to * 1.001 {
            ticks.push((at, is_few || digit(at) == 1.0));
            at = step_up(at);
        }
        ticks
    }
}

/// The largest of 1, 2 and 5 times a power of ten that is not above.
fn step_down(value: f64) -> f64 {
    let power = 10_f64.powf((value * 1.000_001).log10().floor());
    power * digit(value)
}

/// The next of them above one of them.
fn step_up(value: f64) -> f64 {
    if digit(value) == 2.0 {
        value * 2.5
    } else {
        value * 2.0
    }
}

/// Its first digit, as 1, 2 or 5.
fn digit(value: f64) -> f64 {
    let value = value * 1.000_001;
    let first = value / 10_f64.powf(value.log10().floor());
    match first {
        first if first >= 5.0 => 5.0,
        first if first >= 2.0 => 2.0,
        _ => 1.0,
    }
}

fn short(value: f64, is_bytes: bool) -> String {
    let units: &[(f64, &str)] = if is_bytes {
        &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB"), (1.0, "")]
    } else {
        &[(1e6, "M"), (1e3, "k"), (1.0, "")]
    };
    let (unit, name) = units
        .iter()
        .find(|(unit, _)| value >= unit * 0.999)
        .copied()
        .unwrap_or((1.0, ""));
    // Values have one digit that counts.
    let rounded = (value / unit * 1e6).round() / 1e6;
    format!("{rounded}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves::curve;
    use crate::table::Cell;

    #[test]
    fn axes_take_in_everything_and_name_their_decades() {
        let scale = Scale::over(1.0, 10_000.0, 0.0, 100.0);
        assert_eq!((scale.from, scale.place(100.0).round()), (1.0, 50.0));
        let named: Vec<String> = scale
            .ticks()
            .into_iter()
            .filter(|(_, is_named)| *is_named)
            .map(|(value, _)| short(value, true))
            .collect();
        assert_eq!(named, ["1", "10", "100", "1 kB", "10 kB"]);
        let narrow = Scale::over(0.031, 0.029, 0.0, -1.0);
        let values: Vec<f64> = narrow.ticks().into_iter().map(|tick| tick.0).collect();
        assert_eq!(values.len(), 4, "{values:?}");
        assert!((narrow.from - 0.02).abs() < 1e-9 && narrow.to >= 0.1);
    }

    #[test]
    fn each_metric_has_a_panel_with_its_points() {
        let curve = curve("connections").unwrap();
        let value = |metric: Metric, size, middle| Value {
            curve: curve.name.to_owned(),
            size,
            subject: "ottla".to_owned(),
            metric: metric.name().to_owned(),
            cell: Cell {
                least: middle,
                middle,
                most: middle * 1.1,
                runs: 3,
                is_noisy: false,
            },
            origin: String::new(),
        };
        let values = [
            value(Metric::CpuPerRequest, 1, 0.15),
            value(Metric::CpuPerRequest, 100, 0.0),
            value(Metric::Resident, 1, 8.0),
            Value {
                subject: "echo".to_owned(),
                ..value(Metric::CpuPerRequest, 1, 0.1)
            },
        ];
        let drawn = svg(curve, &values.iter().collect::<Vec<_>>());
        assert_eq!(drawn.matches("<circle").count(), 4);
        assert_eq!(drawn.matches("<polyline").count(), 3);
        assert_eq!(drawn.matches("stroke-dasharray").count(), 2);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}

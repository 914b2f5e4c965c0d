//! Plots as SVG: lines over a logarithmic or a named axis, the values logarithmic. Small enough to read,
//! so no crate for it.

use std::fmt::Write;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 230.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
/// Colours that colour-blind people tell apart (Okabe and Ito).
const COLOURS: [&str; 7] =
    ["#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#555555"];

/// The horizontal axis: values with their labels.
pub(super) struct Axis {
    ticks: Vec<(f64, String)>,
    logarithmic: bool,
}

impl Axis {
    /// Values that each are a multiple of the one before.
    pub(super) fn powers(values: impl IntoIterator<Item = f64>) -> Self {
        let tick = |value: f64| (value, atomic_store_core::grouped(value as u64));
        Axis { ticks: values.into_iter().map(tick).collect(), logarithmic: true }
    }

    /// Names, at 0, 1, 2 ...
    pub(super) fn named(names: impl IntoIterator<Item = String>) -> Self {
        let tick = |(at, name)| (at as f64, name);
        Axis { ticks: names.into_iter().enumerate().map(tick).collect(), logarithmic: false }
    }

    /// Where a value stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.max(1e-9).ln() } else { value };
        let ends = self.ticks.first().zip(self.ticks.last());
        let Some(((first, _), (last, _))) = ends else { return 0.0 };
        let span = scale(*last) - scale(*first);
        if span <= 0.0 { 0.5 } else { ((scale(value) - scale(*first)) / span).clamp(0.0, 1.0) }
    }
}

/// One line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// One plot.
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y_name: &'static str,
    pub(super) lines: Vec<Line>,
}

impl Plot {
    /// The powers of ten that hold all values.
    fn decades(&self) -> (i32, i32) {
        let values = self.lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
        let (low, high) = values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, 1.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let low = if low > high { 0 } else { low.log10().floor() as i32 };
        (low, (high.log10().ceil() as i32).max(low + 1))
    }

    /// As SVG, on white, so that it reads on dark pages too.
    pub(super) fn svg(&self) -> String {
        let (low, high) = self.decades();
        let x = |value: f64| LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| {
            let place = (value.max(1e-9).log10() - f64::from(low)) / f64::from(high - low);
            HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{}</text>\n",
            escaped(&self.title)
        );
        for decade in low..=high {
            let (value, right) = (10_f64.powi(decade), WIDTH - RIGHT);
            let (at, label) = (y(value), atomic_store_core::grouped(value as u64));
            put(
                &mut svg,
                format_args!(
                    "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                    LEFT - 8.0,
                    at + 4.0,
                ),
            );
        }
        for (value, label) in &self.x.ticks {
            let (at, below) = (x(*value), HEIGHT - BOTTOM);
            put(
                &mut svg,
                format_args!(
                    "<path d=\"M{at:.1} {TOP}V{below}\" stroke=\"#eee\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    below + 18.0,
                    escaped(label),
                ),
            );
        }
        put(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
                LEFT - 8.0,
                TOP - 12.0,
                self.y_name,
            ),
        );
        self.draw(&mut svg, x, y);
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, svg: &mut String, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
        for (at, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let width = if at == 0 { 3 } else { 2 };
            let points: Vec<String> =
                line.points.iter().map(|(px, py)| format!("{:.1},{:.1}", x(*px), y(*py))).collect();
            put(
                svg,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
                    points.join(" "),
                ),
            );
            for (px, py) in &line.points {
                let (cx, cy) = (x(*px), y(*py));
                put(
                    svg,
                    format_args!(
                        "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{colour}\"/>"
                    ),
                );
            }
            let (left, down) = (WIDTH - RIGHT + 16.0, TOP + 14.0 + 20.0 * at as f64);
            put(
                svg,
                format_args!(
                    "<path d=\"M{left} {}h16\" stroke=\"{colour}\" stroke-width=\"{width}\"/>\
                 <text x=\"{}\" y=\"{down}\">{}</text>",
                    down - 4.0,
                    left + 22.0,
                    escaped(&line.name),
                ),
            );
        }
    }
}

/// Adds a line to a text; a `String` takes everything.
fn put(svg: &mut String, what: std::fmt::Arguments<'_>) {
    if svg.write_fmt(what).is_ok() {
        svg.push('\n');
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Axis, Line, Plot};

    #[test]
    fn a_plot_holds_its_points_and_escapes_its_words() {
        let plot = Plot {
            title: "a < b".to_owned(),
            x: Axis::powers([1.0, 10.0, 100.0]),
            y_name: "per second",
            lines: vec![Line {
                name: "one".to_owned(),
                points: vec![(1.0, 10.0), (100.0, 1_000.0)],
            }],
        };
        assert_eq!(plot.decades(), (1, 3));
        let svg = plot.svg();
        assert!(svg.contains("points=\"76.0,360.0 590.0,40.0\""), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_plot_without_points_is_still_one() {
        let plot =
            Plot { title: String::new(), x: Axis::named([]), y_name: "us", lines: Vec::new() };
        assert!(plot.svg().starts_with("<svg"));
    }
}

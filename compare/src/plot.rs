//! Plots with logarithmic axes, as SVG.

use std::fmt::Write;
use std::fs;

use crate::flags::Flags;
use crate::rounds::Figures;
use crate::statistics::spread;
use crate::table;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
/// Told apart by the colour-blind too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];

/// Lines of points, each with a name.
pub(crate) struct Plot {
    name: String,
    x_name: &'static str,
    y_name: &'static str,
    x_text: fn(f64) -> String,
    y_text: fn(f64) -> String,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// A line of a pair of plots: its name, and what was seen at each place.
pub(crate) type Row<'a> = (&'a str, Vec<(f64, &'a Figures)>);

/// Two plots with the same lines: of throughput, and of CPU time.
pub(crate) fn pair(
    flags: &Flags,
    by: &str,
    x_name: &'static str,
    x_text: fn(f64) -> String,
    rows: &[Row<'_>],
) {
    let plot = |name: String, y_name, y_text, of: fn(&Figures) -> &[f64]| {
        let mut plot = Plot::new(name, x_name, y_name, x_text, y_text);
        for (name, points) in rows {
            plot.line(name, points.iter().map(|(place, figures)| (*place, spread(of(figures)).median)));
        }
        plot.write(flags);
    };
    plot(format!("throughput-by-{by}"), "messages a second", table::rate, |figures| &figures.throughput);
    plot(format!("cpu-by-{by}"), "CPU time a message, all processes", table::time, |figures| &figures.cpu);
}

/// From a figure to a place on the paper.
struct Axis {
    least: f64,
    most: f64,
    from: f64,
    to: f64,
}

impl Plot {
    pub(crate) fn new(
        name: impl Into<String>,
        x_name: &'static str,
        y_name: &'static str,
        x_text: fn(f64) -> String,
        y_text: fn(f64) -> String,
    ) -> Self {
        Self { name: name.into(), x_name, y_name, x_text, y_text, lines: Vec::new() }
    }

    pub(crate) fn line(&mut self, name: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        self.lines.push((name.replace('`', ""), points.into_iter().collect()));
    }

    /// Into the folder that the command line names, if it names one.
    pub(crate) fn write(&self, flags: &Flags) {
        if let Some(folder) = &flags.svg {
            fs::create_dir_all(folder).expect("a folder");
            fs::write(folder.join(format!("{}.svg", self.name)), self.svg()).expect("there is room");
        }
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|(_, points)| points);
        let mut places: Vec<f64> = points().map(|(x, _)| *x).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let x = Axis::new(points().map(|(x, _)| *x), LEFT, WIDTH - RIGHT);
        let marks = marks(points().map(|(_, y)| *y));
        let y = Axis::new(marks.iter().copied(), HEIGHT - BOTTOM, TOP);
        let mut svg = Svg::new();
        for mark in &marks {
            svg.rule((LEFT, y.at(*mark)), (WIDTH - RIGHT, y.at(*mark)));
            svg.text((LEFT - 8.0, y.at(*mark) + 4.0), "end", &(self.y_text)(*mark));
        }
        for place in places {
            svg.rule((x.at(place), HEIGHT - BOTTOM), (x.at(place), TOP));
            svg.text((x.at(place), HEIGHT - BOTTOM + 18.0), "middle", &(self.x_text)(place));
        }
        svg.text((LEFT, TOP - 16.0), "start", self.y_name);
        svg.text(((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 16.0), "middle", self.x_name);
        for (index, (name, points)) in self.lines.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let points: Vec<(f64, f64)> =
                points.iter().map(|(place, figure)| (x.at(*place), y.at(*figure))).collect();
            svg.line(&points, colour);
            let row = TOP + 10.0 + 22.0 * index as f64;
            svg.line(&[(WIDTH - RIGHT + 14.0, row), (WIDTH - RIGHT + 38.0, row)], colour);
            svg.text((WIDTH - RIGHT + 46.0, row + 4.0), "start", name);
        }
        svg.end()
    }
}

/// 1, 2 and 5 times the powers of ten, from below the least to above the greatest.
fn marks(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let figures: Vec<f64> = figures.filter(|figure| *figure > 0.0).collect();
    let (least, most) = bounds(figures.into_iter());
    let all: Vec<f64> =
        (-3..=12).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power))).collect();
    let from = all.iter().rposition(|mark| *mark <= least).unwrap_or(0);
    let to = all.iter().position(|mark| *mark >= most).unwrap_or(all.len() - 1).max(from + 1);
    let marks = &all[from..=to];
    // Where there are many, those of the powers alone, and the ends.
    if marks.len() <= 12 {
        return marks.to_vec();
    }
    let is_power = |mark: f64| (mark.log10() - mark.log10().round()).abs() < 1e-9;
    let kept = marks.iter().enumerate();
    kept.filter(|(at, mark)| *at == 0 || *at == marks.len() - 1 || is_power(**mark))
        .map(|(_, mark)| *mark)
        .collect()
}

fn bounds(figures: impl Iterator<Item = f64>) -> (f64, f64) {
    figures.fold((f64::MAX, f64::MIN), |(least, most), figure| (least.min(figure), most.max(figure)))
}

impl Axis {
    fn new(figures: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (least, most) = bounds(figures);
        Self { least, most: if most > least { most } else { least * 2.0 }, from, to }
    }

    /// What is not above 0 is put at the edge.
    fn at(&self, figure: f64) -> f64 {
        let part = (figure.max(self.least) / self.least).ln() / (self.most / self.least).ln();
        self.from + part * (self.to - self.from)
    }
}

struct Svg(String);

impl Svg {
    fn new() -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        ))
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{element}").expect("a string takes all");
    }

    fn rule(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
        ));
    }

    fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        self.push(format_args!(
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        ));
        for (x, y) in points {
            self.push(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
    }

    fn end(self) -> String {
        self.0 + "</svg>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_enclose_all_figures() {
        assert_eq!(marks([3.0, 40.0].into_iter()), [2.0, 5.0, 10.0, 20.0, 50.0]);
        let many = marks([3.0, 7e6].into_iter());
        assert_eq!((many.first(), many.last()), (Some(&2.0), Some(&1e7)));
    }

    #[test]
    fn a_figure_is_between_the_ends_by_its_logarithm() {
        let axis = Axis::new([1.0, 100.0].into_iter(), 0.0, 50.0);
        assert!((axis.at(10.0) - 25.0).abs() < 1e-9);
        assert!((axis.at(0.0) - 0.0).abs() < 1e-9);
    }

    #[test]
    fn a_plot_has_a_line_for_each_name() {
        let mut plot = Plot::new("test", "x", "y", |x| x.to_string(), |y| y.to_string());
        plot.line("`one` & <two>", [(1.0, 10.0), (2.0, 20.0)]);
        plot.line("other", [(1.0, 30.0), (2.0, 5.0)]);
        let svg = plot.svg();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert!(svg.contains(">one &amp; &lt;two></text>"), "{svg}");
    }
}

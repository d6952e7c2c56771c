//! Lines, points and bands over two axes.

use super::Number;
use super::axis::Axis;
use super::canvas::{
    Canvas, LABEL, SCALE, TextStyle, WIDTH, draw_title, drawing_error, stroked, title_height,
};
use super::color::{FAINT, INK, MUTED, PALETTE};
use super::text;
use crate::plot::{Figure, PlotError};
use plotters::prelude::{ChartBuilder, Circle, DrawingBackend, LineSeries, Polygon, TRANSPARENT};
use plotters::style::{Color, IntoFont, RGBColor};
use std::fmt;

/// Lines, points and bands over two axes.
///
/// A value that cannot be drawn (not finite, larger than 10³⁰⁰, or not positive on a logarithmic axis) leaves a gap.
///
/// # Example
/// ```
/// use dldna::plot::Chart;
///
/// let epochs = [1, 2, 3, 4];
/// let figure = Chart::new("Training")
///     .line("training", &epochs, &[1.9, 1.1, 0.7, 0.5])
///     .line("test", &epochs, &[2.0, 1.3, 1.0, 0.9])
///     .x_label("epoch")
///     .y_label("loss")
///     .draw()?;
/// assert_eq!(figure.width(), 640);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x_label: String,
    y_label: String,
    log_x: bool,
    log_y: bool,
    series: Vec<Series>,
}

#[derive(Clone)]
struct Series {
    name: String,
    x: Vec<f64>,
    y: Vec<f64>,
    mark: Mark,
    /// What stands beside the points, if anything.
    point_names: Vec<String>,
}

/// How many points there are: the points themselves would fill the screen.
impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} of {} points",
            self.mark,
            self.name,
            self.x.len()
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark {
    Line,
    Points,
    Band,
}

const HEIGHT: f32 = 400.0;
/// A line through so few values shows each of them as a dot.
const DOTTED: usize = 30;
const TICKS: usize = 6;

impl Chart {
    /// A chart without series yet.
    pub fn new(title: &str) -> Self {
        Chart {
            title: title.to_owned(),
            x_label: String::new(),
            y_label: String::new(),
            log_x: false,
            log_y: false,
            series: Vec::new(),
        }
    }

    /// Adds a line through the points `(x[i], y[i])`. With two or more series, `name` stands in the legend.
    pub fn line<X: Number, Y: Number>(self, name: &str, x: &[X], y: &[Y]) -> Self {
        self.with_series(name, super::numbers(x), super::numbers(y), Mark::Line)
    }

    /// Adds the points `(x[i], y[i])`, not joined.
    pub fn points<X: Number, Y: Number>(self, name: &str, x: &[X], y: &[Y]) -> Self {
        self.with_series(name, super::numbers(x), super::numbers(y), Mark::Points)
    }

    /// Fills the area between `low[i]` and `high[i]` at `x[i]`, lightly: a range in which something lies.
    ///
    /// ```
    /// use dldna::plot::Chart;
    /// let x = [0.0, 1.0, 2.0];
    /// Chart::new("").line("mean", &x, &[1.0, 2.0, 1.5]).band("range", &x, &[0.5, 1.5, 0.0], &[1.5, 2.5, 3.0]).draw()?;
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn band<X: Number, Y: Number>(self, name: &str, x: &[X], low: &[Y], high: &[Y]) -> Self {
        // Around the area: along the lower edge, and back along the upper one.
        let around = |mut there: Vec<f64>, back: Vec<f64>| {
            there.extend(back.into_iter().rev());
            there
        };
        let x = around(super::numbers(x), super::numbers(x));
        let y = around(super::numbers(low), super::numbers(high));
        self.with_series(name, x, y, Mark::Band)
    }

    fn with_series(mut self, name: &str, x: Vec<f64>, y: Vec<f64>, mark: Mark) -> Self {
        self.series.push(Series {
            name: name.to_owned(),
            x,
            y,
            mark,
            point_names: Vec::new(),
        });
        self
    }

    /// Writes a name beside each point of the line or the points added last, one after the other.
    ///
    /// ```
    /// use dldna::plot::Chart;
    /// Chart::new("Networks").points("", &[61.1, 25.6], &[56.5, 76.1]).point_names(&["AlexNet", "ResNet-50"]).draw()?;
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn point_names(mut self, names: &[&str]) -> Self {
        if let Some(last) = self.series.last_mut() {
            last.point_names = names.iter().map(|&name| name.to_owned()).collect();
        }
        self
    }

    /// Names the horizontal axis.
    pub fn x_label(mut self, label: &str) -> Self {
        self.x_label = label.to_owned();
        self
    }

    /// Names the vertical axis.
    pub fn y_label(mut self, label: &str) -> Self {
        self.y_label = label.to_owned();
        self
    }

    /// Makes the horizontal axis logarithmic.
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// Makes the vertical axis logarithmic.
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Draws the chart.
    ///
    /// # Errors
    /// [`PlotError::Lengths`] when a series has not as many x as y, [`PlotError::Empty`] when there is nothing that can be drawn.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        for series in &self.series {
            if series.x.len() != series.y.len() {
                let (name, x, y) = (series.name.clone(), series.x.len(), series.y.len());
                return Err(PlotError::Lengths { name, x, y });
            }
        }
        let names = self.series.iter().map(|series| &series.name);
        let point_names = self.series.iter().flat_map(|series| &series.point_names);
        let texts = names.chain([&self.title, &self.x_label, &self.y_label]);
        let texts = texts.chain(point_names);
        text::warn(texts.map(String::as_str));
        let x_axis = self.x_axis().ok_or(PlotError::Empty { what: "a chart" })?;
        let y_axis = self.y_axis().ok_or(PlotError::Empty { what: "a chart" })?;
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        draw_title(&mut canvas, &self.title, 12.0);
        let mut top = title_height(&self.title);
        if self.series.len() > 1 {
            let entries: Vec<_> = self
                .series
                .iter()
                .enumerate()
                .map(|(i, s)| (s.name.as_str(), color(i)))
                .collect();
            top = draw_legend(&mut canvas, &entries, top);
        }
        let middle = (top + HEIGHT - 58.0) / 2.0;
        canvas.text_upwards(&self.y_label, 18.0, middle, LABEL.color(MUTED).centered());
        canvas.text(
            &self.x_label,
            WIDTH / 2.0,
            HEIGHT - 18.0,
            LABEL.color(MUTED).centered(),
        );
        let names = self
            .draw_plot(&mut canvas, top, &x_axis, &y_axis)
            .map_err(drawing_error)?;
        for name in names {
            name.draw(&mut canvas);
        }
        Ok(canvas.finish())
    }

    fn x_axis(&self) -> Option<Axis> {
        let only_lines = self.series.iter().all(|s| s.mark != Mark::Points);
        let margin = if only_lines { 0.0 } else { 0.03 };
        Axis::fit(
            self.series.iter().flat_map(|s| s.x.iter().copied()),
            self.log_x,
            margin,
            TICKS,
        )
    }

    fn y_axis(&self) -> Option<Axis> {
        let values = self.series.iter().flat_map(|s| s.y.iter().copied());
        let axis = Axis::fit(values.clone(), self.log_y, 0.05, 6)?;
        // Amounts that come near zero are shown from zero.
        let span = axis.high - axis.low;
        let amounts = !values.clone().any(|v| v < 0.0);
        Some(if !self.log_y && amounts && axis.low < 0.3 * span {
            axis.starting_at_zero(6)
        } else {
            axis
        })
    }

    fn draw_plot(
        &self,
        canvas: &mut Canvas,
        top: f32,
        x_axis: &Axis,
        y_axis: &Axis,
    ) -> Result<Vec<PointName>, impl std::fmt::Display + use<>> {
        let area = canvas.area();
        let label_width =
            widest(y_axis, LABEL) + 14.0 + if self.y_label.is_empty() { 0.0 } else { 28.0 };
        let label_height = if self.x_label.is_empty() { 34.0 } else { 58.0 };
        let mut chart = ChartBuilder::on(&area)
            .margin_top(full(top + 6.0))
            .margin_right(full(26.0))
            .margin_left(full(8.0))
            .x_label_area_size(full(label_height))
            .y_label_area_size(full(label_width))
            .build_cartesian_2d(x_axis.clone(), y_axis.clone())?;
        let font = ("sans-serif", LABEL.size * SCALE).into_font();
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(stroked(FAINT, 1.0))
            .light_line_style(TRANSPARENT)
            .axis_style(stroked(MUTED, 1.0))
            .set_all_tick_mark_size(full(5.0))
            .label_style(font.color(&INK))
            .x_label_formatter(&|x| x_axis.label(*x))
            .y_label_formatter(&|y| y_axis.label(*y))
            .draw()?;
        let mut names = Vec::new();
        for (i, series) in self.series.iter().enumerate() {
            let color = color(i);
            let places: Vec<_> = series
                .x
                .iter()
                .zip(&series.y)
                .map(|(&x, &y)| Some((x_axis.place(x)?, y_axis.place(y)?)))
                .collect();
            for (name, place) in series.point_names.iter().zip(&places) {
                names.extend(place.map(|place| PointName::at(chart.backend_coord(&place), name)));
            }
            if series.mark == Mark::Band {
                let corners: Vec<_> = places.into_iter().flatten().collect();
                chart.draw_series([Polygon::new(corners, color.mix(0.2))])?;
                continue;
            }
            if series.mark == Mark::Line {
                for run in places.split(|p| p.is_none()).filter(|run| run.len() > 1) {
                    chart.draw_series(LineSeries::new(
                        run.iter().copied().flatten(),
                        stroked(color, 2.5),
                    ))?;
                }
            }
            let radius = if series.mark == Mark::Points {
                4.5
            } else {
                3.5
            };
            if series.mark == Mark::Points || places.len() <= DOTTED {
                let dots = places.into_iter().flatten();
                chart.draw_series(dots.map(|p| Circle::new(p, full(radius), color.filled())))?;
            }
        }
        Ok::<
            Vec<PointName>,
            plotters::drawing::DrawingAreaErrorKind<
                <super::canvas::Surface as DrawingBackend>::ErrorType,
            >,
        >(names)
    }
}

/// A name beside a point.
struct PointName {
    name: String,
    x: f32,
    y: f32,
}

impl PointName {
    fn at((x, y): (i32, i32), name: &str) -> Self {
        PointName {
            name: name.to_owned(),
            x: x as f32 / SCALE,
            y: y as f32 / SCALE,
        }
    }

    /// To the right of the point, or to its left where the figure ends.
    fn draw(&self, canvas: &mut Canvas) {
        if self.x + 10.0 + LABEL.width(&self.name) < WIDTH {
            canvas.text(&self.name, self.x + 10.0, self.y, LABEL);
        } else {
            canvas.text(&self.name, self.x - 10.0, self.y, LABEL.right());
        }
    }
}

/// The series' colours repeat after six; no figure of the book has more.
pub(super) fn color(series: usize) -> RGBColor {
    PALETTE[series % PALETTE.len()]
}

fn full(pixels: f32) -> i32 {
    (pixels * SCALE).round() as i32
}

/// Width of the widest tick label.
pub(super) fn widest(axis: &Axis, style: TextStyle) -> f32 {
    axis.ticks
        .iter()
        .map(|&t| style.width(&axis.label(t)))
        .fold(0.0, f32::max)
}

/// A row (or rows) of coloured names below `top`; returns the lower edge.
pub(super) fn draw_legend(canvas: &mut Canvas, entries: &[(&str, RGBColor)], top: f32) -> f32 {
    let (mut x, mut y) = (12.0, top + 8.0);
    for &(name, color) in entries {
        let width = 24.0 + LABEL.width(name);
        if x + width > WIDTH - 12.0 && x > 12.0 {
            x = 12.0;
            y += 24.0;
        }
        canvas.fill(x, y - 6.0, 16.0, 12.0, color);
        canvas.text(name, x + 22.0, y, LABEL);
        x += width + 26.0;
    }
    y + 16.0
}

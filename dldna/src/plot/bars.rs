//! Bars, single or in groups.

use super::axis::{Axis, number};
use super::canvas::{Canvas, LABEL, WIDTH, draw_title, title_height};
use super::chart::{color, draw_legend, widest};
use super::color::{FAINT, MUTED};
use super::text;
use super::{Number, numbers};
use crate::plot::{Figure, PlotError};
use plotters::style::RGBColor;

/// Bars with their values written at the end, single or in groups.
///
/// The bars stand upright when their labels fit below them, else they lie. A value that cannot be drawn (not finite, larger than
/// 10³⁰⁰, or not positive on a logarithmic scale) has no bar.
///
/// # Example
/// ```
/// use dldna::plot::BarChart;
///
/// let figure = BarChart::new("Time of one convolution", &["loops", "im2col", "dldna"])
///     .bars("forward", &[42.0, 3.1, 0.9])
///     .value_label("milliseconds")
///     .log()
///     .draw()?;
/// assert_eq!(figure.width(), 640);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BarChart {
    title: String,
    labels: Vec<String>,
    value_label: String,
    log: bool,
    series: Vec<(String, Vec<f64>)>,
}

const UPRIGHT_HEIGHT: f32 = 380.0;
const EDGE: f32 = 12.0;

impl BarChart {
    /// A chart with one bar (or group of bars) for each label, and no bars yet.
    pub fn new(title: &str, labels: &[&str]) -> Self {
        BarChart {
            title: title.to_owned(),
            labels: labels.iter().map(|&l| l.to_owned()).collect(),
            value_label: String::new(),
            log: false,
            series: Vec::new(),
        }
    }

    /// Adds one bar to each label. With two or more series the bars stand in groups, and `name` in the legend.
    pub fn bars<T: Number>(mut self, name: &str, values: &[T]) -> Self {
        self.series.push((name.to_owned(), numbers(values)));
        self
    }

    /// Names the values and their unit.
    pub fn value_label(mut self, label: &str) -> Self {
        self.value_label = label.to_owned();
        self
    }

    /// Makes the scale logarithmic.
    pub fn log(mut self) -> Self {
        self.log = true;
        self
    }

    /// Draws the chart.
    ///
    /// # Errors
    /// [`PlotError::Count`] when a series has not one value for each label, [`PlotError::Empty`] when there is
    /// nothing that can be drawn, [`PlotError::TooLarge`] for hundreds of bars.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        for (name, values) in &self.series {
            if values.len() != self.labels.len() {
                return Err(PlotError::Count {
                    name: name.clone(),
                    expected: self.labels.len(),
                    got: values.len(),
                });
            }
        }
        let names = self.series.iter().map(|(name, _)| name);
        let texts = self.labels.iter().chain(names);
        text::warn(
            texts
                .chain([&self.title, &self.value_label])
                .map(String::as_str),
        );
        let axis = self.axis().ok_or(PlotError::Empty {
            what: "a bar chart",
        })?;
        let slot = (WIDTH - 100.0) / self.labels.len() as f32;
        let value_width = self
            .values()
            .map(|v| LABEL.width(&number(v)))
            .fold(0.0, f32::max);
        let fits = self.label_width() + 12.0 <= slot
            && (value_width + 6.0) * self.series.len() as f32 <= 0.9 * slot;
        if fits {
            Ok(self.draw_upright(&axis))
        } else {
            self.draw_lying(&axis)
        }
    }

    fn values(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.series
            .iter()
            .flat_map(|(_, values)| values.iter().copied())
    }

    fn label_width(&self) -> f32 {
        self.labels
            .iter()
            .map(|l| LABEL.width(l))
            .fold(0.0, f32::max)
    }

    /// The scale starts at zero, or, if logarithmic, at the power of ten below the smallest value.
    fn axis(&self) -> Option<Axis> {
        if self.log {
            let axis = Axis::fit(self.values(), true, 0.0, 6)?;
            let lowest = self
                .values()
                .filter_map(|v| axis.place(v))
                .fold(f64::INFINITY, f64::min);
            let highest = self
                .values()
                .filter_map(|v| axis.place(v))
                .fold(f64::NEG_INFINITY, f64::max);
            let low = (lowest - 0.05).floor();
            return Some(Axis::over(
                low,
                (highest + 0.1).max(low + 1.0),
                true,
                6,
                false,
            ));
        }
        let axis = Axis::fit(self.values().chain([0.0]), false, 0.0, 5)?;
        self.values().find_map(|v| axis.place(v))?;
        let span = axis.high - axis.low;
        let low = if axis.low < 0.0 {
            axis.low - 0.1 * span
        } else {
            0.0
        };
        let high = if axis.high > 0.0 {
            axis.high + 0.06 * span
        } else {
            0.0
        };
        Some(Axis::over(low, high, false, 5, false))
    }

    fn draw_heading(&self, canvas: &mut Canvas) -> f32 {
        draw_title(canvas, &self.title, EDGE);
        let top = title_height(&self.title);
        if self.series.len() < 2 {
            return top;
        }
        let entries: Vec<_> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, (name, _))| (name.as_str(), color(i)))
            .collect();
        draw_legend(canvas, &entries, top)
    }

    /// Where the bars start, in plot coordinates.
    fn base(&self, axis: &Axis) -> f64 {
        if self.log { axis.low } else { 0.0 }
    }

    fn draw_upright(&self, axis: &Axis) -> Figure {
        let mut canvas = Canvas::new(WIDTH, UPRIGHT_HEIGHT);
        let mut top = self.draw_heading(&mut canvas) + 8.0;
        if !self.value_label.is_empty() {
            canvas.text(&self.value_label, EDGE, top + 4.0, LABEL.color(MUTED));
            top += 26.0;
        }
        let bottom = UPRIGHT_HEIGHT - 40.0;
        let left = EDGE + widest(axis, LABEL) + 10.0;
        let right = WIDTH - EDGE;
        let y_of =
            |v: f64| bottom - ((v - axis.low) / (axis.high - axis.low)) as f32 * (bottom - top);
        for &tick in &axis.ticks {
            canvas.rule(left, y_of(tick), right - left, 1.0, FAINT);
            canvas.text(
                &axis.label(tick),
                left - 8.0,
                y_of(tick),
                LABEL.color(MUTED).right(),
            );
        }
        let slot = (right - left) / self.labels.len() as f32;
        let bar = (0.8 * slot / self.series.len() as f32).min(110.0);
        let base = y_of(self.base(axis));
        for (i, label) in self.labels.iter().enumerate() {
            let center = left + (i as f32 + 0.5) * slot;
            canvas.text(label, center, bottom + 20.0, LABEL.centered());
            let first = center - 0.5 * bar * self.series.len() as f32;
            for (s, (_, values)) in self.series.iter().enumerate() {
                let Some(place) = axis.place(values[i]) else {
                    continue;
                };
                let (x, y) = (first + s as f32 * bar, y_of(place));
                draw_bar(
                    &mut canvas,
                    (x, y.min(base)),
                    (bar - 2.0, (y - base).abs()),
                    color(s),
                );
                let text_y = if y <= base { y - 11.0 } else { y + 11.0 };
                canvas.text(
                    &number(values[i]),
                    x + 0.5 * bar - 1.0,
                    text_y,
                    LABEL.centered(),
                );
            }
        }
        canvas.rule(left, base, right - left, 1.0, MUTED);
        canvas.finish()
    }

    fn draw_lying(&self, axis: &Axis) -> Result<Figure, PlotError> {
        let bar = if self.series.len() > 1 { 20.0 } else { 24.0 };
        let slot = bar * self.series.len() as f32 + 12.0;
        let plot_height = slot * self.labels.len() as f32;
        let mut canvas =
            Canvas::checked(WIDTH, 140.0 + plot_height + 24.0 * self.series.len() as f32)?;
        let top = self.draw_heading(&mut canvas) + 4.0;
        let bottom = top + plot_height;
        let left = EDGE + self.label_width() + 12.0;
        let value_width = self
            .values()
            .map(|v| LABEL.width(&number(v)))
            .fold(0.0, f32::max);
        let right = WIDTH - EDGE - value_width - 8.0;
        let x_of =
            |v: f64| left + ((v - axis.low) / (axis.high - axis.low)) as f32 * (right - left);
        for &tick in &axis.ticks {
            canvas.rule(x_of(tick), top, 1.0, plot_height, FAINT);
            canvas.text(
                &axis.label(tick),
                x_of(tick),
                bottom + 16.0,
                LABEL.color(MUTED).centered(),
            );
        }
        let base = x_of(self.base(axis));
        for (i, label) in self.labels.iter().enumerate() {
            let center = top + (i as f32 + 0.5) * slot;
            canvas.text(label, left - 10.0, center, LABEL.right());
            let first = center - 0.5 * bar * self.series.len() as f32;
            for (s, (_, values)) in self.series.iter().enumerate() {
                let Some(place) = axis.place(values[i]) else {
                    continue;
                };
                let (x, y) = (x_of(place), first + s as f32 * bar);
                draw_bar(
                    &mut canvas,
                    (x.min(base), y + 1.0),
                    ((x - base).abs(), bar - 2.0),
                    color(s),
                );
                canvas.text(&number(values[i]), x.max(base) + 6.0, y + 0.5 * bar, LABEL);
            }
        }
        canvas.rule(base, top, 1.0, plot_height, MUTED);
        let mut height = bottom + 32.0;
        if !self.value_label.is_empty() {
            canvas.text(
                &self.value_label,
                0.5 * (left + right),
                bottom + 42.0,
                LABEL.color(MUTED).centered(),
            );
            height += 26.0;
        }
        Ok(canvas.cropped(height).finish())
    }
}

/// A bar of at least half a pixel, so that a small value is still seen.
fn draw_bar(canvas: &mut Canvas, (x, y): (f32, f32), (width, height): (f32, f32), color: RGBColor) {
    canvas.fill(x, y, width.max(0.5), height.max(0.5), color);
}

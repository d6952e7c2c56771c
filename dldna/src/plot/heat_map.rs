//! A matrix as colours.

use super::axis::{Axis, number, with_span};
use super::canvas::{Canvas, LABEL, TITLE, draw_title, title_height};
use super::color::{FAINT, INK, MUTED};
use super::matrix::write_values;
use super::raster::Raster;
use super::text;
use crate::plot::{ColorMap, Figure, PlotError};
use ndarray::Array2;
use std::f32::consts::PI;
use std::fmt;

/// A matrix as colours, with a colour bar or the values themselves.
///
/// Cells that are not a number are light gray.
///
/// # Example
/// ```
/// use dldna::plot::{ColorMap, HeatMap};
///
/// let sobel = [-1.0, 0.0, 1.0, -2.0, 0.0, 2.0, -1.0, 0.0, 1.0];
/// let figure = HeatMap::new("Sobel X", 3, 3, &sobel).color_map(ColorMap::Diverging).show_values().draw()?;
/// assert!(figure.height() > 100);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone)]
pub struct HeatMap {
    title: String,
    rows: usize,
    columns: usize,
    values: Vec<f32>,
    map: ColorMap,
    range: Option<(f32, f32)>,
    show_values: bool,
    row_labels: Vec<String>,
    column_labels: Vec<String>,
    x_label: String,
    y_label: String,
}

/// Side of a picture of more than a few cells.
const PICTURE: f32 = 360.0;
/// Side of a cell of a small matrix.
const CELL: f32 = 52.0;
/// Matrices up to this size have cells of that side.
const SMALL: usize = 12;
const EDGE: f32 = 14.0;
const SLIMMEST: f32 = 24.0;
/// Room for the numbers at the colour bar.
const SHORTEST_BAR: f32 = 60.0;

/// The title and the size: the values would fill the screen.
impl fmt::Debug for HeatMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HeatMap {{ {:?}, {} x {} }}",
            self.title, self.rows, self.columns
        )
    }
}

impl HeatMap {
    /// A map of `values`, which are given row by row.
    pub fn new(title: &str, rows: usize, columns: usize, values: &[f32]) -> Self {
        HeatMap {
            title: title.to_owned(),
            rows,
            columns,
            values: values.to_vec(),
            map: ColorMap::default(),
            range: None,
            show_values: false,
            row_labels: Vec::new(),
            column_labels: Vec::new(),
            x_label: String::new(),
            y_label: String::new(),
        }
    }

    /// A map of an array, whose first axis runs down.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::HeatMap;
    ///
    /// let ramp = ndarray::Array2::from_shape_fn((20, 30), |(row, column)| (row + column) as f32);
    /// HeatMap::from_array("A ramp", &ramp).draw()?;
    /// # Ok::<(), dldna::plot::PlotError>(())
    /// ```
    pub fn from_array(title: &str, array: &Array2<f32>) -> Self {
        let values: Vec<f32> = array.iter().copied().collect();
        HeatMap::new(title, array.nrows(), array.ncols(), &values)
    }

    /// Chooses the colours; [`ColorMap::Viridis`] if not called.
    pub fn color_map(mut self, map: ColorMap) -> Self {
        self.map = map;
        self
    }

    /// The values at the ends of the colours, finite and the smaller one first. If not called: the smallest and largest value; for [`ColorMap::Diverging`] the same
    /// distance from zero on both sides; for [`ColorMap::Cyclic`] −π and π.
    pub fn range(mut self, low: f32, high: f32) -> Self {
        self.range = Some((low, high));
        self
    }

    /// Writes each value into its cell, in place of a colour bar. For matrices of few cells.
    pub fn show_values(mut self) -> Self {
        self.show_values = true;
        self
    }

    /// Names the rows, from the top.
    pub fn row_labels(mut self, labels: &[&str]) -> Self {
        self.row_labels = labels.iter().map(|&l| l.to_owned()).collect();
        self
    }

    /// Names the columns, from the left.
    pub fn column_labels(mut self, labels: &[&str]) -> Self {
        self.column_labels = labels.iter().map(|&l| l.to_owned()).collect();
        self
    }

    /// Says what runs along the columns.
    pub fn x_label(mut self, label: &str) -> Self {
        self.x_label = label.to_owned();
        self
    }

    /// Says what runs along the rows.
    pub fn y_label(mut self, label: &str) -> Self {
        self.y_label = label.to_owned();
        self
    }

    /// Draws the map.
    ///
    /// # Errors
    /// [`PlotError::Count`] when the number of values is not rows × columns or labels do not fit, [`PlotError::Empty`] without a
    /// finite value, [`PlotError::Range`] for a range that is none.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        self.check_counts()?;
        let automatic =
            ends(&self.values, self.map).ok_or(PlotError::Empty { what: "a heat map" })?;
        let labels = self.row_labels.iter().chain(&self.column_labels);
        let texts = labels.chain([&self.title, &self.x_label, &self.y_label]);
        text::warn(texts.map(String::as_str));
        let (low, high) = self.range.unwrap_or(automatic);
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return Err(PlotError::Range { low, high });
        }
        let cell = self.cell();
        // A matrix of one row or column is drawn as a strip that can be seen.
        let width = (cell * self.columns as f32).max(SLIMMEST);
        let height = (cell * self.rows as f32).max(SLIMMEST);
        let (cell, cell_height) = (width / self.columns as f32, height / self.rows as f32);

        let widest = |labels: &[String]| labels.iter().map(|l| LABEL.width(l)).fold(0.0, f32::max);
        let upright = widest(&self.column_labels) + 6.0 > cell;
        let left =
            EDGE + if self.row_labels.is_empty() {
                0.0
            } else {
                widest(&self.row_labels) + 8.0
            } + if self.y_label.is_empty() { 0.0 } else { 28.0 };
        let below = match (self.column_labels.is_empty(), upright) {
            (true, _) => 0.0,
            (false, true) => widest(&self.column_labels) + 12.0,
            (false, false) => 26.0,
        } + if self.x_label.is_empty() { 0.0 } else { 28.0 };
        let bar = ColorBar::new(low, high, self.map);
        let right = if self.show_values {
            EDGE
        } else {
            bar.width() + EDGE
        };
        let top = title_height(&self.title);
        let full_width = (left + width + right).max(TITLE.width(&self.title) + 2.0 * EDGE);
        let bar_height = if self.show_values {
            0.0
        } else {
            height.max(SHORTEST_BAR)
        };
        let mut canvas =
            Canvas::checked(full_width, top + (height + below).max(bar_height) + EDGE)?;

        draw_title(&mut canvas, &self.title, left);
        let raster = Raster::from_values(self.columns, &self.values, low, high, self.map);
        canvas.image(&raster, left, top, width, height);
        canvas.frame(left, top, width, height, 1.0, FAINT);
        if self.show_values {
            write_values(&mut canvas, &self.values, &raster, (left, top), cell);
        } else {
            bar.draw(&mut canvas, left + width + 16.0, top, bar_height);
        }
        for (i, label) in self.row_labels.iter().enumerate() {
            canvas.text(
                label,
                left - 8.0,
                top + (i as f32 + 0.5) * cell_height,
                LABEL.right(),
            );
        }
        for (i, label) in self.column_labels.iter().enumerate() {
            let x = left + (i as f32 + 0.5) * cell;
            if upright {
                canvas.text_upwards(label, x, top + height + 8.0, LABEL.right());
            } else {
                canvas.text(label, x, top + height + 16.0, LABEL.centered());
            }
        }
        if !self.x_label.is_empty() {
            let y = top + height + below - 8.0;
            canvas.text(
                &self.x_label,
                left + 0.5 * width,
                y,
                LABEL.color(MUTED).centered(),
            );
        }
        if !self.y_label.is_empty() {
            canvas.text_upwards(
                &self.y_label,
                EDGE + 8.0,
                top + 0.5 * height,
                LABEL.color(MUTED).centered(),
            );
        }
        Ok(canvas.finish())
    }

    fn check_counts(&self) -> Result<(), PlotError> {
        let check = |name: &str, expected: usize, got: usize| {
            let name = name.to_owned();
            if expected == got {
                Ok(())
            } else {
                Err(PlotError::Count {
                    name,
                    expected,
                    got,
                })
            }
        };
        // As many values as an overflow would take nobody has.
        let cells = self.rows.saturating_mul(self.columns);
        check(&self.title, cells, self.values.len())?;
        if !self.row_labels.is_empty() {
            check("row labels", self.rows, self.row_labels.len())?;
        }
        if !self.column_labels.is_empty() {
            check("column labels", self.columns, self.column_labels.len())?;
        }
        Ok(())
    }

    /// Side of a cell; small matrices have large cells, all others the same picture size.
    fn cell(&self) -> f32 {
        let cells = self.rows.max(self.columns);
        if cells > SMALL {
            return PICTURE / cells as f32;
        }
        if self.show_values {
            let widest = self
                .values
                .iter()
                .map(|&v| LABEL.width(&number(v.into())))
                .fold(0.0, f32::max);
            return CELL.max(widest + 10.0);
        }
        (0.55 * PICTURE / cells as f32).clamp(30.0, CELL)
    }
}

/// Smallest and largest finite value.
fn finite_range(values: &[f32]) -> Option<(f32, f32)> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    Some((finite().reduce(f32::min)?, finite().reduce(f32::max)?))
}

/// The values at the ends of the colours, if no range was chosen; None without a finite value.
pub(super) fn ends(values: &[f32], map: ColorMap) -> Option<(f32, f32)> {
    let (low, high) = finite_range(values)?;
    let most = low.abs().max(high.abs());
    let most = if most > 0.0 { most } else { 1.0 };
    Some(match map {
        ColorMap::Diverging => (-most, most),
        ColorMap::Cyclic => (-PI, PI),
        ColorMap::Gray | ColorMap::Viridis => (low, high),
    })
}

/// The scale beside a map.
struct ColorBar {
    map: ColorMap,
    /// Share of the way from the lower end, and text.
    ticks: Vec<(f64, String)>,
}

impl ColorBar {
    fn new(low: f32, high: f32, map: ColorMap) -> Self {
        let is_circle = map == ColorMap::Cyclic && (low, high) == (-PI, PI);
        let ticks = if is_circle {
            [
                (0.0, "−π"),
                (0.25, "−π/2"),
                (0.5, "0"),
                (0.75, "π/2"),
                (1.0, "π"),
            ]
            .map(|(v, text)| (v, text.to_owned()))
            .to_vec()
        } else {
            let low = f64::from(low);
            let axis = match f64::from(high) - low {
                // One value: the scale goes up from it.
                0.0 => Axis::over(low, with_span(low, low).1, false, 5, false),
                span => Axis::over(low, low + span, false, 5, false),
            };
            let share = |tick: f64| (tick - axis.low) / (axis.high - axis.low);
            let ticks = axis.ticks.iter();
            ticks.map(|&tick| (share(tick), axis.label(tick))).collect()
        };
        ColorBar { map, ticks }
    }

    fn width(&self) -> f32 {
        16.0 + 16.0
            + 8.0
            + self
                .ticks
                .iter()
                .map(|(_, text)| LABEL.width(text))
                .fold(0.0, f32::max)
    }

    fn draw(&self, canvas: &mut Canvas, x: f32, top: f32, height: f32) {
        let steps: Vec<f32> = (0..256).rev().map(|i| i as f32 / 255.0).collect();
        canvas.image(
            &Raster::from_values(1, &steps, 0.0, 1.0, self.map),
            x,
            top,
            16.0,
            height,
        );
        canvas.frame(x, top, 16.0, height, 1.0, FAINT);
        for (share, text) in &self.ticks {
            let y = top + height * (1.0 - *share as f32);
            canvas.fill(x + 16.0, y.min(top + height - 1.0), 4.0, 1.0, MUTED);
            canvas.text(
                text,
                x + 24.0,
                y.clamp(top + 5.0, top + height - 5.0),
                LABEL.color(INK),
            );
        }
    }
}

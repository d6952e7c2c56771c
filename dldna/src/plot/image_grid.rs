//! Pictures side by side.

use super::canvas::{Canvas, LABEL, TITLE, WIDTH, draw_title, title_height};
use super::color::FAINT;
use super::heat_map::ends;
use super::raster::Raster;
use super::text;
use crate::image::{GrayImage, RgbImage};
use crate::plot::{ColorMap, Figure, PlotError};
use ndarray::Array2;

/// Pictures in rows and columns, each with a name above it.
///
/// # Example
/// ```
/// use dldna::plot::{ColorMap, ImageGrid};
///
/// let ramp: Vec<f32> = (0..64).map(|i| i as f32).collect();
/// let figure = ImageGrid::new("Two ways to colour a ramp", 2)
///     .values("gray", 8, &ramp, ColorMap::Gray)
///     .values("viridis", 8, &ramp, ColorMap::Viridis)
///     .draw()?;
/// assert!(figure.width() <= 640);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageGrid {
    title: String,
    columns: usize,
    panels: Vec<Panel>,
}

#[derive(Clone, Debug)]
struct Panel {
    name: String,
    /// Values that do not fill whole rows are reported when it is drawn.
    raster: Raster,
}

const EDGE: f32 = 12.0;
const GAP: f32 = 14.0;
/// Small pictures are not blown up beyond this width.
const LARGEST: f32 = 250.0;
/// A picture that is narrower is not seen.
const NARROWEST: f32 = 4.0;
/// Nor are slender ones higher than this.
const TALLEST: f32 = 900.0;

impl ImageGrid {
    /// A grid of `columns` pictures a row (at least one), without pictures yet. An empty `title` takes no room.
    pub fn new(title: &str, columns: usize) -> Self {
        ImageGrid {
            title: title.to_owned(),
            columns: columns.max(1),
            panels: Vec::new(),
        }
    }

    /// Adds a gray picture.
    pub fn gray(self, name: &str, image: &GrayImage) -> Self {
        self.with_panel(name, Raster::from_gray(image))
    }

    /// Adds a colour picture.
    pub fn rgb(self, name: &str, image: &RgbImage) -> Self {
        self.with_panel(name, Raster::from_rgb(image))
    }

    /// Adds `values`, given row by row, each row `width` long, coloured as in a
    /// [`HeatMap`](crate::plot::HeatMap) of its own.
    pub fn values(self, name: &str, width: usize, values: &[f32], map: ColorMap) -> Self {
        let (low, high) = ends(values, map).unwrap_or((0.0, 1.0));
        self.with_panel(name, Raster::from_values(width, values, low, high, map))
    }

    /// Adds an array, whose first axis runs down, coloured like [`values`](ImageGrid::values).
    pub fn array(self, name: &str, array: &Array2<f32>, map: ColorMap) -> Self {
        let values: Vec<f32> = array.iter().copied().collect();
        self.values(name, array.ncols(), &values, map)
    }

    fn with_panel(mut self, name: &str, raster: Raster) -> Self {
        self.panels.push(Panel {
            name: name.to_owned(),
            raster,
        });
        self
    }

    /// Draws the grid.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without pictures or with an empty one, [`PlotError::Count`] when values do not fill whole rows,
    /// [`PlotError::TooLarge`] for hundreds of pictures a row.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        let names = self.panels.iter().map(|panel| &panel.name);
        text::warn(names.chain([&self.title]).map(String::as_str));
        // No overflow: the height of a raster is what its pixels fill.
        let size = |panel: &Panel| panel.raster.width * panel.raster.height;
        if self.panels.is_empty() || self.panels.iter().any(|p| size(p) == 0) {
            return Err(PlotError::Empty {
                what: "a grid of pictures, and each picture,",
            });
        }
        for panel in &self.panels {
            let (expected, got) = (size(panel), panel.raster.pixels.len());
            if got != expected {
                return Err(PlotError::Count {
                    name: panel.name.clone(),
                    expected,
                    got,
                });
            }
        }
        let columns = self.columns.min(self.panels.len()) as f32;
        let panel_width = ((WIDTH - 2.0 * EDGE - (columns - 1.0) * GAP) / columns).floor();
        // With many pictures a row the figure grows wider, up to its limit.
        let panel_width = panel_width.max(NARROWEST);
        let panel_width = if columns < 3.0 && self.is_small() {
            panel_width.min(LARGEST)
        } else {
            panel_width
        };
        let heights: Vec<f32> = self
            .panels
            .chunks(self.columns)
            .map(|row| row_height(row, panel_width))
            .collect();
        let name_height = if self.panels.iter().all(|p| p.name.is_empty()) {
            0.0
        } else {
            24.0
        };
        let top = title_height(&self.title);
        let height = top + heights.iter().map(|h| h + name_height + GAP).sum::<f32>();
        let width = (2.0 * EDGE + columns * (panel_width + GAP) - GAP)
            .max(TITLE.width(&self.title) + 2.0 * EDGE);
        let mut canvas = Canvas::checked(width, height)?;
        draw_title(&mut canvas, &self.title, EDGE);
        let mut y = top;
        for (row, row_height) in self.panels.chunks(self.columns).zip(&heights) {
            for (i, panel) in row.iter().enumerate() {
                let x = EDGE + i as f32 * (panel_width + GAP);
                draw_panel(&mut canvas, panel, x, y, panel_width, name_height);
            }
            y += row_height + name_height + GAP;
        }
        Ok(canvas.finish())
    }

    fn is_small(&self) -> bool {
        self.panels
            .iter()
            .all(|p| (p.raster.width as f32) < LARGEST)
    }
}

/// Width and height of a picture that has `room` across.
fn panel_size(panel: &Panel, room: f32) -> (f32, f32) {
    let (width, height) = (panel.raster.width as f32, panel.raster.height as f32);
    let scale = (room / width).min(TALLEST / height);
    (
        (width * scale).round().max(1.0),
        (height * scale).round().max(1.0),
    )
}

fn row_height(row: &[Panel], room: f32) -> f32 {
    row.iter()
        .map(|p| panel_size(p, room).1)
        .fold(0.0, f32::max)
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, x: f32, y: f32, room: f32, name_height: f32) {
    let (width, height) = panel_size(panel, room);
    // A name too long for a narrow picture is set smaller.
    let size = (LABEL.size * room / LABEL.width(&panel.name).max(1.0)).clamp(9.0, LABEL.size);
    canvas.text(&panel.name, x, y + 0.45 * name_height, LABEL.size(size));
    canvas.image(&panel.raster, x, y + name_height, width, height);
    canvas.frame(x, y + name_height, width, height, 0.5, FAINT);
}

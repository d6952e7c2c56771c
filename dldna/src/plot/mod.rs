//! The figures of the book, in one look: white paper, few colours, large type.
//!
//! Each kind of figure is a builder whose `draw` returns a [`Figure`], which a notebook shows when it is the last value of a cell:
//!
//! ```
//! use dldna::plot::Chart;
//!
//! let x: Vec<f32> = (0..100).map(|i| i as f32 / 10.0).collect();
//! let y: Vec<f32> = x.iter().map(|x| x.sin()).collect();
//! Chart::new("A sine").line("sin x", &x, &y).x_label("x").draw()?
//!     .with_alt("A wave between -1 and 1 that repeats every 6.3.");
//! # Ok::<(), dldna::plot::PlotError>(())
//! ```

mod arrow;
mod axis;
mod bars;
mod canvas;
mod chart;
mod color;
mod figure;
mod heat_map;
mod image_grid;
mod matrix;
mod raster;
mod text;
mod timeline;

pub use bars::BarChart;
pub use chart::Chart;
pub use color::ColorMap;
pub use figure::Figure;
pub use heat_map::HeatMap;
pub use image_grid::ImageGrid;
pub use timeline::Timeline;

pub(crate) use arrow::{draw_arrow, draw_line};
pub(crate) use axis::number;
pub(crate) use canvas::{Canvas, LABEL, LINE_SPACING, TITLE, draw_title};
pub(crate) use color::{FAINT, INK, MUTED, PALETTE, PAPER};
pub(crate) use matrix::draw_matrix;
pub(crate) use raster::Raster;
pub(crate) use text::{warn as warn_of_letters, wrapped};

/// What can be drawn as one figure.
pub trait Draw {
    /// The figure.
    ///
    /// # Errors
    /// [`PlotError`] when there is nothing to draw.
    fn draw(&self) -> Result<Figure, PlotError>;
}

/// What can be wrong with a figure.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// There is nothing that could be drawn.
    #[error(
        "{what} needs at least one value that can be drawn (finite; positive on a logarithmic axis)"
    )]
    Empty {
        /// The kind of figure.
        what: &'static str,
    },
    /// A series whose coordinates do not pair up.
    #[error(
        "series `{name}` has {x} x values and {y} y values; it needs as many of one as of the other"
    )]
    Lengths {
        /// The series.
        name: String,
        /// Number of x values.
        x: usize,
        /// Number of y values.
        y: usize,
    },
    /// Data whose length contradicts the stated shape or labels.
    #[error("`{name}` has {got} values, expected {expected}")]
    Count {
        /// What was counted.
        name: String,
        /// The number that fits.
        expected: usize,
        /// The number that came.
        got: usize,
    },
    /// A figure that would have too many pixels.
    #[error(
        "the figure would be {width:.0}x{height:.0} pixels, expected at most {} each way: show fewer items, or more a row",
        canvas::LARGEST_SIDE
    )]
    TooLarge {
        /// Pixels across.
        width: f32,
        /// Pixels down.
        height: f32,
    },
    /// A range of colours that is none.
    #[error("a range needs two finite numbers, the smaller one first, got {low} and {high}")]
    Range {
        /// The lower end that came.
        low: f32,
        /// The upper end that came.
        high: f32,
    },
    /// The file could not be written.
    #[error("cannot write the figure to {}: {source}", path.display())]
    Save {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The drawing library failed.
    #[error("cannot draw the figure: {0}")]
    Drawing(String),
}

/// A number that can be plotted.
pub trait Number: Copy {
    /// The number as f64 (integers beyond 2⁵³ are rounded).
    fn to_f64(self) -> f64;
}

macro_rules! impl_number {
    ($($t:ty),*) => {$(
        impl Number for $t {
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

impl_number!(f32, f64, u8, i32, u32, i64, u64, usize);

fn numbers<T: Number>(values: &[T]) -> Vec<f64> {
    values.iter().map(|v| v.to_f64()).collect()
}

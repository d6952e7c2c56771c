//! A picture of branches.

use crate::chapter::block_diagram::{draw_sign, horizontal, vertical};
use crate::plot::{
    Canvas, Figure, LABEL, MUTED, PALETTE, PAPER, PlotError, TITLE, draw_title, warn_of_letters,
};
use plotters::style::RGBColor;

/// Branches side by side: the input at the top, a column of layers for each branch, and below them what becomes of their
/// results. The columns have the colours that series have in a [`Chart`](crate::plot::Chart), in the same order.
///
/// # Example
/// ```
/// use dldna::inception::BranchDiagram;
///
/// let figure = BranchDiagram::new("Two branches and a shortcut", "x: 192 channels")
///     .branch(&["1x1, 64"])
///     .branch(&["1x1, 96", "3x3, 128"])
///     .concatenated("concatenated: 192 channels")
///     .plus_input("ReLU")
///     .draw()?;
/// assert!(figure.width() > 200);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BranchDiagram {
    title: String,
    input: String,
    branches: Vec<Vec<String>>,
    /// The bar in which the branches meet.
    meeting: String,
    /// Layers behind it.
    then: Vec<String>,
    /// What follows the sum with the input, if there is one.
    after_sum: Option<String>,
}

const MARGIN: f32 = 14.0;
const TOP: f32 = 44.0;
const BOX_HEIGHT: f32 = 36.0;
/// Between two boxes, down and across.
const DOWN: f32 = 26.0;
const ACROSS: f32 = 16.0;
const STROKE: f32 = 2.0;
/// From the boxes to the line that goes around them.
const ASIDE: f32 = 26.0;
const ROW: f32 = BOX_HEIGHT + DOWN;

impl BranchDiagram {
    /// A picture without branches yet; `input` says what enters them.
    pub fn new(title: &str, input: &str) -> Self {
        BranchDiagram {
            title: title.to_owned(),
            input: input.to_owned(),
            branches: Vec::new(),
            meeting: String::new(),
            then: Vec::new(),
            after_sum: None,
        }
    }

    /// Adds a branch: its layers from top to bottom.
    pub fn branch(mut self, layers: &[&str]) -> Self {
        let layers = layers.iter().map(|&layer| layer.to_owned());
        self.branches.push(layers.collect());
        self
    }

    /// Says what the branches give together.
    pub fn concatenated(mut self, label: &str) -> Self {
        self.meeting = label.to_owned();
        self
    }

    /// Adds a layer behind the place where the branches meet.
    pub fn then(mut self, layer: &str) -> Self {
        self.then.push(layer.to_owned());
        self
    }

    /// Leads the input around all that was added so far, and adds it; `after` is what follows the sum, such as `ReLU`.
    pub fn plus_input(mut self, after: &str) -> Self {
        self.after_sum = Some(after.to_owned());
        self
    }

    /// Draws the branches.
    ///
    /// # Errors
    /// [`PlotError::Empty`] without a branch, [`PlotError::TooLarge`] for hundreds of them.
    pub fn draw(&self) -> Result<Figure, PlotError> {
        let Some(rows) = self.branches.iter().map(Vec::len).max() else {
            return Err(PlotError::Empty {
                what: "a picture of branches",
            });
        };
        let layers = self.branches.iter().flatten().chain(&self.then);
        let texts = layers.chain([&self.title, &self.input, &self.meeting]);
        warn_of_letters(texts.chain(&self.after_sum).map(String::as_str));

        let inside = self.branches.len() as f32 * (self.column() + ACROSS) - ACROSS;
        let aside = if self.after_sum.is_some() {
            ASIDE + 8.0
        } else {
            0.0
        };
        let width = (inside + aside).max(TITLE.width(&self.title)) + 2.0 * MARGIN;
        let below = self.then.len() + if self.after_sum.is_some() { 2 } else { 0 };
        let height = top(rows + 2 + below) - DOWN + MARGIN;
        let mut canvas = Canvas::checked(width, height)?;
        draw_title(&mut canvas, &self.title, MARGIN);
        for (index, layers) in self.branches.iter().enumerate() {
            self.draw_branch(&mut canvas, index, layers, rows);
        }
        draw_box(&mut canvas, (MARGIN, top(0)), inside, MUTED, &self.input);
        draw_box(
            &mut canvas,
            (MARGIN, top(rows + 1)),
            inside,
            MUTED,
            &self.meeting,
        );
        self.draw_rest(&mut canvas, rows + 2, inside);
        Ok(canvas.finish())
    }

    /// Width of a branch.
    fn column(&self) -> f32 {
        let labels = self.branches.iter().flatten();
        labels.map(|l| LABEL.width(l)).fold(72.0, f32::max) + 18.0
    }

    fn draw_branch(&self, canvas: &mut Canvas, index: usize, layers: &[String], rows: usize) {
        let column = self.column();
        let left = MARGIN + index as f32 * (column + ACROSS);
        let color = PALETTE[index % PALETTE.len()];
        vertical(
            canvas,
            left + column / 2.0,
            top(0) + BOX_HEIGHT,
            top(rows + 1),
            color,
        );
        for (level, label) in layers.iter().enumerate() {
            // A short column stands in the middle of the long ones.
            let shift = (rows - layers.len()) as f32 / 2.0 * ROW;
            draw_box(canvas, (left, top(level + 1) + shift), column, color, label);
        }
    }

    /// What follows the place where the branches meet, from `row` on.
    fn draw_rest(&self, canvas: &mut Canvas, row: usize, inside: f32) {
        let middle = MARGIN + inside / 2.0;
        for (index, label) in self.then.iter().enumerate() {
            vertical(
                canvas,
                middle,
                top(row + index) - DOWN,
                top(row + index),
                MUTED,
            );
            draw_narrow(canvas, middle, top(row + index), label);
        }
        let Some(after) = &self.after_sum else {
            return;
        };
        let row = row + self.then.len();
        let sum = top(row) + BOX_HEIGHT / 2.0;
        let (edge, aside) = (MARGIN + inside, MARGIN + inside + ASIDE);
        let input = top(0) + BOX_HEIGHT / 2.0;
        horizontal(canvas, edge + STROKE, aside, input, PALETTE[3]);
        vertical(canvas, aside, input, sum, PALETTE[3]);
        horizontal(canvas, middle, aside, sum, PALETTE[3]);
        vertical(canvas, middle, top(row) - DOWN, top(row + 1), MUTED);
        draw_sign(canvas, "+", middle, sum, PALETTE[3]);
        canvas.text("x", (middle + aside) / 2.0, sum - 14.0, LABEL.centered());
        draw_narrow(canvas, middle, top(row + 1), after);
    }
}

fn top(row: usize) -> f32 {
    TOP + row as f32 * ROW
}

/// A box that is as wide as its label.
fn draw_narrow(canvas: &mut Canvas, middle: f32, y: f32, label: &str) {
    let width = LABEL.width(label) + 28.0;
    draw_box(canvas, (middle - width / 2.0, y), width, MUTED, label);
}

/// A white box with a label.
fn draw_box(canvas: &mut Canvas, (x, y): (f32, f32), width: f32, color: RGBColor, label: &str) {
    canvas.fill(x, y, width, BOX_HEIGHT, PAPER);
    canvas.frame(x, y, width, BOX_HEIGHT, STROKE, color);
    let style = LABEL.centered();
    canvas.text(label, x + width / 2.0, y + BOX_HEIGHT / 2.0, style);
}

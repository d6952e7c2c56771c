//! A picture of branches.

use crate::plot::{Canvas, Figure, LABEL, MUTED, PALETTE, PAPER, PlotError, draw_title};
use plotters::style::RGBColor;

const MARGIN: f32 = 16.0;
const TOP: f32 = 44.0;
const BOX_HEIGHT: f32 = 38.0;
/// Between two boxes, down and across.
const GAP: f32 = 30.0;
const STROKE: f32 = 2.0;

/// Draws branches side by side: `input` at the top, a column of layers for each branch, `output` at the bottom where
/// they meet. The columns have the colours that series have in a [`Chart`](crate::plot::Chart), in the same order.
///
/// # Errors
/// [`PlotError::Empty`] without a branch, [`PlotError::TooLarge`] for hundreds of them.
///
/// ```
/// let branches = [&["1x1, 64"][..], &["1x1, 96", "3x3, 128"]];
/// let figure = dldna::inception::draw_branches("Two branches", "192 channels", &branches, "192 channels")?;
/// assert!(figure.width() > 200);
/// # Ok::<(), dldna::plot::PlotError>(())
/// ```
pub fn draw_branches(
    title: &str,
    input: &str,
    branches: &[&[&str]],
    output: &str,
) -> Result<Figure, PlotError> {
    let Some(rows) = branches.iter().map(|layers| layers.len()).max() else {
        return Err(PlotError::Empty {
            what: "a picture of branches",
        });
    };
    let labels = branches.iter().copied().flatten();
    let column = labels.map(|l| LABEL.width(l)).fold(80.0, f32::max) + 28.0;
    let row = |index: usize| TOP + index as f32 * (BOX_HEIGHT + GAP);
    let inside = branches.len() as f32 * (column + GAP) - GAP;
    let mut canvas = Canvas::checked(inside + 2.0 * MARGIN, row(rows + 2) - GAP + MARGIN)?;
    draw_title(&mut canvas, title, MARGIN);
    for (index, layers) in branches.iter().enumerate() {
        let left = MARGIN + index as f32 * (column + GAP);
        let color = PALETTE[index % PALETTE.len()];
        let line_top = row(0) + BOX_HEIGHT;
        let line_height = row(rows + 1) - line_top;
        canvas.rule(left + column / 2.0, line_top, STROKE, line_height, color);
        for (level, label) in layers.iter().enumerate() {
            // A short column stands in the middle of the long ones.
            let shift = (rows - layers.len()) as f32 / 2.0 * (BOX_HEIGHT + GAP);
            draw_box(
                &mut canvas,
                (left, row(level + 1) + shift),
                column,
                color,
                label,
            );
        }
    }
    draw_box(&mut canvas, (MARGIN, row(0)), inside, MUTED, input);
    draw_box(&mut canvas, (MARGIN, row(rows + 1)), inside, MUTED, output);
    Ok(canvas.finish())
}

/// A white box with a label.
fn draw_box(canvas: &mut Canvas, (x, y): (f32, f32), width: f32, color: RGBColor, label: &str) {
    canvas.fill(x, y, width, BOX_HEIGHT, PAPER);
    canvas.frame(x, y, width, BOX_HEIGHT, STROKE, color);
    canvas.text(
        label,
        x + width / 2.0,
        y + BOX_HEIGHT / 2.0,
        LABEL.centered(),
    );
}

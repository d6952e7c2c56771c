//! A plain and a residual block side by side.

use crate::plot::{Canvas, Figure, LABEL, MUTED, PALETTE, PAPER};
use plotters::style::RGBColor;

const WIDTH: f32 = 560.0;
const BOX: (f32, f32) = (168.0, 38.0);
/// Between two boxes, where the arrow is.
const GAP: f32 = 26.0;
const TOP: f32 = 56.0;
/// From one box to the next.
const STEP: f32 = BOX.1 + GAP;
const STROKE: f32 = 2.0;
const RADIUS: f32 = 14.0;
/// From the middle of the block to its shortcut.
const AROUND: f32 = 124.0;

/// The two convolutions of a block without a shortcut and of one with a shortcut: He et al. 2015, figure 2.
///
/// ```
/// let figure = dldna::residual_learning::draw_blocks();
/// assert!(figure.html().is_some()); // it has its alternative text
/// ```
pub fn draw_blocks() -> Figure {
    let mut canvas = Canvas::new(WIDTH, TOP + 5.0 * STEP + 44.0);
    let (left, right) = (0.24 * WIDTH, 0.66 * WIDTH);
    canvas.text("plain block", left, 18.0, LABEL.bold().centered());
    canvas.text("residual block", right, 18.0, LABEL.bold().centered());

    draw_convolutions(&mut canvas, left, MUTED);
    draw_arrow(&mut canvas, left, row(3) - GAP, row(4));
    draw_box(&mut canvas, left, 4, MUTED, "ReLU");
    draw_output(&mut canvas, left, "F(x)");

    draw_shortcut(&mut canvas, right);
    draw_convolutions(&mut canvas, right, PALETTE[0]);
    canvas.text("F(x)", right - 12.0, row(3) - 12.0, LABEL.right());
    let plus = row(3) + 0.5 * BOX.1;
    draw_arrow(&mut canvas, right, row(3) - GAP, plus - RADIUS);
    canvas.circle(right, plus, RADIUS, PALETTE[1]);
    canvas.text("+", right, plus, LABEL.bold().centered().color(PAPER));
    draw_arrow(&mut canvas, right, plus + RADIUS, row(4));
    draw_box(&mut canvas, right, 4, MUTED, "ReLU");
    draw_output(&mut canvas, right, "F(x) + x");
    canvas.finish().with_alt(
        "Two blocks from top to bottom. In both, x goes through a convolution, a ReLU and a second convolution, which \
         give F(x), and at the end through a ReLU. In the residual block a line leaves x, passes the convolutions by, \
         and meets F(x) at a plus, so that the last ReLU gets F(x) + x.",
    )
}

/// Top of the box in a row; row 3 is that of the addition.
fn row(index: usize) -> f32 {
    TOP + index as f32 * STEP
}

/// The input, two convolutions and the ReLU between them.
fn draw_convolutions(canvas: &mut Canvas, middle: f32, color: RGBColor) {
    canvas.text("x", middle - 12.0, TOP - GAP + 8.0, LABEL.right());
    for (index, label) in ["3x3 convolution", "ReLU", "3x3 convolution"]
        .iter()
        .enumerate()
    {
        draw_arrow(canvas, middle, row(index) - GAP, row(index));
        draw_box(canvas, middle, index, color, label);
    }
}

/// From the input around the convolutions to the addition.
fn draw_shortcut(canvas: &mut Canvas, middle: f32) {
    let (start, end) = (TOP - GAP + 10.0, row(3) + 0.5 * BOX.1);
    let color = PALETTE[1];
    canvas.rule(middle, start - STROKE, AROUND, STROKE, color);
    canvas.rule(middle + AROUND - STROKE, start, STROKE, end - start, color);
    canvas.rule(
        middle + RADIUS,
        end - STROKE,
        AROUND - RADIUS,
        STROKE,
        color,
    );
    let text_y = 0.5 * (start + end);
    canvas.text("x", middle + AROUND + 8.0, text_y, LABEL.color(color));
    for width in 0..8 {
        let half = width as f32;
        canvas.fill(
            middle + RADIUS + half,
            end - 1.0 - 0.6 * half,
            1.0,
            1.2 * half,
            color,
        );
    }
}

fn draw_output(canvas: &mut Canvas, middle: f32, label: &str) {
    draw_arrow(canvas, middle, row(5) - GAP, row(5));
    canvas.text(
        &format!("ReLU({label})"),
        middle,
        row(5) + 14.0,
        LABEL.centered(),
    );
}

/// A line downwards with a head.
fn draw_arrow(canvas: &mut Canvas, x: f32, from: f32, to: f32) {
    canvas.rule(x - 0.5 * STROKE, from, STROKE, to - from - 4.0, MUTED);
    for height in 0..8 {
        let half = 0.6 * height as f32;
        canvas.fill(x - half, to - 1.0 - height as f32, 2.0 * half, 1.0, MUTED);
    }
}

/// A white box with a label, in the middle of its column.
fn draw_box(canvas: &mut Canvas, middle: f32, index: usize, color: RGBColor, label: &str) {
    let (x, y) = (middle - 0.5 * BOX.0, row(index));
    canvas.fill(x, y, BOX.0, BOX.1, PAPER);
    canvas.frame(x, y, BOX.0, BOX.1, STROKE, color);
    canvas.text(label, middle, y + 0.5 * BOX.1, LABEL.centered());
}

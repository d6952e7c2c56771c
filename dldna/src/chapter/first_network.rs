//! The drawing of the first notebook: a network as a chain of steps, with the values on the way forward and the slopes on the way back.

use crate::plot::{Canvas, FAINT, Figure, INK, LABEL, MUTED, PALETTE, draw_arrow, number};

/// Width of the drawing.
const WIDTH: f32 = 640.0;

/// A chain of steps, each with its name, its value (blue, on the way forward) and the slope of the last value with respect to it
/// (orange, on the way back).
///
/// # Example
/// ```
/// use dldna::first_network::draw_chain;
///
/// // loss = (3 x - 4)², x = 2: the slope by 3 x is 2 · (6 - 4), the slope by x is 3 times that.
/// let figure = draw_chain(&[("x", 2.0, 12.0), ("3 · x", 6.0, 4.0), ("(y − 4)²", 4.0, 1.0)]);
/// assert_eq!(figure.width(), 640);
/// ```
pub fn draw_chain(steps: &[(&str, f32, f32)]) -> Figure {
    let mut canvas = Canvas::new(WIDTH, 196.0);
    let room = (WIDTH - 24.0) / steps.len().max(1) as f32;
    let (box_width, top, height) = ((0.62 * room).min(120.0), 72.0, 44.0);
    let center = |index: usize| 12.0 + room * (index as f32 + 0.5);
    canvas.text(
        "forward: values",
        12.0,
        18.0,
        LABEL.bold().color(PALETTE[0]),
    );
    canvas.text(
        "backward: slopes of the loss",
        12.0,
        180.0,
        LABEL.bold().color(PALETTE[1]),
    );
    for (index, (name, value, slope)) in steps.iter().enumerate() {
        let x = center(index);
        let left = x - 0.5 * box_width;
        canvas.fill(left, top, box_width, height, FAINT);
        canvas.frame(left, top, box_width, height, 1.0, MUTED);
        canvas.text(
            name,
            x,
            top + 0.5 * height,
            LABEL.bold().centered().color(INK),
        );
        let value = number((*value).into());
        canvas.text(
            &value,
            x,
            top - 18.0,
            LABEL.bold().centered().color(PALETTE[0]),
        );
        let slope = number((*slope).into());
        let below = top + height + 20.0;
        canvas.text(&slope, x, below, LABEL.bold().centered().color(PALETTE[1]));
        if index > 0 {
            let before = center(index - 1) + 0.5 * box_width;
            let (right, y) = (left - 5.0, top + 12.0);
            draw_arrow(&mut canvas, (before + 5.0, y), (right, y), 2.0, PALETTE[0]);
            let y = top + height - 12.0;
            draw_arrow(&mut canvas, (right, y), (before + 5.0, y), 2.0, PALETTE[1]);
        }
    }
    canvas.finish()
}

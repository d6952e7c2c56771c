//! Two 3x3 convolutions beside one 5x5 convolution.

use crate::plot::{Canvas, Figure, LABEL, MUTED, PALETTE, PAPER};
use plotters::style::{Color, RGBColor};

const CELL: f32 = 24.0;
const MARGIN: f32 = 16.0;
const ROOM: f32 = 96.0;
const TOP: f32 = 40.0;
/// From the top of one row of grids to that of the next.
const STEP: f32 = 5.0 * CELL + 64.0;

/// How one output of two 3x3 convolutions, and one of a 5x5 convolution, come from the same 5x5 pixels.
///
/// ```
/// assert!(dldna::vgg::draw_windows().html().is_some()); // it has its alternative text
/// ```
pub fn draw_windows() -> Figure {
    let grids = 9.0 * CELL + 2.0 * ROOM;
    let mut canvas = Canvas::new(2.0 * MARGIN + grids, TOP + STEP + 5.0 * CELL + MARGIN);
    let [first, second, third] = [0.0, 5.0 * CELL + ROOM, 8.0 * CELL + 2.0 * ROOM];
    let title = "two 3x3 convolutions: 2 · 9 = 18 weights";
    canvas.text(title, MARGIN, 18.0, LABEL.bold());
    draw_grid(&mut canvas, first, TOP, 5, 3);
    draw_arrow(&mut canvas, first + 5.0 * CELL, second, TOP, "3x3");
    draw_grid(&mut canvas, second, TOP, 3, 1);
    draw_arrow(&mut canvas, second + 3.0 * CELL, third, TOP, "3x3");
    draw_grid(&mut canvas, third, TOP, 1, 0);

    let top = TOP + STEP;
    let title = "one 5x5 convolution: 25 weights";
    canvas.text(title, MARGIN, top - 22.0, LABEL.bold());
    draw_grid(&mut canvas, first, top, 5, 0);
    draw_arrow(&mut canvas, first + 5.0 * CELL, third, top, "5x5");
    draw_grid(&mut canvas, third, top, 1, 0);
    canvas.finish().with_alt(
        "Above, 5x5 pixels become 3x3 numbers by a 3x3 convolution, and these become one number by a second; the \
         upper left 3x3 pixels and the number that they give are orange. Below, one 5x5 convolution makes one number \
         of the same 5x5 pixels. The first way has 18 weights, the second 25.",
    )
}

/// A grid of `side` cells in the middle of its row. The `marked` cells across and down of its upper left corner are orange.
fn draw_grid(canvas: &mut Canvas, left: f32, top: f32, side: usize, marked: usize) {
    let top = top + 0.5 * (5 - side) as f32 * CELL;
    for row in 0..side {
        for column in 0..side {
            let (x, y) = (
                MARGIN + left + column as f32 * CELL,
                top + row as f32 * CELL,
            );
            let color = PALETTE[if row < marked && column < marked {
                1
            } else {
                0
            }];
            canvas.fill(x, y, CELL, CELL, PAPER);
            canvas.fill(x + 1.0, y + 1.0, CELL - 2.0, CELL - 2.0, tint(color));
            canvas.frame(x + 1.0, y + 1.0, CELL - 2.0, CELL - 2.0, 1.0, color);
        }
    }
}

/// A pale shade of `color`.
fn tint(color: RGBColor) -> RGBColor {
    let (r, g, b) = color.rgb();
    let pale = |c: u8| 255 - (255 - c) / 3;
    RGBColor(pale(r), pale(g), pale(b))
}

/// An arrow to the right, in the middle of its row, with a name above it.
fn draw_arrow(canvas: &mut Canvas, from: f32, to: f32, top: f32, name: &str) {
    let (from, to, y) = (MARGIN + from + 10.0, MARGIN + to - 10.0, top + 2.5 * CELL);
    canvas.rule(from, y - 1.0, to - from - 4.0, 2.0, MUTED);
    for back in 0..8 {
        let half = 0.6 * back as f32;
        canvas.fill(to - 1.0 - back as f32, y - half, 1.0, 2.0 * half, MUTED);
    }
    canvas.text(name, 0.5 * (from + to), y - 14.0, LABEL.centered());
}

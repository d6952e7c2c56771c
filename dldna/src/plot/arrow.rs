//! Straight lines and arrows.

use super::canvas::{Canvas, SCALE, stroked};
use plotters::element::PathElement;
use plotters::style::RGBColor;

type Point = (f32, f32);

/// A straight line.
pub(crate) fn draw_line(canvas: &mut Canvas, from: Point, to: Point, stroke: f32, color: RGBColor) {
    let at = |(x, y): Point| ((SCALE * x).round() as i32, (SCALE * y).round() as i32);
    let line = PathElement::new(vec![at(from), at(to)], stroked(color, stroke));
    let drawn = canvas.area().draw(&line);
    debug_assert!(drawn.is_ok(), "drawing into memory does not fail");
}

/// A straight line with a head at its end.
pub(crate) fn draw_arrow(
    canvas: &mut Canvas,
    from: Point,
    to: Point,
    stroke: f32,
    color: RGBColor,
) {
    draw_line(canvas, from, to, stroke, color);
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let (dx, dy) = (7.0 * dx / length, 7.0 * dy / length);
    for side in [-0.6, 0.6] {
        let back = (to.0 - dx - side * dy, to.1 - dy + side * dx);
        draw_line(canvas, to, back, stroke, color);
    }
}

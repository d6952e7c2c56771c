//! The surface that every figure is drawn on.

use super::color::INK;
use super::raster::Raster;
use super::text::{self, Weight};
use crate::plot::{Figure, PlotError};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::prelude::BitMapBackend;
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color, RGBColor, ShapeStyle};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle};
use plotters_backend::{DrawingBackend, DrawingErrorKind, FontStyle, FontTransform};

/// Figures are drawn twice as large and then halved, which smooths every edge.
pub(crate) const SCALE: f32 = 2.0;

/// Size, weight, colour and anchor of a piece of text. Sizes are in pixels of the finished figure.
#[derive(Clone, Copy)]
pub(crate) struct TextStyle {
    pub size: f32,
    pub weight: Weight,
    pub color: RGBColor,
    pub h_pos: HPos,
    pub v_pos: VPos,
}

/// Width of the figures that choose it themselves: on a page of 400 pixels their labels are still nine pixels high.
pub(crate) const WIDTH: f32 = 640.0;

/// Axis labels, legends and captions.
pub(crate) const LABEL: TextStyle = TextStyle {
    size: 15.0,
    weight: Weight::Regular,
    color: INK,
    h_pos: HPos::Left,
    v_pos: VPos::Center,
};
/// The figure's title.
pub(crate) const TITLE: TextStyle = TextStyle {
    size: 19.0,
    weight: Weight::Bold,
    ..LABEL
};

impl TextStyle {
    pub fn centered(self) -> Self {
        TextStyle {
            h_pos: HPos::Center,
            ..self
        }
    }

    pub fn right(self) -> Self {
        TextStyle {
            h_pos: HPos::Right,
            ..self
        }
    }

    pub fn color(self, color: RGBColor) -> Self {
        TextStyle { color, ..self }
    }

    pub fn bold(self) -> Self {
        TextStyle {
            weight: Weight::Bold,
            ..self
        }
    }

    pub fn size(self, size: f32) -> Self {
        TextStyle { size, ..self }
    }

    pub fn width(&self, text: &str) -> f32 {
        text::width(text, self.size, self.weight)
    }
}

/// Nobody looks at a figure of more pixels, and it would fill the memory.
pub(crate) const LARGEST_SIDE: f32 = 8000.0;

/// Refuses a figure of too many pixels.
pub(crate) fn check_size(width: f32, height: f32) -> Result<(), PlotError> {
    if width <= LARGEST_SIDE && height <= LARGEST_SIDE {
        return Ok(());
    }
    Err(PlotError::TooLarge { width, height })
}

/// White paper; all coordinates are pixels of the finished figure.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    pub fn new(width: f32, height: f32) -> Self {
        let (width, height) = (
            width.ceil().max(1.0) as usize,
            height.ceil().max(1.0) as usize,
        );
        Canvas {
            width,
            height,
            pixels: vec![255; 3 * width * height * (SCALE * SCALE) as usize],
        }
    }

    /// A canvas whose size depends on the reader's data.
    pub fn checked(width: f32, height: f32) -> Result<Self, PlotError> {
        check_size(width, height)?;
        Ok(Canvas::new(width, height))
    }

    fn full_size(&self) -> (u32, u32) {
        (
            (self.width as f32 * SCALE) as u32,
            (self.height as f32 * SCALE) as u32,
        )
    }

    fn surface(&mut self) -> Surface<'_> {
        let size = self.full_size();
        Surface {
            bitmap: BitMapBackend::with_buffer(&mut self.pixels, size),
        }
    }

    /// The whole surface for plotters, whose coordinates and sizes are `SCALE` times ours.
    pub fn area(&mut self) -> DrawingArea<Surface<'_>, Shift> {
        self.surface().into_drawing_area()
    }

    pub fn fill(&mut self, x: f32, y: f32, width: f32, height: f32, color: RGBColor) {
        let corner = point(x + width, y + height);
        // plotters includes the last row and column.
        let corner = (corner.0 - 1, corner.1 - 1);
        if corner.0 >= point(x, y).0 && corner.1 >= point(x, y).1 {
            done(self.surface().draw_rect(point(x, y), corner, &color, true));
        }
    }

    /// The outline of a rectangle, drawn just outside of it.
    pub fn frame(&mut self, x: f32, y: f32, width: f32, height: f32, stroke: f32, color: RGBColor) {
        self.fill(x - stroke, y - stroke, width + 2.0 * stroke, stroke, color);
        self.fill(x - stroke, y + height, width + 2.0 * stroke, stroke, color);
        self.fill(x - stroke, y, stroke, height, color);
        self.fill(x + width, y, stroke, height, color);
    }

    /// A rectangle moved to whole pixels, so that thin lines keep their weight.
    pub fn rule(&mut self, x: f32, y: f32, width: f32, height: f32, color: RGBColor) {
        self.fill(x.round(), y.round(), width.round(), height.round(), color);
    }

    pub fn circle(&mut self, x: f32, y: f32, radius: f32, color: RGBColor) {
        done(
            self.surface()
                .draw_circle(point(x, y), (radius * SCALE) as u32, &color, true),
        );
    }

    /// One or more lines of text; the vertical anchor is that of the first line's capitals.
    pub fn text(&mut self, text: &str, x: f32, y: f32, style: TextStyle) {
        for (i, line) in text.split('\n').enumerate() {
            let at = point(x, y + i as f32 * LINE_SPACING * style.size);
            done(self.surface().write(
                line,
                style.size(style.size * SCALE),
                at,
                &FontTransform::None,
            ));
        }
    }

    /// A line of text that reads upwards.
    pub fn text_upwards(&mut self, text: &str, x: f32, y: f32, style: TextStyle) {
        let style = style.size(style.size * SCALE);
        done(
            self.surface()
                .write(text, style, point(x, y), &FontTransform::Rotate270),
        );
    }

    /// `raster` scaled to the given place.
    pub fn image(&mut self, raster: &Raster, x: f32, y: f32, width: f32, height: f32) {
        if raster.pixels.is_empty() {
            return;
        }
        let (left, top) = point(x, y);
        let (right, bottom) = point(x + width, y + height);
        let scaled = raster.resized(
            (right - left).max(1) as usize,
            (bottom - top).max(1) as usize,
        );
        let size = (scaled.width as u32, scaled.height as u32);
        done(
            self.surface()
                .bitmap
                .blit_bitmap((left, top), size, &scaled.pixels.concat()),
        );
    }

    /// The upper part of the canvas, `height` pixels of it at most.
    pub fn cropped(mut self, height: f32) -> Self {
        self.height = self.height.min(height.ceil().max(1.0) as usize);
        let (width, height) = self.full_size();
        self.pixels.truncate(3 * width as usize * height as usize);
        self
    }

    pub fn finish(self) -> Figure {
        let full_width = self.full_size().0 as usize;
        let mut pixels = Vec::with_capacity(3 * self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                for c in 0..3 {
                    let at = |dx, dy| {
                        u32::from(self.pixels[3 * ((2 * y + dy) * full_width + 2 * x + dx) + c])
                    };
                    let sum = at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1);
                    pixels.push(((sum + 2) / 4) as u8);
                }
            }
        }
        Figure::new(self.width, self.height, pixels)
    }
}

/// Distance between base lines, in sizes of the text.
pub(crate) const LINE_SPACING: f32 = 1.3;

fn point(x: f32, y: f32) -> BackendCoord {
    ((x * SCALE).round() as i32, (y * SCALE).round() as i32)
}

pub(crate) fn stroked(color: RGBColor, stroke: f32) -> ShapeStyle {
    Color::stroke_width(&color, (stroke * SCALE).round().max(1.0) as u32)
}

/// Drawing into memory does not fail: plotters' bitmap has no such error.
fn done<E: std::error::Error + Send + Sync>(result: Result<(), DrawingErrorKind<E>>) {
    debug_assert!(result.is_ok(), "{result:?}");
}

/// plotters' bitmap, with text set by [`text`].
pub(crate) struct Surface<'a> {
    bitmap: BitMapBackend<'a>,
}

type Drawn<'a> = Result<(), DrawingErrorKind<<BitMapBackend<'a> as DrawingBackend>::ErrorType>>;

impl<'a> Surface<'a> {
    /// Writes a line of text, whose size is in pixels of this surface.
    fn write(
        &mut self,
        text: &str,
        style: TextStyle,
        (x, y): BackendCoord,
        transform: &FontTransform,
    ) -> Drawn<'a> {
        let width = style.width(text);
        let left = match style.h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let base = match style.v_pos {
            VPos::Top => text::cap_height(style.size),
            VPos::Center => text::cap_height(style.size) / 2.0,
            VPos::Bottom => 0.0,
        };
        let (left, base) = (left.round() as i32, base.round() as i32);
        let mut result = Ok(());
        text::draw(text, style.size, style.weight, |dx, dy, coverage| {
            let (dx, dy) = transform.transform(left + dx, base + dy);
            if result.is_ok() {
                let color = style.color.mix(coverage.into()).to_backend_color();
                result = self.bitmap.draw_pixel((x + dx, y + dy), color);
            }
        });
        result
    }
}

impl<'a> DrawingBackend for Surface<'a> {
    type ErrorType = <BitMapBackend<'a> as DrawingBackend>::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.bitmap.get_size()
    }

    fn ensure_prepared(&mut self) -> Drawn<'a> {
        self.bitmap.ensure_prepared()
    }

    fn present(&mut self) -> Drawn<'a> {
        self.bitmap.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn<'a> {
        self.bitmap.draw_pixel(point, color)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        upper_left: BackendCoord,
        bottom_right: BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn<'a> {
        self.bitmap.draw_rect(upper_left, bottom_right, style, fill)
    }

    /// A line of even width with round joints: a pixel is inked by its distance from the path.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn<'a> {
        let path: Vec<_> = path.into_iter().collect();
        let radius = style.stroke_width() as f32 / 2.0;
        let reach = radius.ceil() as i32 + 1;
        for ends in path.windows(2) {
            let ((_, y0), (_, y1)) = (ends[0], ends[1]);
            for y in y0.min(y1) - reach..=y0.max(y1) + reach {
                for x in columns_near(y, ends[0], ends[1], radius + 1.0, reach) {
                    let coverage =
                        (radius + 0.5 - distance((x, y), ends[0], ends[1])).clamp(0.0, 1.0);
                    if coverage > 0.0 {
                        let mut color = style.color();
                        color.alpha *= f64::from(coverage);
                        self.bitmap.draw_pixel((x, y), color)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        at: BackendCoord,
    ) -> Drawn<'a> {
        let (r, g, b) = style.color().rgb;
        let transform = style.transform();
        let style = TextStyle {
            size: style.size() as f32,
            weight: weight(style),
            color: RGBColor(r, g, b),
            h_pos: style.anchor().h_pos,
            v_pos: style.anchor().v_pos,
        };
        self.write(text, style, at, &transform)
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Self::ErrorType>> {
        let size = style.size() as f32;
        let width = text::width(text, size, weight(style));
        Ok((width.ceil() as u32, text::cap_height(size).ceil() as u32))
    }
}

/// The columns in which row `y` can come within `radius` of the segment between `a` and `b`, and none that are more than `reach` beyond
/// its ends.
fn columns_near(
    y: i32,
    a: BackendCoord,
    b: BackendCoord,
    radius: f32,
    reach: i32,
) -> std::ops::RangeInclusive<i32> {
    let (first, last) = (a.0.min(b.0) - reach, a.0.max(b.0) + reach);
    let (dx, dy) = ((b.0 - a.0) as f32, (b.1 - a.1) as f32);
    if dy == 0.0 {
        return first..=last;
    }
    // Where the line meets the row, and how far along the row one is within the radius of it.
    let middle = a.0 as f32 + (y - a.1) as f32 * dx / dy;
    let half = radius * dx.hypot(dy) / dy.abs();
    let (left, right) = (
        (middle - half).floor() as i32,
        (middle + half).ceil() as i32,
    );
    left.max(first)..=right.min(last)
}

/// Distance of point `p` from the segment between `a` and `b`.
fn distance(p: BackendCoord, a: BackendCoord, b: BackendCoord) -> f32 {
    let (px, py) = ((p.0 - a.0) as f32, (p.1 - a.1) as f32);
    let (dx, dy) = ((b.0 - a.0) as f32, (b.1 - a.1) as f32);
    let length = dx * dx + dy * dy;
    let t = if length > 0.0 {
        ((px * dx + py * dy) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (px - t * dx).hypot(py - t * dy)
}

fn weight(style: &impl BackendTextStyle) -> Weight {
    match style.style() {
        FontStyle::Bold => Weight::Bold,
        _ => Weight::Regular,
    }
}

/// What plotters reports, in our error.
pub(crate) fn drawing_error(error: impl std::fmt::Display) -> PlotError {
    PlotError::Drawing(error.to_string())
}

/// A title at the top left of `canvas`, if there is one.
pub(crate) fn draw_title(canvas: &mut Canvas, title: &str, x: f32) {
    // A title too long for the figure is set smaller.
    let room = canvas.width as f32 - 2.0 * x;
    let size = (TITLE.size * room / TITLE.width(title).max(1.0)).min(TITLE.size);
    canvas.text(title, x, 22.0, TITLE.size(size));
}

/// Height that a title takes.
pub(crate) fn title_height(title: &str) -> f32 {
    if title.is_empty() { 10.0 } else { 44.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_row_only_the_columns_near_a_line_are_visited_and_all_of_them() {
        let radius = 3.5;
        for (a, b) in [
            ((0, 0), (90, 80)),
            ((90, 3), (0, 70)),
            ((5, 0), (6, 99)),
            ((0, 9), (99, 9)),
            ((7, 7), (7, 7)),
        ] {
            for y in -10..110 {
                let columns = columns_near(y, a, b, radius, 10);
                for x in -9..109 {
                    let near = distance((x, y), a, b) <= radius;
                    assert!(!near || columns.contains(&x), "{a:?} {b:?} at {x}, {y}");
                }
            }
        }
        assert!(columns_near(500, (0, 0), (1000, 1000), radius, 10).count() < 15);
    }
}

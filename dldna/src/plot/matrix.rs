//! A small matrix with its values written in the cells.

use super::axis::number;
use super::canvas::{Canvas, LABEL};
use super::color::{FAINT, ink_on};
use super::heat_map::ends;
use super::raster::Raster;
use crate::plot::ColorMap;
use ndarray::Array2;

/// Draws `values` as coloured cells of side `cell` with the numbers in them.
pub(crate) fn draw_matrix(
    canvas: &mut Canvas,
    values: &Array2<f32>,
    (left, top): (f32, f32),
    cell: f32,
    map: ColorMap,
    range: Option<(f32, f32)>,
) {
    let columns = values.ncols();
    let numbers: Vec<f32> = values.iter().copied().collect();
    let (low, high) = range.or(ends(&numbers, map)).unwrap_or((0.0, 1.0));
    let raster = Raster::from_values(columns, &numbers, low, high, map);
    let (width, height) = (cell * columns as f32, cell * values.nrows() as f32);
    canvas.image(&raster, left, top, width, height);
    canvas.frame(left, top, width, height, 1.0, FAINT);
    write_values(canvas, &numbers, &raster, (left, top), cell);
}

/// Writes each value into its cell, in type that fits, black or white by the colour of the cell.
pub(super) fn write_values(
    canvas: &mut Canvas,
    values: &[f32],
    raster: &Raster,
    (left, top): (f32, f32),
    cell: f32,
) {
    let widest = values
        .iter()
        .map(|&v| LABEL.width(&number(v.into())))
        .fold(1.0, f32::max);
    let size = (LABEL.size * (cell - 6.0) / widest).clamp(6.0, LABEL.size);
    for (i, (&value, &background)) in values.iter().zip(&raster.pixels).enumerate() {
        if value.is_nan() {
            continue;
        }
        let x = left + ((i % raster.width) as f32 + 0.5) * cell;
        let y = top + ((i / raster.width) as f32 + 0.5) * cell;
        canvas.text(
            &number(value.into()),
            x,
            y,
            LABEL.size(size).centered().color(ink_on(background)),
        );
    }
}

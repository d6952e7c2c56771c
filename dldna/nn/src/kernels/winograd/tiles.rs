//! From planes of pixels to tiles with the channels last, transformed, and back.

use super::transform::{Lanes, results_of_points, transform};
use super::{PATCH, POINTS, TILE, lanes};
use crate::kernels::matmul::{Matrix, MatrixMut, Store};
use crate::kernels::product::COLUMNS;
use crate::kernels::scratch::Scratch;
use crate::kernels::transpose::transpose_part;
use crate::kernels::vector::vectorized;
use std::ops::Range;

/// How images are cut into squares, one for each tile, in rows of tiles.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub channels: usize,
    /// Height and width.
    pub image: (usize, usize),
    /// Rows above and columns to the left of the image that belong to the first squares.
    pub padding: (usize, usize),
    /// Rows and columns of tiles on one image.
    pub tiles: (usize, usize),
    /// Pixels along one side of a square: those of neighbouring tiles begin `TILE` apart, and overlap if they are larger.
    pub side: usize,
}

impl Layout {
    /// The channels in whole vectors.
    pub fn lanes(&self) -> usize {
        self.channels.next_multiple_of(COLUMNS)
    }

    /// Pixels of a row of squares.
    fn width(&self) -> usize {
        (self.tiles.1 - 1) * TILE + self.side
    }

    /// The squares of some rows of tiles, transformed. Rows are counted over all images.
    pub fn transform(
        &self,
        images: &[f32],
        tile_rows: Range<usize>,
        one_dimension: impl Fn([f32; PATCH]) -> [f32; PATCH],
    ) -> Points {
        let mut points = Points::any(tile_rows.len() * self.tiles.1, self.lanes());
        let mut strip = Scratch::zeros(self.side * self.width() * self.lanes());
        for (n, tile_row) in tile_rows.enumerate() {
            self.fill(images, tile_row, &mut strip);
            vectorized(
                #[inline(always)]
                || {
                    for column in 0..self.tiles.1 {
                        for channel in (0..self.lanes()).step_by(COLUMNS) {
                            let square = self.square(&strip, column, channel);
                            let values = transform(&square, self.side, &one_dimension);
                            points.store(n * self.tiles.1 + column, channel, &values);
                        }
                    }
                },
            );
        }
        points
    }

    /// Copies a row of squares: `(row, column, channel)`. Where there is no image, `strip` holds zeros.
    fn fill(&self, images: &[f32], tile_row: usize, strip: &mut [f32]) {
        let (height, width) = self.image;
        let (image, first) = (tile_row / self.tiles.0, tile_row % self.tiles.0 * TILE);
        let planes =
            &images[image * self.channels * height * width..][..self.channels * height * width];
        let lanes = self.lanes();
        for (i, line) in strip.chunks_exact_mut(self.width() * lanes).enumerate() {
            let row = (first + i).checked_sub(self.padding.0);
            let Some(row) = row.filter(|&row| row < height) else {
                line.fill(0.0);
                continue;
            };
            let line = &mut line[self.padding.1 * lanes..];
            transpose_part(
                &planes[row * width..],
                (self.channels, width),
                height * width,
                #[inline(always)]
                |column, channel, values| {
                    line[column * lanes + channel..][..values.len()].copy_from_slice(values)
                },
            );
        }
    }

    /// One square of a strip, in the upper left corner of a patch.
    #[inline(always)]
    fn square(&self, strip: &[f32], column: usize, channel: usize) -> [Lanes; POINTS] {
        let mut square = [[0.0; COLUMNS]; POINTS];
        for i in 0..self.side {
            let line = &strip[(i * self.width() + column * TILE) * self.lanes() + channel..];
            for j in 0..self.side {
                square[i * PATCH + j] = lanes(&line[j * self.lanes()..]);
            }
        }
        square
    }

    /// The pixels that belong to each row of tiles in each channel: `[tile row][channel]`.
    pub fn lines_of_tile_rows<'a>(&self, images: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
        let (height, width) = self.image;
        let planes = images.len() / (height * width);
        let mut rows: Vec<Vec<&mut [f32]>> = (0..planes / self.channels * self.tiles.0)
            .map(|_| Vec::with_capacity(self.channels))
            .collect();
        for (n, plane) in images.chunks_exact_mut(height * width).enumerate() {
            let rows = &mut rows[n / self.channels * self.tiles.0..];
            for (row, lines) in rows.iter_mut().zip(plane.chunks_mut(TILE * width)) {
                row.push(lines);
            }
        }
        rows
    }
}

/// What is left of tiles after a transform: for each point a matrix `(tile, channel)`.
#[derive(Debug)]
pub struct Points {
    values: Scratch,
    tiles: usize,
    lanes: usize,
}

impl Points {
    pub fn any(tiles: usize, lanes: usize) -> Self {
        Self {
            values: Scratch::any(POINTS * Self::size(tiles, lanes)),
            tiles,
            lanes,
        }
    }

    /// Elements from one point to the next. Not a power of two: those would all want the same lines of the cache.
    fn size(tiles: usize, lanes: usize) -> usize {
        tiles * lanes + COLUMNS
    }

    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// The first `channels` at one point.
    pub fn matrix(&self, point: usize, channels: usize) -> Matrix<'_> {
        let start = point * Self::size(self.tiles, self.lanes);
        Matrix::new(&self.values[start..], self.tiles, channels, self.lanes)
    }

    /// Some channels at one point.
    pub fn matrix_mut(&mut self, point: usize, channels: Range<usize>) -> MatrixMut<'_> {
        let start = point * Self::size(self.tiles, self.lanes) + channels.start;
        MatrixMut::new(
            &mut self.values[start..],
            self.tiles,
            channels.len(),
            self.lanes,
        )
    }

    #[inline(always)]
    fn store(&mut self, tile: usize, channel: usize, values: &[Lanes; POINTS]) {
        let size = Self::size(self.tiles, self.lanes);
        let values_of_tile = &mut self.values[tile * self.lanes + channel..];
        for (point, lanes) in values.iter().enumerate() {
            values_of_tile[point * size..][..COLUMNS].copy_from_slice(lanes);
        }
    }

    #[inline(always)]
    fn load(&self, tile: usize, channel: usize) -> [Lanes; POINTS] {
        let size = Self::size(self.tiles, self.lanes);
        let values = &self.values[tile * self.lanes + channel..];
        std::array::from_fn(|point| lanes(&values[point * size..]))
    }
}

/// Where results go, and how.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    layout: &'a Layout,
    bias: Option<&'a [f32]>,
    store: Store,
}

impl<'a> Results<'a> {
    pub fn of(layout: &'a Layout, bias: Option<&'a [f32]>, store: Store) -> Self {
        Self {
            layout,
            bias,
            store,
        }
    }

    /// Aᵀ m A of rows of tiles, into the lines of each.
    pub fn untransform(&self, products: &Points, rows: &mut [Vec<&mut [f32]>]) {
        let (lanes, width) = (self.layout.lanes(), self.layout.width());
        let mut strip = Scratch::any(TILE * width * lanes);
        for (n, lines) in rows.iter_mut().enumerate() {
            vectorized(
                #[inline(always)]
                || {
                    for column in 0..self.layout.tiles.1 {
                        for channel in (0..lanes).step_by(COLUMNS) {
                            let tile = n * self.layout.tiles.1 + column;
                            let points = products.load(tile, channel);
                            let results = transform(&points, PATCH, results_of_points);
                            for i in 0..TILE {
                                for j in 0..TILE {
                                    let pixel = i * width + column * TILE + j;
                                    strip[pixel * lanes + channel..][..COLUMNS]
                                        .copy_from_slice(&results[i * PATCH + j]);
                                }
                            }
                        }
                    }
                },
            );
            self.write(&strip, lines);
        }
    }

    /// From `(row, column, channel)` to the lines of each channel.
    fn write(&self, strip: &[f32], lines: &mut [&mut [f32]]) {
        let (lanes, width) = (self.layout.lanes(), self.layout.image.1);
        let rows = lines[0].len() / width;
        for i in 0..rows {
            transpose_part(
                &strip[i * self.layout.width() * lanes..],
                (width, self.layout.channels),
                lanes,
                #[inline(always)]
                |channel, column, values| {
                    let line = &mut lines[channel][i * width + column..][..values.len()];
                    let bias = self.bias.map_or(0.0, |bias| bias[channel]);
                    match self.store {
                        Store::Overwrite => line
                            .iter_mut()
                            .zip(values)
                            .for_each(|(line, value)| *line = value + bias),
                        Store::Add => line
                            .iter_mut()
                            .zip(values)
                            .for_each(|(line, value)| *line += value + bias),
                    }
                },
            );
        }
    }
}

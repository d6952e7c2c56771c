//! From planes of pixels to tiles with the channels last, transformed, and back.

use super::transform::{Lanes, results_of_points, transform};
use super::{PATCH, POINTS, TILE, apart, lanes};
use crate::kernels::epilogue::Epilogue;
use crate::kernels::matmul::{Matrix, MatrixMut, Store};
use crate::kernels::product::{COLUMNS, Lines};
use crate::kernels::scratch::Scratch;
use crate::kernels::transpose::transpose_part;
use crate::kernels::vector::vectorized;
use std::array::from_fn;
use std::ops::Range;

/// How images are cut into squares of `SIDE` pixels, one for each tile, in rows of tiles. Those of neighbouring tiles begin
/// `TILE` apart, and overlap if they are larger.
#[derive(Debug, Clone, Copy)]
pub struct Layout<const SIDE: usize> {
    pub channels: usize,
    /// Height and width.
    pub image: (usize, usize),
    /// Rows above and columns to the left of the image that belong to the first squares.
    pub padding: (usize, usize),
    /// Rows and columns of tiles on one image.
    pub tiles: (usize, usize),
}

impl<const SIDE: usize> Layout<SIDE> {
    /// The channels in whole vectors.
    pub fn lanes(&self) -> usize {
        self.channels.next_multiple_of(COLUMNS)
    }

    /// Pixels of a row of squares.
    fn width(&self) -> usize {
        (self.tiles.1 - 1) * TILE + SIDE
    }

    /// Memory for a row of squares: `(row, column, channel)`, zeros.
    pub fn strip(&self) -> Scratch {
        let mut strip = Scratch::aligned(SIDE * self.width() * self.lanes());
        strip.fill(0.0);
        strip
    }

    /// The squares of some rows of tiles, transformed. Rows are counted over all images. `strip` serves one layout only,
    /// for it keeps the zeros around the image.
    pub fn transform(
        &self,
        images: &[f32],
        tile_rows: Range<usize>,
        strip: &mut [f32],
        one_dimension: impl Fn([f32; PATCH]) -> [f32; PATCH],
    ) -> Points {
        let mut points = Points::any(tile_rows.len() * self.tiles.1, self.lanes());
        for (n, tile_row) in tile_rows.enumerate() {
            self.fill(images, tile_row, strip);
            vectorized(
                #[inline(always)]
                || {
                    for column in 0..self.tiles.1 {
                        for channel in (0..self.lanes()).step_by(COLUMNS) {
                            let square = self.square(strip, column, channel);
                            let values = transform(&square, SIDE, &one_dimension);
                            points.store(n * self.tiles.1 + column, channel, &values);
                        }
                    }
                },
            );
        }
        points
    }

    /// Copies the pixels of a row of squares. Rows that are not in the image are zeros.
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
        for i in 0..SIDE {
            let line = &strip[(i * self.width() + column * TILE) * self.lanes() + channel..];
            for j in 0..SIDE {
                square[i * PATCH + j] = lanes(&line[j * self.lanes()..]);
            }
        }
        square
    }

    /// The first pixel of a channel in a row of tiles, among those of all images.
    fn start(&self, tile_row: usize, channel: usize) -> usize {
        let (height, width) = self.image;
        let (image, row) = (tile_row / self.tiles.0, tile_row % self.tiles.0);
        ((image * self.channels + channel) * height + row * TILE) * width
    }

    /// The pixels that belong to each row of tiles, for groups of channels: `[group * tile rows + tile row][channel]`.
    pub fn lines<'a>(&self, images: &'a mut [f32], group: usize) -> Vec<Vec<&'a mut [f32]>> {
        let (height, width) = self.image;
        let tile_rows = images.len() / (self.channels * height * width) * self.tiles.0;
        let mut lines: Vec<Vec<&mut [f32]>> = Vec::new();
        lines.resize_with(self.channels.div_ceil(group) * tile_rows, || {
            Vec::with_capacity(group)
        });
        for (n, plane) in images.chunks_exact_mut(height * width).enumerate() {
            let (image, channel) = (n / self.channels, n % self.channels);
            let first = channel / group * tile_rows + image * self.tiles.0;
            let rows = plane.chunks_mut(TILE * width);
            for (lines, row) in lines[first..].iter_mut().zip(rows) {
                lines.push(row);
            }
        }
        lines
    }
}

/// What is left of tiles after a transform: for each point a matrix `(tile, channel)`.
#[derive(Debug)]
pub struct Points {
    values: Scratch,
    tiles: usize,
    lanes: usize,
    /// Where each tile begins at a point.
    starts: Vec<usize>,
}

impl Points {
    pub fn any(tiles: usize, lanes: usize) -> Self {
        Self {
            values: Scratch::aligned(POINTS * apart(tiles * lanes)),
            tiles,
            lanes,
            starts: (0..tiles).map(|tile| tile * lanes).collect(),
        }
    }

    /// Elements from one point to the next.
    fn size(&self) -> usize {
        apart(self.tiles * self.lanes)
    }

    pub fn tiles(&self) -> usize {
        self.tiles
    }

    /// Some channels at one point.
    pub fn matrix(&self, point: usize, channels: Range<usize>) -> Matrix<'_> {
        let start = point * self.size() + channels.start;
        Matrix::new(
            &self.values[start..],
            self.tiles,
            channels.len(),
            self.lanes,
        )
    }

    /// All channels at one point.
    pub fn lines(&self, point: usize) -> Lines<'_> {
        Lines::new(
            &self.values[point * self.size()..],
            &self.starts,
            self.lanes,
        )
    }

    /// Some channels at one point.
    pub fn matrix_mut(&mut self, point: usize, channels: Range<usize>) -> MatrixMut<'_> {
        let start = point * self.size() + channels.start;
        MatrixMut::new(
            &mut self.values[start..],
            self.tiles,
            channels.len(),
            self.lanes,
        )
    }

    #[inline(always)]
    fn store(&mut self, tile: usize, channel: usize, points: &[Lanes; POINTS]) {
        let size = self.size();
        let values = &mut self.values[tile * self.lanes + channel..];
        for (point, lanes) in points.iter().enumerate() {
            values[point * size..][..COLUMNS].copy_from_slice(lanes);
        }
    }

    #[inline(always)]
    fn load(&self, tile: usize, channel: usize) -> [Lanes; POINTS] {
        let size = self.size();
        let values = &self.values[tile * self.lanes + channel..];
        from_fn(|point| lanes(&values[point * size..]))
    }
}

/// Where results go, and how.
#[derive(Debug, Clone, Copy)]
pub struct Results<'a> {
    pub layout: Layout<TILE>,
    pub epilogue: &'a Epilogue<'a>,
    pub store: Store,
}

impl Results<'_> {
    /// Aᵀ m A of the rows of tiles from `first_row` on, into the lines of each. The products are those of the channels from `first` on.
    pub fn untransform(
        &self,
        products: &Points,
        first: usize,
        first_row: usize,
        rows: &mut [Vec<&mut [f32]>],
    ) {
        let (lanes, width) = (products.lanes, self.layout.image.1);
        let mut strip = Scratch::aligned(TILE * width * lanes); // (row, column, channel)
        for (n, lines) in rows.iter_mut().enumerate() {
            vectorized(
                #[inline(always)]
                || {
                    for column in 0..self.layout.tiles.1 {
                        for channel in (0..lanes).step_by(COLUMNS) {
                            let tile = n * self.layout.tiles.1 + column;
                            let points = products.load(tile, channel);
                            let results = transform(&points, PATCH, results_of_points);
                            let first = &mut strip[column * TILE * lanes + channel..];
                            match width - column * TILE {
                                1 => store_tile::<1>(&results, first, (width, lanes)),
                                2 => store_tile::<2>(&results, first, (width, lanes)),
                                3 => store_tile::<3>(&results, first, (width, lanes)),
                                _ => store_tile::<TILE>(&results, first, (width, lanes)),
                            }
                        }
                    }
                },
            );
            self.write(&strip, lines);
            if !self.epilogue.is_nothing() {
                for (channel, line) in (first..).zip(lines.iter_mut()) {
                    let start = self.layout.start(first_row + n, channel);
                    self.epilogue.apply(channel, start, line);
                }
            }
        }
    }

    /// From `(row, column, channel)` to the lines of each channel.
    fn write(&self, strip: &[f32], lines: &mut [&mut [f32]]) {
        let pixels = lines[0].len();
        transpose_part(
            strip,
            (pixels, lines.len()),
            lines.len().next_multiple_of(COLUMNS),
            #[inline(always)]
            |channel, pixel, values| {
                let line = lines[channel][pixel..].iter_mut().zip(values);
                match self.store {
                    Store::Overwrite => line.for_each(|(line, value)| *line = *value),
                    Store::Add => line.for_each(|(line, value)| *line += value),
                }
            },
        );
    }
}

/// The first `WIDTH` columns of a tile into rows of `width` pixels, which lie `lanes` elements apart.
#[inline(always)]
fn store_tile<const WIDTH: usize>(
    results: &[Lanes; POINTS],
    target: &mut [f32],
    (width, lanes): (usize, usize),
) {
    for i in 0..TILE {
        for j in 0..WIDTH {
            target[(i * width + j) * lanes..][..COLUMNS].copy_from_slice(&results[i * PATCH + j]);
        }
    }
}

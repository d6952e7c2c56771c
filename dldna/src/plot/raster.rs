//! A rectangle of RGB pixels.

use crate::image::{GrayImage, RgbImage};
use crate::plot::ColorMap;
use std::fmt;

const NOT_A_NUMBER: [u8; 3] = [222; 3];

/// RGB pixels, row by row.
#[derive(Clone)]
pub(crate) struct Raster {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[u8; 3]>,
}

/// The size alone: the pixels would fill the screen.
impl fmt::Debug for Raster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raster {{ {} x {} }}", self.width, self.height)
    }
}

impl Raster {
    pub fn from_gray(image: &GrayImage) -> Self {
        let pixels = image.pixels().iter().map(|&v| [v; 3]).collect();
        Raster {
            width: image.width(),
            height: image.height(),
            pixels,
        }
    }

    pub fn from_rgb(image: &RgbImage) -> Self {
        let pixels = image
            .pixels()
            .chunks_exact(3)
            .map(|p| [p[0], p[1], p[2]])
            .collect();
        Raster {
            width: image.width(),
            height: image.height(),
            pixels,
        }
    }

    /// `values` row by row, coloured so that `low` and `high` are the ends of `map`; what is not a number is light gray.
    pub fn from_values(width: usize, values: &[f32], low: f32, high: f32, map: ColorMap) -> Self {
        // In f64, where differences of such values are finite.
        let (low, high) = (f64::from(low), f64::from(high));
        let span = if high > low { high - low } else { 1.0 };
        let pixels = values
            .iter()
            .map(|v| {
                if v.is_nan() {
                    NOT_A_NUMBER
                } else {
                    map.color(((f64::from(*v) - low) / span) as f32)
                }
            })
            .collect();
        Raster {
            width,
            height: values.len().checked_div(width).unwrap_or(0),
            pixels,
        }
    }

    /// The same picture in another size: each new pixel is the mean of the area it covers. Enlarged pixels keep sharp edges.
    pub fn resized(&self, width: usize, height: usize) -> Raster {
        let across = spans(self.width, width);
        let down = spans(self.height, height);
        let mut rows = Vec::with_capacity(self.height * width);
        for row in self.pixels.chunks_exact(self.width) {
            rows.extend(
                across
                    .iter()
                    .map(|span| mean(span, |x| row[x].map(f32::from))),
            );
        }
        let mut pixels = Vec::with_capacity(width * height);
        for span in &down {
            pixels.extend(
                (0..width).map(|x| mean(span, |y| rows[y * width + x]).map(|v| v.round() as u8)),
            );
        }
        Raster {
            width,
            height,
            pixels,
        }
    }
}

/// The source pixels under one new pixel, and the share of each.
type Span = Vec<(usize, f32)>;

fn spans(from: usize, to: usize) -> Vec<Span> {
    (0..to)
        .map(|i| {
            if to >= from {
                return vec![(i * from / to, 1.0)];
            }
            let (start, end) = (
                i as f32 * from as f32 / to as f32,
                (i + 1) as f32 * from as f32 / to as f32,
            );
            (start as usize..(end.ceil() as usize).min(from))
                .map(|x| {
                    (
                        x,
                        (end.min((x + 1) as f32) - start.max(x as f32)) / (end - start),
                    )
                })
                .collect()
        })
        .collect()
}

fn mean(span: &Span, pixel: impl Fn(usize) -> [f32; 3]) -> [f32; 3] {
    span.iter().fold([0.0; 3], |sum, &(i, share)| {
        let p = pixel(i);
        std::array::from_fn(|c| sum[c] + share * p[c])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gray(width: usize, values: &[u8]) -> Raster {
        Raster {
            width,
            height: values.len() / width,
            pixels: values.iter().map(|&v| [v; 3]).collect(),
        }
    }

    #[test]
    fn shrinking_averages_and_growing_repeats() {
        assert_eq!(
            gray(2, &[0, 100, 100, 200]).resized(1, 1).pixels,
            [[100; 3]]
        );
        assert_eq!(
            gray(2, &[10, 20]).resized(4, 2).pixels,
            [10, 10, 20, 20, 10, 10, 20, 20].map(|v: u8| [v; 3])
        );
        // Three pixels on two: the middle one is shared.
        assert_eq!(
            gray(3, &[0, 90, 180]).resized(2, 1).pixels,
            [[30; 3], [150; 3]]
        );
    }

    #[test]
    fn values_meet_the_ends_of_the_map() {
        let raster = Raster::from_values(3, &[-1.0, 0.0, 1.0], -1.0, 1.0, ColorMap::Gray);
        assert_eq!(raster.pixels, [[0; 3], [128; 3], [255; 3]]);
        assert_eq!(
            Raster::from_values(1, &[5.0], 5.0, 5.0, ColorMap::Gray).pixels,
            [[0; 3]]
        );
    }
}

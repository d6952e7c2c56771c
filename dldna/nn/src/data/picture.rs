//! Pictures of any size, and how they are brought to the size that a network takes.

use crate::kernels::separable::{LinearMap, SeparableMap};

/// A picture as a network sees it: rows of pixels, from the top, each of one value (grey) or of three (red, green, blue).
pub trait Picture {
    /// Rows.
    fn height(&self) -> usize;
    /// Columns.
    fn width(&self) -> usize;
    /// Values of a pixel: 1 or 3.
    fn channels(&self) -> usize;
    /// All values, `(height, width, channels)`, the channels running fastest.
    fn values(&self) -> &[u8];
}

/// A [`Picture`] that owns nothing: sizes, and the values of its pixels.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    height: usize,
    width: usize,
    channels: usize,
    values: &'a [u8],
}

impl<'a> Pixels<'a> {
    /// `None` unless there is a pixel, `channels` is 1 or 3, and `values` has as many elements as the sizes say.
    ///
    /// ```
    /// use dldna_nn::data::Pixels;
    /// assert!(Pixels::new(1, 2, 3, &[255, 0, 0, 0, 255, 0]).is_some());
    /// assert!(Pixels::new(1, 2, 3, &[255, 0]).is_none());
    /// ```
    pub fn new(height: usize, width: usize, channels: usize, values: &'a [u8]) -> Option<Self> {
        let expected = height.checked_mul(width)?.checked_mul(channels)?;
        let fits = expected == values.len() && expected > 0 && matches!(channels, 1 | 3);
        fits.then_some(Self {
            height,
            width,
            channels,
            values,
        })
    }
}

impl Picture for Pixels<'_> {
    fn height(&self) -> usize {
        self.height
    }

    fn width(&self) -> usize {
        self.width
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn values(&self) -> &[u8] {
        self.values
    }
}

/// The planes of a picture at another size, `(channels, height, width)`, in 0..=255: each resized by [`resize`]. With
/// `channels` 1 a picture in colour becomes grey, `0.299 red + 0.587 green + 0.114 blue`; with 3 a grey one has its values
/// in all three colours. A picture without pixels has no planes.
///
/// ```
/// use dldna_nn::data::{Pixels, resized_planes};
/// let red = Pixels::new(1, 2, 3, &[200, 0, 0, 100, 0, 0]).unwrap();
/// assert_eq!(resized_planes(&red, 3, (1, 1)), [150.0, 0.0, 0.0]);
/// ```
pub fn resized_planes(picture: &impl Picture, channels: usize, to: (usize, usize)) -> Vec<f32> {
    let from = (picture.height(), picture.width());
    resize(&planes(picture, channels), from, to)
}

/// The planes of a picture as it is.
fn planes(picture: &impl Picture, channels: usize) -> Vec<f32> {
    let values = picture.values();
    let pixels = values.chunks_exact(picture.channels().max(1));
    let value = |pixel: &[u8], channel: usize| match (pixel, channels) {
        (&[red, green, blue], 1) => {
            0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
        }
        (pixel, _) => f32::from(pixel[channel.min(pixel.len() - 1)]),
    };
    (0..channels)
        .flat_map(|channel| pixels.clone().map(move |pixel| value(pixel, channel)))
        .collect()
}

/// Planes of `from.0` x `from.1` values at `to.0` x `to.1`: each axis by area where it shrinks, by linear interpolation
/// between the centres of pixels where it grows ([`LinearMap::resized`]).
///
/// OpenCV's `resize` gives the same with `INTER_AREA` and with `INTER_LINEAR`; where it grows, so does PyTorch's
/// `interpolate(mode="bilinear", align_corners=False)`. An axis without values gives none.
///
/// ```
/// use dldna_nn::data::resize;
/// assert_eq!(resize(&[0.0, 4.0, 8.0, 12.0], (1, 4), (1, 2)), [2.0, 10.0]);
/// assert_eq!(resize(&[0.0, 4.0], (1, 2), (1, 4)), [0.0, 1.0, 3.0, 4.0]);
/// ```
pub fn resize(planes: &[f32], from: (usize, usize), to: (usize, usize)) -> Vec<f32> {
    let rows = LinearMap::resized(from.0, to.0);
    let Some((rows, columns)) = rows.zip(LinearMap::resized(from.1, to.1)) else {
        return Vec::new();
    };
    let count = planes.len() / (from.0 * from.1);
    let mut resized = vec![0.0; count * to.0 * to.1];
    SeparableMap { rows, columns }.add_to(planes, &mut resized);
    resized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_stays_where_it_shrinks_and_a_constant_stays_everywhere() {
        let plane: Vec<f32> = (0..7 * 5).map(|i| (i * i % 17) as f32).collect();
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        for to in [(3, 2), (1, 1), (7, 4)] {
            let small = resize(&plane, (7, 5), to);
            assert!((mean(&small) - mean(&plane)).abs() < 1e-4);
        }
        for to in [(3, 9), (20, 1), (7, 5)] {
            assert!(
                resize(&[2.0; 35], (7, 5), to)
                    .iter()
                    .all(|v| (v - 2.0).abs() < 1e-6)
            );
        }
        assert_eq!(resize(&plane, (7, 5), (7, 5)), plane);
    }

    #[test]
    fn a_colour_picture_becomes_grey_and_a_grey_one_has_three_equal_planes() {
        let color = Pixels::new(1, 1, 3, &[255, 0, 0]).unwrap();
        assert!((planes(&color, 1)[0] - 76.245).abs() < 1e-3);
        let gray = Pixels::new(1, 2, 1, &[3, 4]).unwrap();
        assert_eq!(planes(&gray, 3), [3.0, 4.0, 3.0, 4.0, 3.0, 4.0]);
    }
}

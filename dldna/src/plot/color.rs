//! The few colours of the book's figures.

use plotters::style::RGBColor;

/// Six colours that stay apart for the colour-blind too (Okabe and Ito, 2008, without the yellow that white paper swallows).
pub(crate) const PALETTE: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];

/// Text and the marks that must be seen first.
pub(crate) const INK: RGBColor = RGBColor(34, 34, 34);
/// Secondary text and axes.
pub(crate) const MUTED: RGBColor = RGBColor(102, 102, 102);
/// Grid lines and frames.
pub(crate) const FAINT: RGBColor = RGBColor(222, 222, 222);
/// Paper.
pub(crate) const PAPER: RGBColor = RGBColor(255, 255, 255);

/// How a number becomes a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ColorMap {
    /// Dark violet over green to yellow, in even steps of lightness: for amounts.
    #[default]
    Viridis,
    /// Black to white: for pictures and anything that is brightness.
    Gray,
    /// Blue over white to red, white at zero: for values with a sign, such as weights.
    Diverging,
    /// A circle of colours with equal ends: for angles.
    Cyclic,
}

impl ColorMap {
    /// Evenly spaced colours; those between are mixed.
    fn control_points(self) -> &'static [[u8; 3]] {
        match self {
            // Nine samples of matplotlib's viridis, which its authors put in the public domain.
            ColorMap::Viridis => &[
                [68, 1, 84],
                [71, 44, 122],
                [59, 81, 139],
                [44, 113, 142],
                [33, 144, 141],
                [39, 173, 129],
                [92, 200, 99],
                [170, 220, 50],
                [253, 231, 37],
            ],
            ColorMap::Gray => &[[0, 0, 0], [255, 255, 255]],
            ColorMap::Diverging => &[
                [33, 102, 172],
                [103, 169, 207],
                [209, 229, 240],
                [255, 255, 255],
                [253, 219, 199],
                [239, 138, 98],
                [178, 24, 43],
            ],
            ColorMap::Cyclic => &[
                [226, 217, 226],
                [123, 161, 194],
                [94, 67, 165],
                [47, 20, 54],
                [142, 44, 80],
                [195, 120, 90],
                [226, 217, 226],
            ],
        }
    }

    /// The colour of `t`, which runs from 0 (lowest value) to 1 (highest); values outside are clamped, NaN counts as 0.
    ///
    /// # Example
    /// ```
    /// use dldna::plot::ColorMap;
    ///
    /// assert_eq!(ColorMap::Gray.color(0.0), [0, 0, 0]);
    /// assert_eq!(ColorMap::Gray.color(1.0), [255, 255, 255]);
    /// assert_eq!(ColorMap::Cyclic.color(0.0), ColorMap::Cyclic.color(1.0));
    /// ```
    pub fn color(self, t: f32) -> [u8; 3] {
        let points = self.control_points();
        let position = t.clamp(0.0, 1.0).max(0.0) * (points.len() - 1) as f32;
        let left = (position as usize).min(points.len() - 2);
        let share = position - left as f32;
        std::array::from_fn(|c| {
            let (a, b) = (f32::from(points[left][c]), f32::from(points[left + 1][c]));
            (a + share * (b - a)).round() as u8
        })
    }
}

/// Black or white, whichever reads better on `background`.
pub(crate) fn ink_on([r, g, b]: [u8; 3]) -> RGBColor {
    // ITU-R BT.601 luma.
    let luma = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    if luma > 140.0 { INK } else { PAPER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_grows_lighter_all_the_way() {
        let lightness = |t: f32| {
            let [r, g, b] = ColorMap::Viridis.color(t);
            0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
        };
        for i in 0..20 {
            assert!(
                lightness((i + 1) as f32 / 20.0) > lightness(i as f32 / 20.0),
                "step {i}"
            );
        }
    }

    #[test]
    fn strange_numbers_get_a_colour() {
        assert_eq!(ColorMap::Gray.color(f32::NAN), [0, 0, 0]);
        assert_eq!(ColorMap::Gray.color(f32::INFINITY), [255, 255, 255]);
        assert_eq!(ColorMap::Gray.color(-3.0), [0, 0, 0]);
    }

    #[test]
    fn zero_is_white_in_the_diverging_map() {
        assert_eq!(ColorMap::Diverging.color(0.5), [255, 255, 255]);
    }
}

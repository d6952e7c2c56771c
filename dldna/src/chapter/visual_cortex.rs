//! The first steps of seeing, as Hubel and Wiesel found them in the cat: simple cells and complex cells (section 7.1).
//!
//! A simple cell weighs the light in a small part of the image and fires if the sum is positive: a filter and a ReLU. A complex cell
//! fires if any of many simple cells does that look at neighbouring places for the same pattern: a maximum. A convolutional network
//! calls the two a convolution with ReLU and a max pooling.
//!
//! Angles are in degrees, counter-clockwise from horizontal: a bar of 0° lies, a bar of 90° stands.
//!
//! Sources: D. H. Hubel and T. N. Wiesel, "Receptive fields, binocular interaction and functional architecture in the cat's visual
//! cortex", 1962, for the two kinds of cells; J. P. Jones and L. A. Palmer, "An evaluation of the two-dimensional Gabor filter model of
//! simple receptive fields in cat striate cortex", 1987, for the weights.

use crate::filter_utils::apply_filter_f32;
use crate::image::GrayImage;
use crate::plot::{ColorMap, HeatMap};
use ndarray::Array2;
use std::f32::consts::PI;

/// Rows and columns of a simple cell's receptive field. It is round: a square one would favour the diagonals.
const FIELD: usize = 15;
/// Distance in pixels between two stripes that excite the cell.
const WAVELENGTH: f32 = 8.0;
/// Standard deviation of the field across its stripes; along them it is twice as wide.
const SPREAD: f32 = 2.5;
/// Width in pixels of the bars that [`bar`] draws.
const BAR: f32 = 3.0;
/// Pixels along the side of the largest picture.
const LARGEST: usize = 4096;

/// A bright bar on black, across a square image of `size` × `size` pixels.
///
/// The bar runs through the whole image, is three pixels wide, and passes the centre at a distance of `offset` pixels (downwards, or to
/// the right if it stands). There is no bar at an angle or a distance that is not finite, and no side above 4,096 pixels: larger
/// sizes count as that.
///
/// # Example
/// ```
/// use dldna::visual_cortex::bar;
///
/// let standing = bar(9, 90.0, 2.0);
/// assert_eq!(standing.pixels()[..9], [0, 0, 0, 0, 0, 255, 255, 255, 0]);
/// ```
pub fn bar(size: usize, degrees: f32, offset: f32) -> GrayImage {
    let size = size.min(LARGEST);
    GrayImage::from_fn(size, size, |row, column| {
        let (_, across) = along_and_across(row, column, size, degrees);
        // A pixel that the edge of the bar cuts is as bright as the part of it that is covered.
        let covered = (BAR / 2.0 + 0.5 - (across - offset).abs()).clamp(0.0, 1.0);
        (255.0 * covered).round() as u8
    })
}

/// A picture drawn with characters: each `#` becomes a bright square of `scale` × `scale` pixels, everything else stays black. Lines
/// that are shorter than the longest are filled up with black. A `scale` with which a side would have more than 4,096 pixels counts as
/// the largest with which it has not, or as 1.
///
/// # Example
/// ```
/// let corner = dldna::visual_cortex::drawing(&["##", "#"], 1);
/// assert_eq!(corner.pixels(), [255, 255, 255, 0]);
/// ```
pub fn drawing(lines: &[&str], scale: usize) -> GrayImage {
    let lines: Vec<Vec<char>> = lines.iter().map(|l| l.chars().collect()).collect();
    let longest = lines.iter().map(Vec::len).max().unwrap_or(0);
    let scale = scale.min((LARGEST / lines.len().max(longest).max(1)).max(1));
    GrayImage::from_fn(
        lines.len() * scale,
        longest * scale,
        |row, column| match lines[row / scale].get(column / scale) {
            Some('#') => 255,
            _ => 0,
        },
    )
}

/// Coordinates of a pixel from the centre of a square: along lines of the given angle, and across them.
fn along_and_across(row: usize, column: usize, size: usize, degrees: f32) -> (f32, f32) {
    let centre = (size as f32 - 1.0) / 2.0;
    let (x, y) = (column as f32 - centre, row as f32 - centre);
    let (sin, cos) = degrees.to_radians().sin_cos();
    // Rows count downwards, angles upwards: hence the signs.
    (x * cos - y * sin, x * sin + y * cos)
}

/// A cell that fires at a bar of one angle at one place.
///
/// Its weights are a Gabor function in a round field, waves under a bell: with `a` along the preferred angle, `b` across it,
///
/// ```text
/// w(a, b) = exp(−(a²/4 + b²) / 2σ²) · (cos(2πb / λ) − c),    σ = 2.5 and λ = 8 pixels, zero more than 7.5 pixels from the centre
/// ```
///
/// where `c` makes the sum of all weights zero, so that even light does not excite the cell. Weights are scaled so that the positive
/// ones sum to 1: a response of 1 is the most that any image can cause.
///
/// # Example
/// ```
/// use dldna::visual_cortex::{SimpleCell, bar};
///
/// let cell = SimpleCell::new(90.0);
/// assert!(cell.response(&bar(41, 90.0, 0.0)) > 0.8); // a standing bar
/// assert!(cell.response(&bar(41, 0.0, 0.0)) < 0.05); // a lying one
/// assert!(cell.response(&bar(41, 90.0, 4.0)) < 0.05); // a standing one, four pixels beside
/// ```
#[derive(Clone, Debug)]
pub struct SimpleCell {
    degrees: f32,
    receptive_field: Array2<f32>,
}

impl SimpleCell {
    /// A cell that prefers bars of the angle `degrees`. No bar has an angle that is not finite: such a cell has no weights and never
    /// fires.
    pub fn new(degrees: f32) -> Self {
        if !degrees.is_finite() {
            return SimpleCell {
                degrees,
                receptive_field: Array2::zeros((FIELD, FIELD)),
            };
        }
        let place = |(row, column)| along_and_across(row, column, FIELD, degrees);
        let envelope = Array2::from_shape_fn((FIELD, FIELD), |at| {
            let (a, b) = place(at);
            let inside = a.hypot(b) <= FIELD as f32 / 2.0;
            let bell = (-(a * a / 4.0 + b * b) / (2.0 * SPREAD * SPREAD)).exp();
            if inside { bell } else { 0.0 }
        });
        let waves = Array2::from_shape_fn((FIELD, FIELD), |at| {
            (2.0 * PI * place(at).1 / WAVELENGTH).cos()
        });
        let mean = (&envelope * &waves).sum() / envelope.sum();
        let field = envelope * (waves - mean);
        let excitation: f32 = field.iter().filter(|w| **w > 0.0).sum();
        SimpleCell {
            degrees,
            receptive_field: field / excitation,
        }
    }

    /// The angle that the cell prefers, in degrees.
    pub fn degrees(&self) -> f32 {
        self.degrees
    }

    /// The cell's weights, 15 × 15, the first axis down; zero outside the round field.
    pub fn receptive_field(&self) -> &Array2<f32> {
        &self.receptive_field
    }

    /// How strongly the cell fires that looks at the centre of `image`: 0 to 1. An image without pixels excites no cell.
    pub fn response(&self, image: &GrayImage) -> f32 {
        let centre = (image.height() / 2, image.width() / 2);
        self.response_map(image).get(centre).copied().unwrap_or(0.0)
    }

    /// How strongly each of many such cells fires, one at every pixel of `image`: a convolution, then a ReLU. Of shape
    /// (height, width); beyond its border the image is mirrored.
    ///
    /// # Example
    /// ```
    /// use dldna::visual_cortex::{SimpleCell, bar};
    ///
    /// let responses = SimpleCell::new(90.0).response_map(&bar(41, 90.0, 7.0));
    /// assert!(responses[[20, 27]] > 0.8); // the cells that look at the bar fire
    /// assert!(responses[[20, 20]] < 0.01);
    /// ```
    pub fn response_map(&self, image: &GrayImage) -> Array2<f32> {
        let light = image.to_array().mapv(|p| f32::from(p) / 255.0);
        apply_filter_f32(&light, &self.receptive_field).mapv(|sum| sum.max(0.0))
    }

    /// Shows the receptive field: red excites, blue inhibits.
    pub fn evcxr_display(&self) {
        HeatMap::from_array(&format!("Prefers {}°", self.degrees), &self.receptive_field)
            .color_map(ColorMap::Diverging)
            .draw()
            .expect("a receptive field has finite weights")
            .evcxr_display();
    }
}

/// A cell that fires at a bar of one angle, wherever the bar stands within a small region.
///
/// # Example
/// ```
/// use dldna::visual_cortex::{ComplexCell, bar};
///
/// let cell = ComplexCell::new(90.0, 6);
/// assert!(cell.response(&bar(41, 90.0, 0.0)) > 0.8);
/// assert!(cell.response(&bar(41, 90.0, 4.0)) > 0.8); // moved, and still seen
/// assert!(cell.response(&bar(41, 0.0, 4.0)) < 0.05); // another angle
/// ```
#[derive(Clone, Debug)]
pub struct ComplexCell {
    simple: SimpleCell,
    reach: usize,
}

impl ComplexCell {
    /// A cell that listens to all simple cells of the angle `degrees` that are at most `reach` rows and columns from the image's centre.
    pub fn new(degrees: f32, reach: usize) -> Self {
        ComplexCell {
            simple: SimpleCell::new(degrees),
            reach,
        }
    }

    /// The strongest response of its simple cells to `image`: 0 to 1.
    pub fn response(&self, image: &GrayImage) -> f32 {
        let near = |place: usize, size: usize| place.abs_diff(size / 2) <= self.reach;
        self.simple
            .response_map(image)
            .indexed_iter()
            .filter(|((row, column), _)| near(*row, image.height()) && near(*column, image.width()))
            .map(|(_, &response)| response)
            .fold(0.0, f32::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_gives_a_picture_and_a_cell() {
        for degrees in [
            0.0,
            -1e30,
            1e-40,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
        ] {
            let image = bar(21, 0.0, 0.0);
            let cell = SimpleCell::new(degrees);
            assert!((0.0..=1.001).contains(&cell.response(&image)), "{degrees}");
            assert!(cell.receptive_field().iter().all(|w| w.is_finite()));
            cell.evcxr_display();
            for reach in [0, 1, usize::MAX] {
                let response = ComplexCell::new(degrees, reach).response(&image);
                assert!((0.0..=1.001).contains(&response), "{degrees}");
            }
            let dark = bar(5, degrees, degrees).pixels().iter().all(|&p| p == 0);
            assert!(dark || degrees.is_finite());
        }
        assert_eq!(bar(usize::MAX, 0.0, 0.0).width(), LARGEST);
        assert_eq!(drawing(&["#"], usize::MAX).width(), LARGEST);
        assert_eq!(drawing(&["##", "#"], usize::MAX).width(), LARGEST);
        assert_eq!(drawing(&["##"], 0).width(), 0);
    }

    #[test]
    fn even_light_excites_no_cell() {
        let white = GrayImage::from_fn(31, 31, |_, _| 255);
        for degrees in [0.0, 30.0, 45.0, 90.0, 135.0] {
            assert!(SimpleCell::new(degrees).response(&white) < 1e-5);
        }
    }

    #[test]
    fn the_preferred_angle_excites_most_and_the_curve_falls_to_both_sides() {
        for preferred in [0.0, 45.0, 90.0, 120.0] {
            let cell = SimpleCell::new(preferred);
            let response = |turn: f32| cell.response(&bar(41, preferred + turn, 0.0));
            assert!(response(0.0) > 0.8, "{preferred}: {}", response(0.0));
            for turn in [15.0, 30.0, 90.0] {
                assert!(response(turn) < response(0.0) && response(-turn) < response(0.0));
                assert!((response(turn) - response(-turn)).abs() < 0.02);
            }
            assert!(response(45.0) < 0.2 * response(0.0));
        }
    }

    #[test]
    fn an_angle_and_its_opposite_are_the_same_bar() {
        assert_eq!(bar(21, 30.0, 0.0), bar(21, 210.0, 0.0));
        // A bar of 45° runs from the lower left to the upper right.
        let rising = bar(5, 45.0, 0.0);
        assert!(rising.pixels()[4] > 200 && rising.pixels()[20] > 200 && rising.pixels()[0] == 0);
    }

    #[test]
    fn a_complex_cell_is_at_least_as_strong_as_its_simple_cells() {
        let image = bar(41, 80.0, 2.0);
        let simple = SimpleCell::new(90.0).response(&image);
        assert_eq!(ComplexCell::new(90.0, 0).response(&image), simple);
        assert!(ComplexCell::new(90.0, 5).response(&image) >= simple);
    }

    #[test]
    fn nothing_in_gives_nothing_out() {
        let empty = drawing(&[], 3);
        assert_eq!((empty.height(), empty.width()), (0, 0));
        assert_eq!(SimpleCell::new(0.0).response(&empty), 0.0);
        assert_eq!(ComplexCell::new(0.0, 4).response(&empty), 0.0);
        assert!(bar(0, 0.0, 0.0).pixels().is_empty());
    }

    #[test]
    fn drawings_are_enlarged_in_both_directions() {
        let image = drawing(&[".#", "#"], 2);
        assert_eq!((image.height(), image.width()), (4, 4));
        assert_eq!(image.pixels()[..4], [0, 0, 255, 255]);
        assert_eq!(image.pixels()[12..], [255, 255, 0, 0]);
    }
}

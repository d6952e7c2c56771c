//! A guess at how accurate a scaled network would be, made from published figures.

use super::scaling::Scaling;

/// How fast the lack of depth, of width and of resolution shrinks with each of them: see [`shortage`].
pub const EXPONENTS: [f64; 3] = [3.3, 7.3, 6.4];

/// Percent of the images that no scaling gets right, and percent that B0 loses by its size.
const FLOOR: f64 = 15.2;
const LOST: f64 = 7.2;
/// How the loss follows the shortage.
const POWER: f64 = 0.57;

/// How much a network lacks that is scaled from B0: 1 for B0 itself, towards 0 as all three factors grow.
///
/// ```text
/// S(d, w, r) = (d^-p / p + 2 w^-q / q + 2 r^-s / s) / (1 / p + 2 / q + 2 / s)
/// ```
///
/// Each part can only be mended by its own factor. The weights say that B0 is balanced: a little more work is worth the
/// same in each of the three, as the authors' search on B0 found.
///
/// ```
/// use dldna_nn::efficientnet::{prediction::shortage, scaling::Scaling};
/// let deeper = Scaling { depth: 100.0, width: 1.0, resolution: 1.0 };
/// assert!(shortage(&deeper) > 0.5); // what depth alone cannot mend
/// ```
pub fn shortage(scaling: &Scaling) -> f64 {
    let [p, q, s] = EXPONENTS;
    let parts = scaling.depth.powf(-p) / p
        + 2.0 * scaling.width.powf(-q) / q
        + 2.0 * scaling.resolution.powf(-s) / s;
    parts / (1.0 / p + 2.0 / q + 2.0 / s)
}

/// A guess at the percentage of ImageNet that B0 gets right once it is scaled: `100 - 15.2 - 7.2 S^0.57`, with `S` the
/// [`shortage`].
///
/// Its six numbers are fitted to twelve figures of Tan and Le 2019: B0 to B7 in table 2 and the four networks of table 7.
/// It meets them within 0.7 points. It knows nothing else: far from these networks it is worth nothing.
///
/// ```
/// use dldna_nn::efficientnet::{compound_scaling, prediction::predicted_top1};
/// assert!((predicted_top1(&compound_scaling(0)) - 77.6).abs() < 1e-9); // the paper: 77.1 and, in table 7, 77.3
/// ```
pub fn predicted_top1(scaling: &Scaling) -> f64 {
    100.0 - FLOOR - LOST * shortage(scaling).powf(POWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::efficientnet::published::TABLE_2;
    use crate::efficientnet::scaling::FAMILY;

    /// The figures of the paper that it was fitted to.
    #[test]
    fn it_meets_the_published_figures() {
        let scaling = |depth, width, resolution| Scaling {
            depth,
            width,
            resolution,
        };
        let family = FAMILY.iter().map(|variant| {
            let resolution = variant.image_size as f64 / 224.0;
            let name = format!("EfficientNet-{}", variant.name);
            let row = TABLE_2.iter().find(|row| row.name == name).unwrap();
            (scaling(variant.depth, variant.width, resolution), row.top1)
        });
        let table_7 = [
            (scaling(4.0, 1.0, 1.0), 79.0),
            (scaling(1.0, 2.0, 1.0), 78.9),
            (scaling(1.0, 1.0, 2.0), 79.1),
            (scaling(1.4, 1.2, 1.3), 81.1),
        ];
        for (scaling, top1) in family.chain(table_7) {
            let predicted = predicted_top1(&scaling);
            assert!(
                (predicted - top1).abs() < 0.7,
                "{scaling:?}: {predicted}, {top1}"
            );
        }
    }
}

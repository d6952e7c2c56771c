//! Winograd's transforms: of patches, kernels, results, and their transposes for the gradients.
//!
//! Each is one small matrix from the left and its transpose from the right, so it is applied to the columns and then to
//! the rows. The points are 0, ±√2, ±1/√2, ∞.

#![allow(
    clippy::needless_range_loop,
    reason = "a lane is the inner index of several arrays"
)]

use super::{PATCH, POINTS};
use crate::kernels::product::COLUMNS;
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

/// One element of each of several channels.
pub type Lanes = [f32; COLUMNS];

/// Applies a transform of one dimension to the first `columns` columns and then to all rows. Every array has room for
/// 6x6 elements; those that a transform does not have are 0.
#[inline(always)]
pub fn transform(
    values: &[Lanes; POINTS],
    columns: usize,
    one_dimension: impl Fn([f32; PATCH]) -> [f32; PATCH],
) -> [Lanes; POINTS] {
    let mut half = [[0.0; COLUMNS]; POINTS];
    for column in 0..columns {
        for lane in 0..COLUMNS {
            let line = one_dimension(std::array::from_fn(|i| values[i * PATCH + column][lane]));
            for i in 0..PATCH {
                half[i * PATCH + column][lane] = line[i];
            }
        }
    }
    let mut whole = [[0.0; COLUMNS]; POINTS];
    for row in 0..PATCH {
        for lane in 0..COLUMNS {
            let line = one_dimension(std::array::from_fn(|j| half[row * PATCH + j][lane]));
            for j in 0..PATCH {
                whole[row * PATCH + j][lane] = line[j];
            }
        }
    }
    whole
}

/// Bᵀ d.
#[inline(always)]
pub fn points_of_input(d: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (d[4] - d[2] / 2.0, SQRT_2 * d[3] - FRAC_1_SQRT_2 * d[1]);
    let (even2, odd2) = (d[4] - 2.0 * d[2], FRAC_1_SQRT_2 * d[3] - SQRT_2 * d[1]);
    [
        d[0] - 2.5 * d[2] + d[4],
        even1 + odd1,
        even1 - odd1,
        even2 + odd2,
        even2 - odd2,
        d[1] - 2.5 * d[3] + d[5],
    ]
}

/// G g, for the three weights in front.
#[inline(always)]
pub fn points_of_kernel(g: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (g[0] + 2.0 * g[2], SQRT_2 * g[1]);
    let (even2, odd2) = (g[0] + g[2] / 2.0, FRAC_1_SQRT_2 * g[1]);
    [
        g[0],
        (even1 + odd1) / 6.0,
        (even1 - odd1) / 6.0,
        (even2 + odd2) / -1.5,
        (even2 - odd2) / -1.5,
        g[2],
    ]
}

/// Aᵀ m: four results.
#[inline(always)]
pub fn results_of_points(m: [f32; PATCH]) -> [f32; PATCH] {
    let (sum1, difference1) = (m[1] + m[2], SQRT_2 * (m[1] - m[2]));
    let (sum2, difference2) = (m[3] + m[4], FRAC_1_SQRT_2 * (m[3] - m[4]));
    [
        m[0] + sum1 + sum2,
        difference1 + difference2,
        2.0 * sum1 + sum2 / 2.0,
        2.0 * difference1 + difference2 / 2.0 + m[5],
        0.0,
        0.0,
    ]
}

/// A d, for the four gradients in front.
#[inline(always)]
pub fn points_of_gradient(d: [f32; PATCH]) -> [f32; PATCH] {
    let (even1, odd1) = (d[0] + 2.0 * d[2], SQRT_2 * (d[1] + 2.0 * d[3]));
    let (even2, odd2) = (d[0] + d[2] / 2.0, FRAC_1_SQRT_2 * (d[1] + d[3] / 2.0));
    [
        d[0],
        even1 + odd1,
        even1 - odd1,
        even2 + odd2,
        even2 - odd2,
        d[3],
    ]
}

/// Gᵀ s: three weights.
#[inline(always)]
pub fn kernel_of_points(s: [f32; PATCH]) -> [f32; PATCH] {
    let (sum1, difference1) = ((s[1] + s[2]) / 6.0, (s[1] - s[2]) / 6.0);
    let (sum2, difference2) = ((s[3] + s[4]) / -1.5, (s[3] - s[4]) / -1.5);
    [
        s[0] + sum1 + sum2,
        SQRT_2 * difference1 + FRAC_1_SQRT_2 * difference2,
        2.0 * sum1 + sum2 / 2.0 + s[5],
        0.0,
        0.0,
        0.0,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one dimension, with elements of few digits, the identity of the module's text holds exactly enough.
    #[test]
    fn four_results_of_three_weights() {
        let d = [1.0, -2.0, 3.0, 0.5, 4.0, -1.5];
        let g = [2.0, -1.0, 0.5, 0.0, 0.0, 0.0];
        let (points, kernel) = (points_of_input(d), points_of_kernel(g));
        let results = results_of_points(std::array::from_fn(|i| points[i] * kernel[i]));
        for (i, result) in results[..4].iter().enumerate() {
            let direct: f32 = (0..3).map(|k| d[i + k] * g[k]).sum();
            assert!((result - direct).abs() < 1e-5, "{i}: {result} {direct}");
        }
    }

    /// Each transform of the backward pass is the transpose of one of the forward pass: ⟨T x, y⟩ = ⟨x, Tᵀ y⟩.
    #[test]
    fn backward_transforms_are_transposes() {
        let dot =
            |a: [f32; PATCH], b: [f32; PATCH]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let m = [0.5, -1.0, 2.0, 3.0, -0.25, 1.5];
        let d = [1.0, -2.0, 0.75, 4.0, 0.0, 0.0];
        assert!((dot(results_of_points(m), d) - dot(m, points_of_gradient(d))).abs() < 1e-4);
        let g = [1.0, -2.0, 0.75, 0.0, 0.0, 0.0];
        assert!((dot(points_of_kernel(g), m) - dot(g, kernel_of_points(m))).abs() < 1e-4);
    }
}

//! The basic exercises.

mod convolution;
mod inception;
mod pooling;
mod residual;
mod scaling;

use super::{Exercise, FunctionCheck, Part, WRITTEN, value};
use ndarray::Array2;
use rand::{Rng, rngs::StdRng};

pub(super) const EXERCISES: &[Exercise] = &[
    convolution::EXERCISE,
    pooling::EXERCISE,
    residual::EXERCISE,
    inception::EXERCISE,
    scaling::EXERCISE,
];

pub mod checks {
    pub use super::convolution::{correlate, sobel};
    pub use super::inception::{bottleneck_cost, conv_cost, output_size};
    pub use super::pooling::{average_pool, max_pool};
    pub use super::residual::{plain_derivative, residual_derivative};
    pub use super::scaling::{compound_scaling, cost_factor, one_dimension, phi_for};
}

/// Whole numbers from `low` to `high`: a learner can check the result by hand.
fn draw(random: &mut StdRng, (rows, columns): (usize, usize), low: i32, high: i32) -> Array2<f32> {
    Array2::from_shape_simple_fn((rows, columns), || random.gen_range(low..=high) as f32)
}

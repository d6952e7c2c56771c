//! The advanced exercises.

mod architectures;
mod convnext;
mod gaussian_process;
mod gradients;
mod scaling;

use super::{Exercise, FunctionCheck, Part, WRITTEN, value};
use ndarray::{Array1, Array2};
use rand::{Rng, rngs::StdRng};

pub(super) const EXERCISES: &[Exercise] = &[
    gradients::EXERCISE,
    architectures::EXERCISE,
    scaling::EXERCISE,
    gaussian_process::EXERCISE,
    convnext::EXERCISE,
];

pub mod checks {
    pub use super::architectures::{inception_module, mbconv, residual_bottleneck};
    pub use super::convnext::{channel_norm, convnext_block, convnext_cost};
    pub use super::gaussian_process::{cholesky, log_marginal_likelihood, posterior};
    pub use super::gradients::{jacobian, kaiming_deviation, variance_factor};
    pub use super::scaling::{best_scaling, scaling_step};
}

/// Numbers with one decimal, so that what is shown is what was given.
fn draw(random: &mut StdRng, (rows, columns): (usize, usize)) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || {
        f64::from(random.gen_range(-15..=15)) / 10.0
    })
}

/// The numbers of a vector, as a learner writes them.
fn vector(values: &Array1<f64>) -> String {
    let numbers: Vec<String> = values.iter().map(|&x| value::number(x)).collect();
    format!("[{}]", numbers.join(", "))
}

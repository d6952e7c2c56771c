//! The applied exercises.

mod convolution;
mod digits;
mod filters;
mod skips;
mod transfer;

use super::{Answer, Exercise, FunctionCheck, Part, Verdict, WRITTEN, Wrong, value};
use rand::{Rng, rngs::StdRng};

pub(super) const EXERCISES: &[Exercise] = &[
    digits::EXERCISE,
    transfer::EXERCISE,
    filters::EXERCISE,
    skips::EXERCISE,
    convolution::EXERCISE,
];

pub mod checks {
    pub use super::convolution::{conv2d, conv2d_im2col, im2col};
    pub use super::digits::{accuracy, digits, normalise, train_step};
    pub use super::filters::{edge_response, flat_response, noise_response};
    pub use super::skips::{block_end, final_losses, mean_and_spread};
    pub use super::transfer::{head_step, new_head};
}

/// Whole numbers from `low` to `high`: a learner can check the result by hand.
fn draw(random: &mut StdRng, count: usize, low: i32, high: i32) -> Vec<f32> {
    (0..count)
        .map(|_| random.gen_range(low..=high) as f32)
        .collect()
}

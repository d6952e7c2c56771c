//! One step of stochastic gradient descent with momentum.

use super::vector::vectorized;
use rayon::prelude::*;

/// Elements that a thread takes at a time: three slices of them stay in the inner cache.
const CHUNK: usize = 1 << 12;

/// The settings of one step.
#[derive(Debug, Clone, Copy)]
pub struct SgdStep {
    /// The gradient's factor.
    pub learning_rate: f32,
    /// Decay of the sum of the gradients, from 0 to below 1.
    pub momentum: f32,
    /// Whether to look ahead by one step: Sutskever et al., *On the importance of initialization and momentum in deep
    /// learning*, 2013.
    pub nesterov: bool,
    /// How much of itself a parameter loses in a step, times the learning rate.
    pub weight_decay: f32,
}

impl SgdStep {
    /// Moves the parameters, and sets their gradients to 0 for the next pass.
    ///
    /// ```text
    /// velocity = momentum velocity + gradient
    /// direction = gradient + momentum velocity where nesterov, else velocity
    /// parameter -= learning_rate (weight_decay parameter + direction)
    /// ```
    ///
    /// ```
    /// use dldna_nn::kernels::sgd::SgdStep;
    /// let step = SgdStep { learning_rate: 0.1, momentum: 0.5, nesterov: false, weight_decay: 0.0 };
    /// let (mut parameter, mut gradient, mut velocity) = ([1.0], [2.0], [4.0]);
    /// step.update(&mut parameter, &mut gradient, &mut velocity);
    /// assert_eq!((parameter, gradient, velocity), ([0.6], [0.0], [4.0])); // 1 - 0.1 (0.5 * 4 + 2)
    /// ```
    pub fn update(&self, parameters: &mut [f32], gradients: &mut [f32], velocities: &mut [f32]) {
        let Self {
            learning_rate,
            momentum,
            ..
        } = *self;
        let kept = 1.0 - learning_rate * self.weight_decay;
        // direction = ahead gradient + behind velocity
        let (ahead, behind) = if self.nesterov {
            (1.0, momentum)
        } else {
            (0.0, 1.0)
        };
        parameters
            .par_chunks_mut(CHUNK)
            .zip(gradients.par_chunks_mut(CHUNK))
            .zip(velocities.par_chunks_mut(CHUNK))
            .for_each(|((parameters, gradients), velocities)| {
                vectorized(
                    #[inline(always)]
                    || {
                        let parameters = parameters.iter_mut().zip(gradients);
                        for ((p, g), v) in parameters.zip(velocities) {
                            *v = momentum * *v + *g;
                            *p = kept * *p - learning_rate * (ahead * *g + behind * *v);
                            *g = 0.0;
                        }
                    },
                );
            });
    }
}

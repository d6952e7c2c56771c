//! One step of Adam: Kingma and Ba, *Adam: A Method for Stochastic Optimization*, 2014, algorithm 1.

use super::vector::vectorized;
use rayon::prelude::*;

/// Elements that a thread takes at a time: four slices of them stay in the inner cache.
const CHUNK: usize = 1 << 12;

/// The settings of one step.
#[derive(Debug, Clone, Copy)]
pub struct AdamStep {
    /// How far a parameter moves at most, about.
    pub learning_rate: f32,
    /// Decay of the mean of the gradients and of their squares.
    pub betas: (f32, f32),
    /// Keeps the division from failing where all gradients were 0.
    pub epsilon: f32,
    /// How much of itself a parameter loses in a step, times the learning rate: AdamW's. Loshchilov and Hutter,
    /// *Decoupled Weight Decay Regularization*, 2017, algorithm 2.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub step: i32,
}

impl AdamStep {
    /// Moves the parameters, and sets their gradients to 0 for the next pass.
    ///
    /// ```text
    /// first  = beta1 first  + (1 - beta1) gradient
    /// second = beta2 second + (1 - beta2) gradient^2
    /// parameter -= learning_rate weight_decay parameter
    /// parameter -= learning_rate (first / (1 - beta1^step)) / (sqrt(second / (1 - beta2^step)) + epsilon)
    /// ```
    ///
    /// ```
    /// use dldna_nn::kernels::adam::AdamStep;
    /// let step = AdamStep { learning_rate: 0.1, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0, step: 1 };
    /// let (mut parameter, mut gradient) = ([1.0], [5.0]);
    /// step.update(&mut parameter, &mut gradient, &mut [0.0], &mut [0.0]);
    /// assert!((parameter[0] - 0.9f32).abs() < 1e-6); // the first step is one learning rate long
    /// assert_eq!(gradient, [0.0]);
    /// ```
    pub fn update(
        &self,
        parameters: &mut [f32],
        gradients: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let (beta1, beta2) = self.betas;
        let rate = self.learning_rate / (1.0 - beta1.powi(self.step));
        let correction = (1.0 - beta2.powi(self.step)).sqrt().recip();
        let epsilon = self.epsilon;
        let kept = 1.0 - self.learning_rate * self.weight_decay;
        parameters
            .par_chunks_mut(CHUNK)
            .zip(gradients.par_chunks_mut(CHUNK))
            .zip(
                first
                    .par_chunks_mut(CHUNK)
                    .zip(second.par_chunks_mut(CHUNK)),
            )
            .for_each(|((parameters, gradients), (first, second))| {
                vectorized(
                    #[inline(always)]
                    || {
                        let parameters = parameters.iter_mut().zip(gradients);
                        let moments = first.iter_mut().zip(second);
                        for ((p, g), (m, v)) in parameters.zip(moments) {
                            *m = beta1 * *m + (1.0 - beta1) * *g;
                            *v = beta2 * *v + (1.0 - beta2) * *g * *g;
                            *p = kept * *p - rate * *m / (v.sqrt() * correction + epsilon);
                            *g = 0.0;
                        }
                    },
                );
            });
    }
}

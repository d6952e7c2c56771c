//! Operations on each element by itself, on all cores.

use super::vector::{add_scaled, vectorized};
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// Which results of a ReLU are above 0: there its gradient passes.
///
/// ```
/// use dldna::kernels::elementwise::{active, keep_active};
/// let active = active(&[0.0, 2.0, 0.0, 0.5]);
/// let mut gradient = [1.0, 2.0, 3.0, 4.0];
/// keep_active(&mut gradient, &active);
/// assert_eq!(gradient, [0.0, 2.0, 0.0, 4.0]);
/// ```
pub fn active(output: &[f32]) -> Vec<bool> {
    let mut active = vec![false; output.len()];
    active
        .par_chunks_mut(CHUNK)
        .zip(output.par_chunks(CHUNK))
        .for_each(|(active, output)| {
            vectorized(
                #[inline(always)]
                || {
                    for (active, y) in active.iter_mut().zip(output) {
                        *active = *y > 0.0;
                    }
                },
            )
        });
    active
}

/// Sets the gradient to 0 where the ReLU was not [`active`].
pub fn keep_active(gradient: &mut [f32], active: &[bool]) {
    gradient
        .par_chunks_mut(CHUNK)
        .zip(active.par_chunks(CHUNK))
        .for_each(|(gradient, active)| {
            vectorized(
                #[inline(always)]
                || {
                    for (d, active) in gradient.iter_mut().zip(active) {
                        *d = if *active { *d } else { 0.0 };
                    }
                },
            )
        });
}

/// `sum += values`.
pub fn add(sum: &mut [f32], values: &[f32]) {
    sum.par_chunks_mut(CHUNK)
        .zip(values.par_chunks(CHUNK))
        .for_each(|(sum, values)| add_scaled(sum, 1.0, values));
}

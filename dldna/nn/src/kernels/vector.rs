//! Loops in the widest vector instructions that the processor at hand has.

use pulp::Arch;

/// Elements of the widest vector that any processor has. Arrays of as many stay in registers on all.
pub const WIDTH: usize = 16;

/// Runs `work`, compiled once for each kind of vector instruction, in the widest kind that is there.
///
/// A program built for any x86-64 processor may otherwise use nothing newer than those of 2003: four elements at a
/// time, and no fused multiplication and addition. `work` has to be a closure with the loop in it, so that the
/// compiler can build it in place.
///
/// ```
/// use dldna_nn::kernels::vector::vectorized;
/// let values = [1.0, 2.0, 3.0];
/// assert_eq!(vectorized(|| values.iter().sum::<f32>()), 6.0);
/// ```
#[inline(always)]
pub fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}

/// `sum[i] = weight * values[i] + sum[i]`, each with one rounding.
///
/// ```
/// use dldna_nn::kernels::vector::add_scaled;
/// let mut sum = [1.0, 2.0];
/// add_scaled(&mut sum, 10.0, &[0.5, 0.25]);
/// assert_eq!(sum, [6.0, 4.5]);
/// ```
pub fn add_scaled(sum: &mut [f32], weight: f32, values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum = weight.mul_add(*value, *sum);
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One rounding, not two: the exact result in f64 rounded to f32 (which these magnitudes allow).
        #[test]
        fn products_are_not_rounded(pixels in prop::collection::vec(0..256u16, 0..70), weight in -8.0f32..8.0) {
            let values: Vec<f32> = pixels.iter().map(|&p| f32::from(p)).collect();
            let mut sum = vec![1.0; values.len()];
            add_scaled(&mut sum, weight, &values);
            for (sum, value) in sum.iter().zip(&values) {
                prop_assert_eq!(*sum, (f64::from(weight) * f64::from(*value) + 1.0) as f32);
            }
        }
    }
}

//! Operations on each element by itself, on all cores.

use super::vector::vectorized;
use rayon::prelude::*;

/// Elements that a thread takes at a time.
pub(super) const CHUNK: usize = 1 << 14;

/// `sum += values`.
pub fn add(sum: &mut [f32], values: &[f32]) {
    each_pair(sum, values, |sum, value| sum + value);
}

/// `values *= factors`.
pub fn multiply(values: &mut [f32], factors: &[f32]) {
    each_pair(values, factors, |value, factor| value * factor);
}

/// `to = combine(to, from)` for each pair.
pub(super) fn each_pair<T: Copy + Sync>(
    to: &mut [f32],
    from: &[T],
    combine: impl Fn(f32, T) -> f32 + Sync,
) {
    to.par_chunks_mut(CHUNK)
        .zip(from.par_chunks(CHUNK))
        .for_each(|(to, from)| {
            vectorized(
                #[inline(always)]
                || {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to = combine(*to, *from);
                    }
                },
            )
        });
}

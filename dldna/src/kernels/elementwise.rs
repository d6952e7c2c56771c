//! Operations on each element by itself, on all cores.

use super::vector::add_scaled;
use rayon::prelude::*;

/// Elements that a thread takes at a time.
const CHUNK: usize = 1 << 14;

/// `sum += values`.
pub fn add(sum: &mut [f32], values: &[f32]) {
    sum.par_chunks_mut(CHUNK)
        .zip(values.par_chunks(CHUNK))
        .for_each(|(sum, values)| add_scaled(sum, 1.0, values));
}

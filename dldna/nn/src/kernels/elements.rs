//! The elements of a tensor as a slice.
//!
//! dfdx lends single elements and copies whole tensors. A network's weights are 44 MB: to copy them takes longer than to
//! multiply a small batch by them. The elements lie in one vector, so the way to the first one is the way to all.
//!
//! What this rests on: dfdx 0.13 keeps a tensor on the CPU in one `Vec<f32>`, and indexing gives a reference into it
//! (its public interface lends neither the vector nor a slice; the version is pinned for that). Whether a reference to one
//! element may lead to its neighbours is not settled in Rust: of the two models of it, Tree Borrows allows it and Stacked
//! Borrows does not, and compilers make no use of it. So nothing outside this crate can call it, and its tests pass under
//! Miri with Tree Borrows (`.ci/miri`).

use dfdx::prelude::*;
use std::ops::Deref;

/// A tensor on the CPU whose elements are read as a slice, in row-major order.
///
/// The tensor shares its memory with those it was cloned from. Whoever writes to one of them gets a copy.
#[derive(Debug, Clone)]
pub(crate) struct ElementSlice<S: Shape> {
    tensor: Tensor<S, f32, Cpu>,
}

impl<S: Shape> ElementSlice<S> {
    /// The elements of `tensor`, in whatever order they lie.
    ///
    /// # Errors
    /// Where there is no memory for those that have to be put in order.
    pub fn of(tensor: Tensor<S, f32, Cpu>) -> Result<Self, CpuError> {
        let tensor = tensor.try_contiguous()?;
        Ok(Self { tensor })
    }
}

impl<S: Shape> Deref for ElementSlice<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Some((first, last)) = corners(self.tensor.shape()) else {
            return &[];
        };
        let (start, end): (*const f32, *const f32) = (&self.tensor[first], &self.tensor[last]);
        let length = span(start, end);
        debug_assert_eq!(length, self.tensor.shape().num_elements());
        // SAFETY: both are elements of the one vector that the tensor has (dfdx indexes it to find them), `end` not in
        // front of `start`, so all elements from one to the other are initialized and belong to it. They stay as they are
        // while `self` is borrowed: only `&mut` to this tensor leads to a write.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

/// The elements of a tensor as they lie in memory, to be written to; `None` where one element stands for several. Where
/// other tensors share them, they keep the old ones.
pub(crate) fn elements_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cpu>) -> Option<&mut [f32]> {
    let Some((first, last)) = corners(tensor.shape()) else {
        return Some(&mut []);
    };
    let count = tensor.shape().num_elements();
    let end: *const f32 = &mut tensor[last]; // from here on nobody shares the memory
    let start: *mut f32 = &mut tensor[first];
    // SAFETY: as in `ElementSlice`; the tensor is borrowed mutably for as long as the slice is, and dfdx has given it memory
    // of its own.
    (span(start, end) == count).then(|| unsafe { std::slice::from_raw_parts_mut(start, count) })
}

/// The first and the last index of a shape, if it has elements.
fn corners<S: Shape>(shape: &S) -> Option<(S::Concrete, S::Concrete)> {
    let mut last = shape.concrete();
    for axis in 0..S::NUM_DIMS {
        last[axis] = last[axis].checked_sub(1)?;
    }
    Some((S::Concrete::default(), last))
}

/// How many elements lie from the first to the last, both counted.
fn span(first: *const f32, last: *const f32) -> usize {
    (last.addr() - first.addr()) / size_of::<f32>() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against dfdx's own way to read a tensor.
        #[test]
        fn are_those_of_the_tensor(a in 1..5usize, b in 1..5usize, c in 1..5usize, seed in any::<u64>()) {
            let tensor = Cpu::seed_from_u64(seed).sample_normal_like(&(a, b, c));
            prop_assert_eq!(&ElementSlice::of(tensor.clone())?[..], tensor.as_vec());
            let turned: Tensor<(usize, usize, usize), f32, Cpu> = tensor.permute::<_, Axes3<2, 0, 1>>();
            prop_assert_eq!(&ElementSlice::of(turned.clone())?[..], turned.as_vec());
        }

        #[test]
        fn what_is_written_is_read(a in 1..5usize, b in 1..5usize, seed in any::<u64>()) {
            let mut tensor = Cpu::seed_from_u64(seed).sample_normal_like(&(a, b));
            let shared = tensor.clone();
            let before = tensor.as_vec();
            for (index, element) in elements_mut(&mut tensor).unwrap().iter_mut().enumerate() {
                *element += index as f32;
            }
            let after: Vec<f32> = before.iter().enumerate().map(|(index, x)| x + index as f32).collect();
            prop_assert_eq!(tensor.as_vec(), after);
            prop_assert_eq!(shared.as_vec(), before);
        }
    }

    #[test]
    fn a_scalar_is_a_slice_of_one() {
        let mut scalar = Cpu::default().tensor(3.0);
        assert_eq!(ElementSlice::of(scalar.clone()).unwrap()[..], [3.0]);
        elements_mut(&mut scalar).unwrap()[0] = 4.0;
        assert_eq!(scalar.array(), 4.0);
    }

    #[test]
    fn no_elements_are_an_empty_slice() {
        let mut none = Cpu::default().zeros_like(&(3, 0));
        assert!(ElementSlice::of(none.clone()).unwrap().is_empty());
        assert!(elements_mut(&mut none).unwrap().is_empty());
    }

    #[test]
    fn repeated_elements_are_read_but_not_written() {
        let row = Cpu::default().tensor([1.0, 2.0]);
        let mut rows: Tensor<Rank2<3, 2>, f32, Cpu> = row.broadcast();
        assert_eq!(
            ElementSlice::of(rows.clone()).unwrap()[..],
            [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
        );
        assert!(elements_mut(&mut rows).is_none());
    }
}

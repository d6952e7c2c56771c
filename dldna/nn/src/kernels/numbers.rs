//! The numbers of a tensor as a slice.
//!
//! dfdx lends single elements and copies whole tensors. A network's weights are 44 MB: to copy them takes longer than to
//! multiply a small batch by them. The elements lie in one vector, so the way to the first one is the way to all.
//!
//! Whether a reference to one element may lead to its neighbours is not settled in Rust: of the two models of it, Tree
//! Borrows allows it and Stacked Borrows does not. Compilers make no use of it.

use dfdx::prelude::*;
use std::ops::Deref;

/// A tensor on the CPU whose elements are read as a slice, in row-major order.
///
/// The tensor shares its memory with those it was cloned from. Whoever writes to one of them gets a copy.
///
/// ```
/// use dldna_nn::kernels::numbers::Numbers;
/// use dldna_nn::prelude::*;
///
/// let table = Cpu::default().tensor([[1.0, 2.0], [3.0, 4.0]]);
/// assert_eq!(Numbers::of(table.clone())?[..], [1.0, 2.0, 3.0, 4.0]);
/// let flipped: Tensor<Rank2<2, 2>, f32, Cpu> = table.permute();
/// assert_eq!(Numbers::of(flipped)?[..], [1.0, 3.0, 2.0, 4.0]);
/// # Ok::<(), CpuError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Numbers<S: Shape> {
    tensor: Tensor<S, f32, Cpu>,
}

impl<S: Shape> Numbers<S> {
    /// The elements of `tensor`, in whatever order they lie.
    ///
    /// # Errors
    /// Where there is no memory for those that have to be put in order.
    pub fn of(tensor: Tensor<S, f32, Cpu>) -> Result<Self, CpuError> {
        let tensor = tensor.try_contiguous()?;
        Ok(Self { tensor })
    }
}

impl<S: Shape> Deref for Numbers<S> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Some((first, last)) = corners(self.tensor.shape()) else {
            return &[];
        };
        let (start, end): (*const f32, *const f32) = (&self.tensor[first], &self.tensor[last]);
        let length = span(start, end);
        debug_assert_eq!(length, self.tensor.shape().num_elements());
        // SAFETY: both are elements of the one vector that the tensor has (dfdx indexes it to find them), `end` not in
        // front of `start`, so all numbers from one to the other are initialized and belong to it. They stay as they are
        // while `self` is borrowed: only `&mut` to this tensor leads to a write.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

/// The elements of a tensor as they lie in memory, to be written to; `None` where one element stands for several. Where
/// other tensors share them, they keep the old ones.
///
/// ```
/// use dldna_nn::kernels::numbers::numbers_mut;
/// use dldna_nn::prelude::*;
///
/// let mut table = Cpu::default().tensor([[1.0, 2.0], [3.0, 4.0]]);
/// let before = table.clone();
/// numbers_mut(&mut table).unwrap()[2] = 7.0;
/// assert_eq!((table.array()[1][0], before.array()[1][0]), (7.0, 3.0));
/// ```
pub fn numbers_mut<S: Shape>(tensor: &mut Tensor<S, f32, Cpu>) -> Option<&mut [f32]> {
    let Some((first, last)) = corners(tensor.shape()) else {
        return Some(&mut []);
    };
    let count = tensor.shape().num_elements();
    let end: *const f32 = &mut tensor[last]; // from here on nobody shares the memory
    let start: *mut f32 = &mut tensor[first];
    // SAFETY: as in `Numbers`; the tensor is borrowed mutably for as long as the slice is, and dfdx has given it memory
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

/// How many numbers lie from the first to the last, both counted.
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
            prop_assert_eq!(&Numbers::of(tensor.clone())?[..], tensor.as_vec());
            let turned: Tensor<(usize, usize, usize), f32, Cpu> = tensor.permute::<_, Axes3<2, 0, 1>>();
            prop_assert_eq!(&Numbers::of(turned.clone())?[..], turned.as_vec());
        }

        #[test]
        fn what_is_written_is_read(a in 1..5usize, b in 1..5usize, seed in any::<u64>()) {
            let mut tensor = Cpu::seed_from_u64(seed).sample_normal_like(&(a, b));
            let shared = tensor.clone();
            let before = tensor.as_vec();
            for (index, number) in numbers_mut(&mut tensor).unwrap().iter_mut().enumerate() {
                *number += index as f32;
            }
            let after: Vec<f32> = before.iter().enumerate().map(|(index, x)| x + index as f32).collect();
            prop_assert_eq!(tensor.as_vec(), after);
            prop_assert_eq!(shared.as_vec(), before);
        }
    }

    #[test]
    fn a_single_number_is_a_slice_of_one() {
        let mut number = Cpu::default().tensor(3.0);
        assert_eq!(Numbers::of(number.clone()).unwrap()[..], [3.0]);
        numbers_mut(&mut number).unwrap()[0] = 4.0;
        assert_eq!(number.array(), 4.0);
    }

    #[test]
    fn no_numbers_are_an_empty_slice() {
        let mut none = Cpu::default().zeros_like(&(3, 0));
        assert!(Numbers::of(none.clone()).unwrap().is_empty());
        assert!(numbers_mut(&mut none).unwrap().is_empty());
    }

    #[test]
    fn repeated_numbers_are_read_but_not_written() {
        let row = Cpu::default().tensor([1.0, 2.0]);
        let mut rows: Tensor<Rank2<3, 2>, f32, Cpu> = row.broadcast();
        assert_eq!(
            Numbers::of(rows.clone()).unwrap()[..],
            [1.0, 2.0, 1.0, 2.0, 1.0, 2.0]
        );
        assert!(numbers_mut(&mut rows).is_none());
    }
}

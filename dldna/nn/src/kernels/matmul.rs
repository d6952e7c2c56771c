//! The matrix product under the convolutions, on strided views of slices.

use gemm::Parallelism;

/// A read-only matrix inside a slice. Element `(i, j)` is `data[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    pub(super) data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A `rows` x `columns` matrix whose rows lie `row_stride` elements apart.
    pub fn new(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check_inside(data.len(), rows, columns, row_stride);
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same elements, rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix inside a slice that is written to. Rows lie `row_stride` elements apart.
#[derive(Debug)]
pub struct MatrixMut<'a> {
    pub(super) data: &'a mut [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
}

impl<'a> MatrixMut<'a> {
    /// A `rows` x `columns` matrix whose rows lie `row_stride` elements apart.
    pub fn new(data: &'a mut [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        check_inside(data.len(), rows, columns, row_stride);
        assert!(
            rows <= 1 || row_stride >= columns,
            "rows of the result would overlap"
        );
        Self {
            data,
            rows,
            columns,
            row_stride,
        }
    }
}

fn check_inside(length: usize, rows: usize, columns: usize, row_stride: usize) {
    let last = if rows == 0 || columns == 0 {
        0
    } else {
        (rows - 1) * row_stride + columns
    };
    assert!(
        last <= length,
        "a {rows}x{columns} matrix with stride {row_stride} needs {last} elements, the slice has {length}"
    );
}

/// What happens to the result's old content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// `result = left right`
    Overwrite,
    /// `result += left right`
    Add,
}

/// `result = left right`, or `result += left right`, on the calling thread or (`all_cores`) on all of them.
///
/// ```
/// use dldna_nn::kernels::matmul::{Matrix, MatrixMut, Store, matmul};
/// let (left, right) = ([1., 2., 3., 4.], [10., 100.]);
/// let mut result = [0.0; 2];
/// matmul(
///     MatrixMut::new(&mut result, 2, 1, 1),
///     Store::Overwrite,
///     Matrix::new(&left, 2, 2, 2),
///     Matrix::new(&right, 2, 1, 1),
///     false,
/// );
/// assert_eq!(result, [210., 430.]);
/// ```
pub fn matmul(result: MatrixMut, store: Store, left: Matrix, right: Matrix, all_cores: bool) {
    check_sizes(&result, &left, &right);
    let parallelism = if all_cores {
        Parallelism::Rayon(0)
    } else {
        Parallelism::None
    };
    // SAFETY: the views were checked to lie inside their slices when they were made, the result is borrowed
    // mutably and so does not alias the operands, and its rows do not overlap.
    unsafe {
        gemm::gemm(
            result.rows,
            result.columns,
            left.columns,
            result.data.as_mut_ptr(),
            1,
            result.row_stride as isize,
            store == Store::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Panics unless the result has the size of the product.
pub(super) fn check_sizes(result: &MatrixMut, left: &Matrix, right: &Matrix) {
    assert_eq!(left.columns, right.rows, "inner sizes differ");
    assert_eq!(
        (left.rows, right.columns),
        (result.rows, result.columns),
        "size of the result"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the definition, with gaps between rows, transposed operands, both ways to store.
        #[test]
        fn equals_the_definition(
            m in 1..9usize, n in 1..9usize, k in 1..9usize, gap in 0..3usize,
            transpose in any::<bool>(), add in any::<bool>(), all_cores in any::<bool>(), seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut next = || { state = state.wrapping_mul(1664525).wrapping_add(1013904223); (state >> 8) as f32 / (1 << 24) as f32 - 0.5 };
            let left: Vec<f32> = (0..m * (k + gap)).map(|_| next()).collect();
            let right: Vec<f32> = (0..(k * (n + gap)).max(n * (k + gap))).map(|_| next()).collect();
            let before: Vec<f32> = (0..m * (n + gap)).map(|_| next()).collect();
            let mut result = before.clone();
            let right_view = if transpose { Matrix::new(&right, n, k, k + gap).transposed() } else { Matrix::new(&right, k, n, n + gap) };
            let store = if add { Store::Add } else { Store::Overwrite };
            matmul(MatrixMut::new(&mut result, m, n, n + gap), store, Matrix::new(&left, m, k, k + gap), right_view, all_cores);
            for i in 0..m {
                for j in 0..n + gap {
                    let old = before[i * (n + gap) + j];
                    let sum: f32 = (0..k).map(|l| left[i * (k + gap) + l] * if transpose { right[j.min(n - 1) * (k + gap) + l] } else { right[l * (n + gap) + j] }).sum();
                    let want = if j >= n { old } else if add { old + sum } else { sum };
                    prop_assert!((result[i * (n + gap) + j] - want).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner sizes differ")]
    fn sizes_are_checked() {
        let data = [0.0; 4];
        matmul(
            MatrixMut::new(&mut [0.0; 4], 2, 2, 2),
            Store::Overwrite,
            Matrix::new(&data, 2, 2, 2),
            Matrix::new(&data, 1, 2, 2),
            false,
        );
    }
}

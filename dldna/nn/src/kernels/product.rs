//! The matrix product of a block that lies in the processor's inner caches, where it is: nothing is copied first.
//!
//! A tile of the result stays in registers while the sum over the inner dimension runs: of `right` one line of vectors
//! is read, of `left` one element for each row of the tile, and each pair gives one fused multiplication and addition.
//! A general product ([`super::matmul`]) first copies both operands into that order; for a block of some dozens of rows
//! the copy would take as long as the product.
//!
//! Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008, section 4: this is their innermost part.

use super::matmul::{Matrix, MatrixMut, Store, check_sizes};
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;

/// The columns of a result come in multiples of this: whole vectors on every processor.
pub const COLUMNS: usize = 16;

/// Vectors of the result side by side in registers.
const VECTORS: usize = 2;

/// `result = left right`, or `+=`, on the calling thread. The elements of a row of `right` lie side by side, and there are
/// a multiple of [`COLUMNS`] of them.
///
/// ```
/// use dldna_nn::kernels::matmul::{Matrix, MatrixMut, Store};
/// use dldna_nn::kernels::product::multiply;
/// let (left, right) = ([1.0, 10.0], [[0.5; 16], [2.0; 16]].concat());
/// let mut result = [0.0; 16];
/// multiply(
///     MatrixMut::new(&mut result, 1, 16, 16),
///     Store::Overwrite,
///     Matrix::new(&left, 1, 2, 2),
///     Matrix::new(&right, 2, 16, 16),
/// );
/// assert_eq!(result, [20.5; 16]);
/// ```
pub fn multiply(result: MatrixMut, store: Store, left: Matrix, right: Matrix) {
    check_sizes(&result, &left, &right);
    assert_eq!(right.columns % COLUMNS, 0, "columns of the result");
    assert_eq!(right.column_stride, 1, "rows of the right side");
    Arch::new().dispatch(Product {
        result,
        store,
        left,
        right,
    });
}

struct Product<'a> {
    result: MatrixMut<'a>,
    store: Store,
    left: Matrix<'a>,
    right: Matrix<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let width = VECTORS * S::F32_LANES;
        let wide = self.result.columns / width * width;
        for column in (0..wide).step_by(width) {
            self.columns::<S, VECTORS>(simd, column);
        }
        // Half of the columns of 16 elements, where a vector has as many.
        for column in (wide..self.result.columns).step_by(S::F32_LANES) {
            self.columns::<S, 1>(simd, column);
        }
    }
}

impl Product<'_> {
    /// `V` vectors of columns, from top to bottom, in tiles of about the same height.
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&mut self, simd: S, column: usize) {
        // So that the tile, a line of `right` and an element of `left` fit the registers.
        let highest = if S::REGISTER_COUNT >= 32 { 12 } else { 6 };
        let rows = self.result.rows;
        let tiles = rows.div_ceil(highest);
        let mut row = 0;
        for tile in 0..tiles {
            let next = rows * (tile + 1) / tiles;
            self.tile_of_height::<S, V>(simd, row, next - row, column);
            row = next;
        }
    }

    #[inline(always)]
    fn tile_of_height<S: Simd, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        height: usize,
        column: usize,
    ) {
        match height {
            1 => self.tile::<S, 1, V>(simd, row, column),
            2 => self.tile::<S, 2, V>(simd, row, column),
            3 => self.tile::<S, 3, V>(simd, row, column),
            4 => self.tile::<S, 4, V>(simd, row, column),
            5 => self.tile::<S, 5, V>(simd, row, column),
            6 => self.tile::<S, 6, V>(simd, row, column),
            7 => self.tile::<S, 7, V>(simd, row, column),
            8 => self.tile::<S, 8, V>(simd, row, column),
            9 => self.tile::<S, 9, V>(simd, row, column),
            10 => self.tile::<S, 10, V>(simd, row, column),
            11 => self.tile::<S, 11, V>(simd, row, column),
            12 => self.tile::<S, 12, V>(simd, row, column),
            _ => unreachable!("tiles have 1 to 12 rows"),
        }
    }

    /// `H` rows and `V` vectors of columns of the result.
    #[inline(always)]
    fn tile<S: Simd, const H: usize, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let (left, right, result) = (&self.left, &self.right, &mut self.result);
        debug_assert!(row + H <= result.rows && column + V * S::F32_LANES <= result.columns);
        // SAFETY: the views were checked to lie inside their slices when they were made, the tile lies inside the result,
        // and `multiply` has compared the sizes; a vector of `right` or of the result is `F32_LANES` elements of one row,
        // which lie side by side. Vectors are read and written without alignment.
        unsafe {
            let mut sums = [[simd.splat_f32s(0.0); V]; H];
            let mut a = left.data.as_ptr().wrapping_add(row * left.row_stride);
            let mut b = right.data.as_ptr().wrapping_add(column);
            for _ in 0..left.columns {
                let line: [S::f32s; V] =
                    from_fn(|v| b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned());
                for (h, sums) in sums.iter_mut().enumerate() {
                    let element = simd.splat_f32s(*a.add(h * left.row_stride));
                    for (sum, line) in sums.iter_mut().zip(line) {
                        *sum = simd.mul_add_e_f32s(element, line, *sum);
                    }
                }
                // Beyond the last line these point nowhere, and are not read.
                a = a.wrapping_add(left.column_stride);
                b = b.wrapping_add(right.row_stride);
            }
            let start = result.data.as_mut_ptr();
            for (h, sums) in sums.iter().enumerate() {
                let line = start.add((row + h) * result.row_stride + column);
                for (v, sum) in sums.iter().enumerate() {
                    let target = line.add(v * S::F32_LANES).cast::<S::f32s>();
                    target.write_unaligned(match self.store {
                        Store::Overwrite => *sum,
                        Store::Add => simd.add_f32s(target.read_unaligned(), *sum),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the definition in f64, with each kind of vector: heights in one and several tiles, either side of `left`,
        /// gaps between rows, both ways to store.
        #[test]
        fn equals_the_definition(
            rows in 1..30usize, blocks in 1..5usize, inner in 0..20usize, gap in 0..3usize,
            turned in any::<bool>(), add in any::<bool>(), seed in any::<u64>(),
        ) {
            use rand::{Rng, SeedableRng, rngs::StdRng};
            let mut random = StdRng::seed_from_u64(seed);
            let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.gen_range(-1.0..1.0)).collect() };
            let columns = blocks * COLUMNS;
            let left = draw((rows + gap) * (inner + gap) + 1);
            let right = draw(inner * (columns + gap));
            let before = draw(rows * (columns + gap));
            let left_view = if turned { Matrix::new(&left, inner, rows, rows + gap).transposed() } else { Matrix::new(&left, rows, inner, inner + gap) };
            let store = if add { Store::Add } else { Store::Overwrite };
            for kind in KINDS {
                let mut result = before.clone();
                kind(Product {
                    result: MatrixMut::new(&mut result, rows, columns, columns + gap),
                    store,
                    left: left_view,
                    right: Matrix::new(&right, inner, columns, columns + gap),
                });
                for i in 0..rows {
                    for j in 0..columns + gap {
                        let old = before[i * (columns + gap) + j];
                        let element = |k: usize| if turned { left[k * (rows + gap) + i] } else { left[i * (inner + gap) + k] };
                        let want = if j >= columns { f64::from(old) } else {
                            let sum: f64 = (0..inner).map(|k| f64::from(element(k)) * f64::from(right[k * (columns + gap) + j])).sum();
                            if add { f64::from(old) + sum } else { sum }
                        };
                        prop_assert!((f64::from(result[i * (columns + gap) + j]) - want).abs() < 1e-5);
                    }
                }
            }
        }
    }

    /// The widest vectors of this processor, narrower ones, and none. Where it has none of a kind, the widest once more.
    const KINDS: [fn(Product); 3] = [
        |product| Arch::new().dispatch(product),
        |product| Simd::vectorize(pulp::Scalar::new(), product),
        #[cfg(target_arch = "x86_64")]
        |product| match pulp::x86::V3::try_new() {
            Some(narrow) => Simd::vectorize(narrow, product),
            None => Arch::new().dispatch(product),
        },
        #[cfg(not(target_arch = "x86_64"))]
        |product| Arch::new().dispatch(product),
    ];

    #[test]
    #[should_panic(expected = "columns of the result")]
    fn half_a_vector_is_refused() {
        let data = [0.0; 20];
        multiply(
            MatrixMut::new(&mut [0.0; 20], 1, 20, 20),
            Store::Overwrite,
            Matrix::new(&data, 1, 1, 1),
            Matrix::new(&data, 1, 20, 20),
        );
    }
}

//! Matrix products of blocks that lie in the processor's inner caches, where they are: nothing is copied first.
//!
//! A tile of the result stays in registers while the sum over the inner dimension runs: of `right` one line of vectors
//! is read, of `left` one element for each row of the tile, and each pair gives one fused multiplication and addition.
//! A general product ([`super::matmul`]) first copies both operands into that order; for a block of some dozens of rows
//! the copy would take as long as the product.
//!
//! Where the inner dimension lies side by side in both operands, a tile of the result is summed in vectors along it, and each
//! vector is added up at the end.
//!
//! Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, 2008, section 4: this is their innermost part.

use super::matmul::{Matrix, MatrixMut, Store};
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;

/// The columns of a result come in multiples of this: whole vectors on every processor.
pub const COLUMNS: usize = 16;

/// Vectors of the result side by side in registers.
const VECTORS: usize = 2;

/// A matrix whose rows begin anywhere in a slice, and may overlap. The elements of a row lie side by side, and there are a multiple
/// of [`COLUMNS`] of them.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    data: &'a [f32],
    starts: &'a [usize],
    columns: usize,
}

impl<'a> Lines<'a> {
    /// The rows of `columns` elements that begin at `starts`.
    pub fn new(data: &'a [f32], starts: &'a [usize], columns: usize) -> Self {
        assert_eq!(columns % COLUMNS, 0, "columns of the result");
        let last = starts.iter().max().map_or(0, |last| last + columns);
        assert!(
            last <= data.len(),
            "rows up to element {last} of {}",
            data.len()
        );
        Self {
            data,
            starts,
            columns,
        }
    }
}

/// `result = left right`, or `+=`, on the calling thread.
///
/// ```
/// use dldna_nn::kernels::matmul::{Matrix, MatrixMut, Store};
/// use dldna_nn::kernels::product::{Lines, multiply};
/// let (left, right) = ([1.0, 10.0], [[0.5; 16], [2.0; 16]].concat());
/// let mut result = [0.0; 16];
/// multiply(
///     MatrixMut::new(&mut result, 1, 16, 16),
///     Store::Overwrite,
///     Matrix::new(&left, 1, 2, 2),
///     Lines::new(&right, &[0, 16], 16),
/// );
/// assert_eq!(result, [20.5; 16]);
/// ```
pub fn multiply(result: MatrixMut, store: Store, left: Matrix, right: Lines) {
    assert_eq!(left.columns, right.starts.len(), "inner sizes differ");
    assert_eq!(
        (left.rows, right.columns),
        (result.rows, result.columns),
        "size of the result"
    );
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
    right: Lines<'a>,
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
            let columns = right.data.as_ptr().wrapping_add(column);
            for &start in right.starts {
                let b = columns.add(start);
                let line: [S::f32s; V] =
                    from_fn(|v| b.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned());
                for (h, sums) in sums.iter_mut().enumerate() {
                    let element = simd.splat_f32s(*a.add(h * left.row_stride));
                    for (sum, line) in sums.iter_mut().zip(line) {
                        *sum = simd.mul_add_e_f32s(element, line, *sum);
                    }
                }
                // Beyond the last column it points nowhere, and is not read.
                a = a.wrapping_add(left.column_stride);
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

/// `result[i, j] += ` the sum over `p` of `left[i, p] right[j, p]`, summed over all pairs of `left` and `right`, on the calling thread.
///
/// ```
/// use dldna_nn::kernels::matmul::MatrixMut;
/// use dldna_nn::kernels::product::{Lines, add_dot_products};
/// let mut result = [1.0];
/// let (left, right) = ([2.0; 16], [3.0; 16]);
/// let pair = (Lines::new(&left, &[0], 16), Lines::new(&right, &[0], 16));
/// add_dot_products(MatrixMut::new(&mut result, 1, 1, 1), &[pair, pair]);
/// assert_eq!(result, [193.0]);
/// ```
pub fn add_dot_products(result: MatrixMut, pairs: &[(Lines, Lines)]) {
    for (left, right) in pairs {
        assert_eq!(left.columns, right.columns, "inner sizes differ");
        assert_eq!(
            (left.starts.len(), right.starts.len()),
            (result.rows, result.columns),
            "size of the result"
        );
    }
    Arch::new().dispatch(DotProducts { result, pairs });
}

struct DotProducts<'a> {
    result: MatrixMut<'a>,
    pairs: &'a [(Lines<'a>, Lines<'a>)],
}

/// Columns of a tile of dot products: the taps of a kernel come in threes.
const WIDTH: usize = 3;

impl WithSimd for DotProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // So that the tile, a vector of each column and one of a row fit the registers.
        if S::REGISTER_COUNT >= 32 {
            self.tiles::<S, 8>(simd);
        } else {
            self.tiles::<S, 4>(simd);
        }
    }
}

impl DotProducts<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const H: usize>(mut self, simd: S) {
        for row in (0..self.result.rows).step_by(H) {
            for column in (0..self.result.columns).step_by(WIDTH) {
                self.tile::<S, H>(simd, row, column);
            }
        }
    }

    /// `H` rows and [`WIDTH`] columns. Where there are fewer, the last is computed again and again, and not added.
    #[inline(always)]
    fn tile<S: Simd, const H: usize>(&mut self, simd: S, row: usize, column: usize) {
        let (last_row, last_column) = (self.result.rows - 1, self.result.columns - 1);
        let mut sums = [[simd.splat_f32s(0.0); WIDTH]; H];
        for (left, right) in self.pairs {
            let rows: [usize; H] = from_fn(|h| left.starts[(row + h).min(last_row)]);
            let columns: [usize; WIDTH] = from_fn(|w| right.starts[(column + w).min(last_column)]);
            for p in (0..left.columns).step_by(S::F32_LANES) {
                // SAFETY: `Lines` has checked that `columns` elements follow each start, and they are a multiple of the lanes.
                // Vectors are read without alignment.
                unsafe {
                    let read = |data: &[f32], start: usize| {
                        let vector = data.as_ptr().add(start + p).cast::<S::f32s>();
                        vector.read_unaligned()
                    };
                    let line: [S::f32s; WIDTH] = from_fn(|w| read(right.data, columns[w]));
                    for (sums, start) in sums.iter_mut().zip(rows) {
                        let elements = read(left.data, start);
                        for (sum, line) in sums.iter_mut().zip(line) {
                            *sum = simd.mul_add_e_f32s(elements, line, *sum);
                        }
                    }
                }
            }
        }
        for (h, sums) in sums.into_iter().enumerate().take(self.result.rows - row) {
            let line = &mut self.result.data[(row + h) * self.result.row_stride + column..];
            let line = line.iter_mut().take(self.result.columns - column);
            for (result, sum) in line.zip(sums) {
                *result += simd.reduce_sum_f32s(sum);
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
            let starts: Vec<usize> = (0..inner).map(|k| k * (columns + gap)).collect();
            for kind in 0..KINDS {
                let mut result = before.clone();
                run_on(kind, Product {
                    result: MatrixMut::new(&mut result, rows, columns, columns + gap),
                    store,
                    left: left_view,
                    right: Lines::new(&right, &starts, columns),
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

        /// Against the definition in f64, with each kind of vector: one and several tiles, full ones and others, lines that overlap.
        #[test]
        fn dot_products_equal_the_definition(
            rows in 1..18usize, columns in 1..8usize, blocks in 0..4usize, pairs in 0..3usize, seed in any::<u64>(),
        ) {
            use rand::{Rng, SeedableRng, rngs::StdRng};
            let mut random = StdRng::seed_from_u64(seed);
            let data: Vec<f32> = (0..200).map(|_| random.gen_range(-1.0..1.0)).collect();
            let length = blocks * COLUMNS;
            let mut starts = |count: usize| -> Vec<usize> { (0..count).map(|_| random.gen_range(0..=data.len() - length)).collect() };
            let starts: Vec<_> = (0..pairs).map(|_| (starts(rows), starts(columns))).collect();
            let pairs: Vec<_> = starts.iter().map(|(left, right)| (Lines::new(&data, left, length), Lines::new(&data, right, length))).collect();
            for kind in 0..KINDS {
                let mut result = vec![0.5; rows * columns];
                run_on(kind, DotProducts { result: MatrixMut::new(&mut result, rows, columns, columns), pairs: &pairs });
                for (n, got) in result.iter().enumerate() {
                    let products = starts.iter().flat_map(|(left, right)| {
                        let (left, right) = (left[n / columns], right[n % columns]);
                        let pairs = data[left..][..length].iter().zip(&data[right..]);
                        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).collect::<Vec<_>>()
                    });
                    prop_assert!((f64::from(*got) - 0.5 - products.sum::<f64>()).abs() < 1e-5);
                }
            }
        }
    }

    const KINDS: usize = 3;

    /// The widest vectors of this processor, none, and narrower ones. Where it has none of a kind, the widest once more.
    fn run_on(kind: usize, product: impl WithSimd<Output = ()>) {
        match kind {
            1 => Simd::vectorize(pulp::Scalar::new(), product),
            #[cfg(target_arch = "x86_64")]
            2 if let Some(narrow) = pulp::x86::V3::try_new() => Simd::vectorize(narrow, product),
            _ => Arch::new().dispatch(product),
        }
    }

    #[test]
    #[should_panic(expected = "columns of the result")]
    fn half_a_vector_is_refused() {
        let data = [0.0; 20];
        multiply(
            MatrixMut::new(&mut [0.0; 20], 1, 20, 20),
            Store::Overwrite,
            Matrix::new(&data, 1, 1, 1),
            Lines::new(&data, &[0], 20),
        );
    }

    #[test]
    #[should_panic(expected = "rows up to element 17 of 16")]
    fn a_row_beyond_the_end_is_refused() {
        Lines::new(&[0.0; 16], &[0, 1], 16);
    }
}

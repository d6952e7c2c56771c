//! The transpose of a matrix.

/// Elements in a vector register, and the rows and columns of a tile.
const TILE: usize = 8;
/// Rows that are turned together: their elements fill a cache line of the result.
const ROWS: usize = 2 * TILE;

type Tile = [[f32; TILE]; TILE];

/// Hands the transpose of a matrix with `rows` rows to `store(index, values)`, in short runs.
///
/// ```
/// use dldna_nn::kernels::transpose::transpose;
/// let mut result = [0.0; 6];
/// let matrix = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]; // two rows of three
/// transpose(&matrix, 2, |index, values| result[index..index + values.len()].copy_from_slice(values));
/// assert_eq!(result, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// ```
pub fn transpose(matrix: &[f32], rows: usize, mut store: impl FnMut(usize, &[f32])) {
    let columns = matrix.len() / rows;
    if rows == 1 || columns == 1 {
        return store(0, matrix);
    }
    transpose_part(
        matrix,
        (rows, columns),
        columns,
        #[inline(always)]
        |column, row, values| store(column * rows + row, values),
    );
}

/// Hands the columns of a matrix whose rows lie `stride` elements apart to `store(column, first_row, values)`, in short runs.
///
/// ```
/// use dldna_nn::kernels::transpose::transpose_part;
/// let matrix = [1.0, 2.0, 0.0, 3.0, 4.0, 0.0];
/// let mut columns = [[0.0; 2]; 2];
/// transpose_part(&matrix, (2, 2), 3, |column, row, values| {
///     columns[column][row..row + values.len()].copy_from_slice(values)
/// });
/// assert_eq!(columns, [[1.0, 3.0], [2.0, 4.0]]);
/// ```
pub fn transpose_part(
    matrix: &[f32],
    (rows, columns): (usize, usize),
    stride: usize,
    mut store: impl FnMut(usize, usize, &[f32]),
) {
    let turn = Turn::new();
    turn.run(
        #[inline(always)]
        || {
            for row in (0..rows).step_by(ROWS) {
                let height = ROWS.min(rows - row);
                for column in (0..columns).step_by(TILE) {
                    let width = TILE.min(columns - column);
                    let lines = &matrix[row * stride + column..];
                    let upper = turn.tile(load(lines, stride, height));
                    let lines = lines.get(TILE * stride..).unwrap_or_default();
                    let lower = turn.tile(load(lines, stride, height.saturating_sub(TILE)));
                    for c in 0..width {
                        let mut run = [0.0; ROWS];
                        run[..TILE].copy_from_slice(&upper[c]);
                        run[TILE..].copy_from_slice(&lower[c]);
                        match height {
                            // Of a known length: few instructions.
                            ROWS => store(column + c, row, &run),
                            TILE => store(column + c, row, &run[..TILE]),
                            _ => store(column + c, row, &run[..height]),
                        }
                    }
                }
            }
        },
    );
}

/// A tile of at most `height` lines, and zeros below.
#[inline(always)]
fn load(lines: &[f32], stride: usize, height: usize) -> Tile {
    let mut tile = [[0.0; TILE]; TILE];
    if height >= TILE {
        // So many lines as there are registers: they need not go through memory.
        for (r, line) in tile.iter_mut().enumerate() {
            *line = read(&lines[r * stride..]);
        }
    } else {
        for (r, line) in tile[..height].iter_mut().enumerate() {
            *line = read(&lines[r * stride..]);
        }
    }
    tile
}

/// The first elements of a slice. They may be those of the next line already: nobody looks at these.
#[inline(always)]
fn read(line: &[f32]) -> [f32; TILE] {
    if let Some(elements) = line.first_chunk() {
        return *elements;
    }
    let mut elements = [0.0; TILE];
    elements[..line.len()].copy_from_slice(line);
    elements
}

/// [`transpose`] to the whole of `result`.
///
/// ```
/// use dldna_nn::kernels::transpose::transpose_into;
/// let mut result = [0.0; 4];
/// transpose_into(&[1.0, 2.0, 3.0, 4.0], 2, &mut result);
/// assert_eq!(result, [1.0, 3.0, 2.0, 4.0]);
/// ```
pub fn transpose_into(matrix: &[f32], rows: usize, result: &mut [f32]) {
    transpose(
        matrix,
        rows,
        #[inline(always)]
        |index, values| result[index..index + values.len()].copy_from_slice(values),
    );
}

/// How a tile is turned.
#[derive(Clone, Copy)]
struct Turn {
    #[cfg(target_arch = "x86_64")]
    vectors: Option<pulp::x86::V3>,
}

impl Turn {
    fn new() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            vectors: pulp::x86::V3::try_new(),
        }
    }

    #[inline(always)]
    fn run(self, work: impl FnOnce()) {
        #[cfg(target_arch = "x86_64")]
        if let Some(vectors) = self.vectors {
            return vectors.vectorize(work);
        }
        work()
    }

    #[inline(always)]
    fn tile(self, tile: Tile) -> Tile {
        #[cfg(target_arch = "x86_64")]
        if let Some(vectors) = self.vectors {
            return turned_in_registers(vectors.avx, tile);
        }
        let mut turned = tile;
        for (r, line) in tile.iter().enumerate() {
            for (c, element) in line.iter().enumerate() {
                turned[c][r] = *element;
            }
        }
        turned
    }
}

/// Pairs of rows are mixed element by element, then pairs of these by twos, then by fours: 24 instructions for 64 elements.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn turned_in_registers(avx: pulp::core_arch::x86::Avx, tile: Tile) -> Tile {
    use std::arch::x86_64::__m256;
    let rows: [__m256; TILE] = pulp::cast(tile);
    let (mut twos, mut fours, mut turned) = (rows, rows, rows);
    for i in [0, 2, 4, 6] {
        twos[i] = avx._mm256_unpacklo_ps(rows[i], rows[i + 1]);
        twos[i + 1] = avx._mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for i in [0, 4] {
        fours[i] = avx._mm256_shuffle_ps::<0b01_00_01_00>(twos[i], twos[i + 2]);
        fours[i + 1] = avx._mm256_shuffle_ps::<0b11_10_11_10>(twos[i], twos[i + 2]);
        fours[i + 2] = avx._mm256_shuffle_ps::<0b01_00_01_00>(twos[i + 1], twos[i + 3]);
        fours[i + 3] = avx._mm256_shuffle_ps::<0b11_10_11_10>(twos[i + 1], twos[i + 3]);
    }
    for i in 0..4 {
        turned[i] = avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
        turned[i + 4] = avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
    }
    pulp::cast(turned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::array::from_fn;

    proptest! {
        /// Against the definition.
        #[test]
        fn rows_become_columns(rows in 1..40usize, stride in 1..40usize) {
            let matrix: Vec<f32> = (0..rows * stride).map(|v| v as f32).collect();
            let mut result = vec![-1.0; matrix.len()];
            transpose_into(&matrix, rows, &mut result);
            for (column, line) in result.chunks(rows).enumerate() {
                for (row, value) in line.iter().enumerate() {
                    prop_assert_eq!(*value, (row * stride + column) as f32);
                }
            }
        }
    }

    #[test]
    fn both_ways_to_turn_a_tile_are_one() {
        let tile: Tile = from_fn(|r| from_fn(|c| (TILE * r + c) as f32));
        let turned: Tile = from_fn(|c| from_fn(|r| (TILE * r + c) as f32));
        assert_eq!(Turn::new().tile(tile), turned);
        #[cfg(target_arch = "x86_64")]
        assert_eq!(Turn { vectors: None }.tile(tile), turned);
    }
}

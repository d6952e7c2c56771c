//! Linear maps of planes that treat rows and columns apart: padding, upsampling, adaptive pooling.
//!
//! Each of them is given by two matrices, one for the rows and one for the columns of a plane:
//!
//! ```text
//! output = rows input columns^T
//! ```
//!
//! The matrices are sparse: a number of the output depends on a few of the input, and often on one. The gradient of a
//! linear map is its transpose, so that
//!
//! ```text
//! d input = rows^T d output columns
//! ```
//!
//! is computed by the same loops.

use super::vector::add_scaled;
use rayon::prelude::*;
use std::cmp::Ordering;

/// A sparse matrix, which maps one line of elements to another: each is a weighted sum of a few.
///
/// ```
/// use dldna_nn::kernels::separable::LinearMap;
/// let mean = LinearMap::new(2, [vec![(0, 0.5), (1, 0.5)]]).unwrap();
/// assert_eq!((mean.inputs(), mean.outputs()), (2, 1));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMap {
    inputs: usize,
    /// An input and its weight, for one output after the other.
    terms: Vec<(usize, f32)>,
    /// Where the terms of each output end.
    ends: Vec<usize>,
}

impl LinearMap {
    /// The map of `inputs` elements whose outputs are the sums of `weight * input` over the terms `(input, weight)` of each.
    ///
    /// `None` where there are no inputs or no outputs, or where a term is of an input that is not there.
    pub fn new<T: IntoIterator<Item = (usize, f32)>>(
        inputs: usize,
        outputs: impl IntoIterator<Item = T>,
    ) -> Option<Self> {
        let map = Self::of(inputs, outputs);
        let inside = map.terms.iter().all(|&(input, _)| input < inputs);
        (inputs > 0 && map.outputs() > 0 && inside).then_some(map)
    }

    fn of<T: IntoIterator<Item = (usize, f32)>>(
        inputs: usize,
        outputs: impl IntoIterator<Item = T>,
    ) -> Self {
        let (mut terms, mut ends) = (Vec::new(), Vec::new());
        for output in outputs {
            terms.extend(output);
            ends.push(terms.len());
        }
        Self {
            inputs,
            terms,
            ends,
        }
    }

    /// Each output is one of the inputs.
    fn choose(inputs: usize, chosen: impl IntoIterator<Item = usize>) -> Option<Self> {
        Self::new(inputs, chosen.into_iter().map(|input| [(input, 1.0)]))
    }

    /// `padding` zeros before and behind.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let padded = LinearMap::zero_padding(2, 1).unwrap();
    /// assert_eq!(padded.apply(&[3.0, 4.0]), [0.0, 3.0, 4.0, 0.0]);
    /// ```
    pub fn zero_padding(inputs: usize, padding: usize) -> Option<Self> {
        let outputs = 0..inputs + 2 * padding;
        let input = |output: usize| output.checked_sub(padding).filter(|&i| i < inputs);
        Self::new(inputs, outputs.map(|y| input(y).map(|input| (input, 1.0))))
    }

    /// The first number `padding` times before, the last one as often behind.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let padded = LinearMap::replicate_padding(2, 2).unwrap();
    /// assert_eq!(padded.apply(&[3.0, 4.0]), [3.0, 3.0, 3.0, 4.0, 4.0, 4.0]);
    /// ```
    pub fn replicate_padding(inputs: usize, padding: usize) -> Option<Self> {
        let last = inputs.checked_sub(1)?;
        let outputs = 0..inputs + 2 * padding;
        Self::choose(inputs, outputs.map(|y| y.saturating_sub(padding).min(last)))
    }

    /// `padding` elements before and behind, mirrored at the first and the last, which are not repeated. `None` where
    /// there are no more elements than that.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let padded = LinearMap::reflect_padding(3, 2).unwrap();
    /// assert_eq!(padded.apply(&[3.0, 4.0, 5.0]), [5.0, 4.0, 3.0, 4.0, 5.0, 4.0, 3.0]);
    /// assert!(LinearMap::reflect_padding(2, 2).is_none());
    /// ```
    pub fn reflect_padding(inputs: usize, padding: usize) -> Option<Self> {
        let last = inputs.checked_sub(1).filter(|&last| padding <= last)?;
        let outputs = 0..inputs + 2 * padding;
        let mirrored = |output: usize| {
            let from_first = output.abs_diff(padding);
            last - last.abs_diff(from_first)
        };
        Self::choose(inputs, outputs.map(mirrored))
    }

    /// Each number `scale` times.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let enlarged = LinearMap::nearest(2, 2).unwrap();
    /// assert_eq!(enlarged.apply(&[3.0, 4.0]), [3.0, 3.0, 4.0, 4.0]);
    /// ```
    pub fn nearest(inputs: usize, scale: usize) -> Option<Self> {
        Self::choose(inputs, (0..inputs * scale).map(|output| output / scale))
    }

    /// `scale` times as many elements, linear between the given ones. Pixels are areas, not points (PyTorch's
    /// `align_corners=False`): with the centre of output `y` at
    ///
    /// ```text
    /// x = max((y + 1/2) / scale - 1/2, 0) = i + f, i whole and 0 <= f < 1
    /// output[y] = (1 - f) input[i] + f input[min(i + 1, inputs - 1)]
    /// ```
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let enlarged = LinearMap::linear(2, 2).unwrap();
    /// assert_eq!(enlarged.apply(&[0.0, 4.0]), [0.0, 1.0, 3.0, 4.0]);
    /// ```
    pub fn linear(inputs: usize, scale: usize) -> Option<Self> {
        let last = inputs.checked_sub(1)?;
        let terms = |output: usize| {
            let centre = (2 * output + 1).saturating_sub(scale); // in parts of 1 / (2 scale)
            let (input, part) = (centre / (2 * scale), centre % (2 * scale));
            let part = part as f32 / (2 * scale) as f32;
            [(input, 1.0 - part), ((input + 1).min(last), part)]
        };
        Self::new(inputs, (0..inputs * scale).map(terms))
    }

    /// Another number of pixels: by area where they become fewer, linear between the centres where they become more.
    /// OpenCV's `INTER_AREA` and `INTER_LINEAR`, along one axis.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// assert_eq!(LinearMap::resized(4, 2).unwrap().apply(&[0.0, 4.0, 8.0, 12.0]), [2.0, 10.0]);
    /// assert_eq!(LinearMap::resized(2, 4).unwrap().apply(&[0.0, 4.0]), [0.0, 1.0, 3.0, 4.0]);
    /// ```
    pub fn resized(inputs: usize, outputs: usize) -> Option<Self> {
        let scale = inputs as f64 / outputs as f64;
        match inputs.cmp(&outputs) {
            Ordering::Equal => Self::choose(inputs, 0..inputs),
            Ordering::Greater => Self::new(
                inputs,
                (0..outputs).map(|output| overlaps(output, scale, inputs)),
            ),
            Ordering::Less => {
                let last = inputs.checked_sub(1)?;
                let terms = |output: usize| {
                    let centre = ((output as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
                    let share = centre.fract() as f32;
                    let input = centre as usize;
                    [(input, 1.0 - share), ((input + 1).min(last), share)]
                };
                Self::new(inputs, (0..outputs).map(terms))
            }
        }
    }

    /// The means of `outputs` neighbourhoods that are as equal as can be. Neighbourhood `y` goes from
    /// `floor(y inputs / outputs)` to before `ceil((y + 1) inputs / outputs)`; two neighbours may share a number.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let means = LinearMap::adaptive_mean(3, 2).unwrap();
    /// assert_eq!(means.apply(&[1.0, 3.0, 5.0]), [2.0, 4.0]);
    /// ```
    pub fn adaptive_mean(inputs: usize, outputs: usize) -> Option<Self> {
        let terms = |output: usize| {
            let start = output * inputs / outputs;
            let end = ((output + 1) * inputs).div_ceil(outputs);
            let share = 1.0 / (end - start) as f32;
            (start..end).map(move |input| (input, share))
        };
        Self::new(inputs, (0..outputs).map(terms))
    }

    /// Numbers that it takes.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Numbers that it gives.
    pub fn outputs(&self) -> usize {
        self.ends.len()
    }

    /// The terms `(input, weight)` of each output.
    fn lines(&self) -> impl Iterator<Item = &[(usize, f32)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let spans = starts.zip(&self.ends);
        spans.map(|(start, &end)| &self.terms[start..end])
    }

    /// The outputs for one line of inputs.
    pub fn apply(&self, inputs: &[f32]) -> Vec<f32> {
        let mut outputs = vec![0.0; self.outputs()];
        self.apply_to(inputs, &mut outputs);
        outputs
    }

    fn apply_to(&self, inputs: &[f32], outputs: &mut [f32]) {
        for (output, terms) in outputs.iter_mut().zip(self.lines()) {
            let products = terms.iter().map(|&(input, weight)| weight * inputs[input]);
            *output = products.sum();
        }
    }

    /// The transposed matrix: from outputs to inputs.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// let enlarged = LinearMap::nearest(2, 2).unwrap();
    /// assert_eq!(enlarged.transposed().apply(&[1.0, 2.0, 3.0, 4.0]), [3.0, 7.0]);
    /// ```
    pub fn transposed(&self) -> Self {
        let mut columns = vec![Vec::new(); self.inputs];
        for (output, terms) in self.lines().enumerate() {
            for &(input, weight) in terms {
                columns[input].push((output, weight));
            }
        }
        Self::of(self.outputs(), columns)
    }

    /// The transposed matrix with its zeros, `(inputs, outputs)`.
    ///
    /// ```
    /// # use dldna_nn::kernels::separable::LinearMap;
    /// assert_eq!(LinearMap::nearest(1, 3).unwrap().dense_transposed(), [1.0, 1.0, 1.0]);
    /// ```
    pub fn dense_transposed(&self) -> Vec<f32> {
        let outputs = self.outputs();
        let mut matrix = vec![0.0; self.inputs * outputs];
        for (output, terms) in self.lines().enumerate() {
            for &(input, weight) in terms {
                matrix[input * outputs + output] += weight;
            }
        }
        matrix
    }
}

/// The inputs that meet `[output scale, (output + 1) scale]`, each with its share of that span.
fn overlaps(output: usize, scale: f64, inputs: usize) -> Vec<(usize, f32)> {
    let (start, end) = (output as f64 * scale, (output + 1) as f64 * scale);
    let first = (start as usize).min(inputs - 1);
    let last = (end.ceil() as usize).clamp(first + 1, inputs);
    let overlap = |input: usize| (end.min((input + 1) as f64) - start.max(input as f64)).max(0.0);
    let all: f64 = (first..last).map(overlap).sum();
    (first..last)
        .map(|input| (input, (overlap(input) / all) as f32))
        .collect()
}

/// A linear map of planes: `output = rows input columns^T`.
///
/// ```
/// use dldna_nn::kernels::separable::{LinearMap, SeparableMap};
/// let rows = LinearMap::zero_padding(1, 1).unwrap();
/// let columns = LinearMap::nearest(2, 2).unwrap();
/// let map = SeparableMap { rows, columns };
/// let mut output = [0.0; 12];
/// map.add_to(&[3.0, 4.0], &mut output);
/// assert_eq!(output, [0.0, 0.0, 0.0, 0.0, 3.0, 3.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SeparableMap {
    /// What becomes of each column: a line of `height` elements.
    pub rows: LinearMap,
    /// What becomes of each row: a line of `width` elements.
    pub columns: LinearMap,
}

impl SeparableMap {
    /// Height and width of the planes that it takes.
    pub fn input_size(&self) -> (usize, usize) {
        (self.rows.inputs(), self.columns.inputs())
    }

    /// Height and width of the planes that it gives.
    pub fn output_size(&self) -> (usize, usize) {
        (self.rows.outputs(), self.columns.outputs())
    }

    /// From output to input: the gradient.
    pub fn transposed(&self) -> Self {
        Self {
            rows: self.rows.transposed(),
            columns: self.columns.transposed(),
        }
    }

    /// `output += rows input columns^T`, for each plane of `input`.
    pub fn add_to(&self, input: &[f32], output: &mut [f32]) {
        let (in_height, in_width) = self.input_size();
        let (height, width) = self.output_size();
        output
            .par_chunks_mut(height * width)
            .zip(input.par_chunks(in_height * in_width))
            .for_each_init(
                || vec![0.0; in_height * width],
                |lines, (output, input)| {
                    let pairs = lines.chunks_exact_mut(width);
                    for (line, row) in pairs.zip(input.chunks_exact(in_width)) {
                        self.columns.apply_to(row, line);
                    }
                    let rows = output.chunks_exact_mut(width).zip(self.rows.lines());
                    for (row, terms) in rows {
                        for &(line, weight) in terms {
                            add_scaled(row, weight, &lines[line * width..][..width]);
                        }
                    }
                },
            );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_of_zero_and_strange_inputs_are_refused() {
        assert!(LinearMap::zero_padding(0, 1).is_none());
        assert!(LinearMap::replicate_padding(0, 1).is_none());
        assert!(LinearMap::reflect_padding(0, 0).is_none());
        assert!(LinearMap::nearest(0, 2).is_none());
        assert!(LinearMap::nearest(2, 0).is_none());
        assert!(LinearMap::linear(0, 2).is_none());
        assert!(LinearMap::linear(2, 0).is_none());
        assert!(LinearMap::resized(0, 2).is_none());
        assert!(LinearMap::resized(2, 0).is_none());
        assert!(LinearMap::adaptive_mean(2, 0).is_none());
        assert!(LinearMap::adaptive_mean(0, 2).is_none());
        assert!(LinearMap::new(2, [[(2, 1.0)]]).is_none());
    }

    fn maps() -> impl Strategy<Value = LinearMap> {
        (1..9usize, 1..9usize, 0..7usize).prop_map(|(inputs, size, kind)| {
            let map = match kind {
                0 => LinearMap::zero_padding(inputs, size - 1),
                1 => LinearMap::replicate_padding(inputs, size),
                2 => LinearMap::reflect_padding(inputs, (size - 1).min(inputs - 1)),
                3 => LinearMap::nearest(inputs, size),
                4 => LinearMap::linear(inputs, size),
                5 => LinearMap::resized(inputs, size),
                _ => LinearMap::adaptive_mean(inputs, size),
            };
            map.expect("all sizes are at least 1")
        })
    }

    proptest! {
        /// `sum (d_output (rows input columns^T))` one product at a time, and `sum (d_input input)` from the transposed map.
        #[test]
        fn planes_equal_the_products_of_matrices(
            rows in maps(), columns in maps(), planes in 0..4usize, seed in any::<u32>(),
        ) {
            let map = SeparableMap { rows, columns };
            let ((height, width), (out_height, out_width)) = (map.input_size(), map.output_size());
            let value = |index: usize| ((index as u32 ^ seed).wrapping_mul(2_654_435_761) >> 20) as f32 / 4096.0;
            let input: Vec<f32> = (0..planes * height * width).map(value).collect();
            let (r, c) = (map.rows.dense_transposed(), map.columns.dense_transposed());
            let mut want = vec![1.0; planes * out_height * out_width];
            for (index, want) in want.iter_mut().enumerate() {
                let (plane, y, x) = (index / (out_height * out_width), index / out_width % out_height, index % out_width);
                for i in 0..height {
                    for j in 0..width {
                        *want += r[i * out_height + y] * c[j * out_width + x] * input[(plane * height + i) * width + j];
                    }
                }
            }
            let mut output = vec![1.0; want.len()]; // is added to
            map.add_to(&input, &mut output);
            for (got, want) in output.iter().zip(&want) {
                prop_assert!((got - want).abs() < 1e-4 * want.abs().max(1.0));
            }
            prop_assert_eq!(map.transposed().transposed(), map);
        }
    }
}

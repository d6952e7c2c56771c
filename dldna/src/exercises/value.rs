//! Results of the learner's functions: compared and shown.

use ndarray::{Array2, Array4, ArrayView2, Axis};

/// A result that can be compared with a reference.
pub(super) trait Value: Send + 'static {
    /// How far a number may be from the reference, relative to it (and to 1, if it is smaller).
    const TOLERANCE: f64;
    /// The size of each dimension; nothing for a number or a few of them.
    fn shape(&self) -> Vec<usize> {
        Vec::new()
    }
    /// All numbers, row by row.
    fn numbers(&self) -> Vec<f64>;
    /// The value of this shape and these numbers.
    fn of(shape: &[usize], numbers: &[f64]) -> Self;
    /// The whole value.
    fn text(&self) -> String {
        let numbers: Vec<String> = self.numbers().into_iter().map(number).collect();
        match &numbers[..] {
            [one] => one.clone(),
            several => format!("({})", several.join(", ")),
        }
    }
}

impl Value for Array2<f32> {
    const TOLERANCE: f64 = 1e-4;

    fn shape(&self) -> Vec<usize> {
        vec![self.nrows(), self.ncols()]
    }

    fn numbers(&self) -> Vec<f64> {
        self.iter().map(|&x| f64::from(x)).collect()
    }

    fn text(&self) -> String {
        matrix(self)
    }

    fn of(shape: &[usize], numbers: &[f64]) -> Self {
        Array2::from_shape_fn((shape[0], shape[1]), |(row, column)| {
            numbers[row * shape[1] + column] as f32
        })
    }
}

impl Value for Array4<f32> {
    const TOLERANCE: f64 = 1e-4;

    fn shape(&self) -> Vec<usize> {
        ndarray::ArrayBase::shape(self).to_vec()
    }

    fn numbers(&self) -> Vec<f64> {
        self.iter().map(|&x| f64::from(x)).collect()
    }

    fn text(&self) -> String {
        images(self)
    }

    fn of(shape: &[usize], numbers: &[f64]) -> Self {
        let (a, b, c, d) = (shape[0], shape[1], shape[2], shape[3]);
        let place = |(i, j, k, l)| ((i * b + j) * c + k) * d + l;
        Array4::from_shape_fn((a, b, c, d), |at| numbers[place(at)] as f32)
    }
}

impl Value for Vec<f32> {
    const TOLERANCE: f64 = 1e-4;

    fn shape(&self) -> Vec<usize> {
        vec![self.len()]
    }

    fn numbers(&self) -> Vec<f64> {
        self.iter().map(|&x| f64::from(x)).collect()
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        numbers.iter().map(|&x| x as f32).collect()
    }
}

impl Value for f32 {
    const TOLERANCE: f64 = 1e-4;

    fn numbers(&self) -> Vec<f64> {
        vec![f64::from(*self)]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        numbers[0] as f32
    }
}

impl Value for (f32, f32) {
    const TOLERANCE: f64 = 1e-4;

    fn numbers(&self) -> Vec<f64> {
        vec![f64::from(self.0), f64::from(self.1)]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        (numbers[0] as f32, numbers[1] as f32)
    }
}

impl Value for Array2<f64> {
    const TOLERANCE: f64 = 1e-6;

    fn shape(&self) -> Vec<usize> {
        vec![self.nrows(), self.ncols()]
    }

    fn numbers(&self) -> Vec<f64> {
        self.iter().copied().collect()
    }

    fn text(&self) -> String {
        matrix(self)
    }

    fn of(shape: &[usize], numbers: &[f64]) -> Self {
        Array2::from_shape_fn((shape[0], shape[1]), |(row, column)| {
            numbers[row * shape[1] + column]
        })
    }
}

impl Value for f64 {
    const TOLERANCE: f64 = 1e-6;

    fn numbers(&self) -> Vec<f64> {
        vec![*self]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        numbers[0]
    }
}

impl Value for (f64, f64) {
    const TOLERANCE: f64 = 1e-6;

    fn numbers(&self) -> Vec<f64> {
        vec![self.0, self.1]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        (numbers[0], numbers[1])
    }
}

impl Value for (f64, f64, f64) {
    const TOLERANCE: f64 = 1e-6;

    fn numbers(&self) -> Vec<f64> {
        vec![self.0, self.1, self.2]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        (numbers[0], numbers[1], numbers[2])
    }
}

impl Value for usize {
    const TOLERANCE: f64 = 0.0;

    fn numbers(&self) -> Vec<f64> {
        vec![*self as f64]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        numbers[0] as usize
    }
}

impl Value for (usize, usize) {
    const TOLERANCE: f64 = 0.0;

    fn numbers(&self) -> Vec<f64> {
        vec![self.0 as f64, self.1 as f64]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        (numbers[0] as usize, numbers[1] as usize)
    }
}

/// A value as bytes: the number of dimensions, their sizes, the numbers.
pub(super) fn to_bytes<V: Value>(value: &V) -> Vec<u8> {
    let shape = value.shape();
    let sizes = std::iter::once(shape.len())
        .chain(shape)
        .map(|size| size as u64);
    let mut bytes: Vec<u8> = sizes.flat_map(u64::to_le_bytes).collect();
    bytes.extend(value.numbers().into_iter().flat_map(f64::to_le_bytes));
    bytes
}

/// The value of which [`to_bytes`] made these.
pub(super) fn from_bytes<V: Value>(bytes: &[u8]) -> V {
    let (words, _) = bytes.as_chunks();
    let size = |word: &[u8; 8]| u64::from_le_bytes(*word) as usize;
    let (shape, numbers) = words[1..].split_at(size(&words[0]));
    let shape: Vec<usize> = shape.iter().map(size).collect();
    let numbers: Vec<f64> = numbers
        .iter()
        .map(|word| f64::from_le_bytes(*word))
        .collect();
    V::of(&shape, &numbers)
}

/// Whether both have the same shape and, up to rounding, the same numbers.
pub(super) fn agree<V: Value>(got: &V, want: &V) -> bool {
    got.shape() == want.shape() && first_difference(got, want).is_none()
}

/// Where the first number differs. NaN differs from everything.
fn first_difference<V: Value>(got: &V, want: &V) -> Option<usize> {
    let close = |(got, want): (f64, f64)| {
        got == want || (got - want).abs() <= V::TOLERANCE * want.abs().max(1.0)
    };
    let pairs = got.numbers().into_iter().zip(want.numbers());
    pairs.map(close).position(|close| !close)
}

/// Values with more numbers are shown at one place only.
const SHOWN: usize = 30;

/// What to say of two values that do not agree: of the one expected, and of the one that came.
pub(super) fn contrast<V: Value>(want: &V, got: &V) -> (String, String) {
    let describe = |value: &V| {
        let sizes: Vec<String> = value.shape().iter().map(usize::to_string).collect();
        let size = sizes.join(" x ");
        match (size.is_empty(), value.numbers().len() <= SHOWN) {
            (true, _) => value.text(),
            (false, true) => format!("{size}: {}", value.text()),
            (false, false) => size,
        }
    };
    if want.shape() == got.shape()
        && want.numbers().len() > SHOWN
        && let Some(place) = first_difference(got, want)
    {
        let place_in_words = match indices(place, &want.shape())[..] {
            [row, column] => format!("row {row}, column {column}"),
            ref indices => format!("{indices:?}"),
        };
        let at = |value: &V| {
            let shown = number(value.numbers()[place]);
            format!("{shown} at {place_in_words}")
        };
        return (at(want), at(got));
    }
    (describe(want), describe(got))
}

/// The index in each dimension of the element at `place`, counted row by row.
fn indices(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices: Vec<usize> = shape
        .iter()
        .rev()
        .map(|size| {
            let index = place % size;
            place /= size;
            index
        })
        .collect();
    indices.reverse();
    indices
}

/// A number as one writes it by hand.
pub(super) fn number(x: f64) -> String {
    if x == x.trunc() && x.abs() < 1e15 {
        return format!("{}", x as i64);
    }
    if x.is_finite() && !(1e-3..1e9).contains(&x.abs()) {
        return format!("{x:.3e}");
    }
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All elements of a small matrix.
pub(super) fn matrix<E: Copy + Into<f64>>(values: &Array2<E>) -> String {
    rows(values.view())
}

/// All elements of four dimensions, in nested brackets.
pub(super) fn images(values: &Array4<f32>) -> String {
    let list = |parts: Vec<String>| format!("[{}]", parts.join(", "));
    let image =
        |image: ndarray::ArrayView3<f32>| list(image.axis_iter(Axis(0)).map(rows).collect());
    list(values.axis_iter(Axis(0)).map(image).collect())
}

fn rows<E: Copy + Into<f64>>(values: ArrayView2<E>) -> String {
    let rows = values.rows().into_iter().map(|row| {
        let numbers: Vec<String> = row.iter().map(|&x| number(x.into())).collect();
        format!("[{}]", numbers.join(", "))
    });
    format!("[{}]", rows.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (2.0, "2"),
            (-0.0, "0"),
            (0.5, "0.5"),
            (1.0 / 3.0, "0.3333"),
            (1e-7, "1.000e-7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (x, text) in cases {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn bytes_give_the_value_back() {
        fn kept<V: Value + PartialEq + std::fmt::Debug>(value: V) {
            assert_eq!(from_bytes::<V>(&to_bytes(&value)), value);
        }
        kept(array![[1.5_f32, -0.1, f32::INFINITY], [3.0, 4.0, 1e-40]]);
        kept(array![[0.1_f64], [f64::MAX]]);
        kept(Array2::<f32>::zeros((0, 3)));
        kept(Array4::from_shape_fn((2, 3, 4, 5), |(a, b, c, d)| {
            (1000 * a + 100 * b + 10 * c + d) as f32
        }));
        kept(vec![1.0_f32, 2.0]);
        kept(Vec::<f32>::new());
        kept(0.1_f32);
        kept(0.1_f64);
        kept((0.1_f32, 2.0_f32));
        kept((0.1, 0.2));
        kept((0.1, 0.2, 0.3));
        kept(usize::from(u16::MAX));
        kept((1_usize, 2_usize));
        assert!(from_bytes::<f32>(&to_bytes(&f32::NAN)).is_nan());
    }

    #[test]
    fn rounding_is_allowed_and_nothing_else() {
        assert!(agree(&array![[1.000_01_f32, 2.0]], &array![[1.0, 2.0]]));
        assert!(!agree(&array![[1.01, 2.0]], &array![[1.0, 2.0]]));
        assert!(!agree(&array![[1.0], [2.0]], &array![[1.0, 2.0]]));
        assert!(!agree(&f64::NAN, &1.0));
        assert!(!agree(&1_000_001_usize, &1_000_000));
    }

    #[test]
    fn small_values_are_shown_whole_and_large_ones_where_they_differ() {
        let (want, got) = contrast(&array![[1.0, 2.0]], &array![[1.0], [2.5]]);
        assert_eq!(
            (&want[..], &got[..]),
            ("1 x 2: [[1, 2]]", "2 x 1: [[1], [2.5]]")
        );

        let large = Array2::<f32>::zeros((8, 9));
        let mut other = large.clone();
        other[[2, 3]] = 1.0;
        let (want, got) = contrast(&large, &other);
        assert_eq!(
            (&want[..], &got[..]),
            ("0 at row 2, column 3", "1 at row 2, column 3")
        );

        let large = Array4::<f32>::zeros((2, 3, 4, 5));
        let mut other = large.clone();
        other[[1, 0, 3, 2]] = 1.0;
        let (want, got) = contrast(&large, &other);
        assert_eq!(
            (&want[..], &got[..]),
            ("0 at [1, 0, 3, 2]", "1 at [1, 0, 3, 2]")
        );
    }

    #[test]
    fn images_are_shown_in_nested_brackets() {
        let values = array![[[[1.0, 2.0]], [[3.0, 4.0]]]];
        assert_eq!(images(&values), "[[[[1, 2]], [[3, 4]]]]");
    }
}

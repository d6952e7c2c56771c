//! Basic 2: pooling, max against average.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, value::matrix};
use crate::exercises::Answer;
use ndarray::{Array2, s};
use rand::{SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "basic-2",
    title: "Pooling: max against average",
    parts: &[
        Part {
            name: "max_pool",
            hints: &[
                "Where does the window of output pixel (y, x) begin, if it moves by `stride` pixels each time?",
                "The window begins at (y * stride, x * stride). The output has (height - size) / stride + 1 rows.",
                "Which number is smaller than every pixel, so that the search for the largest can begin with it? \
                 f32::max(a, b) is the larger of two.",
            ],
        },
        Part {
            name: "average_pool",
            hints: &[
                "Only one step differs from max pooling. Which?",
                "Add up the window, then divide by how many pixels it has.",
            ],
        },
        WRITTEN,
    ],
};

/// An image, the size of the window and its stride.
type Pooling = (Array2<f32>, usize, usize);

/// What the learner writes.
type Pool = dyn Fn(&Array2<f32>, usize, usize) -> Array2<f32> + Send;

/// Checks a function that takes the largest number of each window.
///
/// The function gets `image` (height, width), the window's `size` and its `stride`, and returns an array of
/// ((height - size) / stride + 1, (width - size) / stride + 1), both rounded down.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// let keep = |image: &Array2<f32>, _size: usize, _stride: usize| image.clone();
/// assert!(!check::max_pool(keep).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn max_pool(
    function: impl Fn(&Array2<f32>, usize, usize) -> Array2<f32> + Send + 'static,
) -> Answer {
    check_max_pool(Box::new(function))
}

fn check_max_pool(function: Box<Pool>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "max_pool",
        inputs: inputs(),
        show,
        reference: |(image, size, stride)| pool(image, *size, *stride, largest),
        mistakes: &[
            (
                |(image, size, stride)| pool(image, *size, *stride, |w| largest(w).max(0.0)),
                "Windows with only negative numbers give 0. Does your search begin with 0?",
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, mean),
                "This is the average of each window.",
            ),
            (
                |(image, size, stride)| {
                    pool(image, *size, *stride, |w| {
                        w.iter().copied().fold(f32::INFINITY, f32::min)
                    })
                },
                "This is the smallest number of each window.",
            ),
            (
                |(image, size, _)| pool(image, *size, *size, largest),
                STRIDE_FORGOTTEN,
            ),
            (
                |(image, size, _)| pool(image, *size, 1, largest),
                STRIDE_ONE,
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, |w| largest(&short(w))),
                WINDOW_SHORT,
            ),
            (
                |(image, size, stride)| pool_rounded_up(image, *size, *stride, largest),
                ROUNDED_UP,
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, largest).reversed_axes(),
                SWAPPED,
            ),
        ],
    }
    .run(move |(image, size, stride)| function(image, *size, *stride))
}

/// Checks a function that takes the average of each window. Arguments and shape are those of [`max_pool`].
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// let keep = |image: &Array2<f32>, _size: usize, _stride: usize| image.clone();
/// assert!(!check::average_pool(keep).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn average_pool(
    function: impl Fn(&Array2<f32>, usize, usize) -> Array2<f32> + Send + 'static,
) -> Answer {
    check_average_pool(Box::new(function))
}

fn check_average_pool(function: Box<Pool>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "average_pool",
        inputs: inputs(),
        show,
        reference: |(image, size, stride)| pool(image, *size, *stride, mean),
        mistakes: &[
            (
                |(image, size, stride)| pool(image, *size, *stride, largest),
                "This is the largest number of each window.",
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, |w| w.sum()),
                "This is the sum of each window. It is not divided yet.",
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, |w| w.sum() / w.nrows() as f32),
                "You divide by the size of the window. How many pixels has it?",
            ),
            (
                |(image, size, _)| pool(image, *size, *size, mean),
                STRIDE_FORGOTTEN,
            ),
            (|(image, size, _)| pool(image, *size, 1, mean), STRIDE_ONE),
            (
                |(image, size, stride)| {
                    pool(image, *size, *stride, |w| short(w).sum() / w.len() as f32)
                },
                WINDOW_SHORT,
            ),
            (
                |(image, size, stride)| pool_rounded_up(image, *size, *stride, mean),
                ROUNDED_UP,
            ),
            (
                |(image, size, stride)| pool(image, *size, *stride, mean).reversed_axes(),
                SWAPPED,
            ),
        ],
    }
    .run(move |(image, size, stride)| function(image, *size, *stride))
}

const STRIDE_FORGOTTEN: &str =
    "The windows lie side by side. They should begin `stride` pixels apart.";
const STRIDE_ONE: &str =
    "The windows begin one pixel apart. They should begin `stride` pixels apart.";
const WINDOW_SHORT: &str =
    "The last row and the last column of each window are missing: off by one.";
const ROUNDED_UP: &str =
    "There are windows that reach over the edge. The size of the output is rounded down.";
const SWAPPED: &str = "Rows and columns are swapped.";

/// The second image has only negative numbers. The others have sizes that the stride does not divide.
fn inputs() -> Vec<Pooling> {
    let mut random = StdRng::seed_from_u64(73);
    let mut image = |size, low, high| draw(&mut random, size, low, high);
    vec![
        (image((4, 4), -9, 9), 2, 2),
        (image((4, 4), -9, -1), 2, 2),
        (image((5, 6), -9, 9), 3, 1),
        (image((7, 6), -9, 9), 3, 2),
        (image((7, 10), -9, 9), 2, 3),
    ]
}

fn show((image, size, stride): &Pooling) -> String {
    format!("image {}, size {size}, stride {stride}", matrix(image))
}

fn pool(
    image: &Array2<f32>,
    size: usize,
    stride: usize,
    number: impl Fn(&Array2<f32>) -> f32,
) -> Array2<f32> {
    let places = |length: usize| (length - size) / stride + 1;
    Array2::from_shape_fn((places(image.nrows()), places(image.ncols())), |(y, x)| {
        let (top, left) = (y * stride, x * stride);
        number(
            &image
                .slice(s![top..top + size, left..left + size])
                .to_owned(),
        )
    })
}

/// As [`pool`], with the windows that reach over the edge.
fn pool_rounded_up(
    image: &Array2<f32>,
    size: usize,
    stride: usize,
    number: impl Fn(&Array2<f32>) -> f32,
) -> Array2<f32> {
    let (height, width) = image.dim();
    let places = |length: usize| (length - size).div_ceil(stride) + 1;
    Array2::from_shape_fn((places(height), places(width)), |(y, x)| {
        let rows = y * stride..height.min(y * stride + size);
        let columns = x * stride..width.min(x * stride + size);
        number(&image.slice(s![rows, columns]).to_owned())
    })
}

fn largest(window: &Array2<f32>) -> f32 {
    window.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

fn mean(window: &Array2<f32>) -> f32 {
    window.sum() / window.len() as f32
}

/// The window without its last row and column.
fn short(window: &Array2<f32>) -> Array2<f32> {
    window.slice(s![..-1, ..-1]).to_owned()
}

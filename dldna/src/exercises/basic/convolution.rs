//! Basic 1: what a convolution does, with Sobel.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, value::matrix};
use crate::exercises::Answer;
use ndarray::{Array2, ArrayView2, array, s};
use rand::{SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "basic-1",
    title: "The role of convolution, with Sobel",
    parts: &[
        Part {
            name: "correlate",
            hints: &[
                "How often does a kernel of 3 rows fit into an image of 5 rows, if it is moved by one row each time?",
                "For each output pixel (y, x), add up image[[y + i, x + j]] * kernel[[i, j]] over all i and j of the kernel.",
                "Array2::from_shape_fn((rows, columns), |(y, x)| ..) makes the result element by element. A kernel of k \
                 rows fits height - k + 1 times.",
            ],
        },
        Part {
            name: "sobel",
            hints: &[
                "You have two slopes for each pixel, one to the right and one down. How long is the arrow that they make?",
                "Correlate the image with the Sobel kernel for each direction. The lengths of two sides at a right angle \
                 give the third by Pythagoras.",
                "ndarray adds and multiplies arrays of the same shape element by element. &gx * &gx has the squares, and \
                 mapv(f32::sqrt) the roots.",
            ],
        },
        WRITTEN,
    ],
};

/// What the learner writes.
type Correlate = dyn Fn(&Array2<f32>, &Array2<f32>) -> Array2<f32> + Send;

/// Checks a function that correlates an image with a kernel, without padding and with stride 1.
///
/// The function gets `image` (height, width) and `kernel` (k, l) and returns an array of
/// (height - k + 1, width - l + 1).
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// fn correlate(_image: &Array2<f32>, _kernel: &Array2<f32>) -> Array2<f32> {
///     todo!()
/// }
/// assert!(check::correlate(correlate).to_string().contains("not written yet"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn correlate(
    function: impl Fn(&Array2<f32>, &Array2<f32>) -> Array2<f32> + Send + 'static,
) -> Answer {
    check_correlate(Box::new(function))
}

fn check_correlate(function: Box<Correlate>) -> Answer {
    let mut random = StdRng::seed_from_u64(71);
    let sizes = [
        ((3, 3), (2, 2)),
        ((4, 5), (3, 3)),
        ((6, 5), (2, 3)),
        ((9, 8), (3, 3)),
    ];
    let inputs = sizes.map(|(image, kernel)| {
        (
            draw(&mut random, image, 0, 9),
            draw(&mut random, kernel, -3, 3),
        )
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "correlate",
        inputs: inputs.into(),
        show: |(image, kernel)| format!("image {}, kernel {}", matrix(image), matrix(kernel)),
        reference: |(image, kernel)| correlation(image, kernel),
        mistakes: &[
            (
                |(image, kernel)| correlation(image, &kernel.slice(s![..;-1, ..;-1]).to_owned()),
                "The kernel is turned by 180 degrees. That is the convolution of mathematics. Deep learning correlates: \
                 + i and + j, not - i and - j.",
            ),
            (
                |(image, kernel)| correlation(image, &kernel.t().to_owned()),
                "Rows and columns of the kernel are swapped.",
            ),
            (
                |(image, kernel)| correlation(&padded(image, kernel.dim()), kernel),
                "The result is as large as the image, so you padded it. Here the kernel stays inside of the image.",
            ),
            (
                |(image, kernel)| correlation(image, kernel).slice(s![..-1, ..-1]).to_owned(),
                "The last row and the last column are missing: off by one.",
            ),
            (
                |(image, kernel)| correlation(image, &Array2::ones(kernel.dim())),
                "You add up the pixels of the window without the kernel's numbers.",
            ),
            (
                |(image, kernel)| correlation(image, kernel) / kernel.len() as f32,
                "You take the mean of the products. Correlation is their sum.",
            ),
            (
                |(image, kernel)| by_window(image, kernel, |window, kernel| {
                    window[window.len() - 1] * kernel[kernel.len() - 1]
                }),
                "Only the last product is left. Is each one added to those before, by +=?",
            ),
        ],
    }
    .run(move |(image, kernel)| function(image, kernel))
}

/// What the learner writes.
type Sobel = dyn Fn(&Array2<f32>) -> Array2<f32> + Send;

/// Checks a function that gives the strength of the edges by Sobel: the length of the gradient at each pixel.
///
/// The function gets `image` (height, width) and returns an array of (height - 2, width - 2).
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// assert!(!check::sobel(|image: &Array2<f32>| image.clone()).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sobel(function: impl Fn(&Array2<f32>) -> Array2<f32> + Send + 'static) -> Answer {
    check_sobel(Box::new(function))
}

fn check_sobel(function: Box<Sobel>) -> Answer {
    let mut random = StdRng::seed_from_u64(72);
    let sizes = [(3, 3), (3, 4), (5, 4), (8, 9)];
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "sobel",
        inputs: sizes.map(|size| draw(&mut random, size, 0, 9)).into(),
        show: |image| format!("image {}", matrix(image)),
        reference: |image| lengths(&slope_right(image, 2.0), &slope_down(image, 2.0)),
        mistakes: &[
            (
                |image| slope_right(image, 2.0),
                "This is the slope to the right alone. Horizontal edges are missing.",
            ),
            (
                |image| slope_down(image, 2.0),
                "This is the slope down alone. Vertical edges are missing.",
            ),
            (
                |image| slope_right(image, 2.0).abs() + slope_down(image, 2.0).abs(),
                "You add the sizes of both slopes. The length of the arrow is the root of the sum of their squares.",
            ),
            (
                |image| slope_right(image, 2.0) + slope_down(image, 2.0),
                "You add both slopes. One up and one down then cancel each other.",
            ),
            (
                |image| lengths(&slope_right(image, 2.0), &slope_down(image, 2.0)).powi(2),
                "The root is missing.",
            ),
            (
                |image| lengths(&slope_right(image, 1.0), &slope_down(image, 1.0)),
                "These are the kernels of Prewitt, 1 1 1. Sobel's have a 2 in the middle, 1 2 1.",
            ),
            (
                |image| {
                    let image = padded(image, (3, 3));
                    lengths(&slope_right(&image, 2.0), &slope_down(&image, 2.0))
                },
                "The result is as large as the image, so you padded it. Here the kernel stays inside of the image.",
            ),
        ],
    }
    .run(function)
}

/// One number for each place of a window as large as `kernel`.
fn by_window(
    image: &Array2<f32>,
    kernel: &Array2<f32>,
    number: impl Fn(&[f32], &[f32]) -> f32,
) -> Array2<f32> {
    let flat = |values: ArrayView2<f32>| values.iter().copied().collect::<Vec<f32>>();
    let kernel_numbers = flat(kernel.view());
    let (rows, columns) = (
        image.nrows() + 1 - kernel.nrows(),
        image.ncols() + 1 - kernel.ncols(),
    );
    Array2::from_shape_fn((rows, columns), |(y, x)| {
        let window = image.slice(s![y..y + kernel.nrows(), x..x + kernel.ncols()]);
        number(&flat(window), &kernel_numbers)
    })
}

fn correlation(image: &Array2<f32>, kernel: &Array2<f32>) -> Array2<f32> {
    by_window(image, kernel, |window, kernel| {
        window.iter().zip(kernel).map(|(x, k)| x * k).sum()
    })
}

/// The image with zeros around it, so that a correlation keeps its size.
fn padded(image: &Array2<f32>, (rows, columns): (usize, usize)) -> Array2<f32> {
    let (height, width) = image.dim();
    let mut padded = Array2::zeros((height + rows - 1, width + columns - 1));
    let (top, left) = ((rows - 1) / 2, (columns - 1) / 2);
    let mut inside = padded.slice_mut(s![top..top + height, left..left + width]);
    inside.assign(image);
    padded
}

/// The slope from left to right, with the weight of the middle row: 2 for Sobel, 1 for Prewitt.
fn slope_right(image: &Array2<f32>, middle: f32) -> Array2<f32> {
    let kernel = array![[-1.0, 0.0, 1.0], [-middle, 0.0, middle], [-1.0, 0.0, 1.0]];
    correlation(image, &kernel)
}

fn slope_down(image: &Array2<f32>, middle: f32) -> Array2<f32> {
    slope_right(&image.t().to_owned(), middle).reversed_axes()
}

fn lengths(right: &Array2<f32>, down: &Array2<f32>) -> Array2<f32> {
    (right.powi(2) + down.powi(2)).sqrt()
}

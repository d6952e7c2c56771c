//! Applied 3: the classic filters compared, in numbers.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, value::matrix};
use crate::exercises::Answer;
use crate::filter_utils::apply_filter_f32;
use ndarray::Array2;
use rand::{SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "applied-3",
    title: "What each filter does, in numbers",
    parts: &[
        Part {
            name: "flat_response",
            hints: &[
                "All pixels below the kernel are 1. What is each product, and what their sum?",
                "kernel.sum() adds up an array.",
            ],
        },
        Part {
            name: "edge_response",
            hints: &[
                "Make a small image that is 0 on its left half and 1 on its right half, and filter it. Which responses appear, \
                 from left to right?",
                "apply_filter_f32(&image, kernel) filters. The image has to be some kernels wide, so that there is flat area on \
                 both sides. Then take the largest and the smallest response.",
                "image.iter().copied().fold(f32::MIN, f32::max) is the largest element. The horizontal edge is the same image \
                 with rows and columns swapped.",
            ],
        },
        Part {
            name: "noise_response",
            hints: &[
                "Each pixel is moved by a random number of standard deviation 1, independently of the others. What is the \
                 variance of one product, weight times noise?",
                "Variances of independent numbers add up. The variance of w * x is w^2 times that of x. The standard deviation \
                 is the root of the variance.",
            ],
        },
        WRITTEN,
    ],
};

/// What the learner writes: one number for a kernel.
type Response = dyn Fn(&Array2<f32>) -> f32 + Send;
/// What the learner writes: (to a vertical edge, to a horizontal one).
type EdgeResponse = dyn Fn(&Array2<f32>) -> (f32, f32) + Send;

/// Checks what a filter gives on a flat area of brightness 1: the function gets a kernel and returns one number.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::flat_response(|kernel| kernel[[0, 0]]).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn flat_response(function: impl Fn(&Array2<f32>) -> f32 + Send + 'static) -> Answer {
    check_flat(Box::new(function))
}

fn check_flat(function: Box<Response>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "flat_response",
        inputs: kernels(83),
        show: |kernel| format!("kernel {}", matrix(kernel)),
        reference: |kernel| apply_filter_f32(&Array2::ones((9, 9)), kernel)[[4, 4]],
        mistakes: &[
            (
                |kernel| kernel.sum() / kernel.len() as f32,
                "This is the mean of the weights. A filter adds up the products, and does not divide.",
            ),
            (
                |kernel| kernel.mapv(f32::abs).sum(),
                "The signs are lost. Negative weights subtract.",
            ),
            (
                |kernel| kernel[[kernel.nrows() / 2, kernel.ncols() / 2]],
                "This is the weight in the middle. The neighbours are bright as well.",
            ),
        ],
    }
    .run(function)
}

/// Checks how strongly a filter answers to an edge between brightness 0 and 1: (to a vertical edge, to a horizontal one).
///
/// The function gets a kernel. For each edge, it returns the largest response minus the smallest.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::edge_response(|kernel| (kernel.sum(), kernel.sum())).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn edge_response(function: impl Fn(&Array2<f32>) -> (f32, f32) + Send + 'static) -> Answer {
    check_edge(Box::new(function))
}

fn check_edge(function: Box<EdgeResponse>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "edge_response",
        inputs: kernels(84),
        show: |kernel| format!("kernel {}", matrix(kernel)),
        reference: |kernel| {
            let flipped = kernel.t().to_owned();
            (range(&crossing(kernel)), range(&crossing(&flipped)))
        },
        mistakes: &[
            (
                |kernel| {
                    let flipped = kernel.t().to_owned();
                    (range(&crossing(&flipped)), range(&crossing(kernel)))
                },
                "The two edges are swapped. At a vertical edge the brightness changes from left to right.",
            ),
            (
                |kernel| {
                    let flipped = kernel.t().to_owned();
                    (largest(&crossing(kernel)), largest(&crossing(&flipped)))
                },
                "This is the largest response alone. A dark line beside the edge is an answer as well: subtract the smallest.",
            ),
            (
                |kernel| {
                    let most = |kernel: &Array2<f32>| {
                        crossing(kernel).into_iter().map(f32::abs).fold(0.0, f32::max)
                    };
                    (most(kernel), most(&kernel.t().to_owned()))
                },
                "This is the response of the largest size. Where responses go up and down, both count: largest minus smallest.",
            ),
            (
                |kernel| (kernel.sum().abs(), kernel.sum().abs()),
                "This is the difference between the two flat areas. In between, the kernel lies half on each, and most filters \
                 do their work there.",
            ),
        ],
    }
    .run(function)
}

/// Checks how strongly a filter answers to noise: the standard deviation of the response, where the pixels have
/// independent noise of standard deviation 1.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::noise_response(|kernel| kernel.sum()).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn noise_response(function: impl Fn(&Array2<f32>) -> f32 + Send + 'static) -> Answer {
    check_noise(Box::new(function))
}

fn check_noise(function: Box<Response>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "noise_response",
        inputs: kernels(85),
        show: |kernel| format!("kernel {}", matrix(kernel)),
        reference: |kernel| {
            // Each pixel's noise spreads out as the response to a single bright pixel does.
            let mut impulse = Array2::zeros((15, 15));
            impulse[[7, 7]] = 1.0;
            let response = apply_filter_f32(&impulse, kernel);
            response.iter().map(|r| r * r).sum::<f32>().sqrt()
        },
        mistakes: &[
            (
                |kernel| kernel.iter().map(|w| w * w).sum(),
                "This is the variance. The standard deviation is its root.",
            ),
            (
                |kernel| kernel.sum().abs(),
                "This is the response to a flat area. Noise differs from pixel to pixel, and partly cancels itself.",
            ),
            (
                |kernel| kernel.mapv(f32::abs).sum(),
                "You add standard deviations. Of independent numbers the variances add up.",
            ),
            (
                |kernel| (kernel.iter().map(|w| w * w).sum::<f32>() / kernel.len() as f32).sqrt(),
                "You take the mean of the squares. The variances add up: their sum.",
            ),
        ],
    }
    .run(function)
}

/// Kernels of whole numbers, square and not, one of them without negative weights.
fn kernels(seed: u64) -> Vec<Array2<f32>> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut drawn = |(rows, columns): (usize, usize), low| {
        let numbers = draw(&mut random, rows * columns, low, 5);
        Array2::from_shape_vec((rows, columns), numbers).expect("as many numbers as the shape has")
    };
    vec![
        drawn((1, 3), -4),
        drawn((3, 3), 0),
        drawn((3, 3), -4),
        drawn((5, 3), -4),
        drawn((3, 5), -4),
        drawn((5, 5), -4),
    ]
}

/// The responses along a row that crosses a vertical edge, from the dark side to the bright one.
fn crossing(kernel: &Array2<f32>) -> Vec<f32> {
    let (size, half) = (20, 10);
    let image = Array2::from_shape_fn((size, size), |(_, x)| if x < half { 0.0 } else { 1.0 });
    apply_filter_f32(&image, kernel).row(half).to_vec()
}

fn largest(responses: &[f32]) -> f32 {
    responses.iter().copied().fold(f32::MIN, f32::max)
}

fn range(responses: &[f32]) -> f32 {
    largest(responses) - responses.iter().copied().fold(f32::MAX, f32::min)
}

//! Advanced 1: why gradients vanish or explode. He et al., *Delving Deep into Rectifiers*, 2015, section 2.2.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, vector};
use crate::exercises::{Answer, value::matrix};
use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::f64::consts::TAU;

pub(super) const EXERCISE: Exercise = Exercise {
    id: "advanced-1",
    title: "Vanishing and exploding gradients",
    parts: &[
        Part {
            name: "jacobian",
            hints: &[
                "What is the derivative of a single layer, relu(W x)? Which rows of W count at this x?",
                "Go forward with two things: the signal, and the derivative of the signal by x so far. What does a layer \
                 do to each?",
                "A layer multiplies the derivative so far by W from the left. Then the rows where W x is not above zero \
                 become zero. Begin with the identity.",
            ],
        },
        Part {
            name: "variance_factor",
            hints: &[
                "A number of the next signal, before ReLU, is a sum of fan_in products. What is the mean square of a sum of \
                 independent terms with mean zero?",
                "That mean square is fan_in * deviation^2 times the one of the signal. Which half of the numbers is left \
                 after ReLU?",
            ],
        },
        Part {
            name: "kaiming_deviation",
            hints: &[
                "Which variance factor keeps the signal as it is? Solve for the deviation.",
                "How many products does one output pixel of the convolution sum up? That is its fan_in.",
            ],
        },
        WRITTEN,
    ],
};

/// The weights of all layers, and what goes into the first.
type Stack = (Vec<Array2<f64>>, Array1<f64>);

/// What the learner writes.
type Jacobian = dyn Fn(&[Array2<f64>], &Array1<f64>) -> Array2<f64> + Send;

/// Checks the derivative of a stack of layers `x -> relu(W x)`.
///
/// The function gets the `weights` of all layers, (outputs, inputs) each, and the `x` that comes into the first. It
/// returns the derivative of each number of the last layer's output (rows) by each number of `x` (columns).
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// let first_weights = |weights: &[Array2<f64>], _x: &Array1<f64>| weights[0].clone();
/// assert!(!check::jacobian(first_weights).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn jacobian(
    function: impl Fn(&[Array2<f64>], &Array1<f64>) -> Array2<f64> + Send + 'static,
) -> Answer {
    check_jacobian(Box::new(function))
}

fn check_jacobian(function: Box<Jacobian>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "jacobian",
        inputs: stacks(),
        show: |(weights, x)| {
            let weights: Vec<String> = weights.iter().map(matrix).collect();
            format!("x {}, weights {}", vector(x), weights.join(" and "))
        },
        reference: difference_quotients,
        mistakes: &[
            (
                |stack| chain(stack, |_, z| z.mapv(|_| 1.0), relu, from_left),
                "This is the product of the weights. Where ReLU gives 0, the derivative is 0 as well.",
            ),
            (
                |stack| chain(stack, mask, relu, |step, so_far| product(so_far, step)),
                "The product is in the wrong order. The last layer's derivative stands at the left.",
            ),
            (
                |stack| chain(stack, mask, Array1::clone, from_left),
                "The signal does not go through ReLU between the layers, so the later masks are wrong.",
            ),
            (
                chain_of_columns,
                "The mask zeroes columns: it looks at what comes into the layer. ReLU is behind W: it zeroes rows.",
            ),
            (
                |(weights, x)| {
                    let (last, before) = (weights.len() - 1, &weights[..weights.len() - 1]);
                    let so_far = chain(&(before.to_vec(), x.clone()), mask, relu, from_left);
                    product(&weights[last], &so_far)
                },
                "The ReLU of the last layer is missing.",
            ),
            (
                |(weights, x)| {
                    let before = weights[..weights.len() - 1].to_vec();
                    chain(&(before, x.clone()), mask, relu, from_left)
                },
                "The last layer is missing: off by one.",
            ),
            (
                |stack| difference_quotients(stack).reversed_axes(),
                "Rows and columns are swapped: a row belongs to an output, a column to an input.",
            ),
        ],
    }
    .run(move |(weights, x)| function(weights, x))
}

/// Checks by how much a layer `x -> relu(W x)` multiplies the mean square of its signal, on average over random weights.
///
/// The function gets `fan_in`, the numbers that come in, and the standard `deviation` of the weights, whose mean is 0.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::variance_factor(|fan_in, deviation| fan_in as f64 * deviation * deviation);
/// assert!(answer.to_string().contains("ReLU"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn variance_factor(function: impl Fn(usize, f64) -> f64 + Send + 'static) -> Answer {
    check_variance_factor(Box::new(function))
}

fn check_variance_factor(function: Box<dyn Fn(usize, f64) -> f64 + Send>) -> Answer {
    let mut random = StdRng::seed_from_u64(82);
    let drawn = (0..10).map(|_| {
        let deviation = f64::from(random.gen_range(1..=60)) / 100.0;
        (random.gen_range(2..=512), deviation)
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "variance_factor",
        inputs: [(100, 0.1), (200, 0.1)].into_iter().chain(drawn).collect(),
        show: |(fan_in, deviation)| format!("fan_in {fan_in}, deviation {deviation}"),
        reference: |&(fan_in, deviation)| factor(fan_in, deviation),
        mistakes: &[
            (
                |&(n, s)| n as f64 * s * s,
                "This is the factor before ReLU. What does ReLU take away?",
            ),
            (
                |&(n, s)| n as f64 * s / 2.0,
                "The deviation counts with its square: a mean square is asked for.",
            ),
            (
                |&(n, s)| n as f64 * s,
                "The deviation counts with its square, and ReLU is missing.",
            ),
            (
                |&(n, s)| (n as f64 * s * s / 2.0).sqrt(),
                "This is the factor of the deviation. A mean square is asked for: no root.",
            ),
            (
                |&(n, s)| n as f64 * s * s / 4.0,
                "ReLU halves the mean square. It is the amplitude that would be halved twice.",
            ),
            (|&(_, s)| s * s / 2.0, "The sum has fan_in terms."),
            (
                |&(n, s)| 2.0 * n as f64 * s * s,
                "ReLU makes the signal weaker, not stronger.",
            ),
        ],
    }
    .run(move |&(fan_in, deviation)| function(fan_in, deviation))
}

/// Checks the standard deviation of weights with which a convolution and the ReLU behind it keep the mean square.
///
/// The function gets `in_channels` and the side of the `kernel`.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::kaiming_deviation(|in_channels, _kernel| (2.0 / in_channels as f64).sqrt());
/// assert!(answer.to_string().contains("kernel"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn kaiming_deviation(function: impl Fn(usize, usize) -> f64 + Send + 'static) -> Answer {
    check_kaiming_deviation(Box::new(function))
}

fn check_kaiming_deviation(function: Box<dyn Fn(usize, usize) -> f64 + Send>) -> Answer {
    let mut random = StdRng::seed_from_u64(83);
    let drawn = (0..10).map(|_| (random.gen_range(2..=128), random.gen_range(1..=7)));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "kaiming_deviation",
        inputs: [(2, 1), (8, 3)].into_iter().chain(drawn).collect(),
        show: |(in_channels, kernel)| format!("in_channels {in_channels}, kernel {kernel}"),
        reference: |&(channels, kernel)| {
            // The deviation whose factor is 1, by halving an interval.
            let (mut low, mut high) = (0.0, 2.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                let too_much = factor(channels * kernel * kernel, middle) > 1.0;
                (low, high) = if too_much { (low, middle) } else { (middle, high) };
            }
            low
        },
        mistakes: &[
            (
                |&(c, k)| (1.0 / (c * k * k) as f64).sqrt(),
                "This keeps the signal without ReLU. ReLU takes half of the mean square away.",
            ),
            (
                |&(c, k)| 2.0 / (c * k * k) as f64,
                "This is the variance. The deviation is its root.",
            ),
            (
                |&(c, _)| (2.0 / c as f64).sqrt(),
                "The kernel is missing: an output pixel sums over kernel * kernel places, too.",
            ),
            (
                |&(c, k)| (2.0 / (c * k) as f64).sqrt(),
                "The kernel has two sides: an output pixel sums over kernel * kernel places.",
            ),
            (
                |&(_, k)| (2.0 / (k * k) as f64).sqrt(),
                "The input channels are missing: an output pixel sums over all of them.",
            ),
            (
                |&(c, k)| (0.5 / (c * k * k) as f64).sqrt(),
                "ReLU takes half of the mean square away, so the weights have to be larger, not smaller.",
            ),
            (
                |&(c, k)| (1.0 / (3 * c * k * k) as f64).sqrt(),
                "This is what PyTorch does by default. It does not keep the mean square.",
            ),
        ],
    }
    .run(move |&(in_channels, kernel)| function(in_channels, kernel))
}

/// One layer, two square ones, and stacks whose layers have different sizes.
fn stacks() -> Vec<Stack> {
    let mut random = StdRng::seed_from_u64(84);
    let sizes: [&[usize]; 6] = [
        &[2, 2],
        &[3, 3, 3],
        &[4, 4, 4, 4],
        &[3, 6, 4],
        &[4, 8, 8, 8, 3],
        &[8, 8, 8, 8, 8, 8],
    ];
    sizes
        .into_iter()
        .map(|sizes| {
            // ReLU may close all ways through a stack. Such a draw teaches nothing.
            loop {
                let x = draw(&mut random, (1, sizes[0])).remove_axis(Axis(0));
                let weights = sizes
                    .windows(2)
                    .map(|pair| draw(&mut random, (pair[1], pair[0])));
                let stack = (weights.collect(), x);
                let jacobian = difference_quotients(&stack);
                let open = jacobian.rows().into_iter().filter(|row| row.dot(row) > 0.0);
                if open.count() >= 2.min(sizes[sizes.len() - 1] - 1) {
                    break stack;
                }
            }
        })
        .collect()
}

/// The derivative without any calculus: how much the outputs move if an input moves a little.
fn difference_quotients((weights, x): &Stack) -> Array2<f64> {
    let step = 1e-6;
    let output = |x: &Array1<f64>| {
        weights
            .iter()
            .fold(x.clone(), |signal, w| relu(&w.dot(&signal)))
    };
    let outputs = weights.last().map_or(x.len(), Array2::nrows);
    let mut result = Array2::zeros((outputs, x.len()));
    for (j, mut column) in result.columns_mut().into_iter().enumerate() {
        let (mut above, mut below) = (x.clone(), x.clone());
        above[j] += step;
        below[j] -= step;
        column.assign(&((output(&above) - output(&below)) / (2.0 * step)));
    }
    result
}

fn relu(z: &Array1<f64>) -> Array1<f64> {
    z.mapv(|z| z.max(0.0))
}

fn mask(_: &Array1<f64>, z: &Array1<f64>) -> Array1<f64> {
    z.mapv(|z| f64::from(z > 0.0))
}

fn from_left(step: &Array2<f64>, so_far: &Array2<f64>) -> Array2<f64> {
    product(step, so_far)
}

/// The product, or nothing where the sizes do not fit: no learner's result is that.
fn product(left: &Array2<f64>, right: &Array2<f64>) -> Array2<f64> {
    if left.ncols() == right.nrows() {
        left.dot(right)
    } else {
        Array2::zeros((0, 0))
    }
}

/// The chain rule. `slopes` makes of what comes into a layer, and of `W` times it, the factors of the rows of `W`.
fn chain(
    (weights, x): &Stack,
    slopes: fn(&Array1<f64>, &Array1<f64>) -> Array1<f64>,
    activate: fn(&Array1<f64>) -> Array1<f64>,
    join: fn(&Array2<f64>, &Array2<f64>) -> Array2<f64>,
) -> Array2<f64> {
    let mut signal = x.clone();
    let mut so_far = Array2::eye(x.len());
    for w in weights {
        let z = w.dot(&signal);
        let step = w * &slopes(&signal, &z).insert_axis(Axis(1));
        so_far = join(&step, &so_far);
        signal = activate(&z);
    }
    so_far
}

/// The chain rule with the mask on the wrong side.
fn chain_of_columns((weights, x): &Stack) -> Array2<f64> {
    let mut signal = x.clone();
    let mut so_far = Array2::eye(x.len());
    for w in weights {
        let step = w * &signal.mapv(|x| f64::from(x > 0.0));
        so_far = product(&step, &so_far);
        signal = relu(&w.dot(&signal));
    }
    so_far
}

/// The mean square behind a layer, by adding up the normal density of what comes to its ReLU.
fn factor(fan_in: usize, deviation: f64) -> f64 {
    let steps = 20_000;
    let width = 10.0 / f64::from(steps);
    let half: f64 = (0..steps)
        .map(|i| (f64::from(i) + 0.5) * width)
        .map(|z| z * z * (-0.5 * z * z).exp() / TAU.sqrt() * width)
        .sum();
    fan_in as f64 * deviation * deviation * half
}

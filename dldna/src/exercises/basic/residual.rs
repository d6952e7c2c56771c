//! Basic 3: residual connections and gradients.

use super::{Exercise, FunctionCheck, Part, WRITTEN};
use crate::exercises::Answer;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "basic-3",
    title: "Residual connections and gradients",
    parts: &[
        Part {
            name: "plain_derivative",
            hints: &[
                "What is the derivative of f(g(x))? And of a hundred functions, one inside of the other?",
                "Go through the layers with two numbers: the signal, and the derivative so far. Each layer multiplies the \
                 derivative by its own, taken at the signal that comes into it.",
                "The derivative of tanh(w x) is w (1 - tanh(w x)^2). Begin with the derivative 1.",
            ],
        },
        Part {
            name: "residual_derivative",
            hints: &[
                "What is the derivative of x + F(x)?",
                "Each layer has the derivative 1 + w (1 - tanh(w x)^2), and hands on x + tanh(w x).",
            ],
        },
        WRITTEN,
    ],
};

/// The number that comes into a stack, and the weight of each layer.
type Stack = (f64, Vec<f64>);

/// What the learner writes.
type Derivative = dyn Fn(f64, &[f64]) -> f64 + Send;

/// Checks the derivative of a stack of layers `x -> tanh(w x)`.
///
/// The function gets the `x` that comes into the first layer and the `weights` of all layers, and returns the derivative
/// of the last layer's output by `x`.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let product = |_x: f64, weights: &[f64]| weights.iter().product::<f64>();
/// let answer = check::plain_derivative(product);
/// assert!(answer.to_string().contains("1 - tanh"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn plain_derivative(function: impl Fn(f64, &[f64]) -> f64 + Send + 'static) -> Answer {
    check_plain_derivative(Box::new(function))
}

fn check_plain_derivative(function: Box<Derivative>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "plain_derivative",
        inputs: inputs(74),
        show,
        reference: |stack| difference_quotient(stack, |x, w| (w * x).tanh()),
        mistakes: &[
            (
                |stack| chain(stack, plain, |x, w| 1.0 - (w * x).tanh().powi(2)),
                "The factor w is missing, which comes from inside of tanh(w x).",
            ),
            (
                |stack| chain(stack, plain, |_, w| w),
                "The factor 1 - tanh(w x)^2 is missing.",
            ),
            (
                |stack| chain(stack, |x, _| x, plain_slope),
                "Each layer's derivative is taken at the first x. It belongs to the signal that comes into that layer.",
            ),
            (
                |stack| chain(stack, plain, |x, w| plain_slope(plain(x, w), w)),
                "Each layer's derivative is taken at its output. It belongs to the signal that comes into the layer.",
            ),
            (
                |stack| sum(stack, plain, plain_slope),
                "You add the derivatives of the layers. The chain rule multiplies them.",
            ),
            (
                |stack| chain(stack, plain, plain),
                "You multiply the outputs of the layers, not their derivatives.",
            ),
            (
                |(x, weights)| chain(&(*x, all_but_last(weights)), plain, plain_slope),
                "The last layer is missing: off by one.",
            ),
            (
                |stack| difference_quotient(stack, residual),
                "This is the derivative with skips, x + tanh(w x).",
            ),
        ],
    }
    .run(move |(x, weights)| function(*x, weights))
}

/// Checks the derivative of a stack of residual layers `x -> x + tanh(w x)`. The arguments are those of
/// [`plain_derivative`].
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::residual_derivative(|_x: f64, _weights: &[f64]| 1.0).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn residual_derivative(function: impl Fn(f64, &[f64]) -> f64 + Send + 'static) -> Answer {
    check_residual_derivative(Box::new(function))
}

fn check_residual_derivative(function: Box<Derivative>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "residual_derivative",
        inputs: inputs(75),
        show,
        reference: |stack| difference_quotient(stack, residual),
        mistakes: &[
            (
                |stack| difference_quotient(stack, plain),
                "This is the derivative of the plain stack. What does the skip add?",
            ),
            (
                |stack| chain(stack, residual, plain_slope),
                "The 1 is missing, which is the derivative of the skip.",
            ),
            (
                |stack| chain(stack, plain, |x, w| 1.0 + plain_slope(x, w)),
                "The signal is that of the plain stack. A residual layer hands on x + tanh(w x).",
            ),
            (
                |stack| 1.0 + chain(stack, residual, plain_slope),
                "The 1 is added once. Each layer has a skip of its own, so each factor has its 1.",
            ),
            (
                |stack| 1.0 + chain(stack, plain, plain_slope),
                "This is one skip around the whole stack. Each layer has its own.",
            ),
            (
                |stack| chain(stack, |x, _| x, |x, w| 1.0 + plain_slope(x, w)),
                "Each layer's derivative is taken at the first x. It belongs to the signal that comes into that layer.",
            ),
            (
                |stack| sum(stack, residual, |x, w| 1.0 + plain_slope(x, w)),
                "You add the derivatives of the layers. The chain rule multiplies them.",
            ),
            (
                |(x, weights)| {
                    let stack = (*x, all_but_last(weights));
                    chain(&stack, residual, |x, w| 1.0 + plain_slope(x, w))
                },
                "The last layer is missing: off by one.",
            ),
        ],
    }
    .run(move |(x, weights)| function(*x, weights))
}

/// Stacks of one to twenty layers with weights of both signs, and one without any.
fn inputs(seed: u64) -> Vec<Stack> {
    let mut random = StdRng::seed_from_u64(seed);
    let depths = [1, 2, 3, 8, 20, 0];
    // Two decimals, so that the numbers that are shown are those that were given.
    let mut draw = |low: i32, high: i32| f64::from(random.gen_range(low..=high)) / 100.0;
    depths
        .map(|depth| {
            let x = draw(20, 90);
            let weight = |layer| draw(40, 130) * if layer % 3 == 1 { -1.0 } else { 1.0 };
            (x, (0..depth).map(weight).collect())
        })
        .into()
}

fn show((x, weights): &Stack) -> String {
    format!("x {x}, weights {weights:?}")
}

fn plain(x: f64, w: f64) -> f64 {
    (w * x).tanh()
}

fn residual(x: f64, w: f64) -> f64 {
    x + plain(x, w)
}

fn plain_slope(x: f64, w: f64) -> f64 {
    w * (1.0 - plain(x, w).powi(2))
}

/// The derivative without any calculus: how much the output moves if the input moves a little.
fn difference_quotient((x, weights): &Stack, layer: fn(f64, f64) -> f64) -> f64 {
    let step = 1e-5;
    let output = |x: f64| weights.iter().fold(x, |x, &w| layer(x, w));
    (output(x + step) - output(x - step)) / (2.0 * step)
}

fn slopes(
    (x, weights): &Stack,
    layer: fn(f64, f64) -> f64,
    slope: fn(f64, f64) -> f64,
) -> impl Iterator<Item = f64> {
    let mut signal = *x;
    weights.iter().map(move |&w| {
        let slope = slope(signal, w);
        signal = layer(signal, w);
        slope
    })
}

fn chain(stack: &Stack, layer: fn(f64, f64) -> f64, slope: fn(f64, f64) -> f64) -> f64 {
    slopes(stack, layer, slope).product()
}

fn sum(stack: &Stack, layer: fn(f64, f64) -> f64, slope: fn(f64, f64) -> f64) -> f64 {
    slopes(stack, layer, slope).sum()
}

fn all_but_last(weights: &[f64]) -> Vec<f64> {
    weights[..weights.len().saturating_sub(1)].to_vec()
}

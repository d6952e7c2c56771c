//! Basic 5: compound scaling against scaling one dimension. Tan and Le, *EfficientNet*, 2019, section 3.3.

use super::{Exercise, FunctionCheck, Part, WRITTEN};
use crate::exercises::{Answer, value::number};
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "basic-5",
    title: "Compound scaling against one dimension",
    parts: &[
        Part {
            name: "cost_factor",
            hints: &[
                "A network is made twice as deep. How much more does it compute? And one with twice the channels in each \
                 layer?",
                "A convolution has in_channels * out_channels * height * width in its cost. Which of these does the width \
                 multiply, and which the resolution?",
            ],
        },
        Part {
            name: "one_dimension",
            hints: &[
                "Look at your cost factor with two of the three left at 1.",
                "Solve d = budget, w^2 = budget and r^2 = budget.",
            ],
        },
        Part {
            name: "compound_scaling",
            hints: &[
                "phi = 1 multiplies the depth by 1.2. phi = 2 does so twice. What is the depth then?",
                "x.powf(phi) is x to the power of phi.",
            ],
        },
        Part {
            name: "phi_for",
            hints: &[
                "How much more does the network compute for each step of phi? Put the factors of phi = 1 into your cost \
                 factor.",
                "Which power of that number is the budget? The inverse of a power is a logarithm.",
                "If a^phi = b, then phi = b.ln() / a.ln().",
            ],
        },
        WRITTEN,
    ],
};

/// The paper's depth, width and resolution for each step of phi.
const ALPHA: f64 = 1.2;
const BETA: f64 = 1.1;
const GAMMA: f64 = 1.15;

/// Checks how many times more a network computes that is scaled.
///
/// The function gets the factors of `depth`, `width` and `resolution`, and returns the factor of the multiply-adds.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::cost_factor(|depth, width, resolution| depth * width * resolution);
/// assert!(answer.to_string().contains("mistake"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn cost_factor(function: impl Fn(f64, f64, f64) -> f64 + Send + 'static) -> Answer {
    check_cost_factor(Box::new(function))
}

fn check_cost_factor(function: Box<dyn Fn(f64, f64, f64) -> f64 + Send>) -> Answer {
    let mut random = StdRng::seed_from_u64(79);
    let mut inputs = vec![[1.0, 2.0, 1.0], [2.0, 1.0, 1.0], [1.0, 1.0, 2.0]];
    let mut draw = || f64::from(random.gen_range(11..=30)) / 10.0;
    inputs.extend((0..10).map(|_| [draw(), draw(), draw()]));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "cost_factor",
        inputs,
        show: |[depth, width, resolution]| {
            format!("depth {depth}, width {width}, resolution {resolution}")
        },
        reference: |&[d, w, r]| layers_cost(d, w, r),
        mistakes: &[
            (
                |&[d, w, r]| d * w * r,
                "Twice the width is more than twice the work: a layer has more channels on both sides. And an image has \
                 two sides.",
            ),
            (
                |&[d, w, r]| d * w * r * r,
                "Twice the width is more than twice the work: a layer has more channels on both sides.",
            ),
            (
                |&[d, w, r]| d * w * w * r,
                "Twice the resolution is more than twice the pixels: an image has two sides.",
            ),
            (
                |&[d, w, r]| (d * w * r).powi(2),
                "Twice the depth is twice the layers, and no more.",
            ),
            (|&[d, w, r]| d + w + r, "The factors do not add up."),
            (
                |&[d, w, r]| d + w * w + r * r,
                "The factors do not add up. They multiply each other.",
            ),
            (|&[_, w, r]| w * w * r * r, "The depth is missing."),
        ],
    }
    .run(move |&[depth, width, resolution]| function(depth, width, resolution))
}

/// Checks how far one dimension alone can be scaled.
///
/// The function gets `budget`, the factor of the multiply-adds, and returns the factor of the depth alone, of the width
/// alone, and of the resolution alone.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::one_dimension(|budget| (budget, budget, budget)).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn one_dimension(function: impl Fn(f64) -> (f64, f64, f64) + Send + 'static) -> Answer {
    check_one_dimension(Box::new(function))
}

fn check_one_dimension(function: Box<dyn Fn(f64) -> (f64, f64, f64) + Send>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "one_dimension",
        inputs: budgets(80),
        show: |budget| format!("budget {budget}"),
        reference: |&budget| (budget, budget.sqrt(), budget.sqrt()),
        mistakes: &[
            (
                |&budget| (budget, budget, budget),
                "Width and resolution cost their square. With these factors the network computes more than the budget.",
            ),
            (
                |&budget| (budget.sqrt(), budget.sqrt(), budget.sqrt()),
                "The depth costs no square. All of the budget is there for it.",
            ),
            (
                |&budget| (budget, budget.powi(2), budget.powi(2)),
                "Width and resolution cost their square. Which number has the budget as its square?",
            ),
            (
                |&budget| (budget.cbrt(), budget.cbrt(), budget.cbrt()),
                "This shares the budget among all three. Here each has all of it, and the other two stay at 1.",
            ),
            (
                |&budget| (budget, budget / 2.0, budget / 2.0),
                "A square is not twice the number. Which number has the budget as its square?",
            ),
        ],
    }
    .run(move |&budget| function(budget))
}

/// Checks compound scaling: depth, width and resolution for a `phi`, with alpha 1.2, beta 1.1 and gamma 1.15.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::compound_scaling(|phi| (1.2 * phi, 1.1 * phi, 1.15 * phi)).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn compound_scaling(function: impl Fn(f64) -> (f64, f64, f64) + Send + 'static) -> Answer {
    check_compound_scaling(Box::new(function))
}

fn check_compound_scaling(function: Box<dyn Fn(f64) -> (f64, f64, f64) + Send>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "compound_scaling",
        inputs: vec![1.0, 2.0, 0.0, 0.5, 3.0, 4.7, 7.0],
        show: |phi| format!("phi {phi}"),
        // e^(phi ln a) is a^phi.
        reference: |phi| {
            let power = |base: f64| (phi * base.ln()).exp();
            (power(ALPHA), power(BETA), power(GAMMA))
        },
        mistakes: &[
            (
                |phi| (ALPHA * phi, BETA * phi, GAMMA * phi),
                "You multiply by phi. Each step of phi multiplies by alpha once more: a power.",
            ),
            (
                |phi| (phi.powf(ALPHA), phi.powf(BETA), phi.powf(GAMMA)),
                "Base and exponent are swapped.",
            ),
            (
                |phi| (ALPHA.powf(*phi), GAMMA.powf(*phi), BETA.powf(*phi)),
                "Width and resolution are swapped: beta 1.1 is for the width, gamma 1.15 for the resolution.",
            ),
            (
                |phi| (ALPHA.powf(*phi), BETA.powf(2.0 * phi), GAMMA.powf(2.0 * phi)),
                "These are squared. The squares are in the cost, not in the factors.",
            ),
            (
                |phi| (ALPHA.powf(phi.floor()), BETA.powf(phi.floor()), GAMMA.powf(phi.floor())),
                "phi need not be a whole number.",
            ),
        ],
    }
    .run(move |&phi| function(phi))
}

/// Checks the `phi` that uses up a budget: the function gets the factor of the multiply-adds and returns phi.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::phi_for(|budget: f64| budget / 2.0).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn phi_for(function: impl Fn(f64) -> f64 + Send + 'static) -> Answer {
    check_phi_for(Box::new(function))
}

fn check_phi_for(function: Box<dyn Fn(f64) -> f64 + Send>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "phi_for",
        inputs: budgets(81),
        show: |budget| format!("budget {}", number(*budget)),
        reference: |&budget| {
            // Halving an interval: the factor grows with phi.
            let too_much = |phi: f64| {
                layers_cost(ALPHA.powf(phi), BETA.powf(phi), GAMMA.powf(phi)) > budget
            };
            let (mut low, mut high) = (0.0, 100.0);
            for _ in 0..100 {
                let middle = (low + high) / 2.0;
                (low, high) = if too_much(middle) { (low, middle) } else { (middle, high) };
            }
            low
        },
        mistakes: &[
            (
                |budget| budget.log2(),
                "This takes 2 for the factor of one step. It is only about 2: compute alpha * beta^2 * gamma^2.",
            ),
            (
                |budget| budget.ln() / (ALPHA * BETA * GAMMA).ln(),
                "This takes alpha * beta * gamma for one step. Width and resolution cost their square.",
            ),
            (
                |budget| budget / layers_cost(ALPHA, BETA, GAMMA),
                "You divide. The factor of one step is multiplied phi times, so a logarithm undoes it.",
            ),
            (|budget| budget.ln(), "You still have to divide by the logarithm of one step's factor."),
            (
                |budget| layers_cost(ALPHA, BETA, GAMMA).ln() / budget.ln(),
                "The fraction is upside down.",
            ),
            (
                |budget| (budget.ln() / layers_cost(ALPHA, BETA, GAMMA).ln()).floor(),
                "phi need not be a whole number. Rounded down, some of the budget is left.",
            ),
        ],
    }
    .run(move |&budget| function(budget))
}

/// Multiply-adds of a scaled network against those of the original.
fn layers_cost(depth: f64, width: f64, resolution: f64) -> f64 {
    let layer = |channels: f64, side: f64| channels * channels * side * side;
    depth * layer(width, resolution) / layer(1.0, 1.0)
}

fn budgets(seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let drawn = (0..10).map(|_| f64::from(random.gen_range(15..=600)) / 10.0);
    [4.0, 16.0].into_iter().chain(drawn).collect()
}

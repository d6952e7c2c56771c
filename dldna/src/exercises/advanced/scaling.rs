//! Advanced 3: where compound scaling comes from, and the best network for a budget. Tan and Le, *EfficientNet*, 2019.

use super::{Exercise, FunctionCheck, Part, WRITTEN};
use crate::efficientnet::prediction::predicted_top1;
use crate::efficientnet::scaling::{Scaling, Variant};
use crate::exercises::{
    Answer,
    value::{Value, number},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "advanced-3",
    title: "Compound scaling derived, and a search under a budget",
    parts: &[
        Part {
            name: "scaling_step",
            hints: &[
                "At the best place, a little more work is worth the same in each of the three. Write that down with the \
                 derivatives by ln d, ln w and ln r, where w and r cost twice as much as d.",
                "The three conditions say d^-p = w^-q = r^-s. Call that number 1/m, and put d = m^(1/p) and so on into \
                 d w^2 r^2 = 2.",
                "m^(1/p + 2/q + 2/s) = 2, so ln m = ln 2 / (1/p + 2/q + 2/s), and alpha = m^(1/p).",
            ],
        },
        Part {
            name: "best_scaling",
            hints: &[
                "How many combinations are there? Could you try them all?",
                "Three loops, one inside of the other. Which combinations do you leave out, and what do you remember of the \
                 rest?",
                "Keep the best scaling so far and its accuracy. Replace it only by one that is within the budget and more \
                 accurate.",
            ],
        },
        WRITTEN,
    ],
};

/// Checks the three factors that share twice the work in the best way.
///
/// The function gets `p`, `q` and `s`: how fast the shortage of depth, width and resolution shrinks, see
/// [`shortage`](crate::efficientnet::prediction::shortage). It returns the depth, the width and the resolution with
/// `depth width^2 resolution^2 = 2` that make the shortage smallest.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let alike = 2f64.powf(0.2);
/// assert!(!check::scaling_step(move |_p, _q, _s| (alike, alike, alike)).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn scaling_step(
    function: impl Fn(f64, f64, f64) -> (f64, f64, f64) + Send + 'static,
) -> Answer {
    check_scaling_step(Box::new(function))
}

/// What the learner writes.
type Step = dyn Fn(f64, f64, f64) -> (f64, f64, f64) + Send;

fn check_scaling_step(function: Box<Step>) -> Answer {
    /// `m^(1/p)` and so on, for shares of ln 2 that are given as the inverses.
    fn step([p, q, s]: [f64; 3], sum: f64) -> (f64, f64, f64) {
        let logarithm = 2f64.ln() / sum;
        (
            (logarithm / p).exp(),
            (logarithm / q).exp(),
            (logarithm / s).exp(),
        )
    }
    let mut random = StdRng::seed_from_u64(85);
    let mut inputs = vec![[1.0, 1.0, 1.0], [2.0, 4.0, 4.0], [3.0, 6.0, 5.0]];
    inputs.extend((0..8).map(|_| [(); 3].map(|()| f64::from(random.gen_range(5..=60)) / 10.0)));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "scaling_step",
        inputs,
        show: |[p, q, s]| format!("p {p}, q {q}, s {s}"),
        reference: |&exponents| smallest_shortage(exponents),
        mistakes: &[
            (
                |&[p, q, s]| step([p, q, s], 1.0 / p + 1.0 / q + 1.0 / s),
                "These factors have the product 2. The cost is d * w^2 * r^2: width and resolution count twice.",
            ),
            (
                |&[p, q, s]| step([1.0 / p, 1.0 / q, 1.0 / s], p + 2.0 * q + 2.0 * s),
                "It is upside down: the faster a shortage shrinks, the less its factor has to grow.",
            ),
            (
                |&[p, q, s]| step([p, q / 2.0, s / 2.0], 1.0 / p + 4.0 / q + 4.0 / s),
                "The 2 stands in the cost, and in the weights of the shortage as well: it cancels. The conditions are \
                 d^-p = w^-q = r^-s.",
            ),
            (
                |&[p, q, s]| step([p, 2.0 * q, 2.0 * s], 1.0 / p + 1.0 / q + 1.0 / s),
                "The 2 stands in the cost, and in the weights of the shortage as well: it cancels. The conditions are \
                 d^-p = w^-q = r^-s.",
            ),
            (
                |&[p, q, s]| step([p, s, q], 1.0 / p + 2.0 / q + 2.0 / s),
                "Width and resolution are swapped.",
            ),
            (
                |&[p, q, s]| {
                    let sum = 1.0 / p + 2.0 / q + 2.0 / s;
                    (1.0 + 1.0 / p / sum, 1.0 + 1.0 / q / sum, 1.0 + 1.0 / s / sum)
                },
                "The factors are powers of 2: exp(share * ln 2), not 1 + share.",
            ),
        ],
    }
    .run(move |&[p, q, s]| function(p, q, s))
}

/// Checks the search for the best scaling of B0.
///
/// The function gets a `budget` in multiply-adds and a list of `factors`. Depth, width and resolution may each be any of
/// them. It returns the scaling whose network, `Variant::scaled("", &scaling)`, needs no more multiply-adds than the
/// budget, and has the highest [`predicted_top1`].
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::efficientnet::{compound_scaling, scaling::Scaling};
/// use dldna::exercises::check;
///
/// let ignores_the_budget = |_budget: u128, _factors: &[f64]| -> Scaling { compound_scaling(3) };
/// assert!(!check::best_scaling(ignores_the_budget).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn best_scaling(function: impl Fn(u128, &[f64]) -> Scaling + Send + 'static) -> Answer {
    check_best_scaling(Box::new(function))
}

type Search = (u128, Vec<f64>);

/// What the learner writes.
type Searcher = dyn Fn(u128, &[f64]) -> Scaling + Send;

fn check_best_scaling(function: Box<Searcher>) -> Answer {
    let mut random = StdRng::seed_from_u64(86);
    // The first budget is spent to the last multiply-add.
    let exactly = Variant::scaled("", &scaling([1.2; 3])).multiply_adds();
    let mut inputs = vec![
        (exactly, vec![1.0, 1.1, 1.2]),
        (800_000_000, vec![1.0, 1.2, 1.5, 2.0]),
    ];
    inputs.extend((0..6).map(|_| {
        let budget = random.gen_range(8..=50) * 100_000_000;
        let mut factors = vec![1.0];
        factors.extend((0..6).map(|_| f64::from(random.gen_range(21..=50)) / 20.0));
        (budget, factors)
    }));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "best_scaling",
        inputs,
        show: |(budget, factors)| format!("budget {budget}, factors {factors:?}"),
        // All of them, the best first: the first that fits.
        reference: |search| {
            let mut all = candidates(search);
            all.sort_by(|a, b| predicted_top1(b).total_cmp(&predicted_top1(a)));
            first(all, |s| work(s) <= search.0)
        },
        mistakes: &[
            (
                |search| best(candidates(search), predicted_top1),
                "This is the most accurate of all. It costs more than the budget.",
            ),
            (
                |search| {
                    let all = candidates(search).into_iter();
                    let fits = all.filter(|s| work(s) < search.0);
                    best(fits.collect(), predicted_top1)
                },
                "A network that needs exactly the budget is allowed: <=, not <.",
            ),
            (
                |search| {
                    let b0 = Variant::scaled("", &scaling([1.0; 3])).multiply_adds() as f64;
                    let all = candidates(search).into_iter();
                    let fits = all.filter(|s| s.flops() * b0 <= search.0 as f64);
                    best(fits.collect(), predicted_top1)
                },
                "You estimate the work by d * w^2 * r^2. Layers and channels are rounded, and some layers are not scaled: \
                 count it with Variant::multiply_adds.",
            ),
            (
                |search| {
                    let all = candidates(search).into_iter();
                    let fits = all.filter(|s| work(s) <= search.0);
                    best(fits.collect(), |s| work(s) as f64)
                },
                "This is the network that spends most of the budget. Another one spends less and is more accurate.",
            ),
            (
                |search| {
                    let all = candidates(search).into_iter();
                    let alike = all.filter(|s| s.depth == s.width && s.width == s.resolution);
                    best(alike.filter(|s| work(s) <= search.0).collect(), predicted_top1)
                },
                "You use the same factor for all three. They may differ.",
            ),
            (
                |search| first(candidates(search), |s| work(s) <= search.0),
                "This is the first network within the budget, not the best.",
            ),
            (
                one_at_a_time,
                "You choose one factor after the other. What is best for the depth depends on the others.",
            ),
        ],
    }
    .run(move |(budget, factors)| function(*budget, factors))
}

impl Value for Scaling {
    const TOLERANCE: f64 = 1e-9;

    fn numbers(&self) -> Vec<f64> {
        vec![self.depth, self.width, self.resolution]
    }

    fn of(_shape: &[usize], numbers: &[f64]) -> Self {
        scaling([numbers[0], numbers[1], numbers[2]])
    }

    fn text(&self) -> String {
        let network = Variant::scaled("", self);
        format!(
            "depth {}, width {}, resolution {}: {} million multiply-adds, predicted top-1 {:.3}",
            number(self.depth),
            number(self.width),
            number(self.resolution),
            network.multiply_adds() / 1_000_000,
            predicted_top1(self)
        )
    }
}

fn scaling([depth, width, resolution]: [f64; 3]) -> Scaling {
    Scaling {
        depth,
        width,
        resolution,
    }
}

fn work(scaling: &Scaling) -> u128 {
    Variant::scaled("", scaling).multiply_adds()
}

fn candidates((_, factors): &Search) -> Vec<Scaling> {
    let mut all = Vec::new();
    for &depth in factors {
        for &width in factors {
            all.extend(
                factors
                    .iter()
                    .map(|&resolution| scaling([depth, width, resolution])),
            );
        }
    }
    all
}

/// The first with the largest value; B0 where there is none.
fn best(candidates: Vec<Scaling>, value: impl Fn(&Scaling) -> f64) -> Scaling {
    // `max_by` takes the last of equals, a loop with `>` the first. Rounding makes many networks cost the same.
    let largest = candidates
        .into_iter()
        .rev()
        .max_by(|a, b| value(a).total_cmp(&value(b)));
    largest.unwrap_or(scaling([1.0; 3]))
}

/// B0 where there is none.
fn first(candidates: Vec<Scaling>, fits: impl Fn(&Scaling) -> bool) -> Scaling {
    candidates
        .into_iter()
        .find(fits)
        .unwrap_or(scaling([1.0; 3]))
}

/// The best depth with the others at 1, then the best width with that depth, then the best resolution.
fn one_at_a_time((budget, factors): &Search) -> Scaling {
    let mut chosen = [1.0; 3];
    for place in 0..3 {
        let options = factors.iter().map(|&factor| {
            let mut option = chosen;
            option[place] = factor;
            scaling(option)
        });
        let fits = options.filter(|s| work(s) <= *budget).collect();
        let Scaling {
            depth,
            width,
            resolution,
        } = best(fits, predicted_top1);
        chosen = [depth, width, resolution];
    }
    scaling(chosen)
}

/// By trying, without any calculus: halving two steps, for ln w and ln r, while nothing around is better. The depth is
/// what the cost leaves.
fn smallest_shortage([p, q, s]: [f64; 3]) -> (f64, f64, f64) {
    let depth = |w: f64, r: f64| 2f64.ln() - 2.0 * (w + r);
    // Of logarithms.
    let shortage = |w: f64, r: f64| {
        (-p * depth(w, r)).exp() / p + 2.0 * (-q * w).exp() / q + 2.0 * (-s * r).exp() / s
    };
    let (mut w, mut r, mut step) = (0.1, 0.1, 0.1);
    while step > 1e-11 {
        let around = [
            (step, 0.0),
            (-step, 0.0),
            (0.0, step),
            (0.0, -step),
            (step, -step),
            (-step, step),
        ];
        let better = around
            .iter()
            .map(|(dw, dr)| (w + dw, r + dr))
            .find(|&(a, b)| shortage(a, b) < shortage(w, r));
        match better {
            Some(place) => (w, r) = place,
            None => step /= 2.0,
        }
    }
    (depth(w, r).exp(), w.exp(), r.exp())
}

//! Advanced 4: Gaussian process regression. Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006,
//! algorithm 2.1.

use super::{Exercise, FunctionCheck, Part, WRITTEN, draw, vector};
use crate::exercises::{
    Answer,
    value::{matrix, number},
};
use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::f64::consts::TAU;

pub(super) const EXERCISE: Exercise = Exercise {
    id: "advanced-4",
    title: "Gaussian processes and deep kernels",
    parts: &[
        Part {
            name: "cholesky",
            hints: &[
                "Multiply L and its transpose for a 2 x 2 matrix by hand. Which entry of the product gives L_00? Which one \
                 L_10, and which one L_11?",
                "A_ij is the sum over k <= j of L_ik * L_jk. Solve for the last term, row by row from the top and each row \
                 from the left: all other terms are known then.",
                "Left of the diagonal: L_ij = (A_ij - sum over k < j) / L_jj. On it: L_ii is the root of what is left.",
            ],
        },
        Part {
            name: "posterior",
            hints: &[
                "The covariance of what was measured is not k alone. What does the noise add, and where?",
                "With L from that sum: solve_lower(&l, y), then solve_upper of the result. What is the product of k_star and \
                 that?",
                "v = solve_lower(&l, k_star). The variance of a measurement is prior - v.v + noise^2. Return its root.",
            ],
        },
        Part {
            name: "log_marginal_likelihood",
            hints: &[
                "Write down the logarithm of a multivariate normal density with mean 0. Which matrix is its covariance?",
                "The determinant of A = L L^T is the square of the product of L's diagonal. So what is half of its logarithm?",
                "-0.5 * y.dot(&weights) - sum of ln L_ii - 0.5 * n * ln(2 pi)",
            ],
        },
        WRITTEN,
    ],
};

/// Checks the factorisation of a covariance: the function gets a symmetric, positive definite matrix `A` and returns the
/// lower triangular `L` with `A = L L^T`.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*};
///
/// let roots = |a: &Array2<f64>| a.mapv(f64::sqrt);
/// assert!(!check::cholesky(roots).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn cholesky(function: impl Fn(&Array2<f64>) -> Array2<f64> + Send + 'static) -> Answer {
    check_cholesky(Box::new(function))
}

/// What the learner writes.
type Factorisation = dyn Fn(&Array2<f64>) -> Array2<f64> + Send;

fn check_cholesky(function: Box<Factorisation>) -> Answer {
    let mut random = StdRng::seed_from_u64(87);
    let inputs = [2, 2, 3, 3, 4, 7].map(|size| {
        let root = draw(&mut random, (size, size));
        root.dot(&root.t()) + Array2::<f64>::eye(size)
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "cholesky",
        inputs: inputs.into(),
        show: matrix,
        reference: by_elimination,
        mistakes: &[
            (
                |a| by_elimination(a).reversed_axes(),
                "This is the transpose of L: an upper triangle.",
            ),
            (
                |a| {
                    let l = by_elimination(a);
                    Array2::from_shape_fn(a.dim(), |(i, j)| if j > i { a[[i, j]] } else { l[[i, j]] })
                },
                "Above the diagonal L is zero. There is still the matrix.",
            ),
            (
                |a| {
                    let l = by_elimination(a);
                    Array2::from_shape_fn(a.dim(), |(i, j)| if j > i { l[[j, i]] } else { l[[i, j]] })
                },
                "Above the diagonal L is zero. You fill both triangles.",
            ),
            (
                |a| by_elimination(a) / by_elimination(a).diag(),
                "The columns are divided by their diagonal, so it is 1 everywhere: that is the L of A = L D L^T.",
            ),
            (
                |a| rows(a, |_, _, _, _| 0.0, |l, _, j| l[[j, j]], f64::sqrt),
                "The sums over k < j are missing.",
            ),
            (
                |a| rows(a, dot, |l, _, j| l[[j, j]], |left| left),
                "The root on the diagonal is missing.",
            ),
            (
                |a| rows(a, dot, |_, _, _| 1.0, f64::sqrt),
                "Left of the diagonal, what is left has to be divided by L_jj.",
            ),
            (
                |a| rows(a, dot, |l, _, j| l[[j, j]].powi(2), f64::sqrt),
                "Left of the diagonal, what is left has to be divided by L_jj, not by its square.",
            ),
            (
                |a| rows(a, |l, i, j, k| -dot(l, i, j, k), |l, _, j| l[[j, j]], f64::sqrt),
                "The sums over k < j have the wrong sign: they are subtracted.",
            ),
        ],
    }
    .run(function)
}

/// What was measured, and where a measurement is to be predicted.
struct Data {
    /// Covariances of the values at the places of the measurements, and of those with the value at the new place.
    k: Array2<f64>,
    k_star: Array1<f64>,
    /// Variance of the value at the new place, before anything was measured.
    prior: f64,
    /// Standard deviation of a measurement.
    noise: f64,
    y: Array1<f64>,
}

/// What the learner writes.
type Posterior = dyn Fn(&Array2<f64>, &Array1<f64>, f64, f64, &Array1<f64>) -> (f64, f64) + Send;

/// Checks what is predicted for a new measurement: (mean, standard deviation).
///
/// The function gets `k`, the covariances of the values at the known places; `k_star`, those of the value at the new place
/// with them; `prior`, the variance of the value at the new place; `noise`, the standard deviation of a measurement; and
/// `y`, what was measured. The prediction is for a measurement: the noise is in its deviation.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::posterior(|_k, _k_star, prior, noise, _y| (0.0, (prior + noise * noise).sqrt()));
/// assert!(answer.to_string().contains("before anything was measured"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn posterior(
    function: impl Fn(&Array2<f64>, &Array1<f64>, f64, f64, &Array1<f64>) -> (f64, f64) + Send + 'static,
) -> Answer {
    check_posterior(Box::new(function))
}

fn check_posterior(function: Box<Posterior>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "posterior",
        inputs: data(88),
        show: |d| {
            format!(
                "k {}, k_star {}, prior {}, noise {}, y {}",
                matrix(&d.k),
                vector(&d.k_star),
                number(d.prior),
                number(d.noise),
                vector(&d.y)
            )
        },
        reference: |d| predict(d, d.noise.powi(2), d.noise.powi(2)),
        mistakes: &[
            (
                |d| predict(d, 0.0, d.noise.powi(2)),
                "The noise is missing on the diagonal of k: the measurements vary more than the values.",
            ),
            (
                |d| predict(d, d.noise, d.noise.powi(2)),
                "On the diagonal of k the variance of the noise is added, the square of its deviation.",
            ),
            (
                |d| predict(d, d.noise.powi(2), 0.0),
                "This is the deviation of the value. A measurement has noise besides.",
            ),
            (
                |d| predict(d, d.noise.powi(2), d.noise),
                "The noise counts with its square in the variance.",
            ),
            (
                |d| predict(d, 0.0, 0.0),
                "The noise is missing: on the diagonal of k, and in the variance of the new measurement.",
            ),
            (
                |d| {
                    let (mean, deviation) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    (mean, deviation.powi(2))
                },
                "This is the variance. The deviation is its root.",
            ),
            (
                |d| (0.0, (d.prior + d.noise.powi(2)).sqrt()),
                "This is what one knew before anything was measured.",
            ),
            (
                |d| {
                    let (mean, deviation) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    let before = d.prior + d.noise.powi(2);
                    (mean, (2.0 * before - deviation.powi(2)).sqrt())
                },
                "What was measured makes the variance smaller: v.v is subtracted.",
            ),
            (
                |d| {
                    let (mean, _) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    (mean, (d.prior + d.noise.powi(2)).sqrt())
                },
                "The mean is right. The deviation is still the one from before anything was measured.",
            ),
            (
                |d| {
                    let (_, deviation) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    (d.k_star.dot(&d.y), deviation)
                },
                "The mean is k_star times the weights, and the weights are not y: solve with L, then with its transpose.",
            ),
            (
                |d| {
                    let l = by_elimination(&noisy(d, d.noise.powi(2)));
                    let once = inverse(&l).dot(&d.y);
                    let (_, deviation) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    (d.k_star.dot(&once), deviation)
                },
                "You solve with L only. The second step solves with its transpose: solve_upper.",
            ),
            (
                |d| {
                    let l = inverse(&by_elimination(&noisy(d, d.noise.powi(2))));
                    let twice = l.dot(&l.dot(&d.y));
                    let (_, deviation) = predict(d, d.noise.powi(2), d.noise.powi(2));
                    (d.k_star.dot(&twice), deviation)
                },
                "You solve with L twice. The second step solves with its transpose: solve_upper.",
            ),
        ],
    }
    .run(move |d| function(&d.k, &d.k_star, d.prior, d.noise, &d.y))
}

/// What the learner writes.
type Likelihood = dyn Fn(&Array2<f64>, f64, &Array1<f64>) -> f64 + Send;

/// Checks the log marginal likelihood: the logarithm of the density of what was measured.
///
/// The function gets `k`, the covariances of the values at the known places; `noise`, the standard deviation of a
/// measurement; and `y`, what was measured.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(!check::log_marginal_likelihood(|_k, _noise, _y| -1.0).passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn log_marginal_likelihood(
    function: impl Fn(&Array2<f64>, f64, &Array1<f64>) -> f64 + Send + 'static,
) -> Answer {
    check_log_marginal_likelihood(Box::new(function))
}

fn check_log_marginal_likelihood(function: Box<Likelihood>) -> Answer {
    /// Squares, logarithm of the determinant, and constant, each with a factor of its own.
    fn sum(d: &Data, factors: [f64; 3]) -> f64 {
        terms(d, d.noise.powi(2))
            .iter()
            .zip(factors)
            .map(|(term, factor)| term * factor)
            .sum()
    }
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "log_marginal_likelihood",
        inputs: data(89),
        show: |d| {
            format!(
                "k {}, noise {}, y {}",
                matrix(&d.k),
                number(d.noise),
                vector(&d.y)
            )
        },
        reference: |d| sum(d, [-0.5; 3]),
        mistakes: &[
            (
                |d| sum(d, [0.5; 3]),
                "The sign is wrong everywhere: this is the loss, not the likelihood.",
            ),
            (
                |d| sum(d, [-0.5, 0.5, -0.5]),
                "The logarithm of the determinant has the wrong sign.",
            ),
            (
                |d| sum(d, [-0.5, -1.0, -0.5]),
                "The determinant counts twice. The sum of ln L_ii is already half of its logarithm.",
            ),
            (
                |d| sum(d, [-0.5, -0.25, -0.5]),
                "The sum of ln L_ii is already half of the determinant's logarithm. Do not halve it again.",
            ),
            (
                |d| sum(d, [-0.5, 0.0, -0.5]),
                "The determinant is missing: -sum of ln L_ii.",
            ),
            (
                |d| sum(d, [-1.0, -0.5, -0.5]),
                "The 1/2 before the product of y and the weights is missing.",
            ),
            (
                |d| sum(d, [0.5, -0.5, -0.5]),
                "The product of y and the weights has the wrong sign: large deviations are unlikely.",
            ),
            (
                |d| sum(d, [-0.5, -0.5, 0.0]),
                "The constant is missing: n/2 ln(2 pi).",
            ),
            (
                |d| sum(d, [-0.5, -0.5, -1.0]),
                "The 1/2 before n ln(2 pi) is missing.",
            ),
            (
                |d| sum(d, [-0.5, -0.5, 0.5]),
                "The constant has the wrong sign.",
            ),
            (
                |d| sum(d, [-0.5, -0.5, -0.5 / d.y.len() as f64]),
                "The constant is there for each measurement: n/2 ln(2 pi).",
            ),
            (
                |d| sum(d, [-0.5; 3]) / d.y.len() as f64,
                "This is the mean over the measurements. The whole sum is asked for.",
            ),
            (
                |d| -0.5 * terms(d, 0.0).iter().sum::<f64>(),
                "The noise is missing on the diagonal of k.",
            ),
            (
                |d| -0.5 * terms(d, d.noise).iter().sum::<f64>(),
                "On the diagonal of k the variance of the noise is added, the square of its deviation.",
            ),
        ],
    }
    .run(move |d| function(&d.k, d.noise, &d.y))
}

/// Two to six measurements.
fn data(seed: u64) -> Vec<Data> {
    let mut random = StdRng::seed_from_u64(seed);
    [2, 2, 3, 3, 4, 6]
        .into_iter()
        .map(|count| {
            // Places half a unit apart and more, and numbers of three decimals: those that are shown.
            let mut place = |i: usize| i as f64 + f64::from(random.gen_range(0..=4)) / 10.0;
            let places: Vec<f64> = (0..count).map(&mut place).collect();
            let new = place(0) + 0.3;
            let variance = f64::from(random.gen_range(10..=30)) / 10.0;
            let covariance = |a: f64, b: f64| {
                let exact: f64 = variance * (-0.5 * (a - b) * (a - b)).exp();
                (1000.0 * exact).round() / 1000.0
            };
            Data {
                k: Array2::from_shape_fn((count, count), |(i, j)| covariance(places[i], places[j])),
                k_star: places.iter().map(|&place| covariance(place, new)).collect(),
                prior: variance,
                noise: f64::from(random.gen_range(2..=6)) / 10.0,
                y: draw(&mut random, (1, count)).remove_axis(Axis(0)),
            }
        })
        .collect()
}

fn noisy(d: &Data, variance: f64) -> Array2<f64> {
    &d.k + &(Array2::<f64>::eye(d.y.len()) * variance)
}

/// By the inverse matrix, which a program should not compute. `diagonal` is added to k, `noise` to the variance.
fn predict(d: &Data, diagonal: f64, noise: f64) -> (f64, f64) {
    let inverse = inverse(&noisy(d, diagonal));
    let mean = d.k_star.dot(&inverse.dot(&d.y));
    let variance = d.prior - d.k_star.dot(&inverse.dot(&d.k_star)) + noise;
    (mean, variance.sqrt())
}

/// `y^T A^-1 y`, `log det A` and `n log(2 pi)`.
fn terms(d: &Data, diagonal: f64) -> [f64; 3] {
    let a = noisy(d, diagonal);
    [
        d.y.dot(&inverse(&a).dot(&d.y)),
        eliminated(&a).diag().mapv(f64::ln).sum(),
        d.y.len() as f64 * TAU.ln(),
    ]
}

/// The upper triangle that Gauss's elimination leaves.
fn eliminated(a: &Array2<f64>) -> Array2<f64> {
    let mut u = a.clone();
    for j in 0..a.nrows() {
        let above = u.row(j).to_owned();
        for i in j + 1..a.nrows() {
            let factor = u[[i, j]] / above[j];
            u.row_mut(i).scaled_add(-factor, &above);
        }
    }
    u
}

/// `A = L D L^T`, where elimination leaves `U = D L^T`. So the wanted factor is the transpose of `U`, each row of it
/// divided by the root of its pivot.
fn by_elimination(a: &Array2<f64>) -> Array2<f64> {
    let u = eliminated(a);
    Array2::from_shape_fn(a.dim(), |(i, j)| {
        if j > i {
            0.0
        } else {
            u[[j, i]] / u[[j, j]].sqrt()
        }
    })
}

/// By Gauss and Jordan: what turns `a` into the identity turns the identity into the inverse.
fn inverse(a: &Array2<f64>) -> Array2<f64> {
    let (mut left, mut right) = (a.clone(), Array2::eye(a.nrows()));
    for j in 0..a.nrows() {
        let pivot = left[[j, j]];
        left.row_mut(j).mapv_inplace(|x| x / pivot);
        right.row_mut(j).mapv_inplace(|x: f64| x / pivot);
        let (row, its) = (left.row(j).to_owned(), right.row(j).to_owned());
        for i in (0..a.nrows()).filter(|&i| i != j) {
            let factor = left[[i, j]];
            left.row_mut(i).scaled_add(-factor, &row);
            right.row_mut(i).scaled_add(-factor, &its);
        }
    }
    right
}

fn dot(l: &Array2<f64>, i: usize, j: usize, k: usize) -> f64 {
    l[[i, k]] * l[[j, k]]
}

/// The usual loops, with the term of the sum, the divisor and the diagonal as given.
fn rows(
    a: &Array2<f64>,
    term: fn(&Array2<f64>, usize, usize, usize) -> f64,
    divisor: fn(&Array2<f64>, usize, usize) -> f64,
    diagonal: fn(f64) -> f64,
) -> Array2<f64> {
    let mut l = Array2::zeros(a.dim());
    for i in 0..a.nrows() {
        for j in 0..=i {
            let left = a[[i, j]] - (0..j).map(|k| term(&l, i, j, k)).sum::<f64>();
            l[[i, j]] = if i == j {
                diagonal(left)
            } else {
                left / divisor(&l, i, j)
            };
        }
    }
    l
}

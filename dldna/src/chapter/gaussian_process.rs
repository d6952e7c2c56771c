//! Regression with Gaussian processes, and with a deep kernel.
//!
//! A Gaussian process says how alike the values of a function are at two places: their covariance. From some noisy
//! values it derives a normal distribution for the value at any other place. Rasmussen and Williams, *Gaussian
//! Processes for Machine Learning*, 2006, chapters 2 and 5.
//!
//! | what | where |
//! |---|---|
//! | the covariance, and its three numbers | [`Hyperparameters`] |
//! | the matrix under all of it: `A = L L^T` | [`cholesky`], [`solve_lower`], [`solve_upper`] |
//! | posterior, marginal likelihood and its gradient | [`GaussianProcess`] |
//! | places that a small network moves first | [`DeepKernel`] |
//!
//! ```
//! use dldna::gaussian_process::{GaussianProcess, Hyperparameters, column};
//! use ndarray::array;
//!
//! let covariance = Hyperparameters { length_scale: 1.0, signal_deviation: 1.0, noise_deviation: 0.1 };
//! let process = GaussianProcess::new(column(&[0.0, 1.0]), array![0.5, -0.5], covariance)?;
//! let prediction = process.predict(&column(&[0.0, 9.0]))?;
//! assert!((prediction.mean[0] - 0.5).abs() < 0.05 && prediction.deviation[0] < 0.2); // seen there
//! assert!(prediction.mean[1].abs() < 1e-6 && prediction.deviation[1] > 1.0); // nothing is known there
//! # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
//! ```

mod deep_kernel;
mod linear_algebra;

pub use deep_kernel::{DeepKernel, DeepKernelConfig};
pub use linear_algebra::{cholesky, solve_lower, solve_upper};

use crate::kernel_methods::{Kernel, KernelMethodError, finite};
use dfdx::prelude::CpuError;
use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng, rngs::StdRng};
use rand_distr::StandardNormal;
use std::f64::consts::TAU;

/// Why there is no Gaussian process.
#[derive(Debug, thiserror::Error)]
pub enum GaussianProcessError {
    /// A matrix that has to be square.
    #[error("expected a square matrix, got {rows} x {columns}")]
    NotSquare {
        /// Its rows.
        rows: usize,
        /// Its columns.
        columns: usize,
    },
    /// A matrix that is no covariance of anything.
    #[error(
        "the matrix is not positive definite: {pivot} is left on the diagonal at {index}; is the noise too small?"
    )]
    NotPositiveDefinite {
        /// Row and column.
        index: usize,
        /// What would have to be the square of a number above zero.
        pivot: f64,
    },
    /// Two things of different sizes.
    #[error("expected {expected} {what}, got {got}")]
    Size {
        /// What is counted.
        what: &'static str,
        /// How many there have to be.
        expected: usize,
        /// How many came.
        got: usize,
    },
    /// A number that has to be above zero, and whose square is a number too.
    #[error("the {name} must be positive, from 1e-150 to 1e150, got {value}")]
    NotPositive {
        /// Its name.
        name: &'static str,
        /// What came.
        value: f64,
    },
    /// Points without a covariance.
    #[error(transparent)]
    Kernel(#[from] KernelMethodError),
    /// The network of a deep kernel did not run.
    #[error("the network of the deep kernel: {0:?}")]
    Network(CpuError),
}

impl From<CpuError> for GaussianProcessError {
    fn from(error: CpuError) -> Self {
        Self::Network(error)
    }
}

/// The covariance of the values at two places `a` and `b`, by the squared exponential:
///
/// ```text
/// k(a, b) = signal_deviation^2 exp(-|a - b|^2 / (2 length_scale^2))
/// ```
///
/// A measurement has noise besides, independent of everything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hyperparameters {
    /// How far one has to go for another value.
    pub length_scale: f64,
    /// How far the values are from zero, typically.
    pub signal_deviation: f64,
    /// Standard deviation of a measurement.
    pub noise_deviation: f64,
}

impl Hyperparameters {
    /// The covariances of all rows of `a` (count, dimensions) with all rows of `b`, without noise.
    ///
    /// # Errors
    /// The points have different numbers of coordinates, or something is not finite.
    ///
    /// ```
    /// use dldna::gaussian_process::{Hyperparameters, column};
    /// let covariance = Hyperparameters { length_scale: 1.0, signal_deviation: 2.0, noise_deviation: 0.1 };
    /// let k = covariance.matrix(&column(&[0.0]), &column(&[0.0, 1.0]))?;
    /// assert_eq!(k[[0, 0]], 4.0);
    /// assert!((k[[0, 1]] - 4.0 * (-0.5_f64).exp()).abs() < 1e-12);
    /// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
    /// ```
    pub fn matrix(
        &self,
        a: &Array2<f64>,
        b: &Array2<f64>,
    ) -> Result<Array2<f64>, GaussianProcessError> {
        for (name, value) in [
            ("length scale", self.length_scale),
            ("signal's deviation", self.signal_deviation),
            ("noise's deviation", self.noise_deviation),
        ] {
            if !(1e-150..=1e150).contains(&value) {
                return Err(GaussianProcessError::NotPositive { name, value });
            }
        }
        finite("coordinate", a)?;
        finite("coordinate", b)?;
        let gamma = 1.0 / (2.0 * self.length_scale.powi(2));
        Ok(Kernel::Rbf { gamma }.matrix(a, b)? * self.signal_deviation.powi(2))
    }

    fn logarithms(&self) -> [f64; 3] {
        [
            self.length_scale.ln(),
            self.signal_deviation.ln(),
            self.noise_deviation.ln(),
        ]
    }

    fn from_logarithms([length_scale, signal_deviation, noise_deviation]: [f64; 3]) -> Self {
        Self {
            length_scale: length_scale.exp(),
            signal_deviation: signal_deviation.exp(),
            noise_deviation: noise_deviation.exp(),
        }
    }
}

/// A Gaussian process that has seen some values.
#[derive(Debug, Clone)]
pub struct GaussianProcess {
    /// Where the values were measured: (count, dimensions).
    pub inputs: Array2<f64>,
    /// The values.
    pub targets: Array1<f64>,
    /// The covariance.
    pub hyperparameters: Hyperparameters,
    /// Of the inputs, without noise.
    covariance: Array2<f64>,
    /// The factor `L` of `covariance + noise^2 I`.
    factor: Array2<f64>,
    /// `(covariance + noise^2 I)^-1 targets`.
    weights: Array1<f64>,
}

/// A normal distribution of what would be measured, for each place.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The mean.
    pub mean: Array1<f64>,
    /// The standard deviation, noise included.
    pub deviation: Array1<f64>,
}

/// How good a prediction is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Root of the mean squared error of the mean.
    pub root_mean_squared_error: f64,
    /// Negative logarithm of the predicted density at what was measured, on average. Lower is better. It punishes both
    /// an error and a wrong deviation.
    pub negative_log_density: f64,
}

/// The slope of the log marginal likelihood.
#[derive(Debug, Clone)]
struct Gradient {
    /// By the logarithms of length scale, signal and noise.
    logarithms: [f64; 3],
    /// By the inputs.
    inputs: Array2<f64>,
}

impl GaussianProcess {
    /// The process that has seen `targets` at `inputs` (count, dimensions). Rasmussen and Williams, algorithm 2.1, lines 2
    /// and 3.
    ///
    /// # Errors
    /// The sizes do not fit, a number is not finite, a hyperparameter is not positive, or the covariance is not positive
    /// definite up to rounding.
    pub fn new(
        inputs: Array2<f64>,
        targets: Array1<f64>,
        hyperparameters: Hyperparameters,
    ) -> Result<Self, GaussianProcessError> {
        if targets.len() != inputs.nrows() {
            return Err(GaussianProcessError::Size {
                what: "targets, one for each input",
                expected: inputs.nrows(),
                got: targets.len(),
            });
        }
        finite("target", &targets)?;
        let covariance = hyperparameters.matrix(&inputs, &inputs)?;
        let mut noisy = covariance.clone();
        noisy
            .diag_mut()
            .mapv_inplace(|k| k + hyperparameters.noise_deviation.powi(2));
        let factor = cholesky(&noisy)?;
        let weights = solve_upper(&factor, &solve_lower(&factor, &targets)?)?;
        Ok(Self {
            inputs,
            targets,
            hyperparameters,
            covariance,
            factor,
            weights,
        })
    }

    /// The process with the hyperparameters that make the targets most likely, found by `steps` steps of Adam from
    /// `start`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    ///
    /// ```
    /// use dldna::gaussian_process::{GaussianProcess, Hyperparameters, column, step_data};
    /// let (x, y) = step_data(20, 0.05, 0);
    /// let start = Hyperparameters { length_scale: 1.0, signal_deviation: 1.0, noise_deviation: 0.2 };
    /// let before = GaussianProcess::new(column(&x), y.clone().into(), start)?;
    /// let after = GaussianProcess::train(column(&x), y.into(), start, 50)?;
    /// assert!(after.log_marginal_likelihood() > before.log_marginal_likelihood());
    /// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
    /// ```
    pub fn train(
        inputs: Array2<f64>,
        targets: Array1<f64>,
        start: Hyperparameters,
        steps: usize,
    ) -> Result<Self, GaussianProcessError> {
        let mut process = Self::new(inputs, targets, start)?;
        let mut ascent = Ascent::new(start, 0.05);
        for _ in 0..steps {
            let hyperparameters = ascent.step(process.gradient()?.logarithms);
            process = Self::new(process.inputs, process.targets, hyperparameters)?;
        }
        Ok(process)
    }

    /// What would be measured at `places` (count, dimensions). Rasmussen and Williams, algorithm 2.1, lines 4 to 6; the
    /// noise is added to the variance.
    ///
    /// # Errors
    /// The places have another number of coordinates than the inputs, or are not finite.
    pub fn predict(&self, places: &Array2<f64>) -> Result<Prediction, GaussianProcessError> {
        let cross = self.hyperparameters.matrix(&self.inputs, places)?;
        let mean = cross.t().dot(&self.weights);
        let prior = self.hyperparameters.signal_deviation.powi(2);
        let noise = self.hyperparameters.noise_deviation.powi(2);
        let deviation = cross
            .axis_iter(Axis(1))
            .map(|column| {
                let v = solve_lower(&self.factor, &column.to_owned())?;
                // Rounding may bring a variance of nothing below zero.
                Ok(((prior - v.dot(&v)).max(0.0) + noise).sqrt())
            })
            .collect::<Result<_, GaussianProcessError>>()?;
        Ok(Prediction { mean, deviation })
    }

    /// The logarithm of the targets' density, all functions considered: Rasmussen and Williams, equation 2.30.
    ///
    /// ```text
    /// -1/2 y^T (K + noise^2 I)^-1 y - sum of log L_ii - n/2 log(2 pi)
    /// ```
    pub fn log_marginal_likelihood(&self) -> f64 {
        let half_log_determinant = self.factor.diag().mapv(f64::ln).sum();
        -0.5 * self.targets.dot(&self.weights)
            - half_log_determinant
            - 0.5 * self.targets.len() as f64 * TAU.ln()
    }

    /// Rasmussen and Williams, equation 5.9: `dL/dK = (w w^T - (K + noise^2 I)^-1) / 2`, with `w` the weights.
    fn gradient(&self) -> Result<Gradient, GaussianProcessError> {
        let count = self.targets.len();
        let mut by_covariance = Array2::zeros((count, count));
        for (j, mut column) in by_covariance.columns_mut().into_iter().enumerate() {
            let mut unit = Array1::zeros(count);
            unit[j] = 1.0;
            let inverse = solve_upper(&self.factor, &solve_lower(&self.factor, &unit)?)?;
            column.assign(&((&self.weights * self.weights[j] - inverse) * 0.5));
        }
        let Hyperparameters {
            length_scale,
            noise_deviation,
            ..
        } = self.hyperparameters;
        let mut by_length_scale = 0.0;
        let mut inputs = Array2::zeros(self.inputs.dim());
        let shared = &by_covariance * &self.covariance / length_scale.powi(2);
        for i in 0..count {
            for j in 0..count {
                let difference = &self.inputs.row(j) - &self.inputs.row(i);
                by_length_scale += shared[[i, j]] * difference.dot(&difference);
                // K_ij and K_ji both move with input i.
                inputs
                    .row_mut(i)
                    .scaled_add(2.0 * shared[[i, j]], &difference);
            }
        }
        Ok(Gradient {
            logarithms: [
                by_length_scale,
                2.0 * (&by_covariance * &self.covariance).sum(),
                2.0 * noise_deviation.powi(2) * by_covariance.diag().sum(),
            ],
            inputs,
        })
    }
}

impl Prediction {
    /// Compares with what was measured.
    ///
    /// # Errors
    /// There are more or fewer targets than predictions.
    ///
    /// ```
    /// use dldna::gaussian_process::Prediction;
    /// use ndarray::array;
    /// let prediction = Prediction { mean: array![1.0, 3.0], deviation: array![1.0, 1.0] };
    /// let score = prediction.score(&[1.0, 1.0])?;
    /// assert_eq!(score.root_mean_squared_error, 2.0_f64.sqrt());
    /// assert!(prediction.score(&[1.0]).is_err());
    /// # Ok::<(), dldna::gaussian_process::GaussianProcessError>(())
    /// ```
    pub fn score(&self, targets: &[f64]) -> Result<Score, GaussianProcessError> {
        if targets.len() != self.mean.len() {
            return Err(GaussianProcessError::Size {
                what: "targets, one for each prediction",
                expected: self.mean.len(),
                got: targets.len(),
            });
        }
        let count = targets.len() as f64;
        let errors = &Array1::from_vec(targets.to_vec()) - &self.mean;
        let surprise = |(error, deviation): (&f64, &f64)| {
            0.5 * (error / deviation).powi(2) + deviation.ln() + 0.5 * TAU.ln()
        };
        Ok(Score {
            root_mean_squared_error: (errors.dot(&errors) / count).sqrt(),
            negative_log_density: errors
                .iter()
                .zip(&self.deviation)
                .map(surprise)
                .sum::<f64>()
                / count,
        })
    }

    /// The edges of the band that 95% of the measurements should be in: mean minus and plus two deviations.
    ///
    /// ```
    /// use dldna::gaussian_process::Prediction;
    /// use ndarray::array;
    /// let prediction = Prediction { mean: array![1.0], deviation: array![0.5] };
    /// assert_eq!(prediction.band(), (vec![0.0], vec![2.0]));
    /// ```
    pub fn band(&self) -> (Vec<f64>, Vec<f64>) {
        let width = 2.0 * &self.deviation;
        (
            (&self.mean - &width).to_vec(),
            (&self.mean + &width).to_vec(),
        )
    }
}

/// Adam on the logarithms of hyperparameters, uphill. Kingma and Ba, *Adam*, 2015.
struct Ascent {
    logarithms: [f64; 3],
    learning_rate: f64,
    mean: [f64; 3],
    square: [f64; 3],
    steps: i32,
}

impl Ascent {
    fn new(start: Hyperparameters, learning_rate: f64) -> Self {
        Self {
            logarithms: start.logarithms(),
            learning_rate,
            mean: [0.0; 3],
            square: [0.0; 3],
            steps: 0,
        }
    }

    fn step(&mut self, gradient: [f64; 3]) -> Hyperparameters {
        const BETAS: (f64, f64) = (0.9, 0.999);
        self.steps += 1;
        for (i, slope) in gradient.into_iter().enumerate() {
            self.mean[i] = BETAS.0 * self.mean[i] + (1.0 - BETAS.0) * slope;
            self.square[i] = BETAS.1 * self.square[i] + (1.0 - BETAS.1) * slope * slope;
            let mean = self.mean[i] / (1.0 - BETAS.0.powi(self.steps));
            let square = self.square[i] / (1.0 - BETAS.1.powi(self.steps));
            self.logarithms[i] += self.learning_rate * mean / (square.sqrt() + 1e-8);
        }
        Hyperparameters::from_logarithms(self.logarithms)
    }
}

/// Points with one coordinate each, as a matrix of one column.
///
/// ```
/// assert_eq!(dldna::gaussian_process::column(&[1.0, 2.0]).dim(), (2, 1));
/// ```
pub fn column(values: &[f64]) -> Array2<f64> {
    Array2::from_shape_fn((values.len(), 1), |(i, _)| values[i])
}

/// A gentle function with a steep step at zero: `sin(3 x) / 2 + tanh(10 x)`.
///
/// ```
/// use dldna::gaussian_process::step_function;
/// assert_eq!(step_function(0.0), 0.0);
/// assert!(step_function(0.2) > 1.2 && step_function(-0.2) < -1.2);
/// ```
pub fn step_function(x: f64) -> f64 {
    0.5 * (3.0 * x).sin() + (10.0 * x).tanh()
}

/// `count` measurements of [`step_function`], with noise, at places drawn from -2 to 2: (places, values). A `count` above a
/// million counts as a million.
///
/// ```
/// let (x, y) = dldna::gaussian_process::step_data(60, 0.05, 0);
/// assert_eq!((x.len(), y.len()), (60, 60));
/// ```
pub fn step_data(count: usize, noise_deviation: f64, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count.min(1_000_000))
        .map(|_| {
            let x = random.gen_range(-2.0..2.0);
            let noise: f64 = random.sample(StandardNormal);
            (x, step_function(x) + noise_deviation * noise)
        })
        .unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYPERPARAMETERS: Hyperparameters = Hyperparameters {
        length_scale: 0.7,
        signal_deviation: 1.3,
        noise_deviation: 0.2,
    };

    fn two_dimensional() -> (Array2<f64>, Array1<f64>) {
        let mut random = StdRng::seed_from_u64(3);
        let inputs = Array2::from_shape_simple_fn((9, 2), || random.gen_range(-1.0..1.0));
        let targets = inputs.map_axis(Axis(1), |x| x[0] - 2.0 * x[1] * x[0]);
        (inputs, targets)
    }

    /// Numbers that somebody may type.
    const NUMBERS: [f64; 12] = [
        0.0,
        1.0,
        -1.0,
        5e-324,
        1e-320,
        1e-149,
        1e149,
        1e308,
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];

    #[test]
    fn any_number_is_a_process_or_an_error() {
        for a in NUMBERS {
            for b in NUMBERS {
                for (length_scale, signal_deviation, noise_deviation) in
                    [(a, b, 1.0), (1.0, a, b), (b, 1.0, a)]
                {
                    let hyperparameters = Hyperparameters {
                        length_scale,
                        signal_deviation,
                        noise_deviation,
                    };
                    let (x, y) = (column(&[0.0, a, 1.0]), Array1::from(vec![b, 1.0, 0.0]));
                    if let Ok(process) = GaussianProcess::new(x.clone(), y.clone(), hyperparameters)
                    {
                        let prediction = process.predict(&column(&[b]));
                        assert_eq!(prediction.is_ok(), b.is_finite());
                    }
                    let _ = GaussianProcess::train(x, y, hyperparameters, 3);
                }
                let matrix = ndarray::array![[a, b], [b, a]];
                let factor = cholesky(&matrix);
                assert!(factor.is_err() || a > 0.0, "{a} {b}");
                solve_lower(&matrix, &ndarray::array![a, b]).unwrap();
                solve_upper(&matrix, &ndarray::array![a, b]).unwrap();
            }
            let (x, y) = step_data(2, a, 0);
            assert_eq!((x.len(), y.len()), (2, 2));
            let deep = DeepKernel::train(
                &[0.0, 1.0],
                &[0.0, a],
                &DeepKernelConfig {
                    steps: 2,
                    ..Default::default()
                },
            );
            assert!(deep.is_ok() || a.abs() > 1.0 || a.is_nan(), "{a}");
            let config = DeepKernelConfig {
                steps: 2,
                learning_rate: a,
                seed: 0,
            };
            let _ = DeepKernel::train(&[0.0, 1.0], &[0.0, 1.0], &config);
            let deep = DeepKernel::train(
                &[0.0, a],
                &[0.0, 1.0],
                &DeepKernelConfig {
                    steps: 0,
                    ..Default::default()
                },
            );
            if let Ok(deep) = deep {
                assert_eq!(deep.predict(&[a]).is_ok(), a.is_finite());
            }
        }
        assert_eq!(step_data(usize::MAX, 0.0, 0).0.len(), 1_000_000);
    }

    #[test]
    fn what_is_not_a_number_is_named() {
        let (x, y) = (column(&[0.0, f64::NAN]), Array1::from(vec![0.0, 1.0]));
        let error = GaussianProcess::new(x, y, HYPERPARAMETERS).unwrap_err();
        assert!(error.to_string().contains("coordinate 1 is NaN"), "{error}");
        let (x, y) = (column(&[0.0, 1.0]), Array1::from(vec![0.0, f64::INFINITY]));
        let error = GaussianProcess::new(x.clone(), y, HYPERPARAMETERS).unwrap_err();
        assert!(error.to_string().contains("target 1 is inf"), "{error}");
        let process = GaussianProcess::new(x, Array1::zeros(2), HYPERPARAMETERS).unwrap();
        let error = process.predict(&column(&[f64::NAN])).unwrap_err();
        assert!(error.to_string().contains("coordinate 0 is NaN"), "{error}");
        let error = cholesky(&ndarray::array![[1.0, 0.0], [f64::NAN, 1.0]]).unwrap_err();
        assert!(
            error.to_string().contains("NaN") && !error.to_string().contains("noise"),
            "{error}"
        );
    }

    #[test]
    fn nothing_to_learn_from_is_an_error() {
        let config = DeepKernelConfig::default();
        let error = DeepKernel::train(&[], &[], &config).unwrap_err();
        assert!(error.to_string().contains("at least one place"), "{error}");
        let error = DeepKernel::train(&[1.0], &[], &config).unwrap_err();
        assert!(error.to_string().contains("targets"), "{error}");
        let deep =
            DeepKernel::train(&[1.0], &[1.0], &DeepKernelConfig { steps: 1, ..config }).unwrap();
        assert_eq!(deep.predict(&[]).unwrap().mean.len(), 0);
    }

    /// The gradient against difference quotients of the likelihood.
    #[test]
    fn the_gradient_is_that_of_the_likelihood() {
        let (inputs, targets) = two_dimensional();
        let likelihood = |inputs: &Array2<f64>, logarithms: [f64; 3]| {
            let hyperparameters = Hyperparameters::from_logarithms(logarithms);
            GaussianProcess::new(inputs.clone(), targets.clone(), hyperparameters)
                .unwrap()
                .log_marginal_likelihood()
        };
        let step = 1e-5;
        let logarithms = HYPERPARAMETERS.logarithms();
        let process =
            GaussianProcess::new(inputs.clone(), targets.clone(), HYPERPARAMETERS).unwrap();
        let gradient = process.gradient().unwrap();
        for i in 0..3 {
            let (mut above, mut below) = (logarithms, logarithms);
            above[i] += step;
            below[i] -= step;
            let quotient = (likelihood(&inputs, above) - likelihood(&inputs, below)) / (2.0 * step);
            assert!((gradient.logarithms[i] - quotient).abs() < 1e-6 * quotient.abs().max(1.0));
        }
        for place in [[0, 0], [4, 1], [8, 0]] {
            let (mut above, mut below) = (inputs.clone(), inputs.clone());
            above[place] += step;
            below[place] -= step;
            let quotient =
                (likelihood(&above, logarithms) - likelihood(&below, logarithms)) / (2.0 * step);
            assert!((gradient.inputs[place] - quotient).abs() < 1e-6 * quotient.abs().max(1.0));
        }
    }
}

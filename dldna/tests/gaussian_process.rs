//! Gaussian processes: NumPy's numbers, identities, and the errors.

use dldna::gaussian_process::{
    DeepKernel, DeepKernelConfig, GaussianProcess, GaussianProcessError, Hyperparameters, cholesky,
    column, solve_lower, solve_upper, step_data, step_function,
};
use ndarray::{Array1, Array2, array};

const HYPERPARAMETERS: Hyperparameters = Hyperparameters {
    length_scale: 0.8,
    signal_deviation: 1.3,
    noise_deviation: 0.25,
};

fn five_points() -> GaussianProcess {
    let x = column(&[-1.5, -0.4, 0.3, 0.9, 2.0]);
    GaussianProcess::new(x, array![0.2, -0.7, 0.4, 1.1, -0.3], HYPERPARAMETERS).unwrap()
}

#[track_caller]
fn assert_near(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "got {got}, want {want}");
    }
}

/// NumPy, by the inverse matrix and without any Cholesky:
///
/// ```python
/// x = np.array([-1.5, -0.4, 0.3, 0.9, 2.0]); y = np.array([0.2, -0.7, 0.4, 1.1, -0.3]); g = np.array([-2.0, 0.0, 3.5])
/// l, s, n = 0.8, 1.3, 0.25
/// k = lambda a, b: s**2 * np.exp(-(a[:, None] - b[None])**2 / (2 * l * l))
/// A = k(x, x) + n * n * np.eye(5)
/// mean = k(g, x) @ inv(A) @ y
/// deviation = np.sqrt(s * s - np.einsum('ij,jk,ik->i', k(g, x), inv(A), k(g, x)) + n * n)
/// likelihood = -.5 * y @ inv(A) @ y - .5 * slogdet(A)[1] - 2.5 * np.log(2 * np.pi)
/// ```
#[test]
fn it_predicts_what_numpy_predicts() {
    let process = five_points();
    let prediction = process.predict(&column(&[-2.0, 0.0, 3.5])).unwrap();
    assert_near(prediction.mean.as_slice().unwrap(), &MEAN, 1e-8);
    assert_near(prediction.deviation.as_slice().unwrap(), &DEVIATION, 1e-8);
    assert_near(&[process.log_marginal_likelihood()], &[LIKELIHOOD], 1e-10);
}

const MEAN: [f64; 3] = [0.39724299, -0.16606311, -0.14605661];
const DEVIATION: [f64; 3] = [0.75327978, 0.34099544, 1.30106209];
const LIKELIHOOD: f64 = -5.9787107845387215;

/// A density of all measurements is a product of those of each, given the ones before: the chain rule of probability.
#[test]
fn the_likelihood_is_the_product_of_the_predictions() {
    let process = five_points();
    let (x, y) = (&process.inputs, &process.targets);
    let first = HYPERPARAMETERS.signal_deviation.powi(2) + HYPERPARAMETERS.noise_deviation.powi(2);
    let density = |y: f64, mean: f64, variance: f64| {
        -0.5 * (y - mean).powi(2) / variance - 0.5 * (std::f64::consts::TAU * variance).ln()
    };
    let mut sum = density(y[0], 0.0, first);
    for count in 1..y.len() {
        let seen = GaussianProcess::new(
            x.slice(ndarray::s![..count, ..]).to_owned(),
            y.slice(ndarray::s![..count]).to_owned(),
            HYPERPARAMETERS,
        );
        let next = x.slice(ndarray::s![count..=count, ..]).to_owned();
        let prediction = seen.unwrap().predict(&next).unwrap();
        sum += density(
            y[count],
            prediction.mean[0],
            prediction.deviation[0].powi(2),
        );
    }
    assert_near(&[process.log_marginal_likelihood()], &[sum], 1e-10);
}

#[test]
fn a_factor_multiplies_to_the_matrix_and_solves() {
    let root = Array2::from_shape_fn((6, 6), |(i, j)| ((7 * i + 3 * j * j) % 11) as f64 - 5.0);
    let matrix = root.dot(&root.t()) + Array2::<f64>::eye(6);
    let factor = cholesky(&matrix).unwrap();
    let product = factor.dot(&factor.t());
    assert_near(
        product.as_slice().unwrap(),
        matrix.as_slice().unwrap(),
        1e-9,
    );
    let b = Array1::from_iter((0..6).map(|i| f64::from(i) - 2.5));
    let x = solve_upper(&factor, &solve_lower(&factor, &b).unwrap()).unwrap();
    assert_near(
        matrix.dot(&x).as_slice().unwrap(),
        b.as_slice().unwrap(),
        1e-9,
    );
}

#[test]
fn training_finds_the_noise_and_the_scale() {
    // A function that is itself smooth: what is to the right of the step.
    let (x, y): (Vec<f64>, Vec<f64>) = {
        let (x, y) = step_data(160, 0.1, 5);
        x.into_iter().zip(y).filter(|(x, _)| *x > 0.4).unzip()
    };
    let start = Hyperparameters {
        length_scale: 0.3,
        signal_deviation: 1.0,
        noise_deviation: 0.5,
    };
    let process = GaussianProcess::train(column(&x), y.into(), start, 200).unwrap();
    let noise = process.hyperparameters.noise_deviation;
    assert!((0.07..0.13).contains(&noise), "{noise}");
}

/// The task of the exercise: one length scale cannot be right both beside a step and in it.
#[test]
fn a_deep_kernel_beats_the_plain_one_at_a_step() {
    let places: Vec<f64> = (0..100).map(|i| -1.98 + 0.04 * f64::from(i)).collect();
    let truth: Vec<f64> = places.iter().map(|&x| step_function(x)).collect();
    let (x, y) = step_data(100, 0.05, 0);
    let start = Hyperparameters {
        length_scale: 1.0,
        signal_deviation: 1.0,
        noise_deviation: 0.2,
    };
    let process = GaussianProcess::train(column(&x), y.clone().into(), start, 150).unwrap();
    let plain = process.predict(&column(&places)).unwrap();
    let network = DeepKernel::train(&x, &y, &DeepKernelConfig::default()).unwrap();
    let deep = network.predict(&places).unwrap();
    let (deep, plain) = (deep.score(&truth).unwrap(), plain.score(&truth).unwrap());
    assert!(
        deep.root_mean_squared_error < plain.root_mean_squared_error
            && deep.negative_log_density < plain.negative_log_density,
        "{deep:?} {plain:?}"
    );
}

#[test]
fn errors_say_what_is_wrong() {
    let not_positive = cholesky(&array![[1.0, 2.0], [2.0, 1.0]]).unwrap_err();
    assert!(
        not_positive
            .to_string()
            .contains("-3 is left on the diagonal at 1")
    );
    assert!(matches!(
        cholesky(&array![[1.0, 2.0]]),
        Err(GaussianProcessError::NotSquare {
            rows: 1,
            columns: 2
        })
    ));
    assert!(solve_lower(&Array2::eye(2), &array![1.0]).is_err());
    let sizes = GaussianProcess::new(column(&[1.0]), array![1.0, 2.0], HYPERPARAMETERS);
    assert!(
        sizes
            .unwrap_err()
            .to_string()
            .contains("expected 1 targets")
    );
    let noise = Hyperparameters {
        noise_deviation: 0.0,
        ..HYPERPARAMETERS
    };
    let error = GaussianProcess::new(column(&[1.0]), array![1.0], noise).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("noise's deviation must be positive")
    );
    let places = Array2::zeros((1, 2));
    assert!(matches!(
        five_points().predict(&places),
        Err(GaussianProcessError::Kernel(_))
    ));
}

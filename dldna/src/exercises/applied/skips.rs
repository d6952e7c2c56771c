//! Applied 4: the skips taken out of the blocks.

use super::{Answer, Exercise, FunctionCheck, Part, WRITTEN, draw};
use crate::data::{Dataset, Split};
use crate::exercises::value::matrix;
use crate::residual_learning::SmallNetwork;
use crate::train::{Epoch, TrainConfig};
use ndarray::Array2;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "applied-4",
    title: "Blocks without their skips",
    parts: &[
        Part {
            name: "block_end",
            hints: &[
                "The block computes H(x) = relu(F(x) + x). branch is F(x), input is x. What is left without the skip?",
                "The ReLU comes last, after the addition. &a + &b adds two arrays, and mapv(|v| v.max(0.0)) is the ReLU.",
            ],
        },
        Part {
            name: "final_losses",
            hints: &[
                "SmallNetwork::Plain20 and SmallNetwork::Residual20 differ in their skips only. Each has a method train.",
                "The seed is a field of the settings: TrainConfig { seed, ..config.clone() }.",
                "train returns a history. history.last() is its last epoch, and has a train_loss.",
            ],
        },
        Part {
            name: "mean_and_spread",
            hints: &[
                "The spread is the standard deviation of a sample: how far are the values from their mean, on average?",
                "Square the differences from the mean, add them up, divide by n - 1, take the root.",
            ],
        },
        WRITTEN,
    ],
};

/// What the learner writes.
type BlockEnd = dyn Fn(&Array2<f32>, &Array2<f32>, bool) -> Array2<f32> + Send;

/// Checks the end of a residual block: `relu(branch + input)`, and `relu(branch)` without the skip.
///
/// The function gets `branch`, what the convolutions of the block have computed, `input`, what came into the block, and
/// whether there is a skip.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::block_end(|branch, input, skip| if skip { branch + input } else { branch.clone() });
/// assert!(answer.to_string().contains("ReLU"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn block_end(
    function: impl Fn(&Array2<f32>, &Array2<f32>, bool) -> Array2<f32> + Send + 'static,
) -> Answer {
    check_block_end(Box::new(function))
}

fn check_block_end(function: Box<BlockEnd>) -> Answer {
    let mut random = StdRng::seed_from_u64(88);
    let inputs = [
        (2, 2, true),
        (2, 2, false),
        (2, 3, true),
        (3, 4, false),
        (4, 4, true),
    ];
    let inputs = inputs.map(|(rows, columns, skip)| {
        let mut drawn = |low| {
            let numbers = draw(&mut random, rows * columns, low, 9);
            Array2::from_shape_vec((rows, columns), numbers)
                .expect("as many numbers as the shape has")
        };
        (drawn(-9), drawn(-3), skip)
    });
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "block_end",
        inputs: inputs.into(),
        show: |(branch, input, skip)| {
            format!("branch {}, input {}, skip {skip}", matrix(branch), matrix(input))
        },
        reference: |(branch, input, skip)| relu(&sum(branch, input, *skip)),
        mistakes: &[
            (
                |(branch, input, skip)| sum(branch, input, *skip),
                "The ReLU at the end is missing.",
            ),
            (
                |(branch, input, skip)| sum(&relu(branch), input, *skip),
                "The ReLU comes before the addition. In a block of ResNet it comes after it, so the sum may not be negative.",
            ),
            (
                |(branch, input, _)| relu(&(branch + input)),
                "The skip is there even where skip is false.",
            ),
            (
                |(branch, _, _)| relu(branch),
                "The skip is never there.",
            ),
            (
                |(branch, input, skip)| relu(&sum(branch, input, !skip)),
                "It is the other way round: the input is added if skip is true.",
            ),
            (
                |(branch, input, skip)| relu(if *skip { input } else { branch }),
                "With the skip the branch is lost. Both are added.",
            ),
            (
                |(branch, input, skip)| {
                    if *skip { relu(&(branch * input)) } else { relu(branch) }
                },
                "You multiply. The skip adds.",
            ),
        ],
    }
    .run(move |(branch, input, skip)| function(branch, input, *skip))
}

fn sum(branch: &Array2<f32>, input: &Array2<f32>, skip: bool) -> Array2<f32> {
    if skip { branch + input } else { branch.clone() }
}

fn relu(values: &Array2<f32>) -> Array2<f32> {
    values.mapv(|value| value.max(0.0))
}

/// What the learner writes.
type FinalLosses = dyn Fn(u64, &Split, &TrainConfig) -> (f32, f32) + Send;

/// Checks a function that trains a network of 20 layers twice, without skips and with them, and returns the training
/// losses of the last epochs: (without skips, with skips).
///
/// The function gets `seed`, which decides all that is random, the images, and all other settings.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::final_losses(|_seed, _images, _config| (1.2, 0.5));
/// assert!(answer.to_string().contains("same for every input"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn final_losses(
    function: impl Fn(u64, &Split, &TrainConfig) -> (f32, f32) + Send + 'static,
) -> Answer {
    check_final_losses(Box::new(function))
}

fn check_final_losses(function: Box<FinalLosses>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "final_losses",
        inputs: vec![(5, 1), (6, 2), (7, 3)],
        show: |(seed, _)| {
            format!("seed {seed}, {IMAGES} random images of {SIDE}x{SIDE} pixels, {EPOCHS} epochs")
        },
        reference: |input| trained(input, |last, _| last.train_loss),
        mistakes: &[
            (
                |input| {
                    let (plain, residual) = trained(input, |last, _| last.train_loss);
                    (residual, plain)
                },
                "The two are swapped: first without skips, then with them.",
            ),
            (
                |input| trained(input, |last, _| last.test_loss),
                "These are the losses on the test images. Whether a network can learn shows on the images that it learns from.",
            ),
            (
                |input| trained(input, |_, first| first.train_loss),
                "These are the losses of the first epoch. Take the last one.",
            ),
            (
                |input| trained(input, |last, _| last.train_accuracy),
                "These are accuracies. The losses are asked for.",
            ),
            (
                |(_, images)| trained(&(config().seed, *images), |last, _| last.train_loss),
                "The seed is not used: put it into the settings.",
            ),
        ],
    }
    .run(move |&(seed, images)| function(seed, &random_images(images), &config()))
}

const IMAGES: usize = 16;
const SIDE: usize = 4;
const EPOCHS: usize = 2;

fn config() -> TrainConfig {
    TrainConfig {
        epochs: EPOCHS,
        batch_size: 8,
        image_size: SIDE,
        progress: false,
        ..TrainConfig::default()
    }
}

/// Images that are noise, with labels that are, too: enough to compare numbers with.
fn random_images(seed: u64) -> Split {
    let mut random = StdRng::seed_from_u64(seed);
    let mut set = || {
        let pixels = (0..IMAGES * SIDE * SIDE).map(|_| random.r#gen()).collect();
        let labels = (0..IMAGES).map(|_| random.gen_range(0..10)).collect();
        let names = crate::data::MNIST_CLASSES.map(String::from).to_vec();
        Dataset::new(pixels, labels, SIDE, SIDE, names).expect("as many pixels as images have")
    };
    Split {
        train: set(),
        test: set(),
    }
}

/// A figure of the last and the first epoch, for the network without skips and the one with them.
fn trained(&(seed, images): &(u64, u64), figure: fn(&Epoch, &Epoch) -> f32) -> (f32, f32) {
    let config = TrainConfig { seed, ..config() };
    let train = |network: SmallNetwork| {
        let history = network.train(&random_images(images), &config).ok()?;
        Some(figure(history.epochs.last()?, history.epochs.first()?))
    };
    let one = |network| train(network).unwrap_or(f32::NAN);
    (one(SmallNetwork::Plain20), one(SmallNetwork::Residual20))
}

/// What the learner writes.
type MeanAndSpread = dyn Fn(&[f64]) -> (f64, f64) + Send;

/// Checks the mean and the standard deviation of a sample: (mean, spread).
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::mean_and_spread(|values| (values.iter().sum(), 0.0));
/// assert!(!answer.passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn mean_and_spread(function: impl Fn(&[f64]) -> (f64, f64) + Send + 'static) -> Answer {
    check_mean_and_spread(Box::new(function))
}

fn check_mean_and_spread(function: Box<MeanAndSpread>) -> Answer {
    let mut random = StdRng::seed_from_u64(89);
    let mut inputs = vec![vec![1.0, 2.0, 6.0], vec![4.0, 4.0]];
    inputs.extend([3, 5, 10].map(|count| {
        let value = |_| f64::from(random.gen_range(-300..=900)) / 100.0;
        (0..count).map(value).collect()
    }));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "mean_and_spread",
        inputs,
        show: |values| format!("values {values:?}"),
        // The variance is half of the mean square of all differences between two of the values.
        reference: |values| {
            let n = values.len() as f64;
            let squares = |a: &f64| values.iter().map(|b| (a - b).powi(2)).sum::<f64>();
            let pairs: f64 = values.iter().map(squares).sum();
            (values.iter().sum::<f64>() / n, (pairs / (2.0 * n * (n - 1.0))).sqrt())
        },
        mistakes: &[
            (
                |values| (mean(values), (squares(values) / values.len() as f64).sqrt()),
                "You divide by n. The mean was computed from the same values and lies too near to them; n - 1 makes up for it.",
            ),
            (
                |values| (mean(values), squares(values) / (values.len() - 1) as f64),
                "This is the variance. The spread is its root.",
            ),
            (
                |values| (mean(values), squares(values).sqrt()),
                "The squares are added up and not divided yet, by n - 1.",
            ),
            (
                |values| {
                    let centre = mean(values);
                    let distances = values.iter().map(|value| (value - centre).abs());
                    (centre, distances.sum::<f64>() / values.len() as f64)
                },
                "This is the mean distance from the mean. The standard deviation squares the distances first.",
            ),
            (
                |values| {
                    let most = values.iter().copied().fold(f64::MIN, f64::max);
                    (mean(values), most - values.iter().copied().fold(f64::MAX, f64::min))
                },
                "This is the largest value minus the smallest one. It grows with the number of values.",
            ),
        ],
    }
    .run(move |values| function(values))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn squares(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|value| (value - centre).powi(2)).sum()
}

//! Applied 1: a small CNN on MNIST, from the data to the evaluation.

use super::{Answer, Exercise, FunctionCheck, Part, Verdict, WRITTEN, Wrong};
use crate::data::{self, Normalisation};
use crate::exercises::value::matrix;
use crate::nn::modules::{Flatten, Linear};
use crate::train::{Adam, BoxedClassifier, Images, Logits, TrainError, smoothed_targets};
use dfdx::prelude::*;
use ndarray::Array2;
use rand::{Rng, SeedableRng, rngs::StdRng};

pub(super) const EXERCISE: Exercise = Exercise {
    id: "applied-1",
    title: "A small CNN on MNIST, from data to evaluation",
    parts: &[
        Part {
            name: "normalise",
            hints: &[
                "A pixel is a byte, 0 to 255. The mean and the standard deviation are those of pixels between 0 and 1.",
                "f32::from(pixel) / 255.0 is between 0 and 1. Subtract the mean, then divide by the standard deviation.",
            ],
        },
        Part {
            name: "accuracy",
            hints: &[
                "The network has ten numbers for each image. Which class does it choose?",
                "For each row, find the column of the largest number, and compare it with the label of that row. Logits may all \
                 be negative.",
                "(0..columns).max_by(|&a, &b| row[a].total_cmp(&row[b])) finds the column of the largest.",
            ],
        },
        Part {
            name: "train_step",
            hints: &[
                "Four things happen in a step: forward, loss, backward, update. Which of them needs what from the one before?",
                "images.traced(gradients) is where the recording begins, and loss.backward() where it ends. The value of the \
                 loss has to be taken before that: backward uses the loss up.",
                "network.try_alloc_grads(), network.forward_mut(..), cross_entropy_with_logits_loss(logits, targets), \
                 loss.array(), loss.backward(), network.update(adam, &mut gradients): in this order.",
            ],
        },
        Part {
            name: "digits",
            hints: &[
                "Measure both: the accuracy on the images that it learns from, and on the validation images. If both are low, it \
                 has not learned enough; if only the second is, it has learned these images by heart.",
                "A thousand digits are few: a network of two convolutions learns them by heart. Digits that move a little in \
                 each epoch are new ones. batch.shifted(2, background, seed) moves them; the background is what a black pixel \
                 becomes when it is normalised.",
                "Two 3x3 convolutions with 16 and 32 channels, a max pooling after each, one linear layer; Adam with 3e-3, which \
                 falls to 0 in the course of fifteen epochs; batches of 50; shifts by up to two pixels.",
            ],
        },
        WRITTEN,
    ],
};

/// Mean and standard deviation of MNIST's pixels, between 0 and 1.
const MNIST: Normalisation = Normalisation::MNIST;

/// What the learner writes.
type Normalise = dyn Fn(&[u8]) -> Vec<f32> + Send;

/// Checks a function that turns pixels into the inputs of a network: `(pixel / 255 - 0.1307) / 0.3081`.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::normalise(|pixels| pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect());
/// assert!(answer.to_string().contains("mean"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn normalise(function: impl Fn(&[u8]) -> Vec<f32> + Send + 'static) -> Answer {
    check_normalise(Box::new(function))
}

fn check_normalise(function: Box<Normalise>) -> Answer {
    let mut random = StdRng::seed_from_u64(86);
    let mut inputs: Vec<Vec<u8>> = vec![vec![0, 255]];
    inputs.extend([3, 5, 0, 8].map(|count| (0..count).map(|_| random.r#gen()).collect()));
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "normalise",
        inputs,
        show: |pixels| format!("pixels {pixels:?}"),
        reference: |pixels| per_pixel(pixels, |p| (p / 255.0 - MNIST.mean[0]) / MNIST.std[0]),
        mistakes: &[
            (
                |pixels| per_pixel(pixels, |p| p / 255.0),
                "The pixels are between 0 and 1 now. The mean is still to be subtracted, and the result to be divided by the \
                 standard deviation.",
            ),
            (
                |pixels| per_pixel(pixels, |p| p / 255.0 - MNIST.mean[0]),
                "The division by the standard deviation is missing.",
            ),
            (
                |pixels| per_pixel(pixels, |p| p / 255.0 / MNIST.std[0]),
                "The mean is not subtracted.",
            ),
            (
                |pixels| per_pixel(pixels, |p| (p - MNIST.mean[0]) / MNIST.std[0]),
                "The pixels are still between 0 and 255. Mean and standard deviation belong to pixels between 0 and 1.",
            ),
            (
                |pixels| per_pixel(pixels, |p| (p / 255.0 - MNIST.mean[0]) * MNIST.std[0]),
                "You multiply by the standard deviation. Divide, so that the result has a standard deviation of 1.",
            ),
            (
                |pixels| per_pixel(pixels, |p| (p / 256.0 - MNIST.mean[0]) / MNIST.std[0]),
                "The largest pixel is 255, and becomes 1.",
            ),
            (
                |pixels| per_pixel(pixels, |p| (p / 255.0 - MNIST.std[0]) / MNIST.mean[0]),
                "Mean and standard deviation are swapped.",
            ),
            (
                |pixels| per_pixel(pixels, |p| p / 255.0 - MNIST.mean[0] / MNIST.std[0]),
                "A division binds more tightly than a subtraction: (pixel - mean) needs its brackets.",
            ),
        ],
    }
    .run(move |pixels| function(pixels))
}

fn per_pixel(pixels: &[u8], number: fn(f32) -> f32) -> Vec<f32> {
    pixels
        .iter()
        .map(|&pixel| number(f32::from(pixel)))
        .collect()
}

/// What the learner writes.
type Accuracy = dyn Fn(&Array2<f32>, &[usize]) -> f64 + Send;

/// Checks a function that gives the share of images whose class was recognised, between 0 and 1.
///
/// The function gets `logits` (images, classes) and `labels`, one for each image.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// assert!(check::accuracy(|_logits, _labels| 0.97).to_string().contains("same for every input"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn accuracy(function: impl Fn(&Array2<f32>, &[usize]) -> f64 + Send + 'static) -> Answer {
    check_accuracy(Box::new(function))
}

fn check_accuracy(function: Box<Accuracy>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "accuracy",
        inputs: logits_and_labels(),
        show: |(logits, labels)| format!("logits {}, labels {labels:?}", matrix(logits)),
        reference: |(logits, labels)| {
            // A label is right if no other logit of its row is larger.
            let rows = logits.rows().into_iter().zip(labels);
            let right = rows.filter(|(row, label)| row.iter().all(|&logit| logit <= row[**label]));
            right.count() as f64 / labels.len() as f64
        },
        mistakes: &[
            (
                |input| 100.0 * share(input, f32::MIN, |a, b| a > b),
                "This is in percent. A share is between 0 and 1.",
            ),
            (
                |input| share(input, f32::MIN, |a, b| a > b) * input.1.len() as f64,
                "This is how many were right. Divide by the number of images.",
            ),
            (
                |input| {
                    share(input, f32::MIN, |a, b| a > b) * input.1.len() as f64
                        / input.0.len() as f64
                },
                "You divide by the number of logits. Divide by the number of images.",
            ),
            (
                |input| (share(input, f32::MIN, |a, b| a > b)).floor(),
                "A division of whole numbers rounds down. Convert both to f64 first.",
            ),
            (
                |input| 1.0 - share(input, f32::MIN, |a, b| a > b),
                "This is the share of errors.",
            ),
            (
                |input| share(input, f32::MAX, |a, b| a < b),
                "You take the smallest logit. The class of the largest one is chosen.",
            ),
            (
                |input| share(input, 0.0, |a, b| a > b),
                "You begin with 0, but all logits of a row may be negative.",
            ),
        ],
    }
    .run(move |(logits, labels)| function(logits, labels))
}

/// Rows of a few classes with no two equal numbers, some of them all negative; about half of the labels are right.
fn logits_and_labels() -> Vec<(Array2<f32>, Vec<usize>)> {
    let mut random = StdRng::seed_from_u64(87);
    [(2, 3), (4, 3), (5, 4), (8, 10), (30, 10)]
        .map(|(images, classes)| {
            let mut labels = Vec::new();
            let mut logits = Array2::zeros((images, classes));
            for (image, mut row) in logits.rows_mut().into_iter().enumerate() {
                let offset = if image % 2 == 0 { -12.0 } else { 0.0 };
                row.iter_mut()
                    .for_each(|logit| *logit = offset + random.gen_range(-50..=50) as f32 / 10.0);
                let best = random.gen_range(0..classes);
                row[best] = offset + 6.0;
                // Of four images all are right, or a division that rounds down would always give 0.
                let right = images == 4 || image % 2 == 0 || random.gen_bool(0.3);
                labels.push(if right { best } else { (best + 1) % classes });
            }
            (logits, labels)
        })
        .into()
}

/// The share of rows in which the search for the best logit, from `start` on, ends at the label.
fn share(
    (logits, labels): &(Array2<f32>, Vec<usize>),
    start: f32,
    better: fn(f32, f32) -> bool,
) -> f64 {
    let right = logits
        .rows()
        .into_iter()
        .zip(labels)
        .filter(|(row, label)| {
            let (mut best, mut class) = (start, 0);
            for (index, &logit) in row.iter().enumerate() {
                if better(logit, best) {
                    (best, class) = (logit, index);
                }
            }
            class == **label
        });
    right.count() as f64 / labels.len() as f64
}

/// What the learner writes.
type TrainStep = dyn Fn(&mut BoxedClassifier<10>, &mut Adam, Images, Logits<10>) -> Result<f32, TrainError>
    + Send;

/// Checks one step of training: forward, loss, backward, update.
///
/// The function gets a `network`, the optimizer, `images` (batch, 1, height, width) and `targets` (batch, 10), one-hot
/// vectors. It moves the network's parameters, and returns the mean cross entropy before the move.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::train_step(|_network, _adam, _images, _targets| Ok(2.3));
/// assert!(!answer.passed());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn train_step(
    function: impl Fn(
        &mut BoxedClassifier<10>,
        &mut Adam,
        Images,
        Logits<10>,
    ) -> Result<f32, TrainError>
    + Send
    + 'static,
) -> Answer {
    check_train_step(Box::new(function))
}

/// How often the check calls a step. With one alone, gradients that are never set to 0 would not show.
const STEPS: usize = 3;

fn check_train_step(function: Box<TrainStep>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "train_step",
        inputs: vec![(4, 1), (7, 2), (16, 3)],
        show: |(batch, seed)| {
            format!(
                "{batch} random images of 4x4 pixels, a network of one linear layer from seed {seed}, {STEPS} steps \
                 (shown are the loss that the first one returns, and the loss after all)"
            )
        },
        reference: |&input| after_steps(input, STEPS),
        mistakes: &[
            (
                |&input| after_steps(input, 0),
                "The loss is right, and the network is as it was: nothing was updated.",
            ),
            (
                |&input| {
                    let (_, end) = after_steps(input, STEPS);
                    (after_steps(input, 1).1, end)
                },
                "The loss is taken after the update. It belongs to the network as it was.",
            ),
            (
                |&input| (after_steps(input, 0).0, after_steps(input, 2 * STEPS).1),
                "Each step updates the network twice.",
            ),
            (
                |&input| {
                    let (start, end) = after_steps(input, STEPS);
                    (start * input.0 as f32, end)
                },
                "This is the sum of the losses. The mean does not depend on the size of the batch.",
            ),
        ],
    }
    .run(move |&(batch, seed)| {
        let mut network = BoxedClassifier::new(linear_network(seed));
        let (images, labels) = random_images(batch, seed);
        let mut adam = Adam::new(LEARNING_RATE);
        let losses = [(); STEPS].map(|()| {
            let loss = function(&mut network, &mut adam, images.clone(), one_hot(&labels));
            // The check answers a panic with its words.
            loss.unwrap_or_else(|error| panic!("{error}"))
        });
        (losses[0], cross_entropy(&network.forward(images), &labels))
    })
}

const LEARNING_RATE: f32 = 0.02;

type LinearNetwork = (Flatten<16>, Linear<16, 10, f32, Cpu>);

fn linear_network(seed: u64) -> LinearNetwork {
    BuildModule::build(&Cpu::seed_from_u64(seed))
}

fn random_images(batch: usize, seed: u64) -> (Images, Vec<usize>) {
    let mut random = StdRng::seed_from_u64(seed);
    let pixels = (0..16 * batch)
        .map(|_| random.gen_range(-1.0..1.0))
        .collect();
    let labels = (0..batch).map(|_| random.gen_range(0..10)).collect();
    (
        Cpu::default().tensor_from_vec(pixels, (batch, Const, 4, 4)),
        labels,
    )
}

fn one_hot(labels: &[usize]) -> Logits<10> {
    smoothed_targets(labels, 0.0).expect("labels below ten")
}

/// The loss before, and after, some steps of Adam.
fn after_steps((batch, seed): (usize, u64), steps: usize) -> (f32, f32) {
    let mut network = linear_network(seed);
    let (images, labels) = random_images(batch, seed);
    let before = cross_entropy(&network.forward(images.clone()), &labels);
    let mut adam = Adam::new(LEARNING_RATE);
    for _ in 0..steps {
        let logits = network.forward_mut(images.leaky_trace());
        let loss = cross_entropy_with_logits_loss(logits, one_hot(&labels));
        let updated = adam.update(&mut network, &mut loss.backward());
        updated.expect("memory for sixteen numbers");
    }
    (before, cross_entropy(&network.forward(images), &labels))
}

/// The mean of -log softmax(row)[label].
fn cross_entropy(logits: &Logits<10>, labels: &[usize]) -> f32 {
    let logits = logits.as_vec();
    let losses = logits.chunks_exact(10).zip(labels).map(|(row, &label)| {
        let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
        sum.ln() - f64::from(row[label])
    });
    (losses.sum::<f64>() / labels.len() as f64) as f32
}

/// How many of the 200 validation images have to be recognised: 94%. A network that is right in 97% of all cases passes
/// with a probability of 99%, one that is right in 91% with 8% (binomial distribution).
const REQUIRED: usize = 188;

/// Checks a trained network on the validation images, the fifth of the MNIST sample's training images that
/// [`Dataset::split(0.2, 0)`](crate::data::Dataset::split) sets aside, normalised by [`Normalisation::MNIST`]: 94% have to
/// be recognised. It never looks at the test images, so it may be asked as often as one likes.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::{exercises::check, prelude::*, train::BoxedClassifier};
///
/// let dev = Cpu::seed_from_u64(0);
/// let untrained = BoxedClassifier::new(dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>());
/// assert!(check::digits(&Some(untrained)).to_string().contains("guessing"));
/// assert!(check::digits(&None).to_string().contains("not written yet"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn digits(network: &Option<BoxedClassifier<10>>) -> Answer {
    let Some(network) = network else {
        return Answer::new(EXERCISE.id, "digits", Verdict::NotWritten);
    };
    let predictions = match predictions(network) {
        Ok(predictions) => predictions,
        Err(error) => return not_yet(error.to_string(), None),
    };
    let right = predictions
        .iter()
        .filter(|(class, label)| class == label)
        .count();
    if right >= REQUIRED {
        return Answer::new(EXERCISE.id, "digits", Verdict::Passed);
    }
    let count = predictions.len();
    let mistake = if predictions
        .iter()
        .all(|(class, _)| *class == predictions[0].0)
    {
        Some("The network gives the same class for every image.")
    } else if right < count / 4 {
        Some(
            "That is not much better than guessing. Has it learned? And were its training images normalised as these are, \
             by Normalisation::MNIST?",
        )
    } else {
        None
    };
    not_yet(format!("{right} of {count}"), mistake)
}

fn not_yet(got: String, mistake: Option<&str>) -> Answer {
    let wrong = Wrong {
        input: "the 200 validation images, normalised by Normalisation::MNIST".to_owned(),
        expected: format!("at least {REQUIRED} recognised, 94%"),
        got,
        mistake: mistake.map(str::to_owned),
    };
    Answer::new(EXERCISE.id, "digits", Verdict::Wrong(wrong))
}

/// For each validation image, the class with the largest logit, and the label.
fn predictions(network: &BoxedClassifier<10>) -> Result<Vec<(usize, usize)>, TrainError> {
    let validation = data::mnist_sample()?.train.split(0.2, 0).test;
    let mut predictions = Vec::with_capacity(validation.len());
    for batch in validation.batches(50, MNIST) {
        let logits = network
            .try_forward(batch.to_tensor(&Cpu::default()))?
            .as_vec();
        let classes = logits.chunks_exact(10).map(|row| {
            let best = (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            best.unwrap_or_default()
        });
        predictions.extend(classes.zip(batch.labels));
    }
    Ok(predictions)
}

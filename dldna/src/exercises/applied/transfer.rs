//! Applied 2: a trained ResNet-18 learns another task.

use super::{Answer, Exercise, FunctionCheck, Part, Verdict, WRITTEN, Wrong};
use crate::exercises::watch::watch;
use crate::train::{Logits, smoothed_targets};
use crate::transfer::{ColorResNet18, Features, Head};
use crate::weights::for_each_tensor;
use dfdx::prelude::*;
use ndarray::{Array1, Array2, Axis, Zip};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const EXERCISE: Exercise = Exercise {
    id: "applied-2",
    title: "Transfer learning with a trained ResNet-18",
    parts: &[
        Part {
            name: "new_head",
            hints: &[
                "Which field of the network knows the ten classes of the old task? It is the last layer.",
                "network.fc is a Linear<512, 10>. dev.build_module::<Linear<512, 10>, f32>() builds a new one with random \
                 weights.",
                "Cpu::seed_from_u64(seed) is a device whose random numbers come from the seed. Assign the new layer to \
                 network.fc, and return the network.",
            ],
        },
        Part {
            name: "head_step",
            hints: &[
                "It is a step as in applied-1, with gradients for the head alone. Where does the recording begin?",
                "head.forward(features.leaky_trace()) records. cross_entropy_with_logits_loss(logits, targets.clone()) is the \
                 loss, and .backward() gives the gradients.",
                "gradients.get(&head.weight) is the gradient by the weights. Gradient descent subtracts learning_rate times as \
                 much, from the weights and from the biases.",
            ],
        },
        WRITTEN,
    ],
};

/// A network with eleven million parameters is built and changed in a fraction of a second.
const LIMIT: Duration = Duration::from_secs(20);

/// Checks a function that gives a trained network a new head, for another task with ten classes.
///
/// The function gets the network, and a seed for the random weights of the head. All else stays as it is.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::new_head(|network, _seed| network);
/// assert!(answer.to_string().contains("old head"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn new_head(function: impl Fn(ColorResNet18, u64) -> ColorResNet18 + Send + 'static) -> Answer {
    check_new_head(Box::new(function))
}

/// Shapes and values of a network's tensors, by name.
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn tensors(network: &ColorResNet18) -> Tensors {
    let mut tensors = Tensors::new();
    for_each_tensor(network, |name, tensor| {
        tensors.insert(name.to_owned(), (tensor.sizes(), tensor.values()));
    });
    tensors
}

fn check_new_head(function: Box<dyn Fn(ColorResNet18, u64) -> ColorResNet18 + Send>) -> Answer {
    let trained: ColorResNet18 = BuildModule::build(&Cpu::seed_from_u64(90));
    let before = tensors(&trained);
    let input = "a ResNet-18, and the seeds 1 and 2".to_owned();
    let (mistakes, failure) = watch(LIMIT, move |report| {
        let [first, second] = [1, 2].map(|seed| tensors(&function(trained.clone(), seed)));
        if let Some((got, mistake)) = head_mistake(&before, &first, &second) {
            report(got.as_bytes());
            report(mistake.as_bytes());
        }
    });
    if let Some(failure) = failure {
        return Answer::failed(EXERCISE.id, "new_head", input, failure);
    }
    let [got, mistake] = &mistakes[..] else {
        return Answer::new(EXERCISE.id, "new_head", Verdict::Passed);
    };
    let [got, mistake] = [got, mistake].map(|text| String::from_utf8_lossy(text).into_owned());
    let wrong = Wrong {
        input,
        expected: "the body as it was, and a head with other weights for each seed".to_owned(),
        got,
        mistake: Some(mistake),
    };
    Answer::new(EXERCISE.id, "new_head", Verdict::Wrong(wrong))
}

/// What is wrong with two networks that should be `before` with new heads: what came, and what was probably done.
fn head_mistake(
    before: &Tensors,
    first: &Tensors,
    second: &Tensors,
) -> Option<(&'static str, &'static str)> {
    const WEIGHT: &str = "fc.weight";
    let is_head = |name: &str| name.starts_with("fc.");
    let names = before.keys();
    let body_stays = names
        .filter(|name| !is_head(name))
        .all(|name| before.get(name) == first.get(name));
    if !body_stays {
        return Some((
            "another body",
            "The body is not the trained one: what it has learned is lost. Only the last layer, fc, is to be replaced.",
        ));
    }
    if before.get(WEIGHT) == first.get(WEIGHT) {
        return Some((
            "the old head",
            "The old head is still there. It knows the old classes, and not the new ones.",
        ));
    }
    if first.get(WEIGHT) == second.get(WEIGHT) {
        return Some((
            "the same head for both seeds",
            "The head's random weights do not come from the seed.",
        ));
    }
    None
}

/// What the learner writes.
type HeadStep = dyn Fn(&mut Head, &Features, &Logits<10>, f32) + Send;

/// Checks one step of gradient descent on the head alone, for the features of a frozen body.
///
/// The function gets the `head`, `features` (images, 512), `targets` (images, 10), one-hot vectors, and the
/// `learning_rate`. It moves weights and biases by the gradient of the mean cross entropy.
///
/// # Example
/// ```
/// # std::env::set_current_dir(std::env::temp_dir())?;
/// use dldna::exercises::check;
///
/// let answer = check::head_step(|_head, _features, _targets, _learning_rate| {});
/// assert!(answer.to_string().contains("as it was"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn head_step(
    function: impl Fn(&mut Head, &Features, &Logits<10>, f32) + Send + 'static,
) -> Answer {
    check_head_step(Box::new(function))
}

/// What the check gives to a step.
struct Input {
    /// (10, 512)
    weight: Array2<f32>,
    bias: Array1<f32>,
    /// (images, 512)
    features: Array2<f32>,
    labels: Vec<usize>,
    learning_rate: f32,
}

fn check_head_step(function: Box<HeadStep>) -> Answer {
    FunctionCheck {
        exercise: EXERCISE.id,
        part: "head_step",
        inputs: vec![input(2, 0.5, 91), input(5, 0.1, 92), input(8, 1.0, 93)],
        show: |input| {
            format!(
                "random features of {} images, labels {:?}, learning rate {} (compared are the weights, and the biases as a \
                 last column)",
                input.labels.len(),
                input.labels,
                input.learning_rate
            )
        },
        reference: |input| moved(input, -1.0, -1.0),
        mistakes: &[
            (
                |input| moved(input, 0.0, 0.0),
                "The head is as it was. Assign the new weights to head.weight and head.bias.",
            ),
            (
                |input| moved(input, 1.0, 1.0),
                "The step goes uphill. The gradient points to where the loss grows: subtract it.",
            ),
            (
                |input| moved(input, -1.0, 0.0),
                "The biases are as they were. They have a gradient, too.",
            ),
            (
                |input| moved(input, 0.0, -1.0),
                "The weights are as they were. Only the biases have moved.",
            ),
            (
                |input| {
                    let images = input.labels.len() as f32;
                    moved(input, -images, -images)
                },
                "This is the gradient of the sum of all losses. The mean loss is meant: its steps do not grow with the batch.",
            ),
            (
                |input| moved(input, -1.0 / input.learning_rate, -1.0 / input.learning_rate),
                "The learning rate is not used.",
            ),
        ],
    }
    .run(move |input| {
        let dev = Cpu::default();
        let flat = |values: &Array2<f32>| values.iter().copied().collect::<Vec<f32>>();
        let mut head: Head = BuildModule::build(&dev);
        head.weight.copy_from(&flat(&input.weight));
        head.bias.copy_from(&input.bias.to_vec());
        let images = input.labels.len();
        let features = dev.tensor_from_vec(flat(&input.features), (images, Const));
        let targets = smoothed_targets(&input.labels, 0.0).expect("labels below ten");
        function(&mut head, &features, &targets, input.learning_rate);
        let weight = Array2::from_shape_vec((10, 512), head.weight.as_vec());
        side_by_side(weight.expect("a head has 10 x 512 weights"), head.bias.as_vec().into())
    })
}

fn input(images: usize, learning_rate: f32, seed: u64) -> Input {
    let mut random = StdRng::seed_from_u64(seed);
    let mut drawn =
        |shape, most: f32| Array2::from_shape_simple_fn(shape, || random.gen_range(-most..=most));
    let weight = drawn((10, 512), 0.05);
    let bias = drawn((1, 10), 1.0).row(0).to_owned();
    // The features of a real body come from a ReLU.
    let features = drawn((images, 512), 2.0).mapv(|feature| feature.max(0.0));
    Input {
        weight,
        bias,
        features,
        labels: (0..images).map(|_| random.gen_range(0..10)).collect(),
        learning_rate,
    }
}

/// The head after a step of `weight_factor` and `bias_factor` times the learning rate along the gradient, by formula: the
/// gradient of the mean cross entropy by the logits is (softmax - target) / images.
fn moved(input: &Input, weight_factor: f32, bias_factor: f32) -> Array2<f32> {
    let mut errors = input.features.dot(&input.weight.t()) + &input.bias;
    for (mut row, &label) in errors.rows_mut().into_iter().zip(&input.labels) {
        row.mapv_inplace(f32::exp);
        let sum = row.sum();
        row /= sum;
        row[label] -= 1.0;
    }
    errors /= input.labels.len() as f32;
    let (mut weight, mut bias) = (input.weight.clone(), input.bias.clone());
    let rate = input.learning_rate;
    Zip::from(&mut weight)
        .and(&errors.t().dot(&input.features))
        .for_each(|weight, gradient| *weight += weight_factor * rate * gradient);
    Zip::from(&mut bias)
        .and(&errors.sum_axis(Axis(0)))
        .for_each(|bias, gradient| *bias += bias_factor * rate * gradient);
    side_by_side(weight, bias)
}

/// Weights, with the biases as a last column.
fn side_by_side(weight: Array2<f32>, bias: Array1<f32>) -> Array2<f32> {
    let (rows, columns) = weight.dim();
    Array2::from_shape_fn((rows, columns + 1), |(row, column)| {
        if column < columns {
            weight[[row, column]]
        } else {
            bias[row]
        }
    })
}

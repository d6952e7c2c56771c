//! A small network that learns digits in the page, a step at a time.

use dldna_nn::data::{Batch, Dataset, Normalisation};
use dldna_nn::prelude::*;
use dldna_nn::train::{Adam, Classifier, TrainError, TrainingOutput, evaluate, smoothed_targets};
use dldna_nn::weights::for_each_tensor;
use std::collections::VecDeque;
use wasm_bindgen::prelude::wasm_bindgen;

network! {
    /// A 3x3 convolution, with a shortcut around it or without.
    pub struct Block<const WIDTH: usize, const SHORTCUT: usize> {
        conv: BiasedConv2D<WIDTH, WIDTH, 3, 1, 1>,
    }
    forward(x: Images<WIDTH>) -> Images<WIDTH> {
        if SHORTCUT == 1 {
            relu(conv(x.clone()) + x)
        } else {
            relu(conv(x))
        }
    }
}

network! {
    /// A 5x5 convolution and a pooling, which make 7x7 pixels of 28x28, 2, 6 or 12 blocks, and for each digit a weighted sum of all
    /// `FEATURES` values that are left.
    pub struct SmallCnn<const WIDTH: usize, const FEATURES: usize, const DEPTH: usize, const SHORTCUT: usize> {
        stem: BiasedConv2D<1, WIDTH, 5, 2, 2>,
        pool: MaxPool2D<2, 2>,
        two: (Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>),
        four: (Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>)
            where DEPTH >= 6,
        six: (
            Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>,
            Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>, Block<WIDTH, SHORTCUT>
        ) where DEPTH >= 12,
        flatten: Flatten<FEATURES>,
        fc: Linear<FEATURES, 10>,
    }
    forward(x: Images<1>) -> Vectors<10> {
        fc(flatten(six(four(two(pool(relu(stem(x))))))))
    }
}

/// Images in one step.
const BATCH: usize = 32;
/// Rows and columns of the images.
const SIDE: usize = 28;

/// A network on its way through the training images, over and over. The order of each pass is that of
/// [`train`](dldna_nn::train::train).
#[wasm_bindgen]
pub struct Training {
    learner: Box<dyn Learner>,
    images: Dataset,
    test: Dataset,
    /// The batches that are left of this pass.
    batches: VecDeque<Batch>,
    passes: u64,
    seed: u64,
}

#[wasm_bindgen]
impl Training {
    /// A new network of 4, 8 or 16 channels and 2, 6 or 12 blocks, and what it learns from: 28x28 pixels an image, and a label
    /// from 0 to 9.
    ///
    /// # Errors
    /// There is no such network, or pixels and labels do not belong together.
    #[wasm_bindgen(constructor)]
    #[expect(
        clippy::too_many_arguments,
        reason = "arrays come from JavaScript one by one"
    )]
    pub fn new(
        width: usize,
        depth: usize,
        shortcut: bool,
        seed: u32,
        pixels: &[u8],
        labels: &[u8],
        test_pixels: &[u8],
        test_labels: &[u8],
    ) -> Result<Training, String> {
        let seed = u64::from(seed);
        let learner = match (depth, shortcut) {
            (2, false) => of_width::<2, 0>(width, seed),
            (2, true) => of_width::<2, 1>(width, seed),
            (6, false) => of_width::<6, 0>(width, seed),
            (6, true) => of_width::<6, 1>(width, seed),
            (12, false) => of_width::<12, 0>(width, seed),
            (12, true) => of_width::<12, 1>(width, seed),
            _ => None,
        };
        Ok(Training {
            learner: learner
                .ok_or_else(|| format!("no network of {width} channels and {depth} blocks"))?,
            images: digits(pixels, labels)?,
            test: digits(test_pixels, test_labels)?,
            batches: VecDeque::new(),
            passes: 0,
            seed,
        })
    }

    /// Learns from one batch, and gives its mean loss.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn step(&mut self, learning_rate: f32) -> Result<f32, String> {
        if self.batches.is_empty() {
            let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.passes);
            let order = self.images.shuffled(seed);
            self.batches = order.batches(BATCH, Normalisation::BOOK).collect();
            self.passes += 1;
        }
        let batch = self.batches.pop_front().ok_or("there is no image")?;
        let loss = self.learner.step(&batch, learning_rate);
        loss.map_err(|error| error.to_string())
    }

    /// Share of the test images whose digit it reads.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn accuracy(&self) -> Result<f32, String> {
        let accuracy = self.learner.accuracy(&self.test);
        accuracy.map_err(|error| error.to_string())
    }

    /// The 5x5 kernels of the first layer, one after the other.
    pub fn filters(&self) -> Vec<f32> {
        self.learner.filters()
    }
}

fn digits(pixels: &[u8], labels: &[u8]) -> Result<Dataset, String> {
    let names = (0..10).map(|digit| digit.to_string()).collect();
    let labels = labels.iter().map(|&label| usize::from(label)).collect();
    let dataset = Dataset::new(pixels.to_vec(), labels, SIDE, SIDE, names);
    dataset.map_err(|error| error.to_string())
}

fn of_width<const DEPTH: usize, const SHORTCUT: usize>(
    width: usize,
    seed: u64,
) -> Option<Box<dyn Learner>> {
    match width {
        4 => Some(learner::<4, { 4 * 49 }, DEPTH, SHORTCUT>(seed)),
        8 => Some(learner::<8, { 8 * 49 }, DEPTH, SHORTCUT>(seed)),
        16 => Some(learner::<16, { 16 * 49 }, DEPTH, SHORTCUT>(seed)),
        _ => None,
    }
}

fn learner<const WIDTH: usize, const FEATURES: usize, const DEPTH: usize, const SHORTCUT: usize>(
    seed: u64,
) -> Box<dyn Learner> {
    let network =
        Cpu::seed_from_u64(seed).build_module::<SmallCnn<WIDTH, FEATURES, DEPTH, SHORTCUT>, f32>();
    Box::new(Learning {
        gradients: network.alloc_grads(),
        adam: Adam::new(0.0),
        network,
    })
}

/// A network of any width and depth that learns.
trait Learner {
    fn step(&mut self, batch: &Batch, learning_rate: f32) -> Result<f32, TrainError>;
    fn accuracy(&self, test: &Dataset) -> Result<f32, TrainError>;
    fn filters(&self) -> Vec<f32>;
}

struct Learning<N> {
    network: N,
    gradients: Gradients<f32, Cpu>,
    adam: Adam,
}

impl<N: Classifier<1, 10>> Learner for Learning<N> {
    fn step(&mut self, batch: &Batch, learning_rate: f32) -> Result<f32, TrainError> {
        let images = batch.to_tensor(&Cpu::default());
        let gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        let output = self.network.try_forward_mut(images.traced(gradients))?;
        let loss = output.try_loss(smoothed_targets(&batch.labels, 0.0)?)?;
        let value = loss.array();
        self.gradients = loss.try_backward()?;
        self.adam.learning_rate = learning_rate;
        self.adam.update(&mut self.network, &mut self.gradients)?;
        Ok(value)
    }

    fn accuracy(&self, test: &Dataset) -> Result<f32, TrainError> {
        Ok(evaluate(&self.network, test, SIDE)?.accuracy())
    }

    fn filters(&self) -> Vec<f32> {
        let mut filters = Vec::new();
        for_each_tensor(&self.network, |name, tensor| {
            if name == "stem.weight" {
                filters = tensor.values();
            }
        });
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dldna_nn::data::Split;
    use dldna_nn::train::{TrainConfig, train};

    /// Blurred spots whose place is their class.
    fn spots(count: usize) -> (Vec<u8>, Vec<u8>) {
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        let pixel = |i: usize| {
            let (label, row, column) = (labels[i / 784] as usize, i / 28 % 28, i % 28);
            let far = row.abs_diff(4 + 4 * (label / 2)) + column.abs_diff(7 + 12 * (label % 2));
            200u8.saturating_sub(40 * far.min(5) as u8) + (i * 31 % 40) as u8
        };
        ((0..count * 784).map(pixel).collect(), labels)
    }

    /// A pass in the page and one of the engine's `train` leave the same network.
    #[test]
    fn a_pass_is_an_epoch_of_the_engine() {
        let ((pixels, labels), (test_pixels, test_labels)) = (spots(96), spots(20));
        let mut training =
            Training::new(8, 2, true, 3, &pixels, &labels, &test_pixels, &test_labels).unwrap();
        let losses: Vec<f32> = (0..6).map(|_| training.step(0.01).unwrap()).collect();

        let network = Cpu::seed_from_u64(3).build_module::<SmallCnn<8, 392, 2, 1>, f32>();
        let config = TrainConfig {
            epochs: 2,
            batch_size: BATCH,
            learning_rate: 0.01,
            seed: 3,
            progress: false,
            ..Default::default()
        };
        let split = Split {
            train: digits(&pixels, &labels).unwrap(),
            test: digits(&test_pixels, &test_labels).unwrap(),
        };
        let trained = train(network, &split, &config).unwrap();
        for (epoch, losses) in trained.history.epochs.iter().zip(losses.chunks_exact(3)) {
            let mean = losses.iter().sum::<f32>() / 3.0;
            assert!(
                (mean - epoch.train_loss).abs() < 1e-5,
                "{mean} for {epoch:?}"
            );
        }
        let last = trained.history.last().unwrap();
        assert_eq!(training.accuracy().unwrap(), last.test_accuracy);
        let weights = trained.model.stem.weight.as_vec();
        let filters = training.filters();
        assert!(
            filters
                .iter()
                .zip(weights)
                .all(|(a, b)| (a - b).abs() < 1e-5)
        );
    }

    #[test]
    fn only_networks_that_were_compiled_are_there() {
        let (pixels, labels) = spots(10);
        let training = |width, depth| {
            Training::new(width, depth, false, 0, &pixels, &labels, &pixels, &labels)
        };
        assert!(training(4, 12).is_ok());
        assert!(training(5, 2).is_err());
        assert!(training(4, 3).is_err());
    }
}

//! Training an image classifier.
//!
//! [`train`] takes any network and any images. Everything random comes from the seed. With a checkpoint a training can
//! be stopped at any moment, and goes on later with the result that it would have had without the stop. On another number
//! of threads sums are taken in another order, and a training may end with other last digits, or another accuracy.

mod adam;
mod augment;
mod checkpoint;
mod dyn_classifier;
mod error;
mod evaluation;
mod history;
mod loss;
mod progress;

pub use crate::weights::{load_model, save_model};
pub use adam::{Adam, Moments, TrainDevice};
pub use dyn_classifier::BoxedClassifier;
pub use error::TrainError;
pub use evaluation::{ConfusionMatrix, Evaluation, NORMALISATION, evaluate};
pub use history::{Epoch, History};
pub use loss::{AUXILIARY_WEIGHT, TrainingOutput, smoothed_targets};

use crate::data::{Batch, Dataset, Split};
use crate::weights::for_each_tensor;
use augment::augment;
use dfdx::prelude::*;
use evaluation::judge;
use progress::Progress;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Grey images: `(batch, 1, height, width)`.
pub type Images<T = NoneTape, D = Cpu> = Tensor<(usize, Const<1>, usize, usize), f32, D, T>;
/// One value for each class: `(batch, CLASSES)`.
pub type Logits<const CLASSES: usize, T = NoneTape, D = Cpu> =
    Tensor<(usize, Const<CLASSES>), f32, D, T>;

/// A network that tells `CLASSES` kinds of grey images apart. Every fitting dfdx module is one. While it learns it may
/// give more than its logits: see [`TrainingOutput`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be trained here: it does not take images `(batch, 1, height, width)` to logits `(batch, {CLASSES})`"
)]
pub trait Classifier<const CLASSES: usize, D: TrainDevice = Cpu>:
    TensorCollection<f32, D>
    + Module<Images<NoneTape, D>, Output = Logits<CLASSES, NoneTape, D>, Error = D::Err>
    + ModuleMut<Images<OwnedTape<f32, D>, D>, Output: TrainingOutput<CLASSES, D>, Error = D::Err>
{
}

impl<const CLASSES: usize, D: TrainDevice, N> Classifier<CLASSES, D> for N where
    N: TensorCollection<f32, D>
        + Module<Images<NoneTape, D>, Output = Logits<CLASSES, NoneTape, D>, Error = D::Err>
        + ModuleMut<Images<OwnedTape<f32, D>, D>, Output: TrainingOutput<CLASSES, D>, Error = D::Err>
{
}

/// How to train. The default is the book's recipe on images of 28x28 pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainConfig {
    /// How often all training images are learned from.
    pub epochs: usize,
    /// Images in one step.
    pub batch_size: usize,
    /// Adam's learning rate; with a schedule, the highest.
    pub learning_rate: f32,
    /// Height and width that the images are resized to.
    pub image_size: usize,
    /// Only so many of the training images, the first ones. Up to 2,000 come from the sample in the repository.
    pub subset: Option<usize>,
    /// Decides the first weights, the order of the images, and everything else that is random.
    pub seed: u64,
    /// Whether to print how far the training is.
    pub progress: bool,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// Whether to mirror and shift the training images at random.
    pub augment: bool,
    /// Share of the target that all classes get alike, from 0 to below 1: see [`smoothed_targets`]. The losses in the
    /// history are without it, to stay comparable.
    pub label_smoothing: f32,
    /// A file that keeps the state after each epoch. If it is there, training goes on from it. While a file of that
    /// name with `.stop` behind it exists, the training stops.
    pub checkpoint: Option<PathBuf>,
    /// Stop after this time.
    pub time_limit: Option<Duration>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch_size: 128,
            learning_rate: 1e-3,
            image_size: 28,
            subset: None,
            seed: 0,
            progress: true,
            schedule: Schedule::Constant,
            augment: false,
            label_smoothing: 0.0,
            checkpoint: None,
            time_limit: None,
        }
    }
}

/// The learning rate in the course of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// From a twenty-fifth up to the full rate in the first quarter of the steps, then down to 0 along a cosine.
    /// Smith and Topin, *Super-Convergence*, 2017.
    OneCycle,
}

impl Schedule {
    /// The factor for the learning rate at `share` of all steps, between 0 and 1.
    ///
    /// ```
    /// use dldna_nn::train::Schedule;
    /// assert_eq!(Schedule::Constant.factor(0.9), 1.0);
    /// assert_eq!(Schedule::OneCycle.factor(0.25), 1.0);
    /// assert!(Schedule::OneCycle.factor(0.999) < 1e-4);
    /// ```
    pub fn factor(self, share: f32) -> f32 {
        const WARM_UP: f32 = 0.25;
        const START: f32 = 0.04;
        match self {
            Schedule::Constant => 1.0,
            Schedule::OneCycle if share < WARM_UP => START + (1.0 - START) * share / WARM_UP,
            Schedule::OneCycle => {
                let fall = (share - WARM_UP) / (1.0 - WARM_UP);
                (1.0 + (std::f32::consts::PI * fall).cos()) / 2.0
            }
        }
    }
}

impl TrainConfig {
    fn check(&self) -> Result<(), TrainError> {
        let refuse = |setting, found: String, expected| {
            Err(TrainError::Setting {
                setting,
                found,
                expected,
            })
        };
        if self.batch_size < 2 {
            return refuse(
                "batch_size",
                self.batch_size.to_string(),
                "at least 2 (batch norm needs more than one image)",
            );
        }
        if self.image_size == 0 {
            return refuse("image_size", "0".to_owned(), "at least 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let found = self.learning_rate.to_string();
            return refuse("learning_rate", found, "a number above 0");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let found = self.label_smoothing.to_string();
            return refuse("label_smoothing", found, "a number from 0 to below 1");
        }
        Ok(())
    }

    /// Everything that the result depends on, by name.
    fn identity(&self, data: &str) -> HashMap<String, String> {
        let epochs = match self.schedule {
            Schedule::Constant => "any".to_owned(), // more can be added later
            Schedule::OneCycle => self.epochs.to_string(),
        };
        [
            ("data", data.to_owned()),
            ("batch_size", self.batch_size.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("image_size", self.image_size.to_string()),
            ("seed", self.seed.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
            ("augment", self.augment.to_string()),
            ("label_smoothing", self.label_smoothing.to_string()),
            ("epochs", epochs),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A trained network, and how it got there.
#[derive(Debug, Clone)]
pub struct Trained<N> {
    /// The network.
    pub model: N,
    /// Loss and accuracy after each epoch.
    pub history: History,
    /// Whether all epochs were done; if not, the time limit or the stop file came first.
    pub finished: bool,
}

/// Trains any network on any grey images, on the device that the network is on.
///
/// # Errors
/// [`TrainError`] says whether data, settings, checkpoint or the learning itself failed.
///
/// # Example
/// ```
/// use dldna_nn::{data::stripes, prelude::*, resnet::ResNet20, train::{TrainConfig, train}};
///
/// let network = Cpu::seed_from_u64(0).build_module::<ResNet20<1, 2>, f32>();
/// let config = TrainConfig { epochs: 1, batch_size: 32, image_size: 14, progress: false, ..Default::default() };
/// let trained = train(network, &stripes(64, 20, 14), &config)?;
/// assert!(trained.finished);
/// # Ok::<(), dldna_nn::train::TrainError>(())
/// ```
pub fn train<const CLASSES: usize, D: TrainDevice, N: Classifier<CLASSES, D>>(
    model: N,
    split: &Split,
    config: &TrainConfig,
) -> Result<Trained<N>, TrainError> {
    config.check()?;
    let data = split.train.take(config.subset.unwrap_or(usize::MAX));
    check_data::<CLASSES>("training", &data, 2)?;
    check_data::<CLASSES>("test", &split.test, 1)?;
    // Numbers too small to matter would slow every product, on whichever thread.
    dfdx::flush_denormals_to_zero();
    rayon::broadcast(|_| dfdx::flush_denormals_to_zero());

    let mut training = Training::start(model, &data, config)?;
    while training.history.epochs.len() < config.epochs {
        let Some((train_loss, train_accuracy)) = training.epoch(&data)? else {
            return Ok(training.end(false));
        };
        let test = evaluate(&training.model, &split.test, config.image_size)?;
        training.history.epochs.push(Epoch {
            train_loss,
            train_accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
        });
        training.keep()?;
    }
    Ok(training.end(true))
}

/// Errors: there are fewer than `needed` images, or the classes are not those of the network.
fn check_data<const CLASSES: usize>(
    set: &'static str,
    data: &Dataset,
    needed: usize,
) -> Result<(), TrainError> {
    if data.len() < needed {
        return Err(TrainError::Empty { set, needed });
    }
    let found = data.class_names().len();
    if found != CLASSES {
        return Err(TrainError::Classes {
            set,
            expected: CLASSES,
            found,
        });
    }
    Ok(())
}

/// The device that a network is on.
fn device_of<N: TensorCollection<f32, D>, D: TrainDevice>(network: &N) -> D {
    let mut device = None;
    for_each_tensor(network, |_, tensor| {
        device.get_or_insert_with(|| tensor.device().clone());
    });
    device.unwrap_or_default()
}

/// The images of a batch on a device.
fn to_device<D: TrainDevice>(batch: &Batch, dev: &D) -> Result<Images<NoneTape, D>, TrainError> {
    batch.try_to_tensor(dev).map_err(D::explain)
}

/// A training on its way.
struct Training<'a, N, D: TrainDevice> {
    dev: D,
    model: N,
    adam: Adam<D>,
    gradients: Gradients<f32, D>,
    history: History,
    config: &'a TrainConfig,
    /// Steps in one epoch.
    steps: usize,
    /// What the checkpoint calls the data.
    data: String,
    progress: Progress,
    /// When to stop, if ever.
    deadline: Option<Instant>,
}

impl<'a, N, D: TrainDevice> Training<'a, N, D> {
    fn start<const CLASSES: usize>(
        mut model: N,
        data: &Dataset,
        config: &'a TrainConfig,
    ) -> Result<Self, TrainError>
    where
        N: Classifier<CLASSES, D>,
    {
        let name = format!("{} images of {CLASSES} classes", data.len());
        let dev = device_of(&model);
        let (adam, history) = match &config.checkpoint {
            Some(path) if path.exists() => checkpoint::load(path, &dev, &mut model, config, &name)?,
            _ => (Adam::new(config.learning_rate), History::default()),
        };
        let done = history.epochs.len();
        if config.progress && done > 0 {
            println!("going on after epoch {done}");
        }
        Ok(Self {
            gradients: model.try_alloc_grads().map_err(D::explain)?,
            progress: Progress::new(
                config.progress,
                config.epochs * data.len(),
                done * data.len(),
            ),
            steps: data.len().div_ceil(config.batch_size),
            data: name,
            deadline: config
                .time_limit
                .and_then(|limit| Instant::now().checked_add(limit)),
            dev,
            model,
            adam,
            history,
            config,
        })
    }

    /// Learns from all images once; returns the mean loss and the accuracy, or `None` if it was stopped on the way.
    fn epoch<const CLASSES: usize>(
        &mut self,
        data: &Dataset,
    ) -> Result<Option<(f32, f32)>, TrainError>
    where
        N: Classifier<CLASSES, D>,
    {
        let epoch = self.history.epochs.len();
        // The order and the changes of an epoch depend on its number alone, so that a later run can repeat them.
        let seed = self
            .config
            .seed
            .wrapping_mul(1_000_003)
            .wrapping_add(epoch as u64);
        let mut random = StdRng::seed_from_u64(seed);
        let order = data.shuffled(seed);
        let (mut loss, mut right, mut seen) = (0.0, 0, 0);
        for (step, mut batch) in order
            .batches(self.config.batch_size, NORMALISATION)
            .enumerate()
        {
            if self.must_stop() {
                return Ok(None);
            }
            if batch.labels.len() < 2 {
                continue; // a rest of one image has no variance
            }
            if self.config.augment {
                augment(&mut batch, NORMALISATION.apply(0), &mut random);
            }
            let (batch_loss, batch_right) = self.step(&batch, epoch, step)?;
            loss += batch_loss;
            right += batch_right;
            seen += batch.labels.len();
            let (epochs, steps) = (self.config.epochs, self.steps);
            self.progress.advance(batch.labels.len(), || {
                let mean = loss / seen as f64;
                format!(
                    "epoch {}/{epochs}, batch {}/{steps}, loss {mean:.3}",
                    epoch + 1,
                    step + 1
                )
            });
        }
        let count = seen as f64;
        Ok(Some(((loss / count) as f32, (right as f64 / count) as f32)))
    }

    /// One step: forward, loss, backward, Adam. Returns the summed loss and the number of images that were right.
    fn step<const CLASSES: usize>(
        &mut self,
        batch: &Batch,
        epoch: usize,
        step: usize,
    ) -> Result<(f64, usize), TrainError>
    where
        N: Classifier<CLASSES, D>,
    {
        let share = (epoch * self.steps + step) as f32 / (self.config.epochs * self.steps) as f32;
        self.adam.learning_rate = self.config.learning_rate * self.config.schedule.factor(share);

        let images = to_device(&batch.resized(self.config.image_size), &self.dev)?;
        let gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        let output = self.model.try_forward_mut(images.traced(gradients));
        let output = output.map_err(D::explain)?;
        let (loss, predictions) = judge(&output.logits(), &batch.labels);
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                loss: loss as f32,
                epoch: epoch + 1,
                batch: step + 1,
                learning_rate: self.adam.learning_rate,
            });
        }
        let targets = smoothed_targets::<CLASSES>(&batch.labels, self.config.label_smoothing)?;
        let targets = targets.try_to_device(&self.dev).map_err(D::explain)?;
        let loss_of_batch = output.try_loss(targets).map_err(D::explain)?;
        self.gradients = loss_of_batch.try_backward().map_err(D::explain)?;
        self.adam
            .update(&mut self.model, &mut self.gradients)
            .map_err(D::explain)?;
        let right = predictions
            .iter()
            .zip(&batch.labels)
            .filter(|(p, l)| p == l)
            .count();
        Ok((loss, right))
    }

    fn must_stop(&self) -> bool {
        let out_of_time = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        out_of_time
            || self
                .config
                .checkpoint
                .as_deref()
                .is_some_and(|path| stop_file(path).exists())
    }

    /// After an epoch: says how it went and writes the checkpoint.
    fn keep(&self) -> Result<(), TrainError>
    where
        N: TensorCollection<f32, D>,
    {
        if let Some(last) = self.history.last() {
            self.progress.epoch(&format!(
                "epoch {}/{}: loss {:.3}, accuracy {:.1}%; test {:.3}, {:.1}%",
                self.history.epochs.len(),
                self.config.epochs,
                last.train_loss,
                100.0 * last.train_accuracy,
                last.test_loss,
                100.0 * last.test_accuracy,
            ));
        }
        match &self.config.checkpoint {
            Some(path) => checkpoint::save(
                path,
                &self.dev,
                &self.model,
                &self.adam,
                &self.history,
                self.config,
                &self.data,
            ),
            None => Ok(()),
        }
    }

    fn end(self, finished: bool) -> Trained<N> {
        Trained {
            model: self.model,
            history: self.history,
            finished,
        }
    }
}

/// The file that stops a training with a checkpoint at `path`.
fn stop_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".stop");
    name.into()
}

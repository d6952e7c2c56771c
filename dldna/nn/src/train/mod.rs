//! Training an image classifier.
//!
//! [`train`] takes any network and any images. Everything random comes from the seed. With a checkpoint a training can
//! be stopped at any moment, and goes on later with the result that it would have had without the stop. On another number
//! of threads sums are taken in another order, and a training may end with other last digits, or another accuracy.

mod augment;
mod checkpoint;
mod config;
mod dyn_classifier;
mod error;
mod evaluation;
mod history;
mod loss;
mod optimizer;
mod predict;
mod progress;
mod trained;

pub use crate::weights::{load_model, save_model};
pub use augment::Augmentation;
pub use config::{Schedule, TrainConfig};
pub use dyn_classifier::BoxedClassifier;
pub use error::TrainError;
pub use evaluation::{ConfusionMatrix, Evaluation, evaluate};
pub use history::{Epoch, History};
pub use loss::{AUXILIARY_WEIGHT, TrainingOutput, smoothed_targets};
pub use optimizer::{Adam, Moments, Sgd, Step, TrainDevice, UpdateRule, clip_gradients};
pub use predict::{ClassProbability, Prediction, predict};
pub use trained::{Preprocessing, Trained};

use crate::data::{Batch, Dataset, Split};
use crate::interrupt;
use crate::kernels::subnormals;
use crate::resnet::ResNet18;
use crate::weights::{TensorFile, for_each_tensor};
use augment::{Augmented, augment};
use dfdx::prelude::*;
use evaluation::{evaluate_with, judge};
use optimizer::Updates;
use progress::Progress;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Images: `(batch, CHANNELS, height, width)`.
pub type ImageBatch<const CHANNELS: usize, T = NoneTape, D = Cpu> =
    Tensor<(usize, Const<CHANNELS>, usize, usize), f32, D, T>;
/// Grey images: `(batch, 1, height, width)`.
pub type Images<T = NoneTape, D = Cpu> = ImageBatch<1, T, D>;
/// One value for each class: `(batch, CLASSES)`.
pub type Logits<const CLASSES: usize, T = NoneTape, D = Cpu> =
    Tensor<(usize, Const<CLASSES>), f32, D, T>;

/// A network that tells `CLASSES` kinds of images apart, grey ones (`CHANNELS` 1) or ones in colour (3). Every fitting dfdx
/// module is one. While it learns it may give more than its logits: see [`TrainingOutput`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be trained here: it does not take images `(batch, {CHANNELS}, height, width)` to logits `(batch, {CLASSES})`"
)]
pub trait Classifier<const CHANNELS: usize, const CLASSES: usize, D: TrainDevice = Cpu>:
    TensorCollection<f32, D>
    + Module<ImageBatch<CHANNELS, NoneTape, D>, Output = Logits<CLASSES, NoneTape, D>, Error = D::Err>
    + ModuleMut<
        ImageBatch<CHANNELS, OwnedTape<f32, D>, D>,
        Output: TrainingOutput<CLASSES, D>,
        Error = D::Err,
    >
{
}

impl<const CHANNELS: usize, const CLASSES: usize, D: TrainDevice, N>
    Classifier<CHANNELS, CLASSES, D> for N
where
    N: TensorCollection<f32, D>
        + Module<
            ImageBatch<CHANNELS, NoneTape, D>,
            Output = Logits<CLASSES, NoneTape, D>,
            Error = D::Err,
        > + ModuleMut<
            ImageBatch<CHANNELS, OwnedTape<f32, D>, D>,
            Output: TrainingOutput<CLASSES, D>,
            Error = D::Err,
        >,
{
}

/// The network of the book's section 7.2.4, built on the CPU.
pub type FashionResNet18 = <ResNet18<1, 10> as BuildOnDevice<Cpu, f32>>::Built;

/// Trains any network on any images, grey or in colour, on the device that the network is on.
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
pub fn train<
    const CHANNELS: usize,
    const CLASSES: usize,
    D: TrainDevice,
    N: Classifier<CHANNELS, CLASSES, D>,
>(
    model: N,
    split: &Split<CHANNELS>,
    config: &TrainConfig,
) -> Result<Trained<N>, TrainError> {
    config.check()?;
    let data = split.train.take(config.subset.unwrap_or(usize::MAX));
    check_data::<CHANNELS, CLASSES>("training", &data, 2)?;
    check_data::<CHANNELS, CLASSES>("test", &split.test, 1)?;
    // Values too small to matter would slow every product, on whichever thread.
    subnormals::flushed(|| run(model, &data, &split.test, config))
}

/// The epochs, from the first or from where the checkpoint ends.
fn run<
    const CHANNELS: usize,
    const CLASSES: usize,
    D: TrainDevice,
    N: Classifier<CHANNELS, CLASSES, D>,
>(
    model: N,
    data: &Dataset<CHANNELS>,
    test: &Dataset<CHANNELS>,
    config: &TrainConfig,
) -> Result<Trained<N>, TrainError> {
    let mut training = Training::start(model, data, config)?;
    while training.goes_on() {
        let Some((train_loss, train_accuracy)) = training.epoch(data)? else {
            return training.end(data, false);
        };
        let test = evaluate_with(
            &training.model,
            test,
            config.image_size,
            config.normalisation,
        )?;
        training.history.epochs.push(Epoch {
            train_loss,
            train_accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
        });
        training.keep::<CLASSES>()?;
    }
    training.end(data, true)
}

/// Errors: there are fewer than `needed` images, or the classes are not those of the network.
fn check_data<const CHANNELS: usize, const CLASSES: usize>(
    set: &'static str,
    data: &Dataset<CHANNELS>,
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
fn to_device<const CHANNELS: usize, D: TrainDevice>(
    batch: &Batch<CHANNELS>,
    dev: &D,
) -> Result<ImageBatch<CHANNELS, NoneTape, D>, TrainError> {
    batch.try_to_tensor(dev).map_err(D::explain)
}

/// A training on its way.
struct Training<'a, N, D: TrainDevice> {
    dev: D,
    model: N,
    updates: Updates<D>,
    gradients: Gradients<f32, D>,
    history: History,
    /// The weights of the epoch with the smallest test loss, where the configuration asks for them.
    best: Option<TensorFile>,
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
    fn start<const CHANNELS: usize, const CLASSES: usize>(
        mut model: N,
        data: &Dataset<CHANNELS>,
        config: &'a TrainConfig,
    ) -> Result<Self, TrainError>
    where
        N: Classifier<CHANNELS, CLASSES, D>,
    {
        let name = checkpoint::name_of(data);
        let dev = device_of(&model);
        let state = match &config.checkpoint {
            Some(path) => checkpoint::load_or_prepare(path, &dev, &mut model, config, &name)?,
            None => None,
        };
        let (updates, history, best) = state.unwrap_or_else(|| {
            let updates = Updates::new(config.optimizer, config.weight_decay);
            (updates, History::default(), None)
        });
        let done = history.epochs.len();
        if config.progress && done > 0 {
            println!("going on after epoch {done}");
        }
        Ok(Self {
            gradients: model.try_alloc_grads().map_err(D::explain)?,
            progress: Progress::new(
                config.progress,
                config.epochs.saturating_mul(data.len()),
                done.saturating_mul(data.len()),
            ),
            steps: data.len().div_ceil(config.batch_size),
            data: name,
            deadline: config
                .time_limit
                .and_then(|limit| Instant::now().checked_add(limit)),
            dev,
            model,
            updates,
            history,
            best,
            config,
        })
    }

    /// Whether there is another epoch to come.
    fn goes_on(&self) -> bool {
        let done = self.history.epochs.len();
        let patient = self.config.patience.is_none_or(|patience| {
            let best = self.history.best().map_or(0, |(epoch, _)| epoch + 1);
            done - best < patience.max(1)
        });
        done < self.config.epochs && patient
    }

    /// Learns from all images once; returns the mean loss and the accuracy, or `None` if it was stopped on the way.
    fn epoch<const CHANNELS: usize, const CLASSES: usize>(
        &mut self,
        data: &Dataset<CHANNELS>,
    ) -> Result<Option<(f32, f32)>, TrainError>
    where
        N: Classifier<CHANNELS, CLASSES, D>,
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
        for (step, batch) in order
            .batches(self.config.batch_size, self.config.normalisation)
            .enumerate()
        {
            if self.must_stop() {
                return Ok(None);
            }
            if batch.labels.len() < 2 {
                continue; // a rest of one image has no variance
            }
            let count = batch.labels.len();
            let (batch_loss, batch_right) =
                self.step(augment(batch, self.config, &mut random), epoch, step)?;
            loss += batch_loss;
            right += batch_right;
            seen += count;
            let (epochs, steps) = (self.config.epochs, self.steps);
            self.progress.advance(count, || {
                let mean = loss / seen as f64;
                format!(
                    "epoch {}/{epochs}, batch {}/{steps}, loss {mean:.3}",
                    epoch + 1,
                    step + 1
                )
            });
        }
        let seen = seen as f64;
        Ok(Some(((loss / seen) as f32, (right as f64 / seen) as f32)))
    }

    /// One step: forward, loss, backward, update. Returns the summed loss and the number of images that were right.
    fn step<const CHANNELS: usize, const CLASSES: usize>(
        &mut self,
        augmented: Augmented<CHANNELS>,
        epoch: usize,
        step: usize,
    ) -> Result<(f64, usize), TrainError>
    where
        N: Classifier<CHANNELS, CLASSES, D>,
    {
        let share = (epoch as f32 + step as f32 / self.steps as f32) / self.config.epochs as f32;
        let learning_rate = self.config.learning_rate_at(share);
        let batch = augmented.batch.resized(self.config.image_size);

        let images = to_device(&batch, &self.dev)?;
        let gradients = std::mem::replace(&mut self.gradients, Gradients::leaky());
        let output = self.model.try_forward_mut(images.traced(gradients));
        let output = output.map_err(D::explain)?;
        let (loss, predictions) = judge(&output.logits(), &batch.labels);
        if !loss.is_finite() {
            return Err(TrainError::Diverged {
                loss: loss as f32,
                epoch: epoch + 1,
                batch: step + 1,
                learning_rate,
            });
        }
        let targets = augmented.targets::<CLASSES>(self.config.label_smoothing)?;
        let targets = targets.try_to_device(&self.dev).map_err(D::explain)?;
        let loss_of_batch = output.try_loss(targets).map_err(D::explain)?;
        self.gradients = loss_of_batch.try_backward().map_err(D::explain)?;
        if let Some(norm) = self.config.gradient_clip {
            clip_gradients(&mut self.model, &mut self.gradients, norm).map_err(D::explain)?;
        }
        self.updates
            .update(learning_rate, &mut self.model, &mut self.gradients)
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
            || interrupt::is_requested()
            || self
                .config
                .checkpoint
                .as_deref()
                .is_some_and(|path| stop_file(path).exists())
    }

    /// After an epoch: says how it went and writes the checkpoint.
    fn keep<const CLASSES: usize>(&mut self) -> Result<(), TrainError>
    where
        N: TensorCollection<f32, D>,
    {
        let done = self.history.epochs.len();
        if let Some(last) = self.history.last() {
            self.progress.epoch(&format!(
                "epoch {done}/{}: loss {:.3}, accuracy {:.1}%; test {:.3}, {:.1}%",
                self.config.epochs,
                last.train_loss,
                100.0 * last.train_accuracy,
                last.test_loss,
                100.0 * last.test_accuracy,
            ));
        }
        if let Some(warning) = self.history.warning(CLASSES, self.config.learning_rate)
            && self.config.progress
        {
            println!("{warning}");
        }
        let is_best = self
            .history
            .best()
            .is_some_and(|(epoch, _)| epoch + 1 == done);
        if self.config.keep_best && is_best {
            self.best = Some(TensorFile::of(&self.model));
        }
        match &self.config.checkpoint {
            Some(path) => checkpoint::save(path, self),
            None => Ok(()),
        }
    }

    fn end<const CHANNELS: usize, const CLASSES: usize>(
        mut self,
        data: &Dataset<CHANNELS>,
        finished: bool,
    ) -> Result<Trained<N>, TrainError>
    where
        N: Classifier<CHANNELS, CLASSES, D>,
    {
        if let Some(best) = &self.best {
            best.put_into(
                &mut self.model,
                Path::new("the best epoch"),
                &str::to_owned,
                &|_| false,
            )?;
        }
        if !finished && self.config.progress {
            let (epoch, epochs) = (self.history.epochs.len() + 1, self.config.epochs);
            println!("stopped in epoch {epoch} of {epochs}");
        }
        let warning = self.history.warning(CLASSES, self.config.learning_rate);
        Ok(Trained {
            model: self.model,
            history: self.history,
            finished,
            preprocessing: Preprocessing {
                image_size: self.config.image_size,
                normalisation: self.config.normalisation,
                class_names: data.class_names().to_vec(),
            },
            warning,
        })
    }
}

/// The file that stops a training with a checkpoint at `path`.
fn stop_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".stop");
    name.into()
}

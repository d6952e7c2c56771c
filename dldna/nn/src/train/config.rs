//! How to train.

use super::{Augmentation, TrainError, UpdateRule};
use crate::data::Normalisation;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

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
    /// Only this number of the training images, the first ones. Up to 2,000 come from the sample in the repository.
    pub subset: Option<usize>,
    /// Decides the first weights, the order of the images, and everything else that is random.
    pub seed: u64,
    /// Whether to print how far the training is.
    pub progress: bool,
    /// How the gradients move the parameters.
    pub optimizer: UpdateRule,
    /// How much of itself a weight loses in a step, times the learning rate. Norms and biases lose nothing.
    pub weight_decay: f32,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// Share of all steps, from 0 to below 1, in which the learning rate rises to what the schedule says.
    pub warm_up: f32,
    /// How pixels become inputs. [`Trained`](super::Trained) keeps it for those who use the network.
    pub normalisation: Normalisation,
    /// How the training images are changed at random, in this order.
    pub augmentations: Vec<Augmentation>,
    /// Share of the target that all classes get alike, from 0 to below 1: see [`smoothed_targets`](super::smoothed_targets). The losses in the
    /// history are without it, to stay comparable.
    pub label_smoothing: f32,
    /// The norm of all gradients together is at most this: see [`clip_gradients`](super::clip_gradients).
    pub gradient_clip: Option<f32>,
    /// Stop when the test loss has not become smaller for this number of epochs. The test images then had a part in the training,
    /// and say less about others.
    pub patience: Option<usize>,
    /// Whether to give back the network of the epoch with the smallest test loss, not that of the last.
    pub keep_best: bool,
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
            optimizer: UpdateRule::Adam,
            weight_decay: 0.0,
            schedule: Schedule::Constant,
            warm_up: 0.0,
            normalisation: Normalisation::BOOK,
            augmentations: Vec::new(),
            label_smoothing: 0.0,
            gradient_clip: None,
            patience: None,
            keep_best: false,
            checkpoint: None,
            time_limit: None,
        }
    }
}

/// The learning rate in the course of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// The training in `parts` equal parts, and in each the rate of the one before times `factor`.
    Steps {
        /// How many.
        parts: usize,
        /// 0.1 is usual.
        factor: f32,
    },
    /// From the full rate down to 0 along a cosine. Loshchilov and Hutter, *SGDR*, 2016, without restarts.
    Cosine,
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
    /// assert_eq!(Schedule::Steps { parts: 2, factor: 0.1 }.factor(0.5), 0.1);
    /// assert!((Schedule::Cosine.factor(0.5) - 0.5).abs() < 1e-6);
    /// assert_eq!(Schedule::OneCycle.factor(0.25), 1.0);
    /// assert!(Schedule::OneCycle.factor(0.999) < 1e-4);
    /// ```
    pub fn factor(self, share: f32) -> f32 {
        const WARM_UP: f32 = 0.25;
        const START: f32 = 0.04;
        let cosine = |share: f32| (1.0 + (std::f32::consts::PI * share).cos()) / 2.0;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Steps { parts, factor } => {
                let part = (share * parts as f32).floor().min(parts as f32 - 1.0);
                factor.powf(part.max(0.0))
            }
            Schedule::Cosine => cosine(share),
            Schedule::OneCycle if share < WARM_UP => START + (1.0 - START) * share / WARM_UP,
            Schedule::OneCycle => cosine((share - WARM_UP) / (1.0 - WARM_UP)),
        }
    }
}

impl TrainConfig {
    /// The learning rate at `share` of all steps.
    pub(super) fn learning_rate_at(&self, share: f32) -> f32 {
        let rate = self.learning_rate * self.schedule.factor(share);
        if share < self.warm_up {
            // Not from 0: the first step is to do something.
            rate * (0.01 + 0.99 * share / self.warm_up)
        } else {
            rate
        }
    }

    pub(super) fn check(&self) -> Result<(), TrainError> {
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
        let momentum = match self.optimizer {
            UpdateRule::Adam => 0.0,
            UpdateRule::Sgd { momentum, .. } => momentum,
        };
        for (setting, share) in [
            ("label_smoothing", self.label_smoothing),
            ("warm_up", self.warm_up),
            ("momentum", momentum),
        ] {
            if !(0.0..1.0).contains(&share) {
                return refuse(setting, share.to_string(), "a number from 0 to below 1");
            }
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            let found = self.weight_decay.to_string();
            return refuse("weight_decay", found, "a number of at least 0");
        }
        if self
            .gradient_clip
            .is_some_and(|norm| norm.is_nan() || norm <= 0.0)
        {
            let found = format!("{:?}", self.gradient_clip);
            return refuse("gradient_clip", found, "a number above 0");
        }
        let std = self.normalisation.std;
        if !std.iter().all(|&std| std > 0.0 && std.is_finite()) {
            let found = self.normalisation.to_string();
            return refuse("normalisation", found, "standard deviations above 0");
        }
        for augmentation in &self.augmentations {
            if let Err(expected) = augmentation.check() {
                return refuse("augmentations", format!("{augmentation:?}"), expected);
            }
        }
        Ok(())
    }

    /// Everything that the result depends on, by name.
    pub(super) fn identity(&self, data: &str) -> HashMap<String, String> {
        let epochs = match self.schedule {
            Schedule::Constant if self.warm_up == 0.0 => "any".to_owned(), // more can be added later
            _ => self.epochs.to_string(),
        };
        [
            ("data", data.to_owned()),
            ("batch_size", self.batch_size.to_string()),
            ("learning_rate", self.learning_rate.to_string()),
            ("image_size", self.image_size.to_string()),
            ("seed", self.seed.to_string()),
            ("optimizer", format!("{:?}", self.optimizer)),
            ("weight_decay", self.weight_decay.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
            ("warm_up", self.warm_up.to_string()),
            ("normalisation", self.normalisation.to_string()),
            ("augmentations", format!("{:?}", self.augmentations)),
            ("gradient_clip", format!("{:?}", self.gradient_clip)),
            ("label_smoothing", self.label_smoothing.to_string()),
            ("epochs", epochs),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

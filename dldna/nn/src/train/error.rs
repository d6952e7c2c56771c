//! What can go wrong in training.

use crate::data::DatasetError;
use crate::device::DeviceError;
use crate::nn::LayerError;
use crate::weights::WeightsError;
use dfdx::prelude::CpuError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a training or an evaluation could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The images cannot be had.
    #[error(transparent)]
    Data(Box<dyn std::error::Error + Send + Sync>),
    /// A layer cannot take the images.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// There is no such device, or it cannot go on.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// dfdx failed.
    #[error("dfdx: {0}")]
    Dfdx(CpuError),
    /// A file of weights, or a checkpoint, cannot be read or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// There is nothing to learn from, or to measure with.
    #[error("the {set} set is empty: expected at least {needed} image(s)")]
    Empty {
        /// Which set.
        set: &'static str,
        /// How many images there have to be.
        needed: usize,
    },
    /// A label that the network has no output for.
    #[error("the {set} set has {found} classes, the network has outputs for {expected}")]
    Classes {
        /// Which set.
        set: &'static str,
        /// Outputs of the network.
        expected: usize,
        /// Classes of the data.
        found: usize,
    },
    /// A setting that makes no sense.
    #[error("{setting} is {found}, expected {expected}")]
    Setting {
        /// Name in the configuration.
        setting: &'static str,
        /// What it was.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// The loss is infinite or not a number.
    #[error(
        "the loss became {loss} in epoch {epoch}, batch {batch}: try a smaller learning rate than {learning_rate}"
    )]
    Diverged {
        /// The loss.
        loss: f32,
        /// Epoch, from 1.
        epoch: usize,
        /// Batch in the epoch, from 1.
        batch: usize,
        /// Learning rate of that step.
        learning_rate: f32,
    },
    /// The checkpoint was made with other settings, or is damaged.
    #[error("{}: the checkpoint does not belong to this training: {reason}. Name another file, or remove this one", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
}

impl From<DatasetError> for TrainError {
    fn from(error: DatasetError) -> Self {
        TrainError::Data(Box::new(error))
    }
}

impl From<CpuError> for TrainError {
    /// With the layer's own words, where it left some.
    fn from(error: CpuError) -> Self {
        match crate::nn::last_error() {
            Some(error) => error.into(),
            None => TrainError::Dfdx(error),
        }
    }
}

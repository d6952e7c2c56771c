//! What a training makes smaller.

use super::{Logits, TrainDevice, TrainError};
use dfdx::prelude::*;

/// Logits on their way into a loss.
type Traced<const CLASSES: usize, D> = Logits<CLASSES, OwnedTape<f32, D>, D>;
/// A loss, with the operations that led to it.
type Loss<D> = Tensor<Rank0, f32, D, OwnedTape<f32, D>>;

/// What a [`Classifier`](super::Classifier) gives in training: its logits, or the pair `(logits, logits of an auxiliary
/// classifier)`.
pub trait TrainingOutput<const CLASSES: usize, D: TrainDevice = Cpu> {
    /// The logits that count: `(batch, CLASSES)`.
    fn logits(&self) -> Logits<CLASSES, NoneTape, D>;

    /// The number to make smaller, for targets `(batch, CLASSES)`: a probability for each class.
    ///
    /// # Errors
    /// Those of dfdx.
    fn try_loss(self, targets: Logits<CLASSES, NoneTape, D>) -> Result<Loss<D>, D::Err>;
}

impl<const CLASSES: usize, D: TrainDevice> TrainingOutput<CLASSES, D> for Traced<CLASSES, D> {
    fn logits(&self) -> Logits<CLASSES, NoneTape, D> {
        self.retaped::<NoneTape>()
    }

    /// The mean cross entropy.
    fn try_loss(self, targets: Logits<CLASSES, NoneTape, D>) -> Result<Loss<D>, D::Err> {
        Ok(cross_entropy_with_logits_loss(self, targets))
    }
}

/// How much the loss of an auxiliary classifier counts. Szegedy et al., *Going Deeper with Convolutions*, 2014, section 5.
pub const AUXILIARY_WEIGHT: f32 = 0.3;

impl<const CLASSES: usize, D: TrainDevice> TrainingOutput<CLASSES, D>
    for (Traced<CLASSES, D>, Traced<CLASSES, D>)
{
    fn logits(&self) -> Logits<CLASSES, NoneTape, D> {
        self.0.logits()
    }

    /// The mean cross entropy of the first, and [`AUXILIARY_WEIGHT`] times that of the second.
    fn try_loss(self, targets: Logits<CLASSES, NoneTape, D>) -> Result<Loss<D>, D::Err> {
        let auxiliary = self.1.try_loss(targets.clone())?;
        self.0
            .try_loss(targets)?
            .try_add(auxiliary.try_mul(AUXILIARY_WEIGHT)?)
    }
}

/// Targets for a cross entropy, `(batch, CLASSES)`: `1 - smoothing` for the true class, and `smoothing` shared evenly by
/// all classes, the true one too.
///
/// With `smoothing` 0 these are one-hot vectors. Above 0 the best answer is no longer an infinite logit, and the network
/// has no reason to become ever surer. PyTorch: `torch.nn.CrossEntropyLoss(label_smoothing=smoothing)`.
/// Szegedy et al., *Rethinking the Inception Architecture for Computer Vision*, 2015, section 7.
///
/// # Errors
/// [`TrainError::Classes`] for a label that is not below `CLASSES`.
///
/// ```
/// use dldna_nn::{prelude::*, train::smoothed_targets};
/// let targets = smoothed_targets::<4>(&[2], 0.5)?;
/// assert_eq!(targets.as_vec(), [0.125, 0.125, 0.625, 0.125]);
/// # Ok::<(), dldna_nn::train::TrainError>(())
/// ```
pub fn smoothed_targets<const CLASSES: usize>(
    labels: &[usize],
    smoothing: f32,
) -> Result<Logits<CLASSES>, TrainError> {
    if let Some(label) = labels.iter().find(|&&label| label >= CLASSES) {
        return Err(TrainError::Classes {
            set: "training",
            expected: CLASSES,
            found: label + 1,
        });
    }
    let mut targets = vec![smoothing / CLASSES as f32; labels.len() * CLASSES];
    for (row, label) in labels.iter().enumerate() {
        targets[row * CLASSES + label] += 1.0 - smoothing;
    }
    Ok(Cpu::default().try_tensor_from_vec(targets, (labels.len(), Const))?)
}

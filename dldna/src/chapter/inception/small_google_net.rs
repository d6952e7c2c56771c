//! A GoogLeNet for small images, trained.

use super::{AuxiliarySmallGoogLeNet, SmallGoogLeNet};
use crate::data::Split;
use crate::train::{TrainConfig, TrainError, Trained, train};
use dfdx::prelude::*;

/// [`SmallGoogLeNet`] for ten kinds of grey images, built on the CPU.
pub type FashionGoogLeNet = <SmallGoogLeNet<1, 10> as BuildOnDevice<Cpu, f32>>::Built;

/// Trains a [`SmallGoogLeNet`] on ten kinds of grey images. With `auxiliary` an [`AuxiliaryHead`](super::AuxiliaryHead) helps, and is thrown
/// away in the end.
///
/// # Errors
/// Those of [`train`].
///
/// # Example
/// ```
/// use dldna::{data::fashion_mnist_sample, inception::train_small_google_net, train::TrainConfig};
///
/// let config = TrainConfig { epochs: 1, subset: Some(32), batch_size: 16, progress: false, ..Default::default() };
/// let trained = train_small_google_net(true, &fashion_mnist_sample()?, &config)?;
/// assert_eq!(trained.history.epochs.len(), 1);
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn train_small_google_net(
    auxiliary: bool,
    split: &Split,
    config: &TrainConfig,
) -> Result<Trained<FashionGoogLeNet>, TrainError> {
    let dev = Cpu::seed_from_u64(config.seed);
    if !auxiliary {
        return train(
            dev.build_module::<SmallGoogLeNet<1, 10>, f32>(),
            split,
            config,
        );
    }
    let network = dev.build_module::<AuxiliarySmallGoogLeNet<1, 10>, f32>();
    let trained = train(network, split, config)?;
    Ok(trained.map(|(start, end)| (start, end.main)))
}

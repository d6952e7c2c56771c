//! ConvNeXt: Liu et al., *A ConvNet for the 2020s*, 2022.
//!
//! A residual network rebuilt step by step from the parts of its time, until it met the vision transformers of 2021 on
//! their own ground. Its block is here, and a small network of such blocks beside one of [`BasicBlock`]s that costs the
//! same.

pub use dldna_nn::convnext::{ConvNeXtBlock, modules};

use crate::data::Split;
use crate::nn::{AvgPoolGlobal, BatchNorm2D, Conv2D, Linear, ReLU};
use crate::resnet::BasicBlock;
use crate::train::{History, TrainConfig, TrainError, train};
use dfdx::prelude::*;

/// Three [`ConvNeXtBlock`]s of 33 channels between a convolution that halves the image and a linear layer:
/// `(batch, 1, height, width)` to `(batch, 10)`.
pub type SmallConvNeXt = (
    (Conv2D<1, 33, 3, 2, 1>, BatchNorm2D<33>, ReLU),
    (
        ConvNeXtBlock<33, 132>,
        ConvNeXtBlock<33, 132>,
        ConvNeXtBlock<33, 132>,
    ),
    (AvgPoolGlobal, Linear<33, 10>),
);

/// Three [`BasicBlock`]s of 24 channels in the same place: their multiply-adds are those of [`SmallConvNeXt`], within one
/// percent.
pub type SmallResNet = (
    (Conv2D<1, 24, 3, 2, 1>, BatchNorm2D<24>, ReLU),
    (
        BasicBlock<24, 24, 1>,
        BasicBlock<24, 24, 1>,
        BasicBlock<24, 24, 1>,
    ),
    (AvgPoolGlobal, Linear<24, 10>),
);

/// Trains a [`SmallConvNeXt`] and a [`SmallResNet`] from new weights, with the same settings. Returns what each has
/// reached, in that order.
///
/// # Errors
/// As those of [`train`].
///
/// # Example
/// ```
/// use dldna::{convnext::train_small_networks, data::mnist_sample, train::TrainConfig};
///
/// let config = TrainConfig { epochs: 1, subset: Some(32), batch_size: 16, progress: false, ..Default::default() };
/// let [convnext, resnet] = train_small_networks(&mnist_sample()?, &config)?;
/// assert_eq!((convnext.epochs.len(), resnet.epochs.len()), (1, 1));
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn train_small_networks(
    split: &Split,
    config: &TrainConfig,
) -> Result<[History; 2], TrainError> {
    let dev = Cpu::seed_from_u64(config.seed);
    let convnext = train(dev.build_module::<SmallConvNeXt, f32>(), split, config)?;
    let resnet = train(dev.build_module::<SmallResNet, f32>(), split, config)?;
    Ok([convnext.history, resnet.history])
}

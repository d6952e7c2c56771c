//! Group normalisation.

use super::device::{Batch, Epilogue, LayerDevice, NormParameters, Operation};
use super::error::LayerError;
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use super::width::assert_groups;
use crate::summary::layers::image_shape;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

layer! {
    /// Normalises each image of `(batch, C, height, width)` by itself, in `GROUPS` groups of neighbouring channels, then scales
    /// and shifts each channel. With mean and biased variance over all values of the group of channel `c` in image `n`,
    ///
    /// ```text
    /// output[n, c] = (input[n, c] - mean) / sqrt(variance + epsilon) scale[c] + bias[c]
    /// ```
    ///
    /// Unlike a batch norm it does not look at the other images, and does the same in training and in evaluation. With one
    /// group it is layer normalisation of the whole image, with `C` groups instance normalisation. A group of one value has no
    /// variance, and is an error, as is a batch of no images.
    ///
    /// PyTorch: `torch.nn.GroupNorm(GROUPS, C)`; epsilon is 1e-5. Wu and He, *Group Normalization*, 2018.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let norm = dev.build_module::<GroupNorm<2, 4>, f32>();
    /// let y = norm.forward(dev.tensor([[[[1.0]], [[3.0]], [[10.0]], [[50.0]]]])); // groups (1, 3) and (10, 50)
    /// assert!(y.as_vec().iter().zip([-1.0, 1.0, -1.0, 1.0]).all(|(y, want)| (y - want).abs() < 1e-4));
    /// ```
    ///
    /// ```compile_fail
    /// # use dldna_nn::prelude::*;
    /// # let dev = Cpu::seed_from_u64(0);
    /// let norm = dev.build_module::<GroupNorm<3, 4>, f32>();
    /// norm.forward(dev.tensor([[[[1.0]], [[3.0]], [[10.0]], [[50.0]]]]));
    /// // 4 channels cannot be divided into 3 groups of one size
    /// ```
    pub struct GroupNorm<const GROUPS, const C> {
        /// Multiplied with each normalised channel. In files its name is `weight`, as in PyTorch.
        scale as "weight": Rank1<C> = TensorOptions::reset_to_ones(),
        /// Added to each channel afterwards.
        bias: Rank1<C> = TensorOptions::reset_to_zeros(),
        ;
        /// Added to the variance, so that a constant group does not divide by zero.
        epsilon = 1e-5,
    }
}

image_layer!(
    <const GROUPS, const C> GroupNorm<GROUPS, C, f32, D>, C same,
    |layer, flow| {
        const { assert_groups(C, GROUPS) };
        let scale = run_time_sizes(layer.scale.clone());
        let bias = run_time_sizes(layer.bias.clone());
        let epsilon = layer.epsilon as f32;
        flow.apply(|x| normalize(x, GROUPS, epsilon)).apply(|x| D::affine(x, Some(scale), Some(bias)))
    }
);

/// Each group of each image with mean 0 and variance 1.
///
/// A batch norm does that, if every group of every image is a channel of its own: `(1, batch groups, values, 1)`.
fn normalize<D: LayerDevice>(
    x: Batch<D>,
    groups: usize,
    epsilon: f32,
) -> Result<Operation<D>, D::Err> {
    let &shape @ (batch, channels, height, width) = x.shape();
    let values = channels / groups * height * width;
    if batch == 0 || values < 2 {
        let images = shape.concrete();
        return Err(D::error(LayerError::GroupsTooSmall { groups, images }));
    }
    let as_channels = x.try_reshape_like(&(1, batch * groups, values, 1))?;
    let dev = as_channels.device().clone();
    let norm = NormParameters {
        scale: dev.try_ones_like(&(batch * groups,))?,
        bias: dev.try_zeros_like(&(batch * groups,))?,
        epsilon,
    };
    let statistics = D::statistics(as_channels)?;
    let Operation { output, backward } = D::batch_norm2d_train(statistics, norm, Epilogue::none())?;
    Ok(Operation {
        // Contiguous tensors keep their identity, and with it their gradient.
        output: output.try_reshape_like(&shape)?,
        backward,
    })
}

impl<const GROUPS: usize, const C: usize, E: Dtype, D: Storage<E>> Summarize
    for GroupNorm<GROUPS, C, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("GroupNorm {C}, {GROUPS} groups");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, 2 * C, 0))
    }
}

//! Layer normalisation of images.

use super::device::{LayerDevice, NormParameters};
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use crate::summary::layers::image_shape;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

layer! {
    /// Normalises each pixel of `(batch, C, height, width)` over its `C` channels, then scales and shifts each channel.
    /// Unlike a batch norm it looks at nothing but the pixel, and does the same in training and in evaluation.
    ///
    /// The numbers are ConvNeXt's: epsilon 1e-6. Ba, Kiros and Hinton, *Layer Normalization*, 2016; Liu et al., *A ConvNet
    /// for the 2020s*, 2022.
    ///
    /// PyTorch: `torch.nn.LayerNorm(C, eps=1e-6)` on the axes (batch, height, width, C).
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let norm = dev.build_module::<LayerNorm2D<2>, f32>();
    /// let y = norm.forward(dev.tensor([[[[1.0]], [[3.0]]]])); // one pixel of two channels
    /// assert!(y.as_vec()[0] < -0.999 && y.as_vec()[1] > 0.999);
    /// ```
    pub struct LayerNorm2D<const C> {
        /// Multiplied with each normalised channel. In files its name is `weight`, as in PyTorch.
        scale as "weight": Rank1<C> = TensorOptions::reset_to_ones(),
        /// Added to each channel afterwards.
        bias: Rank1<C> = TensorOptions::reset_to_zeros(),
        ;
        /// Added to the variance, so that a pixel with equal channels does not divide by zero.
        epsilon = 1e-6,
    }
}

image_layer!(
    <const C> LayerNorm2D<C, f32, D>, C same,
    |layer, flow| {
        let norm = NormParameters {
            scale: run_time_sizes(layer.scale.clone()),
            bias: run_time_sizes(layer.bias.clone()),
            epsilon: layer.epsilon as f32,
        };
        flow.apply(|x| D::layer_norm2d(x, norm))
    }
);

impl<const C: usize, E: Dtype, D: Storage<E>> Summarize for LayerNorm2D<C, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("LayerNorm2D {C}");
        let shape = image_shape(&kind, input, C)?;
        Ok(LayerSummary::leaf(kind, shape, 2 * C, 0))
    }
}

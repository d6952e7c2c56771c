//! Layer normalisation of images.

use super::device::LayerDevice;
use dfdx::prelude::*;

/// What networks are written with: types without data.
pub mod builder {
    /// Normalises each pixel of `(batch, C, height, width)` over its `C` channels, then scales and shifts each channel.
    /// Unlike a batch norm it looks at nothing but the pixel, and does the same in training and in evaluation.
    ///
    /// The numbers are ConvNeXt's: epsilon 1e-6. Ba, Kiros and Hinton, *Layer Normalization*, 2016; Liu et al., *A ConvNet
    /// for the 2020s*, 2022.
    ///
    /// PyTorch: `torch.nn.LayerNorm(C, eps=1e-6)` on the axes (batch, height, width, C).
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let norm = dev.build_module::<LayerNorm2D<2>, f32>();
    /// let y = norm.forward(dev.tensor([[[[1.0]], [[3.0]]]])); // one pixel of two channels
    /// assert!(y.as_vec()[0] < -0.999 && y.as_vec()[1] > 0.999);
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct LayerNorm2D<const C: usize>;
}

/// [`builder::LayerNorm2D`], built on a device.
#[derive(Debug, Clone)]
pub struct LayerNorm2D<const C: usize, E: Dtype, D: Storage<E>> {
    /// Multiplied with each normalised channel (PyTorch: `weight`).
    pub scale: Tensor<Rank1<C>, E, D>,
    /// Added to each channel afterwards.
    pub bias: Tensor<Rank1<C>, E, D>,
    /// Added to the variance, so that a pixel with equal channels does not divide by zero.
    pub epsilon: f64,
}

impl<const C: usize, E: Dtype, D: Device<E>> BuildOnDevice<D, E> for builder::LayerNorm2D<C>
where
    LayerNorm2D<C, E, D>: BuildModule<D, E>,
{
    type Built = LayerNorm2D<C, E, D>;
}

impl<const C: usize, E: Dtype, D: Storage<E>> NonMutableModule for LayerNorm2D<C, E, D> {}

impl<const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<C>, H, W), f32, D, T>> for LayerNorm2D<C, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        D::layer_norm2d(input, &self.scale, &self.bias, self.epsilon as f32)
    }
}

impl<const C: usize, E: Dtype, D: Device<E>> TensorCollection<E, D> for LayerNorm2D<C, E, D> {
    type To<E2: Dtype, D2: Device<E2>> = LayerNorm2D<C, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor(
                    "scale",
                    |norm| &norm.scale,
                    |norm| &mut norm.scale,
                    TensorOptions::reset_to_ones(),
                ),
                Self::tensor(
                    "bias",
                    |norm| &norm.bias,
                    |norm| &mut norm.bias,
                    TensorOptions::reset_to_zeros(),
                ),
                Self::scalar(
                    "epsilon",
                    |norm| &norm.epsilon,
                    |norm| &mut norm.epsilon,
                    ScalarOptions::from_default(1e-6),
                ),
            ),
            |(scale, bias, epsilon)| LayerNorm2D {
                scale,
                bias,
                epsilon,
            },
        )
    }
}

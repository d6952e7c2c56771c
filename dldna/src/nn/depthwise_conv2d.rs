//! Depthwise convolution.

use super::conv2d::try_fill_default;
use super::device::LayerDevice;
use crate::kernels::window::Window;
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

/// What networks are written with: types without data.
pub mod builder {
    /// Convolution of each channel with its own kernel, without a bias:
    /// `(batch, C, height, width)` to `(batch, C, height', width')`.
    ///
    /// The weight `(C, 1, K, K)` starts uniform in `±1 / K`, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.Conv2d(C, C, K, STRIDE, PADDING, groups=C, bias=False)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<DepthwiseConv2D<16, 3, 1, 1>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 16 * 3 * 3);
    /// let y = conv.forward(dev.zeros_like(&(2, Const::<16>, 7, 7)));
    /// assert_eq!(*y.shape(), (2, Const::<16>, 7, 7));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct DepthwiseConv2D<
        const C: usize,
        const K: usize,
        const STRIDE: usize = 1,
        const PADDING: usize = 0,
    >;
}

/// [`builder::DepthwiseConv2D`], built on a device.
#[derive(Debug, Clone)]
pub struct DepthwiseConv2D<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// One kernel for each channel.
    pub weight: Tensor<Rank4<C, 1, K, K>, E, D>,
}

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::DepthwiseConv2D<C, K, STRIDE, PADDING>
where
    DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>: BuildModule<D, E>,
{
    type Built = DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>;
}

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> NonMutableModule for DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>
{
}

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
> Module<Tensor<(B, Const<C>, H, W), f32, D, T>>
    for DepthwiseConv2D<C, K, STRIDE, PADDING, f32, D>
{
    type Output = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        input: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        D::depthwise_conv2d(input, &self.weight, Window::square(K, STRIDE, PADDING, 1))
    }
}

impl<
    const C: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for DepthwiseConv2D<C, K, STRIDE, PADDING, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = DepthwiseConv2D<C, K, STRIDE, PADDING, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::tensor(
                "weight",
                |conv| &conv.weight,
                |conv| &mut conv.weight,
                TensorOptions::reset_with(|weight| try_fill_default(weight, K * K)),
            ),
            |weight| DepthwiseConv2D { weight },
        )
    }
}

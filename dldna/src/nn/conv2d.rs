//! Convolution, with and without a bias.

use super::device::LayerDevice;
use crate::kernels::window::Window;
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::{Uniform, uniform::SampleUniform};

/// What networks are written with: types without data.
pub mod builder {
    /// Convolution without a bias: `(batch, IN, height, width)` to `(batch, OUT, height', width')`, with
    /// `height' = floor((height + 2 PADDING - DILATION (K - 1) - 1) / STRIDE) + 1`, and the same for the width.
    ///
    /// The weight `(OUT, IN, K, K)` starts uniform in `±1 / sqrt(IN K K)`, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, K, STRIDE, PADDING, DILATION, bias=False)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<Conv2D<3, 16, 3, 2, 1>, f32>(); // 3x3, stride 2, padding 1
    /// let y = conv.forward(dev.zeros_like(&(8, Const::<3>, 32, 32)));
    /// assert_eq!(*y.shape(), (8, Const::<16>, 16, 16));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Conv2D<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        const STRIDE: usize = 1,
        const PADDING: usize = 0,
        const DILATION: usize = 1,
    >;

    /// [`Conv2D`] with a bias per output channel. Weight and bias start uniform in `±1 / sqrt(IN K K)`.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, K, STRIDE, PADDING, DILATION)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<BiasedConv2D<1, 32, 3>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 3 * 3 * 32 + 32);
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct BiasedConv2D<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        const STRIDE: usize = 1,
        const PADDING: usize = 0,
        const DILATION: usize = 1,
    >;
}

/// [`builder::Conv2D`], built on a device.
#[derive(Debug, Clone)]
pub struct Conv2D<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    const DILATION: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// One kernel for each pair of output and input channel.
    pub weight: Tensor<Rank4<OUT, IN, K, K>, E, D>,
}

/// [`builder::BiasedConv2D`], built on a device.
#[derive(Debug, Clone)]
pub struct BiasedConv2D<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    const DILATION: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// One kernel for each pair of output and input channel.
    pub weight: Tensor<Rank4<OUT, IN, K, K>, E, D>,
    /// Added to every pixel of an output channel.
    pub bias: Tensor<Rank1<OUT>, E, D>,
}

/// Fills with PyTorch's default for a layer in which each result sums `fan_in` products.
pub(super) fn try_fill_default<S: Shape, E: Dtype + Float + SampleUniform, D: Device<E>>(
    tensor: &mut Tensor<S, E, D>,
    fan_in: usize,
) -> Result<(), D::Err> {
    let bound = E::from_f64((fan_in as f64).recip().sqrt()).expect("a small float fits any dtype");
    tensor.try_fill_with_distr(Uniform::new(-bound, bound))
}

macro_rules! impl_conv {
    ($Conv:ident, |$layer:ident| $bias:expr) => {
        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            E: Dtype,
            D: Device<E>,
        > BuildOnDevice<D, E> for builder::$Conv<IN, OUT, K, STRIDE, PADDING, DILATION>
        where
            $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>: BuildModule<D, E>,
        {
            type Built = $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>;
        }

        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            E: Dtype,
            D: Storage<E>,
        > NonMutableModule for $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
        {
        }

        impl<
            const IN: usize,
            const OUT: usize,
            const K: usize,
            const STRIDE: usize,
            const PADDING: usize,
            const DILATION: usize,
            B: Dim,
            H: Dim,
            W: Dim,
            D: LayerDevice,
            T: Tape<f32, D>,
        > Module<Tensor<(B, Const<IN>, H, W), f32, D, T>>
            for $Conv<IN, OUT, K, STRIDE, PADDING, DILATION, f32, D>
        {
            type Output = Tensor<(B, Const<OUT>, usize, usize), f32, D, T>;
            type Error = D::Err;

            fn try_forward(
                &self,
                input: Tensor<(B, Const<IN>, H, W), f32, D, T>,
            ) -> Result<Self::Output, D::Err> {
                let $layer = self;
                D::conv2d(
                    input,
                    &self.weight,
                    $bias,
                    Window::square(K, STRIDE, PADDING, DILATION),
                )
            }
        }
    };
}

impl_conv!(Conv2D, |_layer| None);
impl_conv!(BiasedConv2D, |layer| Some(&layer.bias));

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    const DILATION: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for Conv2D<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Conv2D<IN, OUT, K, STRIDE, PADDING, DILATION, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::tensor(
                "weight",
                |conv| &conv.weight,
                |conv| &mut conv.weight,
                TensorOptions::reset_with(|weight| try_fill_default(weight, IN * K * K)),
            ),
            |weight| Conv2D { weight },
        )
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    const DILATION: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for BiasedConv2D<IN, OUT, K, STRIDE, PADDING, DILATION, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> =
        BiasedConv2D<IN, OUT, K, STRIDE, PADDING, DILATION, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::tensor(
                    "weight",
                    |conv| &conv.weight,
                    |conv| &mut conv.weight,
                    TensorOptions::reset_with(|weight| try_fill_default(weight, IN * K * K)),
                ),
                Self::tensor(
                    "bias",
                    |conv| &conv.bias,
                    |conv| &mut conv.bias,
                    TensorOptions::reset_with(|bias| try_fill_default(bias, IN * K * K)),
                ),
            ),
            |(weight, bias)| BiasedConv2D { weight, bias },
        )
    }
}

//! Convolution with a kernel that is not square.

use super::conv2d::try_fill_default;
use super::device::LayerDevice;
use crate::kernels::window::Window;
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

/// What networks are written with: types without data.
pub mod builder {
    /// Convolution with a kernel of `KERNEL_HEIGHT` x `KERNEL_WIDTH` pixels, without a bias:
    /// `(batch, IN, height, width)` to `(batch, OUT, height', width')`, with
    /// `height' = floor((height + 2 PADDING_HEIGHT - KERNEL_HEIGHT) / STRIDE) + 1`, and the same for the width.
    ///
    /// The weight `(OUT, IN, KERNEL_HEIGHT, KERNEL_WIDTH)` starts uniform in
    /// `±1 / sqrt(IN KERNEL_HEIGHT KERNEL_WIDTH)`, as in PyTorch.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, (KERNEL_HEIGHT, KERNEL_WIDTH), STRIDE, (PADDING_HEIGHT, PADDING_WIDTH),
    /// bias=False)`.
    ///
    /// ```
    /// use dldna::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let row = dev.build_module::<RectangularConv2D<8, 16, 1, 3, 1, 0, 1>, f32>(); // 1x3, keeps the size
    /// assert_eq!(row.num_trainable_params(), 8 * 16 * 3);
    /// let y = row.forward(dev.zeros_like(&(2, Const::<8>, 28, 28)));
    /// assert_eq!(*y.shape(), (2, Const::<16>, 28, 28));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct RectangularConv2D<
        const IN: usize,
        const OUT: usize,
        const KERNEL_HEIGHT: usize,
        const KERNEL_WIDTH: usize,
        const STRIDE: usize = 1,
        const PADDING_HEIGHT: usize = 0,
        const PADDING_WIDTH: usize = 0,
    >;
}

/// [`builder::RectangularConv2D`], built on a device.
#[derive(Debug, Clone)]
pub struct RectangularConv2D<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// One kernel for each pair of output and input channel.
    pub weight: Tensor<Rank4<OUT, IN, KERNEL_HEIGHT, KERNEL_WIDTH>, E, D>,
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
>
    RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E,
        D,
    >
{
    /// The window that slides over the image.
    pub(crate) const WINDOW: Window = Window {
        kernel: (KERNEL_HEIGHT, KERNEL_WIDTH),
        stride: STRIDE,
        padding: (PADDING_HEIGHT, PADDING_WIDTH),
        dilation: 1,
    };
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E>
    for builder::RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
    >
{
    type Built = RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E,
        D,
    >;
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype,
    D: Storage<E>,
> NonMutableModule
    for RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E,
        D,
    >
{
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
> Module<Tensor<(B, Const<IN>, H, W), f32, D, T>>
    for RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        f32,
        D,
    >
{
    type Output = Tensor<(B, Const<OUT>, usize, usize), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        input: Tensor<(B, Const<IN>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        D::conv2d(input, &self.weight, None, Self::WINDOW)
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const KERNEL_HEIGHT: usize,
    const KERNEL_WIDTH: usize,
    const STRIDE: usize,
    const PADDING_HEIGHT: usize,
    const PADDING_WIDTH: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D>
    for RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E,
        D,
    >
{
    type To<E2: Dtype, D2: Device<E2>> = RectangularConv2D<
        IN,
        OUT,
        KERNEL_HEIGHT,
        KERNEL_WIDTH,
        STRIDE,
        PADDING_HEIGHT,
        PADDING_WIDTH,
        E2,
        D2,
    >;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            Self::tensor(
                "weight",
                |conv| &conv.weight,
                |conv| &mut conv.weight,
                TensorOptions::reset_with(|weight| {
                    try_fill_default(weight, IN * KERNEL_HEIGHT * KERNEL_WIDTH)
                }),
            ),
            |weight| RectangularConv2D { weight },
        )
    }
}

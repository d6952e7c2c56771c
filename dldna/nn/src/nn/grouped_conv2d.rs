//! Grouped convolution.

use super::conv2d::try_fill_default;
use super::device::{Convolution, LayerDevice};
use super::layer::{image_layer, layer};
use super::run::run_time_sizes;
use super::width::assert_groups;
use crate::kernels::window::Window;
use crate::summary::{LayerSummary, Summarize, SummaryError, WindowLayer};
use dfdx::prelude::*;

/// `CHANNELS / GROUPS` as a size of a tensor: stable Rust cannot write `Const<{ CHANNELS / GROUPS }>`. Where the division
/// leaves a rest, it does not compile.
///
/// ```
/// use dldna_nn::nn::PerGroup;
/// use dldna_nn::prelude::*;
/// assert_eq!(PerGroup::<8, 2>::SIZE, 4);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerGroup<const CHANNELS: usize, const GROUPS: usize>;

impl<const CHANNELS: usize, const GROUPS: usize> Dim for PerGroup<CHANNELS, GROUPS> {
    fn size(&self) -> usize {
        Self::SIZE
    }

    fn from_size(size: usize) -> Option<Self> {
        (size == Self::SIZE).then_some(Self)
    }
}

impl<const CHANNELS: usize, const GROUPS: usize> ConstDim for PerGroup<CHANNELS, GROUPS> {
    const SIZE: usize = {
        assert_groups(CHANNELS, GROUPS);
        CHANNELS / GROUPS
    };
}

layer! {
    /// Convolution in `GROUPS` groups of channels, each of which has a convolution of its own, without a bias:
    /// `(batch, IN, height, width)` to `(batch, OUT, height', width')`. With `c` an output channel of group `g`,
    ///
    /// ```text
    /// output[n, c] = sum over i in 0 .. IN / GROUPS of input[n, g IN / GROUPS + i] * weight[c, i]
    /// ```
    ///
    /// where `*` is the convolution of two planes. A bias is dfdx's `Bias2D` behind it.
    ///
    /// The weight `(OUT, IN / GROUPS, K, K)` starts uniform in `±1 / sqrt(IN / GROUPS K K)`, as in PyTorch. A `PADDING` of
    /// [`SAME`](super::SAME) is half the kernel. With as many groups as channels, [`DepthwiseConv2D`](super::DepthwiseConv2D)
    /// is the same.
    ///
    /// PyTorch: `torch.nn.Conv2d(IN, OUT, K, STRIDE, PADDING, groups=GROUPS, bias=False)`. Krizhevsky et al., *ImageNet
    /// Classification with Deep Convolutional Neural Networks*, 2012; Xie et al., *Aggregated Residual Transformations for
    /// Deep Neural Networks* (ResNeXt), 2017.
    ///
    /// ```
    /// use dldna_nn::prelude::*;
    /// let dev = Cpu::seed_from_u64(0);
    /// let conv = dev.build_module::<GroupedConv2D<16, 32, 4, 3, 1, 1>, f32>();
    /// assert_eq!(conv.num_trainable_params(), 32 * (16 / 4) * 3 * 3);
    /// let y = conv.forward(dev.zeros_like(&(2, Const::<16>, 7, 7)));
    /// assert_eq!(*y.shape(), (2, Const::<32>, 7, 7));
    /// ```
    ///
    /// Channels that cannot be divided do not compile:
    ///
    /// ```compile_fail
    /// # use dldna_nn::prelude::*;
    /// let conv = Cpu::default().build_module::<GroupedConv2D<16, 32, 3, 3>, f32>();
    /// // 16 channels cannot be divided into 3 groups of one size
    /// ```
    pub struct GroupedConv2D<const IN, const OUT, const GROUPS, const K, const STRIDE = 1, const PADDING = 0> {
        /// One kernel for each output channel and each input channel of its group.
        weight: (Const<OUT>, PerGroup<IN, GROUPS>, Const<K>, Const<K>) = TensorOptions::reset_with(|weight| {
            try_fill_default(weight, IN / GROUPS * K * K)
        }),
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const GROUPS: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> GroupedConv2D<IN, OUT, GROUPS, K, STRIDE, PADDING, E, D>
{
    const WINDOW: Window = {
        assert_groups(OUT, GROUPS);
        Window::square(K, STRIDE, super::padding(PADDING, K, 1), 1)
    };
}

image_layer!(
    <const IN, const OUT, const GROUPS, const K, const STRIDE, const PADDING>
    GroupedConv2D<IN, OUT, GROUPS, K, STRIDE, PADDING, f32, D>, IN -> OUT,
    |layer, flow| flow.conv2d(Convolution {
        weight: run_time_sizes(layer.weight.clone()),
        bias: None,
        window: Self::WINDOW,
        groups: GROUPS,
    })
);

impl<
    const IN: usize,
    const OUT: usize,
    const GROUPS: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for GroupedConv2D<IN, OUT, GROUPS, K, STRIDE, PADDING, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let layer = WindowLayer {
            name: "GroupedConv2D",
            in_channels: IN,
            out_channels: OUT,
            window: Self::WINDOW,
        };
        let products = PerGroup::<IN, GROUPS>::SIZE * K * K;
        let summary = layer.summarize(input, OUT * products, products)?;
        Ok(LayerSummary {
            kind: format!("{}, {GROUPS} groups", summary.kind),
            ..summary
        })
    }
}

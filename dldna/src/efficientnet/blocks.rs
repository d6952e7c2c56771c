//! The block of EfficientNet and its parts.

use crate::nn::{
    ActivationLayer, LayerDevice, Then,
    modules::{BatchNorm2D, BiasedConv2D, Conv2D, DepthwiseConv2D},
};
use crate::resnet::unchanged;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;
use std::marker::PhantomData;

/// `(batch, C, height, width)` with run-time sizes.
type Images<B, const C: usize, D, T = NoneTape> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
/// The same while training.
type Traced<B, const C: usize, D> = Images<B, C, D, OwnedTape<f32, D>>;

/// What networks are written with: types without data.
pub mod builder {
    use crate::nn::SiLU;
    use std::marker::PhantomData;

    /// A convolution without a bias, a batch norm, and an activation:
    /// `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`, where `PADDING = K / 2`.
    ///
    /// ```
    /// use dldna::{efficientnet::ConvNorm, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let layers = dev.build_module::<ConvNorm<3, 32, 3, 2, 1>, f32>();
    /// let y = layers.forward(dev.zeros_like(&(1, Const::<3>, 8, 8)));
    /// assert_eq!(*y.shape(), (1, Const::<32>, 4, 4));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct ConvNorm<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        const STRIDE: usize,
        const PADDING: usize,
        A = SiLU,
    > {
        _activation: PhantomData<A>,
    }

    /// Multiplies each channel by a factor between 0 and 1 that depends on the mean of all channels:
    /// `x sigmoid(expand(A(reduce(mean(x)))))`, with `reduce` to `SQUEEZE` numbers and `expand` back to `C`.
    /// `(batch, C, height, width)` to the same shape. Hu et al., *Squeeze-and-Excitation Networks*, 2018, figure 3.
    ///
    /// ```
    /// use dldna::{efficientnet::SqueezeExcitation, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let gate = dev.build_module::<SqueezeExcitation<16, 4>, f32>();
    /// let y = gate.forward(dev.ones_like(&(2, Const::<16>, 7, 7)));
    /// assert!(y.as_vec().iter().all(|y| 0.0 < *y && *y < 1.0));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SqueezeExcitation<const C: usize, const SQUEEZE: usize, A = SiLU> {
        _activation: PhantomData<A>,
    }

    /// The mobile inverted bottleneck: `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`,
    /// sizes rounded up.
    ///
    /// | step | what | channels |
    /// |---|---|---|
    /// | expand | 1x1 convolution, batch norm, `A`; left out where `EXPAND` is 1 | `IN` to `IN * EXPAND` |
    /// | depthwise | `K`x`K` convolution of each channel by itself, batch norm, `A` | same |
    /// | squeeze-and-excitation | [`SqueezeExcitation`] by `IN / 4` numbers | same |
    /// | project | 1x1 convolution, batch norm | to `OUT` |
    /// | shortcut | adds the input, where channels and size are the same | |
    ///
    /// Sandler et al., *MobileNetV2*, 2018, figure 3b, and Tan et al., *MnasNet*, 2019, figure 7. EfficientNet has SiLU
    /// for `A`, the book's listing [`ReLU6`](crate::nn::ReLU6).
    ///
    /// Stable Rust cannot multiply the numbers of a type. This one knows the widths of EfficientNet-B0 to B7 and a few
    /// small ones for `IN`, 1, 4 and 6 for `EXPAND`, 3 and 5 for `K`.
    ///
    /// ```
    /// use dldna::{efficientnet::MBConv, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<MBConv<24, 40, 5, 2, 6>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<24>, 56, 56)));
    /// assert_eq!(*y.shape(), (1, Const::<40>, 28, 28));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct MBConv<
        const IN: usize,
        const OUT: usize,
        const K: usize,
        const STRIDE: usize,
        const EXPAND: usize,
        A = SiLU,
    > {
        _activation: PhantomData<A>,
    }
}

/// [`builder::ConvNorm`], built on a device.
#[derive(Debug, Clone)]
pub struct ConvNorm<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A,
    E: Dtype,
    D: Storage<E>,
> {
    /// Changes channels and size.
    pub conv: Conv2D<IN, OUT, K, STRIDE, PADDING, 1, E, D>,
    /// Normalises the output of `conv`.
    pub norm: BatchNorm2D<OUT, E, D>,
    activation: PhantomData<A>,
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::ConvNorm<IN, OUT, K, STRIDE, PADDING, A>
{
    type Built = ConvNorm<IN, OUT, K, STRIDE, PADDING, A, E, D>;
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for ConvNorm<IN, OUT, K, STRIDE, PADDING, A, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = ConvNorm<IN, OUT, K, STRIDE, PADDING, A, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv", |l| &l.conv, |l| &mut l.conv),
                Self::module("norm", |l| &l.norm, |l| &mut l.norm),
            ),
            |(conv, norm)| ConvNorm {
                conv,
                norm,
                activation: PhantomData,
            },
        )
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> Module<Tensor<(B, Const<IN>, H, W), f32, D>>
    for ConvNorm<IN, OUT, K, STRIDE, PADDING, A, f32, D>
{
    type Output = Images<B, OUT, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        let then = Then::activate(A::ACTIVATION);
        self.conv.try_forward_norm(&self.norm, x, then)
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>>
    for ConvNorm<IN, OUT, K, STRIDE, PADDING, A, f32, D>
{
    type Output = Traced<B, OUT, D>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let then = Then::activate(A::ACTIVATION);
        self.conv.try_forward_norm_mut(&mut self.norm, x, then)
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    E: Dtype,
    D: Storage<E>,
> Summarize for ConvNorm<IN, OUT, K, STRIDE, PADDING, A, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("ConvNorm", input)
            .then("conv", &self.conv)?
            .then("norm", &self.norm)?
            .then("activation", &A::default())
    }
}

/// The first step of an [`MBConv`]. It has weights only where the block makes more channels.
#[derive(Debug, Clone)]
pub struct Expansion<const IN: usize, const HIDDEN: usize, A, E: Dtype, D: Storage<E>> {
    /// A 1x1 convolution, a batch norm and an activation.
    pub layers: Option<ConvNorm<IN, HIDDEN, 1, 1, 0, A, E, D>>,
}

impl<
    const IN: usize,
    const HIDDEN: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for Expansion<IN, HIDDEN, A, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Expansion<IN, HIDDEN, A, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        if IN == HIDDEN {
            return visitor.visit_fields((), |()| Expansion { layers: None });
        }
        const PRESENT: &str = "an expansion with weights is built with them";
        visitor.visit_fields(
            (
                Self::module(
                    "conv",
                    |e| &e.layers.as_ref().expect(PRESENT).conv,
                    |e| &mut e.layers.as_mut().expect(PRESENT).conv,
                ),
                Self::module(
                    "norm",
                    |e| &e.layers.as_ref().expect(PRESENT).norm,
                    |e| &mut e.layers.as_mut().expect(PRESENT).norm,
                ),
            ),
            |(conv, norm)| Expansion {
                layers: Some(ConvNorm {
                    conv,
                    norm,
                    activation: PhantomData,
                }),
            },
        )
    }
}

impl<const IN: usize, const HIDDEN: usize, A: ActivationLayer, D: LayerDevice>
    Expansion<IN, HIDDEN, A, f32, D>
{
    fn try_forward<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, Const<IN>, H, W), f32, D>,
    ) -> Result<Images<B, HIDDEN, D>, D::Err> {
        match &self.layers {
            Some(layers) => layers.try_forward(x),
            None => Ok(unchanged(x)),
        }
    }

    #[allow(
        clippy::type_complexity,
        reason = "the shapes are what a reader wants to see"
    )]
    fn try_forward_mut<B: Dim, H: Dim, W: Dim>(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Traced<B, HIDDEN, D>, D::Err> {
        match &mut self.layers {
            Some(layers) => layers.try_forward_mut(x),
            None => Ok(unchanged(x)),
        }
    }
}

impl<const IN: usize, const HIDDEN: usize, A: ActivationLayer, E: Dtype, D: Storage<E>> Summarize
    for Expansion<IN, HIDDEN, A, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        match &self.layers {
            Some(layers) => layers.summarize(input),
            None => Ok(LayerSummary::group("Identity", input)),
        }
    }
}

/// [`builder::SqueezeExcitation`], built on a device.
#[derive(Debug, Clone)]
pub struct SqueezeExcitation<const C: usize, const SQUEEZE: usize, A, E: Dtype, D: Storage<E>> {
    /// From the mean of each channel to a few numbers.
    pub reduce: BiasedConv2D<C, SQUEEZE, 1, 1, 0, 1, E, D>,
    /// From them to a number for each channel.
    pub expand: BiasedConv2D<SQUEEZE, C, 1, 1, 0, 1, E, D>,
    activation: PhantomData<A>,
}

impl<
    const C: usize,
    const SQUEEZE: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::SqueezeExcitation<C, SQUEEZE, A>
{
    type Built = SqueezeExcitation<C, SQUEEZE, A, E, D>;
}

impl<
    const C: usize,
    const SQUEEZE: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for SqueezeExcitation<C, SQUEEZE, A, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = SqueezeExcitation<C, SQUEEZE, A, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("reduce", |s| &s.reduce, |s| &mut s.reduce),
                Self::module("expand", |s| &s.expand, |s| &mut s.expand),
            ),
            |(reduce, expand)| SqueezeExcitation {
                reduce,
                expand,
                activation: PhantomData,
            },
        )
    }
}

impl<const C: usize, const SQUEEZE: usize, A: ActivationLayer, D: LayerDevice>
    SqueezeExcitation<C, SQUEEZE, A, f32, D>
{
    /// The factor of each channel of each image: `(batch, C, 1, 1)`, between 0 and 1.
    ///
    /// # Errors
    /// Those of the device.
    ///
    /// # Example
    /// ```
    /// use dldna::{efficientnet::SqueezeExcitation, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let gate = dev.build_module::<SqueezeExcitation<16, 4>, f32>();
    /// let factors = gate.try_factors(dev.sample_normal_like(&(2, Const::<16>, 7, 7)))?;
    /// assert_eq!(*factors.shape(), (2, Const::<16>, 1, 1));
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn try_factors<B: Dim, H: Dim, W: Dim, T: Tape<f32, D>>(
        &self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Images<B, C, D, T>, D::Err> {
        let squeezed = self.reduce.try_forward(D::global_avg_pool2d(x)?)?;
        let excited = self
            .expand
            .try_forward(D::activate(squeezed, A::ACTIVATION)?)?;
        excited.try_sigmoid()
    }
}

impl<
    const C: usize,
    const SQUEEZE: usize,
    A: ActivationLayer,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
> Module<Tensor<(B, Const<C>, H, W), f32, D, T>> for SqueezeExcitation<C, SQUEEZE, A, f32, D>
{
    type Output = Tensor<(B, Const<C>, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let factors = self.try_factors(x.with_empty_tape())?;
        D::scale_channels(x, factors)
    }
}

impl<const C: usize, const SQUEEZE: usize, A: ActivationLayer, E: Dtype, D: Storage<E>>
    NonMutableModule for SqueezeExcitation<C, SQUEEZE, A, E, D>
{
}

/// The mean of each channel as an image of one pixel, for a summary.
struct Squeeze;

impl Summarize for Squeeze {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let means = AvgPoolGlobal.summarize(input)?;
        let pixels = [&means.output_shape[..], &[1, 1]].concat();
        Ok(LayerSummary::leaf("AvgPoolGlobal", pixels, 0, 0))
    }
}

/// The path from the image to the factors, for a summary.
struct Gate<'a, const C: usize, const SQUEEZE: usize, A, E: Dtype, D: Storage<E>>(
    &'a SqueezeExcitation<C, SQUEEZE, A, E, D>,
);

impl<const C: usize, const SQUEEZE: usize, A: ActivationLayer, E: Dtype, D: Storage<E>> Summarize
    for Gate<'_, C, SQUEEZE, A, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("Gate", input)
            .then("squeeze", &Squeeze)?
            .then("reduce", &self.0.reduce)?
            .then("activation", &A::default())?
            .then("expand", &self.0.expand)?
            .then("sigmoid", &Sigmoid)
    }
}

impl<const C: usize, const SQUEEZE: usize, A: ActivationLayer, E: Dtype, D: Storage<E>> Summarize
    for SqueezeExcitation<C, SQUEEZE, A, E, D>
{
    /// The product with the factors counts as nothing, as activations do.
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let group = LayerSummary::group("SqueezeExcitation", input).then("gate", &Gate(self))?;
        let scaled = LayerSummary::leaf("Scale", input, 0, 0);
        Ok(group.with_child("scale", scaled))
    }
}

/// [`builder::MBConv`], built on a device. `HIDDEN` is `IN` times the expansion, `SQUEEZE` a quarter of `IN`.
#[derive(Debug, Clone)]
pub struct MBConv<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A,
    E: Dtype,
    D: Storage<E>,
> {
    /// 1x1, to more channels.
    pub expansion: Expansion<IN, HIDDEN, A, E, D>,
    /// `K`x`K` within each channel, changes the size.
    pub depthwise_conv: DepthwiseConv2D<HIDDEN, K, STRIDE, PADDING, E, D>,
    /// Normalises the output of `depthwise_conv`.
    pub bn1: BatchNorm2D<HIDDEN, E, D>,
    /// Weighs the channels.
    pub squeeze_excitation: SqueezeExcitation<HIDDEN, SQUEEZE, A, E, D>,
    /// 1x1, to fewer channels.
    pub project_conv: Conv2D<HIDDEN, OUT, 1, 1, 0, 1, E, D>,
    /// Normalises the output of `project_conv`.
    pub bn2: BatchNorm2D<OUT, E, D>,
}

/// Stable Rust cannot write `IN * EXPAND` in a type, so the widths are listed.
macro_rules! build_mbconvs {
    ($($width:literal)+) => {$(
        build_mbconvs!(@ $width, 1, 3, 1);
        build_mbconvs!(@ $width, 4, 3, 1);
        build_mbconvs!(@ $width, 6, 3, 1);
        build_mbconvs!(@ $width, 1, 5, 2);
        build_mbconvs!(@ $width, 4, 5, 2);
        build_mbconvs!(@ $width, 6, 5, 2);
    )+};
    (@ $width:literal, $expand:literal, $kernel:literal, $padding:literal) => {
        impl<
            const OUT: usize,
            const STRIDE: usize,
            A: ActivationLayer,
            E: Dtype + Float + SampleUniform,
            D: Device<E>,
        > BuildOnDevice<D, E> for builder::MBConv<$width, OUT, $kernel, STRIDE, $expand, A>
        {
            type Built = MBConv<
                $width, { $width * $expand }, { quarter($width) }, OUT, $kernel, STRIDE, $padding, A, E, D,
            >;
        }
    };
}

/// Numbers that the channels are squeezed to.
pub(super) const fn quarter(channels: usize) -> usize {
    if channels < 4 { 1 } else { channels / 4 }
}

build_mbconvs!(2 4 8 12 16 24 32 40 48 56 64 72 80 88 96 112 120 128 136 144 160 176 192 200 208 224);
build_mbconvs!(232 272 304 320 344 352 384 448 512 576 640);

impl<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> =
        MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("expansion", |b| &b.expansion, |b| &mut b.expansion),
                Self::module(
                    "depthwise_conv",
                    |b| &b.depthwise_conv,
                    |b| &mut b.depthwise_conv,
                ),
                Self::module("bn1", |b| &b.bn1, |b| &mut b.bn1),
                Self::module(
                    "squeeze_excitation",
                    |b| &b.squeeze_excitation,
                    |b| &mut b.squeeze_excitation,
                ),
                Self::module("project_conv", |b| &b.project_conv, |b| &mut b.project_conv),
                Self::module("bn2", |b| &b.bn2, |b| &mut b.bn2),
            ),
            |(expansion, depthwise_conv, bn1, squeeze_excitation, project_conv, bn2)| MBConv {
                expansion,
                depthwise_conv,
                bn1,
                squeeze_excitation,
                project_conv,
                bn2,
            },
        )
    }
}

impl<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A,
    E: Dtype,
    D: Storage<E>,
> MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, E, D>
{
    /// Whether the input is added to the result.
    pub const HAS_SHORTCUT: bool = IN == OUT && STRIDE == 1;
}

impl<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> Module<Tensor<(B, Const<IN>, H, W), f32, D>>
    for MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, f32, D>
{
    type Output = Images<B, OUT, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        let shortcut = Self::HAS_SHORTCUT.then(|| unchanged(x.clone()));
        let x = self.expansion.try_forward(x)?;
        let then = Then::activate(A::ACTIVATION);
        let x = self.depthwise_conv.try_forward_norm(&self.bn1, x, then)?;
        let x = self.squeeze_excitation.try_forward(x)?;
        self.project_conv
            .try_forward_norm(&self.bn2, x, Then::add(shortcut))
    }
}

impl<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>>
    for MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, f32, D>
{
    type Output = Traced<B, OUT, D>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let shortcut = Self::HAS_SHORTCUT.then(|| unchanged(x.with_empty_tape()));
        let x = self.expansion.try_forward_mut(x)?;
        let then = Then::activate(A::ACTIVATION);
        let x = self
            .depthwise_conv
            .try_forward_norm_mut(&mut self.bn1, x, then)?;
        let x = self.squeeze_excitation.try_forward(x)?;
        self.project_conv
            .try_forward_norm_mut(&mut self.bn2, x, Then::add(shortcut))
    }
}

impl<
    const IN: usize,
    const HIDDEN: usize,
    const SQUEEZE: usize,
    const OUT: usize,
    const K: usize,
    const STRIDE: usize,
    const PADDING: usize,
    A: ActivationLayer,
    E: Dtype,
    D: Storage<E>,
> Summarize for MBConv<IN, HIDDEN, SQUEEZE, OUT, K, STRIDE, PADDING, A, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let block = LayerSummary::group("MBConv", input)
            .then("expansion", &self.expansion)?
            .then("depthwise_conv", &self.depthwise_conv)?
            .then("bn1", &self.bn1)?
            .then("activation", &A::default())?
            .then("squeeze_excitation", &self.squeeze_excitation)?
            .then("project_conv", &self.project_conv)?
            .then("bn2", &self.bn2)?;
        if Self::HAS_SHORTCUT {
            block.plus("shortcut", &(), input)
        } else {
            Ok(block)
        }
    }
}

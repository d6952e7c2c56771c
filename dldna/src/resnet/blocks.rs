//! The blocks of a residual network, and stages of them.

use crate::nn::{
    LayerDevice, Then,
    modules::{BatchNorm2D, BiasedConv2D},
};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

/// `(batch, C, height, width)` with run-time sizes.
type Images<B, const C: usize, D, T = NoneTape> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
/// The same while training.
type Traced<B, const C: usize, D> = Images<B, C, D, OwnedTape<f32, D>>;

/// What networks are written with: types without data.
pub mod builder {
    /// `relu(F(x) + shortcut(x))` with `F` two 3x3 convolutions, a batch norm after each and a ReLU between them:
    /// `(batch, IN, height, width)` to `(batch, OUT, height / STRIDE, width / STRIDE)`, sizes rounded up.
    ///
    /// The shortcut is `x` itself where that fits, else a 1x1 convolution with a batch norm (the paper's option B).
    /// With `SKIP = false` there is none, and the block is a plain one. He et al. 2015, figure 5, left.
    ///
    /// ```
    /// use dldna::{prelude::*, resnet::BasicBlock};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<BasicBlock<64, 128, 2>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<64>, 7, 7)));
    /// assert_eq!(*y.shape(), (1, Const::<128>, 4, 4));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct BasicBlock<
        const IN: usize,
        const OUT: usize,
        const STRIDE: usize,
        const SKIP: bool = true,
    >;

    /// `relu(F(x) + shortcut(x))` with `F` a 1x1 convolution to `MID` channels, a 3x3 one, and a 1x1 one to `4 MID`:
    /// `(batch, IN, height, width)` to `(batch, 4 MID, height / STRIDE, width / STRIDE)`, sizes rounded up.
    ///
    /// The 3x3 convolution has the stride, as in PyTorch's and the book's networks (in the paper the first one has
    /// it). `MID` may be 1 to 32, 48, 64, 96, 128, 192, 256, 384 or 512. He et al. 2015, figure 5, right.
    ///
    /// ```
    /// use dldna::{prelude::*, resnet::Bottleneck};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<Bottleneck<256, 64, 1>, f32>();
    /// let y = block.forward(dev.zeros_like(&(1, Const::<256>, 7, 7)));
    /// assert_eq!(*y.shape(), (1, Const::<256>, 7, 7));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Bottleneck<
        const IN: usize,
        const MID: usize,
        const STRIDE: usize,
        const SKIP: bool = true,
    >;

    /// `First`, then `BLOCKS - 1` times `Next`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Stage<First, Next, const BLOCKS: usize> {
        _blocks: std::marker::PhantomData<(First, Next)>,
    }
}

/// The way around a block. It has weights only where the block changes channels or size.
#[derive(Debug, Clone)]
pub struct Shortcut<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> {
    /// A 1x1 convolution and the batch norm after it.
    #[allow(
        clippy::type_complexity,
        reason = "the layers are what a reader wants to see"
    )]
    pub projection: Option<(
        BiasedConv2D<IN, OUT, 1, STRIDE, 0, 1, E, D>,
        BatchNorm2D<OUT, E, D>,
    )>,
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> Shortcut<IN, OUT, STRIDE, SKIP, E, D>
{
    const PROJECTS: bool = SKIP && (IN != OUT || STRIDE != 1);
}

/// `x` as it is, for a block that keeps channels and size.
pub(crate) fn unchanged<
    const IN: usize,
    const OUT: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D>,
>(
    x: Tensor<(B, Const<IN>, H, W), f32, D, T>,
) -> Images<B, OUT, D, T> {
    let Ok(same) = x.try_realize() else {
        unreachable!("a block without projection has as many channels at its end as at its start")
    };
    same
}

impl<const IN: usize, const OUT: usize, const STRIDE: usize, const SKIP: bool, D: LayerDevice>
    Shortcut<IN, OUT, STRIDE, SKIP, f32, D>
{
    fn try_forward<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, Const<IN>, H, W), f32, D>,
    ) -> Result<Option<Images<B, OUT, D>>, D::Err> {
        match &self.projection {
            Some((conv, norm)) => conv.try_forward_norm(norm, x, Then::nothing()).map(Some),
            None => Ok(SKIP.then(|| unchanged(x))),
        }
    }

    #[allow(
        clippy::type_complexity,
        reason = "the shapes are what a reader wants to see"
    )]
    fn try_forward_mut<B: Dim, H: Dim, W: Dim>(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Option<Traced<B, OUT, D>>, D::Err> {
        match &mut self.projection {
            Some((conv, norm)) => conv
                .try_forward_norm_mut(norm, x, Then::nothing())
                .map(Some),
            None => Ok(SKIP.then(|| unchanged(x))),
        }
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> Shortcut<IN, OUT, STRIDE, SKIP, E, D>
{
    /// Puts the shortcut of a block with that `input`, and the sum, into the block's summary.
    fn add_to(&self, block: LayerSummary, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        if SKIP {
            block.plus("shortcut", self, input)
        } else {
            Ok(block)
        }
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> Summarize for Shortcut<IN, OUT, STRIDE, SKIP, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        match &self.projection {
            Some((conv, norm)) => LayerSummary::group("Projection", input)
                .then("0", conv)?
                .then("1", norm),
            None => Ok(LayerSummary::group("Identity", input)),
        }
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for Shortcut<IN, OUT, STRIDE, SKIP, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Shortcut<IN, OUT, STRIDE, SKIP, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        if !Self::PROJECTS {
            return visitor.visit_fields((), |()| Shortcut { projection: None });
        }
        const PRESENT: &str = "a shortcut with weights is built with them";
        visitor.visit_fields(
            (
                Self::module(
                    "0",
                    |s| &s.projection.as_ref().expect(PRESENT).0,
                    |s| &mut s.projection.as_mut().expect(PRESENT).0,
                ),
                Self::module(
                    "1",
                    |s| &s.projection.as_ref().expect(PRESENT).1,
                    |s| &mut s.projection.as_mut().expect(PRESENT).1,
                ),
            ),
            |(conv, norm)| Shortcut {
                projection: Some((conv, norm)),
            },
        )
    }
}

/// [`builder::BasicBlock`], built on a device.
#[derive(Debug, Clone)]
pub struct BasicBlock<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> {
    /// Changes channels and size.
    pub conv1: BiasedConv2D<IN, OUT, 3, STRIDE, 1, 1, E, D>,
    /// Normalises the output of `conv1`.
    pub bn1: BatchNorm2D<OUT, E, D>,
    /// Keeps channels and size.
    pub conv2: BiasedConv2D<OUT, OUT, 3, 1, 1, 1, E, D>,
    /// Normalises the output of `conv2`.
    pub bn2: BatchNorm2D<OUT, E, D>,
    /// The way around.
    pub shortcut: Shortcut<IN, OUT, STRIDE, SKIP, E, D>,
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::BasicBlock<IN, OUT, STRIDE, SKIP>
{
    type Built = BasicBlock<IN, OUT, STRIDE, SKIP, E, D>;
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for BasicBlock<IN, OUT, STRIDE, SKIP, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = BasicBlock<IN, OUT, STRIDE, SKIP, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv1", |b| &b.conv1, |b| &mut b.conv1),
                Self::module("bn1", |b| &b.bn1, |b| &mut b.bn1),
                Self::module("conv2", |b| &b.conv2, |b| &mut b.conv2),
                Self::module("bn2", |b| &b.bn2, |b| &mut b.bn2),
                Self::module("shortcut", |b| &b.shortcut, |b| &mut b.shortcut),
            ),
            |(conv1, bn1, conv2, bn2, shortcut)| BasicBlock {
                conv1,
                bn1,
                conv2,
                bn2,
                shortcut,
            },
        )
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> Module<Tensor<(B, Const<IN>, H, W), f32, D>> for BasicBlock<IN, OUT, STRIDE, SKIP, f32, D>
{
    type Output = Images<B, OUT, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        let shortcut = self.shortcut.try_forward(x.clone())?;
        let x = self.conv1.try_forward_norm(&self.bn1, x, Then::relu())?;
        self.conv2
            .try_forward_norm(&self.bn2, x, Then::add_relu(shortcut))
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>>
    for BasicBlock<IN, OUT, STRIDE, SKIP, f32, D>
{
    type Output = Traced<B, OUT, D>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let shortcut = self.shortcut.try_forward_mut(x.with_empty_tape())?;
        let x = self
            .conv1
            .try_forward_norm_mut(&mut self.bn1, x, Then::relu())?;
        self.conv2
            .try_forward_norm_mut(&mut self.bn2, x, Then::add_relu(shortcut))
    }
}

impl<
    const IN: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> Summarize for BasicBlock<IN, OUT, STRIDE, SKIP, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let block = LayerSummary::group("BasicBlock", input)
            .then("conv1", &self.conv1)?
            .then("bn1", &self.bn1)?
            .then("relu1", &ReLU)?
            .then("conv2", &self.conv2)?
            .then("bn2", &self.bn2)?;
        self.shortcut.add_to(block, input)?.then("relu2", &ReLU)
    }
}

/// [`builder::Bottleneck`], built on a device. `OUT` is four times `MID`.
#[derive(Debug, Clone)]
pub struct Bottleneck<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> {
    /// 1x1, to fewer channels.
    pub conv1: BiasedConv2D<IN, MID, 1, 1, 0, 1, E, D>,
    /// Normalises the output of `conv1`.
    pub bn1: BatchNorm2D<MID, E, D>,
    /// 3x3, changes the size.
    pub conv2: BiasedConv2D<MID, MID, 3, STRIDE, 1, 1, E, D>,
    /// Normalises the output of `conv2`.
    pub bn2: BatchNorm2D<MID, E, D>,
    /// 1x1, to four times as many channels.
    pub conv3: BiasedConv2D<MID, OUT, 1, 1, 0, 1, E, D>,
    /// Normalises the output of `conv3`.
    pub bn3: BatchNorm2D<OUT, E, D>,
    /// The way around.
    pub shortcut: Shortcut<IN, OUT, STRIDE, SKIP, E, D>,
}

/// Stable Rust cannot write `4 * MID` in a type, so the pairs are listed.
macro_rules! build_bottlenecks {
    ($($mid:literal)+) => {$(
        impl<
            const IN: usize,
            const STRIDE: usize,
            const SKIP: bool,
            E: Dtype + Float + SampleUniform,
            D: Device<E>,
        > BuildOnDevice<D, E> for builder::Bottleneck<IN, $mid, STRIDE, SKIP>
        {
            type Built = Bottleneck<IN, $mid, { 4 * $mid }, STRIDE, SKIP, E, D>;
        }
    )+};
}

build_bottlenecks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
build_bottlenecks!(48 64 96 128 192 256 384 512);

impl<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for Bottleneck<IN, MID, OUT, STRIDE, SKIP, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Bottleneck<IN, MID, OUT, STRIDE, SKIP, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                // In pairs: dfdx takes at most six at a time.
                (
                    Self::module("conv1", |b| &b.conv1, |b| &mut b.conv1),
                    Self::module("bn1", |b| &b.bn1, |b| &mut b.bn1),
                ),
                (
                    Self::module("conv2", |b| &b.conv2, |b| &mut b.conv2),
                    Self::module("bn2", |b| &b.bn2, |b| &mut b.bn2),
                ),
                (
                    Self::module("conv3", |b| &b.conv3, |b| &mut b.conv3),
                    Self::module("bn3", |b| &b.bn3, |b| &mut b.bn3),
                ),
                Self::module("shortcut", |b| &b.shortcut, |b| &mut b.shortcut),
            ),
            |((conv1, bn1), (conv2, bn2), (conv3, bn3), shortcut)| Bottleneck {
                conv1,
                bn1,
                conv2,
                bn2,
                conv3,
                bn3,
                shortcut,
            },
        )
    }
}

impl<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> Module<Tensor<(B, Const<IN>, H, W), f32, D>> for Bottleneck<IN, MID, OUT, STRIDE, SKIP, f32, D>
{
    type Output = Images<B, OUT, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        let shortcut = self.shortcut.try_forward(x.clone())?;
        let x = self.conv1.try_forward_norm(&self.bn1, x, Then::relu())?;
        let x = self.conv2.try_forward_norm(&self.bn2, x, Then::relu())?;
        self.conv3
            .try_forward_norm(&self.bn3, x, Then::add_relu(shortcut))
    }
}

impl<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
> ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>>
    for Bottleneck<IN, MID, OUT, STRIDE, SKIP, f32, D>
{
    type Output = Traced<B, OUT, D>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let shortcut = self.shortcut.try_forward_mut(x.with_empty_tape())?;
        let x = self
            .conv1
            .try_forward_norm_mut(&mut self.bn1, x, Then::relu())?;
        let x = self
            .conv2
            .try_forward_norm_mut(&mut self.bn2, x, Then::relu())?;
        self.conv3
            .try_forward_norm_mut(&mut self.bn3, x, Then::add_relu(shortcut))
    }
}

impl<
    const IN: usize,
    const MID: usize,
    const OUT: usize,
    const STRIDE: usize,
    const SKIP: bool,
    E: Dtype,
    D: Storage<E>,
> Summarize for Bottleneck<IN, MID, OUT, STRIDE, SKIP, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let block = LayerSummary::group("Bottleneck", input)
            .then("conv1", &self.conv1)?
            .then("bn1", &self.bn1)?
            .then("relu1", &ReLU)?
            .then("conv2", &self.conv2)?
            .then("bn2", &self.bn2)?
            .then("relu2", &ReLU)?
            .then("conv3", &self.conv3)?
            .then("bn3", &self.bn3)?;
        self.shortcut.add_to(block, input)?.then("relu3", &ReLU)
    }
}

/// [`builder::Stage`], built on a device.
#[derive(Debug, Clone)]
pub struct Stage<First, Next, const BLOCKS: usize> {
    /// Changes channels and size.
    pub first: First,
    /// `BLOCKS - 1` blocks that keep channels and size.
    pub rest: Vec<Next>,
}

impl<
    E: Dtype,
    D: Device<E>,
    First: BuildOnDevice<D, E>,
    Next: BuildOnDevice<D, E>,
    const BLOCKS: usize,
> BuildOnDevice<D, E> for builder::Stage<First, Next, BLOCKS>
{
    type Built = Stage<First::Built, Next::Built, BLOCKS>;
}

impl<
    E: Dtype,
    D: Device<E>,
    First: TensorCollection<E, D>,
    Next: TensorCollection<E, D>,
    const BLOCKS: usize,
> TensorCollection<E, D> for Stage<First, Next, BLOCKS>
{
    type To<E2: Dtype, D2: Device<E2>> = Stage<First::To<E2, D2>, Next::To<E2, D2>, BLOCKS>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        let names: Vec<String> = (1..BLOCKS).map(|block| block.to_string()).collect();
        let rest = names.iter().enumerate().map(|(i, name)| {
            Self::module(
                name,
                move |stage: &Self| &stage.rest[i],
                move |stage: &mut Self| &mut stage.rest[i],
            )
        });
        visitor.visit_fields(
            (
                Self::module("0", |stage| &stage.first, |stage| &mut stage.first),
                rest.collect::<Vec<_>>(),
            ),
            |(first, rest)| Stage { first, rest },
        )
    }
}

impl<
    X,
    First: Module<X>,
    Next: Module<First::Output, Output = First::Output, Error = First::Error>,
    const BLOCKS: usize,
> Module<X> for Stage<First, Next, BLOCKS>
{
    type Output = First::Output;
    type Error = First::Error;

    fn try_forward(&self, x: X) -> Result<Self::Output, Self::Error> {
        let x = self.first.try_forward(x)?;
        self.rest
            .iter()
            .try_fold(x, |x, block| block.try_forward(x))
    }
}

impl<
    X,
    First: ModuleMut<X>,
    Next: ModuleMut<First::Output, Output = First::Output, Error = First::Error>,
    const BLOCKS: usize,
> ModuleMut<X> for Stage<First, Next, BLOCKS>
{
    type Output = First::Output;
    type Error = First::Error;

    fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, Self::Error> {
        let x = self.first.try_forward_mut(x)?;
        self.rest
            .iter_mut()
            .try_fold(x, |x, block| block.try_forward_mut(x))
    }
}

impl<First: Summarize, Next: Summarize, const BLOCKS: usize> Summarize
    for Stage<First, Next, BLOCKS>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let mut stage = LayerSummary::group("Stage", input).then("0", &self.first)?;
        for (block, next) in self.rest.iter().enumerate() {
            stage = stage.then(&(block + 1).to_string(), next)?;
        }
        Ok(stage)
    }
}

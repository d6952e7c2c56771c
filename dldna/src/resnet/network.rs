//! A whole residual network: stem, stages, classifier.

use crate::nn::{
    LayerDevice, MaxPool2D, Then,
    modules::{BatchNorm2D, BiasedConv2D},
};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::{modules::Linear, *};
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

type Images<B, const C: usize, D, T = NoneTape> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
type Logits<B, const CLASSES: usize, D, T = NoneTape> = Tensor<(B, Const<CLASSES>), f32, D, T>;

/// What networks are written with: types without data.
pub mod builder {
    /// The start of a network for photographs: a 7x7 convolution and a 3x3 max pooling, both of stride 2.
    /// `(batch, IN, height, width)` to `(batch, 64, height / 4, width / 4)`, sizes rounded up.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct Stem<const IN: usize>;

    /// The start of a network for small images: a 3x3 convolution that keeps their size.
    /// `(batch, IN, height, width)` to `(batch, OUT, height, width)`.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct SmallStem<const IN: usize, const OUT: usize>;

    /// Stem, stages (a tuple of [`Stage`](super::super::Stage)s), the mean over all pixels, and a linear layer from
    /// `FEATURES` to `CLASSES`: `(batch, IN, height, width)` to `(batch, CLASSES)`.
    ///
    /// The types beside it, such as [`ResNet18`](super::super::ResNet18), fill it in.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct ResNet<Stem, Stages, const FEATURES: usize, const CLASSES: usize> {
        _layers: std::marker::PhantomData<(Stem, Stages)>,
    }
}

/// [`builder::Stem`], built on a device.
#[derive(Debug, Clone)]
pub struct Stem<const IN: usize, E: Dtype, D: Storage<E>> {
    /// 7x7, stride 2.
    pub conv1: BiasedConv2D<IN, 64, 7, 2, 3, 1, E, D>,
    /// Normalises the output of `conv1`.
    pub bn1: BatchNorm2D<64, E, D>,
}

/// [`builder::SmallStem`], built on a device.
#[derive(Debug, Clone)]
pub struct SmallStem<const IN: usize, const OUT: usize, E: Dtype, D: Storage<E>> {
    /// 3x3, stride 1.
    pub conv1: BiasedConv2D<IN, OUT, 3, 1, 1, 1, E, D>,
    /// Normalises the output of `conv1`.
    pub bn1: BatchNorm2D<OUT, E, D>,
}

/// The max pooling at the end of [`builder::Stem`].
pub(crate) const POOL: MaxPool2D<3, 2, 1> = MaxPool2D;

impl<const IN: usize, E: Dtype + Float + SampleUniform, D: Device<E>> BuildOnDevice<D, E>
    for builder::Stem<IN>
{
    type Built = Stem<IN, E, D>;
}

impl<const IN: usize, const OUT: usize, E: Dtype + Float + SampleUniform, D: Device<E>>
    BuildOnDevice<D, E> for builder::SmallStem<IN, OUT>
{
    type Built = SmallStem<IN, OUT, E, D>;
}

impl<const IN: usize, E: Dtype + Float + SampleUniform, D: Device<E>> TensorCollection<E, D>
    for Stem<IN, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Stem<IN, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv1", |s| &s.conv1, |s| &mut s.conv1),
                Self::module("bn1", |s| &s.bn1, |s| &mut s.bn1),
            ),
            |(conv1, bn1)| Stem { conv1, bn1 },
        )
    }
}

impl<const IN: usize, const OUT: usize, E: Dtype + Float + SampleUniform, D: Device<E>>
    TensorCollection<E, D> for SmallStem<IN, OUT, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = SmallStem<IN, OUT, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv1", |s| &s.conv1, |s| &mut s.conv1),
                Self::module("bn1", |s| &s.bn1, |s| &mut s.bn1),
            ),
            |(conv1, bn1)| SmallStem { conv1, bn1 },
        )
    }
}

impl<const IN: usize, D: LayerDevice> Stem<IN, f32, D> {
    /// The convolution with batch norm and ReLU, without the pooling.
    pub(crate) fn try_forward_conv<B: Dim, H: Dim, W: Dim>(
        &self,
        x: Tensor<(B, Const<IN>, H, W), f32, D>,
    ) -> Result<Images<B, 64, D>, D::Err> {
        self.conv1.try_forward_norm(&self.bn1, x, Then::relu())
    }
}

impl<const IN: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    Module<Tensor<(B, Const<IN>, H, W), f32, D>> for Stem<IN, f32, D>
{
    type Output = Images<B, 64, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        POOL.try_forward(self.try_forward_conv(x)?)
    }
}

impl<const IN: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>> for Stem<IN, f32, D>
{
    type Output = Images<B, 64, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let x = self
            .conv1
            .try_forward_norm_mut(&mut self.bn1, x, Then::relu())?;
        POOL.try_forward(x)
    }
}

impl<const IN: usize, const OUT: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    Module<Tensor<(B, Const<IN>, H, W), f32, D>> for SmallStem<IN, OUT, f32, D>
{
    type Output = Images<B, OUT, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<IN>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        self.conv1.try_forward_norm(&self.bn1, x, Then::relu())
    }
}

impl<const IN: usize, const OUT: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice>
    ModuleMut<Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>>
    for SmallStem<IN, OUT, f32, D>
{
    type Output = Images<B, OUT, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        self.conv1
            .try_forward_norm_mut(&mut self.bn1, x, Then::relu())
    }
}

impl<const IN: usize, E: Dtype, D: Storage<E>> Summarize for Stem<IN, E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("Stem", input)
            .then("conv1", &self.conv1)?
            .then("bn1", &self.bn1)?
            .then("relu", &ReLU)?
            .then("pool", &POOL)
    }
}

impl<const IN: usize, const OUT: usize, E: Dtype, D: Storage<E>> Summarize
    for SmallStem<IN, OUT, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("SmallStem", input)
            .then("conv1", &self.conv1)?
            .then("bn1", &self.bn1)?
            .then("relu", &ReLU)
    }
}

/// [`builder::ResNet`], built on a device.
#[derive(Debug, Clone)]
pub struct ResNet<
    Stem,
    Stages,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// The first convolution.
    pub stem: Stem,
    /// The blocks, in a tuple of stages: the paper's conv2_x, conv3_x and so on.
    pub stages: Stages,
    /// From the mean of each feature to a logit for each class.
    pub fc: Linear<FEATURES, CLASSES, E, D>,
}

impl<
    Stem: BuildOnDevice<D, E>,
    Stages: BuildOnDevice<D, E>,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::ResNet<Stem, Stages, FEATURES, CLASSES>
{
    type Built = ResNet<Stem::Built, Stages::Built, FEATURES, CLASSES, E, D>;
}

impl<
    Stem: TensorCollection<E, D>,
    Stages: TensorCollection<E, D>,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for ResNet<Stem, Stages, FEATURES, CLASSES, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> =
        ResNet<Stem::To<E2, D2>, Stages::To<E2, D2>, FEATURES, CLASSES, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("stem", |net| &net.stem, |net| &mut net.stem),
                Self::module("stages", |net| &net.stages, |net| &mut net.stages),
                Self::module("fc", |net| &net.fc, |net| &mut net.fc),
            ),
            |(stem, stages, fc)| ResNet { stem, stages, fc },
        )
    }
}

impl<
    X,
    Stem: Module<X, Error = D::Err>,
    Stages: Module<Stem::Output, Output = Images<B, FEATURES, D>, Error = D::Err>,
    const FEATURES: usize,
    const CLASSES: usize,
    B: Dim,
    D: LayerDevice,
> Module<X> for ResNet<Stem, Stages, FEATURES, CLASSES, f32, D>
{
    type Output = Logits<B, CLASSES, D>;
    type Error = D::Err;

    fn try_forward(&self, x: X) -> Result<Self::Output, D::Err> {
        let x = self.stages.try_forward(self.stem.try_forward(x)?)?;
        let x = AvgPoolGlobal.try_forward(x)?; // (batch, FEATURES)
        self.fc.try_forward(x)
    }
}

impl<
    X,
    Stem: ModuleMut<X, Error = D::Err>,
    Stages: ModuleMut<Stem::Output, Output = Images<B, FEATURES, D, OwnedTape<f32, D>>, Error = D::Err>,
    const FEATURES: usize,
    const CLASSES: usize,
    B: Dim,
    D: LayerDevice,
> ModuleMut<X> for ResNet<Stem, Stages, FEATURES, CLASSES, f32, D>
{
    type Output = Logits<B, CLASSES, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, D::Err> {
        let x = self.stages.try_forward_mut(self.stem.try_forward_mut(x)?)?;
        let x = AvgPoolGlobal.try_forward(x)?; // (batch, FEATURES)
        self.fc.try_forward(x)
    }
}

impl<
    Stem: Summarize,
    Stages: Summarize,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for ResNet<Stem, Stages, FEATURES, CLASSES, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("ResNet", input)
            .then("stem", &self.stem)?
            .then("stages", &self.stages)?
            .then("mean", &AvgPoolGlobal)?
            .then("fc", &self.fc)
    }
}

//! A whole network: stem, stages, head, classifier.

use crate::nn::LayerDevice;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::{modules::Linear, *};
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

type Images<B, const C: usize, D, T = NoneTape> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;
type Logits<B, const CLASSES: usize, D, T = NoneTape> = Tensor<(B, Const<CLASSES>), f32, D, T>;

/// What networks are written with: types without data.
pub mod builder {
    /// Stem, stages (a tuple, or a tuple of tuples), head, the mean over all pixels, dropout of a fifth, and a linear
    /// layer from `FEATURES` to `CLASSES`: `(batch, channels, height, width)` to `(batch, CLASSES)`.
    ///
    /// The paper's networks also leave out whole blocks at random while they train (stochastic depth); this one does not.
    /// [`EfficientNetB0`](super::super::EfficientNetB0) and
    /// [`SmallEfficientNet`](super::super::SmallEfficientNet) fill it in.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct EfficientNet<Stem, Stages, Head, const FEATURES: usize, const CLASSES: usize> {
        _layers: std::marker::PhantomData<(Stem, Stages, Head)>,
    }
}

/// [`builder::EfficientNet`], built on a device.
#[derive(Debug, Clone)]
pub struct EfficientNet<
    Stem,
    Stages,
    Head,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// The first convolution.
    pub stem: Stem,
    /// The blocks.
    pub stages: Stages,
    /// The last convolution: 1x1, to many channels.
    pub head: Head,
    /// From the mean of each feature to a logit for each class.
    pub classifier: Linear<FEATURES, CLASSES, E, D>,
}

/// In front of the classifier, in training: the paper's rate for B0.
const DROPOUT: DropoutOneIn<5> = DropoutOneIn;

impl<
    Stem: BuildOnDevice<D, E>,
    Stages: BuildOnDevice<D, E>,
    Head: BuildOnDevice<D, E>,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::EfficientNet<Stem, Stages, Head, FEATURES, CLASSES>
{
    type Built = EfficientNet<Stem::Built, Stages::Built, Head::Built, FEATURES, CLASSES, E, D>;
}

impl<
    Stem: TensorCollection<E, D>,
    Stages: TensorCollection<E, D>,
    Head: TensorCollection<E, D>,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for EfficientNet<Stem, Stages, Head, FEATURES, CLASSES, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = EfficientNet<
        Stem::To<E2, D2>,
        Stages::To<E2, D2>,
        Head::To<E2, D2>,
        FEATURES,
        CLASSES,
        E2,
        D2,
    >;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("stem", |net| &net.stem, |net| &mut net.stem),
                Self::module("stages", |net| &net.stages, |net| &mut net.stages),
                Self::module("head", |net| &net.head, |net| &mut net.head),
                Self::module(
                    "classifier",
                    |net| &net.classifier,
                    |net| &mut net.classifier,
                ),
            ),
            |(stem, stages, head, classifier)| EfficientNet {
                stem,
                stages,
                head,
                classifier,
            },
        )
    }
}

impl<
    X,
    Stem: Module<X, Error = D::Err>,
    Stages: Module<Stem::Output, Error = D::Err>,
    Head: Module<Stages::Output, Output = Images<B, FEATURES, D>, Error = D::Err>,
    const FEATURES: usize,
    const CLASSES: usize,
    B: Dim,
    D: LayerDevice,
> Module<X> for EfficientNet<Stem, Stages, Head, FEATURES, CLASSES, f32, D>
{
    type Output = Logits<B, CLASSES, D>;
    type Error = D::Err;

    fn try_forward(&self, x: X) -> Result<Self::Output, D::Err> {
        let x = self.stages.try_forward(self.stem.try_forward(x)?)?;
        let x = AvgPoolGlobal.try_forward(self.head.try_forward(x)?)?; // (batch, FEATURES)
        self.classifier.try_forward(x)
    }
}

impl<
    X,
    Stem: ModuleMut<X, Error = D::Err>,
    Stages: ModuleMut<Stem::Output, Error = D::Err>,
    Head: ModuleMut<Stages::Output, Output = Images<B, FEATURES, D, OwnedTape<f32, D>>, Error = D::Err>,
    const FEATURES: usize,
    const CLASSES: usize,
    B: Dim,
    D: LayerDevice,
> ModuleMut<X> for EfficientNet<Stem, Stages, Head, FEATURES, CLASSES, f32, D>
{
    type Output = Logits<B, CLASSES, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(&mut self, x: X) -> Result<Self::Output, D::Err> {
        let x = self.stages.try_forward_mut(self.stem.try_forward_mut(x)?)?;
        let x = AvgPoolGlobal.try_forward(self.head.try_forward_mut(x)?)?; // (batch, FEATURES)
        self.classifier
            .try_forward(DROPOUT.clone().try_forward_mut(x)?)
    }
}

impl<
    Stem: Summarize,
    Stages: Summarize,
    Head: Summarize,
    const FEATURES: usize,
    const CLASSES: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for EfficientNet<Stem, Stages, Head, FEATURES, CLASSES, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("EfficientNet", input)
            .then("stem", &self.stem)?
            .then("stages", &self.stages)?
            .then("head", &self.head)?
            .then("mean", &AvgPoolGlobal)?
            .then("dropout", &DROPOUT)?
            .then("classifier", &self.classifier)
    }
}

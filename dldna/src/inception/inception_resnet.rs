//! Inception-ResNet: an Inception module that adds to its input.

use super::{Branches, ConvNorm};
use crate::nn::{LayerDevice, modules::BiasedConv2D};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

/// What networks are written with: types without data.
pub mod builder {
    /// `relu(x + scale * expand(branches(x)))`: [`Branches`](super::Branches) that give `MID` channels, a 1x1
    /// convolution without activation that brings them to the `C` channels of the input, and the sum.
    ///
    /// `(batch, C, height, width)` to the same. The branches have to keep height and width. `scale` starts at 0.2:
    /// the paper found wide networks to "die" in training without a scale between 0.1 and 0.3. Szegedy et al. 2016,
    /// *Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning*, section 3.3 and figure 20.
    ///
    /// [`InceptionResNetA`](super::InceptionResNetA) fills it in.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct InceptionResNet<B, const MID: usize, const C: usize> {
        _branches: std::marker::PhantomData<B>,
    }
}

/// The block of Inception-ResNet-v1's first stage, with `M` channels a branch: 1x1, 3x3, and two 3x3. The paper has
/// `C = 256` and `M = 32`. `MID` has to be `3 M`, or it does not compile. Szegedy et al. 2016, figure 10.
///
/// `(batch, C, height, width)` to the same.
///
/// ```
/// use dldna::{inception::InceptionResNetA, prelude::*};
/// let dev = Cpu::seed_from_u64(0);
/// let mut block = dev.build_module::<InceptionResNetA<16, 4, 12>, f32>();
/// let x = dev.sample_normal_like(&(1, Const::<16>, 7, 7)).relu();
/// block.scale = 0.0; // nothing is added
/// assert_eq!(block.forward(x.clone()).as_vec(), x.as_vec());
/// ```
pub type InceptionResNetA<const C: usize, const M: usize, const MID: usize> =
    builder::InceptionResNet<
        Branches<
            (
                ConvNorm<C, M, 1>,
                (ConvNorm<C, M, 1>, ConvNorm<M, M, 3, 1, 1>),
                (
                    ConvNorm<C, M, 1>,
                    ConvNorm<M, M, 3, 1, 1>,
                    ConvNorm<M, M, 3, 1, 1>,
                ),
            ),
            MID,
        >,
        MID,
        C,
    >;

/// [`builder::InceptionResNet`], built on a device.
#[derive(Debug, Clone)]
pub struct InceptionResNet<B, const MID: usize, const C: usize, E: Dtype, D: Storage<E>> {
    /// The modules side by side.
    pub branches: B,
    /// From the branches' channels to those of the input.
    pub expand: BiasedConv2D<MID, C, 1, 1, 0, 1, E, D>,
    /// Share of the branches in the sum.
    pub scale: f64,
}

impl<
    B: BuildOnDevice<D, E>,
    const MID: usize,
    const C: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::InceptionResNet<B, MID, C>
{
    type Built = InceptionResNet<B::Built, MID, C, E, D>;
}

impl<
    B: TensorCollection<E, D>,
    const MID: usize,
    const C: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for InceptionResNet<B, MID, C, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = InceptionResNet<B::To<E2, D2>, MID, C, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("branches", |b| &b.branches, |b| &mut b.branches),
                Self::module("expand", |b| &b.expand, |b| &mut b.expand),
                Self::scalar(
                    "scale",
                    |b| &b.scale,
                    |b| &mut b.scale,
                    ScalarOptions::from_default(0.2),
                ),
            ),
            |(branches, expand, scale)| InceptionResNet {
                branches,
                expand,
                scale,
            },
        )
    }
}

type Images<B, const C: usize, D, T> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;

impl<M, const MID: usize, const C: usize, D: LayerDevice> InceptionResNet<M, MID, C, f32, D> {
    /// `relu(x + scale * expand(features))`.
    fn try_add<B: Dim, T: Tape<f32, D> + Merge<T>>(
        &self,
        x: Images<B, C, D, T>,
        features: Images<B, MID, D, T>,
    ) -> Result<Images<B, C, D, T>, D::Err> {
        let residual = self.expand.try_forward(features)?;
        let scaled = residual.try_mul(self.scale as f32)?;
        x.try_add(scaled)?.try_relu()
    }
}

impl<
    M: Module<Images<B, C, D, NoneTape>, Output = Images<B, MID, D, NoneTape>, Error = D::Err>,
    const MID: usize,
    const C: usize,
    B: Dim,
    D: LayerDevice,
> Module<Images<B, C, D, NoneTape>> for InceptionResNet<M, MID, C, f32, D>
{
    type Output = Images<B, C, D, NoneTape>;
    type Error = D::Err;

    fn try_forward(&self, x: Images<B, C, D, NoneTape>) -> Result<Self::Output, D::Err> {
        let features = self.branches.try_forward(x.clone())?;
        self.try_add(x, features)
    }
}

impl<
    M: ModuleMut<
            Images<B, C, D, OwnedTape<f32, D>>,
            Output = Images<B, MID, D, OwnedTape<f32, D>>,
            Error = D::Err,
        >,
    const MID: usize,
    const C: usize,
    B: Dim,
    D: LayerDevice,
> ModuleMut<Images<B, C, D, OwnedTape<f32, D>>> for InceptionResNet<M, MID, C, f32, D>
{
    type Output = Images<B, C, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Images<B, C, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let features = self.branches.try_forward_mut(x.with_empty_tape())?;
        self.try_add(x, features)
    }
}

impl<M: Summarize, const MID: usize, const C: usize, E: Dtype, D: Storage<E>> Summarize
    for InceptionResNet<M, MID, C, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("InceptionResNet", input)
            .then("branches", &self.branches)?
            .then("expand", &self.expand)?
            .plus("skip", &(), input)?
            .then("relu", &ReLU)
    }
}

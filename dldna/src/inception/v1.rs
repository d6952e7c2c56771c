//! The first module: four branches, each convolution with a bias.

use super::branches::{any, side_by_side};
use crate::nn::{LayerDevice, MaxPool2D, modules::BiasedConv2D};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use crate::weights::{WeightsError, load_model};
use dfdx::prelude::*;
use num_traits::Float;
use rand_distr::uniform::SampleUniform;
use std::path::Path;

/// What networks are written with: types without data.
pub mod builder {
    /// Four branches side by side, each convolution with a bias and a ReLU:
    ///
    /// | branch | layers | channels |
    /// |---|---|---|
    /// | 1x1 | 1x1 | `C1` |
    /// | 3x3 | 1x1 to `R3`, 3x3 | `C3` |
    /// | 5x5 | 1x1 to `R5`, 5x5 | `C5` |
    /// | pool | 3x3 max pooling, 1x1 | `CP` |
    ///
    /// `(batch, IN, height, width)` to `(batch, C1 + C3 + C5 + CP, height, width)`. Szegedy et al. 2014, figure 2b.
    ///
    /// Stable Rust cannot add the numbers of a type. This one knows the sums of the modules of the paper's table 1 and
    /// of a few small ones; [`InceptionModule`] takes any, with the sum written out.
    #[derive(Debug, Clone, Copy, Default)]
    pub struct InceptionV1<
        const IN: usize,
        const C1: usize,
        const R3: usize,
        const C3: usize,
        const R5: usize,
        const C5: usize,
        const CP: usize,
    >;

    /// [`InceptionV1`] of any widths. `OUT` has to be `C1 + C3 + C5 + CP`, or it does not compile:
    ///
    /// ```
    /// use dldna::{inception::InceptionModule, prelude::*};
    /// let module = Cpu::default().build_module::<InceptionModule<3, 2, 1, 4, 1, 2, 1, 9>, f32>();
    /// ```
    ///
    /// ```compile_fail
    /// use dldna::{inception::InceptionModule, prelude::*};
    /// let module = Cpu::default().build_module::<InceptionModule<3, 2, 1, 4, 1, 2, 1, 10>, f32>();
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct InceptionModule<
        const IN: usize,
        const C1: usize,
        const R3: usize,
        const C3: usize,
        const R5: usize,
        const C5: usize,
        const CP: usize,
        const OUT: usize,
    >;
}

/// [`builder::InceptionV1`], built on a device. The fields have torchvision's names.
#[derive(Debug, Clone)]
pub struct Inception<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    E: Dtype,
    D: Storage<E>,
> {
    /// The branch that looks at single pixels.
    pub branch1x1: BiasedConv2D<IN, C1, 1, 1, 0, 1, E, D>,
    /// Fewer channels for `branch3x3`.
    pub branch3x3_reduce: BiasedConv2D<IN, R3, 1, 1, 0, 1, E, D>,
    /// The branch that looks at 3x3 pixels.
    pub branch3x3: BiasedConv2D<R3, C3, 3, 1, 1, 1, E, D>,
    /// Fewer channels for `branch5x5`.
    pub branch5x5_reduce: BiasedConv2D<IN, R5, 1, 1, 0, 1, E, D>,
    /// The branch that looks at 5x5 pixels.
    pub branch5x5: BiasedConv2D<R5, C5, 5, 1, 2, 1, E, D>,
    /// The branch that looks at the largest of 3x3 pixels.
    pub branch_pool_proj: BiasedConv2D<IN, CP, 1, 1, 0, 1, E, D>,
}

/// The pooling of the fourth branch.
const POOL: MaxPool2D<3, 1, 1> = MaxPool2D;

macro_rules! build_inception {
    ($($c1:literal $c3:literal $c5:literal $cp:literal),+ $(,)?) => {$(
        impl<const IN: usize, const R3: usize, const R5: usize, E: Dtype + Float + SampleUniform, D: Device<E>>
            BuildOnDevice<D, E> for builder::InceptionV1<IN, $c1, R3, $c3, R5, $c5, $cp>
        {
            type Built = Inception<IN, $c1, R3, $c3, R5, $c5, $cp, { $c1 + $c3 + $c5 + $cp }, E, D>;
        }
    )+};
}

// Table 1 of the paper, 3a to 5b.
build_inception!(
    64 128 32 32, 128 192 96 64, 192 208 48 64, 160 224 64 64, 128 256 64 64,
    112 288 64 64, 256 320 128 128, 384 384 128 128,
);
// Small ones, to try things with.
build_inception!(
    4 5 4 3, 4 4 4 4, 8 8 8 8, 16 16 16 16, 32 32 32 32, 8 16 4 4, 16 32 8 8, 32 64 16 16,
);

impl<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> BuildOnDevice<D, E> for builder::InceptionModule<IN, C1, R3, C3, R5, C5, CP, OUT>
{
    type Built = Inception<IN, C1, R3, C3, R5, C5, CP, OUT, E, D>;
}

impl<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    E: Dtype + Float + SampleUniform,
    D: Device<E>,
> TensorCollection<E, D> for Inception<IN, C1, R3, C3, R5, C5, CP, OUT, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = Inception<IN, C1, R3, C3, R5, C5, CP, OUT, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        const { assert!(C1 + C3 + C5 + CP == OUT, "OUT has to be C1 + C3 + C5 + CP") };
        visitor.visit_fields(
            (
                Self::module("branch1x1", |m| &m.branch1x1, |m| &mut m.branch1x1),
                Self::module(
                    "branch3x3_reduce",
                    |m| &m.branch3x3_reduce,
                    |m| &mut m.branch3x3_reduce,
                ),
                Self::module("branch3x3", |m| &m.branch3x3, |m| &mut m.branch3x3),
                Self::module(
                    "branch5x5_reduce",
                    |m| &m.branch5x5_reduce,
                    |m| &mut m.branch5x5_reduce,
                ),
                Self::module("branch5x5", |m| &m.branch5x5, |m| &mut m.branch5x5),
                Self::module(
                    "branch_pool_proj",
                    |m| &m.branch_pool_proj,
                    |m| &mut m.branch_pool_proj,
                ),
            ),
            |(
                branch1x1,
                branch3x3_reduce,
                branch3x3,
                branch5x5_reduce,
                branch5x5,
                branch_pool_proj,
            )| Inception {
                branch1x1,
                branch3x3_reduce,
                branch3x3,
                branch5x5_reduce,
                branch5x5,
                branch_pool_proj,
            },
        )
    }
}

impl<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    E: Dtype,
    D: Storage<E>,
> NonMutableModule for Inception<IN, C1, R3, C3, R5, C5, CP, OUT, E, D>
{
}

impl<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    B: Dim,
    H: Dim,
    W: Dim,
    D: LayerDevice,
    T: Tape<f32, D> + Merge<T>,
> Module<Tensor<(B, Const<IN>, H, W), f32, D, T>>
    for Inception<IN, C1, R3, C3, R5, C5, CP, OUT, f32, D>
{
    type Output = Tensor<(B, Const<OUT>, usize, usize), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<IN>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let input = || x.with_empty_tape();
        let three = self.branch3x3_reduce.try_forward(input())?.try_relu()?;
        let three = any(self.branch3x3.try_forward(three)?.try_relu()?);
        let five = self.branch5x5_reduce.try_forward(input())?.try_relu()?;
        let five = any(self.branch5x5.try_forward(five)?.try_relu()?);
        let pool = POOL.try_forward(input())?;
        let pool = any(self.branch_pool_proj.try_forward(pool)?.try_relu()?);
        let one = any(self.branch1x1.try_forward(x)?.try_relu()?);
        side_by_side(one, [three, five, pool])
    }
}

impl<
    const IN: usize,
    const C1: usize,
    const R3: usize,
    const C3: usize,
    const R5: usize,
    const C5: usize,
    const CP: usize,
    const OUT: usize,
    E: Dtype,
    D: Storage<E>,
> Summarize for Inception<IN, C1, R3, C3, R5, C5, CP, OUT, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let three = Chain(vec![
            ("reduce", &self.branch3x3_reduce),
            ("relu1", &ReLU),
            ("conv", &self.branch3x3),
            ("relu2", &ReLU),
        ]);
        let five = Chain(vec![
            ("reduce", &self.branch5x5_reduce),
            ("relu1", &ReLU),
            ("conv", &self.branch5x5),
            ("relu2", &ReLU),
        ]);
        let one = Chain(vec![("conv", &self.branch1x1), ("relu", &ReLU)]);
        let pool = Chain(vec![
            ("pool", &POOL),
            ("proj", &self.branch_pool_proj),
            ("relu", &ReLU),
        ]);
        LayerSummary::group("Inception", input)
            .then("1x1", &one)?
            .beside("3x3", &three, input)?
            .beside("5x5", &five, input)?
            .beside("pool", &pool, input)
    }
}

/// The layers of one branch, by name.
struct Chain<'a>(Vec<(&'a str, &'a dyn Summarize)>);

impl Summarize for Chain<'_> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let mut layers = self.0.iter();
        layers.try_fold(
            LayerSummary::group("Branch", input),
            |branch, (name, layer)| branch.then(name, *layer),
        )
    }
}

/// Puts the weights of a safetensors file with torchvision's names (`branch3x3_reduce.weight`, ..) into a module.
///
/// # Errors
/// [`WeightsError`] lists every name that is missing, extra or of another shape; nothing is loaded then.
///
/// # Example
/// ```no_run
/// use dldna::{inception::{InceptionV1, load_torch_weights}, prelude::*};
///
/// let mut module = Cpu::default().build_module::<InceptionV1<192, 64, 96, 128, 16, 32, 32>, f32>();
/// load_torch_weights(&mut module, "inception3a.safetensors")?;
/// # Ok::<(), dldna::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    module: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    load_model(module, path) // the fields have torchvision's names
}

//! ConvNeXt: Liu et al., *A ConvNet for the 2020s*, 2022.
//!
//! A residual network rebuilt step by step from the parts of its time, until it met the vision transformers of 2021 on
//! their own ground. Its block is here, and a small network of such blocks beside one of [`BasicBlock`]s that costs the
//! same.
//!
//! ```
//! use dldna::{convnext::ConvNeXtBlock, prelude::*};
//!
//! let dev = Cpu::seed_from_u64(0);
//! let block = dev.build_module::<ConvNeXtBlock<96, 384>, f32>();
//! let y = block.forward(dev.zeros_like(&(1, Const::<96>, 7, 7)));
//! assert_eq!(*y.shape(), (1, Const::<96>, 7, 7));
//! ```

use crate::data::Split;
use crate::nn::modules::{BiasedConv2D, DepthwiseConv2D, LayerNorm2D};
use crate::nn::{BatchNorm2D, Conv2D, GELU, LayerDevice};
use crate::resnet::{BasicBlock, unchanged};
use crate::summary::{LayerSummary, Summarize, SummaryError};
use crate::train::{History, TrainConfig, TrainError, train};
use dfdx::nn::modules::Bias2D;
use dfdx::prelude::{AvgPoolGlobal, Linear, ReLU, *};
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

/// `(batch, C, height, width)` with run-time sizes.
type Images<B, const C: usize, D, T> = Tensor<(B, Const<C>, usize, usize), f32, D, T>;

/// What networks are written with: types without data.
pub mod builder {
    /// `x + layer_scale F(x)`: `(batch, C, height, width)` to the same shape. Liu et al. 2022, figure 4, right.
    ///
    /// | step of `F` | what | channels |
    /// |---|---|---|
    /// | depthwise | 7x7 convolution of each channel by itself, with a bias | `C` |
    /// | norm | layer norm of each pixel over its channels | `C` |
    /// | expand | 1x1 convolution, GELU | to `HIDDEN` |
    /// | project | 1x1 convolution | to `C` |
    ///
    /// In the paper `HIDDEN` is `4 C`, which stable Rust cannot compute in a type. `layer_scale` has a factor for each
    /// channel and begins at 1e-6: at first the block does nothing.
    ///
    /// ```
    /// use dldna::{convnext::ConvNeXtBlock, prelude::*};
    /// let dev = Cpu::seed_from_u64(0);
    /// let block = dev.build_module::<ConvNeXtBlock<8, 32>, f32>();
    /// let x = dev.sample_normal_like(&(1, Const::<8>, 5, 5));
    /// let change = block.forward(x.clone()) - x.try_realize::<(usize, Const<8>, usize, usize)>().unwrap();
    /// assert!(change.as_vec().iter().all(|change| change.abs() < 1e-4));
    /// ```
    #[derive(Debug, Clone, Copy, Default)]
    pub struct ConvNeXtBlock<const C: usize, const HIDDEN: usize>;
}

pub use builder::ConvNeXtBlock;

/// The networks once built on a device: what `dev.build_module` returns.
pub mod modules {
    pub use super::BuiltConvNeXtBlock as ConvNeXtBlock;
}

/// [`ConvNeXtBlock`], built on a device.
#[derive(Debug, Clone)]
pub struct BuiltConvNeXtBlock<const C: usize, const HIDDEN: usize, E: Dtype, D: Storage<E>> {
    /// Looks at 7x7 pixels of each channel.
    pub depthwise: DepthwiseConv2D<C, 7, 1, 3, E, D>,
    /// Added to each channel after it.
    pub depthwise_bias: Bias2D<C, E, D>,
    /// Normalises each pixel.
    pub norm: LayerNorm2D<C, E, D>,
    /// To more channels.
    pub expand: BiasedConv2D<C, HIDDEN, 1, 1, 0, 1, E, D>,
    /// And back.
    pub project: BiasedConv2D<HIDDEN, C, 1, 1, 0, 1, E, D>,
    /// A factor for each channel of what the block adds.
    pub layer_scale: Tensor<Rank1<C>, E, D>,
}

impl<const C: usize, const HIDDEN: usize, E: Dtype + Float + SampleUniform, D: Device<E>>
    BuildOnDevice<D, E> for builder::ConvNeXtBlock<C, HIDDEN>
{
    type Built = BuiltConvNeXtBlock<C, HIDDEN, E, D>;
}

impl<const C: usize, const HIDDEN: usize, E: Dtype, D: Storage<E>> NonMutableModule
    for BuiltConvNeXtBlock<C, HIDDEN, E, D>
{
}

impl<const C: usize, const HIDDEN: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<C>, H, W), f32, D, T>> for BuiltConvNeXtBlock<C, HIDDEN, f32, D>
{
    type Output = Images<B, C, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let skip = unchanged(x.with_empty_tape());
        let y = self.depthwise.try_forward(x)?;
        let y = self.depthwise_bias.try_forward(y)?;
        let y = self.norm.try_forward(y)?;
        let y = GELU.try_forward(self.expand.try_forward(y)?)?;
        self.try_project_scaled(y)?.try_add(skip)
    }
}

impl<const C: usize, const HIDDEN: usize, D: LayerDevice> BuiltConvNeXtBlock<C, HIDDEN, f32, D> {
    /// `layer_scale project(y)`. A convolution is linear, so the factors may as well be those of its weights, which are
    /// fewer than the pixels.
    fn try_project_scaled<B: Dim, T: Tape<f32, D>>(
        &self,
        y: Images<B, HIDDEN, D, T>,
    ) -> Result<Images<B, C, D, T>, D::Err> {
        let (y, tape) = y.split_tape();
        let weight = self.project.weight.clone().put_tape(tape);
        let factors = self.layer_scale.retaped::<T>().try_broadcast()?;
        let (weight, tape) = weight.try_mul(factors)?.split_tape();
        let bias = self.project.bias.clone().put_tape(tape);
        let (bias, tape) = bias.try_mul(self.layer_scale.clone())?.split_tape();
        let scaled = BiasedConv2D::<HIDDEN, C, 1, 1, 0, 1, f32, D> { weight, bias };
        scaled.try_forward(y.put_tape(tape))
    }
}

impl<const C: usize, const HIDDEN: usize, E: Dtype + Float + SampleUniform, D: Device<E>>
    TensorCollection<E, D> for BuiltConvNeXtBlock<C, HIDDEN, E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = BuiltConvNeXtBlock<C, HIDDEN, E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("depthwise", |b| &b.depthwise, |b| &mut b.depthwise),
                Self::module(
                    "depthwise_bias",
                    |b| &b.depthwise_bias,
                    |b| &mut b.depthwise_bias,
                ),
                Self::module("norm", |b| &b.norm, |b| &mut b.norm),
                Self::module("expand", |b| &b.expand, |b| &mut b.expand),
                Self::module("project", |b| &b.project, |b| &mut b.project),
                Self::tensor(
                    "layer_scale",
                    |b| &b.layer_scale,
                    |b| &mut b.layer_scale,
                    TensorOptions::reset_with(|scale| {
                        scale.try_fill_with_ones()?;
                        *scale = scale
                            .clone()
                            .try_mul(E::from_f64(1e-6).unwrap_or_default())?;
                        Ok(())
                    }),
                ),
            ),
            |(depthwise, depthwise_bias, norm, expand, project, layer_scale)| BuiltConvNeXtBlock {
                depthwise,
                depthwise_bias,
                norm,
                expand,
                project,
                layer_scale,
            },
        )
    }
}

impl<const C: usize, const HIDDEN: usize, E: Dtype, D: Storage<E>> Summarize
    for BuiltConvNeXtBlock<C, HIDDEN, E, D>
{
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let mut block = LayerSummary::group("ConvNeXtBlock", input)
            .then("depthwise", &self.depthwise)?
            .then("depthwise_bias", &self.depthwise_bias)?
            .then("norm", &self.norm)?
            .then("expand", &self.expand)?
            .then("gelu", &GELU)?
            .then("project", &self.project)?;
        block.parameters += C; // layer_scale
        Ok(block)
    }
}

/// Three [`ConvNeXtBlock`]s of 33 channels between a convolution that halves the image and a linear layer:
/// `(batch, 1, height, width)` to `(batch, 10)`.
pub type SmallConvNeXt = (
    (Conv2D<1, 33, 3, 2, 1>, BatchNorm2D<33>, ReLU),
    (
        ConvNeXtBlock<33, 132>,
        ConvNeXtBlock<33, 132>,
        ConvNeXtBlock<33, 132>,
    ),
    (AvgPoolGlobal, Linear<33, 10>),
);

/// Three [`BasicBlock`]s of 24 channels in the same place: their multiply-adds are those of [`SmallConvNeXt`], within one
/// percent.
pub type SmallResNet = (
    (Conv2D<1, 24, 3, 2, 1>, BatchNorm2D<24>, ReLU),
    (
        BasicBlock<24, 24, 1>,
        BasicBlock<24, 24, 1>,
        BasicBlock<24, 24, 1>,
    ),
    (AvgPoolGlobal, Linear<24, 10>),
);

/// Trains a [`SmallConvNeXt`] and a [`SmallResNet`] from new weights, with the same settings. Returns what each has
/// reached, in that order.
///
/// # Errors
/// As those of [`train`].
///
/// # Example
/// ```
/// use dldna::{convnext::train_small_networks, data::mnist_sample, train::TrainConfig};
///
/// let config = TrainConfig { epochs: 1, subset: Some(32), batch_size: 16, progress: false, ..Default::default() };
/// let [convnext, resnet] = train_small_networks(&mnist_sample()?, &config)?;
/// assert_eq!((convnext.epochs.len(), resnet.epochs.len()), (1, 1));
/// # Ok::<(), dldna::train::TrainError>(())
/// ```
pub fn train_small_networks(
    split: &Split,
    config: &TrainConfig,
) -> Result<[History; 2], TrainError> {
    let dev = Cpu::seed_from_u64(config.seed);
    let convnext = train(dev.build_module::<SmallConvNeXt, f32>(), split, config)?;
    let resnet = train(dev.build_module::<SmallResNet, f32>(), split, config)?;
    Ok([convnext.history, resnet.history])
}

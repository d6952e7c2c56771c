//! Dropout of whole channels.

use super::device::LayerDevice;
use super::error::{LayerError, or_panic};
use super::flow::Flow;
use super::forward::{Flowing, Forward, Images, Layer};
use super::run::run_any;
use crate::summary::layers::elementwise;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// In training sets whole channels of `(batch, channel, height, width)` to 0 at random, each with probability `p`, and
/// makes the others larger by `1 / (1 - p)`, so that the mean stays. In evaluation it does nothing. Neighbouring pixels of a
/// channel are much alike, so that leaving out single ones would leave out next to nothing.
///
/// As dfdx's `Dropout` it is built with a probability of 1/2, and `p` can be set. The random numbers are the device's.
///
/// PyTorch: `torch.nn.Dropout2d(p)`. Tompson et al., *Efficient Object Localization Using Convolutional Networks*, 2015.
///
/// ```
/// use dldna_nn::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let mut dropout = Dropout2D { p: 0.75 };
/// let x = dev.ones_like(&(8, Const::<16>, 2, 2));
/// assert_eq!(dropout.forward(x.clone()).as_vec(), x.as_vec());
/// let y = dropout.forward_mut(x.leaky_traced()).as_vec();
/// assert!(y.chunks(4).all(|channel| channel == [0.0; 4] || channel == [4.0; 4]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout2D {
    /// The share of channels that are left out, from 0 to 1.
    pub p: f32,
}

impl Default for Dropout2D {
    /// A probability of 1/2.
    fn default() -> Self {
        Self { p: 0.5 }
    }
}

impl Layer for Dropout2D {
    type On<E: Dtype, D: Storage<E>> = Self;
}

impl<E: Dtype, D: Device<E>> BuildOnDevice<D, E> for Dropout2D {
    type Built = Self;
}

impl<E: Dtype, D: Device<E>> TensorCollection<E, D> for Dropout2D {
    type To<E2: Dtype, D2: Device<E2>> = Self;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(visitor: &mut V) -> Result<Option<Self>, V::Err> {
        let p = <Self as TensorCollection<E, D>>::scalar(
            "p",
            |layer| &layer.p,
            |layer| &mut layer.p,
            ScalarOptions::from_default(Self::default().p),
        );
        visitor.visit_fields(p, |p| Self { p })
    }
}

impl<const C: usize, D: LayerDevice> Forward<Images<C, D>> for Dropout2D {
    type Output = Images<C, D>;

    fn eval(&self, x: Images<C, D>) -> Images<C, D> {
        x.layer(self, |flow| flow)
    }

    fn train(&mut self, x: Images<C, D>) -> Images<C, D> {
        x.layer(&*self, |flow| drop_channels(flow, self.p))
    }
}

fn drop_channels<D: LayerDevice>(flow: Flow<D>, p: f32) -> Flow<D> {
    flow.apply(|x| {
        if !(0.0..=1.0).contains(&p) {
            let probability = p.to_string();
            return Err(D::error(LayerError::Probability { probability }));
        }
        let &(batch, channels, ..) = x.shape();
        let ones = x.device().try_ones_like(&(batch, channels, 1, 1))?;
        D::scale_channels(x, ones.try_dropout(f64::from(p))?)
    })
}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, C, H, W), f32, D, T>> for Dropout2D
{
    type Output = Tensor<(B, C, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        Ok(x)
    }
}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    ModuleMut<Tensor<(B, C, H, W), f32, D, T>> for Dropout2D
{
    type Output = Tensor<(B, C, H, W), f32, D, T>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, C, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        run_any(x, |flow| drop_channels(flow, self.p))
    }

    fn forward_mut(&mut self, x: Tensor<(B, C, H, W), f32, D, T>) -> Self::Output {
        or_panic(|| self.try_forward_mut(x))
    }
}

impl Summarize for Dropout2D {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        elementwise(format!("Dropout2D {}", self.p), input)
    }
}

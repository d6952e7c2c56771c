//! Pooling over whole images.

use super::device::LayerDevice;
use super::forward::{Flowing, Forward, Images, Layer, Vectors};
use super::run::run_to_vectors;
use crate::summary::layers::wrong_input;
use crate::summary::{LayerSummary, Summarize, SummaryError};
use dfdx::prelude::*;

/// The mean of each channel: `(batch, channel, height, width)` to `(batch, channel)`, and for a single image
/// `(channel, height, width)` to `(channel)`. Lin, Chen and Yan, *Network in Network*, 2013, section 3.2.
///
/// PyTorch: `torch.nn.AdaptiveAvgPool2d(1)`, flattened.
///
/// ```
/// use dldna_nn::prelude::*;
/// let y = AvgPoolGlobal.forward(Cpu::default().tensor([[[[1.0, 2.0, 6.0]]]]));
/// assert_eq!(y.as_vec(), [3.0]);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct AvgPoolGlobal;

impl ZeroSizedModule for AvgPoolGlobal {}
impl NonMutableModule for AvgPoolGlobal {}

impl Layer for AvgPoolGlobal {
    type On<E: Dtype, D: Storage<E>> = Self;
}

impl<const C: usize, D: LayerDevice> Forward<Images<C, D>> for AvgPoolGlobal {
    type Output = Vectors<C, D>;

    fn eval(&self, x: Images<C, D>) -> Vectors<C, D> {
        x.layer(self, |flow| flow.apply(D::global_avg_pool2d))
    }

    fn train(&mut self, x: Images<C, D>) -> Vectors<C, D> {
        self.eval(x)
    }
}

impl<B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, C, H, W), f32, D, T>> for AvgPoolGlobal
{
    type Output = Tensor<(B, C), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        run_to_vectors(x, |flow| flow.apply(D::global_avg_pool2d))
    }
}

impl<C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>> Module<Tensor<(C, H, W), f32, D, T>>
    for AvgPoolGlobal
{
    type Output = Tensor<(C,), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        let &(channels, height, width) = x.shape();
        let batch = x.try_reshape_like(&(Const::<1>, channels, height, width))?;
        self.try_forward(batch)?.try_reshape_like(&(channels,))
    }
}

impl Summarize for AvgPoolGlobal {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        match input {
            [batch, channels, _, _] => Ok(LayerSummary::leaf(
                "AvgPoolGlobal",
                [*batch, *channels],
                0,
                0,
            )),
            _ => {
                let expected = "[batch, channel, height, width]".to_owned();
                Err(wrong_input("AvgPoolGlobal", expected, input))
            }
        }
    }
}

//! From images to the vector of a linear layer.

use super::device::LayerDevice;
use super::error::{LayerError, or_panic};
use super::forward::{Flowing, Forward, Images, Layer, Vectors};
use super::layer::same_in_training;
use super::run::run;
use crate::summary::layers::wrong_input;
use crate::summary::{LayerSummary, Summarize, SummaryError, elements};
use dfdx::prelude::*;

/// All elements of an image in one row: `(batch, channel, height, width)` to `(batch, FEATURES)`, where `FEATURES` is
/// `channel * height * width`. It ties a network to one image size; an image of another is an error.
///
/// PyTorch: `torch.nn.Flatten()`.
///
/// ```
/// use dldna_nn::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>();
/// let logits = network.forward(dev.zeros_like(&(4, Const::<1>, 28, 28)));
/// assert_eq!(*logits.shape(), (4, Const::<10>));
///
/// assert!(network.try_forward(dev.zeros_like(&(4, Const::<1>, 32, 32))).is_err());
/// let error = dldna_nn::nn::last_error().unwrap();
/// assert!(error.to_string().contains("1x32x32 = 1024"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Flatten<const FEATURES: usize>;

impl<const FEATURES: usize> ZeroSizedModule for Flatten<FEATURES> {}
same_in_training!([const FEATURES: usize] Flatten<FEATURES>);

impl<const FEATURES: usize> Layer for Flatten<FEATURES> {
    type On<E: Dtype, D: Storage<E>> = Self;
}

impl<const FEATURES: usize, const C: usize, D: LayerDevice> Forward<Images<C, D>>
    for Flatten<FEATURES>
{
    type Output = Vectors<FEATURES, D>;

    fn eval(&self, x: Images<C, D>) -> Vectors<FEATURES, D> {
        x.layer(self, |flow| {
            flow.reshape(|&(batch, channels, height, width)| {
                let image = [channels, height, width];
                if image.iter().product::<usize>() == FEATURES {
                    Ok((batch, FEATURES, 1, 1))
                } else {
                    let expected = FEATURES;
                    Err(D::error(LayerError::Features { expected, image }))
                }
            })
        })
    }

    fn train(&mut self, x: Images<C, D>) -> Vectors<FEATURES, D> {
        self.eval(x)
    }
}

impl<const FEATURES: usize, const C: usize, B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<C>, H, W), f32, D, T>> for Flatten<FEATURES>
{
    type Output = Tensor<(B, Const<FEATURES>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<C>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        run(x, |x| self.eval(x))
    }

    fn forward(&self, x: Tensor<(B, Const<C>, H, W), f32, D, T>) -> Self::Output {
        or_panic(|| self.try_forward(x))
    }
}

impl<const FEATURES: usize> Summarize for Flatten<FEATURES> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        let kind = format!("Flatten {FEATURES}");
        match input {
            [batch, image @ ..] if image.len() == 3 && elements(image) == FEATURES as u128 => {
                // The same elements in another shape: nothing new is kept.
                Ok(LayerSummary {
                    activations: 0,
                    ..LayerSummary::leaf(kind, [*batch, FEATURES], 0, 0)
                })
            }
            _ => Err(wrong_input(
                &kind,
                format!("[batch, channel, height, width] with {FEATURES} values an image"),
                input,
            )),
        }
    }
}

//! From images to the vector of a linear layer.

use super::device::LayerDevice;
use super::error::LayerError;
use dfdx::prelude::*;

/// All numbers of an image in one row: `(batch, channel, height, width)` to `(batch, FEATURES)`, where `FEATURES` is
/// `channel * height * width`. It ties a network to one image size; an image of another is an error.
///
/// PyTorch: `torch.nn.Flatten()`.
///
/// ```
/// use dldna::prelude::*;
/// let dev = Cpu::seed_from_u64(0);
/// let network = dev.build_module::<(Flatten<784>, Linear<784, 10>), f32>();
/// let logits = network.forward(dev.zeros_like(&(4, Const::<1>, 28, 28)));
/// assert_eq!(*logits.shape(), (4, Const::<10>));
///
/// assert!(network.try_forward(dev.zeros_like(&(4, Const::<1>, 32, 32))).is_err());
/// let error = dldna::nn::last_error().unwrap();
/// assert!(error.to_string().contains("1x32x32 = 1024"));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Flatten<const FEATURES: usize>;

impl<const FEATURES: usize> ZeroSizedModule for Flatten<FEATURES> {}
impl<const FEATURES: usize> NonMutableModule for Flatten<FEATURES> {}

impl<const FEATURES: usize, B: Dim, C: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, C, H, W), f32, D, T>> for Flatten<FEATURES>
{
    type Output = Tensor<(B, Const<FEATURES>), f32, D, T>;
    type Error = D::Err;

    fn try_forward(&self, input: Tensor<(B, C, H, W), f32, D, T>) -> Result<Self::Output, D::Err> {
        let (batch, channels, height, width) = *input.shape();
        let image = [channels.size(), height.size(), width.size()];
        if image.iter().product::<usize>() != FEATURES {
            return Err(D::error(LayerError::Features {
                expected: FEATURES,
                image,
            }));
        }
        input.try_reshape_like(&(batch, Const))
    }
}

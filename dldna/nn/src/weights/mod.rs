//! Tensors of a network by name: in and out of safetensors files.
//!
//! [`save_model`] and [`load_model`] keep a network in a file; [`load_torch_weights`] takes one from Python.

mod error;
mod file;
mod foreign;
mod names;
mod namings;
mod tensors;

pub use error::WeightsError;
pub(crate) use file::{TensorFile, Values};
pub use foreign::Foreign;
pub use tensors::{AnyTensor, for_each_tensor};
pub(crate) use tensors::{AnyTensorMut, for_each_tensor_mut};

use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::path::Path;

/// What errors have in place of a file's path.
const IN_MEMORY: &str = "weights in memory";

/// Writes the weights of a network to a safetensors file, under the names of its fields. The file is replaced as a
/// whole: an interruption leaves the old one.
///
/// # Errors
/// [`WeightsError::Write`].
///
/// # Example
/// ```
/// use dldna_nn::{prelude::*, weights::{load_model, save_model}};
///
/// let dev = Cpu::seed_from_u64(1);
/// let model = dev.build_module::<Conv2D<1, 2, 3>, f32>();
/// let path = std::env::temp_dir().join("dldna-doc-model.safetensors");
/// save_model(&model, &path)?;
/// let mut other = dev.build_module::<Conv2D<1, 2, 3>, f32>();
/// load_model(&mut other, &path)?;
/// assert_eq!(other.weight.array(), model.weight.array());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn save_model<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    TensorFile::of(network).write(path.as_ref())
}

/// Reads what [`save_model`] wrote into a network of the same kind.
///
/// # Errors
/// [`WeightsError`] has the names that are missing, extra or of another shape; nothing is loaded then.
pub fn load_model<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    TensorFile::read(path)?.put_into(network, path, &str::to_owned, &|_| false)
}

/// [`load_model`] from the bytes of a file: a web page has no files.
///
/// # Errors
/// Those of [`load_model`].
///
/// # Example
/// ```
/// use dldna_nn::{prelude::*, weights::{load_model_from_bytes, save_model}};
///
/// let dev = Cpu::seed_from_u64(1);
/// let model = dev.build_module::<Linear<2, 3>, f32>();
/// let path = std::env::temp_dir().join("dldna-doc-bytes.safetensors");
/// save_model(&model, &path)?;
/// let bytes = std::fs::read(&path).unwrap(); // or `include_bytes!`, or what JavaScript has fetched
/// let mut other = dev.build_module::<Linear<2, 3>, f32>();
/// load_model_from_bytes(&mut other, &bytes)?;
/// assert_eq!(other.weight.array(), model.weight.array());
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn load_model_from_bytes<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    bytes: &[u8],
) -> Result<(), WeightsError> {
    let path = Path::new(IN_MEMORY);
    TensorFile::parse(bytes, path)?.put_into(network, path, &str::to_owned, &|_| false)
}

/// Puts the weights of a safetensors file that Python wrote into a network.
///
/// | what | is understood |
/// |---|---|
/// | names | those of the network's own fields, and for the networks of this crate those below |
/// | a prefix of all names (`module.`, `_orig_mod.`, `model.`, several of them) | left out where the rest fits |
/// | precision | F32; F16 and BF16 are widened, F64 is rounded |
/// | `num_batches_tracked` | skipped |
/// | no bias for any convolution, as in torchvision | the biases of the network's convolutions are set to 0 |
///
/// | network | names of |
/// |---|---|
/// | [`resnet`](crate::resnet) | the book, torchvision, timm (`resnet18`) |
/// | [`efficientnet`](crate::efficientnet) | torchvision, timm (`efficientnet_b0`, `efficientnet_lite0`), `efficientnet_pytorch`; of a single block the book |
/// | [`mobilenet`](crate::mobilenet) | torchvision, timm (`mobilenetv2_100`) |
///
/// The batch norms of `efficientnet_pytorch`, which come from TensorFlow, add 1e-3 to the variance and ours 1e-5: the
/// difference is added to their running variances.
///
/// In Python `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` writes such a file. Of a `.pth` it
/// is made without running what is in it by
///
/// ```python
/// import torch, safetensors.torch
/// safetensors.torch.save_file({name: x.contiguous() for name, x in torch.load("weights.pth", "cpu", weights_only=True).items()}, "weights.safetensors")
/// ```
///
/// # Errors
/// [`WeightsError`] has the names that are missing, extra or of another shape; nothing is loaded then.
///
/// # Example
/// ```no_run
/// use dldna_nn::{prelude::*, weights::load_torch_weights};
///
/// network! {
///     pub struct LeNet {
///         conv1: BiasedConv2D<1, 6, 5>, relu1: ReLU, pool1: MaxPool2D<2, 2>,
///         conv2: BiasedConv2D<6, 16, 5>, relu2: ReLU, pool2: MaxPool2D<2, 2>,
///         flatten: Flatten<256>, fc1: Linear<256, 120>, relu3: ReLU, fc2: Linear<120, 10>,
///     }
///     forward(Images<1>) -> Vectors<10>;
/// }
/// let mut network = Cpu::default().build_module::<LeNet, f32>();
/// load_torch_weights(&mut network, "lenet.safetensors")?; // conv1.weight, conv1.bias, conv2.weight, ..
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    names::load(network, TensorFile::read(path)?, path)
}

/// [`load_torch_weights`] from the bytes of a file: a web page has no files.
///
/// # Errors
/// Those of [`load_torch_weights`].
///
/// # Example
/// See [`Foreign`].
pub fn load_torch_weights_from_bytes<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    bytes: &[u8],
) -> Result<(), WeightsError> {
    let path = Path::new(IN_MEMORY);
    names::load(network, TensorFile::parse(bytes, path)?, path)
}

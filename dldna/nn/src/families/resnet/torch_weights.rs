//! PyTorch's names for the tensors of residual networks.

use crate::weights::{TensorFile, WeightsError, load_renamed, renamed};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::path::Path;

/// torchvision's name for the way around a block.
const TORCHVISION: [(&str, &str); 1] = [("shortcut.", "downsample.")];

/// Puts the weights of a safetensors file with PyTorch's names into a network (or a block) of this module.
///
/// Names are the book's (`layer2.0.shortcut.0.weight`, with biases for the convolutions) or torchvision's
/// (`layer2.0.downsample.0.weight`, without any: the biases are then set to 0). `num_batches_tracked` is skipped.
/// In Python, `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` writes such a file.
///
/// # Errors
/// [`WeightsError`] lists every name that is missing, extra or of another shape; nothing is loaded then.
///
/// # Example
/// ```no_run
/// use dldna_nn::{prelude::*, resnet::{ResNet50, load_torch_weights}};
///
/// let dev = Cpu::default();
/// let mut network = dev.build_module::<ResNet50<3, 1000>, f32>();
/// load_torch_weights(&mut network, "resnet50.safetensors")?;
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let names = TensorFile::read(path)?.tensors.into_keys();
    let renamings: &[_] = if names.into_iter().any(|name| name.contains("downsample.")) {
        &TORCHVISION
    } else {
        &[]
    };
    load_renamed(network, path, |name| renamed(name, renamings))
}

//! PyTorch's names for the tensors of residual networks.

use crate::weights::{TensorFile, WeightsError};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::path::Path;

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
/// use dldna::{prelude::*, resnet::{ResNet50, load_torch_weights}};
///
/// let dev = Cpu::default();
/// let mut network = dev.build_module::<ResNet50<3, 1000>, f32>();
/// load_torch_weights(&mut network, "resnet50.safetensors")?;
/// # Ok::<(), dldna::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    let mut file = TensorFile::read(path)?;
    file.tensors = std::mem::take(&mut file.tensors)
        .into_iter()
        .map(|(name, values)| (name.replace("downsample.", "shortcut."), values))
        .collect();
    // A file with some biases has to have all of them.
    let has_biases = file.tensors.keys().any(|name| is_conv_bias(name));
    let may_lack = if has_biases {
        |_: &str| false
    } else {
        is_conv_bias
    };
    file.put_into(network, path, torch_name, may_lack)
}

/// Whether a name, in the book's form, is that of the bias of a convolution.
fn is_conv_bias(name: &str) -> bool {
    let mut parts = name.rsplit('.');
    let bias = parts.next() == Some("bias");
    match parts.next() {
        Some("0") => bias && parts.next() == Some("shortcut"),
        Some(layer) => bias && layer.starts_with("conv"),
        None => false,
    }
}

/// The name in PyTorch of one of our tensors: `stages.1.0.bn1.scale` is `layer2.0.bn1.weight`.
fn torch_name(path: &str) -> String {
    let path = path.strip_prefix("stem.").unwrap_or(path);
    let stage_and_rest = path
        .strip_prefix("stages.")
        .and_then(|rest| rest.split_once('.'));
    let path =
        match stage_and_rest.and_then(|(stage, rest)| Some((stage.parse::<usize>().ok()?, rest))) {
            Some((stage, rest)) => format!("layer{}.{rest}", stage + 1),
            None => path.to_owned(),
        };
    match path.strip_suffix(".scale") {
        Some(layer) => format!("{layer}.weight"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_book() {
        for (ours, theirs) in [
            ("stem.conv1.weight", "conv1.weight"),
            ("stem.bn1.running_var", "bn1.running_var"),
            ("stages.1.0.bn1.scale", "layer2.0.bn1.weight"),
            ("stages.2.10.shortcut.0.bias", "layer3.10.shortcut.0.bias"),
            ("shortcut.1.scale", "shortcut.1.weight"),
            ("fc.bias", "fc.bias"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }

    #[test]
    fn biases_of_convolutions_are_told_from_others() {
        for name in [
            "conv1.bias",
            "layer1.0.conv2.bias",
            "layer2.0.shortcut.0.bias",
        ] {
            assert!(is_conv_bias(name), "{name}");
        }
        for name in [
            "fc.bias",
            "bn1.bias",
            "layer2.0.shortcut.1.bias",
            "conv1.weight",
            "bias",
        ] {
            assert!(!is_conv_bias(name), "{name}");
        }
    }
}

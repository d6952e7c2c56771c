//! PyTorch's names for the tensors of EfficientNet.

use crate::weights::{WeightsError, load_renamed, renamed};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::path::Path;

/// torchvision's names for those of a network. The first block has no expansion, and torchvision counts the parts that
/// are there.
const TORCHVISION: [(&str, &str); 15] = [
    (".gate.reduce", ".fc1"),
    (".gate.expand", ".fc2"),
    (".conv.", ".0."),
    (".norm.", ".1."),
    ("stem.", "features.0."),
    ("head.", "features.8."),
    ("classifier.", "classifier.1."), // 0 is the dropout
    ("stage1.0.depthwise.", "features.1.0.block.0."),
    ("stage1.0.squeeze_excitation.", "features.1.0.block.1."),
    ("stage1.0.project.", "features.1.0.block.2."),
    ("stage", "features."),
    (".expand.", ".block.0."),
    (".depthwise.", ".block.1."),
    (".squeeze_excitation.", ".block.2."),
    (".project.", ".block.3."),
];

/// The book's names for those of a single block.
const BLOCK: [(&str, &str); 8] = [
    ("expand.0.", "expand_conv."),
    ("expand.1.", "bn0."),
    ("depthwise.0.", "depthwise_conv."),
    ("depthwise.1.", "bn1."),
    ("squeeze_excitation.gate.reduce.", "se_reduce."),
    ("squeeze_excitation.gate.expand.", "se_expand."),
    ("project.0.", "project_conv."),
    ("project.1.", "bn2."),
];

/// Puts the weights of a safetensors file with PyTorch's names into [`EfficientNetB0`](super::EfficientNetB0) or a
/// single [`MBConv`](super::MBConv).
///
/// The names of a network are torchvision's (`features.2.0.block.0.0.weight`), those of a block the book's
/// (`expand_conv.weight`). `num_batches_tracked` is skipped.
/// In Python, `safetensors.torch.save_file(model.state_dict(), "weights.safetensors")` writes such a file.
///
/// # Errors
/// [`WeightsError`] lists every name that is missing, extra or of another shape; nothing is loaded then.
///
/// # Example
/// ```no_run
/// use dldna_nn::{efficientnet::{EfficientNetB0, load_torch_weights}, prelude::*};
///
/// let dev = Cpu::default();
/// let mut network = dev.build_module::<EfficientNetB0<1000>, f32>();
/// load_torch_weights(&mut network, "efficientnet_b0.safetensors")?;
/// # Ok::<(), dldna_nn::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    load_renamed(network, path.as_ref(), torch_name)
}

/// The name in PyTorch of one of our tensors.
fn torch_name(path: &str) -> String {
    let of_network = ["stem.", "stage", "head.", "classifier."];
    if of_network.iter().any(|part| path.starts_with(part)) {
        renamed(path, &TORCHVISION)
    } else {
        renamed(path, &BLOCK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_torchvision() {
        for (ours, theirs) in [
            ("stem.conv.weight", "features.0.0.weight"),
            ("stem.norm.weight", "features.0.1.weight"),
            (
                "stage1.0.depthwise.0.weight",
                "features.1.0.block.0.0.weight",
            ),
            (
                "stage1.0.squeeze_excitation.gate.reduce.bias",
                "features.1.0.block.1.fc1.bias",
            ),
            (
                "stage1.0.project.1.running_var",
                "features.1.0.block.2.1.running_var",
            ),
            ("stage2.1.expand.0.weight", "features.2.1.block.0.0.weight"),
            (
                "stage5.2.depthwise.1.weight",
                "features.5.2.block.1.1.weight",
            ),
            (
                "stage7.0.squeeze_excitation.gate.expand.weight",
                "features.7.0.block.2.fc2.weight",
            ),
            ("stage7.0.project.0.weight", "features.7.0.block.3.0.weight"),
            ("head.norm.running_mean", "features.8.1.running_mean"),
            ("classifier.bias", "classifier.1.bias"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }

    #[test]
    fn names_of_a_block_are_those_of_the_book() {
        for (ours, theirs) in [
            ("expand.0.weight", "expand_conv.weight"),
            ("expand.1.weight", "bn0.weight"),
            ("squeeze_excitation.gate.expand.bias", "se_expand.bias"),
            ("project.0.weight", "project_conv.weight"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }
}

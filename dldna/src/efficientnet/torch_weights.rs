//! PyTorch's names for the tensors of EfficientNet.

use crate::weights::{TensorFile, WeightsError};
use dfdx::prelude::{Device, tensor_collection::TensorCollection};
use std::path::Path;

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
/// use dldna::{efficientnet::{EfficientNetB0, load_torch_weights}, prelude::*};
///
/// let dev = Cpu::default();
/// let mut network = dev.build_module::<EfficientNetB0<1000>, f32>();
/// load_torch_weights(&mut network, "efficientnet_b0.safetensors")?;
/// # Ok::<(), dldna::weights::WeightsError>(())
/// ```
pub fn load_torch_weights<M: TensorCollection<f32, D>, D: Device<f32>>(
    network: &mut M,
    path: impl AsRef<Path>,
) -> Result<(), WeightsError> {
    let path = path.as_ref();
    TensorFile::read(path)?.put_into(network, path, torch_name, |_| false)
}

/// The name in PyTorch of one of our tensors.
fn torch_name(path: &str) -> String {
    let path = match path.strip_suffix(".scale") {
        Some(layer) => format!("{layer}.weight"),
        None => path.to_owned(),
    };
    let (part, rest) = path.split_once('.').unwrap_or((&path, ""));
    match part {
        "stem" => format!("features.0.{}", conv_norm_name(rest)),
        "head" => format!("features.8.{}", conv_norm_name(rest)),
        "classifier" => format!("classifier.1.{rest}"), // 0 is the dropout
        "stages" => stage_name(rest).unwrap_or(path),
        _ => block_name(&path),
    }
}

/// `1.0.2.bn1.weight`, of the third block of the first stage of the second half, is `features.5.2.block.1.1.weight`.
fn stage_name(path: &str) -> Option<String> {
    let mut parts = path.splitn(4, '.');
    let half: usize = parts.next()?.parse().ok()?;
    let stage: usize = parts.next()?.parse().ok()?;
    let (block, rest) = (parts.next()?, parts.next()?);
    // The first block of the network has no expansion, and torchvision counts the parts that are there.
    let first = usize::from((half, stage) != (0, 0));
    let (part, rest) = rest.split_once('.')?;
    let rest = match part {
        "expansion" => format!("0.{}", conv_norm_name(rest)),
        "depthwise_conv" => format!("{first}.0.{rest}"),
        "bn1" => format!("{first}.1.{rest}"),
        "squeeze_excitation" => {
            let rest = rest.replace("reduce", "fc1").replace("expand", "fc2");
            format!("{}.{rest}", first + 1)
        }
        "project_conv" => format!("{}.0.{rest}", first + 2),
        "bn2" => format!("{}.1.{rest}", first + 2),
        _ => return None,
    };
    Some(format!(
        "features.{}.{block}.block.{rest}",
        4 * half + stage + 1
    ))
}

/// `conv` and `norm` by number.
fn conv_norm_name(path: &str) -> String {
    path.replace("conv.", "0.").replace("norm.", "1.")
}

/// The book's name of a tensor of a block.
fn block_name(path: &str) -> String {
    path.replace("expansion.conv.", "expand_conv.")
        .replace("expansion.norm.", "bn0.")
        .replace("squeeze_excitation.", "se_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_torchvision() {
        for (ours, theirs) in [
            ("stem.conv.weight", "features.0.0.weight"),
            ("stem.norm.scale", "features.0.1.weight"),
            (
                "stages.0.0.0.depthwise_conv.weight",
                "features.1.0.block.0.0.weight",
            ),
            (
                "stages.0.0.0.squeeze_excitation.reduce.bias",
                "features.1.0.block.1.fc1.bias",
            ),
            (
                "stages.0.0.0.bn2.running_var",
                "features.1.0.block.2.1.running_var",
            ),
            (
                "stages.0.1.1.expansion.conv.weight",
                "features.2.1.block.0.0.weight",
            ),
            ("stages.1.0.2.bn1.scale", "features.5.2.block.1.1.weight"),
            (
                "stages.1.2.0.squeeze_excitation.expand.weight",
                "features.7.0.block.2.fc2.weight",
            ),
            (
                "stages.1.2.0.project_conv.weight",
                "features.7.0.block.3.0.weight",
            ),
            ("head.norm.running_mean", "features.8.1.running_mean"),
            ("classifier.bias", "classifier.1.bias"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }

    #[test]
    fn names_of_a_block_are_those_of_the_book() {
        for (ours, theirs) in [
            ("expansion.conv.weight", "expand_conv.weight"),
            ("expansion.norm.scale", "bn0.weight"),
            ("squeeze_excitation.expand.bias", "se_expand.bias"),
            ("project_conv.weight", "project_conv.weight"),
        ] {
            assert_eq!(torch_name(ours), theirs);
        }
    }
}

//! PyTorch's names for the tensors of EfficientNet, with squeeze-and-excitation (B0) and without (Lite0).

use crate::weights::{Naming, counted, renamed};

/// torchvision's. The first block has no expansion, and torchvision counts the parts that are there.
pub(in crate::families) const TORCHVISION: Naming = Naming::new(|name| {
    renamed(
        name,
        &[
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
        ],
    )
});

/// timm's, for MobileNetV2 too. It counts stages from 0, and in each block the batch norms that are there from 1.
pub(in crate::families) const TIMM: Naming = Naming::new(|name| {
    renamed(
        name,
        &[
            ("squeeze_excitation.gate.reduce", "se.conv_reduce"),
            ("squeeze_excitation.gate.expand", "se.conv_expand"),
            ("stem.conv.", "conv_stem."),
            ("stem.norm.", "bn1."),
            ("head.conv.", "conv_head."),
            ("head.norm.", "bn2."),
            ("stage1.0.depthwise.0.", "blocks.0.0.conv_dw."),
            ("stage1.0.depthwise.1.", "blocks.0.0.bn1."),
            ("stage1.0.project.0.", "blocks.0.0.conv_pw."),
            ("stage1.0.project.1.", "blocks.0.0.bn2."),
            ("stage1.", "blocks.0."),
            ("stage2.", "blocks.1."),
            ("stage3.", "blocks.2."),
            ("stage4.", "blocks.3."),
            ("stage5.", "blocks.4."),
            ("stage6.", "blocks.5."),
            ("stage7.", "blocks.6."),
            (".expand.0.", ".conv_pw."),
            (".expand.1.", ".bn1."),
            (".depthwise.0.", ".conv_dw."),
            (".depthwise.1.", ".bn2."),
            (".project.0.", ".conv_pwl."),
            (".project.1.", ".bn3."),
        ],
    )
});

/// The names of the parts of a block, in the book and in `efficientnet_pytorch`.
const PARTS: [(&str, &str); 8] = [
    ("squeeze_excitation.gate.reduce.", "se_reduce."),
    ("squeeze_excitation.gate.expand.", "se_expand."),
    ("expand.0.", "expand_conv."),
    ("expand.1.", "bn0."),
    ("depthwise.0.", "depthwise_conv."),
    ("depthwise.1.", "bn1."),
    ("project.0.", "project_conv."),
    ("project.1.", "bn2."),
];

/// The book's, of a single block.
pub(in crate::families) const BLOCK: Naming = Naming::new(|name| renamed(name, &PARTS));

/// Those of the packages `efficientnet_pytorch` and `efficientnet_lite_pytorch`, with weights of TensorFlow.
pub(in crate::families) const EFFICIENTNET_PYTORCH: Naming = Naming::new(|name| {
    const LAYERS: [usize; 7] = [1, 2, 2, 3, 3, 4, 1];
    let outside_blocks = [
        ("stem.conv.", "_conv_stem."),
        ("stem.norm.", "_bn0."),
        ("head.conv.", "_conv_head."),
        ("head.norm.", "_bn1."),
        ("classifier.", "_fc."),
    ];
    let name = renamed(&counted(name, &LAYERS, "_blocks", 0), &outside_blocks);
    match name
        .strip_prefix("_blocks.")
        .and_then(|name| name.split_once('.'))
    {
        Some((block, part)) => format!("_blocks.{block}._{}", renamed(part, &PARTS)),
        None => name,
    }
})
.with_epsilon(1e-3);

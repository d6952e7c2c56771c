//! The names that files from elsewhere have for the tensors of the networks of the literature.

/// What our batch norms and PyTorch's add to the variance, unless told otherwise.
pub(super) const EPSILON: f32 = 1e-5;

/// A file is tried with each of them. Networks of one's own have the names of their fields, which come first.
pub(super) static NAMINGS: [Naming; 7] = [
    Naming::new(str::to_owned),
    RESNET,
    TORCHVISION_EFFICIENTNET,
    TIMM,
    EFFICIENTNET_PYTORCH,
    BLOCK,
    TORCHVISION_MOBILENET,
];

/// How files of one origin call the tensors of our networks.
pub(super) struct Naming {
    name_of: fn(&str) -> String,
    /// What their batch norms add to the variance.
    pub epsilon: f32,
}

impl Naming {
    /// Their name for one of ours is what `name_of` gives.
    const fn new(name_of: fn(&str) -> String) -> Self {
        let epsilon = EPSILON;
        Self { name_of, epsilon }
    }

    const fn with_epsilon(self, epsilon: f32) -> Self {
        Self { epsilon, ..self }
    }

    /// Their name for one of ours.
    pub fn name_of(&self, name: &str) -> String {
        (self.name_of)(name)
    }
}

/// torchvision's and timm's ResNet: only the way around a block has another name.
const RESNET: Naming = Naming::new(|name| renamed(name, &[("shortcut.", "downsample.")]));

/// torchvision's EfficientNet. The first block has no expansion, and torchvision counts the parts that are there.
const TORCHVISION_EFFICIENTNET: Naming = Naming::new(|name| {
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

/// timm's EfficientNet and MobileNetV2. It counts stages from 0, and in each block the batch norms that are there from 1.
const TIMM: Naming = Naming::new(|name| {
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
const BLOCK: Naming = Naming::new(|name| renamed(name, &PARTS));

/// Those of the packages `efficientnet_pytorch` and `efficientnet_lite_pytorch`, with weights of TensorFlow.
const EFFICIENTNET_PYTORCH: Naming = Naming::new(|name| {
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

/// torchvision's MobileNetV2. It counts blocks through all stages, and in a block the parts that are there.
const TORCHVISION_MOBILENET: Naming = Naming::new(|name| {
    const LAYERS: [usize; 7] = [1, 2, 3, 4, 3, 3, 1];
    renamed(
        &counted(name, &LAYERS, "features", 1),
        &[
            ("stem.conv.", "features.0.0."),
            ("stem.norm.", "features.0.1."),
            ("head.conv.", "features.18.0."),
            ("head.norm.", "features.18.1."),
            ("classifier.", "classifier.1."), // 0 is the dropout
            ("features.1.depthwise.", "features.1.conv.0."),
            ("features.1.project.0.", "features.1.conv.1."),
            ("features.1.project.1.", "features.1.conv.2."),
            (".expand.", ".conv.0."),
            (".depthwise.", ".conv.1."),
            (".project.0.", ".conv.2."),
            (".project.1.", ".conv.3."),
        ],
    )
});

/// A name after all of these renamings, one after the other: `(ours, theirs)`.
fn renamed(name: &str, renamings: &[(&str, &str)]) -> String {
    let rename = |name: String, (ours, theirs): &(&str, &str)| name.replace(ours, theirs);
    renamings.iter().fold(name.to_owned(), rename)
}

/// A name in a network whose stages have `layers` blocks, where those of all stages are counted together, from `first` on:
/// `stage2.0.` becomes `{blocks}.{number}.`.
fn counted(name: &str, layers: &[usize], blocks: &str, first: usize) -> String {
    let counted = || {
        let (stage, rest) = name.strip_prefix("stage")?.split_once('.')?;
        let (block, rest) = rest.split_once('.')?;
        let before = layers.get(..stage.parse::<usize>().ok()?.checked_sub(1)?)?;
        let number = first + before.iter().sum::<usize>() + block.parse::<usize>().ok()?;
        Some(format!("{blocks}.{number}.{rest}"))
    };
    counted().unwrap_or_else(|| name.to_owned())
}

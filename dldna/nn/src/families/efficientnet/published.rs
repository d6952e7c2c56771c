//! What papers state of networks on ImageNet.

/// A network's accuracy on ImageNet and its cost, as its paper states them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Published {
    /// The network.
    pub name: &'static str,
    /// Percentage of images whose class is the network's first choice.
    pub top1: f64,
    /// Percentage of images whose class is among the network's first five choices.
    pub top5: f64,
    /// Parameters, in millions.
    pub parameters: f64,
    /// Multiply-adds for one image, in billions; the papers call them FLOPs.
    pub multiply_adds: Option<f64>,
}

impl Published {
    /// Whether it is one of B0 to B7.
    ///
    /// ```
    /// use dldna_nn::efficientnet::published::TABLE_2;
    /// assert_eq!(TABLE_2.iter().filter(|row| row.is_efficient_net()).count(), 8);
    /// ```
    pub fn is_efficient_net(&self) -> bool {
        self.name.starts_with("EfficientNet-")
    }
}

const fn row(
    name: &'static str,
    top1: f64,
    top5: f64,
    parameters: f64,
    multiply_adds: Option<f64>,
) -> Published {
    Published {
        name,
        top1,
        top5,
        parameters,
        multiply_adds,
    }
}

/// Table 2 of Tan and Le 2019: the family and the networks of its time, single model and single crop.
#[rustfmt::skip]
pub const TABLE_2: [Published; 24] = [
    row("EfficientNet-B0", 77.1, 93.3, 5.3, Some(0.39)),
    row("ResNet-50", 76.0, 93.0, 26.0, Some(4.1)),
    row("DenseNet-169", 76.2, 93.2, 14.0, Some(3.5)),
    row("EfficientNet-B1", 79.1, 94.4, 7.8, Some(0.7)),
    row("ResNet-152", 77.8, 93.8, 60.0, Some(11.0)),
    row("DenseNet-264", 77.9, 93.9, 34.0, Some(6.0)),
    row("Inception-v3", 78.8, 94.4, 24.0, Some(5.7)),
    row("Xception", 79.0, 94.5, 23.0, Some(8.4)),
    row("EfficientNet-B2", 80.1, 94.9, 9.2, Some(1.0)),
    row("Inception-v4", 80.0, 95.0, 48.0, Some(13.0)),
    row("Inception-ResNet-v2", 80.1, 95.1, 56.0, Some(13.0)),
    row("EfficientNet-B3", 81.6, 95.7, 12.0, Some(1.8)),
    row("ResNeXt-101", 80.9, 95.6, 84.0, Some(32.0)),
    row("PolyNet", 81.3, 95.8, 92.0, Some(35.0)),
    row("EfficientNet-B4", 82.9, 96.4, 19.0, Some(4.2)),
    row("SENet", 82.7, 96.2, 146.0, Some(42.0)),
    row("NASNet-A", 82.7, 96.2, 89.0, Some(24.0)),
    row("AmoebaNet-A", 82.8, 96.1, 87.0, Some(23.0)),
    row("PNASNet", 82.9, 96.2, 86.0, Some(23.0)),
    row("EfficientNet-B5", 83.6, 96.7, 30.0, Some(9.9)),
    row("AmoebaNet-C", 83.5, 96.5, 155.0, Some(41.0)),
    row("EfficientNet-B6", 84.0, 96.8, 43.0, Some(19.0)),
    row("EfficientNet-B7", 84.3, 97.0, 66.0, Some(37.0)),
    row("GPipe", 84.3, 97.0, 557.0, None),
];

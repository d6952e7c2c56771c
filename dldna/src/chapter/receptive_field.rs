//! How much of the image one unit sees.
//!
//! The *receptive field* of a unit is the square of input pixels that can influence it. It grows with every layer by
//! the layer's kernel, and the growth is multiplied by all strides before it:
//!
//! ```text
//! r_l = r_(l-1) + (k_l - 1) * d_l * j_(l-1)      receptive field, in pixels of the input; r_0 = 1
//! j_l = j_(l-1) * s_l                            jump: input pixels between two neighbouring units; j_0 = 1
//! ```
//!
//! with kernel `k`, stride `s` and dilation `d`. (Araujo, Norris and Sim, "Computing Receptive Fields of
//! Convolutional Neural Networks", Distill 2019.)
//!
//! [`receptive_fields`] computes this for a list of layers. [`effective_receptive_field`] measures it: it
//! back-propagates from one output unit of a real network and looks which input pixels get a gradient.

use std::fmt;

use dfdx::prelude::*;
use ndarray::Array2;

use crate::{
    nn::{AvgPool2D, Conv2D, modules},
    summary::{OutputSizeError, conv_output_size, receptive_field_behind},
    table::Table,
};

/// Why no receptive field can be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceptiveFieldError {
    /// A layer has no output: its kernel, stride or dilation is zero, or its kernel is larger than what it gets.
    #[error("layer `{layer}` has no output: {source}")]
    OutputSize {
        /// Name of the layer.
        layer: String,
        /// What does not fit.
        source: OutputSizeError,
    },
    /// The receptive field or the jump is too large for `usize`.
    #[error("the receptive field of layer `{layer}` is too large to count")]
    Overflow {
        /// Name of the layer.
        layer: String,
    },
    /// The image is smaller than the receptive field that is to be measured in it.
    #[error(
        "a receptive field of {receptive_field} pixels does not fit an image of {image_size} pixels"
    )]
    ImageTooSmall {
        /// Side of the image.
        image_size: usize,
        /// Side of the receptive field.
        receptive_field: usize,
    },
    /// The image is larger than any that is measured.
    #[error("expected an image of at most {MOST_PIXELS} pixels a side, got {image_size}")]
    ImageTooLarge {
        /// Side of the image.
        image_size: usize,
    },
    /// dfdx could not compute the gradient.
    #[error("dfdx: {0}")]
    Device(String),
}

/// Side of the largest image that [`effective_receptive_field`] takes: its gradients then need about 1 GiB.
const MOST_PIXELS: usize = 1 << 12;
/// Layers of the deepest [`ProbeNetwork`]. Each widens the receptive field by 2 pixels or more, so this one fits no image.
const MOST_LAYERS: usize = MOST_PIXELS;

impl From<CpuError> for ReceptiveFieldError {
    fn from(error: CpuError) -> Self {
        Self::Device(error.to_string())
    }
}

/// A layer that slides a window over its input: a convolution or a pooling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLayer {
    /// Name, for the table.
    pub name: String,
    /// Side of the square window.
    pub kernel: usize,
    /// Pixels between two neighbouring windows.
    pub stride: usize,
    /// Pixels added on every side.
    pub padding: usize,
    /// Pixels between two neighbouring taps of the window; 1 for an ordinary layer.
    pub dilation: usize,
}

impl WindowLayer {
    /// A layer without dilation.
    ///
    /// ```
    /// use dldna::receptive_field::WindowLayer;
    /// assert_eq!(WindowLayer::new("conv1", 3, 1, 1).dilation, 1);
    /// ```
    pub fn new(name: impl Into<String>, kernel: usize, stride: usize, padding: usize) -> Self {
        Self {
            name: name.into(),
            kernel,
            stride,
            padding,
            dilation: 1,
        }
    }

    /// The same layer with its taps `dilation` pixels apart.
    pub fn with_dilation(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }
}

/// What one layer of a network sees and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceptiveField {
    /// The layer.
    pub layer: WindowLayer,
    /// Side of the receptive field of one unit of the layer, in input pixels.
    pub size: usize,
    /// Input pixels between two neighbouring units.
    pub jump: usize,
    /// Side of the layer's output, in units.
    pub output_size: usize,
}

/// The receptive field after each layer of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceptiveFieldTable {
    /// Side of the input image.
    pub input_size: usize,
    /// One row for each layer, first layer first.
    pub rows: Vec<ReceptiveField>,
}

impl ReceptiveFieldTable {
    /// The receptive field of the last layer; 1, the pixel itself, for a network without layers.
    pub fn receptive_field(&self) -> usize {
        self.rows.last().map_or(1, |row| row.size)
    }

    fn table(&self) -> Table {
        let mut table = Table::new(
            &[
                "Layer",
                "Kernel",
                "Stride",
                "Padding",
                "Dilation",
                "Output",
                "Jump",
                "Receptive field",
            ],
            1,
        );
        let input = ["", "", "", ""].map(String::from);
        table.push(
            [
                vec!["input".into()],
                input.to_vec(),
                vec![square(self.input_size), "1".into(), square(1)],
            ]
            .concat(),
        );
        for row in &self.rows {
            let layer = &row.layer;
            table.push(vec![
                layer.name.clone(),
                square(layer.kernel),
                layer.stride.to_string(),
                layer.padding.to_string(),
                layer.dilation.to_string(),
                square(row.output_size),
                row.jump.to_string(),
                square(row.size),
            ]);
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for ReceptiveFieldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

fn square(side: usize) -> String {
    format!("{side}x{side}")
}

/// Receptive field, jump and output size after each layer, for square images of side `input_size`.
///
/// Errors: a layer without output (see [`conv_output_size`]), or numbers too large to count.
///
/// ```
/// use dldna::receptive_field::{WindowLayer, receptive_fields};
///
/// let table = receptive_fields(
///     &[WindowLayer::new("conv", 3, 1, 1), WindowLayer::new("pool", 2, 2, 0), WindowLayer::new("conv", 3, 1, 1)],
///     28,
/// )?;
/// // 1 + 2, then + 1, then + 2 * 2: the second convolution's taps are two pixels apart.
/// assert_eq!(table.rows.iter().map(|row| row.size).collect::<Vec<_>>(), [3, 4, 8]);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn receptive_fields(
    layers: &[WindowLayer],
    input_size: usize,
) -> Result<ReceptiveFieldTable, ReceptiveFieldError> {
    let (mut size, mut jump, mut output_size) = (1usize, 1usize, input_size);
    let mut rows = Vec::with_capacity(layers.len());
    for layer in layers {
        let WindowLayer {
            name,
            kernel,
            stride,
            padding,
            dilation,
        } = layer.clone();
        output_size =
            conv_output_size(output_size, kernel, stride, padding, dilation).map_err(|source| {
                ReceptiveFieldError::OutputSize {
                    layer: name.clone(),
                    source,
                }
            })?;
        let grown = receptive_field_behind((size, jump), kernel, stride, dilation);
        (size, jump) = grown.ok_or(ReceptiveFieldError::Overflow { layer: name })?;
        rows.push(ReceptiveField {
            layer: layer.clone(),
            size,
            jump,
            output_size,
        });
    }
    Ok(ReceptiveFieldTable { input_size, rows })
}

/// The windows of AlexNet up to its last pooling (Krizhevsky et al. 2012, in the widely used one-tower form).
///
/// ```
/// use dldna::receptive_field::{alexnet_layers, receptive_fields};
/// assert_eq!(receptive_fields(&alexnet_layers(), 224)?.receptive_field(), 195);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn alexnet_layers() -> Vec<WindowLayer> {
    vec![
        WindowLayer::new("conv1", 11, 4, 2),
        WindowLayer::new("pool1", 3, 2, 0),
        WindowLayer::new("conv2", 5, 1, 2),
        WindowLayer::new("pool2", 3, 2, 0),
        WindowLayer::new("conv3", 3, 1, 1),
        WindowLayer::new("conv4", 3, 1, 1),
        WindowLayer::new("conv5", 3, 1, 1),
        WindowLayer::new("pool5", 3, 2, 0),
    ]
}

/// The windows of VGG-16 up to its last pooling (Simonyan and Zisserman 2014, configuration D).
///
/// ```
/// use dldna::receptive_field::{receptive_fields, vgg16_layers};
/// let table = receptive_fields(&vgg16_layers(), 224)?;
/// assert_eq!((table.rows.len(), table.receptive_field()), (18, 212));
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn vgg16_layers() -> Vec<WindowLayer> {
    let mut layers = Vec::new();
    for (stage, convolutions) in (1..).zip([2, 2, 3, 3, 3]) {
        for index in 1..=convolutions {
            layers.push(WindowLayer::new(format!("conv{stage}_{index}"), 3, 1, 1));
        }
        layers.push(WindowLayer::new(format!("pool{stage}"), 2, 2, 0));
    }
    layers
}

/// The windows of ResNet-18 on its longest path, the shortcuts left out (He et al. 2015).
///
/// ```
/// use dldna::receptive_field::{receptive_fields, resnet18_layers};
/// assert_eq!(receptive_fields(&resnet18_layers(), 224)?.receptive_field(), 435);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn resnet18_layers() -> Vec<WindowLayer> {
    resnet_layers([2, 2, 2, 2], |name, stride| {
        vec![
            WindowLayer::new(format!("{name}.conv1"), 3, stride, 1),
            WindowLayer::new(format!("{name}.conv2"), 3, 1, 1),
        ]
    })
}

/// The windows of ResNet-50 on its longest path as it was published: the stride is in a block's first 1x1
/// convolution (He et al. 2015).
///
/// ```
/// use dldna::receptive_field::{receptive_fields, resnet50_layers};
/// assert_eq!(receptive_fields(&resnet50_layers(), 224)?.receptive_field(), 483);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn resnet50_layers() -> Vec<WindowLayer> {
    resnet_layers([3, 4, 6, 3], |name, stride| bottleneck(name, stride, 1))
}

/// The windows of ResNet-50 on its longest path as it is built today, torchvision's and ours: the stride is in a
/// block's 3x3 convolution. The 3x3 then works on the larger image, and the receptive field is smaller.
///
/// ```
/// use dldna::receptive_field::{receptive_fields, resnet50_strided_3x3_layers};
/// assert_eq!(receptive_fields(&resnet50_strided_3x3_layers(), 224)?.receptive_field(), 427);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn resnet50_strided_3x3_layers() -> Vec<WindowLayer> {
    resnet_layers([3, 4, 6, 3], |name, stride| bottleneck(name, 1, stride))
}

fn bottleneck(name: &str, first_stride: usize, middle_stride: usize) -> Vec<WindowLayer> {
    vec![
        WindowLayer::new(format!("{name}.conv1"), 1, first_stride, 0),
        WindowLayer::new(format!("{name}.conv2"), 3, middle_stride, 1),
        WindowLayer::new(format!("{name}.conv3"), 1, 1, 0),
    ]
}

/// The stem, then `blocks[stage]` blocks in each of four stages; the first block of stages 2 to 4 has stride 2.
fn resnet_layers(
    blocks: [usize; 4],
    block: impl Fn(&str, usize) -> Vec<WindowLayer>,
) -> Vec<WindowLayer> {
    let mut layers = vec![
        WindowLayer::new("conv1", 7, 2, 3),
        WindowLayer::new("maxpool", 3, 2, 1),
    ];
    for (stage, count) in (1..).zip(blocks) {
        for index in 0..count {
            let stride = if stage > 1 && index == 0 { 2 } else { 1 };
            layers.extend(block(&format!("layer{stage}.{index}"), stride));
        }
    }
    layers
}

/// A small network whose receptive field [`effective_receptive_field`] measures. All layers have one channel and no
/// padding, so that no window meets the border. A `depth` above 4,096 counts as 4,096.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeNetwork {
    /// `depth` 3x3 convolutions.
    Plain {
        /// Number of convolutions.
        depth: usize,
    },
    /// `depth` times a 3x3 convolution and a 2x2 average pooling with stride 2.
    Pooled {
        /// Number of pairs.
        depth: usize,
    },
    /// `depth` 3x3 convolutions with dilations 1, 2, 4, 1, 2, 4, and so on.
    Dilated {
        /// Number of convolutions.
        depth: usize,
    },
}

impl ProbeNetwork {
    /// The layers of the network, for [`receptive_fields`].
    ///
    /// ```
    /// use dldna::receptive_field::{ProbeNetwork, receptive_fields};
    /// let table = receptive_fields(&ProbeNetwork::Plain { depth: 8 }.layers(), 32)?;
    /// assert_eq!(table.receptive_field(), 17);
    /// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
    /// ```
    pub fn layers(self) -> Vec<WindowLayer> {
        let convolution = |index| WindowLayer::new(format!("conv{index}"), 3, 1, 0);
        let numbers = |depth: usize| 1..=depth.min(MOST_LAYERS);
        match self {
            Self::Plain { depth } => numbers(depth).map(convolution).collect(),
            Self::Pooled { depth } => numbers(depth)
                .flat_map(|index| {
                    [
                        convolution(index),
                        WindowLayer::new(format!("pool{index}"), 2, 2, 0),
                    ]
                })
                .collect(),
            Self::Dilated { depth } => numbers(depth)
                .zip([1, 2, 4].into_iter().cycle())
                .map(|(index, dilation)| convolution(index).with_dilation(dilation))
                .collect(),
        }
    }
}

/// The weights of a [`ProbeNetwork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeWeights {
    /// Every weight is 1/9: each convolution takes the mean of its window.
    Mean,
    /// Normally distributed weights; the result is the mean over several networks.
    Random {
        /// Number of networks.
        networks: usize,
        /// Seed of the first network's weights.
        seed: u64,
    },
}

/// Measures how strongly each input pixel influences one output unit: the size of the gradient of the output's
/// middle unit with respect to each pixel, by back-propagation through a network of [`crate::nn`] layers.
///
/// Outside the receptive field the gradient is exactly zero. Inside it is not uniform: pixels in the middle reach the
/// unit on many paths, pixels at the edge on few. (Luo et al., "Understanding the Effective Receptive Field in Deep
/// Convolutional Neural Networks", 2016.)
///
/// The result has shape `(image_size, image_size)`.
///
/// Errors: the receptive field is larger than the image, or the image larger than 4,096 pixels a side.
///
/// ```
/// use dldna::receptive_field::{ProbeNetwork, ProbeWeights, effective_receptive_field};
///
/// let field = effective_receptive_field(ProbeNetwork::Plain { depth: 2 }, ProbeWeights::Mean, 9)?;
/// assert_eq!(field.iter().filter(|&&gradient| gradient > 0.0).count(), 5 * 5);
/// // Nine paths lead from the middle pixel to the unit, one from each corner.
/// assert!((field[[4, 4]] / field[[2, 2]] - 9.0).abs() < 1e-4);
/// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
/// ```
pub fn effective_receptive_field(
    network: ProbeNetwork,
    weights: ProbeWeights,
    image_size: usize,
) -> Result<Array2<f32>, ReceptiveFieldError> {
    if image_size > MOST_PIXELS {
        return Err(ReceptiveFieldError::ImageTooLarge { image_size });
    }
    let layers = network.layers();
    // Without padding an image of the receptive field's size gives one unit, so the smaller of the two tells.
    let receptive_field = receptive_field_without_image(&layers)?;
    if receptive_field > image_size {
        return Err(ReceptiveFieldError::ImageTooSmall {
            image_size,
            receptive_field,
        });
    }
    let (networks, seed) = match weights {
        ProbeWeights::Mean => (1, 0),
        ProbeWeights::Random { networks, seed } => (networks, seed),
    };
    let mut total = Array2::zeros((image_size, image_size));
    for network in 0..networks {
        let dev = Cpu::seed_from_u64(seed.wrapping_add(network as u64));
        let gradient = middle_unit_gradient(&dev, &layers, weights, image_size)?;
        total += &gradient.mapv(f32::abs);
    }
    Ok(total / networks.max(1) as f32)
}

/// The receptive field of layers without padding: the smallest image that gives an output.
fn receptive_field_without_image(layers: &[WindowLayer]) -> Result<usize, ReceptiveFieldError> {
    let overflow = |layer: &WindowLayer| ReceptiveFieldError::Overflow {
        layer: layer.name.clone(),
    };
    // From the last layer back: `n` units of a layer span `(n - 1) * stride + dilation * (kernel - 1) + 1` inputs.
    layers.iter().rev().try_fold(1usize, |units, layer| {
        let span = layer.dilation * (layer.kernel - 1) + 1;
        let steps = (units - 1).checked_mul(layer.stride);
        steps
            .and_then(|steps| steps.checked_add(span))
            .ok_or_else(|| overflow(layer))
    })
}

type GrayImages<T> = Tensor<(usize, Const<1>, usize, usize), f32, Cpu, T>;

/// Gradient of the middle unit of the last layer's output with respect to the image.
///
/// The network is linear, so the gradient is the same for every image.
fn middle_unit_gradient(
    dev: &Cpu,
    layers: &[WindowLayer],
    weights: ProbeWeights,
    image_size: usize,
) -> Result<Array2<f32>, CpuError> {
    let image: GrayImages<NoneTape> =
        dev.try_zeros_like(&(1, Const::<1>, image_size, image_size))?;
    let mut x = image.leaky_trace();
    for layer in layers {
        x = match (layer.kernel, layer.dilation) {
            (2, _) => dev.build_module::<AvgPool2D<2, 2>, f32>().try_forward(x)?,
            (_, 1) => convolution::<1>(dev, weights)?.try_forward(x)?,
            (_, 2) => convolution::<2>(dev, weights)?.try_forward(x)?,
            _ => convolution::<4>(dev, weights)?.try_forward(x)?,
        };
    }
    let (_, _, height, width) = *x.shape();
    let mut one_hot = vec![0.0; height * width];
    one_hot[height / 2 * width + width / 2] = 1.0;
    let one_hot = dev.try_tensor_from_vec(one_hot, *x.shape())?;
    let gradients = x.try_mul(one_hot)?.try_sum::<(), _>()?.try_backward()?;
    let gradient = gradients.get(&image).as_vec();
    Ok(Array2::from_shape_vec((image_size, image_size), gradient)
        .expect("the gradient has the image's shape"))
}

/// A 3x3 convolution from one channel to one, without padding.
fn convolution<const DILATION: usize>(
    dev: &Cpu,
    weights: ProbeWeights,
) -> Result<modules::Conv2D<1, 1, 3, 1, 0, DILATION, f32, Cpu>, CpuError> {
    let mut convolution = dev.try_build_module::<Conv2D<1, 1, 3, 1, 0, DILATION>, f32>()?;
    match weights {
        ProbeWeights::Mean => convolution.weight = dev.try_ones()?.try_div(9.0)?,
        ProbeWeights::Random { .. } => convolution.weight = dev.sample_normal(),
    }
    Ok(convolution)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 7] = [0, 1, 2, 1 << 20, 1 << 32, usize::MAX - 1, usize::MAX];

    #[test]
    fn any_window_has_a_receptive_field_or_an_error() {
        for a in SIZES {
            for b in SIZES {
                for c in SIZES {
                    let first = WindowLayer::new("first", a, b, c).with_dilation(a);
                    let second = WindowLayer::new("second", b, c, a).with_dilation(c);
                    for input in SIZES {
                        if let Ok(table) = receptive_fields(&[first.clone(), second.clone()], input)
                        {
                            assert!(table.receptive_field() >= 1 && !table.to_string().is_empty());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn any_network_and_image_gives_a_field_or_an_error() {
        for size in SIZES {
            let networks = [
                ProbeNetwork::Plain { depth: size },
                ProbeNetwork::Pooled { depth: size },
                ProbeNetwork::Dilated { depth: size },
            ];
            for network in networks {
                assert!(network.layers().len() <= 2 * MOST_LAYERS);
                let field = effective_receptive_field(network, ProbeWeights::Mean, 9);
                assert!(field.is_err() || size <= 2, "{network:?}");
            }
            let network = ProbeNetwork::Plain { depth: 1 };
            let field = effective_receptive_field(network, ProbeWeights::Mean, size);
            assert!(field.is_err(), "{size}");
        }
        let weights = ProbeWeights::Random {
            networks: 0,
            seed: 0,
        };
        let field =
            effective_receptive_field(ProbeNetwork::Plain { depth: 1 }, weights, 5).unwrap();
        assert!(field.iter().all(|&gradient| gradient == 0.0));
        let network = ProbeNetwork::Plain { depth: 1 };
        let error = effective_receptive_field(network, ProbeWeights::Mean, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("1048576"), "{error}");
    }
}

//! The two small networks of section 7.1.2, what their layers give, and what pooling does to a shifted image.

use std::fmt;

use dfdx::prelude::*;
use ndarray::{Array2, ArrayView4, s};

use crate::{
    network,
    nn::{self, BatchNorm2D, BiasedConv2D, MaxPool2D, relu},
    simple_conv::{Tensor4, elements},
    table::Table,
};

network! {
    /// Two convolutions: `(batch, 1, height, width)` to 32 and then to 64 channels, a ReLU after each.
    ///
    /// ```
    /// use dldna::{cnn::SimpleCnn, prelude::*};
    ///
    /// let cnn = SimpleCnn::new(7);
    /// let images = Cpu::default().zeros_like(&(4, Const::<1>, 28, 28));
    /// let features = cnn.forward(images);
    /// assert_eq!(*features.shape(), (4, Const::<64>, 28, 28));
    /// ```
    pub struct SimpleCnn {
        conv1: BiasedConv2D<1, 32, 3, 1, 1>,
        conv2: BiasedConv2D<32, 64, 3, 1, 1>,
    }
    forward(x: Images<1>) -> Images<64> {
        relu(conv2(relu(conv1(x))))
    }
}

impl SimpleCnn {
    /// The network on the CPU, with random weights that are the same for the same `seed`.
    pub fn new(seed: u64) -> Self {
        BuildModule::build(&Cpu::seed_from_u64(seed))
    }

    /// What every layer gives for `images`.
    ///
    /// ```
    /// use dldna::{cnn::SimpleCnn, prelude::*};
    ///
    /// let images = Cpu::default().sample_normal_like(&(4, Const::<1>, 28, 28));
    /// let maps = SimpleCnn::new(7).feature_maps(&images)?;
    /// assert_eq!(maps.maps[1].shape(), [4, 32, 28, 28]);
    /// println!("{maps}");
    /// # Ok::<(), CpuError>(())
    /// ```
    pub fn feature_maps<B: Dim, H: Dim, W: Dim>(
        &self,
        images: &Tensor<(B, Const<1>, H, W), f32, Cpu>,
    ) -> Result<FeatureMaps, CpuError> {
        let mut maps = FeatureMaps::starting_with(images);
        let x = maps.keep("conv1", self.conv1.try_forward(images.clone())?);
        let x = maps.keep("relu1", x.try_relu()?);
        let x = maps.keep("conv2", self.conv2.try_forward(x)?);
        maps.keep("relu2", x.try_relu()?);
        Ok(maps)
    }
}

network! {
    /// Three convolutions for low, middle and high level features: `(batch, 3, height, width)` to 64, 128 and then 256
    /// channels, a batch norm and a ReLU after each.
    ///
    /// `forward` evaluates with the running statistics of the batch norms, `forward_mut` on a traced tensor trains.
    ///
    /// ```
    /// use dldna::{cnn::HierarchicalCnn, prelude::*};
    ///
    /// let cnn = HierarchicalCnn::new(7);
    /// let images = Cpu::default().zeros_like(&(2, Const::<3>, 8, 8));
    /// assert_eq!(*cnn.forward(images).shape(), (2, Const::<256>, 8, 8));
    /// ```
    pub struct HierarchicalCnn {
        conv1: BiasedConv2D<3, 64, 3, 1, 1>, // edges and textures
        bn1: BatchNorm2D<64>,
        conv2: BiasedConv2D<64, 128, 3, 1, 1>, // patterns and parts of shapes
        bn2: BatchNorm2D<128>,
        conv3: BiasedConv2D<128, 256, 3, 1, 1>, // parts of objects
        bn3: BatchNorm2D<256>,
    }
    forward(x: Images<3>) -> Images<256> {
        let low = relu(bn1(conv1(x)));
        let middle = relu(bn2(conv2(low)));
        relu(bn3(conv3(middle)))
    }
}

impl HierarchicalCnn {
    /// The network on the CPU, with random weights that are the same for the same `seed`.
    pub fn new(seed: u64) -> Self {
        BuildModule::build(&Cpu::seed_from_u64(seed))
    }

    /// What every layer gives for `images`, with the running statistics of the batch norms.
    pub fn feature_maps<B: Dim, H: Dim, W: Dim>(
        &self,
        images: &Tensor<(B, Const<3>, H, W), f32, Cpu>,
    ) -> Result<FeatureMaps, CpuError> {
        let mut maps = FeatureMaps::starting_with(images);
        let x = maps.keep("conv1", self.conv1.try_forward(images.clone())?);
        let x = maps.keep("bn1", self.bn1.try_forward(x)?);
        let x = maps.keep("relu1", x.try_relu()?);
        let x = maps.keep("conv2", self.conv2.try_forward(x)?);
        let x = maps.keep("bn2", self.bn2.try_forward(x)?);
        let x = maps.keep("relu2", x.try_relu()?);
        let x = maps.keep("conv3", self.conv3.try_forward(x)?);
        let x = maps.keep("bn3", self.bn3.try_forward(x)?);
        maps.keep("relu3", x.try_relu()?);
        Ok(maps)
    }
}

/// What one layer gave.
#[derive(Debug, Clone)]
pub struct FeatureMap {
    /// Name of the layer.
    pub layer: String,
    /// `(batch, channel, height, width)`.
    pub values: Tensor4,
}

impl FeatureMap {
    /// Batch, channels, height and width.
    pub fn shape(&self) -> [usize; 4] {
        self.values.shape().concrete()
    }

    /// The picture that one channel makes of one image; `None` if there is no such image or channel.
    pub fn channel(&self, image: usize, channel: usize) -> Option<Array2<f32>> {
        let [batch, channels, ..] = self.shape();
        let values = elements(&self.values);
        let maps = ArrayView4::from_shape(self.shape(), &values).ok()?;
        (image < batch && channel < channels)
            .then(|| maps.slice(s![image, channel, .., ..]).to_owned())
    }

    /// The share of values that are exactly zero, between 0 and 1: what a ReLU has switched off.
    pub fn zero_share(&self) -> f64 {
        let values = elements(&self.values);
        let zeros = values.iter().filter(|&&value| value == 0.0).count();
        zeros as f64 / values.len().max(1) as f64
    }
}

/// What the layers of a network gave, one after the other, the input first.
#[derive(Debug, Clone)]
pub struct FeatureMaps {
    /// One for each layer.
    pub maps: Vec<FeatureMap>,
}

impl FeatureMaps {
    pub(crate) fn starting_with<S: Shape<Concrete = [usize; 4]>>(
        images: &Tensor<S, f32, Cpu>,
    ) -> Self {
        let mut maps = Self { maps: Vec::new() };
        maps.keep("input", images.clone());
        maps
    }

    /// Keeps what a layer gave, and hands it on to the next.
    pub(crate) fn keep<S: Shape<Concrete = [usize; 4]>>(
        &mut self,
        layer: &str,
        output: Tensor<S, f32, Cpu>,
    ) -> Tensor<S, f32, Cpu> {
        let [batch, channels, height, width] = output.shape().concrete();
        let values = output
            .device()
            .tensor_from_vec(elements(&output), (batch, channels, height, width));
        self.maps.push(FeatureMap {
            layer: layer.to_string(),
            values,
        });
        output
    }

    /// What the layer called `layer` gave.
    pub fn get(&self, layer: &str) -> Option<&FeatureMap> {
        self.maps.iter().find(|map| map.layer == layer)
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["Layer", "Output shape", "Zeros"], 2);
        for map in &self.maps {
            let zeros = format!("{:.1}%", 100.0 * map.zero_share());
            table.push(vec![map.layer.clone(), format!("{:?}", map.shape()), zeros]);
        }
        table
    }

    /// Shows shapes and shares of zeros in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for FeatureMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// How much the features of a shifted image differ from those of the image, at the same place:
/// `|f(shifted) - f(image)| / |f(image)|`, with Euclidean norms. 0 means that nothing changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiftResponse {
    /// Pixels by which the image was moved to the right.
    pub shift: usize,
    /// Change of the image itself.
    pub image: f32,
    /// Change of the features before pooling.
    pub convolution: f32,
    /// Change after 2x2 max pooling with stride 2.
    pub pool2: f32,
    /// Change after 4x4 max pooling with stride 4.
    pub pool4: f32,
    /// Change of the largest value of each channel.
    pub global: f32,
}

/// [`ShiftResponse`]s for growing shifts.
#[derive(Debug, Clone, PartialEq)]
pub struct ShiftTable {
    /// One row for each shift, from 0 pixels on.
    pub rows: Vec<ShiftResponse>,
}

impl ShiftTable {
    fn table(&self) -> Table {
        let headers = [
            "Shift",
            "Image",
            "Convolution",
            "Max pool 2x2",
            "Max pool 4x4",
            "Global max",
        ];
        let mut table = Table::new(&headers, 0);
        for row in &self.rows {
            let changes = [row.image, row.convolution, row.pool2, row.pool4, row.global];
            let changes = changes.map(|change| format!("{change:.3}"));
            table.push([vec![format!("{} px", row.shift)], changes.to_vec()].concat());
        }
        table
    }

    /// Shows the table in the notebook.
    pub fn evcxr_display(&self) {
        self.table().show("");
    }
}

impl fmt::Display for ShiftTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table().fmt(f)
    }
}

/// Why [`shift_response`] has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShiftError {
    /// The pooling window does not fit the images.
    #[error("images must be at least 4x4 pixels for the 4x4 pooling, but are {height}x{width}")]
    ImageTooSmall {
        /// Height of the images.
        height: usize,
        /// Width of the images.
        width: usize,
    },
    /// dfdx could not compute the features.
    #[error("dfdx: {0}")]
    Device(String),
}

impl From<CpuError> for ShiftError {
    fn from(error: CpuError) -> Self {
        Self::Device(error.to_string())
    }
}

/// Measures what pooling does for a shifted image: moves `images` by 0 to `max_shift` pixels to the right, zeros
/// following from the left, and compares the features of a 3x3 convolution (1 to 8 channels, random weights from
/// `seed`) and ReLU before and after max pooling.
///
/// Errors: the images are smaller than the 4x4 pooling window.
///
/// ```
/// use dldna::{cnn::shift_response, prelude::*};
///
/// let inside = |position| (4..10).contains(&position);
/// let square = (0..16 * 16).map(|pixel| if inside(pixel / 16) && inside(pixel % 16) { 1.0 } else { 0.0 });
/// let image = Cpu::default().tensor_from_vec(square.collect(), (1, Const::<1>, 16, 16));
///
/// let table = shift_response(&image, 2, 7)?;
/// assert_eq!(table.rows[0].convolution, 0.0);
/// assert!(table.rows[1].global < 1e-6);
/// println!("{table}");
/// # Ok::<(), dldna::cnn::ShiftError>(())
/// ```
pub fn shift_response<B: Dim, H: Dim, W: Dim>(
    images: &Tensor<(B, Const<1>, H, W), f32, Cpu>,
    max_shift: usize,
    seed: u64,
) -> Result<ShiftTable, ShiftError> {
    change_by_shift(elements(images), images.shape().concrete(), max_shift, seed)
}

/// [`shift_response`], compiled once for all shapes.
fn change_by_shift(
    pixels: Vec<f32>,
    [batch, _, height, width]: [usize; 4],
    max_shift: usize,
    seed: u64,
) -> Result<ShiftTable, ShiftError> {
    if height < 4 || width < 4 {
        return Err(ShiftError::ImageTooSmall { height, width });
    }
    let dev = Cpu::seed_from_u64(seed);
    let convolution = dev.try_build_module::<nn::BiasedConv2D<1, 8, 3, 1, 1>, f32>()?;
    let stages = |shift: usize| -> Result<[Vec<f32>; 5], CpuError> {
        let pixels = shifted_right(pixels.clone(), width, shift);
        let image = dev.try_tensor_from_vec(pixels, (batch, Const::<1>, height, width))?;
        let features = convolution.try_forward(image.clone())?.try_relu()?;
        Ok([
            elements(&image),
            elements(&features),
            elements(&MaxPool2D::<2, 2>.try_forward(features.clone())?),
            elements(&MaxPool2D::<4, 4>.try_forward(features.clone())?),
            elements(&MaxPoolGlobal.try_forward(features)?),
        ])
    };

    let original = stages(0)?;
    let rows = (0..=max_shift).map(|shift| {
        let shifted = stages(shift)?;
        let change = |stage: usize| relative_change(&original[stage], &shifted[stage]);
        Ok(ShiftResponse {
            shift,
            image: change(0),
            convolution: change(1),
            pool2: change(2),
            pool4: change(3),
            global: change(4),
        })
    });
    Ok(ShiftTable {
        rows: rows.collect::<Result<_, ShiftError>>()?,
    })
}

/// Moves every row of `width` pixels to the right.
fn shifted_right(mut pixels: Vec<f32>, width: usize, shift: usize) -> Vec<f32> {
    let shift = shift.min(width);
    for row in pixels.chunks_exact_mut(width) {
        row.copy_within(..width - shift, shift);
        row[..shift].fill(0.0);
    }
    pixels
}

/// `|shifted - original| / |original|`; 0 where both are 0.
fn relative_change(original: &[f32], shifted: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    let difference = norm(&mut original.iter().zip(shifted).map(|(a, b)| a - b));
    if difference == 0.0 {
        0.0
    } else {
        difference / norm(&mut original.iter().copied())
    }
}

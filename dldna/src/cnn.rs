//! The two small networks of section 7.1.2, what their layers give, and what pooling does to a shifted image.

use std::fmt;

use dfdx::prelude::*;
use ndarray::{Array2, ArrayView4, s};
use num_traits::Float;
use rand_distr::uniform::SampleUniform;

use crate::{
    nn::{self, LayerDevice, MaxPool2D, modules},
    simple_conv::{Tensor4, elements},
    summary::{LayerSummary, Summarize, SummaryError},
    table::Table,
};

/// A 3x3 convolution that keeps the image's size.
type Conv3x3<const IN: usize, const OUT: usize, E, D> =
    modules::BiasedConv2D<IN, OUT, 3, 1, 1, 1, E, D>;

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
#[derive(Debug, Clone)]
pub struct SimpleCnn<E: Dtype = f32, D: Storage<E> = Cpu> {
    /// 1 to 32 channels.
    pub conv1: Conv3x3<1, 32, E, D>,
    /// 32 to 64 channels.
    pub conv2: Conv3x3<32, 64, E, D>,
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

impl<E: Dtype + Float + SampleUniform, D: Device<E>> TensorCollection<E, D> for SimpleCnn<E, D> {
    type To<E2: Dtype, D2: Device<E2>> = SimpleCnn<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv1", |cnn| &cnn.conv1, |cnn| &mut cnn.conv1),
                Self::module("conv2", |cnn| &cnn.conv2, |cnn| &mut cnn.conv2),
            ),
            |(conv1, conv2)| SimpleCnn { conv1, conv2 },
        )
    }
}

impl<E: Dtype, D: Storage<E>> NonMutableModule for SimpleCnn<E, D> {}

impl<B: Dim, H: Dim, W: Dim, D: LayerDevice, T: Tape<f32, D>>
    Module<Tensor<(B, Const<1>, H, W), f32, D, T>> for SimpleCnn<f32, D>
{
    type Output = Tensor<(B, Const<64>, usize, usize), f32, D, T>;
    type Error = D::Err;

    fn try_forward(
        &self,
        x: Tensor<(B, Const<1>, H, W), f32, D, T>,
    ) -> Result<Self::Output, D::Err> {
        let x = self.conv1.try_forward(x)?.try_relu()?; // (batch, 32, height, width)
        self.conv2.try_forward(x)?.try_relu() //           (batch, 64, height, width)
    }
}

impl<E: Dtype, D: Storage<E>> Summarize for SimpleCnn<E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("SimpleCnn", input)
            .then("conv1", &self.conv1)?
            .then("relu1", &ReLU)?
            .then("conv2", &self.conv2)?
            .then("relu2", &ReLU)
    }
}

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
#[derive(Debug, Clone)]
pub struct HierarchicalCnn<E: Dtype = f32, D: Storage<E> = Cpu> {
    /// 3 to 64 channels: edges and textures.
    pub conv1: Conv3x3<3, 64, E, D>,
    /// Normalises the output of `conv1`.
    pub bn1: modules::BatchNorm2D<64, E, D>,
    /// 64 to 128 channels: patterns and parts of shapes.
    pub conv2: Conv3x3<64, 128, E, D>,
    /// Normalises the output of `conv2`.
    pub bn2: modules::BatchNorm2D<128, E, D>,
    /// 128 to 256 channels: parts of objects.
    pub conv3: Conv3x3<128, 256, E, D>,
    /// Normalises the output of `conv3`.
    pub bn3: modules::BatchNorm2D<256, E, D>,
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

impl<E: Dtype + Float + SampleUniform, D: Device<E>> TensorCollection<E, D>
    for HierarchicalCnn<E, D>
{
    type To<E2: Dtype, D2: Device<E2>> = HierarchicalCnn<E2, D2>;

    fn iter_tensors<V: ModuleVisitor<Self, E, D>>(
        visitor: &mut V,
    ) -> Result<Option<Self::To<V::E2, V::D2>>, V::Err> {
        visitor.visit_fields(
            (
                Self::module("conv1", |cnn| &cnn.conv1, |cnn| &mut cnn.conv1),
                Self::module("bn1", |cnn| &cnn.bn1, |cnn| &mut cnn.bn1),
                Self::module("conv2", |cnn| &cnn.conv2, |cnn| &mut cnn.conv2),
                Self::module("bn2", |cnn| &cnn.bn2, |cnn| &mut cnn.bn2),
                Self::module("conv3", |cnn| &cnn.conv3, |cnn| &mut cnn.conv3),
                Self::module("bn3", |cnn| &cnn.bn3, |cnn| &mut cnn.bn3),
            ),
            |(conv1, bn1, conv2, bn2, conv3, bn3)| HierarchicalCnn {
                conv1,
                bn1,
                conv2,
                bn2,
                conv3,
                bn3,
            },
        )
    }
}

impl<B: Dim, H: Dim, W: Dim, D: LayerDevice> Module<Tensor<(B, Const<3>, H, W), f32, D>>
    for HierarchicalCnn<f32, D>
{
    type Output = Tensor<(B, Const<256>, usize, usize), f32, D>;
    type Error = D::Err;

    fn try_forward(&self, x: Tensor<(B, Const<3>, H, W), f32, D>) -> Result<Self::Output, D::Err> {
        let x = self
            .bn1
            .try_forward(self.conv1.try_forward(x)?)?
            .try_relu()?; // (batch, 64, height, width)
        let x = self
            .bn2
            .try_forward(self.conv2.try_forward(x)?)?
            .try_relu()?; // (batch, 128, height, width)
        self.bn3.try_forward(self.conv3.try_forward(x)?)?.try_relu() //           (batch, 256, height, width)
    }
}

impl<B: Dim, H: Dim, W: Dim, D: LayerDevice>
    ModuleMut<Tensor<(B, Const<3>, H, W), f32, D, OwnedTape<f32, D>>> for HierarchicalCnn<f32, D>
{
    type Output = Tensor<(B, Const<256>, usize, usize), f32, D, OwnedTape<f32, D>>;
    type Error = D::Err;

    fn try_forward_mut(
        &mut self,
        x: Tensor<(B, Const<3>, H, W), f32, D, OwnedTape<f32, D>>,
    ) -> Result<Self::Output, D::Err> {
        let x = self
            .bn1
            .try_forward_mut(self.conv1.try_forward(x)?)?
            .try_relu()?;
        let x = self
            .bn2
            .try_forward_mut(self.conv2.try_forward(x)?)?
            .try_relu()?;
        self.bn3
            .try_forward_mut(self.conv3.try_forward(x)?)?
            .try_relu()
    }
}

impl<E: Dtype, D: Storage<E>> Summarize for HierarchicalCnn<E, D> {
    fn summarize(&self, input: &[usize]) -> Result<LayerSummary, SummaryError> {
        LayerSummary::group("HierarchicalCnn", input)
            .then("conv1", &self.conv1)?
            .then("bn1", &self.bn1)?
            .then("relu1", &ReLU)?
            .then("conv2", &self.conv2)?
            .then("bn2", &self.bn2)?
            .then("relu2", &ReLU)?
            .then("conv3", &self.conv3)?
            .then("bn3", &self.bn3)?
            .then("relu3", &ReLU)
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

//! What the low, middle and high level of a small trained network look for.
//!
//! [`LevelNetwork`] has three convolutions with a pooling between them, so that a unit of a higher level sees more of
//! the image. [`LevelNetwork::strongest_patches`] finds the pieces of images that excite one channel most: a channel
//! is known by what it answers to. (Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.)

use dfdx::{
    data::OneHotEncode,
    losses::cross_entropy_with_logits_loss,
    nn::modules::Linear,
    optim::{Adam, AdamConfig},
    prelude::*,
};
use ndarray::Array2;

use crate::{
    cnn::{FeatureMap, FeatureMaps},
    data::{DataError, Dataset, DatasetExt, Normalisation},
    nn::{MaxPool2D, modules::BiasedConv2D},
    plot::{ColorMap, Figure, ImageGrid, PlotError},
};

/// What can go wrong with a [`LevelNetwork`].
#[derive(Debug, thiserror::Error)]
pub enum LevelError {
    /// The level has no such channel.
    #[error("there is no channel {channel}: the level has {channels}, numbered from 0")]
    Channel {
        /// The channel asked for.
        channel: usize,
        /// Channels of the level.
        channels: usize,
    },
    /// The images cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The figure cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// dfdx could not compute.
    #[error("dfdx: {0}")]
    Device(String),
}

impl From<CpuError> for LevelError {
    fn from(error: CpuError) -> Self {
        Self::Device(error.to_string())
    }
}

/// A level of a [`LevelNetwork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// After the first convolution: 8 channels, a unit sees 3x3 pixels.
    Low,
    /// After the second: 16 channels, a unit sees 8x8 pixels.
    Middle,
    /// After the third: 32 channels, a unit sees 18x18 pixels.
    High,
}

impl Level {
    /// Number of channels.
    pub fn channels(self) -> usize {
        match self {
            Level::Low => 8,
            Level::Middle => 16,
            Level::High => 32,
        }
    }

    /// Side of the square of pixels that one unit sees.
    ///
    /// ```
    /// use dldna::{feature_levels::Level, receptive_field::{WindowLayer, receptive_fields}};
    ///
    /// let conv = || WindowLayer::new("conv", 3, 1, 1);
    /// let pool = || WindowLayer::new("pool", 2, 2, 0);
    /// let table = receptive_fields(&[conv(), pool(), conv(), pool(), conv()], 28)?;
    /// assert_eq!(table.receptive_field(), Level::High.receptive_field());
    /// # Ok::<(), dldna::receptive_field::ReceptiveFieldError>(())
    /// ```
    pub fn receptive_field(self) -> usize {
        match self {
            Level::Low => 3,
            Level::Middle => 8,
            Level::High => 18,
        }
    }

    /// First pixel, along one side, that the unit at `position` sees; negative in the padding.
    fn first_pixel(self, position: usize) -> isize {
        let position = position as isize;
        match self {
            Level::Low => position - 1,
            Level::Middle => 2 * position - 3,
            Level::High => 4 * position - 7,
        }
    }
}

/// The piece of an image that one unit sees, with the unit's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// Index of the image in its data set.
    pub image: usize,
    /// Row and column of the unit in its feature map.
    pub unit: [usize; 2],
    /// The unit's value, after the ReLU.
    pub value: f32,
    /// The pixels it sees, 0 to 1; zeros beyond the border.
    pub pixels: Array2<f32>,
}

type Images<const C: usize, T> = Tensor<(usize, Const<C>, usize, usize), f32, Cpu, T>;
type Conv3x3<const IN: usize, const OUT: usize> = BiasedConv2D<IN, OUT, 3, 1, 1, 1, f32, Cpu>;
type Layers = (
    Conv3x3<1, 8>,
    Conv3x3<8, 16>,
    Conv3x3<16, 32>,
    Linear<32, 10, f32, Cpu>,
);

/// A classifier of 28x28 images in ten classes, with three levels of features:
///
/// ```text
/// (batch, 1, 28, 28)  conv 3x3, ReLU                  (batch,  8, 28, 28)  low
///                     max pool 2x2, conv 3x3, ReLU    (batch, 16, 14, 14)  middle
///                     max pool 2x2, conv 3x3, ReLU    (batch, 32,  7,  7)  high
///                     largest value of each channel, linear     (batch, 10)
/// ```
#[derive(Debug, Clone)]
pub struct LevelNetwork {
    layers: Layers,
}

const BATCH: usize = 50;

impl LevelNetwork {
    /// A network with random weights, the same for the same `seed`.
    pub fn new(seed: u64) -> Self {
        let layers = BuildModule::build(&Cpu::seed_from_u64(seed));
        Self { layers }
    }

    /// Trains on `data` with Adam (learning rate 3e-3), each epoch in a new order, and gives the mean loss of every
    /// epoch.
    ///
    /// Errors: dfdx is out of memory.
    pub fn train(
        &mut self,
        data: &Dataset,
        epochs: usize,
        seed: u64,
    ) -> Result<Vec<f32>, LevelError> {
        let dev = Cpu::default();
        let config = AdamConfig {
            lr: 3e-3,
            ..AdamConfig::default()
        };
        let mut adam = Adam::new(&self.layers, config);
        let mut gradients = self.layers.try_alloc_grads()?;
        let mut losses = Vec::with_capacity(epochs);
        for epoch in 0..epochs {
            let shuffled = data.shuffled(seed.wrapping_add(epoch as u64));
            let mut total = 0.0;
            for batch in shuffled.batches(BATCH, Normalisation::UNIT) {
                let count = batch.labels.len();
                let images = batch.to_tensor(&dev).traced(gradients);
                let logits = self.logits(images)?;
                let targets = dev.one_hot_encode(Const::<10>, batch.labels);
                let loss = cross_entropy_with_logits_loss(logits, targets);
                total += loss.array() * count as f32;
                gradients = loss.try_backward()?;
                adam.update(&mut self.layers, &gradients)
                    .map_err(|error| LevelError::Device(format!("{error:?}")))?;
                self.layers.try_zero_grads(&mut gradients)?;
            }
            losses.push(total / data.len().max(1) as f32);
        }
        Ok(losses)
    }

    /// The share of `data` whose class is found, between 0 and 1.
    ///
    /// ```
    /// use dldna::feature_levels::LevelNetwork;
    ///
    /// let sample = dldna::data::fashion_mnist_sample()?;
    /// let accuracy = LevelNetwork::new(7).accuracy(&sample.test)?;
    /// assert!(accuracy < 0.3); // not trained yet: about one in ten
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accuracy(&self, data: &Dataset) -> Result<f64, LevelError> {
        let dev = Cpu::default();
        let mut correct = 0;
        for batch in data.batches(BATCH, Normalisation::UNIT) {
            let logits = self.logits(batch.to_tensor(&dev))?.as_vec();
            let found = logits.chunks_exact(10).map(largest);
            correct += found
                .zip(&batch.labels)
                .filter(|(found, label)| found == *label)
                .count();
        }
        Ok(correct as f64 / data.len().max(1) as f64)
    }

    /// The three levels' feature maps for `images`, named `low`, `middle` and `high`, after the image itself.
    ///
    /// ```
    /// use dldna::{feature_levels::LevelNetwork, prelude::*};
    ///
    /// let images = Cpu::default().zeros_like(&(2, Const::<1>, 28, 28));
    /// let maps = LevelNetwork::new(7).feature_maps(&images)?;
    /// assert_eq!(maps.get("middle").unwrap().shape(), [2, 16, 14, 14]);
    /// # Ok::<(), dldna::feature_levels::LevelError>(())
    /// ```
    pub fn feature_maps(&self, images: &Images<1, NoneTape>) -> Result<FeatureMaps, LevelError> {
        let low = self.low(images.clone())?;
        let middle = self.middle(low.clone())?;
        let high = self.high(middle.clone())?;
        let map = |layer: &str, values| FeatureMap {
            layer: layer.to_string(),
            values,
        };
        Ok(FeatureMaps {
            maps: vec![
                map("image", images.clone().realize()),
                map("low", low.realize()),
                map("middle", middle.realize()),
                map("high", high.realize()),
            ],
        })
    }

    /// The pieces of images in `data` that excite `channel` of `level` most: at most `count`, one from each image,
    /// the strongest first. Pieces that leave the channel at zero are left out.
    ///
    /// Errors: the level has no such channel.
    pub fn strongest_patches(
        &self,
        data: &Dataset,
        level: Level,
        channel: usize,
        count: usize,
    ) -> Result<Vec<Patch>, LevelError> {
        let channels = level.channels();
        if channel >= channels {
            return Err(LevelError::Channel { channel, channels });
        }
        let dev = Cpu::default();
        let mut strongest = Vec::with_capacity(data.len());
        for batch in data.batches(BATCH, Normalisation::UNIT) {
            let maps = self.feature_maps(&batch.to_tensor(&dev))?;
            let features = &maps.maps[1 + level as usize];
            for image in 0..batch.labels.len() {
                let map = features.channel(image, channel);
                let (unit, value) = map.map_or(([0, 0], 0.0), |map| strongest_unit(&map));
                strongest.push((strongest.len(), unit, value));
            }
        }
        strongest.retain(|&(_, _, value)| value > 0.0);
        strongest.sort_by(|a, b| b.2.total_cmp(&a.2));
        strongest
            .into_iter()
            .take(count)
            .map(|(image, unit, value)| {
                let pixels = seen_pixels(data, image, level, unit)?;
                Ok(Patch {
                    image,
                    unit,
                    value,
                    pixels,
                })
            })
            .collect()
    }

    /// Draws [`strongest_patches`](Self::strongest_patches), one row of `count` for each of `channels`; black where
    /// fewer images excite the channel.
    ///
    /// Errors: the level has no such channel.
    pub fn show_level(
        &self,
        data: &Dataset,
        level: Level,
        channels: &[usize],
        count: usize,
    ) -> Result<Figure, LevelError> {
        let side = level.receptive_field();
        let title = format!("{level:?} level: the {side}x{side} pieces that excite a channel most");
        let black = Array2::zeros((side, side));
        let mut grid = ImageGrid::new(&title, count);
        for &channel in channels {
            let patches = self.strongest_patches(data, level, channel, count)?;
            for index in 0..count {
                let name = if index == 0 {
                    format!("channel {channel}")
                } else {
                    String::new()
                };
                let pixels = patches.get(index).map_or(&black, |patch| &patch.pixels);
                grid = grid.array(&name, pixels, ColorMap::Gray);
            }
        }
        Ok(grid.draw()?)
    }

    fn low<T: Tape<f32, Cpu>>(&self, images: Images<1, T>) -> Result<Images<8, T>, CpuError> {
        self.layers.0.try_forward(images)?.try_relu()
    }

    fn middle<T: Tape<f32, Cpu>>(&self, low: Images<8, T>) -> Result<Images<16, T>, CpuError> {
        let pooled = MaxPool2D::<2, 2>.try_forward(low)?;
        self.layers.1.try_forward(pooled)?.try_relu()
    }

    fn high<T: Tape<f32, Cpu>>(&self, middle: Images<16, T>) -> Result<Images<32, T>, CpuError> {
        let pooled = MaxPool2D::<2, 2>.try_forward(middle)?;
        self.layers.2.try_forward(pooled)?.try_relu()
    }

    fn logits<T: Tape<f32, Cpu>>(
        &self,
        images: Images<1, T>,
    ) -> Result<Tensor<(usize, Const<10>), f32, Cpu, T>, CpuError> {
        let features = self.high(self.middle(self.low(images)?)?)?;
        self.layers
            .3
            .try_forward(MaxPoolGlobal.try_forward(features)?)
    }
}

fn largest(values: &[f32]) -> usize {
    let pairs = values.iter().enumerate();
    pairs
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(0, |(index, _)| index)
}

fn strongest_unit(map: &Array2<f32>) -> ([usize; 2], f32) {
    let units = map.indexed_iter();
    units
        .max_by(|a, b| a.1.total_cmp(b.1))
        .map_or(([0, 0], 0.0), |((row, column), &value)| {
            ([row, column], value)
        })
}

/// The pixels that the unit at `unit` sees, zeros beyond the border.
fn seen_pixels(
    data: &Dataset,
    image: usize,
    level: Level,
    unit: [usize; 2],
) -> Result<Array2<f32>, DataError> {
    let pixels = data.image(image)?.to_array();
    let [top, left] = unit.map(|position| level.first_pixel(position));
    let side = level.receptive_field();
    Ok(Array2::from_shape_fn((side, side), |(row, column)| {
        let row = top
            .checked_add_unsigned(row)
            .and_then(|row| usize::try_from(row).ok());
        let column = left
            .checked_add_unsigned(column)
            .and_then(|column| usize::try_from(column).ok());
        let pixel = row.zip(column).and_then(|place| pixels.get(place));
        pixel.map_or(0.0, |&pixel| f32::from(pixel) / 255.0)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes, bright dots at random places: enough structure to excite every level.
    fn dots() -> Dataset {
        let noise = Cpu::seed_from_u64(3).sample_uniform_like(&(6 * 28 * 28,));
        let bright = |value: &f32| if *value > 0.9 { 255 } else { 0 };
        let pixels = noise.as_vec().iter().map(bright).collect();
        let names = ["a", "b"].map(String::from).to_vec();
        Dataset::new(pixels, vec![0, 1, 0, 1, 0, 1], 28, 28, names).unwrap()
    }

    #[test]
    fn a_unit_sees_nothing_but_its_patch() {
        let (network, data) = (LevelNetwork::new(5), dots());
        for level in [Level::Low, Level::Middle, Level::High] {
            for patch in network.strongest_patches(&data, level, 3, 6).unwrap() {
                let side = level.receptive_field();
                assert_eq!(patch.pixels.dim(), (side, side));
                // The patch alone on a black image must give the unit the same value.
                let [top, left] = patch.unit.map(|position| level.first_pixel(position));
                let mut image = Array2::<f32>::zeros((28, 28));
                for ((row, column), &pixel) in patch.pixels.indexed_iter() {
                    let place = [top + row as isize, left + column as isize];
                    if place.iter().all(|&p| (0..28).contains(&p)) {
                        image[place.map(|p| p as usize)] = pixel;
                    }
                }
                let image = image.into_raw_vec_and_offset().0;
                let image = Cpu::default().tensor_from_vec(image, (1, Const::<1>, 28, 28));
                let maps = network.feature_maps(&image).unwrap();
                let map = maps.maps[1 + level as usize].channel(0, 3).unwrap();
                assert!((map[patch.unit] - patch.value).abs() < 1e-5, "{level:?}");
            }
        }
    }

    #[test]
    fn patches_come_strongest_first_and_one_from_each_image() {
        let patches = LevelNetwork::new(5)
            .strongest_patches(&dots(), Level::Low, 3, 4)
            .unwrap();
        assert!(
            patches
                .windows(2)
                .all(|pair| pair[0].value >= pair[1].value)
        );
        let mut images: Vec<usize> = patches.iter().map(|patch| patch.image).collect();
        images.sort();
        images.dedup();
        assert_eq!(images.len(), patches.len());
    }

    #[test]
    fn training_learns_what_it_is_shown() {
        let (mut network, data) = (LevelNetwork::new(5), dots());
        let losses = network.train(&data, 60, 0).unwrap();
        assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
        assert_eq!(network.accuracy(&data).unwrap(), 1.0);
    }

    #[test]
    fn a_channel_that_does_not_exist_is_an_error() {
        let error = LevelNetwork::new(5)
            .strongest_patches(&dots(), Level::Middle, 16, 1)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no channel 16: the level has 16, numbered from 0"
        );
    }
}
